//! The receiving end of a hop. Finds what is missing, asks for it, and puts messages together.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use bytes::{BufMut as _, Bytes, BytesMut};

use super::{ASKED_MAX, Datagram, FIRST, HopStats, LAST, MISSING, PIECES_MAX};

/// Datagrams that are missing at a time; of more, the oldest are given up.
const MISSING_MAX: usize = 4_096;

/// Pieces of messages that wait for their other pieces.
const WAITING_MAX: usize = 1_024;

/// How often a datagram is asked for.
const ASKS_MAX: u8 = 6;

/// Numbers asked for at once; what is asked for should not fill the way back.
const ASKED_AT_ONCE: usize = 4 * ASKED_MAX;

/// How long a datagram may come behind its turn before it is asked for.
const PATIENCE: [Duration; 2] = [Duration::from_millis(1), Duration::from_millis(10)];

/// What it takes to ask and get an answer beyond the round trip, at least.
const ANSWER: Duration = Duration::from_millis(8);

/// What came with a datagram.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Received {
    /// A message is complete.
    pub message: Option<Bytes>,
    /// Numbers of datagrams that the other end misses, for [`HopSender`](super::HopSender).
    pub missing: Vec<u64>,
}

/// The receiving end of a hop.
#[derive(Debug, Default)]
pub struct HopReceiver {
    /// Behind the highest number seen.
    next: u64,
    missing: BTreeMap<u64, Missing>,
    /// Pieces of messages that are not complete.
    waiting: BTreeMap<u64, (u8, Bytes)>,
    /// No later than the first request.
    ask_at: Option<Instant>,
    stats: HopStats,
}

#[derive(Debug)]
struct Missing {
    ask_at: Instant,
    asked: u8,
}

impl HopReceiver {
    /// What it counted: all that is not of the sender.
    pub fn stats(&self) -> HopStats {
        self.stats
    }

    /// Takes a datagram; `rtt` is what a request and its answer take.
    pub fn handle(&mut self, now: Instant, rtt: Duration, datagram: &Bytes) -> Received {
        let mut received = Received::default();
        match Datagram::read(datagram) {
            Some(Datagram::Piece {
                flags,
                number,
                bytes,
            }) => {
                if self.take(now, rtt, number) {
                    received.message = self.join(number, flags, datagram.slice_ref(bytes));
                }
            }
            Some(Datagram::Missing(numbers)) => received.missing = numbers,
            Some(Datagram::Tip(next)) => self.expect(now, rtt, next),
            None => self.stats.useless += 1,
        }
        received
    }

    /// Whether a datagram is new.
    fn take(&mut self, now: Instant, rtt: Duration, number: u64) -> bool {
        if number >= self.next {
            self.expect(now, rtt, number);
            self.next = number.saturating_add(1);
        } else if let Some(missing) = self.missing.remove(&number) {
            self.stats.recovered += u64::from(missing.asked > 0);
        } else {
            self.stats.useless += 1;
            return false;
        }
        self.stats.received += 1;
        true
    }

    /// Everything before `next` was sent.
    fn expect(&mut self, now: Instant, rtt: Duration, next: u64) {
        if next <= self.next {
            return;
        }
        let ask_at = now + (rtt / 8).clamp(PATIENCE[0], PATIENCE[1]);
        let first = self.next.max(next.saturating_sub(MISSING_MAX as u64));
        self.stats.lost += first - self.next;
        for number in first..next {
            self.missing.insert(number, Missing { ask_at, asked: 0 });
        }
        while self.missing.len() > MISSING_MAX && self.missing.pop_first().is_some() {
            self.stats.lost += 1;
        }
        self.ask_at = Some(self.ask_at.map_or(ask_at, |at| at.min(ask_at)));
        self.next = next;
    }

    /// Puts a piece to the others of its message; the message, when it is complete.
    fn join(&mut self, number: u64, flags: u8, bytes: Bytes) -> Option<Bytes> {
        if flags == FIRST | LAST {
            return Some(bytes);
        }
        self.waiting.insert(number, (flags, bytes));
        while self.waiting.len() > WAITING_MAX {
            self.waiting.pop_first();
        }
        let flags_of = |number: u64| self.waiting.get(&number).map(|(flags, _)| *flags);
        let most = PIECES_MAX as u64;
        let mut first = number;
        while flags_of(first)? & FIRST == 0 {
            first = first.checked_sub(1).filter(|f| number - f < most)?;
        }
        let mut last = number;
        while flags_of(last)? & LAST == 0 {
            last = last.checked_add(1).filter(|l| l - first < most)?;
        }
        let mut message = BytesMut::new();
        for number in first..=last {
            let (_, bytes) = self.waiting.remove(&number)?;
            message.put_slice(&bytes);
        }
        Some(message.freeze())
    }

    /// When [`HopReceiver::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.ask_at
    }

    /// Asks for what is missing.
    pub fn handle_timeout(&mut self, now: Instant, rtt: Duration, mut send: impl FnMut(Bytes)) {
        if self.ask_at.is_none_or(|at| now < at) {
            return;
        }
        let Self { missing, stats, .. } = self;
        let mut asked = Vec::new();
        missing.retain(|number, missing| {
            if now < missing.ask_at || asked.len() >= ASKED_AT_ONCE {
                return true;
            }
            if missing.asked >= ASKS_MAX {
                stats.lost += 1;
                return false;
            }
            missing.asked += 1;
            // A request may be lost as well: ask again, a little later each time.
            missing.ask_at = now + rtt + rtt / 4 * u32::from(missing.asked) + ANSWER;
            asked.push(*number);
            true
        });
        let next = self.missing.values().map(|missing| missing.ask_at).min();
        self.ask_at = next.map(|at| at.max(now + PATIENCE[0]));
        for numbers in asked.chunks(ASKED_MAX) {
            let mut bytes = BytesMut::with_capacity(1 + 8 * numbers.len());
            bytes.put_u8(MISSING);
            for number in numbers {
                bytes.put_u64(*number);
            }
            send(bytes.freeze());
        }
    }
}
