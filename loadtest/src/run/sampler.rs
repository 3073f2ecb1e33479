//! What is taken once a second, and over the measured window: packets, CPU, memory.
//!
//! Owns the timeline. Must not judge.

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::engine::{Collector, Interval};
use crate::process::{ProcessError, ProcessSample};
use crate::report::model::{Rss, TimelinePoint};

/// See the module.
pub(super) struct Sampler {
    pid: Option<u32>,
    collector: Arc<Collector>,
    started: Instant,
    last: Reading,
    window: Option<Window>,
    timeline: Vec<TimelinePoint>,
    /// Why the server's process could not be read any more.
    lost_sight: Option<ProcessError>,
}

/// Clock and processes at one time.
#[derive(Debug, Clone, Copy)]
struct Reading {
    at: Instant,
    server: Option<ProcessSample>,
    own: Option<ProcessSample>,
}

/// The measured window, from its first to its last reading.
#[derive(Debug, Clone, Copy)]
struct Window {
    begin: Reading,
    end: Reading,
    rss_max: Option<u64>,
    bytes_sent: u64,
    late_ns: u64,
    closed: bool,
}

/// Sums over the measured window.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct WindowTotals {
    /// Its length.
    pub(super) duration: Duration,
    /// From the start of the run to it.
    pub(super) before: Duration,
    /// CPU time of the server.
    pub(super) server_cpu: Option<Duration>,
    /// CPU time of this program.
    pub(super) own_cpu: Duration,
    /// Memory of the server.
    pub(super) rss: Rss,
    /// Payload bytes that publishers sent.
    pub(super) bytes_sent: u64,
    /// The most that a publisher was behind with a frame.
    pub(super) late: Duration,
}

impl Sampler {
    /// Begins.
    ///
    /// # Errors
    /// When the server's process cannot be looked at.
    pub(super) fn start(pid: Option<u32>, collector: Arc<Collector>) -> Result<Self, ProcessError> {
        let server = pid.map(ProcessSample::of).transpose()?;
        let started = Instant::now();
        Ok(Self {
            pid,
            collector,
            started,
            last: Reading {
                at: started,
                server,
                own: ProcessSample::own().ok(),
            },
            window: None,
            timeline: Vec::new(),
            lost_sight: None,
        })
    }

    fn read(&mut self) -> Reading {
        let server = match self.pid.map(ProcessSample::of) {
            Some(Ok(sample)) => Some(sample),
            Some(Err(error)) => {
                self.lost_sight.get_or_insert(error);
                None
            }
            None => None,
        };
        Reading {
            at: Instant::now(),
            server,
            own: ProcessSample::own().ok(),
        }
    }

    /// Adds the time since the last call to the timeline.
    pub(super) fn sample(&mut self, measured: bool, connected: u32) -> TimelinePoint {
        let reading = self.read();
        let interval = self.collector.take_interval();
        let point = point_of(
            &self.last,
            &reading,
            &interval,
            self.started,
            measured,
            connected,
        );
        self.last = reading;
        if let Some(window) = self
            .window
            .as_mut()
            .filter(|window| measured && !window.closed)
        {
            window.bytes_sent += interval.bytes_sent;
            window.late_ns = window.late_ns.max(interval.late_ns);
            window.rss_max = window
                .rss_max
                .max(reading.server.map(|sample| sample.rss_bytes));
            window.end = reading;
        }
        self.timeline.push(point);
        point
    }

    /// The measured window begins now.
    pub(super) fn begin(&mut self) {
        let reading = self.read();
        // What arrived between the last second and now belongs to no second of the window.
        drop(self.collector.take_interval());
        self.last = reading;
        self.window = Some(Window {
            begin: reading,
            end: reading,
            rss_max: reading.server.map(|sample| sample.rss_bytes),
            bytes_sent: 0,
            late_ns: 0,
            closed: false,
        });
    }

    /// The measured window ends now.
    pub(super) fn end(&mut self, connected: u32) {
        self.sample(true, connected);
        // The rest of a second makes no point that could be compared with others.
        if self.timeline.len() > 1 && self.tail_is_short() {
            self.timeline.pop();
        }
        if let Some(window) = &mut self.window {
            window.closed = true;
        }
    }

