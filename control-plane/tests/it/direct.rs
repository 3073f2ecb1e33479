//! The direct API over real WebSockets, against a whole `plenum`: two are paired and negotiate, others and
//! failures send them to the node, and what does not belong is refused.

use std::time::Duration;

use control_plane::{
    auth::{MintRequest, VideoGrants},
    config::DEV_KEY,
    run::Running,
};
use futures_util::{SinkExt as _, StreamExt as _};
use http::StatusCode;
use plenum_proto::v1::{
    GetParticipantRequest, RemoveParticipantRequest,
    participant_service_client::ParticipantServiceClient,
};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message as Frame},
};

use crate::support::{PATIENCE, admin, channel, get, keys, plenum, with_token};

/// A client of the direct API.
struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
}

fn token_with(identity: &str, change: impl FnOnce(&mut VideoGrants)) -> String {
    let mut grants = VideoGrants {
        room_join: true,
        room: "r".into(),
        ..VideoGrants::default()
    };
    change(&mut grants);
    let request = MintRequest {
        identity: identity.to_owned(),
        grants,
        ttl: Duration::from_secs(60),
        ..MintRequest::default()
    };
    keys().mint(DEV_KEY, request).expect("a token")
}

fn token(identity: &str) -> String {
    token_with(identity, |_| {})
}

async fn open(running: &Running, target: &str) -> Result<Client, Error> {
    let url = format!("ws://{}{target}", running.http_addr());
    let connecting = timeout(PATIENCE, connect_async(url)).await;
    let (socket, _) = connecting.expect("in time")?;
    Ok(Client { socket })
}

async fn refused(running: &Running, target: &str) -> u16 {
    match open(running, target).await {
        Err(Error::Http(response)) => response.status().as_u16(),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("not refused"),
    }
}

impl Client {
    /// Joins, and reads up to its first token.
    async fn join(running: &Running, identity: &str) -> (Self, Value) {
        let target = format!("/direct?room=r&access_token={}", token(identity));
        let mut client = open(running, &target).await.expect("let in");
        let hello = client.hear().await;
        assert_eq!(hello["type"], "hello");
        assert_eq!(hello["participant"]["identity"], identity);
        assert_eq!(client.hear().await["type"], "token");
        (client, hello)
    }

    async fn send(&mut self, frame: Frame) {
        let sent = timeout(PATIENCE, self.socket.send(frame)).await;
        sent.expect("in time").expect("sent");
    }

    async fn say(&mut self, message: Value) {
        self.send(Frame::Text(message.to_string().into())).await;
    }

    /// The next message; the code of the close frame when there is none.
    async fn next(&mut self) -> Result<Value, u16> {
        loop {
            let frame = timeout(PATIENCE, self.socket.next()).await;
            match frame.expect("in time") {
                Some(Ok(Frame::Text(text))) => {
                    return Ok(serde_json::from_str(&text).expect("JSON"));
                }
                Some(Ok(Frame::Close(Some(close)))) => return Err(close.code.into()),
                Some(Ok(Frame::Ping(_) | Frame::Pong(_))) => {}
                _ => return Err(0),
            }
        }
    }

    async fn hear(&mut self) -> Value {
        self.next().await.expect("not closed")
    }

    /// The next message, which must be of this type; fresh tokens may come at any time.
    async fn expect(&mut self, kind: &str) -> Value {
        loop {
            let message = self.hear().await;
            if kind == "token" || message["type"] != "token" {
                assert_eq!(message["type"], kind, "{message}");
                return message;
            }
        }
    }
}

async fn two(running: &Running) -> (Client, Client) {
    let (mut ann, _) = Client::join(running, "ann").await;
    let (mut bob, _) = Client::join(running, "bob").await;
    let told = ann.expect("peer-joined").await;
    assert_eq!(
        (&told["peer"]["identity"], &told["polite"]),
        (&json!("bob"), &json!(false))
    );
    let told = bob.expect("peer-joined").await;
    assert_eq!(
        (&told["peer"]["identity"], &told["polite"]),
        (&json!("ann"), &json!(true))
    );
    (ann, bob)
}

