//! Delivering what waits in the outbox. Owns the order, the pace of attempts and the end of patience. Must not send
//! ([`super::post`] does) nor keep anything that the store does not have.
//!
//! What goes to one URL about one room is a lane: its next delivery begins when the one before has been taken, or
//! given up. Lanes do not wait for each other.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::{Duration, SystemTime},
};

use futures_util::StreamExt as _;
use plenum_proto::cluster::Delivery;
use rand::Rng as _;
use tokio::{sync::Semaphore, task::JoinSet, time::sleep};

use super::{
    WebhookConfig,
    outbox::{self, Outbox, OutboxError},
    post::{Letter, Post},
};
use crate::{
    cluster::{Cluster, Since, Term},
    metrics::{Backlog, WebhookEnd, Webhooks},
};

/// Between the first attempts; twice as long each time.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// Longest time between attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(300);

/// Between attempts to reach nodes or the store.
const RETRY: Duration = Duration::from_millis(500);

/// Delivers for as long as it leads.
pub(super) struct Deliverer {
    pub(super) cluster: Arc<Cluster>,
    pub(super) post: Post,
    pub(super) config: WebhookConfig,
    pub(super) metrics: Webhooks,
    /// What the running term works on.
    pub(super) work: Mutex<Weak<Work>>,
}

/// A URL and a room.
type Lane = (String, String);

/// What waits, as far as it is in memory: all of it.
#[derive(Default)]
struct Waiting {
    lanes: HashMap<Lane, VecDeque<Delivery>>,
    /// How many by URL.
    counts: HashMap<String, usize>,
}

/// What the lanes of one term share.
pub(super) struct Work {
    own: Arc<Deliverer>,
    term: Term,
    waiting: Mutex<Waiting>,
    attempts: Semaphore,
}

impl Deliverer {
    /// Reads events and delivers, until the term is over.
    pub(super) async fn run(self: &Arc<Self>, term: Term) {
        let store = Arc::clone(self.cluster.store());
        let (mut outbox, waiting) = match Outbox::open(store, term.clone()).await {
            Ok(opened) => opened,
            Err(error) => {
                tracing::warn!(%error, "the outbox of webhooks cannot be read");
                return;
            }
        };
        let work = Arc::new(Work {
            own: Arc::clone(self),
            term,
            waiting: Mutex::default(),
            attempts: Semaphore::new(self.config.max_concurrent as usize),
        });
        *self.work.lock().unwrap_or_else(PoisonError::into_inner) = Arc::downgrade(&work);
        let mut lanes = JoinSet::new();
        for delivery in waiting {
            work.push(delivery, &mut lanes);
        }
        loop {
            match self.follow(&work, &mut outbox, &mut lanes).await {
                Ok(()) => {}
                Err(OutboxError::Deposed) => return,
                Err(OutboxError::Store(error)) => {
                    // What was not written is read again.
                    tracing::warn!(%error, "the outbox of webhooks cannot be written");
                }
            }
            sleep(RETRY).await;
        }
    }

    /// What waits; nothing where another replica delivers.
    pub(super) fn backlog(&self) -> Backlog {
        let work = self.work.lock().unwrap_or_else(PoisonError::into_inner);
        work.upgrade()
            .map(|work| work.backlog())
            .unwrap_or_default()
    }

    /// Puts what happens into the outbox, until the nodes' events end or the store fails.
    async fn follow(
        &self,
        work: &Arc<Work>,
        outbox: &mut Outbox,
        lanes: &mut JoinSet<()>,
    ) -> Result<(), OutboxError> {
        let since = Since {
            by_epoch: outbox.read_so_far(),
            of_only: 0,
            // What happened before anybody wanted to know is not told.
            from_first: !outbox.is_new() || self.cluster.is_whole(),
            // A meeting where people only speak for hours leaves the last webhook far behind.
            skips_gaps: true,
        };
        let mut events = match self.cluster.watch("", since).await {
            Ok(events) => events,
            Err(status) => {
                tracing::warn!(problem = status.message(), "nodes cannot be followed");
                return Ok(());
            }
        };
        while let Some(event) = events.next().await {
            let event = match event {
                Ok(event) => event,
                Err(status) => {
                    let problem = status.message();
                    tracing::error!(problem, "events were lost: webhooks are missing");
                    return Ok(());
                }
            };
            // Lanes that have ended.
            while lanes.try_join_next().is_some() {}
            // A receiver that takes nothing costs the others nothing.
            let (open, full): (Vec<_>, Vec<_>) = {
                let waiting = work.lock();
                let most = self.config.max_waiting as usize;
                let count = |url: &String| waiting.counts.get(url).copied().unwrap_or_default();
                let urls = self.config.urls.iter().cloned();
                urls.partition(|url| count(url) < most)
            };
            full.iter()
                .for_each(|_| self.metrics.ended(WebhookEnd::Dropped));
            for delivery in outbox.take(event, &open).await? {
                work.push(delivery, lanes);
            }
        }
        Ok(())
    }
}

