//! A connection while it lasts.

use control_plane::auth::GrantError;
use livekit_protocol::{
    self as lk, signal_request::Message as Say, signal_response::Message as Hear,
};
use plenum_proto::{
    node::{self, session_event::Kind as Event, session_request::Kind as Request},
    v1,
};
use tokio_tungstenite::tungstenite::Message as Frame;

use super::world::{World, joined, participant};

#[tokio::test]
async fn a_join_is_answered_first_and_a_fresh_token_second() {
    let mut world = World::new().await;
    let query = "&protocol=17&sdk=js&adaptive_stream=1";
    let (mut client, session) = world.first(query, Event::Joined(joined())).await;
    session
        .tell(Event::TrackSubscribed(node::TrackSubscribed::default()))
        .await;
    let Hear::Join(join) = client.hear().await else {
        panic!("not a join")
    };
    assert_eq!(join.room.unwrap().sid, "RM_r");
    assert_eq!(join.participant.unwrap().sid, "PA_ann");
    assert_eq!(join.other_participants[0].sid, "PA_bob");
    assert_eq!(join.server_info.unwrap().node_id, "ND_1");
    assert_eq!(join.ice_servers[0].urls, ["turn:turn.example.org"]);
    assert!(join.ice_servers[0].username.contains(':'));
    assert!(!join.ice_servers[0].credential.is_empty());
    let Hear::RefreshToken(token) = client.hear().await else {
        panic!("not a token")
    };
    let fresh = world.keys.verify(&token).unwrap();
    assert_eq!((fresh.require_join(), fresh.identity()), (Ok("r"), "ann"));
    assert_eq!(
        fresh.require_room_admin("r"),
        Err(GrantError::Lacks("roomAdmin"))
    );
    assert!(matches!(client.hear().await, Hear::TrackSubscribed(_)));

    let join = session.join;
    assert_eq!(
        (join.identity.as_str(), join.room.unwrap().name.as_str()),
        ("ann", "r")
    );
    assert_eq!(join.client.unwrap().sdk, "js");
    assert!(join.adaptive_stream && join.auto_subscribe && join.resume.is_none());
}

#[tokio::test]
async fn a_page_may_ask_for_json_from_the_start() {
    let mut world = World::new().await;
    let (mut client, _session) = world.joined("&encoding=json").await;
    client.settle().await;
}

#[tokio::test]
async fn a_text_frame_switches_to_json() {
    let mut world = World::new().await;
    let (mut client, session) = world.joined("").await;
    client.settle().await;
    client.is_json = true;
    client.settle().await;
    session
        .tell(Event::TrackSubscribed(node::TrackSubscribed {
            track_id: "TR_a".into(),
        }))
        .await;
    assert!(matches!(client.hear().await, Hear::TrackSubscribed(_)));
}

#[tokio::test]
async fn a_resume_is_answered_in_order() {
    let mut world = World::new().await;
    let query = "&reconnect=1&sid=PA_ann";
    let (mut client, session) = world.first(query, Event::Resumed(joined())).await;
    let offer = node::Description {
        role: node::TransportRole::Subscribe.into(),
        is_offer: true,
        ..Default::default()
    };
    session.tell(Event::Description(offer)).await;
    assert!(matches!(client.hear().await, Hear::Reconnect(_)));
    let Hear::Update(update) = client.hear().await else {
        panic!("not an update")
    };
    let ids: Vec<_> = update
        .participants
        .iter()
        .map(|one| one.sid.as_str())
        .collect();
    assert_eq!(ids, ["PA_ann", "PA_bob"]);
    assert!(matches!(client.hear().await, Hear::RoomUpdate(_)));
    assert!(matches!(client.hear().await, Hear::RefreshToken(_)));
    assert!(matches!(client.hear().await, Hear::Offer(_)));
    assert_eq!(session.join.resume.unwrap().participant_id, "PA_ann");
}

#[tokio::test]
async fn an_offer_and_its_answer_pass() {
    let mut world = World::new().await;
    let (mut client, mut session) = world.joined("").await;
    let offer = lk::SessionDescription {
        r#type: "offer".into(),
        sdp: "v=0".into(),
        id: 5,
        ..Default::default()
    };
    client.say(Say::Offer(offer)).await;
    let Some(Request::Description(offer)) = session.request().await else {
        panic!("no offer")
    };
    assert_eq!(
        (offer.is_offer, offer.id, offer.role()),
        (true, 5, node::TransportRole::Publish)
    );
    let answer = node::Description {
        is_offer: false,
        sdp: "v=1".into(),
        ..offer
    };
    session.tell(Event::Description(answer)).await;
    let Hear::Answer(answer) = client.hear().await else {
        panic!("no answer")
    };
    assert_eq!(
        (answer.r#type.as_str(), answer.sdp.as_str(), answer.id),
        ("answer", "v=1", 5)
    );
}

#[tokio::test]
async fn what_cannot_be_read_is_ignored_and_counted() {
    let mut world = World::new().await;
    let (mut client, mut session) = world.joined("").await;
    client.send(Frame::Binary(vec![0xff; 10].into())).await;
    client.send(Frame::Binary(Vec::new().into())).await;
    let trickle = lk::TrickleRequest {
        candidate_init: "{".into(),
        ..Default::default()
    };
    client.say(Say::Trickle(trickle)).await;
    client.settle().await;
    for (label, expected) in [
        ("ignored bad_frame", 1),
        ("ignored unknown_message", 1),
        ("ignored bad_candidate", 1),
    ] {
        assert_eq!(world.counted.count(label), expected, "{label}");
    }
    client.say(Say::Mute(lk::MuteTrackRequest::default())).await;
    assert!(matches!(session.request().await, Some(Request::Mute(_))));
}

#[tokio::test]
async fn changed_rights_go_into_a_fresh_token() {
    let mut world = World::new().await;
    let (mut client, session) = world.joined("").await;
    let update = |participant| {
        Event::Participants(node::Participants {
            participants: vec![participant],
        })
    };
    session.tell(update(participant("PA_bob", "bob"))).await;
    let mut own = participant("PA_ann", "ann");
    own.permissions = Some(v1::Permissions {
        can_subscribe: true,
        can_publish: false,
        ..Default::default()
    });
    session.tell(update(own)).await;
    assert!(matches!(client.hear().await, Hear::Update(_)));
    assert!(
        matches!(client.hear().await, Hear::Update(_)),
        "no token for changes of others"
    );
    let Hear::RefreshToken(token) = client.hear().await else {
        panic!("no token")
    };
    let permissions = world.keys.verify(&token).unwrap().permissions();
    assert!(permissions.can_subscribe && !permissions.can_publish);
}

#[tokio::test]
async fn tokens_are_refreshed_while_the_connection_lasts() {
    let config = control_plane::signal::SignalConfig {
        token_refresh: std::time::Duration::from_millis(50),
        ..Default::default()
    };
    let mut world = World::with(config).await;
    let (mut client, _session) = world.joined("").await;
    for _ in 0..3 {
        let Hear::RefreshToken(token) = client.hear().await else {
            panic!("no token")
        };
        assert!(world.keys.verify(&token).is_ok());
    }
}
