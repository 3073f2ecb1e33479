//! Encoders and players over HTTP: WHIP (RFC 9725) to publish, WHEP (draft-ietf-wish-whep-03) to play.
//!
//! Owns the HTTP resources and what they mean; translates them to the node's neutral session API, as the
//! signalling gateway does for SDKs, and shares with it who comes in and how a session is opened. Must
//! not hold anything of a room: the media of a session lives in the node. A session's resource lives in
//! this process, so a later request for it must come to the same one.

mod admission;
mod cors;
mod fragment;
mod links;
mod offer;
mod play;
mod problem;
mod routes;
mod session;
mod sse;
mod state;
mod task;

pub use routes::router;
pub use state::WhipState;
