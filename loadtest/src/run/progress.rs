//! What a run shows while it runs.

use std::io::IsTerminal as _;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::report::model::TimelinePoint;

/// Told how a run goes.
pub trait Progress: Sync {
    /// `joined` of `wanted` participants are in, `failed` did not get in.
    fn on_joins(&self, joined: u64, failed: u64, wanted: u64);
    /// A second has passed; `elapsed` of `total` of the warm-up or the measured window is over.
    fn on_second(&self, point: &TimelinePoint, elapsed: Duration, total: Duration);
    /// The run has ended; nothing follows.
    fn on_end(&self);
}

/// Shows nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn on_joins(&self, _joined: u64, _failed: u64, _wanted: u64) {}
    fn on_second(&self, _point: &TimelinePoint, _elapsed: Duration, _total: Duration) {}
    fn on_end(&self) {}
}

/// Bars on the terminal; nothing when standard error is none.
#[derive(Debug)]
pub struct Bars {
    bar: ProgressBar,
}

impl Default for Bars {
    fn default() -> Self {
        Self::new()
    }
}

impl Bars {
    /// One bar, which first counts joins and then time.
    #[must_use]
    pub fn new() -> Self {
        let bar = if std::io::stderr().is_terminal() {
            ProgressBar::new(0)
        } else {
            ProgressBar::hidden()
        };
        // The template is a constant that indicatif accepts.
        if let Ok(style) =
            ProgressStyle::with_template("{prefix:>9} [{bar:32}] {percent:>3}% {wide_msg}")
        {
            bar.set_style(style.progress_chars("=> "));
        }
        Self { bar }
    }
}

impl Progress for Bars {
    fn on_joins(&self, joined: u64, failed: u64, wanted: u64) {
        self.bar.set_prefix("joining");
        self.bar.set_length(wanted);
        self.bar.set_position(joined + failed);
        self.bar.set_message(if failed == 0 {
            format!("{joined} of {wanted} in")
        } else {
            format!("{joined} of {wanted} in, {failed} failed")
        });
    }

    fn on_second(&self, point: &TimelinePoint, elapsed: Duration, total: Duration) {
        self.bar.set_prefix(if point.measured {
            "measuring"
        } else {
            "warm-up"
        });
        self.bar.set_length(total.as_millis() as u64);
        self.bar.set_position(elapsed.min(total).as_millis() as u64);
        self.bar.set_message(second(point));
    }

    fn on_end(&self) {
        self.bar.finish_and_clear();
    }
}

/// A second in words.
fn second(point: &TimelinePoint) -> String {
    let mut words = format!(
        "{} in, {:.0} packets/s, {:.1} Mbit/s",
        point.connected,
        point.packets_per_s,
        point.bits_per_s / 1e6
    );
    if let Some(p99) = point.latency_p99_ms {
        words += &format!(", latency p99 {p99:.2} ms");
    }
    if let Some(cores) = point.cpu_cores {
        words += &format!(", server {cores:.2} cores");
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_says_what_is_known() {
        let mut point = TimelinePoint {
            connected: 3,
            packets_per_s: 600.4,
            bits_per_s: 4_500_000.0,
            ..TimelinePoint::default()
        };
        assert_eq!(second(&point), "3 in, 600 packets/s, 4.5 Mbit/s");
        point.latency_p99_ms = Some(0.25);
        point.cpu_cores = Some(0.5);
        assert_eq!(
            second(&point),
            "3 in, 600 packets/s, 4.5 Mbit/s, latency p99 0.25 ms, server 0.50 cores"
        );
    }
}
