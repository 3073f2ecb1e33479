//! A participant that is forwarded appears in the other room as what it is, and goes when it goes.

use plenum_proto::{
    node::{
        CloseAction, Join, SubscriptionPermission, TrackPermission, admin_request::Kind as Admin,
        session_event::Kind as Told, session_request::Kind,
    },
    v1::{
        CloseReason, ConnectionQuality, MuteTrackRequest, RemoveParticipantRequest,
        UpdateParticipantRequest, VideoQuality, event::Kind as RoomEvent,
    },
};
use sfu_core::Event;
use sfu_sim::{ClientKey, ClientOptions, LinkSettings, World, millis, seconds};

use crate::spread::{self, events, identities};

fn enter(world: &mut World, room: &str, identity: &str, shard: usize) -> ClientKey {
    world.enter_as(ClientOptions::new(room, identity).on(shard))
}

fn admin(world: &mut World, shard: usize, kind: Admin) -> Result<(), String> {
    let done = spread::admin(world, shard, kind);
    done.map(drop).map_err(|error| error.to_string())
}

fn remove(room: &str, identity: &str) -> Admin {
    Admin::RemoveParticipant(RemoveParticipantRequest {
        room: room.into(),
        identity: identity.into(),
    })
}

/// The track of a kind that a participant has in the room of a client.
fn track(world: &World, key: ClientKey, identity: &str, is_video: bool) -> Option<(String, bool)> {
    let participant = world.client(key).participant(identity)?;
    let is_its = |track: &&plenum_proto::v1::Track| (track.kind == 1) == is_video;
    let track = participant.tracks.iter().find(is_its)?;
    Some((track.id.clone(), track.muted))
}

#[test]
fn the_other_room_sees_and_hears_it_and_it_follows_what_it_is() {
    let mut world = World::new(601);
    let ann = world.enter("stage", "ann");
    let bob = world.enter("stage", "bob");
    let cat = world.enter("hall", "cat");
    let camera = world.publish_video(ann);
    world.track_of(ann, camera);
    let info = world.forward(0, ("stage", "ann"), "hall").expect("there");
    assert!(info.forwarded, "{info:?}");
    assert_eq!(info.identity, "ann");
    world.wait_for(cat, camera, seconds(3));
    // What is published later is there too.
    let voice = world.publish_audio(ann);
    world.wait_for(cat, voice, seconds(3));
    world.run_for(seconds(8));
    for key in [bob, cat] {
        let picture = world.client(key).report(camera);
        assert!(picture.longest_gap < millis(100), "{picture:?}");
        assert_eq!(picture.encoding, 2, "{picture:?}");
    }
    assert_eq!(identities(&world, cat), ["ann", "cat"]);
    assert_eq!(
        identities(&world, ann),
        ["ann", "bob"],
        "it is not in the hall itself"
    );
    let speaks = |told: &Told| matches!(told, Told::Speakers(s) if s.speakers.iter().any(|s| s.identity == "ann"));
    assert!(world.client(cat).told().any(speaks));
    let (there, _) = track(&world, cat, "ann", true).expect("its camera");
    assert_ne!(Some(there.as_str()), world.client(ann).track_id(camera));

    let update = UpdateParticipantRequest {
        room: "stage".into(),
        identity: "ann".into(),
        name: Some("Ann A.".into()),
        ..UpdateParticipantRequest::default()
    };
    admin(&mut world, 0, Admin::UpdateParticipant(update)).expect("changed");
    world.mute(ann, camera, true, false);
    world.run_for(seconds(1));
    let seen = world.client(cat).participant("ann").expect("there");
    assert!(seen.forwarded && seen.name == "Ann A.", "{seen:?}");
    assert!(
        track(&world, cat, "ann", true).expect("its camera").1,
        "muted there too"
    );
    world.mute(ann, camera, false, false);
    world.wait_for(cat, camera, seconds(3));
    assert!(!track(&world, cat, "ann", true).expect("its camera").1);

    world.unpublish(ann, camera);
    world.run_for(seconds(1));
    assert_eq!(track(&world, cat, "ann", true), None);
    admin(&mut world, 0, remove("hall", "ann")).expect("removed");
    world.run_for(seconds(1));
    assert_eq!(identities(&world, cat), ["cat"]);
    assert_eq!(identities(&world, bob), ["ann", "bob"], "there it stays");
    assert!(world.closed(ann).is_none());
    assert_eq!(
        world.stats().tracks,
        1,
        "the microphone, and nothing of its copy"
    );
    let of_hall = world.told().iter().filter_map(|event| match event {
        Event::Room(event) if event.room.as_ref().is_some_and(|r| r.name == "hall") => {
            Some(event.kind.clone()?)
        }
        _ => None,
    });
    let of_ann: Vec<_> = of_hall
        .filter_map(|kind| match kind {
            RoomEvent::ParticipantJoined(p) if p.identity == "ann" => Some("joined"),
            RoomEvent::ParticipantLeft(p) if p.identity == "ann" => Some("left"),
            RoomEvent::TrackPublished(_) => Some("published"),
            RoomEvent::TrackUnpublished(_) => Some("unpublished"),
            RoomEvent::TrackMuted(_) => Some("muted"),
            RoomEvent::TrackUnmuted(_) => Some("unmuted"),
            _ => None,
        })
        .collect();
    let expected = [
        "joined",
        "published",
        "published",
        "muted",
        "unmuted",
        "unpublished",
        "unpublished",
        "left",
    ];
    assert_eq!(of_ann, expected);
    for key in [ann, bob, cat] {
        world.leave(key);
    }
    world.run_for(seconds(1));
    world.assert_all_accounted();
}

