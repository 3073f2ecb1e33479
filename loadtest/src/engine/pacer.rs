//! When packets of a frame leave: as browsers' pacers do it, faster than the media on average, so that
//! ordinary frames go out at once and keyframes over some tens of milliseconds.

use std::time::{Duration, Instant};

/// How much faster than the encoders' bitrate packets may leave.
const FACTOR: f64 = 2.5;
/// What may leave at once: this much time at the pacing rate …
const BURST: Duration = Duration::from_millis(40);
/// … but no more than this.
const BURST_BYTES: f64 = 63_000.0;
/// How often a queue is looked at.
const INTERVAL: Duration = Duration::from_millis(5);

/// A leaky bucket over all encodings of a publisher.
#[derive(Debug)]
pub(super) struct Pacer {
    /// Bytes that may leave now; below zero after a packet that was larger than what was left.
    budget: f64,
    updated: Instant,
}

impl Pacer {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            budget: 0.0,
            updated: now,
        }
    }

    /// Lets time pass at `bitrate`, the sum of the encoders', bit/s.
    pub(super) fn advance(&mut self, now: Instant, bitrate: u64) {
        let bytes_per_second = bitrate as f64 / 8.0 * FACTOR;
        let elapsed = now.saturating_duration_since(self.updated).as_secs_f64();
        self.updated = now;
        let most = (bytes_per_second * BURST.as_secs_f64()).min(BURST_BYTES);
        self.budget = (self.budget + bytes_per_second * elapsed).min(most);
    }

    /// Whether a packet may leave.
    pub(super) fn may_send(&self) -> bool {
        self.budget > 0.0
    }

    /// A packet of `bytes` has left.
    pub(super) fn on_sent(&mut self, bytes: usize) {
        self.budget -= bytes as f64;
    }

    /// When to look at the queue again.
    pub(super) fn due(&self) -> Instant {
        self.updated + INTERVAL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets of 1,000 bytes that leave in each of `steps` intervals when there is no end of them.
    fn sent(pacer: &mut Pacer, start: Instant, steps: u32, bitrate: u64) -> Vec<usize> {
        (1..=steps)
            .map(|step| {
                pacer.advance(start + INTERVAL * step, bitrate);
                let mut count = 0;
                while pacer.may_send() {
                    pacer.on_sent(1_000);
                    count += 1;
                }
                count
            })
            .collect()
    }

    #[test]
    fn a_large_frame_leaves_at_two_and_a_half_times_the_bitrate() {
        let start = Instant::now();
        let counts = sent(&mut Pacer::new(start), start, 200, 1_500_000);
        let bytes: usize = counts.iter().sum::<usize>() * 1_000;
        assert!((460_000..480_000).contains(&bytes), "{bytes} in a second");
        assert!(counts.iter().all(|count| *count <= 4), "{counts:?}");
    }

    #[test]
    fn after_a_pause_an_ordinary_frame_leaves_at_once() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start);
        pacer.advance(start + Duration::from_secs(1), 1_500_000);
        pacer.on_sent(6_000);
        assert!(pacer.may_send());
        pacer.on_sent(20_000);
        assert!(!pacer.may_send());
    }
}
