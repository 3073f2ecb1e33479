//! Limits on what one client may do, and that others do not feel them.

use control_plane::signal::SignalConfig;
use livekit_protocol::{self as lk, signal_request::Message as Say};
use plenum_proto::node::session_event::Kind as Event;
use tokio_tungstenite::tungstenite::Message as Frame;

use super::world::{Client, World, joined};

/// Sends until the gateway closes, and returns its code.
async fn flood(client: &mut Client, frame: Frame, most: usize) -> u16 {
    for _ in 0..most {
        if !client.try_send(frame.clone()).await {
            break;
        }
    }
    client.rest().await.1
}

#[tokio::test]
async fn a_message_too_large_ends_the_connection() {
    let mut world = World::new().await;
    for frame in [
        Frame::Binary(vec![0; 2 * 1024 * 1024 + 1].into()),
        Frame::Text("x".repeat(2 * 1024 * 1024 + 1).into()),
    ] {
        let (mut client, mut session) = world.joined("").await;
        client.try_send(frame).await;
        assert_eq!(client.rest().await, (vec![], 1009));
        assert_eq!(session.request().await, None);
    }
    assert_eq!(world.counted.count("closed too_large"), 2);
}

#[tokio::test]
async fn a_message_of_just_the_limit_passes() {
    let mut world = World::new().await;
    let (mut client, _session) = world.joined("").await;
    // No signalling message, but a frame that is read.
    client
        .send(Frame::Binary(vec![0xff; 2 * 1024 * 1024].into()))
        .await;
    client.settle().await;
    assert_eq!(world.counted.count("ignored bad_frame"), 1);
}

#[tokio::test]
async fn a_flood_ends_its_connection_and_no_other() {
    let config = SignalConfig {
        requests_per_second: 1,
        request_burst: 50,
        ..SignalConfig::default()
    };
    let mut world = World::with(config).await;
    let (mut calm, _calm_session) = world.joined("").await;
    for frame in [
        Frame::Binary(Vec::new().into()),
        Frame::Binary(vec![0xff].into()),
        Frame::Ping(Vec::new().into()),
        Frame::Pong(Vec::new().into()),
    ] {
        let (mut client, _session) = world.joined("").await;
        assert_eq!(flood(&mut client, frame, 1000).await, 1008);
    }
    calm.settle().await;
    assert_eq!(world.counted.count("closed too_fast"), 4);
}

#[tokio::test]
async fn a_client_within_its_rate_is_left_alone() {
    let mut world = World::new().await;
    let (mut client, mut session) = world.joined("").await;
    for _ in 0..400 {
        client.say(Say::Mute(lk::MuteTrackRequest::default())).await;
    }
    for _ in 0..400 {
        assert!(session.request().await.is_some());
    }
    client.settle().await;
}

#[tokio::test]
async fn connections_that_wait_for_an_answer_are_limited_by_participant() {
    let config = SignalConfig {
        max_pending_per_participant: 1,
        ..SignalConfig::default()
    };
    let mut world = World::with(config).await;
    let target = format!("/rtc?access_token={}", world.token());
    let connecting = world.connector();
    let first = tokio::spawn({
        let target = target.clone();
        async move { connecting.connect_to(&target).await }
    });
    // The node has heard of the first and has not answered yet.
    let session = world.node.session().await;
    assert_eq!(world.refused(&target).await.0, 429);
    session.tell(Event::Joined(joined())).await;
    assert!(first.await.unwrap().is_ok());
    // The first may still be writing its first message; its place is free once that has been read.
    world.joined("").await;
}

/// Each is a stay of its own in the room, by a name that the client chooses.
#[tokio::test]
async fn connections_that_only_publish_are_limited_by_participant() {
    let mut world = World::new().await;
    let (_main, _session) = world.joined("").await;
    let mut open = Vec::new();
    for name in ["a", "b", "c", "d"] {
        open.push(world.joined(&format!("&publish={name}")).await);
    }
    let fifth = world.target("&publish=e");
    let expected = "too many connections of this participant only publish".to_owned();
    assert_eq!(world.refused(&fifth).await, (429, expected));
    drop(open);
}

#[tokio::test]
async fn connections_have_a_limit() {
    let config = SignalConfig {
        max_connections: 1,
        ..SignalConfig::default()
    };
    let mut world = World::with(config).await;
    let (_client, _session) = world.joined("").await;
    let target = format!("/rtc?access_token={}", world.token());
    let expected = (503, "no capacity for another participant".to_owned());
    assert_eq!(world.refused(&target).await, expected);
}

#[tokio::test]
async fn a_crowd_is_told_to_come_again_in_a_moment() {
    let config = SignalConfig {
        joins_per_second: 1,
        join_burst: 2,
        ..SignalConfig::default()
    };
    let mut world = World::with(config).await;
    let (_one, _session) = world.joined("").await;
    let (_two, _session) = world.joined("").await;
    let target = world.target("");
    let Err(tokio_tungstenite::tungstenite::Error::Http(refused)) =
        world.connector().connect_to(&target).await
    else {
        panic!("not refused");
    };
    assert_eq!(refused.status(), 503);
    let seconds = refused.headers()["retry-after"].to_str().unwrap();
    assert!((1..=5).contains(&seconds.parse().unwrap()), "{seconds}");
}
