//! The embedded store on a disk: one file of the database redb. Owns its tables. Must not decide anything: it
//! writes down what a batch changed, in one transaction that is on the disk when it returns.

use std::{
    collections::{BTreeMap, HashMap},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use bytes::Bytes;
use redb::{Database, ReadableDatabase as _, ReadableTable as _, TableDefinition};

use super::{
    super::LeaseId,
    state::{Done, Kept, Lease, State},
};

/// Key to revision, lease (0 = none) and value.
const ENTRIES: TableDefinition<'_, &str, (u64, u64, &[u8])> = TableDefinition::new("entries");
/// Lease to its time in milliseconds.
const LEASES: TableDefinition<'_, u64, u64> = TableDefinition::new("leases");
/// The revision, at 0.
const REVISION: TableDefinition<'_, u8, u64> = TableDefinition::new("revision");

/// Why a file cannot be the store.
#[derive(Debug, thiserror::Error)]
#[error("the store's file {path} cannot be used")]
pub struct OpenError {
    /// As configured.
    pub path: PathBuf,
    /// What the database or the system says.
    #[source]
    pub source: redb::Error,
}

/// An open file; nobody else can open it.
pub(super) struct File {
    database: Database,
}

impl File {
    pub(super) fn open(path: &Path, now: Instant) -> Result<(Self, State), OpenError> {
        let failed = |source| OpenError {
            path: path.to_owned(),
            source,
        };
        let database = Database::create(path).map_err(|error| failed(error.into()))?;
        let file = Self { database };
        let state = file.read(now).map_err(failed)?;
        Ok((file, state))
    }

    fn read(&self, now: Instant) -> Result<State, redb::Error> {
        // Makes the tables of a new file.
        let transaction = self.database.begin_write()?;
        transaction.open_table(ENTRIES)?;
        transaction.open_table(LEASES)?;
        transaction.open_table(REVISION)?;
        transaction.commit()?;

        let transaction = self.database.begin_read()?;
        let mut entries = BTreeMap::new();
        for row in transaction.open_table(ENTRIES)?.iter()? {
            let (key, row) = row?;
            let (revision, lease, value) = row.value();
            let kept = Kept {
                value: Bytes::copy_from_slice(value),
                revision,
                lease: (lease != 0).then_some(LeaseId(lease)),
            };
            entries.insert(key.value().to_owned(), kept);
        }
        let mut leases = HashMap::new();
        for row in transaction.open_table(LEASES)?.iter()? {
            let (id, millis) = row?;
            let ttl = Duration::from_millis(millis.value());
            let until = now + ttl;
            leases.insert(LeaseId(id.value()), Lease { until, ttl });
        }
        let revision = transaction.open_table(REVISION)?.get(0)?;
        Ok(match revision {
            Some(revision) => State::restored(entries, leases, revision.value()),
            None => State::empty(),
        })
    }

    /// Writes a batch; on the disk when this returns.
    pub(super) fn write(&mut self, done: &Done) -> Result<(), redb::Error> {
        let transaction = self.database.begin_write()?;
        {
            let mut entries = transaction.open_table(ENTRIES)?;
            for (key, kept) in &done.entries {
                match kept {
                    Some(kept) => {
                        let lease = kept.lease.map_or(0, |lease| lease.0);
                        entries.insert(key.as_str(), (kept.revision, lease, &kept.value[..]))?;
                    }
                    None => drop(entries.remove(key.as_str())?),
                }
            }
            let mut leases = transaction.open_table(LEASES)?;
            for (id, lease) in &done.leases {
                match lease {
                    Some(lease) => {
                        let millis = u64::try_from(lease.ttl.as_millis()).unwrap_or(u64::MAX);
                        leases.insert(id.0, millis)?;
                    }
                    None => drop(leases.remove(id.0)?),
                }
            }
            transaction.open_table(REVISION)?.insert(0, done.revision)?;
        }
        transaction.commit()?;
        Ok(())
    }
}
