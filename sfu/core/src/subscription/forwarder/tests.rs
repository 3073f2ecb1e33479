use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::*;
use crate::rtp::{Codec, ExtensionValues, Packet};

/// A frame of one packet. Times count from `start`, in milliseconds.
struct Source {
    start: Instant,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Key,
    Delta,
    /// A frame of an upper temporal layer.
    Upper(u8),
}
use Kind::{Delta, Key, Upper};

impl Source {
    fn new() -> Self {
        Self {
            start: Instant::now(),
        }
    }

    fn vp8(&self, sequence: u64, millis: u64, kind: Kind) -> Packet {
        let (layer, inter) = match kind {
            Key => (0, 0),
            Delta => (0, 1),
            Upper(layer) => (layer << 6, 1),
        };
        self.packet(Codec::Vp8, sequence, millis, &[0x90, 0x20, layer, inter])
    }

    fn packet(&self, codec: Codec, sequence: u64, millis: u64, payload: &[u8]) -> Packet {
        let timestamp = u32::try_from(millis).unwrap() * (codec.clock_rate() / 1_000);
        let arrival = self.start + Duration::from_millis(millis);
        let extensions = ExtensionValues::default();
        Packet::parse(
            codec,
            sequence,
            timestamp,
            true,
            Arc::from(payload),
            &extensions,
            arrival,
        )
    }
}

fn outcome(decision: Decision) -> Result<u64, DropReason> {
    match decision {
        Decision::Forward(rewritten) => Ok(rewritten.sequence),
        Decision::Fill(rewritten) => panic!("an empty packet under {}", rewritten.sequence),
        Decision::Drop(reason) => Err(reason),
    }
}

use DropReason::{AwaitingKeyframe, NotWanted, Paused, Stale, TemporalLayer};

#[test]
fn video_starts_and_switches_at_keyframes() {
    enum Step {
        Target(Option<u8>),
        /// Encoding, sequence, kind; what becomes of it; the encoding whose keyframe is awaited.
        Packet(u8, u64, Kind, Result<u64, DropReason>, Option<u8>),
    }
    use Step::{Packet, Target};
    let source = Source::new();
    let mut forwarder = Forwarder::new(5, 0);
    for (millis, step) in (0..).zip([
        Packet(0, 99, Key, Err(Paused), None),
        Target(Some(0)),
        Packet(0, 100, Delta, Err(AwaitingKeyframe), Some(0)),
        Packet(1, 500, Key, Err(NotWanted), Some(0)),
        // A keyframe that comes after its successor is no place to start.
        Packet(0, 102, Delta, Err(AwaitingKeyframe), Some(0)),
        Packet(0, 101, Key, Err(AwaitingKeyframe), Some(0)),
        Packet(0, 103, Key, Ok(5), None),
        Packet(0, 104, Delta, Ok(6), None),
        Packet(0, 104, Delta, Err(Stale), None),
        Packet(0, 102, Delta, Err(Stale), None),
        // Up: the lower one goes on until the keyframe.
        Target(Some(1)),
        Packet(0, 106, Delta, Ok(8), Some(1)),
        Packet(1, 501, Delta, Err(AwaitingKeyframe), Some(1)),
        Packet(0, 105, Delta, Ok(7), Some(1)),
        Packet(1, 502, Key, Ok(9), None),
        Packet(0, 107, Delta, Err(NotWanted), None),
        Packet(1, 501, Delta, Err(Stale), None),
        Packet(1, 504, Delta, Ok(11), None),
        Packet(1, 503, Delta, Ok(10), None),
        // Down, and a change of mind.
        Target(Some(0)),
        Packet(1, 505, Delta, Ok(12), Some(0)),
        Target(Some(1)),
        Packet(0, 108, Key, Err(NotWanted), None),
        Packet(1, 506, Delta, Ok(13), None),
        // A pause, and on with the same encoding.
        Target(None),
        Packet(1, 507, Delta, Err(Paused), None),
        Target(Some(1)),
        Packet(1, 508, Delta, Err(AwaitingKeyframe), Some(1)),
        Packet(1, 600, Key, Ok(14), None),
        Packet(1, 599, Delta, Err(Stale), None),
    ]) {
        match step {
            Target(target) => forwarder.retarget(target.map(Layer::whole)),
            Packet(encoding, sequence, kind, expected, awaited) => {
                let packet = source.vp8(sequence, millis * 40, kind);
                let decision = outcome(forwarder.decide(encoding, &packet, &[]));
                assert_eq!(decision, expected, "step {millis}");
                assert_eq!(forwarder.wants_keyframe(), awaited, "step {millis}");
            }
        }
    }
    assert_eq!(forwarder.current(), Some(Layer::whole(1)));
    assert_eq!(forwarder.target(), Some(Layer::whole(1)));
}

