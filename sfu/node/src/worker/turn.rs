//! One turn of a worker: bounded batches of inputs into the shard, and its timers.
//!
//! Owns the shard and its clock. Must never wait; what the shard has for the world goes out in
//! [`output`](super::output). Datagrams go in by whole batches before anything goes out, so that what
//! one subscriber gets lies together and leaves in runs.

use std::{
    collections::HashMap,
    io, mem,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use bytes::{Bytes, BytesMut};
use plenum_proto::node::SessionEvent;
use sfu_core::{
    ClockAnchor, ControlId, CoreConfig, Datagram, LinkKey, PlainDatagram, Protocol, Shard,
};
use tokio::sync::mpsc;
use tokio_util::sync::WaitForCancellationFutureOwned;

use super::{
    PlainInput, Request, Setup, TcpInput, TcpLink,
    budget::{Budget, select_feed},
    reactor::Ready,
    relay::{Incoming, Outgoing, Parcel},
};
use crate::{
    directory::Directory,
    events::EventLog,
    homes::Homeless,
    stats::{PUBLISH_INTERVAL, Published, WorkerStats, add_core},
    udp::{Batch, UdpPort},
};

/// Requests and frames in one turn; then the others have their turn.
const BATCH: usize = 64;

/// How long a turn may go on taking requests: one costs from microseconds to, for a description of many sections, some
/// milliseconds, and dozens come at once when a node is lost.
const REQUESTS: Duration = Duration::from_millis(2);

/// Packets of plain RTP in one turn.
const PLAIN_BATCH: usize = 256;

/// Calls of the core's timers in one turn.
const TIMER_CALLS: usize = 16;

/// How long a turn may go on calling them: a core that has much to offer wants to be called again at once, and media
/// has its turn in between.
const TIMERS: Duration = Duration::from_millis(2);

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
    pub(super) plain: mpsc::Receiver<PlainInput>,
    /// What other workers send.
    pub(super) relayed: Incoming,
    /// The node stops.
    pub(super) stop: Pin<Box<WaitForCancellationFutureOwned>>,
}

/// What is there besides datagrams.
pub(super) enum Input {
    Stop,
    Request(Request),
    Tcp(TcpInput),
    Plain(PlainInput),
    Relayed(LinkKey, Parcel),
}

impl Inputs {
    /// The next input. Without one, the first to come wakes the thread.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Option<Input> {
        if self.stop.as_mut().poll(context).is_ready() {
            return Some(Input::Stop);
        }
        // A channel without senders has nothing more to say.
        if let Poll::Ready(Some(request)) = self.requests.poll_recv(context) {
            return Some(Input::Request(request));
        }
        if let Poll::Ready(Some(input)) = self.frames.poll_recv(context) {
            return Some(Input::Tcp(input));
        }
        if let Poll::Ready(Some(input)) = self.plain.poll_recv(context) {
            return Some(Input::Plain(input));
        }
        let (link, parcel) = self.relayed.poll(context)?;
        Some(Input::Relayed(link, parcel))
    }
}

/// The way out to a TCP connection.
pub(super) struct TcpWriter {
    /// Of its [`TcpLink`].
    number: u64,
    pub(super) frames: mpsc::Sender<Bytes>,
    /// Where frames are written before they go.
    pub(super) room: BytesMut,
}

