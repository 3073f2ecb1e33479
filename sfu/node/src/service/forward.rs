//! Forwarding: a participant of this node appears in another room too. Owns the way to the worker that has it, and the
//! place in the other room until it is there. Must not judge who may be forwarded: the core does.

use std::{sync::Arc, time::Duration};

use plenum_proto::node::{
    AdminReply, CloseAction, Done, ForwardParticipant, admin_reply, session_event,
};
use sfu_core::{CommandError, Forward};
use tokio::{sync::mpsc, time::timeout};

use super::{Shared, admin::worker_behind};
use crate::{
    error::CallError,
    worker::{ForwardError, RequestError, WorkerHandle},
};

/// How long it may take until the other room has answered: the core gives up before.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Events of the beginning: the first one is read.
const EVENT_QUEUE: usize = 16;

/// Workers that are asked: a participant may move while it is looked for.
const HOPS: usize = 3;

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
    let mut worker = shared.worker_of(&forward.room);
    for hop in 0..=HOPS {
        let held = shared
            .directory
            .place_on(shared.index_of(worker), name, away);
        let control = shared.new_control();
        let (events, mut answer) = mpsc::channel(EVENT_QUEUE);
        let asked = worker
            .forward(control, forward.clone(), epochs, held.home(), events)
            .await;
        match asked {
            Ok(()) => {}
            Err(ForwardError::Request(RequestError::Refused(CommandError::Elsewhere { link })))
                if hop < HOPS =>
            {
                worker = worker_behind(shared, link)?;
                continue;
            }
            Err(ForwardError::Request(error)) => return Err(error.into()),
            Err(ForwardError::Destination(stale)) => {
                return Err(CallError::DestinationStale(stale));
            }
        }
        let first = timeout(TIMEOUT, answer.recv()).await;
        // Whatever came of it: no more is said to this one.
        let _ = worker.control_lost(control).await;
        drop(held);
        return match first.ok().flatten().and_then(|event| event.kind) {
            Some(session_event::Kind::Joined(_)) => Ok(AdminReply {
                kind: Some(admin_reply::Kind::Done(Done {})),
            }),
            Some(session_event::Kind::Closed(closed)) => Err(match closed.action() {
                // Its home is told anew.
                CloseAction::Reconnect => CallError::Destination(closed.message),
                _ => CallError::NoSeat(closed.message),
            }),
            _ => Err(CallError::JoinTimeout),
        };
    }
    Err(RequestError::NoAnswer.into())
}

impl Shared {
    /// Which of the workers one is.
    fn index_of(&self, worker: &WorkerHandle) -> usize {
        let mut all = self.workers.iter();
        all.position(|other| std::ptr::eq(other, worker))
            .unwrap_or(0)
    }
}
