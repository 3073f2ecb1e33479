//! The estimate by delay: grows while no queue does, and falls to what is delivered when one does
//! (additive increase, multiplicative decrease; after draft-ietf-rmcat-gcc-02 section 5.5). A queue that
//! stands is taken away, unless others keep it up. Must not look at packets or loss.

use super::{Congestion, trend::Usage};

/// What is known at a report.
#[derive(Debug, Clone, Copy)]
pub(super) struct Signals {
    /// Microseconds of the controller's clock.
    pub(super) now: u64,
    pub(super) usage: Usage,
    /// Bits per second that arrive.
    pub(super) delivered: Option<f64>,
    /// Milliseconds.
    pub(super) queue: f64,
    /// From sending to the report of it, in seconds.
    pub(super) response: f64,
    /// Much less is sent than might be.
    pub(super) is_app_limited: bool,
    /// The link takes a fraction of what it did: our share of before is none any more.
    pub(super) has_fallen: bool,
}

/// The estimate by delay.
#[derive(Debug)]
pub(super) struct DelayBased {
    /// Bits per second.
    estimate: f64,
    /// What was delivered while the link was busy all the time: our share of it.
    share: Option<f64>,
    /// When that was last seen.
    learnt: u64,
    updated: Option<u64>,
    lowered: Option<u64>,
    /// A queue is being waited out.
    is_draining: bool,
    /// Milliseconds of a standing queue that are borne: more where others keep it up.
    tolerance: f64,
    /// How it was before the estimate was lowered, while it shows whether that takes the queue away.
    trial: Option<Trial>,
    /// What was left of a queue stayed whatever was sent.
    is_longer: bool,
}

/// An attempt to take a queue away by sending less.
#[derive(Debug, Clone, Copy)]
struct Trial {
    estimate: f64,
    share: Option<f64>,
    queue: f64,
    begun: u64,
    /// Since when so little of the queue is left that it may be none.
    left: Option<u64>,
}

impl DelayBased {
    /// Growth per second where the link's rate is not known.
    const GROWTH: f64 = 1.08;
    /// At most so much above what is delivered: what was not tried is not known.
    const UNTRIED: f64 = 1.5;
    const UNTRIED_BITS: f64 = 10_000.0;
    /// Near our share of the link, in bits per second and second: the same for all, so that who has less
    /// catches up.
    const STEP: f64 = 60_000.0;
    /// Milliseconds of queue: below is none, above the link is busy, above is a queue worth a reaction.
    const EMPTY: f64 = 8.0;
    const BUSY: f64 = 15.0;
    const TOLERANCE: f64 = 40.0;
    const TOLERANCE_MAX: f64 = 400.0;
    /// How fast it falls back.
    const TOLERANCE_SECONDS: f64 = 15.0;
    /// Of what is delivered while a queue stands, this much is taken; less by the seconds of queue, times
    /// so much.
    const TAKEN: f64 = 0.95;
    const TAKEN_PER_QUEUE: f64 = 1.5;
    /// The least of it that is taken, and how much of our share when the queue is gone: alone, and beside
    /// others that do not give way.
    const ALONE: (f64, f64) = (0.7, 0.85);
    const BESIDE: (f64, f64) = (0.9, 0.93);
    /// A queue that did not fall to this share of itself within so long is not ours, in microseconds.
    const FELL: f64 = 0.6;
    /// What was given away for it is taken back, up to this much of what is delivered.
    const REGAINED: f64 = 1.5;
    const FALLS_WITHIN: u64 = 1_000_000;
    /// The same of what is left of it when it fell, which is waited for so much longer.
    const RESTS_WITHIN: u64 = 500_000;
    const LEFT_LONGER: u64 = 300_000;
    /// A queue is not due to us when we send much less than we might: one step at a time.
    const BYSTANDER: f64 = 0.7;

    pub(super) fn new(start: f64) -> Self {
        Self {
            estimate: start,
            share: None,
            learnt: 0,
            updated: None,
            lowered: None,
            is_draining: false,
            tolerance: Self::TOLERANCE,
            trial: None,
            is_longer: false,
        }
    }

    /// Whether what is left of a queue was found to be none, since this was last asked: the way is longer than it was.
    pub(super) fn take_longer_way(&mut self) -> bool {
        std::mem::take(&mut self.is_longer)
    }

