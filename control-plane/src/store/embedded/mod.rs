//! The store inside this process, in memory or in a file of its own. For one control plane alone: nobody else
//! sees it. Owns the thread that all commits go through, in order and in batches, so that a disk is waited
//! for once for many. Must not lose what it acknowledged: with a file, a commit is answered when it is on
//! the disk.

mod file;
mod state;

use std::{
    io,
    path::Path,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};
use tokio::sync::{RwLock, mpsc, oneshot, watch};

use super::{
    Change, Changes, Commit, Entry, LeaseId, Listed, Outcome, Revision, Store, StoreError,
};
use file::File;
use state::{Batch, State};

pub use file::OpenError;

/// Commits that wait for the thread; past it their callers wait.
const QUEUE: usize = 4096;

/// Commits that go to the disk together.
const BATCH: usize = 512;

/// How often the thread looks for leases that are over.
const LEASE_TICK: Duration = Duration::from_millis(100);

/// The store inside this process; clones are the same store.
#[derive(Clone)]
pub struct Embedded {
    state: Arc<RwLock<State>>,
    asked: mpsc::Sender<Asked>,
    newest: watch::Receiver<Revision>,
}

/// What the thread is asked for.
enum Asked {
    Commit(Commit, oneshot::Sender<Result<Outcome, StoreError>>),
    Lease(LeaseId, Duration, oneshot::Sender<Result<bool, StoreError>>),
    Revoke(LeaseId, oneshot::Sender<Result<(), StoreError>>),
}

impl Embedded {
    /// A store that is gone with the process.
    pub fn in_memory() -> Self {
        Self::start(State::empty(), None)
    }

