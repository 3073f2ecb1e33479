//! A queue that shoots up, as when a link falls to a fraction of its rate: seen in the first reports of it, long
//! before there is a trend, and answered by holding video back until what is under way has passed. What the
//! queue would drop meanwhile is sound as well. Must not choose a rate.

/// What a report shows. Times in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sight {
    /// Microseconds of the controller's clock.
    pub(super) now: u64,
    /// How much longer than at best the newest packet was under way.
    pub(super) newest: f64,
    /// The least of that in the time before the report.
    pub(super) before: f64,
    /// Since the newest packet was sent.
    pub(super) response: f64,
    /// Bytes sent after it.
    pub(super) in_flight: u64,
    /// Bits per second that arrive since packets queue, of the last tenth of a second at most.
    pub(super) rate: f64,
    /// Bits per second that the link was thought to take.
    pub(super) estimate: f64,
    /// Others keep up a queue: it rises by what they do.
    pub(super) is_shared: bool,
}

/// A surge, and what is no surge on this link.
#[derive(Debug)]
pub(super) struct Surge {
    /// How far above the least before the newest packet of a report usually is.
    usual: f64,
    /// The least time from sending to a report, which rises slowly.
    response: f64,
    /// Since when there is one, in microseconds, and the queue it began from.
    since: Option<(u64, f64)>,
    /// More than one report shows it, and that the link takes much less than before.
    is_confirmed: bool,
}

impl Surge {
    /// A rise of so many milliseconds is one, and of so many times the usual.
    const LEAST: f64 = 20.0;
    const USUAL_TIMES: f64 = 4.0;
    const WEIGHT: f64 = 1.0 / 16.0;
    /// It is over when so little is left of the rise, and after so many microseconds: by then the trend tells.
    const OVER: f64 = 10.0;
    const LASTS: u64 = 1_000_000;
    /// It begins from a queue of less than that: a longer one is kept up by others, who make it rise and fall.
    const FROM: f64 = 30.0;
    /// A second report of it is no chance any more, in microseconds, if so little of the estimate arrives; what
    /// is not sure after some reports is none.
    const CONFIRMED: u64 = 30_000;
    const UNSURE: u64 = 130_000;
    const FALLEN: f64 = 0.5;
    /// Milliseconds of queue at which video goes on, and that it is held back at most from one report to the next.
    const LEFT: f64 = 20.0;
    const HOLD_MAX: f64 = 250.0;
    /// Bits per second that a link is believed to take at least.
    const RATE_MIN: f64 = 50_000.0;
    /// How fast the least time to a report rises, each report.
    const FORGETS: f64 = 1.005;

    pub(super) fn new() -> Self {
        Self {
            usual: 0.0,
            response: f64::MAX,
            since: None,
            is_confirmed: false,
        }
    }

    /// Whether there is one.
    pub(super) fn is_on(&self) -> bool {
        self.since.is_some()
    }

    /// Whether more than one report shows it, and that the link takes much less than before.
    pub(super) fn is_confirmed(&self) -> bool {
        self.is_confirmed
    }

    /// Nothing is known of the link any more, or nothing is under way.
    pub(super) fn clear(&mut self) {
        *self = Self {
            usual: self.usual,
            ..Self::new()
        };
    }

    /// Takes what a report shows; says for how many milliseconds nothing is to be added to the queue.
    pub(super) fn on_report(&mut self, sight: &Sight) -> f64 {
        self.response = (self.response * Self::FORGETS).min(sight.response);
        let rise = (sight.newest - sight.before).max(0.0);
        if self.since.is_none() {
            let is_one = rise > Self::LEAST.max(self.usual * Self::USUAL_TIMES);
            if is_one && sight.before < Self::FROM && !sight.is_shared {
                self.since = Some((sight.now, sight.before));
            } else {
                self.usual += (rise - self.usual) * Self::WEIGHT;
            }
        } else {
            self.go_on(sight);
        }
        let Some((_, from)) = self.since else {
            return 0.0;
        };
        let passes = sight.in_flight as f64 * 8e3 / sight.rate.max(Self::RATE_MIN);
        // A queue that was there before is not for us to take away.
        (passes - self.response - from - Self::LEFT).clamp(0.0, Self::HOLD_MAX)
    }

    /// A report after the first that shows one.
    fn go_on(&mut self, sight: &Sight) {
        let Some((since, from)) = self.since else {
            return;
        };
        let lasts = sight.now.saturating_sub(since);
        let has_fallen = sight.rate < sight.estimate * Self::FALLEN;
        self.is_confirmed |= has_fallen && lasts >= Self::CONFIRMED;
        let is_chance = !self.is_confirmed && lasts >= Self::UNSURE;
        if sight.newest < from + Self::OVER || lasts > Self::LASTS || is_chance {
            (self.since, self.is_confirmed) = (None, false);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALM: Sight = Sight {
        now: 0,
        newest: 3.0,
        before: 0.0,
        response: 35.0,
        in_flight: 10_000,
        rate: 2e6,
        estimate: 2.2e6,
        is_shared: false,
    };

    #[test]
    fn a_link_that_falls_holds_video_back_until_the_queue_has_passed() {
        let mut surge = Surge::new();
        for number in 0..100 {
            let now = number * 50_000;
            assert_eq!(surge.on_report(&Sight { now, ..CALM }), 0.0);
        }
        let risen = Sight {
            now: 5_000_000,
            newest: 40.0,
            in_flight: 20_000,
            rate: 1e6,
            ..CALM
        };
        let hold = surge.on_report(&risen);
        assert!((100.0..110.0).contains(&hold), "160 ms of queue: {hold}");
        assert!(surge.is_on() && !surge.is_confirmed());
        let slower = Sight {
            now: 5_050_000,
            newest: 120.0,
            rate: 0.5e6,
            ..risen
        };
        assert_eq!(surge.on_report(&slower), 250.0);
        assert!(surge.is_confirmed(), "a second report of it");
        let passed = Sight {
            now: 5_300_000,
            newest: 8.0,
            ..CALM
        };
        assert_eq!(surge.on_report(&passed), 0.0);
        assert!(!surge.is_on());
    }

    #[test]
    fn a_burst_of_somebody_else_is_over_soon() {
        let mut surge = Surge::new();
        for number in 0..6 {
            // All that is sent arrives, if late; from then on that queue is no news.
            let hold = surge.on_report(&Sight {
                now: number * 50_000,
                newest: 60.0,
                before: if number < 4 { 0.0 } else { 60.0 },
                ..CALM
            });
            assert!(hold < 30.0 && !surge.is_confirmed(), "{hold}");
            assert_eq!(surge.is_on(), number < 3, "report {number}");
        }
    }

    #[test]
    fn what_a_link_does_all_the_time_is_none() {
        let mut surge = Surge::new();
        let mut held = 0;
        for number in 0..400_u64 {
            // Up to 48 ms, in no regular way.
            let newest = (number * 7_919 % 13) as f64 * 4.0;
            let now = number * 50_000;
            let hold = surge.on_report(&Sight {
                now,
                newest,
                ..CALM
            });
            held += u32::from(surge.is_on() && number > 40);
            assert!(hold < 20.0, "{hold}");
        }
        assert_eq!(held, 0);
        surge.clear();
        assert!(surge.usual > 15.0);
    }
}
