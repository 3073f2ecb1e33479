//! Ties the monotonic clock of a shard to wall time. Must know nothing of ours.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// One moment on both clocks, taken once when the shard is made.
#[derive(Debug, Clone, Copy)]
pub struct ClockAnchor {
    instant: Instant,
    since_epoch: Duration,
}

impl ClockAnchor {
    /// `instant` and `wall` name the same moment.
    pub fn new(instant: Instant, wall: SystemTime) -> Self {
        Self {
            instant,
            since_epoch: wall.duration_since(UNIX_EPOCH).unwrap_or_default(),
        }
    }

    /// The moment, on the monotonic clock.
    pub(crate) fn instant(&self) -> Instant {
        self.instant
    }

    /// Time since 1970-01-01 of a moment on the monotonic clock.
    pub(crate) fn unix(&self, now: Instant) -> Duration {
        match now.checked_duration_since(self.instant) {
            Some(later) => self.since_epoch + later,
            None => self.since_epoch.saturating_sub(self.instant - now),
        }
    }

    /// The moment on the monotonic clock of a time since 1970; `None` when it is too far away.
    pub(crate) fn moment(&self, unix: Duration) -> Option<Instant> {
        match unix.checked_sub(self.since_epoch) {
            Some(later) => self.instant.checked_add(later),
            None => self.instant.checked_sub(self.since_epoch - unix),
        }
    }

    /// The same as a protobuf timestamp.
    pub(crate) fn timestamp(&self, now: Instant) -> prost_types::Timestamp {
        let unix = self.unix(now);
        prost_types::Timestamp {
            seconds: i64::try_from(unix.as_secs()).unwrap_or(i64::MAX),
            nanos: i32::try_from(unix.subsec_nanos()).unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_go_to_wall_time_and_back() {
        let start = Instant::now();
        let anchor = ClockAnchor::new(start, UNIX_EPOCH + Duration::from_secs(1_000));
        for (ms, unix_ms) in [(0, 1_000_000), (1_500, 1_001_500)] {
            let at = start + Duration::from_millis(ms);
            assert_eq!(anchor.unix(at), Duration::from_millis(unix_ms));
            assert_eq!(anchor.moment(Duration::from_millis(unix_ms)), Some(at));
        }
        if let Some(before) = start.checked_sub(Duration::from_millis(5)) {
            assert_eq!(anchor.moment(anchor.unix(before)), Some(before));
        }
        assert_eq!(anchor.moment(Duration::MAX), None);
    }
}
