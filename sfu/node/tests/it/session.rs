use plenum_proto::{
    node::{
        Joined, Leave, Ping, SessionEvent, SessionRequest, node_client::NodeClient, session_event,
        session_request::Kind,
    },
    v1::CloseReason,
};
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming, transport::Channel};

use crate::support::{GRACE, join, start};

/// One participant's control connection, as the control plane holds it.
pub(crate) struct Control {
    requests: mpsc::Sender<SessionRequest>,
    events: Streaming<SessionEvent>,
}

impl Control {
    pub(crate) async fn open(client: &NodeClient<Channel>) -> Self {
        let (requests, stream) = mpsc::channel(8);
        let events = client
            .clone()
            .session(ReceiverStream::new(stream))
            .await
            .unwrap()
            .into_inner();
        Self { requests, events }
    }

    pub(crate) async fn send(&self, kind: Kind) {
        self.requests
            .send(SessionRequest { kind: Some(kind) })
            .await
            .unwrap();
    }

    pub(crate) async fn next(&mut self) -> Result<Option<session_event::Kind>, Status> {
        Ok(self
            .events
            .message()
            .await?
            .map(|event| event.kind.expect("a known event")))
    }

    async fn joined(client: &NodeClient<Channel>, room: &str, identity: &str) -> Self {
        Self::joined_with(client, room, identity).await.0
    }

    /// The same with what it was told.
    pub(crate) async fn joined_with(
        client: &NodeClient<Channel>,
        room: &str,
        identity: &str,
    ) -> (Self, Joined) {
        let mut control = Self::open(client).await;
        control.send(Kind::Join(join(room, identity))).await;
        match control.next().await.unwrap() {
            Some(session_event::Kind::Joined(joined)) => (control, joined),
            first => panic!("not joined: {first:?}"),
        }
    }

    /// Reads up to the end; the reason given, or how it failed.
    pub(crate) async fn end(mut self) -> Result<Option<CloseReason>, Code> {
        let mut reason = None;
        while let Some(event) = self.next().await.map_err(|status| status.code())? {
            if let session_event::Kind::Closed(closed) = event {
                reason = Some(closed.reason());
            }
        }
        Ok(reason)
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_without_a_join_ends_at_the_deadline() {
    let (node, client) = start(1).await;
    let started = tokio::time::Instant::now();
    let control = Control::open(&client).await;
    let requests = control.requests.clone();
    assert_eq!(control.end().await, Err(Code::DeadlineExceeded));
    assert_eq!(started.elapsed().as_secs(), 10);
    drop(requests);
    node.shutdown(GRACE).await;
}

#[tokio::test]
async fn the_first_request_must_be_a_join() {
    let (node, client) = start(1).await;
    let control = Control::open(&client).await;
    control.send(Kind::Ping(Ping {})).await;
    assert_eq!(control.end().await, Err(Code::InvalidArgument));

    let control = Control::open(&client).await;
    let Control { requests, events } = control;
    drop(requests);
    let (requests, _) = mpsc::channel(1);
    assert_eq!(
        Control { requests, events }.end().await,
        Err(Code::InvalidArgument)
    );
    assert_eq!(node.fresh_stats().await.worker.controls, 0);
    node.shutdown(GRACE).await;
}

#[tokio::test]
async fn a_participant_joins_and_leaves() {
    let (node, client) = start(2).await;
    let control = Control::joined(&client, "room", "ada").await;
    let stats = node.fresh_stats().await.worker;
    assert_eq!(
        (stats.controls, stats.core.participants, stats.core.rooms),
        (1, 1, 1)
    );
    control
        .send(Kind::Leave(Leave {
            reason: CloseReason::ClientInitiated.into(),
        }))
        .await;
    assert_eq!(control.end().await, Ok(Some(CloseReason::ClientInitiated)));
    assert_eq!(node.fresh_stats().await.worker.controls, 0);
    node.shutdown(GRACE).await;
}

#[tokio::test]
async fn a_second_join_ends_the_control_connection() {
    let (node, client) = start(1).await;
    let control = Control::joined(&client, "room", "ada").await;
    control.send(Kind::Join(join("room", "ada"))).await;
    assert_eq!(control.end().await, Err(Code::InvalidArgument));
    node.shutdown(GRACE).await;
}

#[tokio::test]
async fn a_broken_control_connection_leaves_the_participant_in_the_room() {
    let (node, client) = start(1).await;
    let control = Control::joined(&client, "room", "ada").await;
    drop(control);
    let gone = async {
        while node.fresh_stats().await.worker.controls > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(GRACE, gone)
        .await
        .expect("the control connection is noticed to be gone");
    let stats = node.fresh_stats().await.worker;
    assert_eq!((stats.core.rooms, stats.core.participants), (1, 1));
    node.shutdown(GRACE).await;
}

#[tokio::test]
async fn a_node_that_stops_tells_everybody_and_takes_nobody_in() {
    let (node, client) = start(2).await;
    let ada = Control::joined(&client, "one", "ada").await;
    let bob = Control::joined(&client, "two", "bob").await;
    // Its last event waits until it is read: the node has to wait for it.
    let (ada, bob, ()) = tokio::join!(ada.end(), bob.end(), node.shutdown(GRACE));
    assert_eq!(ada, Ok(Some(CloseReason::NodeShutdown)));
    assert_eq!(bob, Ok(Some(CloseReason::NodeShutdown)));
    let refused = client
        .clone()
        .status(plenum_proto::node::StatusRequest {})
        .await;
    assert!(refused.is_err());
}
