//! When a viewer shows its pictures, as browsers do: it waits by the jitter of what comes, and for as long as it is asked
//! to. What was sent again says nothing of jitter, so nobody waits for it unasked. Must not know what a picture is.

use std::time::Duration;

/// The wait of one viewer.
#[derive(Debug, Default)]
pub(super) struct Playout {
    /// When the newest picture could be decoded, and when it was shown.
    newest: Option<(Duration, Duration)>,
    /// How long after its capture a picture comes, at most, of late.
    under_way: Duration,
    /// How long the sender asks to wait.
    asked: Duration,
    /// How long after its capture a picture is shown.
    wait: Duration,
    /// Time from one picture to the next.
    interval: Duration,
}

impl Playout {
    /// How fast less jitter is believed, of the time that passes.
    const CALMER: f64 = 0.01;
    /// How fast the wait changes, of the time that passes: pictures may run no faster and slower than that.
    const CHANGE: f64 = 0.1;
    /// A picture stands still where the next one comes so much later than most.
    const FREEZE: Duration = Duration::from_millis(150);

    /// The sender asks for this from now on.
    pub(super) fn ask(&mut self, wait: Duration) {
        self.asked = wait;
    }

    /// The viewer holds the picture on purpose.
    pub(super) fn pause(&mut self) {
        self.newest = None;
    }

    /// A picture captured then can be decoded now; `arrived` is when it was there, unless parts of it were sent again.
    /// Returns for how long the one before stood still, if it did.
    pub(super) fn on_picture(
        &mut self,
        now: Duration,
        captured: Duration,
        arrived: Option<Duration>,
    ) -> Option<Duration> {
        let since = self
            .newest
            .map_or(Duration::ZERO, |(at, _)| now.saturating_sub(at));
        let calmer = self.under_way.saturating_sub(since.mul_f64(Self::CALMER));
        let came_after = arrived.map_or(Duration::ZERO, |at| at.saturating_sub(captured));
        self.under_way = came_after.max(calmer);
        let wanted = self.under_way.max(self.asked);
        let lateness = now.saturating_sub(captured);
        let change = since.mul_f64(Self::CHANGE);
        self.wait = if self.wait < wanted {
            // Who comes late makes the others wait, too, up to what is wanted.
            (self.wait + change).max(lateness).min(wanted)
        } else {
            self.wait.saturating_sub(change).max(wanted)
        };
        let shown = captured + self.wait.max(lateness);
        let (_, last) = self.newest.replace((now, shown))?;
        let gap = shown.saturating_sub(last);
        let mean = self.interval;
        if mean.is_zero() {
            self.interval = gap;
            return None;
        }
        if gap > (mean * 3).max(mean + Self::FREEZE) {
            return Some(gap);
        }
        self.interval = (mean * 29 + gap) / 30;
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    /// Thirty pictures a second, 50 ms under way; one of them is sent again and can be decoded 250 ms later.
    fn frozen(asked: Duration) -> Duration {
        let mut playout = Playout::default();
        playout.ask(asked);
        let mut frozen = Duration::ZERO;
        for picture in 0..300 {
            let captured = ms(picture * 33);
            let came = captured + ms(50);
            let (now, arrived) = match picture {
                200 => (came + ms(250), None),
                201..208 => ((ms(200 * 33 + 300)).max(came), Some(came)),
                _ => (came, Some(came)),
            };
            frozen += playout
                .on_picture(now, captured, arrived)
                .unwrap_or_default();
        }
        frozen
    }

    #[test]
    fn what_is_sent_again_is_waited_for_when_that_is_asked() {
        assert_eq!(frozen(Duration::ZERO), ms(283));
        assert_eq!(frozen(ms(250)), Duration::ZERO);
    }

    #[test]
    fn a_route_that_grows_longer_stops_the_picture_once() {
        let mut playout = Playout::default();
        let mut stops = Vec::new();
        for picture in 0..300 {
            let captured = ms(picture * 33);
            let came = captured + if picture < 100 { ms(50) } else { ms(350) };
            stops.extend(playout.on_picture(came, captured, Some(came)));
        }
        assert_eq!(stops, [ms(333)]);
    }
}
