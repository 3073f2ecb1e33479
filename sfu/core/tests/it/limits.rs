//! Caps: past one, a request is refused by its name, and nobody else notices.

use plenum_proto::{
    node::{
        AddTrack, Candidate, Description, Ping, RequestReason, TransportRole, UpdateOwn,
        session_event::Kind as Told, session_request::Kind,
    },
    v1::{CloseReason, RoomConfig},
};
use sfu_core::CoreConfig;
use sfu_sim::{ClientKey, ClientOptions, SourceId, World, millis, seconds};

/// Ann misbehaves while Bob and Cat talk.
fn world(seed: u64, change: impl Fn(&mut CoreConfig)) -> (World, ClientKey, ClientKey, SourceId) {
    let mut world = World::with(seed, change);
    let ann = world.enter("room", "ann");
    let bob = world.enter("room", "bob");
    let cat = world.enter("room", "cat");
    let voice = world.publish_audio(bob);
    world.wait_for(cat, voice, seconds(2));
    (world, ann, cat, voice)
}

fn refusals(world: &World, key: ClientKey, reason: RequestReason) -> Vec<&str> {
    let told = world.client(key).told();
    told.filter_map(|told| match told {
        Told::RequestResponse(response) if response.reason() == reason => {
            Some(response.message.as_str())
        }
        _ => None,
    })
    .collect()
}

/// Offers `sdp`, and expects a refusal that names the cap.
fn offer_is_refused(world: &mut World, key: ClientKey, sdp: String, named: &str) {
    let offer = Description {
        role: TransportRole::Publish.into(),
        is_offer: true,
        sdp,
        ..Description::default()
    };
    world.client_mut(key).request(Kind::Description(offer));
    world.run_for(millis(100));
    let refused = refusals(world, key, RequestReason::Limit);
    assert!(
        refused
            .last()
            .is_some_and(|message| message.contains(named)),
        "{refused:?}"
    );
}

#[test]
fn an_offer_that_is_too_big_is_refused() {
    let (mut world, ann, cat, voice) = world(80, |config| config.limits.sdp_bytes = 4_000);
    for (sdp, named) in [
        ("v=0\r\n".repeat(1_000), "bytes"),
        ("v=0\r\nm=audio 9 X 0\r\n".repeat(200), "bytes"),
    ] {
        offer_is_refused(&mut world, ann, sdp, named);
    }
    assert!(world.closed(ann).is_none());
    assert!(world.frames_per_second(cat, voice) >= 49);
}

#[test]
fn too_many_sections_and_candidates_are_refused() {
    let (mut world, ann, cat, voice) = world(81, |_| {});
    let line = "a=candidate:1 1 udp 1 10.9.9.9 9 typ host\r\n";
    for (sdp, named) in [
        ("m=audio 9 X 0\r\n".repeat(600), "sections"),
        (
            format!("m=audio 9 X 0\r\n{}", line.repeat(70)),
            "candidates",
        ),
    ] {
        offer_is_refused(&mut world, ann, sdp, named);
    }
    for _ in 0..70 {
        let candidate = "candidate:1 1 udp 1 10.9.9.9 9 typ host".into();
        let candidate = Candidate {
            candidate,
            ..Candidate::default()
        };
        world.client_mut(ann).request(Kind::Candidate(candidate));
    }
    world.run_for(millis(100));
    let refused = refusals(&world, ann, RequestReason::Limit);
    assert!(
        refused
            .last()
            .is_some_and(|message| message.contains("limit of candidates"))
    );
    assert!(world.frames_per_second(cat, voice) >= 49);
}

#[test]
fn too_many_tracks_are_refused() {
    let (mut world, ann, cat, voice) = world(82, |config| config.limits.tracks_per_participant = 3);
    let sources: Vec<_> = (0..5).map(|_| world.publish_audio(ann)).collect();
    world.run_for(seconds(2));
    let refused = refusals(&world, ann, RequestReason::Limit);
    assert_eq!(refused, ["limit of tracks_per_participant is 3"; 2]);
    for source in &sources[..3] {
        assert!(world.frames_per_second(cat, *source) >= 45);
    }
    assert!(world.frames_per_second(cat, voice) >= 49);
}

#[test]
fn too_many_subscriptions_are_refused() {
    let (mut world, ann, cat, _) =
        world(83, |config| config.limits.subscriptions_per_participant = 2);
    let sources: Vec<_> = (0..3).map(|_| world.publish_audio(ann)).collect();
    for source in sources {
        let track = world.track_of(ann, source);
        world.waive(&track);
    }
    world.run_for(seconds(2));
    // Ann has Bob's voice; Bob and Cat have two each of what there is.
    assert_eq!(world.shard.stats().subscriptions, 5);
    let refused = refusals(&world, cat, RequestReason::Limit);
    assert_eq!(refused, ["limit of subscriptions_per_participant is 2"; 2]);
}

