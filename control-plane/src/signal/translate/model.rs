//! Rooms, participants and why they end, from our model to the client protocol's. Must not filter:
//! who may see whom is the node's business.

use livekit_protocol::{
    self as lk,
    client_info::Capability,
    participant_info::{self, KindDetail},
};
use plenum_proto::v1::{self, CloseReason, ParticipantKind, ParticipantState};
use prost_types::{Duration, Timestamp};

use super::{
    known,
    track::{source_out, track_out},
};
use crate::ice_servers::IceServer;

/// A room as clients read it. `codecs` are mime types.
pub(crate) fn room(room: v1::Room, codecs: &[String]) -> lk::Room {
    let (creation_time, creation_time_ms) = seconds_and_millis(room.created_at.as_ref());
    lk::Room {
        sid: room.id,
        name: room.name,
        empty_timeout: whole_seconds(room.empty_timeout.as_ref()),
        departure_timeout: whole_seconds(room.departure_timeout.as_ref()),
        max_participants: room.max_participants,
        creation_time,
        creation_time_ms,
        enabled_codecs: self::codecs(codecs),
        metadata: room.metadata,
        num_participants: room.num_participants,
        num_publishers: room.num_publishers,
        ..Default::default()
    }
}

/// Codecs by mime type.
pub(crate) fn codecs(mimes: &[String]) -> Vec<lk::Codec> {
    mimes
        .iter()
        .map(|mime| lk::Codec {
            mime: mime.clone(),
            fmtp_line: String::new(),
        })
        .collect()
}

/// A STUN or TURN server as clients read it.
pub(crate) fn ice_server(server: IceServer) -> lk::IceServer {
    lk::IceServer {
        urls: server.urls,
        username: server.username,
        credential: server.credential,
    }
}

/// A participant as clients read it.
pub(crate) fn participant(participant: v1::Participant) -> lk::ParticipantInfo {
    let (joined_at, joined_at_ms) = seconds_and_millis(participant.joined_at.as_ref());
    let state = match participant.state() {
        ParticipantState::Joining => participant_info::State::Joining,
        ParticipantState::Joined => participant_info::State::Joined,
        ParticipantState::Active => participant_info::State::Active,
        ParticipantState::Disconnected => participant_info::State::Disconnected,
    };
    let kind = participant.kind();
    let disconnect_reason = disconnect_reason(participant.close_reason());
    let forwarded = participant.forwarded.then_some(KindDetail::Forwarded);
    lk::ParticipantInfo {
        sid: participant.id,
        identity: participant.identity,
        state: state.into(),
        metadata: participant.metadata,
        joined_at,
        joined_at_ms,
        name: participant.name,
        version: participant.version,
        permission: participant
            .permissions
            .map(|granted| permission(granted, kind)),
        region: String::new(),
        is_publisher: !participant.tracks.is_empty(),
        kind: participant_kind(kind).into(),
        attributes: participant.attributes.into_iter().collect(),
        disconnect_reason: disconnect_reason.into(),
        kind_details: forwarded.into_iter().map(Into::into).collect(),
        tracks: participant.tracks.into_iter().map(track_out).collect(),
        data_tracks: Vec::new(),
        client_protocol: participant.client_protocol,
        capabilities: known::<Capability>(&participant.capabilities),
    }
}

/// A job of an agent as workers and backends read it, without what it comes from.
pub(crate) fn agent_job(job: v1::AgentJob) -> lk::Job {
    let kind = match job.kind() {
        v1::JobKind::JobRoom => lk::JobType::JtRoom,
        v1::JobKind::JobPublisher => lk::JobType::JtPublisher,
        v1::JobKind::JobParticipant => lk::JobType::JtParticipant,
    };
    let status = match job.status() {
        v1::JobStatus::JobPending => lk::JobStatus::JsPending,
        v1::JobStatus::JobRunning => lk::JobStatus::JsRunning,
        v1::JobStatus::JobSucceeded => lk::JobStatus::JsSuccess,
        v1::JobStatus::JobFailed => lk::JobStatus::JsFailed,
    };
    let (started_at, ended_at) = (nanos(job.started_at.as_ref()), nanos(job.ended_at.as_ref()));
    lk::Job {
        id: job.id,
        r#type: kind.into(),
        state: Some(lk::JobState {
            status: status.into(),
            error: job.error,
            started_at,
            ended_at,
            updated_at: started_at.max(ended_at),
            participant_identity: job.agent_identity,
            worker_id: job.worker_id,
            ..Default::default()
        }),
        ..Default::default()
    }
}

