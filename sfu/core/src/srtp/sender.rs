//! Protects what we send: RTP packets with the SSRC and index that the caller gives, RTCP packets with
//! a counter of its own (RFC 3711 section 3).

use std::fmt;

use super::{
    KeyError,
    cipher::{Cipher, INDEX, RTCP_CLEAR},
    derive::{Master, RTCP, RTP},
};

/// Bytes of an RTP header without sources and extensions.
const RTP_HEADER: usize = 12;
/// Packet indexes have 48 bits: the roll-over counter and the sequence number.
const RTP_INDEXES: u64 = 1 << 48;
/// SRTCP indexes have 31 bits.
const RTCP_INDEXES: u32 = 1 << 31;

/// Why a packet was not protected. It must not be sent then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProtectError {
    /// The bytes do not hold a header, or not the room for the tag.
    #[error("a packet too short to protect")]
    TooShort,
    /// All indexes of this key are used; the transport needs a new handshake.
    #[error("no index is left under this key")]
    Exhausted,
    /// The crypto library failed.
    #[error("the crypto library refused to encrypt")]
    Refused,
}

/// Keys for what one transport sends.
///
/// Nothing but one transport's lane may use them: two that send with one SSRC and index show each
/// other's plaintext, and under GCM the key of the tags too. The engine behind the same transport
/// keeps an SRTCP counter of its own under these keys, so it and the lane must never send RTCP from
/// one SSRC.
pub(crate) struct SrtpSender {
    rtp: Cipher,
    rtcp: Cipher,
    next_rtcp_index: u32,
}

impl SrtpSender {
    pub(super) fn new(master: &Master) -> Result<Self, KeyError> {
        Ok(Self {
            rtp: master.cipher(RTP)?,
            rtcp: master.cipher(RTCP)?,
            next_rtcp_index: 0,
        })
    }

    /// Bytes that protection adds to an RTP packet.
    pub(crate) fn overhead(&self) -> usize {
        self.rtp.tag_len()
    }

    /// Bytes that protection adds to a compound RTCP packet.
    pub(crate) fn rtcp_overhead(&self) -> usize {
        self.rtcp.tag_len() + INDEX
    }

    /// Protects an RTP packet into `out`, which is longer by [`SrtpSender::overhead`]. `header_len` counts the
    /// bytes of the header with sources and extensions, and `index` is the roll-over counter above the sequence
    /// number. The pair of `ssrc` and `index` must be new under these keys.
    pub(crate) fn protect(
        &self,
        packet: &[u8],
        header_len: usize,
        (ssrc, index): (u32, u64),
        out: &mut [u8],
    ) -> Result<(), ProtectError> {
        if index >= RTP_INDEXES {
            return Err(ProtectError::Exhausted);
        }
        let is_long_enough = header_len >= RTP_HEADER && packet.len() >= header_len;
        if !is_long_enough || out.len() != packet.len() + self.overhead() {
            return Err(ProtectError::TooShort);
        }
        debug_assert_eq!(packet[2..4], (index as u16).to_be_bytes(), "the sequence");
        debug_assert_eq!(packet[8..12], ssrc.to_be_bytes(), "the source");
        let (header, payload) = packet.split_at(header_len);
        let (clear, sealed) = out.split_at_mut(header_len);
        clear.copy_from_slice(header);
        self.rtp
            .seal_rtp(header, payload, (ssrc, index), sealed)
            .map_err(|_| ProtectError::Refused)
    }

    /// Protects the compound RTCP packet at the end of `out`, from `start` on, and appends tag and
    /// index. The SSRC is that of its first packet. After an error `out` must be cut at `start`.
    pub(crate) fn protect_rtcp(
        &mut self,
        out: &mut Vec<u8>,
        start: usize,
    ) -> Result<(), ProtectError> {
        let ssrc = out
            .get(start..)
            .and_then(|packet| packet.get(4..RTCP_CLEAR))
            .and_then(|bytes| bytes.try_into().ok())
            .map(u32::from_be_bytes)
            .ok_or(ProtectError::TooShort)?;
        let index = self.next_rtcp_index;
        if index >= RTCP_INDEXES {
            return Err(ProtectError::Exhausted);
        }
        // Whatever comes of it, this index is used.
        self.next_rtcp_index += 1;
        out.resize(out.len() + self.rtcp_overhead(), 0);
        self.rtcp
            .seal_rtcp(&mut out[start..], ssrc, index)
            .map_err(|_| ProtectError::Refused)
    }

    /// For tests of what comes late in a transport's life.
    #[cfg(test)]
    pub(super) fn set_next_rtcp_index(&mut self, index: u32) {
        self.next_rtcp_index = index;
    }
}

impl fmt::Debug for SrtpSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SrtpSender(…)")
    }
}
