//! Frames from packets: which are whole, and which of these a decoder could decode.
//!
//! Owns the last frames of one stream, ordered by RTP timestamp. A frame is decodable when it is
//! whole and what it rests on was: exactly known from stamps, else from temporal layers and picture
//! ids, else assumed to be the frame before. A frame that becomes whole late, by reordering or
//! retransmission, is decodable as long as it is among the last [`KEPT`]. Must not know time.

use std::collections::VecDeque;

use super::descriptor::{Order, Part};
use super::missing::{Edge, Rhythm, layer_of};

/// Frames kept: 0.8 s at 30 frames per second.
const KEPT: usize = 24;
/// A timestamp further back than this (10 s at 90 kHz) is another timeline, not an old frame.
const LARGEST_STEP_BACK: i32 = -900_000;
/// More frames than this were not lost in one gap: the numbers started anew.
const LARGEST_GAP: u16 = 600;

/// One packet's place in the stream.
#[derive(Debug, Clone, Copy)]
pub(super) struct Position {
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
    pub(super) marker: bool,
    /// Index in the frame and number of packets of the frame, from a stamp.
    pub(super) of_frame: Option<(u16, u16)>,
}

/// A frame became decodable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Decoded {
    /// Whether it is newer than all decodable ones before, so that a player would show it.
    pub(super) is_newest: bool,
    /// As in [`Part::format`].
    pub(super) format: u32,
}

/// Frames of the window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) expected: u64,
    pub(super) complete: u64,
    /// Of these, how many were whole only after a newer one was.
    pub(super) late: u64,
    /// Of these, how many came wholly once more.
    pub(super) duplicated: u64,
    pub(super) decodable: u64,
    pub(super) keyframes: u64,
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    timestamp: u32,
    /// Lowest and highest number that came.
    low: u16,
    high: u16,
    /// Number of the first and of the last packet, as far as known.
    start: Option<u16>,
    end: Option<u16>,
    /// Padding that followed the last packet directly.
    padding: u16,
    /// Packets that came.
    got: u16,
    /// Packets that came once more.
    again: u16,
    /// Whether a newer one was whole before it was.
    is_late: bool,
    format: u32,
    order: Order,
    is_keyframe: bool,
    is_decoded: bool,
    /// Whether it belongs to the window.
    counts: bool,
}

impl Frame {
    /// The number after which the next frame starts, if nothing is missing in between.
    fn tail(&self) -> u16 {
        self.end.unwrap_or(self.high).wrapping_add(self.padding)
    }

    fn edge(&self) -> Edge {
        Edge {
            order: self.order,
            timestamp: self.timestamp,
        }
    }

    fn add(&mut self, position: &Position, part: &Part) {
        let sequence = position.sequence;
        if is_before(sequence, self.low) {
            self.low = sequence;
        }
        if is_before(self.high, sequence) {
            self.high = sequence;
        }
        self.got += 1;
        match position.of_frame {
            Some((index, count)) => {
                let start = sequence.wrapping_sub(index);
                self.start = Some(start);
                self.end = Some(start.wrapping_add(count.saturating_sub(1)));
            }
            None => {
                if part.is_start {
                    self.start = Some(sequence);
                }
                if position.marker {
                    self.end = Some(sequence);
                }
            }
        }
        self.is_keyframe |= part.is_keyframe;
        if part.format != 0 {
            self.format = part.format;
        }
        if part.is_start {
            self.order = part.order;
        }
    }

    fn is_complete(&self, before: Option<&Self>) -> bool {
        let Some(end) = self.end else { return false };
        // Codecs that do not mark the start: it is where the frame before ended.
        let follows = || {
            before
                .is_some_and(|frame| self.follows(frame))
                .then_some(self.low)
        };
        self.start
            .or_else(follows)
            .is_some_and(|start| end.wrapping_sub(start).wrapping_add(1) == self.got)
    }

    /// Whether no packet is missing between the end of `frame` and the first of this one.
    fn follows(&self, frame: &Self) -> bool {
        frame.end.is_some() && frame.tail().wrapping_add(1) == self.start.unwrap_or(self.low)
    }
}

fn is_before(a: u16, b: u16) -> bool {
    (a.wrapping_sub(b) as i16) < 0
}

