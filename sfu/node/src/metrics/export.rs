//! The node's numbers as instruments of OpenTelemetry. Owns how each is read; names and units stand in the
//! table. Must not know who reads them.

use std::sync::Arc;

use opentelemetry::{
    KeyValue,
    metrics::{AsyncInstrument, AsyncInstrumentBuilder, Meter, MeterProvider as _},
};
use opentelemetry_sdk::metrics::SdkMeterProvider;

use super::{Metric, MetricKind, MetricValue, describe};
use crate::stats::NodeStats;

/// Declares the node's metrics, read from its numbers whenever somebody asks.
pub fn observe_node(
    provider: &SdkMeterProvider,
    stats: impl Fn() -> NodeStats + Send + Sync + 'static,
) {
    let meter = provider.meter("plenum");
    let stats: Arc<dyn Fn() -> NodeStats + Send + Sync> = Arc::new(stats);
    for metric in describe() {
        observe_node_metric(&meter, metric, Arc::clone(&stats));
    }
}

fn observe_node_metric(
    meter: &Meter,
    metric: &'static Metric,
    stats: Arc<dyn Fn() -> NodeStats + Send + Sync>,
) {
    let name = metric.name;
    match (metric.kind, metric.is_time()) {
        (MetricKind::Counter, false) => {
            observed(meter.u64_observable_counter(name), metric, stats, whole).build();
        }
        (MetricKind::Gauge, false) => {
            observed(meter.u64_observable_gauge(name), metric, stats, whole).build();
        }
        (MetricKind::Counter, true) => {
            observed(meter.f64_observable_counter(name), metric, stats, seconds).build();
        }
        (MetricKind::Gauge, true) => {
            observed(meter.f64_observable_gauge(name), metric, stats, seconds).build();
        }
    }
}

/// Tells an instrument what it is and where its values come from.
fn observed<'a, I, M>(
    instrument: AsyncInstrumentBuilder<'a, I, M>,
    metric: &'static Metric,
    stats: Arc<dyn Fn() -> NodeStats + Send + Sync>,
    number: fn(MetricValue) -> Option<M>,
) -> AsyncInstrumentBuilder<'a, I, M>
where
    M: 'static,
{
    instrument
        .with_unit(metric.unit)
        .with_description(metric.help)
        .with_callback(move |observer: &dyn AsyncInstrument<M>| {
            metric.observe(&stats(), |label, value| {
                let Some(value) = number(value) else {
                    return;
                };
                match (metric.label, label) {
                    (Some(name), Some(label)) => {
                        observer.observe(value, &[KeyValue::new(name, label)]);
                    }
                    _ => observer.observe(value, &[]),
                }
            });
        })
}

fn whole(value: MetricValue) -> Option<u64> {
    match value {
        MetricValue::Whole(value) => Some(value),
        MetricValue::Seconds(_) => None,
    }
}

fn seconds(value: MetricValue) -> Option<f64> {
    match value {
        MetricValue::Seconds(value) => Some(value),
        MetricValue::Whole(_) => None,
    }
}
