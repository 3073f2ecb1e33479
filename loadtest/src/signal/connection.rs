//! The WebSocket to the server: binary frames, one protobuf message each (RFC 6455).

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{SinkExt, StreamExt};
use livekit_protocol as proto;
use prost::Message as _;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{self, Message as Frame};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::{Joined, Message, Request, SignalError};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// A participant's connection, joined.
pub struct Connection {
    /// What the server said first.
    pub joined: Box<Joined>,
    /// To the server.
    pub sender: Sender,
    /// From the server.
    pub receiver: Receiver,
}

/// To the server.
pub struct Sender(SplitSink<Socket, Frame>);

/// From the server.
pub struct Receiver(SplitStream<Socket>);

impl Connection {
    /// Connects to a [`super::Address::join_url`] and waits for the join response.
    ///
    /// # Errors
    /// When the server cannot be reached, refuses, or begins with anything else.
    pub async fn open(join_url: &str) -> Result<Self, SignalError> {
        let (sender, mut receiver) = connect(join_url).await?;
        match receiver.receive().await? {
            Message::Joined(joined) => Ok(Self {
                joined,
                sender,
                receiver,
            }),
            Message::Leave { reason, next } => Err(SignalError::SentAway { reason, next }),
            Message::Other(name) => Err(SignalError::NoJoin(name)),
            _ => Err(SignalError::NoJoin("another message")),
        }
    }

    /// Connects to a [`super::Address::resume_url`] and waits until the stay is taken up.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn resume(resume_url: &str) -> Result<(Sender, Receiver), SignalError> {
        let (sender, mut receiver) = connect(resume_url).await?;
        match receiver.receive().await? {
            Message::Resumed => Ok((sender, receiver)),
            Message::Leave { reason, next } => Err(SignalError::SentAway { reason, next }),
            Message::Other(name) => Err(SignalError::NoJoin(name)),
            _ => Err(SignalError::NoJoin("another message")),
        }
    }
}

async fn connect(url: &str) -> Result<(Sender, Receiver), SignalError> {
    let (socket, _) = tokio_tungstenite::connect_async_with_config(url, None, true)
        .await
        .map_err(refusal)?;
    let (sink, stream) = socket.split();
    Ok((Sender(sink), Receiver(stream)))
}

impl Sender {
    /// Sends a request.
    ///
    /// # Errors
    /// When the WebSocket is closed.
    pub async fn send(&mut self, request: Request) -> Result<(), SignalError> {
        let bytes = proto::SignalRequest::from(request).encode_to_vec();
        self.0
            .send(Frame::Binary(bytes.into()))
            .await
            .map_err(|error| SignalError::Closed(error.to_string()))
    }

    /// Closes the WebSocket; errors do not matter any more.
    pub async fn close(&mut self) {
        let _ = self.0.close().await;
    }
}

impl Receiver {
    /// Waits for the next message.
    ///
    /// # Errors
    /// When the WebSocket is closed or carries something else.
    pub async fn receive(&mut self) -> Result<Message, SignalError> {
        loop {
            let frame = match self.0.next().await {
                Some(Ok(frame)) => frame,
                Some(Err(error)) => return Err(SignalError::Closed(error.to_string())),
                None => return Err(SignalError::Closed("no reason given".to_owned())),
            };
            match frame {
                Frame::Binary(bytes) => {
                    let response = proto::SignalResponse::decode(bytes)
                        .map_err(|error| SignalError::Malformed(error.to_string()))?;
                    if let Some(message) = response.message {
                        return Ok(message.into());
                    }
                }
                Frame::Close(close) => {
                    let reason = close.map_or_else(
                        || "no reason given".to_owned(),
                        |close| {
                            format!("{} {}", close.code, close.reason)
                                .trim_end()
                                .to_owned()
                        },
                    );
                    return Err(SignalError::Closed(reason));
                }
                // The library answers pings itself.
                Frame::Ping(_) | Frame::Pong(_) | Frame::Text(_) | Frame::Frame(_) => {}
            }
        }
    }
}

fn refusal(error: tungstenite::Error) -> SignalError {
    match error {
        tungstenite::Error::Http(response) => {
            let body = response.body().as_deref().unwrap_or_default();
            let body = String::from_utf8_lossy(body);
            SignalError::Refused {
                status: response.status().as_u16(),
                reason: body.lines().next().unwrap_or_default().trim().to_owned(),
            }
        }
        other => SignalError::Unreachable(other.to_string()),
    }
}