#[test]
fn wishes_for_tracks_that_ended_leave_room_for_others() {
    let (mut world, ann, cat, _) =
        world(83, |config| config.limits.subscriptions_per_participant = 2);
    for _ in 0..4 {
        let source = world.publish_audio(ann);
        let track = world.track_of(ann, source);
        world.waive(&track);
        world.run_for(seconds(1));
        world.subscribe(cat, &track, false);
        world.run_for(seconds(1));
        // Ann and Cat have Bob's voice, and Bob alone has Ann's.
        assert_eq!(world.shard.stats().subscriptions, 3);
        world.unpublish(ann, source);
        world.run_for(seconds(1));
    }
}

#[test]
fn long_texts_are_refused() {
    let (mut world, ann, cat, voice) = world(84, |config| {
        config.limits.metadata_bytes = 1_000;
        config.limits.name_bytes = 40;
        config.limits.attributes_bytes = 100;
    });
    let long = "x".repeat(2_000);
    let updates = [
        UpdateOwn {
            metadata: Some(long.clone()),
            ..UpdateOwn::default()
        },
        UpdateOwn {
            name: Some(long.clone()),
            ..UpdateOwn::default()
        },
        UpdateOwn {
            attributes: [("key".into(), long.clone())].into(),
            ..UpdateOwn::default()
        },
    ];
    for (update, limit) in
        updates
            .into_iter()
            .zip(["metadata_bytes", "name_bytes", "attributes_bytes"])
    {
        world.client_mut(ann).request(Kind::UpdateOwn(update));
        world.run_for(millis(100));
        let refused = refusals(&world, ann, RequestReason::Limit);
        assert!(
            refused
                .last()
                .is_some_and(|message| message.contains(limit)),
            "{limit}: {refused:?}"
        );
    }
    let add = AddTrack {
        cid: long.clone(),
        ..AddTrack::default()
    };
    world.client_mut(ann).request(Kind::AddTrack(add));
    world.run_for(millis(100));
    assert_eq!(refusals(&world, ann, RequestReason::Limit).len(), 4);
    let mut options = ClientOptions::new("room", "dan");
    options.join.metadata = long;
    let dan = world.enter_as(options);
    let closed = world.closed(dan).expect("refused");
    assert_eq!(closed.reason(), CloseReason::LimitExceeded);
    assert!(
        closed.message.contains("metadata_bytes"),
        "{}",
        closed.message
    );
    assert!(world.frames_per_second(cat, voice) >= 49);
}

#[test]
fn a_flood_of_requests_ends_the_flooder_alone() {
    let (mut world, ann, cat, voice) = world(85, |_| {});
    for _ in 0..1_100 {
        world.client_mut(ann).request(Kind::Ping(Ping {}));
    }
    world.run_for(millis(200));
    let closed = world.closed(ann).expect("ended");
    assert_eq!(closed.reason(), CloseReason::LimitExceeded);
    assert!(
        closed.message.contains("requests_per_second"),
        "{}",
        closed.message
    );
    assert!(world.frames_per_second(cat, voice) >= 49);
}

#[test]
fn rooms_and_participants_are_capped() {
    let mut world = World::with(86, |config| {
        config.limits.rooms = 2;
        config.limits.participants = 5;
        config.limits.participants_per_room = 3;
    });
    let refusal = |world: &mut World, room: &str, identity: &str| {
        let key = world.enter(room, identity);
        world.run_for(seconds(1));
        world
            .closed(key)
            .map(|closed| closed.message.clone())
            .unwrap_or_default()
    };
    for identity in ["a", "b", "c"] {
        assert_eq!(refusal(&mut world, "red", identity), "");
    }
    assert!(refusal(&mut world, "red", "d").contains("max_participants"));
    assert_eq!(
        refusal(&mut world, "red", "a"),
        "",
        "who replaces itself takes no place"
    );
    assert_eq!(refusal(&mut world, "blue", "a"), "");
    assert!(refusal(&mut world, "green", "a").contains("limit of rooms"));
    assert_eq!(refusal(&mut world, "blue", "b"), "");
    assert!(refusal(&mut world, "blue", "c").contains("limit of participants"));

    let mut world = World::new(87);
    let mut options = ClientOptions::new("room", "a");
    let config = RoomConfig {
        name: "room".into(),
        max_participants: 1,
        ..RoomConfig::default()
    };
    options.join.room = Some(config);
    world.enter_as(options);
    assert!(refusal(&mut world, "room", "b").contains("max_participants"));
}

#[test]
fn joins_that_connect_nothing_are_capped() {
    let mut world = World::with(88, |config| config.limits.pending_participants = 4);
    for number in 0..6 {
        let mut options = ClientOptions::new("room", &format!("guest {number}"));
        options.answers_offers = false;
        let key = world.enter_as(options);
        let refused = world.closed(key).map(|closed| closed.message.clone());
        assert_eq!(refused.is_some(), number >= 4, "{refused:?}");
    }
    world.run_for(seconds(32));
    assert_eq!(world.shard.stats().participants, 0);
    let late = world.enter("room", "late");
    assert!(world.closed(late).is_none());
}