#[tokio::test]
async fn a_offers_b_answers_both_trickle() {
    let running = plenum().await;
    let (mut ann, mut bob) = two(&running).await;
    let candidate = |ufrag: &str| {
        json!({"type": "candidate", "candidate": "candidate:1 1 udp 1 192.0.2.1 9 typ host",
            "sdpMid": "0", "sdpMLineIndex": 0, "usernameFragment": ufrag})
    };
    ann.say(json!({"type": "offer", "sdp": "v=0\r\n", "secret": "of ann"}))
        .await;
    ann.say(candidate("ann")).await;
    assert_eq!(bob.hear().await, json!({"type": "offer", "sdp": "v=0\r\n"}));
    assert_eq!(bob.hear().await, candidate("ann"));
    bob.say(json!({"type": "answer", "sdp": "v=0\r\n"})).await;
    bob.say(candidate("bob")).await;
    bob.say(json!({"type": "restart"})).await;
    assert_eq!(
        ann.hear().await,
        json!({"type": "answer", "sdp": "v=0\r\n"})
    );
    assert_eq!(ann.hear().await, candidate("bob"));
    assert_eq!(ann.hear().await, json!({"type": "restart"}));

    // The API sees them, and that their media is elsewhere.
    for client in [&mut ann, &mut bob] {
        client.say(json!({"type": "connected"})).await;
        client.say(json!({"type": "ping"})).await;
        client.expect("pong").await;
    }
    let mut api = ParticipantServiceClient::new(channel(&running).await);
    let request = GetParticipantRequest {
        room: "r".into(),
        identity: "ann".into(),
    };
    let shown = api
        .get_participant(with_token(&admin("r"), request))
        .await
        .expect("ann")
        .into_inner();
    assert!(shown.direct && shown.tracks.is_empty(), "{shown:?}");
    running.shutdown().await;
}

#[tokio::test]
async fn one_leaves_and_another_comes() {
    let running = plenum().await;
    let (mut ann, mut bob) = two(&running).await;
    bob.say(json!({"type": "leave"})).await;
    assert_eq!(bob.next().await, Err(1000));
    ann.expect("peer-left").await;
    ann.say(json!({"type": "offer", "sdp": "v=0"})).await;
    assert_eq!(ann.expect("error").await["code"], "no-peer");
    let (mut cleo, _) = Client::join(&running, "cleo").await;
    assert_eq!(ann.expect("peer-joined").await["peer"]["identity"], "cleo");
    cleo.expect("peer-joined").await;
    running.shutdown().await;
}

#[tokio::test]
async fn a_third_by_sdk_sends_both_to_the_node_and_they_keep_their_ids() {
    let running = plenum().await;
    let (mut ann, mut bob) = two(&running).await;
    let target = format!(
        "/rtc?encoding=json&protocol=15&access_token={}",
        token("cleo")
    );
    let mut cleo = open(&running, &target).await.expect("let in");
    let join = &cleo.hear().await["join"];
    let others = join["otherParticipants"].as_array().expect("a list");
    assert_eq!(others.len(), 2);
    let fallback = ann.expect("sfu").await;
    assert_eq!(
        (&fallback["reason"], &fallback["url"]),
        (&json!("others"), &json!("/"))
    );
    assert_eq!(bob.expect("sfu").await["reason"], "others");
    ann.say(json!({"type": "offer", "sdp": "v=0"})).await;
    assert_eq!(ann.expect("error").await["code"], "over");

    let token = fallback["token"].as_str().expect("a token");
    let target = format!("/rtc?encoding=json&protocol=15&access_token={token}");
    let mut again = open(&running, &target).await.expect("let in");
    let join = &again.hear().await["join"];
    let own = &join["participant"];
    assert!(
        others
            .iter()
            .any(|other| other["sid"] == own["sid"] && own["identity"] == "ann"),
        "{own} is not among {others:?}"
    );
    let closed = ann.expect("closed").await;
    assert_eq!(
        (&closed["reason"], &closed["retry"]),
        (&json!("migration"), &json!("no"))
    );
    assert_eq!(ann.next().await, Err(1000));
    running.shutdown().await;
}

#[tokio::test]
async fn one_who_reports_a_failure_sends_both_to_the_node() {
    let running = plenum().await;
    for (message, reason) in [
        (json!({"type": "sfu", "reason": "failed"}), "failed"),
        (json!({"type": "sfu"}), "wish"),
    ] {
        let (mut ann, mut bob) = two(&running).await;
        ann.say(message).await;
        for client in [&mut ann, &mut bob] {
            assert_eq!(client.expect("sfu").await["reason"], reason);
            client.say(json!({"type": "leave"})).await;
            assert_eq!(client.next().await, Err(1000));
        }
    }
    running.shutdown().await;
}

#[tokio::test]
async fn a_token_with_less_rights_is_sent_to_the_node() {
    let running = plenum().await;
    let token = token_with("ann", |grants| grants.can_publish = Some(false));
    let target = format!("/direct?access_token={token}");
    let mut ann = open(&running, &target).await.expect("let in");
    ann.expect("hello").await;
    ann.expect("token").await;
    assert_eq!(ann.expect("sfu").await["reason"], "rights");
    running.shutdown().await;
}

