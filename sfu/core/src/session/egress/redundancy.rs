//! How often sound is repeated for one client: as its link loses (RFC 2198). Must not know what is sent.

use std::time::{Duration, Instant};

use crate::rtp::REDUNDANT_MAX;

/// How many of the packets before are repeated beside each packet of sound.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Redundancy {
    count: usize,
    /// Packets of all streams that reports told of since the last judgement, and those lost of them.
    expected: u32,
    lost: u32,
    /// Not less before this moment.
    holds_until: Option<Instant>,
    /// The same for what is lost in a row.
    in_a_row: usize,
    row_until: Option<Instant>,
}

impl Redundancy {
    /// Loss from which on one packet is repeated, and two: what is then lost twice or three times in a row is
    /// below a thousandth.
    const ONE_FROM: f32 = 0.01;
    const TWO_FROM: f32 = 0.04;
    /// Loss is judged by so many packets at least.
    const PACKETS_MIN: u32 = 50;
    /// Loss comes in bursts, and reports tell of a second or so.
    const HOLD: Duration = Duration::from_secs(15);
    /// As long as a packet of sound mostly is.
    const PACKET: Duration = Duration::from_millis(20);

    /// The client reports how many packets it expected since its last report, and lost, of whatever streams: they
    /// share its link.
    pub(super) fn on_report(&mut self, now: Instant, expected: u32, lost: u32) {
        self.expected = self.expected.saturating_add(expected);
        self.lost = self.lost.saturating_add(lost);
        if self.expected < Self::PACKETS_MIN {
            return;
        }
        let loss = self.lost as f32 / self.expected as f32;
        (self.expected, self.lost) = (0, 0);
        let wanted = match loss {
            loss if loss >= Self::TWO_FROM => 2,
            loss if loss >= Self::ONE_FROM => 1,
            _ => 0,
        };
        if self.row_until.is_some_and(|until| now >= until) {
            (self.in_a_row, self.row_until) = (0, None);
        }
        let is_held = self.holds_until.is_some_and(|until| now < until);
        if wanted >= self.count {
            self.count = wanted;
            self.holds_until = Some(now + Self::HOLD);
        } else if !is_held {
            self.count -= 1;
            self.holds_until = Some(now + Self::HOLD);
        }
    }

    /// All that was sent for so long was lost: so much is to be repeated that the next that comes makes good for it.
    pub(super) fn on_row(&mut self, now: Instant, lasted: Duration) {
        let packets = lasted.as_millis().div_ceil(Self::PACKET.as_millis());
        let packets = usize::try_from(packets).map_or(REDUNDANT_MAX, |n| n.min(REDUNDANT_MAX));
        if packets >= self.in_a_row || self.row_until.is_none_or(|until| now >= until) {
            self.in_a_row = packets;
            self.row_until = Some(now + Self::HOLD);
        }
    }

    /// How many are repeated now, on a link that has room for as many as rows of losses ask for, or has not.
    pub(super) fn count(&self, has_room: bool) -> usize {
        if self.count == 0 || !has_room {
            return self.count;
        }
        self.count.max(self.in_a_row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_in_a_row_is_repeated_as_far_back() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut redundancy = Redundancy::default();
        redundancy.on_row(start, Duration::from_millis(70));
        assert_eq!(redundancy.count(true), 0, "seldom enough");
        redundancy.on_report(at(1), 100, 2);
        assert_eq!((redundancy.count(true), redundancy.count(false)), (4, 1));
        redundancy.on_row(at(2), Duration::from_millis(30));
        assert_eq!(redundancy.count(true), 4);
        redundancy.on_row(at(3), Duration::from_millis(400));
        assert_eq!(redundancy.count(true), REDUNDANT_MAX);
        redundancy.on_report(at(17), 100, 2);
        assert_eq!(redundancy.count(true), REDUNDANT_MAX);
        redundancy.on_report(at(18), 100, 2);
        assert_eq!(redundancy.count(true), 1);
    }

    #[test]
    fn more_at_once_and_less_after_a_while() {
        let start = Instant::now();
        let mut redundancy = Redundancy::default();
        assert_eq!(redundancy.count(true), 0);
        for (seconds, lost, count) in [
            (0, 0, 0),
            (1, 4, 1),
            (2, 20, 2),
            (3, 0, 2),
            (16, 0, 2),
            (17, 0, 1),
            (18, 0, 1),
            (20, 3, 1),
            (34, 0, 1),
            (35, 0, 0),
            (36, 0, 0),
        ] {
            redundancy.on_report(start + Duration::from_secs(seconds), 200, lost);
            assert_eq!(redundancy.count(true), count, "{seconds} s");
        }
    }

    #[test]
    fn a_stream_of_few_packets_does_not_speak_for_the_link() {
        let now = Instant::now();
        let mut redundancy = Redundancy::default();
        redundancy.on_report(now, 5, 1);
        assert_eq!(redundancy.count(true), 0);
        redundancy.on_report(now, 195, 0);
        assert_eq!(redundancy.count(true), 0, "one of 200");
        for _ in 0..10 {
            redundancy.on_report(now, 20, 1);
        }
        assert_eq!(redundancy.count(true), 2, "one of 20");
    }
}
