//! The DTLS of clients (RFC 5764): the engine's own library, with one configuration for all, and its jitter of
//! retries from a seed, so that a world repeats. Must not be used for anything but clients of a simulated world:
//! what is drawn from a seed is known to everybody.

use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

use dimpl::{Config, Dtls};
use str0m::{
    config::{CryptoProvider, DtlsCert, DtlsVersion},
    crypto::{
        self, CryptoError,
        dtls::{DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, ProtocolVersion},
    },
};

/// What clients do their cryptography with.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let make = || {
        Arc::new(CryptoProvider {
            dtls_provider: &Repeating,
            ..crypto::from_feature_flags()
        })
    };
    PROVIDER.get_or_init(make).clone()
}

/// Makes DTLS instances that repeat.
#[derive(Debug)]
struct Repeating;

/// What all instances draw from.
const SEED: u64 = 42;

impl DtlsProvider for Repeating {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        let provider = crypto::from_feature_flags().dtls_provider;
        provider.generate_certificate()
    }

    fn new_dtls(
        &self,
        cert: &DtlsCert,
        now: Instant,
        _version: DtlsVersion,
        _mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        static CONFIG: OnceLock<Result<Arc<Config>, String>> = OnceLock::new();
        let config = CONFIG.get_or_init(|| {
            let config = Config::builder().use_server_cookie(false);
            let config = config.dangerously_set_rng_seed(SEED).build();
            config.map(Arc::new).map_err(|e| e.to_string())
        });
        let config = config.clone().map_err(CryptoError::Other)?;
        Ok(Box::new(Instance(Dtls::new_12(config, cert.clone(), now))))
    }
}

struct Instance(Dtls);

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Instance(…)")
    }
}

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
