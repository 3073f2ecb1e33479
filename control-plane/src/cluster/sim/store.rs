//! The store as one replica reaches it: the embedded one, behind a link that is slow, loses answers, and can be cut.
//! Must not change what the store itself promises.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt as _;
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::time::sleep;

use super::faults::{Fault, Fired};
use crate::store::{
    Changes, Commit, Entry, LeaseId, Listed, Outcome, Revision, SharedStore, Store, StoreError,
};

/// The longest that one way takes.
const SLOW_MS: u64 = 60;

/// One in so many commits happens, and is not acknowledged.
const LOST_ANSWERS: u32 = 25;

/// See the module.
#[derive(Clone)]
pub(super) struct FarStore {
    store: SharedStore,
    rng: Arc<Mutex<StdRng>>,
    is_cut: Arc<AtomicBool>,
    loses: Arc<AtomicBool>,
    fired: Arc<Fired>,
}

impl FarStore {
    pub(super) fn new(store: &SharedStore, seed: u64, fired: &Arc<Fired>) -> Arc<Self> {
        Arc::new(Self {
            store: Arc::clone(store),
            rng: Arc::new(Mutex::new(StdRng::seed_from_u64(seed))),
            is_cut: Arc::default(),
            loses: Arc::new(AtomicBool::new(true)),
            fired: Arc::clone(fired),
        })
    }

    /// Its answers arrive from now on.
    pub(super) fn heal(&self) {
        self.loses.store(false, Ordering::Relaxed);
    }

    pub(super) fn cut(&self, is_cut: bool) {
        self.is_cut.store(is_cut, Ordering::Relaxed);
    }

    /// One way of a request or answer.
    async fn travel(&self) -> Result<(), StoreError> {
        let millis = self.rng.lock().unwrap().random_range(0..SLOW_MS);
        sleep(Duration::from_millis(millis)).await;
        if self.is_cut.load(Ordering::Relaxed) {
            self.fired.note(Fault::StoreCut);
            return Err(StoreError::Unavailable("cut".to_owned()));
        }
        Ok(())
    }
}

#[tonic::async_trait]
impl Store for FarStore {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        self.travel().await?;
        let entry = self.store.get(key).await?;
        self.travel().await?;
        Ok(entry)
    }

    async fn list(&self, prefix: &str, after: &str, limit: usize) -> Result<Listed, StoreError> {
        self.travel().await?;
        let listed = self.store.list(prefix, after, limit).await?;
        self.travel().await?;
        Ok(listed)
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        self.travel().await?;
        let outcome = self.store.commit(commit).await?;
        let is_lost = self.rng.lock().unwrap().random_ratio(1, LOST_ANSWERS);
        if is_lost && self.loses.load(Ordering::Relaxed) {
            self.fired.note(Fault::LostAnswer);
            return Err(StoreError::Unavailable("the answer is lost".to_owned()));
        }
        self.travel().await?;
        Ok(outcome)
    }

    async fn lease(&self, id: LeaseId, ttl: Duration) -> Result<bool, StoreError> {
        self.travel().await?;
        let is_fresh = self.store.lease(id, ttl).await?;
        self.travel().await?;
        Ok(is_fresh)
    }

    async fn revoke(&self, id: LeaseId) -> Result<(), StoreError> {
        self.travel().await?;
        self.store.revoke(id).await?;
        self.travel().await
    }

    async fn watch(&self, prefix: &str, revision: Revision) -> Result<Changes, StoreError> {
        self.travel().await?;
        let changes = self.store.watch(prefix, revision).await?;
        let far = self.clone();
        // What a replica hears is late, each time otherwise; never out of order. The next that it would hear while it is cut
        // off ends it.
        let late = changes.then(move |change| {
            let far = far.clone();
            async move {
                far.travel().await?;
                change
            }
        });
        Ok(late.boxed())
    }
}