#[test]
fn what_was_cut_waits_for_its_keyframe_and_asks_for_it() {
    let source = Source::new();
    let mut forwarder = Forwarder::new(5, 0);
    forwarder.retarget(Some(Layer::whole(0)));
    let decide = |forwarder: &mut Forwarder, sequence, kind| {
        let packet = source.vp8(sequence, sequence, kind);
        outcome(forwarder.decide(0, &packet, &[None]))
    };
    assert_eq!(decide(&mut forwarder, 10, Key), Ok(5));
    assert_eq!(decide(&mut forwarder, 11, Delta), Ok(6));
    assert_eq!(forwarder.wants_keyframe(), None);
    forwarder.cut();
    assert_eq!(forwarder.wants_keyframe(), Some(0));
    assert_eq!(decide(&mut forwarder, 12, Delta), Err(AwaitingKeyframe));
    assert_eq!(decide(&mut forwarder, 13, Key), Ok(7));
    assert_eq!(forwarder.wants_keyframe(), None);
}

#[test]
fn audio_starts_at_once_and_changes_to_red_and_back() {
    let source = Source::new();
    let mut forwarder = Forwarder::new(0, 0);
    forwarder.retarget(Some(Layer::whole(0)));
    for (sequence, codec, expected) in [
        (50, Codec::Opus, Ok((0, 0))),
        (49, Codec::Opus, Err(Stale)),
        (51, Codec::Red, Ok((1, 960))),
        (53, Codec::Opus, Ok((3, 2_880))),
        (52, Codec::Red, Ok((2, 1_920))),
        // Another clock: numbered anew, by arrival.
        (54, Codec::Pcmu, Ok((4, 3_040))),
        (53, Codec::Opus, Err(Stale)),
        (55, Codec::Pcmu, Ok((5, 3_200))),
    ] {
        let packet = source.packet(codec, sequence, (sequence - 49) * 20, &[1]);
        let decision = match forwarder.decide(0, &packet, &[]) {
            Decision::Forward(rewritten) => Ok((rewritten.sequence, rewritten.timestamp)),
            Decision::Fill(rewritten) => panic!("an empty packet under {}", rewritten.sequence),
            Decision::Drop(reason) => Err(reason),
        };
        assert_eq!(decision, expected, "{sequence}");
        assert_eq!(forwarder.wants_keyframe(), None);
    }
}

#[test]
fn temporal_layers_leave_no_gap() {
    let base = Layer {
        temporal: 0,
        ..Layer::whole(0)
    };
    let source = Source::new();
    let mut forwarder = Forwarder::new(0, 0);
    forwarder.retarget(Some(base));
    for (sequence, kind, expected) in [
        (1, Key, Ok(0)),
        (2, Upper(2), Err(TemporalLayer)),
        (3, Upper(1), Err(TemporalLayer)),
        (4, Upper(2), Err(TemporalLayer)),
        (5, Delta, Ok(1)),
        (5, Delta, Err(Stale)),
        // 6 and 8 are lost.
        (7, Upper(1), Err(TemporalLayer)),
        (9, Delta, Ok(4)),
    ] {
        let decision = forwarder.decide(0, &source.vp8(sequence, sequence * 33, kind), &[]);
        assert_eq!(outcome(decision), expected, "{sequence}");
    }
    assert_eq!(forwarder.current(), Some(base));
    // Waiting for another encoding does not raise this one.
    forwarder.retarget(Some(Layer::whole(1)));
    let upper = source.vp8(10, 330, Upper(1));
    assert_eq!(
        outcome(forwarder.decide(0, &upper, &[])),
        Err(TemporalLayer)
    );
}

#[test]
fn what_is_left_out_late_has_its_number_filled() {
    let source = Source::new();
    let mut forwarder = Forwarder::new(0, 0);
    forwarder.retarget(Some(Layer {
        temporal: 0,
        ..Layer::whole(0)
    }));
    let mut decide =
        |sequence, kind| match forwarder.decide(0, &source.vp8(sequence, sequence * 33, kind), &[])
        {
            Decision::Forward(rewritten) => (rewritten.sequence, "media"),
            Decision::Fill(rewritten) => (rewritten.sequence, "empty"),
            Decision::Drop(_) => (sequence, "dropped"),
        };
    assert_eq!(decide(1, Key), (0, "media"));
    // 2 was overtaken: its number is kept free, for nobody knows yet what it is.
    assert_eq!(decide(3, Delta), (2, "media"));
    assert_eq!(decide(2, Upper(1)), (1, "empty"));
    assert_eq!(decide(2, Upper(1)), (2, "dropped"));
    assert_eq!(decide(4, Upper(1)), (4, "dropped"));
    assert_eq!(decide(5, Delta), (3, "media"));
}

