//! How good a connection is, by a simplified E-model (ITU-T G.107) over loss, delay and jitter, and over what of the
//! pictures that are wanted does not fit. Owns how reports of many streams become one figure, and when another one is
//! told.
//!
//! Must not measure, and must never say that a connection is lost: clients reconnect when they are
//! told so, and numbers alone can't tell a dead link from a quiet one.

use std::time::{Duration, Instant};

use plenum_proto::v1::ConnectionQuality;

/// How far back what is told of a way counts, in parts of a second each.
const SLOTS: usize = 5;
const SLOT: Duration = Duration::from_secs(1);

/// What was measured of a participant's link over the last seconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Figures {
    /// Share of packets that never came, 0 to 1.
    pub loss: f32,
    /// Round trip time, zero when not known yet.
    pub rtt: Duration,
    /// Interarrival jitter (RFC 3550, section 6.4.1).
    pub jitter: Duration,
    /// How often the rate of what is wanted had to be halved to fit.
    pub shortfall: f32,
}

/// A mean over the last seconds, in which what tells of more packets weighs more. While nothing is told, it stays.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Recent {
    /// Sums and weights of each second, the newest first.
    slots: [(f32, f32); SLOTS],
    /// When the newest one began.
    newest: Option<Instant>,
}

impl Recent {
    pub(crate) fn take(&mut self, now: Instant, packets: u32, value: f32) {
        if packets == 0 {
            return;
        }
        let newest = *self.newest.get_or_insert(now);
        let passed = now.saturating_duration_since(newest).as_secs();
        if passed > 0 {
            let gone = usize::try_from(passed).unwrap_or(SLOTS).min(SLOTS);
            self.slots.rotate_right(gone);
            self.slots[..gone].fill((0.0, 0.0));
            self.newest = Some(newest + SLOT * u32::try_from(passed).unwrap_or(u32::MAX));
        }
        let [(sum, weight), ..] = &mut self.slots;
        *sum += packets as f32 * value;
        *weight += packets as f32;
    }

    /// 0 while nothing is known.
    pub(crate) fn mean(&self) -> f32 {
        let (sum, weight) = self.slots.iter().fold((0.0, 0.0), |(sum, weight), slot| {
            (sum + slot.0, weight + slot.1)
        });
        if weight > 0.0 { sum / weight } else { 0.0 }
    }
}

/// How one way between a participant and its node fares: all streams that go it, each by its packets.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Way {
    loss: Recent,
    /// In seconds.
    jitter: Recent,
}

impl Way {
    /// A way of which another one told.
    pub(crate) fn told(now: Instant, loss: f32, jitter: Duration) -> Self {
        let mut way = Self::default();
        way.take_loss(now, 1, loss);
        way.take_jitter(now, 1, jitter);
        way
    }

    /// Of so many packets that were to come this share did not, 0 to 1.
    pub(crate) fn take_loss(&mut self, now: Instant, packets: u32, loss: f32) {
        self.loss.take(now, packets, loss);
    }

    /// So many packets came with such a jitter.
    pub(crate) fn take_jitter(&mut self, now: Instant, packets: u32, jitter: Duration) {
        self.jitter.take(now, packets, jitter.as_secs_f32());
    }

    /// Share of the packets that did not come, 0 to 1.
    pub(crate) fn loss(&self) -> f32 {
        self.loss.mean()
    }

    /// Interarrival jitter, the mean of all packets.
    pub(crate) fn jitter(&self) -> Duration {
        Duration::try_from_secs_f32(self.jitter.mean()).unwrap_or_default()
    }
}

/// How much of what is wanted does not fit; nothing at first. What lasts a moment counts little.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Shortfall {
    /// What it is tending to since when, and from what.
    halvings: f32,
    since: Option<Instant>,
    before: f32,
}

impl Shortfall {
    /// Seconds after which what was before counts for a third: where it is worse now, and where it is better.
    const WORSE: f32 = 2.0;
    const BETTER: f32 = 0.7;

    /// From now on the rate of what is wanted has to be halved so often.
    pub(crate) fn take(&mut self, now: Instant, halvings: f32) {
        self.before = self.halvings(now);
        self.halvings = halvings;
        self.since = Some(now);
    }

    /// How often the rate had to be halved over the last seconds.
    pub(crate) fn halvings(&self, now: Instant) -> f32 {
        let Some(since) = self.since else { return 0.0 };
        let lasted = now.saturating_duration_since(since).as_secs_f32();
        let span = match self.halvings > self.before {
            true => Self::WORSE,
            false => Self::BETTER,
        };
        self.halvings + (self.before - self.halvings) * (-lasted / span).exp()
    }
}

