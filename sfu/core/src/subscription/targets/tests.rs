use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Instant,
};

use proptest::prelude::*;
use sfu_sim::{LayerFrame, Scalability};

use super::*;
use crate::rtp::{Codec, DependencyDescriptor, ExtensionValues, LayerReader};

/// A stream as a publisher sends it, each frame in two packets.
struct Source {
    mode: Scalability,
    /// All but VP9 have dependency descriptors.
    codec: Codec,
    reader: LayerReader,
    number: u16,
    picture: u32,
    since_key: u32,
    sequence: u64,
}

struct Sent {
    frame: LayerFrame,
    number: u16,
    packets: Vec<Packet>,
}

impl Source {
    fn new(name: &str, codec: Codec) -> Self {
        Self {
            mode: Scalability::named(name).unwrap(),
            codec,
            reader: LayerReader::default(),
            number: 65_500,
            picture: u32::MAX - 5,
            since_key: 0,
            sequence: 0,
        }
    }

    /// The frames of the next picture.
    fn picture(&mut self, is_key: bool) -> Vec<Sent> {
        if is_key {
            self.since_key = 0;
        }
        let frames = self.mode.picture(self.since_key);
        let is_key = self.since_key == 0;
        self.since_key += 1;
        self.picture = self.picture.wrapping_add(1);
        let top = frames.len() - 1;
        frames
            .into_iter()
            .enumerate()
            .map(|(place, frame)| {
                let number = self.number;
                self.number = number.wrapping_add(1);
                let packets = [(true, false), (false, true)].map(|ends| {
                    let told = is_key && place == 0 && ends.0;
                    self.packet(&frame, number, ends, told, place == top && ends.1)
                });
                Sent {
                    frame,
                    number,
                    packets: packets.into(),
                }
            })
            .collect()
    }

    fn packet(
        &mut self,
        frame: &LayerFrame,
        number: u16,
        ends: (bool, bool),
        told: bool,
        marker: bool,
    ) -> Packet {
        let size = told.then_some((1_280, 720));
        let mut extensions = ExtensionValues::default();
        let mut payload = if self.codec == Codec::Vp9 {
            let id = (self.picture & 0x7fff) as u16;
            self.mode.vp9_descriptor(frame, id, 0, ends, size)
        } else {
            let bytes = self.mode.descriptor(frame, number, ends, size);
            extensions
                .user_values
                .set(DependencyDescriptor(Arc::from(bytes)));
            // What is in the payload does not matter.
            vec![0x67]
        };
        payload.resize(100, 7);
        let (payload, arrival) = (Arc::from(payload), Instant::now());
        let mut packet = Packet::parse(
            self.codec,
            0,
            self.picture,
            marker,
            payload,
            &extensions,
            arrival,
        );
        packet.sequence = self.sequence;
        self.sequence += 1;
        self.reader.read(&mut packet);
        if self.codec != Codec::Vp9 {
            assert_eq!(packet.is_keyframe, told, "{:?}", self.codec);
        }
        packet
    }
}

/// Codecs whose layers are told, each in its own way or by dependency descriptors.
const CODECS: [Codec; 4] = [Codec::Av1, Codec::H264, Codec::H265, Codec::Vp9];

/// A receiver that can only decode what it has everything of.
#[derive(Default)]
struct Receiver {
    decoded: BTreeSet<u16>,
}

impl Receiver {
    /// Takes what is forwarded of a picture; returns its spatial layers as digits, "-" for none.
    fn take(&mut self, filter: &mut TargetFilter, picture: &[Sent], wish: (u8, u8)) -> String {
        let mut layers = String::new();
        let mut ends = Vec::new();
        for sent in picture {
            let passages: Vec<_> = sent
                .packets
                .iter()
                .map(|packet| filter.admits(packet, packet.frame.as_ref().unwrap(), wish))
                .collect();
            let [first, last] = passages[..] else {
                panic!("two packets")
            };
            assert_eq!(first.is_some(), last.is_some(), "a frame has one fate");
            let (Some(first), Some(last)) = (first, last) else {
                continue;
            };
            for back in &sent.frame.distances {
                let needed = sent.number.wrapping_sub((*back).into());
                let number = sent.number;
                assert!(
                    self.decoded.contains(&needed),
                    "{number} refers to {needed}, left out"
                );
            }
            self.decoded.insert(sent.number);
            assert!(!first.marker, "in the middle of a frame");
            ends.push((sent.frame.spatial, last.marker));
            layers += &sent.frame.spatial.to_string();
        }
        ends.sort_unstable();
        let ends: Vec<_> = ends.into_iter().map(|(_, is_end)| is_end).collect();
        if let Some((last, before)) = ends.split_last() {
            assert!(
                *last && !before.contains(&true),
                "one end, and at the end: {ends:?}"
            );
            return layers;
        }
        "-".into()
    }
}

