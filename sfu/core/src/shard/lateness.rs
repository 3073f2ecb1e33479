//! How often a shard is late for its own timer. What is late for that is late for all it forwards, and no link is to
//! blame for it. Must not know what the timer is for.

use std::time::Duration;

/// Of its timers of the last seconds, those that it was late for.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Lateness {
    /// 0 to 1.
    share: f32,
}

impl Lateness {
    /// What is late by so much is felt: sound of one packet.
    const LATE: Duration = Duration::from_millis(20);
    /// After so many more timers one counts for a third.
    const MEMORY: f32 = 20.0;
    /// What stands still for long misses many timers; so many count at most, so that it has to do so twice.
    const AT_ONCE: f32 = 5.0;
    /// From such a share on it does not keep up.
    const MUCH: f32 = 0.25;

    /// A timer that was to be handled every `interval` was handled so late.
    pub(super) fn take(&mut self, late: Duration, interval: Duration) {
        let missed = late.as_secs_f32() / interval.as_secs_f32();
        let kept = (-(1.0 + missed).min(Self::AT_ONCE) / Self::MEMORY).exp();
        let is_late = if late >= Self::LATE { 1.0 } else { 0.0 };
        self.share = is_late + (self.share - is_late) * kept;
    }

    /// Whether it has been late again and again.
    pub(super) fn is_much(&self) -> bool {
        self.share >= Self::MUCH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(100);

    /// How long it is said to be late, of timers late by so many milliseconds and punctual ones after them.
    fn named(late: &[u64]) -> (Option<Duration>, Duration) {
        let (mut lateness, mut now) = (Lateness::default(), Duration::ZERO);
        let (mut first, mut last) = (None, Duration::ZERO);
        for late in late.iter().copied().chain([0; 200]) {
            let late = Duration::from_millis(late);
            now += INTERVAL + late;
            lateness.take(late, INTERVAL);
            if lateness.is_much() {
                first.get_or_insert(now);
                last = now;
            }
        }
        (first, first.map_or(Duration::ZERO, |first| last - first))
    }

    #[test]
    fn who_stands_still_once_is_not_said_to_be_late() {
        for late in [0, 5, 30, 100, 400, 2_000, 60_000] {
            assert_eq!(named(&[late]).0, None, "{late}");
        }
        assert_eq!(named(&[10; 300]).0, None, "as timers are");
        // Now and then all machines do.
        let seldom: Vec<u64> = (0..600)
            .map(|n| if n % 20 == 0 { 100 } else { 1 })
            .collect();
        assert_eq!(named(&seldom).0, None);
    }

    #[test]
    fn who_is_late_again_and_again_is_said_to_be_while_it_lasts() {
        for (late, within) in [(20, 800), (50, 1_000), (200, 1_000), (1_000, 2_500)] {
            let (first, lasts) = named(&[late; 50]);
            let within = Duration::from_millis(within);
            assert!(
                first.is_some_and(|first| first <= within),
                "{late}: {first:?}"
            );
            let trouble = (INTERVAL + Duration::from_millis(late)) * 50;
            let after = (first.unwrap() + lasts).saturating_sub(trouble);
            assert!(after <= Duration::from_secs(4), "{late}: {after:?}");
        }
        // A third of the time it may not run.
        let held: Vec<u64> = (0..300).map(|n| if n % 3 == 0 { 60 } else { 0 }).collect();
        assert!(named(&held).0.is_some());
    }
}
