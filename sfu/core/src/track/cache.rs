//! The newest packets of an encoding, shared by all who forward it: what is sent again comes from here,
//! so that no subscriber keeps payloads of its own (RFC 4588). Must not know who asks.

use std::sync::Arc;

use crate::rtp::Packet;

/// The newest packets of one encoding.
#[derive(Debug, Clone, Default)]
pub(crate) struct PacketCache {
    /// By the low bits of their sequence numbers; made with the first packet.
    ring: Vec<Option<Arc<Packet>>>,
}

impl PacketCache {
    /// At 2.5 Mbit/s some two seconds. A power of two.
    const PACKETS: usize = 512;

    /// Keeps a packet, in place of the one so much older.
    pub(crate) fn insert(&mut self, packet: &Arc<Packet>) {
        if self.ring.is_empty() {
            self.ring.resize(Self::PACKETS, None);
        }
        let Some(place) = self.ring.get_mut(place(packet.sequence)) else {
            return;
        };
        // One that comes very late does not push out a newer one.
        if place
            .as_ref()
            .is_none_or(|held| held.sequence <= packet.sequence || is_renumbered(held, packet))
        {
            *place = Some(Arc::clone(packet));
        }
    }

    /// The packet whose sequence number ends in these bits, if it is still here.
    pub(crate) fn find(&self, sequence: u32) -> Option<&Arc<Packet>> {
        self.ring
            .get(place(u64::from(sequence)))?
            .as_ref()
            .filter(|packet| packet.sequence as u32 == sequence)
    }

    /// Forgets everything: the encoding stands still.
    pub(crate) fn clear(&mut self) {
        self.ring = Vec::new();
    }

    /// Whether nothing is held.
    pub(crate) fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }
}

/// A sequence number so far back can only be that of a new stream.
fn is_renumbered(held: &Packet, packet: &Packet) -> bool {
    const FAR: u64 = 1 << 14;
    held.sequence.abs_diff(packet.sequence) > FAR
}

fn place(sequence: u64) -> usize {
    (sequence % PacketCache::PACKETS as u64) as usize
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::rtp::{Codec, ExtensionValues};

    fn packet(sequence: u64) -> Arc<Packet> {
        let values = ExtensionValues::default();
        let payload = Arc::from([1_u8]);
        Arc::new(Packet::parse(
            Codec::Vp8,
            sequence,
            0,
            true,
            payload,
            &values,
            Instant::now(),
        ))
    }

    #[test]
    fn holds_the_newest_and_nothing_else() {
        let mut cache = PacketCache::default();
        assert!(cache.find(1).is_none());
        let base = u64::from(u32::MAX) - 5;
        for sequence in base..base + 600 {
            cache.insert(&packet(sequence));
        }
        let held = |cache: &PacketCache, sequence: u64| cache.find(sequence as u32).is_some();
        assert!(!held(&cache, base + 87));
        assert!(held(&cache, base + 88));
        assert!(held(&cache, base + 599));
        assert!(!held(&cache, base + 600));
        // Too late to be kept, and a stream that begins anew.
        cache.insert(&packet(base + 87));
        assert!(!held(&cache, base + 87));
        assert!(held(&cache, base + 599));
        cache.insert(&packet(87));
        assert!(held(&cache, 87));
        cache.clear();
        assert!(cache.is_empty() && !held(&cache, base + 599));
    }
}
