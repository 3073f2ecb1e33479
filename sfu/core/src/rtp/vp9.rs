//! The payload descriptor of VP9 (RFC 9628).
//!
//! Must not read the scalability structure: nothing here needs it.

use super::descriptor::PictureId;

/// The payload descriptor of VP9, up to the layer indices.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Vp9 {
    /// Number of the picture; all spatial layers of a picture share it.
    pub picture_id: Option<PictureId>,
    /// Running number of the base layer pictures, absent in flexible mode.
    pub tl0_pic_idx: Option<u8>,
    /// Temporal layer, 0 where none is given.
    pub temporal: u8,
    /// Spatial layer, 0 where none is given.
    pub spatial: u8,
    /// Later pictures of higher temporal layers refer to nothing of those layers before this
    /// picture.
    pub switching_up: bool,
    /// Predicted from an earlier picture: not a keyframe.
    pub inter_picture: bool,
    /// The first packet of a layer frame.
    pub starts_frame: bool,
    /// The last packet of a layer frame.
    pub ends_frame: bool,
    tl0_offset: u8,
}

impl Vp9 {
    /// Reads a payload; `None` when it is malformed.
    pub(crate) fn parse(payload: &[u8]) -> Option<Self> {
        let required = *payload.first()?;
        let mut at = 1;
        let mut picture_id = None;
        if required & 0x80 != 0 {
            let high = *payload.get(at)?;
            at += 1;
            picture_id = Some(if high & 0x80 != 0 {
                let low = *payload.get(at)?;
                at += 1;
                PictureId {
                    value: u16::from_be_bytes([high & 0x7f, low]),
                    is_15_bit: true,
                }
            } else {
                PictureId {
                    value: u16::from(high),
                    is_15_bit: false,
                }
            });
        }
        let mut layer = 0;
        let mut tl0 = None;
        if required & 0x20 != 0 {
            layer = *payload.get(at)?;
            at += 1;
            if required & 0x10 == 0 {
                tl0 = Some((*payload.get(at)?, u8::try_from(at).ok()?));
                at += 1;
            }
        }
        // A descriptor with no picture behind it is no packet of a frame.
        payload.get(at)?;
        Some(Self {
            picture_id,
            tl0_pic_idx: tl0.map(|(value, _)| value),
            temporal: layer >> 5,
            spatial: layer >> 1 & 0x07,
            switching_up: layer & 0x10 != 0,
            inter_picture: required & 0x40 != 0,
            starts_frame: required & 0x08 != 0,
            ends_frame: required & 0x04 != 0,
            tl0_offset: tl0.map_or(0, |(_, offset)| offset),
        })
    }

    /// Whether this packet starts a keyframe: the base spatial layer of a picture that needs no
    /// other.
    pub(crate) fn starts_keyframe(&self) -> bool {
        !self.inter_picture && self.starts_frame && self.spatial == 0
    }

    /// Where the running number of the base layer pictures stands.
    pub(crate) fn tl0_at(&self) -> usize {
        usize::from(self.tl0_offset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &[u8] = &[0b1010_1000, 0xff, 0xff, 0b0001_0000, 0xff, 9];
    const INTER: &[u8] = &[0b1110_1100, 0x81, 0x02, 0b0101_0010, 0x03, 9];
    const FLEXIBLE: &[u8] = &[0b1111_1100, 0x05, 0b0010_0000, 0x02, 9];

    #[test]
    fn reads_descriptors() {
        let id = |value, is_15_bit| Some(PictureId { value, is_15_bit });
        // payload, picture id, tl0, temporal, spatial, up, inter, start, end, keyframe
        let table: [(&[u8], _, _, u8, u8, [bool; 5]); 5] = [
            (
                KEY,
                id(0x7fff, true),
                Some(255),
                0,
                0,
                [true, false, true, false, true],
            ),
            (
                INTER,
                id(0x0102, true),
                Some(3),
                2,
                1,
                [true, true, true, true, false],
            ),
            (
                FLEXIBLE,
                id(5, false),
                None,
                1,
                0,
                [false, true, true, true, false],
            ),
            (
                &[0x08, 1],
                None,
                None,
                0,
                0,
                [false, false, true, false, true],
            ),
            // The key picture's upper spatial layer is no place to start.
            (
                &[0x28, 0x02, 0, 1],
                None,
                Some(0),
                0,
                1,
                [false, false, true, false, false],
            ),
        ];
        for (payload, picture_id, tl0, temporal, spatial, flags) in table {
            let vp9 = Vp9::parse(payload).unwrap();
            assert_eq!(
                (vp9.picture_id, vp9.tl0_pic_idx, vp9.temporal, vp9.spatial),
                (picture_id, tl0, temporal, spatial),
                "{payload:x?}"
            );
            let is = [
                vp9.switching_up,
                vp9.inter_picture,
                vp9.starts_frame,
                vp9.ends_frame,
                vp9.starts_keyframe(),
            ];
            assert_eq!(is, flags, "{payload:x?}");
        }
        for payload in [KEY, INTER] {
            for cut in 0..5 {
                assert_eq!(Vp9::parse(&payload[..cut]), None, "{:x?}", &payload[..cut]);
            }
        }
    }
}
