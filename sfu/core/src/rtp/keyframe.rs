//! Where a keyframe starts, by the headers of a payload: H.264 (RFC 6184), H.265 (RFC 7798), AV1.
//!
//! Reads unit headers only: with end-to-end encryption what follows is opaque.

/// Whether an H.264 payload starts a keyframe: it carries a sequence parameter set, or the first
/// slice of an instantaneous decoding refresh.
pub(super) fn h264_starts_keyframe(payload: &[u8]) -> bool {
    const STAP_A: u8 = 24;
    const FU_A: u8 = 28;
    let Some((&first, rest)) = payload.split_first() else {
        return false;
    };
    match first & 0x1f {
        STAP_A => aggregated(rest).any(|unit| {
            unit.split_first()
                .is_some_and(|(&header, slice)| h264_unit(header & 0x1f, slice))
        }),
        FU_A => rest
            .split_first()
            .is_some_and(|(&header, slice)| header & 0x80 != 0 && h264_unit(header & 0x1f, slice)),
        kind => h264_unit(kind, rest),
    }
}

fn h264_unit(kind: u8, slice: &[u8]) -> bool {
    const IDR: u8 = 5;
    const SPS: u8 = 7;
    // `first_mb_in_slice` is 0, coded as one set bit. Later slices of the picture are no place to
    // start.
    kind == SPS || kind == IDR && slice.first().is_some_and(|byte| byte & 0x80 != 0)
}

/// Whether an H.265 payload starts a keyframe: it carries a video or sequence parameter set, or the
/// first slice of an intra random access picture.
pub(super) fn h265_starts_keyframe(payload: &[u8]) -> bool {
    const AGGREGATION: u8 = 48;
    const FRAGMENT: u8 = 49;
    let Some((&[first, _], rest)) = payload.split_first_chunk::<2>() else {
        return false;
    };
    match first >> 1 & 0x3f {
        AGGREGATION => aggregated(rest).any(|unit| {
            unit.split_first_chunk::<2>()
                .is_some_and(|(&[first, _], slice)| h265_unit(first >> 1 & 0x3f, slice))
        }),
        FRAGMENT => rest
            .split_first()
            .is_some_and(|(&header, slice)| header & 0x80 != 0 && h265_unit(header & 0x3f, slice)),
        kind => h265_unit(kind, rest),
    }
}

fn h265_unit(kind: u8, slice: &[u8]) -> bool {
    const VPS: u8 = 32;
    const SPS: u8 = 33;
    // `first_slice_segment_in_pic_flag` leads the slice header.
    matches!(kind, VPS | SPS)
        || matches!(kind, 16..=21) && slice.first().is_some_and(|byte| byte & 0x80 != 0)
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