    /// A store in a file, which is made if it is not there. Leases that were alive when the last process
    /// ended have their whole time again from now on.
    ///
    /// # Errors
    /// The file cannot be used: another process has it, it is another program's, or the disk says no.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let (file, state) = File::open(path, Instant::now())?;
        Ok(Self::start(state, Some(file)))
    }

    fn start(state: State, file: Option<File>) -> Self {
        let (asked, queue) = mpsc::channel(QUEUE);
        let (tell, newest) = watch::channel(state.revision());
        let state = Arc::new(RwLock::new(state));
        let thread = Writer {
            state: Arc::clone(&state),
            file,
            tell,
        };
        // A system that gives no thread at the start gives no service either: whoever asks is told.
        let started = thread::Builder::new()
            .name("store".to_owned())
            .spawn(move || {
                if let Err(error) = thread.run(queue) {
                    tracing::error!(%error, "the store has no clock");
                }
            });
        if let Err(error) = started {
            tracing::error!(%error, "the store has no thread");
        }
        Self {
            state,
            asked,
            newest,
        }
    }

    /// As in memory, but on the clock of the runtime that calls, which may be a virtual one.
    #[cfg(test)]
    pub(crate) fn in_virtual_time() -> Self {
        let (asked, queue) = mpsc::channel(QUEUE);
        let state = State::empty();
        let (tell, newest) = watch::channel(state.revision());
        let state = Arc::new(RwLock::new(state));
        let writer = Writer {
            state: Arc::clone(&state),
            file: None,
            tell,
        };
        tokio::spawn(writer.run_here(queue));
        Self {
            state,
            asked,
            newest,
        }
    }

    async fn ask<T>(
        &self,
        asked: impl FnOnce(oneshot::Sender<Result<T, StoreError>>) -> Asked,
    ) -> Result<T, StoreError> {
        let gone = || StoreError::Unavailable("the store has stopped".to_owned());
        let (reply, answer) = oneshot::channel();
        self.asked.send(asked(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

#[tonic::async_trait]
impl Store for Embedded {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        Ok(self.state.read().await.get(key))
    }

    async fn list(&self, prefix: &str, after: &str, limit: usize) -> Result<Listed, StoreError> {
        Ok(self.state.read().await.list(prefix, after, limit))
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        state::check(&commit)?;
        self.ask(|reply| Asked::Commit(commit, reply)).await
    }

    async fn lease(&self, id: LeaseId, ttl: Duration) -> Result<bool, StoreError> {
        self.ask(|reply| Asked::Lease(id, ttl, reply)).await
    }

    async fn revoke(&self, id: LeaseId) -> Result<(), StoreError> {
        self.ask(|reply| Asked::Revoke(id, reply)).await
    }

    async fn watch(&self, prefix: &str, revision: Revision) -> Result<Changes, StoreError> {
        let follow = Follow {
            state: Arc::clone(&self.state),
            newest: self.newest.clone(),
            prefix: prefix.to_owned(),
            after: revision,
        };
        Ok(stream::unfold(Some(follow), next_batch).flatten().boxed())
    }
}

struct Follow {
    state: Arc<RwLock<State>>,
    newest: watch::Receiver<Revision>,
    prefix: String,
    after: Revision,
}

type Batched = stream::Iter<std::vec::IntoIter<Result<Change, StoreError>>>;

/// What happened since the last time; waits until something has.
async fn next_batch(follow: Option<Follow>) -> Option<(Batched, Option<Follow>)> {
    let mut follow = follow?;
    loop {
        follow.newest.mark_unchanged();
        let seen = follow
            .state
            .read()
            .await
            .since(&follow.prefix, follow.after);
        let Some((changes, revision)) = seen else {
            let lost = StoreError::Unavailable("older changes are no longer kept".to_owned());
            return Some((stream::iter(vec![Err(lost)]), None));
        };
        follow.after = revision;
        if !changes.is_empty() {
            let changes: Vec<_> = changes.into_iter().map(Ok).collect();
            return Some((stream::iter(changes), Some(follow)));
        }
        follow.newest.changed().await.ok()?;
    }
}

/// The thread that changes the state.
struct Writer {
    state: Arc<RwLock<State>>,
    file: Option<File>,
    tell: watch::Sender<Revision>,
}

impl Writer {
    fn run(mut self, mut queue: mpsc::Receiver<Asked>) -> io::Result<()> {
        // Its own, so that it can end after the one of the process.
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()?;
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let waited = runtime.block_on(async {
                let received = queue.recv_many(&mut batch, BATCH);
                tokio::time::timeout(LEASE_TICK, received).await
            });
            // Nobody is left who could ask.
            if waited == Ok(0) {
                return Ok(());
            }
            let state = Arc::clone(&self.state);
            let taken = self.take(&mut state.blocking_write(), Instant::now(), &mut batch);
            self.answer(taken);
        }
    }

    /// The same as a task of the caller's runtime, on its clock.
    #[cfg(test)]
    async fn run_here(mut self, mut queue: mpsc::Receiver<Asked>) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let received = queue.recv_many(&mut batch, BATCH);
            if tokio::time::timeout(LEASE_TICK, received).await == Ok(0) {
                return;
            }
            let (state, now) = (Arc::clone(&self.state), tokio::time::Instant::now());
            let mut state = state.write().await;
            let taken = self.take(&mut state, now.into_std(), &mut batch);
            drop(state);
            self.answer(taken);
        }
    }

    /// Does what was asked, all of it in one write to the disk.
    fn take(&mut self, state: &mut State, now: Instant, asked: &mut Vec<Asked>) -> Taken {
        let mut batch = Batch::new(state, now);
        let mut answers: Vec<Answer> = Vec::with_capacity(asked.len());
        for asked in asked.drain(..) {
            // Nobody listens where a caller has gone; what it asked for happened all the same.
            match asked {
                Asked::Commit(commit, reply) => {
                    let outcome = batch.commit(commit);
                    answers.push(Box::new(move |failed| {
                        drop(reply.send(failed.map_or(Ok(outcome), Err)));
                    }));
                }
                Asked::Lease(id, ttl, reply) => {
                    let fresh = batch.lease(id, ttl);
                    answers.push(Box::new(move |failed| {
                        drop(reply.send(failed.map_or(Ok(fresh), Err)));
                    }));
                }
                Asked::Revoke(id, reply) => {
                    batch.revoke(id);
                    answers.push(Box::new(move |failed| {
                        drop(reply.send(failed.map_or(Ok(()), Err)));
                    }));
                }
            }
        }
        batch.expire();
        let done = batch.finish();
        let failed = match &mut self.file {
            Some(file) if done.is_to_keep => file.write(&done).err(),
            _ => None,
        };
        if let Some(error) = &failed {
            tracing::error!(%error, "the store's file cannot be written");
        } else {
            state.apply(done);
        }
        Taken {
            revision: state.revision(),
            failed: failed.map(|error| StoreError::Refused(error.to_string())),
            answers,
        }
    }

    /// Tells watchers and callers, once the state can be read again.
    fn answer(&self, taken: Taken) {
        self.tell.send_if_modified(|newest| {
            let is_newer = *newest != taken.revision;
            *newest = taken.revision;
            is_newer
        });
        for answer in taken.answers {
            answer(taken.failed.clone());
        }
    }
}

type Answer = Box<dyn FnOnce(Option<StoreError>) + Send>;

/// What became of a batch.
struct Taken {
    revision: Revision,
    failed: Option<StoreError>,
    answers: Vec<Answer>,
}
