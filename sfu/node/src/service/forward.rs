//! Forwarding: a participant of this node appears in another room too. Owns its place in the other
//! room until it is there. Must not judge who may be forwarded: the core does.

use std::{sync::Arc, time::Duration};

use plenum_proto::node::{
    AdminReply, CloseAction, Done, ForwardParticipant, admin_reply, session_event,
};
use sfu_core::{Forward, LinkKey};
use tokio::{sync::mpsc, time::timeout};

use super::{Shared, admin::follow};
use crate::error::CallError;

/// How long it may take until the other room has answered: the core gives up before.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Events of the beginning: the first one is read.
const EVENT_QUEUE: usize = 16;

/// Answers a command; `epoch` is that of the room that the participant is in.
pub(super) async fn call(
    shared: &Arc<Shared>,
    epoch: u64,
    command: ForwardParticipant,
) -> Result<AdminReply, CallError> {
    let request = command.request.unwrap_or_default();
    let mut destination = command.destination.unwrap_or_default();
    destination.name = request.destination_room;
    let forward = Forward {
        room: request.room,
        identity: request.identity,
        destination,
        destination_id: command.destination_id,
    };
    let home = command.home.as_ref();
    let name = &forward.destination.name;
    let away = match shared.find_home(name, home).await {
        Err(CallError::Home(error)) => return Err(CallError::Destination(error.to_string())),
        found => found?,
    };
    let epochs = (epoch, shared.epoch_of(home));
    let ask = |worker| ask(shared, worker, &forward, epochs, away);
    follow(shared, shared.worker_of(&forward.room), ask).await
}

/// Has a worker forward a participant to a room whose home is `away`, or on this node.
async fn ask(
    shared: &Shared,
    index: usize,
    forward: &Forward,
    epochs: (u64, u64),
    away: Option<LinkKey>,
) -> Result<AdminReply, CallError> {
    let worker = &shared.workers[index];
    let name = &forward.destination.name;
    let held = shared.directory.place_on(index, name, away);
    let control = shared.new_control();
    let (events, mut answer) = mpsc::channel(EVENT_QUEUE);
    worker
        .forward(control, forward.clone(), epochs, held.home(), events)
        .await?;
    let first = timeout(TIMEOUT, answer.recv()).await;
    // Whatever came of it: no more is said to this one.
    let _ = worker.control_lost(control).await;
    drop(held);
    match first.ok().flatten().and_then(|event| event.kind) {
        Some(session_event::Kind::Joined(_)) => Ok(AdminReply {
            kind: Some(admin_reply::Kind::Done(Done {})),
        }),
        Some(session_event::Kind::Closed(closed)) => Err(match closed.action() {
            // Its home is told anew.
            CloseAction::Reconnect => CallError::Destination(closed.message),
            _ => CallError::NoSeat(closed.message),
        }),
        _ => Err(CallError::JoinTimeout),
    }
}
