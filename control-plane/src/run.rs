//! The two processes that this crate makes: `plenum`, with a media node inside, and `control-plane`, with nodes
//! elsewhere. Owns the order of start and end. Must not know the command line, nor set up the log.

use std::{
    io,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use plenum_proto::cluster::registry_server::RegistryServer;
use plenum_service::{
    cluster::{Trust, TrustError},
    config::{Configuration as _, HttpConfig},
    serve::{self, Server},
    telemetry::{MetricsExport, TelemetryError},
};
use sfu_node::{LimitsConfig, Node};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tonic::service::interceptor::InterceptedService;
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{
    agents::{self, Hub},
    api::{self, Calls, Limits, Settings},
    app::{self, Parts},
    auth::Keys,
    cluster::{self, Cluster, Local, RegistryService, Setup, Standing},
    config::{ClusterStoreConfig, Config, ConfigError, ControlPlaneConfig, Front},
    health::{self, Health},
    ice_servers::IceServers,
    metrics::{self, Metrics, Signalling, StoreCalls, Webhooks},
    signal::{self, SignalState},
    store::{Embedded, Etcd, EtcdConfig, Measured, OpenError, SharedStore, StoreError},
    twirp,
    web::{self, Guests},
    webhook::{self, WebhookError},
    whip::{self, WhipState},
};

/// Why a process does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The configuration is wrong: the operator's to mend.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The API keys are wrong: the operator's to mend.
    #[error("keys: {0}")]
    Keys(#[from] crate::auth::KeysError),
    /// Secrets or certificates of the cluster cannot be used: the operator's to mend.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The file of the store cannot be used.
    #[error("store.path")]
    StoreFile(#[from] OpenError),
    /// The store does not do what it should.
    #[error("store")]
    Store(#[source] StoreError),
    /// etcd cannot be used as configured: the operator's to mend.
    #[error("store.etcd")]
    Etcd(#[source] StoreError),
    /// Metrics cannot be exported.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The media node does not start.
    #[error("the media node does not start")]
    Node(#[from] sfu_node::StartError),
    /// Webhooks cannot be sent: the operator's to mend.
    #[error("webhook.urls")]
    Webhook(#[from] WebhookError),
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
    /// The descriptors built into this program do not fit together.
    #[error("the gRPC services cannot be described")]
    Reflection(#[from] tonic_reflection::server::Error),
}

/// How long the node in the same process counts as alive without a word of it; nobody takes its rooms.
const LOCAL_LEASE: Duration = Duration::from_secs(30);

/// A running `plenum`.
pub struct Running {
    config: Config,
    gate: Gate,
    node: Node,
    _reporting: AbortOnDropHandle<()>,
}

/// Starts `plenum`; returns once it can be reached.
///
/// # Errors
/// Whatever keeps it from starting; nothing is left running then.
pub async fn start(config: Config) -> Result<Running, StartError> {
    config.validate()?;
    let front = config.front();
    // Before the node starts: the address is what most often cannot be had.
    let listener = listen_http(&front.http)?;
    let metrics = MetricsExport::new("plenum", &front.telemetry)?;
    let node = sfu_node::start(config.node.clone()).await?;
    let stats = node.stats_reader();
    sfu_node::observe_node(metrics.provider(), move || stats.stats());

    let store = embedded(config.store.path.as_deref(), true).await?;
    let setup = Setup {
        store: Measured::shared(store, StoreCalls::new(metrics.provider())),
        trust: Trust::none(),
        standing: Standing::default(),
        lease: LOCAL_LEASE,
    };
    let local = Local {
        id: node.id().to_owned(),
        channel: Trust::none().show(node.connect()),
    };
    let cluster = Cluster::with(setup, Some(local)).await;
    let reporting = cluster::report_local(Arc::clone(&cluster), node.self_report());
    let reporting = AbortOnDropHandle::new(tokio::spawn(reporting));
    cluster.nodes().until(node.id(), true).await;
    let limits = &config.node.limits;
    let ice = IceServers::with_node(&front.ice, &node);
    let gate = Gate::open(front, cluster, ice, limits, metrics, listener).await?;
    Ok(Running {
        config,
        gate,
        node,
        _reporting: reporting,
    })
}

impl Running {
    /// Where it listens: the port that was found when 0 was asked for.
    pub fn http_addr(&self) -> SocketAddr {
        self.gate.server.address()
    }

    /// As it was started.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Where metrics are served to whoever scrapes, if they have a listener to themselves.
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.gate.metrics.address()
    }

    /// The media node.
    pub fn node(&self) -> &Node {
        &self.node
    }

    /// Ends all rooms and then everything else; everybody is told. Takes about twice
    /// `http.shutdown_grace` at most.
    pub async fn shutdown(self) {
        let Self { gate, node, .. } = self;
        gate.closing().await;
        // The node first: its last word to every participant goes out through the gateway.
        node.shutdown(gate.grace).await;
        gate.close().await;
    }
}

/// A running `control-plane`.
pub struct RunningControlPlane {
    gate: Gate,
    registry: SocketAddr,
    stop: CancellationToken,
    serving: JoinHandle<Result<(), tonic::transport::Error>>,
}

/// Starts `control-plane`; returns once it can be reached. There need not be a media node yet.
///
/// # Errors
/// Whatever keeps it from starting; nothing is left running then.
pub async fn start_control_plane(
    config: ControlPlaneConfig,
) -> Result<RunningControlPlane, StartError> {
    config.validate()?;
    let front = config.front();
    let own = &config.cluster;
    let trust = Trust::new(&own.secret, &own.tls)?;
    let listener = listen_http(&front.http)?;
    let nodes = listen("cluster.listen", own.listen).await?;
    let registry = nodes.local_addr().map_err(|source| StartError::Listen {
        key: "cluster.listen",
        address: own.listen,
        source,
    })?;
    let metrics = MetricsExport::new("control-plane", &front.telemetry)?;
    let store = store(&config.store).await?;
    let cluster = Cluster::start(Setup {
        store: Measured::shared(store, StoreCalls::new(metrics.provider())),
        trust: trust.clone(),
        standing: Standing {
            region: own.region.clone(),
            zone: own.zone.clone(),
        },
        lease: own.lease,
    })
    .await;
    let stop = CancellationToken::new();
    let service = RegistryServer::new(RegistryService::new(Arc::clone(&cluster)));
    let service = InterceptedService::new(service, trust.guard());
    let server = trust.server().add_service(service);
    let serving = tokio::spawn(trust.serve(server, nodes, stop.clone()));
    tracing::info!(address = %registry, "listening for media nodes");
    let ice = IceServers::new(&front.ice);
    let limits = LimitsConfig::default();
    let gate = Gate::open(front, cluster, ice, &limits, metrics, listener).await?;
    Ok(RunningControlPlane {
        gate,
        registry,
        stop,
        serving,
    })
}

impl RunningControlPlane {
    /// Where clients and backends reach it.
    pub fn http_addr(&self) -> SocketAddr {
        self.gate.server.address()
    }

    /// Where media nodes report.
    pub fn cluster_addr(&self) -> SocketAddr {
        self.registry
    }

    /// Sends everybody's signalling to other replicas, and ends; calls go on. Takes about twice
    /// `http.shutdown_grace` at most.
    pub async fn shutdown(self) {
        self.gate.closing().await;
        self.stop.cancel();
        let grace = self.gate.grace;
        self.gate.close().await;
        // Nodes keep their connections open.
        if tokio::time::timeout(grace, self.serving).await.is_err() {
            tracing::debug!("media nodes did not hang up");
        }
    }
}

/// A store that this process has for itself; `is_whole` when its nodes are in it, too.
async fn embedded(path: Option<&str>, is_whole: bool) -> Result<SharedStore, StartError> {
    let store: SharedStore = match path {
        Some(path) => Arc::new(Embedded::open(Path::new(path))?),
        None => Arc::new(Embedded::in_memory()),
    };
    cluster::take_over(&store, is_whole)
        .await
        .map_err(StartError::Store)?;
    Ok(store)
}

async fn store(config: &ClusterStoreConfig) -> Result<SharedStore, StartError> {
    let etcd = &config.etcd;
    if etcd.endpoints.is_empty() {
        return embedded(config.path.as_deref(), false).await;
    }
    let etcd = Etcd::new(&EtcdConfig {
        endpoints: etcd.endpoints.clone(),
        prefix: etcd.prefix.clone(),
        user: etcd.user.clone(),
        password: etcd.password.clone(),
        ca: etcd.ca.clone(),
        timeout: etcd.timeout,
    });
    Ok(Arc::new(etcd.map_err(StartError::Etcd)?))
}

/// All that clients and backends reach.
struct Gate {
    server: Server,
    signal: SignalState,
    whip: WhipState,
    agents: Arc<Hub>,
    health: HealthReporter,
    metrics: MetricsExport,
    is_stopping: Arc<AtomicBool>,
    cluster: Arc<Cluster>,
    grace: Duration,
    _upkeep: AbortOnDropHandle<()>,
}

fn listen_http(config: &HttpConfig) -> Result<TcpListener, StartError> {
    serve::bind(config).map_err(|source| StartError::Listen {
        key: "http.listen",
        address: config.listen,
        source,
    })
}

async fn listen(key: &'static str, address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| StartError::Listen {
            key,
            address,
            source,
        })
}

impl Gate {
    async fn open(
        config: Front,
        cluster: Arc<Cluster>,
        ice: IceServers,
        limits: &LimitsConfig,
        metrics: MetricsExport,
        listener: TcpListener,
    ) -> Result<Self, StartError> {
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
        let is_stopping = Arc::new(AtomicBool::new(false));
        let nodes = Arc::downgrade(cluster.nodes());
        metrics::observe_nodes(metrics.provider(), move || {
            nodes.upgrade().map(|all| all.counts()).unwrap_or_default()
        });
        let signalling = Signalling::new(metrics.provider());
        let (signal, whip) = gateways(&config, &cluster, &keys, ice, signalling);
        let replica = format!("{:016x}", rand::random::<u64>());
        let sending = webhook::Setup {
            cluster: Arc::clone(&cluster),
            keys: Arc::clone(&keys),
            config: config.webhook.clone(),
            metrics: Webhooks::new(metrics.provider()),
        };
        let sending = webhook::send(sending, replica.clone())?;
        let agents = config.agents.clone();
        let agents = Hub::new(Arc::clone(&keys), Arc::clone(&cluster), agents, &replica);
        let serving = agents::watch(Arc::clone(&agents));
        let keeping = cluster::keep_up(Arc::clone(&cluster), replica);
        let upkeep = tokio::spawn(async move {
            tokio::join!(sending, keeping, serving);
        });
        let making = Making {
            config: &config,
            cluster: &cluster,
            limits,
            keys,
            metrics: &metrics,
            is_stopping: &is_stopping,
            signal: &signal,
            whip: &whip,
            agents: &agents,
        };
        let (health, parts) = making.parts().await?;
        let app = app::app(parts, &config.http);
        let address = config.http.listen;
        let server =
            Server::start(listener, app, &config.http).map_err(|source| StartError::Listen {
                key: "http.listen",
                address,
                source,
            })?;
        metrics::observe_connections(metrics.provider(), server.open_connections());
        tracing::info!(address = %server.address(), "listening");
        Ok(Self {
            server,
            signal,
            whip,
            agents,
            health,
            metrics,
            is_stopping,
            cluster,
            grace: config.http.shutdown_grace,
            _upkeep: AbortOnDropHandle::new(upkeep),
        })
    }

    /// Tells probes that nobody should come any more.
    async fn closing(&self) {
        self.is_stopping.store(true, Ordering::Relaxed);
        report_health(&self.health, ServingStatus::NotServing).await;
    }

    async fn close(self) {
        let Self {
            server,
            signal,
            whip,
            agents,
            metrics,
            cluster,
            grace,
            ..
        } = self;
        agents.close();
        cluster.close();
        if tokio::time::timeout(grace, signal.close()).await.is_err() {
            tracing::warn!(
                open = signal.open_connections(),
                "signalling did not end in time"
            );
        }
        if tokio::time::timeout(grace, whip.close()).await.is_err() {
            tracing::warn!(
                open = whip.open_sessions(),
                "sessions of encoders and players did not end in time"
            );
        }
        server.shutdown(grace).await;
        metrics.end(grace).await;
        tracing::info!("stopped");
    }
}

/// What the parts of a gate are made of.
struct Making<'a> {
    config: &'a Front,
    cluster: &'a Arc<Cluster>,
    limits: &'a LimitsConfig,
    keys: Arc<Keys>,
    metrics: &'a MetricsExport,
    is_stopping: &'a Arc<AtomicBool>,
    signal: &'a SignalState,
    whip: &'a WhipState,
    agents: &'a Arc<Hub>,
}

impl Making<'_> {
    /// Everything that answers requests.
    async fn parts(self) -> Result<(HealthReporter, Parts), StartError> {
        let config = self.config;
        let metrics = Metrics::new(self.metrics.provider());
        let scraped = self.metrics.router();
        let guests = Guests {
            key: self
                .keys
                .names()
                .next()
                .filter(|_| config.guest_access())
                .map(str::to_owned),
            keys: Arc::clone(&self.keys),
            metrics: metrics.clone(),
        };
        let limits = self.limits;
        let calls = Calls::new(Settings {
            keys: self.keys,
            cluster: Arc::clone(self.cluster),
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
            cluster: Arc::clone(self.cluster),
            is_stopping: Arc::clone(self.is_stopping),
        });
        let parts = Parts {
            web: web::router(guests, Arc::clone(&calls)),
            health: signs,
            metrics: scraped,
            signal: signal::router(self.signal.clone()),
            whip: whip::router(self.whip.clone()),
            agents: agents::router(Arc::clone(self.agents)),
            twirp: twirp::router(calls),
            grpc,
        };
        Ok((health, parts))
    }
}

/// The two ways in for media: of SDKs, and of encoders and players.
fn gateways(
    config: &Front,
    cluster: &Arc<Cluster>,
    keys: &Arc<Keys>,
    ice: IceServers,
    metrics: Signalling,
) -> (SignalState, WhipState) {
    let whip = WhipState::new(
        Arc::new(Arc::clone(cluster)),
        Arc::clone(keys),
        config.whip.clone(),
        config.signal.clone(),
        ice.clone(),
    );
    let signal = SignalState::new(
        Arc::new(Arc::clone(cluster)),
        Arc::clone(keys),
        config.signal.clone(),
        ice,
        Arc::new(metrics),
    );
    (signal, whip)
}

/// Tells the health service of the whole ("") and of each public service.
async fn report_health(health: &HealthReporter, status: ServingStatus) {
    for service in std::iter::once("").chain(api::SERVICES) {
        health.set_service_status(service, status).await;
    }
}
