//! A room on several shards is the same room to everybody in it.

use plenum_proto::{
    node::{
        AdminReply, AdminRequest, CloseAction, SendData, SubscriptionPermission, TrackPermission,
        admin_reply::Kind as Answer, admin_request::Kind as Admin, session_event::Kind as Told,
        session_request::Kind,
    },
    v1::{
        CloseReason, DeleteRoomRequest, GetParticipantRequest, ListParticipantsRequest,
        ListRoomsRequest, MuteTrackRequest, RemoveParticipantRequest, SendDataRequest,
        UpdateParticipantRequest, UpdateRoomRequest, UserData, VideoQuality,
        event::Kind as RoomEvent,
    },
};
use sfu_core::{Command, CommandError, DropReason, Event, LinkKey, Reply};
use sfu_sim::{ClientKey, ClientOptions, DataTo, World, millis, seconds};

fn world(seed: u64, shards: usize) -> World {
    World::spanning(seed, shards, |_| {})
}

fn enter(world: &mut World, identity: &str, shard: usize) -> ClientKey {
    world.enter_as(ClientOptions::new("room", identity).on(shard))
}

pub(crate) fn admin(world: &mut World, shard: usize, kind: Admin) -> Result<Answer, CommandError> {
    let request = AdminRequest {
        kind: Some(kind),
        ..AdminRequest::default()
    };
    match world.command_at(shard, Command::Admin(request))? {
        Reply::Admin(AdminReply { kind: Some(kind) }) => Ok(kind),
        other => panic!("no answer: {other:?}"),
    }
}

/// What the API was told, in order, by name and identity.
pub(crate) fn events(world: &World) -> Vec<String> {
    let told = world.told().iter().filter_map(|event| match event {
        Event::Room(event) => event.kind.as_ref(),
        _ => None,
    });
    told.map(|kind| match kind {
        RoomEvent::RoomStarted(_) => "room started".into(),
        RoomEvent::RoomUpdated(_) => "room updated".into(),
        RoomEvent::RoomEnded(_) => "room ended".into(),
        RoomEvent::ParticipantJoined(p) => format!("{} joined", p.identity),
        RoomEvent::ParticipantUpdated(p) => format!("{} updated", p.identity),
        RoomEvent::ParticipantLeft(p) => format!("{} left", p.identity),
        RoomEvent::TrackPublished(t) => format!("{} published", who(t)),
        RoomEvent::TrackUnpublished(t) => format!("{} unpublished", who(t)),
        RoomEvent::TrackMuted(t) => format!("{} muted", who(t)),
        RoomEvent::TrackUnmuted(t) => format!("{} unmuted", who(t)),
        RoomEvent::SpeakersChanged(_) => "speakers".into(),
    })
    .collect()
}

fn who(event: &plenum_proto::v1::TrackEvent) -> &str {
    event
        .participant
        .as_ref()
        .map_or("", |p| p.identity.as_str())
}

pub(crate) fn identities(world: &World, key: ClientKey) -> Vec<&str> {
    let mut names: Vec<_> = world
        .client(key)
        .participants()
        .map(|participant| participant.identity.as_str())
        .collect();
    names.sort_unstable();
    names
}