impl Work {
    fn backlog(&self) -> Backlog {
        let waiting = self.lock();
        let heads = waiting.lanes.values().filter_map(VecDeque::front);
        let oldest = heads.filter_map(age).max().unwrap_or_default();
        Backlog {
            waiting: waiting.counts.values().sum(),
            oldest,
        }
    }

    fn push(self: &Arc<Self>, delivery: Delivery, lanes: &mut JoinSet<()>) {
        let lane = (delivery.url.clone(), delivery.room.clone());
        let mut waiting = self.lock();
        *waiting.counts.entry(delivery.url.clone()).or_default() += 1;
        let queue = waiting.lanes.entry(lane.clone()).or_default();
        queue.push_back(delivery);
        if queue.len() == 1 {
            lanes.spawn(Arc::clone(self).run_lane(lane));
        }
    }

    /// Delivers one after the other until none is left.
    async fn run_lane(self: Arc<Self>, lane: Lane) {
        loop {
            let head = self
                .lock()
                .lanes
                .get(&lane)
                .and_then(|queue| queue.front().cloned());
            let Some(delivery) = head else {
                return;
            };
            let end = self.deliver(&delivery).await;
            self.own.metrics.ended(end);
            // Told twice rather than never: it goes from the store when it has arrived.
            while let Err(error) =
                outbox::done(self.own.cluster.store(), &self.term, &delivery).await
            {
                if matches!(error, OutboxError::Deposed) {
                    return;
                }
                sleep(RETRY).await;
            }
            if self.pop(&lane) {
                return;
            }
        }
    }

    /// The head of a lane is done with; whether it was the last.
    fn pop(&self, lane: &Lane) -> bool {
        let mut waiting = self.lock();
        if let Some(count) = waiting.counts.get_mut(&lane.0) {
            *count = count.saturating_sub(1);
        }
        let Some(queue) = waiting.lanes.get_mut(lane) else {
            return true;
        };
        queue.pop_front();
        let is_empty = queue.is_empty();
        if is_empty {
            waiting.lanes.remove(lane);
        }
        is_empty
    }

    /// Tries until it is taken, or not worth it any more.
    async fn deliver(&self, delivery: &Delivery) -> WebhookEnd {
        let config = &self.own.config;
        if !config.urls.contains(&delivery.url) {
            return WebhookEnd::GivenUp;
        }
        let created = created(delivery).unwrap_or_else(SystemTime::now);
        let mut pause = FIRST_PAUSE;
        loop {
            let letter = Letter {
                url: &delivery.url,
                id: &delivery.id,
                sequence: delivery.sequence,
                body: &delivery.body,
            };
            let attempted = {
                let _permit = self.attempts.acquire().await;
                self.own.post.deliver(&letter).await
            };
            let Err(problem) = attempted else {
                return WebhookEnd::Delivered;
            };
            self.own.metrics.failed();
            tracing::warn!(%problem, sequence = delivery.sequence, "a webhook was not taken");
            if created.elapsed().unwrap_or_default() + pause > config.keep {
                return WebhookEnd::GivenUp;
            }
            let jittered = pause.mul_f64(rand::rng().random_range(0.75..1.25));
            sleep(jittered).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // No method panics half-way through a change.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn created(delivery: &Delivery) -> Option<SystemTime> {
    SystemTime::try_from(delivery.created_at?).ok()
}

/// Since when it waits.
fn age(delivery: &Delivery) -> Option<Duration> {
    created(delivery)?.elapsed().ok()
}
