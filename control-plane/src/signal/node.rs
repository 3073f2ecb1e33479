//! The node's side of a connection: finds the node of a room, opens a session there, and waits for
//! its first event. Must not know the client protocol.

use std::time::Duration;

use futures_util::future::BoxFuture;
use plenum_proto::{
    node::{
        AdminRequest, Closed, HomeNode, Join, Joined, SessionEvent, SessionRequest, admin_request,
        node_client::NodeClient, session_event, session_request,
    },
    v1::{CloseReason, GetRoomRequest, RoomConfig},
};
use plenum_service::cluster::Known;
use tokio::{sync::mpsc, time::timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;

use super::refusal::Refusal;

/// Requests on their way to the node. Past it the client is not read, so it waits as well.
const MAX_REQUESTS: usize = 32;

/// Longest event taken from a node: the participants of a large room come in one.
const MAX_EVENT_BYTES: usize = 64 * 1024 * 1024;

/// Times a node is looked for when the one that was named cannot take the participant.
const ATTEMPTS: usize = 3;

/// Who is looked for a node for.
#[derive(Debug, Clone, Copy)]
pub struct Wish<'a> {
    /// The room, made with these settings if it is not there.
    pub room: &'a RoomConfig,
    /// The room has to be there.
    pub must_exist: bool,
    /// Of the participant.
    pub identity: &'a str,
    /// Takes up a stay: the node that holds it is wanted.
    pub resumes: bool,
    /// The seat that was named before, and why it could not be taken.
    pub refused: Option<(&'a Seat, Unfit)>,
}

/// A node for a participant.
#[derive(Debug, Clone)]
pub struct Seat {
    /// The way to it.
    pub node: NodeClient<Known>,
    /// Its id; "" where there is one node only.
    pub node_id: String,
    /// The placement of the room; none where there is one node only.
    pub home: Option<HomeNode>,
    /// Id of the room, if it comes to life by the join.
    pub room_id: String,
    /// Settings of the room, if it comes to life by the join; none = those that were asked for.
    pub config: Option<RoomConfig>,
}

/// Why a seat could not be taken, though another may.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unfit {
    /// The node knows of a later placement of the room, or that it has ended.
    Stale,
    /// The node is being emptied.
    Draining,
    /// The node does not answer.
    Unreachable,
}

/// Why no node can be named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoSeat {
    /// The room does not exist.
    #[error("the room does not exist")]
    NoRoom,
    /// No node can take it now.
    #[error("no media node is available")]
    NoNode,
}

/// Says which node holds, or is to hold, a participant of a room.
pub trait NodeForRoom: Send + Sync + 'static {
    /// The node for a participant.
    fn seat<'a>(&'a self, wish: Wish<'a>) -> BoxFuture<'a, Result<Seat, NoSeat>>;
}

