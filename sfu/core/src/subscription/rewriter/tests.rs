use std::sync::Arc;

use super::*;
use crate::rtp::{DependencyDescriptor, ExtensionValues};

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// A packet without a descriptor; its arrival is counted from `start`.
fn plain(codec: Codec, sequence: u64, timestamp: u32, arrival: Instant) -> Packet {
    let extensions = ExtensionValues::default();
    Packet::parse(
        codec,
        sequence,
        timestamp,
        false,
        Arc::from([0x41, 1]),
        &extensions,
        arrival,
    )
}

fn vp8(sequence: u64, picture: u16, tl0: u8, key_idx: u8) -> Packet {
    let [high, low] = picture.to_be_bytes();
    let payload = Arc::from([0x90, 0xf0, high | 0x80, low, tl0, key_idx, 1]);
    let timestamp = u32::from(picture) * 3_000;
    let extensions = ExtensionValues::default();
    Packet::parse(
        Codec::Vp8,
        sequence,
        timestamp,
        true,
        payload,
        &extensions,
        Instant::now(),
    )
}

/// Picture id, base layer index and key index, as they are sent.
fn vp8_numbers(rewritten: Rewritten) -> (u16, u8, u8) {
    let Patch {
        picture_id: Some(picture),
        tl0_pic_idx: Some(tl0),
        key_idx: Some(key),
        frame_number: None,
        active_targets: None,
    } = rewritten.patch
    else {
        panic!("not of VP8: {rewritten:?}")
    };
    (picture, tl0, key)
}

#[test]
fn a_switch_continues_the_timestamps() {
    const RATE: u32 = 90_000;
    let wall = |millis| Duration::from_secs(50_000) + ms(millis);
    // Both encodings' clocks agree that RTP 1000 and 5000 are the same moment.
    let old = SenderClock::new(wall(0), 1_000, RATE);
    let new = SenderClock::new(wall(0), 5_000, RATE);
    let both = [Some(old), Some(new)];
    let one = [Some(old), None];
    // clocks, ticks captured after the last packet, milliseconds arrived after it, expected advance
    for (case, clocks, captured, arrived, advance) in [
        ("by sender reports", &both[..], 3_000_i32, 100, 3_000_u32),
        (
            "by sender reports, in spite of jitter",
            &both,
            3_000,
            1_900,
            3_000,
        ),
        ("captured earlier, so just after", &both, -3_000, 0, 1),
        ("captured at once", &both, 0, 10, 1),
        ("one report missing: by arrival", &one, 3_000, 100, 9_000),
        ("no reports", &[], 3_000, 100, 9_000),
        ("reports that make no sense", &both, 900_000, 100, 9_000),
        ("nonsense, and no time passed", &both, 900_000, 0, 1),
    ] {
        let start = Instant::now();
        let mut rewriter = Rewriter::new(7, 4_294_967_000);
        let first = rewriter.begin(0, &plain(Codec::H264, 100, 1_000, start), clocks);
        assert_eq!((first.sequence, first.timestamp), (7, 4_294_967_000));
        let timestamp = 5_000_u32.wrapping_add_signed(captured);
        let switched = plain(Codec::H264, 900, timestamp, start + ms(arrived));
        let second = rewriter.begin(1, &switched, clocks);
        assert_eq!(second.sequence, 8, "{case}");
        assert_eq!(
            second.timestamp.wrapping_sub(first.timestamp),
            advance,
            "{case}"
        );
        let third = plain(
            Codec::H264,
            901,
            timestamp.wrapping_add(50),
            start + ms(arrived),
        );
        let third = rewriter.forward(&third).unwrap();
        assert_eq!(
            (third.sequence, third.timestamp),
            (9, second.timestamp.wrapping_add(50))
        );
    }
}

