//! Stays begin and end: leaving, being replaced, rooms that empty, and clients that fall silent.

use plenum_proto::node::session_event::Kind as Told;
use plenum_proto::v1::{CloseReason, ParticipantState};
use sfu_core::{Command, Event};
use sfu_sim::{ClientOptions, DataTo, LinkSettings, World, millis, seconds};

#[test]
fn leaving_ends_everything_and_the_room_closes_after_a_while() {
    let mut world = World::new(30);
    let ann = world.enter("room", "ann");
    let bob = world.enter("room", "bob");
    let camera = world.publish_video(ann);
    world.run_for(seconds(2));
    world.leave(ann);
    world.run_for(seconds(1));
    let reason = world.closed(ann).expect("ann was told").reason();
    assert_eq!(reason, CloseReason::ClientInitiated);
    assert!(world.client(bob).participant("ann").is_none());
    let told = world.client(bob).told().any(|told| match told {
        Told::Participants(update) => update.participants.iter().any(|participant| {
            participant.state() == ParticipantState::Disconnected
                && participant.close_reason() == CloseReason::ClientInitiated
        }),
        _ => false,
    });
    assert!(told, "bob learns why");
    assert_eq!(world.frames_per_second(bob, camera), 0);
    let stats = world.shard.stats();
    assert_eq!(
        (stats.participants, stats.tracks, stats.subscriptions),
        (1, 0, 0)
    );
    world.leave(bob);
    world.run_for(seconds(19));
    assert_eq!(world.shard.stats().rooms, 1, "kept for those who come back");
    world.run_for(seconds(3));
    assert_eq!(world.shard.stats().rooms, 0);
    assert!(
        world
            .told()
            .iter()
            .any(|told| matches!(told, Event::RoomGone { name } if name == "room"))
    );
    world.run_for(seconds(60));
    assert!(
        world.shard.poll_timeout().is_none(),
        "an empty shard sleeps"
    );
    world.assert_all_accounted();
}

#[test]
fn a_second_join_of_an_identity_replaces_the_first() {
    let mut world = World::new(31);
    let first = world.enter("room", "ann");
    let bob = world.enter("room", "bob");
    let old = world.publish_video(first);
    world.run_for(seconds(2));
    let second = world.enter("room", "ann");
    world.run_for(seconds(1));
    let reason = world.closed(first).expect("the first was told").reason();
    assert_eq!(reason, CloseReason::DuplicateIdentity);
    let shown: Vec<_> = world
        .client(bob)
        .participants()
        .filter(|p| p.identity == "ann")
        .collect();
    assert_eq!(shown.len(), 1);
    assert_eq!(shown[0].id, world.client(second).id());
    assert_eq!(world.frames_per_second(bob, old), 0);
    let new = world.publish_video(second);
    world.wait_for(bob, new, seconds(2));
}

#[test]
fn a_client_that_vanishes_is_missed_and_its_stay_ends() {
    let mut world = World::new(32);
    let ann = world.enter("room", "ann");
    let bob = world.enter("room", "bob");
    let voice = world.publish_audio(bob);
    world.wait_for(ann, voice, seconds(2));
    world.set_link(bob, LinkSettings::lossy(1.0));
    world.mute(bob, voice, true, false);
    let gone = world.run_until(seconds(60), |world| {
        world.client(ann).participant("bob").is_none()
    });
    assert!(gone);
    assert!(world.now() > seconds(30), "silence has to last (RFC 7675)");
    assert_eq!(world.shard.stats().participants, 1);
}

#[test]
fn who_says_nothing_for_minutes_stays_and_is_served_at_once() {
    let mut world = World::new(37);
    let ann = world.enter("room", "ann");
    let bob = world.enter("room", "bob");
    for key in [ann, bob] {
        world.open_data(key);
    }
    let voice = world.publish_audio(ann);
    world.wait_for(bob, voice, seconds(2));
    world.mute(ann, voice, true, false);
    world.run_for(seconds(300));
    assert_eq!(world.shard.stats().participants, 2);
    assert!(
        world
            .client_mut(ann)
            .send_data(b"hello", &DataTo::default())
    );
    world.mute(ann, voice, false, false);
    world.run_for(millis(600));
    let got: Vec<_> = world
        .client(bob)
        .data()
        .iter()
        .map(|m| m.payload.as_slice())
        .collect();
    assert_eq!(got, [b"hello"]);
    assert!(world.frames_per_second(bob, voice) >= 45);
}

