//! The newest packets of sound of an encoding, shared by all who forward it: what is repeated beside the next
//! ones for those whose link loses (RFC 2198). Must not know who they are.

use std::sync::Arc;

use crate::rtp::{Packet, REDUNDANT_MAX, RedBlock};

/// The newest packets of one encoding.
#[derive(Debug, Clone, Default)]
pub(crate) struct SoundCache {
    /// By the low bits of their sequence numbers.
    ring: [Option<Arc<Packet>>; Self::PACKETS],
}

impl SoundCache {
    /// More than are repeated: several may come in one turn. A power of two.
    const PACKETS: usize = 16;

    /// Keeps a packet.
    pub(crate) fn insert(&mut self, packet: &Arc<Packet>) {
        if let Some(place) = self.ring.get_mut(place(packet.sequence)) {
            *place = Some(Arc::clone(packet));
        }
    }

    /// What came right before a packet, the newest first; nothing before a gap.
    pub(crate) fn before(&self, packet: &Packet) -> [Option<RedBlock<'_>>; REDUNDANT_MAX] {
        let mut blocks = [None; REDUNDANT_MAX];
        for (back, block) in (1..).zip(&mut blocks) {
            let Some(sequence) = packet.sequence.checked_sub(back) else {
                break;
            };
            let held = self.ring.get(place(sequence)).and_then(Option::as_ref);
            let found = held
                .filter(|held| held.sequence == sequence && held.codec == packet.codec)
                .map(|held| RedBlock {
                    age: packet.timestamp.wrapping_sub(held.timestamp),
                    payload: &held.payload,
                })
                .filter(RedBlock::fits);
            if found.is_none() {
                break;
            }
            *block = found;
        }
        blocks
    }
}

fn place(sequence: u64) -> usize {
    (sequence % SoundCache::PACKETS as u64) as usize
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::rtp::{Codec, ExtensionValues};

    #[test]
    fn what_came_right_before_is_repeated() {
        let packet = |sequence: u64, timestamp: u32| {
            let values = ExtensionValues::default();
            let payload = Arc::from([sequence as u8]);
            let now = Instant::now();
            Arc::new(Packet::parse(
                Codec::Opus,
                sequence,
                timestamp,
                true,
                payload,
                &values,
                now,
            ))
        };
        let mut cache = SoundCache::default();
        // 13 is missing, and before 20 it was silent for a second.
        for (sequence, timestamp, expected) in [
            (10, 0, vec![]),
            (11, 960, vec![(960, 10)]),
            (12, 1_920, vec![(960, 11), (1_920, 10)]),
            (14, 3_840, vec![]),
            (15, 4_800, vec![(960, 14)]),
            (16, 60_000, vec![]),
        ] {
            let packet = packet(sequence, timestamp);
            cache.insert(&packet);
            let blocks = cache.before(&packet).into_iter().flatten();
            let blocks: Vec<_> = blocks.map(|block| (block.age, block.payload[0])).collect();
            assert_eq!(blocks, expected, "{sequence}");
        }
    }
}
