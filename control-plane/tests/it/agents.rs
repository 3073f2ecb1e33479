//! Workers of agents over real WebSockets, against a whole `plenum`: they register, are asked, get a token that
//! lets an agent in, and lose what they do not keep.

use std::{collections::VecDeque, net::SocketAddr, time::Duration};

use control_plane::{
    auth::{AgentClaim, MintRequest, RoomConfigClaim, VideoGrants},
    config::DEV_KEY,
    run::Running,
};
use futures_util::{SinkExt as _, StreamExt as _};
use http::{Method, StatusCode};
use livekit_protocol::{
    self as lk, server_message::Message as Tell, worker_message::Message as Say,
};
use plenum_proto::v1::{
    self, agent_service_client::AgentServiceClient,
    participant_service_client::ParticipantServiceClient,
};
use prost::Message as _;
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message as Frame, client::IntoClientRequest as _},
};

use crate::signal::soon;
use crate::support::{
    PATIENCE, admin, channel, config, keys, plenum, request, send, start, token, with_token,
};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A worker.
pub(crate) struct Worker {
    socket: Socket,
    /// Heard while something else was waited for.
    heard: VecDeque<Tell>,
}

async fn open(at: SocketAddr, target: &str, token: &str) -> Result<Socket, Error> {
    let url = format!("ws://{at}{target}");
    let mut request = url.into_client_request().expect("an address");
    let bearer = format!("Bearer {token}").parse().expect("text");
    request.headers_mut().insert("authorization", bearer);
    let connecting = timeout(PATIENCE, connect_async(request)).await;
    Ok(connecting.expect("in time")?.0)
}

fn worker_token() -> String {
    token(VideoGrants {
        agent: true,
        ..VideoGrants::default()
    })
}

impl Worker {
    async fn connect(at: SocketAddr) -> Self {
        Self {
            socket: open(at, "/agent", &worker_token()).await.expect("let in"),
            heard: VecDeque::new(),
        }
    }

    pub(crate) async fn register(at: SocketAddr, name: &str) -> Self {
        let mut worker = Self::connect(at).await;
        worker
            .say(Say::Register(lk::RegisterWorkerRequest {
                r#type: lk::JobType::JtRoom.into(),
                agent_name: name.into(),
                version: "1".into(),
                ..Default::default()
            }))
            .await;
        let Tell::Register(registered) = worker.hear().await else {
            panic!("not registered");
        };
        assert!(registered.worker_id.starts_with("AW_"));
        worker
    }

    pub(crate) async fn say(&mut self, message: Say) {
        let message = lk::WorkerMessage {
            message: Some(message),
        };
        let frame = Frame::Binary(message.encode_to_vec().into());
        let sent = timeout(PATIENCE, self.socket.send(frame)).await;
        sent.expect("in time").expect("sent");
    }

    /// The next message, or the code of the close frame.
    async fn next(&mut self) -> Result<Tell, u16> {
        loop {
            let frame = timeout(PATIENCE, self.socket.next())
                .await
                .expect("in time");
            match frame {
                Some(Ok(Frame::Binary(bytes))) => {
                    let message = lk::ServerMessage::decode(bytes).expect("a message");
                    return Ok(message.message.expect("a kind"));
                }
                Some(Ok(Frame::Ping(_) | Frame::Pong(_))) => {}
                Some(Ok(Frame::Close(Some(close)))) => return Err(close.code.into()),
                _ => return Err(0),
            }
        }
    }

    pub(crate) async fn hear(&mut self) -> Tell {
        if let Some(heard) = self.heard.pop_front() {
            return heard;
        }
        self.next().await.expect("not closed")
    }

    pub(crate) async fn asked(&mut self) -> lk::AvailabilityRequest {
        match self.hear().await {
            Tell::Availability(request) => request,
            other => panic!("{other:?}"),
        }
    }

    /// Takes the job it is asked for next.
    pub(crate) async fn take(&mut self) -> lk::JobAssignment {
        let job = self.asked().await.job.expect("a job");
        self.accept(job).await
    }

    /// Takes a job that it was asked for.
    pub(crate) async fn accept(&mut self, job: lk::Job) -> lk::JobAssignment {
        self.say(Say::Availability(lk::AvailabilityResponse {
            job_id: job.id,
            available: true,
            participant_identity: "helper-1".into(),
            participant_attributes: [("lk.agent.name".to_owned(), job.agent_name)].into(),
            ..Default::default()
        }))
        .await;
        let mut before = VecDeque::new();
        loop {
            match self.hear().await {
                Tell::Assignment(assignment) => {
                    self.heard.append(&mut before);
                    return assignment;
                }
                other => before.push_back(other),
            }
        }
    }
}

