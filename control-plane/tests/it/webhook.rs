//! Webhooks as their receiver sees them.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_lc_rs::digest::{SHA256, digest};
use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode, header::LOCATION},
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use control_plane::run::Running;
use plenum_proto::v1::{
    CreateRoomRequest, DeleteRoomRequest, RoomConfig, room_service_client::RoomServiceClient,
};
use tokio::{net::TcpListener, sync::mpsc};

use crate::support::{self, PATIENCE, admin, channel, keys, with_token};

/// A receiver, which answers as it is told to, and with 200 after that.
struct Receiver {
    url: String,
    got: mpsc::UnboundedReceiver<Got>,
}

/// One request.
#[derive(Debug)]
struct Got {
    sequence: u64,
    json: serde_json::Value,
}

impl Got {
    fn what(&self) -> (&str, &str) {
        (
            self.json["event"].as_str().unwrap(),
            self.json["room"]["name"].as_str().unwrap(),
        )
    }
}

#[derive(Clone)]
struct Answers {
    left: Arc<Mutex<VecDeque<StatusCode>>>,
    got: mpsc::UnboundedSender<Got>,
}

impl Receiver {
    async fn start(answers: &[StatusCode]) -> Self {
        let (to, got) = mpsc::unbounded_channel();
        let answers = Answers {
            left: Arc::new(Mutex::new(answers.iter().copied().collect())),
            got: to,
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/hook", listener.local_addr().unwrap());
        let app = Router::new().fallback(take).with_state(answers);
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, got }
    }

    async fn next(&mut self) -> Got {
        let got = tokio::time::timeout(PATIENCE, self.got.recv()).await;
        got.expect("in time").unwrap()
    }
}

/// Checks the signature as the SDKs do.
async fn take(State(answers): State<Answers>, headers: HeaderMap, body: Bytes) -> Response {
    let text = |name: &str| headers[name].to_str().unwrap().to_owned();
    assert_eq!(text("content-type"), "application/webhook+json");
    let verified = keys().verify(&text("authorization")).expect("a good token");
    let hash = BASE64_STANDARD.encode(digest(&SHA256, &body));
    assert_eq!(verified.claims().sha256, hash);
    let json: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(json["id"], text("plenum-event-id"));
    let sequence = text("plenum-sequence").parse().unwrap();
    let _ = answers.got.send(Got { sequence, json });
    let status = answers.left.lock().unwrap().pop_front();
    let status = status.unwrap_or(StatusCode::OK);
    // Where redirects lead must not be found out.
    (status, [(LOCATION, "/elsewhere")]).into_response()
}

async fn plenum(receiver: &Receiver, allow_private: bool) -> Running {
    let mut config = support::config();
    config.webhook.urls = vec![receiver.url.clone()];
    config.webhook.allow_private = allow_private;
    support::start(config).await
}

async fn live(running: &Running, room: &str) {
    let mut rooms = RoomServiceClient::new(channel(running).await);
    let config = RoomConfig {
        name: room.to_owned(),
        ..RoomConfig::default()
    };
    let create = CreateRoomRequest {
        config: Some(config),
    };
    rooms
        .create_room(with_token(&admin(room), create))
        .await
        .unwrap();
    let delete = DeleteRoomRequest {
        room: room.to_owned(),
    };
    rooms
        .delete_room(with_token(&admin(room), delete))
        .await
        .unwrap();
}

#[tokio::test]
async fn what_concerns_a_room_comes_signed_and_in_order() {
    let mut receiver = Receiver::start(&[]).await;
    let running = plenum(&receiver, true).await;
    live(&running, "tea").await;
    let (first, second) = (receiver.next().await, receiver.next().await);
    assert_eq!(first.what(), ("room_started", "tea"));
    assert_eq!(second.what(), ("room_finished", "tea"));
    assert!(first.sequence < second.sequence);
    assert_ne!(first.json["id"], second.json["id"]);
    running.shutdown().await;
}

/// A redirect is as bad as an error: neither is an end, and nothing overtakes.
#[tokio::test]
async fn what_is_not_taken_comes_again_before_anything_else_of_the_room() {
    let refusals = [
        StatusCode::INTERNAL_SERVER_ERROR,
        StatusCode::TEMPORARY_REDIRECT,
    ];
    let mut receiver = Receiver::start(&refusals).await;
    let running = plenum(&receiver, true).await;
    live(&running, "tea").await;
    let mut sequences = Vec::new();
    for expected in [
        "room_started",
        "room_started",
        "room_started",
        "room_finished",
    ] {
        let got = receiver.next().await;
        assert_eq!(got.what(), (expected, "tea"));
        sequences.push(got.sequence);
    }
    assert!(
        sequences[..3]
            .iter()
            .all(|sequence| *sequence == sequences[0])
    );
    running.shutdown().await;
}

#[tokio::test]
async fn private_targets_are_refused_unless_allowed() {
    let mut receiver = Receiver::start(&[]).await;
    let running = plenum(&receiver, false).await;
    live(&running, "tea").await;
    // Attempts are counted as failed before anything could have arrived.
    let failed = "plenum_webhooks_attempts_failed_total 1";
    tokio::time::timeout(PATIENCE, async {
        loop {
            let metrics = support::get(running.http_addr(), "/metrics", &[]).await;
            if metrics.text().lines().any(|line| line.starts_with(failed)) {
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
    .expect("in time");
    assert!(receiver.got.try_recv().is_err());
    // Both events wait for as long as nobody takes them.
    let metrics = support::get(running.http_addr(), "/metrics", &[]).await;
    let value = |name: &str| {
        let text = metrics.text();
        let line = text.lines().find(|line| line.starts_with(name));
        line.unwrap()
            .split(' ')
            .nth(1)
            .unwrap()
            .parse::<f64>()
            .unwrap()
    };
    assert!(value("plenum_webhooks_waiting ") >= 1.0);
    assert!(value("plenum_webhooks_oldest_age_seconds ") > 0.0);
    running.shutdown().await;
}

/// What was not delivered when the process ended is delivered by the next one, from the file.
#[tokio::test]
async fn a_restart_loses_no_webhook() {
    let mut receiver = Receiver::start(&[StatusCode::SERVICE_UNAVAILABLE]).await;
    let name = format!("outbox-{:016x}.redb", rand::random::<u64>());
    let path = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let mut config = support::config();
    config.webhook.urls = vec![receiver.url.clone()];
    config.webhook.allow_private = true;
    config.store.path = Some(path.to_str().unwrap().to_owned());
    let running = support::start(config.clone()).await;
    live(&running, "tea").await;
    let refused = receiver.next().await;
    running.shutdown().await;
    // The old process lets go of the file when its last task has ended.
    let running = tokio::time::timeout(PATIENCE, async {
        loop {
            match control_plane::run::start(config.clone()).await {
                Ok(running) => return running,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    })
    .await
    .expect("in time");
    let again = receiver.next().await;
    assert_eq!(
        (again.what(), again.sequence),
        (refused.what(), refused.sequence)
    );
    assert_eq!(again.json, refused.json);
    assert_eq!(receiver.next().await.what(), ("room_finished", "tea"));
    running.shutdown().await;
    let _ = std::fs::remove_file(&path);
}
