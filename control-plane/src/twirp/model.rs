//! What server SDKs send of rooms, participants, tracks and agents, in our words; how these read in theirs is the
//! signalling's translation. Must not filter or decide.

use livekit_protocol as lk;
use plenum_proto::v1;

/// What an SDK asks for; sources that do not exist are refused with the request.
#[expect(deprecated, reason = "the recorder flag is still in use")]
pub(crate) fn permissions(wanted: lk::ParticipantPermission) -> v1::Permissions {
    v1::Permissions {
        can_subscribe: wanted.can_subscribe,
        can_publish: wanted.can_publish,
        can_publish_data: wanted.can_publish_data,
        // Sources have the same numbers in both models.
        can_publish_sources: wanted.can_publish_sources,
        hidden: wanted.hidden,
        recorder: wanted.recorder,
        can_update_metadata: wanted.can_update_metadata,
        can_subscribe_metrics: wanted.can_subscribe_metrics,
    }
}

/// An agent that an SDK wants in a room.
pub(super) fn agent_wish(wanted: lk::RoomAgentDispatch) -> v1::AgentWish {
    v1::AgentWish {
        once: wanted.restart_policy() == lk::JobRestartPolicy::JrpNever,
        agent_name: wanted.agent_name,
        metadata: wanted.metadata,
        attributes: wanted.attributes.into_iter().collect(),
        deployment: wanted.deployment,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_has_the_same_number_in_both_models() {
        for number in 0..8 {
            let ours = v1::TrackSource::try_from(number).ok();
            let theirs = lk::TrackSource::try_from(number).ok();
            let name = |text: &'static str| text.replace("SOURCE_", "");
            assert_eq!(
                ours.map(|source| name(source.as_str_name())),
                theirs.map(|source| name(source.as_str_name())),
                "{number}"
            );
        }
    }
}