/// A participant's token; with `agents` its room wants them.
fn guest(agents: &[&str]) -> String {
    let claim = |name: &&str| AgentClaim {
        agent_name: (*name).to_owned(),
        metadata: "hello".into(),
        ..AgentClaim::default()
    };
    let request = MintRequest {
        identity: "ann".into(),
        grants: VideoGrants {
            room_join: true,
            room: "r".into(),
            ..VideoGrants::default()
        },
        room_config: (!agents.is_empty()).then(|| RoomConfigClaim {
            agents: agents.iter().map(claim).collect(),
            ..RoomConfigClaim::default()
        }),
        ttl: Duration::from_secs(60),
        ..MintRequest::default()
    };
    keys().mint(DEV_KEY, request).expect("a token")
}

fn target(token: &str) -> String {
    format!("/rtc?encoding=json&protocol=15&access_token={token}")
}

/// Joins, and returns the answer.
async fn join(running: &Running, token: &str) -> (Socket, Value) {
    let mut socket = open(running.http_addr(), &target(token), token)
        .await
        .expect("let in");
    let frame = timeout(PATIENCE, socket.next()).await.expect("in time");
    let Some(Ok(Frame::Text(text))) = frame else {
        panic!("no text: {frame:?}");
    };
    let answer: Value = serde_json::from_str(&text).expect("JSON");
    (socket, answer["join"].clone())
}

#[tokio::test]
async fn a_room_gets_an_agent_that_is_let_in() {
    let running = plenum().await;
    let mut worker = Worker::register(running.http_addr(), "").await;
    let (_ann, _) = join(&running, &guest(&[])).await;
    let assignment = worker.take().await;
    assert_eq!(
        assignment.job.expect("a job").room.expect("a room").name,
        "r"
    );
    let (_agent, joined) = join(&running, &assignment.token).await;
    let own = &joined["participant"];
    assert_eq!(
        (&own["identity"], &own["kind"]),
        (&json!("helper-1"), &json!("AGENT"))
    );
    assert_eq!(joined["otherParticipants"][0]["identity"], "ann");
    worker.say(Say::Ping(lk::WorkerPing { timestamp: 5 })).await;
    assert!(matches!(worker.hear().await, Tell::Pong(pong) if pong.last_timestamp == 5));
    running.shutdown().await;
}

#[tokio::test]
async fn a_token_names_the_agents_of_its_room() {
    let running = plenum().await;
    let (_ann, _) = join(&running, &guest(&["helper"])).await;
    // It comes later than the room.
    let mut worker = Worker::register(running.http_addr(), "helper").await;
    let job = worker.asked().await.job.expect("a job");
    assert_eq!(
        (job.agent_name.as_str(), job.metadata.as_str()),
        ("helper", "hello")
    );
    running.shutdown().await;
}

#[tokio::test]
async fn the_job_of_a_lost_worker_goes_to_another() {
    let mut config = config();
    config.agents.return_timeout = Duration::from_millis(100);
    let running = start(config).await;
    let mut first = Worker::register(running.http_addr(), "").await;
    let (_ann, _) = join(&running, &guest(&[])).await;
    let job = first.take().await.job.expect("a job");
    let mut second = Worker::register(running.http_addr(), "").await;
    drop(first);
    let again = second.asked().await;
    assert!(again.resuming);
    assert_ne!(again.job.expect("a job").id, job.id);
    running.shutdown().await;
}

