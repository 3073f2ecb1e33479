//! A gateway between a fake node and clients that speak the frames themselves.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use control_plane::{
    auth::{Keys, MintRequest, VideoGrants},
    ice_servers::{ExternalServer, IceConfig, IceServers},
    signal::{self, SignalConfig, SignalMetrics, SignalState},
};
use futures_util::{SinkExt as _, StreamExt as _};
use livekit_protocol::{
    SignalRequest, SignalResponse, signal_request::Message as Say, signal_response::Message as Hear,
};
use plenum_proto::{
    node::{Joined, node_client::NodeClient, session_event},
    v1,
};
use plenum_service::cluster::Trust;
use prost::Message as _;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message as Frame},
};
use tonic::transport::Endpoint;

use super::{
    fake_node::{FakeNode, FakeSession},
    soon,
};

const SECRET: &str = "a secret of at least thirty-two bytes";

/// A gateway and its node.
pub(crate) struct World {
    pub(crate) node: FakeNode,
    pub(crate) state: SignalState,
    pub(crate) keys: Arc<Keys>,
    pub(crate) counted: Arc<Counted>,
    connector: Connector,
}

/// Where clients connect to.
#[derive(Clone, Copy)]
pub(crate) struct Connector(pub(crate) SocketAddr);

/// What the gateway reported, by label.
#[derive(Default)]
pub(crate) struct Counted(Mutex<BTreeMap<String, usize>>);

/// A client's WebSocket.
pub(crate) struct Client {
    socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    pub(crate) is_json: bool,
}

/// What a client finds at the end of its WebSocket.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Last {
    Message(Box<Hear>),
    /// A close frame, or 0 without one.
    Close(u16),
}

