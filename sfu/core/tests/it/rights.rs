//! What a participant may not do it cannot do, and what it is not to see it does not see.

use plenum_proto::{
    node::{
        AdminRequest, RequestReason, SubscriptionPermission, TrackPermission,
        admin_request::Kind as Admin, session_event::Kind as Told, session_request::Kind,
    },
    v1::{Permissions, TrackSource, UpdateParticipantRequest},
};
use sfu_core::{Command, DropReason, Event};
use sfu_sim::{ClientOptions, DataTo, World, millis, seconds};

#[test]
fn who_may_not_publish_data_is_not_heard() {
    let mut world = World::new(60);
    let ann =
        world.enter_as(ClientOptions::new("room", "ann").permitted(|p| p.can_publish_data = false));
    let bob = world.enter("room", "bob");
    world.open_data(ann);
    world.run_for(seconds(1));
    for reliable in [true, false] {
        let to = DataTo {
            reliable,
            ..DataTo::default()
        };
        assert!(world.client_mut(ann).send_data(b"psst", &to));
    }
    world.run_for(seconds(1));
    assert_eq!(world.client(bob).data(), []);
    assert_eq!(world.shard.stats().dropped(DropReason::DataRefused), 2);
}

#[test]
fn who_may_not_publish_is_refused_by_name() {
    let mut world = World::new(61);
    let nothing = ClientOptions::new("room", "ann").permitted(|p| p.can_publish = false);
    let only_sound = ClientOptions::new("room", "bob").permitted(|p| {
        p.can_publish_sources = vec![TrackSource::Microphone.into()];
    });
    let (ann, bob) = (world.enter_as(nothing), world.enter_as(only_sound));
    let cat = world.enter("room", "cat");
    let refused = [world.publish_audio(ann), world.publish_video(ann)];
    for source in refused {
        assert!(world.client(ann).track_id(source).is_none());
    }
    let camera = world.publish_video(bob);
    let voice = world.publish_audio(bob);
    world.run_for(seconds(2));
    let refusals = |key| {
        let told = world.client(key).told();
        told.filter(|told| {
            matches!(told, Told::RequestResponse(response)
                if response.reason() == RequestReason::NotAllowed && response.cid.starts_with("cid-"))
        })
        .count()
    };
    assert_eq!((refusals(ann), refusals(bob)), (2, 1));
    assert!(world.client(cat).report(voice).frames > 0);
    assert_eq!(world.client(cat).report(camera).frames, 0);
    assert_eq!(world.shard.stats().tracks, 1);
}

#[test]
fn who_may_not_subscribe_gets_nothing() {
    let mut world = World::new(62);
    let ann = world.enter("room", "ann");
    let camera = world.publish_video(ann);
    let bob =
        world.enter_as(ClientOptions::new("room", "bob").permitted(|p| p.can_subscribe = false));
    let track = world.track_of(ann, camera);
    world.run_for(seconds(2));
    world.subscribe(bob, &track, true);
    world.run_for(seconds(2));
    assert_eq!(world.client(bob).report(camera).packets, 0);
    let denied = world.client(bob).told().any(|told| {
        matches!(told, Told::PermissionChanged(changed) if !changed.allowed && changed.track_id == track)
    });
    assert!(denied, "it was told");
    assert_eq!(world.shard.stats().subscriptions, 0);
}

