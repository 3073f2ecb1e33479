//! Made-up traces of media through a bad network, and what a viewer would have seen of them.

use proptest::prelude::*;

use super::{TrackMeasure, TrackMeter};
use crate::media::{Codec, EncodingSpec, Stamp, VideoSource};

const MS: u64 = 1_000_000;
const FRAME_NS: u64 = 33_333_333;
const VIDEO: [Codec; 4] = [Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1];

/// A packet under way.
#[derive(Debug, Clone)]
struct Packet {
    at_ns: u64,
    sequence: u16,
    timestamp: u32,
    marker: bool,
    payload: Vec<u8>,
    /// Number of the frame, for tests to choose by.
    frame: usize,
    temporal: u8,
}

#[derive(Debug, Clone, Copy)]
struct Clip {
    codec: Codec,
    layers: u8,
    encoding: u8,
    frames: usize,
    /// Whether stamps stay on.
    stamped: bool,
    keyframe_every: usize,
}

const CLIP: Clip = Clip {
    codec: Codec::Vp8,
    layers: 1,
    encoding: 0,
    frames: 90,
    stamped: true,
    keyframe_every: 1000,
};

/// Frames of a clip, one every 33 ms, each 5 ms on its way; numbers wrap soon.
fn packets(clip: Clip) -> Vec<Packet> {
    let spec = EncodingSpec {
        rid: None,
        width: 640,
        height: 360,
        fps: 30,
        bitrate: 900_000,
        temporal_layers: clip.layers,
    };
    let mut source = VideoSource::new(clip.codec, &spec, 1, clip.encoding, 3);
    let mut trace = Vec::new();
    let mut sequence = 65_500u16;
    for frame in 0..clip.frames {
        let sent_ns = 1000 * MS + frame as u64 * FRAME_NS;
        for packet in source.next_frame(frame % clip.keyframe_every == 0) {
            Stamp::write_time(&mut packet.payload, sent_ns);
            let temporal = Stamp::read(&packet.payload).expect("stamped").temporal;
            if !clip.stamped
                && let Some(last) = packet.payload.last_mut()
            {
                *last ^= 1;
            }
            trace.push(Packet {
                at_ns: sent_ns + 5 * MS,
                sequence,
                timestamp: packet.timestamp,
                marker: packet.marker,
                payload: packet.payload.clone(),
                frame,
                temporal,
            });
            sequence = sequence.wrapping_add(1);
        }
    }
    trace
}

/// What is measured of a trace, in order of arrival.
fn measure(codec: Codec, trace: &[Packet]) -> TrackMeasure {
    let mut trace = trace.to_vec();
    trace.sort_by_key(|packet| packet.at_ns);
    let mut meter = TrackMeter::new(codec, 990 * MS);
    for packet in &trace {
        feed(&mut meter, packet);
    }
    let end = trace.last().map_or(0, |packet| packet.at_ns);
    meter.finish(end + 10 * MS)
}

fn feed(meter: &mut TrackMeter, packet: &Packet) -> Option<u64> {
    let Packet {
        at_ns,
        sequence,
        timestamp,
        marker,
        payload,
        ..
    } = packet;
    meter.on_packet(*at_ns, *sequence, *timestamp, *marker, payload)
}

/// Stamped and not, every codec.
fn every_kind() -> impl Iterator<Item = Clip> {
    VIDEO.into_iter().flat_map(|codec| {
        [(1, true), (1, false), (3, true), (3, false)].map(|(layers, stamped)| Clip {
            codec,
            layers,
            stamped,
            ..CLIP
        })
    })
}