#[test]
fn layers_follow_the_wish_where_they_can_be_decoded() {
    // Mode, wishes picture by picture ("k": a keyframe), spatial layers that go of each.
    for (name, wishes, expected) in [
        // Up in rate where the faster layer refers to nothing that was left out.
        ("L1T3", "k00 00 01 02 02 02 02", "0 - 0 0 0 0 0"),
        ("L1T3", "k00 00 00 00 07 07 07 07", "0 - - - 0 0 0 0"),
        // Down at once, up at a keyframe.
        ("L2T1", "k77 77 07 07 77 77 k77 77", "01 01 0 0 0 0 01 01"),
        (
            "L3T3",
            "k77 77 17 17 17 17 17 k77",
            "012 012 01 01 01 01 01 012",
        ),
        ("L3T1", "k07 07 17 k17 17 77", "0 0 0 01 01 01"),
        // Fewer frames need no keyframe, even while one is waited for.
        ("L3T3", "k07 07 07 07 07 70 70 70 70", "0 0 0 0 0 - - - 0"),
        // What only keyframes predict is not sent otherwise: a change waits for one, down as well.
        (
            "L3T3_KEY",
            "k77 77 77 77 77 17 17 k17 17 07",
            "012 2 2 2 2 2 2 01 1 0",
        ),
        ("L2T2_KEY", "k07 07 07 07 77 k77 77", "0 0 0 0 0 01 1"),
        // Unless nothing of the slowest layer was left out yet.
        ("L3T3_KEY", "k77 77 77 17 17 17", "012 2 2 - 1 1"),
        // Independent layers; how to read them comes with the lowest.
        ("S3T3", "k77 77 77 17 k17 17", "02 2 2 - 01 1"),
        ("S2T1", "k07 07 77 k77 77", "0 0 0 01 1"),
    ] {
        for codec in CODECS {
            let mut source = Source::new(name, codec);
            let mut receiver = Receiver::default();
            let mut filter = None;
            let mut layers = Vec::new();
            for step in wishes.split(' ') {
                let digits = step.trim_start_matches('k').as_bytes();
                let wish = (digits[0] - b'0', digits[1] - b'0');
                let picture = source.picture(step.starts_with('k'));
                let begin = || TargetFilter::new(&picture[0].packets[0]);
                let filter = filter.get_or_insert_with(begin);
                layers.push(receiver.take(filter, &picture, wish));
            }
            let case = format!("{name} {wishes}, {codec:?}");
            assert_eq!(layers.join(" "), expected, "{case}");
        }
    }
}

#[test]
fn a_receiver_is_told_which_targets_are_left() {
    let mut source = Source::new("L2T2", Codec::Av1);
    let mut filter = None;
    let mut told = Vec::new();
    for (is_key, wish) in [
        (true, (7, 7)),
        (false, (7, 7)),
        (false, (0, 7)),
        (false, (0, 7)),
        (false, (0, 0)),
        (true, (0, 7)),
        (true, (7, 7)),
        (false, (7, 7)),
    ] {
        let picture = source.picture(is_key);
        let filter = filter.get_or_insert_with(|| TargetFilter::new(&picture[0].packets[0]));
        let packet = &picture[0].packets[0];
        let passage = filter.admits(packet, packet.frame.as_ref().unwrap(), wish);
        told.push(
            passage
                .and_then(|passage| passage.active)
                .map_or(0, NonZeroU32::get),
        );
        for packet in picture.iter().flat_map(|sent| &sent.packets).skip(1) {
            let passage = filter.admits(packet, packet.frame.as_ref().unwrap(), wish);
            let active = passage.and_then(|passage| passage.active);
            assert!(active.is_none() || packet.frame.as_ref().unwrap().starts);
        }
    }
    // With frames of the slowest layer, and only when fewer are sent than the publisher says.
    assert_eq!(told, [0, 0, 0b0011, 0, 0b0001, 0b0011, 0, 0]);
}

