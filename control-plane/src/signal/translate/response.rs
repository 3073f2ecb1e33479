//! What the node says, as messages for clients. Pure functions. Must not decide when a connection
//! ends.

use livekit_protocol::{self as lk, request_response, signal_response::Message as To};
use plenum_proto::{
    node::{self, CloseAction, session_event::Kind},
    v1::{ConnectionQuality, Speaker},
};

use super::{
    codec_name,
    description::{candidate_out, description_out},
    model,
    track::{quality_out, track_out},
};

/// Steps of the client protocol that change what we say.
pub(crate) mod since {
    /// Connection quality is understood.
    pub(crate) const CONNECTION_QUALITY: i32 = 5;
    /// The unpublish message is understood.
    pub(crate) const UNPUBLISH: i32 = 7;
    /// Quality may be LOST.
    pub(crate) const QUALITY_LOST: i32 = 11;
    /// A leave carries its action.
    pub(crate) const LEAVE_ACTION: i32 = 13;
    /// Successful requests are answered too.
    pub(crate) const OK_RESPONSES: i32 = 15;
}

/// Translates one event for a client that speaks `protocol`; `None` when that client is not told,
/// or when the event ([`Kind::Joined`], [`Kind::Resumed`], [`Kind::Closed`]) is more than a
/// message.
pub(crate) fn response(event: Kind, protocol: i32) -> Option<To> {
    Some(match event {
        Kind::Joined(_) | Kind::Resumed(_) | Kind::Closed(_) => return None,
        // Of participants that do not speak this protocol.
        Kind::DirectPeer(_) | Kind::DirectSignal(_) | Kind::DirectOver(_) => return None,
        Kind::Description(description) => description_message(description)?,
        Kind::Candidate(candidate) => To::Trickle(candidate_out(candidate)),
        Kind::TrackPublished(published) => To::TrackPublished(lk::TrackPublishedResponse {
            cid: published.cid,
            track: published.track.map(track_out),
        }),
        Kind::TrackUnpublished(unpublished) => {
            if protocol < since::UNPUBLISH {
                return None;
            }
            To::TrackUnpublished(lk::TrackUnpublishedResponse {
                track_sid: unpublished.track_id,
            })
        }
        Kind::Participants(update) => To::Update(lk::ParticipantUpdate {
            participants: update
                .participants
                .into_iter()
                .map(model::participant)
                .collect(),
        }),
        Kind::Speakers(changed) => To::SpeakersChanged(lk::SpeakersChanged {
            speakers: changed.speakers.into_iter().map(speaker).collect(),
        }),
        Kind::Room(room) => To::RoomUpdate(lk::RoomUpdate {
            room: Some(model::room(room, &[])),
        }),
        Kind::Quality(report) => {
            if protocol < since::CONNECTION_QUALITY {
                return None;
            }
            let updates = report
                .qualities
                .into_iter()
                .map(|one| quality(one, protocol))
                .collect();
            To::ConnectionQuality(lk::ConnectionQualityUpdate { updates })
        }
        Kind::StreamStates(states) => To::StreamStateUpdate(lk::StreamStateUpdate {
            stream_states: states.states.into_iter().map(stream_state).collect(),
        }),
        Kind::SubscribedQuality(wanted) => To::SubscribedQualityUpdate(subscribed(wanted)),
        Kind::PermissionChanged(changed) => {
            To::SubscriptionPermissionUpdate(lk::SubscriptionPermissionUpdate {
                participant_sid: changed.participant_id,
                track_sid: changed.track_id,
                allowed: changed.allowed,
            })
        }
        Kind::SubscriptionFailed(failed) => To::SubscriptionResponse(subscription_failed(failed)),
        Kind::TrackSubscribed(subscribed) => To::TrackSubscribed(lk::TrackSubscribed {
            track_sid: subscribed.track_id,
        }),
        Kind::RequestResponse(answer) => request_response(answer, protocol)?,
        Kind::Mute(mute) => To::Mute(lk::MuteTrackRequest {
            sid: mute.track_id,
            muted: mute.muted,
        }),
    })
}

/// The message that ends a connection; `None` for clients that would read more into it than is
/// meant.
pub(crate) fn leave(
    action: CloseAction,
    reason: lk::DisconnectReason,
    protocol: i32,
) -> Option<lk::LeaveRequest> {
    if protocol < since::LEAVE_ACTION {
        // Those clients know one flag, "join anew"; to come back and resume they need only be
        // dropped.
        return (action != CloseAction::Resume).then(|| lk::LeaveRequest {
            can_reconnect: action == CloseAction::Reconnect,
            reason: reason.into(),
            ..Default::default()
        });
    }
    let action = match action {
        CloseAction::Disconnect => lk::leave_request::Action::Disconnect,
        CloseAction::Resume => lk::leave_request::Action::Resume,
        CloseAction::Reconnect => lk::leave_request::Action::Reconnect,
    };
    Some(lk::LeaveRequest {
        can_reconnect: action == lk::leave_request::Action::Reconnect,
        reason: reason.into(),
        action: action.into(),
        regions: None,
    })
}

