//! Datagrams on their way between the shard and the clients: one buffer, used again and again, so that
//! carrying them costs little and allocates nothing. Must not change them.

use std::{net::SocketAddr, ops::Range};

/// A batch of datagrams.
#[derive(Debug, Default)]
pub(crate) struct Mail {
    bytes: Vec<u8>,
    letters: Vec<(SocketAddr, SocketAddr, Range<usize>)>,
}

/// One of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Letter<'a> {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) bytes: &'a [u8],
}

impl Mail {
    pub(crate) fn push(&mut self, source: SocketAddr, destination: SocketAddr, bytes: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(bytes);
        let range = start..self.bytes.len();
        self.letters.push((source, destination, range));
    }

    pub(crate) fn letters(&self) -> impl Iterator<Item = Letter<'_>> {
        self.letters
            .iter()
            .map(|(source, destination, range)| Letter {
                source: *source,
                destination: *destination,
                bytes: &self.bytes[range.clone()],
            })
    }

    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.letters.clear();
    }
}

/// RTP and not RTCP (RFC 5761).
pub(crate) fn is_rtp(bytes: &[u8]) -> bool {
    matches!(bytes, [128..=191, kind, ..] if !(192..=223).contains(kind))
}
