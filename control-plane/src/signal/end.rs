//! Why a connection ends, and what that means on the wire. Plain data. Must not send anything.
//! RFC 6455 section 7.4 (close codes).

use livekit_protocol::{self as lk, DisconnectReason};
use plenum_proto::{
    node::{CloseAction, Closed},
    v1::CloseReason,
};

use super::translate::{model::disconnect_reason, response};

/// Why a connection ends.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum End {
    /// The client said that it goes.
    ClientLeft(CloseReason),
    /// The client closed the WebSocket.
    ClientClosed,
    /// The WebSocket broke.
    ClientLost,
    /// The client did not read.
    ClientSlow,
    /// The client gave no sign of life.
    ClientSilent,
    /// The client sent a message that is too large.
    TooLarge,
    /// The client sent too many messages.
    TooFast,
    /// The client broke the WebSocket protocol.
    BadProtocol,
    /// The node ended the stay, or sends the client elsewhere.
    NodeClosed(Closed),
    /// The node is to forget this connection without a word, so that the client resumes.
    NodeDropped,
    /// The node is gone, or does not take requests.
    NodeLost,
    /// This gateway shuts down.
    ShuttingDown,
}

/// Close codes of RFC 6455.
mod code {
    pub(super) const NORMAL: u16 = 1000;
    pub(super) const GOING_AWAY: u16 = 1001;
    pub(super) const PROTOCOL: u16 = 1002;
    pub(super) const POLICY: u16 = 1008;
    pub(super) const TOO_LARGE: u16 = 1009;
    pub(super) const INTERNAL: u16 = 1011;
}

impl End {
    /// For counters and logs.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            Self::ClientLeft(_) => "client_left",
            Self::ClientClosed => "client_closed",
            Self::ClientLost => "client_lost",
            Self::ClientSlow => "client_slow",
            Self::ClientSilent => "client_silent",
            Self::TooLarge => "too_large",
            Self::TooFast => "too_fast",
            Self::BadProtocol => "bad_protocol",
            Self::NodeClosed(_) => "node_closed",
            Self::NodeDropped => "node_dropped",
            Self::NodeLost => "node_lost",
            Self::ShuttingDown => "shutting_down",
        }
    }

    /// The last message for a client that speaks `protocol`.
    pub(crate) fn leave(&self, protocol: i32) -> Option<lk::LeaveRequest> {
        match self {
            Self::NodeClosed(closed) => response::leave(
                closed.action(),
                disconnect_reason(closed.reason()),
                protocol,
            ),
            Self::NodeLost => response::leave(
                CloseAction::Reconnect,
                DisconnectReason::ServerShutdown,
                protocol,
            ),
            Self::ShuttingDown => response::leave(
                CloseAction::Resume,
                DisconnectReason::ServerShutdown,
                protocol,
            ),
            _ => None,
        }
    }

    /// Code and text of the close frame; `None` where nobody would read it.
    pub(crate) fn close(&self) -> Option<(u16, &'static str)> {
        match self {
            Self::ClientLeft(_) | Self::NodeClosed(_) => Some((code::NORMAL, "")),
            Self::ClientClosed | Self::ClientLost | Self::ClientSlow => None,
            Self::ClientSilent => Some((code::GOING_AWAY, "no sign of life")),
            Self::TooLarge => Some((code::TOO_LARGE, "message too large")),
            Self::TooFast => Some((code::POLICY, "too many messages")),
            Self::BadProtocol => Some((code::PROTOCOL, "protocol error")),
            Self::NodeDropped => Some((code::GOING_AWAY, "resume")),
            Self::NodeLost => Some((code::INTERNAL, "media node lost")),
            Self::ShuttingDown => Some((code::GOING_AWAY, "shutting down")),
        }
    }
}

#[cfg(test)]
mod tests {
    use livekit_protocol::leave_request::Action;

    use super::*;

    fn closed(action: CloseAction, reason: CloseReason) -> End {
        End::NodeClosed(Closed {
            reason: reason.into(),
            action: action.into(),
            ..Default::default()
        })
    }

    fn leave(
        can_reconnect: bool,
        reason: DisconnectReason,
        action: Action,
    ) -> Option<lk::LeaveRequest> {
        let (reason, action) = (reason.into(), action.into());
        Some(lk::LeaveRequest {
            can_reconnect,
            reason,
            action,
            regions: None,
        })
    }

    #[test]
    fn leaves_say_what_to_do_next() {
        let removed = closed(CloseAction::Disconnect, CloseReason::ParticipantRemoved);
        let moved = closed(CloseAction::Resume, CloseReason::Migration);
        let unknown = closed(CloseAction::Reconnect, CloseReason::StateMismatch);
        for (end, protocol, expected) in [
            (
                &removed,
                17,
                leave(
                    false,
                    DisconnectReason::ParticipantRemoved,
                    Action::Disconnect,
                ),
            ),
            (
                &moved,
                13,
                leave(false, DisconnectReason::Migration, Action::Resume),
            ),
            (
                &unknown,
                17,
                leave(true, DisconnectReason::StateMismatch, Action::Reconnect),
            ),
            (
                &removed,
                12,
                leave(
                    false,
                    DisconnectReason::ParticipantRemoved,
                    Action::Disconnect,
                ),
            ),
            (&moved, 12, None),
            (
                &unknown,
                12,
                leave(true, DisconnectReason::StateMismatch, Action::Disconnect),
            ),
            (
                &End::NodeLost,
                17,
                leave(true, DisconnectReason::ServerShutdown, Action::Reconnect),
            ),
            (
                &End::ShuttingDown,
                17,
                leave(false, DisconnectReason::ServerShutdown, Action::Resume),
            ),
            (&End::ShuttingDown, 12, None),
            (&End::TooFast, 17, None),
            (&End::NodeDropped, 17, None),
            (&End::ClientLeft(CloseReason::ClientInitiated), 17, None),
        ] {
            assert_eq!(
                end.leave(protocol),
                expected,
                "{} at {protocol}",
                end.label()
            );
        }
    }

    #[test]
    fn close_codes_say_whose_fault_it_was() {
        for (end, expected) in [
            (End::TooLarge, Some(1009)),
            (End::TooFast, Some(1008)),
            (End::BadProtocol, Some(1002)),
            (End::ClientSilent, Some(1001)),
            (End::NodeLost, Some(1011)),
            (End::ClientLeft(CloseReason::ClientInitiated), Some(1000)),
            (End::ClientLost, None),
        ] {
            assert_eq!(
                end.close().map(|(code, _)| code),
                expected,
                "{}",
                end.label()
            );
        }
    }
}
