//! The payload descriptor of VP9 (RFC 9628), with the part of the scalability structure that tells how
//! many spatial layers there are and how large.

use super::{
    descriptor::PictureId,
    frame::{Frame, GRID, References, Targets, bit, grid_target},
};

/// The payload descriptor of VP9.
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
    /// Predicted from the spatial layer below, in the same picture.
    pub inter_layer: bool,
    /// No higher spatial layer of the picture is predicted from this one.
    pub ends_prediction: bool,
    /// The first packet of a layer frame.
    pub starts_frame: bool,
    /// The last packet of a layer frame.
    pub ends_frame: bool,
    /// Layer indices are given at all.
    pub has_layers: bool,
    /// The spatial layers, where the packet tells of them.
    pub layers: Option<Vp9Layers>,
    tl0_offset: u8,
}

/// The spatial layers of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Vp9Layers {
    /// The highest spatial id.
    pub(crate) top: u8,
    /// Width and height by spatial id; zeros when not told.
    pub(crate) sizes: [(u16, u16); 8],
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
        let is_flexible = required & 0x10 != 0;
        let mut layer = 0;
        let mut tl0 = None;
        if required & 0x20 != 0 {
            layer = *payload.get(at)?;
            at += 1;
            if !is_flexible {
                tl0 = Some((*payload.get(at)?, u8::try_from(at).ok()?));
                at += 1;
            }
        }
        let inter_picture = required & 0x40 != 0;
        if inter_picture && is_flexible {
            const REFERENCES_MAX: usize = 3;
            for _ in 0..REFERENCES_MAX {
                let reference = *payload.get(at)?;
                at += 1;
                if reference & 1 == 0 {
                    break;
                }
            }
        }
        let mut layers = None;
        if required & 0x02 != 0 {
            let (told, length) = Vp9Layers::parse(payload.get(at..)?)?;
            layers = Some(told);
            at += length;
        }
        // A descriptor with no picture behind it is no packet of a frame.
        payload.get(at)?;
        Some(Self {
            picture_id,
            tl0_pic_idx: tl0.map(|(value, _)| value),
            temporal: layer >> 5,
            spatial: layer >> 1 & 0x07,
            switching_up: layer & 0x10 != 0,
            inter_picture,
            inter_layer: layer & 0x01 != 0,
            ends_prediction: required & 0x01 != 0,
            starts_frame: required & 0x08 != 0,
            ends_frame: required & 0x04 != 0,
            has_layers: required & 0x20 != 0,
            layers,
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

    /// The frame of the packet, in a stream of which the highest spatial layer is known or not.
    pub(crate) fn frame(&self, top: Option<u8>) -> Frame {
        let (spatial, temporal) = (self.spatial.min(GRID - 1), self.temporal.min(GRID - 1));
        let mut serves = 0;
        for target in 0..GRID * GRID {
            let (s, t) = (target / GRID, target % GRID);
            let s = top.map_or(s, |top| s.min(top));
            // Without the number of layers nobody knows whose picture ends here.
            let is_needed = s == spatial || s > spatial && !(self.ends_prediction && top.is_some());
            if is_needed && t >= temporal {
                serves |= bit(target);
            }
        }
        let rows = if top.is_some() {
            spatial..spatial + 1
        } else {
            spatial..GRID
        };
        let from = |t: u8| {
            let cells = rows.clone().flat_map(|s| (t..GRID).map(move |t| (s, t)));
            cells.fold(0, |mask, (s, t)| mask | bit(grid_target(s, t)))
        };
        let switches = match (self.inter_picture, self.switching_up) {
            (false, _) => from(0),
            (true, true) => from(temporal),
            (true, false) => 0,
        };
        let own = bit(grid_target(spatial, temporal));
        Frame {
            spatial,
            temporal,
            starts: self.starts_frame,
            ends: self.ends_frame,
            restarts: self.starts_keyframe(),
            serves,
            switches,
            breaks: serves,
            references: References::Targets {
                needs: if self.inter_picture { own } else { 0 },
                on_lower: self.inter_layer && spatial > 0,
            },
            targets: Targets::Grid { top },
            mask: None,
        }
    }
}

impl Vp9Layers {
    /// Reads a scalability structure; also returns its length.
    fn parse(bytes: &[u8]) -> Option<(Self, usize)> {
        let head = *bytes.first()?;
        let mut at = 1;
        let mut layers = Self {
            top: head >> 5,
            sizes: [(0, 0); 8],
        };
        if head & 0x10 != 0 {
            for size in layers.sizes.iter_mut().take(usize::from(layers.top) + 1) {
                let &[a, b, c, d] = bytes.get(at..)?.first_chunk::<4>()?;
                *size = (u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d]));
                at += 4;
            }
        }
        if head & 0x08 != 0 {
            let pictures = *bytes.get(at)?;
            at += 1;
            for _ in 0..pictures {
                let references = *bytes.get(at)? >> 2 & 0x03;
                at += 1 + usize::from(references);
            }
        }
        (at <= bytes.len()).then_some((layers, at))
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
