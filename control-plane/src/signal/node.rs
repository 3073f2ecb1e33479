//! The node's side of a connection: finds the node of a room, opens a session there, and waits for
//! its first event. Must not know the client protocol.

use std::time::Duration;

use futures_util::future::BoxFuture;
use plenum_proto::{
    node::{
        AdminRequest, Closed, Join, Joined, SessionEvent, SessionRequest, admin_request,
        node_client::NodeClient, session_event, session_request,
    },
    v1::{CloseReason, GetRoomRequest},
};
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming, transport::Channel};

use super::refusal::Refusal;

/// Requests on their way to the node. Past it the client is not read, so it waits as well.
const MAX_REQUESTS: usize = 32;

/// Longest event taken from a node: the participants of a large room come in one.
const MAX_EVENT_BYTES: usize = 64 * 1024 * 1024;

/// No node can take a room now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no media node is available")]
pub struct NodeUnavailable;

/// Says which node holds, or is to hold, a room.
pub trait NodeForRoom: Send + Sync + 'static {
    /// The node of the room of this name.
    fn node_for<'a>(
        &'a self,
        room: &'a str,
    ) -> BoxFuture<'a, Result<NodeClient<Channel>, NodeUnavailable>>;
}

/// One node for all rooms.
impl NodeForRoom for NodeClient<Channel> {
    fn node_for<'a>(
        &'a self,
        _room: &'a str,
    ) -> BoxFuture<'a, Result<NodeClient<Channel>, NodeUnavailable>> {
        Box::pin(async { Ok(self.clone()) })
    }
}

/// An open session at a node. Dropping it tells the node that signalling broke, not that the
/// participant leaves.
pub(crate) struct NodeSession {
    pub(crate) requests: mpsc::Sender<SessionRequest>,
    pub(crate) events: Streaming<SessionEvent>,
}

/// What a node says first.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum First {
    Joined(Box<Joined>),
    Resumed(Box<Joined>),
    Closed(Closed),
}

/// Opens a session and waits for its first event, `limit` for all of it.
///
/// # Errors
/// The node refuses, is full, does not answer, or says something else first.
pub(crate) async fn open(
    nodes: &dyn NodeForRoom,
    room: &str,
    join: Join,
    limit: Duration,
) -> Result<(NodeSession, First), Refusal> {
    let opening = async {
        let node = nodes
            .node_for(room)
            .await
            .map_err(|NodeUnavailable| Refusal::NoNode)?;
        let mut node = node.max_decoding_message_size(MAX_EVENT_BYTES);
        let (requests, queue) = mpsc::channel(MAX_REQUESTS);
        let join = SessionRequest {
            kind: Some(session_request::Kind::Join(join)),
        };
        requests.try_send(join).map_err(|_| Refusal::NoNode)?;
        let answer = node
            .session(ReceiverStream::new(queue))
            .await
            .map_err(refusal)?;
        let mut events = answer.into_inner();
        let event = events.message().await.map_err(refusal)?;
        let first = match event.and_then(|event| event.kind) {
            Some(session_event::Kind::Joined(joined)) => First::Joined(Box::new(joined)),
            Some(session_event::Kind::Resumed(joined)) => First::Resumed(Box::new(joined)),
            Some(session_event::Kind::Closed(closed)) => match closed.reason() {
                CloseReason::LimitExceeded => return Err(Refusal::Full),
                _ => First::Closed(closed),
            },
            _ => return Err(Refusal::NoNode),
        };
        Ok((NodeSession { requests, events }, first))
    };
    timeout(limit, opening)
        .await
        .unwrap_or(Err(Refusal::NoNode))
}

/// Asks whether a room exists.
///
/// # Errors
/// [`Refusal::NoRoom`], or the node does not answer within `limit`.
pub(crate) async fn require_room(
    nodes: &dyn NodeForRoom,
    room: &str,
    limit: Duration,
) -> Result<(), Refusal> {
    let asking = async {
        let mut node = nodes
            .node_for(room)
            .await
            .map_err(|NodeUnavailable| Refusal::NoNode)?;
        let kind = admin_request::Kind::GetRoom(GetRoomRequest {
            room: room.to_owned(),
        });
        node.admin(AdminRequest { kind: Some(kind) })
            .await
            .map_err(refusal)?;
        Ok(())
    };
    timeout(limit, asking).await.unwrap_or(Err(Refusal::NoNode))
}

/// What a node's refusal means for the client.
#[expect(
    clippy::needless_pass_by_value,
    reason = "used as a function for map_err"
)]
fn refusal(status: Status) -> Refusal {
    match status.code() {
        Code::NotFound => Refusal::NoRoom,
        Code::ResourceExhausted => Refusal::Full,
        Code::InvalidArgument => Refusal::BadRequest(status.message().to_owned()),
        code => {
            tracing::warn!(%code, "node refused a session");
            Refusal::NoNode
        }
    }
}