    fn tail_is_short(&self) -> bool {
        match self.timeline.as_slice() {
            [.., before, last] => last.t_s - before.t_s < 0.5,
            _ => false,
        }
    }

    /// One point per second.
    pub(super) fn timeline(&self) -> &[TimelinePoint] {
        &self.timeline
    }

    /// Why the server's process could not be read to the end.
    pub(super) fn lost_sight(&self) -> Option<&ProcessError> {
        self.lost_sight.as_ref()
    }

    /// Sums over the measured window; all zero when there was none.
    pub(super) fn totals(&self) -> WindowTotals {
        let Some(window) = &self.window else {
            return WindowTotals {
                before: self.started.elapsed(),
                ..WindowTotals::default()
            };
        };
        let Window { begin, end, .. } = window;
        let cpu = |begin: Option<ProcessSample>, end: Option<ProcessSample>| {
            Some(end?.cpu.saturating_sub(begin?.cpu))
        };
        let rss = |sample: Option<ProcessSample>| sample.map(|sample| sample.rss_bytes);
        WindowTotals {
            duration: end.at - begin.at,
            before: begin.at - self.started,
            server_cpu: cpu(begin.server, end.server),
            own_cpu: cpu(begin.own, end.own).unwrap_or_default(),
            rss: Rss {
                start: rss(begin.server),
                end: rss(end.server),
                max: window.rss_max,
            },
            bytes_sent: window.bytes_sent,
            late: Duration::from_nanos(window.late_ns),
        }
    }
}

fn point_of(
    last: &Reading,
    reading: &Reading,
    interval: &Interval,
    started: Instant,
    measured: bool,
    connected: u32,
) -> TimelinePoint {
    let seconds = (reading.at - last.at).as_secs_f64().max(1e-3);
    let cores = |before: Option<ProcessSample>, after: Option<ProcessSample>| {
        Some(after?.cpu.saturating_sub(before?.cpu).as_secs_f64() / seconds)
    };
    let latency = |share: f64| {
        let histogram = &interval.latency;
        (!histogram.is_empty()).then(|| histogram.value_at_quantile(share) as f64 / 1e6)
    };
    TimelinePoint {
        t_s: (reading.at - started).as_secs_f64(),
        measured,
        packets_per_s: interval.packets as f64 / seconds,
        bits_per_s: interval.bytes as f64 * 8.0 / seconds,
        cpu_cores: cores(last.server, reading.server),
        client_cpu_cores: cores(last.own, reading.own).unwrap_or_default(),
        rss_bytes: reading.server.map(|sample| sample.rss_bytes),
        latency_p50_ms: latency(0.50),
        latency_p99_ms: latency(0.99),
        connected,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_has_only_what_came_in_it() {
        let collector = Arc::new(Collector::default());
        let add = |packets: u64| {
            let mut interval = Interval::default();
            for _ in 0..packets {
                interval.on_packet(100, Some(2_000_000));
                interval.on_sent(100);
            }
            collector.add_interval(&mut interval);
        };
        let own = std::process::id();
        let mut sampler = Sampler::start(Some(own), Arc::clone(&collector)).expect("readable");
        add(7);
        assert!(!sampler.sample(false, 1).measured);
        add(5);
        sampler.begin();
        add(3);
        let point = sampler.sample(true, 2);
        assert!(point.packets_per_s > 0.0 && point.connected == 2);
        assert!((point.latency_p99_ms.unwrap_or_default() - 2.0).abs() < 0.1);
        add(1);
        sampler.end(2);
        let totals = sampler.totals();
        assert_eq!(totals.bytes_sent, 400);
        assert!(
            totals.server_cpu.is_some() && totals.rss.start.is_some() && totals.rss.max.is_some()
        );
        assert_eq!(
            sampler
                .timeline()
                .iter()
                .filter(|point| point.measured)
                .count(),
            1
        );
    }

    #[test]
    fn a_process_that_is_not_there_stops_the_run_before_it_begins() {
        assert!(Sampler::start(Some(u32::MAX), Arc::default()).is_err());
    }
}
