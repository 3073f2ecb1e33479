//! Media that stops and goes on: mute, unsubscribe and unpublish.

use plenum_proto::node::session_event::Kind as Told;
use sfu_sim::{World, millis, seconds};

use crate::shape::offers_of_the_node;

#[test]
fn mute_stops_media_and_unmute_resumes_it() {
    for goes_on_sending in [false, true] {
        let mut world = World::new(20);
        let ann = world.enter("room", "ann");
        let bob = world.enter("room", "bob");
        let camera = world.publish_video(ann);
        let voice = world.publish_audio(ann);
        world.run_for(seconds(2));
        for muted in [true, false, true, false] {
            for source in [camera, voice] {
                world.mute(ann, source, muted, goes_on_sending);
            }
            world.run_for(millis(600));
            let shown = world.client(bob).participant("ann").expect("ann is here");
            assert!(shown.tracks.iter().all(|track| track.muted == muted));
            let (frames, sounds) = (
                world.frames_per_second(bob, camera),
                world.frames_per_second(bob, voice),
            );
            if muted {
                assert_eq!((frames, sounds), (0, 0), "sends on: {goes_on_sending}");
            } else {
                assert!(
                    frames >= 25 && sounds >= 45,
                    "{frames}, {sounds}: {goes_on_sending}"
                );
            }
        }
    }
}

#[test]
fn a_track_taken_up_again_flows() {
    let mut world = World::new(21);
    let ann = world.enter("room", "ann");
    let bob = world.enter("room", "bob");
    let camera = world.publish_video(ann);
    let track = world.track_of(ann, camera);
    world.run_for(seconds(2));
    for _ in 0..3 {
        world.subscribe(bob, &track, false);
        world.run_for(millis(500));
        assert_eq!(world.frames_per_second(bob, camera), 0);
        world.subscribe(bob, &track, true);
        world.run_for(millis(500));
        assert!(world.frames_per_second(bob, camera) >= 25);
    }
}

#[test]
fn a_section_given_back_serves_another_track() {
    let mut world = World::new(22);
    let ann = world.enter("room", "ann");
    let bob = world.enter("room", "bob");
    let first = world.publish_video(ann);
    world.run_for(seconds(2));
    let mid = world.client(bob).stream(first).map(|stream| stream.mid());
    assert!(mid.is_some());
    world.unpublish(ann, first);
    world.run_for(seconds(1));
    let second = world.publish_video(ann);
    world.run_for(seconds(2));
    assert!(world.frames_per_second(bob, second) >= 25);
    assert_eq!(
        world.client(bob).stream(second).map(|stream| stream.mid()),
        mid
    );
}

#[test]
fn one_offer_gives_a_section_back_and_names_the_next_track() {
    let mut world = World::new(25);
    let ann = world.enter("room", "ann");
    let bob = world.enter("room", "bob");
    let first = world.publish_video(ann);
    world.run_for(seconds(2));
    let before = offers_of_the_node(&world, bob);
    world.unpublish(ann, first);
    let second = world.publish_video(ann);
    world.run_for(seconds(2));
    assert!(world.frames_per_second(bob, second) >= 25);
    assert_eq!(offers_of_the_node(&world, bob), before + 1);
    // Nothing else is to be offered: it is given back all the same.
    world.unpublish(ann, second);
    world.run_for(seconds(1));
    assert_eq!(offers_of_the_node(&world, bob), before + 2);
}

#[test]
fn tracks_change_hands_quickly_without_mixing() {
    let mut world = World::new(23);
    let ann = world.enter("room", "ann");
    let bob = world.enter("room", "bob");
    let cameras = [
        world.publish_video(ann),
        world.publish_video(ann),
        world.publish_video(ann),
    ];
    let tracks: Vec<_> = cameras
        .iter()
        .map(|camera| world.track_of(ann, *camera))
        .collect();
    world.run_for(seconds(1));
    for round in 0..40 {
        let track = &tracks[round % 3];
        world.subscribe(bob, track, round % 2 == 0);
        world.run_for(millis(10 + 13 * (round as u64 % 7)));
    }
    for track in &tracks {
        world.subscribe(bob, track, true);
    }
    world.run_for(seconds(3));
    for camera in cameras {
        assert!(world.frames_per_second(bob, camera) >= 25);
    }
}

#[test]
fn what_is_unpublished_ends_for_everybody() {
    let mut world = World::new(24);
    let ann = world.enter("room", "ann");
    let bob = world.enter("room", "bob");
    let camera = world.publish_video(ann);
    let voice = world.publish_audio(ann);
    let track = world.track_of(ann, camera);
    world.run_for(seconds(2));
    world.unpublish(ann, camera);
    world.run_for(seconds(1));
    let unpublished = world
        .client(ann)
        .told()
        .any(|told| matches!(told, Told::TrackUnpublished(gone) if gone.track_id == track));
    assert!(unpublished, "its publisher was not told");
    let shown = world.client(bob).participant("ann").expect("ann is here");
    assert_eq!(shown.tracks.len(), 1);
    assert_eq!(world.frames_per_second(bob, camera), 0);
    assert!(
        world.frames_per_second(bob, voice) >= 45,
        "the other goes on"
    );
    assert_eq!(world.shard.stats().tracks, 1);
    assert_eq!(world.shard.stats().subscriptions, 1);
}
