//! The two ciphers with their session keys prepared: AES-GCM (RFC 7714) and AES in counter mode with
//! HMAC-SHA1 (RFC 3711 section 4). Lays out tags and computes nonces; knows nothing of RTP but where
//! its header ends. Allocates nothing per packet.

use aws_lc_rs::{
    aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey},
    constant_time, hmac,
    iv::FixedLength,
};

use super::KeyError;

/// Bytes of a GCM tag.
pub(super) const GCM_TAG: usize = 16;
/// Bytes of a truncated HMAC-SHA1 tag.
pub(super) const HMAC_TAG: usize = 10;
/// Bytes of the word that carries the SRTCP index.
pub(super) const INDEX: usize = 4;
/// Bytes of an RTCP packet that stay in the clear: its first word and the sender's SSRC.
pub(super) const RTCP_CLEAR: usize = 8;
/// The bit of the index word that says the packet is encrypted.
pub(super) const ENCRYPTED: u32 = 1 << 31;

/// The crypto library failed, or the tag is not right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Failed;

/// Session keys for RTP or for RTCP of one direction.
pub(super) enum Cipher {
    Gcm { key: LessSafeKey, salt: [u8; 12] },
    CounterMode(Box<CounterMode>),
}

pub(super) struct CounterMode {
    key: EncryptingKey,
    authentication: hmac::Key,
    salt: [u8; 14],
}

impl Cipher {
    pub(super) fn gcm(key: &[u8], salt: [u8; 12]) -> Result<Self, KeyError> {
        let algorithm = match key.len() {
            32 => &AES_256_GCM,
            _ => &AES_128_GCM,
        };
        let key = UnboundKey::new(algorithm, key).map_err(|_| KeyError::Refused)?;
        Ok(Self::Gcm {
            key: LessSafeKey::new(key),
            salt,
        })
    }

    pub(super) fn counter_mode(
        key: &[u8],
        authentication: &[u8],
        salt: [u8; 14],
    ) -> Result<Self, KeyError> {
        let key = UnboundCipherKey::new(&AES_128, key)
            .and_then(EncryptingKey::ctr)
            .map_err(|_| KeyError::Refused)?;
        Ok(Self::CounterMode(Box::new(CounterMode {
            key,
            authentication: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, authentication),
            salt,
        })))
    }

    /// Bytes of a tag.
    pub(super) fn tag_len(&self) -> usize {
        match self {
            Self::Gcm { .. } => GCM_TAG,
            Self::CounterMode(_) => HMAC_TAG,
        }
    }

    /// Protects the payload of an RTP packet into `out`, with the tag behind it.
    pub(super) fn seal_rtp(
        &self,
        header: &[u8],
        payload: &[u8],
        (ssrc, index): (u32, u64),
        out: &mut [u8],
    ) -> Result<(), Failed> {
        let (sealed, tag) = out.split_at_mut_checked(payload.len()).ok_or(Failed)?;
        match self {
            Self::Gcm { key, salt } => {
                let (nonce, header) = (gcm_nonce(salt, ssrc, index), Aad::from(header));
                key.seal_out_of_place_scatter(nonce, header, payload, sealed, &[], tag)
                    .map_err(|_| Failed)?;
            }
            Self::CounterMode(cipher) => {
                sealed.copy_from_slice(payload);
                cipher.apply(sealed, ssrc, index)?;
                let mut mac = hmac::Context::with_key(&cipher.authentication);
                mac.update(header);
                mac.update(sealed);
                // The roll-over counter is authenticated, but not sent.
                mac.update(&((index >> 16) as u32).to_be_bytes());
                let mac = mac.sign();
                let mac = mac
                    .as_ref()
                    .get(..HMAC_TAG)
                    .filter(|_| tag.len() == HMAC_TAG);
                tag.copy_from_slice(mac.ok_or(Failed)?);
            }
        }
        Ok(())
    }

    /// Protects an RTCP packet that lies at the start of `packet`, which has room for tag and index.
    pub(super) fn seal_rtcp(&self, packet: &mut [u8], ssrc: u32, index: u32) -> Result<(), Failed> {
        let length = packet
            .len()
            .checked_sub(self.tag_len() + INDEX)
            .filter(|length| *length >= RTCP_CLEAR)
            .ok_or(Failed)?;
        let word = (ENCRYPTED | index).to_be_bytes();
        match self {
            Self::Gcm { key, salt } => {
                let (plain, trailer) = packet.split_at_mut(length);
                let (clear, body) = plain.split_at_mut(RTCP_CLEAR);
                let aad = gcm_rtcp_aad(clear, word);
                let sealed = key
                    .seal_in_place_separate_tag(
                        gcm_nonce(salt, ssrc, u64::from(index)),
                        Aad::from(aad),
                        body,
                    )
                    .map_err(|_| Failed)?;
                trailer[..GCM_TAG].copy_from_slice(sealed.as_ref());
                trailer[GCM_TAG..].copy_from_slice(&word);
            }
            Self::CounterMode(cipher) => {
                cipher.apply(&mut packet[RTCP_CLEAR..length], ssrc, u64::from(index))?;
                packet[length..length + INDEX].copy_from_slice(&word);
                let (authenticated, tag) = packet.split_at_mut(length + INDEX);
                let mac = hmac::sign(&cipher.authentication, authenticated);
                tag.copy_from_slice(&mac.as_ref()[..HMAC_TAG]);
            }
        }
        Ok(())
    }

    /// Authenticates an SRTCP packet and, where its word says that it is encrypted, decrypts it in
    /// place. Returns the length of the plain packet and the index word. What a packet holds after a
    /// failure is not defined.
    pub(super) fn open_rtcp(&self, packet: &mut [u8], ssrc: u32) -> Result<(usize, u32), Failed> {
        let length = packet
            .len()
            .checked_sub(self.tag_len() + INDEX)
            .filter(|length| *length >= RTCP_CLEAR)
            .ok_or(Failed)?;
        match self {
            Self::Gcm { key, salt } => {
                let (sealed, word) = packet.split_at_mut(length + GCM_TAG);
                let word: [u8; INDEX] = (&*word).try_into().map_err(|_| Failed)?;
                let (clear, body) = sealed.split_at_mut(RTCP_CLEAR);
                let index = u64::from(u32::from_be_bytes(word) & !ENCRYPTED);
                let aad = gcm_rtcp_aad(clear, word);
                key.open_in_place(gcm_nonce(salt, ssrc, index), Aad::from(aad), body)
                    .map_err(|_| Failed)?;
                Ok((length, u32::from_be_bytes(word)))
            }
            Self::CounterMode(cipher) => {
                let (authenticated, tag) = packet.split_at_mut(length + INDEX);
                let mac = hmac::sign(&cipher.authentication, authenticated);
                constant_time::verify_slices_are_equal(&mac.as_ref()[..HMAC_TAG], tag)
                    .map_err(|_| Failed)?;
                let (plain, word) = authenticated.split_at_mut(length);
                let word = u32::from_be_bytes((&*word).try_into().map_err(|_| Failed)?);
                if word & ENCRYPTED != 0 {
                    let index = u64::from(word & !ENCRYPTED);
                    cipher.apply(&mut plain[RTCP_CLEAR..], ssrc, index)?;
                }
                Ok((length, word))
            }
        }
    }
}

