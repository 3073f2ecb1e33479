//! Frame numbers of a packet as one subscriber is to see them, put into a copy of its payload and of its
//! dependency descriptor (RFC 7741, RFC 9628). Must not choose the numbers.

use std::num::NonZeroU32;

use super::{Descriptor, PictureId};

/// What differs between a packet as it came and as it goes to one subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rewritten {
    /// Extended sequence number; the first is below 32,768.
    pub(crate) sequence: u64,
    /// In ticks of the codec's clock.
    pub(crate) timestamp: u32,
    /// The marker bit.
    pub(crate) marker: bool,
    /// Frame numbers.
    pub(crate) patch: Patch,
}

/// What stands in the descriptors of a packet in place of what the publisher wrote. A field that the
/// packet does not have is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Patch {
    /// Of VP8 and VP9.
    pub(crate) picture_id: Option<u16>,
    /// Of VP8 and VP9.
    pub(crate) tl0_pic_idx: Option<u8>,
    /// Of VP8, 5 bits.
    pub(crate) key_idx: Option<u8>,
    /// Of the dependency descriptor.
    pub(crate) frame_number: Option<u16>,
    /// Decode targets that are active, of the dependency descriptor; its place there is the packet's
    /// [`MaskPlace`](super::MaskPlace).
    pub(crate) active_targets: Option<NonZeroU32>,
}

impl Patch {
    /// Changes the payload descriptor. `descriptor` was read from `payload`.
    pub(crate) fn apply(&self, descriptor: &Descriptor, payload: &mut [u8]) {
        match descriptor {
            Descriptor::Vp8(vp8) => {
                // Required byte, extension byte, then the fields in this order.
                let at = 2;
                let tl0_at = at + self.put_picture_id(vp8.picture_id, payload, at);
                if let (Some(_), Some(tl0)) = (vp8.tl0_pic_idx, self.tl0_pic_idx) {
                    put(payload, tl0_at, tl0);
                }
                if let (Some(_), Some(key)) = (vp8.key_idx, self.key_idx) {
                    let at = tl0_at + usize::from(vp8.tl0_pic_idx.is_some());
                    if let Some(byte) = payload.get_mut(at) {
                        *byte = *byte & 0xe0 | key & 0x1f;
                    }
                }
            }
            Descriptor::Vp9(vp9) => {
                self.put_picture_id(vp9.picture_id, payload, 1);
                if let (Some(_), Some(tl0)) = (vp9.tl0_pic_idx, self.tl0_pic_idx) {
                    put(payload, vp9.tl0_at(), tl0);
                }
            }
            Descriptor::Opaque => {}
        }
    }

    /// Changes a dependency descriptor.
    pub(crate) fn apply_to_dependencies(&self, bytes: &mut [u8]) {
        if let (Some(number), Some(field)) = (self.frame_number, bytes.get_mut(1..3)) {
            field.copy_from_slice(&number.to_be_bytes());
        }
    }

    /// Returns the length of the field.
    fn put_picture_id(&self, found: Option<PictureId>, payload: &mut [u8], at: usize) -> usize {
        let Some(found) = found else { return 0 };
        let width = if found.is_15_bit { 2 } else { 1 };
        if let Some(number) = self.picture_id {
            let [high, low] = (number & found.mask()).to_be_bytes();
            if found.is_15_bit {
                put(payload, at, high | 0x80);
                put(payload, at + 1, low);
            } else {
                put(payload, at, low);
            }
        }
        width
    }
}

