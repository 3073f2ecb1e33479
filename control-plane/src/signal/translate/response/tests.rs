//! Events of the node in, messages for clients out.

use plenum_proto::{node::TransportRole, v1};

use super::*;

mod reasons;

const NEW: i32 = 17;

#[test]
fn events_become_messages() {
    let cases = [
        (
            Kind::TrackPublished(node::TrackPublished {
                cid: "c".into(),
                track: Some(v1::Track {
                    id: "TR_a".into(),
                    ..Default::default()
                }),
            }),
            To::TrackPublished(lk::TrackPublishedResponse {
                cid: "c".into(),
                track: Some(lk::TrackInfo {
                    sid: "TR_a".into(),
                    ..Default::default()
                }),
            }),
        ),
        (
            Kind::TrackUnpublished(node::TrackUnpublished {
                track_id: "TR_a".into(),
            }),
            To::TrackUnpublished(lk::TrackUnpublishedResponse {
                track_sid: "TR_a".into(),
            }),
        ),
        (
            Kind::Mute(node::Mute {
                track_id: "TR_a".into(),
                muted: true,
            }),
            To::Mute(lk::MuteTrackRequest {
                sid: "TR_a".into(),
                muted: true,
            }),
        ),
        (
            Kind::Participants(node::Participants {
                participants: vec![v1::Participant {
                    id: "PA_x".into(),
                    ..Default::default()
                }],
            }),
            To::Update(lk::ParticipantUpdate {
                participants: vec![lk::ParticipantInfo {
                    sid: "PA_x".into(),
                    ..Default::default()
                }],
            }),
        ),
    ];
    for (event, expected) in cases {
        assert_eq!(response(event, NEW), Some(expected));
    }
}

#[test]
fn changes_of_room_and_rights_become_messages() {
    let cases = [
        (
            Kind::Room(v1::Room {
                id: "RM_r".into(),
                metadata: "m".into(),
                ..Default::default()
            }),
            To::RoomUpdate(lk::RoomUpdate {
                room: Some(lk::Room {
                    sid: "RM_r".into(),
                    metadata: "m".into(),
                    ..Default::default()
                }),
            }),
        ),
        (
            Kind::TrackSubscribed(node::TrackSubscribed {
                track_id: "TR_a".into(),
            }),
            To::TrackSubscribed(lk::TrackSubscribed {
                track_sid: "TR_a".into(),
            }),
        ),
        (
            Kind::PermissionChanged(node::PermissionChanged {
                participant_id: "PA_x".into(),
                track_id: "TR_a".into(),
                allowed: true,
            }),
            To::SubscriptionPermissionUpdate(lk::SubscriptionPermissionUpdate {
                participant_sid: "PA_x".into(),
                track_sid: "TR_a".into(),
                allowed: true,
            }),
        ),
    ];
    for (event, expected) in cases {
        assert_eq!(response(event, NEW), Some(expected));
    }
}

#[test]
fn measures_become_messages() {
    let cases = [
        (
            Kind::Speakers(v1::SpeakersChanged {
                speakers: vec![Speaker {
                    participant_id: "PA_x".into(),
                    identity: "ann".into(),
                    level: 0.5,
                    active: true,
                }],
            }),
            To::SpeakersChanged(lk::SpeakersChanged {
                speakers: vec![lk::SpeakerInfo {
                    sid: "PA_x".into(),
                    level: 0.5,
                    active: true,
                }],
            }),
        ),
        (
            Kind::StreamStates(node::StreamStates {
                states: vec![
                    node::StreamState {
                        participant_id: "PA_x".into(),
                        track_id: "TR_a".into(),
                        paused: true,
                    },
                    node::StreamState::default(),
                ],
            }),
            To::StreamStateUpdate(lk::StreamStateUpdate {
                stream_states: vec![
                    lk::StreamStateInfo {
                        participant_sid: "PA_x".into(),
                        track_sid: "TR_a".into(),
                        state: lk::StreamState::Paused.into(),
                    },
                    lk::StreamStateInfo {
                        state: lk::StreamState::Active.into(),
                        ..Default::default()
                    },
                ],
            }),
        ),
    ];
    for (event, expected) in cases {
        assert_eq!(response(event, NEW), Some(expected));
    }
}