fn description_message(description: node::Description) -> Option<To> {
    let role = description.role();
    let is_offer = description.is_offer;
    let sdp = description_out(description);
    match (is_offer, role) {
        (true, node::TransportRole::Subscribe) => Some(To::Offer(sdp)),
        (false, node::TransportRole::Publish) => Some(To::Answer(sdp)),
        // With two connections each has a fixed side that offers; a client could not place this.
        (true, node::TransportRole::Publish) | (false, node::TransportRole::Subscribe) => None,
    }
}

fn speaker(speaker: Speaker) -> lk::SpeakerInfo {
    lk::SpeakerInfo {
        sid: speaker.participant_id,
        level: speaker.level,
        active: speaker.active,
    }
}

fn quality(one: node::ParticipantQuality, protocol: i32) -> lk::ConnectionQualityInfo {
    let quality = match one.quality() {
        ConnectionQuality::Excellent => lk::ConnectionQuality::Excellent,
        ConnectionQuality::Good => lk::ConnectionQuality::Good,
        ConnectionQuality::Lost if protocol >= since::QUALITY_LOST => lk::ConnectionQuality::Lost,
        ConnectionQuality::Lost | ConnectionQuality::Poor => lk::ConnectionQuality::Poor,
    };
    lk::ConnectionQualityInfo {
        participant_sid: one.participant_id,
        quality: quality.into(),
        score: one.score,
    }
}

fn stream_state(state: node::StreamState) -> lk::StreamStateInfo {
    lk::StreamStateInfo {
        participant_sid: state.participant_id,
        track_sid: state.track_id,
        state: if state.paused {
            lk::StreamState::Paused
        } else {
            lk::StreamState::Active
        }
        .into(),
    }
}

#[expect(
    deprecated,
    reason = "older SDKs read only the qualities of the first codec"
)]
fn subscribed(wanted: node::SubscribedQuality) -> lk::SubscribedQualityUpdate {
    let subscribed_codecs: Vec<_> = wanted
        .codecs
        .into_iter()
        .map(|codec| lk::SubscribedCodec {
            codec: codec_name::plain(&codec.codec).to_ascii_lowercase(),
            qualities: codec
                .qualities
                .into_iter()
                .map(|step| lk::SubscribedQuality {
                    quality: quality_out(step.quality()).into(),
                    enabled: step.enabled,
                })
                .collect(),
        })
        .collect();
    lk::SubscribedQualityUpdate {
        track_sid: wanted.track_id,
        subscribed_qualities: subscribed_codecs
            .first()
            .map(|codec| codec.qualities.clone())
            .unwrap_or_default(),
        subscribed_codecs,
    }
}

fn subscription_failed(failed: node::SubscriptionFailed) -> lk::SubscriptionResponse {
    let err = match failed.error() {
        node::SubscriptionError::SubscriptionUnknown => lk::SubscriptionError::SeUnknown,
        node::SubscriptionError::CodecUnsupported => lk::SubscriptionError::SeCodecUnsupported,
        node::SubscriptionError::TrackNotFound => lk::SubscriptionError::SeTrackNotfound,
    };
    lk::SubscriptionResponse {
        track_sid: failed.track_id,
        err: err.into(),
    }
}

fn request_response(answer: node::RequestResponse, protocol: i32) -> Option<To> {
    use request_response::Reason;
    let reason = match answer.reason() {
        node::RequestReason::Ok if protocol < since::OK_RESPONSES => return None,
        node::RequestReason::Ok => Reason::Ok,
        node::RequestReason::NotFound => Reason::NotFound,
        node::RequestReason::NotAllowed => Reason::NotAllowed,
        node::RequestReason::Limit => Reason::LimitExceeded,
        node::RequestReason::Queued => Reason::Queued,
        node::RequestReason::Unsupported => Reason::UnsupportedType,
        node::RequestReason::Invalid => Reason::InvalidRequest,
    };
    let request = (!answer.cid.is_empty()).then(|| {
        let refused = lk::AddTrackRequest {
            cid: answer.cid,
            ..Default::default()
        };
        request_response::Request::AddTrack(refused)
    });
    Some(To::RequestResponse(lk::RequestResponse {
        request_id: answer.request_id,
        reason: reason.into(),
        message: answer.message,
        request,
    }))
}

#[cfg(test)]
mod tests;
