//! Which frames of a scalable encoding one subscriber gets, by decode target: AV1, VP9, and H.264 or H.265
//! with a dependency descriptor (RTP Payload Format For AV1, appendix A; RFC 9628).
//!
//! Must decide a frame as a whole, and must not let through what cannot be decoded for what was left out
//! before. What the publisher's link lost is not known here: it may still come.

mod past;

use std::num::NonZeroU32;

use self::past::{Fate, Frames, Past};
use super::numbering::Numbering;
use crate::rtp::{Frame, Packet, References, Rewritten, grid_above, target_bit};

/// Leaves out frames above a decode target, and changes to another one only where it can be decoded.
#[derive(Debug, Clone)]
pub(super) struct TargetFilter {
    /// The decode target served now, and its spatial and temporal layer.
    target: u8,
    layer: (u8, u8),
    /// Targets of which the receiver has all that frames to come may need.
    intact: u32,
    /// Timestamp of the newest picture.
    picture: u32,
    /// How often the stream restarted: nothing refers to what was before.
    era: u16,
    /// The highest spatial and temporal layer of the newest picture that was here.
    bound: (u8, u8),
    /// A frame of it was here before one that goes before it.
    is_shuffled: bool,
    /// The newest frame, and its fate: that of most packets.
    newest: Option<(Name, Fate)>,
    /// The last frames, for packets that come late.
    recent: Frames,
    /// The newest frame number, and which of the frames up to it were forwarded: bit `n` the one `n` before.
    forwarded: Option<(u16, u128)>,
    /// Only a keyframe brings what is wanted, and anything at all.
    is_stuck: bool,
    is_severed: bool,
    /// The receiver was told that fewer targets are active than the publisher sends.
    is_narrowed: bool,
    /// The sequence numbers that came, and that with which the stream restarted.
    arrived: Numbering<16>,
    restarted: u64,
}

/// A frame: its timestamp, and its number or its spatial layer.
type Name = (u32, u16);

/// How a packet passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Passage {
    /// It ends a picture for the receiver.
    pub(super) marker: bool,
    /// Decode targets the receiver is to be told are active.
    pub(super) active: Option<NonZeroU32>,
}

impl Passage {
    /// As it is.
    pub(super) fn of(packet: &Packet) -> Self {
        Self {
            marker: packet.marker,
            active: None,
        }
    }

    /// Changes what is sent.
    pub(super) fn apply(self, rewritten: &mut Rewritten) {
        rewritten.marker = self.marker;
        rewritten.patch.active_targets = self.active;
    }
}

impl TargetFilter {
    /// For an encoding that begins with this packet, the first of a keyframe.
    pub(super) fn new(packet: &Packet) -> Self {
        Self {
            target: 0,
            layer: (0, 0),
            intact: u32::MAX,
            // The first packet is of the first picture.
            picture: packet.timestamp.wrapping_sub(1),
            era: 0,
            bound: packet.bound(),
            is_shuffled: false,
            newest: None,
            recent: Frames::new(),
            forwarded: None,
            is_stuck: false,
            is_severed: false,
            is_narrowed: false,
            arrived: Numbering::start(packet.sequence, 0),
            restarted: packet.sequence,
        }
    }

    /// How a packet of this frame passes when layers above `wish` (spatial, temporal) are not wanted; `None`
    /// when it is left out.
    pub(super) fn admits(
        &mut self,
        packet: &Packet,
        frame: &Frame,
        wish: (u8, u8),
    ) -> Option<Passage> {
        // What came twice is not sent twice; here it is the same.
        let _ = self.arrived.forward(packet.sequence);
        let fate = self.fate(packet, frame, wish);
        fate.is_forwarded.then(|| Passage {
            marker: packet.marker || frame.ends && fate.ends_picture,
            active: self.active(frame),
        })
    }

    /// Whether parts of this packet's frame may have been forwarded, and nobody knows any more.
    pub(super) fn is_forgotten(&self, packet: &Packet) -> bool {
        self.recent.is_forgotten(packet.timestamp)
    }

    /// The spatial and temporal layer forwarded now.
    pub(super) fn current(&self) -> (u8, u8) {
        self.layer
    }

    /// Whether only a keyframe brings what is wanted.
    pub(super) fn is_stuck(&self) -> bool {
        self.is_stuck
    }

