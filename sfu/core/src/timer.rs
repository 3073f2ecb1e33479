//! When each session wants to be woken: an ordered set with one entry per session. Must know nothing of
//! what the wake-up is for.

use std::{collections::BTreeSet, time::Instant};

use slotmap::SecondaryMap;

use crate::key::SessionKey;

/// Deadlines of sessions.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    order: BTreeSet<(Instant, SessionKey)>,
    current: SecondaryMap<SessionKey, Instant>,
}

impl Timers {
    /// Sets, moves or clears the deadline of a session.
    pub(crate) fn set(&mut self, session: SessionKey, at: Option<Instant>) {
        if self.current.get(session).copied() == at {
            return;
        }
        if let Some(before) = self.current.remove(session) {
            self.order.remove(&(before, session));
        }
        if let Some(at) = at {
            self.current.insert(session, at);
            self.order.insert((at, session));
        }
    }

    pub(crate) fn next(&self) -> Option<Instant> {
        self.order.first().map(|(at, _)| *at)
    }

    /// Takes out one session whose deadline has come.
    pub(crate) fn pop_due(&mut self, now: Instant) -> Option<SessionKey> {
        let (at, session) = *self.order.first()?;
        if at > now {
            return None;
        }
        self.order.pop_first();
        self.current.remove(session);
        Some(session)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use slotmap::SlotMap;

    use super::*;

    #[test]
    fn a_moved_deadline_fires_once_and_at_its_new_time() {
        let mut keys: SlotMap<SessionKey, ()> = SlotMap::with_key();
        let (a, b) = (keys.insert(()), keys.insert(()));
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::default();
        timers.set(a, Some(at(10)));
        timers.set(b, Some(at(20)));
        timers.set(a, Some(at(30)));
        assert_eq!(timers.next(), Some(at(20)));
        assert_eq!(timers.pop_due(at(19)), None);
        assert_eq!(timers.pop_due(at(40)), Some(b));
        assert_eq!(timers.pop_due(at(40)), Some(a));
        assert_eq!(timers.pop_due(at(40)), None);
        timers.set(b, Some(at(50)));
        timers.set(b, None);
        assert_eq!(timers.next(), None);
    }
}
