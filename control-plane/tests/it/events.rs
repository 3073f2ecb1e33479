//! The event stream.

use futures_util::StreamExt as _;
use plenum_proto::v1::{
    self, Event, event::Kind, event_service_client::EventServiceClient,
    room_service_client::RoomServiceClient,
};
use tokio::time::timeout;
use tonic::{Code, Status, Streaming};

use crate::support::{PATIENCE, admin, channel, config, plenum, start, token, with_token};

async fn next(events: &mut Streaming<Event>) -> Option<Result<Event, Status>> {
    timeout(PATIENCE, events.next()).await.expect("in time")
}

#[tokio::test]
async fn events_come_in_order_until_the_end() {
    let running = plenum().await;
    let channel = channel(&running).await;
    let token = admin("tea");
    let watch = v1::WatchEventsRequest::default();
    let mut events = EventServiceClient::new(channel.clone())
        .watch_events(with_token(&token, watch))
        .await
        .unwrap()
        .into_inner();
    let config = v1::RoomConfig {
        name: "tea".into(),
        ..Default::default()
    };
    let create = v1::CreateRoomRequest {
        config: Some(config),
    };
    RoomServiceClient::new(channel)
        .create_room(with_token(&token, create))
        .await
        .unwrap();

    let event = next(&mut events).await.unwrap().unwrap();
    assert!(
        matches!(event.kind, Some(Kind::RoomStarted(_))),
        "{event:?}"
    );
    assert_eq!(event.room.map(|room| room.name), Some("tea".to_owned()));
    assert!(!event.epoch.is_empty() && event.sequence > 0);

    let ending = tokio::spawn(running.shutdown());
    loop {
        match next(&mut events).await {
            Some(Ok(_)) => {}
            Some(Err(status)) => {
                assert_eq!(status.code(), Code::Unavailable, "{status:?}");
                break;
            }
            None => break,
        }
    }
    ending.await.unwrap();
}

#[tokio::test]
async fn who_may_not_see_them_gets_no_events() {
    let running = plenum().await;
    let mut events = EventServiceClient::new(channel(&running).await);
    let one = control_plane::auth::VideoGrants {
        room_admin: true,
        room: "tea".into(),
        ..Default::default()
    };
    let one = token(one);
    for (room, is_allowed) in [("tea", true), ("coffee", false), ("", false)] {
        let watch = v1::WatchEventsRequest {
            room: room.into(),
            ..v1::WatchEventsRequest::default()
        };
        let code = events
            .watch_events(with_token(&one, watch))
            .await
            .err()
            .map(|s| s.code());
        assert_eq!(
            code,
            (!is_allowed).then_some(Code::PermissionDenied),
            "{room}"
        );
    }
    running.shutdown().await;
}

#[tokio::test]
async fn streams_are_limited_and_a_closed_one_makes_room() {
    let mut config = config();
    config.api.max_event_streams = 1;
    let running = start(config).await;
    let channel = channel(&running).await;
    let token = admin("tea");
    let open = async || {
        let watch = with_token(&token, v1::WatchEventsRequest::default());
        EventServiceClient::new(channel.clone())
            .watch_events(watch)
            .await
    };
    let first = open().await.unwrap();
    assert_eq!(open().await.unwrap_err().code(), Code::ResourceExhausted);
    drop(first);
    // The end reaches the other side after a moment; asking again is how a caller finds out.
    let again = async {
        while open().await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, again).await.expect("in time");
    running.shutdown().await;
}
