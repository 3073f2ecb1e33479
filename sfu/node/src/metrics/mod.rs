//! The metrics of a node: names, units, help and where each value comes from.
//!
//! Owns the list, so that whoever exports only walks it. Units are
//! UCUM, base units; label sets are closed. Must not hold an exporter.

mod export;
mod table;

use std::time::Duration;

use sfu_core::DropReason;

use crate::stats::{NodeStats, TcpEnd, TurnDrop, TurnRefusal};

pub use export::observe_node;

/// How a metric behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
}

/// A value of a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MetricValue {
    /// A whole number of what the unit says.
    Whole(u64),
    /// Seconds.
    Seconds(f64),
}

/// One metric of a node.
#[derive(Debug, Clone, Copy)]
pub struct Metric {
    /// Dotted, as OpenTelemetry has it; exporters add units and suffixes.
    pub name: &'static str,
    /// UCUM, for example `By`, `{packet}`.
    pub unit: &'static str,
    /// One sentence for people.
    pub help: &'static str,
    /// How it behaves.
    pub kind: MetricKind,
    /// Name of its one label, where it has one.
    pub label: Option<&'static str>,
    read: Read,
}

#[derive(Debug, Clone, Copy)]
enum Read {
    One(fn(&NodeStats) -> u64),
    Seconds(fn(&NodeStats) -> Duration),
    Drops,
    TcpEnds,
    TurnDrops,
    TurnRefusals,
}

impl Metric {
    /// Its values are [`MetricValue::Seconds`].
    pub fn is_time(&self) -> bool {
        matches!(self.read, Read::Seconds(_))
    }

    /// Shows `sink` the values: the label's value, where the metric has a label, and the number.
    pub fn observe(
        &self,
        stats: &NodeStats,
        mut sink: impl FnMut(Option<&'static str>, MetricValue),
    ) {
        let mut whole = |label, value| sink(label, MetricValue::Whole(value));
        match self.read {
            Read::One(read) => whole(None, read(stats)),
            Read::Drops => {
                for reason in DropReason::ALL {
                    whole(Some(reason.label()), stats.worker.core.dropped(reason));
                }
            }
            Read::TcpEnds => {
                for reason in TcpEnd::ALL {
                    whole(Some(reason.label()), stats.tcp.ended[reason as usize]);
                }
            }
            Read::TurnDrops => {
                for reason in TurnDrop::ALL {
                    whole(Some(reason.label()), stats.turn.drops[reason as usize]);
                }
            }
            Read::TurnRefusals => {
                for reason in TurnRefusal::ALL {
                    whole(Some(reason.label()), stats.turn.refusals[reason as usize]);
                }
            }
            Read::Seconds(read) => sink(None, MetricValue::Seconds(read(stats).as_secs_f64())),
        }
    }
}

/// All metrics of a node, by name.
pub fn describe() -> &'static [Metric] {
    table::METRICS
}

#[cfg(test)]
mod tests {
    use super::{table::METRICS, *};

    #[test]
    fn metrics_are_sorted_and_unique() {
        assert!(METRICS.windows(2).all(|pair| pair[0].name < pair[1].name));
    }

    #[test]
    fn times_are_in_seconds() {
        assert!(METRICS.iter().all(|m| m.is_time() == (m.unit == "s")));
        let mut stats = NodeStats::default();
        stats.worker.busy = Duration::from_millis(1500);
        let metric = METRICS
            .iter()
            .find(|m| m.name == "plenum.node.worker.busy")
            .unwrap();
        metric.observe(&stats, |_, value| {
            assert_eq!(value, MetricValue::Seconds(1.5));
        });
    }

    #[test]
    fn a_labelled_metric_shows_all_its_labels() {
        let mut stats = NodeStats::default();
        stats.tcp.ended[TcpEnd::Timeout as usize] = 4;
        let metric = METRICS
            .iter()
            .find(|m| m.name == "plenum.node.tcp.ended")
            .unwrap();
        let mut seen = Vec::new();
        metric.observe(&stats, |label, value| seen.push((label, value)));
        assert_eq!(seen.len(), TcpEnd::ALL.len());
        assert!(seen.contains(&(Some("timeout"), MetricValue::Whole(4))));
    }
}
