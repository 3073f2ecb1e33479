//! The DTLS certificate that all sessions of a process share.

use std::fmt;

use str0m::{config::DtlsCert, crypto};

/// A self-signed DTLS certificate with its private key.
#[derive(Clone)]
pub struct Certificate(DtlsCert);

/// The crypto library could not make a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the crypto library made no certificate")]
pub struct CertificateError;

impl Certificate {
    /// Makes a new one; takes some ten microseconds of the system's randomness and a key generation.
    pub fn generate() -> Result<Self, CertificateError> {
        let provider = crypto::from_feature_flags();
        provider
            .dtls_provider
            .generate_certificate()
            .map(Self)
            .ok_or(CertificateError)
    }

    pub(super) fn engine(&self) -> DtlsCert {
        self.0.clone()
    }
}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Certificate(…)")
    }
}