#[test]
fn a_clean_stream_is_whole() {
    for clip in every_kind() {
        let trace = packets(clip);
        let measure = measure(clip.codec, &trace);
        let count = trace.len() as u64;
        assert_eq!(
            (
                measure.packets_expected,
                measure.packets_received,
                measure.packets_lost
            ),
            (count, count, 0),
            "{clip:?}"
        );
        assert_eq!(
            (
                measure.frames_expected,
                measure.frames_complete,
                measure.frames_decodable
            ),
            (90, 90, 90),
            "{clip:?}"
        );
        assert_eq!(
            (measure.keyframes, measure.freezes, measure.packets_late),
            (1, 0, 0)
        );
        assert_eq!(measure.first_packet_ns, Some(1005 * MS));
        assert_eq!(measure.first_frame_ns, Some(1005 * MS));
        assert_eq!(measure.stamped, clip.stamped);
        assert_eq!(
            measure.packets_published,
            if clip.stamped { count } else { 0 }
        );
    }
}

#[test]
fn a_lost_packet_costs_all_that_rests_on_it() {
    for clip in every_kind() {
        // The first packet of frame 40 is lost; with three layers that is a base frame.
        let mut trace = packets(Clip {
            keyframe_every: 60,
            ..clip
        });
        let lost = trace
            .iter()
            .position(|packet| packet.frame == 40)
            .expect("frame 40");
        let is_only = trace[lost].marker;
        trace.remove(lost);
        let measure = measure(clip.codec, &trace);
        assert_eq!(measure.packets_lost, 1, "{clip:?}");
        assert_eq!(measure.frames_expected, 90, "{clip:?}");
        assert_eq!(
            measure.frames_complete, 89,
            "{clip:?}, only packet: {is_only}"
        );
        // Frames 40 to 59 until the next keyframe.
        assert_eq!(measure.frames_decodable, 70, "{clip:?}");
        assert_eq!(measure.freezes, 1, "{clip:?}");
        assert_eq!((measure.freeze_ns + MS / 2) / MS, 700, "{clip:?}");
        assert_eq!(measure.packets_unseen, u64::from(clip.stamped));
    }
}

#[test]
fn the_top_layer_is_missed_by_none() {
    for codec in [Codec::Vp8, Codec::Vp9] {
        for stamped in [true, false] {
            let clip = Clip {
                codec,
                layers: 3,
                stamped,
                ..CLIP
            };
            let mut trace = packets(clip);
            let before = trace.len();
            // Frame 41 is of layer 2, and lost wholly.
            trace.retain(|packet| packet.frame != 41);
            let measure = measure(codec, &trace);
            assert_eq!(measure.packets_lost, (before - trace.len()) as u64);
            assert_eq!(
                (measure.frames_expected, measure.frames_decodable),
                (90, 89),
                "{clip:?}"
            );
            assert_eq!(measure.freezes, 0);
        }
    }
}

#[test]
fn a_layer_left_out_is_no_loss() {
    for stamped in [true, false] {
        let clip = Clip {
            layers: 3,
            stamped,
            ..CLIP
        };
        let all = packets(clip);
        let mut trace: Vec<Packet> = all
            .iter()
            .filter(|packet| packet.temporal < 2)
            .cloned()
            .collect();
        for (index, packet) in trace.iter_mut().enumerate() {
            packet.sequence = 65_500u16.wrapping_add(index as u16);
        }
        let clean = measure(Codec::Vp8, &trace);
        assert_eq!((clean.packets_lost, clean.packets_late), (0, 0));
        assert_eq!(
            (clean.frames_expected, clean.frames_decodable),
            (45, 45),
            "{stamped}"
        );
        if stamped {
            // What was published and not forwarded is told apart from what was lost. After the last
            // base frame nothing came any more that would show it.
            let tail = all
                .iter()
                .rev()
                .take_while(|packet| packet.temporal == 2)
                .count();
            assert_eq!(
                clean.packets_unseen as usize,
                all.len() - tail - trace.len()
            );
        }
        // And a loss within counts only frames that were to come.
        trace.retain(|packet| packet.frame != 42);
        let holed = measure(Codec::Vp8, &trace);
        assert_eq!(
            (holed.frames_expected, holed.frames_decodable),
            (45, 44),
            "{stamped}"
        );
    }
}