#[test]
fn each_room_gets_what_it_asks_for_on_every_shard_and_node() {
    for far in [None, Some(LinkSettings::delayed(millis(20)))] {
        let mut world = match far {
            None => World::spanning(602, 3, |_| {}),
            Some(link) => World::of_nodes(602, 3, link, |_| {}),
        };
        let ann = enter(&mut world, "stage", "ann", 1);
        let camera = world.publish_video(ann);
        let voice = world.publish_audio(ann);
        let there = world.track_of(ann, camera);
        // The home of both rooms is another shard; one serves both of them beside that of the participant.
        let of_stage =
            [0, 1, 2].map(|shard| enter(&mut world, "stage", &format!("s{shard}"), shard));
        let of_hall = [0, 1, 2].map(|shard| enter(&mut world, "hall", &format!("h{shard}"), shard));
        world.forward(1, ("stage", "ann"), "hall").expect("there");
        for key in of_hall {
            world.wait_for(key, camera, seconds(3));
            assert_eq!(identities(&world, key), ["ann", "h0", "h1", "h2"]);
        }
        let here = track(&world, of_hall[0], "ann", true)
            .expect("its camera")
            .0;
        for key in of_stage {
            world.ask_quality(key, &there, VideoQuality::Low);
        }
        world.run_for(seconds(10));
        let encodings = |world: &World, keys: [ClientKey; 3]| {
            keys.map(|key| {
                let picture = world.client(key).report(camera);
                assert!(picture.longest_gap < millis(150), "{picture:?}");
                assert!(world.client(key).report(voice).frames > 400);
                picture.encoding
            })
        };
        assert_eq!(encodings(&world, of_stage), [0; 3]);
        assert_eq!(encodings(&world, of_hall), [2; 3]);
        // Who leaves the room it is forwarded to takes nothing from its own.
        for key in of_hall {
            world.ask_quality(key, &here, VideoQuality::Low);
        }
        world.run_for(seconds(10));
        let high = |world: &World| world.demand(ann, camera).last().copied();
        assert_eq!(high(&world), Some((VideoQuality::High, false)));
        world.ask_quality(of_hall[2], &here, VideoQuality::High);
        world.run_for(seconds(3));
        assert_eq!(high(&world), Some((VideoQuality::High, true)));
        assert_eq!(encodings(&world, of_hall), [0, 0, 2]);
        world.leave(ann);
        world.run_for(seconds(1));
        for (key, room) in of_hall.into_iter().zip(["h0", "h1", "h2"]) {
            assert_eq!(identities(&world, key), ["h0", "h1", "h2"], "{room}");
        }
        let told = events(&world);
        let left = told.iter().filter(|told| *told == "ann left").count();
        assert_eq!(left, 2, "once of each room: {told:?}");
        for key in of_hall.into_iter().chain(of_stage) {
            world.leave(key);
        }
        world.run_for(seconds(1));
        assert_eq!((world.stats().participants, world.stats().tracks), (0, 0));
    }
}

