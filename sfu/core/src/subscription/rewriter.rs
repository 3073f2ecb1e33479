//! Makes one RTP stream of many: sequence numbers, timestamps and frame numbers go on across switches,
//! drops and pauses (RFC 3550, RFC 7741, RFC 9628).
//!
//! Must not choose what is forwarded. An output number is used once, and numbers only leave a gap
//! where the input lost something.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::numbering::{Numbering, Unplaced};
use crate::{
    rtp::{
        Codec, DependencyDescriptor, Descriptor, ExtensionValues, Packet, PictureId, Vp8, Vp8Patch,
        Vp9,
    },
    track::SenderClock,
};

/// What differs between a packet as it came and as it goes to one subscriber.
#[derive(Debug, Clone)]
pub(crate) struct Rewritten {
    /// Extended sequence number; the first is below 32,768.
    pub sequence: u64,
    /// In ticks of the codec's clock.
    pub timestamp: u32,
    /// The marker bit.
    pub marker: bool,
    /// Changes to the VP8 payload descriptor.
    pub vp8: Option<Vp8Patch>,
    /// Replaces the payload (VP9).
    pub payload: Option<Arc<[u8]>>,
    /// Replaces the dependency descriptor among the header extensions.
    pub dependencies: Option<DependencyDescriptor>,
}

impl Rewritten {
    /// The header extensions to send: the packet's own, with what was replaced.
    pub(crate) fn extensions(&self, packet: &Packet) -> ExtensionValues {
        let mut extensions = packet.extensions.clone();
        if let Some(dependencies) = &self.dependencies {
            extensions.user_values.set(dependencies.clone());
        }
        extensions
    }
}

/// Numbers the packets one subscriber gets of one track.
#[derive(Debug, Clone)]
pub(super) struct Rewriter {
    first_timestamp: u32,
    /// After the highest sequence number sent: where a segment would begin. What the one before lost at
    /// its end can't come any more, so it leaves no gap.
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

/// The newest frame numbers sent, each as far as any codec needed it.
#[derive(Debug, Clone, Copy, Default)]
struct FrameNumbers {
    picture_id: Option<u16>,
    tl0_pic_idx: Option<u8>,
    key_idx: Option<u8>,
    dependency_frame: Option<u16>,
}

/// An unbroken stretch of one encoding: what is added to its numbers.
#[derive(Debug, Clone)]
struct Segment {
    encoding: u8,
    codec: Codec,
    sequences: Numbering<16>,
    timestamp: u32,
    /// VP8 counts frames, so a frame left out must leave no gap. VP9 and the dependency descriptor
    /// refer to frames by distance, so theirs must stay.
    pictures: Option<Numbering<2>>,
    picture_id: u16,
    tl0_pic_idx: u8,
    key_idx: u8,
    dependency_frame: u16,
}

impl Rewriter {
    /// How far a timestamp may be from what the arrival times say, before they are believed instead.
    const TOLERANCE: Duration = Duration::from_secs(2);

    /// Extended picture ids begin here, so that older ones have room below.
    const PICTURE_BASE: u64 = 1 << 32;

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
        let frames = self.frames;
        let mut segment = Segment {
            encoding,
            codec: packet.codec,
            sequences: Numbering::start(packet.sequence, self.next_sequence),
            timestamp: output_timestamp.wrapping_sub(packet.timestamp),
            pictures: None,
            picture_id: 0,
            tl0_pic_idx: 0,
            key_idx: 0,
            dependency_frame: 0,
        };
        match &packet.descriptor {
            Descriptor::Vp8(vp8) => {
                segment.pictures = vp8
                    .picture_id
                    .map(|id| start_pictures(id, frames.picture_id));
                segment.tl0_pic_idx = follow_u8(vp8.tl0_pic_idx, frames.tl0_pic_idx);
                segment.key_idx = follow_u8(vp8.key_idx, frames.key_idx) & KEY_IDX_MASK;
            }
            Descriptor::Vp9(vp9) => {
                segment.picture_id =
                    follow_u16(vp9.picture_id.map(|id| id.value), frames.picture_id);
                segment.tl0_pic_idx = follow_u8(vp9.tl0_pic_idx, frames.tl0_pic_idx);
            }
            Descriptor::Opaque => {}
        }
        let dependency_frame = packet
            .dependency_descriptor()
            .and_then(DependencyDescriptor::frame_number);
        segment.dependency_frame = follow_u16(dependency_frame, frames.dependency_frame);
        let sequence = self.next_sequence;
        self.segment = Some(segment);
        self.number(packet, sequence)
    }

    /// Numbers a packet of the segment under way.
    pub(super) fn forward(&mut self, packet: &Packet) -> Result<Rewritten, Unplaced> {
        let segment = self.segment.as_mut().ok_or(Unplaced::TooOld)?;
        let sequence = segment.sequences.forward(packet.sequence)?;
        Ok(self.number(packet, sequence))
    }

    /// Leaves out a packet of the segment under way without a trace.
    pub(super) fn drop(&mut self, packet: &Packet) {
        let Some(segment) = &mut self.segment else {
            return;
        };
        segment.sequences.drop(packet.sequence);
        if let (
            Descriptor::Vp8(Vp8 {
                picture_id: Some(id),
                ..
            }),
            Some(pictures),
        ) = (&packet.descriptor, &mut segment.pictures)
        {
            pictures.drop(extend(pictures, *id));
        }
    }

