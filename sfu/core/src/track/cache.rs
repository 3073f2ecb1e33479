//! The newest packets of an encoding, shared by all who forward it: what is sent again comes from here,
//! so that no subscriber keeps payloads of its own (RFC 4588), and what a new subscriber begins with. Must
//! not know who asks.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::rtp::Packet;

/// The newest packets of one encoding.
#[derive(Debug, Clone, Default)]
pub(crate) struct PacketCache {
    /// By the low bits of their sequence numbers; made with the first packet.
    ring: Vec<Option<Arc<Packet>>>,
    /// Where the newest keyframe starts: sequence number, timestamp and when it came.
    keyframe: Option<(u64, u32, Instant)>,
    newest: u64,
}

impl PacketCache {
    /// At 2.5 Mbit/s some two seconds. A power of two.
    const PACKETS: usize = 512;

    /// Keeps a packet, in place of the one so much older.
    pub(crate) fn insert(&mut self, packet: &Arc<Packet>) {
        if self.ring.is_empty() {
            self.ring.resize(Self::PACKETS, None);
        }
        if self.newest.abs_diff(packet.sequence) > FAR {
            // Numbers of a new stream.
            (self.newest, self.keyframe) = (packet.sequence, None);
            self.ring.fill(None);
        }
        self.newest = self.newest.max(packet.sequence);
        // A keyframe may have several packets that start one, of parameter sets for example.
        let is_next = self
            .keyframe
            .is_none_or(|(at, time, _)| at < packet.sequence && time != packet.timestamp);
        if packet.is_keyframe && is_next {
            self.keyframe = Some((packet.sequence, packet.timestamp, packet.arrival));
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

    /// The newest keyframe and all that follows it, in order; nothing when it is older than `age`, when it is
    /// more than is kept, while a packet of it is missing, or when the layers of one could not be read, because it
    /// came before what tells of them.
    pub(crate) fn since_keyframe(&self, now: Instant, age: Duration) -> Option<Vec<Arc<Packet>>> {
        let (first, _, arrival) = self.keyframe?;
        let is_fresh = now.saturating_duration_since(arrival) <= age;
        let fits = self.newest.checked_sub(first)? < Self::PACKETS as u64;
        if !is_fresh || !fits {
            return None;
        }
        let has_layers = self.find(first as u32)?.frame.is_some();
        let all = first..=self.newest;
        all.map(|sequence| self.alike(sequence, has_layers))
            .collect()
    }

    /// Has the layers read of what came before the first packet of the newest keyframe, which tells of them.
    pub(crate) fn read_layers(&mut self, read: impl Fn(&mut Packet)) {
        let Some((first, ..)) = self.keyframe else {
            return;
        };
        let has_layers = |held: &Arc<Packet>| held.frame.is_some();
        if !self.find(first as u32).is_some_and(has_layers) {
            return;
        }
        let kept = self.ring.iter_mut().flatten();
        for held in kept.filter(|held| held.sequence > first && held.frame.is_none()) {
            let mut packet = Packet::clone(held);
            read(&mut packet);
            *held = Arc::new(packet);
        }
    }

    /// The newest keyframe and what is here of all that follows it, in order, but for what can't be told the layers of;
    /// nothing when its first packet is not here.
    pub(crate) fn kept_since_keyframe(&self) -> Vec<Arc<Packet>> {
        let first = self.keyframe.map(|(first, ..)| first);
        let first = first.filter(|first| {
            self.newest.abs_diff(*first) < Self::PACKETS as u64
                && self.find(*first as u32).is_some()
        });
        let Some(first) = first else {
            return Vec::new();
        };
        let has_layers = self.find(first as u32).is_some_and(|p| p.frame.is_some());
        let all = first..=self.newest;
        all.filter_map(|sequence| self.alike(sequence, has_layers))
            .collect()
    }

    /// The packet with this number, if it is here and its layers were read as those of its keyframe were.
    fn alike(&self, sequence: u64, has_layers: bool) -> Option<Arc<Packet>> {
        let held = self.ring.get(place(sequence))?.as_ref();
        held.filter(|held| held.sequence == sequence && held.frame.is_some() == has_layers)
            .cloned()
    }

    /// Forgets everything: the encoding stands still.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Whether nothing is held.
    pub(crate) fn is_empty(&self) -> bool {
        self.ring.is_empty()
    }
}

/// A sequence number so far from the others can only be that of a new stream.
const FAR: u64 = 1 << 14;

fn is_renumbered(held: &Packet, packet: &Packet) -> bool {
    held.sequence.abs_diff(packet.sequence) > FAR
}

fn place(sequence: u64) -> usize {
    (sequence % PacketCache::PACKETS as u64) as usize
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::rtp::{Codec, ExtensionValues, LayerReader};

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
    fn a_keyframe_is_given_with_all_that_follows_it() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let packet = |sequence: u64, is_key: bool| {
            let values = ExtensionValues::default();
            let payload = Arc::from([0x10, u8::from(!is_key), 1, 2]);
            let timestamp = sequence as u32 * 3_000;
            let packet = Packet::parse(
                Codec::Vp8,
                sequence,
                timestamp,
                true,
                payload,
                &values,
                start,
            );
            assert_eq!(packet.is_keyframe, is_key);
            Arc::new(packet)
        };
        let mut cache = PacketCache::default();
        let given = |cache: &PacketCache, age| {
            let packets = cache.since_keyframe(start + second, age)?;
            Some(
                packets
                    .iter()
                    .map(|packet| packet.sequence)
                    .collect::<Vec<_>>(),
            )
        };
        assert_eq!(given(&cache, second), None);
        cache.insert(&packet(6, false));
        assert_eq!(given(&cache, second), None, "no keyframe yet");
        for (sequence, is_key) in [(7, true), (8, false), (10, false)] {
            cache.insert(&packet(sequence, is_key));
        }
        assert_eq!(given(&cache, second), None, "one is missing");
        cache.insert(&packet(9, false));
        assert_eq!(given(&cache, second), Some(vec![7, 8, 9, 10]));
        assert_eq!(given(&cache, second / 2), None, "too old");
        cache.insert(&packet(11, true));
        assert_eq!(given(&cache, second), Some(vec![11]));
        for sequence in 12..600 {
            cache.insert(&packet(sequence, false));
        }
        assert_eq!(given(&cache, second), None, "too long");
        cache.insert(&packet(100_000, true));
        assert_eq!(given(&cache, second), Some(vec![100_000]), "a new stream");
        cache.insert(&packet(3, true));
        assert_eq!(given(&cache, second), Some(vec![3]));
        let kept = |cache: &PacketCache| cache.kept_since_keyframe().len();
        assert_eq!(kept(&cache), 1);
        for sequence in (4..1_000).filter(|sequence| sequence % 7 != 0) {
            cache.insert(&packet(sequence, false));
        }
        assert_eq!(kept(&cache), 0, "the keyframe was pushed out");
        // Nor is one kept that comes as late as that.
        cache.insert(&packet(300, true));
        assert_eq!(kept(&cache), 0);
        cache.insert(&packet(994, true));
        assert_eq!(kept(&cache), 6, "with what overtook it");
    }

    #[test]
    fn what_was_not_understood_is_not_given() {
        let vp9 = |sequence: u64, is_key: bool, is_understood: bool| {
            let payload = Arc::from([if is_key { 0x0c } else { 0x4c }, 1]);
            let (values, now) = (ExtensionValues::default(), Instant::now());
            let timestamp = sequence as u32 * 3_000;
            let mut packet =
                Packet::parse(Codec::Vp9, sequence, timestamp, true, payload, &values, now);
            if is_understood {
                LayerReader::default().read(&mut packet);
            }
            assert_eq!(
                (packet.is_keyframe, packet.frame.is_some()),
                (is_key, is_understood)
            );
            Arc::new(packet)
        };
        let second = Duration::from_secs(1);
        for (is_understood, count) in [(true, Some(2)), (false, None)] {
            let mut cache = PacketCache::default();
            cache.insert(&vp9(1, true, true));
            cache.insert(&vp9(2, false, is_understood));
            let given = cache.since_keyframe(Instant::now(), second);
            assert_eq!(given.map(|packets| packets.len()), count);
            assert_eq!(cache.kept_since_keyframe().len(), count.unwrap_or(1));
            // It came before what tells of its layers, which is there now.
            cache.read_layers(|packet| LayerReader::default().read(packet));
            let given = cache.since_keyframe(Instant::now(), second);
            assert_eq!(given.map(|packets| packets.len()), Some(2));
            assert_eq!(cache.kept_since_keyframe().len(), 2);
        }
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