    fn fate(&mut self, packet: &Packet, frame: &Frame, wish: (u8, u8)) -> Fate {
        let id = match frame.references {
            References::Numbered { number, .. } => number,
            References::Targets { .. } => frame.spatial.into(),
        };
        let name = (packet.timestamp, id);
        if let Some((newest, fate)) = self.newest
            && newest == name
        {
            return fate;
        }
        let ahead = packet.timestamp.wrapping_sub(self.picture).cast_signed();
        let is_same = |(timestamp, past): &&(u32, Past)| (*timestamp, past.id) == name;
        if ahead <= 0
            && let Some((_, past)) = self.recent.iter().find(is_same)
        {
            return past.fate;
        }
        // The target changes between pictures only: the last packet of one is marked as such.
        if ahead > 0 {
            self.picture = packet.timestamp;
            let bound = packet.bound();
            if bound.0 > self.bound.0 || bound.1 > self.bound.1 {
                // Frames above were not here, whether they were seen to be missing or not.
                self.intact &= frame.targets.up_to(self.bound.0, self.bound.1);
            }
            self.bound = bound;
            self.is_shuffled = false;
            self.turn(frame, wish, 0);
        } else if ahead == 0 && self.is_severed && !frame.restarts {
            // The first that was here of the picture said too little.
            let picture = self.recent.of_picture(packet.timestamp);
            let all = picture.fold((false, 0), |(begun, broken), past| {
                (begun | past.fate.is_forwarded, broken | past.broken)
            });
            if let (false, broken) = all {
                self.turn(frame, wish, broken);
            }
        }
        let newest = self.newest.map(|(newest, _)| newest);
        self.is_shuffled |=
            newest.is_some_and(|newest| newest.0 == packet.timestamp && is_before(id, newest.1));
        let late = ahead < 0;
        let (era, spatial, intact, served, since) = if late {
            // What was served then. What was forwarded since may refer to this frame, and others were left out.
            let Some((_, mut past)) = self.recent.before(packet.timestamp).copied() else {
                return Fate::LEFT_OUT;
            };
            if past.spatial > packet.bound().0 {
                // That is not here.
                past.serving = 0;
            }
            let (since, spatial) = self.recent.served_since(packet.timestamp, &past);
            (past.era, spatial, past.intact, past.serving, since)
        } else {
            self.era = self.era.wrapping_add(frame.restarts.into());
            (self.era, self.layer.0, self.intact, self.serving(), 0)
        };
        let serving = served | since;
        // What restarts the stream also tells how to read the rest of it.
        let fate = Fate {
            is_forwarded: !packet.is_cut_short() && (frame.restarts || frame.serves & serving != 0),
            ends_picture: frame.spatial == spatial || frame.restarts && serving == 0,
        };
        let broken = if fate.is_forwarded { 0 } else { frame.breaks };
        let mut gained = 0;
        if late {
            let left = self.recent.break_from(packet.timestamp, era, broken);
            self.intact &= if era == self.era { !left } else { u32::MAX };
        }
        if era == self.era {
            if frame.restarts && !late {
                self.restarted = packet.sequence;
            }
            gained = self.learn(frame, name, fate.is_forwarded, late);
        }
        if !late {
            self.newest = Some((name, fate));
        }
        let past = Past {
            id,
            own_spatial: frame.spatial,
            era,
            fate,
            serving: served,
            spatial,
            intact: if late { intact & !broken } else { self.intact },
            broken,
            gained,
        };
        self.recent.push(packet.timestamp, past);
        fate
    }

    /// The decode target served now; nothing where none can be decoded before a keyframe.
    fn serving(&self) -> u32 {
        if self.is_severed {
            0
        } else {
            target_bit(self.target)
        }
    }

    /// A picture begins: chooses the decode target. Some can't be decoded without what was left out of it before.
    fn turn(&mut self, frame: &Frame, (spatial, temporal): (u8, u8), broken: u32) {
        let targets = &frame.targets;
        // What is missing of other spatial layers will be left out when it comes late, unless the one served needs it.
        let is_whole = frame.restarts || self.arrived.missing_after(self.restarted) == 0;
        let gain = match frame.references {
            References::Targets { .. } if !is_whole => 0,
            _ => self.gain(frame) & !broken,
        };
        let (current, rate) = self.layer;
        let is_needed = frame.spatial < current && frame.serves & target_bit(self.target) != 0;
        let is_intact = |target: u8| {
            let (spatial, temporal) = targets.layer(target);
            let is_below = spatial < current && temporal <= rate;
            let has_all = is_whole || spatial == current || is_below && is_needed;
            has_all && self.intact & target_bit(target) != 0
        };
        let is_decodable = |target: u8| gain & target_bit(target) != 0 || is_intact(target);
        let (spatial, temporal) = targets.layer(targets.choose(spatial, temporal));
        // As sharp as wanted, else less, else as it is; and then as many frames as can be decoded.
        let best_of = |spatial: u8| {
            let all = (0..=temporal).rev();
            all.map(|temporal| targets.choose(spatial, temporal))
                .find(|target| is_decodable(*target))
        };
        let wanted = best_of(spatial);
        self.is_stuck = wanted.is_none();
        let found = wanted
            .or_else(|| (0..spatial).rev().find_map(best_of))
            .or_else(|| best_of(current).filter(|_| current <= self.bound.0));
        self.is_severed = found.is_none();
        if let Some(target) = found {
            self.target = target;
        }
        self.layer = targets.layer(self.target);
    }