    /// The output timestamp of the packet that begins a segment: strictly after all before it, and as
    /// much later as it was captured later.
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
            vp8: None,
            payload: None,
            dependencies: None,
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
        match &packet.descriptor {
            Descriptor::Vp8(vp8) => rewritten.vp8 = segment.patch_vp8(vp8, &mut self.frames),
            Descriptor::Vp9(vp9) => {
                rewritten.payload = segment.renumber_vp9(vp9, &packet.payload, &mut self.frames);
            }
            Descriptor::Opaque => {}
        }
        if let Some(dependencies) = packet.dependency_descriptor() {
            if let Some(number) = dependencies.frame_number() {
                let output = number.wrapping_add(segment.dependency_frame);
                keep_newest_u16(&mut self.frames.dependency_frame, output, u16::MAX);
            }
            if segment.dependency_frame != 0 {
                rewritten.dependencies = dependencies.renumber(segment.dependency_frame);
            }
        }
        rewritten
    }
}

impl Segment {
    fn patch_vp8(&mut self, vp8: &Vp8, frames: &mut FrameNumbers) -> Option<Vp8Patch> {
        let mut builder = vp8.raw.patch();
        let mut changes = false;
        if let Some(id) = vp8.picture_id {
            let pictures = self
                .pictures
                .get_or_insert_with(|| start_pictures(id, frames.picture_id));
            let input = extend(pictures, id);
            let output = pictures.repeatable(input).unwrap_or_else(|_| {
                // Numbers that make no sense: keep their distance to the newest.
                pictures
                    .next()
                    .wrapping_add(input)
                    .wrapping_sub(pictures.highest() + 1)
            });
            frames.picture_id = Some(low_bits(pictures.next().wrapping_sub(1)));
            let output = low_bits(output) & id.mask();
            if output != id.value {
                builder = builder.picture_id(output);
                changes = true;
            }
        }
        if let Some(tl0) = vp8.tl0_pic_idx {
            let output = tl0.wrapping_add(self.tl0_pic_idx);
            keep_newest_u8(&mut frames.tl0_pic_idx, output, u8::MAX);
            if self.tl0_pic_idx != 0 {
                builder = builder.tl0_pic_idx(output);
                changes = true;
            }
        }
        if let Some(key) = vp8.key_idx {
            let output = key.wrapping_add(self.key_idx) & KEY_IDX_MASK;
            keep_newest_u8(&mut frames.key_idx, output, KEY_IDX_MASK);
            if self.key_idx != 0 {
                builder = builder.key_idx(output);
                changes = true;
            }
        }
        // Only fields that are there are changed, to values that fit: building cannot fail.
        if changes { builder.build().ok() } else { None }
    }

    fn renumber_vp9(
        &self,
        vp9: &Vp9,
        payload: &[u8],
        frames: &mut FrameNumbers,
    ) -> Option<Arc<[u8]>> {
        if let Some(id) = vp9.picture_id {
            let output = id.value.wrapping_add(self.picture_id) & id.mask();
            keep_newest_u16(&mut frames.picture_id, output, id.mask());
        }
        if let Some(tl0) = vp9.tl0_pic_idx {
            keep_newest_u8(
                &mut frames.tl0_pic_idx,
                tl0.wrapping_add(self.tl0_pic_idx),
                u8::MAX,
            );
        }
        vp9.renumber(payload, self.picture_id, self.tl0_pic_idx)
    }
}

const KEY_IDX_MASK: u8 = 0x1f;

/// Picture ids of a segment: following what was sent, or as they come when nothing was.
fn start_pictures(id: PictureId, sent: Option<u16>) -> Numbering<2> {
    let output = sent.map_or(id.value, |sent| sent.wrapping_add(1) & id.mask());
    Numbering::start(
        Rewriter::PICTURE_BASE + u64::from(id.value),
        Rewriter::PICTURE_BASE + u64::from(output),
    )
}

/// The extended number of a picture id, the nearest to the newest.
fn extend(pictures: &Numbering<2>, id: PictureId) -> u64 {
    let highest = pictures.highest();
    let newest = low_bits(highest) & id.mask();
    highest.saturating_add_signed(i64::from(id.distance(newest)))
}

/// The 15 bits of an extended picture id that go into a packet.
fn low_bits(extended: u64) -> u16 {
    (extended & 0x7fff) as u16
}

/// What to add to `first` so that it follows `sent`; nothing where either is absent.
fn follow_u16(first: Option<u16>, sent: Option<u16>) -> u16 {
    first
        .zip(sent)
        .map_or(0, |(first, sent)| sent.wrapping_add(1).wrapping_sub(first))
}

/// The same for a byte.
fn follow_u8(first: Option<u8>, sent: Option<u8>) -> u8 {
    first
        .zip(sent)
        .map_or(0, |(first, sent)| sent.wrapping_add(1).wrapping_sub(first))
}

/// Keeps the newer of two numbers that wrap after `mask`.
fn keep_newest_u16(newest: &mut Option<u16>, number: u16, mask: u16) {
    if newest.is_none_or(|newest| number.wrapping_sub(newest) & mask <= mask / 2) {
        *newest = Some(number);
    }
}

/// The same for a byte.
fn keep_newest_u8(newest: &mut Option<u8>, number: u8, mask: u8) {
    if newest.is_none_or(|newest| number.wrapping_sub(newest) & mask <= mask / 2) {
        *newest = Some(number);
    }
}

/// A span in ticks of a clock, to the nearest.
fn ticks(span: Duration, rate: u32) -> i64 {
    let ticks = (span.as_nanos() * u128::from(rate) + 500_000_000) / 1_000_000_000;
    i64::try_from(ticks).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
