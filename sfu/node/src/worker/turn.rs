//! One turn of a worker: bounded batches of inputs into the shard, and its timers.
//!
//! Owns the shard and its clock. Must never wait; what the shard has for the world goes out in
//! [`output`](super::output) after each input.

use std::{
    collections::HashMap,
    io, mem,
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use plenum_proto::node::SessionEvent;
use sfu_core::{ClockAnchor, ControlId, CoreConfig, Datagram, Protocol, Shard};
use tokio::sync::mpsc;

use super::{Request, Setup, TcpInput, TcpLink};
use crate::{
    directory::Directory,
    events::EventLog,
    stats::{PUBLISH_INTERVAL, Published, WorkerStats, add_core},
    udp::{ReceiveBuffer, UdpPort},
};

/// Datagrams of each socket, frames and requests in one turn; then the others have their turn.
const BATCH: usize = 64;

/// Calls of the core's timers in one turn.
const TIMER_CALLS: usize = 16;

/// Calls of the core's timers without a rest, over turns, before it has to wait.
const MAX_RESTLESS: usize = 1024;

/// How long the core waits when it wants to be called again at once, over and over.
const STALL: Duration = Duration::from_millis(5);

/// The least by which time passes between two calls of the core's timers.
const STEP: Duration = Duration::from_micros(1);

/// What a worker waits for besides its sockets and the clock.
pub(super) struct Inputs {
    pub(super) requests: mpsc::Receiver<Request>,
    pub(super) frames: mpsc::Receiver<TcpInput>,
}

/// What ended the wait.
pub(super) enum Input {
    Request(Request),
    Tcp(TcpInput),
    /// A socket or the clock.
    Nothing,
}

/// The way out to a TCP connection.
pub(super) struct TcpWriter {
    /// Of its [`TcpLink`].
    number: u64,
    pub(super) frames: mpsc::Sender<Vec<u8>>,
}

/// The state of a worker's thread.
pub(super) struct Worker {
    pub(super) index: usize,
    pub(super) core: CoreConfig,
    anchor: ClockAnchor,
    pub(super) shard: Shard,
    pub(super) ports: Vec<UdpPort>,
    pub(super) controls: HashMap<ControlId, mpsc::Sender<SessionEvent>>,
    /// By client's address and ours.
    pub(super) tcp: HashMap<(SocketAddr, SocketAddr), TcpWriter>,
    pub(super) directory: Arc<Directory>,
    pub(super) events: Arc<EventLog>,
    /// What this worker counts itself; `core` holds the counters of shards that are gone.
    pub(super) counted: WorkerStats,
    pub(super) buffer: ReceiveBuffer,
    published: Arc<Published>,
    published_at: Instant,
    /// Something has changed since the numbers were published.
    dirty: bool,
    /// The latest time the shard was told.
    now: Instant,
    /// Calls of the shard's timers since it last wanted to be called in the future only.
    restless: usize,
    /// No earlier than this are timers called.
    stalled_until: Option<Instant>,
    wake_at: Option<Instant>,
}

impl Worker {
    /// Makes the shard and takes over the sockets; needs the runtime of this thread.
    pub(super) fn new(setup: Setup, published: Arc<Published>) -> io::Result<Self> {
        let now = Instant::now();
        let ports = setup
            .sockets
            .into_iter()
            .map(|socket| UdpPort::new(socket, setup.send_queue))
            .collect::<io::Result<_>>()?;
        Ok(Self {
            index: setup.index,
            shard: Shard::new(setup.core.clone(), setup.anchor, rand::random()),
            core: setup.core,
            anchor: setup.anchor,
            ports,
            controls: HashMap::new(),
            tcp: HashMap::new(),
            directory: setup.directory,
            events: setup.events,
            counted: WorkerStats::default(),
            buffer: ReceiveBuffer::new(),
            published,
            published_at: now,
            dirty: false,
            now,
            restless: 0,
            stalled_until: None,
            wake_at: Some(now),
        })
    }

    /// When the next turn is due even if nothing comes in.
    pub(super) fn wake_at(&self) -> Option<Instant> {
        self.wake_at
    }

    /// Takes in what is there, up to the batch, and lets due timers fire.
    pub(super) fn turn(&mut self, first: Input, inputs: &mut Inputs) {
        self.dirty = true;
        for port in &mut self.ports {
            self.counted.udp_send_errors += port.flush();
        }
        match first {
            Input::Request(request) => self.on_request(request),
            Input::Tcp(input) => self.on_tcp(input),
            Input::Nothing => {}
        }
        for _ in 0..BATCH {
            let Ok(request) = inputs.requests.try_recv() else {
                break;
            };
            self.on_request(request);
        }
        for _ in 0..BATCH {
            let Ok(input) = inputs.frames.try_recv() else {
                break;
            };
            self.on_tcp(input);
        }
        for port in 0..self.ports.len() {
            self.receive(port);
        }
        self.fire_timers();
        if self.published_at + PUBLISH_INTERVAL <= self.now {
            self.publish();
        }
        let stalled_until = self.stalled_until;
        let timer = self
            .shard
            .poll_timeout()
            .map(|at| stalled_until.map_or(at, |s| at.max(s)));
        let publish = self.dirty.then(|| self.published_at + PUBLISH_INTERVAL);
        self.wake_at = [timer, publish].into_iter().flatten().min();
    }

    /// The numbers of this moment.
    pub(super) fn stats(&self) -> WorkerStats {
        let mut stats = self.counted.clone();
        add_core(&mut stats.core, &self.shard.stats());
        stats.controls = u64::try_from(self.controls.len()).unwrap_or(u64::MAX);
        stats
    }

    pub(super) fn publish(&mut self) {
        self.published.set(self.stats());
        self.published_at = self.now;
        self.dirty = false;
    }

    /// The time of now; never earlier than a time the shard was told before.
    pub(super) fn clock(&mut self) -> Instant {
        self.now = self.now.max(Instant::now());
        self.now
    }

    fn receive(&mut self, port: usize) {
        for _ in 0..BATCH {
            match self.ports[port].receive(&mut self.buffer) {
                Ok(Some(received)) => {
                    let now = self.clock();
                    self.shard.handle_datagram(
                        now,
                        Datagram {
                            source: received.source,
                            destination: self.ports[port].local(),
                            protocol: Protocol::Udp,
                            bytes: self.buffer.bytes(received),
                        },
                    );
                    self.drain();
                }
                Ok(None) => break,
                Err(error) => {
                    tracing::debug!(%error, "receive failed");
                    self.counted.udp_receive_errors += 1;
                    break;
                }
            }
        }
    }

    /// Calls due timers. The clock always steps, and a core that never comes to rest has to wait,
    /// so that a mistake in it cannot occupy the thread.
    fn fire_timers(&mut self) {
        let now = self.clock();
        if self.stalled_until.is_some_and(|until| now < until) {
            return;
        }
        self.stalled_until = None;
        for _ in 0..TIMER_CALLS {
            if self.shard.poll_timeout().is_none_or(|at| at > self.clock()) {
                self.restless = 0;
                return;
            }
            self.shard.handle_timeout(self.now);
            self.drain();
            self.now += STEP;
        }
        // Other inputs have their turn first; what is due stays due.
        self.restless += TIMER_CALLS;
        if self.restless >= MAX_RESTLESS {
            self.restless = 0;
            self.counted.timer_stalls += 1;
            self.stalled_until = Some(self.now + STALL);
        }
    }

    pub(super) fn on_tcp(&mut self, input: TcpInput) {
        match input {
            TcpInput::Open { link, frames } => {
                self.tcp.insert(
                    (link.remote, link.local),
                    TcpWriter {
                        number: link.number,
                        frames,
                    },
                );
            }
            TcpInput::Frame { link, bytes } => {
                if !self.is_open(link) {
                    // Closed by us a moment ago.
                    return;
                }
                let now = self.clock();
                self.shard.handle_datagram(
                    now,
                    Datagram {
                        source: link.remote,
                        destination: link.local,
                        protocol: Protocol::Tcp,
                        bytes: &bytes,
                    },
                );
                self.drain();
            }
            TcpInput::Closed { link } => {
                if self.is_open(link) {
                    self.tcp.remove(&(link.remote, link.local));
                }
            }
        }
    }

    fn is_open(&self, link: TcpLink) -> bool {
        self.tcp
            .get(&(link.remote, link.local))
            .is_some_and(|tcp| tcp.number == link.number)
    }

    /// An empty shard takes the place of one that failed, which is returned.
    pub(super) fn replace_shard(&mut self) -> Shard {
        // The next turn asks the new shard when it wants to be called.
        self.restless = 0;
        self.stalled_until = None;
        self.wake_at = Some(self.now);
        let new = Shard::new(self.core.clone(), self.anchor, rand::random());
        mem::replace(&mut self.shard, new)
    }
}
