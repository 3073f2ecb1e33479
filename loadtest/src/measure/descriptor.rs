//! What a payload says of its frame: whether it begins one, whether that is a keyframe, and what the
//! frame rests on. From the stamp where there is one, else from the payload descriptor. Reads only
//! heads; bytes that make no sense yield a part of which nothing is known.
//!
//! RFC 7741 section 4.2 (VP8), RFC 9628 section 4.2 (VP9), RFC 6184 section 5 (H.264), AV1 RTP
//! specification section 4.4.

use crate::media::{Codec, Stamp};

/// How a frame is ordered among others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// Exact, from a stamp.
    Stamped {
        frame: u32,
        encoding: u8,
        temporal: u8,
        layers: u8,
        phase: u8,
        /// Frames back to the one needed; 0: none.
        reference: u8,
    },
    /// VP8 and non-flexible VP9 with temporal layers.
    Layered {
        picture: Option<u16>,
        base: u8,
        temporal: u8,
        is_sync: bool,
    },
    /// Flexible VP9: how many pictures back the ones needed lie; 0: none.
    Referring { picture: u16, back: [u8; 3] },
    /// Nothing known but the order of sending.
    Chained { picture: Option<u16> },
}

/// One payload's share of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Part {
    /// Whether the frame begins here; `false` may also mean that the payload does not tell.
    pub(super) is_start: bool,
    pub(super) is_keyframe: bool,
    /// Names the encoding, or the picture's size or parameter set; 0: not told here.
    pub(super) format: u32,
    pub(super) order: Order,
}

impl Part {
    const UNKNOWN: Self = Self {
        is_start: false,
        is_keyframe: false,
        format: 0,
        order: Order::Chained { picture: None },
    };

    pub(super) fn of_stamp(stamp: &Stamp) -> Self {
        Self {
            is_start: stamp.packet == 0,
            is_keyframe: stamp.reference == 0,
            format: u32::from(stamp.encoding) + 1,
            order: Order::Stamped {
                frame: stamp.frame,
                encoding: stamp.encoding,
                temporal: stamp.temporal,
                layers: stamp.layers,
                phase: stamp.phase,
                reference: stamp.reference,
            },
        }
    }

    pub(super) fn of_payload(codec: Codec, payload: &[u8]) -> Self {
        match codec {
            Codec::Vp8 => vp8(payload),
            Codec::Vp9 => vp9(payload),
            Codec::H264 => Some(h264(payload)),
            Codec::Av1 => av1(payload),
            Codec::Opus => None,
        }
        .unwrap_or(Self::UNKNOWN)
    }
}

/// Reads a descriptor byte by byte.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn pair(&mut self) -> Option<u16> {
        Some(u16::from_be_bytes([self.byte()?, self.byte()?]))
    }

    /// A picture id of 15 bits, or none of use: 7 bits wrap within seconds.
    fn picture(&mut self) -> Option<Option<u16>> {
        let high = self.byte()?;
        if high & 0x80 == 0 {
            return Some(None);
        }
        Some(Some(u16::from_be_bytes([high & 0x7F, self.byte()?])))
    }
}

fn size(width: u16, height: u16) -> u32 {
    u32::from(width) << 16 | u32::from(height)
}

fn vp8(payload: &[u8]) -> Option<Part> {
    let mut reader = Reader(payload);
    let first = reader.byte()?;
    let extension = if first & 0x80 == 0 { 0 } else { reader.byte()? };
    let picture = if extension & 0x80 == 0 {
        None
    } else {
        reader.picture()?
    };
    let base = if extension & 0x40 == 0 {
        None
    } else {
        Some(reader.byte()?)
    };
    let layer = if extension & 0x30 == 0 {
        None
    } else {
        Some(reader.byte()?)
    };
    let order = match (base, layer.filter(|_| extension & 0x20 != 0)) {
        (Some(base), Some(layer)) => Order::Layered {
            picture,
            base,
            temporal: layer >> 6,
            is_sync: layer & 0x20 != 0,
        },
        _ => Order::Chained { picture },
    };
    let is_start = first & 0x17 == 0x10;
    let is_keyframe = is_start && reader.0.first().is_some_and(|tag| tag & 1 == 0);
    let format = match reader.0 {
        [_, _, _, 0x9D, 0x01, 0x2A, w0, w1, h0, h1, ..] if is_keyframe => size(
            u16::from_le_bytes([*w0, *w1]) & 0x3FFF,
            u16::from_le_bytes([*h0, *h1]) & 0x3FFF,
        ),
        _ => 0,
    };
    Some(Part {
        is_start,
        is_keyframe,
        format,
        order,
    })
}

