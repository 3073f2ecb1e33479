//! Ties RTP timestamps to the publisher's wall clock, and that to ours, by sender reports
//! (RFC 3550, section 6.4.1). Must not read any clock.

use std::time::{Duration, Instant};

/// One sender report of one encoding: the same moment in RTP ticks and on the publisher's wall
/// clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SenderClock {
    wall: Duration,
    rtp: u32,
    rate: u32,
}

impl SenderClock {
    /// `wall` is the publisher's time since 1970, `rtp` the same moment at `rate` ticks per second.
    pub(crate) fn new(wall: Duration, rtp: u32, rate: u32) -> Self {
        Self {
            wall,
            rtp,
            rate: rate.max(1),
        }
    }

    /// The publisher's time since 1970, and the same moment in ticks.
    pub(crate) fn moment(&self) -> (Duration, u32) {
        (self.wall, self.rtp)
    }

    /// When a frame was captured, by the publisher's wall clock since 1970.
    pub(crate) fn time_of(&self, rtp: u32) -> Duration {
        let ticks = rtp.wrapping_sub(self.rtp).cast_signed();
        let nanos = u64::from(ticks.unsigned_abs()) * 1_000_000_000 / u64::from(self.rate);
        let distance = Duration::from_nanos(nanos);
        if ticks >= 0 {
            self.wall.saturating_add(distance)
        } else {
            self.wall.saturating_sub(distance)
        }
    }
}

/// Estimates what a publisher's wall clock shows at a moment of ours, over all its sender reports:
/// one for all its tracks, so that what it captured together stays together.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct PublisherClock {
    /// A publisher's time, and the earliest moment of ours it can be: when its report came in
    /// fastest.
    anchor: Option<(Duration, Instant)>,
}

impl PublisherClock {
    /// A step of the publisher's clock larger than this is a new clock, not a slow report.
    const STEP: Duration = Duration::from_secs(5);

    /// Takes the wall time of a report that came in at `now`.
    pub(crate) fn on_sender_report(&mut self, now: Instant, wall: Duration) {
        let Some(expected) = self.moment(wall) else {
            self.anchor = Some((wall, now));
            return;
        };
        let is_faster = now < expected;
        let is_step = now.saturating_duration_since(expected) > Self::STEP
            || expected.saturating_duration_since(now) > Self::STEP;
        if is_faster || is_step {
            self.anchor = Some((wall, now));
        }
    }

    /// Our moment of a publisher's wall time; `None` before the first report.
    pub(crate) fn moment(&self, wall: Duration) -> Option<Instant> {
        let (anchor, moment) = self.anchor?;
        if wall >= anchor {
            moment.checked_add(wall - anchor)
        } else {
            moment.checked_sub(anchor - wall)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_become_wall_time_in_both_directions_and_across_the_wrap() {
        let wall = Duration::from_secs(1_000);
        for (rtp, at, expected_millis) in [
            (0, 90_000, 1_001_000),
            (90_000, 0, 999_000),
            (u32::MAX, 89_999, 1_001_000),
            (44_999, u32::MAX, 999_500),
        ] {
            let clock = SenderClock::new(wall, rtp, 90_000);
            assert_eq!(clock.time_of(at).as_millis(), expected_millis);
        }
        // A report from the dawn of time does not underflow.
        assert_eq!(
            SenderClock::new(Duration::ZERO, 5, 0).time_of(0),
            Duration::ZERO
        );
    }

    #[test]
    fn the_fastest_report_sets_the_publishers_clock() {
        let start = Instant::now();
        let ms = Duration::from_millis;
        let mut clock = PublisherClock::default();
        assert_eq!(clock.moment(ms(0)), None);
        // wall time of the report, when it came in, our moment of wall time 10 s
        for (wall, came, moment) in [
            (ms(10_000), ms(80), ms(80)),
            (ms(11_000), ms(1_200), ms(80)),
            (ms(12_000), ms(2_030), ms(30)),
            (ms(13_000), ms(3_031), ms(30)),
            // The publisher set its clock back by an hour's worth of surprise.
            (ms(2_000), ms(4_000), ms(12_000)),
        ] {
            clock.on_sender_report(start + came, wall);
            assert_eq!(clock.moment(ms(10_000)), Some(start + moment));
        }
    }
}
