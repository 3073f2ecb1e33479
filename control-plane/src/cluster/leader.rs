//! Work that one replica does for all. Owns the election: an entry of the store that goes with its leader's
//! lease. Must not trust a clock: whoever writes as the leader makes the entry a condition of the commit, so
//! that one who was leader without knowing changes nothing.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::key;
use crate::store::{Commit, Is, LeaseId, Outcome, Revision, SharedStore, StoreError};

/// That we lead, as a condition of a commit.
#[derive(Debug, Clone)]
pub(crate) struct Term {
    key: String,
    revision: Revision,
}

impl Term {
    /// A commit that happens only as long as we lead.
    pub(crate) fn commit(&self) -> Commit {
        Commit::default().when(self.key.clone(), Is::At(self.revision))
    }
}

/// Leads what is called `name` whenever nobody else does, as `own`, and then polls `work` until it ends or somebody
/// else could lead.
pub(crate) async fn lead<F>(
    store: SharedStore,
    name: &str,
    own: &str,
    ttl: Duration,
    work: impl Fn(Term) -> F,
) where
    F: Future<Output = ()>,
{
    let lease = LeaseId::of(&format!("{name}/{own}"));
    loop {
        match elect(&store, name, own, lease, ttl).await {
            Ok(Some(term)) => {
                tracing::info!(name, "this replica leads");
                tokio::select! {
                    () = work(term.clone()) => {}
                    () = hold(&store, &term, lease, ttl) => {}
                }
                tracing::info!(name, "this replica leads no longer");
                // Another can lead at once; if it is not told, the lease ends by itself.
                let _ = store.revoke(lease).await;
            }
            Ok(None) => {}
            Err(error) => tracing::debug!(%error, name, "nobody can be elected"),
        }
        sleep(ttl / 3).await;
    }
}

async fn elect(
    store: &SharedStore,
    name: &str,
    own: &str,
    lease: LeaseId,
    ttl: Duration,
) -> Result<Option<Term>, StoreError> {
    let key = key::leader(name);
    if store.get(&key).await?.is_some() {
        return Ok(None);
    }
    store.lease(lease, ttl).await?;
    let commit = Commit::default()
        .when(&key, Is::Absent)
        .put_leased(&key, own.to_owned(), lease);
    Ok(match store.commit(commit).await? {
        Outcome::Done(revision) => Some(Term { key, revision }),
        Outcome::Conflict => None,
    })
}

/// Returns when somebody else could lead: the lease could not be renewed in time, or was lost.
async fn hold(store: &SharedStore, term: &Term, lease: LeaseId, ttl: Duration) {
    let mut until = Instant::now() + ttl;
    loop {
        sleep(ttl / 3).await;
        let asked = Instant::now();
        let renewed = async {
            let is_lost = store.lease(lease, ttl).await?;
            let entry = store.get(&term.key).await?;
            let is_ours = entry.is_some_and(|entry| entry.revision == term.revision);
            Ok::<_, StoreError>(is_ours && !is_lost)
        };
        match timeout_at(until, renewed).await {
            Ok(Ok(true)) => until = asked + ttl,
            Ok(Ok(false)) | Err(_) => return,
            // Until the lease is over nobody else leads.
            Ok(Err(_)) => {}
        }
    }
}
