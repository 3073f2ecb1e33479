//! Links as they are in the field, drawn from a seed: a cell that breathes and hands over, a network at
//! home, and a crowded one (what varies after RFC 8869 sections 3 and 4). Must not carry packets.

use std::time::Duration;

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

use crate::{LinkSettings, millis};

/// A link over time.
#[derive(Debug, Clone)]
pub struct Trace {
    /// One each [`Trace::STEP`].
    links: Vec<LinkSettings>,
}

/// What a trace is drawn from.
#[derive(Debug, Clone, Copy)]
struct Shape {
    /// Delay, jitter and random loss; the rate is the median, with its queue.
    link: LinkSettings,
    /// Standard deviation of the rate, as a factor of e.
    spread: f64,
    /// How long the rate remembers what it was, in seconds.
    memory: f64,
    /// Seconds from one outage to the next and of one of them, on average, and the share of the rate that is
    /// left meanwhile.
    outages: (f64, f64, f64),
}

impl Trace {
    /// How often the link changes.
    pub const STEP: Duration = millis(100);

    /// A telephone on the move: 0.8 to 20 Mbit/s, a deep queue, and hand-overs in which hardly anything passes.
    pub fn cell(seed: u64, span: Duration) -> Self {
        let link = LinkSettings {
            delay: millis(50),
            jitter: millis(15),
            loss: 0.02,
            ..LinkSettings::limited(4_000_000, millis(500))
        };
        Self::draw(
            seed,
            span,
            Shape {
                link,
                spread: 0.5,
                memory: 4.0,
                outages: (20.0, 0.15, 0.05),
            },
        )
    }

    /// A network at home: much more than a call takes, but for moments in which others have it.
    pub fn wifi(seed: u64, span: Duration) -> Self {
        let link = LinkSettings {
            delay: millis(5),
            jitter: millis(2),
            loss: 0.01,
            ..LinkSettings::limited(40_000_000, millis(200))
        };
        Self::draw(
            seed,
            span,
            Shape {
                link,
                spread: 0.4,
                memory: 2.0,
                outages: (8.0, 0.1, 0.05),
            },
        )
    }

    /// The same in a house full of them.
    pub fn crowded_wifi(seed: u64, span: Duration) -> Self {
        let link = LinkSettings {
            delay: millis(10),
            jitter: millis(20),
            loss: 0.1,
            ..LinkSettings::limited(5_000_000, millis(300))
        };
        Self::draw(
            seed,
            span,
            Shape {
                link,
                spread: 0.5,
                memory: 1.0,
                outages: (10.0, 0.15, 0.1),
            },
        )
    }

    /// What the link is at a moment; at the end it stays as it is.
    pub fn at(&self, at: Duration) -> LinkSettings {
        let index = (at.as_micros() / Self::STEP.as_micros()) as usize;
        let link = self.links.get(index).or_else(|| self.links.last());
        link.copied().unwrap_or_default()
    }

    fn draw(seed: u64, span: Duration, shape: Shape) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (median, queue) = shape.link.rate.unwrap_or((u64::MAX, Duration::ZERO));
        let step = Self::STEP.as_secs_f64();
        let keeps = (-step / shape.memory).exp();
        let fresh = shape.spread * (1.0 - keeps * keeps).sqrt();
        let (every, last, left) = shape.outages;
        let mut drift = 0.0;
        let mut outage = 0.0_f64;
        let links = (0..span.as_micros() / Self::STEP.as_micros()).map(|_| {
            // The sum of twelve even draws is as good as normal, of deviation 1.
            let normal = (0..12).map(|_| rng.random::<f64>()).sum::<f64>() - 6.0;
            drift = drift * keeps + fresh * normal;
            outage -= step;
            if outage <= 0.0 && rng.random_bool((step / every).min(1.0)) {
                outage = -last * (1.0 - rng.random::<f64>()).ln();
            }
            // An outage that is shorter than a step takes its share of it.
            let out = (outage / step).clamp(0.0, 1.0);
            let rate = median as f64 * drift.clamp(-1.6, 1.6).exp() * (1.0 - out * (1.0 - left));
            LinkSettings {
                rate: Some((rate as u64, queue)),
                ..shape.link
            }
        });
        Self {
            links: links.collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seconds;

    #[test]
    fn a_trace_is_its_seeds_and_keeps_to_its_shape() {
        let rates = |trace: &Trace| -> Vec<u64> {
            let at = |step: u32| trace.at(Trace::STEP * step).rate.unwrap().0;
            (0..6_000).map(at).collect()
        };
        for (make, median) in [
            (Trace::cell as fn(u64, Duration) -> Trace, 4e6),
            (Trace::wifi, 40e6),
            (Trace::crowded_wifi, 5e6),
        ] {
            let one = rates(&make(1, seconds(600)));
            assert_eq!(one, rates(&make(1, seconds(600))));
            assert_ne!(one, rates(&make(2, seconds(600))));
            let mut sorted = one;
            sorted.sort_unstable();
            let middle = sorted[sorted.len() / 2] as f64;
            assert!((0.7..1.4).contains(&(middle / median)), "{middle}");
            assert!(
                (sorted[0] as f64) < median * 0.1,
                "an outage: {}",
                sorted[0]
            );
            assert!((sorted[5_999] as f64) < median * 5.0);
        }
    }
}
