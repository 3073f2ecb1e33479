//! What clients say, as requests to the node. A pure function: time comes in as an argument. Must
//! not judge permission or state: the node does.

use livekit_protocol::{
    self as lk, request_response, signal_request::Message as From, signal_response::Message as To,
    simulate_scenario::Scenario,
};
use plenum_proto::{
    node::{self, session_request::Kind},
    v1::CloseReason,
};

use super::{
    description::{candidate_in, description_in},
    known,
    model::close_reason,
    track::{quality_in, track_in},
};

/// What is to be done about a message of a client.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Translated {
    /// Pass it on.
    Node(Box<Kind>),
    /// Answer it here.
    Reply(Box<To>),
    /// The client goes.
    Leave(CloseReason),
    /// Do nothing; says why, for counters and debug logs.
    Ignored(&'static str),
}

/// Translates one message; `now_ms` is the time since the epoch in milliseconds.
#[expect(deprecated, reason = "old clients still send what is ignored here")]
pub(crate) fn request(message: From, now_ms: i64) -> Translated {
    let kind = match message {
        From::Offer(sdp) => Kind::Description(description_in(true, sdp)),
        From::Answer(sdp) => Kind::Description(description_in(false, sdp)),
        From::Trickle(trickle) => match candidate_in(&trickle) {
            Ok(candidate) => Kind::Candidate(candidate),
            Err(_) => return Translated::Ignored("bad_candidate"),
        },
        From::AddTrack(request) => return add_track(request),
        From::Mute(mute) => Kind::Mute(node::Mute {
            track_id: mute.sid,
            muted: mute.muted,
        }),
        From::Subscription(subscription) => Kind::Subscribe(subscribe(subscription)),
        From::TrackSetting(settings) => Kind::TrackSettings(track_settings(settings)),
        From::Leave(leave) => return Translated::Leave(close_reason(leave.reason())),
        From::SubscriptionPermission(permission) => {
            Kind::SubscriptionPermission(subscription_permission(permission))
        }
        From::SyncState(state) => Kind::SyncState(sync_state(state)),
        From::Simulate(scenario) => match simulate(scenario) {
            Some(fault) => Kind::Simulate(node::Simulate { kind: Some(fault) }),
            None => return Translated::Ignored("unknown_scenario"),
        },
        From::Ping(_) => return Translated::Reply(Box::new(To::Pong(now_ms))),
        From::PingReq(ping) => {
            let pong = lk::Pong {
                last_ping_timestamp: ping.timestamp,
                timestamp: now_ms,
            };
            return Translated::Reply(Box::new(To::PongResp(pong)));
        }
        From::UpdateMetadata(update) => Kind::UpdateOwn(update_own(update)),
        From::UpdateAudioTrack(update) => Kind::UpdateTrack(node::UpdateTrack {
            track_id: update.track_sid,
            has_audio_features: true,
            audio_features: known::<lk::AudioTrackFeature>(&update.features),
            ..Default::default()
        }),
        From::UpdateVideoTrack(update) => Kind::UpdateTrack(node::UpdateTrack {
            track_id: update.track_sid,
            width: Some(update.width),
            height: Some(update.height),
            ..Default::default()
        }),
        // Deprecated: sizes come with add_track and update_video_track.
        From::UpdateLayers(_) => return Translated::Ignored("update_layers"),
        From::UpdateDataSubscription(_) => return Translated::Ignored("data_subscription"),
        From::PublishDataTrackRequest(request) => {
            return unsupported(
                0,
                Some(request_response::Request::PublishDataTrack(request)),
            );
        }
        From::UnpublishDataTrackRequest(request) => {
            return unsupported(
                0,
                Some(request_response::Request::UnpublishDataTrack(request)),
            );
        }
        From::StoreDataBlobRequest(request) => return unsupported(request.request_id, None),
        From::GetDataBlobRequest(request) => return unsupported(request.request_id, None),
    };
    Translated::Node(Box::new(kind))
}