/// One node for all rooms.
impl NodeForRoom for NodeClient<Known> {
    fn seat<'a>(&'a self, wish: Wish<'a>) -> BoxFuture<'a, Result<Seat, NoSeat>> {
        Box::pin(async move {
            if wish.refused.is_some() {
                return Err(NoSeat::NoNode);
            }
            Ok(Seat {
                node: self.clone(),
                node_id: String::new(),
                home: None,
                room_id: String::new(),
                config: None,
            })
        })
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
/// No node takes it, or the one that should does not answer, or says something else first.
pub(crate) async fn open(
    nodes: &dyn NodeForRoom,
    join: Join,
    limit: Duration,
) -> Result<(NodeSession, First), Refusal> {
    let room = join.room.clone().unwrap_or_default();
    let opening = async {
        let mut refused: Option<(Seat, Unfit)> = None;
        for _ in 0..ATTEMPTS {
            let seat = nodes
                .seat(Wish {
                    room: &room,
                    must_exist: join.must_exist,
                    identity: &join.identity,
                    resumes: join.resume.is_some(),
                    refused: refused.as_ref().map(|(seat, why)| (seat, *why)),
                })
                .await
                .map_err(|none| match none {
                    NoSeat::NoRoom => Refusal::NoRoom,
                    NoSeat::NoNode => Refusal::NoNode,
                })?;
            match take(&seat, join.clone()).await {
                Ok(opened) => return Ok(opened),
                Err(Refused::Final(refusal)) => return Err(refusal),
                Err(Refused::Unfit(why)) => refused = Some((seat, why)),
            }
        }
        Err(Refusal::NoNode)
    };
    timeout(limit, opening)
        .await
        .unwrap_or(Err(Refusal::NoNode))
}

/// Why a node did not take somebody.
enum Refused {
    /// Nobody will.
    Final(Refusal),
    /// Another may.
    Unfit(Unfit),
}

async fn take(seat: &Seat, mut join: Join) -> Result<(NodeSession, First), Refused> {
    let mut node = seat.node.clone().max_decoding_message_size(MAX_EVENT_BYTES);
    join.home.clone_from(&seat.home);
    join.room_id.clone_from(&seat.room_id);
    if seat.config.is_some() {
        // There is a record of the room, though its home may be new and know nothing of it.
        join.room.clone_from(&seat.config);
        join.must_exist = false;
    }
    let (requests, queue) = mpsc::channel(MAX_REQUESTS);
    let join = SessionRequest {
        kind: Some(session_request::Kind::Join(join)),
    };
    let none = || Refused::Final(Refusal::NoNode);
    requests.try_send(join).map_err(|_| none())?;
    let answer = node.session(ReceiverStream::new(queue)).await;
    let mut events = answer.map_err(refused)?.into_inner();
    let event = events.message().await.map_err(refused)?;
    let first = match event.and_then(|event| event.kind) {
        Some(session_event::Kind::Joined(joined)) => First::Joined(Box::new(joined)),
        Some(session_event::Kind::Resumed(joined)) => First::Resumed(Box::new(joined)),
        Some(session_event::Kind::Closed(closed)) => match closed.reason() {
            CloseReason::LimitExceeded => return Err(Refused::Final(Refusal::Full)),
            _ => First::Closed(closed),
        },
        _ => return Err(none()),
    };
    Ok((NodeSession { requests, events }, first))
}

/// Why a node refused, as far as another may do better.
pub(crate) fn unfit(status: &Status) -> Option<Unfit> {
    let details = status.get_error_details();
    let reason = details.error_info().map_or("", |info| &info.reason);
    match (reason, status.code()) {
        ("STALE", _) => Some(Unfit::Stale),
        ("DRAINING", _) => Some(Unfit::Draining),
        ("", Code::Unavailable) => Some(Unfit::Unreachable),
        // A connection that broke under the call.
        ("", Code::Unknown | Code::Internal | Code::Cancelled)
            if std::error::Error::source(status).is_some() =>
        {
            Some(Unfit::Unreachable)
        }
        _ => None,
    }
}

fn refused(status: Status) -> Refused {
    match unfit(&status) {
        Some(why) => Refused::Unfit(why),
        None => Refused::Final(refusal(status)),
    }
}

/// Asks whether a room exists.
///
/// # Errors
/// [`Refusal::NoRoom`], or the node does not answer within `limit`.
pub(crate) async fn require_room(
    nodes: &dyn NodeForRoom,
    join: &Join,
    limit: Duration,
) -> Result<(), Refusal> {
    let room = join.room.clone().unwrap_or_default();
    let asking = async {
        let wish = Wish {
            room: &room,
            must_exist: true,
            identity: &join.identity,
            resumes: false,
            refused: None,
        };
        let mut seat = nodes.seat(wish).await.map_err(|none| match none {
            NoSeat::NoRoom => Refusal::NoRoom,
            NoSeat::NoNode => Refusal::NoNode,
        })?;
        let kind = admin_request::Kind::GetRoom(GetRoomRequest {
            room: room.name.clone(),
        });
        let request = AdminRequest {
            kind: Some(kind),
            ..AdminRequest::default()
        };
        seat.node.admin(request).await.map_err(refusal)?;
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
