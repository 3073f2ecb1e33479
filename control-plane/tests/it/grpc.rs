//! The gRPC API: rooms, tokens, refusals that name the field, reflection and health.

use control_plane::auth::VideoGrants;
use futures_util::StreamExt as _;
use plenum_proto::v1::{
    self, participant_service_client::ParticipantServiceClient,
    room_service_client::RoomServiceClient, token_service_client::TokenServiceClient,
};
use tonic::{Code, Status};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};
use tonic_types::StatusExt as _;

use crate::support::{admin, channel, keys, plenum, start, token, with_token};

fn create(name: &str) -> v1::CreateRoomRequest {
    let config = v1::RoomConfig {
        name: name.into(),
        metadata: "m".into(),
        ..Default::default()
    };
    v1::CreateRoomRequest {
        config: Some(config),
    }
}

fn fields(status: &Status) -> Vec<String> {
    let bad = status
        .get_details_bad_request()
        .unwrap_or_else(|| panic!("no details: {status:?}"));
    bad.field_violations
        .into_iter()
        .map(|violation| violation.field)
        .collect()
}

#[tokio::test]
async fn a_room_lives_and_ends() {
    let running = plenum().await;
    let mut rooms = RoomServiceClient::new(channel(&running).await);
    let token = admin("tea");
    let room = rooms
        .create_room(with_token(&token, create("tea")))
        .await
        .unwrap()
        .into_inner();
    assert!(
        room.id.starts_with("RM_") && room.created_at.is_some(),
        "{room:?}"
    );
    let again = rooms
        .create_room(with_token(&token, create("tea")))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(again.id, room.id, "the live room of that name");

    let update = v1::UpdateRoomRequest {
        room: "tea".into(),
        metadata: Some("green".into()),
        ..Default::default()
    };
    rooms.update_room(with_token(&token, update)).await.unwrap();
    let get = v1::GetRoomRequest { room: "tea".into() };
    let seen = rooms
        .get_room(with_token(&token, get.clone()))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (seen.id.as_str(), seen.metadata.as_str()),
        (room.id.as_str(), "green")
    );
    let all = v1::ListRoomsRequest::default();
    let listed = rooms
        .list_rooms(with_token(&token, all))
        .await
        .unwrap()
        .into_inner();
    assert_eq!(listed.rooms, [seen]);

    let delete = v1::DeleteRoomRequest { room: "tea".into() };
    rooms.delete_room(with_token(&token, delete)).await.unwrap();
    let gone = rooms.get_room(with_token(&token, get)).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    assert_eq!(
        gone.get_details_resource_info().map(|r| r.resource_type),
        Some("room".into())
    );
    running.shutdown().await;
}

#[tokio::test]
async fn a_refusal_names_every_field_at_fault() {
    let running = plenum().await;
    let channel = channel(&running).await;
    let token = admin("tea");
    let mut rooms = RoomServiceClient::new(channel.clone());
    let status = rooms
        .create_room(with_token(&token, create("")))
        .await
        .unwrap_err();
    assert_eq!(
        (status.code(), fields(&status)),
        (Code::InvalidArgument, vec!["config.name".into()])
    );

    let mut participants = ParticipantServiceClient::new(channel);
    let mute = v1::MuteTrackRequest {
        room: "tea".into(),
        identity: "x".repeat(1_000),
        track_id: "PA_1".into(),
        muted: true,
    };
    let status = participants
        .mute_track(with_token(&token, mute))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert_eq!(fields(&status), ["identity", "track_id"]);
    running.shutdown().await;
}

#[tokio::test]
async fn a_token_opens_what_it_grants_and_no_more() {
    let running = plenum().await;
    let channel = channel(&running).await;
    let mut rooms = RoomServiceClient::new(channel.clone());
    let status = rooms
        .list_rooms(v1::ListRoomsRequest::default())
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unauthenticated);
    let nothing = token(VideoGrants::default());
    let all = v1::ListRoomsRequest::default();
    let status = rooms
        .list_rooms(with_token(&nothing, all))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);

    let other = token(VideoGrants {
        room_admin: true,
        room: "coffee".into(),
        ..VideoGrants::default()
    });
    let room = || "tea".to_owned();
    let get = v1::GetRoomRequest { room: room() };
    let status = rooms.get_room(with_token(&other, get)).await.unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    let delete = v1::DeleteRoomRequest { room: room() };
    let status = rooms
        .delete_room(with_token(&other, delete))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    let list = v1::ListParticipantsRequest { room: room() };
    let mut participants = ParticipantServiceClient::new(channel);
    let status = participants
        .list_participants(with_token(&other, list))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    running.shutdown().await;
}

#[tokio::test]
async fn a_token_is_minted_with_no_more_than_its_makers_rights() {
    let running = plenum().await;
    let mut tokens = TokenServiceClient::new(channel(&running).await);
    let maker = token(VideoGrants {
        token_create: true,
        room_join: true,
        room: "tea".into(),
        can_publish: Some(false),
        ..VideoGrants::default()
    });
    let permissions = v1::Permissions {
        can_subscribe: true,
        can_publish_data: true,
        ..Default::default()
    };
    let wanted = v1::CreateTokenRequest {
        identity: "ada".into(),
        room: "tea".into(),
        permissions: Some(permissions),
        ttl: Some(prost_types::Duration {
            seconds: 60,
            nanos: 0,
        }),
        ..Default::default()
    };
    let made = tokens
        .create_token(with_token(&maker, wanted.clone()))
        .await
        .unwrap()
        .into_inner();
    let verified = keys().verify(&made.token).unwrap();
    assert_eq!(
        (verified.require_join(), verified.identity()),
        (Ok("tea"), "ada")
    );
    assert!(!verified.permissions().can_publish && verified.permissions().can_subscribe);
    assert!(made.expires_at.is_some());

    let change = |change: fn(&mut v1::CreateTokenRequest)| {
        let mut wanted = wanted.clone();
        change(&mut wanted);
        wanted
    };
    for (wanted, code) in [
        (change(|w| w.permissions = None), Code::PermissionDenied),
        (change(|w| w.room_admin = true), Code::PermissionDenied),
        (change(|w| w.room = "coffee".into()), Code::PermissionDenied),
        (change(|w| w.identity.clear()), Code::InvalidArgument),
        (
            change(|w| w.ttl = Some(prost_types::Duration::default())),
            Code::InvalidArgument,
        ),
    ] {
        let status = tokens
            .create_token(with_token(&maker, wanted))
            .await
            .unwrap_err();
        assert_eq!(status.code(), code, "{status:?}");
    }
    let status = tokens
        .create_token(with_token(&admin("tea"), wanted))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied);
    running.shutdown().await;
}

