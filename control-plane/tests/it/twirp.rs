//! The API of server SDKs, in both of its encodings.

use std::net::SocketAddr;

use http::{Method, StatusCode};
use livekit_protocol as lk;
use prost::Message;
use serde_json::{Value, json};

use crate::support::{Answer, admin, plenum, request, send, token};

async fn call(to: SocketAddr, method: &str, token: &str, kind: &str, body: Vec<u8>) -> Answer {
    let path = format!("/twirp/livekit.RoomService/{method}");
    let bearer = format!("Bearer {token}");
    let headers = [("authorization", bearer.as_str()), ("content-type", kind)];
    send(to, request(Method::POST, &path, &headers, body)).await
}

async fn in_json(to: SocketAddr, method: &str, token: &str, message: Value) -> Answer {
    let answer = call(
        to,
        method,
        token,
        "application/json",
        message.to_string().into(),
    )
    .await;
    assert_eq!(
        answer.header("content-type"),
        "application/json",
        "{answer:?}"
    );
    answer
}

async fn in_protobuf<T: Message + Default>(
    to: SocketAddr,
    method: &str,
    token: &str,
    message: impl Message,
) -> T {
    let answer = call(
        to,
        method,
        token,
        "application/protobuf",
        message.encode_to_vec(),
    )
    .await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(answer.header("content-type"), "application/protobuf");
    T::decode(answer.body).expect("a message")
}

#[tokio::test]
async fn a_room_lives_and_ends_in_json() {
    let running = plenum().await;
    let (to, token) = (running.http_addr(), admin("tea"));
    let wanted =
        json!({"name": "tea", "empty_timeout": 60, "maxParticipants": 7, "later": {"a": 1}});
    let room = in_json(to, "CreateRoom", &token, wanted).await.json();
    assert!(
        room["sid"]
            .as_str()
            .is_some_and(|sid| sid.starts_with("RM_")),
        "{room}"
    );
    assert_eq!(room["name"], "tea");
    assert!(
        room["creationTime"].is_string(),
        "64-bit numbers are text: {room}"
    );

    let listed = in_json(to, "ListRooms", &token, json!({})).await.json();
    assert_eq!(listed["rooms"][0]["sid"], room["sid"]);
    let changed = json!({"room": "tea", "metadata": "green"});
    let changed = in_json(to, "UpdateRoomMetadata", &token, changed)
        .await
        .json();
    assert_eq!(changed["metadata"], "green");
    let nobody = in_json(to, "ListParticipants", &token, json!({"room": "tea"})).await;
    assert_eq!((nobody.status, nobody.json()), (StatusCode::OK, json!({})));
    let missing = json!({"room": "tea", "identity": "ada"});
    let missing = in_json(to, "GetParticipant", &token, missing).await;
    assert_eq!(missing.status, StatusCode::NOT_FOUND);
    assert_eq!(
        missing.json(),
        json!({"code": "not_found", "msg": "participant does not exist"})
    );

    let ended = in_json(to, "DeleteRoom", &token, json!({"room": "tea"})).await;
    assert_eq!((ended.status, ended.json()), (StatusCode::OK, json!({})));
    let gone = in_json(to, "ListParticipants", &token, json!({"room": "tea"})).await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    assert_eq!(gone.json()["msg"], "requested room does not exist");
    running.shutdown().await;
}

#[tokio::test]
async fn a_room_lives_and_ends_in_protobuf() {
    let running = plenum().await;
    let (to, token) = (running.http_addr(), admin("tea"));
    let wanted = lk::CreateRoomRequest {
        name: "tea".into(),
        metadata: "m".into(),
        ..Default::default()
    };
    let room: lk::Room = in_protobuf(to, "CreateRoom", &token, wanted).await;
    assert_eq!((room.name.as_str(), room.metadata.as_str()), ("tea", "m"));
    let names = lk::ListRoomsRequest {
        names: vec!["tea".into(), "none".into()],
    };
    let listed: lk::ListRoomsResponse = in_protobuf(to, "ListRooms", &token, names).await;
    assert_eq!(listed.rooms.len(), 1);
    let data = lk::SendDataRequest {
        room: "tea".into(),
        data: b"hello".to_vec(),
        topic: Some("greetings".into()),
        ..Default::default()
    };
    let _: lk::SendDataResponse = in_protobuf(to, "SendData", &token, data).await;
    let room = lk::DeleteRoomRequest { room: "tea".into() };
    let _: lk::DeleteRoomResponse = in_protobuf(to, "DeleteRoom", &token, room).await;
    running.shutdown().await;
}

