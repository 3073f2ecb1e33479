//! Scalable video: each subscriber gets the spatial and temporal layers it shows, every change is one a decoder
//! can follow (the oracles see to that), and nothing is asked of the publisher that it need not do.

use plenum_proto::v1::VideoQuality::{High, Low, Medium};
use sfu_sim::{
    ClientKey, ClientOptions, LinkSettings, SourceId, VideoSettings, World, millis, seconds,
};

/// Ann shows a camera to Bob, who sees the largest picture.
fn world(
    seed: u64,
    settings: VideoSettings,
    link: LinkSettings,
) -> (World, ClientKey, ClientKey, SourceId, String) {
    let mut world = World::new(seed);
    let ann = world.enter_as(ClientOptions::new("room", "ann").over(link));
    let bob = world.enter_as(ClientOptions::new("room", "bob").over(link));
    let camera = world.publish_video_as(ann, settings);
    let track = world.track_of(ann, camera);
    world.run_for(seconds(3));
    (world, ann, bob, camera, track)
}

#[test]
fn the_spatial_layer_follows_the_wish() {
    for (seed, settings) in (200..).zip([
        VideoSettings::av1("L3T3_KEY"),
        VideoSettings::av1("L3T3"),
        VideoSettings::av1("L3T1"),
        VideoSettings::av1("S3T3"),
        VideoSettings::vp9("L3T3_KEY"),
        VideoSettings::vp9("L3T3"),
    ]) {
        let (mut world, ann, bob, camera, track) =
            world(seed, settings.clone(), LinkSettings::default());
        let case = format!("{:?}", settings.codec);
        assert_eq!(world.client(bob).report(camera).spatial, 2, "{case}");
        for (quality, spatial) in [
            (Low, 0),
            (Medium, 1),
            (High, 2),
            (Low, 0),
            (High, 2),
            (Medium, 1),
        ] {
            let asked = world.keyframe_requests(ann, camera);
            world.ask_quality(bob, &track, quality);
            world.run_for(seconds(2));
            let report = world.client(bob).report(camera);
            assert_eq!(report.spatial, spatial, "{case} {quality:?}");
            assert!(
                report.longest_gap < millis(150),
                "{case} {quality:?}: {report:?}"
            );
            assert_eq!(
                (report.undecodable, report.lost),
                (0, 0),
                "{case} {report:?}"
            );
            let asked = world.keyframe_requests(ann, camera) - asked;
            assert!(
                asked <= 1,
                "{case} {quality:?}: {asked} keyframes asked for"
            );
        }
        let frames = world.frames_per_second(bob, camera);
        assert!((28..=31).contains(&frames), "{case}: {frames}");
    }
}

#[test]
fn a_lower_layer_of_a_stream_predicted_throughout_is_taken_without_a_keyframe() {
    for (seed, settings) in [
        (210, VideoSettings::av1("L3T3")),
        (211, VideoSettings::vp9("L2T1")),
    ] {
        let (mut world, ann, bob, camera, track) = world(seed, settings, LinkSettings::default());
        let asked = world.keyframe_requests(ann, camera);
        world.ask_quality(bob, &track, Low);
        world.run_for(seconds(1));
        assert_eq!(world.client(bob).report(camera).spatial, 0);
        assert_eq!(world.keyframe_requests(ann, camera), asked);
    }
}

#[test]
fn the_size_of_the_tile_and_the_frame_rate_choose() {
    for (seed, settings) in [
        (220, VideoSettings::av1("L3T3_KEY")),
        (221, VideoSettings::vp9("L3T3")),
    ] {
        let (mut world, _, bob, camera, track) = world(seed, settings, LinkSettings::default());
        for (size, spatial) in [
            ((200, 112), 0),
            ((640, 360), 1),
            ((1_920, 1_080), 2),
            ((320, 180), 0),
        ] {
            world.settings(bob, &track, |settings| {
                (settings.width, settings.height) = size
            });
            world.run_for(seconds(2));
            assert_eq!(
                world.client(bob).report(camera).spatial,
                spatial,
                "{size:?}"
            );
        }
        for (fps, from, to) in [(15, 14, 16), (7, 7, 8), (30, 29, 31)] {
            world.settings(bob, &track, |settings| settings.fps = fps);
            world.run_for(millis(1_500));
            let frames = world.frames_per_second(bob, camera);
            assert!(
                (from..=to).contains(&frames),
                "{frames} where {fps} suffice"
            );
        }
    }
}

