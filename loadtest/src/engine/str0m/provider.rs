//! DTLS for many participants at little cost.
//!
//! The stack builds and self-tests a DTLS configuration for each connection, which costs more than the
//! handshake. Here all share one configuration and one certificate; a load test has no secrets to keep
//! apart. Must not change what is negotiated.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use str0m::config::{CryptoProvider, DtlsCert, DtlsVersion};
use str0m::crypto::CryptoError;
use str0m::crypto::dtls::{DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, ProtocolVersion};

/// Wait for an answer to the first handshake message, as browsers do: the server may not be ready for
/// the first one. RFC 6347 suggests a second, and allows less (4.2.4.1). Doubles with each try.
const FIRST_RETRY: Duration = Duration::from_millis(50);
/// Up to a wait of 12.8 s for the last one.
const RETRIES: usize = 8;

/// The crypto of the stack with the shared DTLS configuration.
#[must_use]
pub(super) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    static SHARED: SharedDtls = SharedDtls;
    Arc::clone(PROVIDER.get_or_init(|| {
        let mut provider = str0m::crypto::from_feature_flags();
        provider.dtls_provider = &SHARED;
        Arc::new(provider)
    }))
}

#[derive(Debug)]
struct SharedDtls;

impl SharedDtls {
    fn config(mtu: Option<usize>) -> Result<Arc<dimpl::Config>, CryptoError> {
        // Built once per MTU; all transports of this engine have the same.
        static CONFIG: OnceLock<(Option<usize>, Arc<dimpl::Config>)> = OnceLock::new();
        if let Some((_, config)) = CONFIG.get().filter(|(cached, _)| *cached == mtu) {
            return Ok(Arc::clone(config));
        }
        // The path was proven by ICE before DTLS begins: no cookie is needed.
        let mut builder = dimpl::Config::builder()
            .use_server_cookie(false)
            .flight_start_rto(FIRST_RETRY)
            .flight_retries(RETRIES);
        if let Some(mtu) = mtu {
            builder = builder.mtu(mtu);
        }
        let config = Arc::new(
            builder
                .build()
                .map_err(|error| CryptoError::Other(error.to_string()))?,
        );
        Ok(Arc::clone(&CONFIG.get_or_init(|| (mtu, config)).1))
    }
}

impl DtlsProvider for SharedDtls {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        static CERTIFICATE: OnceLock<Option<DtlsCert>> = OnceLock::new();
        CERTIFICATE
            .get_or_init(|| {
                str0m::crypto::from_feature_flags()
                    .dtls_provider
                    .generate_certificate()
            })
            .clone()
    }

    fn new_dtls(
        &self,
        cert: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let config = Self::config(mtu)?;
        let cert = cert.clone();
        let dtls = match version {
            DtlsVersion::Dtls12 => dimpl::Dtls::new_12(config, cert, now),
            DtlsVersion::Dtls13 => dimpl::Dtls::new_13(config, cert, now),
            DtlsVersion::Auto => dimpl::Dtls::new_auto(config, cert, now),
            other => {
                return Err(CryptoError::Other(format!(
                    "DTLS version {other} is not known"
                )));
            }
        };
        Ok(Box::new(Instance(dtls)))
    }
}

#[derive(Debug)]
struct Instance(dimpl::Dtls);

impl DtlsInstance for Instance {
    fn set_active(&mut self, active: bool) {
        self.0.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.0.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        self.0.poll_output(buf)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.0.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.0.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.0.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.0.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.0.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.0.close()
    }
}