/// One TURN server, with credentials for each participant.
fn ice_config() -> IceConfig {
    IceConfig {
        servers: vec![ExternalServer {
            urls: vec!["turn:turn.example.org".into()],
            secret: "shared".into(),
            ..ExternalServer::default()
        }],
        ..IceConfig::default()
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(SignalConfig::default()).await
    }

    pub(crate) async fn with(config: SignalConfig) -> Self {
        Self::between(FakeNode::start().await, config).await
    }

    pub(crate) async fn between(node: FakeNode, config: SignalConfig) -> Self {
        let channel = Endpoint::from_shared(format!("http://{}", node.address))
            .unwrap()
            .connect_lazy();
        let keys = Arc::new(Keys::new([("key", SECRET)]).unwrap());
        let counted = Arc::new(Counted::default());
        let state = SignalState::new(
            Arc::new(NodeClient::new(Trust::none().show(channel))),
            Arc::clone(&keys),
            config,
            IceServers::new(&ice_config()),
            Arc::<Counted>::clone(&counted),
        );
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = signal::router(state.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self {
            node,
            state,
            keys,
            counted,
            connector: Connector(address),
        }
    }

    /// A token that admits "ann" to the room "r".
    pub(crate) fn token(&self) -> String {
        let grants = VideoGrants {
            room_join: true,
            room: "r".into(),
            ..VideoGrants::default()
        };
        let request = MintRequest {
            identity: "ann".into(),
            grants,
            ttl: Duration::from_secs(60),
            ..MintRequest::default()
        };
        self.keys.mint("key", request).unwrap()
    }

    pub(crate) fn connector(&self) -> Connector {
        self.connector
    }

    pub(crate) async fn refused(&self, target: &str) -> (u16, String) {
        self.connector.refused(target).await
    }

    /// The target of a WebSocket; `query` goes behind the token.
    pub(crate) fn target(&self, query: &str) -> String {
        format!("/rtc?access_token={}{query}", self.token())
    }

    /// A client that has joined, past its first two messages, and the node's end of its session.
    pub(crate) async fn joined(&mut self, query: &str) -> (Client, FakeSession) {
        let (mut client, session) = self
            .first(query, session_event::Kind::Joined(joined()))
            .await;
        client.is_json = query.contains("encoding=json");
        assert!(matches!(client.hear().await, Hear::Join(_)));
        assert!(matches!(client.hear().await, Hear::RefreshToken(_)));
        (client, session)
    }
}

impl World {
    /// A client whose session the node answers with `event`.
    pub(crate) async fn first(
        &mut self,
        query: &str,
        event: session_event::Kind,
    ) -> (Client, FakeSession) {
        let (target, connector) = (self.target(query), self.connector);
        let (client, session) = tokio::join!(connector.connect_to(&target), async {
            let session = self.node.session().await;
            session.tell(event).await;
            session
        });
        (client.unwrap(), session)
    }
}

impl Connector {
    pub(crate) async fn connect_to(self, target: &str) -> Result<Client, Error> {
        let url = format!("ws://{}{target}", self.0);
        let (socket, _) = soon(connect_async(url)).await?;
        Ok(Client {
            socket,
            is_json: false,
        })
    }

    /// Why a WebSocket is refused: status and text.
    pub(crate) async fn refused(self, target: &str) -> (u16, String) {
        match self.connect_to(target).await {
            Err(Error::Http(response)) => {
                let body = response.body().clone().unwrap_or_default();
                (response.status().as_u16(), String::from_utf8(body).unwrap())
            }
            Err(error) => panic!("{error}"),
            Ok(_) => panic!("not refused"),
        }
    }
}

impl Client {
    pub(crate) async fn say(&mut self, message: Say) {
        let request = SignalRequest {
            message: Some(message),
        };
        let frame = if self.is_json {
            Frame::Text(serde_json::to_string(&request).unwrap().into())
        } else {
            Frame::Binary(request.encode_to_vec().into())
        };
        self.send(frame).await;
    }

    pub(crate) async fn send(&mut self, frame: Frame) {
        soon(self.socket.send(frame)).await.unwrap();
    }

    /// Sends without waiting for success: the gateway may close meanwhile.
    pub(crate) async fn try_send(&mut self, frame: Frame) -> bool {
        soon(self.socket.send(frame)).await.is_ok()
    }

    /// The next message, which must be in the form that this client speaks.
    pub(crate) async fn hear(&mut self) -> Hear {
        match self.last().await {
            Last::Message(message) => *message,
            Last::Close(code) => panic!("closed with {code}"),
        }
    }

    /// The next message, or the end.
    pub(crate) async fn last(&mut self) -> Last {
        soon(self.wait()).await
    }

    async fn wait(&mut self) -> Last {
        loop {
            let Some(Ok(frame)) = self.socket.next().await else {
                return Last::Close(0);
            };
            let response = match frame {
                Frame::Binary(bytes) if !self.is_json => SignalResponse::decode(bytes).unwrap(),
                Frame::Text(text) if self.is_json => serde_json::from_str(&text).unwrap(),
                Frame::Close(frame) => {
                    return Last::Close(frame.map_or(0, |frame| frame.code.into()));
                }
                Frame::Ping(_) | Frame::Pong(_) => continue,
                other => panic!("{other:?} is in the wrong form"),
            };
            return Last::Message(Box::new(response.message.unwrap()));
        }
    }

    /// The rest, up to the code of the close frame.
    pub(crate) async fn rest(&mut self) -> (Vec<Hear>, u16) {
        soon(self.wait_for_close()).await
    }

    async fn wait_for_close(&mut self) -> (Vec<Hear>, u16) {
        let mut messages = Vec::new();
        loop {
            match self.wait().await {
                Last::Message(message) => messages.push(*message),
                Last::Close(code) => return (messages, code),
            }
        }
    }

    /// Sends a ping and waits for its pong, so that all that was said before has been taken.
    pub(crate) async fn settle(&mut self) {
        let ping = livekit_protocol::Ping {
            timestamp: 77,
            rtt: 0,
        };
        self.say(Say::PingReq(ping)).await;
        loop {
            if let Hear::PongResp(pong) = self.hear().await {
                assert_eq!(pong.last_ping_timestamp, 77);
                return;
            }
        }
    }
}

impl Counted {
    pub(crate) fn count(&self, label: &str) -> usize {
        self.0
            .lock()
            .unwrap()
            .get(label)
            .copied()
            .unwrap_or_default()
    }

    fn add(&self, label: String) {
        *self.0.lock().unwrap().entry(label).or_default() += 1;
    }
}

impl SignalMetrics for Counted {
    fn on_refused(&self, why: &'static str) {
        self.add(format!("refused {why}"));
    }
    fn on_answered(&self, how: &'static str, _took: Duration) {
        self.add(format!("answered {how}"));
    }
    fn on_opened(&self) {
        self.add("opened".into());
    }
    fn on_closed(&self, why: &'static str) {
        self.add(format!("closed {why}"));
    }
    fn on_ignored(&self, why: &'static str) {
        self.add(format!("ignored {why}"));
    }
}

/// The node's answer to a join.
pub(crate) fn joined() -> Joined {
    Joined {
        room: Some(v1::Room {
            id: "RM_r".into(),
            name: "r".into(),
            ..Default::default()
        }),
        participant: Some(participant("PA_ann", "ann")),
        others: vec![participant("PA_bob", "bob")],
        publish_codecs: vec!["audio/opus".into(), "video/VP8".into()],
        node_id: "ND_1".into(),
        region: "here".into(),
    }
}

pub(crate) fn participant(id: &str, identity: &str) -> v1::Participant {
    v1::Participant {
        id: id.into(),
        identity: identity.into(),
        permissions: Some(v1::Permissions {
            can_subscribe: true,
            can_publish: true,
            can_publish_data: true,
            ..Default::default()
        }),
        ..Default::default()
    }
}
