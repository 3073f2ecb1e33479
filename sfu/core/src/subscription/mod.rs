//! What one subscriber gets of one track: which layer it is served, and each packet's fate and
//! numbers.
//!
//! Must not know the subscriber's session or the room. RFC 7667 (selective forwarding).

mod explain;
mod forwarder;
mod frames;
mod keyframe;
mod numbering;
mod recent;
mod rewriter;
mod selector;
mod targets;
mod temporal;

pub(crate) use explain::{Choice, Choices, Facts, Limit, side};
pub(crate) use forwarder::{Decision, Forwarder};
pub(crate) use keyframe::KeyframeThrottle;
pub(crate) use selector::{LayerView, Wish, select, views};
