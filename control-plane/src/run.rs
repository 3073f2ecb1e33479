//! The whole of `plenum` in one process: a media node, the control plane, and one listener in front.
//! Owns the order of start and end. Must not know the command line, nor set up the log.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use plenum_proto::node::node_client::NodeClient;
use sfu_node::{MAX_ANSWER_BYTES, Node};
use tokio::net::TcpListener;
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{
    api::{self, Calls, Limits, Settings},
    app::{self, Parts},
    auth::Keys,
    config::{Config, ConfigError},
    health::{self, Health},
    metrics::{self, Metrics, Signalling},
    serve::Server,
    signal::{self, SignalState},
    telemetry::{MetricsExport, TelemetryError},
    twirp,
    web::{self, Guests},
};

/// Why `plenum` does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is wrong: the operator's to mend.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The API keys are wrong: the operator's to mend.
    #[error("keys: {0}")]
    Keys(#[from] crate::auth::KeysError),
    /// Metrics cannot be exported.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The media node does not start.
    #[error("the media node does not start")]
    Node(#[from] sfu_node::StartError),
    /// The listener's address cannot be used.
    #[error("http.listen: {address} cannot be listened on")]
    Listen {
        /// As configured.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The descriptors built into this program do not fit together.
    #[error("the gRPC services cannot be described")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// A running `plenum`.
pub struct Running {
    config: Config,
    server: Server,
    node: Node,
    signal: SignalState,
    health: HealthReporter,
    metrics: Arc<MetricsExport>,
    is_stopping: Arc<AtomicBool>,
}

/// Starts everything; returns once it can be reached.
///
/// # Errors
/// Whatever keeps it from starting; nothing is left running then.
pub async fn start(config: Config) -> Result<Running, StartError> {
    config.validate()?;
    let pairs = config
        .keys
        .iter()
        .map(|(name, secret)| (name.as_str(), secret.expose()));
    let keys = Arc::new(Keys::new(pairs)?);
    for key in keys.weak().filter(|_| !config.is_dev()) {
        tracing::warn!(
            key,
            "the secret of an API key is short enough to be guessed"
        );
    }
    // Before the node starts: the address is what most often cannot be had.
    let address = config.http.listen;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Listen { address, source })?;
    let metrics = Arc::new(MetricsExport::new(&config.telemetry)?);
    let node = sfu_node::start(config.node.clone()).await?;
    let stats = node.stats_reader();
    metrics::observe_node(metrics.provider(), move || stats.stats());

    let is_stopping = Arc::new(AtomicBool::new(false));
    let signal = SignalState::new(
        Arc::new(NodeClient::new(node.connect())),
        Arc::clone(&keys),
        config.signal.clone(),
        Arc::new(Signalling::new(metrics.provider())),
    );
    let (health, parts) = parts(&config, &node, keys, &metrics, &is_stopping, &signal).await?;
    let app = app::app(parts, &config.http);
    let server = Server::start(listener, app, &config.http)
        .map_err(|source| StartError::Listen { address, source })?;
    metrics::observe_connections(metrics.provider(), server.open_connections());
    tracing::info!(address = %server.address(), "listening");
    Ok(Running {
        config,
        server,
        node,
        signal,
        health,
        metrics,
        is_stopping,
    })
}

/// Everything that answers requests.
async fn parts(
    config: &Config,
    node: &Node,
    keys: Arc<Keys>,
    export: &Arc<MetricsExport>,
    is_stopping: &Arc<AtomicBool>,
    signal: &SignalState,
) -> Result<(HealthReporter, Parts), StartError> {
    let metrics = Metrics::new(export.provider());
    let guests = Guests {
        key: keys
            .names()
            .next()
            .filter(|_| config.guest_access())
            .map(str::to_owned),
        keys: Arc::clone(&keys),
        metrics: metrics.clone(),
    };
    let limits = &config.node.limits;
    let calls = Calls::new(Settings {
        keys,
        node: node.connect(),
        limits: Limits {
            name_bytes: limits.name_bytes,
            metadata_bytes: limits.metadata_bytes,
            attributes_bytes: limits.attributes_bytes,
            data_bytes: limits.data_message_bytes,
        },
        config: config.api.clone(),
        metrics,
    });
    let health = HealthReporter::new();
    report_health(&health, ServingStatus::Serving).await;
    let grpc = api::routes(&calls, health.clone(), config.http.max_body.bytes())?;
    let signs = health::router(Health {
        node: NodeClient::new(node.connect()).max_decoding_message_size(MAX_ANSWER_BYTES),
        is_stopping: Arc::clone(is_stopping),
        metrics: Arc::clone(export),
    });
    let parts = Parts {
        web: web::router(guests),
        health: signs,
        signal: signal::router(signal.clone()),
        twirp: twirp::router(calls),
        grpc,
    };
    Ok((health, parts))
}

/// Tells the health service of the whole ("") and of each public service.
async fn report_health(health: &HealthReporter, status: ServingStatus) {
    for service in std::iter::once("").chain(api::SERVICES) {
        health.set_service_status(service, status).await;
    }
}

impl Running {
    /// Where it listens: the port that was found when 0 was asked for.
    pub fn http_addr(&self) -> SocketAddr {
        self.server.address()
    }

    /// As it was started.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The media node.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Ends all rooms and then everything else; everybody is told. Takes about twice
    /// `http.shutdown_grace` at most.
    pub async fn shutdown(self) {
        let Self {
            config,
            server,
            node,
            signal,
            health,
            metrics,
            is_stopping,
        } = self;
        let grace = config.http.shutdown_grace;
        is_stopping.store(true, Ordering::Relaxed);
        report_health(&health, ServingStatus::NotServing).await;
        // The node first: its last word to every participant goes out through the gateway.
        node.shutdown(grace).await;
        if tokio::time::timeout(grace, signal.close()).await.is_err() {
            tracing::warn!(
                open = signal.open_connections(),
                "signalling did not end in time"
            );
        }
        server.shutdown(grace).await;
        // It waits for the collector, on a thread that may wait.
        match tokio::task::spawn_blocking(move || metrics.shutdown()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the last metrics were not sent"),
            Err(error) => tracing::error!(%error, "the metrics did not end"),
        }
        tracing::info!("stopped");
    }
}
