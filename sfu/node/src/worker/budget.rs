//! How much a worker does before it looks at its other inputs again. Must not read the clock itself.
//!
//! A turn that has spent its budget leaves what it has not done where it is (datagrams in the batch or
//! the socket, in the shard what is not handed on to all, and runs) and goes on in the next, after requests and
//! timers had theirs.

use std::{
    ops::RangeInclusive,
    time::{Duration, Instant},
};

/// Datagrams received in a turn.
const RECEIVED: usize = 512;

/// Bytes sent in a turn: what fills a link of 10 Gbit/s for 3 ms.
const SENT_BYTES: usize = 4 * 1024 * 1024;

/// How long a turn may go on receiving and sending.
const TIME: Duration = Duration::from_millis(2);

/// Runs sent from one look at the clock to the next: at a few microseconds each, far below `TIME`.
const RUNS_PER_LOOK: u32 = 16;

/// Datagrams put to the shard before it is asked what to send: enough for the packets of a frame to
/// leave in one run, few enough not to be late.
const FEED: RangeInclusive<usize> = 8..=64;

/// How many datagrams to put to the shard at a time, after `fed` of them, `feed` at most, took `took` to
/// go out. What one datagram costs depends on how many it goes to: from nothing to milliseconds.
pub(super) fn select_feed(feed: usize, fed: usize, took: Duration) -> usize {
    let wanted = if took > TIME {
        fed / 2
    } else if fed == feed && took < TIME / 4 {
        feed * 2
    } else {
        feed
    };
    wanted.clamp(*FEED.start(), *FEED.end())
}

/// What is left of a turn.
#[derive(Debug)]
pub(super) struct Budget {
    received: usize,
    bytes: usize,
    until: Instant,
    /// Runs until the next look at the clock.
    unseen: u32,
    is_over: bool,
}

impl Budget {
    /// For a turn that begins now.
    pub(super) fn new(now: Instant) -> Self {
        Self {
            received: RECEIVED,
            bytes: SENT_BYTES,
            until: now + TIME,
            unseen: RUNS_PER_LOOK,
            is_over: false,
        }
    }

    /// Datagrams that may still be received.
    pub(super) fn receivable(&self) -> usize {
        if self.is_over { 0 } else { self.received }
    }

    /// So many datagrams were received, the last of them at `now`.
    pub(super) fn on_received(&mut self, now: Instant, datagrams: usize) {
        self.received = self.received.saturating_sub(datagrams);
        self.is_over |= self.until <= now;
    }

    /// A run was sent; looks at the clock now and then.
    pub(super) fn on_sent(&mut self, bytes: usize, clock: impl FnOnce() -> Instant) {
        self.bytes = self.bytes.saturating_sub(bytes);
        self.unseen -= 1;
        if self.unseen == 0 {
            self.unseen = RUNS_PER_LOOK;
            self.is_over |= self.until <= clock();
        }
        self.is_over |= self.bytes == 0;
    }

    /// Nothing more may be sent in this turn.
    pub(super) fn is_spent(&self) -> bool {
        self.is_over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a turn does.
    #[derive(Debug, Clone, Copy)]
    enum Step {
        /// Datagrams received.
        Receive(usize),
        /// Runs sent, of so many bytes each.
        Send(u32, usize),
        /// Time goes by, in microseconds.
        Pass(u64),
    }

    #[test]
    fn a_large_audience_gets_fewer_datagrams_at_a_time() {
        // At a time, of them fed, microseconds it took; at a time from now on.
        for (feed, fed, took, expected) in [
            (64, 64, 100, 64),
            (64, 64, 2100, 32),
            (64, 20, 2100, 10),
            (16, 16, 9000, 8),
            (8, 8, 9000, 8),
            // Grows only when it was used up, and well in time.
            (8, 8, 400, 16),
            (8, 7, 400, 8),
            (8, 8, 600, 8),
            (64, 64, 0, 64),
        ] {
            let took = Duration::from_micros(took);
            assert_eq!(
                select_feed(feed, fed, took),
                expected,
                "{feed} {fed} {took:?}"
            );
        }
    }

    #[test]
    fn a_turn_ends_by_what_it_spends_first() {
        use Step::{Pass, Receive, Send};
        const MOST: u64 = 1999;
        // What is done; whether more may be received; whether more may be sent.
        let cases: [(&[Step], bool, bool); 10] = [
            (&[], true, true),
            (&[Receive(RECEIVED - 1)], true, true),
            // No more to take in, but what it caused still goes out.
            (&[Receive(RECEIVED)], false, true),
            (&[Receive(RECEIVED + 100)], false, true),
            (&[Send(1, SENT_BYTES - 1)], true, true),
            (&[Send(2, SENT_BYTES / 2)], false, false),
            (
                &[Pass(MOST), Send(RUNS_PER_LOOK, 1), Receive(1)],
                true,
                true,
            ),
            (&[Pass(MOST + 1), Receive(1)], false, false),
            // Seen at the next look only.
            (&[Pass(MOST + 1), Send(RUNS_PER_LOOK - 1, 1)], true, true),
            (&[Pass(MOST + 1), Send(RUNS_PER_LOOK, 1)], false, false),
        ];
        for (steps, expected_receive, expected_send) in cases {
            let mut now = Instant::now();
            let mut budget = Budget::new(now);
            for step in steps {
                match *step {
                    Receive(datagrams) => budget.on_received(now, datagrams),
                    Send(runs, bytes) => {
                        for _ in 0..runs {
                            budget.on_sent(bytes, || now);
                        }
                    }
                    Pass(micros) => now += Duration::from_micros(micros),
                }
            }
            assert_eq!(budget.receivable() > 0, expected_receive, "{steps:?}");
            assert_eq!(!budget.is_spent(), expected_send, "{steps:?}");
        }
    }
}