#[test]
fn a_camera_that_only_the_other_room_watches_is_switched_on_for_it() {
    let mut world = World::new(603);
    let ann = world.enter("stage", "ann");
    let camera = world.publish_video(ann);
    world.track_of(ann, camera);
    world.forward(0, ("stage", "ann"), "hall").expect("there");
    world.run_for(seconds(10));
    let off = |world: &World| world.demand(ann, camera).iter().all(|(_, is_on)| !is_on);
    assert!(off(&world), "{:?}", world.demand(ann, camera));
    let subscribed = |world: &World| {
        let told = world.client(ann).told();
        told.filter(|told| matches!(told, Told::TrackSubscribed(_)))
            .count()
    };
    assert_eq!(subscribed(&world), 0);
    let cat = world.enter("hall", "cat");
    let first = world.wait_for(cat, camera, seconds(3));
    assert!(first < millis(700), "{first:?}");
    assert_eq!(subscribed(&world), 1);
    // A joiner asks for a keyframe by a room that the publisher is not in, or is given what is kept.
    let dan = world.enter("hall", "dan");
    let first = world.wait_for(dan, camera, seconds(3));
    assert!(first < millis(700), "{first:?}");
    assert_eq!(subscribed(&world), 1, "told once");
    world.run_for(seconds(3));
    // Its link is its link in either room.
    let lossy = LinkSettings {
        loss: 0.3,
        ..LinkSettings::default()
    };
    world.set_link(ann, lossy);
    world.bear(seconds(15));
    world.run_for(seconds(10));
    let id = world
        .client(cat)
        .participant("ann")
        .expect("there")
        .id
        .clone();
    let is_poor = |told: &Told| {
        matches!(told, Told::Quality(report) if report.qualities.iter().any(|q| {
            q.participant_id == id && q.quality() != ConnectionQuality::Excellent
        }))
    };
    assert!(world.client(cat).told().any(is_poor));
}

#[test]
fn whom_the_publisher_does_not_name_gets_nothing_in_the_other_room_either() {
    let mut world = World::new(604);
    let ann = world.enter("stage", "ann");
    let cat = world.enter("hall", "cat");
    let dan = world.enter("hall", "dan");
    let camera = world.publish_video(ann);
    let voice = world.publish_audio(ann);
    let pictures = world.track_of(ann, camera);
    world.track_of(ann, voice);
    let rule = SubscriptionPermission {
        all_participants: false,
        permissions: vec![TrackPermission {
            identity: "cat".into(),
            track_ids: vec![pictures],
            ..TrackPermission::default()
        }],
    };
    world
        .client_mut(ann)
        .request(Kind::SubscriptionPermission(rule));
    world.run_for(seconds(1));
    world.forward(0, ("stage", "ann"), "hall").expect("there");
    world.wait_for(cat, camera, seconds(3));
    world.run_for(seconds(2));
    let frames = |world: &World, key, source| world.client(key).report(source).frames;
    assert_eq!(frames(&world, cat, voice), 0);
    assert_eq!(frames(&world, dan, camera) + frames(&world, dan, voice), 0);
    let all = SubscriptionPermission {
        all_participants: true,
        permissions: Vec::new(),
    };
    world
        .client_mut(ann)
        .request(Kind::SubscriptionPermission(all));
    world.wait_for(dan, voice, seconds(3));
    world.wait_for(dan, camera, seconds(3));
}

#[test]
fn it_ends_with_the_stay_and_goes_on_with_the_next_one_of_the_same_participant() {
    let mut world = World::new(605);
    let ann = world.enter("stage", "ann");
    let cat = world.enter("hall", "cat");
    let camera = world.publish_video(ann);
    world.track_of(ann, camera);
    world.forward(0, ("stage", "ann"), "hall").expect("there");
    world.wait_for(cat, camera, seconds(3));
    let before = world
        .client(cat)
        .participant("ann")
        .expect("there")
        .id
        .clone();
    // Its client came back without an end of the stay before.
    let again = world.enter("stage", "ann");
    assert!(world.closed(ann).is_some());
    let camera = world.publish_video(again);
    world.wait_for(cat, camera, seconds(3));
    let after = world.client(cat).participant("ann").expect("there");
    assert_eq!(
        (after.id.as_str(), after.tracks.len()),
        (before.as_str(), 1)
    );
    // It comes itself: what stood for it goes.
    let itself = world.enter("hall", "ann");
    world.run_for(seconds(1));
    let there = world.client(cat).participant("ann").expect("there");
    assert!(!there.forwarded && there.tracks.is_empty(), "{there:?}");
    assert!(world.closed(again).is_none() && world.closed(itself).is_none());
    world.leave(itself);
    world.run_for(seconds(1));
    world
        .forward(0, ("stage", "ann"), "hall")
        .expect("there again");
    world.wait_for(cat, camera, seconds(3));
    world.leave(again);
    world.run_for(seconds(1));
    assert_eq!(identities(&world, cat), ["cat"]);
    let gone = world.told().iter().rev().find_map(|event| match event {
        Event::Room(event) => match event.kind.as_ref()? {
            RoomEvent::ParticipantLeft(gone) => Some(gone.clone()),
            _ => None,
        },
        _ => None,
    });
    assert_eq!(
        gone.expect("somebody left").close_reason(),
        CloseReason::ClientInitiated
    );
}

