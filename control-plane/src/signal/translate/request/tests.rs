//! Client messages in, requests to the node out.

use livekit_protocol as lk;
use plenum_proto::v1;

use super::*;

mod answered;

const NOW_MS: i64 = 1_800_000_000_123;

fn to_node(message: From) -> Kind {
    match request(message, NOW_MS) {
        Translated::Node(kind) => *kind,
        other => panic!("{other:?} is not for the node"),
    }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn requests_for_the_node() {
    let sdp = lk::SessionDescription {
        sdp: "v=0".into(),
        id: 3,
        ..Default::default()
    };
    let description = |is_offer, role: node::TransportRole| {
        Kind::Description(node::Description {
            role: role.into(),
            is_offer,
            sdp: "v=0".into(),
            id: 3,
            ..Default::default()
        })
    };
    let cases = [
        (
            From::Offer(sdp.clone()),
            description(true, node::TransportRole::Publish),
        ),
        (
            From::Answer(sdp),
            description(false, node::TransportRole::Subscribe),
        ),
        (
            From::Trickle(lk::TrickleRequest {
                candidate_init: r#"{"candidate":"candidate:1","sdpMid":"0"}"#.into(),
                target: lk::SignalTarget::Subscriber.into(),
                r#final: false,
            }),
            Kind::Candidate(node::Candidate {
                role: node::TransportRole::Subscribe.into(),
                candidate: "candidate:1".into(),
                mid: "0".into(),
                last: false,
            }),
        ),
        (
            From::Mute(lk::MuteTrackRequest {
                sid: "TR_a".into(),
                muted: true,
            }),
            Kind::Mute(node::Mute {
                track_id: "TR_a".into(),
                muted: true,
            }),
        ),
    ];
    for (message, expected) in cases {
        assert_eq!(to_node(message), expected);
    }
}

#[test]
fn changes_of_a_track_for_the_node() {
    let cases = [
        (
            From::UpdateAudioTrack(lk::UpdateLocalAudioTrack {
                track_sid: "TR_a".into(),
                features: vec![3, 99],
            }),
            Kind::UpdateTrack(node::UpdateTrack {
                track_id: "TR_a".into(),
                has_audio_features: true,
                audio_features: vec![3],
                ..Default::default()
            }),
        ),
        (
            From::UpdateVideoTrack(lk::UpdateLocalVideoTrack {
                track_sid: "TR_a".into(),
                width: 1280,
                height: 720,
            }),
            Kind::UpdateTrack(node::UpdateTrack {
                track_id: "TR_a".into(),
                width: Some(1280),
                height: Some(720),
                ..Default::default()
            }),
        ),
    ];
    for (message, expected) in cases {
        assert_eq!(to_node(message), expected);
    }
}

#[test]
fn subscriptions_and_settings_for_the_node() {
    let cases = [
        (
            From::Subscription(lk::UpdateSubscription {
                track_sids: texts(&["TR_a", "TR_b"]),
                subscribe: true,
                participant_tracks: vec![lk::ParticipantTracks {
                    participant_sid: "PA_x".into(),
                    track_sids: texts(&["TR_c"]),
                }],
            }),
            Kind::Subscribe(node::Subscribe {
                track_ids: texts(&["TR_a", "TR_b"]),
                participants: vec![node::ParticipantTracks {
                    participant_id: "PA_x".into(),
                    track_ids: texts(&["TR_c"]),
                }],
                subscribe: true,
            }),
        ),
        (
            From::TrackSetting(lk::UpdateTrackSettings {
                track_sids: texts(&["TR_a"]),
                disabled: true,
                quality: lk::VideoQuality::High.into(),
                width: 640,
                height: 360,
                fps: 15,
                priority: 2,
            }),
            Kind::TrackSettings(node::TrackSettings {
                track_ids: texts(&["TR_a"]),
                disabled: true,
                quality: v1::VideoQuality::High.into(),
                width: 640,
                height: 360,
                fps: 15,
                priority: 2,
            }),
        ),
        (
            From::SubscriptionPermission(lk::SubscriptionPermission {
                all_participants: false,
                track_permissions: vec![lk::TrackPermission {
                    participant_sid: "PA_x".into(),
                    all_tracks: true,
                    track_sids: texts(&["TR_a"]),
                    participant_identity: "ann".into(),
                }],
            }),
            Kind::SubscriptionPermission(node::SubscriptionPermission {
                all_participants: false,
                permissions: vec![node::TrackPermission {
                    participant_id: "PA_x".into(),
                    identity: "ann".into(),
                    all_tracks: true,
                    track_ids: texts(&["TR_a"]),
                }],
            }),
        ),
    ];
    for (message, expected) in cases {
        assert_eq!(to_node(message), expected);
    }
}

#[test]
fn own_data_changes_only_where_something_is_said() {
    for (name, metadata, expected_name, expected_metadata) in [
        ("", "", None, None),
        ("Ann", "", Some("Ann"), None),
        ("", "m", None, Some("m")),
    ] {
        let message = From::UpdateMetadata(lk::UpdateParticipantMetadata {
            metadata: metadata.into(),
            name: name.into(),
            attributes: [("a".to_owned(), String::new())].into(),
            request_id: 7,
        });
        let expected = node::UpdateOwn {
            request_id: 7,
            name: expected_name.map(str::to_owned),
            metadata: expected_metadata.map(str::to_owned),
            attributes: [("a".to_owned(), String::new())].into(),
        };
        assert_eq!(to_node(message), Kind::UpdateOwn(expected));
    }
}

#[test]
fn a_resume_tells_what_the_client_still_holds() {
    let sdp = |sdp: &str| lk::SessionDescription {
        sdp: sdp.into(),
        ..Default::default()
    };
    let message = From::SyncState(lk::SyncState {
        answer: Some(sdp("answer")),
        offer: Some(sdp("offer")),
        subscription: Some(lk::UpdateSubscription {
            track_sids: texts(&["TR_a"]),
            ..Default::default()
        }),
        publish_tracks: vec![lk::TrackPublishedResponse {
            cid: "c".into(),
            track: Some(lk::TrackInfo {
                sid: "TR_b".into(),
                ..Default::default()
            }),
        }],
        track_sids_disabled: texts(&["TR_c"]),
        ..Default::default()
    });
    let expected = node::SyncState {
        subscriber_answer: Some(node::Description {
            role: node::TransportRole::Subscribe.into(),
            sdp: "answer".into(),
            ..Default::default()
        }),
        publisher_offer: Some(node::Description {
            role: node::TransportRole::Publish.into(),
            is_offer: true,
            sdp: "offer".into(),
            ..Default::default()
        }),
        subscription: Some(node::Subscribe {
            track_ids: texts(&["TR_a"]),
            ..Default::default()
        }),
        tracks: vec![node::PublishedCid {
            cid: "c".into(),
            track_id: "TR_b".into(),
        }],
        disabled_track_ids: texts(&["TR_c"]),
    };
    assert_eq!(to_node(message), Kind::SyncState(expected));
}

#[test]
fn faults_asked_for_by_test_suites() {
    use node::simulate::Kind as Fault;
    for (scenario, expected) in [
        (Scenario::SpeakerUpdate(3), Fault::SpeakerSeconds(3)),
        (Scenario::SpeakerUpdate(-3), Fault::SpeakerSeconds(0)),
        (Scenario::NodeFailure(true), Fault::NodeFailure(true)),
        (Scenario::Migration(true), Fault::Migration(true)),
        (Scenario::ServerLeave(true), Fault::NodeLeave(true)),
        (
            Scenario::SwitchCandidateProtocol(2),
            Fault::CandidateProtocol(2),
        ),
        (
            Scenario::SubscriberBandwidth(500_000),
            Fault::SubscriberBandwidth(500_000),
        ),
        (
            Scenario::SubscriberBandwidth(-1),
            Fault::SubscriberBandwidth(0),
        ),
        (
            Scenario::DisconnectSignalOnResume(true),
            Fault::DisconnectSignalOnResume(true),
        ),
        (
            Scenario::DisconnectSignalOnResumeNoMessages(true),
            Fault::DisconnectSignalOnResumeNoMessages(true),
        ),
        (
            Scenario::LeaveRequestFullReconnect(true),
            Fault::LeaveFullReconnect(true),
        ),
    ] {
        let message = From::Simulate(lk::SimulateScenario {
            scenario: Some(scenario),
        });
        assert_eq!(
            to_node(message),
            Kind::Simulate(node::Simulate {
                kind: Some(expected)
            })
        );
    }
}
