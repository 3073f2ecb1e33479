//! What the embedded store holds, and what a batch of requests makes of it. Plain data, changed in one place.
//! Must not wait, nor know of files.

use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    ops::Bound,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;

use super::super::{
    Change, Commit, Entry, Is, LeaseId, Listed, MAX_COMMIT, MAX_VALUE, Outcome, Revision,
    StoreError, Write,
};

/// Changes kept for watchers that come back.
const HISTORY: usize = 10_000;

/// Everything.
#[derive(Debug)]
pub(super) struct State {
    entries: BTreeMap<String, Kept>,
    leases: HashMap<LeaseId, Lease>,
    revision: Revision,
    history: VecDeque<Change>,
    /// Changes up to here are no longer kept.
    forgotten: Revision,
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Kept {
    pub(super) value: Bytes,
    pub(super) revision: Revision,
    pub(super) lease: Option<LeaseId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lease {
    pub(super) until: Instant,
    pub(super) ttl: Duration,
}

impl State {
    /// With nothing in it. Revisions fence what was decided by older ones, also by those of a store that is gone: so
    /// they begin with the time, in microseconds, and not at 0.
    pub(super) fn empty() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let now = since.map_or(0, |since| since.as_micros());
        let revision = Revision::try_from(now).unwrap_or_default();
        Self::restored(BTreeMap::new(), HashMap::new(), revision)
    }

    /// As it was when the last process ended.
    pub(super) fn restored(
        entries: BTreeMap<String, Kept>,
        leases: HashMap<LeaseId, Lease>,
        revision: Revision,
    ) -> Self {
        Self {
            entries,
            leases,
            revision,
            history: VecDeque::new(),
            forgotten: revision,
        }
    }

    pub(super) fn revision(&self) -> Revision {
        self.revision
    }

    pub(super) fn get(&self, key: &str) -> Option<Entry> {
        self.entries.get(key).map(|kept| entry(key, kept))
    }

    pub(super) fn list(&self, prefix: &str, after: &str, limit: usize) -> Listed {
        let from = if after > prefix {
            Bound::Excluded(after)
        } else {
            Bound::Included(prefix)
        };
        let entries = self
            .entries
            .range::<str, _>((from, Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(limit)
            .map(|(key, kept)| entry(key, kept))
            .collect();
        Listed {
            entries,
            revision: self.revision,
        }
    }

    /// Changes after a revision, and how far they go; nothing when they are no longer kept.
    pub(super) fn since(&self, prefix: &str, after: Revision) -> Option<(Vec<Change>, Revision)> {
        if after < self.forgotten {
            return None;
        }
        let from = self
            .history
            .partition_point(|change| change.revision <= after);
        let changes = self
            .history
            .range(from..)
            .filter(|change| change.key.starts_with(prefix))
            .cloned()
            .collect();
        Some((changes, self.revision))
    }

    /// Makes a batch real.
    pub(super) fn apply(&mut self, done: Done) {
        self.revision = done.revision;
        for change in &done.changes {
            let kept = done.entries.get(&change.key).cloned().flatten();
            match kept {
                Some(kept) => self.entries.insert(change.key.clone(), kept),
                None => self.entries.remove(&change.key),
            };
        }
        for (id, lease) in done.leases {
            match lease {
                Some(lease) => self.leases.insert(id, lease),
                None => self.leases.remove(&id),
            };
        }
        self.history.extend(done.changes);
        while self.history.len() > HISTORY {
            if let Some(change) = self.history.pop_front() {
                self.forgotten = change.revision;
            }
        }
    }
}

fn entry(key: &str, kept: &Kept) -> Entry {
    Entry {
        key: key.to_owned(),
        value: kept.value.clone(),
        revision: kept.revision,
    }
}

/// Refuses what no backend takes.
pub(super) fn check(commit: &Commit) -> Result<(), StoreError> {
    if commit.conditions.len() + commit.writes.len() > MAX_COMMIT {
        return Err(StoreError::Refused(format!(
            "a commit has at most {MAX_COMMIT} conditions and writes"
        )));
    }
    let mut keys = HashSet::new();
    for write in &commit.writes {
        let key = match write {
            Write::Put { key, value, .. } if value.len() > MAX_VALUE => {
                return Err(StoreError::Refused(format!(
                    "{key} would be longer than {MAX_VALUE} bytes"
                )));
            }
            Write::Put { key, .. } | Write::Delete { key } => key,
        };
        if !keys.insert(key) {
            return Err(StoreError::Refused(format!("{key} is written twice")));
        }
    }
    Ok(())
}

/// Requests on their way: what they change lies over the state until it is safe.
pub(super) struct Batch<'a> {
    state: &'a State,
    now: Instant,
    done: Done,
}

/// What a batch changes.
#[derive(Debug, Default)]
pub(super) struct Done {
    pub(super) revision: Revision,
    /// What each changed entry is in the end.
    pub(super) entries: HashMap<String, Option<Kept>>,
    pub(super) leases: HashMap<LeaseId, Option<Lease>>,
    /// In order; one for each write.
    changes: Vec<Change>,
    /// More than renewals, which nobody misses after a restart.
    pub(super) is_to_keep: bool,
}

impl<'a> Batch<'a> {
    pub(super) fn new(state: &'a State, now: Instant) -> Self {
        let done = Done {
            revision: state.revision,
            ..Done::default()
        };
        Self { state, now, done }
    }

    fn entry(&self, key: &str) -> Option<&Kept> {
        match self.done.entries.get(key) {
            Some(changed) => changed.as_ref(),
            None => self.state.entries.get(key),
        }
    }

    fn live(&self, id: LeaseId) -> Option<Lease> {
        let lease = match self.done.leases.get(&id) {
            Some(changed) => *changed,
            None => self.state.leases.get(&id).copied(),
        };
        lease.filter(|lease| lease.until > self.now)
    }

    fn holds(&self, key: &str, is: Is) -> bool {
        match (is, self.entry(key)) {
            (Is::Absent, entry) => entry.is_none(),
            (Is::Present, entry) => entry.is_some(),
            (Is::At(revision), entry) => entry.is_some_and(|kept| kept.revision == revision),
        }
    }

    pub(super) fn commit(&mut self, commit: Commit) -> Outcome {
        let holds = |(key, is): &(String, Is)| self.holds(key, *is);
        let keeps = |write: &Write| match write {
            Write::Put {
                lease: Some(lease), ..
            } => self.live(*lease).is_some(),
            Write::Put { .. } | Write::Delete { .. } => true,
        };
        if !commit.conditions.iter().all(holds) || !commit.writes.iter().all(keeps) {
            return Outcome::Conflict;
        }
        self.done.revision += 1;
        self.done.is_to_keep = true;
        for write in commit.writes {
            match write {
                Write::Put { key, value, lease } => self.set(key, Some((value, lease))),
                Write::Delete { key } => self.set(key, None),
            }
        }
        Outcome::Done(self.done.revision)
    }

    fn set(&mut self, key: String, to: Option<(Bytes, Option<LeaseId>)>) {
        let revision = self.done.revision;
        if to.is_none() && self.entry(&key).is_none() {
            return;
        }
        self.done.changes.push(Change {
            key: key.clone(),
            value: to.as_ref().map(|(value, _)| value.clone()),
            revision,
        });
        let kept = to.map(|(value, lease)| Kept {
            value,
            revision,
            lease,
        });
        self.done.entries.insert(key, kept);
        self.done.is_to_keep = true;
    }

    pub(super) fn lease(&mut self, id: LeaseId, ttl: Duration) -> bool {
        let is_fresh = self.live(id).is_none();
        if is_fresh {
            // What an older lease of that name kept goes first.
            self.revoke(id);
        }
        let lease = Lease {
            until: self.now + ttl,
            ttl,
        };
        self.done.is_to_keep |= is_fresh;
        self.done.leases.insert(id, Some(lease));
        is_fresh
    }

    pub(super) fn revoke(&mut self, id: LeaseId) {
        if self.state.leases.contains_key(&id) || self.done.leases.contains_key(&id) {
            self.done.leases.insert(id, None);
            self.done.is_to_keep = true;
        }
        let is_its = |kept: &Kept| kept.lease == Some(id);
        let before = self.state.entries.iter();
        let mut keys: HashSet<String> = before
            .filter(|(_, kept)| is_its(kept))
            .map(|(key, _)| key.clone())
            .collect();
        keys.extend(self.done.entries.keys().cloned());
        let mut gone: Vec<String> = keys
            .into_iter()
            .filter(|key| self.entry(key).is_some_and(is_its))
            .collect();
        if gone.is_empty() {
            return;
        }
        gone.sort();
        self.done.revision += 1;
        for key in gone {
            self.set(key, None);
        }
    }

    /// Ends the leases whose time is over.
    pub(super) fn expire(&mut self) {
        let known = self.state.leases.keys().chain(self.done.leases.keys());
        let mut over: Vec<LeaseId> = known
            .copied()
            .filter(|id| {
                let is_held = match self.done.leases.get(id) {
                    Some(changed) => changed.is_some(),
                    None => true,
                };
                is_held && self.live(*id).is_none()
            })
            .collect();
        over.sort_by_key(|id| id.0);
        over.dedup();
        for id in over {
            self.revoke(id);
        }
    }

    pub(super) fn finish(self) -> Done {
        self.done
    }
}