#[tokio::test]
async fn dispatches_come_over_both_apis() {
    let running = plenum().await;
    let mut worker = Worker::register(running.http_addr(), "helper").await;
    let mut api = AgentServiceClient::new(channel(&running).await);
    let wanted = v1::CreateDispatchRequest {
        room: "r".into(),
        agent: Some(v1::AgentWish {
            agent_name: "helper".into(),
            metadata: "hello".into(),
            ..Default::default()
        }),
    };
    let made = api
        .create_dispatch(with_token(&admin("r"), wanted.clone()))
        .await;
    let made = made.expect("dispatched").into_inner();
    let assignment = worker.take().await;
    let job = assignment.job.expect("a job");
    assert_eq!(
        (job.metadata.as_str(), &job.dispatch_id),
        ("hello", &made.id)
    );

    let twirp = async |method: &str, body: Value| {
        let path = format!("/twirp/livekit.AgentDispatchService/{method}");
        let bearer = format!("Bearer {}", admin("r"));
        let headers = [
            ("content-type", "application/json"),
            ("authorization", &bearer),
        ];
        let sent = request(Method::POST, &path, &headers, body.to_string());
        send(running.http_addr(), sent).await
    };
    // That the worker has taken it is written down a moment later.
    let shown = soon(async {
        loop {
            let listed = twirp("ListDispatch", json!({"room": "r"})).await.json();
            // The first is that of the unnamed, which the room wants of itself.
            let shown = listed["agentDispatches"][1].clone();
            if shown["state"]["jobs"][0]["state"]["status"] == "JS_RUNNING" {
                return shown;
            }
        }
    })
    .await;
    assert_eq!(
        (&shown["id"], &shown["agentName"]),
        (&json!(made.id), &json!("helper"))
    );
    assert_eq!(shown["state"]["jobs"][0]["id"], json!(job.id));
    let gone = twirp(
        "DeleteDispatch",
        json!({"room": "r", "dispatchId": made.id}),
    )
    .await;
    assert_eq!(gone.status, StatusCode::OK, "{}", gone.text());
    assert!(matches!(worker.hear().await, Tell::Termination(told) if told.job_id == job.id));
    let gone = twirp(
        "DeleteDispatch",
        json!({"room": "r", "dispatchId": made.id}),
    )
    .await;
    assert_eq!(gone.status, StatusCode::NOT_FOUND);
    let other = twirp(
        "CreateDispatch",
        json!({"room": "other", "agentName": "helper"}),
    )
    .await;
    assert_eq!(other.status, StatusCode::UNAUTHORIZED);
    let other = api
        .create_dispatch(with_token(&admin("other"), wanted))
        .await;
    assert_eq!(
        other.expect_err("refused").code(),
        tonic::Code::PermissionDenied
    );

    let list = v1::ListDispatchesRequest {
        room: "r".into(),
        ..Default::default()
    };
    let left = api.list_dispatches(with_token(&admin("r"), list)).await;
    let left = left.expect("a list").into_inner().dispatches;
    let left: Vec<_> = left.into_iter().filter_map(|left| left.agent).collect();
    assert_eq!(left, [v1::AgentWish::default()]);
    running.shutdown().await;
}

#[tokio::test]
async fn an_agent_has_no_more_rights_than_its_worker_asked_for() {
    let running = plenum().await;
    let mut worker = Worker::connect(running.http_addr()).await;
    let allowed = lk::ParticipantPermission {
        can_subscribe: true,
        hidden: true,
        ..Default::default()
    };
    worker
        .say(Say::Register(lk::RegisterWorkerRequest {
            allowed_permissions: Some(allowed),
            ..Default::default()
        }))
        .await;
    worker.hear().await;
    let (_ann, _) = join(&running, &guest(&[])).await;
    let assignment = worker.take().await;
    let (_agent, _) = join(&running, &assignment.token).await;
    let mut api = ParticipantServiceClient::new(channel(&running).await);
    let asked = v1::GetParticipantRequest {
        room: "r".into(),
        identity: "helper-1".into(),
    };
    let found = api.get_participant(with_token(&admin("r"), asked)).await;
    let rights = found
        .expect("there")
        .into_inner()
        .permissions
        .expect("rights");
    assert!(rights.can_subscribe && rights.hidden);
    assert!(!rights.can_publish && !rights.can_publish_data && !rights.can_update_metadata);
    running.shutdown().await;
}

#[tokio::test]
async fn only_workers_get_in_and_nonsense_ends_them() {
    let running = plenum().await;
    let at = running.http_addr();
    for token in [admin("r"), guest(&[]), "nonsense".to_owned()] {
        match open(running.http_addr(), "/agent", &token).await {
            Err(Error::Http(response)) => assert_eq!(response.status().as_u16(), 401),
            other => panic!("{other:?}"),
        }
    }
    for (frame, code) in [
        (Frame::Binary(vec![0xff; 8].into()), 1007),
        (Frame::Text("{}".into()), 1003),
        (Frame::Binary(vec![0; 100_000].into()), 1009),
    ] {
        let mut worker = Worker::register(running.http_addr(), "").await;
        let sent = timeout(PATIENCE, worker.socket.send(frame)).await;
        sent.expect("in time").expect("sent");
        assert_eq!(worker.next().await.err(), Some(code));
    }
    let mut worker = Worker::connect(running.http_addr()).await;
    worker
        .say(Say::UpdateWorker(lk::UpdateWorkerStatus::default()))
        .await;
    assert_eq!(worker.next().await.err(), Some(1008));
    let mut worker = Worker::register(running.http_addr(), "").await;
    for _ in 0..3_000 {
        let ping = lk::WorkerMessage {
            message: Some(Say::UpdateWorker(lk::UpdateWorkerStatus::default())),
        };
        let frame = Frame::Binary(ping.encode_to_vec().into());
        if worker.socket.send(frame).await.is_err() {
            break;
        }
    }
    assert_eq!(worker.next().await.err(), Some(1008));
    // Sixteen agents may be wanted in a room.
    let refused = open(at, &target(&guest(&["x"; 17])), "").await;
    assert!(matches!(refused, Err(Error::Http(response)) if response.status() == 400));
    running.shutdown().await;
}
