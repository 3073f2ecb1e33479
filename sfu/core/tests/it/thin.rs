//! Layers over links between nodes: of a scalable stream a link brings no more than somebody behind it takes, and
//! who takes more later gets it as it would beside the publisher.

use plenum_proto::v1::VideoQuality::{High, Low, Medium};
use sfu_sim::{
    ClientKey, ClientOptions, LinkSettings, SourceId, VideoSettings, World, millis, seconds,
};

fn enter(world: &mut World, identity: &str, node: usize) -> ClientKey {
    world.enter_as(ClientOptions::new("room", identity).on(node))
}

/// Ann shows a camera on the first of three nodes; Bob and Cat watch on the second, Dan on the third.
fn world(
    seed: u64,
    settings: VideoSettings,
    link: LinkSettings,
    copies: usize,
) -> (World, [ClientKey; 4], SourceId, String) {
    let mut world = World::of_nodes(seed, 3, link, |config| config.relay_copies = copies);
    let ann = enter(&mut world, "ann", 0);
    let camera = world.publish_video_as(ann, settings);
    let track = world.track_of(ann, camera);
    let [bob, cat, dan] =
        [("bob", 1), ("cat", 1), ("dan", 2)].map(|(name, node)| enter(&mut world, name, node));
    world.run_for(seconds(4));
    (world, [ann, bob, cat, dan], camera, track)
}

/// Bits per second from one node to another.
fn rate(world: &mut World, from: usize, to: usize) -> u64 {
    let before = world.relayed_bytes(from, to);
    world.run_for(seconds(2));
    (world.relayed_bytes(from, to) - before) * 4
}

fn scalable() -> [VideoSettings; 5] {
    [
        VideoSettings::av1("L3T3_KEY"),
        VideoSettings::av1("L3T3"),
        VideoSettings::av1("S3T3"),
        VideoSettings::vp9("L3T3_KEY"),
        VideoSettings::vp9("L3T3"),
    ]
}

#[test]
fn a_link_brings_the_layers_that_somebody_behind_it_takes() {
    for (seed, settings) in (600..).zip(scalable()) {
        let case = format!("{:?}", settings.codec);
        let link = LinkSettings::delayed(millis(20));
        let (mut world, [ann, bob, cat, dan], camera, track) = world(seed, settings, link, 0);
        let whole = rate(&mut world, 0, 1);
        for (of_bob, of_cat, spatial) in [
            (Low, Low, [0, 0]),
            (Medium, Low, [1, 0]),
            (High, Low, [2, 0]),
            (Low, Medium, [0, 1]),
            (Low, High, [0, 2]),
            (Low, Low, [0, 0]),
        ] {
            let step = format!("{case}: {of_bob:?} and {of_cat:?}");
            let asked = world.keyframe_requests(ann, camera);
            world.ask_quality(bob, &track, of_bob);
            world.ask_quality(cat, &track, of_cat);
            world.run_for(seconds(2));
            let asked = world.keyframe_requests(ann, camera) - asked;
            assert!(asked <= 2, "{step}: {asked} keyframes asked for");
            let brought = rate(&mut world, 0, 1);
            // Packets are small here: a third of what is left out is what is told of it.
            let (least, most) = match of_bob.max(of_cat) {
                Low => (25, 45),
                Medium => (50, 75),
                _ => (90, 115),
            };
            let share = brought * 100 / whole;
            assert!((least..=most).contains(&share), "{step}: {share} %");
            for (key, spatial) in [(bob, spatial[0]), (cat, spatial[1]), (dan, 2)] {
                let report = world.client(key).report(camera);
                assert_eq!(report.spatial, spatial, "{step}");
                assert_eq!(
                    (report.undecodable, report.lost),
                    (0, 0),
                    "{step} {report:?}"
                );
                assert!(report.longest_gap < millis(200), "{step} {report:?}");
            }
        }
        let brought = rate(&mut world, 0, 2);
        assert!(brought * 100 / whole >= 80, "{case}: {brought} of {whole}");
    }
}