#[test]
fn descriptions_go_only_where_a_client_can_place_them() {
    for (is_offer, role, expected) in [
        (true, TransportRole::Subscribe, Some("offer")),
        (false, TransportRole::Publish, Some("answer")),
        (true, TransportRole::Publish, None),
        (false, TransportRole::Subscribe, None),
    ] {
        let description = node::Description {
            role: role.into(),
            is_offer,
            sdp: "v=0".into(),
            id: 4,
            track_by_mid: [("0".to_owned(), "TR_a".to_owned())].into(),
        };
        let sdp = |kind: &str| lk::SessionDescription {
            r#type: kind.into(),
            sdp: "v=0".into(),
            id: 4,
            mid_to_track_id: [("0".to_owned(), "TR_a".to_owned())].into(),
        };
        let expected = expected.map(|kind| match kind {
            "offer" => To::Offer(sdp(kind)),
            _ => To::Answer(sdp(kind)),
        });
        assert_eq!(
            response(Kind::Description(description), NEW),
            expected,
            "{is_offer} {role:?}"
        );
    }
}

#[test]
#[expect(
    deprecated,
    reason = "older SDKs read only the qualities of the first codec"
)]
fn wanted_qualities_are_said_in_both_forms() {
    let step = |quality: v1::VideoQuality, enabled| node::QualityEnabled {
        quality: quality.into(),
        enabled,
    };
    let event = Kind::SubscribedQuality(node::SubscribedQuality {
        track_id: "TR_a".into(),
        codecs: vec![
            node::CodecQualities {
                codec: "video/VP8".into(),
                qualities: vec![
                    step(v1::VideoQuality::Low, true),
                    step(v1::VideoQuality::High, false),
                ],
            },
            node::CodecQualities {
                codec: "av1".into(),
                qualities: Vec::new(),
            },
        ],
    });
    let qualities = vec![
        lk::SubscribedQuality {
            quality: lk::VideoQuality::Low.into(),
            enabled: true,
        },
        lk::SubscribedQuality {
            quality: lk::VideoQuality::High.into(),
            enabled: false,
        },
    ];
    let expected = To::SubscribedQualityUpdate(lk::SubscribedQualityUpdate {
        track_sid: "TR_a".into(),
        subscribed_qualities: qualities.clone(),
        subscribed_codecs: vec![
            lk::SubscribedCodec {
                codec: "vp8".into(),
                qualities,
            },
            lk::SubscribedCodec {
                codec: "av1".into(),
                qualities: Vec::new(),
            },
        ],
    });
    assert_eq!(response(event, NEW), Some(expected));
}

#[test]
fn quality_is_said_as_the_client_understands_it() {
    use lk::ConnectionQuality as Said;
    for (quality, protocol, expected) in [
        (ConnectionQuality::Excellent, 17, Some(Said::Excellent)),
        (ConnectionQuality::Good, 17, Some(Said::Good)),
        (ConnectionQuality::Poor, 17, Some(Said::Poor)),
        (ConnectionQuality::Lost, 17, Some(Said::Lost)),
        (ConnectionQuality::Lost, 10, Some(Said::Poor)),
        (ConnectionQuality::Good, 4, None),
    ] {
        let event = Kind::Quality(node::QualityReport {
            qualities: vec![node::ParticipantQuality {
                participant_id: "PA_x".into(),
                quality: quality.into(),
                score: 4.5,
                uplink: None,
            }],
        });
        let expected = expected.map(|quality| {
            To::ConnectionQuality(lk::ConnectionQualityUpdate {
                updates: vec![lk::ConnectionQualityInfo {
                    participant_sid: "PA_x".into(),
                    quality: quality.into(),
                    score: 4.5,
                }],
            })
        });
        assert_eq!(
            response(event, protocol),
            expected,
            "{quality:?} at {protocol}"
        );
    }
}
