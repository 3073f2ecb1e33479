//! Our private key, loaded once: the library parses it for each instance that it makes, and what it
//! parses is checked against its public half, which costs as much as a signature. Owns the key that a
//! thread loaded last, as its shard signs with one alone.

use std::{cell::RefCell, fmt, sync::Arc};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair},
};
use dimpl::{
    CryptoError, CryptoOperation,
    crypto::{
        Buf, CryptoProvider, HashAlgorithm, KeyProvider, SignatureAlgorithm, SigningKey,
        aws_lc_rs::default_provider,
    },
};
use zeroize::Zeroizing;

/// The library's cryptography, but that keys are loaded once.
pub(super) fn provider() -> CryptoProvider {
    CryptoProvider {
        key_provider: &Loaded,
        ..default_provider()
    }
}

/// A key, and what it was parsed from.
struct Kept {
    der: Zeroizing<Vec<u8>>,
    key: Arc<EcdsaKeyPair>,
}

thread_local! {
    /// The key that this thread loaded last.
    static LAST: RefCell<Option<Kept>> = const { RefCell::new(None) };
}

#[derive(Debug)]
struct Loaded;

impl KeyProvider for Loaded {
    fn load_private_key(&self, der: &[u8]) -> Result<Box<dyn SigningKey>, CryptoError> {
        LAST.with_borrow_mut(|last| {
            if let Some(kept) = last.as_ref().filter(|kept| *kept.der == der) {
                return Ok(Box::new(Shared(kept.key.clone())) as Box<dyn SigningKey>);
            }
            let Ok(key) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, der) else {
                // None of those that `Certificate` makes.
                return default_provider().key_provider.load_private_key(der);
            };
            let key = Arc::new(key);
            *last = Some(Kept {
                der: Zeroizing::new(der.to_vec()),
                key: key.clone(),
            });
            Ok(Box::new(Shared(key)))
        })
    }
}

/// A key of P-256 that signs with SHA-256.
struct Shared(Arc<EcdsaKeyPair>);

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Shared(…)")
    }
}

impl SigningKey for Shared {
    fn sign(
        &mut self,
        data: &[u8],
        requested: HashAlgorithm,
        out: &mut Buf,
    ) -> Result<(), CryptoError> {
        let key_hash = self.hash_algorithm();
        if requested != key_hash {
            return Err(CryptoError::SigningKeyHashMismatch {
                key_hash,
                requested,
            });
        }
        let signature = self
            .0
            .sign(&SystemRandom::new(), data)
            .map_err(|_| CryptoError::OperationFailed(CryptoOperation::Sign))?;
        out.clear();
        out.extend_from_slice(signature.as_ref());
        Ok(())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::ECDSA
    }

    fn hash_algorithm(&self) -> HashAlgorithm {
        HashAlgorithm::SHA256
    }

    fn supported_hash_algorithms(&self) -> &[HashAlgorithm] {
        &[HashAlgorithm::SHA256]
    }
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
    use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PublicKeyData};

    use super::*;

    fn sign(der: &[u8], hash: HashAlgorithm) -> Result<Vec<u8>, CryptoError> {
        let mut out = Buf::new();
        let mut key = Loaded.load_private_key(der)?;
        key.sign(b"a handshake", hash, &mut out)?;
        Ok(out.to_vec())
    }

    #[test]
    fn each_key_signs_for_itself_whichever_was_loaded_before() {
        let keys = [(); 2].map(|()| KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key"));
        for turn in [0, 0, 1, 0, 1, 1] {
            let key = &keys[turn];
            let signature = sign(key.serialized_der(), HashAlgorithm::SHA256).expect("signed");
            UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.der_bytes())
                .verify(b"a handshake", &signature)
                .expect("its own signature");
        }
    }

    #[test]
    fn what_is_no_key_of_ours_is_the_librarys_to_judge() {
        let other = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).expect("a key");
        sign(other.serialized_der(), HashAlgorithm::SHA384).expect("a signature");
        let ours = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).expect("a key");
        let mismatch = sign(ours.serialized_der(), HashAlgorithm::SHA384);
        assert!(matches!(
            mismatch,
            Err(CryptoError::SigningKeyHashMismatch { .. })
        ));
        assert_eq!(
            sign(b"no key", HashAlgorithm::SHA256),
            Err(CryptoError::InvalidPrivateKey)
        );
    }
}
