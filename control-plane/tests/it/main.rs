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
mod signal;
mod support;
mod twirp;
mod webhook;
mod whip;
