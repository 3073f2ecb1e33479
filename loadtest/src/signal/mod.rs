//! A client of the LiveKit signalling protocol, version 0: two peer connections, protobuf over a
//! WebSocket at `/rtc`.
//!
//! Owns the words on that wire: tokens, the address to connect to, requests, and what answers mean.
//! [`Connection`] carries them; [`Message`] is what the rest of the program sees of them. Must not
//! hold media, decide what a participant does (`crate::run`), or parse more of SDP than which section
//! carries which track ([`sdp`]).

mod address;
mod connection;
mod message;
mod request;
pub mod sdp;
mod token;

use thiserror::Error;

pub use address::{Address, AddressError, JoinOptions};
pub use connection::{Connection, Receiver, Sender};
pub use message::{Joined, Message, Next, Qualities, RemoteParticipant, RemoteTrack, TrackKind};
pub use request::{Layer, NewTrack, Request};
pub use token::{Keys, TokenError};

/// Version of the protocol that we speak; see `GET /rtc?protocol=`.
pub const PROTOCOL: u32 = 17;

/// Why a connection could not be made, or ended.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SignalError {
    /// Nobody answers there, or not as a WebSocket.
    #[error("cannot connect to the server: {0}")]
    Unreachable(String),
    /// The server said no before the upgrade.
    #[error("the server refused the join: {status} {reason}")]
    Refused {
        /// HTTP status.
        status: u16,
        /// First line of the body.
        reason: String,
    },
    /// The first message was neither join nor leave.
    #[error("the server began with {0} instead of a join response")]
    NoJoin(&'static str),
    /// The server sent us away.
    #[error("the server ended the session: {reason}")]
    SentAway {
        /// Name of the protocol's reason.
        reason: String,
        /// What to do next.
        next: Next,
    },
    /// The WebSocket broke or was closed without a word.
    #[error("the WebSocket closed: {0}")]
    Closed(String),
    /// A message that is not of the protocol.
    #[error("the server sent what is not of the protocol: {0}")]
    Malformed(String),
}
