//! The board and the way to each worker on it. Owns the lock around both, the commits it wants, and the tokens of
//! agents. Must not decide who gets a job.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use livekit_protocol::{self as lk, server_message::Message as Tell};
use prost::Message as _;
use tokio::sync::{
    Notify, Semaphore,
    mpsc::{self, Receiver, Sender},
};
use tokio_util::sync::CancellationToken;

use super::{
    AgentsConfig,
    board::{Act, Assignment, Board, Now, RegisterError, WorkerKey, Writing},
    book::job_key,
};
use crate::{
    auth::{Keys, MintRequest, VideoGrants},
    cluster::{Cluster, key},
    signal::{COMPATIBLE_VERSION, PROTOCOL},
    store::{Commit, Is, LeaseId, Outcome, Revision, StoreError},
    twirp::permissions,
};

/// Messages that wait for a worker; past it the worker counts as lost.
const QUEUE: usize = 1_024;

/// How long the token of a job lets its agent join.
const TOKEN_TTL: Duration = Duration::from_secs(3600);

/// Commits at once.
const MAX_COMMITS: usize = 16;

/// The worker protocol that we speak.
const AGENT_PROTOCOL: i32 = 1;

/// Who gets which job, and how they are told.
pub(crate) struct Hub {
    keys: Arc<Keys>,
    cluster: Arc<Cluster>,
    pub(super) config: AgentsConfig,
    lease: LeaseId,
    commits: Arc<Semaphore>,
    state: Mutex<State>,
    /// A worker has come.
    needed: Notify,
    pub(super) closing: CancellationToken,
}

struct State {
    board: Board,
    links: BTreeMap<WorkerKey, Link>,
}

struct Link {
    sender: Sender<Tell>,
    /// The API key of the worker's own token signs those of its agents.
    api_key: String,
}

impl Hub {
    /// For a replica of which `own` names this run.
    pub(crate) fn new(
        keys: Arc<Keys>,
        cluster: Arc<Cluster>,
        config: AgentsConfig,
        own: &str,
    ) -> Arc<Self> {
        let state = State {
            board: Board::new(own.to_owned(), config.return_timeout),
            links: BTreeMap::new(),
        };
        Arc::new(Self {
            keys,
            cluster,
            config,
            lease: LeaseId::of(&format!("agents/{own}")),
            commits: Arc::new(Semaphore::new(MAX_COMMITS)),
            state: Mutex::new(state),
            needed: Notify::new(),
            closing: CancellationToken::new(),
        })
    }

    /// Sends all workers away: they go to other replicas, and keep their jobs.
    pub(crate) fn close(&self) {
        self.closing.cancel();
    }

    pub(super) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(super) fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    pub(super) fn lease(&self) -> LeaseId {
        self.lease
    }

