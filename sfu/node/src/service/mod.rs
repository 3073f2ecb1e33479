//! The node's gRPC service: control connections, commands on rooms, room events, status.
//!
//! Owns the way from a call to the right worker. Must not judge requests: the core does, and
//! [`error`](crate::error) says what its refusals are on the wire.

mod admin;
mod empty;
mod forward;
mod session;
mod watch_events;

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use futures_util::Stream;
use plenum_proto::{
    node::{
        AdminReply, AdminRequest, CordonRequest, CordonResponse, DrainRequest, DrainResponse,
        FenceRequest, FenceResponse, HomeNode, Join, NodeStatus, SessionEvent, SessionRequest,
        StatusRequest, node_server::Node,
    },
    v1::{Event, WatchEventsRequest},
};
use sfu_core::{ControlId, LinkKey};
use tokio::sync::{Notify, watch};
use tokio_util::task::TaskTracker;
use tonic::{Request, Response, Status, Streaming};

use crate::{
    directory::{Directory, Held},
    egress::Egresses,
    error::CallError,
    events::EventLog,
    homes::{Homeless, Leaving},
    ingress::Ingresses,
    relay::Relay,
    stats::{NodeStats, WorkerStats},
    tcp::Tcp,
    turn::Turn,
    udp::Overflows,
    worker::WorkerHandle,
};

/// Name in the answer to `WatchEvents`, before the events: the sequence after which they begin. A reader that is cut off
/// before the first one goes on from there.
pub const EVENTS_AFTER: &str = "plenum-events-after";

pub(crate) use admin::room_of as admin_room;
pub(crate) use empty::drain;

/// Who a node is.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) node_id: String,
    pub(crate) region: String,
    pub(crate) started_at: SystemTime,
}

/// What the calls of a node share.
pub(crate) struct Shared {
    pub(crate) identity: Identity,
    pub(crate) join_timeout: Duration,
    /// At least one.
    pub(crate) workers: Vec<WorkerHandle>,
    pub(crate) udp_overflows: Overflows,
    pub(crate) tcp: Arc<Tcp>,
    pub(crate) turn: Option<Turn>,
    pub(crate) directory: Arc<Directory>,
    /// The way to other nodes.
    pub(crate) relay: Option<Arc<Relay>>,
    pub(crate) events: Arc<EventLog>,
    /// Tells of rooms that have lost their home on another node.
    pub(crate) homeless: Homeless,
    /// Rooms that are handed over.
    pub(crate) leaving: Leaving,
    /// Media that comes in without WebRTC.
    pub(crate) ingresses: Ingresses,
    /// Media that goes out without WebRTC.
    pub(crate) egresses: Egresses,
    /// Control connections; a node that stops waits for them to take their last events.
    pub(crate) sessions: TaskTracker,
    /// It ends, or is being emptied: nobody comes in.
    pub(crate) draining: AtomicBool,
    /// It ends.
    pub(crate) is_ending: AtomicBool,
    /// It takes no new rooms.
    pub(crate) cordoned: AtomicBool,
    /// Told when something changed that a control plane has to know at once.
    pub(crate) changed: Notify,
    /// Over which a drain moves rooms, unless it is told otherwise.
    pub(crate) drain_spread: Duration,
    pub(crate) drained: watch::Sender<bool>,
    pub(crate) next_control: AtomicU64,
}

impl Shared {
    /// The worker of a room that lives, or any: its core says that there is no such room.
    fn worker_of(&self, room: &str) -> usize {
        self.directory.find(room).unwrap_or(0)
    }

    /// The worker for somebody who joins; holds the place of the room.
    pub(crate) fn place_join(&self, join: &Join, away: Option<LinkKey>) -> (&WorkerHandle, Held) {
        let room = join.room.as_ref().map_or("", |room| &room.name);
        let held = self.directory.place_join(room, &join.identity, away);
        (&self.workers[held.worker()], held)
    }

    /// The way to the home of a room, when that is another node: asks it. What is here of the room
    /// by an older placement ends first.
    async fn find_home(
        &self,
        room: &str,
        home: Option<&HomeNode>,
    ) -> Result<Option<LinkKey>, CallError> {
        let is_away = |home: &&HomeNode| home.node_id != self.identity.node_id;
        let Some(home) = home.filter(is_away) else {
            return Ok(None);
        };
        let relay = self.relay.as_ref().ok_or(CallError::NoRelay)?;
        let found = relay.locate(home, room).await?;
        if home.epoch > 0 {
            self.fence(room, home.epoch).await;
        }
        Ok(Some(found))
    }

    pub(crate) fn relay_addresses(&self) -> &[String] {
        self.relay.as_ref().map_or(&[], |relay| relay.addresses())
    }

    pub(crate) fn new_control(&self) -> ControlId {
        ControlId(self.next_control.fetch_add(1, Ordering::Relaxed))
    }