    /// Bits per second.
    pub(super) fn estimate(&self) -> f64 {
        self.estimate
    }

    /// Whether a queue is being waited out.
    pub(super) fn is_draining(&self) -> bool {
        self.is_draining
    }

    /// Whether our share of the link was seen a moment ago, and the estimate is about that: a burst would
    /// only show what others have.
    pub(super) fn knows_share(&self, now: u64) -> bool {
        const FRESH: u64 = 4_000_000;
        now.saturating_sub(self.learnt) < FRESH
            && self.share.is_some_and(|share| self.estimate < share * 1.1)
    }

    /// Nothing has been sent for a while: a queue of ours is gone by now.
    pub(super) fn on_idle(&mut self) {
        self.is_draining = false;
        self.trial = None;
    }

    /// Something that measured more is to be believed.
    pub(super) fn raise(&mut self, estimate: f64) {
        if estimate > self.estimate {
            self.estimate = estimate;
            self.share = self.share.filter(|share| estimate < share * 1.1);
        }
    }

    /// The link is back, and what waited on it comes out.
    pub(super) fn restore(&mut self, estimate: f64) {
        self.estimate = self.estimate.max(estimate);
        (self.is_draining, self.trial) = (false, None);
        self.share = None;
    }

    /// Something that measured less is to be believed.
    pub(super) fn lower(&mut self, estimate: f64) {
        self.estimate = self.estimate.min(estimate);
    }

    pub(super) fn update(&mut self, signals: &Signals) {
        let since = self.updated.map_or(0, |at| signals.now.saturating_sub(at));
        let span = (since as f64 / 1e6).min(1.0);
        self.updated = Some(signals.now);
        self.learn(signals, span);
        self.judge_trial(signals);
        let grows = signals.usage == Usage::Over && signals.queue > Self::BUSY;
        let stands = signals.queue > self.tolerance && signals.usage != Usage::Under;
        if grows || stands {
            self.decrease(signals);
            return;
        }
        if self.is_draining && signals.queue < Self::EMPTY.max(self.tolerance / 4.0) {
            self.is_draining = false;
            self.trial = None;
            if let Some(share) = self.share {
                self.estimate = self.estimate.max(share * self.manners().1);
            }
        }
        let is_calm = signals.usage == Usage::Normal && !self.is_draining;
        if is_calm && signals.queue < self.tolerance {
            self.increase(signals, span);
        }
    }

    /// Whether others kept up a queue of late.
    pub(super) fn is_beside_others(&self) -> bool {
        self.tolerance >= Self::TOLERANCE * 1.25
    }

    /// How much way is given.
    fn manners(&self) -> (f64, f64) {
        if self.tolerance < Self::TOLERANCE * 2.0 {
            Self::ALONE
        } else {
            Self::BESIDE
        }
    }

    /// What the link gives us, where that shows.
    fn learn(&mut self, signals: &Signals, span: f64) {
        const WEIGHT: f64 = 0.3;
        if let Some(delivered) = signals.delivered
            && signals.queue > Self::BUSY
            && !signals.is_app_limited
            && !self.is_draining
        {
            let share = self
                .share
                .map_or(delivered, |share| share + WEIGHT * (delivered - share));
            self.share = Some(share);
            self.learnt = signals.now;
        }
        // Others go away, and were perhaps never there.
        let excess = self.tolerance - Self::TOLERANCE;
        self.tolerance -= excess * span / Self::TOLERANCE_SECONDS;
    }

    /// A queue that our sending less does not take away is that of others: from then on it is borne.
    fn judge_trial(&mut self, signals: &Signals) {
        let is_left = self.is_draining && signals.queue <= self.tolerance;
        if self.trial.is_none() && is_left {
            self.trial = Some(self.wait_for_rest(signals, signals.now));
        }
        let Some(trial) = &mut self.trial else {
            return;
        };
        // What was under way before still makes it longer.
        trial.queue = trial.queue.max(signals.queue);
        let trial = *trial;
        let least = trial
            .left
            .map_or(Self::FALLS_WITHIN, |_| Self::RESTS_WITHIN);
        let within = least.max((signals.response * 3e6) as u64);
        if signals.queue < trial.queue * Self::FELL {
            let since = trial.left.unwrap_or(signals.now);
            self.trial = is_left.then(|| self.wait_for_rest(signals, since));
        } else if signals.now.saturating_sub(trial.begun) > within {
            self.trial = None;
            self.is_draining = false;
            self.is_longer = trial.left.is_some();
            self.tolerance = (signals.queue * 1.3).clamp(self.tolerance, Self::TOLERANCE_MAX);
            let delivered = signals.delivered.unwrap_or(0.0) * Self::REGAINED;
            self.estimate = self.estimate.max(trial.estimate.min(delivered));
            // Nor was it the link that fell.
            self.share = self
                .share
                .zip(trial.share)
                .map(|(share, before)| share.max(before));
        }
    }

