//! A load test for servers that speak the LiveKit client protocol: it joins rooms as many
//! participants, publishes stamped media, receives what is forwarded, and says what that cost.
//!
//! It is a client of its own. It must not link the media core or the control plane, so that no
//! mistake can hide by being made at both ends.

pub mod capacity;
pub mod cli;
pub mod engine;
pub mod measure;
pub mod media;
pub mod process;
pub mod report;
pub mod run;
pub mod scenario;
pub mod signal;
