//! Players: what they are answered, that they stay unseen, and what they may ask for besides media.

use control_plane::ice_servers::ExternalServer;
use http::{Method, StatusCode};
use http_body_util::BodyExt as _;
use hyper_util::rt::TokioIo;

use super::world::{PUBLISH, World, play_offer, token};
use crate::support::{Answer, PATIENCE, request};

fn links(answer: &Answer) -> Vec<&str> {
    let links = answer.headers.get_all("link").iter();
    links.map(|link| link.to_str().expect("text")).collect()
}

#[tokio::test]
async fn a_player_is_answered_and_stays_unseen() {
    let world = World::with(|config| {
        config.ice.servers = vec![ExternalServer {
            urls: vec!["turn:t.example:3478".into()],
            username: "u".into(),
            credential: "c".into(),
            secret: String::new(),
        }];
    })
    .await;
    let answer = world
        .post("/whep/r/ann", &token("viewer"), &play_offer())
        .await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    let sdp = answer.text();
    for expected in ["a=ice-lite\r\n", "a=setup:passive\r\n"] {
        assert!(sdp.contains(expected), "{expected} in {sdp}");
    }
    assert_eq!(sdp.matches("a=sendonly\r\n").count(), 2, "{sdp}");
    // One stream, whose SSRCs are known from the start.
    assert!(sdp.contains("a=msid:room room-0\r\n"), "{sdp}");
    assert!(sdp.contains("a=msid:room room-1\r\n"), "{sdp}");
    let path = answer.header("location");
    let told = links(&answer);
    assert!(told.contains(
        &r#"<turn:t.example:3478>; rel="ice-server"; username="u"; credential="c"; credential-type="password""#
    ));
    assert!(told.contains(
        &format!(r#"<{path}/layer>; rel="urn:ietf:params:whep:ext:core:layer""#).as_str()
    ));
    // With the same token on another device at the same time.
    world.opened("/whep", &token("viewer"), &play_offer()).await;
    let participants = world.participants("r").await;
    assert_eq!(participants.len(), 2);
    for participant in participants {
        assert_eq!(participant["permission"]["hidden"], true, "{participant}");
    }
    world.running.shutdown().await;
}

#[tokio::test]
async fn a_player_chooses_among_the_layers_there_are() {
    let world = World::new().await;
    let viewer = token("viewer");
    let (path, _) = world.opened("/whep", &viewer, &play_offer()).await;
    let bearer = format!("Bearer {viewer}");
    let choose = async |body: &'static str| {
        let headers = [
            ("authorization", bearer.as_str()),
            ("content-type", "application/json"),
        ];
        let path = format!("{path}/layer");
        world.ask(Method::POST, &path, &headers, body).await
    };
    let answer = choose("{}").await;
    assert_eq!(
        answer.status,
        StatusCode::UNPROCESSABLE_ENTITY,
        "nobody publishes"
    );
    let rids = "a=rtpmap:106 H264/90000\r\na=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n\
        a=extmap:10 urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id\r\na=rid:lo send\r\n\
        a=rid:hi send\r\na=simulcast:send lo;hi\r\n";
    let simulcast = PUBLISH.replace("a=rtpmap:106 H264/90000\r\n", rids);
    world.opened("/whip", &token("ann"), &simulcast).await;
    let mut events = Events::of(&world, &format!("{path}/sse")).await;
    assert_eq!(events.next().await, ("active".into(), "{}".into()));
    let (event, layers) = events.next().await;
    assert_eq!(event, "layers");
    assert_eq!(
        layers,
        r#"{"1":{"layers":[{"encodingId":"lo","simulcastIdx":0},{"encodingId":"hi","simulcastIdx":1}]}}"#
    );
    for (body, status) in [
        (r#"{"mediaId":"1","encodingId":"lo"}"#, 200),
        ("{}", 200),
        (r#"{"encodingId":"none"}"#, 422),
        (r#"{"mediaId":"0"}"#, 422),
        (r#"{"colour":"red"}"#, 400),
        ("[", 400),
    ] {
        let answer = choose(body).await;
        assert_eq!(answer.status.as_u16(), status, "{body}: {}", answer.text());
    }
    world.running.shutdown().await;
}

#[tokio::test]
async fn events_go_to_who_asked_for_them() {
    let world = World::new().await;
    let viewer = token("viewer");
    let (path, _) = world.opened("/whep/r/ann", &viewer, &play_offer()).await;
    let bearer = format!("Bearer {viewer}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
    ];
    let sse = format!("{path}/sse");
    let answer = world
        .ask(Method::POST, &sse, &headers, r#"["inactive"]"#)
        .await;
    assert_eq!(answer.status, StatusCode::CREATED, "{}", answer.text());
    let stream = answer.header("location").to_owned();
    assert!(stream.starts_with(&sse), "{stream}");
    let answer = world.ask(Method::POST, &sse, &headers, r#"["none"]"#).await;
    assert_eq!(answer.status, StatusCode::UNPROCESSABLE_ENTITY);

    let mut all = Events::of(&world, &sse).await;
    let mut some = Events::of(&world, &stream).await;
    let (session, _) = world.opened("/whip", &token("ann"), PUBLISH).await;
    assert_eq!(all.next().await.0, "active");
    assert_eq!(all.next().await.0, "layers");
    assert_eq!(world.delete(&session, &token("ann")).await, StatusCode::OK);
    assert_eq!(all.next().await.0, "inactive");
    assert_eq!(some.next().await.0, "inactive");

    let answer = world.ask(Method::DELETE, &stream, &headers, "").await;
    assert_eq!(answer.status, StatusCode::OK);
    assert!(some.is_over().await);
    let answer = world.ask(Method::GET, &stream, &[], "").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    // The end of the session ends what is left.
    assert_eq!(world.delete(&path, &viewer).await, StatusCode::OK);
    assert!(all.is_over().await);
    world.running.shutdown().await;
}

/// A stream of events as a browser reads it.
struct Events {
    body: hyper::body::Incoming,
    text: String,
    _connection: tokio::task::JoinHandle<()>,
}

impl Events {
    async fn of(world: &World, path: &str) -> Self {
        let tcp = tokio::net::TcpStream::connect(world.to)
            .await
            .expect("a connection");
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(tcp))
            .await
            .expect("HTTP/1");
        let connection = tokio::spawn(async move {
            // Its end is the end of the stream.
            let _ = connection.await;
        });
        let asked = request(Method::GET, path, &[("accept", "text/event-stream")], "");
        let answer = sender.send_request(asked).await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::OK);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Self {
            body: answer.into_body(),
            text: String::new(),
            _connection: connection,
        }
    }

    /// The next event and its data.
    async fn next(&mut self) -> (String, String) {
        let read = async {
            loop {
                if let Some((block, rest)) = self.text.split_once("\n\n") {
                    let value = |name: &str| {
                        let mut lines = block.lines();
                        lines.find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()))
                    };
                    let found = value("event:").zip(value("data:"));
                    self.text = rest.to_owned();
                    match found {
                        Some(found) => return found,
                        // A sign of life.
                        None => continue,
                    }
                }
                let frame = self.body.frame().await.expect("an event").expect("a frame");
                let data = frame.into_data().unwrap_or_default();
                self.text
                    .push_str(std::str::from_utf8(&data).expect("text"));
            }
        };
        tokio::time::timeout(PATIENCE, read)
            .await
            .expect("an event in time")
    }

    /// Whether the stream ends.
    async fn is_over(&mut self) -> bool {
        let read = async { while let Some(Ok(_)) = self.body.frame().await {} };
        tokio::time::timeout(PATIENCE, read).await.is_ok()
    }
}
