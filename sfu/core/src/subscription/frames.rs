//! Frame numbers of a subscription: picture ids and their kin go on across switches and drops
//! (RFC 7741, RFC 9628, the dependency descriptor of AV1).
//!
//! Must not know sequence numbers or timestamps.

use super::numbering::Numbering;
use crate::{
    ahead::fetch,
    rtp::{Descriptor, Packet, Patch, PictureId, Vp8, Vp9},
};

/// The newest frame numbers sent.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct FrameNumbers {
    picture_id: Option<u16>,
    tl0_pic_idx: Option<u8>,
    key_idx: Option<u8>,
    dependency_frame: Option<u16>,
}

/// What is added to the frame numbers of one unbroken stretch of an encoding.
#[derive(Debug, Clone)]
pub(super) struct FrameOffsets {
    /// VP8 counts frames, so a frame left out must leave no gap. VP9 and the dependency descriptor
    /// refer to frames by distance, so theirs must stay.
    pictures: Option<Numbering<2>>,
    picture_id: u16,
    tl0_pic_idx: u8,
    key_idx: u8,
    dependency_frame: u16,
}

impl FrameOffsets {
    /// Lets the frame numbers of a stretch that begins with this packet follow those sent before.
    pub(super) fn following(sent: &FrameNumbers, packet: &Packet) -> Self {
        let mut offsets = Self {
            pictures: None,
            picture_id: 0,
            tl0_pic_idx: 0,
            key_idx: 0,
            dependency_frame: 0,
        };
        match &packet.descriptor {
            Descriptor::Vp8(vp8) => {
                offsets.pictures = vp8.picture_id.map(|id| start_pictures(id, sent.picture_id));
                offsets.tl0_pic_idx = follow_u8(vp8.tl0_pic_idx, sent.tl0_pic_idx);
                offsets.key_idx = follow_u8(vp8.key_idx, sent.key_idx) & KEY_IDX_MASK;
            }
            Descriptor::Vp9(vp9) => {
                let first = vp9.picture_id.map(|id| id.value);
                offsets.picture_id = follow_u16(first, sent.picture_id);
                offsets.tl0_pic_idx = follow_u8(vp9.tl0_pic_idx, sent.tl0_pic_idx);
            }
            Descriptor::Opaque => {}
        }
        offsets.dependency_frame = follow_u16(packet.frame_number(), sent.dependency_frame);
        offsets
    }

    /// Asks for what a next packet will touch.
    pub(super) fn fetch(&self) {
        fetch(&self.picture_id);
        if let Some(pictures) = &self.pictures {
            pictures.fetch();
        }
    }

    /// The numbers of a packet's frame as they are sent; keeps the newest.
    pub(super) fn apply(&mut self, packet: &Packet, sent: &mut FrameNumbers) -> Patch {
        let mut patch = match &packet.descriptor {
            Descriptor::Vp8(vp8) => self.number_vp8(vp8, sent),
            Descriptor::Vp9(vp9) => self.number_vp9(vp9, sent),
            Descriptor::Opaque => Patch::default(),
        };
        if let Some(number) = packet.frame_number() {
            let output = number.wrapping_add(self.dependency_frame);
            keep_newest_u16(&mut sent.dependency_frame, output, u16::MAX);
            patch.frame_number = Some(output);
        }
        patch
    }

    /// Leaves out the frame of a packet.
    pub(super) fn drop(&mut self, packet: &Packet) {
        if let (
            Descriptor::Vp8(Vp8 {
                picture_id: Some(id),
                ..
            }),
            Some(pictures),
        ) = (&packet.descriptor, &mut self.pictures)
        {
            // A late picture leaves a gap: no receiver asks for pictures.
            let _ = pictures.drop(extend(pictures, *id));
        }
    }

    fn number_vp8(&mut self, vp8: &Vp8, sent: &mut FrameNumbers) -> Patch {
        let mut patch = Patch::default();
        if let Some(id) = vp8.picture_id {
            let pictures = self
                .pictures
                .get_or_insert_with(|| start_pictures(id, sent.picture_id));
            let input = extend(pictures, id);
            let output = pictures.repeatable(input).unwrap_or_else(|_| {
                // Numbers that make no sense: keep their distance to the newest.
                pictures
                    .next()
                    .wrapping_add(input)
                    .wrapping_sub(pictures.highest() + 1)
            });
            // Not what was kept free for pictures that were left out or did not come: those never do after a switch.
            keep_newest_u16(&mut sent.picture_id, low_bits(output), 0x7fff);
            patch.picture_id = Some(low_bits(output) & id.mask());
        }
        if let Some(tl0) = vp8.tl0_pic_idx {
            let output = tl0.wrapping_add(self.tl0_pic_idx);
            keep_newest_u8(&mut sent.tl0_pic_idx, output, u8::MAX);
            patch.tl0_pic_idx = Some(output);
        }
        if let Some(key) = vp8.key_idx {
            let output = key.wrapping_add(self.key_idx) & KEY_IDX_MASK;
            keep_newest_u8(&mut sent.key_idx, output, KEY_IDX_MASK);
            patch.key_idx = Some(output);
        }
        patch
    }

    fn number_vp9(&self, vp9: &Vp9, sent: &mut FrameNumbers) -> Patch {
        let mut patch = Patch::default();
        if let Some(id) = vp9.picture_id {
            let output = id.value.wrapping_add(self.picture_id) & id.mask();
            keep_newest_u16(&mut sent.picture_id, output, id.mask());
            patch.picture_id = Some(output);
        }
        if let Some(tl0) = vp9.tl0_pic_idx {
            let output = tl0.wrapping_add(self.tl0_pic_idx);
            keep_newest_u8(&mut sent.tl0_pic_idx, output, u8::MAX);
            patch.tl0_pic_idx = Some(output);
        }
        patch
    }
}

const KEY_IDX_MASK: u8 = 0x1f;

/// Extended picture ids begin here, so that older ones have room below.
const PICTURE_BASE: u64 = 1 << 32;

/// Picture ids of a stretch: following what was sent, or as they come when nothing was.
fn start_pictures(id: PictureId, sent: Option<u16>) -> Numbering<2> {
    let output = sent.map_or(id.value, |sent| sent.wrapping_add(1) & id.mask());
    Numbering::start(
        PICTURE_BASE + u64::from(id.value),
        PICTURE_BASE + u64::from(output),
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
