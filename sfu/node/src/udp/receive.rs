//! What one receive call brought: messages of the kernel, each one datagram, or several of one sender
//! that it put together (GRO), cut apart again. Must not look into a datagram.

use std::{array, io::IoSliceMut, net::SocketAddr};

use quinn_udp::RecvMeta;

/// Messages of one receive call at most.
pub(super) const MESSAGES: usize = 32;

/// Room for the largest message: the kernel puts no more together than fits a datagram's length field.
const MESSAGE_BYTES: usize = 65_536;

/// Buffers for one receive call, and how far its datagrams were taken out. Kept from call to call.
pub(crate) struct Batch {
    slab: Box<[u8]>,
    messages: [RecvMeta; MESSAGES],
    /// Messages that hold something.
    filled: usize,
    /// The message to take from, and what was taken from it.
    message: usize,
    taken: usize,
    /// The socket they came by.
    local: SocketAddr,
}

/// One datagram.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Received<'a> {
    pub(crate) source: SocketAddr,
    /// The address of the socket, as bound.
    pub(crate) local: SocketAddr,
    pub(crate) bytes: &'a [u8],
}

impl Batch {
    pub(crate) fn new() -> Self {
        Self {
            slab: vec![0; MESSAGES * MESSAGE_BYTES].into_boxed_slice(),
            messages: [RecvMeta::default(); MESSAGES],
            filled: 0,
            message: 0,
            taken: 0,
            local: ([0, 0, 0, 0], 0).into(),
        }
    }

    /// Nothing is left to take out.
    pub(crate) fn is_empty(&self) -> bool {
        self.message >= self.filled
    }

    /// Where the kernel may write.
    pub(super) fn buffers(&mut self) -> ([IoSliceMut<'_>; MESSAGES], &mut [RecvMeta; MESSAGES]) {
        let mut chunks = self.slab.chunks_mut(MESSAGE_BYTES);
        let buffers = array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
        (buffers, &mut self.messages)
    }

    /// The kernel wrote `filled` messages of the socket bound to `local`.
    pub(super) fn on_filled(&mut self, filled: usize, local: SocketAddr) {
        self.filled = filled.min(MESSAGES);
        self.message = 0;
        self.taken = 0;
        self.local = local;
    }

    /// What the kernel says of each message.
    pub(super) fn messages(&self) -> &[RecvMeta] {
        &self.messages[..self.filled]
    }

    /// The next datagram; those of one sender come in its order.
    pub(crate) fn next(&mut self) -> Option<Received<'_>> {
        let index = self.message;
        let meta = self.messages[..self.filled].get(index)?;
        let start = self.taken;
        let end = meta.len.min(start + meta.stride.max(1));
        if end >= meta.len {
            self.message += 1;
            self.taken = 0;
        } else {
            self.taken = end;
        }
        let message = index * MESSAGE_BYTES;
        Some(Received {
            source: meta.addr,
            local: self.local,
            bytes: &self.slab[message + start..message + end],
        })
    }
}

/// Datagrams of a message.
pub(super) fn datagrams(meta: &RecvMeta) -> usize {
    meta.len.div_ceil(meta.stride.max(1)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_cut_where_the_sender_had_cut_them() {
        // Length and stride of each message, lengths of the datagrams.
        type Case = (&'static [(usize, usize)], &'static [usize]);
        let cases: [Case; 5] = [
            (&[], &[]),
            (&[(5, 5)], &[5]),
            (&[(10, 5), (3, 3)], &[5, 5, 3]),
            (&[(12, 5), (7, 9)], &[5, 5, 2, 7]),
            // An empty datagram is one, and stops nothing.
            (&[(0, 0), (4, 4)], &[0, 4]),
        ];
        let local = ([127, 0, 0, 1], 9).into();
        let mut batch = Batch::new();
        for (messages, expected) in cases {
            for (i, &(len, stride)) in messages.iter().enumerate() {
                let meta = &mut batch.messages[i];
                (meta.len, meta.stride) = (len, stride);
            }
            batch.on_filled(messages.len(), local);
            let counted: usize = batch.messages().iter().map(datagrams).sum();
            let mut lengths = Vec::new();
            while let Some(received) = batch.next() {
                lengths.push(received.bytes.len());
            }
            assert_eq!(lengths, expected, "{messages:?}");
            assert_eq!(counted, expected.len(), "{messages:?}");
            assert!(batch.is_empty());
        }
    }
}
