//! How long a client is asked to wait before it shows a picture: what its link loses is there again a round trip
//! after it shows that it is missing. Browsers wait for jitter alone, and a picture stands still each time. Must not
//! know what is sent.

use std::time::{Duration, Instant};

use crate::{losses::Judgement, rtp::PlayoutDelay, wait::Wait};

/// What a client is asked for, by what its link loses.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Playout {
    wait: Wait,
    loses_much: bool,
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

    /// So much was lost of late, on a link with this round trip time.
    pub(super) fn judge(&mut self, now: Instant, judgement: &Judgement, rtt: Duration) {
        self.loses_much = judgement.loss >= Self::TWO_FROM;
        let again = rtt.max(Self::ASK_AGAIN) + Self::LOOK;
        let first = Self::NOTICE + Self::LOOK + rtt + judgement.row;
        let wanted = match judgement.loss {
            loss if loss >= Self::TWO_FROM => first + again,
            loss if loss >= Self::ONE_FROM => first,
            _ => Duration::ZERO,
        };
        self.wait.want(now, wanted);
    }

    /// Whether of what is sent again much is lost, too.
    pub(super) fn loses_much(&self) -> bool {
        self.loses_much
    }

    /// What a packet that goes out now says of it, if anything.
    pub(super) fn delay(&self) -> Option<PlayoutDelay> {
        self.wait.asked()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_more_is_lost_the_longer_is_waited() {
        let now = Instant::now();
        let ms = Duration::from_millis;
        for (loss, row, rtt, expected, doubles) in [
            (0.005, 0, 100, None, false),
            (0.02, 0, 100, Some(190), false),
            // Two round trips, and the time for which nothing came.
            (0.1, 0, 100, Some(310), true),
            (0.1, 60, 100, Some(370), true),
            (0.1, 0, 20, Some(230), true),
            (0.9, 400, 100, Some(500), true),
        ] {
            let judgement = Judgement {
                loss,
                row: ms(row),
                span: Duration::from_secs(1),
            };
            let mut playout = Playout::default();
            playout.judge(now, &judgement, ms(rtt));
            let expected = expected.map(|wait| PlayoutDelay::new(ms(wait)));
            assert_eq!(playout.delay(), expected, "{loss} {row} {rtt}");
            assert_eq!(playout.loses_much(), doubles);
        }
    }
}