#[derive(Debug, Clone)]
pub(super) struct Assembler {
    frames: VecDeque<Frame>,
    /// The newest of those no longer kept.
    before: Option<Frame>,
    newest_decoded: Option<u32>,
    rhythm: Rhythm,
    tally: Tally,
}

impl Assembler {
    pub(super) fn new() -> Self {
        Self {
            frames: VecDeque::with_capacity(KEPT),
            before: None,
            newest_decoded: None,
            rhythm: Rhythm::default(),
            tally: Tally::default(),
        }
    }

    /// A packet of media that has not been seen before.
    pub(super) fn on_packet(&mut self, position: &Position, part: &Part) -> Option<Decoded> {
        let index = self.place(position, part)?;
        self.frames[index].add(position, part);
        let mut newer = index + 1..self.frames.len();
        let is_overtaken = newer.any(|at| self.is_whole(at));
        self.frames[index].is_late = is_overtaken && self.is_whole(index);
        self.decode_from(index)
    }

    /// A packet that has been seen before.
    pub(super) fn on_duplicate(&mut self, sequence: u16) {
        let mut newest_first = self.frames.iter_mut().rev();
        if let Some(frame) = newest_first
            .find(|frame| sequence.wrapping_sub(frame.low) <= frame.high.wrapping_sub(frame.low))
        {
            frame.again += 1;
        }
    }

    fn is_whole(&self, at: usize) -> bool {
        let before = at
            .checked_sub(1)
            .map_or(self.before.as_ref(), |index| self.frames.get(index));
        self.frames[at].is_complete(before)
    }

    /// A packet without payload: it takes a number, and belongs to no frame.
    pub(super) fn on_padding(&mut self, sequence: u16) {
        if let Some(frame) = self.frames.back_mut().filter(|frame| frame.end.is_some())
            && frame.tail().wrapping_add(1) == sequence
        {
            frame.padding = frame.padding.wrapping_add(1);
        }
    }

    /// The stream starts anew: nothing that comes rests on what came.
    pub(super) fn restart(&mut self) {
        while !self.frames.is_empty() {
            self.settle_oldest();
        }
        self.before = None;
        self.newest_decoded = None;
    }

    /// Counts from the next frame on; decoding goes on.
    pub(super) fn begin(&mut self) {
        self.tally = Tally::default();
        for frame in &mut self.frames {
            frame.counts = false;
        }
    }

    /// Frames until now. The newest one may still be on its way and counts only if it is whole.
    pub(super) fn tally(&self) -> Tally {
        let mut rest = self.clone();
        while rest.frames.len() > 1 {
            rest.settle_oldest();
        }
        if let Some(newest) = rest.frames.front()
            && newest.is_complete(rest.before.as_ref())
        {
            rest.settle_oldest();
        }
        rest.tally
    }

    /// Index of the packet's frame, made if it is new; none if the frame is too old.
    fn place(&mut self, position: &Position, part: &Part) -> Option<usize> {
        let steps = |frame: &Frame| position.timestamp.wrapping_sub(frame.timestamp) as i32;
        if let Some(newest) = self.frames.back() {
            match steps(newest) {
                0 => return Some(self.frames.len() - 1),
                ..=LARGEST_STEP_BACK => self.restart(),
                _ => {}
            }
        }
        let mut index = self.frames.len();
        while index > 0 {
            match steps(&self.frames[index - 1]) {
                0 => return Some(index - 1),
                1.. => break,
                _ => index -= 1,
            }
        }
        // Already settled, or older than the first one kept when nothing more can be kept.
        if self.before.as_ref().is_some_and(|frame| steps(frame) <= 0) {
            return None;
        }
        if self.frames.len() == KEPT {
            if index == 0 {
                return None;
            }
            self.settle_oldest();
            index -= 1;
        }
        // A frame that came wholly after a newer one belongs to the window if that one does.
        let counts = self.frames.get(index).is_none_or(|newer| newer.counts);
        let frame = Frame {
            timestamp: position.timestamp,
            low: position.sequence,
            high: position.sequence,
            start: None,
            end: None,
            padding: 0,
            got: 0,
            again: 0,
            is_late: false,
            format: 0,
            order: part.order,
            is_keyframe: false,
            is_decoded: false,
            counts,
        };
        self.frames.insert(index, frame);
        Some(index)
    }