#[test]
fn a_pause_leaves_no_gap_and_takes_its_time() {
    // ticks on the same stream, milliseconds of the pause, expected advance
    for (case, codec, ticks, pause, advance) in [
        ("audio", Codec::Opus, 48_000 * 30, 30_000, 48_000 * 30),
        ("video", Codec::H264, 90_000 * 30, 30_100, 90_000 * 30),
        (
            "the stream was renumbered",
            Codec::H264,
            5,
            30_000,
            90_000 * 30,
        ),
        ("the stream went back", Codec::Opus, u32::MAX, 1_000, 1),
        (
            "the stream went far back",
            Codec::Opus,
            3_000_000_000,
            1_000,
            48_000,
        ),
    ] {
        let start = Instant::now();
        let mut rewriter = Rewriter::new(7, 0);
        rewriter.begin(0, &plain(codec, 100, 1_000, start), &[]);
        rewriter.end();
        assert!(rewriter.segment().is_none());
        let resumed = plain(
            codec,
            1_600,
            1_000_u32.wrapping_add(ticks),
            start + ms(pause),
        );
        assert_eq!(rewriter.forward(&resumed).err(), Some(Unplaced::TooOld));
        let rewritten = rewriter.begin(0, &resumed, &[]);
        assert_eq!(
            (rewritten.sequence, rewritten.timestamp),
            (8, advance),
            "{case}"
        );
    }
}

#[test]
fn another_clock_rate_goes_by_arrival() {
    let start = Instant::now();
    let mut rewriter = Rewriter::new(0, 10);
    rewriter.begin(0, &plain(Codec::Opus, 1, 0, start), &[]);
    let next = rewriter.begin(0, &plain(Codec::Pcmu, 2, 160, start + ms(20)), &[]);
    assert_eq!((next.sequence, next.timestamp), (1, 170));
}

#[test]
fn vp8_frame_numbers_continue() {
    let mut rewriter = Rewriter::new(0, 0);
    let first = rewriter.begin(0, &vp8(10, 0x7ffe, 254, 30), &[]);
    assert_eq!(vp8_numbers(first), (0x7ffe, 254, 30), "as it came");
    let mut forward = |packet: Packet| {
        let rewritten = rewriter.forward(&packet).unwrap();
        (rewritten.sequence, vp8_numbers(rewritten))
    };
    assert_eq!(forward(vp8(11, 0x7fff, 255, 30)), (1, (0x7fff, 255, 30)));
    // Two packets of a frame left out, then one: what follows closes up.
    for sequence in [12, 13] {
        rewriter.drop(&vp8(sequence, 0, 255, 30));
    }
    let mut forward = |packet: Packet| {
        let rewritten = rewriter.forward(&packet).unwrap();
        (rewritten.sequence, vp8_numbers(rewritten))
    };
    assert_eq!(forward(vp8(14, 1, 0, 30)), (2, (0, 0, 30)));
    // A lost frame leaves its gap.
    assert_eq!(forward(vp8(16, 3, 1, 31)), (4, (2, 1, 31)));
    assert_eq!(forward(vp8(15, 2, 1, 31)), (3, (1, 1, 31)));
    let late = vp8(9, 0x7fff, 255, 30);
    assert!(rewriter.forward(&late).is_err(), "before the segment");
    // The switch: picture 3, base layer frame 2 and key 0 come next.
    let switched = rewriter.begin(1, &vp8(700, 500, 77, 7), &[]);
    assert_eq!((switched.sequence, vp8_numbers(switched)), (5, (3, 2, 0)));
    let next = rewriter.forward(&vp8(701, 501, 78, 7)).unwrap();
    assert_eq!(vp8_numbers(next), (4, 3, 0));
}

#[test]
fn pictures_that_were_awaited_leave_no_gap_at_a_switch() {
    let mut rewriter = Rewriter::new(0, 0);
    rewriter.begin(0, &vp8(10, 100, 50, 3), &[]);
    // 12 and its picture do not come, 13 is left out; and 11 is late.
    assert_eq!(rewriter.drop(&vp8(13, 103, 52, 3)), None);
    let late = rewriter.forward(&vp8(11, 101, 51, 3)).unwrap();
    assert_eq!((late.sequence, vp8_numbers(late)), (1, (101, 51, 3)));
    let switched = rewriter.begin(1, &vp8(700, 500, 77, 7), &[]);
    assert_eq!(
        (switched.sequence, vp8_numbers(switched)),
        (2, (102, 52, 4))
    );
}

