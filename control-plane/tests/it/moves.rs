//! A participant sent to another room, or shown there too, as clients and the backend see it.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use control_plane::{auth::VideoGrants, run::Running};
use http::StatusCode;
use livekit_protocol::{
    JoinResponse, LeaveRequest, ParticipantInfo,
    leave_request::Action,
    participant_info::{KindDetail, State},
    signal_request::Message as Say,
    signal_response::Message as Hear,
};
use plenum_proto::v1::{
    ForwardParticipantRequest, MoveParticipantRequest, RemoveParticipantRequest,
    participant_service_client::ParticipantServiceClient,
};
use tonic::Code;

use crate::{
    cluster::{leave_after, participant_token},
    signal::world::{Client, Connector},
    support::{self, channel, keys, token, with_token},
};

fn mover(destination: &str) -> String {
    token(VideoGrants {
        room_admin: true,
        room: "tea".to_owned(),
        destination_room: destination.to_owned(),
        ..VideoGrants::default()
    })
}

async fn join(running: &Running, token: &str) -> (Client, JoinResponse) {
    let target = format!("/rtc?protocol=16&access_token={token}");
    let connector = Connector(running.http_addr());
    let mut client = connector.connect_to(&target).await.unwrap();
    let Hear::Join(joined) = client.hear().await else {
        panic!("the first message is a join");
    };
    assert!(matches!(client.hear().await, Hear::RefreshToken(_)));
    (client, joined)
}

/// What a client is told when it is moved leads it into the other room, with its rights there and no others.
async fn follows(running: &Running, client: &mut Client, room: &str) {
    let (told, token) = leave_after(client).await;
    assert_eq!(told.action(), Action::Reconnect);
    let token = token.expect("a token comes first");
    let grants = keys().verify(&token).unwrap().grants().clone();
    assert!(grants.room_join && !grants.room_admin);
    assert_eq!(grants.can_publish, Some(false));
    let (_client, joined) = join(running, &token).await;
    assert_eq!(joined.room.unwrap().name, room);
    assert_eq!(joined.participant.unwrap().identity, "ann");
}

#[tokio::test]
async fn a_participant_is_sent_to_another_room() {
    let running = support::plenum().await;
    let ann = participant_token(
        "ann",
        VideoGrants {
            room_join: true,
            room_admin: true,
            can_publish: Some(false),
            room: "tea".to_owned(),
            ..VideoGrants::default()
        },
    );
    let (mut client, _) = join(&running, &ann).await;
    let mut api = ParticipantServiceClient::new(channel(&running).await);
    let to = |destination: &str| MoveParticipantRequest {
        room: "tea".to_owned(),
        identity: "ann".to_owned(),
        destination_room: destination.to_owned(),
    };
    for (grant, destination, code) in [
        ("", "coffee", Code::PermissionDenied),
        ("milk", "coffee", Code::PermissionDenied),
        ("tea", "tea", Code::InvalidArgument),
        ("", "", Code::InvalidArgument),
    ] {
        let asked = api.move_participant(with_token(&mover(grant), to(destination)));
        assert_eq!(
            asked.await.unwrap_err().code(),
            code,
            "{grant} {destination}"
        );
    }
    api.move_participant(with_token(&mover("coffee"), to("coffee")))
        .await
        .unwrap();
    follows(&running, &mut client, "coffee").await;
    // It is gone from the first.
    let again = api.move_participant(with_token(&mover("coffee"), to("coffee")));
    assert_eq!(again.await.unwrap_err().code(), Code::NotFound);
}

/// What is told next of ann in another room than hers.
async fn seen(client: &mut Client) -> ParticipantInfo {
    loop {
        if let Hear::Update(update) = client.hear().await
            && let Some(ann) = update
                .participants
                .into_iter()
                .find(|p| p.identity == "ann")
        {
            return ann;
        }
    }
}

#[tokio::test]
async fn a_participant_is_shown_in_another_room_too() {
    let running = support::plenum().await;
    let ticket = |identity: &str, room: &str| {
        let grants = VideoGrants {
            room_join: true,
            room: room.to_owned(),
            ..VideoGrants::default()
        };
        participant_token(identity, grants)
    };
    let (mut ann, _) = join(&running, &ticket("ann", "tea")).await;
    let (mut cat, _) = join(&running, &ticket("cat", "coffee")).await;
    let mut api = ParticipantServiceClient::new(channel(&running).await);
    let to = |identity: &str, destination: &str| ForwardParticipantRequest {
        room: "tea".to_owned(),
        identity: identity.to_owned(),
        destination_room: destination.to_owned(),
    };
    for (grant, identity, destination, code) in [
        ("", "ann", "coffee", Code::PermissionDenied),
        ("tea", "ann", "tea", Code::InvalidArgument),
        ("coffee", "bob", "coffee", Code::NotFound),
    ] {
        let asked = with_token(&mover(grant), to(identity, destination));
        let refused = api.forward_participant(asked).await.unwrap_err();
        assert_eq!(refused.code(), code, "{grant} {identity} {destination}");
    }
    let asked = with_token(&mover("coffee"), to("ann", "coffee"));
    api.forward_participant(asked).await.unwrap();
    let shown = seen(&mut cat).await;
    assert_eq!(shown.kind_details, [KindDetail::Forwarded as i32]);
    ann.settle().await;
    // As a backend of LiveKit asks: it is there already.
    let authorization = format!("Bearer {}", mover("coffee"));
    let headers = [
        ("content-type", "application/json"),
        ("authorization", authorization.as_str()),
    ];
    let path = "/twirp/livekit.RoomService/ForwardParticipant";
    let body = r#"{"room":"tea","identity":"ann","destinationRoom":"coffee"}"#;
    let twirp = || support::request(http::Method::POST, path, &headers, body);
    let refused = support::send(running.http_addr(), twirp()).await;
    assert_ne!(refused.status, StatusCode::OK);
    assert!(
        refused.text().contains("in that room already"),
        "{}",
        refused.text()
    );
    let remove = RemoveParticipantRequest {
        room: "coffee".to_owned(),
        identity: "ann".to_owned(),
    };
    let coffee = token(VideoGrants {
        room_admin: true,
        room: "coffee".to_owned(),
        ..VideoGrants::default()
    });
    api.remove_participant(with_token(&coffee, remove))
        .await
        .unwrap();
    assert_eq!(seen(&mut cat).await.state(), State::Disconnected);
    let answer = support::send(running.http_addr(), twirp()).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(seen(&mut cat).await.kind_details, shown.kind_details);
    // It goes with who it stands for.
    ann.say(Say::Leave(LeaveRequest::default())).await;
    assert_eq!(seen(&mut cat).await.state(), State::Disconnected);
}

#[tokio::test]
async fn backends_of_livekit_ask_for_the_same() {
    let running = support::plenum().await;
    let grants = VideoGrants {
        room_join: true,
        can_publish: Some(false),
        room: "tea".to_owned(),
        ..VideoGrants::default()
    };
    let (mut client, _) = join(&running, &participant_token("ann", grants)).await;
    let path = "/twirp/livekit.RoomService/MoveParticipant";
    let authorization = format!("Bearer {}", mover("coffee"));
    let headers = [
        ("content-type", "application/json"),
        ("authorization", &authorization),
    ];
    let body = r#"{"room":"tea","identity":"ann","destinationRoom":"coffee"}"#;
    let request = support::request(http::Method::POST, path, &headers, body);
    let answer = support::send(running.http_addr(), request).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    follows(&running, &mut client, "coffee").await;
}
