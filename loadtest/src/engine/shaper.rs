//! A worse network than there is: loss, at random and in bursts, delay, jitter, and a rate with a queue before it, on the datagrams of one
//! transport, one way.
//!
//! Owns the fate of each datagram, drawn from a seed. Order is kept, as it is on most links: jitter
//! delays what comes after, too. Must not touch sockets.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::scenario::{Bitrate, Bursts, Network, Squeeze};

/// Datagrams held at most: a second of a fast stream. What comes on top is lost, as in any queue.
const MOST_HELD: usize = 4096;

/// When the measured window began; clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Window(Arc<OnceLock<Instant>>);

impl Window {
    /// It begins now, if it has not.
    pub fn begin(&self) {
        self.0.get_or_init(Instant::now);
    }

    fn since(&self, now: Instant) -> Option<Duration> {
        now.checked_duration_since(*self.0.get()?)
    }
}

/// A link that carries so much.
#[derive(Debug)]
struct Bottleneck {
    rate: Option<Bitrate>,
    squeeze: Option<Squeeze>,
    queue: Duration,
    window: Window,
    /// When it has carried all it took.
    free_at: Option<Instant>,
}

impl Bottleneck {
    /// When a datagram of so many bytes is through; none when it is lost.
    fn carry(&mut self, now: Instant, bytes: usize) -> Option<Instant> {
        let into = self.window.since(now);
        let squeezed = self.squeeze.filter(|squeeze| {
            into.is_some_and(|into| (squeeze.after..squeeze.after + squeeze.length).contains(&into))
        });
        let Some(rate) = squeezed.map(|squeeze| squeeze.rate).or(self.rate) else {
            return Some(now);
        };
        let begins = self.free_at.map_or(now, |free_at| free_at.max(now));
        if begins - now > self.queue {
            return None;
        }
        let bits = bytes as f64 * 8.0;
        let through = begins + Duration::from_secs_f64(bits / rate.bps() as f64);
        self.free_at = Some(through);
        Some(through)
    }
}

/// Times in which most is lost, and those between (a Gilbert-Elliott model).
#[derive(Debug)]
struct Spells {
    bursts: Bursts,
    /// Of its own, so that when bursts come does not hang on how much is sent.
    random: ChaCha8Rng,
    /// When this spell ends; none before the first datagram.
    until: Option<Instant>,
    is_bad: bool,
}

impl Spells {
    fn new(bursts: Bursts, seed: u64) -> Self {
        Self {
            bursts,
            random: ChaCha8Rng::seed_from_u64(!seed),
            until: None,
            // The first one ends as it begins.
            is_bad: true,
        }
    }

    /// The share of datagrams that is lost now, 0 to 1.
    fn loss(&mut self, now: Instant) -> f64 {
        let mut until = self.until.unwrap_or(now);
        while until <= now {
            self.is_bad = !self.is_bad;
            let mean = if self.is_bad {
                self.bursts.last
            } else {
                self.bursts.every
            };
            // Lengths without memory, as the model has them; 1 - x is never 0.
            let length = -(1.0 - self.random.random::<f64>()).ln();
            until += mean.mul_f64(length).max(Duration::from_micros(1));
        }
        self.until = Some(until);
        if self.is_bad {
            self.bursts.loss.ratio()
        } else {
            0.0
        }
    }
}

/// One direction of one transport's network.
#[derive(Debug)]
pub(super) struct Shaper {
    random: ChaCha8Rng,
    loss: f64,
    spells: Option<Spells>,
    delay: Duration,
    jitter: Duration,
    bottleneck: Option<Bottleneck>,
    held: VecDeque<Held>,
}

/// A datagram under way.
#[derive(Debug)]
pub(super) struct Held {
    /// When it arrives.
    pub(super) due: Instant,
    /// How long it was held.
    pub(super) delay: Duration,
    /// When it set out, Unix nanoseconds.
    pub(super) sent_ns: u64,
    /// The other end.
    pub(super) remote: SocketAddr,
    /// Its contents.
    pub(super) bytes: Vec<u8>,
}

impl Shaper {
    /// What the participant sends.
    pub(super) fn out(network: Network, seed: u64) -> Self {
        Self::new(network, None, seed)
    }