#[test]
fn what_comes_when_its_frame_is_forgotten_is_missed() {
    let source = Source::new();
    let mut forwarder = Forwarder::new(0, 0);
    forwarder.retarget(Some(Layer::whole(0)));
    let decide = |forwarder: &mut Forwarder, sequence, millis, kind| {
        forwarder.decide(0, &source.vp8(sequence, millis, kind), &[])
    };
    outcome(decide(&mut forwarder, 1, 33, Key)).unwrap();
    // One of three packets of a frame is missing, and one of two of another; then its layer is not wanted any more.
    for (sequence, millis) in [(2, 66), (4, 66), (6, 99)] {
        outcome(decide(&mut forwarder, sequence, millis, Upper(1))).unwrap();
    }
    forwarder.retarget(Some(Layer {
        temporal: 0,
        ..Layer::whole(0)
    }));
    outcome(decide(&mut forwarder, 7, 132, Delta)).unwrap();
    let late = decide(&mut forwarder, 3, 66, Upper(1));
    assert_eq!(outcome(late), Ok(2), "as the rest of its frame");
    for sequence in 8..108 {
        outcome(decide(&mut forwarder, sequence, 33 * (sequence - 3), Delta)).unwrap();
    }
    let late = decide(&mut forwarder, 5, 99, Upper(1));
    assert_eq!(outcome(late), Err(Stale));
}

#[test]
fn another_codec_in_the_stream_waits_for_its_keyframe() {
    let source = Source::new();
    let mut forwarder = Forwarder::new(0, 0);
    forwarder.retarget(Some(Layer::whole(0)));
    let h264 = |sequence, nal| source.packet(Codec::H264, sequence, sequence * 33, &[nal, 0x88]);
    for (packet, expected, awaited) in [
        (source.vp8(1, 33, Key), Ok(0), None),
        (h264(2, 0x41), Err(AwaitingKeyframe), Some(0)),
        (h264(3, 0x67), Ok(1), None),
        (source.vp8(1, 33, Delta), Err(Stale), None),
        (h264(4, 0x65), Ok(2), None),
    ] {
        assert_eq!(outcome(forwarder.decide(0, &packet, &[])), expected);
        assert_eq!(forwarder.wants_keyframe(), awaited);
    }
}

#[test]
fn a_renumbered_stream_goes_on() {
    let source = Source::new();
    let mut audio = Forwarder::new(0, 0);
    audio.retarget(Some(Layer::whole(0)));
    let opus = |sequence, millis| source.packet(Codec::Opus, sequence, millis, &[1]);
    assert_eq!(outcome(audio.decide(0, &opus(90_000, 0), &[])), Ok(0));
    for step in 1..=50 {
        assert_eq!(
            outcome(audio.decide(0, &opus(step, step * 20), &[])),
            Err(Stale)
        );
    }
    assert_eq!(
        outcome(audio.decide(0, &opus(51, 1_020), &[])),
        Ok(1),
        "noticed"
    );

    let mut video = Forwarder::new(0, 0);
    video.retarget(Some(Layer::whole(0)));
    assert_eq!(
        outcome(video.decide(0, &source.vp8(90_000, 0, Key), &[])),
        Ok(0)
    );
    video.restart(0);
    assert_eq!(video.wants_keyframe(), Some(0), "told");
    assert_eq!(
        outcome(video.decide(0, &source.vp8(7, 40, Delta), &[])),
        Err(AwaitingKeyframe)
    );
    assert_eq!(
        outcome(video.decide(0, &source.vp8(8, 80, Key), &[])),
        Ok(1)
    );
}

/// What the network does to one frame of an encoding.
#[derive(Debug, Clone)]
struct Event {
    encoding: u8,
    /// Frames further on, mostly one; 0 repeats, negative is late.
    step: i64,
    is_key: bool,
    temporal: u8,
    retarget: Option<Option<Layer>>,
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let step = prop_oneof![8 => Just(1_i64), 2 => -6_i64..6];
    let layer = (0_u8..3, 0_u8..3).prop_map(|(encoding, temporal)| Layer {
        temporal,
        ..Layer::whole(encoding)
    });
    let retarget = prop::option::weighted(0.05, prop::option::weighted(0.8, layer));
    let event = (0_u8..3, step, prop::bool::weighted(0.1), 0_u8..3, retarget).prop_map(
        |(encoding, step, is_key, temporal, retarget)| Event {
            encoding,
            step,
            is_key,
            temporal,
            retarget,
        },
    );
    prop::collection::vec(event, 1..500)
}

