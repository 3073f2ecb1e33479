//! How fast something may flow: a bucket that fills at a rate and holds one second of it. Must not know
//! what flows.

use std::time::Instant;

/// Bytes that may flow now.
#[derive(Debug)]
pub(super) struct Bucket {
    rate: u64,
    bytes: u64,
    filled_at: Instant,
}

impl Bucket {
    /// Full; `rate` is in bytes per second.
    pub(super) fn new(rate: u64, now: Instant) -> Self {
        Self {
            rate,
            bytes: rate,
            filled_at: now,
        }
    }

    /// Takes as many bytes as there must be for all of them to flow.
    pub(super) fn take(&mut self, now: Instant, bytes: usize) -> bool {
        let passed = now.saturating_duration_since(self.filled_at).as_micros();
        let gained = u128::from(self.rate).saturating_mul(passed) / 1_000_000;
        if gained > 0 {
            self.filled_at = now;
            let bytes = u128::from(self.bytes).saturating_add(gained);
            self.bytes = u64::try_from(bytes).unwrap_or(u64::MAX).min(self.rate);
        }
        match self.bytes.checked_sub(bytes as u64) {
            Some(left) => {
                self.bytes = left;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_second_may_burst_and_then_the_rate_holds() {
        let start = Instant::now();
        let mut bucket = Bucket::new(1_000, start);
        let mut flows = |at: u64| {
            let now = start + Duration::from_millis(at);
            (0..100).filter(|_| bucket.take(now, 100)).count()
        };
        assert_eq!(flows(0), 10);
        assert_eq!(flows(50), 0);
        assert_eq!(flows(200), 2);
        assert_eq!(flows(60_000), 10);
    }
}