#[test]
fn people_on_three_shards_see_and_hear_each_other() {
    let mut world = world(101, 3);
    let keys = ["ann", "bob", "cat"].map(|name| {
        let shard = ["ann", "bob", "cat"]
            .iter()
            .position(|n| *n == name)
            .unwrap_or(0);
        enter(&mut world, name, shard)
    });
    let sources = keys.map(|key| (world.publish_video(key), world.publish_audio(key)));
    world.run_for(seconds(10));
    for (n, key) in keys.into_iter().enumerate() {
        assert_eq!(identities(&world, key), ["ann", "bob", "cat"]);
        for (m, (camera, voice)) in sources.into_iter().enumerate() {
            if n == m {
                continue;
            }
            let picture = world.client(key).report(camera);
            assert!(picture.frames > 250, "{n} of {m}: {picture:?}");
            assert_eq!(picture.encoding, 2, "{n} of {m}: {picture:?}");
            assert!(picture.longest_gap < millis(100), "{n} of {m}: {picture:?}");
            let sound = world.client(key).report(voice);
            assert!(sound.frames > 450, "{n} of {m}: {sound:?}");
        }
        let speakers = world
            .client(key)
            .told()
            .any(|told| matches!(told, Told::Speakers(changed) if changed.speakers.len() > 1));
        assert!(speakers, "{n} is told who speaks");
    }
    let stats = world.stats();
    assert_eq!((stats.rooms, stats.participants, stats.tracks), (1, 3, 6));
    for key in keys {
        world.leave(key);
    }
    world.run_for(seconds(2));
    let stats = world.stats();
    assert_eq!((stats.participants, stats.tracks), (0, 0));
    assert_eq!(stats.rooms, 1, "the home keeps it for those who come back");
    world.assert_all_accounted();
    world.run_for(seconds(60));
    assert_eq!(world.stats().rooms, 0);
    let told = events(&world);
    for once in [
        "room started",
        "ann joined",
        "bob joined",
        "cat left",
        "room ended",
    ] {
        assert_eq!(
            told.iter().filter(|t| *t == once).count(),
            1,
            "{once}: {told:?}"
        );
    }
    assert_eq!(told.last().map(String::as_str), Some("room ended"));
}

#[test]
fn a_joiner_on_another_shard_gets_a_picture_as_soon_and_in_sync() {
    let mut world = world(102, 2);
    let ann = enter(&mut world, "ann", 0);
    let camera = world.publish_video(ann);
    let voice = world.publish_audio(ann);
    world.run_for(seconds(3));
    let bob = enter(&mut world, "bob", 1);
    let took = world.wait_for(bob, camera, seconds(2));
    assert!(took < millis(500), "picture after {took:?}");
    world.run_for(seconds(20));
    let (picture, sound) = (
        world.client(bob).report(camera),
        world.client(bob).report(voice),
    );
    assert_eq!((picture.keyframes, picture.switches), (1, 0), "{picture:?}");
    let (Some(picture), Some(sound)) = (picture.clock_offset, sound.clock_offset) else {
        panic!("no sender reports")
    };
    assert!(picture.abs_diff(sound) < 20_000, "{picture} and {sound}");
}

#[test]
fn a_track_crosses_once_and_only_while_somebody_wants_it() {
    let mut world = world(103, 2);
    let ann = enter(&mut world, "ann", 0);
    let camera = world.publish_video(ann);
    let crowd: Vec<_> = (0..6)
        .map(|n| enter(&mut world, &format!("guest {n}"), 1))
        .collect();
    let track = world.track_of(ann, camera);
    world.run_for(seconds(8));
    let before = (world.relayed(0, 1), world.stats().packets_forwarded);
    world.run_for(seconds(2));
    let crossed = world.relayed(0, 1) - before.0;
    let forwarded = world.stats().packets_forwarded - before.1;
    assert!(crossed > 0);
    assert_eq!(
        forwarded,
        crossed * crowd.len() as u64,
        "once, in one encoding"
    );
    for guest in &crowd {
        world.subscribe(*guest, &track, false);
    }
    world.run_for(millis(100));
    let before = world.relayed(0, 1);
    world.run_for(seconds(3));
    assert_eq!(world.relayed(0, 1), before, "nobody wants it");
    world.run_for(seconds(4));
    let off = world
        .demand(ann, camera)
        .iter()
        .all(|(_, enabled)| !enabled);
    assert!(off, "and its source is switched off");
    let late = enter(&mut world, "late", 1);
    let took = world.wait_for(late, camera, seconds(2));
    assert!(took < millis(700), "{took:?}");
}

#[test]
fn demand_and_layers_follow_a_subscriber_behind_a_link() {
    use VideoQuality::{High, Low, Medium};
    let mut world = world(105, 2);
    let ann = enter(&mut world, "ann", 0);
    let bob = enter(&mut world, "bob", 1);
    let camera = world.publish_video(ann);
    let track = world.track_of(ann, camera);
    world.run_for(seconds(10));
    let only_high = [(Low, false), (Medium, false), (High, true)];
    assert_eq!(world.demand(ann, camera), only_high);
    world.ask_quality(bob, &track, Low);
    world.run_for(seconds(8));
    assert_eq!(world.client(bob).report(camera).encoding, 0);
    let only_low = [(Low, true), (Medium, false), (High, false)];
    assert_eq!(world.demand(ann, camera), only_low);
    // Two who want different things: each encoding crosses once.
    let cat = enter(&mut world, "cat", 1);
    world.run_for(seconds(3));
    assert_eq!(world.client(cat).report(camera).encoding, 2);
    assert_eq!(world.client(bob).report(camera).encoding, 0);
    for key in [bob, cat] {
        let report = world.client(key).report(camera);
        assert!(report.longest_gap < millis(100), "{report:?}");
    }
    assert!(world.frames_per_second(cat, camera) >= 29);
}

