//! How a connection ends: the last words to both sides, and the closing handshake of the WebSocket,
//! each for a bounded time. RFC 6455 section 7. Must not decide why it ends.

use axum::extract::ws::{CloseFrame, Message as Frame};
use livekit_protocol::signal_response::Message as To;
use plenum_proto::{
    node::{Leave, SessionRequest, session_request::Kind as Request},
    v1::CloseReason,
};
use tokio::time;
use tokio_tungstenite::tungstenite::{self, error::CapacityError};

use super::{Connection, Speech};
use crate::{
    linger::linger,
    signal::{direct, end::End},
};

impl Connection {
    pub(super) async fn finish(mut self, end: End) {
        if let End::ClientLeft(reason) = end {
            self.leave_node(reason).await;
        }
        if let End::NodeClosed(closed) = &end
            && !closed.room.is_empty()
        {
            // With this its client joins there, when it is told to join anew.
            self.verified.move_to(&closed.room);
            if self.tell_token().await.is_err() {
                return;
            }
        }
        let told = match (&self.speech, &end) {
            (Speech::Sdk { protocol, .. }, end) => match end.leave(*protocol) {
                Some(leave) => self.tell(To::Leave(leave)).await,
                None => Ok(()),
            },
            (Speech::Direct(_), End::NodeClosed(closed)) => {
                self.tell_direct(&direct::closed(closed)).await
            }
            (Speech::Direct(_), _) => Ok(()),
        };
        if told.is_err() {
            return;
        }
        if let Some((code, reason)) = end.close() {
            let frame = Frame::Close(Some(CloseFrame {
                code,
                reason: reason.into(),
            }));
            if self.send(frame).await.is_err() {
                return;
            }
        }
        if !matches!(end, End::ClientLost | End::ClientSlow) {
            let is_readable = !matches!(end, End::TooLarge | End::BadProtocol);
            linger(&mut self.socket, is_readable).await;
        }
    }

    /// Tells the node that the participant goes, and waits until it has heard: dropping the session
    /// at once could cancel it with the request still on its way.
    async fn leave_node(&mut self, reason: CloseReason) {
        let leave = Request::Leave(Leave {
            reason: reason.into(),
        });
        let leaving = async {
            let request = SessionRequest { kind: Some(leave) };
            if self.session.requests.send(request).await.is_ok() {
                while let Ok(Some(_)) = self.session.events.message().await {}
            }
        };
        if time::timeout(self.shared.config.node_timeout, leaving)
            .await
            .is_err()
        {
            tracing::debug!("node did not answer a leave");
        }
    }
}

/// What a read error of the WebSocket means.
pub(super) fn end_of(error: axum::Error) -> End {
    use tungstenite::Error;
    match error.into_inner().downcast_ref::<Error>() {
        Some(Error::Capacity(CapacityError::MessageTooLong { .. })) => End::TooLarge,
        Some(Error::Protocol(tungstenite::error::ProtocolError::ResetWithoutClosingHandshake)) => {
            End::ClientLost
        }
        Some(Error::Protocol(_) | Error::Utf8(_)) => End::BadProtocol,
        _ => End::ClientLost,
    }
}
