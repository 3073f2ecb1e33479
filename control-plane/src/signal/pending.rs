//! How many connections of one participant there are of one sort: those that wait for their first answer, those beside
//! its main one. Owns the counts; a [`Waiting`] gives its place back when dropped. Must not wait itself.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Counts of connections by participant.
#[derive(Debug, Clone, Default)]
pub(crate) struct Pending {
    counts: Arc<Mutex<HashMap<Subject, u32>>>,
}

/// Whose connections are counted together.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Subject {
    pub(crate) room: String,
    pub(crate) identity: String,
}

/// One place among those that count.
#[derive(Debug)]
pub(crate) struct Waiting {
    pending: Pending,
    subject: Subject,
}

impl Pending {
    /// Takes a place; `None` when `limit` of them are taken.
    pub(crate) fn enter(&self, subject: Subject, limit: u32) -> Option<Waiting> {
        let mut counts = self.lock();
        let count = counts.entry(subject.clone()).or_default();
        if *count >= limit {
            return None;
        }
        *count += 1;
        drop(counts);
        Some(Waiting {
            pending: self.clone(),
            subject,
        })
    }

    /// A count cannot be half changed, so a panic elsewhere does not spoil the map.
    fn lock(&self) -> MutexGuard<'_, HashMap<Subject, u32>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut counts = self.pending.lock();
        if let Some(count) = counts.get_mut(&self.subject) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.subject);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(room: &str, identity: &str) -> Subject {
        Subject {
            room: room.into(),
            identity: identity.into(),
        }
    }

    #[test]
    fn places_are_limited_by_participant_and_given_back() {
        let pending = Pending::default();
        let first = pending.enter(subject("r", "a"), 2).unwrap();
        let _second = pending.enter(subject("r", "a"), 2).unwrap();
        assert!(pending.enter(subject("r", "a"), 2).is_none());
        let other = pending.enter(subject("r", "b"), 2);
        assert!(other.is_some());
        assert!(pending.enter(subject("s", "a"), 2).is_some());
        drop(first);
        assert!(pending.enter(subject("r", "a"), 2).is_some());
    }

    #[test]
    fn nothing_is_kept_for_those_who_are_through() {
        let pending = Pending::default();
        drop(pending.enter(subject("r", "a"), 1));
        assert!(pending.lock().is_empty());
    }
}
