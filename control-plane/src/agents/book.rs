//! Dispatches and jobs in the store. Owns their keys, and what the API reads and changes there. Must not look for
//! workers: every replica is told of a change, and those that have one act on it.

use std::{collections::BTreeMap, time::SystemTime};

use plenum_proto::{
    cluster::{DispatchRecord, JobRecord},
    v1,
};
use prost::Message as _;

use super::board::{Slot, Wanted, dispatch_id, distinct, wanted};
use crate::{
    cluster::{Cluster, Make, PlaceError, key},
    store::{Commit, Entry, Is, Outcome, StoreError},
};

/// Dispatches of the API to one room.
const MAX_DISPATCHES: usize = 64;

/// Entries read at once.
const PAGE: usize = 500;

/// Times a dispatch is changed when others change it at the same moment.
const ATTEMPTS: usize = 16;

/// Why a dispatch is not made, found, or taken back.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum BookError {
    /// The caller's fault.
    #[error("the dispatch does not exist")]
    NoDispatch,
    /// The caller's fault.
    #[error("at most {MAX_DISPATCHES} dispatches to one room")]
    Full,
    /// The room.
    #[error(transparent)]
    Place(#[from] PlaceError),
}

impl From<StoreError> for BookError {
    fn from(error: StoreError) -> Self {
        Self::Place(error.into())
    }
}

/// Entries of a room, of one kind.
fn of_room(kind: &str, room_id: &str) -> String {
    format!("{}{kind}/{room_id}/", key::AGENTS)
}

fn dispatch_key(room_id: &str, id: &str) -> String {
    of_room("dispatches", room_id) + id
}

/// The key of a job's record.
pub(super) fn job_key(slot: &Slot) -> String {
    of_room("jobs", &slot.room_id) + &slot.name
}

/// What an entry is of.
pub(super) enum At {
    Dispatch(Slot),
    Job(Slot),
}

/// What a key names.
pub(super) fn parse(key: &str) -> Option<At> {
    let rest = key.strip_prefix(key::AGENTS)?;
    let (kind, rest) = rest.split_once('/')?;
    let (room_id, name) = rest.split_once('/')?;
    let slot = Slot {
        room_id: room_id.to_owned(),
        name: name.to_owned(),
    };
    match kind {
        "dispatches" => Some(At::Dispatch(slot)),
        "jobs" => Some(At::Job(slot)),
        _ => None,
    }
}

/// The room that an entry belongs to.
pub(crate) fn room_of(key: &str) -> Option<&str> {
    let rest = key.strip_prefix(key::AGENTS)?;
    rest.split('/').nth(1)
}

/// A room, as its record has it.
struct Book<'a> {
    cluster: &'a Cluster,
    name: String,
    id: String,
    wishes: Vec<v1::AgentWish>,
}

impl Cluster {
    /// Sends an agent to a room that is there.
    pub(crate) async fn dispatch(
        &self,
        room: &str,
        agent: v1::AgentWish,
    ) -> Result<v1::Dispatch, BookError> {
        let book = self.book(room).await?;
        if book.dispatches().await?.len() >= MAX_DISPATCHES {
            return Err(BookError::Full);
        }
        let record = DispatchRecord {
            agent: Some(agent.clone()),
            created_at: Some(SystemTime::now().into()),
            withdrawn: false,
        };
        let wanted = Wanted {
            id: dispatch_id(&book.id, &distinct()),
            agent,
            created_at: record.created_at,
        };
        let key = dispatch_key(&book.id, &wanted.id);
        let commit = Commit::default()
            .when(key::room(room), Is::Present)
            .when(&key, Is::Absent)
            .put(key, record.encode_to_vec());
        match self.store().commit(commit).await? {
            Outcome::Done(_) => Ok(book.show(wanted, &[])),
            Outcome::Conflict => Err(PlaceError::NoRoom.into()),
        }
    }

