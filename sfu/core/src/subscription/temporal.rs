//! Which frames of a VP8 encoding are left out to lower its frame rate (RFC 7741).
//!
//! Must decide a frame as a whole: all its packets share one fate.

use super::recent::{Recent, is_behind};
use crate::{
    ahead::fetch,
    rtp::{Descriptor, Packet},
};

/// Leaves out frames above a temporal layer, and lets a layer back in only where it can be decoded.
#[derive(Debug, Clone)]
pub(super) struct TemporalFilter {
    limit: u8,
    /// Bit `n`: the receiver has what a frame of layer `n` may refer to in its own layer.
    open: u8,
    /// Keyframes so far: nothing refers to what was before one.
    era: u16,
    /// The highest layer of the newest picture that was here.
    bound: u8,
    /// The newest frame, and its fate: that of most packets.
    newest: Option<(u32, bool)>,
    /// The last frames, for packets that come late.
    recent: Recent<Past, { Self::RECENT }>,
}

/// A frame that was decided on.
#[derive(Debug, Clone, Copy)]
struct Past {
    is_forwarded: bool,
    /// See [`TemporalFilter::era`].
    era: u16,
    /// What [`TemporalFilter::open`] was after it, and which layers were wanted.
    open: u8,
    limit: u8,
}

impl TemporalFilter {
    /// More than a second: what is lost twice on the way up takes as long.
    const RECENT: usize = 48;

    /// For an encoding that begins with a keyframe.
    pub(super) fn new(limit: u8) -> Self {
        Self {
            limit,
            open: u8::MAX,
            era: 0,
            bound: u8::MAX,
            newest: None,
            recent: Recent::new(),
        }
    }

    /// Whether the frame of this packet is forwarded, when layers above `target` are not wanted.
    pub(super) fn admits(&mut self, packet: &Packet, target: u8) -> bool {
        let timestamp = packet.timestamp;
        if let Some((newest, fate)) = self.newest {
            let ahead = timestamp.wrapping_sub(newest).cast_signed();
            if ahead == 0 {
                return fate;
            }
            if ahead < 0 {
                return self.admits_late(packet);
            }
        }
        self.limit = target;
        let (_, bound) = packet.bound();
        if bound > self.bound {
            // Frames above were not here, whether they were seen to be missing or not.
            self.open &= bit(self.bound + 1).wrapping_sub(1);
        }
        self.bound = bound;
        if packet.is_keyframe {
            self.open = u8::MAX;
            self.era = self.era.wrapping_add(1);
        }
        let fate = packet.descriptor.temporal() <= self.limit
            && !packet.is_cut_short()
            && is_decodable(self.open, &packet.descriptor);
        self.learn(&packet.descriptor, fate);
        self.newest = Some((timestamp, fate));
        let past = Past {
            is_forwarded: fate,
            era: self.era,
            open: self.open,
            limit: self.limit,
        };
        self.recent.push(timestamp, past);
        fate
    }

    /// Whether a packet passes that comes behind those of a newer frame. Where nothing came of its frame, numbers
    /// were kept free for it, and what was forwarded since may refer to it: it is judged by what held at its
    /// place. There it passes, even if it is of a higher layer than wanted, unless only the base layer was
    /// ever since: browsers hold frames of other layers back until a picture comes whose number was kept.
    fn admits_late(&mut self, packet: &Packet) -> bool {
        match self.recent.before(packet.timestamp).copied() {
            Some((timestamp, past)) if timestamp == packet.timestamp => past.is_forwarded,
            Some((_, past)) => {
                let temporal = packet.descriptor.temporal();
                let was_wanted = |(since, other): &(u32, Past)| {
                    let is_after = other.era == past.era && is_behind(packet.timestamp, *since);
                    other.limit > 0 && is_after
                };
                let limit = if past.era == self.era {
                    past.limit.max(self.limit)
                } else {
                    past.limit
                };
                let is_wanted = temporal == 0 || limit > 0 || self.recent.iter().any(was_wanted);
                let is_wanted = is_wanted && !packet.is_cut_short();
                let is_decodable = is_decodable(past.open, &packet.descriptor);
                let is_forwarded = is_wanted && is_decodable;
                let past = Past {
                    is_forwarded,
                    limit,
                    ..past
                };
                self.recent.push(packet.timestamp, past);
                if is_decodable && !is_wanted {
                    self.close_from(packet.timestamp, past.era, &packet.descriptor);
                }
                is_forwarded
            }
            // So late that what held then is not known.
            None => {
                packet.descriptor.temporal() <= self.limit
                    && !packet.is_cut_short()
                    && is_decodable(self.open, &packet.descriptor)
            }
        }
    }

