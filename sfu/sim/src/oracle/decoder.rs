//! A model of a VP8 decoder (RFC 6386, RFC 7741): takes packets in order, and says of each frame whether
//! it is whole and everything it refers to was decoded. Must not decode.

use super::{Arrival, Name};
use crate::media::{Stamp, Vp8Head};

/// The decoder of one stream.
#[derive(Debug)]
pub(super) struct Decoder {
    is_perfect: bool,
    frame: Option<Frame>,
    /// Encoding whose frames are being decoded.
    encoding: Option<u8>,
    /// Frames decoded lately, of this encoding.
    decoded: Vec<u32>,
    picture_id: Option<u16>,
    tl0_pic_idx: Option<u8>,
    timestamp: Option<u32>,
    /// Something was lost since the last keyframe: what it is missed by is not the node's fault.
    is_patchy: bool,
    /// A frame of the base layer could not be decoded: only a keyframe helps.
    is_stuck: bool,
    /// Numbers may jump: something was lost just before.
    after_gap: bool,
    /// Packets without media came in place of what was left out just before.
    after_filler: bool,
    /// Bit by temporal layer: a picture that never comes is missing since the newest of the layer.
    behind_hole: u8,
}

/// The frame under way.
#[derive(Debug, Clone, Copy)]
struct Frame {
    number: u32,
    encoding: u8,
    next_index: u8,
    timestamp: u32,
    picture_id: u16,
    is_decodable: bool,
}

/// What a packet brought about.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    /// A whole frame that decodes.
    pub(super) is_frame: bool,
    /// A whole frame that does not.
    pub(super) is_undecodable: bool,
    pub(super) violations: Vec<String>,
}

impl Decoder {
    const KEPT: usize = 16;

    /// With `is_perfect`, a frame that does not decode is a violation.
    pub(super) fn new(is_perfect: bool) -> Self {
        Self {
            is_perfect,
            frame: None,
            encoding: None,
            decoded: Vec::new(),
            picture_id: None,
            tl0_pic_idx: None,
            timestamp: None,
            is_patchy: false,
            is_stuck: false,
            after_gap: false,
            after_filler: false,
            behind_hole: 0,
        }
    }

    pub(super) fn allow_loss(&mut self) {
        self.is_perfect = false;
    }

    /// Packets were lost.
    pub(super) fn on_gap(&mut self) {
        self.frame = None;
        self.is_patchy = true;
        self.after_gap = true;
    }

    /// A packet without media has the next number.
    pub(super) fn on_filler(&mut self) {
        self.after_filler = true;
    }

    /// Whether only a keyframe helps.
    pub(super) fn is_stuck(&self) -> bool {
        self.is_stuck
    }

    /// Takes the next packet.
    pub(super) fn on_packet(&mut self, arrival: &Arrival) -> Outcome {
        let mut outcome = Outcome::default();
        let Some(head) = arrival.vp8 else {
            outcome.violations.push("no VP8 descriptor".into());
            return outcome;
        };
        let stamp = &arrival.stamp;
        let name = Name(stamp);
        if head.starts_frame != (stamp.index == 0) || head.temporal != stamp.temporal {
            outcome
                .violations
                .push(format!("{name}: the descriptor was mangled"));
        }
        if arrival.marker != (stamp.index + 1 == stamp.count) {
            outcome
                .violations
                .push(format!("{name}: marker is {}", arrival.marker));
        }
        if stamp.index == 0 {
            // A switch may cut the last frame of the encoding before: its keyframe makes good for it.
            if let Some(cut) = self.frame.take().filter(|_| !stamp.is_key) {
                outcome
                    .violations
                    .push(format!("frame {} has no end", cut.number));
            }
            let is_decodable = self.begin(arrival, head, &mut outcome);
            self.frame = Some(Frame {
                number: stamp.frame,
                encoding: stamp.encoding,
                next_index: 0,
                timestamp: arrival.timestamp,
                picture_id: head.picture_id,
                is_decodable,
            });
        }
        let Some(frame) = &mut self.frame else {
            // The rest of a frame whose beginning was lost.
            if !self.after_gap {
                outcome
                    .violations
                    .push(format!("{name}: begins in its middle"));
            }
            return outcome;
        };
        let is_part = frame.number == stamp.frame
            && frame.encoding == stamp.encoding
            && frame.next_index == stamp.index
            && frame.timestamp == arrival.timestamp
            && frame.picture_id == head.picture_id;
        if !is_part {
            outcome.violations.push(format!(
                "{name}: packet {} does not fit {frame:?}",
                stamp.index
            ));
        }
        frame.next_index += 1;
        if frame.next_index == stamp.count {
            let whole = *frame;
            self.frame = None;
            self.finish(&whole, stamp.temporal, &mut outcome, name);
        }
        outcome
    }

