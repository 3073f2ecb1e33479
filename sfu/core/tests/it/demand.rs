//! Publishers send what somebody takes: on at once, off when nobody asked for a while.

use plenum_proto::v1::VideoQuality::{High, Low, Medium};
use sfu_sim::{ClientOptions, World, millis, seconds};

const ALL: [(plenum_proto::v1::VideoQuality, bool); 3] =
    [(Low, true), (Medium, true), (High, true)];

#[test]
fn what_nobody_takes_is_switched_off_at_its_source_and_comes_back_at_once() {
    let mut world = World::new(70);
    let ann = world.enter("room", "ann");
    let bob = world.enter("room", "bob");
    let camera = world.publish_video(ann);
    let track = world.track_of(ann, camera);
    world.run_for(seconds(3));
    assert_eq!(
        world.demand(ann, camera),
        [],
        "nothing to say in the first seconds"
    );
    world.run_for(seconds(7));
    assert_eq!(
        world.demand(ann, camera),
        [(Low, false), (Medium, false), (High, true)]
    );
    world.ask_quality(bob, &track, Low);
    world.run_for(millis(200));
    assert_eq!(
        world.demand(ann, camera),
        [(Low, true), (Medium, false), (High, true)]
    );
    world.run_for(seconds(6));
    assert_eq!(
        world.demand(ann, camera),
        [(Low, true), (Medium, false), (High, false)]
    );
    let report = world.client(bob).report(camera);
    assert_eq!(report.encoding, 0);
    assert!(
        report.longest_gap < millis(100),
        "it saw none of that: {report:?}"
    );
    world.ask_quality(bob, &track, High);
    world.run_for(seconds(1));
    let report = world.client(bob).report(camera);
    assert_eq!(report.encoding, 2);
    assert!(
        report.longest_gap < millis(100),
        "the small picture filled the time: {report:?}"
    );
}

#[test]
fn a_camera_nobody_watches_is_switched_off_and_a_joiner_brings_it_back() {
    let mut world = World::new(71);
    let ann = world.enter("room", "ann");
    let camera = world.publish_video(ann);
    world.run_for(seconds(8));
    assert_eq!(
        world.demand(ann, camera),
        [(Low, false), (Medium, false), (High, false)]
    );
    let made = world.client(ann).frames_made(camera, 2);
    world.run_for(seconds(2));
    assert_eq!(world.client(ann).frames_made(camera, 2), made);
    let bob = world.enter("room", "bob");
    let took = world.wait_for(bob, camera, seconds(2));
    assert!(took < millis(600), "{took:?}");
    assert_eq!(
        world.demand(ann, camera),
        [(Low, false), (Medium, false), (High, true)]
    );
}

#[test]
fn a_publisher_that_stops_what_is_asked_for_sends_something_smaller_until_it_can_again() {
    for shards in [1, 2] {
        let mut world = World::spanning(75, shards, |_| {});
        let ann = world.enter("room", "ann");
        let bob = world.enter_as(ClientOptions::new("room", "bob").on(shards - 1));
        let camera = world.publish_video(ann);
        world.run_for(seconds(10));
        assert_eq!(
            world.demand(ann, camera),
            [(Low, false), (Medium, false), (High, true)]
        );
        let encoding = |world: &World| world.client(bob).report(camera).encoding;
        // Its link is not enough for more than the smallest; whoever asks for all gets that.
        world.stop_encoding(ann, camera, 1, true);
        world.stop_encoding(ann, camera, 2, true);
        world.run_for(seconds(5));
        assert_eq!(encoding(&world), 0);
        assert_eq!(world.demand(ann, camera), ALL);
        let before = world.client(bob).report(camera).frames;
        world.run_for(seconds(10));
        assert!(world.client(bob).report(camera).frames > before + 290);
        world.stop_encoding(ann, camera, 2, false);
        world.run_for(seconds(7));
        assert_eq!(encoding(&world), 2);
        assert_eq!(
            world.demand(ann, camera),
            [(Low, false), (Medium, false), (High, true)]
        );
        world.stop_encoding(ann, camera, 2, true);
        world.stop_encoding(ann, camera, 1, false);
        world.run_for(seconds(3));
        assert_eq!(encoding(&world), 1);
        // A camera that is muted owes nothing.
        world.mute(ann, camera, true, false);
        world.run_for(seconds(8));
        assert_eq!(
            world.demand(ann, camera),
            [(Low, false), (Medium, false), (High, true)]
        );
    }
}

