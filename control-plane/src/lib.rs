//! The control plane: everything around the media node that clients, backends and operators talk to.
//!
//! Owns signalling ([`signal`]), the public API over gRPC and Twirp, tokens ([`auth`]), the page, and the
//! one process that holds it all together ([`run`]). Must not link the media core: it speaks to a node
//! through the node's session API alone.

mod api;
mod app;
pub mod auth;
mod banner;
pub mod cli;
pub mod config;
mod error;
mod health;
mod metrics;
pub mod run;
mod serve;
pub mod signal;
pub mod telemetry;
mod twirp;
mod web;
