//! Spreads what goes to one client by the rate of its link: a picture sent in one burst makes a queue that
//! sound stands in, and loses far more packets on real links than one spread over some milliseconds. Sound
//! never waits. Of what waits, what was missed and video in order take turns. Must not seal packets, nor
//! know streams.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use super::congestion::Pace;
use crate::ahead::fetch;

/// Lets a bounded number of bytes through at a time, and keeps what comes beyond them in order.
#[derive(Debug)]
pub(super) struct Pacer<T> {
    first: VecDeque<(T, usize)>,
    waiting: VecDeque<(T, usize)>,
    /// The last one that went was missed: now it is the turn of the others.
    is_turn_of_waiting: bool,
    /// Bytes of both.
    bytes: usize,
    /// When all that was sent has passed at the rate.
    free: Option<Instant>,
    /// Nothing has its turn before.
    held: Option<Instant>,
    /// At the least rate, at the one that brings away what waits in time, and at the highest.
    slowest: u64,
    nanos_per_byte: u64,
    fastest: u64,
    /// Sent ahead of the rate: what goes out at once, and becomes a run.
    ahead: Duration,
}

impl<T> Pacer<T> {
    /// At most so much is sent ahead of the rate; half of it has passed before more is sent, so that runs
    /// stay runs.
    const AHEAD: Duration = Duration::from_millis(10);
    const AHEAD_BYTES: u64 = 20_000;
    /// The same where what waits is brought away slowly: a run would be a burst there.
    const AHEAD_EVEN: Duration = Duration::from_millis(3);

    /// In so long what waits is brought away, in nanoseconds: before the next picture comes.
    const AWAY: u64 = 33_000_000;

    /// What goes out without a turn, sound and probes, holds back what waits for no longer than this: more than
    /// the link takes, it would else keep video away long after the link is well again.
    const DEBT: Duration = Duration::from_millis(250);

    /// Where nothing is known of the link, in bits per second.
    const RATE: f64 = 150e6;

    /// Packets that wait at most, and how long it should take to send them.
    const WAITING: usize = 1_024;
    const WAITING_TIME: Duration = Duration::from_secs(1);

    pub(super) fn new() -> Self {
        let mut pacer = Self {
            first: VecDeque::new(),
            waiting: VecDeque::new(),
            is_turn_of_waiting: false,
            bytes: 0,
            free: None,
            held: None,
            slowest: 0,
            nanos_per_byte: 0,
            fastest: 0,
            ahead: Self::AHEAD,
        };
        pacer.set_pace(None);
        pacer
    }

    /// Asks for what a packet will touch.
    pub(super) fn fetch(&self) {
        fetch(&self.first);
        fetch(&self.waiting);
        fetch(&self.free);
    }

    /// The pace from now on; `None` where nothing is known of the link.
    pub(super) fn set_pace(&mut self, pace: Option<Pace>) {
        let pace = pace.unwrap_or_else(|| Pace::of(Self::RATE));
        let nanos = |rate: f64| (8e9 / rate.min(Self::RATE)) as u64;
        (self.slowest, self.fastest) = (nanos(pace.least), nanos(pace.most));
        self.choose_rate();
    }

    /// As slowly as brings away in time what waits.
    fn choose_rate(&mut self) {
        if self.nanos_per_byte == self.slowest && self.slowest == self.fastest {
            return;
        }
        let in_time = Self::AWAY / (self.bytes as u64).max(1);
        self.nanos_per_byte = in_time.min(self.slowest).max(self.fastest);
        let ahead = Duration::from_nanos(self.nanos_per_byte * Self::AHEAD_BYTES);
        let is_even = self.slowest != self.fastest;
        self.ahead = ahead.min(if is_even {
            Self::AHEAD_EVEN
        } else {
            Self::AHEAD
        });
    }

    /// What waits does so until then at least.
    pub(super) fn hold(&mut self, until: Option<Instant>) {
        self.held = until;
    }

    /// Whether a packet may go at once.
    pub(super) fn admits(&self, now: Instant) -> bool {
        self.is_empty() && self.has_turn(now)
    }

    fn has_turn(&self, now: Instant) -> bool {
        let is_held = self.held.is_some_and(|held| held > now);
        // Mostly it has passed already, which is told without a sum.
        let is_free = |free: Instant| free <= now || free < now + self.ahead;
        !is_held && self.free.is_none_or(is_free)
    }

