//! An oracle that can't fail is worth nothing: each law is broken here on purpose.

use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;

use super::*;
use crate::media::{Encoder, SourceId, VideoSettings};

/// Frames of a camera as a subscriber gets them, in order.
fn arrivals(frames: u64) -> Vec<Arrival> {
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let mut encoder = Encoder::new(SourceId(1), 0, 90_000, &mut rng);
    let settings = VideoSettings {
        packets: 2,
        ..VideoSettings::default()
    };
    let mut arrivals = Vec::new();
    for frame in 0..frames {
        let at = Duration::from_millis(frame * 33);
        for packet in encoder.video(at, &settings) {
            let (head, rest) = Vp8Head::read(&packet.payload).expect("a descriptor");
            arrivals.push(Arrival {
                at,
                sequence: packet.sequence,
                timestamp: packet.timestamp,
                marker: packet.marker,
                stamp: Stamp::read(&rest[1..]).expect("a stamp"),
                vp8: Some(head),
                scalable: None,
                sender_report: None,
                playout_delay: None,
            });
        }
    }
    arrivals
}

fn judge(arrivals: Vec<Arrival>, is_perfect: bool) -> StreamCheck {
    let mut check = StreamCheck::new(SourceKind::Video, is_perfect);
    for arrival in arrivals {
        check.on_packet(arrival, SystemTime::UNIX_EPOCH);
    }
    check.handle_timeout(Duration::from_secs(60));
    check
}

#[test]
fn what_a_camera_makes_is_lawful() {
    let check = judge(arrivals(20), true);
    assert_eq!(check.violations, Vec::<String>::new());
    assert_eq!(
        (
            check.report.frames,
            check.report.keyframes,
            check.report.lost
        ),
        (20, 1, 0)
    );
    assert_eq!(check.report.upper_frames, 10);
}

#[test]
fn every_breach_is_seen() {
    type Damage = fn(&mut Vec<Arrival>);
    // Packets 0 to 3 are the keyframe, 4 and 5 a frame of layer 1, 6 and 7 one of the base layer.
    let damages: [(&str, Damage, &str); 11] = [
        ("a lost packet", |a| leave_out(a, 5), "are missing"),
        ("swapped packets", |a| a.swap(5, 6), "are missing"),
        ("a packet again", |a| a.insert(5, a[4]), "came twice"),
        (
            "a number again",
            |a| a[5].sequence = a[4].sequence,
            "stands for two",
        ),
        (
            "time goes back",
            |a| a[8].timestamp = a[0].timestamp,
            "timestamp goes",
        ),
        (
            "no keyframe first",
            |a| drop(a.drain(..4)),
            "is no keyframe",
        ),
        (
            "an unmarked end",
            |a| a[5].marker = false,
            "marker is false",
        ),
        (
            "a picture id left out",
            |a| shift_pictures(a, 6),
            "picture id",
        ),
        (
            "a base layer number left out",
            |a| shift_tl0(a, 6),
            "tl0picidx",
        ),
        (
            "another encoding",
            |a| set_encoding(a, 6),
            "switches without",
        ),
        (
            "a reference left out",
            |a| leave_out_base(a),
            "refers to frame",
        ),
    ];
    for (case, damage, expected) in damages {
        let mut packets = arrivals(8);
        damage(&mut packets);
        let found = judge(packets, true).violations.join("; ");
        assert!(found.contains(expected), "{case}: {found}");
    }
}

#[test]
fn what_the_network_loses_is_no_breach_but_is_counted() {
    let mut packets = arrivals(8);
    packets.remove(7);
    // The frames of layer 1 that refer to those of their own layer are missed with it.
    let check = judge(packets.clone(), false);
    assert_eq!(check.violations, Vec::<String>::new());
    assert_eq!(check.report.lost, 1);
    assert_eq!((check.report.frames, check.report.undecodable), (2, 5));
    assert!(check.wants_keyframe());
    packets.swap(5, 6);
    packets.swap(1, 3);
    let check = judge(packets, false);
    assert_eq!(check.violations, Vec::<String>::new());
    assert_eq!(check.report.lost, 1);
}

#[test]
fn what_is_left_out_late_is_filled_and_not_waited_for() {
    let judge = |packets: Vec<Arrival>, left_out: fn(&Arrival) -> bool| {
        let mut check = StreamCheck::new(SourceKind::Video, true);
        for arrival in packets {
            if left_out(&arrival) {
                check.on_padding(arrival.at, arrival.sequence);
            } else {
                check.on_packet(arrival, SystemTime::UNIX_EPOCH);
            }
        }
        check
    };
    let lower = judge(arrivals(12), |arrival| arrival.stamp.temporal > 0);
    assert_eq!(lower.violations, Vec::<String>::new());
    assert_eq!((lower.report.frames, lower.report.fillers), (6, 12));
    // The frame of the upper layer after it refers to what stands before the hole.
    let held = judge(arrivals(12), |arrival| arrival.stamp.frame == 1);
    let found = held.violations.join("; ");
    assert!(
        found.contains("waits for a picture that never comes"),
        "{found}"
    );
}

fn leave_out(arrivals: &mut Vec<Arrival>, at: usize) {
    arrivals.remove(at);
}

fn from(arrivals: &mut [Arrival], at: usize, change: impl Fn(&mut Arrival)) {
    arrivals.iter_mut().skip(at).for_each(change);
}

fn shift_pictures(arrivals: &mut [Arrival], at: usize) {
    from(arrivals, at, |arrival| {
        if let Some(vp8) = &mut arrival.vp8 {
            vp8.picture_id = (vp8.picture_id + 1) & 0x7fff;
        }
    });
}

fn shift_tl0(arrivals: &mut [Arrival], at: usize) {
    from(arrivals, at, |arrival| {
        if let Some(vp8) = &mut arrival.vp8 {
            vp8.tl0_pic_idx = vp8.tl0_pic_idx.wrapping_add(1);
        }
    });
}

fn set_encoding(arrivals: &mut [Arrival], at: usize) {
    from(arrivals, at, |arrival| arrival.stamp.encoding = 1);
}

/// Takes out the base layer frame of packets 6 and 7 as a careless forwarder would, without a trace.
fn leave_out_base(arrivals: &mut Vec<Arrival>) {
    arrivals.drain(6..8);
    from(arrivals, 6, |arrival| {
        arrival.sequence -= 2;
        if let Some(vp8) = &mut arrival.vp8 {
            vp8.picture_id = vp8.picture_id.wrapping_sub(1) & 0x7fff;
            vp8.tl0_pic_idx = vp8.tl0_pic_idx.wrapping_sub(1);
        }
    });
}
