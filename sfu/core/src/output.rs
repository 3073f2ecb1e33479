//! What comes out of a shard, one kind per consumer. Must not hold behaviour.

use std::net::SocketAddr;

use plenum_proto::{node::SessionEvent, v1};

use crate::{ControlId, LinkKey, Protocol};

/// A datagram for the network, or a run of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transmit<'a> {
    /// The local address to send from, one of [`CandidateAddress::local`](crate::CandidateAddress).
    pub source: SocketAddr,
    /// Where to.
    pub destination: SocketAddr,
    /// How.
    pub protocol: Protocol,
    /// The payload; of a run, the payloads one behind the other.
    pub bytes: &'a [u8],
    /// Of a run: bytes of each datagram but the last, which may be shorter. UDP only.
    pub segment_size: Option<usize>,
}

impl<'a> Transmit<'a> {
    /// The datagrams, one by one.
    pub fn datagrams(&self) -> impl Iterator<Item = &'a [u8]> {
        self.bytes
            .chunks(self.segment_size.unwrap_or(self.bytes.len()).max(1))
    }
}

/// RTCP for the source of plain RTP.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlainTransmit {
    /// The control connection of the participant that it is for.
    pub control: ControlId,
    /// Whose section's source it is for.
    pub section: u8,
    /// A compound packet.
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
    /// A stay begins on this shard: until it ends, this is where to take it up again.
    StayBegan {
        /// Name of the room.
        room: String,
        /// Of the participant.
        identity: String,
        /// Id of the participant.
        participant: String,
    },
    /// A stay on this shard is over.
    StayEnded {
        /// Name of the room.
        room: String,
        /// Of the participant.
        identity: String,
        /// Id of the participant.
        participant: String,
    },
    /// A room is gone: the node may forget on which worker it lived. Comes from the home of the room.
    RoomGone {
        /// Its name.
        name: String,
    },
    /// The home of a room, which was here, has moved to another shard: who is here stays.
    HomeMoved {
        /// Name of the room.
        name: String,
        /// The way to the home.
        home: LinkKey,
    },
    /// A room goes on here without its home, which is gone: another one is to be named by
    /// [`Command::Rehome`](crate::Command::Rehome) soon.
    HomeLost {
        /// Name of the room.
        room: String,
        /// Id of the room.
        room_id: String,
    },
    /// Media of a TCP connection is no longer wanted; close it.
    CloseTcp {
        /// The client's end.
        remote: SocketAddr,
    },
}
