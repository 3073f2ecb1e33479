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

    /// Time since 1970-01-01 of a moment on the monotonic clock.
    pub(crate) fn unix(&self, now: Instant) -> Duration {
        match now.checked_duration_since(self.instant) {
            Some(later) => self.since_epoch + later,
            None => self.since_epoch.saturating_sub(self.instant - now),
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