#[test]
fn a_client_that_never_connects_is_let_go() {
    let mut world = World::new(33);
    let mut options = ClientOptions::new("room", "mute swan");
    options.answers_offers = false;
    let swan = world.enter_as(options);
    world.run_for(seconds(29));
    assert!(world.closed(swan).is_none());
    world.run_for(seconds(3));
    let reason = world.closed(swan).expect("it was told").reason();
    assert_eq!(reason, CloseReason::ConnectionTimeout);
}

#[test]
fn everybody_is_told_when_the_node_shuts_down() {
    let mut world = World::new(34);
    let ann = world.enter("red", "ann");
    let bob = world.enter("blue", "bob");
    world.run_for(seconds(2));
    world.command(Command::EndAll).expect("it cannot fail");
    world.run_for(seconds(1));
    for key in [ann, bob] {
        let reason = world.closed(key).expect("they were told").reason();
        assert_eq!(reason, CloseReason::NodeShutdown);
    }
    let stats = world.shard.stats();
    assert_eq!((stats.rooms, stats.participants), (0, 0));
}

#[test]
fn a_room_nobody_joins_closes() {
    use plenum_proto::{
        node::{AdminRequest, admin_request::Kind},
        v1::{CreateRoomRequest, RoomConfig},
    };
    let mut world = World::new(35);
    let config = RoomConfig {
        name: "room".into(),
        ..RoomConfig::default()
    };
    let create = Kind::CreateRoom(CreateRoomRequest {
        config: Some(config),
    });
    world
        .command(Command::Admin(AdminRequest {
            kind: Some(create),
            ..AdminRequest::default()
        }))
        .expect("a room");
    world.run_for(seconds(299));
    assert_eq!(world.shard.stats().rooms, 1);
    world.run_for(seconds(2));
    assert_eq!(world.shard.stats().rooms, 0);
}

#[test]
fn a_room_is_not_there_for_agents_and_recorders() {
    use plenum_proto::v1::{ParticipantKind, RoomConfig};
    let mut world = World::new(36);
    let joining = |identity: &str, kind: ParticipantKind| {
        let mut options = ClientOptions::new("room", identity);
        options.join.kind = kind.into();
        options.join.room = Some(RoomConfig {
            name: "room".into(),
            max_participants: 1,
            ..RoomConfig::default()
        });
        options
    };
    let agent = world.enter_as(joining("agent", ParticipantKind::Agent));
    world.run_for(seconds(298));
    assert_eq!(world.shard.stats().rooms, 1, "nobody has come yet");
    let ann = world.enter_as(joining("ann", ParticipantKind::Standard));
    let recorder = world.enter_as(joining("recorder", ParticipantKind::Egress));
    world.run_for(seconds(30));
    for key in [agent, ann, recorder] {
        assert!(world.closed(key).is_none(), "neither takes a place");
    }
    let joined = world.client(recorder).joined().expect("joined");
    assert_eq!(joined.room.as_ref().expect("a room").num_participants, 1);
    world.leave(ann);
    world.run_for(seconds(19));
    assert!(world.closed(agent).is_none());
    world.run_for(seconds(3));
    for key in [agent, recorder] {
        let reason = world.closed(key).expect("it was told").reason();
        assert_eq!(reason, CloseReason::RoomClosed);
    }
    assert_eq!(world.shard.stats().rooms, 0);
}

#[test]
fn who_was_alone_for_minutes_is_seen_when_it_begins_to_publish() {
    for alone in [30, 50, 300] {
        let mut world = World::new(alone);
        let ann = world.enter("room", "ann");
        world.run_for(seconds(alone));
        let bob = world.enter("room", "bob");
        let camera = world.publish_video(ann);
        world.run_for(seconds(3));
        let picture = world.client(bob).report(camera);
        assert!(picture.frames > 30, "after {alone} s: {picture:?}");
        assert_eq!(world.stats().faults, 0);
    }
}
