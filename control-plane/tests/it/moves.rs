//! A participant sent to another room, as its client and the backend see it.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use control_plane::{auth::VideoGrants, run::Running};
use http::StatusCode;
use livekit_protocol::{JoinResponse, leave_request::Action, signal_response::Message as Hear};
use plenum_proto::v1::{
    MoveParticipantRequest, participant_service_client::ParticipantServiceClient,
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
