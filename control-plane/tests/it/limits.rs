//! What a connection may cost: silent sockets, slow requests, long heads and bodies.

use std::time::Duration;

use control_plane::run::Running;
use http::{Method, StatusCode};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use plenum_proto::v1::{
    self, event_service_client::EventServiceClient, room_service_client::RoomServiceClient,
};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::timeout,
};

use crate::support::{self, PATIENCE, get, request, send};

const LIST_ROOMS: &str = "/twirp/livekit.RoomService/ListRooms";

async fn impatient() -> Running {
    let mut config = support::config();
    config.http.header_timeout = Duration::from_millis(200);
    config.http.request_timeout = Duration::from_millis(400);
    support::start(config).await
}

/// Sends `bytes` and then nothing; what comes back until the other end closes.
async fn say(running: &Running, bytes: &[u8]) -> String {
    let mut tcp = TcpStream::connect(running.http_addr())
        .await
        .expect("a connection");
    tcp.write_all(bytes).await.expect("sent");
    let mut answer = Vec::new();
    // A reset is an end as well.
    let _ = timeout(PATIENCE, tcp.read_to_end(&mut answer))
        .await
        .expect("closed in time");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_connection_that_does_not_ask_is_closed() {
    let running = impatient().await;
    for bytes in [
        &b""[..],
        b"G",
        b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow:",
        b"PRI * HTTP/2.0\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01",
    ] {
        let answer = say(&running, bytes).await;
        assert!(!answer.contains(" 200 "), "{bytes:?}: {answer}");
    }
    // One that asked, and then keeps the connection without asking again.
    let answer = say(&running, b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    running.shutdown().await;
}

#[tokio::test]
async fn a_body_that_does_not_come_is_given_up() {
    let running = impatient().await;
    let head = format!(
        "POST {LIST_ROOMS} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
         Content-Length: 100\r\n\r\n{{"
    );
    let answer = say(&running, head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    running.shutdown().await;
}

#[tokio::test]
async fn long_heads_and_bodies_are_refused() {
    let mut config = support::config();
    config.http.max_body = control_plane::config::ByteSize::kib(64);
    let running = support::start(config).await;
    let to = running.http_addr();

    let path = format!("/healthz?{}", "x".repeat(5_000));
    assert_eq!(
        get(to, &path, &[]).await.status,
        StatusCode::OK,
        "SDKs send such targets"
    );
    let long = "x".repeat(20_000);
    let answer = get(to, "/healthz", &[("x-long", &long)]).await;
    assert_eq!(answer.status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);

    let body = vec![b' '; 64 * 1024 + 1];
    let headers = [("content-type", "application/json")];
    let answer = send(
        to,
        request(Method::POST, LIST_ROOMS, &headers, body.clone()),
    )
    .await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert_eq!(answer.json()["code"], "resource_exhausted");
    let answer = send(to, request(Method::POST, "/web/join", &headers, body)).await;
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    assert!(answer.json()["error"].is_string());
    running.shutdown().await;
}

#[tokio::test]
async fn more_connections_than_allowed_wait_their_turn() {
    let mut config = support::config();
    config.http.max_connections = 1;
    let running = support::start(config).await;
    let to = running.http_addr();
    let first = TcpStream::connect(to).await.expect("a connection");
    let second = tokio::spawn(get_owned(to));
    // The second is served as soon as the first is gone, and never fails.
    drop(first);
    assert_eq!(second.await.expect("no panic"), StatusCode::OK);
    running.shutdown().await;
}

async fn get_owned(to: std::net::SocketAddr) -> StatusCode {
    get(to, "/healthz", &[]).await.status
}

#[tokio::test]
async fn an_idle_http2_connection_is_closed_and_one_with_a_stream_is_not() {
    let mut config = support::config();
    config.http.idle_timeout = Duration::from_millis(100);
    let running = support::start(config).await;
    let (channel, admin) = (support::channel(&running).await, support::admin("tea"));
    let watch = v1::WatchEventsRequest::default();
    let mut events = EventServiceClient::new(channel.clone())
        .watch_events(support::with_token(&admin, watch))
        .await
        .unwrap()
        .into_inner();
    // As long as three times what the stream's connection has had no other request.
    for _ in 0..3 {
        let tcp = TcpStream::connect(running.http_addr()).await.unwrap();
        let (mut asking, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(tcp))
            .await
            .unwrap();
        let connection = tokio::spawn(connection);
        let to = format!("http://{}/healthz", running.http_addr());
        let ask = request(Method::GET, &to, &[], "");
        let answer = asking.send_request(ask).await.unwrap();
        assert_eq!(answer.status(), StatusCode::OK);
        let ended = timeout(PATIENCE, connection).await.expect("closed in time");
        ended.unwrap().unwrap();
    }
    let create = v1::CreateRoomRequest {
        config: Some(v1::RoomConfig {
            name: "tea".to_owned(),
            ..v1::RoomConfig::default()
        }),
    };
    RoomServiceClient::new(channel)
        .create_room(support::with_token(&admin, create))
        .await
        .unwrap();
    let event = timeout(PATIENCE, events.message()).await.expect("in time");
    assert!(event.unwrap().is_some(), "it was open all the time");
    running.shutdown().await;
}
