//! One direction of a way: what its bottleneck, bursts of losses and chance do to one datagram after the other.
//! Must not hold datagrams.

use std::time::Duration;

use crate::{Bottleneck, Bursts, LinkSettings, cross::Crossing};

/// One direction of a way, as it is now.
#[derive(Debug)]
pub(crate) struct Line {
    bottleneck: Option<Bottleneck>,
    /// What else goes over it.
    crossing: Option<Crossing>,
    /// Draws of when bursts of losses begin and end.
    dice: Fate,
    /// Until when, and whether most is lost meanwhile.
    spell: (Duration, bool),
    /// What passed the bottleneck, where that is kept.
    passed: Option<Vec<Passed>>,
    /// Datagrams that its queue had no room for, and that a burst of losses took.
    pub(crate) dropped: u64,
    pub(crate) lost_in_bursts: u64,
}

/// What passed a bottleneck: when it came, how long that took, and its bytes.
type Passed = (Duration, Duration, usize);

impl Line {
    fn new(seed: u64) -> Self {
        Self {
            bottleneck: None,
            crossing: None,
            dice: Fate(mix(seed)),
            spell: (Duration::ZERO, true),
            passed: None,
            dropped: 0,
            lost_in_bursts: 0,
        }
    }

    /// One that remembers what passed, without end.
    pub(crate) fn recording(seed: u64) -> Self {
        Self {
            passed: Some(Vec::new()),
            ..Self::new(seed)
        }
    }

    /// What passed its bottleneck.
    pub(crate) fn passed(&self) -> impl Iterator<Item = &Passed> {
        self.passed.iter().flatten()
    }

    /// Bytes of what else goes over it that passed, since it began.
    pub(crate) fn crossed(&self) -> u64 {
        self.crossing.as_ref().map_or(0, |crossing| crossing.passed)
    }

    /// When a datagram has passed; nothing when it is dropped.
    pub(crate) fn pass(
        &mut self,
        now: Duration,
        settings: &LinkSettings,
        bytes: usize,
        fate: &mut Fate,
    ) -> Option<Duration> {
        let loss = self.burst_loss(now, settings.bursts);
        let Some((rate, queue)) = settings.rate else {
            (self.bottleneck, self.crossing) = (None, None);
            return self.survives(loss, fate).then_some(now);
        };
        let bottleneck = self
            .bottleneck
            .get_or_insert_with(|| Bottleneck::new(rate, queue));
        match &mut self.crossing {
            Some(crossing) if settings.cross == Some(crossing.cross()) => {
                crossing.advance(now, settings.delay, bottleneck);
            }
            other => *other = settings.cross.map(|cross| Crossing::new(cross, now)),
        }
        bottleneck.set_queue(queue);
        if bottleneck.rate() != rate {
            bottleneck.set_rate(now, rate);
        }
        let Some(passed) = bottleneck.send(now, bytes) else {
            self.dropped += 1;
            return None;
        };
        if let Some(record) = &mut self.passed {
            record.push((now, passed - now, bytes));
        }
        self.survives(loss, fate).then_some(passed)
    }

    /// Whether a datagram outlives the burst of losses that it comes into.
    fn survives(&mut self, loss: f64, fate: &mut Fate) -> bool {
        let is_lost = loss > 0.0 && fate.chance(loss);
        self.lost_in_bursts += u64::from(is_lost);
        !is_lost
    }

    fn burst_loss(&mut self, now: Duration, bursts: Option<Bursts>) -> f64 {
        let Some(bursts) = bursts else { return 0.0 };
        while self.spell.0 <= now {
            let (until, is_bad) = self.spell;
            let mean = if is_bad { bursts.every } else { bursts.last };
            // Exponential, and never of no length at all.
            let length = mean.mul_f64(-(1.0 - self.dice.draw()).ln() + 1e-3);
            self.spell = (until + length, !is_bad);
        }
        if self.spell.1 { bursts.loss } else { 0.0 }
    }
}

