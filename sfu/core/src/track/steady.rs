//! Whether an encoding that ceased to come though it was wanted is to be counted on again. Who sends over a link that is
//! not enough tries again and again what is too much for it, a moment each time; whoever followed would see a picture
//! stand still with each of them. Must not look at what comes.

use std::time::{Duration, Instant};

/// How often an encoding ceased of late, and since when it comes again.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Steady {
    /// Without a long time between them.
    times: u32,
    is_away: bool,
    since: Option<Instant>,
}

impl Steady {
    /// For how long it has to come after it ceased once, and after it did so often: twice as long each time.
    const FIRST: Duration = Duration::from_millis(1_500);
    const DOUBLINGS: u32 = 2;
    /// What came for so long is well again.
    const WELL: Duration = Duration::from_secs(30);

    /// It does not come any more; its `newest` packet came then.
    pub(super) fn on_ceased(&mut self, newest: Option<Instant>) {
        if self.is_away {
            return;
        }
        self.is_away = true;
        let came = self.since.zip(newest);
        let came = came.map(|(since, newest)| newest.saturating_duration_since(since));
        self.times = match came {
            Some(came) if came < Self::WELL => self.times.saturating_add(1),
            _ => 1,
        };
    }

    /// It comes.
    pub(super) fn on_coming(&mut self, now: Instant) {
        if std::mem::take(&mut self.is_away) {
            self.since = Some(now);
        }
    }

    /// Whether it comes for long enough, up to its `newest` packet.
    pub(super) fn is_steady(&self, newest: Instant) -> bool {
        let doublings = self.times.saturating_sub(1).min(Self::DOUBLINGS);
        let came = self
            .since
            .map(|since| newest.saturating_duration_since(since));
        !self.is_away && came.is_none_or(|came| came >= Self::FIRST * 2_u32.pow(doublings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ceased_is_counted_on_when_it_came_for_a_while_and_later_each_time() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut steady = Steady::default();
        steady.on_coming(at(0));
        assert!(steady.is_steady(at(0)), "it never ceased");
        let mut now = 60_000;
        for patience in [1_500, 3_000, 6_000, 6_000] {
            steady.on_ceased(Some(at(now)));
            steady.on_ceased(Some(at(now)));
            assert!(!steady.is_steady(at(now + 60_000)), "while it is away");
            steady.on_coming(at(now + 1_000));
            assert!(!steady.is_steady(at(now + 1_000 + patience - 1)));
            assert!(steady.is_steady(at(now + 1_000 + patience)), "{patience}");
            now += 2_000 + patience;
        }
        // It was well for long in between.
        now += 60_000;
        steady.on_ceased(Some(at(now)));
        steady.on_coming(at(now));
        assert!(steady.is_steady(at(now + 1_500)));
    }
}
