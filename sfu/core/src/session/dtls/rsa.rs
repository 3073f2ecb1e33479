//! Clients that prove themselves with RSA keys: the cryptography of our side of a handshake as a server,
//! which takes their signatures beside those of ECDSA. What they are asked for is `request`'s.

use aws_lc_rs::signature::{
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, UnparsedPublicKey,
};
use dimpl::{
    CryptoError, CryptoOperation,
    crypto::{
        Buf, CryptoProvider, HashAlgorithm, HashContext, HashProvider, SignatureAlgorithm,
        SignatureVerifier, aws_lc_rs::default_provider,
    },
};
use x509_cert::{Certificate, der::Decode, spki::ObjectIdentifier};

use super::{key, request::as_sent};

/// `rsaEncryption` (RFC 8017, A.1).
const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// The library's cryptography, but for what clients are asked for and may answer.
pub(super) fn provider() -> CryptoProvider {
    CryptoProvider {
        hash_provider: &Hashes,
        signature_verification: &Signatures,
        ..key::provider()
    }
}

/// Hashes handshakes as they went over the wire.
#[derive(Debug)]
struct Hashes;

impl HashProvider for Hashes {
    fn create_hash(&self, algorithm: HashAlgorithm) -> Box<dyn HashContext> {
        Box::new(AsSent(
            default_provider().hash_provider.create_hash(algorithm),
        ))
    }
}

#[derive(Debug)]
struct AsSent(Box<dyn HashContext>);

impl HashContext for AsSent {
    // DTLS 1.2 of the library hands over the whole transcript at once.
    fn update(&mut self, data: &[u8]) {
        self.0.update(&as_sent(data));
    }

    fn clone_and_finalize(&self, out: &mut Buf) {
        self.0.clone_and_finalize(out);
    }
}

/// Verifies what clients sign: the handshake as it went over the wire.
#[derive(Debug)]
struct Signatures;

impl SignatureVerifier for Signatures {
    fn verify_signature(
        &self,
        certificate: &[u8],
        data: &[u8],
        signature: &[u8],
        hash: HashAlgorithm,
        algorithm: SignatureAlgorithm,
    ) -> Result<(), CryptoError> {
        let data = as_sent(data);
        if algorithm == SignatureAlgorithm::RSA {
            return verify(certificate, &data, signature, hash);
        }
        let library = default_provider().signature_verification;
        library.verify_signature(certificate, &data, signature, hash, algorithm)
    }
}

/// RSASSA-PKCS1-v1_5 with the key of a certificate, which has 2048 to 8192 bits.
fn verify(
    certificate: &[u8],
    data: &[u8],
    signature: &[u8],
    hash: HashAlgorithm,
) -> Result<(), CryptoError> {
    let parameters = match hash {
        HashAlgorithm::SHA256 => &RSA_PKCS1_2048_8192_SHA256,
        HashAlgorithm::SHA384 => &RSA_PKCS1_2048_8192_SHA384,
        _ => {
            return Err(CryptoError::UnsupportedSignaturePair {
                signature: SignatureAlgorithm::RSA,
                hash,
            });
        }
    };
    let certificate =
        Certificate::from_der(certificate).map_err(|_| CryptoError::CertificateParseFailed)?;
    let info = certificate.tbs_certificate().subject_public_key_info();
    if info.algorithm.oid != RSA_ENCRYPTION {
        return Err(CryptoError::UnsupportedPublicKeyAlgorithm);
    }
    let key = info
        .subject_public_key
        .as_bytes()
        .ok_or(CryptoError::InvalidSubjectPublicKey)?;
    UnparsedPublicKey::new(parameters, key)
        .verify(data, signature)
        .map_err(|_| CryptoError::OperationFailed(CryptoOperation::VerifySignature))
}

#[cfg(test)]
mod tests;