#[test]
fn the_frame_rate_chooses_where_only_the_dependency_descriptor_tells_of_layers() {
    let (mut world, ann, bob, camera, track) =
        world(225, VideoSettings::h264("L1T3"), LinkSettings::default());
    assert_eq!(world.client(bob).report(camera).undecodable, 0);
    let asked = world.keyframe_requests(ann, camera);
    for (fps, from, to) in [
        (15, 14, 16),
        (7, 7, 8),
        (30, 29, 31),
        (7, 7, 8),
        (15, 14, 16),
    ] {
        world.settings(bob, &track, |settings| settings.fps = fps);
        world.run_for(millis(1_500));
        let frames = world.frames_per_second(bob, camera);
        assert!(
            (from..=to).contains(&frames),
            "{frames} where {fps} suffice"
        );
    }
    assert_eq!(world.keyframe_requests(ann, camera), asked);
    let report = world.client(bob).report(camera);
    assert_eq!((report.undecodable, report.lost), (0, 0), "{report:?}");
}

#[test]
fn each_subscriber_gets_its_own_layers_and_the_publisher_is_told_the_highest() {
    let (mut world, ann, bob, camera, track) =
        world(230, VideoSettings::av1("L3T3_KEY"), LinkSettings::default());
    let cat = world.enter("room", "cat");
    let dan = world.enter("room", "dan");
    world.run_for(seconds(1));
    world.ask_quality(cat, &track, Low);
    world.ask_quality(dan, &track, Medium);
    world.run_for(seconds(2));
    for (key, spatial) in [(bob, 2), (cat, 0), (dan, 1)] {
        assert_eq!(world.client(key).report(camera).spatial, spatial);
    }
    world.ask_quality(bob, &track, Low);
    world.run_for(seconds(7));
    assert_eq!(
        world.demand(ann, camera),
        [(Low, true), (Medium, true), (High, false)]
    );
}

#[test]
fn simulcast_may_have_layers_inside() {
    let settings = VideoSettings {
        rids: vec!["q", "f"],
        ..VideoSettings::av1("L2T2")
    };
    let (mut world, _, bob, camera, track) = world(240, settings, LinkSettings::default());
    let report = world.client(bob).report(camera);
    assert_eq!((report.encoding, report.spatial), (1, 1));
    for quality in [Low, High, Low, High] {
        world.ask_quality(bob, &track, quality);
        world.run_for(seconds(2));
        let report = world.client(bob).report(camera);
        assert_eq!(report.encoding, u8::from(quality == High), "{quality:?}");
        assert!(report.longest_gap < millis(150), "{report:?}");
    }
}

#[test]
fn layers_change_on_a_lossy_and_disordered_link() {
    let link = LinkSettings {
        jitter: millis(10),
        reordering: 0.02,
        ..LinkSettings::lossy(0.02)
    };
    for (seed, settings) in (250..).zip([
        VideoSettings::av1("L3T3_KEY"),
        VideoSettings::av1("L3T3"),
        VideoSettings::vp9("L3T3_KEY"),
        VideoSettings::vp9("L2T3"),
    ]) {
        let (mut world, _, bob, camera, track) = world(seed, settings.clone(), link);
        let case = format!("{:?}", settings.codec);
        for round in 0..12 {
            world.settings(bob, &track, |settings| {
                settings.quality = [0, 2, 1][round % 3];
                settings.fps = [0, 15, 8, 0][round % 4];
            });
            world.run_for(seconds(2));
        }
        let report = world.client(bob).report(camera);
        assert!(report.frames > 300, "{case} {report:?}");
        assert!(report.lost * 200 <= report.packets, "{case} {report:?}");
        assert!(
            report.undecodable * 20 <= report.frames,
            "{case} {report:?}"
        );
        assert!(report.longest_gap < millis(1_500), "{case} {report:?}");
    }
}

#[test]
fn layers_follow_a_limited_link_down_and_up() {
    let limited = |rate| LinkSettings::limited(rate, millis(300));
    for (seed, settings) in (260..).zip([
        VideoSettings::av1("L3T3_KEY"),
        VideoSettings::av1("L3T3"),
        VideoSettings::vp9("L3T3_KEY"),
        VideoSettings::vp9("L3T3"),
    ]) {
        let settings = VideoSettings {
            bitrates: vec![90_000, 260_000, 950_000],
            ..settings
        };
        let (mut world, _, bob, camera, _) = world(seed, settings.clone(), LinkSettings::default());
        for (rate, spatial) in [
            (3_000_000, 2),
            (600_000, 1),
            (3_000_000, 2),
            (200_000, 0),
            (3_000_000, 2),
        ] {
            world.set_downlink(bob, limited(rate));
            world.run_for(seconds(12));
            let before = world.client(bob).report(camera);
            world.run_for(seconds(5));
            let report = world.client(bob).report(camera);
            let case = format!("{:?} at {rate}: {before:?}, {report:?}", settings.codec);
            assert_eq!(report.spatial, spatial, "{case}");
            assert!(report.switches - before.switches <= 2, "{case}");
            assert_eq!(report.undecodable, before.undecodable, "{case}");
            assert!(report.frames - before.frames >= 5 * 25, "{case}");
            assert!(report.longest_gap < seconds(2), "{case}");
        }
        let report = world.client(bob).report(camera);
        assert!(report.undecodable * 100 <= report.frames, "{report:?}");
    }
}