#[test]
fn a_picture_that_comes_late_is_judged_by_what_was_wanted_at_its_place() {
    let (whole, lowest) = ((2, 2), (0, 0));
    for codec in CODECS {
        let mut source = Source::new("L3T3", codec);
        let pictures: Vec<_> = (0..8).map(|n| source.picture(n == 0)).collect();
        let first = &pictures[0][0].packets[0];
        let mut filter = TargetFilter::new(first);
        let mut receiver = Receiver::default();
        let mut take = |n: usize, wish| receiver.take(&mut filter, &pictures[n], wish);
        // Those after 3 were overtaken by others, which were forwarded and may refer to it.
        for (picture, wish, expected) in [
            (0, whole, "012"),
            (1, whole, "012"),
            (2, whole, "012"),
            (4, whole, "012"),
            (5, lowest, "-"),
            (3, lowest, "012"),
            (7, lowest, "-"),
            // What was left out at its place stays so.
            (6, whole, "-"),
        ] {
            assert_eq!(take(picture, wish), expected, "{picture}, {codec:?}");
        }
    }
}

#[test]
fn a_keyframe_overtaken_by_what_is_left_out_brings_back_no_layer_above() {
    for (name, codec) in ["L3T3", "L3T3_KEY", "S3T3"]
        .into_iter()
        .flat_map(|name| CODECS.map(|codec| (name, codec)))
    {
        let mut source = Source::new(name, codec);
        let mut receiver = Receiver::default();
        let first = source.picture(true);
        let mut filter = TargetFilter::new(&first[0].packets[0]);
        assert_eq!(receiver.take(&mut filter, &first, (0, 2)), "0", "{name}");
        // The second layer of the next keyframe comes before all others, when it is not served.
        let mut shuffled = source.picture(true);
        shuffled.swap(0, 1);
        receiver.take(&mut filter, &shuffled, (1, 2));
        for _ in 0..9 {
            // Fails where something refers to what was left out.
            receiver.take(&mut filter, &source.picture(false), (1, 2));
        }
        assert_eq!(
            receiver.take(&mut filter, &source.picture(true), (1, 2)),
            "01",
            "{name} {codec:?}"
        );
    }
}

#[test]
fn a_packet_that_comes_late_shares_the_fate_of_its_frame() {
    let mut source = Source::new("L2T1", Codec::Av1);
    let pictures: Vec<_> = (0..3).map(|n| source.picture(n == 0)).collect();
    let packet =
        |picture: usize, layer: usize, part: usize| &pictures[picture][layer].packets[part];
    let mut filter = TargetFilter::new(packet(0, 0, 0));
    let mut goes = |packet: &Packet, wish| {
        filter
            .admits(packet, packet.frame.as_ref().unwrap(), wish)
            .is_some()
    };
    assert!(goes(packet(0, 0, 0), (7, 7)));
    assert!(goes(packet(0, 1, 0), (7, 7)));
    assert!(goes(packet(1, 0, 0), (0, 7)));
    assert!(!goes(packet(1, 1, 1), (0, 7)));
    assert!(
        goes(packet(0, 1, 1), (0, 7)),
        "of a frame that was forwarded"
    );
    assert!(goes(packet(2, 0, 0), (7, 7)));
    assert!(
        !goes(packet(1, 1, 0), (7, 7)),
        "of a frame that was left out"
    );
    assert!(!goes(packet(2, 1, 0), (7, 7)));
    assert!(
        filter.is_stuck(),
        "only a keyframe brings the upper layer back"
    );
    assert_eq!(filter.current(), (0, 0));
}