#[test]
fn vp9_numbers_continue() {
    let packet = |sequence, picture: u8, tl0, keyframe: bool| {
        let flags = if keyframe { 0b1010_1100 } else { 0b1110_1100 };
        let payload: Arc<[u8]> = Arc::from([flags, picture, 0, tl0, 9]);
        let timestamp = u32::from(picture) * 3_000;
        let extensions = ExtensionValues::default();
        let now = Instant::now();
        Packet::parse(
            Codec::Vp9,
            sequence,
            timestamp,
            true,
            payload,
            &extensions,
            now,
        )
    };
    let numbers = |rewritten: Rewritten| {
        let Patch {
            picture_id,
            tl0_pic_idx,
            ..
        } = rewritten.patch;
        (rewritten.sequence, picture_id, tl0_pic_idx)
    };
    let mut rewriter = Rewriter::new(0, 0);
    let first = rewriter.begin(0, &packet(1, 10, 3, true), &[]);
    assert_eq!(numbers(first), (0, Some(10), Some(3)));
    // A picture left out leaves its gap: later ones refer back by distance.
    assert_eq!(rewriter.drop(&packet(2, 11, 3, false)), None);
    let third = rewriter.forward(&packet(3, 12, 4, false)).unwrap();
    assert_eq!(numbers(third), (1, Some(12), Some(4)));
    let switched = rewriter.begin(1, &packet(50, 100, 200, true), &[]);
    assert_eq!(numbers(switched), (2, Some(13), Some(5)));
    let next = rewriter.forward(&packet(51, 101, 201, false)).unwrap();
    assert_eq!(numbers(next), (3, Some(14), Some(6)));
}

#[test]
fn dependency_frame_numbers_continue() {
    let packet = |sequence, frame: u16| {
        let [high, low] = frame.to_be_bytes();
        let mut extensions = ExtensionValues::default();
        extensions
            .user_values
            .set(DependencyDescriptor(Arc::from([0xc0, high, low])));
        let payload = Arc::from([0x10, 1]);
        let now = Instant::now();
        Packet::parse(
            Codec::Av1,
            sequence,
            u32::from(frame),
            true,
            payload,
            &extensions,
            now,
        )
    };
    let mut rewriter = Rewriter::new(0, 0);
    for (encoding, packet, begins, expected) in [
        (0, packet(1, 65_535), true, 65_535),
        (0, packet(2, 0), false, 0),
        (1, packet(9, 4_000), true, 1),
        (1, packet(11, 4_002), false, 3),
        (1, packet(10, 4_001), false, 2),
        (0, packet(3, 7), true, 4),
    ] {
        let rewritten = if begins {
            rewriter.begin(encoding, &packet, &[])
        } else {
            rewriter.forward(&packet).unwrap()
        };
        assert_eq!(rewritten.patch.frame_number, Some(expected));
    }
}

#[test]
fn numbers_that_make_no_sense_pass() {
    let mut rewriter = Rewriter::new(0, 0);
    rewriter.begin(0, &vp8(1, 1_000, 0, 0), &[]);
    // Far behind the first picture, and a width that changes.
    for (sequence, payload) in [
        (2, &[0x90, 0x80, 0x80, 0x00, 1][..]),
        (3, &[0x90, 0x80, 0x05, 1]),
        (4, &[0x00, 1]),
    ] {
        let extensions = ExtensionValues::default();
        let now = Instant::now();
        let payload = Arc::from(payload);
        let packet = Packet::parse(Codec::Vp8, sequence, 0, true, payload, &extensions, now);
        assert_eq!(rewriter.forward(&packet).unwrap().sequence, sequence - 1);
    }
}

#[test]
fn a_segment_begins_after_numbers_that_were_filled() {
    let start = Instant::now();
    let packet = |sequence| plain(Codec::H264, sequence, 3_000, start);
    let mut rewriter = Rewriter::new(0, 0);
    rewriter.begin(0, &packet(100), &[]);
    // 101 is missing when 102 is left out: its number is kept free, and filled.
    assert_eq!(rewriter.drop(&packet(102)), None);
    let filled = rewriter.drop(&packet(101)).unwrap();
    assert_eq!(filled.sequence, 1);
    assert_eq!(rewriter.begin(1, &packet(500), &[]).sequence, 2);
}
