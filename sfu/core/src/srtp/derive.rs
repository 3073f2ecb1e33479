//! Session keys from master keys: AES in counter mode as a pseudo-random function (RFC 3711 section
//! 4.3, RFC 6188 for keys of 256 bits, RFC 7714 section 11). The key derivation rate is zero, as DTLS
//! has it: session keys are derived once.

use aws_lc_rs::{
    cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey},
    iv::FixedLength,
};
use zeroize::Zeroizing;

use super::{KeyError, Profile, cipher::Cipher};

/// What a derived string is for (RFC 3711 section 4.3.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Labels {
    pub(super) key: u8,
    pub(super) authentication: u8,
    pub(super) salt: u8,
}

pub(super) const RTP: Labels = Labels {
    key: 0,
    authentication: 1,
    salt: 2,
};
pub(super) const RTCP: Labels = Labels {
    key: 3,
    authentication: 4,
    salt: 5,
};

/// Bytes of the key of HMAC-SHA1 (RFC 3711 section 8.2).
const AUTHENTICATION_KEY_LEN: usize = 20;

/// The master key and salt of one direction.
pub(super) struct Master {
    profile: Profile,
    key: EncryptingKey,
    /// 112 bits; a shorter salt is followed by zeros (RFC 7714 section 11).
    salt: Zeroizing<[u8; 14]>,
}

impl Master {
    pub(super) fn new(profile: Profile, key: &[u8], salt: &[u8]) -> Result<Self, KeyError> {
        let algorithm = match key.len() {
            32 => &AES_256,
            _ => &AES_128,
        };
        let key = UnboundCipherKey::new(algorithm, key)
            .and_then(EncryptingKey::ctr)
            .map_err(|_| KeyError::Refused)?;
        let mut padded = Zeroizing::new([0; 14]);
        padded
            .get_mut(..salt.len())
            .ok_or(KeyError::Refused)?
            .copy_from_slice(salt);
        Ok(Self {
            profile,
            key,
            salt: padded,
        })
    }

    /// The prepared session keys for RTP or for RTCP.
    pub(super) fn cipher(&self, labels: Labels) -> Result<Cipher, KeyError> {
        let mut key = Zeroizing::new([0; 32]);
        let key = &mut key[..self.profile.key_len()];
        self.derive(labels.key, key)?;
        match self.profile {
            Profile::AeadAes128Gcm | Profile::AeadAes256Gcm => {
                let mut salt = [0; 12];
                self.derive(labels.salt, &mut salt)?;
                Cipher::gcm(key, salt)
            }
            Profile::Aes128CmSha1_80 => {
                let mut salt = [0; 14];
                self.derive(labels.salt, &mut salt)?;
                let mut authentication = Zeroizing::new([0; AUTHENTICATION_KEY_LEN]);
                self.derive(labels.authentication, authentication.as_mut_slice())?;
                Cipher::counter_mode(key, authentication.as_slice(), salt)
            }
        }
    }

    /// Fills `out` with the string for a label.
    pub(super) fn derive(&self, label: u8, out: &mut [u8]) -> Result<(), KeyError> {
        // The label stands before the 48 bits of the index, which is zero; both are aligned to the
        // right of the salt. The last two bytes count blocks.
        let mut iv = [0; 16];
        iv[..14].copy_from_slice(self.salt.as_slice());
        iv[7] ^= label;
        out.fill(0);
        self.key
            .less_safe_encrypt(out, EncryptionContext::Iv128(FixedLength::from(iv)))
            .map(drop)
            .map_err(|_| KeyError::Refused)
    }
}
