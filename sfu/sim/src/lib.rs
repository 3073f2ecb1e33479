//! A simulated world for tests of the media core.
//!
//! A [`World`] owns a seed, a virtual clock, one shard, clients that are real WebRTC endpoints, and the
//! network between them. It always jumps to the next moment at which anything happens, and at every
//! packet and event its oracles judge what the clients are given. Must not touch a socket, sleep, or
//! read a clock beyond the one instant that is the origin of virtual time.

#![warn(missing_docs)]

mod bottleneck;
mod client;
mod connection;
mod cross;
mod dtls;
mod line;
mod live;
mod media;
mod network;
mod oracle;
mod spec;
mod svc;
mod together;
mod trace;
mod world;

pub use bottleneck::Bottleneck;
pub use client::{Client, ClientOptions, DataMessage, DataTo, Stream};
pub use cross::Cross;
pub use line::Shaper;
pub use live::{Live, LiveDatagram};
pub use media::{SourceId, SourceKind, VideoCodec, VideoSettings};
pub use network::{Bursts, Faults, HopFaults, LinkSettings};
pub use oracle::{StreamReport, Violation};
pub use spec::SpecError;
pub use svc::{LayerFrame, Prediction, Scalability};
pub use together::side_by_side;
pub use trace::Trace;
pub use world::{ClientKey, PlainKey, PlainTold, PlainWay, Tapped, World};

/// Shorthand for virtual time.
pub const fn millis(millis: u64) -> std::time::Duration {
    std::time::Duration::from_millis(millis)
}

/// Shorthand for virtual time.
pub const fn seconds(seconds: u64) -> std::time::Duration {
    std::time::Duration::from_secs(seconds)
}
