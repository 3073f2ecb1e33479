//! Rooms, participants and tracks in, their client form out.

use livekit_protocol::AudioTrackFeature;

use super::*;
use crate::signal::translate::track::track_in;

fn at(seconds: i64, nanos: i32) -> Option<Timestamp> {
    Some(Timestamp { seconds, nanos })
}

#[test]
fn a_room_keeps_its_numbers() {
    let room = room(
        v1::Room {
            id: "RM_r".into(),
            name: "r".into(),
            metadata: "m".into(),
            empty_timeout: Some(Duration {
                seconds: 300,
                nanos: 0,
            }),
            departure_timeout: Some(Duration {
                seconds: -1,
                nanos: 0,
            }),
            max_participants: 9,
            created_at: at(1_800_000_000, 123_456_789),
            num_participants: 3,
            num_publishers: 2,
        },
        &["audio/opus".to_owned()],
    );
    let expected = lk::Room {
        sid: "RM_r".into(),
        name: "r".into(),
        metadata: "m".into(),
        empty_timeout: 300,
        departure_timeout: 0,
        max_participants: 9,
        creation_time: 1_800_000_000,
        creation_time_ms: 1_800_000_000_123,
        enabled_codecs: vec![lk::Codec {
            mime: "audio/opus".into(),
            fmtp_line: String::new(),
        }],
        num_participants: 3,
        num_publishers: 2,
        ..Default::default()
    };
    assert_eq!(room, expected);
}

#[test]
#[expect(
    deprecated,
    reason = "older SDKs read agent and recorder in the permission"
)]
fn a_participant_keeps_everything() {
    let participant = participant(v1::Participant {
        id: "PA_x".into(),
        identity: "ann".into(),
        name: "Ann".into(),
        metadata: "m".into(),
        attributes: [("a".to_owned(), "b".to_owned())].into(),
        state: ParticipantState::Active.into(),
        kind: ParticipantKind::Agent.into(),
        permissions: Some(v1::Permissions {
            can_subscribe: true,
            can_publish: true,
            can_publish_data: true,
            can_publish_sources: vec![v1::TrackSource::ScreenShare.into()],
            hidden: true,
            recorder: true,
            can_update_metadata: true,
            can_subscribe_metrics: true,
        }),
        tracks: vec![v1::Track {
            id: "TR_a".into(),
            ..Default::default()
        }],
        joined_at: at(1_800_000_000, 5_000_000),
        version: 4,
        close_reason: CloseReason::ReasonUnknown.into(),
        client_protocol: 2,
        capabilities: vec![1, 77],
        direct: true,
        forwarded: true,
    });
    let expected = lk::ParticipantInfo {
        sid: "PA_x".into(),
        identity: "ann".into(),
        state: participant_info::State::Active.into(),
        tracks: vec![lk::TrackInfo {
            sid: "TR_a".into(),
            ..Default::default()
        }],
        metadata: "m".into(),
        joined_at: 1_800_000_000,
        joined_at_ms: 1_800_000_000_005,
        name: "Ann".into(),
        version: 4,
        permission: Some(lk::ParticipantPermission {
            can_subscribe: true,
            can_publish: true,
            can_publish_data: true,
            can_publish_sources: vec![lk::TrackSource::ScreenShare.into()],
            hidden: true,
            recorder: true,
            can_update_metadata: true,
            agent: true,
            can_subscribe_metrics: true,
            can_manage_agent_session: false,
        }),
        is_publisher: true,
        kind: participant_info::Kind::Agent.into(),
        attributes: [("a".to_owned(), "b".to_owned())].into(),
        client_protocol: 2,
        capabilities: vec![1],
        kind_details: vec![KindDetail::Forwarded.into()],
        ..Default::default()
    };
    assert_eq!(participant, expected);
    assert!(serde_json::to_string(&participant).is_ok());
}

#[test]
fn states_and_kinds_have_their_counterpart() {
    for (state, expected) in [
        (ParticipantState::Joining, participant_info::State::Joining),
        (ParticipantState::Joined, participant_info::State::Joined),
        (ParticipantState::Active, participant_info::State::Active),
        (
            ParticipantState::Disconnected,
            participant_info::State::Disconnected,
        ),
    ] {
        let info = participant(v1::Participant {
            state: state.into(),
            ..Default::default()
        });
        assert_eq!(info.state(), expected);
    }
    for (kind, expected) in [
        (ParticipantKind::Standard, participant_info::Kind::Standard),
        (ParticipantKind::Ingress, participant_info::Kind::Ingress),
        (ParticipantKind::Egress, participant_info::Kind::Egress),
        (ParticipantKind::Sip, participant_info::Kind::Sip),
        (ParticipantKind::Agent, participant_info::Kind::Agent),
    ] {
        let info = participant(v1::Participant {
            kind: kind.into(),
            ..Default::default()
        });
        assert_eq!(info.kind(), expected);
    }
}