#[test]
fn a_packet_sent_again_is_received_and_its_frame_decoded() {
    for clip in every_kind() {
        let mut trace = packets(clip);
        let index = trace
            .iter()
            .position(|packet| packet.frame == 40)
            .expect("frame 40");
        trace[index].at_ns += 150 * MS;
        let copy = Packet {
            at_ns: trace[index].at_ns + MS,
            ..trace[index].clone()
        };
        trace.push(copy);
        let measure = measure(clip.codec, &trace);
        assert_eq!(
            (measure.packets_lost, measure.packets_late),
            (0, 1),
            "{clip:?}"
        );
        assert_eq!(measure.packets_duplicated, 1);
        // The frame is whole again only if that packet is all of it.
        let is_only = trace.iter().filter(|packet| packet.frame == 40).count() == 2;
        assert_eq!(
            (measure.frames_late, measure.frames_duplicated),
            (1, u64::from(is_only)),
            "{clip:?}"
        );
        assert_eq!(
            (measure.frames_expected, measure.frames_decodable),
            (90, 90),
            "{clip:?}"
        );
        assert_eq!(measure.freezes, 0, "183 ms are no freeze yet");
    }
}

#[test]
fn a_frame_that_comes_twice_counts_once_and_is_told() {
    for clip in every_kind() {
        let mut trace = packets(clip);
        let again = trace.iter().filter(|packet| packet.frame == 40);
        let again: Vec<Packet> = again.cloned().collect();
        trace.extend(again.into_iter().map(|packet| Packet {
            at_ns: packet.at_ns + 50 * MS,
            ..packet
        }));
        let measure = measure(clip.codec, &trace);
        assert_eq!(
            (
                measure.frames_expected,
                measure.frames_complete,
                measure.frames_late,
                measure.frames_duplicated
            ),
            (90, 90, 0, 1),
            "{clip:?}"
        );
    }
}

#[test]
fn what_is_dropped_and_numbered_anew_is_unseen() {
    let mut trace = packets(CLIP);
    let count = trace.len() as u64;
    trace.retain(|packet| packet.frame % 10 != 5);
    for (index, packet) in trace.iter_mut().enumerate() {
        packet.sequence = 65_500u16.wrapping_add(index as u16);
    }
    let measure = measure(Codec::Vp8, &trace);
    assert_eq!(
        (measure.packets_lost, measure.packets_published),
        (0, count)
    );
    assert_eq!(measure.packets_unseen, count - trace.len() as u64);
}

#[test]
fn a_viewer_who_comes_in_the_middle_waits_for_the_keyframe() {
    for clip in every_kind() {
        let clip = Clip {
            keyframe_every: 60,
            ..clip
        };
        let trace: Vec<Packet> = packets(clip)
            .into_iter()
            .filter(|packet| packet.frame >= 45)
            .collect();
        let measure = measure(clip.codec, &trace);
        assert_eq!(
            (measure.frames_expected, measure.frames_decodable),
            (45, 30),
            "{clip:?}"
        );
        let keyframe_ns = 1005 * MS + 60 * FRAME_NS;
        assert_eq!(measure.first_frame_ns, Some(keyframe_ns), "{clip:?}");
    }
}

#[test]
fn a_switch_takes_until_the_first_frame_of_the_other_encoding() {
    for codec in VIDEO {
        let low = packets(Clip { codec, ..CLIP });
        let high = packets(Clip {
            codec,
            encoding: 2,
            ..CLIP
        });
        let count = low.len() as u16;
        let mut meter = TrackMeter::new(codec, 0);
        for packet in &low {
            feed(&mut meter, packet);
        }
        let wish_ns = low.last().map_or(0, |packet| packet.at_ns);
        meter.on_layer_change(wish_ns);
        for packet in &high {
            let moved = Packet {
                at_ns: packet.at_ns + 4000 * MS,
                sequence: packet.sequence.wrapping_add(count),
                timestamp: packet
                    .timestamp
                    .wrapping_sub(high[0].timestamp)
                    .wrapping_add(low[0].timestamp + 120 * 3000),
                ..packet.clone()
            };
            feed(&mut meter, &moved);
        }
        let measure = meter.finish(wish_ns);
        assert_eq!(
            measure.switches,
            [1005 * MS + 4000 * MS - wish_ns],
            "{codec}"
        );
        assert_eq!(measure.switches_open, 0);
        assert_eq!(
            (measure.frames_expected, measure.frames_decodable),
            (180, 180),
            "{codec}"
        );
        assert_eq!((measure.packets_lost, measure.packets_unseen), (0, 0));
        assert_eq!(
            measure.received_by_encoding,
            [low.len() as u64, 0, high.len() as u64]
        );
    }
}

