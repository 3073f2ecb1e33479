//! Answers with a reason, and events that some clients are not told.

use super::*;

#[test]
fn answers_to_requests_keep_their_reason() {
    use node::RequestReason as From;
    use request_response::{Reason, Request};
    for (reason, protocol, expected) in [
        (From::Ok, 17, Some(Reason::Ok)),
        (From::Ok, 14, None),
        (From::NotFound, 14, Some(Reason::NotFound)),
        (From::NotAllowed, 17, Some(Reason::NotAllowed)),
        (From::Limit, 17, Some(Reason::LimitExceeded)),
        (From::Queued, 17, Some(Reason::Queued)),
        (From::Unsupported, 17, Some(Reason::UnsupportedType)),
        (From::Invalid, 17, Some(Reason::InvalidRequest)),
    ] {
        let event = Kind::RequestResponse(node::RequestResponse {
            request_id: 6,
            reason: reason.into(),
            message: "why".into(),
            cid: "c".into(),
        });
        let expected = expected.map(|reason| {
            let refused = lk::AddTrackRequest {
                cid: "c".into(),
                ..Default::default()
            };
            To::RequestResponse(lk::RequestResponse {
                request_id: 6,
                reason: reason.into(),
                message: "why".into(),
                request: Some(Request::AddTrack(refused)),
            })
        });
        assert_eq!(
            response(event, protocol),
            expected,
            "{reason:?} at {protocol}"
        );
    }
}

#[test]
fn failed_subscriptions_keep_their_reason() {
    for (error, expected) in [
        (
            node::SubscriptionError::SubscriptionUnknown,
            lk::SubscriptionError::SeUnknown,
        ),
        (
            node::SubscriptionError::CodecUnsupported,
            lk::SubscriptionError::SeCodecUnsupported,
        ),
        (
            node::SubscriptionError::TrackNotFound,
            lk::SubscriptionError::SeTrackNotfound,
        ),
    ] {
        let event = Kind::SubscriptionFailed(node::SubscriptionFailed {
            track_id: "TR_a".into(),
            error: error.into(),
        });
        let expected = lk::SubscriptionResponse {
            track_sid: "TR_a".into(),
            err: expected.into(),
        };
        assert_eq!(
            response(event, NEW),
            Some(To::SubscriptionResponse(expected))
        );
    }
}

#[test]
fn some_clients_are_not_told() {
    let unpublished = Kind::TrackUnpublished(node::TrackUnpublished {
        track_id: "TR_a".into(),
    });
    assert_eq!(response(unpublished, 6), None);
    for event in [
        Kind::Joined(node::Joined::default()),
        Kind::Resumed(node::Joined::default()),
        Kind::Closed(node::Closed::default()),
    ] {
        assert_eq!(response(event, NEW), None);
    }
}
