//! The signalling gateway: LiveKit SDKs on one side, the node's neutral session API on the other.
//!
//! Owns the WebSocket of a client, the form of its frames, its signs of life and its fresh tokens.
//! Must not hold anything of a room: when a WebSocket or a whole gateway is lost, the node keeps
//! the stay and the client takes it up again through any other. RFC 6455 (WebSocket); client
//! protocol version 0, with two connections per participant.

pub(crate) mod admission;
mod config;
mod connection;
mod direct;
mod end;
mod frame;
pub(crate) mod node;
mod params;
pub(crate) mod pending;
pub(crate) mod rate;
pub(crate) mod rates;
mod refusal;
mod routes;
pub(crate) mod span;
mod state;
pub(crate) mod translate;

pub use config::{ConfigMistake, EXPLAINED, SignalConfig};
pub(crate) use node::unfit;
pub use node::{NoSeat, NodeForRoom, Seat, Unfit, Wish};
pub use refusal::Refusal;
pub(crate) use refusal::text as refusal_text;
pub use routes::router;
pub use state::{SignalMetrics, SignalState};
pub use translate::joined::{COMPATIBLE_VERSION, PROTOCOL};
