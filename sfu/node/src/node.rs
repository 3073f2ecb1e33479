//! A running media node: started from its settings, asked, stopped.
//!
//! Owns the order of start and stop. Must not read the environment or install signal handlers or
//! subscribers: binaries do.

use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use plenum_proto::{ids::NodeId, node::node_server::NodeServer};
use sfu_core::{Certificate, ClockAnchor};
use tokio::sync::{Notify, watch};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};
use tonic::transport::Channel;

use crate::{
    bind::{self, BindError, Bound, BoundWorker},
    config::{ConfigProblem, NodeConfig},
    connect::InMemory,
    directory::Directory,
    discover::{self, DiscoverError},
    egress::Egresses,
    events::EventLog,
    homes::{Homeless, Leaving},
    ingress::Ingresses,
    relay::{self, Relay, RelayError},
    report::SelfReport,
    service::{self, Identity, NodeService, Shared},
    stats::NodeStats,
    tcp::Tcp,
    turn::{Turn, TurnAccess, TurnStartError},
    udp::Overflows,
    worker::{self, Mesh, WorkerHandle},
};

/// Bytes of one request accepted: a session description and metadata at their limits, and more.
pub const MAX_REQUEST_BYTES: usize = 4 * 1024 * 1024;

/// Bytes of one answer or event a caller should accept (`max_decoding_message_size` of its client):
/// lists of thousands of rooms or participants with their metadata.
pub const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// Why a node does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The settings are wrong: all mistakes.
    #[error("the settings of the node have {} mistakes", .0.len())]
    Config(Vec<ConfigProblem>),
    /// Nobody could say which addresses clients are to be told.
    #[error(transparent)]
    Discover(#[from] DiscoverError),
    /// An address of the settings cannot be used.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The TURN server cannot be started.
    #[error(transparent)]
    Turn(#[from] TurnStartError),
    /// Other nodes could not reach this one.
    #[error(transparent)]
    Relay(#[from] RelayError),
    /// No certificate for DTLS could be made.
    #[error("no DTLS certificate")]
    Certificate(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The system gives no thread, or no runtime for it.
    #[error("worker {index} does not start")]
    Worker {
        /// Which one, from 0.
        index: usize,
        /// What the system says.
        source: io::Error,
    },
}

/// A running media node. Dropped without [`Node::shutdown`] it stops at once, without telling anybody.
pub struct Node {
    shared: Arc<Shared>,
    /// Of one worker.
    max_participants: usize,
    in_memory: InMemory,
    udp: Vec<SocketAddr>,
    tcp: Vec<SocketAddr>,
    stun: Vec<SocketAddr>,
    threads: Vec<thread::JoinHandle<()>>,
    tasks: TaskTracker,
    stop: DropGuard,
}

/// Starts a node; returns once clients can reach it. Needs a tokio runtime, on which its calls and TCP
/// connections run; media runs on threads of its own.
pub async fn start(mut config: NodeConfig) -> Result<Node, StartError> {
    config.validate().map_err(StartError::Config)?;
    discover::apply(&mut config).await?;
    let anchor = ClockAnchor::new(Instant::now(), SystemTime::now());
    let Bound {
        workers: bound,
        listeners,
    } = bind::bind(&config)?;
    let udp: Vec<_> = bound
        .iter()
        .flat_map(|worker| worker.udp_addresses())
        .collect();
    let tcp_addresses = listeners.iter().map(|listener| listener.local).collect();

    let is_local = config
        .udp
        .listen
        .iter()
        .all(|listen| listen.ip().is_loopback());
    let media: Vec<_> = bound
        .iter()
        .flat_map(|worker| worker.candidates.clone())
        .collect();
    let stun = bound
        .first()
        .map_or_else(Vec::new, BoundWorker::stun_addresses);

    let stop = CancellationToken::new().drop_guard();
    let token = || DropGuard::token(&stop).clone();
    let node_id = NodeId::random(rand::random);
    let identity = Identity {
        node_id: node_id.to_string(),
        region: config.region.clone(),
        started_at: SystemTime::now(),
    };
    let epoch = format!("{:016x}", rand::random::<u64>());
    let directory = Arc::new(Directory::new(
        node_id.number(),
        bound.len(),
        config.rooms.spread_participants,
    ));
    let events = Arc::new(EventLog::new(epoch, config.events.clone()));
    let certificate =
        Certificate::generate().map_err(|error| StartError::Certificate(Box::new(error)))?;
    let (mut workers, mut threads) = (Vec::new(), Vec::new());
    let homeless = Homeless::default();
    let Mesh {
        carriers,
        from_nodes,
        nodes,
    } = worker::mesh(node_id.number(), bound.len());
    for ((number, bound), carrier) in (0..).zip(bound).zip(carriers) {
        let index = usize::from(number);
        let certificate = certificate.clone();
        let setup = worker::Setup {
            index,
            core: config.core(&node_id, number, bound.candidates, certificate),
            anchor,
            is_pinned: config.pin_workers,
            sockets: bound.sockets,
            send_queue: config.udp.send_queue,
            directory: Arc::clone(&directory),
            events: Arc::clone(&events),
            homeless: homeless.clone(),
            stop: token(),
        };
        let started = worker::start(setup, carrier).await;
        let (worker, thread) = started.map_err(|source| StartError::Worker { index, source })?;
        workers.push(worker);
        threads.push(thread);
    }

    let tasks = TaskTracker::new();
    let turn = Turn::start(&config, &media, &token(), &tasks)?;
    let relay = if config.relay.listen.is_empty() {
        None
    } else {
        let setup = relay::Setup {
            config: config.relay.clone(),
            udp: &config.udp,
            node: &node_id,
            workers: from_nodes,
            directory: Arc::clone(&directory),
            stop: token(),
        };
        let relay = Relay::start(setup)?;
        // The workers find it here; nothing else sets it.
        let _ = nodes.set(Arc::clone(&relay));
        Some(relay)
    };
    let frames = workers.iter().map(WorkerHandle::frames).collect();
    let tcp = Arc::new(Tcp::new(config.tcp, frames));
    for listener in listeners {
        tasks.spawn(Arc::clone(&tcp).listen(
            listener.listener,
            listener.local,
            token(),
            tasks.clone(),
        ));
    }
    let shared = Arc::new(Shared {
        identity,
        join_timeout: config.timeouts.join,
        workers,
        udp_overflows: Overflows::new(udp.clone()),
        tcp,
        turn,
        directory,
        relay,
        events,
        homeless,
        leaving: Leaving::default(),
        ingresses: Ingresses::new(config.ingress, is_local),
        egresses: Egresses::new(config.egress, is_local),
        sessions: TaskTracker::new(),
        draining: AtomicBool::new(false),
        is_ending: AtomicBool::new(false),
        cordoned: AtomicBool::new(false),
        changed: Notify::new(),
        drain_spread: config.timeouts.drain,
        drained: watch::Sender::new(false),
        next_control: AtomicU64::new(1),
    });
    let in_memory = InMemory::serve(server(&shared), token(), &tasks);
    tracing::info!(
        node = shared.identity.node_id,
        workers = shared.workers.len(),
        "media node started"
    );
    Ok(Node {
        shared,
        max_participants: config.limits.participants,
        in_memory,
        udp,
        tcp: tcp_addresses,
        stun,
        threads,
        tasks,
        stop,
    })
}

impl Node {
    /// The node's gRPC service, to be added to a server.
    pub fn service(&self) -> NodeServer<NodeService> {
        server(&self.shared)
    }

    /// A channel to the node's gRPC service without a network. Each has a connection of its own; it
    /// connects when first used. Clients made of it should accept [`MAX_ANSWER_BYTES`].
    pub fn connect(&self) -> Channel {
        self.in_memory.channel()
    }

    /// Numbers of the node, at most a second old while a worker is busy.
    pub fn stats(&self) -> NodeStats {
        self.shared.stats()
    }

    /// Numbers of this moment; asks every worker.
    pub async fn fresh_stats(&self) -> NodeStats {
        self.shared.fresh_stats().await
    }

    /// A handle that reads the numbers and does not keep the node running.
    pub fn stats_reader(&self) -> StatsReader {
        StatsReader(Arc::clone(&self.shared))
    }

    /// Names the node to clients, operators and logs; new for each start.
    pub fn id(&self) -> &str {
        &self.shared.identity.node_id
    }

    /// The addresses of the UDP sockets, worker by worker.
    pub fn local_udp(&self) -> &[SocketAddr] {
        &self.udp
    }

    /// Where other nodes reach this one, as it is told to them; empty = not at all.
    pub fn relay_addresses(&self) -> &[String] {
        self.shared.relay_addresses()
    }

    /// The addresses of the TCP listeners.
    pub fn local_tcp(&self) -> &[SocketAddr] {
        &self.tcp
    }

    /// Sends everybody to other nodes, rooms spread over the time that is set, and returns when nobody is left
    /// or after `limit`. Joins are refused from the first moment.
    pub async fn drain(&self, limit: Duration) {
        service::drain(&self.shared, limit).await;
    }

    /// What the node says of itself to control planes.
    pub fn self_report(&self) -> SelfReport {
        SelfReport::new(Arc::clone(&self.shared), self.max_participants)
    }

    /// What its calls share.
    pub(crate) fn shared(&self) -> Arc<Shared> {
        Arc::clone(&self.shared)
    }

    /// Reads whether nobody comes in any more; does not keep the node running.
    pub(crate) fn going(&self) -> impl Fn() -> bool + Clone + Send + Sync + 'static {
        let shared = Arc::clone(&self.shared);
        move || shared.is_draining()
    }

    /// Whether nobody comes in any more.
    pub fn is_draining(&self) -> bool {
        self.shared.is_draining()
    }

    /// Where clients may ask how they are seen (STUN): the addresses of the first worker, as clients know
    /// them.
    pub fn stun_addresses(&self) -> &[SocketAddr] {
        &self.stun
    }

    /// What clients have to know of the TURN server; none where it is off.
    pub fn turn(&self) -> Option<&TurnAccess> {
        self.shared.turn.as_ref().map(Turn::access)
    }

    /// Ends all rooms, or after a drain sends on who is left, gives callers up to `grace` to read what they are
    /// told, and stops. Joins are
    /// refused from the first moment.
    pub async fn shutdown(self, grace: Duration) {
        let Self {
            shared,
            in_memory,
            threads,
            tasks,
            stop,
            ..
        } = self;
        let was_emptied = shared.is_draining();
        shared.is_ending.store(true, Ordering::Relaxed);
        shared.draining.store(true, Ordering::Relaxed);
        for worker in &shared.workers {
            // One that gives no answer has told its participants already.
            let _ = if was_emptied {
                worker.move_away(None).await
            } else {
                worker.end_all().await
            };
        }
        shared.events.end();
        shared.sessions.close();
        if tokio::time::timeout(grace, shared.sessions.wait())
            .await
            .is_err()
        {
            let open = shared.sessions.len();
            tracing::warn!(
                open,
                "control connections were still open at the end of the grace"
            );
        }
        drop(in_memory);
        if let Some(relay) = &shared.relay {
            relay.close().await;
        }
        drop(stop);
        tasks.close();
        tasks.wait().await;
        let joined = tokio::task::spawn_blocking(move || {
            threads
                .into_iter()
                .filter_map(|thread| thread.join().err())
                .count()
        });
        match joined.await {
            Ok(0) => tracing::info!(node = shared.identity.node_id, "media node stopped"),
            Ok(_) | Err(_) => tracing::error!("a worker's thread ended by a fault"),
        }
    }
}

/// Reads the numbers of a node, for exporters that live as long as the process.
#[derive(Clone)]
pub struct StatsReader(Arc<Shared>);

impl StatsReader {
    /// Numbers of the node, at most a second old while a worker is busy.
    pub fn stats(&self) -> NodeStats {
        self.0.stats()
    }
}

fn server(shared: &Arc<Shared>) -> NodeServer<NodeService> {
    NodeServer::new(NodeService::new(Arc::clone(shared)))
        .max_decoding_message_size(MAX_REQUEST_BYTES)
}
