//! Takes the RTCP of the other end: authenticates, decrypts, and refuses what came before (RFC 3711
//! section 3.4). Does not read it.

use std::fmt;

use super::{
    KeyError,
    cipher::{Cipher, ENCRYPTED, INDEX, RTCP_CLEAR},
    derive::{Master, RTCP},
    replay::{Refusal, Replay},
};

/// Why an SRTCP packet was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnprotectError {
    /// Too few bytes for a header, a tag and an index.
    #[error("a packet too short for SRTCP")]
    TooShort,
    /// The tag does not fit: forged, damaged, or for another connection.
    #[error("a packet that is not authentic")]
    NotAuthentic,
    /// The packet says that it is not encrypted, which WebRTC does not allow.
    #[error("a packet in the clear")]
    NotEncrypted,
    /// It was taken before, or is too old to tell.
    #[error("a packet sent again")]
    Replayed,
    /// More SSRCs than one transport may report from.
    #[error("too many senders of reports")]
    TooManySenders,
}

/// Keys for the RTCP that one transport takes.
pub(crate) struct SrtcpReceiver {
    cipher: Cipher,
    replay: Replay,
}

impl SrtcpReceiver {
    pub(super) fn new(master: &Master) -> Result<Self, KeyError> {
        Ok(Self {
            cipher: master.cipher(RTCP)?,
            replay: Replay::default(),
        })
    }

    /// Authenticates and decrypts in place. The plain compound packet is then the first bytes of
    /// `packet`, as many as are returned; after an error the bytes are worthless.
    pub(crate) fn unprotect(&mut self, packet: &mut [u8]) -> Result<usize, UnprotectError> {
        if packet.len() < RTCP_CLEAR + self.cipher.tag_len() + INDEX {
            return Err(UnprotectError::TooShort);
        }
        let ssrc = u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]);
        let (length, word) = self
            .cipher
            .open_rtcp(packet, ssrc)
            .map_err(|_| UnprotectError::NotAuthentic)?;
        if word & ENCRYPTED == 0 {
            return Err(UnprotectError::NotEncrypted);
        }
        match self.replay.admit(ssrc, word & !ENCRYPTED) {
            Ok(()) => Ok(length),
            Err(Refusal::Replayed) => Err(UnprotectError::Replayed),
            Err(Refusal::TooManySenders) => Err(UnprotectError::TooManySenders),
        }
    }
}

impl fmt::Debug for SrtcpReceiver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SrtcpReceiver(…)")
    }
}
