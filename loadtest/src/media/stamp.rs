//! The stamp at the end of every payload: who sent this packet, which part of which frame it is,
//! and when it left. It outlives whatever a forwarding unit rewrites (RTP header, payload
//! descriptor), since those are at the front. Must not depend on a codec.
//!
//! Big-endian, [`Stamp::LEN`] bytes: time sent (8), track (4), sequence (4), frame (4), packet (2),
//! packets (2), encoding (1), temporal layer (1), reference (1), layers and phase (4 bits each),
//! magic (4), checksum over all before (4).

/// What a packet says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stamp {
    /// Number of the track in this run.
    pub track: u32,
    /// Index of the encoding within the track, 0 = smallest.
    pub encoding: u8,
    /// Temporal layer, 0 = lowest.
    pub temporal: u8,
    /// Temporal layers that the encoding has.
    pub layers: u8,
    /// Place in the pattern of temporal layers, counted from the last keyframe.
    pub phase: u8,
    /// How many frames back the frame lies that this one needs; 0 if it needs none (keyframe, audio).
    pub reference: u8,
    /// Number of the frame within the encoding, from 0.
    pub frame: u32,
    /// Number of the packet within the frame, from 0.
    pub packet: u16,
    /// Number of packets of the frame.
    pub packets: u16,
    /// Number of the packet within the encoding, from 0, by order of sending.
    pub sequence: u32,
    /// When the packet was handed to the transport: nanoseconds on the run's clock.
    pub sent_ns: u64,
}

const MAGIC: u32 = 0x706C_7374;
const MAGIC_AT: usize = 28;
const SUM_AT: usize = 32;

impl Stamp {
    /// Bytes that a stamp takes.
    pub const LEN: usize = 36;

    /// Writes the stamp over the last [`Self::LEN`] bytes of `payload`. A payload too short for it
    /// is left as it is.
    pub fn write(&self, payload: &mut [u8]) {
        let Some(bytes) = payload.last_chunk_mut::<{ Self::LEN }>() else {
            return;
        };
        bytes[0..8].copy_from_slice(&self.sent_ns.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.track.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[16..20].copy_from_slice(&self.frame.to_be_bytes());
        bytes[20..22].copy_from_slice(&self.packet.to_be_bytes());
        bytes[22..24].copy_from_slice(&self.packets.to_be_bytes());
        bytes[24] = self.encoding;
        bytes[25] = self.temporal;
        bytes[26] = self.reference;
        bytes[27] = (self.layers << 4) | (self.phase & 0x0F);
        bytes[MAGIC_AT..SUM_AT].copy_from_slice(&MAGIC.to_be_bytes());
        seal(bytes);
    }

    /// Sets the time of sending in a payload that carries a stamp. To be called at the moment of
    /// sending; does nothing to a payload without a stamp.
    pub fn write_time(payload: &mut [u8], sent_ns: u64) {
        let Some(bytes) = payload.last_chunk_mut::<{ Self::LEN }>() else {
            return;
        };
        if word(bytes, MAGIC_AT) == MAGIC {
            bytes[0..8].copy_from_slice(&sent_ns.to_be_bytes());
            seal(bytes);
        }
    }

    /// The stamp at the end of `payload`; none if the media is not ours or came through altered.
    pub fn read(payload: &[u8]) -> Option<Self> {
        let bytes = payload.last_chunk::<{ Self::LEN }>()?;
        if word(bytes, MAGIC_AT) != MAGIC || word(bytes, SUM_AT) != sum(bytes) {
            return None;
        }
        Some(Self {
            sent_ns: long(bytes, 0),
            track: word(bytes, 8),
            sequence: word(bytes, 12),
            frame: word(bytes, 16),
            packet: u16::from_be_bytes([bytes[20], bytes[21]]),
            packets: u16::from_be_bytes([bytes[22], bytes[23]]),
            encoding: bytes[24],
            temporal: bytes[25],
            reference: bytes[26],
            layers: bytes[27] >> 4,
            phase: bytes[27] & 0x0F,
        })
    }
}

fn seal(bytes: &mut [u8; Stamp::LEN]) {
    let sum = sum(bytes);
    bytes[SUM_AT..].copy_from_slice(&sum.to_be_bytes());
}

/// A multiplicative mix of the words before the checksum: enough to tell a stamp from chance.
fn sum(bytes: &[u8; Stamp::LEN]) -> u32 {
    let mixed = (0..SUM_AT)
        .step_by(8)
        .fold(0x243F_6A88_85A3_08D3u64, |mixed, at| {
            (mixed ^ long(bytes, at))
                .wrapping_mul(0x9E37_79B9_7F4A_7C15)
                .rotate_left(23)
        });
    (mixed ^ (mixed >> 32)) as u32
}

fn word(bytes: &[u8; Stamp::LEN], at: usize) -> u32 {
    u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn long(bytes: &[u8; Stamp::LEN], at: usize) -> u64 {
    (u64::from(word(bytes, at)) << 32) | u64::from(word(bytes, at + 4))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn any_stamp() -> impl Strategy<Value = Stamp> {
        let who = (
            any::<u32>(),
            any::<u8>(),
            any::<u8>(),
            0..16u8,
            0..16u8,
            any::<u8>(),
        );
        let what = (
            any::<u32>(),
            any::<u16>(),
            any::<u16>(),
            any::<u32>(),
            any::<u64>(),
        );
        (who, what).prop_map(
            |(
                (track, encoding, temporal, layers, phase, reference),
                (frame, packet, packets, sequence, sent_ns),
            )| Stamp {
                track,
                encoding,
                temporal,
                layers,
                phase,
                reference,
                frame,
                packet,
                packets,
                sequence,
                sent_ns,
            },
        )
    }

    proptest! {
        #[test]
        fn a_stamp_is_read_back_with_the_time_it_was_sent_at(
            stamp in any_stamp(),
            later in any::<u64>(),
            front in proptest::collection::vec(any::<u8>(), 0..64),
        ) {
            let mut payload = front.clone();
            payload.resize(front.len() + Stamp::LEN, 0);
            stamp.write(&mut payload);
            prop_assert_eq!(Stamp::read(&payload), Some(stamp));
            Stamp::write_time(&mut payload, later);
            prop_assert_eq!(Stamp::read(&payload), Some(Stamp { sent_ns: later, ..stamp }));
            prop_assert_eq!(&payload[..front.len()], &front[..]);
        }

        #[test]
        fn a_flipped_bit_voids_it(stamp in any_stamp(), bit in 0..Stamp::LEN * 8) {
            let mut payload = vec![0; Stamp::LEN];
            stamp.write(&mut payload);
            payload[bit / 8] ^= 1 << (bit % 8);
            prop_assert_eq!(Stamp::read(&payload), None);
        }

        #[test]
        fn other_media_has_none(payload in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(Stamp::read(&payload), None);
            let mut timed = payload.clone();
            Stamp::write_time(&mut timed, 1);
            prop_assert_eq!(timed, payload);
        }
    }
}
