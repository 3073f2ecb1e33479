//! The sans-IO media core of Plenum.
//!
//! A [`Shard`] is one machine per worker thread: it owns the sessions, tracks, subscriptions and rooms
//! placed on that worker. Time enters as an argument, randomness from one seed, and nothing here
//! touches a socket, a clock or a thread. See `ARCHITECTURE.md` for the journey of a packet.

#![warn(missing_docs)]
#![cfg_attr(
    test,
    expect(
        clippy::disallowed_methods,
        reason = "a test takes one instant as the origin of its time"
    )
)]

mod ahead;
mod allocator;
mod binding;
mod config;
mod data;
mod demux;
mod input;
mod key;
mod limits;
mod losses;
mod outbox;
mod output;
mod relay;
mod room;
mod rtcp;
mod rtp;
mod session;
mod shard;
mod srtp;
mod stats;
mod stun;
mod subscription;
mod time;
mod timer;
mod track;
mod wait;

pub use binding::{ReplyLimit, binding_reply, source_network};
pub use config::{CandidateAddress, CoreConfig};
pub use input::{
    Command, CommandError, Datagram, Forward, NewHome, PlainDatagram, PlainSection, PlainSink,
    Reply,
};
pub use key::{ControlId, LinkKey};
pub use limits::Limits;
pub use output::{Event, PlainTransmit, Transmit};
pub use relay::{
    HopReceiver, HopSender, HopStats, MalformedRelayPacket, Received, RelayFrame, RelayPacket,
    RelayTransmit,
};
pub use session::{Answer, Certificate, CertificateError, KeyframeFeedback, PlainFormat};
pub use shard::Shard;
pub use stats::{Backlog, DropReason, ShardStats};
pub use time::ClockAnchor;

/// Transport protocol of a datagram or candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// UDP.
    Udp,
    /// TCP with RFC 4571 framing, the node passive (RFC 6544).
    Tcp,
}
