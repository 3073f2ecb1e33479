//! How many of something there may be, in all and of one owner: connections of a source, allocations of
//! a participant. Must not know what is counted.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Counts.
#[derive(Debug)]
pub(crate) struct Gate<K: Eq + Hash> {
    max: usize,
    max_of_owner: usize,
    open: Mutex<Open<K>>,
}

#[derive(Debug)]
struct Open<K> {
    total: usize,
    by_owner: HashMap<K, usize>,
}

/// The limit that is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// There are as many as there may be.
    All,
    /// The owner has as many as it may.
    Owner,
}

/// One that counts, until it is dropped.
#[derive(Debug)]
pub(crate) struct Slot<K: Eq + Hash> {
    gate: Arc<Gate<K>>,
    owner: K,
}

impl<K: Eq + Hash + Clone> Gate<K> {
    pub(crate) fn new(max: usize, max_of_owner: usize) -> Self {
        Self {
            max,
            max_of_owner,
            open: Mutex::new(Open {
                total: 0,
                by_owner: HashMap::new(),
            }),
        }
    }

    /// Lets one more in, or says which limit it meets.
    pub(crate) fn admit(self: &Arc<Self>, owner: K) -> Result<Slot<K>, Full> {
        let mut open = self.lock();
        if open.total >= self.max {
            return Err(Full::All);
        }
        if open
            .by_owner
            .get(&owner)
            .is_some_and(|&count| count >= self.max_of_owner)
        {
            return Err(Full::Owner);
        }
        open.total += 1;
        *open.by_owner.entry(owner.clone()).or_default() += 1;
        Ok(Slot {
            gate: Arc::clone(self),
            owner,
        })
    }
}

impl<K: Eq + Hash> Gate<K> {
    /// How many there are.
    pub(crate) fn count(&self) -> u64 {
        u64::try_from(self.lock().total).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, Open<K>> {
        // No method panics half-way through a change.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash> Drop for Slot<K> {
    fn drop(&mut self) {
        let mut open = self.gate.lock();
        open.total -= 1;
        if let Some(count) = open.by_owner.get_mut(&self.owner) {
            *count -= 1;
            if *count == 0 {
                open.by_owner.remove(&self.owner);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold_in_all_and_by_owner() {
        let gate = Arc::new(Gate::new(3, 2));
        let first = gate.admit("a").unwrap();
        let _second = gate.admit("a").unwrap();
        assert_eq!(gate.admit("a").unwrap_err(), Full::Owner);
        let _third = gate.admit("b").unwrap();
        assert_eq!(gate.admit("c").unwrap_err(), Full::All);
        drop(first);
        let _fourth = gate.admit("c").unwrap();
        assert_eq!(gate.count(), 3);
    }

    #[test]
    fn an_owner_without_any_is_forgotten() {
        let gate = Arc::new(Gate::new(10, 1));
        drop(gate.admit("a").unwrap());
        assert!(gate.lock().by_owner.is_empty());
        assert!(gate.admit("a").is_ok());
    }
}
