//! A store that counts what it is asked, and what became of it. Owns nothing else: every call goes on as it came.

use std::{sync::Arc, time::Duration};

use super::{
    Changes, Commit, Entry, LeaseId, Listed, Outcome, Revision, SharedStore, Store, StoreError,
};
use crate::metrics::{StoreAnswer, StoreCall, StoreCalls};

/// Counts the calls of another store.
pub(crate) struct Measured {
    store: SharedStore,
    calls: StoreCalls,
}

impl Measured {
    /// Counts the calls of `store`.
    pub(crate) fn shared(store: SharedStore, calls: StoreCalls) -> SharedStore {
        Arc::new(Self { store, calls })
    }

    async fn measure<T>(
        &self,
        call: StoreCall,
        asked: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        let answered = asked.await;
        let answer = match &answered {
            Ok(_) => StoreAnswer::Done,
            Err(StoreError::Unavailable(_)) => StoreAnswer::Unavailable,
            Err(StoreError::Refused(_)) => StoreAnswer::Refused,
        };
        self.calls.answered(call, answer);
        answered
    }
}

#[tonic::async_trait]
impl Store for Measured {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        self.measure(StoreCall::Get, self.store.get(key)).await
    }

    async fn list(&self, prefix: &str, after: &str, limit: usize) -> Result<Listed, StoreError> {
        let asked = self.store.list(prefix, after, limit);
        self.measure(StoreCall::List, asked).await
    }

    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        let asked = self.store.commit(commit);
        self.measure(StoreCall::Commit, asked).await
    }

    async fn lease(&self, id: LeaseId, ttl: Duration) -> Result<bool, StoreError> {
        let asked = self.store.lease(id, ttl);
        self.measure(StoreCall::Lease, asked).await
    }

    async fn revoke(&self, id: LeaseId) -> Result<(), StoreError> {
        self.measure(StoreCall::Revoke, self.store.revoke(id)).await
    }

    async fn watch(&self, prefix: &str, revision: Revision) -> Result<Changes, StoreError> {
        let asked = self.store.watch(prefix, revision);
        self.measure(StoreCall::Watch, asked).await
    }
}
