//! What all connections of the gateway share. Owns the counts of open and waiting connections. Must
//! not hold anything of a room.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    config::SignalConfig,
    node::NodeForRoom,
    pending::{Pending, Waiting},
    rate::Rate,
    rates::Rates,
    refusal::Refusal,
    translate::{joined::Announced, model},
};
use crate::{auth::Keys, ice_servers::IceServers, signal::admission::Admission};

/// Connections that one participant may open: an SDK on a bad network asks once or twice a second.
const OWN_JOINS_PER_SECOND: u32 = 5;
const OWN_JOIN_BURST: u32 = 20;

/// Connections of one participant, beside its main one, that only publish: each is a stay of its own in the room.
const PUBLISH_ONLY: u32 = 4;

/// Where the gateway reports what happens; every method may be left out. Labels are closed sets.
pub trait SignalMetrics: Send + Sync + 'static {
    /// A connection was refused before it began; [`Refusal::label`].
    fn on_refused(&self, _why: &'static str) {}
    /// A node answered a join or resume; `how` is "joined", "resumed" or "closed".
    fn on_answered(&self, _how: &'static str, _took: Duration) {}
    /// A WebSocket is open.
    fn on_opened(&self) {}
    /// A WebSocket is closed; the label says why.
    fn on_closed(&self, _why: &'static str) {}
    /// A frame came from a client.
    fn on_frame(&self, _bytes: usize) {}
    /// A message of a client was ignored; the label says why.
    fn on_ignored(&self, _why: &'static str) {}
}

/// Counts nothing.
impl SignalMetrics for () {}

/// What all connections share; cheap to clone.
#[derive(Clone)]
pub struct SignalState {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) nodes: Arc<dyn NodeForRoom>,
    pub(super) keys: Arc<Keys>,
    pub(super) config: SignalConfig,
    ice: IceServers,
    pub(super) metrics: Arc<dyn SignalMetrics>,
    pub(super) closing: CancellationToken,
    pub(super) tasks: TaskTracker,
    pending: Pending,
    publish_only: Pending,
    places: Arc<Semaphore>,
    joins: Mutex<Rate>,
    own_joins: Rates,
}

impl SignalState {
    /// A gateway to `nodes`. `config` must be free of [mistakes](SignalConfig::mistakes).
    pub fn new(
        nodes: Arc<dyn NodeForRoom>,
        keys: Arc<Keys>,
        config: SignalConfig,
        ice: IceServers,
        metrics: Arc<dyn SignalMetrics>,
    ) -> Self {
        let shared = Shared {
            nodes,
            keys,
            ice,
            places: Arc::new(Semaphore::new(
                config.max_connections.min(Semaphore::MAX_PERMITS),
            )),
            joins: Mutex::new(Rate::new(
                Instant::now(),
                config.joins_per_second,
                config.join_burst,
            )),
            config,
            metrics,
            closing: CancellationToken::new(),
            tasks: TaskTracker::new(),
            pending: Pending::default(),
            publish_only: Pending::default(),
            own_joins: Rates::new(OWN_JOINS_PER_SECOND, OWN_JOIN_BURST),
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Refuses new connections, sends everybody to another replica, and waits until the last is
    /// gone. Stays are kept by the nodes, so calls go on.
    pub async fn close(&self) {
        self.shared.closing.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }

    /// WebSockets that are open.
    pub fn open_connections(&self) -> usize {
        self.shared.tasks.len()
    }
}

/// What a connection holds of the shared counts while it lives.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
    /// Among those of its participant that only publish, if it is one.
    _second: Option<Waiting>,
}

impl Shared {
    /// What a participant of a room is told of how we are configured; `is_direct` when its media may go to
    /// another participant.
    pub(super) fn announced(&self, room: &str, identity: &str, is_direct: bool) -> Announced {
        let seconds = |span: Duration| i32::try_from(span.as_secs()).unwrap_or(i32::MAX);
        let told = if is_direct {
            self.ice.direct_ice_servers(room, identity)
        } else {
            self.ice.ice_servers(room, identity)
        };
        Announced {
            ice_servers: told.into_iter().map(model::ice_server).collect(),
            ping_interval: seconds(self.config.ping_interval),
            ping_timeout: seconds(self.config.ping_timeout),
        }
    }

    /// Takes a place among the open connections and one among those that wait for their first
    /// answer.
    pub(super) fn enter(&self, admission: &Admission) -> Result<(Place, Waiting), Refusal> {
        if self.closing.is_cancelled() {
            return Err(Refusal::Closing);
        }
        // First what concerns the participant alone: nobody uses up what is there for all.
        let (now, subject) = (Instant::now(), admission.subject());
        if !self.own_joins.take(now, &subject) {
            return Err(Refusal::TooManyPending);
        }
        let second = match admission.is_publish_only {
            true => Some(
                self.publish_only
                    .enter(subject.clone(), PUBLISH_ONLY)
                    .ok_or(Refusal::TooManyOpen)?,
            ),
            false => None,
        };
        let waiting = self
            .pending
            .enter(subject, self.config.max_pending_per_participant)
            .ok_or(Refusal::TooManyPending)?;
        // A bucket is never half changed.
        let mut joins = self.joins.lock().unwrap_or_else(PoisonError::into_inner);
        if !joins.take(now) {
            return Err(Refusal::Crowded);
        }
        drop(joins);
        let permit = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| Refusal::Full)?;
        let place = Place {
            _permit: permit,
            _second: second,
        };
        Ok((place, waiting))
    }
}