    /// A frame was left out behind others: what came since is no more open than after one left out in turn.
    fn close_from(&mut self, timestamp: u32, era: u16, descriptor: &Descriptor) {
        if era == self.era {
            close(&mut self.open, descriptor);
        }
        for (later, past) in self.recent.iter_mut() {
            if past.era == era && !is_behind(*later, timestamp) {
                close(&mut past.open, descriptor);
            }
        }
    }

    /// Whether parts of this packet's frame may have been forwarded, and nobody knows any more.
    pub(super) fn is_forgotten(&self, packet: &Packet) -> bool {
        self.recent.is_forgotten(packet.timestamp)
    }

    /// Asks for what a next frame will touch.
    pub(super) fn fetch(&self) {
        fetch(&self.newest);
        self.recent.fetch();
    }

    /// The highest layer forwarded now.
    pub(super) fn current(&self) -> u8 {
        // Layer 0 is always open.
        let open = (self.open >> 1).trailing_ones();
        self.limit.min(u8::try_from(open).unwrap_or(0))
    }

    fn learn(&mut self, descriptor: &Descriptor, forwarded: bool) {
        let temporal = descriptor.temporal();
        match descriptor {
            Descriptor::Vp8(vp8) if forwarded && vp8.layer_sync => {
                if self.open & bit(temporal) == 0 {
                    // What is missing of the layers above needs what was left out of this one.
                    self.open &= bit(temporal).wrapping_sub(1);
                }
                self.open |= bit(temporal);
            }
            _ if !forwarded => close(&mut self.open, descriptor),
            _ => {}
        }
    }
}

/// Leaves out a frame, which others of its layer may refer to.
fn close(open: &mut u8, descriptor: &Descriptor) {
    if matches!(descriptor, Descriptor::Vp8(vp8) if !vp8.non_reference) {
        *open &= !bit(descriptor.temporal());
    }
}

/// Whether the receiver of the layers in `open` has what a frame refers to.
fn is_decodable(open: u8, descriptor: &Descriptor) -> bool {
    let temporal = descriptor.temporal();
    let is_sync = matches!(descriptor, Descriptor::Vp8(vp8) if vp8.layer_sync);
    is_sync || open >> 1 & below(temporal) == below(temporal)
}

fn bit(temporal: u8) -> u8 {
    1_u8.checked_shl(u32::from(temporal)).unwrap_or(0)
}

