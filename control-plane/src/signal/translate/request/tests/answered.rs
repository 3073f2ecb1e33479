//! Messages that no node hears of: answered here, or ignored.

use super::*;

#[test]
fn pings_are_answered_here_in_milliseconds() {
    for (message, expected) in [
        (From::Ping(5), To::Pong(NOW_MS)),
        (
            From::PingReq(lk::Ping {
                timestamp: 5,
                rtt: 1,
            }),
            To::PongResp(lk::Pong {
                last_ping_timestamp: 5,
                timestamp: NOW_MS,
            }),
        ),
    ] {
        assert_eq!(
            request(message, NOW_MS),
            Translated::Reply(Box::new(expected))
        );
    }
}

#[test]
fn what_we_cannot_do_is_answered() {
    let data_track = lk::PublishDataTrackRequest {
        pub_handle: 4,
        ..Default::default()
    };
    let gone = lk::UnpublishDataTrackRequest { pub_handle: 4 };
    let refused = lk::AddTrackRequest {
        cid: "c".into(),
        ..Default::default()
    };
    let announced = lk::AddTrackRequest {
        cid: "c".into(),
        name: "n".into(),
        r#type: lk::TrackType::Data.into(),
        ..Default::default()
    };
    use request_response::Request;
    for (message, request_id, echo) in [
        (
            From::PublishDataTrackRequest(data_track.clone()),
            0,
            Some(Request::PublishDataTrack(data_track)),
        ),
        (
            From::UnpublishDataTrackRequest(gone),
            0,
            Some(Request::UnpublishDataTrack(gone)),
        ),
        (
            From::AddTrack(announced),
            0,
            Some(Request::AddTrack(refused)),
        ),
        (
            From::StoreDataBlobRequest(lk::StoreDataBlobRequest {
                request_id: 8,
                ..Default::default()
            }),
            8,
            None,
        ),
        (
            From::GetDataBlobRequest(lk::GetDataBlobRequest {
                request_id: 9,
                ..Default::default()
            }),
            9,
            None,
        ),
    ] {
        let Translated::Reply(reply) = request(message, NOW_MS) else {
            panic!("not answered")
        };
        let To::RequestResponse(answer) = *reply else {
            panic!("{reply:?}")
        };
        assert_eq!(answer.reason(), request_response::Reason::UnsupportedType);
        assert_eq!((answer.request_id, answer.request), (request_id, echo));
    }
}

#[test]
fn clients_leave_by_their_own_wish_unless_they_say_otherwise() {
    use lk::DisconnectReason as Said;
    for (said, expected) in [
        (Said::UnknownReason as i32, CloseReason::ClientInitiated),
        (Said::ClientInitiated as i32, CloseReason::ClientInitiated),
        (
            Said::ConnectionTimeout as i32,
            CloseReason::ConnectionTimeout,
        ),
        (Said::MediaFailure as i32, CloseReason::MediaFailure),
        (Said::RoomDeleted as i32, CloseReason::ClientInitiated),
        (99, CloseReason::ClientInitiated),
    ] {
        let message = From::Leave(lk::LeaveRequest {
            reason: said,
            ..Default::default()
        });
        assert_eq!(
            request(message, NOW_MS),
            Translated::Leave(expected),
            "{said}"
        );
    }
}

#[test]
#[expect(deprecated, reason = "old clients still send it")]
fn what_means_nothing_to_us_is_ignored() {
    for (message, expected) in [
        (
            From::UpdateLayers(lk::UpdateVideoLayers::default()),
            "update_layers",
        ),
        (
            From::UpdateDataSubscription(lk::UpdateDataSubscription::default()),
            "data_subscription",
        ),
        (
            From::Simulate(lk::SimulateScenario::default()),
            "unknown_scenario",
        ),
        (
            From::Trickle(lk::TrickleRequest::default()),
            "bad_candidate",
        ),
    ] {
        assert_eq!(request(message, NOW_MS), Translated::Ignored(expected));
    }
}