#[test]
fn the_window_leaves_out_what_came_before_and_keeps_decoding() {
    for clip in every_kind() {
        let trace = packets(clip);
        let mut meter = TrackMeter::new(clip.codec, 0);
        let (before, after): (Vec<_>, Vec<_>) =
            trace.into_iter().partition(|packet| packet.frame < 30);
        for packet in &before {
            feed(&mut meter, packet);
        }
        meter.begin(2000 * MS);
        for packet in &after {
            feed(&mut meter, packet);
        }
        let measure = meter.finish(4000 * MS);
        assert_eq!(measure.packets_received, after.len() as u64, "{clip:?}");
        assert_eq!((measure.packets_lost, measure.window_ns), (0, 2000 * MS));
        assert_eq!(
            (measure.frames_expected, measure.frames_decodable),
            (60, 60),
            "{clip:?}"
        );
        assert_eq!(
            (measure.keyframes, measure.first_frame_ns),
            (0, Some(1005 * MS))
        );
    }
}

#[test]
fn padding_takes_numbers_and_is_neither_media_nor_loss() {
    for clip in every_kind() {
        let mut meter = TrackMeter::new(clip.codec, 0);
        let mut shift = 0u16;
        let trace = packets(clip);
        for packet in &trace {
            let moved = Packet {
                sequence: packet.sequence.wrapping_add(shift),
                ..packet.clone()
            };
            feed(&mut meter, &moved);
            if packet.marker && packet.frame % 10 == 5 {
                shift += 1;
                let padding = moved.sequence.wrapping_add(1);
                let length = meter.on_packet(packet.at_ns, padding, packet.timestamp, false, &[]);
                assert_eq!(length, None);
            }
        }
        let measure = meter.finish(4000 * MS);
        assert_eq!(measure.packets_padding, 9);
        assert_eq!(
            (
                measure.packets_expected,
                measure.packets_received,
                measure.packets_lost
            ),
            (trace.len() as u64, trace.len() as u64, 0)
        );
        assert_eq!(
            (measure.frames_expected, measure.frames_decodable),
            (90, 90),
            "{clip:?}"
        );
    }
}

#[test]
fn a_decoder_that_gets_nowhere_wants_a_keyframe() {
    let mut meter = TrackMeter::new(Codec::Vp8, 0);
    for packet in packets(Clip {
        keyframe_every: 60,
        ..CLIP
    }) {
        // The keyframe at the start is lost; frames 1 to 59 rest on it.
        if packet.frame == 0 {
            continue;
        }
        feed(&mut meter, &packet);
        let is_stuck = (8..60).contains(&packet.frame);
        let is_late = packet.frame == 60 && !packet.marker;
        assert_eq!(
            meter.needs_keyframe(packet.at_ns),
            is_stuck || is_late,
            "{}",
            packet.frame
        );
        assert!(
            !meter.needs_keyframe(packet.at_ns + 300 * MS),
            "nothing comes any more"
        );
    }
}

#[test]
fn latency_is_the_time_since_the_stamp() {
    let trace = packets(CLIP);
    let mut meter = TrackMeter::new(Codec::Vp8, 0);
    assert_eq!(feed(&mut meter, &trace[0]), Some(5 * MS));
    assert_eq!(feed(&mut meter, &trace[0]), None, "a duplicate");
    let foreign = packets(Clip {
        stamped: false,
        ..CLIP
    });
    assert_eq!(feed(&mut meter, &foreign[1]), None);
}