/// As many set bits as the layer's number: in `open` without its bit 0, layers 1 up to `temporal`.
fn below(temporal: u8) -> u8 {
    bit(temporal).wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, sync::Arc, time::Instant};

    use proptest::prelude::*;

    use super::*;
    use crate::rtp::{Codec, ExtensionValues};

    #[derive(Clone, Copy)]
    enum Frame {
        Key,
        /// Layer, and whether it is a sync frame.
        Delta(u8, bool),
    }
    use Frame::{Delta, Key};

    fn packet(timestamp: u32, frame: Frame) -> Packet {
        let flag = |is: bool, bit: u8| if is { bit } else { 0 };
        let payload = match frame {
            Key => vec![0x90, 0x20, 0x20, 0],
            Delta(t, sync) => vec![0x90, 0x20, t << 6 | flag(sync, 0x20), 1],
        };
        let extensions = ExtensionValues::default();
        let arrival = Instant::now();
        Packet::parse(
            Codec::Vp8,
            0,
            timestamp,
            true,
            Arc::from(payload),
            &extensions,
            arrival,
        )
    }

    #[test]
    fn layers_go_at_once_and_come_back_where_they_can_be_decoded() {
        // frame, wanted layer, forwarded, layer in force afterwards
        let vp8 = [
            (Key, 7, true, 7),
            (Delta(2, false), 7, true, 7),
            (Delta(1, false), 7, true, 7),
            (Delta(2, false), 1, false, 1),
            (Delta(0, false), 1, true, 1),
            // Layer 2 is wanted again: not before a sync frame.
            (Delta(2, false), 2, false, 1),
            (Delta(1, false), 2, true, 1),
            (Delta(2, true), 2, true, 2),
            (Delta(2, false), 2, true, 2),
            (Delta(1, true), 0, false, 0),
            (Delta(2, true), 0, false, 0),
            // Layer 2 joined at a sync frame needs layer 1 for its next frames.
            (Delta(2, true), 2, true, 0),
            (Delta(2, false), 2, false, 0),
            (Delta(1, true), 2, true, 1),
            (Delta(2, true), 2, true, 2),
            (Delta(2, true), 1, false, 1),
            (Key, 2, true, 2),
            (Delta(2, false), 2, true, 2),
        ];
        let mut filter = TemporalFilter::new(7);
        for (step, (frame, target, forwarded, current)) in (0_u8..).zip(vp8) {
            let packet = packet(u32::from(step) * 3_000, frame);
            assert_eq!(filter.admits(&packet, target), forwarded, "{step}");
            assert_eq!(filter.current(), current, "{step}");
        }
    }

    #[test]
    fn what_a_link_did_not_bring_counts_as_left_out_before_it_is_seen_to_be_missing() {
        let mut filter = TemporalFilter::new(7);
        let brought = |timestamp, frame, temporal| {
            let packet = packet(timestamp, frame);
            packet.thin((7, temporal)).unwrap_or(packet)
        };
        assert!(filter.admits(&brought(0, Key, 0), 7));
        assert!(filter.admits(&brought(6_000, Delta(0, false), 0), 7));
        // One of layer 1 between them was overtaken.
        assert!(!filter.admits(&brought(9_000, Delta(1, false), 7), 7));
        assert!(filter.admits(&brought(12_000, Delta(1, true), 7), 7));
    }

    #[test]
    fn a_frame_has_one_fate_and_latecomers_share_it() {
        let mut filter = TemporalFilter::new(7);
        let at = packet;
        assert!(filter.admits(&at(u32::MAX - 10, Key), 7));
        assert!(filter.admits(&at(90, Delta(2, false)), 7));
        assert!(
            filter.admits(&at(90, Delta(2, false)), 0),
            "lowered inside the frame"
        );
        assert!(filter.admits(&at(190, Delta(0, false)), 0));
        assert!(
            filter.admits(&at(90, Delta(2, false)), 0),
            "late packet of a forwarded frame"
        );
        assert!(!filter.admits(&at(290, Delta(2, false)), 0));
        assert!(
            !filter.admits(&at(290, Delta(2, false)), 7),
            "raised inside the frame"
        );
        assert!(filter.admits(&at(141, Delta(0, false)), 7));
    }

    #[test]
    fn a_late_frame_is_judged_by_what_held_at_its_place() {
        // frame, wanted layer when it comes, forwarded
        let mut filter = TemporalFilter::new(7);
        for (timestamp, frame, target, forwarded) in [
            (0, Key, 7, true),
            (60, Delta(1, false), 7, true),
            // The layer is not wanted any more, but 60 went out and may refer to what comes late.
            (90, Delta(0, false), 0, true),
            (20, Delta(1, true), 0, true),
            (40, Delta(1, false), 0, true),
            (120, Delta(1, false), 0, false),
            (180, Delta(0, false), 0, true),
            // What it refers to was left out.
            (150, Delta(1, false), 0, false),
            (151, Delta(2, false), 7, false),
            (152, Delta(0, false), 0, true),
            (160, Delta(1, true), 0, false),
            (40, Delta(1, false), 0, true),
            (120, Delta(1, false), 7, false),
            (240, Delta(1, false), 7, false),
        ] {
            let packet = packet(timestamp, frame);
            assert_eq!(filter.admits(&packet, target), forwarded, "{timestamp}");
        }
        // Left out late, for only the base was wanted: what refers to it is left out, too.
        assert!(filter.admits(&packet(270, Key), 0));
        assert!(filter.admits(&packet(330, Delta(0, false)), 0));
        assert!(!filter.admits(&packet(300, Delta(1, true)), 0));
        assert!(!filter.admits(&packet(310, Delta(1, false)), 0));
        assert!(!filter.admits(&packet(360, Delta(1, false)), 7));
        assert!(filter.admits(&packet(390, Delta(1, true)), 7));
        // Two frames of layer 2 that nothing refers to: one left out, one that comes late.
        let mut spare = packet(500, Delta(2, false));
        let Descriptor::Vp8(vp8) = &mut spare.descriptor else {
            panic!("VP8");
        };
        vp8.non_reference = true;
        assert!(filter.admits(&packet(470, Key), 1));
        assert!(!filter.admits(&spare, 1));
        assert!(filter.admits(&packet(560, Delta(1, false)), 1));
        spare.timestamp = 530;
        assert!(filter.admits(&spare, 1), "its number would be missed");
    }

    #[test]
    fn codecs_without_layers_pass() {
        let mut filter = TemporalFilter::new(0);
        let packet = Packet::parse(
            Codec::H264,
            0,
            0,
            true,
            Arc::from([0x41, 1]),
            &ExtensionValues::default(),
            Instant::now(),
        );
        assert!(filter.admits(&packet, 0));
        assert_eq!(filter.current(), 0);
    }

    proptest! {
        /// However frames overtake each other, and if some never come: none that goes out refers to one left out, and
        /// where there are two layers, none of the upper one comes after one that was left out late before both have gone
        /// on: browsers hold those back.
        #[test]
        fn what_is_forwarded_out_of_order_can_be_decoded(
            steps in prop::collection::vec(
                (
                    prop::bool::weighted(0.05),
                    prop::bool::weighted(0.3),
                    prop::option::weighted(0.2, 0_u8..3),
                ),
                1..80,
            ),
            delays in prop::collection::btree_map(1..80_usize, 1..40_usize, 0..24),
            lost in prop::collection::btree_set(1..80_usize, 0..6),
            pattern in prop::sample::select(&[[0, 1, 0, 1], [0_u8, 2, 1, 2]][..]),
        ) {
            // Of each frame: its layer, and what it refers to.
            let mut frames = Vec::new();
            let mut newest: [Option<usize>; 3] = [None; 3];
            let mut since_key = 0;
            for (number, (is_key, is_sync, _)) in steps.iter().enumerate() {
                let is_key = *is_key || number == 0;
                since_key = if is_key { 0 } else { since_key + 1 };
                let layer = pattern[since_key % 4];
                if is_key {
                    newest = [None; 3];
                }
                let below = &newest[..=usize::from(layer)];
                let is_sync = layer > 0 && (*is_sync || below.contains(&None));
                let references = if is_sync { newest[0].into_iter().collect() } else { below.iter().flatten().copied().collect::<Vec<_>>() };
                let frame = if is_key { Key } else { Delta(layer, is_sync) };
                frames.push((frame, layer, references));
                newest[usize::from(layer)] = Some(number);
            }
            let wishes = steps.iter().scan(7, |wish, (.., change)| {
                *wish = change.unwrap_or(*wish);
                Some(*wish)
            });
            let wishes: Vec<_> = wishes.collect();
            let there = (0..frames.len()).filter(|number| !lost.contains(number));
            let mut order: Vec<_> = there.collect();
            order.sort_by_key(|number| number + delays.get(number).unwrap_or(&0));
            let mut filter = TemporalFilter::new(7);
            let mut ahead = 0;
            // Left out in turn and late.
            let mut fates = BTreeMap::new();
            for number in order {
                let is_late = number < ahead;
                ahead = ahead.max(number);
                let packet = packet(number as u32 * 3_000, frames[number].0);
                fates.insert(number, (filter.admits(&packet, wishes[ahead]), is_late));
            }
            let mut behind_hole = [false; 3];
            for (number, (frame, layer, references)) in frames.iter().enumerate() {
                match fates.get(&number) {
                    Some((false, is_late)) if *is_late => behind_hole = [true; 3],
                    Some((true, _)) => {
                        let left_out = references.iter().find(|other| matches!(fates.get(other), Some((false, _))));
                        prop_assert_eq!(left_out, None, "what {} refers to", number);
                        let layers = &mut behind_hole[..=usize::from(*layer)];
                        match frame {
                            Key => behind_hole = [false; 3],
                            Delta(0, _) | Delta(_, true) => layers[usize::from(*layer)] = false,
                            Delta(..) if pattern[1] == 2 => {}
                            Delta(..) => {
                                prop_assert!(!layers.contains(&true), "{} waits", number);
                            }
                        }
                    }
                    // A loss ends the wait.
                    None => behind_hole = [false; 3],
                    _ => {}
                }
            }
        }
    }
}
