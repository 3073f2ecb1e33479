//! The estimate where the client sends no transport-wide feedback: by the loss in its receiver reports
//! (draft-ietf-rmcat-gcc-02 section 6). Must not look at delay, of which these say nothing.

use std::time::{Duration, Instant};

/// The estimate by receiver reports.
#[derive(Debug)]
pub(super) struct Reports {
    window: Window,
    estimate: Option<u64>,
    /// Windows in a row without loss.
    calm: u32,
}

/// What was sent, expected and lost since a moment.
#[derive(Debug, Clone, Copy)]
struct Window {
    begun: Instant,
    bytes_sent: u64,
    expected: u32,
    lost: u32,
}

impl Reports {
    /// Loss is judged over so long, and over so many packets at least.
    const WINDOW: Duration = Duration::from_secs(1);
    const PACKETS_MIN: u32 = 20;
    const LOSS_HIGH: f64 = 0.10;
    const LOSS_LOW: f64 = 0.02;
    const INCREASE: f64 = 1.08;
    /// Bits per second below which no loss brings the estimate.
    const FLOOR: u64 = 100_000;
    /// After so many windows without loss the estimate is given up.
    const CALM: u32 = 30;

    pub(super) fn new(now: Instant) -> Self {
        Self {
            window: Window::new(now),
            estimate: None,
            calm: 0,
        }
    }

    /// Bits per second; `None` while nothing speaks against anything.
    pub(super) fn estimate(&self) -> Option<u64> {
        self.estimate
    }

    /// A packet goes out.
    pub(super) fn on_sent(&mut self, bytes: usize) {
        self.window.bytes_sent += bytes as u64;
    }

    /// Packets expected and lost since the report before.
    pub(super) fn on_report(&mut self, now: Instant, expected: u32, lost: u32) {
        self.window.expected = self.window.expected.saturating_add(expected);
        self.window.lost = self.window.lost.saturating_add(lost);
        let span = now.saturating_duration_since(self.window.begun);
        if span < Self::WINDOW || self.window.expected < Self::PACKETS_MIN {
            return;
        }
        let Window {
            bytes_sent,
            expected,
            lost,
            ..
        } = std::mem::replace(&mut self.window, Window::new(now));
        let loss = f64::from(lost) / f64::from(expected);
        let sent = bytes_sent as f64 * 8.0 / span.as_secs_f64();
        if loss > Self::LOSS_HIGH {
            let reduced = (sent * (1.0 - 0.5 * loss)) as u64;
            let held = self.estimate.map_or(reduced, |held| held.min(reduced));
            self.estimate = Some(held.max(Self::FLOOR));
            self.calm = 0;
        } else if loss < Self::LOSS_LOW {
            self.calm += 1;
            self.estimate = self
                .estimate
                .map(|held| (held as f64 * Self::INCREASE) as u64)
                .filter(|_| self.calm < Self::CALM);
        }
    }
}

impl Window {
    fn new(begun: Instant) -> Self {
        Self {
            begun,
            bytes_sent: 0,
            expected: 0,
            lost: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A second of 100 packets of 1,250 bytes (1 Mbit/s), so many lost.
    fn second(reports: &mut Reports, now: &mut Instant, lost: u32) -> Option<u64> {
        (0..100).for_each(|_| reports.on_sent(1_250));
        *now += Duration::from_secs(1);
        reports.on_report(*now, 100, lost);
        reports.estimate()
    }

    #[test]
    fn heavy_loss_lowers_the_estimate_and_calm_raises_and_lifts_it() {
        let mut now = Instant::now();
        let mut reports = Reports::new(now);
        assert_eq!(second(&mut reports, &mut now, 0), None);
        let five = second(&mut reports, &mut now, 5);
        assert_eq!(five, None, "5 % is not congestion");
        assert_eq!(second(&mut reports, &mut now, 20), Some(900_000));
        assert_eq!(second(&mut reports, &mut now, 0), Some(972_000));
        for _ in 0..28 {
            assert!(second(&mut reports, &mut now, 0).is_some());
        }
        assert_eq!(second(&mut reports, &mut now, 0), None);
    }
}