    /// What is left of a queue may be none: the way has become longer, or wavers, and nothing else would end the
    /// waiting.
    fn wait_for_rest(&self, signals: &Signals, since: u64) -> Trial {
        Trial {
            estimate: self.estimate,
            share: self.share,
            queue: signals.queue,
            begun: since + Self::LEFT_LONGER,
            left: Some(since),
        }
    }

    fn decrease(&mut self, signals: &Signals) {
        const WEIGHT: f64 = 0.5;
        let waited = self
            .lowered
            .map_or(f64::MAX, |at| signals.now.saturating_sub(at) as f64 / 1e6);
        let Some(delivered) = signals.delivered.filter(|_| waited > signals.response) else {
            return;
        };
        self.lowered = Some(signals.now);
        let trial = self.trial.get_or_insert(Trial {
            estimate: self.estimate,
            share: self.share,
            queue: signals.queue,
            begun: signals.now,
            left: None,
        });
        // There is a queue again: what is left of it is still to show.
        trial.left = None;
        let taken = Self::TAKEN - Self::TAKEN_PER_QUEUE * signals.queue / 1e3;
        let mut lowered = delivered * taken.max(self.manners().0);
        if signals.is_app_limited {
            lowered = lowered.max(self.estimate * Self::BYSTANDER);
        } else {
            let share = self.share.filter(|_| !signals.has_fallen);
            let share = share.unwrap_or(delivered);
            self.share = Some(share + WEIGHT * (delivered - share));
            self.learnt = signals.now;
        }
        self.is_draining = true;
        self.estimate = self.estimate.min(lowered.max(Congestion::FLOOR));
    }