    /// A packet went out, whether it waited or not.
    pub(super) fn on_sent(&mut self, now: Instant, bytes: usize) {
        let takes = Duration::from_nanos(bytes as u64 * self.nanos_per_byte);
        let most = self.ahead + Self::DEBT;
        self.free = Some(match self.free.filter(|free| *free > now) {
            Some(free) => (free + takes).min(now + most),
            None => now + takes.min(most),
        });
    }

    /// Lets a packet wait.
    pub(super) fn push(&mut self, packet: T, bytes: usize) {
        self.bytes += bytes;
        self.waiting.push_back((packet, bytes));
        self.choose_rate();
    }

    /// What waits in order, with its bytes.
    pub(super) fn waiting(&self) -> impl Iterator<Item = &(T, usize)> {
        self.waiting.iter()
    }

    /// Lets a packet wait that was missed; it is given back when too much waits already.
    pub(super) fn push_first(&mut self, packet: T, bytes: usize) -> Result<(), T> {
        if self.is_full() {
            return Err(packet);
        }
        self.bytes += bytes;
        self.first.push_back((packet, bytes));
        self.choose_rate();
        Ok(())
    }

    /// Takes out of what waits all that need not be sent any more.
    pub(super) fn drop_waiting(&mut self, mut is_dropped: impl FnMut(&T) -> bool) {
        let bytes = &mut self.bytes;
        for queue in [&mut self.first, &mut self.waiting] {
            queue.retain(|(packet, size)| {
                let is_dropped = is_dropped(packet);
                if is_dropped {
                    *bytes -= size;
                }
                !is_dropped
            });
        }
        self.choose_rate();
    }

    /// The next packet whose turn has come.
    pub(super) fn pop(&mut self, now: Instant) -> Option<T> {
        if self.is_empty() || !self.has_turn(now) {
            return None;
        }
        self.pop_any()
    }

    /// The next packet, whether its turn has come or not.
    pub(super) fn pop_any(&mut self) -> Option<T> {
        let may_repair = !self.is_turn_of_waiting || self.waiting.is_empty();
        let is_first = may_repair && !self.first.is_empty();
        self.is_turn_of_waiting = is_first;
        let queue = if is_first {
            &mut self.first
        } else {
            &mut self.waiting
        };
        let (packet, bytes) = queue.pop_front()?;
        self.bytes -= bytes;
        self.choose_rate();
        if self.is_empty() && self.waiting.capacity() > 64 {
            self.waiting = VecDeque::new();
        }
        Some(packet)
    }

    /// When the next packets may go.
    pub(super) fn deadline(&self) -> Option<Instant> {
        if self.is_empty() {
            return None;
        }
        let free = self.free.and_then(|free| free.checked_sub(self.ahead / 2));
        free.max(self.held)
    }

    /// How long it takes at least to send what waits.
    pub(super) fn backlog(&self) -> Duration {
        Duration::from_nanos(self.bytes as u64 * self.fastest)
    }

