//! Whether an encoding that ceased to come though it was wanted is to be counted on again. Who sends over a link that is
//! not enough tries again and again what is too much for it, a moment each time; whoever followed would see a picture
//! stand still with each of them. Must not look at what comes.

use std::time::{Duration, Instant};

/// How often an encoding ceased of late, and since when it comes again.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Steady {
    /// It came since its publisher is to send it.
    has_come: bool,
    is_away: bool,
    /// Without a long time between them.
    times: u32,
    since: Option<Instant>,
}

impl Steady {
    /// For how long it has to come after it ceased once, and more than once.
    const ONCE: Duration = Duration::from_millis(1_500);
    const OFTEN: Duration = Duration::from_secs(2);
    /// What came for so long is well again.
    const WELL: Duration = Duration::from_secs(30);

    /// It comes.
    pub(super) fn on_coming(&mut self, now: Instant) {
        self.has_come = true;
        if std::mem::take(&mut self.is_away) {
            self.since = Some(now);
        }
    }

    /// It does not come though it is to; its `newest` packet came then. Who is only about to begin has not ceased, unless
    /// `is_doubted`.
    pub(super) fn on_silent(&mut self, newest: Option<Instant>, is_doubted: bool) {
        if self.is_away || !self.has_come && !is_doubted {
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

    /// It does not come, nor is it to.
    pub(super) fn on_rest(&mut self) {
        *self = Self::default();
    }

    /// Whether it came and does not any more.
    pub(super) fn has_ceased(&self) -> bool {
        self.has_come && self.is_away
    }

    /// Whether it comes for long enough, up to its `newest` packet.
    pub(super) fn is_steady(&self, newest: Instant) -> bool {
        let wanted = if self.times > 1 {
            Self::OFTEN
        } else {
            Self::ONCE
        };
        let came = self
            .since
            .map(|since| newest.saturating_duration_since(since));
        !self.is_away && came.is_none_or(|came| came >= wanted)
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
        for patience in [1_500, 2_000, 2_000] {
            steady.on_silent(Some(at(now)), false);
            steady.on_silent(Some(at(now)), false);
            assert!(steady.has_ceased());
            assert!(!steady.is_steady(at(now + 60_000)), "while it is away");
            steady.on_coming(at(now + 1_000));
            assert!(!steady.is_steady(at(now + 1_000 + patience - 1)));
            assert!(steady.is_steady(at(now + 1_000 + patience)), "{patience}");
            now += 2_000 + patience;
        }
        // It was well for long in between.
        now += 60_000;
        steady.on_silent(Some(at(now)), false);
        steady.on_coming(at(now));
        assert!(!steady.is_steady(at(now + 1_499)));
        assert!(steady.is_steady(at(now + 1_500)));
    }

    #[test]
    fn who_begins_late_is_counted_on_at_once_unless_others_ceased() {
        let now = Instant::now();
        let mut steady = Steady::default();
        steady.on_silent(None, false);
        steady.on_coming(now);
        assert!(steady.is_steady(now));
        // Switched off, and on again.
        steady.on_rest();
        steady.on_silent(Some(now), false);
        steady.on_coming(now);
        assert!(steady.is_steady(now));
        steady.on_rest();
        steady.on_silent(Some(now), true);
        assert!(!steady.has_ceased(), "nothing to doubt others by");
        steady.on_coming(now);
        assert!(!steady.is_steady(now));
    }
}