#[test]
fn rights_change_while_one_stays() {
    let mut world = World::new(63);
    let ann = world.enter("room", "ann");
    let bob = world.enter("room", "bob");
    let ann_camera = world.publish_video(ann);
    let bob_voice = world.publish_audio(bob);
    world.run_for(seconds(2));
    let permit = |world: &mut World, can_subscribe, can_publish| {
        let permissions = Permissions {
            can_subscribe,
            can_publish,
            can_publish_data: true,
            ..Permissions::default()
        };
        let update = UpdateParticipantRequest {
            room: "room".into(),
            identity: "bob".into(),
            permissions: Some(permissions),
            ..UpdateParticipantRequest::default()
        };
        let request = AdminRequest {
            kind: Some(Admin::UpdateParticipant(update)),
            ..AdminRequest::default()
        };
        world.command(Command::Admin(request)).expect("bob is here");
        world.run_for(millis(500));
    };
    permit(&mut world, false, true);
    assert_eq!(world.frames_per_second(bob, ann_camera), 0);
    assert!(world.frames_per_second(ann, bob_voice) >= 45);
    permit(&mut world, true, true);
    assert!(world.frames_per_second(bob, ann_camera) >= 25);
    world.mute(bob, bob_voice, true, true);
    permit(&mut world, true, false);
    assert_eq!(world.frames_per_second(ann, bob_voice), 0);
    assert_eq!(
        world.shard.stats().tracks,
        1,
        "what it may not publish any more is gone"
    );
}

#[test]
fn a_hidden_participant_sees_and_is_not_seen() {
    let mut world = World::new(64);
    let ann = world.enter("room", "ann");
    let ghost = world.enter_as(ClientOptions::new("room", "ghost").permitted(|p| p.hidden = true));
    let bob = world.enter("room", "bob");
    let camera = world.publish_video(ann);
    world.wait_for(ghost, camera, seconds(2));
    world.run_for(seconds(2));
    world.leave(ghost);
    world.run_for(seconds(1));
    for key in [ann, bob] {
        assert!(world.client(key).participant("ghost").is_none());
        let named = world
            .client(key)
            .told()
            .any(|told| format!("{told:?}").contains("ghost"));
        assert!(!named);
    }
    let rooms = world
        .told()
        .iter()
        .filter(|told| matches!(told, Event::Room(_)));
    assert_eq!(
        rooms
            .filter(|told| format!("{told:?}").contains("ghost"))
            .count(),
        0
    );
}

#[test]
fn a_publisher_takes_back_and_grants_who_may_subscribe() {
    let mut world = World::new(65);
    let ann = world.enter("room", "ann");
    let bob = world.enter("room", "bob");
    let cat = world.enter("room", "cat");
    let camera = world.publish_video(ann);
    let track = world.track_of(ann, camera);
    world.run_for(seconds(2));
    let only = |identity: &str, track: &str| SubscriptionPermission {
        all_participants: false,
        permissions: vec![TrackPermission {
            identity: identity.into(),
            track_ids: vec![track.into()],
            ..TrackPermission::default()
        }],
    };
    world
        .client_mut(ann)
        .request(Kind::SubscriptionPermission(only("cat", &track)));
    world.run_for(millis(300));
    assert_eq!(world.frames_per_second(bob, camera), 0);
    assert!(world.frames_per_second(cat, camera) >= 29);
    // Asking for it does not help, and a newcomer is held to it too.
    world
        .client_mut(bob)
        .request(Kind::Subscribe(plenum_proto::node::Subscribe {
            track_ids: vec![track],
            subscribe: true,
            ..Default::default()
        }));
    let dan = world.enter("room", "dan");
    world.run_for(seconds(1));
    assert_eq!(world.frames_per_second(bob, camera), 0);
    assert_eq!(world.frames_per_second(dan, camera), 0);
    let all = SubscriptionPermission {
        all_participants: true,
        permissions: Vec::new(),
    };
    world
        .client_mut(ann)
        .request(Kind::SubscriptionPermission(all));
    world.run_for(millis(500));
    for key in [bob, cat, dan] {
        assert!(world.frames_per_second(key, camera) >= 25);
    }
    let changes: Vec<_> = world
        .client(bob)
        .told()
        .filter_map(|told| match told {
            Told::PermissionChanged(changed) => Some(changed.allowed),
            _ => None,
        })
        .collect();
    assert_eq!(changes, [false, true]);
}
