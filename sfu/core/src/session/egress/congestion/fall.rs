//! A link that fell to a fraction of its rate, and may have done so for a moment only: what waited on it shows how fast
//! it is again as it comes out. Must not choose a rate below the estimate.

/// A fall of the estimate, while it is fresh.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Fall {
    fallen: Option<Fallen>,
}

#[derive(Debug, Clone, Copy)]
struct Fallen {
    /// Before it, in bits per second.
    estimate: f64,
    /// Microseconds of the controller's clock.
    at: u64,
    /// The longest queue since, in milliseconds.
    queue: f64,
}

impl Fall {
    /// To so little of what it was at once.
    const FELL: f64 = 0.5;
    /// What is seen so long after it is not what waited, in microseconds.
    const FRESH: u64 = 4_000_000;
    /// The queue is on its way out when so little of it is left, and comes out so many times faster than the estimate.
    const LEFT: f64 = 0.5;
    const FASTER: f64 = 2.0;
    /// Of what comes out and of what was before, so much is believed.
    const TAKEN: f64 = 0.85;

    /// The estimate was lowered, or not.
    pub(super) fn on_estimate(&mut self, now: u64, before: f64, estimate: f64) {
        if estimate < before * Self::FELL {
            let earlier = self.fresh(now).map_or(0.0, |fallen| fallen.estimate);
            self.fallen = Some(Fallen {
                estimate: before.max(earlier),
                at: now,
                queue: 0.0,
            });
        }
    }

    /// What a report shows: the queue of the newest packet in milliseconds, and how fast packets come that queued, in bits
    /// per second. Returns the estimate that the link is worth again, if that is more.
    pub(super) fn on_report(
        &mut self,
        now: u64,
        queue: f64,
        passes: f64,
        estimate: f64,
    ) -> Option<f64> {
        let mut fallen = self.fresh(now)?;
        fallen.queue = fallen.queue.max(queue);
        self.fallen = Some(fallen);
        let comes_out = queue < fallen.queue * Self::LEFT && passes > estimate * Self::FASTER;
        let worth = passes.min(fallen.estimate) * Self::TAKEN;
        (comes_out && worth > estimate).then_some(worth)
    }

    fn fresh(&self, now: u64) -> Option<Fallen> {
        self.fallen
            .filter(|fallen| now.saturating_sub(fallen.at) < Self::FRESH)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_out_of_the_queue_shows_that_the_link_is_back() {
        let second = 1_000_000;
        let mut fall = Fall::default();
        fall.on_estimate(second, 2e6, 1.4e6);
        assert_eq!(fall.on_report(second, 10.0, 5e6, 1.4e6), None, "no fall");
        fall.on_estimate(2 * second, 2e6, 0.9e6);
        fall.on_estimate(2 * second + 100_000, 0.9e6, 0.2e6);
        for (millis, queue, passes, estimate, expected) in [
            (200, 300.0, 0.2e6, 0.2e6, None),
            (300, 500.0, 0.2e6, 0.2e6, None),
            // It stays as slow, and what is left comes out.
            (400, 200.0, 0.25e6, 0.2e6, None),
            (500, 240.0, 1e6, 0.2e6, Some(0.85e6)),
            // No more than before.
            (600, 60.0, 9e6, 0.85e6, Some(1.7e6)),
            (700, 10.0, 9e6, 1.7e6, None),
            (4_200, 10.0, 9e6, 0.2e6, None),
        ] {
            let shown = fall.on_report(2 * second + millis * 1_000, queue, passes, estimate);
            assert_eq!(shown, expected, "{millis} ms");
        }
    }
}
