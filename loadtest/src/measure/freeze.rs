//! Freezes as W3C webrtc-stats defines them: the time between two frames shown one after the other
//! exceeds three times the average of the last thirty, and that average plus 150 ms. A frame counts
//! as shown when it could be decoded; a player's jitter buffer would hide some of the shorter ones.

const FRAMES: usize = 30;
/// Fewer intervals than this make no average (as in libwebrtc).
const LEAST: usize = 5;
const MARGIN_US: u64 = 150_000;

#[derive(Debug, Clone, Default)]
pub(super) struct FreezeMeter {
    /// The last intervals in microseconds, as a ring.
    intervals: [u32; FRAMES],
    used: usize,
    next: usize,
    sum: u64,
    last_ns: Option<u64>,
    count: u64,
    frozen_ns: u64,
}

impl FreezeMeter {
    /// A frame is shown.
    pub(super) fn on_frame(&mut self, now_ns: u64) {
        let interval = self.last_ns.map(|last| now_ns.saturating_sub(last));
        self.last_ns = Some(now_ns);
        let Some(interval) = interval else { return };
        if self.is_freeze(interval) {
            self.count += 1;
            self.frozen_ns += interval;
        }
        let interval = (interval / 1000).min(u64::from(u32::MAX)) as u32;
        let place = &mut self.intervals[self.next];
        self.sum = self.sum - u64::from(*place) + u64::from(interval);
        *place = interval;
        self.next = (self.next + 1) % FRAMES;
        self.used = (self.used + 1).min(FRAMES);
    }

    fn is_freeze(&self, interval_ns: u64) -> bool {
        if self.used < LEAST {
            return false;
        }
        let mean = self.sum / self.used as u64;
        interval_ns / 1000 > (3 * mean).max(mean + MARGIN_US)
    }

    /// The next interval says nothing: it spans a pause that was wanted.
    pub(super) fn on_pause(&mut self) {
        self.last_ns = None;
    }

    /// Counts from now. A freeze that goes on counts from its beginning, when it ends.
    pub(super) fn begin(&mut self) {
        self.count = 0;
        self.frozen_ns = 0;
    }

    /// Freezes and their length in nanoseconds, one that goes on at `now_ns` included.
    pub(super) fn totals(&self, now_ns: u64) -> (u64, u64) {
        let open = self.last_ns.map_or(0, |last| now_ns.saturating_sub(last));
        if self.is_freeze(open) {
            (self.count + 1, self.frozen_ns + open)
        } else {
            (self.count, self.frozen_ns)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// Frames at these intervals after 40 even ones of 33 ms; freezes and their milliseconds.
    fn freezes(intervals_ms: &[u64]) -> (u64, u64) {
        let mut meter = FreezeMeter::default();
        let mut now = 0;
        for interval in [33; 40].iter().chain(intervals_ms) {
            now += interval * MS;
            meter.on_frame(now);
        }
        let (count, ns) = meter.totals(now);
        (count, ns / MS)
    }

    #[test]
    fn only_long_intervals_are_freezes() {
        let cases: [(&[u64], (u64, u64)); 5] = [
            (&[33, 33], (0, 0)),
            (&[99, 33], (0, 0)),
            // The mean is 33 ms: the limit 183 ms.
            (&[183, 33], (0, 0)),
            (&[184, 33], (1, 184)),
            (&[500, 33, 33, 2000], (2, 2500)),
        ];
        for (intervals, expected) in cases {
            assert_eq!(freezes(intervals), expected, "{intervals:?}");
        }
    }

    #[test]
    fn slow_pictures_may_wait_three_times_as_long() {
        let mut meter = FreezeMeter::default();
        let mut now = 0;
        for interval in [1000; 10].iter().chain(&[2900, 1000]) {
            now += interval * MS;
            meter.on_frame(now);
        }
        assert_eq!(meter.totals(now).0, 0);
        assert_eq!(meter.totals(now + 5000 * MS), (1, 5000 * MS));
    }

    #[test]
    fn a_pause_is_no_freeze_and_a_few_frames_make_no_average() {
        let mut meter = FreezeMeter::default();
        (0..5).for_each(|n| meter.on_frame(n * 33 * MS));
        meter.on_frame(10_000 * MS);
        assert_eq!(meter.totals(10_000 * MS).0, 0);
        let mut meter = FreezeMeter::default();
        (0..40).for_each(|n| meter.on_frame(n * 33 * MS));
        meter.on_pause();
        meter.on_frame(60_000 * MS);
        assert_eq!(meter.totals(60_000 * MS).0, 0);
        meter.begin();
        assert_eq!(meter.totals(60_500 * MS), (1, 500 * MS));
    }
}
