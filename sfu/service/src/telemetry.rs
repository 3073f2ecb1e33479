//! Log, traces and the export of metrics: owns where they go. Must not declare an instrument
//! (the programs do) nor decide what is worth a line.

use std::io::IsTerminal as _;

use axum::response::{IntoResponse as _, Response};
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use opentelemetry::trace::TracerProvider as _;
use opentelemetry_otlp::{MetricExporter, SpanExporter, WithExportConfig as _};
use opentelemetry_sdk::{
    Resource,
    metrics::SdkMeterProvider,
    trace::{Sampler, SdkTracerProvider},
};
use prometheus::{Encoder as _, TextEncoder};
use tracing::Metadata;
use tracing_subscriber::{
    EnvFilter, Layer as _, filter::filter_fn, layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

use crate::config::{LogConfig, LogFormat, TelemetryConfig};

/// Names our spans.
const TRACER: &str = "plenum";

/// Why log, traces or metrics cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// The configured level or filter does not parse.
    #[error("log.level: {0}")]
    Level(String),
    /// Somebody else already takes this process's log.
    #[error("the log is already set up")]
    LogInUse(#[source] tracing_subscriber::util::TryInitError),
    /// The collector's address cannot be used.
    #[error("telemetry.otlp_endpoint cannot be used")]
    Otlp(#[source] opentelemetry_otlp::ExporterBuildError),
    /// The Prometheus registry refused us.
    #[error("metrics for Prometheus cannot be set up")]
    Prometheus(#[source] opentelemetry_sdk::error::OTelSdkError),
    /// A provider did not stop in order.
    #[error("telemetry was not sent in full")]
    Flush(#[source] opentelemetry_sdk::error::OTelSdkError),
}

/// Checks the text of `log.level`.
pub fn check_level(level: &str) -> Result<(), String> {
    filter(level).map(drop)
}

fn filter(level: &str) -> Result<EnvFilter, String> {
    if level.trim().is_empty() {
        return Err("must name a level".to_owned());
    }
    // The exporters report every step of their own at info; a directive of the operator goes over this.
    // The codec of TURN has a line for each broken packet, which anybody may send.
    let quiet = "opentelemetry=warn,opentelemetry_sdk=warn,opentelemetry-otlp=warn,stun_types=off";
    EnvFilter::builder()
        .parse(format!("{quiet},{level}"))
        .map_err(|error| error.to_string())
}

/// Traces on their way to a collector; nothing where none is configured.
#[derive(Debug)]
#[must_use = "spans wait in it: shut it down last"]
pub struct Traces {
    provider: Option<SdkTracerProvider>,
}

impl Traces {
    /// Sends what waits.
    ///
    /// # Errors
    /// The collector did not take it.
    pub fn shutdown(self) -> Result<(), TelemetryError> {
        match self.provider {
            Some(provider) => provider.shutdown().map_err(TelemetryError::Flush),
            None => Ok(()),
        }
    }
}

/// Sets up the log and the traces of this process, a `program` of that name. Call it once, inside the
/// runtime.
///
/// # Errors
/// A filter or address that cannot be used, or a process whose log is set up already.
pub fn install(
    program: &'static str,
    log: &LogConfig,
    telemetry: &TelemetryConfig,
) -> Result<Traces, TelemetryError> {
    let provider = telemetry.otlp_endpoint.as_ref().map(|endpoint| {
        let exporter = SpanExporter::builder()
            .with_tonic()
            .with_endpoint(endpoint)
            .build()
            .map_err(TelemetryError::Otlp)?;
        let share = f64::from(telemetry.trace_percent) / 100.0;
        Ok(SdkTracerProvider::builder()
            .with_batch_exporter(exporter)
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(
                share,
            ))))
            .with_resource(resource(program))
            .build())
    });
    let provider = provider.transpose()?;
    let traces = provider.as_ref().map(|provider| {
        tracing_opentelemetry::layer()
            .with_tracer(provider.tracer(TRACER))
            .with_filter(filter_fn(is_traced))
    });
    let filter = filter(&log.level).map_err(TelemetryError::Level)?;
    let lines = tracing_subscriber::fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let lines = match log.format {
        LogFormat::Text => lines.with_target(false).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .with(traces)
        .try_init()
        .map_err(TelemetryError::LogInUse)?;
    Ok(Traces { provider })
}

/// Joins and API calls are spans of the control plane at info; the spans of libraries would drown them.
fn is_traced(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= tracing::Level::INFO && metadata.target().starts_with("control_plane")
}

/// Metrics on their way out: to Prometheus when it asks, to a collector from time to time.
#[derive(Debug)]
pub struct MetricsExport {
    provider: SdkMeterProvider,
    registry: Option<prometheus::Registry>,
}

impl MetricsExport {
    /// Sets up what is configured, for a `program` of that name; instruments go to [`provider`](Self::provider).
    ///
    /// # Errors
    /// An address that cannot be used.
    pub fn new(program: &'static str, telemetry: &TelemetryConfig) -> Result<Self, TelemetryError> {
        let mut builder = SdkMeterProvider::builder().with_resource(resource(program));
        let registry = telemetry.prometheus.then(prometheus::Registry::new);
        if let Some(registry) = &registry {
            let reader = opentelemetry_prometheus::exporter()
                .with_registry(registry.clone())
                .scope_info_enabled(false)
                .build()
                .map_err(TelemetryError::Prometheus)?;
            builder = builder.with_reader(reader);
        }
        if let Some(endpoint) = &telemetry.otlp_endpoint {
            let exporter = MetricExporter::builder()
                .with_tonic()
                .with_endpoint(endpoint)
                .build()
                .map_err(TelemetryError::Otlp)?;
            builder = builder.with_periodic_exporter(exporter);
        }
        Ok(Self {
            provider: builder.build(),
            registry,
        })
    }

    /// Where instruments are declared.
    pub fn provider(&self) -> &SdkMeterProvider {
        &self.provider
    }

    /// All metrics in the Prometheus text format; `None` where it is switched off.
    pub fn scrape(&self) -> Option<Vec<u8>> {
        let registry = self.registry.as_ref()?;
        let mut text = Vec::new();
        match TextEncoder::new().encode(&registry.gather(), &mut text) {
            Ok(()) => Some(text),
            Err(error) => {
                tracing::warn!(%error, "metrics cannot be written");
                Some(Vec::new())
            }
        }
    }

    /// Answers who asks for `/metrics`.
    pub fn answer(&self) -> Response {
        match self.scrape() {
            Some(text) => {
                let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
                ([(CONTENT_TYPE, kind)], text).into_response()
            }
            None => StatusCode::NOT_FOUND.into_response(),
        }
    }

    /// Sends what waits and stops reading.
    ///
    /// # Errors
    /// The collector did not take it.
    pub fn shutdown(&self) -> Result<(), TelemetryError> {
        self.provider.shutdown().map_err(TelemetryError::Flush)
    }
}

fn resource(program: &'static str) -> Resource {
    Resource::builder()
        .with_service_name(program)
        .with_attribute(opentelemetry::KeyValue::new(
            "service.version",
            env!("CARGO_PKG_VERSION"),
        ))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_filters_are_checked() {
        for good in ["info", "warn,control_plane=debug", "error,h2=off"] {
            assert_eq!(check_level(good), Ok(()), "{good}");
        }
        for bad in ["", "info,=", "control_plane=loud", "=="] {
            assert!(check_level(bad).is_err(), "{bad}");
        }
    }
}
