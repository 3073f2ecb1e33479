//! Clocks that leave out what reading them costs. Must know nothing of what is measured.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// CPU time of this thread: no other thread that takes the core counts, but a reading costs a call of the
/// system.
pub(crate) fn cpu_time() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let (seconds, nanos) = (now.tv_sec.unsigned_abs(), now.tv_nsec.unsigned_abs());
    Duration::from_secs(seconds) + Duration::from_nanos(nanos)
}

/// Reads the clocks, or does not.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Clock {
    /// With what two readings cost of CPU time and of wall time.
    On { cpu: Duration, wall: Duration },
    /// Everything takes no time: for what counts instructions or allocations.
    Off,
}

impl Clock {
    pub(crate) fn new() -> Self {
        let median = |read: fn() -> Duration| {
            let mut readings: Vec<Duration> = (0..10_001).map(|_| read()).collect();
            readings.sort();
            readings[readings.len() / 2]
        };
        Self::On {
            cpu: median(|| {
                let begun = cpu_time();
                cpu_time() - begun
            }),
            wall: median(|| Instant::now().elapsed()),
        }
    }

    /// For what may take long enough to be interrupted.
    pub(crate) fn measure_cpu<R>(self, call: impl FnOnce() -> R) -> (R, Duration) {
        let Self::On { cpu, .. } = self else {
            return (call(), Duration::ZERO);
        };
        let begun = cpu_time();
        let result = call();
        let spent = cpu_time() - begun;
        (result, spent.saturating_sub(cpu))
    }

    /// For what takes nanoseconds.
    pub(crate) fn measure_wall<R>(self, call: impl FnOnce() -> R) -> (R, Duration) {
        let Self::On { wall, .. } = self else {
            return (call(), Duration::ZERO);
        };
        let begun = Instant::now();
        let result = call();
        let spent = begun.elapsed();
        (result, spent.saturating_sub(wall))
    }
}
