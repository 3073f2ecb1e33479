//! Where a keyframe starts, by the headers of a payload: H.264 (RFC 6184), H.265 (RFC 7798), AV1.
//!
//! Reads unit headers only: with end-to-end encryption what follows is opaque.

use std::ops::RangeInclusive;

use super::Codec;

/// A unit in a payload, or the beginning of one.
struct Begun<'a> {
    kind: u8,
    /// Behind its header.
    slice: &'a [u8],
    /// With its header, unless the payload is a fragment.
    whole: Option<&'a [u8]>,
}

/// What a unit is, or the beginning of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unit<'a> {
    /// It is complete.
    ParameterSet(&'a [u8]),
    /// The first slice of a picture at which decoding can start.
    Keyframe,
    Other,
}

/// What begins in a payload of H.264 or H.265.
pub(super) fn units(codec: Codec, payload: &[u8]) -> impl Iterator<Item = Unit<'_>> {
    const H264_SETS: RangeInclusive<u8> = 7..=8;
    const H265_SETS: RangeInclusive<u8> = 32..=34;
    let (of_h264, of_h265) = match codec {
        Codec::H265 => (&[][..], payload),
        _ => (payload, &[][..]),
    };
    let h264 = h264_units(of_h264).map(|begun| sort(&begun, &H264_SETS, h264_first_slice(&begun)));
    let h265 = h265_units(of_h265).map(|begun| sort(&begun, &H265_SETS, h265_first_slice(&begun)));
    h264.chain(h265)
}

fn sort<'a>(begun: &Begun<'a>, sets: &RangeInclusive<u8>, is_first: bool) -> Unit<'a> {
    match begun.whole {
        Some(whole) if sets.contains(&begun.kind) => Unit::ParameterSet(whole),
        _ if is_first => Unit::Keyframe,
        _ => Unit::Other,
    }
}

/// Whether an H.264 payload starts a keyframe: it carries a sequence parameter set, or the first
/// slice of an instantaneous decoding refresh.
pub(super) fn h264_starts_keyframe(payload: &[u8]) -> bool {
    const SPS: u8 = 7;
    h264_units(payload).any(|begun| begun.kind == SPS || h264_first_slice(&begun))
}

fn h264_units(payload: &[u8]) -> impl Iterator<Item = Begun<'_>> {
    const STAP_A: u8 = 24;
    const FU_A: u8 = 28;
    fn whole(unit: &[u8]) -> Option<Begun<'_>> {
        unit.split_first().map(|(&header, slice)| Begun {
            kind: header & 0x1f,
            slice,
            whole: Some(unit),
        })
    }
    let (kind, rest) = match payload.split_first() {
        Some((&first, rest)) => (first & 0x1f, rest),
        None => (0, payload),
    };
    let (alone, together) = match kind {
        STAP_A => (None, rest),
        FU_A => (fragment(rest, 0x1f), &[][..]),
        _ => (whole(payload), &[][..]),
    };
    alone
        .into_iter()
        .chain(aggregated(together).filter_map(whole))
}

fn h264_first_slice(begun: &Begun<'_>) -> bool {
    const IDR: u8 = 5;
    // `first_mb_in_slice` is 0, coded as one set bit. Later slices of the picture are no place to
    // start.
    begun.kind == IDR && begun.slice.first().is_some_and(|byte| byte & 0x80 != 0)
}

/// Whether an H.265 payload starts a keyframe: it carries a video or sequence parameter set, or the
/// first slice of an intra random access picture.
pub(super) fn h265_starts_keyframe(payload: &[u8]) -> bool {
    const VPS: u8 = 32;
    const SPS: u8 = 33;
    h265_units(payload).any(|b| matches!(b.kind, VPS | SPS) || h265_first_slice(&b))
}

fn h265_units(payload: &[u8]) -> impl Iterator<Item = Begun<'_>> {
    const AGGREGATION: u8 = 48;
    const FRAGMENT: u8 = 49;
    fn whole(unit: &[u8]) -> Option<Begun<'_>> {
        unit.split_first_chunk::<2>()
            .map(|(&[first, _], slice)| Begun {
                kind: first >> 1 & 0x3f,
                slice,
                whole: Some(unit),
            })
    }
    let (kind, rest) = match payload.split_first_chunk::<2>() {
        Some((&[first, _], rest)) => (first >> 1 & 0x3f, rest),
        None => (0, &[][..]),
    };
    let (alone, together) = match kind {
        AGGREGATION => (None, rest),
        FRAGMENT => (fragment(rest, 0x3f), &[][..]),
        _ => (whole(payload), &[][..]),
    };
    alone
        .into_iter()
        .chain(aggregated(together).filter_map(whole))
}

