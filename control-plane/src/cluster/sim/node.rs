//! Media nodes without media: they report, ask which rooms they have lost, and are late, deaf or dead when told so. Owns
//! their lives; what they hold is [`Held`]'s, how they are asked [`super::serve`]'s.

use std::{
    io,
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use hyper_util::rt::TokioIo;
use plenum_proto::{
    cluster::{Load, NodeReport, RoomHeld},
    node::node_server::NodeServer,
};
use tokio::{
    io::DuplexStream,
    sync::{Notify, mpsc, watch},
    task::JoinSet,
    time::{Instant, sleep, timeout},
};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Server;

use super::{
    Shared,
    faults::Fault,
    held::{Held, HeldRoom},
    line::{Line, Way},
    serve::Service,
};
use crate::cluster::Cluster;

/// Between reports that nobody took.
const RETRY: Duration = Duration::from_millis(500);

/// How often a node asks which rooms it has lost though it was always known.
const CHECK: Duration = Duration::from_secs(5);

/// How often it looks for what has waited too long.
const TICK: Duration = Duration::from_millis(500);

/// The longest that a message is on its way.
const WAY_MS: usize = 60;

/// How a node's clock runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Drift {
    Slow,
    None,
    Fast,
}

/// A node.
pub(super) struct SimNode {
    pub(super) id: String,
    pub(super) shared: Arc<Shared>,
    held: Mutex<Held>,
    /// Events that were told.
    pub(super) newest: watch::Sender<usize>,
    is_dead: AtomicBool,
    /// It does something.
    is_awake: watch::Sender<bool>,
    /// Its reports arrive.
    pub(super) is_heard: AtomicBool,
    pub(super) is_draining: AtomicBool,
    has_news: Notify,
    /// Messages that came, and the last of them that was acted upon.
    came: AtomicU64,
    acted: AtomicU64,
    lines: mpsc::UnboundedSender<io::Result<Line>>,
    tasks: Mutex<JoinSet<()>>,
}

impl SimNode {
    /// Starts a node whose clock runs like that.
    pub(super) fn start(id: String, shared: &Arc<Shared>, drift: Drift) -> Arc<Self> {
        let (lines, incoming) = mpsc::unbounded_channel();
        let node = Arc::new(Self {
            held: Mutex::new(Held::new(&id)),
            id,
            shared: Arc::clone(shared),
            newest: watch::Sender::new(0),
            is_dead: AtomicBool::new(false),
            is_awake: watch::Sender::new(true),
            is_heard: AtomicBool::new(true),
            is_draining: AtomicBool::new(false),
            has_news: Notify::new(),
            came: AtomicU64::new(0),
            acted: AtomicU64::new(0),
            lines,
            tasks: Mutex::default(),
        });
        let server = Server::builder()
            .add_service(NodeServer::new(Service(Arc::clone(&node))))
            .serve_with_incoming(UnboundedReceiverStream::new(incoming));
        node.spawn(async move { drop(server.await) });
        node.spawn(Arc::clone(&node).report(drift));
        node.spawn(Arc::clone(&node).expire());
        node
    }

