//! A worse network than there is: loss, delay and jitter on the datagrams of one transport, one way.
//!
//! Owns the fate of each datagram, drawn from a seed. Order is kept, as it is on most links: jitter
//! delays what comes after, too. Must not touch sockets.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::scenario::Network;

/// Datagrams held at most: a second of a fast stream. What comes on top is lost, as in any queue.
const MOST_HELD: usize = 4096;

/// One direction of one transport's network.
#[derive(Debug)]
pub(super) struct Shaper {
    random: ChaCha8Rng,
    loss: f64,
    delay: Duration,
    jitter: Duration,
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
    pub(super) fn new(network: Network, seed: u64) -> Self {
        Self {
            random: ChaCha8Rng::seed_from_u64(seed),
            loss: network.loss.ratio().clamp(0.0, 1.0),
            delay: network.delay,
            jitter: network.jitter,
            held: VecDeque::new(),
        }
    }

    /// Takes a datagram: it is lost, or comes out of [`Self::poll`] later.
    pub(super) fn handle(&mut self, now: Instant, sent_ns: u64, remote: SocketAddr, bytes: &[u8]) {
        // Both are drawn for every datagram, so that one's loss does not change the next one's delay.
        let lost = self.random.random::<f64>() < self.loss;
        let jitter = self.jitter.mul_f64(self.random.random::<f64>());
        if lost || self.held.len() >= MOST_HELD {
            return;
        }
        let arrives = now + self.delay + jitter;
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
    use crate::scenario::Share;

    fn network(loss: f64, delay_ms: u64, jitter_ms: u64) -> Network {
        Network {
            loss: Share::from_ratio(loss),
            delay: Duration::from_millis(delay_ms),
            jitter: Duration::from_millis(jitter_ms),
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
        let mut shaper = Shaper::new(network(0.0, 50, 20), 7);
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
            let arrived = arrivals(&mut Shaper::new(network(0.3, 0, 0), seed), 250);
            assert!((120..230).contains(&arrived.len()), "{}", arrived.len());
            arrived
                .into_iter()
                .map(|(index, _)| index)
                .collect::<Vec<_>>()
        };
        assert_eq!(lost(1), lost(1));
        assert_ne!(lost(1), lost(2));
    }

    #[test]
    fn nothing_comes_before_its_time() {
        let mut shaper = Shaper::new(network(0.0, 10, 0), 0);
        let now = Instant::now();
        shaper.handle(now, 0, ([127, 0, 0, 1], 1).into(), b"x");
        assert_eq!(shaper.due(), Some(now + Duration::from_millis(10)));
        assert!(shaper.poll(now + Duration::from_millis(9)).is_none());
        assert!(shaper.poll(now + Duration::from_millis(10)).is_some());
    }
}