fn h265_first_slice(begun: &Begun<'_>) -> bool {
    // `first_slice_segment_in_pic_flag` leads the slice header.
    matches!(begun.kind, 16..=21) && begun.slice.first().is_some_and(|byte| byte & 0x80 != 0)
}

/// The unit of which a fragment is the first, behind the payload's header.
fn fragment(rest: &[u8], kinds: u8) -> Option<Begun<'_>> {
    let (&header, slice) = rest.split_first()?;
    (header & 0x80 != 0).then_some(Begun {
        kind: header & kinds,
        slice,
        whole: None,
    })
}

/// Whether an AV1 payload is the first of a coded video sequence (the N bit of its aggregation
/// header).
pub(super) fn av1_starts_keyframe(payload: &[u8]) -> bool {
    payload.first().is_some_and(|header| header & 0x08 != 0)
}

/// The units of an aggregation packet, each after a length of two bytes; ends at the first that is
/// cut off.
fn aggregated(mut rest: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (&length, tail) = rest.split_first_chunk::<2>()?;
        let (unit, tail) = tail.split_at_checked(usize::from(u16::from_be_bytes(length)))?;
        rest = tail;
        Some(unit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_h264_keyframes() {
        let table: [(&str, &[u8], bool); 14] = [
            ("empty", &[], false),
            ("slice of another picture", &[0x41, 0x9a], false),
            ("first slice of an IDR", &[0x65, 0x88], true),
            ("second slice of an IDR", &[0x65, 0x08], false),
            ("IDR cut off", &[0x65], false),
            ("SPS", &[0x67, 0x42], true),
            ("PPS alone", &[0x68, 0xce], false),
            (
                "STAP-A of SPS and PPS",
                &[24, 0, 2, 0x67, 0x42, 0, 2, 0x68, 0xce],
                true,
            ),
            (
                "STAP-A of AUD and IDR",
                &[24, 0, 1, 9, 0, 2, 0x65, 0x88],
                true,
            ),
            ("STAP-A of PPS", &[24, 0, 2, 0x68, 0xce], false),
            (
                "STAP-A whose unit is cut off",
                &[24, 0, 9, 0x67, 0x42],
                false,
            ),
            ("FU-A, start of an IDR", &[28, 0x85, 0x88], true),
            ("FU-A, middle of an IDR", &[28, 0x05, 0x88], false),
            ("FU-A cut off", &[28], false),
        ];
        for (case, payload, expected) in table {
            assert_eq!(h264_starts_keyframe(payload), expected, "{case}");
        }
    }

    #[test]
    fn finds_h265_keyframes() {
        let table: [(&str, &[u8], bool); 11] = [
            ("empty", &[], false),
            ("header cut off", &[32 << 1], false),
            ("VPS", &[32 << 1, 1, 0], true),
            ("PPS alone", &[34 << 1, 1, 0], false),
            ("trailing picture", &[1 << 1, 1, 0x80], false),
            ("IDR, first slice", &[19 << 1, 1, 0x80], true),
            ("IDR, second slice", &[19 << 1, 1, 0x00], false),
            (
                "aggregation with SPS",
                &[48 << 1, 1, 0, 3, 33 << 1, 1, 0],
                true,
            ),
            (
                "aggregation of PPS",
                &[48 << 1, 1, 0, 3, 34 << 1, 1, 0],
                false,
            ),
            (
                "fragment, start of CRA",
                &[49 << 1, 1, 0x80 | 21, 0x80],
                true,
            ),
            ("fragment, middle of CRA", &[49 << 1, 1, 21, 0x80], false),
        ];
        for (case, payload, expected) in table {
            assert_eq!(h265_starts_keyframe(payload), expected, "{case}");
        }
    }

    #[test]
    fn finds_av1_keyframes() {
        for (payload, expected) in [(&[][..], false), (&[0x18], true), (&[0x10], false)] {
            assert_eq!(av1_starts_keyframe(payload), expected);
        }
    }
}
