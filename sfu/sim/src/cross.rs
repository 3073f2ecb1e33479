//! What else goes over a limited link: a download that takes what it can get (RFC 5681), or something that comes
//! and goes. It stands in the same queue, and is told of nothing but what its own packets meet. Must not delay or
//! lose anything itself.

use std::{collections::VecDeque, time::Duration};

use crate::Bottleneck;

/// What else goes over a limited link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cross {
    /// A TCP download without end.
    Tcp,
    /// A constant rate that comes and goes.
    OnOff {
        /// Bits per second while it is there.
        rate: u64,
        /// How long it is there.
        on: Duration,
        /// How long it is not, then.
        off: Duration,
    },
}

/// Bytes of a packet of it, with headers.
const BYTES: usize = 1_500;

/// What else goes over a link, as it is now.
#[derive(Debug)]
pub(crate) struct Crossing {
    cross: Cross,
    begun: Duration,
    /// When the next packet is sent that waits for nothing.
    next: Duration,
    window: f64,
    threshold: f64,
    /// When it is known of a packet what became of it, and whether it was lost; in this order.
    known: VecDeque<(Duration, bool)>,
    /// Losses until then are those of one event.
    recovers_until: Duration,
    /// Bytes that passed.
    pub(crate) passed: u64,
}

impl Crossing {
    const WINDOW: f64 = 10.0;

    /// One that begins now.
    pub(crate) fn new(cross: Cross, now: Duration) -> Self {
        Self {
            cross,
            begun: now,
            next: now,
            window: Self::WINDOW,
            threshold: f64::MAX,
            known: VecDeque::new(),
            recovers_until: now,
            passed: 0,
        }
    }

    pub(crate) fn cross(&self) -> Cross {
        self.cross
    }

    /// Sends all that is due by now over a link that takes so long beside its queue.
    pub(crate) fn advance(&mut self, now: Duration, delay: Duration, link: &mut Bottleneck) {
        match self.cross {
            Cross::Tcp => self.advance_tcp(now, delay, link),
            Cross::OnOff { rate, on, off } => {
                let step = Duration::from_secs_f64(BYTES as f64 * 8.0 / rate.max(1) as f64);
                let turn = (on + off).max(Duration::from_micros(1));
                while self.next <= now {
                    let turns = (self.next - self.begun).as_nanos() / turn.as_nanos();
                    let turn_begun = self.begun + turn * turns as u32;
                    if self.next - turn_begun < on {
                        let passed = link.send(self.next, BYTES);
                        self.passed += passed.map_or(0, |_| BYTES as u64);
                        self.next += step;
                    } else {
                        self.next = turn_begun + turn;
                    }
                }
            }
        }
    }

    fn advance_tcp(&mut self, now: Duration, delay: Duration, link: &mut Bottleneck) {
        let round_trip = delay * 2;
        loop {
            while (self.known.len() as f64) < self.window {
                let sent = link.send(self.next, BYTES);
                self.passed += sent.map_or(0, |_| BYTES as u64);
                // A loss shows when what was before it in the queue has passed.
                let passed = sent.unwrap_or_else(|| self.next + link.backlog(self.next));
                self.known.push_back((passed + round_trip, sent.is_none()));
            }
            let Some((at, lost)) = self.known.front().copied().filter(|(at, _)| *at <= now) else {
                return;
            };
            self.known.pop_front();
            self.next = self.next.max(at);
            self.on_known(at, lost, round_trip + link.backlog(at));
        }
    }

    fn on_known(&mut self, at: Duration, lost: bool, round_trip: Duration) {
        if lost {
            if at >= self.recovers_until {
                self.threshold = (self.window / 2.0).max(2.0);
                self.window = self.threshold;
                self.recovers_until = at + round_trip;
            }
        } else if self.window < self.threshold {
            self.window += 1.0;
        } else {
            self.window += 1.0 / self.window;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{millis, seconds};

    #[test]
    fn a_download_alone_takes_the_link_and_keeps_its_queue_filled() {
        let mut link = Bottleneck::new(2_000_000, millis(200));
        let mut tcp = Crossing::new(Cross::Tcp, Duration::ZERO);
        let mut waits = Vec::new();
        for tenth in 1..=600 {
            let now = millis(tenth * 100);
            tcp.advance(now, millis(20), &mut link);
            waits.push(link.backlog(now));
        }
        let used = tcp.passed as f64 * 8.0 / (2e6 * 60.0);
        assert!((0.95..=1.01).contains(&used), "{used}");
        waits.sort();
        assert!(waits[300] > millis(80), "{:?}", waits[300]);
        assert!(waits[599] <= millis(210), "{:?}", waits[599]);
    }

    #[test]
    fn what_comes_and_goes_takes_its_rate_for_its_time() {
        let cross = Cross::OnOff {
            rate: 1_200_000,
            on: seconds(2),
            off: seconds(8),
        };
        let mut link = Bottleneck::new(2_000_000, millis(200));
        let mut flow = Crossing::new(cross, seconds(5));
        let mut passed = Vec::new();
        for second in [5, 6, 7, 15, 16, 25] {
            flow.advance(seconds(second), millis(20), &mut link);
            passed.push(flow.passed / BYTES as u64);
        }
        assert_eq!(passed, [1, 101, 200, 201, 301, 401]);
    }
}