#[test]
fn reasons_have_their_counterpart() {
    use lk::DisconnectReason as To;
    for (reason, expected) in [
        (CloseReason::ReasonUnknown, To::UnknownReason),
        (CloseReason::ClientInitiated, To::ClientInitiated),
        (CloseReason::DuplicateIdentity, To::DuplicateIdentity),
        (CloseReason::NodeShutdown, To::ServerShutdown),
        (CloseReason::ParticipantRemoved, To::ParticipantRemoved),
        (CloseReason::RoomDeleted, To::RoomDeleted),
        (CloseReason::StateMismatch, To::StateMismatch),
        (CloseReason::JoinFailure, To::JoinFailure),
        (CloseReason::Migration, To::Migration),
        (CloseReason::SignalClosed, To::SignalClose),
        (CloseReason::RoomClosed, To::RoomClosed),
        (CloseReason::ConnectionTimeout, To::ConnectionTimeout),
        (CloseReason::MediaFailure, To::MediaFailure),
        (CloseReason::LimitExceeded, To::ParticipantRemoved),
    ] {
        assert_eq!(disconnect_reason(reason), expected);
    }
}

#[test]
#[expect(deprecated, reason = "older SDKs speak in the deprecated fields")]
fn a_track_comes_back_as_it_was_announced() {
    let layer = |quality: lk::VideoQuality, rid: &str| lk::VideoLayer {
        quality: quality.into(),
        width: 640,
        height: 360,
        bitrate: 500_000,
        ssrc: 7,
        spatial_layer: 1,
        rid: rid.into(),
        repair_ssrc: 0,
    };
    let layers = vec![
        layer(lk::VideoQuality::Low, "q"),
        layer(lk::VideoQuality::High, "f"),
    ];
    let track = track_in(lk::AddTrackRequest {
        cid: "c".into(),
        name: "camera".into(),
        r#type: lk::TrackType::Video.into(),
        width: 1280,
        height: 720,
        muted: true,
        source: lk::TrackSource::Camera.into(),
        layers: layers.clone(),
        simulcast_codecs: vec![lk::SimulcastCodec {
            codec: "vp8".into(),
            cid: "c".into(),
            layers: layers.clone(),
            video_layer_mode: 0,
        }],
        encryption: lk::encryption::Type::Gcm.into(),
        backup_codec_policy: lk::BackupCodecPolicy::Regression.into(),
        packet_trailer_features: vec![1, 55],
        ..Default::default()
    })
    .unwrap();
    assert!(track.simulcast);
    let expected = lk::TrackInfo {
        r#type: lk::TrackType::Video.into(),
        name: "camera".into(),
        muted: true,
        width: 1280,
        height: 720,
        simulcast: true,
        source: lk::TrackSource::Camera.into(),
        layers: layers.clone(),
        mime_type: "video/VP8".into(),
        codecs: vec![lk::SimulcastCodecInfo {
            mime_type: "video/VP8".into(),
            cid: "c".into(),
            layers,
            video_layer_mode: lk::video_layer::Mode::OneSpatialLayerPerStream.into(),
            ..Default::default()
        }],
        encryption: lk::encryption::Type::Gcm.into(),
        stream: "camera".into(),
        backup_codec_policy: lk::BackupCodecPolicy::Regression.into(),
        packet_trailer_features: vec![1],
        ..Default::default()
    };
    assert_eq!(track_out(track), expected);
}

#[test]
#[expect(deprecated, reason = "older SDKs speak in the deprecated fields")]
fn stereo_and_dtx_are_said_in_both_forms() {
    let stereo = i32::from(AudioTrackFeature::TfStereo);
    let no_dtx = i32::from(AudioTrackFeature::TfNoDtx);
    for (is_stereo, no_dtx_said, features, expected) in [
        (false, false, vec![], vec![]),
        (true, false, vec![], vec![stereo]),
        (false, true, vec![], vec![no_dtx]),
        (true, true, vec![stereo], vec![stereo, no_dtx]),
        (
            false,
            false,
            vec![stereo, no_dtx, 3, 99],
            vec![stereo, no_dtx, 3],
        ),
    ] {
        let track = track_in(lk::AddTrackRequest {
            stereo: is_stereo,
            disable_dtx: no_dtx_said,
            audio_features: features,
            ..Default::default()
        })
        .unwrap();
        assert_eq!(track.audio_features, expected);
        assert_eq!(track.stereo, expected.contains(&stereo));
        assert_eq!(track.disable_dtx, expected.contains(&no_dtx));
    }
}

#[test]
fn streams_group_what_is_played_in_sync() {
    for (source, said, expected) in [
        (lk::TrackSource::Camera, "", "camera"),
        (lk::TrackSource::Microphone, "", "camera"),
        (lk::TrackSource::ScreenShare, "", "screenshare"),
        (lk::TrackSource::ScreenShareAudio, "", "screenshare"),
        (lk::TrackSource::Unknown, "", "unknown"),
        (lk::TrackSource::Camera, "mine", "mine"),
    ] {
        let track = track_in(lk::AddTrackRequest {
            source: source.into(),
            stream: said.into(),
            ..Default::default()
        });
        assert_eq!(track.unwrap().stream, expected, "{source:?}");
    }
    let data = lk::AddTrackRequest {
        r#type: lk::TrackType::Data.into(),
        ..Default::default()
    };
    assert_eq!(track_in(data), None);
}
