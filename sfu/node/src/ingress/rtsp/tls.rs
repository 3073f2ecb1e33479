//! Whom RTSP over TLS (RFC 7826 section 19) trusts: the authorities of the system, or one certificate that the caller
//! names. Must not connect to anything.

use std::{fmt, io, sync::Arc};

use aws_lc_rs::digest::{SHA256, digest};
use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{
        CryptoProvider, aws_lc_rs as provider, verify_tls12_signature, verify_tls13_signature,
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use tokio_rustls::TlsConnector;

/// SHA-256 of a certificate.
type Digest = [u8; 32];

/// Trusts one certificate, whatever is in it: cameras sign their own, for no name.
struct Pinned {
    digest: Digest,
    provider: Arc<CryptoProvider>,
}

impl fmt::Debug for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Pinned")
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match digest(&SHA256, end_entity).as_ref() == self.digest {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(rustls::CertificateError::ApplicationVerificationFailure.into()),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

/// A connector that trusts the certificate with this digest, or who has one of an authority of this system.
pub(super) fn connector(pinned: Option<Digest>) -> io::Result<TlsConnector> {
    let provider = Arc::new(provider::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    let config = match pinned {
        Some(digest) => config
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Pinned { digest, provider })),
        None => {
            let mut roots = RootCertStore::empty();
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            config.with_root_certificates(roots)
        }
    };
    Ok(TlsConnector::from(Arc::new(config.with_no_client_auth())))
}

/// Reads a digest as tools write it: 64 hexadecimal digits, with colons or without.
pub(super) fn read_digest(text: &str) -> Option<Digest> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
    let pairs = digits.chunks(2).map(|pair| {
        let is_pair = pair.len() == 2 && pair.iter().all(u8::is_ascii_hexdigit);
        let pair = std::str::from_utf8(pair).ok().filter(|_| is_pair);
        u8::from_str_radix(pair?, 16).ok()
    });
    let bytes: Option<Vec<u8>> = pairs.collect();
    bytes?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_read_as_tools_write_them() {
        let plain = "00ff".repeat(16);
        let expected: Digest = [0, 255].repeat(16).try_into().unwrap();
        let pairs: Vec<&str> = (0..32).map(|i| &plain[i * 2..i * 2 + 2]).collect();
        for text in [plain.clone(), plain.to_uppercase(), pairs.join(":")] {
            assert_eq!(read_digest(&text), Some(expected), "{text}");
        }
        for text in [
            "",
            "00",
            &plain[1..],
            &format!("{plain}00"),
            &"zz".repeat(32),
        ] {
            assert_eq!(read_digest(text), None, "{text}");
        }
    }
}
