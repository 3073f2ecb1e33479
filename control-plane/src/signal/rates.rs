//! How fast each participant may open sessions: a token bucket for each, kept only while it is not full
//! again. Owns the buckets and their cap. Must not know what is opened.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use super::{pending::Subject, rate::Rate};

/// Participants whose bucket is known at once. Past it those that are full are forgotten, and if none is,
/// a newcomer has to wait.
const MAX_BUCKETS: usize = 10_000;

/// Buckets by participant.
#[derive(Debug)]
pub(crate) struct Rates {
    per_second: u32,
    burst: u32,
    buckets: Mutex<HashMap<Subject, (Rate, Instant)>>,
}

impl Rates {
    pub(crate) fn new(per_second: u32, burst: u32) -> Self {
        Self {
            per_second,
            burst,
            buckets: Mutex::default(),
        }
    }

    /// Takes one; false when the participant is too fast.
    #[must_use]
    pub(crate) fn take(&self, now: Instant, subject: &Subject) -> bool {
        // A bucket cannot be half changed, so a panic elsewhere does not spoil the map.
        let mut buckets = self.buckets.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((rate, used)) = buckets.get_mut(subject) {
            *used = now;
            return rate.take(now);
        }
        if buckets.len() >= MAX_BUCKETS {
            let full_after = Duration::from_secs(u64::from(self.burst.div_ceil(self.per_second)));
            buckets.retain(|_, (_, used)| now.saturating_duration_since(*used) < full_after);
            if buckets.len() >= MAX_BUCKETS {
                return false;
            }
        }
        let mut rate = Rate::new(now, self.per_second, self.burst);
        let is_taken = rate.take(now);
        buckets.insert(subject.clone(), (rate, now));
        is_taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subject(number: usize) -> Subject {
        Subject {
            room: "r".into(),
            identity: number.to_string(),
        }
    }

    #[test]
    fn each_has_a_burst_and_a_rate_of_its_own() {
        let rates = Rates::new(2, 10);
        let start = Instant::now();
        let taken =
            |at: Instant, who: usize| (0..100).filter(|_| rates.take(at, &subject(who))).count();
        assert_eq!(taken(start, 1), 10);
        assert_eq!(taken(start, 2), 10);
        assert_eq!(taken(start + Duration::from_secs(1), 1), 2);
        assert_eq!(taken(start + Duration::from_secs(60), 1), 10);
    }

    #[test]
    fn many_participants_do_not_grow_it_for_ever() {
        let rates = Rates::new(1, 5);
        let start = Instant::now();
        assert!((0..MAX_BUCKETS).all(|who| rates.take(start, &subject(who))));
        assert!(!rates.take(start, &subject(MAX_BUCKETS)));
        let later = start + Duration::from_secs(5);
        assert!(rates.take(later, &subject(MAX_BUCKETS)));
        assert_eq!(rates.buckets.lock().unwrap().len(), 1);
    }
}