#[test]
fn a_stuck_decoder_behind_a_link_gets_its_keyframe() {
    let mut world = world(106, 2);
    let ann = enter(&mut world, "ann", 0);
    let bob = world.enter_as(
        ClientOptions::new("room", "bob")
            .on(1)
            .over(sfu_sim::LinkSettings::lossy(0.08)),
    );
    let camera = world.publish_video(ann);
    world.run_for(seconds(20));
    assert!(world.keyframe_requests(ann, camera) >= 1);
    assert!(world.client(bob).report(camera).frames > 300);
}

#[test]
fn an_identity_is_in_a_room_once_on_whichever_shard() {
    let mut world = world(107, 3);
    let eve = enter(&mut world, "eve", 0);
    let mut before = enter(&mut world, "ann", 0);
    for shard in [1, 2, 1, 0, 2] {
        world.publish_video(before);
        let next = enter(&mut world, "ann", shard);
        world.run_for(seconds(2));
        let closed = world.closed(before).map(|closed| closed.reason());
        assert_eq!(
            closed,
            Some(CloseReason::DuplicateIdentity),
            "to shard {shard}"
        );
        assert!(world.closed(next).is_none());
        let here = world.client(eve).participant("ann").expect("she is here");
        assert_eq!(here.id, world.client(next).id());
        assert_eq!(world.stats().participants, 2);
        before = next;
    }
    // At the same moment on all shards: one of them remains, and all agree on which.
    let options = |shard| ClientOptions::new("room", "dan").on(shard);
    let keys = [0, 1, 2].map(|shard| world.join(options(shard)));
    world.run_for(seconds(2));
    let left: Vec<_> = keys
        .iter()
        .filter(|key| world.closed(**key).is_none())
        .collect();
    assert_eq!(left.len(), 1);
    let id = world.client(*left[0]).id().to_owned();
    for key in [eve, before] {
        assert_eq!(
            world.client(key).participant("dan").map(|p| p.id.clone()),
            Some(id.clone())
        );
    }
    assert_eq!(world.stats().participants, 3);
    let told = events(&world);
    let count = |what: &str| told.iter().filter(|t| *t == what).count();
    assert_eq!(count("dan joined"), 3);
    assert_eq!(count("dan left"), 2);
}

