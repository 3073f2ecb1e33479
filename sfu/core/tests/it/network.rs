//! A client changes its network, asks how it is seen, or is gone: what the way to it does.

use std::net::SocketAddr;

use sfu_core::DropReason;
use sfu_sim::{LinkSettings, World, millis, seconds};

#[test]
fn a_client_that_changes_its_network_and_restarts_ice_misses_little() {
    let mut world = World::new(600);
    let people = [world.enter("room", "ann"), world.enter("room", "bob")];
    let cameras = people.map(|key| world.publish_video(key));
    world.run_for(seconds(4));
    let before = world.client(people[1]).id().to_owned();
    world.change_network(people[1]);
    world.lose_control(people[1]);
    world.resume(people[1]);
    world.restart_publisher(people[1]);
    world.run_for(seconds(3));
    assert_eq!(world.client(people[1]).id(), before, "the same stay");
    assert_eq!(world.closed(people[1]), None);
    // Offer, answer and check take a round trip and a half of 30 ms; a frame comes every 33 ms.
    for (viewer, camera) in [(people[0], cameras[1]), (people[1], cameras[0])] {
        let gap = world.client(viewer).report(camera).longest_gap;
        assert!(gap < millis(200), "{gap:?}");
        assert!(world.frames_per_second(viewer, camera) >= 29);
    }
}

#[test]
fn a_silent_client_is_gone_within_thirty_seconds_of_its_last_check() {
    let mut world = World::new(602);
    let ann = world.enter("room", "ann");
    let bob = world.enter("room", "bob");
    let voice = world.publish_audio(bob);
    world.wait_for(ann, voice, seconds(2));
    let idle = world.shard.stats();
    world.mute(bob, voice, true, false);
    world.run_for(seconds(1));
    let silent_from = world.now();
    world.set_link(bob, LinkSettings::lossy(1.0));
    let gone = world.run_until(seconds(40), |world| world.shard.stats().participants == 1);
    assert!(gone);
    let took = world.now() - silent_from;
    assert!(took <= seconds(30), "{took:?}");
    assert!(
        took > seconds(25),
        "a gap of the network is no end: {took:?}"
    );
    let stats = world.shard.stats();
    assert_eq!((stats.tracks, stats.subscriptions), (0, 0));
    assert_eq!((idle.tracks, idle.subscriptions), (1, 1));
}

#[test]
fn a_stranger_is_told_how_he_is_seen_ten_times_a_second() {
    let mut world = World::new(603);
    let _ann = world.enter("room", "ann");
    world.run_for(seconds(1));
    let stranger = SocketAddr::from(([198, 51, 100, 9], 4_444));
    let mut question = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    question.extend([7; 12]);
    for _ in 0..100 {
        world.inject(stranger, &question);
    }
    assert_eq!(world.stray(), vec![stranger; 10]);
    let stats = world.shard.stats();
    assert_eq!(stats.bindings_answered, 10);
    assert_eq!(stats.dropped(DropReason::BindingLimit), 90);
}
