//! How fast one client may send, or all may come: a token bucket. A plain value; time is an argument. Must not know
//! what is sent.

use std::time::{Duration, Instant};

/// Allows a rate on average and a burst at once.
#[derive(Debug, Clone)]
pub(crate) struct Rate {
    per_second: f64,
    burst: f64,
    left: f64,
    at: Instant,
}

impl Rate {
    /// A full bucket.
    pub(crate) fn new(now: Instant, per_second: u32, burst: u32) -> Self {
        let burst = f64::from(burst);
        Self {
            per_second: f64::from(per_second),
            burst,
            left: burst,
            at: now,
        }
    }

    /// Takes one; false when it is too fast.
    #[must_use]
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let passed = now
            .checked_duration_since(self.at)
            .unwrap_or(Duration::ZERO);
        self.at = now.max(self.at);
        self.left = (self.left + passed.as_secs_f64() * self.per_second).min(self.burst);
        if self.left < 1.0 {
            return false;
        }
        self.left -= 1.0;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `wanted` are taken at one moment.
    fn taken(rate: &mut Rate, now: Instant, wanted: usize) -> usize {
        (0..wanted).filter(|_| rate.take(now)).count()
    }

    #[test]
    fn a_burst_then_the_rate() {
        let start = Instant::now();
        let mut rate = Rate::new(start, 100, 500);
        for (after_ms, wanted, expected) in [
            (0, 1000, 500),
            (0, 1, 0),
            (10, 5, 1),
            (1_000, 1000, 99),
            (60_000, 1000, 500),
        ] {
            let now = start + Duration::from_millis(after_ms);
            assert_eq!(
                taken(&mut rate, now, wanted),
                expected,
                "after {after_ms} ms"
            );
        }
    }

    #[test]
    fn a_steady_client_is_never_stopped() {
        let start = Instant::now();
        let mut rate = Rate::new(start, 100, 100);
        for step in 0..10_000 {
            assert!(
                rate.take(start + Duration::from_millis(step * 11)),
                "step {step}"
            );
        }
    }

    #[test]
    fn time_that_goes_back_gives_nothing() {
        let start = Instant::now() + Duration::from_secs(10);
        let mut rate = Rate::new(start, 1, 1);
        assert!(rate.take(start));
        assert!(!rate.take(start - Duration::from_secs(5)));
        assert!(!rate.take(start));
    }
}
