//! The narrowest link of a way: packets pass one after the other at its rate, what does not fit in its
//! queue is dropped at the tail. Must not delay beyond that, nor lose at random.

use std::time::Duration;

/// A link of limited rate with a queue before it.
#[derive(Debug, Clone, Copy)]
pub struct Bottleneck {
    /// Bits per second.
    rate: u64,
    /// What the queue holds, as the time it takes to pass.
    queue: Duration,
    /// When all that waits has passed.
    free: Duration,
}

impl Bottleneck {
    /// An idle link of so many bits per second, with a queue that holds what passes in so long.
    pub fn new(rate: u64, queue: Duration) -> Self {
        Self {
            rate: rate.max(1),
            queue,
            free: Duration::ZERO,
        }
    }

    /// Changes the rate; what waits passes at the new one.
    pub fn set_rate(&mut self, now: Duration, rate: u64) {
        let rate = rate.max(1);
        let backlog = self.backlog(now).as_secs_f64() * self.rate as f64 / rate as f64;
        self.free = now + Duration::from_secs_f64(backlog);
        self.rate = rate;
    }

    /// Changes what the queue holds; what waits already stays.
    pub fn set_queue(&mut self, queue: Duration) {
        self.queue = queue;
    }

    /// Bits per second.
    pub fn rate(&self) -> u64 {
        self.rate
    }

    /// How long a packet that comes now waits.
    pub fn backlog(&self, now: Duration) -> Duration {
        self.free.saturating_sub(now)
    }

    /// A packet of so many bytes comes; says when it has passed, or nothing when it is dropped.
    pub fn send(&mut self, now: Duration, bytes: usize) -> Option<Duration> {
        let wait = self.backlog(now);
        if wait > self.queue {
            return None;
        }
        let passing = Duration::from_secs_f64(bytes as f64 * 8.0 / self.rate as f64);
        self.free = now + wait + passing;
        Some(self.free)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::millis;

    #[test]
    fn packets_pass_one_after_the_other_and_the_queue_is_bounded() {
        // A packet takes 10 ms.
        let mut link = Bottleneck::new(800_000, millis(25));
        let sent: Vec<_> = (0..6).map(|_| link.send(millis(100), 1_000)).collect();
        let at = |ms| Some(millis(ms));
        assert_eq!(sent, [at(110), at(120), at(130), None, None, None]);
        assert_eq!(link.backlog(millis(125)), millis(5));
        link.set_rate(millis(125), 400_000);
        assert_eq!(link.backlog(millis(125)), millis(10));
        assert_eq!(link.send(millis(200), 1_000), at(220));
    }
}
