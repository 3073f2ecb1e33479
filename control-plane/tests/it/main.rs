//! The control plane as a whole: a running `plenum` in this process, on ports the system chooses, asked
//! over real sockets. One binary, a module for each surface.

mod agents;
mod cluster;
mod collector;
mod direct;
mod events;
mod grpc;
mod http;
mod limits;
mod moves;
mod process;
// As the tests of the store start it.
#[path = "../../src/store/conformance/servers.rs"]
#[expect(dead_code, reason = "the tests of the store use more of it")]
mod servers;
mod signal;
mod support;
mod twirp;
mod webhook;
mod whip;
