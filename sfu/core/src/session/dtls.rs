//! The DTLS of a transport (RFC 5764): the engine runs the handshake, and we keep a copy of the keys
//! that it exports, for the egress lane. One configuration of the DTLS library for each role serves the
//! process: each that is made tests all its cryptography anew, which costs more than a handshake.

mod key;
mod request;
mod rsa;

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

/// Builds an engine, and the place where the keys of its handshake will appear. `repeats` is
/// [`CoreConfig::repeats_handshakes`](crate::CoreConfig::repeats_handshakes).
///
/// # Panics
///
/// Where the crypto library fails its test of itself.
pub(super) fn build(config: RtcConfig, now: Instant, repeats: bool) -> (Rtc, KeySlot) {
    static PROVIDERS: [OnceLock<Arc<CryptoProvider>>; 2] = [const { OnceLock::new() }; 2];
    let (place, dtls_provider): (_, &dyn DtlsProvider) = match repeats {
        false => (&PROVIDERS[0], &SharedConfig { repeats: false }),
        true => (&PROVIDERS[1], &SharedConfig { repeats: true }),
    };
    let provider = place.get_or_init(|| {
        Arc::new(CryptoProvider {
            dtls_provider,
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
struct SharedConfig {
    repeats: bool,
}

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
        let recipe = Recipe {
            cert: cert.clone(),
            now,
            version: dtls_version,
            mtu,
            repeats: self.repeats,
        };
        Ok(Box::new(Tapped {
            dtls: recipe.make(Role::Server)?,
            recipe: Some(recipe),
            request: Some(Vec::new()),
            slot: NEXT.take(),
        }))
    }
}

/// Which end of a handshake is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    /// Takes keys of RSA too.
    Server,
    Client,
}

/// What an instance of the library is made of.
struct Recipe {
    cert: DtlsCert,
    now: Instant,
    version: DtlsVersion,
    mtu: Option<usize>,
    repeats: bool,
}

impl Recipe {
    fn make(&self, role: Role) -> Result<Dtls, CryptoError> {
        let config = shared_config(self.mtu, role, self.repeats)?;
        let cert = self.cert.clone();
        Ok(match self.version {
            DtlsVersion::Dtls12 => Dtls::new_12(config, cert, self.now),
            DtlsVersion::Dtls13 => Dtls::new_13(config, cert, self.now),
            DtlsVersion::Auto => Dtls::new_auto(config, cert, self.now),
            other => return Err(CryptoError::Other(format!("no support for {other}"))),
        })
    }
}

/// How long a flight of the handshake waits for its answer before it is sent again; doubled with each
/// time. RFC 6347 has a second, for peers of whom nothing is known: here a check of ICE has just gone both
/// ways, and a lost datagram is not to cost a join a second. Browsers start at 50 ms.
const FIRST_RETRY: Duration = Duration::from_millis(100);

/// Times a flight is sent again: 100 ms doubled so often lasts about as long as a client may take to
/// connect.
const RETRIES: usize = 8;

/// Configurations that are kept, one for each role and size of datagrams. A process has one size, from its
/// settings.
const CONFIGS: usize = 8;

/// What a handshake that repeats draws from.
const SEED: u64 = 1;

/// Room for a server's first flight, so that each of its messages is in one piece.
const MTU_MIN: usize = 900;

/// The configuration for a role and a size of datagrams; only the first call for both is slow.
fn shared_config(
    mtu: Option<usize>,
    role: Role,
    repeats: bool,
) -> Result<Arc<Config>, CryptoError> {
    type Kept = ((Option<usize>, Role, bool), Result<Arc<Config>, String>);
    static KEPT: [OnceLock<Kept>; CONFIGS] = [const { OnceLock::new() }; CONFIGS];
    let wanted = (mtu, role, repeats);
    let make = || new_config(mtu, role, repeats);
    let kept = KEPT
        .iter()
        .map(|place| place.get_or_init(|| (wanted, make())))
        .find(|(its, _)| *its == wanted);
    match kept {
        Some((_, config)) => config.clone(),
        None => make(),
    }
    .map_err(CryptoError::Other)
}

fn new_config(mtu: Option<usize>, role: Role, repeats: bool) -> Result<Arc<Config>, String> {
    // ICE has shown that whoever shakes hands owns the address, so no cookie has to.
    let mut builder = Config::builder()
        .use_server_cookie(false)
        .flight_start_rto(FIRST_RETRY)
        .flight_retries(RETRIES);
    builder = match role {
        Role::Server => builder.with_crypto_provider(rsa::provider()),
        Role::Client => builder.with_crypto_provider(key::provider()),
    };
    if repeats {
        builder = builder.dangerously_set_rng_seed(SEED);
    }
    if let Some(mtu) = mtu {
        if mtu < MTU_MIN {
            return Err(format!(
                "datagrams of {mtu} bytes, and a handshake takes {MTU_MIN}"
            ));
        }
        builder = builder.mtu(mtu - request::GROWTH);
    }
    builder.build().map(Arc::new).map_err(|e| e.to_string())
}

/// A DTLS instance of whose keys a copy is taken.
struct Tapped {
    /// A server, until its role is set.
    dtls: Dtls,
    /// For a client; none once the role is set.
    recipe: Option<Recipe>,
    /// Where a server's datagrams are before its request for a certificate is widened; none for a client,
    /// and once the handshake is over.
    request: Option<Vec<u8>>,
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

/// As the library's, but that a request for a certificate is widened.
fn poll_server<'a>(dtls: &mut Dtls, scratch: &mut Vec<u8>, buf: &'a mut [u8]) -> DtlsOutput<'a> {
    scratch.resize(buf.len().saturating_sub(request::GROWTH), 0);
    let copy = |bytes: &[u8], buf: &'a mut [u8]| {
        let place = &mut buf[..bytes.len()];
        place.copy_from_slice(bytes);
        &*place
    };
    match dtls.poll_output(scratch) {
        DtlsOutput::Packet(packet) => {
            let length = request::write(packet, buf);
            DtlsOutput::Packet(&buf[..length])
        }
        DtlsOutput::BufferTooSmall { needed } => DtlsOutput::BufferTooSmall {
            needed: needed + request::GROWTH,
        },
        DtlsOutput::PeerCert(bytes) => DtlsOutput::PeerCert(copy(bytes, buf)),
        DtlsOutput::ApplicationData(bytes) => DtlsOutput::ApplicationData(copy(bytes, buf)),
        DtlsOutput::KeyingMaterial(material, profile) => {
            DtlsOutput::KeyingMaterial(material, profile)
        }
        DtlsOutput::Timeout(at) => DtlsOutput::Timeout(at),
        DtlsOutput::Connected => DtlsOutput::Connected,
        // The last that there is.
        _ => DtlsOutput::CloseNotify,
    }
}

impl fmt::Debug for Tapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tapped(…)")
    }
}

impl DtlsInstance for Tapped {
    fn set_active(&mut self, active: bool) {
        let recipe = self.recipe.take();
        if active {
            // The same recipe has made a server.
            if let Some(Ok(client)) = recipe.map(|recipe| recipe.make(Role::Client)) {
                self.dtls = client;
            }
            self.request = None;
        }
        self.dtls.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.dtls.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        let output = match &mut self.request {
            Some(scratch) => poll_server(&mut self.dtls, scratch, buf),
            None => self.dtls.poll_output(buf),
        };
        match &output {
            DtlsOutput::KeyingMaterial(material, negotiated) => {
                self.on_keying(material, *negotiated)
            }
            DtlsOutput::Connected => self.request = None,
            _ => {}
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
