//! What a subscriber asks to see: the layer follows, and every change is one a decoder can follow (the
//! oracles see to that).

use plenum_proto::v1::VideoQuality::{High, Low, Medium, Off};
use sfu_sim::{ClientKey, SourceId, World, millis, seconds};

/// Ann shows a camera to Bob, who sees the largest picture.
fn world(seed: u64) -> (World, ClientKey, ClientKey, SourceId, String) {
    let mut world = World::new(seed);
    let ann = world.enter("room", "ann");
    let bob = world.enter("room", "bob");
    let camera = world.publish_video(ann);
    let track = world.track_of(ann, camera);
    world.run_for(seconds(3));
    assert_eq!(world.client(bob).report(camera).encoding, 2);
    (world, ann, bob, camera, track)
}

#[test]
fn the_picture_follows_the_wish_for_a_step() {
    let (mut world, _, bob, camera, track) = world(10);
    for (quality, encoding) in [
        (Low, 0),
        (Medium, 1),
        (High, 2),
        (Low, 0),
        (High, 2),
        (Medium, 1),
    ] {
        let switches = world.client(bob).report(camera).switches;
        world.ask_quality(bob, &track, quality);
        world.run_for(seconds(2));
        let report = world.client(bob).report(camera);
        assert_eq!(report.encoding, encoding, "{quality:?}");
        assert_eq!(report.switches, switches + 1, "{quality:?}: straight there");
        assert!(report.longest_gap < millis(100), "{quality:?}: {report:?}");
    }
}

#[test]
fn the_picture_follows_the_size_it_is_shown_at() {
    let (mut world, _, bob, camera, track) = world(11);
    for (size, encoding) in [
        ((200, 112), 0),
        ((640, 360), 1),
        ((1920, 1080), 2),
        ((320, 180), 0),
    ] {
        world.settings(bob, &track, |settings| {
            (settings.width, settings.height) = size
        });
        world.run_for(seconds(2));
        assert_eq!(
            world.client(bob).report(camera).encoding,
            encoding,
            "{size:?}"
        );
    }
}

#[test]
fn a_hidden_picture_is_not_sent_and_comes_back_with_a_keyframe() {
    let (mut world, _, bob, camera, track) = world(12);
    for hide in [true, false, true, false] {
        world.settings(bob, &track, |settings| settings.disabled = hide);
        world.run_for(millis(700));
        let fps = world.frames_per_second(bob, camera);
        assert_eq!(fps == 0, hide, "{fps} frames");
    }
    world.ask_quality(bob, &track, Off);
    world.run_for(millis(200));
    assert_eq!(world.frames_per_second(bob, camera), 0);
}

#[test]
fn fewer_frames_are_sent_where_fewer_suffice() {
    let (mut world, _, bob, camera, track) = world(13);
    // Whether it begins with a smaller picture is not the question here.
    world.run_for(seconds(1));
    let keyframes = world.client(bob).report(camera).keyframes;
    for (fps, from, to) in [(15, 14, 16), (0, 29, 31), (10, 14, 16), (30, 29, 31)] {
        world.settings(bob, &track, |settings| settings.fps = fps);
        world.run_for(millis(700));
        let frames = world.frames_per_second(bob, camera);
        assert!(
            (from..=to).contains(&frames),
            "{frames} where {fps} suffice"
        );
    }
    assert_eq!(
        world.client(bob).report(camera).keyframes,
        keyframes,
        "no keyframe was needed for it"
    );
}

#[test]
fn a_burst_of_wishes_ends_at_the_last() {
    let (mut world, ann, bob, camera, track) = world(14);
    let asked = world.keyframe_requests(ann, camera);
    for round in 0..40 {
        let quality = [Low, High, Medium][round % 3];
        world.ask_quality(bob, &track, quality);
        world.run_for(millis(30));
    }
    world.ask_quality(bob, &track, Medium);
    world.run_for(seconds(2));
    assert_eq!(world.client(bob).report(camera).encoding, 1);
    let asked = world.keyframe_requests(ann, camera) - asked;
    assert!(
        asked <= 3 * 4,
        "{asked} keyframe requests in 1.2 s, for three encodings"
    );
}

#[test]
fn each_subscriber_gets_its_own_layer() {
    let (mut world, _, bob, camera, track) = world(15);
    let cat = world.enter("room", "cat");
    let dan = world.enter("room", "dan");
    world.run_for(seconds(1));
    world.ask_quality(cat, &track, Low);
    world.ask_quality(dan, &track, Medium);
    world.run_for(seconds(2));
    for (key, encoding) in [(bob, 2), (cat, 0), (dan, 1)] {
        assert_eq!(world.client(key).report(camera).encoding, encoding);
    }
}
