//! The floor: what forwarding a packet costs at the very least, which is to write its header, copy its
//! payload and seal it (RFC 7714) as the clients of the benches negotiate it, with a key prepared once. Must do
//! nothing else.

use std::time::{Duration, Instant};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

/// Header with one-byte extensions (RFC 8285): an absolute send time and a transport-wide number.
pub(crate) const HEADER_BYTES: usize = 28;

/// Payload of a packet of 1,200 bytes.
pub(crate) const PAYLOAD_BYTES: usize = 1_200 - HEADER_BYTES;

const TAG_BYTES: usize = 16;

/// A packet as it goes over the wire.
pub(crate) const WIRE_BYTES: usize = HEADER_BYTES + PAYLOAD_BYTES + TAG_BYTES;

/// Packets in the buffer that is written to in turn: as many as stay in the cache until they are sent.
const SLAB_PACKETS: usize = 64;

/// Seals packet after packet.
pub(crate) struct Floor {
    key: LessSafeKey,
    header: [u8; HEADER_BYTES],
    payload: Vec<u8>,
    slab: Vec<u8>,
    index: u64,
}

impl Floor {
    pub(crate) fn new() -> Self {
        let key = UnboundKey::new(&AES_256_GCM, &[7; 32]).expect("a key");
        let mut header = [0; HEADER_BYTES];
        header[..2].copy_from_slice(&[0x90, 0x60]);
        header[12..16].copy_from_slice(&[0xbe, 0xde, 0, 3]);
        Self {
            key: LessSafeKey::new(key),
            header,
            payload: vec![0x5a; PAYLOAD_BYTES],
            slab: vec![0; SLAB_PACKETS * WIRE_BYTES],
            index: 0,
        }
    }

    /// Writes, copies and seals one packet into `out`, which has [`WIRE_BYTES`].
    pub(crate) fn seal(
        key: &LessSafeKey,
        header: &[u8; HEADER_BYTES],
        payload: &[u8],
        index: u64,
        out: &mut [u8],
    ) {
        let number = index.to_be_bytes();
        let (head, rest) = out.split_at_mut(HEADER_BYTES);
        let (body, tag) = rest.split_at_mut(PAYLOAD_BYTES);
        head.copy_from_slice(header);
        head[2..4].copy_from_slice(&number[6..]);
        head[4..8].copy_from_slice(&number[4..]);
        head[8..12].copy_from_slice(&number[..4]);
        body.copy_from_slice(payload);
        let sealed = key
            .seal_in_place_separate_tag(nonce(index), Aad::from(&*head), body)
            .expect("a packet to seal");
        tag.copy_from_slice(sealed.as_ref());
    }

    /// One packet, into the next place of the slab.
    pub(crate) fn packet(&mut self) {
        self.index += 1;
        let place = self.index as usize % SLAB_PACKETS * WIRE_BYTES;
        let out = &mut self.slab[place..place + WIRE_BYTES];
        Self::seal(&self.key, &self.header, &self.payload, self.index, out);
    }

    /// A run of packets for one receiver, one behind the other.
    pub(crate) fn run(&mut self, packets: usize) -> &[u8] {
        for place in 0..packets {
            self.index += 1;
            let out = &mut self.slab[place * WIRE_BYTES..][..WIRE_BYTES];
            Self::seal(&self.key, &self.header, &self.payload, self.index, out);
        }
        &self.slab[..packets * WIRE_BYTES]
    }

    /// A sealed packet, as one comes in, with its index.
    pub(crate) fn sealed(&mut self) -> (u64, Vec<u8>) {
        let mut packet = vec![0; WIRE_BYTES];
        self.index += 1;
        let index = self.index;
        Self::seal(&self.key, &self.header, &self.payload, index, &mut packet);
        (index, packet)
    }

    /// Opens a packet in place.
    pub(crate) fn open(&self, index: u64, packet: &mut [u8]) {
        let (head, body) = packet.split_at_mut(HEADER_BYTES);
        self.key
            .open_in_place(nonce(index), Aad::from(&*head), body)
            .expect("a packet of ours");
    }

    /// Time of one packet, the median of several batches.
    pub(crate) fn measure(&mut self) -> Duration {
        const PACKETS: u32 = 400;
        let mut batches: Vec<Duration> = (0..15)
            .map(|_| {
                let begun = Instant::now();
                for _ in 0..PACKETS {
                    self.packet();
                }
                begun.elapsed()
            })
            .collect();
        batches.sort();
        batches[batches.len() / 2] / PACKETS
    }
}

fn nonce(index: u64) -> Nonce {
    let mut bytes = [0; NONCE_LEN];
    bytes[4..].copy_from_slice(&index.to_be_bytes());
    Nonce::assume_unique_for_key(bytes)
}