impl CounterMode {
    /// Encrypts or decrypts: both are the same.
    fn apply(&self, bytes: &mut [u8], ssrc: u32, index: u64) -> Result<(), Failed> {
        let iv = counter_mode_iv(&self.salt, ssrc, index);
        self.key
            .less_safe_encrypt(bytes, EncryptionContext::Iv128(FixedLength::from(iv)))
            .map(drop)
            .map_err(|_| Failed)
    }
}

/// The nonce of RFC 7714 sections 8.1 and 9.1: two zero bytes, the SSRC, 48 bits of index, all under
/// the salt. Injective, so a nonce is new as long as SSRC and index are.
pub(super) fn gcm_nonce(salt: &[u8; 12], ssrc: u32, index: u64) -> Nonce {
    let value = (u128::from(ssrc) << 48) | u128::from(index);
    let [_, _, _, _, value @ ..] = value.to_be_bytes();
    Nonce::assume_unique_for_key(std::array::from_fn(|at| salt[at] ^ value[at]))
}

/// The first counter of RFC 3711 section 4.1.1: SSRC and 48 bits of index under the salt, then 16 bits
/// that count blocks.
pub(super) fn counter_mode_iv(salt: &[u8; 14], ssrc: u32, index: u64) -> [u8; 16] {
    let value = (u128::from(ssrc) << 64) | (u128::from(index) << 16);
    let mut iv = value.to_be_bytes();
    for (byte, mask) in iv.iter_mut().zip(salt) {
        *byte ^= mask;
    }
    iv
}

/// What is authenticated beside the ciphertext of RTCP: the clear words and the index word (RFC 7714
/// section 9.2).
fn gcm_rtcp_aad(clear: &[u8], word: [u8; INDEX]) -> [u8; RTCP_CLEAR + INDEX] {
    let mut aad = [0; RTCP_CLEAR + INDEX];
    aad[..RTCP_CLEAR].copy_from_slice(clear);
    aad[RTCP_CLEAR..].copy_from_slice(&word);
    aad
}