    /// Does it for as long as the node lives.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let mut tasks = self.tasks.lock().unwrap();
        if !self.is_dead.load(Ordering::Relaxed) {
            tasks.spawn(task);
        }
    }

    /// A connection to it, as a control plane opens one.
    pub(super) fn connect(&self, way: Arc<Way>) -> io::Result<TokioIo<DuplexStream>> {
        if self.is_dead.load(Ordering::Relaxed) {
            return Err(io::ErrorKind::ConnectionRefused.into());
        }
        let (theirs, inner) = tokio::io::duplex(64 * 1024);
        let _ = self.lines.send(Ok(Line { inner, way }));
        Ok(TokioIo::new(theirs))
    }

    /// The process is gone, with all that it held.
    pub(super) fn crash(&self) {
        self.is_dead.store(true, Ordering::Relaxed);
        self.tasks.lock().unwrap().abort_all();
        *self.held.lock().unwrap() = Held::default();
    }

    pub(super) fn set_awake(&self, is_awake: bool) {
        self.is_awake.send_replace(is_awake);
    }

    /// Nobody comes in any more, and everybody goes.
    pub(super) fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
        self.has_news.notify_one();
        self.with(Held::empty);
    }

    /// Does something with what it holds, and tells readers of events what came of it.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Held) -> T) -> T {
        let mut held = self.held();
        let done = act(&mut held);
        let newest = held.log.len();
        drop(held);
        self.newest.send_if_modified(|told| {
            let is_news = *told != newest;
            *told = newest;
            is_news
        });
        done
    }

    pub(super) fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap()
    }

    /// Waits while the node is paused; whoever is dead waits for ever.
    pub(super) async fn gate(&self) {
        let mut is_awake = self.is_awake.subscribe();
        let _ = is_awake.wait_for(|is_awake| *is_awake).await;
        if self.is_dead.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }

    /// A message came: it is acted upon when this returns, which may be after later ones.
    pub(super) async fn take(&self) {
        let number = self.came.fetch_add(1, Ordering::Relaxed) + 1;
        let millis = self.shared.choose(WAY_MS) as u64;
        sleep(Duration::from_millis(millis)).await;
        self.gate().await;
        if self.acted.fetch_max(number, Ordering::Relaxed) > number {
            self.shared.fired.note(Fault::Reorder);
        }
    }

    async fn expire(self: Arc<Self>) {
        loop {
            sleep(TICK).await;
            self.gate().await;
            self.with(Held::expire);
        }
    }

    /// As `sfu` does: renews a third into the lease, and asks which rooms it has lost when it was not known.
    async fn report(self: Arc<Self>, drift: Drift) {
        let mut checked = Instant::now();
        let every = match drift {
            Drift::Slow => super::LEASE.mul_f64(0.45),
            Drift::None => super::LEASE / 3,
            Drift::Fast => super::LEASE / 5,
        };
        loop {
            self.gate().await;
            let pause = match self.shared.any_replica() {
                _ if !self.is_heard.load(Ordering::Relaxed) => {
                    self.shared.fired.note(Fault::Mute);
                    every
                }
                Some(replica) if self.report_once(&replica, &mut checked).await => {
                    if drift != Drift::None {
                        self.shared.fired.note(Fault::Drift);
                    }
                    every
                }
                _ => RETRY,
            };
            // What it says of itself it says at once.
            let _ = timeout(pause, self.has_news.notified()).await;
        }
    }

    /// Whether the replica took it.
    async fn report_once(&self, replica: &Cluster, checked: &mut Instant) -> bool {
        let report = NodeReport {
            node_id: self.id.clone(),
            address: self.id.clone(),
            load: Some(Load {
                max_participants: 1000,
                ..Load::default()
            }),
            draining: self.is_draining.load(Ordering::Relaxed),
            ..NodeReport::default()
        };
        let Ok(is_fresh) = replica.keep_report(&report).await else {
            return false;
        };
        let is_due = is_fresh || checked.elapsed() > CHECK;
        if is_due && self.check_rooms(replica).await {
            *checked = Instant::now();
        }
        true
    }

    async fn check_rooms(&self, replica: &Cluster) -> bool {
        let rooms: Vec<RoomHeld> = {
            let held = self.held();
            let rooms = held.rooms.values();
            rooms
                .map(|HeldRoom { room, .. }| RoomHeld {
                    room: room.name.clone(),
                    epoch: held.epochs.of(&room.name),
                    room_id: room.id.clone(),
                })
                .collect()
        };
        let Ok(lost) = replica.lost(&self.id, rooms).await else {
            return false;
        };
        self.gate().await;
        self.with(|held| {
            for lost in lost {
                held.fence(&lost.room, lost.epoch);
            }
        });
        true
    }
}