    /// Checks the numbers of a frame at its first packet; says whether it can be decoded.
    fn begin(&mut self, arrival: &Arrival, head: Vp8Head, outcome: &mut Outcome) -> bool {
        let (picture_id, tl0_pic_idx) = (head.picture_id, head.tl0_pic_idx);
        let stamp = &arrival.stamp;
        let name = Name(stamp);
        if self
            .timestamp
            .is_some_and(|before| before == arrival.timestamp)
        {
            outcome
                .violations
                .push(format!("{name}: has the timestamp of the frame before"));
        }
        self.timestamp = Some(arrival.timestamp);
        self.count_pictures(stamp, head.is_sync, picture_id, outcome, name);
        let expected = match stamp.temporal {
            0 => self.tl0_pic_idx.map(|before| before.wrapping_add(1)),
            _ => self.tl0_pic_idx,
        };
        if !self.after_gap && expected.is_some_and(|expected| expected != tl0_pic_idx) {
            outcome
                .violations
                .push(format!("{name}: tl0picidx {tl0_pic_idx}, not {expected:?}"));
        }
        self.tl0_pic_idx = Some(tl0_pic_idx);
        self.after_gap = false;
        if stamp.is_key {
            self.encoding = Some(stamp.encoding);
            self.decoded.clear();
            self.is_patchy = false;
            self.is_stuck = false;
            return true;
        }
        match self.encoding {
            _ if self.is_stuck => false,
            None if self.is_patchy => false,
            None => {
                outcome
                    .violations
                    .push(format!("{name}: the first frame is no keyframe"));
                false
            }
            Some(encoding) if encoding != stamp.encoding && self.is_patchy => false,
            Some(encoding) if encoding != stamp.encoding => {
                outcome
                    .violations
                    .push(format!("{name}: switches without a keyframe"));
                false
            }
            Some(_) => {
                let mut references = stamp.refers_to.iter().flatten();
                let missing = references.find(|frame| !self.decoded.contains(frame));
                if let Some(missing) = missing.filter(|_| !self.is_patchy) {
                    outcome
                        .violations
                        .push(format!("{name}: refers to frame {missing}"));
                }
                missing.is_none()
            }
        }
    }

    /// Pictures are counted without a gap but for what was lost, and where packets without media stand for one that
    /// was left out late. Browsers hold a picture of an upper layer back until all are there that may lie between
    /// it and what it refers to: it must not follow such a one.
    fn count_pictures(
        &mut self,
        stamp: &Stamp,
        is_sync: bool,
        picture_id: u16,
        outcome: &mut Outcome,
        name: Name<'_>,
    ) {
        let expected = self.picture_id.replace(picture_id);
        let expected = expected.map(|before| (before + 1) & 0x7fff);
        let is_next = expected.is_none_or(|expected| expected == picture_id);
        let is_filled = std::mem::take(&mut self.after_filler);
        if !is_next && !self.after_gap && !is_filled {
            outcome
                .violations
                .push(format!("{name}: picture id {picture_id}, not {expected:?}"));
        }
        if !is_next && is_filled && !self.after_gap {
            self.behind_hole = u8::MAX;
        }
        if stamp.is_key || self.after_gap {
            self.behind_hole = 0;
        }
        let layers = (2_u8 << stamp.temporal) - 1;
        if !stamp.is_key && !is_sync && stamp.temporal > 0 && self.behind_hole & layers != 0 {
            outcome
                .violations
                .push(format!("{name}: waits for a picture that never comes"));
        }
        self.behind_hole &= !(1 << stamp.temporal);
    }

    fn finish(&mut self, frame: &Frame, temporal: u8, outcome: &mut Outcome, name: Name<'_>) {
        if !frame.is_decodable {
            outcome.is_undecodable = true;
            self.is_stuck |= temporal == 0;
            if self.is_perfect && outcome.violations.is_empty() {
                outcome.violations.push(format!("{name}: can't be decoded"));
            }
            return;
        }
        outcome.is_frame = true;
        self.decoded.push(frame.number);
        if self.decoded.len() > Self::KEPT {
            self.decoded.remove(0);
        }
    }
}