#[tokio::test]
async fn a_lost_websocket_is_taken_up_again() {
    let running = plenum().await;
    let (mut ann, bob) = two(&running).await;
    drop(bob);
    // Without the id it is a new stay.
    let (probe, hello) = Client::join(&running, "bob").await;
    ann.expect("peer-left").await;
    ann.expect("peer-joined").await;
    drop(probe);
    let id = hello["participant"]["id"].as_str().expect("an id");
    let target = format!("/direct?participant={id}&access_token={}", token("bob"));
    let mut again = open(&running, &target).await.expect("let in");
    let hello = again.hear().await;
    assert_eq!(hello["resumed"], true);
    again.expect("token").await;
    assert_eq!(again.expect("peer-joined").await["polite"], true);
    ann.say(json!({"type": "offer", "sdp": "v=0"})).await;
    again.expect("offer").await;
    running.shutdown().await;
}

#[tokio::test]
async fn who_is_removed_is_told_and_the_other_learns_of_it() {
    let running = plenum().await;
    let (mut ann, mut bob) = two(&running).await;
    let mut api = ParticipantServiceClient::new(channel(&running).await);
    let request = RemoveParticipantRequest {
        room: "r".into(),
        identity: "bob".into(),
    };
    api.remove_participant(with_token(&admin("r"), request))
        .await
        .expect("removed");
    let closed = bob.expect("closed").await;
    assert_eq!(closed["reason"], "participant-removed");
    ann.expect("peer-left").await;
    running.shutdown().await;
}

#[tokio::test]
async fn nonsense_is_named_and_goes_nowhere() {
    let running = plenum().await;
    let (mut ann, mut bob) = two(&running).await;
    for (frame, code) in [
        (Frame::Text("{".into()), "not-json"),
        (Frame::Binary(vec![0xff, 0xfe].into()), "not-json"),
        (Frame::Text(r#"{"type":"sfu!"}"#.into()), "unknown-type"),
        (
            Frame::Text(r#"{"type":"offer","sdp":"<script>"}"#.into()),
            "bad-field",
        ),
        (
            Frame::Text(
                json!({"type": "candidate", "candidate": "x".repeat(2000)})
                    .to_string()
                    .into(),
            ),
            "too-long",
        ),
        (
            Frame::Text(
                json!({"type": "offer", "sdp": format!("v=0{}", "x".repeat(70_000))})
                    .to_string()
                    .into(),
            ),
            "refused",
        ),
    ] {
        ann.send(frame).await;
        assert_eq!(ann.expect("error").await["code"], code);
    }
    ann.say(json!({"type": "restart"})).await;
    bob.expect("restart").await;
    // A message that no call needs ends its sender, and nobody else.
    ann.send(Frame::Text("x".repeat(200_000).into())).await;
    assert_eq!(ann.next().await, Err(1009));
    bob.say(json!({"type": "ping"})).await;
    bob.expect("pong").await;
    running.shutdown().await;
}

#[tokio::test]
async fn a_flood_ends_its_sender_alone() {
    let running = plenum().await;
    let (mut ann, mut bob) = two(&running).await;
    for _ in 0..1_000 {
        let frame = Frame::Text(r#"{"type":"restart"}"#.into());
        if ann.socket.send(frame).await.is_err() {
            break;
        }
    }
    assert_eq!(ann.next().await, Err(1008));
    let mut passed = 0;
    bob.say(json!({"type": "ping"})).await;
    while bob.hear().await["type"] == "restart" {
        passed += 1;
    }
    assert!(passed < 300, "{passed} passed");
    running.shutdown().await;
}

#[tokio::test]
async fn only_a_token_for_the_room_opens_it() {
    let running = plenum().await;
    let good = token("ann");
    for (target, status) in [
        ("/direct".to_owned(), 401),
        ("/direct?access_token=nonsense".to_owned(), 401),
        (format!("/direct?room=other&access_token={good}"), 400),
        (
            format!(
                "/direct?access_token={}",
                token_with("ann", |grants| grants.room_join = false)
            ),
            401,
        ),
    ] {
        assert_eq!(refused(&running, &target).await, status, "{target}");
        let target = target.replacen("/direct", "/direct/validate", 1);
        let answer = get(running.http_addr(), &target, &[]).await;
        assert_eq!(answer.status.as_u16(), status, "{target}");
    }
    let target = format!("/direct/validate?room=r&access_token={good}");
    let answer = get(running.http_addr(), &target, &[]).await;
    assert_eq!(answer.status, StatusCode::OK);
    running.shutdown().await;
}