    /// Packets that wait in order, those that wait in all, and bytes of all.
    pub(super) fn lengths(&self) -> (usize, usize, usize) {
        let waiting = self.waiting.len();
        (waiting, self.first.len() + waiting, self.bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_empty() && self.waiting.is_empty()
    }

    /// Whether nothing more may wait.
    pub(super) fn is_full(&self) -> bool {
        self.first.len() + self.waiting.len() >= Self::WAITING
    }

    /// Whether more waits than is worth waiting for.
    pub(super) fn is_long(&self) -> bool {
        self.backlog() >= Self::WAITING_TIME
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start: Instant, micros: u64) -> Instant {
        start + Duration::from_micros(micros)
    }

    #[test]
    fn a_burst_goes_in_runs_and_in_order() {
        let start = Instant::now();
        let mut pacer = Pacer::new();
        // 1,000 bytes are a millisecond.
        pacer.set_pace(Some(Pace::of(8e6)));
        let mut sent = Vec::new();
        for packet in 0..30 {
            if pacer.admits(start) {
                pacer.on_sent(start, 1_000);
                sent.push(packet);
            } else {
                pacer.push(packet, 1_000);
            }
        }
        assert_eq!(sent, (0..10).collect::<Vec<_>>());
        let mut runs = Vec::new();
        while let Some(due) = pacer.deadline() {
            assert!(!pacer.admits(due), "what comes now waits behind those");
            let mut run = 0;
            while let Some(packet) = pacer.pop(due) {
                pacer.on_sent(due, 1_000);
                sent.push(packet);
                run += 1;
            }
            runs.push((due.duration_since(start).as_millis(), run));
        }
        assert_eq!(runs, [(5, 5), (10, 5), (15, 5), (20, 5)]);
        assert_eq!(sent, (0..30).collect::<Vec<_>>());
        assert!(pacer.admits(at(start, 20_001)));
    }

    #[test]
    fn what_need_not_be_gone_at_once_is_spread_until_the_next_picture() {
        let start = Instant::now();
        let mut pacer = Pacer::new();
        // A millisecond for 1,000 bytes at most, and four.
        pacer.set_pace(Some(Pace {
            least: 2e6,
            most: 8e6,
        }));
        let picture = |pacer: &mut Pacer<u64>, now: Instant, packets: u64| {
            pacer.on_sent(now, 1_000);
            for packet in 0..packets {
                pacer.push(packet, 1_000);
            }
            let mut sent = Vec::new();
            let mut longest = 0;
            let mut due = now;
            while !pacer.is_empty() {
                due = pacer.deadline().unwrap().max(due);
                let mut run = 0;
                while pacer.pop(due).is_some() {
                    pacer.on_sent(due, 1_000);
                    run += 1;
                }
                longest = longest.max(run);
                sent.push(due.duration_since(now));
            }
            (sent.last().unwrap().as_millis(), longest)
        };
        let (last, longest) = picture(&mut pacer, start, 5);
        assert!((12..=20).contains(&last), "{last} ms");
        assert_eq!(longest, 1, "no two at once");
        // A large one is sent faster, so that the next one does not wait long.
        let later = at(start, 100_000);
        let (last, _) = picture(&mut pacer, later, 30);
        assert!((40..=80).contains(&last), "{last} ms of 120");
    }

    #[test]
    fn what_is_held_back_goes_when_that_ends() {
        let start = Instant::now();
        let mut pacer = Pacer::new();
        pacer.set_pace(Some(Pace::of(8e6)));
        let until = at(start, 30_000);
        pacer.hold(Some(until));
        assert!(!pacer.admits(start));
        pacer.push(1, 1_000);
        assert_eq!(pacer.deadline(), Some(until));
        assert_eq!(pacer.pop(at(start, 29_999)), None);
        pacer.hold(None);
        assert_eq!(pacer.pop(at(start, 20_000)), Some(1));
    }

    #[test]
    fn what_was_missed_takes_turns_and_what_is_not_needed_goes_not_at_all() {
        let start = Instant::now();
        let mut pacer = Pacer::new();
        pacer.set_pace(Some(Pace::of(8e6)));
        pacer.on_sent(start, 20_000);
        for packet in [1, 2, 3, 4] {
            pacer.push(packet, 1_000);
        }
        for packet in [11, 12, 13, 15] {
            pacer.push_first(packet, 1_000).unwrap();
        }
        pacer.drop_waiting(|packet| packet % 2 == 0);
        assert_eq!(pacer.pop(start), None);
        let later = at(start, 20_000);
        let left: Vec<_> = std::iter::from_fn(|| pacer.pop(later)).collect();
        assert_eq!(left, [11, 1, 13, 3, 15]);
        assert_eq!(pacer.bytes, 0);
    }

    #[test]
    fn sound_that_is_more_than_the_link_takes_holds_video_back_for_a_moment_only() {
        let start = Instant::now();
        let mut pacer = Pacer::new();
        pacer.set_pace(Some(Pace::of(75_000.0)));
        for millis in (0..60_000).step_by(20) {
            pacer.on_sent(start + Duration::from_millis(millis), 342);
        }
        let now = start + Duration::from_secs(60);
        pacer.push(1, 1_000);
        pacer.set_pace(Some(Pace::of(3e6)));
        assert!(pacer.deadline().unwrap() < now + Duration::from_millis(300));
    }

    #[test]
    fn what_waits_is_bounded_in_number_and_in_time() {
        let mut pacer = Pacer::new();
        for packet in 0..Pacer::<usize>::WAITING {
            pacer.push(packet, 1_000);
        }
        assert!(pacer.is_full());
        assert_eq!(pacer.push_first(7, 1_000), Err(7));
        let mut slow = Pacer::new();
        slow.set_pace(Some(Pace::of(800_000.0)));
        for packet in 0..100 {
            slow.push(packet, 1_000);
        }
        assert!(slow.is_long() && !slow.is_full());
    }
}