    fn increase(&mut self, signals: &Signals, span: f64) {
        let is_near = self
            .share
            .is_some_and(|share| self.estimate > share * 0.8 && self.estimate < share * 1.1);
        let grown = if is_near {
            self.estimate + Self::STEP * span
        } else {
            self.estimate * Self::GROWTH.powf(span) + 1_000.0 * span
        };
        let most = signals.delivered.map_or(self.estimate, |rate| {
            rate * Self::UNTRIED + Self::UNTRIED_BITS
        });
        self.estimate = grown.min(most).max(self.estimate);
        self.share = self.share.filter(|share| self.estimate < share * 1.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALM: Signals = Signals {
        now: 0,
        usage: Usage::Normal,
        delivered: None,
        queue: 0.0,
        response: 0.15,
        is_app_limited: false,
        has_fallen: false,
    };

    /// Reports ten times a second for so long.
    fn play(delay: &mut DelayBased, from: u64, tenths: u64, signals: impl Fn(f64) -> Signals) {
        for tenth in 0..tenths {
            let now = (from + tenth) * 100_000;
            let signals = signals(delay.estimate());
            delay.update(&Signals { now, ..signals });
        }
    }

    fn delivering(rate: f64) -> Signals {
        Signals {
            delivered: Some(rate),
            ..CALM
        }
    }

    #[test]
    fn it_grows_with_what_is_delivered_and_not_beyond_what_was_tried() {
        let mut delay = DelayBased::new(1e6);
        play(&mut delay, 0, 100, delivering);
        let grown = delay.estimate();
        assert!((2.0e6..2.4e6).contains(&grown), "8 % a second: {grown}");
        play(&mut delay, 100, 300, |_| delivering(1e6));
        assert_eq!(delay.estimate(), grown, "1 Mbit/s shows no more");
    }

    #[test]
    fn a_queue_lowers_it_to_what_is_delivered_and_its_end_gives_that_back() {
        let mut delay = DelayBased::new(3e6);
        let queued = |_| Signals {
            usage: Usage::Over,
            queue: 150.0,
            ..delivering(1e6)
        };
        play(&mut delay, 0, 3, queued);
        assert!(delay.is_draining());
        let lowered = delay.estimate();
        assert!((0.65e6..0.8e6).contains(&lowered), "{lowered}");
        play(&mut delay, 3, 2, delivering);
        assert!(!delay.is_draining());
        let regained = delay.estimate();
        assert!((0.84e6..0.88e6).contains(&regained), "{regained}");
        // Near our share it grows by a step, not by a share.
        play(&mut delay, 5, 10, delivering);
        assert!(delay.estimate() < regained + 70_000.0);
    }

    #[test]
    fn a_queue_of_others_is_borne_in_the_end() {
        let mut delay = DelayBased::new(1e6);
        play(&mut delay, 0, 300, |rate| Signals {
            queue: 200.0,
            ..delivering(rate)
        });
        let left = delay.estimate();
        assert!(left > 0.15e6, "{left}");
        let before = delay.estimate();
        play(&mut delay, 300, 50, |rate| Signals {
            queue: 200.0,
            ..delivering(rate)
        });
        assert!(delay.estimate() > before, "it grows beside them");
    }

    #[test]
    fn what_stays_of_a_queue_is_not_waited_for_for_ever() {
        let mut delay = DelayBased::new(1e6);
        let longer = |rate| Signals {
            queue: 50.0,
            ..delivering(rate)
        };
        play(&mut delay, 0, 30, longer);
        assert!(!delay.is_draining(), "the way is longer than it was");
        play(&mut delay, 30, 3, |_| Signals {
            usage: Usage::Over,
            queue: 120.0,
            ..delivering(0.5e6)
        });
        assert!(delay.is_draining());
        play(&mut delay, 33, 25, longer);
        assert!(!delay.is_draining(), "it is as long as before");
        assert!(delay.take_longer_way() && !delay.take_longer_way());
        let before = delay.estimate();
        play(&mut delay, 58, 30, longer);
        assert!(delay.estimate() > before * 1.05);
    }

    #[test]
    fn what_falls_too_little_and_is_borne_then_is_not_waited_for_for_ever_either() {
        let mut delay = DelayBased::new(1e6);
        let queued = |queue| {
            move |rate| Signals {
                usage: Usage::Normal,
                queue,
                ..delivering(rate)
            }
        };
        play(&mut delay, 0, 1, |_| Signals {
            usage: Usage::Over,
            queue: 90.0,
            ..delivering(0.5e6)
        });
        play(&mut delay, 1, 1, |rate| Signals {
            usage: Usage::Under,
            ..queued(50.0)(rate)
        });
        play(&mut delay, 2, 30, queued(38.0));
        assert!(!delay.is_draining() && delay.take_longer_way());
    }

    #[test]
    fn what_wavers_is_no_queue_to_be_waited_out() {
        let mut delay = DelayBased::new(1e6);
        play(&mut delay, 0, 3, |_| Signals {
            usage: Usage::Over,
            queue: 120.0,
            ..delivering(0.5e6)
        });
        for tenth in 3..43 {
            let queue = if tenth % 3 == 0 { 30.0 } else { 14.0 };
            play(&mut delay, tenth, 1, |rate| Signals {
                queue,
                ..delivering(rate)
            });
        }
        assert!(!delay.is_draining());
        assert!(delay.estimate() > 0.45e6, "{}", delay.estimate());
    }

    #[test]
    fn nothing_that_arrives_lowers_it_no_further_than_to_where_probes_can_begin() {
        let mut delay = DelayBased::new(1e6);
        play(&mut delay, 0, 20, |_| Signals {
            usage: Usage::Over,
            queue: 50.0,
            ..delivering(0.0)
        });
        assert_eq!(delay.estimate(), Congestion::FLOOR);
    }

    #[test]
    fn who_sends_little_is_not_blamed_for_a_queue() {
        let mut delay = DelayBased::new(3e6);
        play(&mut delay, 0, 1, |_| Signals {
            usage: Usage::Over,
            queue: 60.0,
            is_app_limited: true,
            ..delivering(0.1e6)
        });
        assert!(delay.estimate() > 2e6);
    }
}
