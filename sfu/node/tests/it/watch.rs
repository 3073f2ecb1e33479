use plenum_proto::{
    node::{StatusRequest, node_client::NodeClient},
    v1::{Event, WatchEventsRequest, event::Kind},
};
use tonic::{Code, Status, Streaming, transport::Channel};

use crate::support::{GRACE, config, create_room, delete_room, start};

async fn watch(
    client: &NodeClient<Channel>,
    room: &str,
    after_sequence: u64,
) -> Result<Streaming<Event>, Status> {
    let request = WatchEventsRequest {
        room: room.into(),
        after_sequence,
        ..WatchEventsRequest::default()
    };
    Ok(client.clone().watch_events(request).await?.into_inner())
}

#[tokio::test]
async fn events_come_numbered_and_of_the_room_asked_for() {
    let (node, client) = start(2).await;
    let mut all = watch(&client, "", 0).await.unwrap();
    let mut of_b = watch(&client, "b", 0).await.unwrap();
    for name in ["a", "b"] {
        create_room(&client, name).await;
        delete_room(&client, name).await;
    }
    let epoch = client
        .clone()
        .status(StatusRequest {})
        .await
        .unwrap()
        .into_inner()
        .epoch;
    for (sequence, room) in [(1, "a"), (2, "a"), (3, "b"), (4, "b")] {
        let event = all.message().await.unwrap().unwrap();
        assert_eq!(
            (event.sequence, event.epoch.as_str()),
            (sequence, epoch.as_str())
        );
        assert_eq!(event.room.unwrap().name, room);
        assert!(event.at.is_some());
    }
    let started = of_b.message().await.unwrap().unwrap();
    assert!(matches!(started.kind, Some(Kind::RoomStarted(_))));
    let ended = of_b.message().await.unwrap().unwrap();
    assert!(matches!(ended.kind, Some(Kind::RoomEnded(_))));
    node.shutdown(GRACE).await;
    assert_eq!(all.message().await.unwrap(), None, "ends in order");
}

#[tokio::test]
async fn a_reader_comes_back_where_it_left_unless_too_late() {
    let mut config = config(1);
    config.events.keep = 3;
    let node = sfu_node::start(config).await.unwrap();
    let client = NodeClient::new(node.connect());
    for name in ["a", "b", "c", "d", "e"] {
        create_room(&client, name).await;
    }
    // Who was told nothing yet knows all the same where the stream began.
    let mut asking = client.clone();
    let answer = asking.watch_events(WatchEventsRequest::default());
    let answer = answer.await.unwrap();
    let after = answer.metadata().get(sfu_node::EVENTS_AFTER).unwrap();
    assert_eq!(after, "5");
    let mut again = watch(&client, "", 2).await.unwrap();
    for sequence in 3..=5 {
        assert_eq!(again.message().await.unwrap().unwrap().sequence, sequence);
    }
    for after in [1, 6] {
        let refused = watch(&client, "", after).await.expect_err("refused");
        assert_eq!(refused.code(), Code::OutOfRange, "after {after}");
    }
    node.shutdown(GRACE).await;
}