    /// The epoch by which a room with this home was placed on this node; 0 when it was not.
    fn epoch_of(&self, home: Option<&HomeNode>) -> u64 {
        home.filter(|home| home.node_id == self.identity.node_id)
            .map_or(0, |home| home.epoch)
    }

    /// Why nobody comes in any more.
    fn going(&self) -> CallError {
        if self.is_ending.load(Ordering::Relaxed) {
            CallError::Draining
        } else {
            CallError::Moving
        }
    }

    pub(crate) fn is_cordoned(&self) -> bool {
        self.cordoned.load(Ordering::Relaxed)
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// The numbers as the workers last published them.
    pub(crate) fn stats(&self) -> NodeStats {
        self.sum(self.workers.iter().map(WorkerHandle::published))
    }

    /// The numbers of this moment.
    pub(crate) async fn fresh_stats(&self) -> NodeStats {
        let mut of_workers = Vec::with_capacity(self.workers.len());
        for worker in &self.workers {
            // One that gives no answer stands with its last word.
            of_workers.push(worker.stats().await.unwrap_or_else(|_| worker.published()));
        }
        self.sum(of_workers)
    }

    fn sum(&self, of_workers: impl IntoIterator<Item = WorkerStats>) -> NodeStats {
        let mut worker = WorkerStats::default();
        for stats in of_workers {
            worker.add(&stats);
        }
        NodeStats {
            worker,
            tcp: self.tcp.stats(),
            turn: self.turn.as_ref().map(Turn::stats).unwrap_or_default(),
            room_events: self.events.newest(),
            event_watchers: self.events.watchers(),
            workers: u64::try_from(self.workers.len()).unwrap_or(u64::MAX),
            udp_receive_overflows: self.udp_overflows.count(),
            relay: self.relay.as_ref().map(|r| r.stats()).unwrap_or_default(),
        }
    }
}

/// The gRPC service of a node; clones serve the same node.
#[derive(Clone)]
pub struct NodeService {
    shared: Arc<Shared>,
}

impl NodeService {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }
}

#[tonic::async_trait]
impl Node for NodeService {
    type SessionStream = Pin<Box<dyn Stream<Item = Result<SessionEvent, Status>> + Send>>;
    type WatchEventsStream = Pin<Box<dyn Stream<Item = Result<Event, Status>> + Send>>;

    async fn session(
        &self,
        request: Request<Streaming<SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        let events = session::open(Arc::clone(&self.shared), request.into_inner());
        Ok(Response::new(Box::pin(events)))
    }

    async fn admin(&self, request: Request<AdminRequest>) -> Result<Response<AdminReply>, Status> {
        Ok(Response::new(
            admin::call(&self.shared, request.into_inner()).await?,
        ))
    }

    async fn watch_events(
        &self,
        request: Request<WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        let WatchEventsRequest {
            room,
            after_sequence,
            from_first,
            // The caller knows which node it asks.
            after: _,
        } = request.into_inner();
        let watcher = self
            .shared
            .events
            .watch(&room, after_sequence, from_first)
            .map_err(CallError::from)?;
        let after = watcher.after();
        let mut answer: Response<Self::WatchEventsStream> =
            Response::new(Box::pin(watch_events::stream(watcher)));
        answer.metadata_mut().insert(EVENTS_AFTER, after.into());
        Ok(answer)
    }

    async fn fence(
        &self,
        request: Request<FenceRequest>,
    ) -> Result<Response<FenceResponse>, Status> {
        let FenceRequest { room, epoch } = request.into_inner();
        self.shared.fence(&room, epoch).await;
        Ok(Response::new(FenceResponse {}))
    }

    async fn cordon(
        &self,
        request: Request<CordonRequest>,
    ) -> Result<Response<CordonResponse>, Status> {
        let cordoned = request.into_inner().cordoned;
        self.shared.cordoned.store(cordoned, Ordering::Relaxed);
        self.shared.changed.notify_one();
        tracing::info!(cordoned, "cordon");
        Ok(Response::new(CordonResponse {}))
    }

    async fn drain(
        &self,
        request: Request<DrainRequest>,
    ) -> Result<Response<DrainResponse>, Status> {
        let spread = request.into_inner().spread.map(Duration::try_from);
        let spread = spread.transpose().map_err(|_| CallError::Spread)?;
        empty::begin(&self.shared, spread);
        Ok(Response::new(DrainResponse {}))
    }

    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<NodeStatus>, Status> {
        let core = self.shared.fresh_stats().await.worker.core;
        let count = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        Ok(Response::new(NodeStatus {
            node_id: self.shared.identity.node_id.clone(),
            region: self.shared.identity.region.clone(),
            epoch: self.shared.events.epoch().to_owned(),
            started_at: Some(self.shared.identity.started_at.into()),
            num_rooms: count(core.rooms),
            num_participants: count(core.participants),
            num_published_tracks: count(core.tracks),
            num_subscriptions: count(core.subscriptions),
            draining: self.shared.is_draining(),
            cordoned: self.shared.is_cordoned(),
            relay_addresses: self.shared.relay_addresses().to_vec(),
        }))
    }
}
