//! How long a client is asked to wait before it shows a picture: what its link loses is there again a round trip
//! after it shows that it is missing. Browsers wait for jitter alone, and a picture stands still each time. Told by the
//! playout-delay header extension (<http://www.webrtc.org/experiments/rtp-hdrext/playout-delay>). Must not know what
//! is sent.

use std::time::{Duration, Instant};

use super::losses::Judgement;

/// Limits of the time between capture and display, of a client whose link loses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PlayoutDelay(Duration);

/// What a client is asked for, by what its link loses.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Playout {
    delay: Duration,
    loses_much: bool,
    /// The most that was wanted since `delay` was set.
    wanted_since: Duration,
    /// Not less before this moment.
    holds_until: Option<Instant>,
    /// Until when it is said that nothing is asked for any more.
    withdrawn_until: Option<Instant>,
}

impl PlayoutDelay {
    /// Both limits have 12 bits, in steps of 10 ms. No upper limit is asked for: this is what browsers have without one.
    const STEP_MS: u128 = 10;
    const MOST: u16 = 1_000;

    /// Not less than this.
    pub(super) fn new(least: Duration) -> Self {
        Self(least)
    }

    /// As it stands in a header, where the publisher asks for `published`: the longer of both is waited.
    pub(super) fn element(self, published: Option<&[u8]>) -> [u8; 3] {
        let own = u16::try_from(self.0.as_millis().div_ceil(Self::STEP_MS)).unwrap_or(Self::MOST);
        let (least, most) = match published {
            Some(&[a, b, c]) => (
                u16::from(a) << 4 | u16::from(b) >> 4,
                u16::from(b & 0x0f) << 8 | u16::from(c),
            ),
            _ => (0, Self::MOST),
        };
        let least = least.max(own);
        let most = most.max(least);
        let both = u32::from(least) << 12 | u32::from(most);
        let [_, value @ ..] = both.to_be_bytes();
        value
    }
}

impl Playout {
    /// Loss from which on what was lost is waited for, and what was lost again when it was sent again.
    const ONE_FROM: f32 = 0.01;
    const TWO_FROM: f32 = 0.04;
    /// What is missing shows with the next picture, and a camera in the dark makes 15 a second.
    const NOTICE: Duration = Duration::from_millis(70);
    /// A browser asks again no sooner, and looks so often whether it is time.
    const ASK_AGAIN: Duration = Duration::from_millis(100);
    const LOOK: Duration = Duration::from_millis(20);
    /// Who talks waits for the answer: more than this is worse than a picture that stands still.
    const MOST: Duration = Duration::from_millis(500);
    /// Loss comes in bursts, and a client that waits now more, now less shows pictures faster and slower.
    const HOLD: Duration = Duration::from_secs(30);
    /// Any packet of so long a time may be the one that arrives.
    const WITHDRAWAL: Duration = Duration::from_secs(5);

    /// So much was lost of late, on a link with this round trip time.
    pub(super) fn judge(&mut self, now: Instant, judgement: &Judgement, rtt: Duration) {
        self.loses_much = judgement.loss >= Self::TWO_FROM;
        let again = rtt.max(Self::ASK_AGAIN) + Self::LOOK;
        let wanted = match judgement.loss {
            loss if loss >= Self::TWO_FROM => rtt + again,
            loss if loss >= Self::ONE_FROM => rtt,
            _ => Duration::ZERO,
        };
        let wanted = match wanted {
            Duration::ZERO => Duration::ZERO,
            wanted => (wanted + Self::NOTICE + Self::LOOK + judgement.row).min(Self::MOST),
        };
        self.wanted_since = self.wanted_since.max(wanted);
        let is_over = self.holds_until.is_none_or(|until| now >= until);
        if wanted > self.delay || is_over && !self.delay.is_zero() {
            self.delay = self.wanted_since;
            self.wanted_since = Duration::ZERO;
            self.holds_until = Some(now + Self::HOLD);
            self.withdrawn_until = self.delay.is_zero().then(|| now + Self::WITHDRAWAL);
        }
        if self.withdrawn_until.is_some_and(|until| now >= until) {
            self.withdrawn_until = None;
        }
    }

    /// Whether of what is sent again much is lost, too.
    pub(super) fn loses_much(&self) -> bool {
        self.loses_much
    }

    /// What a packet that goes out now says of it, if anything.
    pub(super) fn delay(&self) -> Option<PlayoutDelay> {
        let is_told = !self.delay.is_zero() || self.withdrawn_until.is_some();
        is_told.then_some(PlayoutDelay::new(self.delay))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTT: Duration = Duration::from_millis(100);

    #[test]
    fn a_link_that_loses_is_waited_for_until_it_does_no_more() {
        let start = Instant::now();
        let millis = |ms| Some(PlayoutDelay::new(Duration::from_millis(ms)));
        let mut playout = Playout::default();
        for (seconds, loss, row, expected) in [
            (0, 0.005, 0, None),
            (1, 0.02, 0, millis(190)),
            // Two round trips, and the time for which nothing came.
            (2, 0.1, 0, millis(310)),
            (3, 0.1, 60, millis(370)),
            (4, 0.9, 400, millis(500)),
            (5, 0.0, 0, millis(500)),
            (20, 0.02, 60, millis(500)),
            (33, 0.0, 0, millis(500)),
            // The most of the time before.
            (34, 0.0, 0, millis(250)),
            (63, 0.0, 0, millis(250)),
            (64, 0.0, 0, millis(0)),
            (68, 0.0, 0, millis(0)),
            (69, 0.0, 0, None),
        ] {
            let now = start + Duration::from_secs(seconds);
            let judgement = Judgement {
                loss,
                row: Duration::from_millis(row),
                span: Duration::from_secs(1),
            };
            playout.judge(now, &judgement, RTT);
            assert_eq!(playout.delay(), expected, "{seconds} s");
        }
    }

    #[test]
    fn the_longer_of_two_wishes_stands_in_the_header() {
        for (own, published, expected) in [
            (310, None, [0x01, 0xf3, 0xe8]),
            (0, None, [0, 0x03, 0xe8]),
            (310, Some([0, 0, 0]), [0x01, 0xf0, 0x1f]),
            (310, Some([0x03, 0x21, 0x00]), [0x03, 0x21, 0x00]),
        ] {
            let delay = PlayoutDelay::new(Duration::from_millis(own));
            let published = published.as_ref().map(|value| &value[..]);
            assert_eq!(delay.element(published), expected, "{own} {published:x?}");
        }
    }
}