    /// What it gets.
    pub(super) fn back(network: Network, window: Window, seed: u64) -> Self {
        let bottleneck = Bottleneck {
            rate: network.rate,
            squeeze: network.squeeze,
            queue: network.queue,
            window,
            free_at: None,
        };
        Self::new(network, Some(bottleneck), seed)
    }

    fn new(network: Network, bottleneck: Option<Bottleneck>, seed: u64) -> Self {
        Self {
            random: ChaCha8Rng::seed_from_u64(seed),
            loss: network.loss.ratio().clamp(0.0, 1.0),
            spells: network.bursts.map(|bursts| Spells::new(bursts, seed)),
            delay: network.delay,
            jitter: network.jitter,
            bottleneck,
            held: VecDeque::new(),
        }
    }

    /// Takes a datagram: it is lost, or comes out of [`Self::poll`] later.
    pub(super) fn handle(&mut self, now: Instant, sent_ns: u64, remote: SocketAddr, bytes: &[u8]) {
        // Both are drawn for every datagram, so that one's loss does not change the next one's delay.
        let in_burst = self.spells.as_mut().map_or(0.0, |spells| spells.loss(now));
        let lost = self.random.random::<f64>() < 1.0 - (1.0 - self.loss) * (1.0 - in_burst);
        let jitter = self.jitter.mul_f64(self.random.random::<f64>());
        if lost || self.held.len() >= MOST_HELD {
            return;
        }
        let through = match &mut self.bottleneck {
            Some(bottleneck) => bottleneck.carry(now, bytes.len()),
            None => Some(now),
        };
        let Some(through) = through else { return };
        let arrives = through + self.delay + jitter;
        let due = self
            .held
            .back()
            .map_or(arrives, |last| last.due.max(arrives));
        self.held.push_back(Held {
            due,
            delay: due - now,
            sent_ns,
            remote,
            bytes: bytes.to_vec(),
        });
    }

    /// The next datagram that has arrived.
    pub(super) fn poll(&mut self, now: Instant) -> Option<Held> {
        if self.held.front()?.due > now {
            return None;
        }
        self.held.pop_front()
    }

