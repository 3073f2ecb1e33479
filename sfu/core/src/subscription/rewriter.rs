//! Makes one RTP stream of many: sequence numbers, timestamps and frame numbers go on across
//! switches, drops and pauses (RFC 3550).
//!
//! Must not choose what is forwarded. An output number is used once, and numbers only leave a gap
//! where the input lost something.

use std::time::{Duration, Instant};

use super::{
    frames::{FrameNumbers, FrameOffsets},
    numbering::{Numbering, Unplaced},
};
use crate::{
    ahead::fetch,
    rtp::{Codec, Packet, Patch, Rewritten},
    track::SenderClock,
};

/// Numbers the packets one subscriber gets of one track.
#[derive(Debug, Clone)]
pub(super) struct Rewriter {
    first_timestamp: u32,
    /// After the highest sequence number sent: where a segment would begin. What the one before
    /// lost at its end can't come any more, so it leaves no gap.
    next_sequence: u64,
    latest: Option<Latest>,
    frames: FrameNumbers,
    segment: Option<Segment>,
}

/// The newest packet sent, in input and output numbers.
#[derive(Debug, Clone, Copy)]
struct Latest {
    encoding: u8,
    rate: u32,
    input: u32,
    output: u32,
    arrival: Instant,
}

/// An unbroken stretch of one encoding: what is added to its numbers.
#[derive(Debug, Clone)]
struct Segment {
    encoding: u8,
    codec: Codec,
    sequences: Numbering<16>,
    timestamp: u32,
    frames: FrameOffsets,
}

impl Rewriter {
    /// How far a timestamp may be from what the arrival times say, before they are believed
    /// instead.
    const TOLERANCE: Duration = Duration::from_secs(2);

    pub(super) fn new(first_sequence: u16, first_timestamp: u32) -> Self {
        Self {
            first_timestamp,
            next_sequence: u64::from(first_sequence),
            latest: None,
            frames: FrameNumbers::default(),
            segment: None,
        }
    }

    /// The encoding and codec of the segment under way.
    pub(super) fn segment(&self) -> Option<(u8, Codec)> {
        self.segment
            .as_ref()
            .map(|segment| (segment.encoding, segment.codec))
    }

    /// Asks for what a next packet will touch.
    pub(super) fn fetch(&self) {
        fetch(&self.next_sequence);
        fetch(&self.latest);
        fetch(&self.segment);
    }

    /// The same of what can only be found once that is there.
    pub(super) fn fetch_deep(&self) {
        if let Some(segment) = &self.segment {
            segment.sequences.fetch();
            segment.frames.fetch();
        }
    }

    /// Whether nothing was numbered yet.
    pub(super) fn is_fresh(&self) -> bool {
        self.latest.is_none()
    }

    /// Ends the segment: what comes late of it is not known any more.
    pub(super) fn end(&mut self) {
        self.segment = None;
    }

    /// Begins a segment with this packet, which follows on what was sent before.
    pub(super) fn begin(
        &mut self,
        encoding: u8,
        packet: &Packet,
        clocks: &[Option<SenderClock>],
    ) -> Rewritten {
        self.end();
        let output_timestamp = self.align(encoding, packet, clocks);
        self.segment = Some(Segment {
            encoding,
            codec: packet.codec,
            sequences: Numbering::start(packet.sequence, self.next_sequence),
            timestamp: output_timestamp.wrapping_sub(packet.timestamp),
            frames: FrameOffsets::following(&self.frames, packet),
        });
        let sequence = self.next_sequence;
        self.number(packet, sequence)
    }

    /// Numbers a packet of the segment under way.
    pub(super) fn forward(&mut self, packet: &Packet) -> Result<Rewritten, Unplaced> {
        let segment = self.segment.as_mut().ok_or(Unplaced::TooOld)?;
        let sequence = segment.sequences.forward(packet.sequence)?;
        Ok(self.number(packet, sequence))
    }

    /// Leaves out a packet of the segment under way without a trace. One that comes late had its number kept
    /// free: something without media is to go out under it, or the receiver asks for it in vain.
    pub(super) fn drop(&mut self, packet: &Packet) -> Option<Rewritten> {
        let segment = self.segment.as_mut()?;
        segment.frames.drop(packet);
        let sequence = segment.sequences.drop(packet.sequence)?;
        self.next_sequence = self.next_sequence.max(sequence.saturating_add(1));
        Some(Rewritten {
            sequence,
            timestamp: packet.timestamp.wrapping_add(segment.timestamp),
            marker: false,
            patch: Patch::default(),
        })
    }

    /// The output timestamp of the packet that begins a segment: strictly after all before it, and
    /// as much later as it was captured later.
    fn align(&self, encoding: u8, packet: &Packet, clocks: &[Option<SenderClock>]) -> u32 {
        let Some(latest) = self.latest else {
            return self.first_timestamp;
        };
        let rate = packet.codec.clock_rate();
        let elapsed = packet.arrival.saturating_duration_since(latest.arrival);
        let by_arrival = ticks(elapsed, rate);
        let by_capture = if encoding == latest.encoding {
            Some(i64::from(
                packet.timestamp.wrapping_sub(latest.input).cast_signed(),
            ))
        } else {
            let clock = |encoding: u8| clocks.get(usize::from(encoding)).copied().flatten();
            clock(encoding)
                .zip(clock(latest.encoding))
                .map(|(new, old)| {
                    let (new, old) = (new.time_of(packet.timestamp), old.time_of(latest.input));
                    if new >= old {
                        ticks(new - old, rate)
                    } else {
                        -ticks(old - new, rate)
                    }
                })
        };
        let tolerance = ticks(Self::TOLERANCE, rate);
        let advance = by_capture
            .filter(|_| rate == latest.rate)
            .filter(|capture| capture.abs_diff(by_arrival) <= tolerance.unsigned_abs())
            .unwrap_or(by_arrival)
            // A step of more than half the range would read as one back.
            .clamp(1, i64::from(i32::MAX));
        latest
            .output
            .wrapping_add(u32::try_from(advance).unwrap_or(1))
    }

    /// Applies the segment's numbers, and keeps the newest for the segment to come.
    fn number(&mut self, packet: &Packet, sequence: u64) -> Rewritten {
        let mut rewritten = Rewritten {
            sequence,
            timestamp: packet.timestamp,
            marker: packet.marker,
            patch: Patch::default(),
        };
        self.next_sequence = self.next_sequence.max(sequence.saturating_add(1));
        let Some(segment) = &mut self.segment else {
            return rewritten;
        };
        rewritten.timestamp = packet.timestamp.wrapping_add(segment.timestamp);
        let is_newest = self.latest.is_none_or(|latest| {
            rewritten
                .timestamp
                .wrapping_sub(latest.output)
                .cast_signed()
                > 0
        });
        if is_newest {
            self.latest = Some(Latest {
                encoding: segment.encoding,
                rate: packet.codec.clock_rate(),
                input: packet.timestamp,
                output: rewritten.timestamp,
                arrival: packet.arrival,
            });
        }
        rewritten.patch = segment.frames.apply(packet, &mut self.frames);
        rewritten
    }
}

/// A span in ticks of a clock, to the nearest.
fn ticks(span: Duration, rate: u32) -> i64 {
    let ticks = (span.as_nanos() * u128::from(rate) + 500_000_000) / 1_000_000_000;
    i64::try_from(ticks).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