    /// Targets that can be decoded from this frame on, when it is forwarded.
    fn gain(&self, frame: &Frame) -> u32 {
        if frame.restarts {
            return u32::MAX;
        }
        match frame.references {
            References::Numbered { number, before } => {
                let known = self.forwarded.map_or(0, |(newest, forwarded)| {
                    let behind = u32::from(newest.wrapping_sub(number));
                    match number.wrapping_sub(newest) {
                        ahead @ 1..0x8000 => forwarded.checked_shl(ahead.into()).unwrap_or(0),
                        _ => forwarded.checked_shr(behind).unwrap_or(0),
                    }
                });
                // Bit 0 of what is known is the frame itself.
                let is_whole = !before.is_far && before.near & !((known >> 1) as u64) == 0;
                if is_whole { frame.switches } else { 0 }
            }
            References::Targets { needs, on_lower } => {
                let bound = if on_lower {
                    grid_above(self.intact)
                } else {
                    u32::MAX
                };
                if needs & !self.intact == 0 {
                    frame.switches & bound
                } else {
                    0
                }
            }
        }
    }

    /// Frames that come after this one in its picture and were here before it.
    fn overtaking(&self, (timestamp, id): Name) -> impl Iterator<Item = &Past> {
        let picture = self.is_shuffled.then(|| self.recent.of_picture(timestamp));
        let picture = picture.into_iter().flatten();
        picture.filter(move |past| is_before(id, past.id))
    }

    /// Of a frame that comes late nothing is gained: what needs it may have been left out since. The same goes for the
    /// targets whose frames of its own picture were. Says what is.
    fn learn(&mut self, frame: &Frame, name: Name, is_forwarded: bool, is_late: bool) -> u32 {
        let overtaking = self.overtaking(name);
        let broken = overtaking.fold(0, |all, past| all | past.broken);
        let gain = if is_late || !is_forwarded {
            0
        } else {
            self.gain(frame) & !broken
        };
        if frame.restarts && !is_late {
            self.intact = !broken;
            self.is_narrowed = false;
        }
        self.intact |= gain;
        if !is_forwarded && !is_late {
            self.intact &= !frame.breaks;
        }
        let References::Numbered { number, .. } = frame.references else {
            return gain;
        };
        if frame.restarts && !is_late {
            // The count may begin anew, and nothing refers to what was before.
            self.forwarded = None;
            let overtaking = self.overtaking(name);
            let fates: Vec<_> = overtaking
                .map(|past| (past.id, past.fate.is_forwarded))
                .collect();
            for (id, is_forwarded) in fates {
                self.count(id, is_forwarded);
            }
        }
        self.count(number, is_forwarded);
        gain
    }

    /// Keeps whether the frame of a number was forwarded.
    fn count(&mut self, number: u16, is_forwarded: bool) {
        let bit = u128::from(is_forwarded);
        self.forwarded = Some(match self.forwarded {
            None => (number, bit),
            Some((newest, known)) => match number.wrapping_sub(newest) {
                ahead @ 1..0x8000 => (number, known.checked_shl(ahead.into()).unwrap_or(0) | bit),
                _ => {
                    let behind = u32::from(newest.wrapping_sub(number));
                    (newest, known | bit.checked_shl(behind).unwrap_or(0))
                }
            },
        });
    }

    /// What a packet is to say of active decode targets: of what is left out, told again with each frame of
    /// the slowest layer, so that a decoder does not wait for what does not come.
    fn active(&mut self, frame: &Frame) -> Option<NonZeroU32> {
        frame.mask.filter(|_| frame.starts && frame.temporal == 0)?;
        let mask = frame.targets.within(self.target)?;
        self.is_narrowed |= !frame.targets.is_all(mask);
        NonZeroU32::new(mask).filter(|_| self.is_narrowed)
    }
}

/// Whether a frame goes before another of its picture, by their numbers or spatial layers.
fn is_before(id: u16, other: u16) -> bool {
    matches!(other.wrapping_sub(id), 1..0x8000)
}

#[cfg(test)]
mod tests;
