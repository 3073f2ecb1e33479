//! Where the replicas of the control plane keep what they have to agree on: which nodes there are, which
//! node is home of which room, who leads, and what is still to be delivered. Owns the contract that every
//! backend keeps and its conformance suite. Must not know what the entries mean, nor hold state of a
//! call.
//!
//! It is a small ordered map of texts to bytes with one revision for all of it. A commit happens as a whole or
//! not at all, under conditions on any keys; the revision of its writes is higher than any before, and so
//! fences whoever acted on an older one. Entries bound to a lease go when it is not renewed.

#[cfg(test)]
mod conformance;
mod embedded;
mod etcd;
mod measured;

#[cfg(test)]
pub(crate) use conformance::backends;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::stream::BoxStream;

pub use embedded::{Embedded, OpenError};
pub use etcd::{Etcd, EtcdConfig};
pub(crate) use measured::Measured;

/// Longest value, in bytes; etcd takes a request of 1.5 MiB.
pub const MAX_VALUE: usize = 512 * 1024;

/// Most conditions and writes of one commit; etcd takes 128.
pub const MAX_COMMIT: usize = 100;

/// A store that all parts of a process share.
pub type SharedStore = Arc<dyn Store>;

/// Why the store did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// It cannot be reached, or has no majority. Whether a commit happened is not known.
    #[error("the store cannot be reached: {0}")]
    Unavailable(String),
    /// It refused: rights, sizes, a full disk. The operator's to mend.
    #[error("the store refused: {0}")]
    Refused(String),
}

/// Counts the commits of a store; grows.
pub type Revision = u64;

/// A lease's name, chosen by whoever takes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct LeaseId(pub u64);

impl LeaseId {
    /// The lease of something with a unique name.
    pub fn of(name: &str) -> Self {
        // FNV-1a: the same on every replica and in every version.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        // etcd's are positive and signed; 0 is none.
        Self((hash >> 1).max(1))
    }
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub key: String,
    /// What it holds.
    pub value: Bytes,
    /// Of the commit that wrote it last.
    pub revision: Revision,
}

/// What has to hold for a commit to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Is {
    /// There is no such entry.
    Absent,
    /// There is one.
    Present,
    /// It was last written by this commit.
    At(Revision),
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Write {
    /// Sets an entry; with a lease that lives, it goes with the lease.
    Put {
        /// Which.
        key: String,
        /// To what, at most [`MAX_VALUE`].
        value: Bytes,
        /// What keeps it.
        lease: Option<LeaseId>,
    },
    /// Takes an entry away; no mistake when there is none.
    Delete {
        /// Which.
        key: String,
    },
}

/// Changes that happen together, if all conditions hold. A key is written once at most.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Commit {
    /// All have to hold.
    pub conditions: Vec<(String, Is)>,
    /// What happens then.
    pub writes: Vec<Write>,
}

impl Commit {
    /// Under one more condition.
    #[must_use]
    pub fn when(mut self, key: impl Into<String>, is: Is) -> Self {
        self.conditions.push((key.into(), is));
        self
    }

    /// Also sets an entry.
    #[must_use]
    pub fn put(mut self, key: impl Into<String>, value: impl Into<Bytes>) -> Self {
        self.writes.push(Write::Put {
            key: key.into(),
            value: value.into(),
            lease: None,
        });
        self
    }

    /// Also sets an entry that goes with a lease.
    #[must_use]
    pub fn put_leased(
        mut self,
        key: impl Into<String>,
        value: impl Into<Bytes>,
        lease: LeaseId,
    ) -> Self {
        self.writes.push(Write::Put {
            key: key.into(),
            value: value.into(),
            lease: Some(lease),
        });
        self
    }

    /// Also takes an entry away.
    #[must_use]
    pub fn delete(mut self, key: impl Into<String>) -> Self {
        self.writes.push(Write::Delete { key: key.into() });
        self
    }
}

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It happened, as this revision.
    Done(Revision),
    /// A condition did not hold; nothing was changed.
    Conflict,
}

/// Entries as of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// By key.
    pub entries: Vec<Entry>,
    /// The moment: watch after it to miss nothing.
    pub revision: Revision,
}

/// A change as a watcher sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Which entry.
    pub key: String,
    /// What it holds now; nothing when it is gone.
    pub value: Option<Bytes>,
    /// By which commit.
    pub revision: Revision,
}

/// Changes in the order they happened. After an error there are no more: list anew, and watch after that.
pub type Changes = BoxStream<'static, Result<Change, StoreError>>;

/// The contract. All of it is linearizable: who sees a commit sees all before it.
#[tonic::async_trait]
pub trait Store: Send + Sync + 'static {
    /// One entry.
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError>;

    /// The first `limit` entries whose keys begin with `prefix` and come after `after`, by key; "" begins at
    /// the first.
    async fn list(&self, prefix: &str, after: &str, limit: usize) -> Result<Listed, StoreError>;

    /// Changes entries, if the conditions hold. A put with a lease that is gone is a conflict.
    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError>;

    /// Takes or renews a lease for so long from now on, whole seconds; whether it is a fresh one.
    async fn lease(&self, id: LeaseId, ttl: Duration) -> Result<bool, StoreError>;

    /// Ends a lease; what it kept goes at once.
    async fn revoke(&self, id: LeaseId) -> Result<(), StoreError>;

    /// Changes of entries whose keys begin with `prefix`, made after `revision`.
    async fn watch(&self, prefix: &str, revision: Revision) -> Result<Changes, StoreError>;
}
