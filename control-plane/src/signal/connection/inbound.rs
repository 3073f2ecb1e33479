//! From the client to the node: reads frames, answers what needs no node, and passes on the rest.
//! Must not wait for the node: a request that it does not take is kept, and the client is not read
//! meanwhile.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use axum::extract::ws::Message as Frame;
use livekit_protocol::signal_request::Message as SdkMessage;
use plenum_proto::{
    node::{SessionRequest, session_request::Kind as Request},
    v1::CloseReason,
};
use tokio::{sync::mpsc::error::TrySendError, time};

use super::{Connection, Speech};
use crate::signal::{
    direct::{Heard, Told},
    end::End,
    frame::FrameError,
    translate::request::{self, Translated},
};

impl Connection {
    pub(super) async fn on_frame(&mut self, frame: Frame) -> Result<(), End> {
        self.heard = time::Instant::now();
        let size = match &frame {
            Frame::Text(text) => text.len(),
            Frame::Binary(bytes) | Frame::Ping(bytes) | Frame::Pong(bytes) => bytes.len(),
            Frame::Close(_) => 0,
        };
        self.shared.metrics.on_frame(size);
        if !self.rate.take(Instant::now()) {
            return Err(End::TooFast);
        }
        match frame {
            // Answered by the WebSocket library.
            Frame::Ping(_) | Frame::Pong(_) => Ok(()),
            Frame::Close(_) => Err(End::ClientClosed),
            Frame::Text(_) | Frame::Binary(_) => match &mut self.speech {
                Speech::Direct(direct) => {
                    // What is not text is no JSON.
                    let text = frame.to_text().unwrap_or_default();
                    let heard = direct.hear(text);
                    self.on_direct(heard).await
                }
                Speech::Sdk { encoding, .. } => {
                    let read = match &frame {
                        Frame::Text(text) => encoding.read_text(text),
                        _ => encoding.read_binary(&frame.into_data()),
                    };
                    self.on_message(read, size).await
                }
            },
        }
    }

    async fn on_direct(&mut self, heard: Heard) -> Result<(), End> {
        match heard {
            Heard::Node(kind) => self.pass(*kind),
            Heard::Reply(told) => {
                if let Told::Error { code, .. } = told {
                    tracing::debug!(?code, "message refused");
                    self.shared.metrics.on_ignored("direct");
                }
                self.tell_direct(&told).await
            }
            Heard::Leave => Err(End::ClientLeft(CloseReason::ClientInitiated)),
        }
    }

    async fn on_message(
        &mut self,
        read: Result<Option<SdkMessage>, FrameError>,
        size: usize,
    ) -> Result<(), End> {
        let message = match read {
            Ok(Some(message)) => message,
            Ok(None) => return self.ignore("unknown_message"),
            Err(error) => {
                tracing::debug!(%error, size, "unreadable frame");
                return self.ignore("bad_frame");
            }
        };
        match request::request(message, now_ms()) {
            Translated::Node(kind) => self.pass(*kind),
            Translated::Reply(message) => self.tell(*message).await,
            Translated::Leave(reason) => Err(End::ClientLeft(reason)),
            Translated::Ignored(why) => self.ignore(why),
        }
    }

    /// Passes a request on, or keeps it until the node takes it.
    fn pass(&mut self, kind: Request) -> Result<(), End> {
        match self
            .session
            .requests
            .try_send(SessionRequest { kind: Some(kind) })
        {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(request)) => {
                self.unsent = Some((request, time::Instant::now()));
                Ok(())
            }
            Err(TrySendError::Closed(_)) => Err(End::NodeLost),
        }
    }

    fn ignore(&self, why: &'static str) -> Result<(), End> {
        tracing::debug!(why, "message ignored");
        self.shared.metrics.on_ignored(why);
        Ok(())
    }
}

fn now_ms() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
