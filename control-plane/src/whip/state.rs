//! What all sessions share. Owns the table of sessions and the counts that limit them. Must not hold
//! anything of a room.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{admission::Purpose, problem::Problem, session::Session};
use crate::{
    auth::Keys,
    config::WhipConfig,
    ice_servers::IceServers,
    signal::{
        NodeForRoom, Refusal, SignalConfig,
        pending::{Pending, Subject, Waiting},
        rates::Rates,
    },
};

/// What all sessions share; cheap to clone.
#[derive(Clone)]
pub struct WhipState {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    pub(super) nodes: Arc<dyn NodeForRoom>,
    pub(super) keys: Arc<Keys>,
    pub(super) config: WhipConfig,
    /// What holds for participants however they come.
    pub(super) signal: SignalConfig,
    pub(super) ice: IceServers,
    pub(super) closing: CancellationToken,
    pub(super) tasks: TaskTracker,
    sessions: Mutex<HashMap<String, Arc<Session>>>,
    pending: Pending,
    rates: Rates,
    /// Of those who play: a token may be given to a whole audience.
    audience_rates: Rates,
    places: Arc<Semaphore>,
}

/// How many times more than one publisher an audience with one token may ask for and leave unconnected.
const AUDIENCE: u32 = 40;

/// What a session holds of the shared counts.
pub(super) struct Place {
    _permit: OwnedSemaphorePermit,
}

impl WhipState {
    /// A gateway to `nodes`. Both configurations must be free of mistakes.
    pub fn new(
        nodes: Arc<dyn NodeForRoom>,
        keys: Arc<Keys>,
        config: WhipConfig,
        signal: SignalConfig,
        ice: IceServers,
    ) -> Self {
        let shared = Shared {
            nodes,
            keys,
            signal,
            ice,
            closing: CancellationToken::new(),
            tasks: TaskTracker::new(),
            sessions: Mutex::default(),
            pending: Pending::default(),
            rates: Rates::new(config.posts_per_second, config.post_burst),
            audience_rates: Rates::new(
                config.posts_per_second.saturating_mul(AUDIENCE),
                config.post_burst.saturating_mul(AUDIENCE),
            ),
            places: Arc::new(Semaphore::new(config.max_sessions as usize)),
            config,
        };
        Self {
            shared: Arc::new(shared),
        }
    }

    /// Refuses new sessions and lets go of those there are, which ends them at the node; returns when the
    /// last is gone.
    pub async fn close(&self) {
        self.shared.closing.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
    }

    /// Sessions that are open.
    pub fn open_sessions(&self) -> usize {
        self.shared.tasks.len()
    }
}

impl Shared {
    /// Takes a place among all sessions, and one among those of this token that are not connected.
    pub(super) fn enter(
        &self,
        owner: &Subject,
        purpose: &Purpose,
    ) -> Result<(Place, Waiting), Problem> {
        if self.closing.is_cancelled() {
            return Err(Refusal::Closing.into());
        }
        let most = self.config.max_pending_per_token;
        let (rates, most) = match purpose {
            Purpose::Publish => (&self.rates, most),
            Purpose::Play { .. } => (&self.audience_rates, most.saturating_mul(AUDIENCE)),
        };
        if !rates.take(Instant::now(), owner) {
            return Err(Problem::TooFast);
        }
        let permit = Arc::clone(&self.places)
            .try_acquire_owned()
            .map_err(|_| Refusal::Full)?;
        let waiting = self
            .pending
            .enter(owner.clone(), most)
            .ok_or(Refusal::TooManyPending)?;
        Ok((Place { _permit: permit }, waiting))
    }

    pub(super) fn session(&self, id: &str) -> Result<Arc<Session>, Problem> {
        self.sessions().get(id).cloned().ok_or(Problem::NoSession)
    }

    pub(super) fn insert(&self, session: Arc<Session>) {
        self.sessions().insert(session.id.clone(), session);
    }

    pub(super) fn remove(&self, id: &str) {
        self.sessions().remove(id);
    }

    /// No entry can be half changed, so a panic elsewhere does not spoil the map.
    fn sessions(&self) -> MutexGuard<'_, HashMap<String, Arc<Session>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