    /// Decodes what can be from `index` on. Later frames wait for earlier ones only.
    fn decode_from(&mut self, index: usize) -> Option<Decoded> {
        let mut decoded = None;
        for at in index..self.frames.len() {
            if self.frames[at].is_decoded || !self.is_decodable(at) {
                continue;
            }
            let frame = &mut self.frames[at];
            frame.is_decoded = true;
            let is_newest = self
                .newest_decoded
                .is_none_or(|newest| frame.timestamp.wrapping_sub(newest) as i32 > 0);
            if is_newest {
                self.newest_decoded = Some(frame.timestamp);
            }
            decoded = Some(Decoded {
                is_newest,
                format: frame.format,
            });
        }
        decoded
    }

    fn is_decodable(&self, at: usize) -> bool {
        if !self.is_whole(at) {
            return false;
        }
        let frame = &self.frames[at];
        let before = at
            .checked_sub(1)
            .map_or(self.before.as_ref(), |index| self.frames.get(index));
        if frame.is_keyframe {
            return true;
        }
        let earlier = || self.frames.range(..at).rev().chain(&self.before);
        match frame.order {
            Order::Stamped { frame: number, encoding, reference, .. } => {
                let needed = number.wrapping_sub(u32::from(reference));
                earlier().any(|frame| {
                    frame.is_decoded
                        && matches!(frame.order, Order::Stamped { frame: number, encoding: of, .. }
                            if number == needed && of == encoding)
                })
            }
            Order::Layered { base, temporal, is_sync, .. } => {
                let needed = if temporal == 0 { base.wrapping_sub(1) } else { base };
                let has_base = earlier().any(|frame| frame.is_decoded && is_base(frame, needed));
                let below = || {
                    earlier().find(|frame| {
                        matches!(frame.order, Order::Layered { temporal: of, .. } if of < temporal)
                    })
                };
                has_base
                    && (temporal == 0 || is_sync || below().is_some_and(|frame| frame.is_decoded))
            }
            Order::Referring { picture, back } => back.iter().filter(|by| **by > 0).all(|by| {
                let needed = picture.wrapping_sub(u16::from(*by)) & 0x7FFF;
                earlier().any(|frame| {
                    frame.is_decoded
                        && matches!(frame.order, Order::Referring { picture, .. } if picture == needed)
                })
            }),
            Order::Chained { .. } => {
                before.is_some_and(|frame| frame.is_decoded) && before.is_some_and(|b| frame.follows(b))
            }
        }
    }

    /// Lets the oldest frame go and counts it, with those missing before it.
    fn settle_oldest(&mut self) {
        let Some(frame) = self.frames.pop_front() else {
            return;
        };
        let before = self.before.replace(frame);
        let spacing = before
            .as_ref()
            .filter(|before| frame.follows(before))
            .map(|before| frame.timestamp.wrapping_sub(before.timestamp));
        self.rhythm.on_frame(&frame.order, spacing);
        if !frame.counts {
            return;
        }
        let missing = before
            .as_ref()
            .map_or(0, |before| self.missing_between(before, &frame));
        let tally = &mut self.tally;
        tally.expected += 1 + missing;
        let is_complete = frame.is_complete(before.as_ref());
        tally.complete += u64::from(is_complete);
        tally.late += u64::from(is_complete && frame.is_late);
        tally.duplicated += u64::from(is_complete && frame.again >= frame.got);
        tally.decodable += u64::from(frame.is_decoded);
        tally.keyframes += u64::from(frame.is_keyframe);
    }

    /// Frames of which no packet came, between two that followed. Numbers without a gap mean that
    /// nothing was sent there: layers left out, or a publisher that paused.
    fn missing_between(&self, a: &Frame, b: &Frame) -> u64 {
        let packets = b
            .start
            .unwrap_or(b.low)
            .wrapping_sub(a.tail())
            .wrapping_sub(1);
        if packets == 0 || packets > LARGEST_GAP {
            return 0;
        }
        let ahead = self
            .frames
            .iter()
            .map(|frame| layer_of(&frame.order))
            .max()
            .unwrap_or(0);
        self.rhythm.missing(&a.edge(), &b.edge(), packets, ahead)
    }
}

fn is_base(frame: &Frame, index: u8) -> bool {
    matches!(frame.order, Order::Layered { base, temporal: 0, .. } if base == index)
}
