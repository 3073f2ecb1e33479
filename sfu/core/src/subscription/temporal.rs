//! Which frames of a VP8 encoding are left out to lower its frame rate (RFC 7741).
//!
//! Must decide a frame as a whole: all its packets share one fate.

use crate::rtp::{Descriptor, Packet};

/// Leaves out frames above a temporal layer, and lets a layer back in only where it can be decoded.
#[derive(Debug, Clone)]
pub(super) struct TemporalFilter {
    limit: u8,
    /// Bit `n`: the receiver has what a frame of layer `n` may refer to in its own layer.
    open: u8,
    /// The newest frame, and its fate: that of most packets.
    newest: Option<(u32, bool)>,
    /// Timestamps and fates of the last frames, for packets that come late.
    recent: [Option<(u32, bool)>; Self::RECENT],
    next: usize,
}

impl TemporalFilter {
    const RECENT: usize = 16;

    /// For an encoding that begins with a keyframe.
    pub(super) fn new(limit: u8) -> Self {
        Self {
            limit,
            open: u8::MAX,
            newest: None,
            recent: [None; Self::RECENT],
            next: 0,
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
                let mut recent = self.recent.iter().flatten();
                return match recent.find(|(at, _)| *at == timestamp) {
                    Some((_, fate)) => *fate,
                    // No packet of this frame came before: judged by what holds now, which it does
                    // not change.
                    None => self.passes(&packet.descriptor),
                };
            }
        }
        self.limit = target;
        if packet.is_keyframe {
            self.open = u8::MAX;
        }
        let fate = self.passes(&packet.descriptor);
        self.learn(&packet.descriptor, fate);
        self.newest = Some((timestamp, fate));
        if let Some(slot) = self.recent.get_mut(self.next) {
            *slot = Some((timestamp, fate));
        }
        self.next = (self.next + 1) % Self::RECENT;
        fate
    }

    /// The highest layer forwarded now.
    pub(super) fn current(&self) -> u8 {
        // Layer 0 is always open.
        let open = (self.open >> 1).trailing_ones();
        self.limit.min(u8::try_from(open).unwrap_or(0))
    }

    fn passes(&self, descriptor: &Descriptor) -> bool {
        let temporal = descriptor.temporal();
        if temporal > self.limit {
            return false;
        }
        let is_sync = matches!(descriptor, Descriptor::Vp8(vp8) if vp8.layer_sync);
        is_sync || self.open >> 1 & below(temporal) == below(temporal)
    }

    fn learn(&mut self, descriptor: &Descriptor, forwarded: bool) {
        let temporal = descriptor.temporal();
        match descriptor {
            Descriptor::Vp8(vp8) if forwarded && vp8.layer_sync => self.open |= bit(temporal),
            Descriptor::Vp8(vp8) if !forwarded && !vp8.non_reference => {
                self.open &= !bit(temporal);
            }
            _ => {}
        }
    }
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
    use std::{sync::Arc, time::Instant};

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
        assert!(
            !filter.admits(&at(140, Delta(1, false)), 7),
            "late frame, by what holds now"
        );
        assert!(filter.admits(&at(141, Delta(0, false)), 7));
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
}