#[tokio::test]
async fn it_describes_itself_and_says_that_it_serves() {
    let running = plenum().await;
    let channel = channel(&running).await;
    let asked = ServerReflectionRequest {
        host: String::new(),
        message_request: Some(MessageRequest::ListServices(String::new())),
    };
    let mut answers = ServerReflectionClient::new(channel.clone())
        .server_reflection_info(futures_util::stream::iter([asked]))
        .await
        .unwrap()
        .into_inner();
    let answer = answers.next().await.unwrap().unwrap();
    let Some(MessageResponse::ListServicesResponse(listed)) = answer.message_response else {
        panic!("{answer:?}")
    };
    let mut names: Vec<String> = listed
        .service
        .into_iter()
        .map(|service| service.name)
        .collect();
    names.sort();
    let expected = [
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "plenum.v1.AgentService",
        "plenum.v1.EgressService",
        "plenum.v1.EventService",
        "plenum.v1.IngressService",
        "plenum.v1.NodeService",
        "plenum.v1.ParticipantService",
        "plenum.v1.RoomService",
        "plenum.v1.TokenService",
    ];
    assert_eq!(
        names, expected,
        "the node's own service is not for the public"
    );

    let mut health = HealthClient::new(channel.clone());
    let status = health
        .check(HealthCheckRequest::default())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(status.status(), ServingStatus::Serving);
    let mut node = plenum_proto::node::node_client::NodeClient::new(channel);
    let status = node
        .status(plenum_proto::node::StatusRequest {})
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    running.shutdown().await;
}

#[tokio::test]
async fn a_message_over_the_limit_is_refused() {
    let mut config = crate::support::config();
    config.http.max_body = control_plane::config::ByteSize::kib(64);
    let running = start(config).await;
    let mut rooms = RoomServiceClient::new(channel(&running).await);
    let mut message = create("tea");
    message.config.as_mut().unwrap().metadata = "x".repeat(65 * 1024);
    let status = rooms
        .create_room(with_token(&admin("tea"), message))
        .await
        .unwrap_err();
    assert_eq!(status.code(), Code::OutOfRange);
    running.shutdown().await;
}

#[tokio::test]
async fn a_call_with_a_key_happens_once() {
    let running = plenum().await;
    let mut rooms = RoomServiceClient::new(channel(&running).await);
    let keyed = |name: &str, key: &str| {
        let mut request = with_token(&admin(name), create(name));
        request
            .metadata_mut()
            .insert("idempotency-key", key.parse().expect("text"));
        request
    };
    let first = rooms
        .create_room(keyed("tea", "k1"))
        .await
        .expect("created");
    let delete = v1::DeleteRoomRequest { room: "tea".into() };
    rooms
        .delete_room(with_token(&admin("tea"), delete))
        .await
        .expect("ended");
    let again = rooms
        .create_room(keyed("tea", "k1"))
        .await
        .expect("the same");
    assert_eq!(again.get_ref().id, first.get_ref().id);
    let listed = rooms
        .list_rooms(with_token(&admin("tea"), v1::ListRoomsRequest::default()))
        .await
        .expect("listed");
    assert_eq!(listed.get_ref().rooms, [], "nothing was made");
    let other = rooms
        .create_room(keyed("tea", "k2"))
        .await
        .expect("created");
    assert_ne!(other.get_ref().id, first.get_ref().id);
    let misused = rooms
        .create_room(keyed("coffee", "k1"))
        .await
        .expect_err("refused");
    assert_eq!(misused.code(), Code::FailedPrecondition);
    let long = "k".repeat(200);
    let refused = rooms
        .create_room(keyed("tea", &long))
        .await
        .expect_err("refused");
    assert_eq!(refused.code(), Code::InvalidArgument);
    running.shutdown().await;
}

#[tokio::test]
async fn subscriptions_are_explained_to_who_administers_the_room_and_to_oneself() {
    let running = plenum().await;
    let mut rooms = RoomServiceClient::new(channel(&running).await);
    let admin = admin("tea");
    rooms
        .create_room(with_token(&admin, create("tea")))
        .await
        .unwrap();
    let mut participants = ParticipantServiceClient::new(channel(&running).await);
    let guest = token(VideoGrants {
        room_join: true,
        room: "tea".into(),
        ..VideoGrants::default()
    });
    for (token, identity, code) in [
        (&admin, "nobody", Code::NotFound),
        (&admin, "", Code::InvalidArgument),
        (&guest, "guest", Code::PermissionDenied),
    ] {
        let request = v1::ExplainSubscriptionsRequest {
            room: "tea".into(),
            identity: identity.into(),
        };
        let refused = participants
            .explain_subscriptions(with_token(token, request))
            .await
            .unwrap_err();
        assert_eq!(refused.code(), code, "{identity}: {refused:?}");
    }
    running.shutdown().await;
}
