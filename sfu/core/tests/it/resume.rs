//! The control connection breaks and comes back: media does not notice.

use plenum_proto::{
    node::{CloseAction, TransportRole, session_event::Kind as Told},
    v1::CloseReason,
};
use sfu_core::Command;
use sfu_sim::{World, millis, seconds};

#[test]
fn media_goes_on_without_a_control_connection_and_resume_takes_up_the_stay() {
    let mut world = World::new(40);
    let ann = world.enter("room", "ann");
    let bob = world.enter("room", "bob");
    let ann_camera = world.publish_video(ann);
    let bob_camera = world.publish_video(bob);
    world.run_for(seconds(3));
    let id = world.client(bob).id().to_owned();
    world.lose_control(bob);
    world.run_for(seconds(10));
    assert!(world.client(bob).report(ann_camera).longest_gap < millis(100));
    assert!(world.client(ann).report(bob_camera).longest_gap < millis(100));
    world.resume(bob);
    world.run_for(millis(500));
    let told: Vec<_> = world.client(bob).told().collect();
    assert!(matches!(told.first(), Some(Told::Resumed(_))), "{told:?}");
    assert_eq!(world.client(bob).id(), id, "the same stay");
    let restarts = told.iter().any(|told| {
        matches!(told, Told::Description(offer)
            if offer.is_offer && offer.role() == TransportRole::Subscribe)
    });
    assert!(restarts, "an offer that restarts ICE");
    world.restart_publisher(bob);
    world.run_for(seconds(3));
    assert!(world.frames_per_second(bob, ann_camera) >= 29);
    assert!(world.frames_per_second(ann, bob_camera) >= 29);
    assert_eq!(world.shard.stats().resumes, 1);
    // What is published afterwards comes by the connection of before.
    let voice = world.publish_audio(ann);
    world.wait_for(bob, voice, seconds(1));
    world.run_for(seconds(60));
    assert_eq!(world.closed(bob), None);
}

#[test]
fn what_happened_meanwhile_is_told_at_the_resume() {
    let mut world = World::new(41);
    let ann = world.enter("room", "ann");
    let bob = world.enter("room", "bob");
    let cat = world.enter("room", "cat");
    world.run_for(seconds(1));
    world.lose_control(bob);
    world.run_for(seconds(1));
    let camera = world.publish_video(ann);
    world.leave(cat);
    let dan = world.enter("room", "dan");
    world.run_for(seconds(2));
    assert!(world.client(bob).participant("dan").is_none());
    world.resume(bob);
    world.run_for(seconds(1));
    assert!(world.client(bob).participant("cat").is_none());
    assert_eq!(
        world.client(bob).participant("dan").map(|p| p.id.as_str()),
        Some(world.client(dan).id())
    );
    world.wait_for(bob, camera, seconds(2));
}

#[test]
fn a_resume_while_an_offer_waits_for_its_answer_gets_it_again() {
    let mut world = World::new(42);
    let ann = world.enter("room", "ann");
    let bob = world.enter("room", "bob");
    world.run_for(seconds(2));
    let camera = world.publish_video(ann);
    let track = world.track_of(ann, camera);
    let is_offered = |told: &Told| matches!(told, Told::Description(offer) if offer.track_by_mid.values().any(|id| *id == track));
    // Lost between the offer and its arrival.
    world.run_until(seconds(1), |world| world.shard.stats().subscriptions == 1);
    world.lose_control(bob);
    world.run_for(seconds(2));
    world.client_mut(bob).forget_told();
    world.resume(bob);
    world.run_for(millis(200));
    assert!(
        world.client(bob).told().any(is_offered),
        "the offer came again"
    );
    world.wait_for(bob, camera, seconds(2));
}

#[test]
fn a_resume_after_the_window_is_refused() {
    let mut world = World::new(43);
    let ann = world.enter("room", "ann");
    let bob = world.enter("room", "bob");
    world.run_for(seconds(2));
    world.lose_control(bob);
    world.run_for(seconds(29));
    assert!(world.client(ann).participant("bob").is_some());
    world.run_for(seconds(3));
    assert!(world.client(ann).participant("bob").is_none());
    world.resume(bob);
    world.run_for(seconds(1));
    let closed = world.closed(bob).expect("an answer");
    assert_eq!(closed.reason(), CloseReason::StateMismatch);
    assert_eq!(closed.action(), CloseAction::Reconnect);
}

#[test]
fn a_resume_over_a_connection_that_still_stands_replaces_it() {
    let mut world = World::new(44);
    let ann = world.enter("room", "ann");
    let bob = world.enter("room", "bob");
    let camera = world.publish_video(ann);
    world.run_for(seconds(2));
    world.resume(bob);
    world.run_for(seconds(1));
    assert!(world.closed(bob).is_none());
    assert!(world.frames_per_second(bob, camera) >= 25);
    let voice = world.publish_audio(ann);
    world.wait_for(bob, voice, seconds(2));
}

#[test]
fn a_resume_of_nobody_is_refused() {
    let mut world = World::new(45);
    let options = sfu_sim::ClientOptions::new("room", "eve");
    let mut join = options.join.clone();
    join.resume = Some(plenum_proto::node::Resume {
        participant_id: "PA_nobody".into(),
    });
    let eve = world.enter_as(sfu_sim::ClientOptions { join, ..options });
    let closed = world.closed(eve).expect("an answer");
    assert_eq!(closed.reason(), CloseReason::StateMismatch);
    assert_eq!(world.shard.stats().rooms, 0, "no room is made for it");
    world.command(Command::EndAll).expect("it cannot fail");
}

#[test]
fn user_names_name_the_worker_before_and_after_a_restart() {
    let mut world = World::with(46, |config| config.worker = 7);
    let ann = world.enter("room", "ann");
    world.publish_audio(ann);
    world.run_for(seconds(2));
    world.lose_control(ann);
    world.run_for(seconds(1));
    let mut names = Vec::new();
    for round in 0..2 {
        if round == 1 {
            world.resume(ann);
            world.run_for(seconds(1));
            world.restart_publisher(ann);
            world.run_for(seconds(1));
        }
        for told in world.client(ann).told() {
            let Told::Description(description) = told else {
                continue;
            };
            let lines = description.sdp.lines();
            names.extend(
                lines
                    .filter_map(|line| line.strip_prefix("a=ice-ufrag:"))
                    .map(str::to_owned),
            );
            assert!(
                !description.sdp.contains(" ufrag "),
                "a candidate of older credentials"
            );
        }
    }
    assert!(names.iter().all(|name| name.starts_with('7')), "{names:?}");
    names.sort();
    names.dedup();
    assert_eq!(
        names.len(),
        4,
        "both connections, before and after: {names:?}"
    );
}