#[test]
fn fewer_frames_are_brought_where_fewer_are_shown() {
    // The fewest frames of the stream; of a second.
    for (seed, settings, fewest) in [
        (610, VideoSettings::default(), 15),
        (611, VideoSettings::vp9("L1T3"), 7),
        (612, VideoSettings::av1("L1T3"), 7),
    ] {
        let case = format!("{:?}", settings.codec);
        let link = LinkSettings::delayed(millis(20));
        let (mut world, [_, bob, cat, _], camera, track) = world(seed, settings, link, 0);
        let whole = rate(&mut world, 0, 1);
        for fps in [fewest, 30, 15] {
            for key in [bob, cat] {
                world.settings(key, &track, |settings| settings.fps = fps);
            }
            world.run_for(millis(1_500));
            // Of what is left out half is told: packets are small here.
            let most = fps * 50 / 30 + 55;
            let share = rate(&mut world, 0, 1) * 100 / whole;
            assert!(share <= most.into(), "{case}, {fps}: {share} %");
            let frames = world.frames_per_second(bob, camera);
            assert!(frames.abs_diff(fps.into()) <= 1, "{case}, {fps}: {frames}");
            let report = world.client(bob).report(camera);
            assert_eq!(
                (report.undecodable, report.lost),
                (0, 0),
                "{case} {report:?}"
            );
        }
    }
}

#[test]
fn who_sends_on_gets_what_is_taken_behind_it_and_sends_no_more_than_that() {
    let link = LinkSettings::delayed(millis(20));
    let settings = VideoSettings::av1("L3T3_KEY");
    let (mut world, [_, bob, cat, dan], camera, track) = world(620, settings, link, 1);
    let whole = rate(&mut world, 0, 1);
    assert_eq!(
        world.relayed(0, 2),
        0,
        "the second node sends on to the third"
    );
    for key in [bob, cat] {
        world.ask_quality(key, &track, Low);
    }
    world.run_for(seconds(2));
    assert!(rate(&mut world, 0, 1) * 100 / whole >= 80);
    assert_eq!(world.client(bob).report(camera).spatial, 0);
    assert_eq!(world.client(dan).report(camera).spatial, 2);
    world.ask_quality(bob, &track, High);
    world.ask_quality(dan, &track, Low);
    world.run_for(seconds(2));
    assert!(rate(&mut world, 0, 1) * 100 / whole >= 80);
    assert!(rate(&mut world, 1, 2) * 100 / whole <= 45);
    world.ask_quality(bob, &track, Low);
    world.run_for(seconds(2));
    assert!(rate(&mut world, 0, 1) * 100 / whole <= 45);
    for key in [bob, cat, dan] {
        let report = world.client(key).report(camera);
        assert_eq!(report.spatial, 0);
        assert_eq!((report.undecodable, report.lost), (0, 0), "{report:?}");
    }
}

#[test]
fn layers_change_over_a_lossy_and_disordered_link() {
    let link = LinkSettings {
        loss: 0.02,
        reordering: 0.02,
        ..LinkSettings::delayed(millis(20))
    };
    for (seed, settings) in (630..).zip(scalable()) {
        let case = format!("{:?}", settings.codec);
        let (mut world, [_, bob, cat, dan], camera, track) = world(seed, settings, link, 1);
        for round in 0..15 {
            for (offset, key) in [(0, bob), (1, cat), (2, dan)] {
                world.settings(key, &track, |settings| {
                    settings.quality = [0, 2, 1][(round + offset) % 3];
                    settings.fps = [0, 15, 8, 0][(round + offset) % 4];
                });
            }
            world.run_for(millis([300, 900, 1_700][round % 3]));
        }
        for key in [bob, cat, dan] {
            let report = world.client(key).report(camera);
            assert!(report.frames > 150, "{case} {report:?}");
            assert_eq!(report.undecodable, 0, "{case} {report:?}");
            assert!(report.longest_gap < millis(1_500), "{case} {report:?}");
        }
    }
}