/// What a connection is worth now.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Score {
    /// Mean opinion score, 1 to 4.5.
    pub mos: f32,
    /// The same in steps; never `Lost`.
    pub quality: ConnectionQuality,
}

/// Rates a connection.
pub(crate) fn rate(report: &Figures) -> Score {
    let mos = mean_opinion_score(transmission_rating(report));
    let quality = quality_of(mos);
    Score { mos, quality }
}

/// What is told of a connection, which follows its score down at once, and up when that lasts.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Verdict {
    told: Option<ConnectionQuality>,
    /// Since when it has been at least good, and excellent.
    held: [Option<Instant>; 2],
    /// When it was last told to be better.
    risen: Option<Instant>,
    /// It fell soon after it rose.
    is_doubted: bool,
}

impl Verdict {
    /// How far beyond the border between two qualities a score must be.
    const CLEARLY: f32 = 0.12;
    /// So long it must be better.
    const LASTING: Duration = Duration::from_secs(3);
    /// So long, if it was told to be better before and did not stay so.
    const LASTING_IN_DOUBT: Duration = Duration::from_secs(15);
    /// What fell so soon after it rose is in doubt.
    const SOON: Duration = Duration::from_secs(30);

    /// What is to be told of a connection with such a score.
    pub(crate) fn follow(&mut self, now: Instant, score: Score) -> ConnectionQuality {
        let Some(told) = self.told else {
            return *self.told.insert(score.quality);
        };
        let at_least = quality_of(score.mos - Self::CLEARLY);
        let levels = [ConnectionQuality::Good, ConnectionQuality::Excellent];
        for (level, since) in levels.iter().zip(&mut self.held) {
            *since = since.or(Some(now)).filter(|_| at_least >= *level);
        }
        let at_most = quality_of(score.mos + Self::CLEARLY);
        if at_most < told {
            self.is_doubted = self.risen.is_some_and(|at| now < at + Self::SOON);
            return *self.told.insert(at_most);
        }
        let lasting = match self.is_doubted {
            true => Self::LASTING_IN_DOUBT,
            false => Self::LASTING,
        };
        let has_lasted = |since: &Option<Instant>| {
            since.is_some_and(|since| now.saturating_duration_since(since) >= lasting)
        };
        let mut lasted = levels.iter().zip(&self.held).rev();
        match lasted.find(|(level, since)| **level > told && has_lasted(since)) {
            Some((level, _)) => {
                self.risen = Some(now);
                *self.told.insert(*level)
            }
            None => told,
        }
    }
}

fn quality_of(mos: f32) -> ConnectionQuality {
    if mos > EXCELLENT {
        ConnectionQuality::Excellent
    } else if mos > GOOD {
        ConnectionQuality::Good
    } else {
        ConnectionQuality::Poor
    }
}

/// Scores above this are excellent: about 2 % of loss, or 300 ms of round trip.
const EXCELLENT: f32 = 4.1;
/// Scores above this are good: about 6 % of loss, or 700 ms of round trip.
const GOOD: f32 = 3.2;

/// The R factor, 0 to 100 (93.2 undisturbed).
fn transmission_rating(report: &Figures) -> f32 {
    const BASE: f32 = 93.2;
    // What packet loss concealment and retransmission bear (Bpl; codecs of sound alone have 16 to 25, G.113).
    const ROBUSTNESS: f32 = 13.0;
    // The next smaller picture has a third to a quarter of the rate: each that is missed costs about one step.
    const HALVING: f32 = 10.0;
    // Half the round trip; a jitter buffer of twice the jitter; a codec and its packets.
    let one_way = report.rtt.as_secs_f32() * 500.0 + report.jitter.as_secs_f32() * 2_000.0 + 20.0;
    // Past 177 ms people begin to talk into each other.
    let delay = 0.024 * one_way + 0.11 * (one_way - 177.3).max(0.0);
    // A share that is not a number says nothing.
    let share = if report.loss.is_finite() {
        report.loss.clamp(0.0, 1.0)
    } else {
        0.0
    };
    let percent = share * 100.0;
    let loss = 95.0 * percent / (percent + ROBUSTNESS);
    let missed = HALVING * report.shortfall.max(0.0);
    (BASE - delay - loss - missed).clamp(0.0, 100.0)
}

/// The score of an R factor (G.107, annex B).
fn mean_opinion_score(rating: f32) -> f32 {
    let score = 1.0 + 0.035 * rating + rating * (rating - 60.0) * (100.0 - rating) * 7.0e-6;
    score.clamp(1.0, 4.5)
}

#[cfg(test)]
mod tests {
    use ConnectionQuality::{self as Quality, Excellent, Good, Poor};

    use super::*;

