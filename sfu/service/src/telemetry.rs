//! Log, traces and the export of metrics: owns where they go. Must not declare an instrument
//! (the programs do) nor decide what is worth a line.

use std::{
    io::{self, IsTerminal as _},
    net::SocketAddr,
    time::Duration,
};

use axum::{
    Router,
    response::{IntoResponse as _, Response},
    routing::get,
};
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

use crate::{
    config::{HttpConfig, LogConfig, LogFormat, TelemetryConfig},
    serve::{self, Server},
};

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
    /// The listener's address cannot be used.
    #[error("telemetry.prometheus_listen: {address} cannot be listened on")]
    Listen {
        /// As configured.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
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
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
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
    listener: Option<Server>,
}

/// Connections of those who scrape, at once.
const MAX_SCRAPERS: u32 = 64;

impl MetricsExport {
    /// Sets up what is configured, for a `program` of that name; instruments go to [`provider`](Self::provider).
    /// Needs a tokio runtime.
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
        let listener = match (telemetry.prometheus_listen, &registry) {
            (Some(address), Some(registry)) => Some(listen(address, registry)?),
            _ => None,
        };
        Ok(Self {
            provider: builder.build(),
            registry,
            listener,
        })
    }

    /// Where instruments are declared.
    pub fn provider(&self) -> &SdkMeterProvider {
        &self.provider
    }

    /// `/metrics` for the program's own listener; nothing where it is switched off, or has a listener to itself.
    pub fn router(&self) -> Router {
        match &self.registry {
            Some(registry) if self.listener.is_none() => scraped(registry),
            _ => Router::new(),
        }
    }

    /// The listener that metrics have to themselves.
    pub fn address(&self) -> Option<SocketAddr> {
        self.listener.as_ref().map(Server::address)
    }

    /// Sends what waits and stops reading; who scrapes is given `grace` to end.
    pub async fn end(self, grace: Duration) {
        if let Some(listener) = self.listener {
            listener.shutdown(grace).await;
        }
        let provider = self.provider;
        // It waits for the collector, on a thread that may wait.
        match tokio::task::spawn_blocking(move || provider.shutdown()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last metrics were not sent"),
            Err(error) => tracing::error!(%error, "the metrics did not end"),
        }
    }
}

fn listen(address: SocketAddr, registry: &prometheus::Registry) -> Result<Server, TelemetryError> {
    let limits = HttpConfig {
        listen: address,
        max_connections: MAX_SCRAPERS,
        ..HttpConfig::default()
    };
    let server = serve::bind(&limits)
        .and_then(|listener| Server::start(listener, scraped(registry), &limits))
        .map_err(|source| TelemetryError::Listen { address, source })?;
    tracing::info!(address = %server.address(), "listening for Prometheus");
    Ok(server)
}

/// Answers who asks for `/metrics`.
fn scraped(registry: &prometheus::Registry) -> Router {
    let registry = registry.clone();
    Router::new().route(
        "/metrics",
        get(move || std::future::ready(scrape(&registry))),
    )
}

/// All metrics in the Prometheus text format.
fn scrape(registry: &prometheus::Registry) -> Response {
    let mut text = Vec::new();
    if let Err(error) = TextEncoder::new().encode(&registry.gather(), &mut text) {
        tracing::warn!(%error, "metrics cannot be written");
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    }
    let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    ([(CONTENT_TYPE, kind)], text).into_response()
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
