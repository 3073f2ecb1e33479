//! The program `sfu`: a media node as a process of its own, that reports to control planes. Owns the order of
//! start and end. Must not know media.

mod ask;
mod config;
mod homes;
mod report;
mod serve;

use std::{ffi::OsString, io, net::SocketAddr, time::Duration};

use clap::{Parser, Subcommand};
use plenum_service::{
    cli::{self, AnyError, Stop},
    cluster::{Trust, TrustError},
    config::{ConfigError, Configuration as _, Pairs},
    probe,
    telemetry::{self, MetricsExport, TelemetryError},
};

pub use config::{NodeClusterConfig, SfuConfig};

use crate::node::{self, Node};
use report::Reporter;
use serve::Listeners;

/// A media node of Plenum: it carries the media of rooms that control planes place on it.
#[derive(Debug, Parser)]
#[command(name = "sfu", version)]
struct Arguments {
    #[command(flatten)]
    settings: cli::Settings,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Ask the `sfu` that runs here how it is, at the address in `http.address_file`; fails unless it is well.
    Probe {
        /// "/healthz" or "/readyz".
        path: String,
    },
}

/// Why `sfu` does not start.
#[derive(Debug, thiserror::Error)]
pub enum SfuError {
    /// The configuration is wrong: the operator's to mend.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Secrets, certificates or addresses of the cluster cannot be used.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// Metrics cannot be exported.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The media node does not start.
    #[error("the media node does not start")]
    Node(#[from] node::StartError),
    /// A listener's address cannot be used.
    #[error("{key}: {address} cannot be listened on")]
    Listen {
        /// Of the setting.
        key: &'static str,
        /// As configured.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// Runs the program with its arguments and the variables of its environment.
///
/// # Errors
/// Whatever ends it before it is told to.
pub fn run(arguments: Vec<OsString>, variables: Pairs) -> Result<(), AnyError> {
    let Arguments { settings, command } = match Arguments::try_parse_from(arguments) {
        Ok(arguments) => arguments,
        Err(error) => error.exit(),
    };
    if settings.print_default_config {
        return cli::print(&SfuConfig::default_toml());
    }
    let config = SfuConfig::load(settings.config.as_deref(), variables, settings.set)?;
    if settings.check_config {
        return cli::print("The configuration is good.\n");
    }
    if let Some(Command::Probe { path }) = command {
        return Ok(probe::ask(config.http.address_file.as_deref(), &path)?);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let mut stop = Stop::new()?;
        let traces = telemetry::install("sfu", &config.log, &config.telemetry)?;
        let running = Running::start(config).await?;
        cli::print(&running.greeting())?;
        stop.asked().await;
        tracing::info!("told to stop: draining");
        tokio::select! {
            () = running.drained() => {}
            () = stop.asked() => tracing::warn!("told to stop again: not waiting any longer"),
        }
        running.end().await;
        Ok(tokio::task::spawn_blocking(move || traces.shutdown()).await??)
    })
}

/// A running `sfu`.
pub struct Running {
    node: Node,
    reporter: Reporter,
    listeners: Listeners,
    drain_limit: Duration,
    grace: Duration,
}

impl Running {
    /// Starts everything; returns once control planes can reach it. Whether one knows it yet is another matter.
    ///
    /// # Errors
    /// Whatever keeps it from starting; nothing is left running then.
    pub async fn start(config: SfuConfig) -> Result<Self, SfuError> {
        config.validate()?;
        let trust = Trust::new(&config.cluster.secret, &config.cluster.tls)?;
        let bound = serve::bind(&config).await?;
        let metrics = MetricsExport::new("sfu", &config.telemetry)?;
        let node = node::start(config.node()).await?;
        let stats = node.stats_reader();
        crate::metrics::observe_node(metrics.provider(), move || stats.stats());
        let reporter = Reporter::start(&node, &config, &trust, bound.cluster_address())?;
        let listeners = Listeners::start(bound, &node, &reporter, &trust, &config, metrics)?;
        Ok(Self {
            node,
            reporter,
            listeners,
            drain_limit: config.cluster.drain_limit,
            grace: config.http.shutdown_grace,
        })
    }

    /// The media node.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Where health and metrics are.
    pub fn http_addr(&self) -> SocketAddr {
        self.listeners.http()
    }

    /// Where control planes reach it.
    pub fn cluster_addr(&self) -> SocketAddr {
        self.listeners.cluster()
    }

    /// Waits until a control plane knows it.
    pub async fn known(&self) {
        self.reporter.known().await;
    }

    fn greeting(&self) -> String {
        format!(
            "sfu {} {} for control planes at {}, health at http://{}\n",
            env!("CARGO_PKG_VERSION"),
            self.node.id(),
            self.cluster_addr(),
            self.http_addr(),
        )
    }

    /// Sends everybody to other nodes.
    pub async fn drained(&self) {
        self.node.drain(self.drain_limit).await;
    }

    /// Ends everything; who is still here is told to come back elsewhere.
    pub async fn end(self) {
        let Self {
            node,
            reporter,
            listeners,
            grace,
            ..
        } = self;
        reporter.withdraw().await;
        node.shutdown(grace).await;
        listeners.end(grace).await;
        tracing::info!("stopped");
    }
}