fn put(payload: &mut [u8], at: usize, value: u8) {
    if let Some(byte) = payload.get_mut(at) {
        *byte = value;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rtp::{Vp8, Vp9};

    fn patch(picture_id: u16, tl0_pic_idx: u8, key_idx: u8) -> Patch {
        Patch {
            picture_id: Some(picture_id),
            tl0_pic_idx: Some(tl0_pic_idx),
            key_idx: Some(key_idx),
            ..Patch::default()
        }
    }

    #[test]
    fn changes_only_what_is_there() {
        type Case = (bool, &'static [u8], Patch, &'static [u8]);
        let table: [Case; 9] = [
            (
                true,
                &[0x90, 0xf0, 0x80, 0x07, 0x2a, 0xbf, 0],
                patch(0x1234, 5, 3),
                &[0x90, 0xf0, 0x92, 0x34, 5, 0xa3, 0],
            ),
            (
                true,
                &[0xb0, 0x80, 0x11, 0],
                patch(0x1ff, 5, 3),
                &[0xb0, 0x80, 0x7f, 0],
            ),
            (
                true,
                &[0x90, 0x20, 0x40, 0],
                patch(1, 2, 3),
                &[0x90, 0x20, 0x40, 0],
            ),
            (
                true,
                &[0x90, 0x10, 0x41, 0],
                patch(1, 2, 3),
                &[0x90, 0x10, 0x43, 0],
            ),
            (true, &[0x10, 0, 1], patch(1, 2, 3), &[0x10, 0, 1]),
            (
                true,
                &[0x90, 0x80, 0x11, 0],
                Patch::default(),
                &[0x90, 0x80, 0x11, 0],
            ),
            (
                false,
                &[0b1010_1000, 0xff, 0xff, 0b0001_0000, 0xff, 9],
                patch(1, 0, 0),
                &[0b1010_1000, 0x80, 0x01, 0b0001_0000, 0x00, 9],
            ),
            (
                false,
                &[0b1111_1100, 0x05, 0b0010_0000, 0x02, 9],
                patch(4, 7, 0),
                &[0b1111_1100, 0x04, 0b0010_0000, 0x02, 9],
            ),
            (false, &[0x08, 1], patch(4, 7, 0), &[0x08, 1]),
        ];
        for (is_vp8, payload, patch, expected) in table {
            let descriptor = if is_vp8 {
                Descriptor::Vp8(Vp8::parse(payload).unwrap())
            } else {
                Descriptor::Vp9(Vp9::parse(payload).unwrap())
            };
            let mut copy = payload.to_vec();
            patch.apply(&descriptor, &mut copy);
            assert_eq!(copy, expected, "{payload:x?} {patch:?}");
        }
    }

    #[test]
    fn the_frame_number_of_a_dependency_descriptor_moves() {
        let patch = Patch {
            frame_number: Some(0x0102),
            ..Patch::default()
        };
        let mut bytes = [0x80, 0xff, 0xfe, 0x40];
        patch.apply_to_dependencies(&mut bytes);
        assert_eq!(bytes, [0x80, 1, 2, 0x40]);
        Patch::default().apply_to_dependencies(&mut bytes);
        assert_eq!(bytes, [0x80, 1, 2, 0x40]);
        patch.apply_to_dependencies(&mut [7]);
    }

    proptest! {
        /// What is put in is read back, and nothing else changes.
        #[test]
        fn reads_back(
            payload in prop::collection::vec(any::<u8>(), 1..12),
            numbers in any::<(u16, u8, u8)>(),
        ) {
            let patch = patch(numbers.0, numbers.1, numbers.2);
            if let Some(vp8) = Vp8::parse(&payload) {
                let mut copy = payload.clone();
                patch.apply(&Descriptor::Vp8(vp8), &mut copy);
                let after = Vp8::parse(&copy).unwrap();
                prop_assert_eq!(after.temporal, vp8.temporal);
                prop_assert_eq!(after.tl0_pic_idx, vp8.tl0_pic_idx.map(|_| numbers.1));
                prop_assert_eq!(after.key_idx, vp8.key_idx.map(|_| numbers.2 & 0x1f));
                let id = vp8.picture_id.map(|id| numbers.0 & id.mask());
                prop_assert_eq!(after.picture_id.map(|id| id.value), id);
            }
            if let Some(vp9) = Vp9::parse(&payload) {
                let mut copy = payload.clone();
                patch.apply(&Descriptor::Vp9(vp9), &mut copy);
                let after = Vp9::parse(&copy).unwrap();
                prop_assert_eq!(after.tl0_pic_idx, vp9.tl0_pic_idx.map(|_| numbers.1));
                let id = vp9.picture_id.map(|id| numbers.0 & id.mask());
                prop_assert_eq!(after.picture_id.map(|id| id.value), id);
                prop_assert_eq!((after.temporal, after.spatial), (vp9.temporal, vp9.spatial));
            }
        }
    }
}
