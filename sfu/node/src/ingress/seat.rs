//! The place of a source or sink in its room: a participant whose control connection is held here, and the way of its
//! packets to its worker. Must not know where packets come from or go.

use std::time::Duration;

use plenum_proto::{
    node::{
        Join, Joined, Leave, SessionEvent, SessionRequest, SessionShape, session_event,
        session_request,
    },
    v1::{CloseReason, ParticipantKind, Permissions, RoomConfig},
};
use sfu_core::{ControlId, PlainSection, PlainSink};
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

/// What a participant does in its room.
pub(crate) enum Part {
    /// It publishes what comes.
    Source(Vec<PlainSection>),
    /// What it subscribes to is sent there, with a keyframe at least so often where that is said.
    Sink(Vec<PlainSink>, Option<Duration>),
}

/// Who a participant is in its room.
#[derive(Debug, Clone)]
pub(crate) struct Who {
    pub(crate) room: String,
    pub(crate) identity: String,
    pub(crate) name: String,
    pub(crate) metadata: String,
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
pub(crate) struct Seat {
    pub(crate) participant_id: String,
    /// What it was told when it joined.
    pub(crate) joined: Joined,
    pub(super) way: Way,
    pub(crate) events: mpsc::Receiver<SessionEvent>,
    pub(super) rtcp: mpsc::Receiver<(u8, Vec<u8>)>,
    worker: WorkerHandle,
}

impl Seat {
    /// Joins a room that is there, and does its part.
    pub(crate) async fn take(shared: &Shared, who: &Who, part: Part) -> Result<Self, CallError> {
        let is_source = matches!(part, Part::Source(_));
        let kind = match is_source {
            true => ParticipantKind::Ingress,
            false => ParticipantKind::Egress,
        };
        let join = Join {
            room: Some(RoomConfig {
                name: who.room.clone(),
                ..RoomConfig::default()
            }),
            must_exist: true,
            identity: who.identity.clone(),
            name: who.name.clone(),
            metadata: who.metadata.clone(),
            kind: kind.into(),
            permissions: Some(Permissions {
                can_publish: is_source,
                can_subscribe: !is_source,
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
        let joined = match first.ok().flatten().and_then(|event| event.kind) {
            Some(session_event::Kind::Joined(joined)) => joined,
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
            participant_id: joined
                .participant
                .as_ref()
                .map(|p| p.id.clone())
                .unwrap_or_default(),
            joined,
            way: Way {
                control,
                plain: worker.plain(),
            },
            events: incoming,
            rtcp: outgoing,
            worker,
        };
        let done = match part {
            Part::Source(sections) => seat.worker.describe(control, sections, rtcp).await,
            Part::Sink(sinks, keyframes) => {
                let worker = &seat.worker;
                worker.send_plain(control, sinks, keyframes).await
            }
        };
        match done {
            Ok(()) => Ok(seat),
            Err(error) => {
                seat.leave().await;
                Err(error.into())
            }
        }
    }

    /// Asks something of the room.
    pub(crate) async fn ask(&self, kind: session_request::Kind) {
        let request = SessionRequest { kind: Some(kind) };
        // A worker that gives no answer has nobody left.
        let _ = self.worker.session(self.way.control, request).await;
    }

    /// Leaves the room.
    pub(crate) async fn leave(&self) {
        let leave = Leave {
            reason: CloseReason::ClientInitiated.into(),
        };
        self.ask(session_request::Kind::Leave(leave)).await;
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
