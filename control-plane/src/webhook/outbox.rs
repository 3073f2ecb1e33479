//! What is still to be delivered, in the store. Owns its entries, and the state that says how far events have been
//! read. Must not deliver. Every change is a commit under the leader's term: one who leads no longer changes
//! nothing.

use std::time::SystemTime;

use plenum_proto::{
    cluster::{Delivery, OutboxState},
    v1::Event,
};
use prost::Message as _;

use super::body::{Body, Told};
use crate::{
    cluster::Term,
    store::{Is, Outcome, Revision, SharedStore, StoreError},
};

/// Deliveries, by sequence.
const WAITING: &str = "webhooks/waiting/";

/// How far events have been read.
const STATE: &str = "webhooks/state";

/// Deliveries read at once.
const PAGE: usize = 500;

/// Runs of nodes that are remembered; the state is one entry.
const MAX_EPOCHS: usize = 1000;

/// Somebody else leads, or the store does not answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum OutboxError {
    /// The term is over.
    #[error("another replica leads")]
    Deposed,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// The outbox, as its leader has it.
pub(super) struct Outbox {
    store: SharedStore,
    term: Term,
    state: OutboxState,
    /// Of the state's entry; none before the first.
    revision: Option<Revision>,
    told: Told,
}

impl Outbox {
    /// Reads the state, and all that waits.
    pub(super) async fn open(
        store: SharedStore,
        term: Term,
    ) -> Result<(Self, Vec<Delivery>), OutboxError> {
        let entry = store.get(STATE).await?;
        let unreadable = |_| StoreError::Refused("the outbox's state cannot be read".to_owned());
        let state = match &entry {
            Some(entry) => OutboxState::decode(&entry.value[..]).map_err(unreadable)?,
            None => OutboxState::default(),
        };
        let mut waiting = Vec::new();
        let mut after = String::new();
        loop {
            let listed = store.list(WAITING, &after, PAGE).await?;
            let Some(last) = listed.entries.last() else {
                break;
            };
            after.clone_from(&last.key);
            for entry in listed.entries {
                match Delivery::decode(entry.value) {
                    Ok(delivery) => waiting.push(delivery),
                    Err(error) => tracing::warn!(%error, "a webhook in the store cannot be read"),
                }
            }
        }
        let outbox = Self {
            store,
            term,
            state,
            revision: entry.map(|entry| entry.revision),
            told: Told::default(),
        };
        Ok((outbox, waiting))
    }

    /// Whether nothing has ever been read.
    pub(super) fn is_new(&self) -> bool {
        self.revision.is_none()
    }

    /// Last event of each epoch that was looked at.
    pub(super) fn read_so_far(&self) -> std::collections::BTreeMap<String, u64> {
        self.state.after.clone()
    }

    /// Takes over an event: what is to be told of it waits from now on, once for each of `urls`. Nothing waits of an
    /// event that was looked at before.
    pub(super) async fn take(
        &mut self,
        event: Event,
        urls: &[String],
    ) -> Result<Vec<Delivery>, OutboxError> {
        let (epoch, at) = (event.epoch.clone(), event.sequence);
        // What is told in a lost node's stead has no place in a sequence.
        let is_numbered = at > 0;
        if is_numbered && self.state.after.get(&epoch).is_some_and(|seen| *seen >= at) {
            return Ok(Vec::new());
        }
        let body = self.told.body(event);
        let mut state = self.state.clone();
        if is_numbered {
            if state.after.len() >= MAX_EPOCHS && !state.after.contains_key(&epoch) {
                // Any of them: nodes that old are gone.
                state.after.pop_first();
            }
            state.after.insert(epoch, at);
        }
        let Some(body) = body else {
            // Worth no write: it is looked at again, and again nothing is told of it.
            self.state = state;
            return Ok(Vec::new());
        };
        let mut commit = self.term.commit();
        let mut deliveries = Vec::with_capacity(urls.len());
        for url in urls {
            state.sequence += 1;
            let delivery = delivery(&body, url, state.sequence);
            commit = commit.put(key(&delivery), delivery.encode_to_vec());
            deliveries.push(delivery);
        }
        let is = self.revision.map_or(Is::Absent, Is::At);
        let commit = commit.when(STATE, is).put(STATE, state.encode_to_vec());
        match self.store.commit(commit).await? {
            Outcome::Done(revision) => {
                (self.state, self.revision) = (state, Some(revision));
                Ok(deliveries)
            }
            Outcome::Conflict => Err(OutboxError::Deposed),
        }
    }
}

/// A delivery is over.
pub(super) async fn done(
    store: &SharedStore,
    term: &Term,
    delivery: &Delivery,
) -> Result<(), OutboxError> {
    match store.commit(term.commit().delete(key(delivery))).await? {
        Outcome::Done(_) => Ok(()),
        Outcome::Conflict => Err(OutboxError::Deposed),
    }
}

fn key(delivery: &Delivery) -> String {
    // Sorted as numbers are.
    format!("{WAITING}{:020}", delivery.sequence)
}

fn delivery(body: &Body, url: &str, sequence: u64) -> Delivery {
    Delivery {
        url: url.to_owned(),
        room: body.room.clone(),
        sequence,
        id: body.id.clone(),
        body: body.json.clone(),
        created_at: Some(SystemTime::now().into()),
    }
}
