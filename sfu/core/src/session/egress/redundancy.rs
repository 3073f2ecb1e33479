//! How often sound is repeated for one client: as its link loses (RFC 2198). Must not know what is sent.

use std::time::{Duration, Instant};

use crate::rtp::REDUNDANT_MAX;

/// How many of the packets before are repeated beside each packet of sound.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Redundancy {
    count: usize,
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
    /// Loss comes in bursts, and reports tell of a second or so.
    const HOLD: Duration = Duration::from_secs(15);
    /// As long as a packet of sound mostly is.
    const PACKET: Duration = Duration::from_millis(20);

    /// The client reports which share of a stream was lost since its last report.
    pub(super) fn on_report(&mut self, now: Instant, loss: f32) {
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
        redundancy.on_report(at(1), 0.02);
        assert_eq!((redundancy.count(true), redundancy.count(false)), (4, 1));
        redundancy.on_row(at(2), Duration::from_millis(30));
        assert_eq!(redundancy.count(true), 4);
        redundancy.on_row(at(3), Duration::from_millis(400));
        assert_eq!(redundancy.count(true), REDUNDANT_MAX);
        redundancy.on_report(at(17), 0.02);
        assert_eq!(redundancy.count(true), REDUNDANT_MAX);
        redundancy.on_report(at(18), 0.02);
        assert_eq!(redundancy.count(true), 1);
    }

    #[test]
    fn more_at_once_and_less_after_a_while() {
        let start = Instant::now();
        let mut redundancy = Redundancy::default();
        assert_eq!(redundancy.count(true), 0);
        for (seconds, loss, expected) in [
            (0, 0.0, 0),
            (1, 0.02, 1),
            (2, 0.1, 2),
            (3, 0.0, 2),
            (16, 0.0, 2),
            (17, 0.0, 1),
            (18, 0.0, 1),
            (20, 0.015, 1),
            (34, 0.0, 1),
            (35, 0.0, 0),
            (36, 0.0, 0),
        ] {
            redundancy.on_report(start + Duration::from_secs(seconds), loss);
            assert_eq!(redundancy.count(true), expected, "{seconds} s");
        }
    }
}