    /// Takes a dispatch back.
    pub(crate) async fn withdraw(&self, room: &str, id: &str) -> Result<v1::Dispatch, BookError> {
        let book = self.book(room).await?;
        let key = dispatch_key(&book.id, id);
        for _ in 0..ATTEMPTS {
            let mut listed = book.list(id).await?;
            let mut taken = listed.pop().ok_or(BookError::NoDispatch)?;
            // It stays as a sign that what the room's settings want is wanted no longer.
            let record = DispatchRecord {
                agent: taken.agent.clone(),
                created_at: taken.created_at,
                withdrawn: true,
            };
            let before = self.store().get(&key).await?;
            let is = before.map_or(Is::Absent, |entry| Is::At(entry.revision));
            let commit = Commit::default()
                .when(key::room(room), Is::Present)
                .when(&key, is)
                .put(&key, record.encode_to_vec());
            if let Outcome::Done(_) = self.store().commit(commit).await? {
                taken.deleted_at = Some(SystemTime::now().into());
                return Ok(taken);
            }
        }
        Err(PlaceError::Busy.into())
    }

    /// What was dispatched to a room, and what came of it; only that of `id` unless it is empty.
    pub(crate) async fn dispatches(
        &self,
        room: &str,
        id: &str,
    ) -> Result<Vec<v1::Dispatch>, BookError> {
        self.book(room).await?.list(id).await
    }

    async fn book(&self, room: &str) -> Result<Book<'_>, BookError> {
        let config = v1::RoomConfig {
            name: room.to_owned(),
            ..v1::RoomConfig::default()
        };
        let located = self.locate(&config, Make::AsIs, None).await?;
        Ok(Book {
            cluster: self,
            name: room.to_owned(),
            id: located.record.room_id,
            wishes: located.record.config.unwrap_or_default().agents,
        })
    }

    /// All entries whose keys begin so.
    pub(crate) async fn entries(&self, prefix: &str) -> Result<(Vec<Entry>, u64), StoreError> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut first = None;
        loop {
            let after = entries.last().map_or("", |entry| &entry.key).to_owned();
            let listed = self.store().list(prefix, &after, PAGE).await?;
            // What is changed while the rest is read is told after this.
            let revision = *first.get_or_insert(listed.revision);
            if listed.entries.is_empty() {
                return Ok((entries, revision));
            }
            entries.extend(listed.entries);
        }
    }
}

impl Book<'_> {
    async fn dispatches(&self) -> Result<BTreeMap<Slot, DispatchRecord>, BookError> {
        let (entries, _) = self
            .cluster
            .entries(&of_room("dispatches", &self.id))
            .await?;
        let read = |entry: Entry| match (parse(&entry.key), DispatchRecord::decode(entry.value)) {
            (Some(At::Dispatch(slot)), Ok(record)) => Some((slot, record)),
            _ => None,
        };
        Ok(entries.into_iter().filter_map(read).collect())
    }

    async fn list(&self, id: &str) -> Result<Vec<v1::Dispatch>, BookError> {
        let stored = self.dispatches().await?;
        let room = v1::Room {
            id: self.id.clone(),
            ..v1::Room::default()
        };
        let wanted = wanted(&room, &self.wishes, &stored);
        let (jobs, _) = self.cluster.entries(&of_room("jobs", &self.id)).await?;
        let jobs: Vec<JobRecord> = jobs
            .into_iter()
            .filter_map(|entry| JobRecord::decode(entry.value).ok())
            .collect();
        Ok(wanted
            .into_iter()
            .filter(|wanted| id.is_empty() || wanted.id == id)
            .map(|wanted| self.show(wanted, &jobs))
            .collect())
    }

    fn show(&self, wanted: Wanted, jobs: &[JobRecord]) -> v1::Dispatch {
        let of_it = |record: &&JobRecord| record.job.as_ref().is_some_and(|job| wanted.has(job));
        v1::Dispatch {
            jobs: jobs
                .iter()
                .filter(of_it)
                .filter_map(|record| record.job.clone())
                .collect(),
            room: self.name.clone(),
            created_at: wanted.created_at,
            id: wanted.id,
            agent: Some(wanted.agent),
            deleted_at: None,
        }
    }
}