fn vp9(payload: &[u8]) -> Option<Part> {
    let mut reader = Reader(payload);
    let flags = reader.byte()?;
    let has = |bit: u8| flags & bit != 0;
    let (is_inter, is_flexible, begins) = (has(0x40), has(0x10), has(0x08));
    let picture = if has(0x80) { reader.picture()? } else { None };
    let layer = if has(0x20) {
        Some(reader.byte()?)
    } else {
        None
    };
    let spatial = layer.map_or(0, |layer| (layer >> 1) & 7);
    let base = if layer.is_some() && !is_flexible {
        Some(reader.byte()?)
    } else {
        None
    };
    let mut back = [0; 3];
    if is_flexible && is_inter {
        for place in &mut back {
            let byte = reader.byte()?;
            *place = byte >> 1;
            if byte & 1 == 0 {
                break;
            }
        }
    }
    let order = match (layer, base, picture) {
        (_, _, Some(picture)) if is_flexible => Order::Referring { picture, back },
        (Some(layer), Some(base), _) => Order::Layered {
            picture,
            base,
            temporal: layer >> 5,
            is_sync: layer & 0x10 != 0,
        },
        _ => Order::Chained { picture },
    };
    let is_start = begins && spatial == 0;
    let mut format = 0;
    if has(0x02) {
        let structure = reader.byte()?;
        if structure & 0x10 != 0 {
            // The largest layer is the last.
            for _ in 0..=structure >> 5 {
                format = size(reader.pair()?, reader.pair()?);
            }
        }
    }
    Some(Part {
        is_start,
        is_keyframe: is_start && !is_inter,
        format,
        order,
    })
}

fn h264(payload: &[u8]) -> Part {
    const IDR: u8 = 5;
    const SPS: u8 = 7;
    const DELIMITER: u8 = 9;
    let kind = |unit: &[u8]| unit.first().map_or(0, |byte| byte & 0x1F);
    let mut part = Part::UNKNOWN;
    match kind(payload) {
        // STAP-A: units, each after its length.
        24 => {
            let mut rest = &payload[1..];
            while let [high, low, units @ ..] = rest {
                let length = usize::from(u16::from_be_bytes([*high, *low])).min(units.len());
                let (unit, after) = units.split_at(length);
                part.is_keyframe |= matches!(kind(unit), IDR | SPS);
                part.is_start |= matches!(kind(unit), SPS | DELIMITER);
                if kind(unit) == SPS {
                    part.format = fingerprint(unit);
                }
                rest = after;
            }
        }
        // FU-A: the kind is in the second byte.
        28 => part.is_keyframe = payload.get(1).is_some_and(|byte| byte & 0x1F == IDR),
        single => {
            part.is_keyframe = matches!(single, IDR | SPS);
            part.is_start = matches!(single, SPS | DELIMITER);
            if single == SPS {
                part.format = fingerprint(payload);
            }
        }
    }
    part
}

fn av1(payload: &[u8]) -> Option<Part> {
    let mut reader = Reader(payload);
    let aggregation = reader.byte()?;
    let is_keyframe = aggregation & 0x88 == 0x08;
    let mut part = Part {
        is_start: is_keyframe,
        is_keyframe,
        ..Part::UNKNOWN
    };
    // The sequence header is the first element; it goes without a length if it is the only one.
    let is_only = (aggregation >> 4) & 3 == 1;
    if is_keyframe {
        let mut length = reader.0.len();
        if !is_only {
            // LEB128 of one byte suffices for any sequence header.
            length = length.min(usize::from(reader.byte()?));
        }
        let unit = reader.0.get(..length)?;
        if unit.first().is_some_and(|byte| byte >> 3 & 0x0F == 1) {
            part.format = fingerprint(unit);
        }
    }
    Some(part)
}