    /// When the next datagram arrives.
    pub(super) fn due(&self) -> Option<Instant> {
        self.held.front().map(|held| held.due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Share, Who};

    fn network(loss: f64, delay_ms: u64, jitter_ms: u64) -> Network {
        Network {
            loss: Share::from_ratio(loss),
            bursts: None,
            delay: Duration::from_millis(delay_ms),
            jitter: Duration::from_millis(jitter_ms),
            rate: None,
            queue: Duration::from_millis(200),
            squeeze: None,
            who: Who::All,
        }
    }

    fn arrivals(shaper: &mut Shaper, count: u8) -> Vec<(u8, Duration)> {
        let start = Instant::now();
        let remote = ([127, 0, 0, 1], 1).into();
        for index in 0..count {
            let now = start + Duration::from_millis(u64::from(index));
            shaper.handle(now, 0, remote, &[index]);
        }
        let end = start + Duration::from_secs(10);
        std::iter::from_fn(|| shaper.poll(end).map(|held| (held.bytes[0], held.delay))).collect()
    }

    #[test]
    fn datagrams_arrive_late_and_in_order() {
        let mut shaper = Shaper::out(network(0.0, 50, 20), 7);
        let arrived = arrivals(&mut shaper, 200);
        assert_eq!(arrived.len(), 200);
        assert!(arrived.is_sorted_by_key(|(index, _)| *index));
        let (least, most) = (Duration::from_millis(50), Duration::from_millis(70));
        assert!(
            arrived
                .iter()
                .all(|(_, delay)| (least..=most).contains(delay)),
            "{arrived:?}"
        );
    }

    #[test]
    fn the_same_seed_loses_the_same_datagrams() {
        let lost = |seed| {
            let arrived = arrivals(&mut Shaper::out(network(0.3, 0, 0), seed), 250);
            assert!((120..230).contains(&arrived.len()), "{}", arrived.len());
            arrived
                .into_iter()
                .map(|(index, _)| index)
                .collect::<Vec<_>>()
        };
        assert_eq!(lost(1), lost(1));
        assert_ne!(lost(1), lost(2));
    }

    /// Which of 400,000 datagrams, one each 10 ms, come.
    fn come(network: Network, seed: u64) -> Vec<bool> {
        let mut shaper = Shaper::out(network, seed);
        let start = Instant::now();
        let remote = ([127, 0, 0, 1], 1).into();
        let came = (0..400_000u32).map(|n| {
            let now = start + Duration::from_millis(10) * n;
            shaper.handle(now, 0, remote, &[0]);
            shaper.poll(now).is_some()
        });
        came.collect()
    }

    #[test]
    fn losses_in_bursts_come_together_and_make_the_share_they_should() {
        let bursts = Bursts {
            every: Duration::from_millis(1_940),
            last: Duration::from_millis(60),
            loss: Share::from_ratio(1.0),
        };
        let bursty = |loss| Network {
            bursts: Some(bursts),
            ..network(loss, 0, 0)
        };
        let share =
            |came: &[bool]| came.iter().filter(|came| !**came).count() as f64 / came.len() as f64;
        // How often the next one is lost too.
        let together = |came: &[bool]| {
            let lost = came.windows(2).filter(|pair| !pair[0]);
            let both = came.windows(2).filter(|pair| !pair[0] && !pair[1]);
            both.count() as f64 / lost.count() as f64
        };
        let alone = come(bursty(0.0), 1);
        assert!((share(&alone) - 0.03).abs() < 0.004, "{}", share(&alone));
        // A burst of 60 ms on average goes on for 10 ms more in e^(-1/6).
        let expected = (-1.0_f64 / 6.0).exp();
        assert!((together(&alone) - expected).abs() < 0.03);
        let both = come(bursty(0.1), 1);
        let expected = 1.0 - 0.9 * 0.97;
        assert!((share(&both) - expected).abs() < 0.006, "{}", share(&both));
        assert_eq!(
            alone,
            come(bursty(0.0), 1),
            "the same seed, the same bursts"
        );
        assert_ne!(alone, come(bursty(0.0), 2));
        // What else is lost does not move them.
        assert!(alone.iter().zip(&both).all(|(alone, both)| *alone || !both));
    }

    #[test]
    fn nothing_comes_before_its_time() {
        let mut shaper = Shaper::out(network(0.0, 10, 0), 0);
        let now = Instant::now();
        shaper.handle(now, 0, ([127, 0, 0, 1], 1).into(), b"x");
        assert_eq!(shaper.due(), Some(now + Duration::from_millis(10)));
        assert!(shaper.poll(now + Duration::from_millis(9)).is_none());
        assert!(shaper.poll(now + Duration::from_millis(10)).is_some());
    }

    #[test]
    fn a_link_carries_its_rate_and_less_while_it_is_squeezed() {
        let link = Network {
            rate: Some("800k".parse().expect("a rate")),
            squeeze: Some(Squeeze {
                rate: "80k".parse().expect("a rate"),
                after: Duration::from_secs(1),
                length: Duration::from_secs(2),
            }),
            ..network(0.0, 0, 0)
        };
        let window = Window::default();
        let mut shaper = Shaper::back(link, window.clone(), 0);
        window.begin();
        let begun = *window.0.get().expect("it has begun");
        let remote = ([127, 0, 0, 1], 1).into();
        // A datagram of 1,000 bytes each 5 ms: twice what the link carries, 20 times while it is squeezed.
        for n in 0..1_000 {
            let now = begun + Duration::from_millis(5 * n);
            shaper.handle(now, n * 5, remote, &[0; 1_000]);
        }
        let mut by_second = [0_u64; 6];
        let mut latest = Duration::ZERO;
        while let Some(held) = shaper.poll(begun + Duration::from_secs(10)) {
            let arrived = (held.due - begun).as_secs() as usize;
            by_second[arrived.min(5)] += 1;
            latest = latest.max(held.delay);
        }
        assert!((98..=102).contains(&by_second[0]), "{by_second:?}");
        assert!((8..=30).contains(&by_second[1]), "{by_second:?}");
        assert!((9..=11).contains(&by_second[2]), "{by_second:?}");
        assert!((98..=102).contains(&by_second[4]), "{by_second:?}");
        // The queue, and one datagram's own time on the slow link.
        assert!(latest <= Duration::from_millis(200 + 100), "{latest:?}");
    }
}
