//! The control plane: everything around the media node that clients, backends and operators talk to.
//!
//! Owns signalling ([`signal`]), the public API over gRPC and Twirp, tokens ([`auth`]), the page, which node a room
//! is on ([`cluster`], by what is kept in the [`store`]), and the processes that hold it all together ([`run`]).
//! Must not link the media core: it speaks to nodes through their session API alone.

pub mod agents;
mod api;
mod app;
pub mod auth;
mod banner;
mod check;
pub mod cli;
pub mod cluster;
pub mod config;
mod error;
mod health;
pub mod ice_servers;
mod linger;
mod metrics;
pub mod placement;
pub mod run;
pub mod signal;
pub mod store;
mod twirp;
mod web;
pub mod webhook;
pub mod whip;