#[tokio::test]
async fn without_token_or_grant_everything_is_unauthenticated() {
    let running = plenum().await;
    let to = running.http_addr();
    let nothing = token(control_plane::auth::VideoGrants::default());
    let other = admin("coffee");
    for method in [
        "CreateRoom",
        "ListRooms",
        "DeleteRoom",
        "ListParticipants",
        "GetParticipant",
        "RemoveParticipant",
        "MutePublishedTrack",
        "UpdateParticipant",
        "UpdateSubscriptions",
        "SendData",
        "UpdateRoomMetadata",
    ] {
        let mut tokens = vec!["", "nonsense", nothing.as_str()];
        if !["CreateRoom", "ListRooms", "DeleteRoom"].contains(&method) {
            tokens.push(&other);
        }
        for token in tokens {
            let message = json!({"room": "tea", "identity": "ada", "name": "tea"});
            let answer = in_json(to, method, token, message).await;
            assert_eq!(
                answer.status,
                StatusCode::UNAUTHORIZED,
                "{method} {answer:?}"
            );
            assert_eq!(answer.json()["code"], "unauthenticated");
        }
    }
    running.shutdown().await;
}

#[tokio::test]
async fn what_cannot_be_answered_is_said_in_twirp() {
    let running = plenum().await;
    let (to, token) = (running.http_addr(), admin("tea"));
    for (path, kind, status, code) in [
        (
            "/twirp/livekit.Egress/ListEgress",
            "application/json",
            501,
            "unimplemented",
        ),
        (
            "/twirp/livekit.Ingress/ListIngress",
            "application/json",
            501,
            "unimplemented",
        ),
        (
            "/twirp/livekit.SIP/ListSIPTrunk",
            "application/json",
            501,
            "unimplemented",
        ),
        (
            "/twirp/livekit.AgentDispatchService/None",
            "application/json",
            404,
            "bad_route",
        ),
        (
            "/twirp/livekit.RoomService/PerformRpc",
            "application/json",
            501,
            "unimplemented",
        ),
        (
            "/twirp/livekit.RoomService/None",
            "application/json",
            404,
            "bad_route",
        ),
        (
            "/twirp/livekit.None/None",
            "application/json",
            404,
            "bad_route",
        ),
        ("/twirp/none", "application/json", 404, "bad_route"),
        (
            "/twirp/livekit.RoomService/ListRooms",
            "text/plain",
            404,
            "bad_route",
        ),
    ] {
        let answer = send(
            to,
            request(Method::POST, path, &[("content-type", kind)], "{}"),
        )
        .await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["code"]),
            (status, &json!(code)),
            "{path}"
        );
    }
    let path = "/twirp/livekit.RoomService/ListRooms";
    let get = send(to, request(Method::GET, path, &[], "")).await;
    assert_eq!(
        (get.status.as_u16(), &get.json()["code"]),
        (404, &json!("bad_route"))
    );
    for (kind, body) in [("application/json", "{"), ("application/protobuf", "\u{1}")] {
        let answer = call(to, "ListRooms", &token, kind, body.into()).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["code"]),
            (400, &json!("malformed"))
        );
    }
    let wrong = in_json(to, "CreateRoom", &token, json!({"name": ""})).await;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    assert_eq!(wrong.json()["meta"]["argument"], "config.name");
    running.shutdown().await;
}
