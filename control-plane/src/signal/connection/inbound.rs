//! From the client to the node: reads frames, answers what needs no node, and passes on the rest.
//! Must not wait for the node: a request that it does not take is kept, and the client is not read
//! meanwhile.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use axum::extract::ws::Message as Frame;
use plenum_proto::node::{SessionRequest, session_request::Kind as Request};
use tokio::{sync::mpsc::error::TrySendError, time};

use super::Connection;
use crate::signal::{
    end::End,
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
        let read = match frame {
            Frame::Text(text) => self.encoding.read_text(&text),
            Frame::Binary(bytes) => self.encoding.read_binary(&bytes),
            // Answered by the WebSocket library.
            Frame::Ping(_) | Frame::Pong(_) => return Ok(()),
            Frame::Close(_) => return Err(End::ClientClosed),
        };
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
