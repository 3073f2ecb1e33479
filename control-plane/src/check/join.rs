//! Joins a room as a client does, as far as it takes to be told of all addresses. Client protocol
//! version 0.

use std::{io, time::Duration};

use futures_util::StreamExt as _;
use http::Uri;
use livekit_protocol::{self as lk, signal_response::Message as Hear};
use prost::Message as _;
use sfu_node::probe::{self, ProbeError, Stream, TlsTrust};
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::{
    WebSocketStream, client_async,
    tungstenite::{Error as WebSocketError, Message as Frame},
};

use super::{Question, Way, candidate};

/// How long all of it may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why the server could not be joined.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JoinError {
    /// The caller's to mend.
    #[error("{0:?} is not an address such as \"wss://meet.example.org\"")]
    Url(String),
    /// The caller's to mend.
    #[error("the authorities cannot be read")]
    Authorities(#[source] io::Error),
    /// It cannot be reached.
    #[error("signalling at {place} cannot be reached: {why}")]
    Unreachable {
        /// Host and port.
        place: String,
        /// What the network says.
        why: String,
    },
    /// It does not let us in.
    #[error("signalling refuses with {status}: {text}")]
    Refused {
        /// Of HTTP.
        status: u16,
        /// What the server says.
        text: String,
    },
    /// It speaks otherwise, or breaks off.
    #[error("signalling failed: {0}")]
    Failed(String),
    /// It says nothing.
    #[error("signalling does not answer within {} s", PATIENCE.as_secs())]
    NoAnswer,
}

/// What a client is told of addresses.
pub(super) struct Told {
    pub(super) candidates: Vec<(Way, std::net::SocketAddr)>,
    pub(super) servers: Vec<lk::IceServer>,
}

/// Joins, listens until everything is known, and leaves by closing.
pub(super) async fn join(question: &Question, trust: &TlsTrust) -> Result<Told, JoinError> {
    let end = Instant::now() + PATIENCE;
    let asked = timeout_at(end, async {
        let mut socket = connect(question, trust).await?;
        listen(&mut socket).await
    });
    asked.await.map_err(|_| JoinError::NoAnswer)?
}

async fn connect(
    question: &Question,
    trust: &TlsTrust,
) -> Result<WebSocketStream<Box<dyn Stream>>, JoinError> {
    let wrong = || JoinError::Url(question.url.clone());
    let uri: Uri = question.url.parse().map_err(|_| wrong())?;
    let is_secure = match uri.scheme_str() {
        Some("ws" | "http") => false,
        Some("wss" | "https") => true,
        _ => return Err(wrong()),
    };
    let host = uri.host().ok_or_else(wrong)?;
    let port = uri.port_u16().unwrap_or(if is_secure { 443 } else { 80 });
    let place = format!("{host}:{port}");
    let unreachable = |error: ProbeError| JoinError::Unreachable {
        place: place.clone(),
        why: super::why(&error),
    };
    let stream = probe::open(host, port, is_secure.then_some(trust))
        .await
        .map_err(unreachable)?;
    let path = uri.path().trim_end_matches('/');
    let request = format!(
        "ws://{place}{path}/rtc?protocol=17&sdk=rust&auto_subscribe=0&access_token={}",
        question.token
    );
    match client_async(request, stream).await {
        Ok((socket, _)) => Ok(socket),
        Err(WebSocketError::Http(response)) => Err(JoinError::Refused {
            status: response.status().as_u16(),
            text: String::from_utf8_lossy(response.body().as_deref().unwrap_or_default())
                .trim()
                .to_owned(),
        }),
        Err(error) => Err(JoinError::Failed(error.to_string())),
    }
}

/// The servers come with the answer to the join, the candidates with the first offer.
async fn listen(socket: &mut WebSocketStream<Box<dyn Stream>>) -> Result<Told, JoinError> {
    let mut servers = None;
    while let Some(frame) = socket.next().await {
        let frame = frame.map_err(|error| JoinError::Failed(error.to_string()))?;
        let Frame::Binary(bytes) = frame else {
            continue;
        };
        let response = lk::SignalResponse::decode(bytes)
            .map_err(|error| JoinError::Failed(error.to_string()))?;
        match (response.message, servers.take()) {
            (Some(Hear::Join(join)), _) => servers = Some(join.ice_servers),
            (Some(Hear::Offer(offer)), Some(servers)) => {
                let candidates = candidate::candidates(&offer.sdp);
                return Ok(Told {
                    candidates,
                    servers,
                });
            }
            (Some(Hear::Leave(leave)), _) => {
                let reason = leave.reason().as_str_name();
                return Err(JoinError::Failed(format!("the server ends it: {reason}")));
            }
            (_, known) => servers = known,
        }
    }
    Err(JoinError::Failed("the server broke off".to_owned()))
}
