//! How often sound is repeated for one client: as its link loses (RFC 2198). Must not know what is sent.

use std::time::{Duration, Instant};

use crate::{losses::Judgement, rtp::REDUNDANT_MAX};

/// How many of the packets before are repeated beside each packet of sound.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Redundancy {
    count: usize,
    /// Bytes of sound sent since the last judgement, and bits per second before.
    sound: u32,
    rate: f64,
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
    /// Of what the link takes, what sound may be and still be repeated.
    const SHARE: f64 = 0.9;
    /// As long as a packet of sound mostly is.
    const PACKET: Duration = Duration::from_millis(20);

    /// So much was lost of late.
    pub(super) fn judge(&mut self, now: Instant, judgement: &Judgement) {
        let bits = f64::from(std::mem::take(&mut self.sound)) * 8.0;
        self.rate = bits / judgement.span.as_secs_f64();
        let wanted = match judgement.loss {
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

    /// A packet of sound goes out, so many bytes long with what is repeated in it.
    pub(super) fn on_sound(&mut self, bytes: usize) {
        self.sound = self.sound.saturating_add(bytes as u32);
    }

    /// How many are repeated now, on a link that has room for as many as rows of losses ask for, or has not, and that
    /// takes so many bits per second. Where sound takes most of it, what is lost is lost because it is full.
    pub(super) fn count(&self, has_room: bool, takes: Option<f64>) -> usize {
        if takes.is_some_and(|takes| self.rate > takes * Self::SHARE) {
            return 0;
        }
        if self.count == 0 || !has_room {
            return self.count;
        }
        self.count.max(self.in_a_row)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second in which so much was lost.
    fn judge(redundancy: &mut Redundancy, now: Instant, loss: f32) {
        let judgement = Judgement {
            loss,
            row: Duration::ZERO,
            span: Duration::from_secs(1),
        };
        redundancy.judge(now, &judgement);
    }

    #[test]
    fn what_is_lost_in_a_row_is_repeated_as_far_back() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut redundancy = Redundancy::default();
        redundancy.on_row(start, Duration::from_millis(70));
        assert_eq!(redundancy.count(true, None), 0, "seldom enough");
        judge(&mut redundancy, at(1), 0.02);
        assert_eq!(
            (redundancy.count(true, None), redundancy.count(false, None)),
            (4, 1)
        );
        redundancy.on_row(at(2), Duration::from_millis(30));
        assert_eq!(redundancy.count(true, None), 4);
        redundancy.on_row(at(3), Duration::from_millis(400));
        assert_eq!(redundancy.count(true, None), REDUNDANT_MAX);
        judge(&mut redundancy, at(17), 0.02);
        assert_eq!(redundancy.count(true, None), REDUNDANT_MAX);
        judge(&mut redundancy, at(18), 0.02);
        assert_eq!(redundancy.count(true, None), 1);
    }

    #[test]
    fn more_at_once_and_less_after_a_while() {
        let start = Instant::now();
        let mut redundancy = Redundancy::default();
        assert_eq!(redundancy.count(true, None), 0);
        for (seconds, lost, count) in [
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
            judge(&mut redundancy, start + Duration::from_secs(seconds), lost);
            assert_eq!(redundancy.count(true, None), count, "{seconds} s");
        }
    }

    #[test]
    fn sound_that_fills_the_link_is_not_repeated() {
        let start = Instant::now();
        let mut redundancy = Redundancy::default();
        for second in 0..5 {
            judge(&mut redundancy, start + Duration::from_secs(second), 0.1);
            // 200 kbit/s.
            (0..200).for_each(|_| redundancy.on_sound(125));
        }
        assert_eq!(redundancy.count(true, Some(200e3)), 0);
        assert_eq!(redundancy.count(true, Some(300e3)), 2);
    }
}