#[test]
fn what_cannot_be_forwarded_is_refused_by_its_reason() {
    let mut world = World::with(606, |config| config.limits.forwards_per_participant = 2);
    let ann = world.enter("stage", "ann");
    let camera = world.publish_video(ann);
    let own = world.track_of(ann, camera);
    world.enter("taken", "ann");
    world.enter_as(ClientOptions::new("stage", "eve").permitted(|p| p.hidden = true));
    let mut forward = |room: &str, identity: &str, to: &str| {
        let done = world.forward(0, (room, identity), to);
        done.map(drop)
    };
    let refused = |why: &str| Err(why.to_owned());
    assert_eq!(
        forward("stage", "bob", "a"),
        refused("participant \"bob\" does not exist")
    );
    assert_eq!(
        forward("none", "ann", "a"),
        refused("room \"none\" does not exist")
    );
    assert_eq!(
        forward("stage", "ann", ""),
        refused("config.name: must not be empty")
    );
    assert_eq!(
        forward("stage", "ann", "taken"),
        refused("\"ann\" is in that room already")
    );
    let hidden = "not allowed: a hidden participant is shown in no room";
    assert_eq!(forward("stage", "eve", "a"), refused(hidden));
    assert_eq!(forward("stage", "ann", "a"), Ok(()));
    assert_eq!(
        forward("stage", "ann", "a"),
        refused("\"ann\" is in that room already")
    );
    assert_eq!(forward("stage", "ann", "b"), Ok(()));
    assert_eq!(
        forward("stage", "ann", "c"),
        refused("limit of forwards_per_participant is 2")
    );
    let there = "not allowed: the participant is forwarded from another room: it is changed there";
    assert_eq!(forward("a", "ann", "c"), refused(there));
    let cat = world.enter("a", "cat");
    let copy = track(&world, cat, "ann", true).expect("its camera").0;
    assert_ne!(copy, own);
    let mute = MuteTrackRequest {
        room: "a".into(),
        identity: "ann".into(),
        track_id: copy,
        muted: true,
    };
    assert_eq!(admin(&mut world, 0, Admin::MuteTrack(mute)), refused(there));
    assert_eq!(admin(&mut world, 0, remove("b", "ann")), Ok(()));
    assert_eq!(
        world.forward(0, ("stage", "ann"), "c").map(drop),
        Ok(()),
        "there is a place again"
    );
}

#[test]
fn a_direct_call_ends_when_one_of_the_two_is_forwarded() {
    let mut world = World::new(607);
    let direct = |identity: &str| {
        let mut options = ClientOptions::new("stage", identity);
        options.join = Join {
            direct: true,
            ..options.join
        };
        options
    };
    let ann = world.enter_as(direct("ann"));
    let bob = world.enter_as(direct("bob"));
    world.run_for(seconds(1));
    world.forward(0, ("stage", "ann"), "hall").expect("there");
    world.run_for(seconds(1));
    for key in [ann, bob] {
        let over = |told: &Told| matches!(told, Told::DirectOver(_));
        assert!(world.client(key).told().any(over));
    }
    let cat = world.enter("hall", "cat");
    let again = world.enter("stage", "ann");
    let camera = world.publish_video(again);
    world.wait_for(cat, camera, seconds(3));
    assert!(
        world
            .closed(bob)
            .is_none_or(|closed| closed.action() != CloseAction::Disconnect)
    );
}
