//! What comes out of a shard, one kind per consumer. Must not hold behaviour.

use std::net::SocketAddr;

use plenum_proto::{node::SessionEvent, v1};

use crate::{ControlId, Protocol};

/// A datagram for the network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transmit {
    /// The local address to send from, one of [`CandidateAddress::local`](crate::CandidateAddress).
    pub source: SocketAddr,
    /// Where to.
    pub destination: SocketAddr,
    /// How.
    pub protocol: Protocol,
    /// The payload.
    pub bytes: Vec<u8>,
}

/// Something the control plane wants to know.
#[derive(Debug, Clone, PartialEq)]
#[expect(
    clippy::large_enum_variant,
    reason = "most are the largest, and each is moved once"
)]
pub enum Event {
    /// To one participant's control connection, in order.
    Session {
        /// The connection.
        control: ControlId,
        /// After `closed` nothing more comes for this connection.
        event: SessionEvent,
    },
    /// Something happened in a room, for event streams. The node numbers it (`sequence`, `epoch`); `at`
    /// and `room` are set.
    Room(Box<v1::Event>),
    /// A room is gone: the node may forget on which worker it lived.
    RoomGone {
        /// Its name.
        name: String,
    },
    /// Media of a TCP connection is no longer wanted; close it.
    CloseTcp {
        /// The client's end.
        remote: SocketAddr,
    },
}
