//! For how long is waited for what was lost: as long as the worst of the last half a minute asks for, so that a way that
//! loses now and then does not make pictures run now faster, now slower. Must not know how long that is.

use std::time::{Duration, Instant};

use crate::rtp::PlayoutDelay;

/// What is asked of who shows pictures.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wait {
    delay: Duration,
    /// The most that was wanted since `delay` was set.
    wanted_since: Duration,
    /// Not less before this moment.
    holds_until: Option<Instant>,
    /// Until when it is said that nothing is asked for any more.
    withdrawn_until: Option<Instant>,
}

impl Wait {
    /// Who talks waits for the answer: more than this is worse than a picture that stands still.
    const MOST: Duration = Duration::from_millis(500);
    const HOLD: Duration = Duration::from_secs(30);
    /// Any packet of so long a time may be the one that arrives.
    const WITHDRAWAL: Duration = Duration::from_secs(5);

    /// What was lost of late asks for so long a wait.
    pub(crate) fn want(&mut self, now: Instant, wanted: Duration) {
        let wanted = wanted.min(Self::MOST);
        self.wanted_since = self.wanted_since.max(wanted);
        let is_over = self.holds_until.is_none_or(|until| now >= until);
        if wanted > self.delay || is_over && !self.delay.is_zero() {
            self.delay = self.wanted_since;
            self.wanted_since = Duration::ZERO;
            self.holds_until = Some(now + Self::HOLD);
            self.withdrawn_until = self.delay.is_zero().then(|| now + Self::WITHDRAWAL);
        }
        if self.withdrawn_until.is_some_and(|until| now >= until) {
            self.withdrawn_until = None;
        }
    }

    /// What a packet that goes out now says of it, if anything.
    pub(crate) fn asked(&self) -> Option<PlayoutDelay> {
        let is_told = !self.delay.is_zero() || self.withdrawn_until.is_some();
        is_told.then_some(PlayoutDelay::new(self.delay))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_half_a_minute_is_waited_for() {
        let start = Instant::now();
        let mut wait = Wait::default();
        for (seconds, wanted, expected) in [
            (0, 0, None),
            (1, 190, Some(190)),
            (2, 310, Some(310)),
            (3, 900, Some(500)),
            (20, 250, Some(500)),
            (32, 0, Some(500)),
            (33, 0, Some(250)),
            (62, 0, Some(250)),
            (63, 0, Some(0)),
            (67, 0, Some(0)),
            (68, 0, None),
        ] {
            wait.want(
                start + Duration::from_secs(seconds),
                Duration::from_millis(wanted),
            );
            let expected = expected.map(|ms| PlayoutDelay::new(Duration::from_millis(ms)));
            assert_eq!(wait.asked(), expected, "{seconds} s");
        }
    }
}
