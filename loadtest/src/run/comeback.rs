//! When somebody who was cut off tries again: as SDKs do, sooner first, later each time, and not all at the same
//! moment. A pure machine.

use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Milliseconds before each attempt, as in the JavaScript SDK.
const DELAYS_MS: [u64; 10] = [0, 300, 1200, 2700, 4800, 7000, 7000, 7000, 7000, 7000];

/// Attempts up to this one are made on time; later ones up to a second later.
const EVEN: usize = 1;

/// The attempts of one participant.
#[derive(Debug)]
pub(super) struct Delays {
    attempts: usize,
    random: ChaCha8Rng,
}

impl Delays {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            attempts: 0,
            random: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// How long to wait before the next attempt; none when there have been enough.
    pub(super) fn next(&mut self) -> Option<Duration> {
        let delay = *DELAYS_MS.get(self.attempts)?;
        let spread = match self.attempts <= EVEN {
            true => 0,
            false => self.random.random_range(0..1000),
        };
        self.attempts += 1;
        Some(Duration::from_millis(delay + spread))
    }

    /// Attempts that were made.
    pub(super) fn attempts(&self) -> usize {
        self.attempts
    }

    /// The last attempt succeeded.
    pub(super) fn begin(&mut self) {
        self.attempts = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_come_later_each_time_and_end() {
        let all = |seed| -> Vec<u128> {
            let mut delays = Delays::new(seed);
            std::iter::from_fn(move || delays.next())
                .map(|delay| delay.as_millis())
                .collect()
        };
        let (first, second) = (all(1), all(2));
        assert_eq!(first.len(), DELAYS_MS.len());
        assert_eq!(first[..2], [0, 300]);
        assert_ne!(first, second, "not all at the same moment");
        for (delay, least) in first.iter().zip(DELAYS_MS) {
            assert!((u128::from(least)..u128::from(least) + 1000).contains(delay));
        }
        let mut delays = Delays::new(3);
        while delays.next().is_some() {}
        delays.begin();
        assert_eq!(delays.next(), Some(Duration::ZERO));
    }
}
