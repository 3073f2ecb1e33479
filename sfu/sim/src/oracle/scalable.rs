//! A model of a decoder of scalable media (RTP Payload Format For AV1; RFC 9628): takes packets in order, and
//! says of each picture whether all that came of it decodes. Must not decode.

use super::{Arrival, Name, decoder::Outcome};
use crate::media::ScalableHead;

/// The decoder of one stream.
#[derive(Debug)]
pub(super) struct ScalableDecoder {
    is_perfect: bool,
    /// The frame under way: encoding, number, packets so far.
    frame: Option<(u8, u32, u8)>,
    encoding: Option<u8>,
    /// Frames decoded lately, of this encoding: as the publisher counts them, and as the receiver does.
    decoded: Vec<(u32, Option<u16>)>,
    /// Timestamp of the picture under way, and whether it has ended.
    picture: Option<(u32, bool)>,
    /// A frame of the picture under way can't be decoded.
    is_broken: bool,
    is_patchy: bool,
    is_stuck: bool,
    after_gap: bool,
}

impl ScalableDecoder {
    const KEPT: usize = 32;

    pub(super) fn new(is_perfect: bool) -> Self {
        Self {
            is_perfect,
            frame: None,
            encoding: None,
            decoded: Vec::new(),
            picture: None,
            is_broken: false,
            is_patchy: false,
            is_stuck: false,
            after_gap: false,
        }
    }

    pub(super) fn allow_loss(&mut self) {
        self.is_perfect = false;
    }

    /// Packets were lost.
    pub(super) fn on_gap(&mut self) {
        self.frame = None;
        self.is_broken = true;
        self.is_patchy = true;
        self.after_gap = true;
    }

    /// Whether only a keyframe helps.
    pub(super) fn is_stuck(&self) -> bool {
        self.is_stuck
    }

    /// Takes the next packet.
    pub(super) fn on_packet(&mut self, arrival: &Arrival, head: &ScalableHead) -> Outcome {
        let mut outcome = Outcome::default();
        let stamp = &arrival.stamp;
        let name = Name(stamp);
        let mut breach = |what: String| outcome.violations.push(format!("{name}: {what}"));
        if head.starts != (stamp.index == 0) || head.ends != (stamp.index + 1 == stamp.count) {
            breach("the descriptor was mangled".into());
        }
        match self.picture {
            Some((timestamp, true)) if timestamp == arrival.timestamp => {
                breach("comes after the end of its picture".into());
            }
            Some((timestamp, false)) if timestamp != arrival.timestamp => {
                // A switch may cut the last picture of the encoding before.
                if !self.after_gap && !stamp.is_key {
                    breach("the picture before has no end".into());
                }
                self.is_broken = false;
            }
            Some((timestamp, _)) if timestamp == arrival.timestamp => {}
            _ => self.is_broken = false,
        }
        self.picture = Some((arrival.timestamp, arrival.marker));
        if arrival.marker && !head.ends {
            breach("a picture ends in the middle of a frame".into());
        }
        if stamp.index == 0 {
            if let Some((_, number, _)) = self.frame.filter(|_| !self.after_gap && !stamp.is_key) {
                breach(format!("frame {number} has no end"));
            }
            self.frame = Some((stamp.encoding, stamp.frame, 0));
        }
        let next = self
            .frame
            .filter(|next| *next == (stamp.encoding, stamp.frame, stamp.index));
        if next.is_none() && !self.after_gap {
            breach("a packet is missing".into());
        }
        self.frame = next.map(|(encoding, frame, index)| (encoding, frame, index + 1));
        if stamp.index == 0 {
            self.after_gap = false;
        }
        if head.ends {
            let is_whole = self.frame.take().is_some();
            let can = is_whole && self.can_decode(arrival, head, name, &mut outcome);
            if can {
                self.decoded.push((stamp.frame, head.frame_number));
                if self.decoded.len() > Self::KEPT {
                    self.decoded.remove(0);
                }
            } else {
                self.is_broken = true;
                self.is_stuck |= stamp.temporal == 0;
            }
        }
        if arrival.marker {
            outcome.is_frame = !self.is_broken;
            outcome.is_undecodable = self.is_broken;
            if self.is_perfect && self.is_broken && outcome.violations.is_empty() {
                outcome
                    .violations
                    .push(format!("{name}: its picture can't be decoded"));
            }
        }
        outcome
    }

    /// Whether everything a whole frame refers to was decoded.
    fn can_decode(
        &mut self,
        arrival: &Arrival,
        head: &ScalableHead,
        name: Name<'_>,
        outcome: &mut Outcome,
    ) -> bool {
        let stamp = &arrival.stamp;
        if stamp.is_key {
            self.encoding = Some(stamp.encoding);
            self.decoded.clear();
            (self.is_patchy, self.is_stuck) = (false, false);
            return true;
        }
        if self.is_stuck || self.is_patchy && self.encoding != Some(stamp.encoding) {
            return false;
        }
        let mut breach = |what: String| outcome.violations.push(format!("{name}: {what}"));
        if self.encoding != Some(stamp.encoding) {
            breach("begins without a keyframe".into());
            return false;
        }
        for needed in stamp.refers_to.iter().flatten() {
            let found = self.decoded.iter().find(|(frame, _)| frame == needed);
            let Some((_, number)) = found else {
                if !self.is_patchy {
                    breach(format!("refers to frame {needed}"));
                }
                return false;
            };
            // The descriptor names frames by distance: it must be the same for the receiver.
            let distance = number
                .zip(head.frame_number)
                .map(|(then, now)| now.wrapping_sub(then));
            let wanted = (stamp.frame - needed) as u16;
            if distance.is_some_and(|distance| distance != wanted) {
                breach(format!("its number leads to another frame than {needed}"));
            }
        }
        true
    }
}