/// A name for a parameter set, never 0 (FNV-1a).
fn fingerprint(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811C_9DC5u32, |hash, byte| {
        (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    }) | 1
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn descriptors_of_foreign_media_are_read() {
        let plain = Part::UNKNOWN;
        let chained = |picture| Order::Chained { picture };
        let cases: [(&str, Codec, &[u8], Part); 12] = [
            ("empty", Codec::Vp8, &[], plain),
            (
                "VP8, no extension, inter",
                Codec::Vp8,
                &[0x10, 0x01],
                Part {
                    is_start: true,
                    ..plain
                },
            ),
            (
                "VP8 key, 640x480, 7-bit id",
                Codec::Vp8,
                &[
                    0x90, 0x80, 0x11, 0x10, 2, 0, 0x9D, 0x01, 0x2A, 0x80, 0x02, 0xE0, 0x01,
                ],
                Part {
                    is_start: true,
                    is_keyframe: true,
                    format: 640 << 16 | 480,
                    order: chained(None),
                },
            ),
            (
                "VP8, second packet, layer 2",
                Codec::Vp8,
                &[0x80, 0xF0, 0x81, 0x02, 7, 0xA0, 0xFF],
                Part {
                    order: Order::Layered {
                        picture: Some(0x0102),
                        base: 7,
                        temporal: 2,
                        is_sync: true,
                    },
                    ..plain
                },
            ),
            (
                "VP9 flexible, two references",
                Codec::Vp9,
                &[0xD8, 0x80, 0x05, 0x03, 0x04, 0xFF],
                Part {
                    is_start: true,
                    order: Order::Referring {
                        picture: 5,
                        back: [1, 2, 0],
                    },
                    ..plain
                },
            ),
            (
                "VP9 key with two spatial layers",
                Codec::Vp9,
                &[0x8A, 0x80, 0x05, 0x30, 1, 64, 0, 180, 2, 128, 1, 104],
                Part {
                    is_start: true,
                    is_keyframe: true,
                    format: 640 << 16 | 360,
                    order: chained(Some(5)),
                },
            ),
            (
                "VP9, upper spatial layer begins no picture",
                Codec::Vp9,
                &[0xA8, 0x80, 0x05, 0x22, 9],
                Part {
                    order: Order::Layered {
                        picture: Some(5),
                        base: 9,
                        temporal: 1,
                        is_sync: false,
                    },
                    ..plain
                },
            ),
            ("H.264 slice", Codec::H264, &[0x41, 0x9A], plain),
            (
                "H.264 IDR",
                Codec::H264,
                &[0x65, 0x88],
                Part {
                    is_keyframe: true,
                    ..plain
                },
            ),
            (
                "H.264 FU-A of an IDR",
                Codec::H264,
                &[0x7C, 0x05],
                Part {
                    is_keyframe: true,
                    ..plain
                },
            ),
            ("AV1 continued", Codec::Av1, &[0x90, 1, 2], plain),
            (
                "AV1 key",
                Codec::Av1,
                &[0x28, 2, 0x08, 0x55, 0x30, 0x10],
                Part {
                    is_start: true,
                    is_keyframe: true,
                    format: fingerprint(&[0x08, 0x55]),
                    ..plain
                },
            ),
        ];
        for (name, codec, payload, expected) in cases {
            assert_eq!(Part::of_payload(codec, payload), expected, "{name}");
        }
    }

    #[test]
    fn an_aggregate_with_parameter_sets_starts_a_keyframe() {
        let sps = [0x67, 0x42, 0xE0];
        let aggregate = [&[0x78, 0, 3][..], &sps, &[0, 2, 0x68, 0xCE]].concat();
        let part = Part::of_payload(Codec::H264, &aggregate);
        assert!(part.is_start && part.is_keyframe);
        assert_eq!(part.format, fingerprint(&sps));
    }

    proptest! {
        #[test]
        fn no_payload_upsets_the_reader(payload in proptest::collection::vec(any::<u8>(), 0..64)) {
            for codec in Codec::ALL {
                Part::of_payload(codec, &payload);
            }
        }
    }
}
