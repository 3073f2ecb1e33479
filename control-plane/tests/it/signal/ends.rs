//! How connections end, and what each side hears of it.

use std::time::Duration;

use control_plane::signal::SignalConfig;
use livekit_protocol::{
    self as lk, DisconnectReason, leave_request::Action, signal_request::Message as Say,
    signal_response::Message as Hear,
};
use plenum_proto::{
    node::{self, CloseAction, session_event::Kind as Event, session_request::Kind as Request},
    v1::CloseReason,
};
use tonic::Status;

use super::{
    soon,
    world::{Last, World},
};

fn closed(action: CloseAction, reason: CloseReason) -> Event {
    Event::Closed(node::Closed {
        action: action.into(),
        reason: reason.into(),
        ..node::Closed::default()
    })
}

fn leave(action: Action, reason: DisconnectReason) -> Hear {
    Hear::Leave(lk::LeaveRequest {
        can_reconnect: action == Action::Reconnect,
        reason: reason.into(),
        action: action.into(),
        regions: None,
    })
}

#[tokio::test]
async fn a_client_that_leaves_has_left_at_the_node() {
    let mut world = World::new().await;
    let (mut client, mut session) = world.joined("&protocol=17").await;
    client.say(Say::Leave(lk::LeaveRequest::default())).await;
    let Some(Request::Leave(leave)) = session.request().await else {
        panic!("no leave")
    };
    assert_eq!(leave.reason(), CloseReason::ClientInitiated);
    session
        .tell(closed(
            CloseAction::Disconnect,
            CloseReason::ClientInitiated,
        ))
        .await;
    drop(session);
    assert_eq!(client.rest().await, (vec![], 1000));
}

#[tokio::test]
async fn a_client_that_is_lost_has_not_left() {
    let mut world = World::new().await;
    let (client, mut session) = world.joined("").await;
    drop(client);
    assert_eq!(session.request().await, None);
}

#[tokio::test]
async fn the_node_says_why_and_what_next() {
    for (protocol, action, reason, expected) in [
        (
            17,
            CloseAction::Disconnect,
            CloseReason::ParticipantRemoved,
            vec![leave(
                Action::Disconnect,
                DisconnectReason::ParticipantRemoved,
            )],
        ),
        (
            17,
            CloseAction::Resume,
            CloseReason::Migration,
            vec![leave(Action::Resume, DisconnectReason::Migration)],
        ),
        (12, CloseAction::Resume, CloseReason::Migration, vec![]),
    ] {
        let mut world = World::new().await;
        let (mut client, session) = world.joined(&format!("&protocol={protocol}")).await;
        session.tell(closed(action, reason)).await;
        assert_eq!(client.rest().await, (expected, 1000));
    }
}

#[tokio::test]
async fn an_unknown_stay_is_joined_anew() {
    let mut world = World::new().await;
    let query = "&protocol=17&reconnect=1&sid=PA_gone";
    let unknown = closed(CloseAction::Reconnect, CloseReason::StateMismatch);
    let (mut client, _session) = world.first(query, unknown).await;
    let expected = leave(Action::Reconnect, DisconnectReason::StateMismatch);
    assert_eq!(client.rest().await, (vec![expected], 1000));
}

#[tokio::test]
async fn a_lost_node_means_joining_anew() {
    for status in [
        None,
        Some(Status::unavailable("gone")),
        Some(Status::internal("broken")),
    ] {
        let mut world = World::new().await;
        let (mut client, session) = world.joined("&protocol=17").await;
        match status {
            Some(status) => session.fail(status).await,
            None => drop(session),
        }
        let expected = leave(Action::Reconnect, DisconnectReason::ServerShutdown);
        assert_eq!(client.rest().await, (vec![expected], 1011));
    }
}

#[tokio::test]
async fn a_node_may_drop_the_signalling_alone() {
    let mut world = World::new().await;
    let (mut client, session) = world.joined("&protocol=17").await;
    session.fail(Status::aborted("as asked")).await;
    assert_eq!(client.rest().await, (vec![], 1001));
}

#[tokio::test]
async fn a_gateway_that_shuts_down_sends_everybody_elsewhere() {
    let mut world = World::new().await;
    let (mut client, mut session) = world.joined("&protocol=17").await;
    assert_eq!(world.state.open_connections(), 1);
    let state = world.state.clone();
    let closing = tokio::spawn(async move { state.close().await });
    let expected = leave(Action::Resume, DisconnectReason::ServerShutdown);
    assert_eq!(client.rest().await, (vec![expected], 1001));
    assert_eq!(session.request().await, None, "the stay is not ended");
    soon(closing).await.unwrap();
    assert_eq!(world.state.open_connections(), 0);
    assert_eq!(world.counted.count("closed shutting_down"), 1);
    let target = format!("/rtc?access_token={}", world.token());
    assert_eq!(
        world.refused(&target).await,
        (503, "shutting down".to_owned())
    );
}

#[tokio::test]
async fn a_silent_client_is_closed_but_keeps_its_stay() {
    let config = SignalConfig {
        ping_timeout: Duration::from_millis(100),
        ..Default::default()
    };
    let mut world = World::with(config).await;
    let (mut client, mut session) = world.joined("").await;
    assert_eq!(client.last().await, Last::Close(1001));
    assert_eq!(session.request().await, None);
}

#[tokio::test]
async fn websocket_pongs_are_signs_of_life() {
    let config = SignalConfig {
        ping_timeout: Duration::from_secs(1),
        websocket_ping_interval: Duration::from_millis(50),
        token_refresh: Duration::from_millis(500),
        ..Default::default()
    };
    let mut world = World::with(config).await;
    let (mut client, _session) = world.joined("").await;
    // Four refreshes take twice the timeout; all that the client sends meanwhile are pongs.
    for _ in 0..4 {
        assert!(matches!(client.hear().await, Hear::RefreshToken(_)));
    }
}

#[tokio::test]
async fn a_node_that_takes_no_requests_counts_as_lost() {
    let config = SignalConfig {
        node_timeout: Duration::from_secs(2),
        ..Default::default()
    };
    let mut world = World::with(config).await;
    let (mut client, session) = world.joined("&protocol=17").await;
    let sdp = lk::SessionDescription {
        sdp: "x".repeat(256 * 1024),
        ..Default::default()
    };
    // More than all buffers on the way hold.
    for _ in 0..60 {
        client.say(Say::Offer(sdp.clone())).await;
    }
    let expected = leave(Action::Reconnect, DisconnectReason::ServerShutdown);
    assert_eq!(client.rest().await.0, vec![expected]);
    drop(session);
}
