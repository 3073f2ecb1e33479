//! Rooms, participants and tracks in the words of the protocol that server SDKs speak. Must not filter or
//! decide.
//!
//! Most enumerations have the same numbers in both models (a test holds them to it), so the numbers go
//! over as they are; a number that the other side does not know becomes 0, because its JSON writer
//! would refuse the whole message.

use livekit_protocol as lk;
use plenum_proto::v1;
use prost_types::{Duration, Timestamp};

pub(super) fn room(room: v1::Room) -> lk::Room {
    lk::Room {
        sid: room.id,
        name: room.name,
        empty_timeout: seconds(room.empty_timeout),
        departure_timeout: seconds(room.departure_timeout),
        max_participants: room.max_participants,
        creation_time: room.created_at.map_or(0, |at| at.seconds),
        creation_time_ms: room.created_at.map_or(0, millis),
        metadata: room.metadata,
        num_participants: room.num_participants,
        num_publishers: room.num_publishers,
        ..lk::Room::default()
    }
}

pub(super) fn participant(of: v1::Participant) -> lk::ParticipantInfo {
    let is_agent = of.kind() == v1::ParticipantKind::Agent;
    let reason = disconnect_reason(of.close_reason());
    lk::ParticipantInfo {
        sid: of.id,
        identity: of.identity,
        state: number::<lk::participant_info::State>(of.state),
        metadata: of.metadata,
        joined_at: of.joined_at.map_or(0, |at| at.seconds),
        joined_at_ms: of.joined_at.map_or(0, millis),
        name: of.name,
        version: of.version,
        permission: of.permissions.map(|granted| permission(granted, is_agent)),
        is_publisher: !of.tracks.is_empty(),
        kind: number::<lk::participant_info::Kind>(of.kind),
        attributes: of.attributes.into_iter().collect(),
        disconnect_reason: reason.into(),
        tracks: of.tracks.into_iter().map(track).collect(),
        client_protocol: of.client_protocol,
        capabilities: numbers::<lk::client_info::Capability>(of.capabilities),
        ..lk::ParticipantInfo::default()
    }
}

#[expect(deprecated, reason = "older SDKs read only the deprecated fields")]
pub(super) fn track(of: v1::Track) -> lk::TrackInfo {
    lk::TrackInfo {
        sid: of.id,
        r#type: number::<lk::TrackType>(of.kind),
        name: of.name,
        muted: of.muted,
        width: of.width,
        height: of.height,
        simulcast: of.simulcast,
        disable_dtx: of.disable_dtx,
        source: number::<lk::TrackSource>(of.source),
        layers: of.layers.into_iter().map(layer).collect(),
        mime_type: of.mime,
        mid: of.mid,
        codecs: of.codecs.into_iter().map(codec).collect(),
        stereo: of.stereo,
        disable_red: of.disable_red,
        encryption: number::<lk::encryption::Type>(of.encryption),
        stream: of.stream,
        audio_features: numbers::<lk::AudioTrackFeature>(of.audio_features),
        backup_codec_policy: number::<lk::BackupCodecPolicy>(of.backup_codec_policy),
        packet_trailer_features: numbers::<lk::PacketTrailerFeature>(of.packet_trailer_features),
        ..lk::TrackInfo::default()
    }
}

/// What an SDK asks for; sources that do not exist are refused with the request.
#[expect(deprecated, reason = "the recorder flag is still in use")]
pub(super) fn permissions(wanted: lk::ParticipantPermission) -> v1::Permissions {
    v1::Permissions {
        can_subscribe: wanted.can_subscribe,
        can_publish: wanted.can_publish,
        can_publish_data: wanted.can_publish_data,
        can_publish_sources: wanted.can_publish_sources,
        hidden: wanted.hidden,
        recorder: wanted.recorder,
        can_update_metadata: wanted.can_update_metadata,
        can_subscribe_metrics: wanted.can_subscribe_metrics,
    }
}

#[expect(deprecated, reason = "older SDKs read recorder and agent here")]
fn permission(granted: v1::Permissions, is_agent: bool) -> lk::ParticipantPermission {
    lk::ParticipantPermission {
        can_subscribe: granted.can_subscribe,
        can_publish: granted.can_publish,
        can_publish_data: granted.can_publish_data,
        can_publish_sources: numbers::<lk::TrackSource>(granted.can_publish_sources),
        hidden: granted.hidden,
        recorder: granted.recorder,
        can_update_metadata: granted.can_update_metadata,
        agent: is_agent,
        can_subscribe_metrics: granted.can_subscribe_metrics,
        can_manage_agent_session: false,
    }
}

fn codec(of: v1::TrackCodec) -> lk::SimulcastCodecInfo {
    lk::SimulcastCodecInfo {
        mime_type: of.mime,
        mid: of.mid,
        cid: of.cid,
        layers: of.layers.into_iter().map(layer).collect(),
        ..lk::SimulcastCodecInfo::default()
    }
}