#[test]
fn nobody_follows_an_encoding_that_its_publisher_tries_for_a_moment_again_and_again() {
    for heeds_demand in [true, false] {
        let mut world = World::new(76);
        let mut options = ClientOptions::new("room", "ann");
        options.heeds_demand = heeds_demand;
        let ann = world.enter_as(options);
        let bob = world.enter("room", "bob");
        let camera = world.publish_video(ann);
        world.run_for(seconds(10));
        world.stop_encoding(ann, camera, 1, true);
        world.stop_encoding(ann, camera, 2, true);
        world.run_for(seconds(5));
        let report = |world: &World| world.client(bob).report(camera);
        assert_eq!(report(&world).encoding, 0);
        // The smallest was sent all the time, unless it had been switched off.
        let gap = report(&world).longest_gap;
        let limit = if heeds_demand { 2_500 } else { 1_000 };
        assert!(gap < millis(limit), "{gap:?}");
        let before = report(&world);
        for _ in 0..6 {
            for encoding in [1, 2] {
                world.stop_encoding(ann, camera, encoding, false);
                world.run_for(millis(600));
                assert_eq!(report(&world).encoding, 0);
                world.stop_encoding(ann, camera, encoding, true);
                world.run_for(seconds(2));
            }
        }
        let frames = report(&world).frames - before.frames;
        assert!(frames > 29 * 31, "{frames} in 31 s");
        // When it stays it is believed, later than after a single fall.
        world.stop_encoding(ann, camera, 2, false);
        world.run_for(millis(1_700));
        assert_eq!(report(&world).encoding, 0);
        world.run_for(seconds(3));
        assert_eq!(report(&world).encoding, 2);
    }
}

#[test]
fn a_publisher_that_heeds_nothing_is_forwarded_all_the_same() {
    let mut world = World::new(72);
    let mut options = ClientOptions::new("room", "ann");
    options.heeds_demand = false;
    let ann = world.enter_as(options);
    let bob = world.enter("room", "bob");
    let camera = world.publish_video(ann);
    let track = world.track_of(ann, camera);
    world.run_for(seconds(10));
    world.ask_quality(bob, &track, Low);
    world.run_for(seconds(10));
    assert_eq!(world.client(bob).report(camera).encoding, 0);
    assert!(world.client(bob).report(camera).longest_gap < millis(100));
}

#[test]
fn sound_is_never_switched_off() {
    let mut world = World::new(73);
    let ann = world.enter("room", "ann");
    let voice = world.publish_audio(ann);
    world.run_for(seconds(20));
    assert_eq!(world.demand(ann, voice), []);
}

#[test]
fn a_client_that_resumes_is_told_again_what_is_wanted() {
    let mut world = World::new(74);
    let ann = world.enter("room", "ann");
    let bob = world.enter("room", "bob");
    let camera = world.publish_video(ann);
    let track = world.track_of(ann, camera);
    world.run_for(seconds(10));
    world.lose_control(ann);
    world.run_for(seconds(1));
    // While nobody can be told.
    world.ask_quality(bob, &track, Medium);
    world.run_for(seconds(7));
    assert_eq!(
        world.client(bob).report(camera).encoding,
        2,
        "there is no other"
    );
    world.resume(ann);
    world.run_for(seconds(1));
    assert_eq!(world.client(bob).report(camera).encoding, 1);
    assert!(world.demand(ann, camera).contains(&(Medium, true)));
    assert_ne!(world.demand(ann, camera), ALL);
}
