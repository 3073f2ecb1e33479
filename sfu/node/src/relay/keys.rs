//! Who may speak to a node over its relay: whoever holds the secret of the cluster. Owns the TLS settings of
//! both sides. Must not accept anybody else, nor any other crypto than TLS 1.3 of rustls on aws-lc-rs.
//!
//! A key pair is derived from the secret (HKDF, RFC 5869; Ed25519, RFC 8032), the same on all nodes. Both
//! sides present it as a raw public key (RFC 7250) and accept only it, so that TLS itself proves on either
//! side that the other holds the secret, before anything of ours is read. Sessions are never resumed.

use std::sync::Arc;

use aws_lc_rs::{hkdf, signature::Ed25519KeyPair};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme,
    client::{
        AlwaysResolvesClientRawPublicKeys, Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{
        CryptoProvider, aws_lc_rs::sign::any_eddsa_type, verify_tls13_signature_with_raw_key,
    },
    pki_types::{
        CertificateDer, PrivatePkcs8KeyDer, ServerName, SubjectPublicKeyInfoDer, UnixTime,
    },
    server::{
        AlwaysResolvesServerRawPublicKeys,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
};

/// What two nodes speak, newest first: of what both know the acceptor takes the first. A newer node keeps
/// the version before for as long as such nodes are to be in one cluster with it.
const PROTOCOLS: [&[u8]; 1] = [b"plenum-relay/1"];

/// Why there are no keys; it is not for the secret.
#[derive(Debug, thiserror::Error)]
#[error("no keys for the relay: {0}")]
pub(crate) struct KeyError(String);

/// Both sides' settings.
pub(super) struct Keys {
    pub(super) client: Arc<QuicClientConfig>,
    pub(super) server: Arc<QuicServerConfig>,
}

impl Keys {
    /// The keys of all who hold this secret.
    pub(super) fn of_secret(secret: &str) -> Result<Self, KeyError> {
        Self::speaking(secret, &PROTOCOLS)
    }

    pub(super) fn speaking(secret: &str, protocols: &[&[u8]]) -> Result<Self, KeyError> {
        let error = |what: &str| KeyError(what.to_owned());
        let mut seed = [0; 32];
        hkdf::Salt::new(hkdf::HKDF_SHA256, b"plenum")
            .extract(secret.as_bytes())
            .expand(&[b"relay identity 1"], hkdf::HKDF_SHA256)
            .and_then(|okm| okm.fill(&mut seed))
            .map_err(|_| error("nothing can be derived"))?;
        let pair = Ed25519KeyPair::from_seed_unchecked(&seed).map_err(|_| error("not a key"))?;
        let pair = pair.to_pkcs8v1().map_err(|_| error("not a key"))?;
        let key = any_eddsa_type(&PrivatePkcs8KeyDer::from(pair.as_ref()))
            .map_err(|problem| KeyError(problem.to_string()))?;
        let public = key.public_key().ok_or_else(|| error("no public key"))?;
        let public = CertificateDer::from(public.as_ref().to_vec());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let only = Arc::new(Only {
            public: public.clone(),
            provider: Arc::clone(&provider),
        });
        let own = Arc::new(CertifiedKey::new(vec![public], key));
        let protocols: Vec<Vec<u8>> = protocols.iter().map(|name| name.to_vec()).collect();
        let unfit = |problem: Error| KeyError(problem.to_string());

        let mut client = rustls::ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(unfit)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::clone(&only) as _)
            .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(
                Arc::clone(&own),
            )));
        client.resumption = Resumption::disabled();
        client.alpn_protocols.clone_from(&protocols);

        let mut server = rustls::ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(unfit)?
            .with_client_cert_verifier(only)
            .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(own)));
        server.send_tls13_tickets = 0;
        server.alpn_protocols = protocols;

        let no_suite = |_| error("no initial cipher suite");
        Ok(Self {
            client: Arc::new(QuicClientConfig::try_from(client).map_err(no_suite)?),
            server: Arc::new(QuicServerConfig::try_from(server).map_err(no_suite)?),
        })
    }
}

/// Accepts one public key, on either side.
#[derive(Debug)]
struct Only {
    public: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl Only {
    fn check(&self, shown: &CertificateDer<'_>) -> Result<(), Error> {
        if *shown == self.public {
            Ok(())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn check_signature(
        &self,
        message: &[u8],
        shown: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let public = SubjectPublicKeyInfoDer::from(shown.as_ref());
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature_with_raw_key(message, &public, signature, algorithms)
    }
}

/// TLS 1.2 is not spoken.
fn too_old() -> Error {
    Error::General("TLS 1.2".into())
}

impl ServerCertVerifier for Only {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.check(end_entity)
            .map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(too_old())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}

impl ClientCertVerifier for Only {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.check(end_entity)
            .map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(too_old())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
