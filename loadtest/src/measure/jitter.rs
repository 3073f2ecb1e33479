//! Interarrival jitter (RFC 3550 section 6.4.1), and its mean over a window.

#[derive(Debug, Clone)]
pub(super) struct Jitter {
    ns_per_tick: f64,
    last: Option<(u64, u32)>,
    estimate: f64,
    sum: f64,
    samples: u64,
}

impl Jitter {
    pub(super) fn new(clock_rate: u32) -> Self {
        let ns_per_tick = 1e9 / f64::from(clock_rate);
        Self {
            ns_per_tick,
            last: None,
            estimate: 0.0,
            sum: 0.0,
            samples: 0,
        }
    }

    /// Takes a packet that came in order.
    pub(super) fn on_packet(&mut self, now_ns: u64, timestamp: u32) {
        if let Some((then_ns, previous)) = self.last {
            let media = f64::from(timestamp.wrapping_sub(previous) as i32) * self.ns_per_tick;
            let wall = now_ns.wrapping_sub(then_ns) as i64 as f64;
            self.estimate += ((wall - media).abs() - self.estimate) / 16.0;
            self.sum += self.estimate;
            self.samples += 1;
        }
        self.last = Some((now_ns, timestamp));
    }

    /// Forgets the last packet: the next one follows a pause or another numbering.
    pub(super) fn restart(&mut self) {
        self.last = None;
    }

    /// Starts the mean anew; the estimate goes on.
    pub(super) fn begin(&mut self) {
        self.sum = 0.0;
        self.samples = 0;
    }

    /// Mean of the estimate over the window, in nanoseconds.
    pub(super) fn mean_ns(&self) -> u64 {
        if self.samples == 0 {
            0
        } else {
            (self.sum / self.samples as f64) as u64
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jitter_is_zero_on_an_even_stream_and_nears_the_mean_deviation_on_an_uneven_one() {
        let (mut even, mut uneven) = (Jitter::new(48_000), Jitter::new(48_000));
        let start = u32::MAX - 5000;
        for n in 0..2000u32 {
            let (now, timestamp) = (u64::from(n) * 20_000_000, start.wrapping_add(n * 960));
            even.on_packet(now, timestamp);
            uneven.on_packet(now + u64::from(n % 2) * 4_000_000, timestamp);
        }
        assert!(even.mean_ns() < 1000, "{}", even.mean_ns());
        uneven.begin();
        for n in 2000..2100u32 {
            let (now, timestamp) = (u64::from(n) * 20_000_000, start.wrapping_add(n * 960));
            uneven.on_packet(now + u64::from(n % 2) * 4_000_000, timestamp);
        }
        assert!(
            uneven.mean_ns().abs_diff(4_000_000) < 10_000,
            "{}",
            uneven.mean_ns()
        );
    }
}
