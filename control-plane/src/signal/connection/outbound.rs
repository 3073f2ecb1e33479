//! From the node to the client: passes events on, keeps the client's token fresh, and writes
//! frames. Must not wait for a client longer than is configured.

use std::time::SystemTime;

use axum::extract::ws::Message as Frame;
use livekit_protocol::signal_response::Message as To;
use plenum_proto::node::{SessionEvent, session_event};
use tokio::time;

use super::{Connection, Speech};
use crate::signal::{
    direct::{self, Told, Turned},
    end::End,
    translate::response,
};

impl Connection {
    pub(super) async fn on_event(&mut self, event: SessionEvent) -> Result<(), End> {
        let kind = match event.kind {
            Some(session_event::Kind::Closed(closed)) => return Err(End::NodeClosed(closed)),
            Some(kind) => kind,
            None => {
                tracing::debug!("node sent an event of an unknown kind");
                return Ok(());
            }
        };
        let is_own_changed = self.learn(&kind);
        match &mut self.speech {
            Speech::Sdk { protocol, .. } => {
                if let Some(message) = response::response(kind, *protocol) {
                    self.tell(message).await?;
                }
            }
            Speech::Direct(direct) => {
                let turned = direct.turn(kind);
                self.tell_turned(turned).await?;
            }
        }
        if is_own_changed {
            self.tell_token().await
        } else {
            Ok(())
        }
    }

    /// Takes over what changed for this participant; whether its token must follow.
    fn learn(&mut self, event: &session_event::Kind) -> bool {
        let session_event::Kind::Participants(update) = event else {
            return false;
        };
        if self.own_id.is_empty() {
            return false;
        }
        let Some(own) = update.participants.iter().find(|one| one.id == self.own_id) else {
            return false;
        };
        let before = self.verified.clone();
        self.verified.apply(own);
        self.verified != before
    }

    async fn tell_turned(&mut self, turned: Turned) -> Result<(), End> {
        match turned {
            Turned::Tell(told) => self.tell_direct(&told).await,
            Turned::Over(reason) => match self.fresh_token() {
                Some(token) => self.tell_direct(&direct::sfu(reason, token)).await,
                None => Err(End::NodeLost),
            },
            Turned::Nothing => Ok(()),
        }
    }

    /// Sends a fresh token, so that the client can come back after its first one has expired.
    pub(super) async fn tell_token(&mut self) -> Result<(), End> {
        let Some(token) = self.fresh_token() else {
            return Ok(());
        };
        match self.speech {
            Speech::Sdk { .. } => self.tell(To::RefreshToken(token)).await,
            Speech::Direct(_) => self.tell_direct(&Told::Token { token }).await,
        }
    }

    fn fresh_token(&self) -> Option<String> {
        let (now, ttl) = (SystemTime::now(), self.shared.config.token_ttl);
        let fresh = self.shared.keys.refresh_at(now, &self.verified, ttl);
        fresh
            .inspect_err(|error| tracing::warn!(%error, "no fresh token"))
            .ok()
    }

    /// Tells a client of the client protocol; others are not told in that.
    pub(super) async fn tell(&mut self, message: To) -> Result<(), End> {
        let Speech::Sdk { encoding, .. } = self.speech else {
            return Ok(());
        };
        match encoding.write(message) {
            Ok(frame) => self.send(frame).await,
            Err(error) => {
                tracing::error!(%error, "message not sent");
                self.shared.metrics.on_ignored("no_json");
                Ok(())
            }
        }
    }

    /// Tells a client of the direct API.
    pub(super) async fn tell_direct(&mut self, told: &Told) -> Result<(), End> {
        match serde_json::to_string(told) {
            Ok(text) => self.send(Frame::Text(text.into())).await,
            Err(error) => {
                tracing::error!(%error, "message not sent");
                self.shared.metrics.on_ignored("no_json");
                Ok(())
            }
        }
    }

    pub(super) async fn send(&mut self, frame: Frame) -> Result<(), End> {
        match time::timeout(self.shared.config.write_timeout, self.socket.send(frame)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::ClientLost),
            Err(_) => Err(End::ClientSlow),
        }
    }
}