    #[test]
    fn ratings() {
        for (case, loss, rtt, jitter, expected) in [
            ("nothing wrong", 0.0, 0, 0, Excellent),
            ("far away", 0.0, 250, 0, Excellent),
            ("very far away", 0.0, 500, 0, Good),
            ("by satellite, twice", 0.0, 1_200, 0, Poor),
            ("hardly any loss", 0.01, 0, 0, Excellent),
            ("some loss", 0.04, 0, 0, Good),
            ("much loss", 0.10, 0, 0, Poor),
            ("all lost", 1.0, 0, 0, Poor),
            ("some jitter", 0.0, 50, 30, Excellent),
            ("much jitter", 0.0, 50, 150, Good),
            ("a little of everything", 0.02, 200, 20, Good),
            ("some of everything", 0.05, 400, 40, Poor),
            ("not a number", f32::NAN, 0, 0, Excellent),
            ("more than everything lost", 7.0, 0, 0, Poor),
            ("less than nothing lost", -1.0, 0, 0, Excellent),
        ] {
            let (rtt, jitter) = (Duration::from_millis(rtt), Duration::from_millis(jitter));
            let score = rate(&Figures {
                loss,
                rtt,
                jitter,
                shortfall: 0.0,
            });
            assert_eq!(score.quality, expected, "{case}: {}", score.mos);
            assert!((1.0..=4.5).contains(&score.mos), "{case}: {}", score.mos);
        }
    }

    #[test]
    fn pictures_that_do_not_fit_are_missed() {
        for (case, halvings, expected) in [
            ("all fits", 0.0, Excellent),
            ("most fits", 0.5, Excellent),
            ("the next smaller one", 1.8, Good),
            ("the smallest of three", 3.6, Poor),
            ("none", 5.0, Poor),
        ] {
            let score = rate(&Figures {
                shortfall: halvings,
                ..Figures::default()
            });
            assert_eq!(score.quality, expected, "{case}: {}", score.mos);
        }
    }

    fn lossy(loss: f32) -> Score {
        rate(&Figures {
            loss,
            ..Figures::default()
        })
    }

    /// What is told of a way whose streams report each second, and when.
    fn told_of(seconds: u64, streams: impl Fn(u64) -> Vec<(u32, f32)>) -> Vec<(u64, Quality)> {
        let start = Instant::now();
        let (mut way, mut verdict, mut told) = (Way::default(), Verdict::default(), Vec::new());
        for at in 0..seconds {
            let now = start + Duration::from_secs(at);
            for (packets, loss) in streams(at) {
                way.take_loss(now, packets, loss);
            }
            let quality = verdict.follow(now, lossy(way.loss()));
            if told.last().is_none_or(|(_, last)| *last != quality) {
                told.push((at, quality));
            }
        }
        told
    }

    #[test]
    fn streams_of_one_way_are_taken_together() {
        // Packets a second, and the share of them that is lost.
        for (case, streams, expected) in [
            ("one that is lossy", &[(100, 0.2)][..], Poor),
            ("beside a clean one", &[(100, 0.3), (100, 0.0)], Poor),
            ("the other way round", &[(100, 0.0), (100, 0.3)], Poor),
            ("beside a large one", &[(50, 0.1), (450, 0.0)], Excellent),
            (
                "beside many",
                &[(50, 0.16), (50, 0.0), (50, 0.0), (50, 0.0)],
                Good,
            ),
            ("one that is idle", &[(0, 1.0), (100, 0.0)], Excellent),
        ] {
            assert_eq!(told_of(60, |_| streams.to_vec()), [(0, expected)], "{case}");
        }
    }

    #[test]
    fn trouble_is_told_within_seconds_and_its_end_when_it_lasts() {
        let trouble = |at| vec![(200, if (20..40).contains(&at) { 0.3 } else { 0.0 })];
        let told = told_of(80, trouble);
        // It is poor with the second report, and no more than five seconds and three after the last one.
        assert_eq!(told[0], (0, Excellent));
        assert_eq!(told[1..], [(20, Good), (21, Poor), (47, Excellent)]);
    }

    #[test]
    fn loss_at_random_is_told_as_what_it_is_and_seldom_as_another() {
        for (case, packets, loss, expected, most) in [
            ("hardly any", 50, 0.005, Excellent, 1),
            ("hardly any, of a picture", 400, 0.005, Excellent, 0),
            ("some", 400, 0.035, Good, 0),
            ("much, of sound", 50, 0.10, Poor, 1),
            ("much", 400, 0.10, Poor, 0),
            ("as much as makes it poor", 50, 0.06, Poor, 3),
            ("as much as makes it good", 50, 0.017, Good, 3),
        ] {
            for seed in 0..20 {
                let mut random = fastrand::Rng::with_seed(seed);
                let lost = |random: &mut fastrand::Rng| {
                    let lost = (0..packets).filter(|_| random.f32() < loss).count();
                    vec![(packets, lost as f32 / packets as f32)]
                };
                let reports: Vec<_> = (0..310).map(|_| lost(&mut random)).collect();
                let told = told_of(310, |at| reports[at as usize].clone());
                let settled: Vec<_> = told.iter().filter(|(at, _)| *at >= 10).collect();
                assert!(settled.len() <= most * 5, "{case}, {seed}: {told:?}");
                let last = told.last().map(|told| told.1);
                assert!(
                    most > 1 || last == Some(expected),
                    "{case}, {seed}: {told:?}"
                );
            }
        }
    }

