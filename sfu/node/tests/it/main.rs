//! The node from outside: real sockets and threads, calls over memory. One binary for all of it.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

mod admin;
mod config;
mod network;
mod nodes;
mod people;
mod session;
mod spread;
mod support;
mod turn;
mod watch;
