//! The DTLS of a transport (RFC 5764): the engine runs the handshake, and we keep a copy of the keys
//! that it exports, for the egress lane. One configuration of the DTLS library serves the process: each
//! that is made tests all its cryptography anew, which costs more than a handshake.

use std::{
    cell::Cell,
    fmt,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use dimpl::{Config, Dtls};
use str0m::{
    Rtc, RtcConfig,
    config::{CryptoProvider, DtlsCert, DtlsVersion},
    crypto::{
        self, CryptoError,
        dtls::{
            DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, KeyingMaterial, ProtocolVersion,
            SrtpProfile,
        },
    },
};
use zeroize::Zeroizing;

use crate::srtp::{self, Profile, SrtcpReceiver, SrtpSender};

/// Builds an engine, and the place where the keys of its handshake will appear.
///
/// # Panics
///
/// Where the crypto library fails its test of itself.
pub(super) fn build(config: RtcConfig, now: Instant) -> (Rtc, KeySlot) {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let provider = PROVIDER.get_or_init(|| {
        Arc::new(CryptoProvider {
            dtls_provider: &SharedConfig,
            ..crypto::from_feature_flags()
        })
    });
    let slot = Slot::default();
    // The engine makes its DTLS instance while it is built, on this thread, so the slot reaches the
    // instance without going through the engine, which has no way for it.
    NEXT.set(Some(slot.clone()));
    let rtc = config.set_crypto_provider(provider.clone()).build(now);
    NEXT.set(None);
    (rtc, KeySlot(slot))
}

/// Where the keys of one handshake appear.
type Slot = Arc<OnceLock<Keying>>;

thread_local! {
    /// The slot of the engine that is being built on this thread.
    static NEXT: Cell<Option<Slot>> = const { Cell::new(None) };
}

/// Where the keys of a transport appear, once its handshake is through: before the engine says that it
/// is connected.
pub(crate) struct KeySlot(Slot);

impl KeySlot {
    /// Hands the keys over, once.
    pub(crate) fn take(&mut self) -> Option<Keying> {
        // The instance lets go of the slot as soon as it has filled it.
        Arc::get_mut(&mut self.0)?.take()
    }
}

/// What a handshake exported. Wiped when dropped.
pub(crate) struct Keying {
    material: Zeroizing<Vec<u8>>,
    profile: Profile,
    is_client: bool,
}

impl Keying {
    /// The contexts for what we send, and for the feedback to it.
    pub(crate) fn contexts(&self) -> Result<(SrtpSender, SrtcpReceiver), srtp::KeyError> {
        srtp::contexts(&self.material, self.profile, self.is_client)
    }
}

impl fmt::Debug for Keying {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keying")
            .field("profile", &self.profile)
            .field("is_client", &self.is_client)
            .finish_non_exhaustive()
    }
}

/// Our name of a profile; none for one that is not ours to speak.
fn profile(negotiated: SrtpProfile) -> Option<Profile> {
    match negotiated {
        SrtpProfile::AES128_CM_SHA1_80 => Some(Profile::Aes128CmSha1_80),
        SrtpProfile::AEAD_AES_128_GCM => Some(Profile::AeadAes128Gcm),
        SrtpProfile::AEAD_AES_256_GCM => Some(Profile::AeadAes256Gcm),
        _ => None,
    }
}

/// Makes DTLS instances that share their configuration.
#[derive(Debug)]
struct SharedConfig;

impl DtlsProvider for SharedConfig {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        crypto::from_feature_flags()
            .dtls_provider
            .generate_certificate()
    }

    fn new_dtls(
        &self,
        cert: &DtlsCert,
        now: Instant,
        dtls_version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let config = shared_config(mtu)?;
        let dtls = match dtls_version {
            DtlsVersion::Dtls12 => Dtls::new_12(config, cert.clone(), now),
            DtlsVersion::Dtls13 => Dtls::new_13(config, cert.clone(), now),
            DtlsVersion::Auto => Dtls::new_auto(config, cert.clone(), now),
            other => return Err(CryptoError::Other(format!("no support for {other}"))),
        };
        let slot = NEXT.take();
        Ok(Box::new(Tapped { dtls, slot }))
    }
}

/// How long a flight of the handshake waits for its answer before it is sent again; doubled with each
/// time. RFC 6347 has a second, for peers of whom nothing is known: here a check of ICE has just gone both
/// ways, and a lost datagram is not to cost a join a second. Browsers start at 50 ms.
const FIRST_RETRY: Duration = Duration::from_millis(100);

/// Times a flight is sent again: 100 ms doubled so often lasts about as long as a client may take to
/// connect.
const RETRIES: usize = 8;

/// Sizes of datagrams for which a configuration is kept. A process has one, from its settings.
const CONFIGS: usize = 4;

/// The configuration for a size of datagrams; only the first call for a size is slow.
fn shared_config(mtu: Option<usize>) -> Result<Arc<Config>, CryptoError> {
    type Kept = (Option<usize>, Result<Arc<Config>, String>);
    static KEPT: [OnceLock<Kept>; CONFIGS] = [const { OnceLock::new() }; CONFIGS];
    let kept = KEPT
        .iter()
        .map(|place| place.get_or_init(|| (mtu, new_config(mtu))))
        .find(|(size, _)| *size == mtu);
    match kept {
        Some((_, config)) => config.clone(),
        None => new_config(mtu),
    }
    .map_err(CryptoError::Other)
}

fn new_config(mtu: Option<usize>) -> Result<Arc<Config>, String> {
    // ICE has shown that whoever shakes hands owns the address, so no cookie has to.
    let mut builder = Config::builder()
        .with_crypto_provider(dimpl::crypto::aws_lc_rs::default_provider())
        .use_server_cookie(false)
        .flight_start_rto(FIRST_RETRY)
        .flight_retries(RETRIES);
    if let Some(mtu) = mtu {
        builder = builder.mtu(mtu);
    }
    builder.build().map(Arc::new).map_err(|e| e.to_string())
}

/// A DTLS instance of whose keys a copy is taken.
struct Tapped {
    dtls: Dtls,
    /// Where the copy goes; none once it is there.
    slot: Option<Slot>,
}

impl Tapped {
    fn on_keying(&mut self, material: &KeyingMaterial, negotiated: SrtpProfile) {
        let (Some(slot), Some(profile)) = (self.slot.take(), profile(negotiated)) else {
            return;
        };
        // Nothing else fills it.
        let _ = slot.set(Keying {
            material: Zeroizing::new(material.to_vec()),
            profile,
            is_client: self.dtls.is_active(),
        });
    }
}

impl fmt::Debug for Tapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tapped(…)")
    }
}

impl DtlsInstance for Tapped {
    fn set_active(&mut self, active: bool) {
        self.dtls.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.dtls.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        let output = self.dtls.poll_output(buf);
        if let DtlsOutput::KeyingMaterial(material, negotiated) = &output {
            self.on_keying(material, *negotiated);
        }
        output
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.dtls.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.dtls.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.dtls.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.dtls.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.dtls.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.dtls.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.dtls.close()
    }
}

#[cfg(test)]
mod tests;
