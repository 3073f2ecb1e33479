//! The public API: what an application's backend may ask. [`Calls`] checks who asks and what, and passes
//! it to the node; gRPC (here) and Twirp (`twirp/`) are two ways to reach it. Must not hold state of
//! rooms: that lives where the media is.

mod agents;
mod calls;
mod egresses;
mod events;
mod explain;
mod grpc;
mod idempotent;
mod ingresses;
mod nodes;
mod tokens;
mod validate;

pub(crate) use calls::{Calls, Settings};
pub(crate) use explain::{brief, since};
pub(crate) use grpc::{SERVICES, routes};
pub(crate) use validate::Limits;