fn add_track(request: lk::AddTrackRequest) -> Translated {
    let cid = request.cid.clone();
    let Some(track) = track_in(request) else {
        let refused = lk::AddTrackRequest {
            cid,
            ..Default::default()
        };
        return unsupported(0, Some(request_response::Request::AddTrack(refused)));
    };
    Translated::Node(Box::new(Kind::AddTrack(node::AddTrack {
        cid,
        track: Some(track),
    })))
}

fn unsupported(request_id: u32, request: Option<request_response::Request>) -> Translated {
    Translated::Reply(Box::new(To::RequestResponse(lk::RequestResponse {
        request_id,
        reason: request_response::Reason::UnsupportedType.into(),
        message: "not supported here".to_owned(),
        request,
    })))
}

fn subscribe(subscription: lk::UpdateSubscription) -> node::Subscribe {
    node::Subscribe {
        track_ids: subscription.track_sids,
        participants: subscription
            .participant_tracks
            .into_iter()
            .map(|tracks| node::ParticipantTracks {
                participant_id: tracks.participant_sid,
                track_ids: tracks.track_sids,
            })
            .collect(),
        subscribe: subscription.subscribe,
    }
}

fn track_settings(settings: lk::UpdateTrackSettings) -> node::TrackSettings {
    node::TrackSettings {
        quality: quality_in(settings.quality()).into(),
        track_ids: settings.track_sids,
        disabled: settings.disabled,
        width: settings.width,
        height: settings.height,
        fps: settings.fps,
        priority: settings.priority,
    }
}

fn subscription_permission(permission: lk::SubscriptionPermission) -> node::SubscriptionPermission {
    node::SubscriptionPermission {
        all_participants: permission.all_participants,
        permissions: permission
            .track_permissions
            .into_iter()
            .map(|one| node::TrackPermission {
                participant_id: one.participant_sid,
                identity: one.participant_identity,
                all_tracks: one.all_tracks,
                track_ids: one.track_sids,
            })
            .collect(),
    }
}

fn sync_state(state: lk::SyncState) -> node::SyncState {
    node::SyncState {
        subscriber_answer: state.answer.map(|sdp| description_in(false, sdp)),
        publisher_offer: state.offer.map(|sdp| description_in(true, sdp)),
        subscription: state.subscription.map(subscribe),
        tracks: state
            .publish_tracks
            .into_iter()
            .map(|published| node::PublishedCid {
                cid: published.cid,
                track_id: published.track.map(|track| track.sid).unwrap_or_default(),
            })
            .collect(),
        disabled_track_ids: state.track_sids_disabled,
    }
}

/// Empty texts mean "leave it as it is" in the client protocol.
fn update_own(update: lk::UpdateParticipantMetadata) -> node::UpdateOwn {
    node::UpdateOwn {
        request_id: update.request_id,
        name: (!update.name.is_empty()).then_some(update.name),
        metadata: (!update.metadata.is_empty()).then_some(update.metadata),
        attributes: update.attributes.into_iter().collect(),
    }
}

fn simulate(scenario: lk::SimulateScenario) -> Option<node::simulate::Kind> {
    use node::simulate::Kind as Fault;
    Some(match scenario.scenario? {
        Scenario::SpeakerUpdate(seconds) => {
            Fault::SpeakerSeconds(u32::try_from(seconds).unwrap_or_default())
        }
        Scenario::NodeFailure(is_on) => Fault::NodeFailure(is_on),
        Scenario::Migration(is_on) => Fault::Migration(is_on),
        Scenario::ServerLeave(is_on) => Fault::NodeLeave(is_on),
        Scenario::SwitchCandidateProtocol(protocol) => {
            Fault::CandidateProtocol(u32::try_from(protocol).unwrap_or_default())
        }
        Scenario::SubscriberBandwidth(bits_per_second) => {
            Fault::SubscriberBandwidth(u64::try_from(bits_per_second).unwrap_or_default())
        }
        Scenario::DisconnectSignalOnResume(is_on) => Fault::DisconnectSignalOnResume(is_on),
        Scenario::DisconnectSignalOnResumeNoMessages(is_on) => {
            Fault::DisconnectSignalOnResumeNoMessages(is_on)
        }
        Scenario::LeaveRequestFullReconnect(is_on) => Fault::LeaveFullReconnect(is_on),
    })
}

#[cfg(test)]
mod tests;