/// Nanoseconds since the epoch; 0 = not yet.
pub(crate) fn nanos(at: Option<&Timestamp>) -> i64 {
    at.map_or(0, |at| {
        let seconds = at.seconds.saturating_mul(1_000_000_000);
        seconds.saturating_add(i64::from(at.nanos))
    })
}

/// Why a stay ended, as clients read it.
pub(crate) fn disconnect_reason(reason: CloseReason) -> lk::DisconnectReason {
    use lk::DisconnectReason as To;
    match reason {
        CloseReason::ReasonUnknown => To::UnknownReason,
        CloseReason::ClientInitiated => To::ClientInitiated,
        CloseReason::DuplicateIdentity => To::DuplicateIdentity,
        CloseReason::NodeShutdown => To::ServerShutdown,
        CloseReason::ParticipantRemoved => To::ParticipantRemoved,
        CloseReason::RoomDeleted => To::RoomDeleted,
        CloseReason::StateMismatch => To::StateMismatch,
        CloseReason::JoinFailure => To::JoinFailure,
        CloseReason::Migration => To::Migration,
        CloseReason::SignalClosed => To::SignalClose,
        CloseReason::RoomClosed => To::RoomClosed,
        CloseReason::ConnectionTimeout => To::ConnectionTimeout,
        CloseReason::MediaFailure => To::MediaFailure,
        // The client protocol has no word for it; removed is what it amounts to, and a client that
        // is removed does not come back by itself.
        CloseReason::LimitExceeded => To::ParticipantRemoved,
    }
}

/// Why a client says it leaves.
pub(crate) fn close_reason(reason: lk::DisconnectReason) -> CloseReason {
    use lk::DisconnectReason as From;
    match reason {
        From::DuplicateIdentity => CloseReason::DuplicateIdentity,
        From::StateMismatch => CloseReason::StateMismatch,
        From::JoinFailure => CloseReason::JoinFailure,
        From::Migration => CloseReason::Migration,
        From::SignalClose => CloseReason::SignalClosed,
        From::ConnectionTimeout => CloseReason::ConnectionTimeout,
        From::MediaFailure => CloseReason::MediaFailure,
        // The rest a client cannot know of itself, or is some way of wanting to go.
        From::UnknownReason
        | From::ClientInitiated
        | From::ServerShutdown
        | From::ParticipantRemoved
        | From::RoomDeleted
        | From::RoomClosed
        | From::UserUnavailable
        | From::UserRejected
        | From::SipTrunkFailure
        | From::AgentError => CloseReason::ClientInitiated,
    }
}

#[expect(deprecated, reason = "older SDKs read recorder and agent here")]
fn permission(granted: v1::Permissions, kind: ParticipantKind) -> lk::ParticipantPermission {
    lk::ParticipantPermission {
        can_publish_sources: granted
            .can_publish_sources()
            .map(|source| source_out(source).into())
            .collect(),
        can_subscribe: granted.can_subscribe,
        can_publish: granted.can_publish,
        can_publish_data: granted.can_publish_data,
        hidden: granted.hidden,
        recorder: granted.recorder,
        can_update_metadata: granted.can_update_metadata,
        agent: kind == ParticipantKind::Agent,
        can_subscribe_metrics: granted.can_subscribe_metrics,
        can_manage_agent_session: false,
    }
}

fn participant_kind(kind: ParticipantKind) -> participant_info::Kind {
    match kind {
        ParticipantKind::Standard => participant_info::Kind::Standard,
        ParticipantKind::Ingress => participant_info::Kind::Ingress,
        ParticipantKind::Egress => participant_info::Kind::Egress,
        ParticipantKind::Sip => participant_info::Kind::Sip,
        ParticipantKind::Agent => participant_info::Kind::Agent,
    }
}

fn seconds_and_millis(at: Option<&Timestamp>) -> (i64, i64) {
    at.map_or((0, 0), |at| {
        (
            at.seconds,
            at.seconds
                .saturating_mul(1000)
                .saturating_add(i64::from(at.nanos / 1_000_000)),
        )
    })
}

fn whole_seconds(duration: Option<&Duration>) -> u32 {
    duration.map_or(0, |duration| {
        u32::try_from(duration.seconds).unwrap_or_default()
    })
}

#[cfg(test)]
mod tests;
