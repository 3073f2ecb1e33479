//! Commands on rooms: which worker they belong to, and the one that concerns all. Must not look
//! further into a request than its room's name.

use std::sync::Arc;

use plenum_proto::{
    node::{
        AdminReply, AdminRequest, Done, ForwardParticipant, Present, admin_reply::Kind as Reply,
        admin_request::Kind,
    },
    v1::{ListRoomsResponse, Room},
};

use sfu_core::{CommandError, LinkKey};

use super::{Shared, forward};
use crate::{egress::Egresses, error::CallError, ingress::Ingresses, worker::RequestError};

/// What a command is about.
#[derive(Clone, Copy)]
enum Target<'a> {
    /// Media that comes into a room or goes out without WebRTC: the node's own affair.
    Plain(&'a str),
    /// A room that should exist.
    Room(&'a str),
    /// A room that comes to life unless it exists.
    NewRoom(&'a str),
    /// Two rooms, and a participant of one of them.
    Forward(&'a ForwardParticipant),
    /// Rooms on any worker.
    All,
}

/// Answers a command.
pub(super) async fn call(
    shared: &Arc<Shared>,
    request: AdminRequest,
) -> Result<AdminReply, CallError> {
    match target(request.kind.as_ref().ok_or(CallError::Empty)?) {
        Target::Room(room) => ask(shared, shared.worker_of(room), &request).await,
        Target::NewRoom(_) if shared.is_draining() => Err(shared.going()),
        Target::NewRoom(room) => {
            let held = shared.directory.place(room);
            let reply = ask(shared, held.worker(), &request).await;
            drop(held);
            reply
        }
        Target::Forward(_) if shared.is_draining() => Err(CallError::NoSeat(
            "its node is being emptied: ask again when it has moved".to_owned(),
        )),
        Target::Forward(command) => {
            let (this, epoch, command) = (Arc::clone(shared), request.epoch, command.clone());
            let made = async move { forward::call(&this, epoch, command).await };
            whole(shared, made).await
        }
        Target::All => all(shared, &request).await,
        Target::Plain(room) => {
            let stale = shared.directory.admit(room, request.epoch);
            stale.map_err(RequestError::from)?;
            plain(shared, request).await
        }
    }
}

async fn plain(shared: &Arc<Shared>, request: AdminRequest) -> Result<AdminReply, CallError> {
    let kind = match request.kind {
        Some(Kind::CreateIngress(_) | Kind::CreateEgress(_)) if shared.is_draining() => {
            return Err(shared.going());
        }
        Some(Kind::CreateIngress(create)) => {
            let this = Arc::clone(shared);
            let made = async move { Ingresses::create(&this, create).await };
            Reply::Ingress(whole(shared, made).await?)
        }
        Some(Kind::ListIngresses(list)) => Reply::Ingresses(shared.ingresses.list(&list.room)),
        Some(Kind::DeleteIngress(delete)) => {
            shared.ingresses.delete(&delete)?;
            Reply::Done(Done {})
        }
        Some(Kind::CreateEgress(create)) => {
            let this = Arc::clone(shared);
            let made = async move { Egresses::create(&this, create).await };
            Reply::Egress(whole(shared, made).await?)
        }
        Some(Kind::ListEgresses(list)) => Reply::Egresses(shared.egresses.list(&list.room)),
        Some(Kind::DeleteEgress(delete)) => {
            shared.egresses.delete(&delete)?;
            Reply::Done(Done {})
        }
        _ => return Err(CallError::Empty),
    };
    Ok(AdminReply { kind: Some(kind) })
}

/// Makes something to its end also when the caller gives up meanwhile: no participant is left of which nothing is listed.
async fn whole<T: Send + 'static>(
    shared: &Shared,
    made: impl Future<Output = Result<T, CallError>> + Send + 'static,
) -> Result<T, CallError> {
    let made = shared.sessions.spawn(made).await;
    made.unwrap_or(Err(RequestError::NoAnswer.into()))
}

/// Puts a command to a worker, or to the one that it names.
async fn ask(
    shared: &Shared,
    first: usize,
    request: &AdminRequest,
) -> Result<AdminReply, CallError> {
    let ask = |worker: usize| async move {
        let worker = &shared.workers[worker];
        Ok(worker.admin(request.clone()).await?)
    };
    follow(shared, first, ask).await
}

/// Asks a worker, and where it says that another one has the answer, that.
pub(super) async fn follow<T, F>(
    shared: &Shared,
    first: usize,
    ask: impl Fn(usize) -> F,
) -> Result<T, CallError>
where
    F: Future<Output = Result<T, CallError>>,
{
    /// A participant may move while it is looked for.
    const HOPS: usize = 3;
    let mut answer = ask(first).await;
    for _ in 0..HOPS {
        let Err(CallError::Request(RequestError::Refused(CommandError::Elsewhere { link }))) =
            answer
        else {
            break;
        };
        answer = ask(worker_behind(shared, link)?).await;
    }
    answer
}

/// The worker at the other end of a link.
///
/// # Errors
/// It is one of another node.
fn worker_behind(shared: &Shared, link: LinkKey) -> Result<usize, CallError> {
    let worker = shared.directory.worker_behind(link);
    let worker = worker.filter(|worker| *worker < shared.workers.len());
    worker.ok_or_else(|| {
        let relay = shared.relay.as_ref();
        let node = relay.and_then(|relay| relay.node_of(link));
        CallError::Elsewhere {
            node: node.unwrap_or_default(),
        }
    })
}

/// The room that a command is about.
pub(crate) fn room_of(request: &AdminRequest) -> Option<&str> {
    match target(request.kind.as_ref()?) {
        Target::Room(room) | Target::NewRoom(room) | Target::Plain(room) => Some(room),
        Target::Forward(_) | Target::All => None,
    }
}

fn target(kind: &Kind) -> Target<'_> {
    match kind {
        Kind::CreateRoom(r) => Target::NewRoom(r.config.as_ref().map_or("", |config| &config.name)),
        Kind::ListRooms(_) | Kind::ListPresent(_) => Target::All,
        Kind::GetRoom(r) => Target::Room(&r.room),
        Kind::UpdateRoom(r) => Target::Room(&r.room),
        Kind::DeleteRoom(r) => Target::Room(&r.room),
        Kind::ListParticipants(r) => Target::Room(&r.room),
        Kind::GetParticipant(r) => Target::Room(&r.room),
        Kind::UpdateParticipant(r) => Target::Room(&r.room),
        Kind::RemoveParticipant(r) => Target::Room(&r.room),
        Kind::MuteTrack(r) => Target::Room(&r.room),
        Kind::MoveParticipant(r) => Target::Room(&r.room),
        Kind::UpdateSubscriptions(r) => Target::Room(&r.room),
        Kind::ForwardParticipant(command) => Target::Forward(command),
        Kind::CreateIngress(r) => Target::Plain(&r.room),
        Kind::ListIngresses(r) => Target::Plain(&r.room),
        Kind::DeleteIngress(r) => Target::Plain(&r.room),
        Kind::CreateEgress(r) => Target::Plain(&r.room),
        Kind::ListEgresses(r) => Target::Plain(&r.room),
        Kind::DeleteEgress(r) => Target::Plain(&r.room),
        Kind::ExplainSubscriptions(r) => Target::Room(&r.room),
        Kind::SendData(r) => Target::Room(r.request.as_ref().map_or("", |request| &request.room)),
    }
}

/// Puts the answers of all workers together, oldest room first.
async fn all(shared: &Shared, request: &AdminRequest) -> Result<AdminReply, CallError> {
    let (mut rooms, mut present) = (Vec::new(), Present::default());
    for worker in &shared.workers {
        match worker.admin(request.clone()).await?.kind {
            Some(Reply::Rooms(answer)) => rooms.extend(answer.rooms),
            Some(Reply::Present(answer)) => {
                present.rooms.extend(answer.rooms);
                present.participants.extend(answer.participants);
            }
            _ => {}
        }
    }
    rooms.sort_by(|a, b| age(a).cmp(&age(b)));
    let kind = match &request.kind {
        Some(Kind::ListPresent(_)) => Reply::Present(present),
        _ => Reply::Rooms(ListRoomsResponse { rooms }),
    };
    Ok(AdminReply { kind: Some(kind) })
}

fn age(room: &Room) -> ((i64, i32), &str) {
    let created = room
        .created_at
        .as_ref()
        .map(|at| (at.seconds, at.nanos))
        .unwrap_or_default();
    (created, &room.name)
}