proptest! {
    /// Under loss, reordering, duplicates, switches and pauses: no output sequence number is used
    /// twice, be it for a packet without media, no input goes out twice, output follows the order within an encoding, and each switch
    /// is at a keyframe, behind all sequence numbers and timestamps before it.
    #[test]
    fn output_is_one_legal_stream(events in events()) {
        let source = Source::new();
        let mut forwarder = Forwarder::new(1_000, 0);
        let mut heads = [10_000_u64, 20_000, 30_000];
        let mut kinds = BTreeMap::new();
        let mut sent = BTreeSet::new();
        let mut outputs: BTreeMap<u64, (u8, u64, u32)> = BTreeMap::new();
        let mut filled = BTreeSet::new();
        let mut current = None;
        for (event, tick) in events.iter().zip(0_u64..) {
            if let Some(target) = event.retarget {
                forwarder.retarget(target);
                if target.is_none() {
                    current = None;
                }
            }
            let head = &mut heads[usize::from(event.encoding)];
            let sequence = head.saturating_add_signed(event.step);
            *head = (*head).max(sequence);
            // A packet looks the same whenever it comes; frames of an encoding are 40 ms apart.
            let kind = *kinds.entry((event.encoding, sequence)).or_insert(match event.temporal {
                _ if event.is_key => Key,
                0 => Delta,
                layer => Upper(layer),
            });
            let mut packet = source.vp8(sequence, sequence * 40, kind);
            packet.arrival = source.start + Duration::from_millis(tick * 10);
            let rewritten = match forwarder.decide(event.encoding, &packet, &[]) {
                Decision::Forward(rewritten) => rewritten,
                Decision::Fill(Rewritten { sequence, .. }) => {
                    let is_new = !outputs.contains_key(&sequence) && filled.insert(sequence);
                    prop_assert!(is_new, "number filled that was used");
                    continue;
                }
                Decision::Drop(_) => continue,
            };
            prop_assert!(!filled.contains(&rewritten.sequence), "number used that was filled");
            prop_assert!(sent.insert((event.encoding, sequence)), "sent twice");
            let out = (event.encoding, sequence, rewritten.timestamp);
            let newest = outputs.last_key_value().map(|(&number, &(_, _, time))| (number, time));
            if current == Some(event.encoding) {
                let before = outputs.range(..rewritten.sequence).next_back();
                let after = outputs.range(rewritten.sequence + 1..).next();
                for (neighbour, earlier) in [(before, true), (after, false)] {
                    if let Some((_, &(encoding, input, _))) = neighbour
                        && encoding == event.encoding
                    {
                        prop_assert_eq!(input < sequence, earlier, "order");
                    }
                }
            } else {
                prop_assert!(packet.is_keyframe, "switch without a keyframe");
                if let Some((number, timestamp)) = newest {
                    let number = filled.last().map_or(number, |filled| number.max(*filled));
                    prop_assert_eq!(rewritten.sequence, number + 1, "gap at the switch");
                    prop_assert!(rewritten.timestamp.wrapping_sub(timestamp).cast_signed() > 0);
                }
                current = Some(event.encoding);
            }
            prop_assert!(outputs.insert(rewritten.sequence, out).is_none(), "number used twice");
            prop_assert_eq!(forwarder.current().map(|layer| layer.encoding), current);
        }
    }

    /// A stream that loses nothing goes out without a gap, whichever layers are left out.
    #[test]
    fn a_whole_stream_has_no_gaps(
        frames in prop::collection::vec((0_u8..3, prop::bool::weighted(0.05), 0_u8..3), 1..300),
    ) {
        let source = Source::new();
        let mut forwarder = Forwarder::new(0, 0);
        let mut expected = 0;
        for (&(layer, is_key, target), sequence) in frames.iter().zip(1_u64..) {
            forwarder.retarget(Some(Layer { temporal: target, ..Layer::whole(0) }));
            let kind = match layer {
                _ if is_key => Key,
                0 => Delta,
                layer => Upper(layer),
            };
            let packet = source.vp8(sequence, sequence * 33, kind);
            if let Ok(output) = outcome(forwarder.decide(0, &packet, &[])) {
                prop_assert_eq!(output, expected);
                expected += 1;
            }
        }
    }
}