#[test]
fn a_pause_that_was_wanted_is_no_freeze() {
    let mut meter = TrackMeter::new(Codec::Vp8, 0);
    let trace = packets(CLIP);
    for packet in &trace {
        if packet.frame == 45 && meter.snapshot(packet.at_ns).frames_expected == 45 {
            meter.on_pause();
            assert_eq!(meter.snapshot(packet.at_ns + 60_000 * MS).freezes, 0);
            meter.on_resume();
        }
        let late = if packet.frame >= 45 { 60_000 * MS } else { 0 };
        feed(
            &mut meter,
            &Packet {
                at_ns: packet.at_ns + late,
                ..packet.clone()
            },
        );
    }
    assert_eq!(meter.finish(64_100 * MS).freezes, 0);
}

#[test]
fn audio_has_packets_and_no_frames() {
    let mut source = crate::media::AudioSource::new(1, 2);
    let mut meter = TrackMeter::new(Codec::Opus, 0);
    for number in 0..100u64 {
        let packet = source.next(true);
        Stamp::write_time(&mut packet.payload, number * 20 * MS);
        if number != 50 {
            let now = number * 20 * MS + MS;
            meter.on_packet(
                now,
                number as u16,
                packet.timestamp,
                packet.marker,
                &packet.payload,
            );
        }
    }
    let measure = meter.finish(2000 * MS);
    assert_eq!((measure.packets_expected, measure.packets_lost), (100, 1));
    assert_eq!((measure.frames_expected, measure.freezes), (0, 0));
    assert_eq!(
        (measure.first_frame_ns, measure.packets_unseen),
        (Some(MS), 1)
    );
}

proptest! {
    /// Whatever the network does, sums agree with what was done, and no more frames are decodable
    /// than complete, or complete than expected.
    #[test]
    fn sums_agree_with_the_network(
        codec in proptest::sample::select(VIDEO.to_vec()),
        layers in 1u8..=3,
        stamped in any::<bool>(),
        fates in proptest::collection::vec(0..30u8, 2000),
    ) {
        let clip = Clip { codec, layers, stamped, frames: 150, keyframe_every: 40, ..CLIP };
        let mut trace = Vec::new();
        let mut lost = 0;
        let mut duplicates = 0;
        let mut is_tail_whole = true;
        let all = packets(clip);
        let count = all.len();
        for (index, (packet, fate)) in all.into_iter().zip(&fates).enumerate() {
            // First and last show the extent.
            let fate = if index == 0 || index + 1 == count { 0 } else { *fate };
            match fate {
                29 => {
                    lost += 1;
                    is_tail_whole &= packet.frame != 149;
                }
                28 => trace.push(Packet { at_ns: packet.at_ns + 40 * MS, ..packet }),
                27 => {
                    duplicates += 1;
                    trace.push(Packet { at_ns: packet.at_ns + 20 * MS, ..packet.clone() });
                    trace.push(packet);
                }
                _ => trace.push(packet),
            }
        }
        let measure = measure(codec, &trace);
        prop_assert_eq!(measure.packets_lost, lost);
        prop_assert_eq!(measure.packets_duplicated, duplicates);
        prop_assert_eq!(measure.packets_received, count as u64 - lost);
        prop_assert!(measure.frames_decodable <= measure.frames_complete);
        prop_assert!(measure.frames_complete <= measure.frames_expected);
        prop_assert!(measure.frames_late <= measure.frames_complete);
        prop_assert!(measure.frames_duplicated <= measure.frames_complete);
        // The newest frame does not count while it is on its way. Without stamps, the frames in a gap
        // are an estimate: near to exact where pictures are numbered.
        let expected = 149 + u64::from(is_tail_whole);
        if stamped {
            prop_assert_eq!(measure.frames_expected, expected);
        } else {
            prop_assert!(measure.frames_expected.abs_diff(expected) <= 3);
        }
        if stamped {
            prop_assert_eq!(measure.packets_unseen, lost);
        }
    }
}