    #[test]
    fn a_way_of_which_nothing_is_told_stays_what_it_was() {
        let start = Instant::now();
        let second = |n: u64| start + Duration::from_secs(n);
        let mut way = Way::default();
        assert_eq!((way.loss(), way.jitter()), (0.0, Duration::ZERO));
        way.take_loss(second(0), 50, 0.1);
        way.take_jitter(second(0), 50, Duration::from_millis(40));
        way.take_loss(second(300), 0, 1.0);
        assert!((way.loss() - 0.1).abs() < 0.001, "{}", way.loss());
        assert!(way.jitter().abs_diff(Duration::from_millis(40)) < Duration::from_millis(1));
        way.take_loss(second(300), 10, 0.0);
        assert!(way.loss() < 0.001, "what is old is gone: {}", way.loss());
    }

    #[test]
    fn what_does_not_fit_counts_when_it_lasts() {
        let start = Instant::now();
        let half = |n: u32| start + Duration::from_millis(500) * n;
        let mut shortfall = Shortfall::default();
        shortfall.take(half(100), 5.0);
        assert_eq!(shortfall.halvings(half(100)), 0.0);
        shortfall.take(half(101), 0.0);
        let dip = shortfall.halvings(half(101));
        assert!((0.5..1.5).contains(&dip), "{dip}");
        (110..120).for_each(|n| shortfall.take(half(n), 5.0));
        assert!(shortfall.halvings(half(120)) > 4.5, "{shortfall:?}");
        shortfall.take(half(120), 0.0);
        assert!(shortfall.halvings(half(124)) < 0.5, "{shortfall:?}");
    }

    #[test]
    fn a_score_that_wavers_at_a_border_changes_nothing() {
        let at = |mos| Score {
            mos,
            quality: quality_of(mos),
        };
        // What is told of scores that last ten seconds each.
        for (scores, expected) in [
            (&[4.11][..], &[Excellent][..]),
            (&[4.09], &[Good]),
            (&[4.2, 4.0], &[Excellent]),
            (&[4.2, 3.95], &[Excellent, Good]),
            (&[3.5, 4.2], &[Good]),
            (&[3.5, 4.25], &[Good, Excellent]),
            (&[3.5, 3.1], &[Good]),
            (&[3.5, 3.0], &[Good, Poor]),
            (&[2.0, 3.3], &[Poor]),
            (&[2.0, 4.4], &[Poor, Excellent]),
            // Once deceived it waits for longer.
            (
                &[2.0, 4.4, 2.0, 4.4, 2.0, 4.4, 4.4],
                &[Poor, Excellent, Poor, Excellent],
            ),
        ] {
            let (mut verdict, mut told) = (Verdict::default(), Vec::new());
            let start = Instant::now();
            for (ten, mos) in (0_u64..).zip(scores) {
                for second in 0..10 {
                    let now = start + Duration::from_secs(ten * 10 + second);
                    told.push(verdict.follow(now, at(*mos)));
                }
            }
            told.dedup();
            assert_eq!(told, expected, "{scores:?}");
        }
    }

    #[test]
    fn more_trouble_is_never_rated_better() {
        type Trouble = fn(u16) -> Figures;
        let troubles: [(&str, Trouble); 4] = [
            ("loss", |n| Figures {
                loss: f32::from(n) / 300.0,
                ..Figures::default()
            }),
            ("delay", |n| Figures {
                rtt: Duration::from_millis(u64::from(n) * 10),
                ..Figures::default()
            }),
            ("jitter", |n| Figures {
                jitter: Duration::from_millis(u64::from(n) * 3),
                ..Figures::default()
            }),
            ("pictures that do not fit", |n| Figures {
                shortfall: f32::from(n) / 60.0,
                ..Figures::default()
            }),
        ];
        for (name, trouble) in troubles {
            let scores: Vec<f32> = (0..300).map(|n| rate(&trouble(n)).mos).collect();
            assert!(
                scores.is_sorted_by(|before, after| before >= after),
                "{name}"
            );
            assert!(scores.first() > scores.last(), "{name}");
        }
    }
}