    /// Waits until there is a worker.
    pub(super) async fn until_needed(&self) {
        while self.is_idle() {
            self.needed.notified().await;
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        self.lock().board.is_idle()
    }

    pub(super) fn forget(&self) {
        self.lock().board.forget();
    }

    /// Takes a worker; what it is told comes out of the receiver, which ends when it is too slow.
    pub(super) fn register(
        self: &Arc<Self>,
        api_key: &str,
        request: lk::RegisterWorkerRequest,
    ) -> Result<(WorkerKey, Receiver<Tell>), RegisterError> {
        let mut state = self.lock();
        // Not the same as that of any replica before or beside us.
        let key = WorkerKey(rand::random());
        let (sender, receiver) = mpsc::channel(QUEUE);
        let acts = state.board.register(Now::read(), key, request)?;
        let registered = lk::RegisterWorkerResponse {
            worker_id: key.id(),
            server_info: Some(server_info()),
            ..Default::default()
        };
        // Before anything else is said; there is room.
        let _ = sender.try_send(Tell::Register(registered));
        let link = Link {
            sender,
            api_key: api_key.to_owned(),
        };
        state.links.insert(key, link);
        self.perform(&mut state, acts);
        drop(state);
        self.needed.notify_one();
        Ok((key, receiver))
    }

    pub(super) fn lost(self: &Arc<Self>, key: WorkerKey) {
        let mut state = self.lock();
        state.links.remove(&key);
        let acts = state.board.on_lost(Now::read(), key);
        self.perform(&mut state, acts);
    }

    /// Something happened: changes the board, and does what follows.
    pub(super) fn change(self: &Arc<Self>, change: impl FnOnce(&mut Board, Now) -> Vec<Act>) {
        let mut state = self.lock();
        let acts = change(&mut state.board, Now::read());
        self.perform(&mut state, acts);
    }

    fn perform(self: &Arc<Self>, state: &mut State, acts: Vec<Act>) {
        for act in acts {
            let (key, told) = match act {
                Act::Write(writing) => {
                    self.write(*writing);
                    continue;
                }
                Act::Tell(key, told) => (key, Some(*told)),
                Act::Assign(key, assignment) => {
                    let link = state.links.get(&key);
                    (
                        key,
                        link.and_then(|link| self.assignment(&link.api_key, *assignment)),
                    )
                }
            };
            let sent = match (state.links.get(&key), told) {
                (Some(link), Some(told)) => link.sender.try_send(told).is_ok(),
                _ => false,
            };
            if !sent {
                // Its socket ends with the link, and says that it is lost.
                state.links.remove(&key);
            }
        }
    }

    fn write(self: &Arc<Self>, writing: Writing) {
        let hub = Arc::clone(self);
        tokio::spawn(async move {
            let commits = Arc::clone(&hub.commits);
            // Never closed.
            let _turn = commits.acquire().await;
            let done = hub.commit(&writing).await.unwrap_or_else(|error| {
                tracing::debug!(%error, "the record of a job was not written");
                None
            });
            hub.change(|board, now| board.on_written(now, writing, done));
        });
    }

    async fn commit(&self, writing: &Writing) -> Result<Option<Revision>, StoreError> {
        let key = job_key(&writing.at);
        let commit = Commit::default().when(&key, writing.is);
        let commit = match &writing.record {
            Some(record) => {
                let commit = commit.when(key::room(&writing.room), Is::Present);
                let value = record.encode_to_vec();
                if writing.is_leased {
                    // Kept by `watch`; the first claim may come before its first renewal.
                    let ttl = self.cluster.lease();
                    self.cluster.store().lease(self.lease, ttl).await?;
                    commit.put_leased(key, value, self.lease)
                } else {
                    commit.put(key, value)
                }
            }
            None => commit.delete(key),
        };
        match self.cluster.store().commit(commit).await? {
            Outcome::Done(revision) => Ok(Some(revision)),
            Outcome::Conflict => Ok(None),
        }
    }

    fn assignment(&self, api_key: &str, assignment: Assignment) -> Option<Tell> {
        let Assignment {
            job,
            identity,
            name,
            metadata,
            attributes,
            permissions: allowed,
        } = assignment;
        let room = job.room.as_ref().map(|room| room.name.clone());
        let mut grants = VideoGrants {
            room_join: true,
            room: room.unwrap_or_default(),
            agent: true,
            ..VideoGrants::default()
        };
        grants.set_permissions(&permissions(allowed));
        let request = MintRequest {
            identity,
            name,
            metadata,
            attributes,
            kind: "agent".into(),
            grants,
            ttl: TOKEN_TTL,
            ..MintRequest::default()
        };
        let token = self
            .keys
            .mint(api_key, request)
            .inspect_err(|error| tracing::warn!(%error, "no token for an agent"))
            .ok()?;
        Some(Tell::Assignment(lk::JobAssignment {
            job: Some(job),
            url: None,
            token,
        }))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // The board stays whole if a change of it panics half-way: it only loses that change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn server_info() -> lk::ServerInfo {
    lk::ServerInfo {
        version: COMPATIBLE_VERSION.into(),
        protocol: PROTOCOL,
        agent_protocol: AGENT_PROTOCOL,
        ..Default::default()
    }
}