proptest! {
    /// Whatever is wished when, and wherever keyframes come: what is forwarded can be decoded, each picture has
    /// one end, and after a keyframe the wish is served.
    #[test]
    fn what_is_forwarded_can_be_decoded(
        name in prop::sample::select(&[
            "L1T1", "L1T2", "L1T3", "L2T1", "L2T2_KEY", "L2T3", "L3T1_KEY", "L3T3", "L3T3_KEY",
            "S2T1", "S3T3",
        ][..]),
        codec in prop::sample::select(&CODECS[..]),
        steps in prop::collection::vec(
            (prop::bool::weighted(0.1), prop::option::weighted(0.2, (0_u8..4, 0_u8..4))),
            1..120,
        ),
    ) {
        let mut source = Source::new(name, codec);
        let mut receiver = Receiver::default();
        let mut filter = None;
        let mut wish = (7, 7);
        for (is_key, change) in steps {
            wish = change.unwrap_or(wish);
            let picture = source.picture(is_key);
            let begin = || TargetFilter::new(&picture[0].packets[0]);
            let filter = filter.get_or_insert_with(begin);
            let is_key = !picture[0].frame.is_inter_picture;
            receiver.take(filter, &picture, wish);
            if is_key {
                let mode = source.mode;
                let (spatial, temporal) = filter.current();
                prop_assert!(!filter.is_stuck());
                prop_assert_eq!(spatial, wish.0.min(mode.spatial - 1));
                if codec != Codec::Vp9 {
                    prop_assert_eq!(temporal, wish.1.min(mode.temporal - 1));
                }
            }
        }
    }

    /// The same when packets overtake others by far, and some never come: none refers to what was left out.
    #[test]
    fn what_is_forwarded_out_of_order_can_be_decoded(
        name in prop::sample::select(&["L1T3", "L2T1", "L2T2_KEY", "L3T3", "L3T3_KEY", "S3T3"][..]),
        codec in prop::sample::select(&CODECS[..]),
        steps in prop::collection::vec(
            (
                prop::bool::weighted(0.1),
                prop::option::weighted(0.2, (0_u8..4, 0_u8..4)),
            ),
            1..40,
        ),
        // What another node, on which it is published, hands on whole, first and then, and when that changes.
        bounds in prop::option::of(((1_u8..4, 1_u8..4), (0_u8..4, 0_u8..4), 0..40_usize)),
        delays in prop::collection::btree_map(1..240_usize, 1..150_usize, 0..60),
        lost in prop::collection::btree_set(1..240_usize, 0..6),
    ) {
        let mut source = Source::new(name, codec);
        let pictures: Vec<_> = steps.iter().map(|(is_key, ..)| source.picture(*is_key)).collect();
        let wishes = steps.iter().scan((7, 7), |wish, (_, change)| {
            *wish = change.unwrap_or(*wish);
            Some(*wish)
        });
        let wishes: Vec<_> = wishes.collect();
        let bound = |picture: usize| match bounds {
            Some((first, _, change)) if picture < change => first,
            Some((_, then, _)) => then,
            None => (7, 7),
        };
        // Of each packet: when it comes, its picture, frame and place.
        let mut order = Vec::new();
        for (picture, frames) in pictures.iter().enumerate() {
            for (frame, sent) in frames.iter().enumerate() {
                for place in 0..sent.packets.len() {
                    // The first is what a viewer begins with.
                    let late = delays.get(&order.len()).copied().unwrap_or(0);
                    order.push((order.len() + late, picture, frame, place));
                }
            }
        }
        let lost: BTreeSet<_> = lost.iter().filter_map(|index| order.get(*index)).copied().collect();
        order.retain(|packet| !lost.contains(packet));
        order.sort_by_key(|(when, ..)| *when);
        let mut filter = TargetFilter::new(&pictures[0][0].packets[0]);
        let mut newest = 0;
        let mut passed = BTreeMap::new();
        for (_, picture, frame, place) in order {
            newest = newest.max(picture);
            let packet = pictures[picture][frame].packets[place].clone();
            let packet = packet.thin(bound(picture)).unwrap_or(packet);
            let wish = packet.bounded(wishes[newest]);
            let passage = filter.admits(&packet, packet.frame.as_ref().unwrap(), wish);
            prop_assert!(passage.is_none() || !packet.is_cut_short(), "cut short");
            passed.insert((picture, frame, place), passage);
        }
        // Frames of which nothing is known to have been left out.
        let mut there = BTreeSet::new();
        for (picture, frames) in pictures.iter().enumerate() {
            let (mut ends, mut has_end) = (Vec::new(), true);
            for (frame, sent) in frames.iter().enumerate() {
                let parts = [0, 1].map(|place| passed.get(&(picture, frame, place)));
                let mut fates = parts.iter().flatten().map(|passage| passage.is_some());
                let is_forwarded = fates.next();
                prop_assert!(fates.all(|fate| Some(fate) == is_forwarded), "a frame has one fate");
                if is_forwarded == Some(false) {
                    continue;
                }
                there.insert(sent.number);
                let references = sent.frame.distances.iter();
                let left_out = references
                    .map(|back| sent.number.wrapping_sub((*back).into()))
                    .find(|number| is_forwarded.is_some() && !there.contains(number));
                prop_assert_eq!(left_out, None, "what {} refers to", sent.number);
                match is_forwarded {
                    Some(_) => ends.push(parts[1].map(|last| last.unwrap().marker)),
                    None => has_end = false,
                }
            }
            if let Some((last, before)) = ends.split_last() {
                let is_end = last.unwrap_or(true) || !has_end;
                let is_end = is_end && !before.contains(&Some(true));
                prop_assert!(is_end, "one end, and at the end: {:?}", ends);
            }
        }
    }
}