fn layer(of: v1::VideoLayer) -> lk::VideoLayer {
    lk::VideoLayer {
        quality: number::<lk::VideoQuality>(of.quality),
        width: of.width,
        height: of.height,
        bitrate: of.bitrate,
        ssrc: of.ssrc,
        spatial_layer: of.spatial_layer,
        rid: of.rid,
        ..lk::VideoLayer::default()
    }
}

/// The one enumeration that is numbered differently.
fn disconnect_reason(reason: v1::CloseReason) -> lk::DisconnectReason {
    match reason {
        v1::CloseReason::ConnectionTimeout => lk::DisconnectReason::ConnectionTimeout,
        v1::CloseReason::MediaFailure => lk::DisconnectReason::MediaFailure,
        // The protocol has no word for it; it amounts to being removed.
        v1::CloseReason::LimitExceeded => lk::DisconnectReason::ParticipantRemoved,
        // Up to ROOM_CLOSED the numbers agree.
        other => lk::DisconnectReason::try_from(i32::from(other)).unwrap_or_default(),
    }
}

fn number<E: TryFrom<i32>>(number: i32) -> i32 {
    if E::try_from(number).is_ok() {
        number
    } else {
        0
    }
}

fn numbers<E: TryFrom<i32>>(numbers: Vec<i32>) -> Vec<i32> {
    numbers
        .into_iter()
        .filter(|number| E::try_from(*number).is_ok())
        .collect()
}

fn seconds(duration: Option<Duration>) -> u32 {
    duration.map_or(0, |duration| {
        u32::try_from(duration.seconds).unwrap_or_default()
    })
}

fn millis(at: Timestamp) -> i64 {
    at.seconds
        .saturating_mul(1000)
        .saturating_add(i64::from(at.nanos / 1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every number up to 15 that both know has one name in both, whatever the prefix.
    fn agree(
        ours: impl Fn(i32) -> Option<&'static str>,
        theirs: impl Fn(i32) -> Option<&'static str>,
    ) {
        let mut names = 0;
        for number in 0..16 {
            if let (Some(ours), Some(theirs)) = (ours(number), theirs(number)) {
                let (ours, theirs) = (ours.replace("SOURCE_", ""), theirs.replace("TP_", ""));
                assert_eq!(ours, theirs, "{number}");
                names += 1;
            }
        }
        assert!(names > 1);
    }

    macro_rules! agree {
        ($ours:ty, $theirs:ty) => {
            agree(
                |number| {
                    <$ours>::try_from(number)
                        .ok()
                        .map(|value| value.as_str_name())
                },
                |number| {
                    <$theirs>::try_from(number)
                        .ok()
                        .map(|value| value.as_str_name())
                },
            );
        };
    }

    #[test]
    fn enumerations_have_the_same_numbers() {
        agree!(v1::ParticipantState, lk::participant_info::State);
        agree!(v1::ParticipantKind, lk::participant_info::Kind);
        agree!(v1::TrackKind, lk::TrackType);
        agree!(v1::TrackSource, lk::TrackSource);
        agree!(v1::VideoQuality, lk::VideoQuality);
        agree!(v1::Encryption, lk::encryption::Type);
    }

    #[test]
    fn every_reason_to_close_has_its_word() {
        use v1::CloseReason as Ours;
        for (ours, theirs) in [
            (Ours::ReasonUnknown, "UNKNOWN_REASON"),
            (Ours::ClientInitiated, "CLIENT_INITIATED"),
            (Ours::DuplicateIdentity, "DUPLICATE_IDENTITY"),
            (Ours::NodeShutdown, "SERVER_SHUTDOWN"),
            (Ours::ParticipantRemoved, "PARTICIPANT_REMOVED"),
            (Ours::RoomDeleted, "ROOM_DELETED"),
            (Ours::StateMismatch, "STATE_MISMATCH"),
            (Ours::JoinFailure, "JOIN_FAILURE"),
            (Ours::Migration, "MIGRATION"),
            (Ours::SignalClosed, "SIGNAL_CLOSE"),
            (Ours::RoomClosed, "ROOM_CLOSED"),
            (Ours::ConnectionTimeout, "CONNECTION_TIMEOUT"),
            (Ours::MediaFailure, "MEDIA_FAILURE"),
            (Ours::LimitExceeded, "PARTICIPANT_REMOVED"),
        ] {
            assert_eq!(disconnect_reason(ours).as_str_name(), theirs);
        }
    }

    #[test]
    fn a_participant_goes_over_whole() {
        let of = v1::Participant {
            id: "PA_a".into(),
            identity: "ada".into(),
            joined_at: Some(Timestamp {
                seconds: 5,
                nanos: 7_000_000,
            }),
            tracks: vec![v1::Track {
                id: "TR_a".into(),
                kind: 1,
                source: 99,
                ..Default::default()
            }],
            permissions: Some(v1::Permissions {
                can_publish: true,
                ..Default::default()
            }),
            ..Default::default()
        };
        let seen = participant(of);
        assert_eq!((seen.joined_at, seen.joined_at_ms), (5, 5007));
        assert!(seen.is_publisher && seen.permission.unwrap().can_publish);
        assert_eq!((seen.tracks[0].r#type, seen.tracks[0].source), (1, 0));
    }
}