/// The state of a worker's thread.
pub(super) struct Worker {
    pub(super) index: usize,
    pub(super) core: CoreConfig,
    anchor: ClockAnchor,
    pub(super) shard: Shard,
    pub(super) ports: Vec<UdpPort>,
    pub(super) controls: HashMap<ControlId, mpsc::Sender<SessionEvent>>,
    /// Where RTCP for the senders of plain RTP goes.
    pub(super) plain: HashMap<ControlId, mpsc::Sender<(u8, Vec<u8>)>>,
    /// By client's address and ours.
    pub(super) tcp: HashMap<(SocketAddr, SocketAddr), TcpWriter>,
    pub(super) directory: Arc<Directory>,
    pub(super) events: Arc<EventLog>,
    pub(super) homeless: Homeless,
    pub(super) outgoing: Outgoing,
    /// What this worker counts itself; `core` holds the counters of shards that are gone.
    pub(super) counted: WorkerStats,
    /// Datagrams received and not yet put to the shard.
    batch: Batch,
    /// Datagrams put to the shard before it is asked what to send.
    feed: usize,
    /// The port that has the first turn.
    first_port: usize,
    pub(super) budget: Budget,
    /// The shard has something to send that the budget did not cover.
    pub(super) has_backlog: bool,
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
    /// Makes the shard and takes over the sockets.
    pub(super) fn new(
        setup: Setup,
        outgoing: Outgoing,
        published: Arc<Published>,
    ) -> io::Result<Self> {
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
            plain: HashMap::new(),
            tcp: HashMap::new(),
            directory: setup.directory,
            events: setup.events,
            homeless: setup.homeless,
            outgoing,
            counted: WorkerStats::default(),
            batch: Batch::new(),
            feed: select_feed(0, 0, Duration::ZERO),
            first_port: 0,
            budget: Budget::new(now),
            has_backlog: false,
            published,
            published_at: now,
            dirty: false,
            now,
            restless: 0,
            stalled_until: None,
            wake_at: Some(now),
        })
    }

    /// How long the thread may sleep if nothing comes in; `None` is without end.
    pub(super) fn may_sleep(&self) -> Option<Duration> {
        if self.has_backlog || !self.batch.is_empty() {
            return Some(Duration::ZERO);
        }
        let wake_at = self.wake_at?;
        Some(wake_at.saturating_duration_since(Instant::now()))
    }

    /// Takes in what is there, up to the budget, and lets due timers fire. Requests and timers have
    /// their turn even when datagrams alone would fill it.
    pub(super) fn turn(&mut self, first: Option<Input>, inputs: &mut Inputs, ready: &[Ready]) {
        let began = self.clock();
        self.on_turn(began);
        for (port, ready) in self.ports.iter_mut().zip(ready) {
            if ready.to_write {
                port.flush_waiting();
            }
        }
        match first {
            Some(Input::Request(request)) => self.on_request(request),
            Some(Input::Tcp(input)) => self.on_tcp(input),
            Some(Input::Plain(input)) => self.on_plain(&input),
            Some(Input::Relayed(link, parcel)) => self.on_relayed(link, parcel),
            Some(Input::Stop) | None => {}
        }
        for _ in 0..BATCH {
            if self.clock() >= began + REQUESTS {
                break;
            }
            let Ok(request) = inputs.requests.try_recv() else {
                break;
            };
            self.on_request(request);
        }
        // However long those took, media has its time.
        self.budget = Budget::new(self.clock());
        for _ in 0..BATCH {
            let Ok(input) = inputs.frames.try_recv() else {
                break;
            };
            self.on_tcp(input);
        }
        for _ in 0..PLAIN_BATCH {
            let Ok(input) = inputs.plain.try_recv() else {
                break;
            };
            self.on_plain(&input);
        }
        self.take_relayed(&mut inputs.relayed);
        // Frames of TCP wait for this, and what the last turn left.
        self.drain();
        self.receive(ready);
        self.fire_timers();
        self.flush_relay();
        self.after_turn(began);
    }

    fn on_turn(&mut self, began: Instant) {
        self.dirty = true;
        self.budget = Budget::new(began);
        self.counted.turns += 1;
        if let Some(wake_at) = self.wake_at {
            let lag = began.saturating_duration_since(wake_at);
            self.counted.lag_max = self.counted.lag_max.max(lag);
        }
    }

    fn after_turn(&mut self, began: Instant) {
        let took = self.clock().saturating_duration_since(began);
        self.counted.busy += took;
        self.counted.turn_max = self.counted.turn_max.max(took);
        if self.published_at + PUBLISH_INTERVAL <= self.now {
            self.publish();
        }
        let stalled_until = self.stalled_until;
        let timer = self
            .shard
            .poll_timeout()
            .map(|at| stalled_until.map_or(at, |s| at.max(s)));
        let publish = self.dirty.then(|| self.published_at + PUBLISH_INTERVAL);
        let relay = self.outgoing.retry_at(self.now);
        self.wake_at = [timer, publish, relay].into_iter().flatten().min();
    }

    /// The numbers of this moment.
    pub(super) fn stats(&self) -> WorkerStats {
        let mut stats = self.counted.clone();
        add_core(&mut stats.core, &self.shard.stats());
        for port in &self.ports {
            stats.udp.add(&port.stats());
        }
        stats.controls = u64::try_from(self.controls.len()).unwrap_or(u64::MAX);
        stats
    }

    pub(super) fn publish(&mut self) {
        self.published.set(self.stats());
        self.published_at = self.now;
        self.dirty = false;
        self.counted.turn_max = Duration::ZERO;
        self.counted.lag_max = Duration::ZERO;
    }

    /// The time of now; never earlier than a time the shard was told before.
    pub(super) fn clock(&mut self) -> Instant {
        self.now = self.now.max(Instant::now());
        self.now
    }

    /// Receives from the ports that have something, until they have nothing or the budget is spent.
    fn receive(&mut self, ready: &[Ready]) {
        // What the last turn left comes before anything newer.
        self.feed();
        let ports = self.ports.len();
        let first = (self.first_port + 1) % ports.max(1);
        self.first_port = first;
        for port in (0..ports).map(|i| (first + i) % ports) {
            let mut has_more = ready.get(port).is_some_and(|ready| ready.to_read);
            while has_more && self.may_receive() {
                // An error may be about one datagram: the next wait shows if there are more.
                has_more = match self.ports[port].receive(&mut self.batch) {
                    Ok(has_more) => has_more,
                    Err(error) => {
                        tracing::debug!(%error, "receive failed");
                        false
                    }
                };
                self.feed();
            }
        }
    }

    fn may_receive(&self) -> bool {
        self.batch.is_empty() && !self.has_backlog && self.budget.receivable() > 0
    }

    /// Puts the datagrams of the batch to the shard, and sends what comes of them, part by part.
    fn feed(&mut self) {
        while !self.batch.is_empty() && !self.has_backlog && self.budget.receivable() > 0 {
            let now = self.clock();
            let most = self.budget.receivable().min(self.feed);
            let mut fed = 0;
            while fed < most
                && let Some(received) = self.batch.next()
            {
                self.shard.handle_datagram(
                    now,
                    Datagram {
                        source: received.source,
                        destination: received.local,
                        protocol: Protocol::Udp,
                        bytes: received.bytes,
                    },
                );
                fed += 1;
            }
            self.budget.on_received(now, fed);
            self.drain();
            // What did not go out in this turn takes longer than it may.
            let took = if self.has_backlog {
                Duration::MAX
            } else {
                self.clock().saturating_duration_since(now)
            };
            self.feed = select_feed(self.feed, fed, took);
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
            if self.clock() >= now + TIMERS {
                return;
            }
        }
        // Other inputs have their turn first; what is due stays due.
        self.restless += TIMER_CALLS;
        if self.restless >= MAX_RESTLESS {
            self.restless = 0;
            self.counted.timer_stalls += 1;
            self.stalled_until = Some(self.now + STALL);
        }
    }

    fn on_plain(&mut self, input: &PlainInput) {
        let now = self.clock();
        self.shard.handle_plain(
            now,
            PlainDatagram {
                control: input.control,
                section: input.section,
                bytes: &input.bytes,
            },
        );
    }

    pub(super) fn on_tcp(&mut self, input: TcpInput) {
        match input {
            TcpInput::Open { link, frames } => {
                self.tcp.insert(
                    (link.remote, link.local),
                    TcpWriter {
                        number: link.number,
                        frames,
                        room: BytesMut::new(),
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
        self.has_backlog = false;
        self.wake_at = Some(self.now);
        let new = Shard::new(self.core.clone(), self.anchor, rand::random());
        mem::replace(&mut self.shard, new)
    }
}