/// The same for whoever carries datagrams of its own, in real time: says of each when it arrives, if at all.
#[derive(Debug)]
pub struct Shaper {
    line: Line,
    seed: u64,
    sent: u64,
    turn: Duration,
}

impl Shaper {
    /// An idle one, whose chances follow from the seed.
    pub fn new(seed: u64) -> Self {
        Self {
            line: Line::new(seed),
            seed,
            sent: 0,
            turn: Duration::ZERO,
        }
    }

    /// When a datagram of so many bytes, headers included, arrives that is sent now; nothing when it is lost.
    pub fn send(
        &mut self,
        now: Duration,
        settings: &LinkSettings,
        bytes: usize,
    ) -> Option<Duration> {
        self.sent += 1;
        let mut fate = Fate::of(self.seed, [self.sent, 0, 0, 0]);
        let passed = self.line.pass(now, settings, bytes, &mut fate)?;
        let is_lost = fate.chance(settings.loss);
        (!is_lost).then(|| settings.arrival(passed, &mut self.turn, &mut fate))
    }
}

/// A few random draws for one datagram.
#[derive(Debug)]
pub(crate) struct Fate(u64);

impl Fate {
    pub(crate) fn of(seed: u64, parts: [u64; 4]) -> Self {
        Self(
            parts
                .into_iter()
                .fold(seed, |state, part| mix(state ^ part)),
        )
    }

    /// From 0 up to 1.
    fn draw(&mut self) -> f64 {
        self.0 = mix(self.0);
        // 53 bits are what the mantissa holds.
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.draw() < probability
    }

    pub(crate) fn part_of(&mut self, span: Duration) -> Duration {
        span.mul_f64(self.draw())
    }
}

/// A step of the SplitMix64 generator.
fn mix(state: u64) -> u64 {
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let state = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ state >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ state >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{millis, seconds};

    /// Datagrams of 1,250 bytes, one every 2 ms: 5 Mbit/s. How many arrive, and when.
    fn run(settings: &LinkSettings, span: Duration) -> Vec<Duration> {
        let mut shaper = Shaper::new(7);
        let sent = (0..).map(|n| millis(n * 2)).take_while(|at| *at < span);
        sent.filter_map(|at| Some(shaper.send(at, settings, 1_250)? - at))
            .collect()
    }

    #[test]
    fn rate_queue_delay_and_loss_are_as_set() {
        let slow = LinkSettings {
            delay: millis(50),
            ..LinkSettings::limited(1_000_000, millis(200))
        };
        let waits = run(&slow, seconds(10));
        // 10 ms each, and what the queue holds.
        assert!((990..=1_025).contains(&waits.len()), "{}", waits.len());
        let longest = waits.iter().max().copied().unwrap_or_default();
        assert!(
            longest > millis(240) && longest <= millis(260),
            "{longest:?}"
        );
        let lossy = LinkSettings {
            delay: millis(5),
            ..LinkSettings::lossy(0.1)
        };
        let waits = run(&lossy, seconds(20));
        assert!((8_850..9_150).contains(&waits.len()), "{}", waits.len());
        assert!(waits.iter().all(|wait| *wait == millis(5)));
    }

    #[test]
    fn the_rate_can_change_on_the_way() {
        let mut shaper = Shaper::new(7);
        let mut arrived = [0, 0];
        for n in 0..2_000 {
            let rate = if n < 1_000 { 2_500_000 } else { 500_000 };
            let settings = LinkSettings::limited(rate, millis(100));
            let came = shaper.send(millis(n * 2), &settings, 1_250);
            arrived[usize::from(n >= 1_000)] += u32::from(came.is_some());
        }
        // Two seconds of 250 packets each, and the 25 that wait then.
        assert!((520..=530).contains(&arrived[0]), "{arrived:?}");
        // Two seconds of 50: first the 25, which wait half a second now, and at the end five wait.
        assert!((78..=82).contains(&arrived[1]), "{arrived:?}");
    }
}
