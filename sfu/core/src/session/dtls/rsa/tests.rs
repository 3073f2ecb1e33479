//! A client of another library, with a key of either kind, shakes hands with an instance of ours.

use std::{
    sync::{Arc, OnceLock},
    time::Instant,
};

use bytes::BytesMut;
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, RsaKeySize};
use rtc_crypto::RTCCryptoProvider;
use rtc_dtls::{
    config::ConfigBuilder,
    crypto::{Certificate, CryptoPrivateKey},
    endpoint::Endpoint,
    extension::extension_use_srtp::SrtpProtectionProfile,
};
use str0m::{
    config::DtlsVersion,
    crypto::dtls::{DtlsInstance, DtlsOutput, DtlsProvider},
};

use crate::session::dtls::SharedConfig;

/// What a client is known by: its key, and what its certificate says.
struct Identity {
    key: KeyPair,
    certificate: Vec<u8>,
}

impl Identity {
    fn of(key: KeyPair) -> Self {
        let parameters = CertificateParams::new(Vec::new()).expect("parameters");
        let certificate = parameters.self_signed(&key).expect("a certificate");
        Self {
            key,
            certificate: certificate.der().to_vec(),
        }
    }

    fn rsa() -> Self {
        let key = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048);
        Self::of(key.expect("a key"))
    }

    fn ecdsa() -> Self {
        Self::of(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key"))
    }
}

/// What our side got of a client.
#[derive(Default)]
struct Got {
    certificate: Vec<u8>,
    material: Vec<u8>,
    is_connected: bool,
}

fn provider() -> Arc<dyn RTCCryptoProvider> {
    rtc_crypto::default_provider().expect("one")
}

/// Polls our side to the end; returns its datagrams.
fn drain(ours: &mut dyn DtlsInstance, got: &mut Got) -> Vec<Vec<u8>> {
    let (mut buf, mut sent) = ([0; 2_000], Vec::new());
    loop {
        match ours.poll_output(&mut buf) {
            DtlsOutput::Packet(packet) => sent.push(packet.to_vec()),
            DtlsOutput::PeerCert(certificate) => got.certificate = certificate.to_vec(),
            DtlsOutput::KeyingMaterial(material, _) => got.material = material.to_vec(),
            DtlsOutput::Connected => got.is_connected = true,
            DtlsOutput::Timeout(_) => return sent,
            _ => panic!("nothing else happens in a handshake"),
        }
    }
}

/// Shakes hands with a client of that identity, which sends datagrams of at most `mtu` bytes. Returns what we
/// got, and the keys that the client came to; an error where our side refused.
fn shake(identity: &Identity, key: &KeyPair, mtu: usize) -> Result<(Got, Vec<u8>), String> {
    let certificate = Certificate {
        certificate: vec![identity.certificate.clone().into()],
        private_key: CryptoPrivateKey::from_key_pair(key, provider().crypto()).expect("a key"),
    };
    let config = ConfigBuilder::default()
        .with_crypto_provider(provider())
        .with_certificates(vec![certificate])
        .with_srtp_protection_profiles(vec![SrtpProtectionProfile::Srtp_Aead_Aes_128_Gcm])
        .with_insecure_skip_verify(true)
        .with_mtu(mtu)
        .build(true, None)
        .expect("valid");
    let now = Instant::now();
    let server = ([10, 0, 0, 2], 2_000).into();
    let mut client = Endpoint::new(([10, 0, 0, 1], 1_000).into(), Default::default(), None);
    client
        .connect(now, server, Arc::new(config), None)
        .expect("a hello");

    let shared = SharedConfig { repeats: false };
    let ours = shared.generate_certificate().expect("a certificate");
    let mut ours = shared
        .new_dtls(&ours, now, DtlsVersion::Auto, None)
        .expect("an instance");
    ours.set_active(false);
    ours.handle_timeout(now).expect("time passes");
    let mut got = Got::default();
    while let Some(sent) = client.poll_transmit() {
        ours.handle_packet(&sent.message)
            .map_err(|error| error.to_string())?;
        for packet in drain(&mut *ours, &mut got) {
            client
                .read(now, server, None, BytesMut::from(&packet[..]))
                .map_err(|e| e.to_string())?;
        }
    }
    let state = client.get_connection_state(server).expect("known");
    let keys = state.export_keying_material("EXTRACTOR-dtls_srtp", &[], 2 * (16 + 12));
    Ok((
        got,
        keys.map_err(|error| error.to_string())?.as_ref().to_vec(),
    ))
}

/// RSA is slow to make: one for all tests.
fn rsa() -> &'static Identity {
    static KEPT: OnceLock<Identity> = OnceLock::new();
    KEPT.get_or_init(Identity::rsa)
}

#[test]
fn a_client_with_a_key_of_either_kind_comes_to_the_same_keys() {
    // GStreamer's datagrams are of 256 bytes until it knows better.
    for (name, identity, mtu) in [
        ("RSA", rsa(), 1_200),
        ("RSA in small datagrams", rsa(), 256),
        ("ECDSA", &Identity::ecdsa(), 1_200),
    ] {
        let (got, keys) = shake(identity, &identity.key, mtu).expect(name);
        assert!(got.is_connected, "{name}");
        assert!(
            got.certificate == identity.certificate,
            "{name}: to be compared with its fingerprint"
        );
        assert!(!keys.is_empty() && got.material == keys, "{name}");
    }
}

#[test]
fn a_client_is_refused_that_has_not_the_key_of_its_certificate() {
    let (other_rsa, ecdsa, other_ecdsa) = (Identity::rsa(), Identity::ecdsa(), Identity::ecdsa());
    for (name, identity, key) in [
        ("another of RSA", rsa(), &other_rsa.key),
        ("another of ECDSA", &ecdsa, &other_ecdsa.key),
        ("ECDSA for RSA", rsa(), &ecdsa.key),
        ("RSA for ECDSA", &ecdsa, &rsa().key),
    ] {
        assert!(shake(identity, key, 1_200).is_err(), "{name}");
    }
}