#[test]
fn commands_go_to_the_shard_of_the_participant() {
    let mut world = world(108, 2);
    let ann = enter(&mut world, "ann", 0);
    let bob = enter(&mut world, "bob", 1);
    let voice = world.publish_audio(bob);
    let track = world.track_of(bob, voice);
    world.run_for(seconds(1));
    let (room, identity) = ("room".to_owned(), "bob".to_owned());
    let mute = Admin::MuteTrack(MuteTrackRequest {
        room: room.clone(),
        identity: identity.clone(),
        track_id: track,
        muted: true,
    });
    let get = Admin::GetParticipant(GetParticipantRequest {
        room: room.clone(),
        identity: identity.clone(),
    });
    let rename = Admin::UpdateParticipant(UpdateParticipantRequest {
        room: room.clone(),
        identity: identity.clone(),
        name: Some("Robert".into()),
        ..UpdateParticipantRequest::default()
    });
    let remove = Admin::RemoveParticipant(RemoveParticipantRequest {
        room: room.clone(),
        identity,
    });
    for kind in [mute, get, rename, remove] {
        let elsewhere = Err(CommandError::Elsewhere { link: LinkKey(1) });
        assert_eq!(admin(&mut world, 0, kind.clone()), elsewhere, "{kind:?}");
        if matches!(kind, Admin::RemoveParticipant(_)) {
            let seen = world.client(ann).participant("bob").expect("still here");
            assert_eq!(seen.name, "Robert");
            assert!(seen.tracks.iter().all(|track| track.muted));
            assert_eq!(world.frames_per_second(ann, voice), 0);
        }
        admin(&mut world, 1, kind).expect("bob lives here");
        world.run_for(millis(500));
    }
    assert_eq!(
        world.closed(bob).map(|c| c.reason()),
        Some(CloseReason::ParticipantRemoved)
    );
    assert_eq!(identities(&world, ann), ["ann"]);
    let list = |world: &mut World, shard| match admin(
        world,
        shard,
        Admin::ListRooms(ListRoomsRequest::default()),
    ) {
        Ok(Answer::Rooms(list)) => list.rooms.len(),
        other => panic!("{other:?}"),
    };
    enter(&mut world, "cat", 1);
    assert_eq!(
        (list(&mut world, 0), list(&mut world, 1)),
        (1, 0),
        "a room is listed once"
    );
    let all = Admin::ListParticipants(ListParticipantsRequest { room });
    match admin(&mut world, 0, all) {
        Ok(Answer::Participants(list)) => assert_eq!(list.participants.len(), 2),
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_concerns_the_room_reaches_everybody() {
    let mut world = world(109, 3);
    let keys = [0, 1, 2].map(|n| enter(&mut world, &format!("guest {n}"), n));
    let update = |metadata: &str| {
        Admin::UpdateRoom(UpdateRoomRequest {
            room: "room".into(),
            metadata: Some(metadata.into()),
            ..UpdateRoomRequest::default()
        })
    };
    let elsewhere = Err(CommandError::Elsewhere { link: LinkKey(0) });
    assert_eq!(admin(&mut world, 1, update("no")), elsewhere);
    admin(&mut world, 0, update("agenda")).expect("the home");
    let data = |destination: &[&str], payload: &[u8]| {
        Admin::SendData(SendData {
            request: Some(SendDataRequest {
                room: "room".into(),
                data: Some(UserData {
                    payload: payload.to_vec(),
                    reliable: true,
                    destination_identities: destination.iter().map(|d| (*d).to_owned()).collect(),
                    ..UserData::default()
                }),
            }),
            ..SendData::default()
        })
    };
    world.run_for(seconds(2));
    admin(&mut world, 0, data(&[], b"all")).expect("sent");
    admin(&mut world, 0, data(&["guest 2"], b"one")).expect("sent");
    world.run_for(seconds(1));
    for (n, key) in keys.into_iter().enumerate() {
        let told = world.client(key).told().any(|told| {
            matches!(told, Told::Room(room) if room.metadata == "agenda" && room.num_participants == 3)
        });
        assert!(told, "guest {n}");
        let data: Vec<_> = world
            .client(key)
            .data()
            .iter()
            .map(|d| d.payload.clone())
            .collect();
        let expected: &[&[u8]] = if n == 2 { &[b"all", b"one"] } else { &[b"all"] };
        assert_eq!(data, expected, "guest {n}");
    }
    let late = enter(&mut world, "late", 1);
    let joined = world
        .client(late)
        .joined()
        .and_then(|joined| joined.room.clone());
    assert_eq!(joined.map(|room| room.metadata), Some("agenda".into()));
    let delete = DeleteRoomRequest {
        room: "room".into(),
    };
    admin(&mut world, 0, Admin::DeleteRoom(delete)).expect("deleted");
    world.run_for(seconds(1));
    for key in keys {
        assert_eq!(
            world.closed(key).map(|c| c.reason()),
            Some(CloseReason::RoomDeleted)
        );
    }
    let stats = world.stats();
    assert_eq!((stats.rooms, stats.participants), (0, 0));
    let told = events(&world);
    assert_eq!(
        told.last().map(String::as_str),
        Some("room ended"),
        "{told:?}"
    );
    assert_eq!(
        told.iter().filter(|told| told.ends_with("left")).count(),
        4,
        "{told:?}"
    );
}

#[test]
fn data_crosses_with_its_true_sender_and_only_where_it_is_for_somebody() {
    let mut world = world(110, 3);
    let [ann, bob, cat] =
        [("ann", 0), ("bob", 1), ("cat", 2)].map(|(name, shard)| enter(&mut world, name, shard));
    world.open_data(bob);
    world.run_for(seconds(1));
    for reliable in [true, false] {
        for identities in [vec![], vec!["cat".to_owned()]] {
            let to = DataTo {
                reliable,
                identities,
            };
            assert!(world.client_mut(bob).send_data(b"hello", &to));
            world.run_for(millis(300));
        }
    }
    let heard = |key| -> Vec<_> {
        let data = world.client(key).data().iter();
        data.map(|d| (d.sender.as_str(), d.sender_id.as_str()))
            .collect()
    };
    let bob_id = world.client(bob).id();
    assert_eq!(heard(ann), [("bob", bob_id); 2]);
    assert_eq!(heard(cat), [("bob", bob_id); 4]);
    assert!(heard(bob).is_empty(), "nothing comes back");
}

#[test]
fn mute_rules_and_rights_hold_across_shards() {
    let mut world = world(111, 2);
    let ann = enter(&mut world, "ann", 0);
    let bob = enter(&mut world, "bob", 1);
    let ghost = ClientOptions::new("room", "ghost").permitted(|p| p.hidden = true);
    let ghost = world.enter_as(ghost.on(1));
    let camera = world.publish_video(ann);
    let track = world.track_of(ann, camera);
    world.wait_for(bob, camera, seconds(2));
    world.wait_for(ghost, camera, seconds(2));
    assert_eq!(identities(&world, ann), ["ann", "bob"]);
    world.mute(ann, camera, true, true);
    world.run_for(millis(200));
    let crossed = world.relayed(0, 1);
    assert_eq!(world.frames_per_second(bob, camera), 0);
    assert_eq!(world.relayed(0, 1), crossed, "what is muted does not cross");
    world.mute(ann, camera, false, false);
    world.wait_for(bob, camera, seconds(2));
    let rule = |identity: &str| SubscriptionPermission {
        all_participants: identity.is_empty(),
        permissions: vec![TrackPermission {
            identity: identity.into(),
            all_tracks: true,
            ..TrackPermission::default()
        }],
    };
    let client = world.client_mut(ann);
    client.request(Kind::SubscriptionPermission(rule("ghost")));
    world.run_for(millis(300));
    assert_eq!(world.frames_per_second(bob, camera), 0);
    assert!(world.frames_per_second(ghost, camera) >= 25);
    let denied = world.client(bob).told().any(|told| {
        matches!(told, Told::PermissionChanged(changed) if !changed.allowed && changed.track_id == track)
    });
    assert!(denied, "bob is told");
    let client = world.client_mut(ann);
    client.request(Kind::SubscriptionPermission(rule("")));
    world.run_for(millis(500));
    assert!(world.frames_per_second(bob, camera) >= 25);
}

#[test]
fn a_lost_edge_takes_its_participants_along_and_nobody_else() {
    let mut world = world(112, 3);
    let [ann, bob, cat] =
        [("ann", 0), ("bob", 1), ("cat", 2)].map(|(name, shard)| enter(&mut world, name, shard));
    let ann_voice = world.publish_audio(ann);
    let bob_voice = world.publish_audio(bob);
    world.run_for(seconds(2));
    world.waive_client(bob);
    world.lose_links_of(1);
    world.run_for(seconds(1));
    for key in [ann, cat] {
        assert_eq!(identities(&world, key), ["ann", "cat"]);
        assert_eq!(world.frames_per_second(key, bob_voice), 0);
    }
    assert!(world.frames_per_second(cat, ann_voice) >= 45);
    let closed = world.closed(bob).expect("bob is told");
    assert_eq!(closed.action(), CloseAction::Reconnect);
    assert_eq!(
        events(&world).iter().filter(|e| *e == "bob left").count(),
        1
    );
    // The shard can serve the room again.
    let bob = enter(&mut world, "bob", 1);
    let took = world.wait_for(bob, ann_voice, seconds(2));
    assert!(took < millis(500), "{took:?}");
    assert_eq!(identities(&world, cat), ["ann", "bob", "cat"]);
}

#[test]
fn a_lost_home_sends_everybody_to_join_anew() {
    let mut world = world(113, 2);
    let ann = enter(&mut world, "ann", 0);
    let bob = enter(&mut world, "bob", 1);
    world.publish_audio(ann);
    world.run_for(seconds(1));
    world.waive_client(bob);
    world.lose_links_of(0);
    world.run_for(seconds(1));
    let closed = world.closed(bob).expect("bob is told");
    assert_eq!(
        (closed.action(), closed.reason()),
        (CloseAction::Reconnect, CloseReason::NodeShutdown)
    );
    assert_eq!(identities(&world, ann), ["ann"]);
    let stats = world.stats();
    assert_eq!((stats.rooms, stats.participants), (1, 1));
}

#[test]
fn a_join_that_finds_no_home_is_refused_and_says_why() {
    let mut world = world(114, 2);
    let mut bob = ClientOptions::new("room", "bob").on(1);
    bob.join.must_exist = true;
    let bob = world.enter_as(bob);
    let closed = world.closed(bob).expect("there is no such room");
    assert_eq!(closed.action(), CloseAction::Reconnect);
    assert!(closed.message.contains("has ended"), "{closed:?}");
    // A home that gives no answer.
    let key = world.join(ClientOptions::new("room", "cat").on(1));
    world.run_for(millis(15));
    world.lose_frames();
    world.run_for(seconds(4));
    assert!(world.closed(key).is_none());
    world.run_for(seconds(2));
    let closed = world.closed(key).expect("the time is up");
    assert!(closed.message.contains("no answer in time"), "{closed:?}");
    assert_eq!(world.stats().rooms, 0);
}

#[test]
fn in_a_very_large_room_the_loudest_are_heard_and_who_is_pinned() {
    let mut world = World::spanning(115, 2, |config| {
        (config.loudest_audio, config.loudest_audio_from) = (2, 4);
    });
    let keys: Vec<_> = (0..6)
        .map(|n| enter(&mut world, &format!("guest {n}"), n % 2))
        .collect();
    let voices: Vec<_> = keys.iter().map(|key| world.publish_audio(*key)).collect();
    for voice in &voices {
        let index = voices.iter().position(|v| v == voice).unwrap_or(0);
        let track = world.track_of(keys[index], *voice);
        world.waive(&track);
    }
    let speak = |world: &mut World, loud: &[usize]| {
        for (n, (key, voice)) in keys.iter().zip(&voices).enumerate() {
            let level = if loud.contains(&n) {
                (-10, true)
            } else {
                (-90, false)
            };
            world.set_level(*key, *voice, level);
        }
    };
    let heard = |world: &mut World, by: usize| -> Vec<usize> {
        let frames = |world: &World| -> Vec<u64> {
            let client = world.client(keys[by]);
            voices
                .iter()
                .map(|voice| client.report(*voice).frames)
                .collect()
        };
        let before = frames(world);
        world.run_for(seconds(1));
        let after = frames(world);
        (0..keys.len())
            .filter(|n| after[*n] - before[*n] > 40)
            .collect()
    };
    speak(&mut world, &[1, 4]);
    world.run_for(seconds(5));
    for by in [0, 2, 3, 5] {
        assert_eq!(heard(&mut world, by), [1, 4], "by {by}");
    }
    let from_one = world.relayed(1, 0);
    world.run_for(seconds(2));
    let crossed = world.relayed(1, 0) - from_one;
    assert!(
        (95..=105).contains(&crossed),
        "one voice crosses, not three: {crossed}"
    );
    speak(&mut world, &[2, 4]);
    world.run_for(seconds(5));
    assert_eq!(heard(&mut world, 0), [2, 4]);
    assert_eq!(heard(&mut world, 5), [2, 4]);
    // Somebody quiet on the other shard, asked for by name.
    let track = world.track_of(keys[3], voices[3]);
    world.subscribe(keys[0], &track, true);
    world.run_for(seconds(1));
    assert_eq!(heard(&mut world, 0), [2, 3, 4]);
    assert_eq!(heard(&mut world, 5), [2, 4]);
    assert!(world.stats().dropped(DropReason::NotLoudest) > 0);
}

#[test]
fn somebody_without_a_name_or_rights_is_seen_on_other_shards() {
    let mut world = world(116, 2);
    let ann = enter(&mut world, "ann", 0);
    let bare = ClientOptions::new("room", "bare").permitted(|p| *p = Default::default());
    world.enter_as(bare.on(1));
    world.run_for(millis(100));
    assert_eq!(identities(&world, ann), ["ann", "bare"]);
}
