//! Spreads what goes to one client: a picture sent in one burst loses far more packets on real links
//! than one spread over some milliseconds. A bounded number of packets goes at once, the rest waits its
//! turn. Only video waits. Must not seal packets, nor know streams.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

/// Lets a bounded number of packets through at a time, and keeps the others in order.
#[derive(Debug)]
pub(super) struct Pacer<T> {
    waiting: VecDeque<T>,
    /// When the run under way began, and what may still go with it.
    run: Option<(Instant, u8)>,
}

impl<T> Pacer<T> {
    /// Packets of one run.
    const RUN: u8 = 16;

    /// From the begin of a run to that of the next: 16 packets of 1,200 bytes each millisecond are
    /// 150 Mbit/s.
    const INTERVAL: Duration = Duration::from_millis(1);

    /// Packets that wait at most: at that rate 64 ms. Past it there is no link that could take them.
    const WAITING: usize = 1_024;

    pub(super) fn new() -> Self {
        Self {
            waiting: VecDeque::new(),
            run: None,
        }
    }

    /// Whether a packet may go at once; it counts as gone.
    #[must_use]
    pub(super) fn admits(&mut self, now: Instant) -> bool {
        self.waiting.is_empty() && self.takes_turn(now)
    }

    fn takes_turn(&mut self, now: Instant) -> bool {
        let left = match self.run {
            Some((begun, left)) if now.saturating_duration_since(begun) < Self::INTERVAL => left,
            _ => {
                self.run = Some((now, Self::RUN));
                Self::RUN
            }
        };
        let Some(after) = left.checked_sub(1) else {
            return false;
        };
        if let Some((_, left)) = &mut self.run {
            *left = after;
        }
        true
    }

    /// Lets a packet wait; it is given back when too many wait already.
    pub(super) fn push(&mut self, packet: T) -> Result<(), T> {
        if self.waiting.len() >= Self::WAITING {
            return Err(packet);
        }
        self.waiting.push_back(packet);
        Ok(())
    }

    /// The next packet whose turn has come.
    pub(super) fn pop(&mut self, now: Instant) -> Option<T> {
        if self.waiting.is_empty() || !self.takes_turn(now) {
            return None;
        }
        let packet = self.waiting.pop_front();
        if self.waiting.is_empty() && self.waiting.capacity() > 64 {
            self.waiting = VecDeque::new();
        }
        packet
    }

    /// When the next packet may go.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let (begun, _) = self.run?;
        (!self.waiting.is_empty()).then(|| begun + Self::INTERVAL)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_goes_in_runs_and_in_order() {
        let start = Instant::now();
        let at = |micros| start + Duration::from_micros(micros);
        let mut pacer = Pacer::new();
        let mut sent = Vec::new();
        for packet in 0..40 {
            if pacer.admits(at(0)) {
                sent.push(packet);
            } else {
                pacer.push(packet).unwrap();
            }
        }
        assert_eq!(sent, (0..16).collect::<Vec<_>>());
        assert_eq!(pacer.deadline(), Some(at(1_000)));
        assert_eq!(pacer.pop(at(999)), None);
        sent.extend(std::iter::from_fn(|| pacer.pop(at(1_000))));
        assert_eq!(sent.len(), 32);
        // What comes now waits behind those that wait.
        assert!(!pacer.admits(at(2_500)));
        pacer.push(40).unwrap();
        assert_eq!(pacer.deadline(), Some(at(2_000)));
        sent.extend(std::iter::from_fn(|| pacer.pop(at(2_500))));
        assert_eq!(sent, (0..=40).collect::<Vec<_>>());
        assert_eq!(pacer.deadline(), None);
        assert!(pacer.admits(at(2_501)));
    }

    #[test]
    fn what_waits_is_bounded() {
        let mut pacer = Pacer::new();
        for packet in 0..Pacer::<usize>::WAITING {
            pacer.push(packet).unwrap();
        }
        assert_eq!(pacer.push(7), Err(7));
    }
}
