//! The place of a source in its room: a participant of kind INGRESS whose control connection is held here, and the way
//! of its packets to its worker. Must not know where packets come from.

use std::time::Duration;

use plenum_proto::{
    node::{
        Join, Leave, SessionEvent, SessionRequest, SessionShape, session_event, session_request,
    },
    v1::{CloseReason, ParticipantKind, Permissions, RoomConfig},
};
use sfu_core::{ControlId, PlainSection};
use tokio::{sync::mpsc, time::timeout};

use crate::{
    error::CallError,
    service::Shared,
    worker::{PlainInput, WorkerHandle},
};

/// Events that wait to be read.
const EVENT_QUEUE: usize = 64;

/// RTCP that waits to be sent.
const RTCP_QUEUE: usize = 64;

/// How long a join may take: one that waits for another shard is answered in less.
const JOIN_TIMEOUT: Duration = Duration::from_secs(10);

/// Who a source is in its room.
#[derive(Debug, Clone)]
pub(super) struct Who {
    pub(super) room: String,
    pub(super) identity: String,
    pub(super) name: String,
    pub(super) metadata: String,
}

/// The way of packets to a worker.
#[derive(Clone)]
pub(super) struct Way {
    control: ControlId,
    plain: mpsc::Sender<PlainInput>,
}

impl Way {
    /// Hands a packet over; it is lost when the worker is behind.
    pub(super) fn give(&self, section: u8, bytes: &[u8]) {
        let input = PlainInput {
            control: self.control,
            section,
            bytes: bytes.to_vec(),
        };
        let _ = self.plain.try_send(input);
    }
}

/// A participant.
pub(super) struct Seat {
    pub(super) participant_id: String,
    pub(super) way: Way,
    pub(super) events: mpsc::Receiver<SessionEvent>,
    pub(super) rtcp: mpsc::Receiver<(u8, Vec<u8>)>,
    worker: WorkerHandle,
}

impl Seat {
    /// Joins a room that is there, and publishes what the sections describe.
    pub(super) async fn take(
        shared: &Shared,
        who: &Who,
        sections: Vec<PlainSection>,
    ) -> Result<Self, CallError> {
        let join = Join {
            room: Some(RoomConfig {
                name: who.room.clone(),
                ..RoomConfig::default()
            }),
            must_exist: true,
            identity: who.identity.clone(),
            name: who.name.clone(),
            metadata: who.metadata.clone(),
            kind: ParticipantKind::Ingress.into(),
            permissions: Some(Permissions {
                can_publish: true,
                ..Permissions::default()
            }),
            shape: SessionShape::Plain.into(),
            ..Join::default()
        };
        let control = shared.new_control();
        let (events, mut incoming) = mpsc::channel(EVENT_QUEUE);
        let (worker, held) = shared.place_join(&join, None);
        let worker = worker.clone();
        worker.join(control, join, 0, held.home(), events).await?;
        drop(held);
        let first = timeout(JOIN_TIMEOUT, incoming.recv()).await;
        let participant_id = match first.ok().flatten().and_then(|event| event.kind) {
            Some(session_event::Kind::Joined(joined)) => joined.participant.unwrap_or_default().id,
            Some(session_event::Kind::Closed(closed)) => {
                return Err(CallError::NoSeat(closed.message));
            }
            _ => {
                let _ = worker.control_lost(control).await;
                return Err(CallError::JoinTimeout);
            }
        };
        let (rtcp, outgoing) = mpsc::channel(RTCP_QUEUE);
        let seat = Self {
            participant_id,
            way: Way {
                control,
                plain: worker.plain(),
            },
            events: incoming,
            rtcp: outgoing,
            worker,
        };
        match seat.worker.describe(control, sections, rtcp).await {
            Ok(()) => Ok(seat),
            Err(error) => {
                seat.leave().await;
                Err(error.into())
            }
        }
    }

    /// Leaves the room.
    pub(super) async fn leave(&self) {
        let leave = Leave {
            reason: CloseReason::ClientInitiated.into(),
        };
        let request = SessionRequest {
            kind: Some(session_request::Kind::Leave(leave)),
        };
        // A worker that gives no answer has nobody left.
        let _ = self.worker.session(self.way.control, request).await;
    }
}

/// Waits until a stay ends by somebody else's will; says why.
pub(super) async fn ended(events: &mut mpsc::Receiver<SessionEvent>) -> String {
    while let Some(event) = events.recv().await {
        if let Some(session_event::Kind::Closed(closed)) = event.kind {
            return format!("{:?} {}", closed.reason(), closed.message);
        }
    }
    "the worker let go of it".to_owned()
}
