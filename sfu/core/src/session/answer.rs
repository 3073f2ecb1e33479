//! A client's answer (RFC 8829), read. Reading one costs as much as forwarding thousands of packets, the more so the
//! more sections it has, and depends on nothing: it can be done before the answer comes to a shard. Must not know
//! sessions.

use plenum_proto::node::{self, TransportRole};
use str0m::change::SdpAnswer;

use super::{
    negotiate::NegotiateError,
    sdp::{answer_for_engine, check, has_feedback_by_stream},
};
use crate::Limits;

/// An answer to an offer of a shard, read; what is wrong with it is told when the shard takes it.
#[derive(Debug)]
pub struct Answer {
    /// Of the offer; 0 = of the last one.
    pub(crate) id: u32,
    pub(crate) read: Result<SdpAnswer, NegotiateError>,
    /// The client tells of packets by stream (RFC 8888).
    pub(crate) has_feedback_by_stream: bool,
}

impl Answer {
    /// Whether a description is one.
    pub(crate) fn is(description: &node::Description) -> bool {
        description.role() == TransportRole::Subscribe && !description.is_offer
    }

    /// Reads one.
    pub(crate) fn read(description: &node::Description, limits: &Limits) -> Self {
        Self {
            id: description.id,
            read: read(&description.sdp, limits),
            has_feedback_by_stream: has_feedback_by_stream(&description.sdp),
        }
    }
}

fn read(sdp: &str, limits: &Limits) -> Result<SdpAnswer, NegotiateError> {
    check(sdp, limits)?;
    SdpAnswer::from_sdp_string(&answer_for_engine(sdp))
        .map_err(|error| NegotiateError::Malformed(error.to_string()))
}
