//! What a payload says about its frame before the coded bits: VP8 (RFC 7741), VP9, or nothing we
//! read.
//!
//! Must not look behind the payload descriptor: with end-to-end encryption the rest is opaque.

use str0m::rtp::Vp8Descriptor;

use super::vp9::Vp9;

/// The payload descriptor of a packet.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Descriptor {
    /// VP8.
    Vp8(Vp8),
    /// VP9.
    Vp9(Vp9),
    /// A codec without a descriptor we use, or a malformed payload.
    Opaque,
}

impl Descriptor {
    /// The temporal layer of the frame, 0 where none is given.
    pub(crate) fn temporal(&self) -> u8 {
        match self {
            Self::Vp8(vp8) => vp8.temporal,
            Self::Vp9(vp9) => vp9.temporal,
            Self::Opaque => 0,
        }
    }
}

/// A frame number of 7 or 15 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PictureId {
    /// As it stands in the packet.
    pub value: u16,
    /// Whether the field has 15 bits, else 7.
    pub is_15_bit: bool,
}

impl PictureId {
    /// The bits of the field.
    pub(crate) fn mask(self) -> u16 {
        if self.is_15_bit { 0x7fff } else { 0x7f }
    }

    /// How far `self` is ahead of `earlier`, as the nearest reading of the wrapping numbers.
    pub(crate) fn distance(self, earlier: u16) -> i32 {
        let modulus = i32::from(self.mask()) + 1;
        let ahead = i32::from(self.value.wrapping_sub(earlier) & self.mask());
        if ahead >= modulus / 2 {
            ahead - modulus
        } else {
            ahead
        }
    }
}

/// The payload descriptor of VP8.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Vp8 {
    /// The parse a patch of the packet is built from.
    pub raw: Vp8Descriptor,
    /// Number of the frame.
    pub picture_id: Option<PictureId>,
    /// Running number of the base layer frames.
    pub tl0_pic_idx: Option<u8>,
    /// Running number of the keyframes, 5 bits.
    pub key_idx: Option<u8>,
    /// Temporal layer, 0 where none is given.
    pub temporal: u8,
    /// The frame refers to base layer frames only: its layer can be joined here.
    pub layer_sync: bool,
    /// No other frame refers to this one.
    pub non_reference: bool,
}

impl Vp8 {
    /// Reads a payload; `None` when it is malformed.
    pub(crate) fn parse(payload: &[u8]) -> Option<Self> {
        let raw = Vp8Descriptor::parse(payload).ok()?;
        let required = *payload.first()?;
        let mut vp8 = Self {
            raw,
            picture_id: None,
            tl0_pic_idx: raw.tl0_pic_idx(),
            key_idx: raw.key_idx(),
            temporal: 0,
            layer_sync: false,
            non_reference: required & 0x20 != 0,
        };
        if required & 0x80 == 0 {
            return Some(vp8);
        }
        let extension = *payload.get(1)?;
        let mut layer_at = 2;
        if extension & 0x80 != 0 {
            let is_15_bit = payload.get(2)? & 0x80 != 0;
            vp8.picture_id = raw.picture_id().map(|value| PictureId { value, is_15_bit });
            layer_at += if is_15_bit { 2 } else { 1 };
        }
        if extension & 0x40 != 0 {
            layer_at += 1;
        }
        if extension & 0x20 != 0 {
            let layer = *payload.get(layer_at)?;
            vp8.temporal = layer >> 6;
            vp8.layer_sync = layer & 0x20 != 0;
        }
        Some(vp8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_vp8_descriptors() {
        let id = |value, is_15_bit| Some(PictureId { value, is_15_bit });
        // payload, picture id, base layer and key index, temporal layer, sync, non-reference
        let table: [(&[u8], _, _, _); 6] = [
            (&[0x10, 0], None, (None, None), (0, false, false)),
            (&[0x01, 0], None, (None, None), (0, false, false)),
            (
                &[0xb0, 0x80, 0x11, 0],
                id(0x11, false),
                (None, None),
                (0, false, true),
            ),
            (
                &[0x90, 0x80, 0x92, 0x34, 0],
                id(0x1234, true),
                (None, None),
                (0, false, false),
            ),
            (
                &[0x90, 0xf0, 0x80, 0x07, 0x2a, 0xbf, 0],
                id(7, true),
                (Some(0x2a), Some(0x1f)),
                (2, true, false),
            ),
            (
                &[0x90, 0x20, 0x40, 0],
                None,
                (None, None),
                (1, false, false),
            ),
        ];
        for (payload, picture_id, indexes, layer) in table {
            let vp8 = Vp8::parse(payload).unwrap();
            assert_eq!(vp8.picture_id, picture_id, "{payload:x?}");
            assert_eq!((vp8.tl0_pic_idx, vp8.key_idx), indexes, "{payload:x?}");
            let read = (vp8.temporal, vp8.layer_sync, vp8.non_reference);
            assert_eq!(read, layer, "{payload:x?}");
        }
        // Empty, cut off at each field, nothing after the descriptor, and TL0PICIDX without a
        // layer.
        let malformed: [&[u8]; 7] = [
            &[],
            &[0x90],
            &[0x90, 0x80],
            &[0x90, 0x80, 0x81],
            &[0x90, 0xe0, 1, 2],
            &[0x10],
            &[0x90, 0x40, 1, 0],
        ];
        for payload in malformed {
            assert!(Vp8::parse(payload).is_none(), "{payload:x?}");
        }
    }

    #[test]
    fn picture_ids_wrap_at_their_width() {
        for (value, is_15_bit, earlier, distance) in [
            (5, true, 3, 2),
            (3, true, 5, -2),
            (0, true, 0x7fff, 1),
            (0x7fff, true, 0, -1),
            (0, false, 0x7f, 1),
            (0x7f, false, 0, -1),
        ] {
            assert_eq!(PictureId { value, is_15_bit }.distance(earlier), distance);
        }
    }
}
