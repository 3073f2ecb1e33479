//! A connection to another node that has shown who it is: control messages in order over one stream, media
//! by datagrams over a hop. Owns the tasks that read and write. Must not decide when to connect.
//!
//! What a slow or hostile node can make wait here is bounded: control by `RelayConfig::control_queue_bytes`,
//! past which the link is lost; media by `RelayConfig::media_queue_bytes`, past which packets are dropped;
//! what comes in by the flow control of the stream, and by the queues of the workers.

use std::{
    collections::BTreeSet,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use plenum_proto::relay::{Carried, Frame, Hello, Locate, Located, Workers, carried::Kind};
use quinn::{Connection, SendStream, VarInt};
use sfu_core::{HopReceiver, HopSender, HopStats, LinkKey, RelayFrame, RelayPacket};
use tokio::{
    sync::{Semaphore, mpsc},
    task::JoinSet,
};

use super::{
    Relay,
    wire::{self, Reader},
};
use crate::worker::Parcel;

/// Datagrams taken in before what came of them goes to the workers.
const BATCH: usize = 64;

/// How long the place of a room is held for a node that asked where it is.
const PLACE_HELD: Duration = Duration::from_secs(10);

/// Places held for one node at a time.
const PLACES_MAX: usize = 4_096;

/// A worker of this node and one of the other.
pub(super) type Between = (u8, u8);

/// Who is at the other end.
#[derive(Debug, Clone)]
pub(super) struct Remote {
    pub(super) number: u64,
    pub(super) node_id: String,
    pub(super) addresses: Vec<SocketAddr>,
    pub(super) workers: u8,
}

/// A connection whose other end has said who it is.
pub(super) struct Greeted {
    pub(super) remote: Remote,
    pub(super) connection: Connection,
    pub(super) sending: SendStream,
    pub(super) reader: Reader,
}

/// Where answers to [`Kind::Located`] and news of nodes go.
#[derive(Debug)]
pub(super) enum News {
    Located { request: u64, worker: Option<u8> },
}

/// A connection in use.
pub(super) struct Link {
    pub(super) remote: Remote,
    relay: Arc<Relay>,
    connection: Connection,
    outgoing: mpsc::UnboundedSender<Vec<u8>>,
    /// Bytes in `outgoing`.
    queued: Arc<AtomicUsize>,
    media: Arc<Media>,
    /// Workers that have something from each other; ours first.
    pub(super) used: Arc<Mutex<BTreeSet<Between>>>,
    scratch: Vec<u8>,
    tasks: JoinSet<()>,
}

/// Media of a connection, both directions.
pub(super) struct Media {
    connection: Connection,
    sender: Mutex<HopSender>,
    received: Mutex<HopStats>,
}

impl Media {
    /// What the hop counted, both directions.
    pub(super) fn stats(&self) -> HopStats {
        let mut stats = *lock(&self.received);
        stats.add(&lock(&self.sender).stats());
        stats
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    fn send(&self, datagram: Bytes) {
        // One that no longer fits is asked for in vain; a lost connection shows elsewhere.
        let _ = self.connection.send_datagram(datagram);
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.connection.datagram_send_buffer_space() > bytes
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // Nothing panics half-way through a change.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Link {
    /// Starts reading and writing.
    pub(super) fn start(relay: &Arc<Relay>, greeted: Greeted, news: mpsc::Sender<News>) -> Self {
        let Greeted {
            remote,
            connection,
            sending,
            mut reader,
        } = greeted;
        reader.allow(wire::MESSAGE_MAX);
        let (outgoing, queue) = mpsc::unbounded_channel();
        let queued = Arc::new(AtomicUsize::new(0));
        let used = Arc::new(Mutex::new(BTreeSet::new()));
        let media = Arc::new(Media {
            connection: connection.clone(),
            sender: Mutex::default(),
            received: Mutex::default(),
        });
        let mut tasks = JoinSet::new();
        let incoming = Incoming {
            relay: Arc::clone(relay),
            remote: remote.clone(),
            answers: outgoing.clone(),
            queued: Arc::clone(&queued),
            used: Arc::clone(&used),
            news,
            places: Arc::new(Semaphore::new(PLACES_MAX)),
        };
        let closing = connection.clone();
        tasks.spawn(async move {
            let ended = incoming.read(reader).await;
            tracing::debug!(?ended, "relay stream ended");
            closing.close(VarInt::from_u32(0), b"stream ended");
        });
        tasks.spawn(write(
            connection.clone(),
            sending,
            queue,
            Arc::clone(&queued),
        ));
        tasks.spawn(receive(
            Arc::clone(relay),
            remote.number,
            Arc::clone(&media),
        ));
        relay.links_changed(remote.number, Some(Arc::clone(&media)));
        Self {
            remote,
            relay: Arc::clone(relay),
            connection,
            outgoing,
            queued,
            media,
            used,
            scratch: Vec::new(),
            tasks,
        }
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    /// Sends frames of one worker to one of the other node; false when the link is to be given up.
    pub(super) fn send(&mut self, between: Between, frames: Vec<RelayFrame>) -> bool {
        let now = Instant::now();
        for frame in frames {
            let may_drop = frame.may_drop();
            match frame {
                RelayFrame::Media(packet) => self.send_media(now, between, &packet),
                RelayFrame::Control(control) => {
                    let frame = Kind::Frame(Frame {
                        between: Some(workers(between)),
                        control: Some(*control),
                    });
                    if !self.tell(frame, may_drop) {
                        return false;
                    }
                }
            }
        }
        true
    }

    fn send_media(&mut self, now: Instant, between: Between, packet: &RelayPacket) {
        self.scratch.clear();
        self.scratch.extend([between.0, between.1]);
        packet.encode(&mut self.scratch);
        let room = self.connection.max_datagram_size().unwrap_or(0);
        let is_sent = self.media.has_room(2 * self.scratch.len())
            && lock(&self.media.sender).send(now, &self.scratch, room, |d| self.media.send(d));
        if !is_sent {
            self.relay.counters.media_dropped(1);
        }
    }

    /// Sends a message; false when so much waits that the link is to be given up.
    pub(super) fn tell(&self, kind: Kind, may_drop: bool) -> bool {
        let most = self.relay.config.control_queue_bytes;
        let waiting = self.queued.load(Ordering::Relaxed);
        if may_drop && waiting > most / 4 {
            self.relay.counters.media_dropped(1);
            return true;
        }
        let bytes = wire::encode(kind);
        if waiting + bytes.len() > most || bytes.len() > wire::MESSAGE_MAX {
            return false;
        }
        push(&self.outgoing, &self.queued, bytes);
        true
    }

    /// When [`Link::handle_timeout`] wants to be called.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        lock(&self.media.sender).poll_timeout()
    }

    pub(super) fn handle_timeout(&self, now: Instant) {
        lock(&self.media.sender).handle_timeout(now, |datagram| self.media.send(datagram));
    }

    /// Ends it: nothing more comes of it. The workers that had something from each other.
    pub(super) async fn end(mut self) -> BTreeSet<Between> {
        self.tasks.shutdown().await;
        std::mem::take(&mut *lock(&self.used))
    }

    pub(super) fn note(&self, between: Between) {
        lock(&self.used).insert(between);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.connection.close(VarInt::from_u32(0), b"");
        self.relay.links_changed(self.remote.number, None);
        self.relay.counters.link_ended(&self.media);
    }
}

pub(super) fn workers((from, to): Between) -> Workers {
    Workers {
        from: from.into(),
        to: to.into(),
    }
}

fn push(queue: &mpsc::UnboundedSender<Vec<u8>>, queued: &AtomicUsize, bytes: Vec<u8>) {
    queued.fetch_add(bytes.len(), Ordering::Relaxed);
    // Without a writer the connection is gone, which shows elsewhere.
    let _ = queue.send(bytes);
}

async fn write(
    connection: Connection,
    mut stream: SendStream,
    mut queue: mpsc::UnboundedReceiver<Vec<u8>>,
    queued: Arc<AtomicUsize>,
) {
    while let Some(bytes) = queue.recv().await {
        let outcome = wire::write(&mut stream, &bytes).await;
        queued.fetch_sub(bytes.len(), Ordering::Relaxed);
        if outcome.is_err() {
            break;
        }
    }
    connection.close(VarInt::from_u32(0), b"stream ended");
}

/// What comes on the stream.
struct Incoming {
    relay: Arc<Relay>,
    remote: Remote,
    answers: mpsc::UnboundedSender<Vec<u8>>,
    queued: Arc<AtomicUsize>,
    used: Arc<Mutex<BTreeSet<Between>>>,
    news: mpsc::Sender<News>,
    places: Arc<Semaphore>,
}

impl Incoming {
    async fn read(self, mut reader: Reader) -> Result<(), wire::WireError> {
        loop {
            let mut next = reader.next().await?;
            // What came together goes to a worker together.
            let mut frames: Vec<RelayFrame> = Vec::new();
            let mut last = None;
            loop {
                let together = next.as_ref().and_then(between_of);
                if last != together && !frames.is_empty() {
                    self.pass(last, std::mem::take(&mut frames)).await;
                }
                last = together;
                match next {
                    Some(Kind::Frame(Frame { control, .. })) => {
                        frames.extend(control.map(|c| RelayFrame::Control(Box::new(c))));
                    }
                    Some(other) => self.on_other(other).await,
                    None => {}
                }
                match reader.take()? {
                    Some(Carried { kind }) => next = kind,
                    None => break,
                }
            }
            if !frames.is_empty() {
                self.pass(last, frames).await;
            }
        }
    }

    /// Gives a worker what is for it.
    async fn pass(&self, between: Option<Between>, frames: Vec<RelayFrame>) {
        let Some((to, from)) = between else { return };
        let link = LinkKey::new(self.remote.number, from);
        if self.relay.is_worker(to) {
            lock(&self.used).insert((to, from));
            self.relay.to_worker(to, link, Parcel::Frames(frames)).await;
        }
    }

    async fn on_other(&self, kind: Kind) {
        match kind {
            Kind::Nodes(nodes) => {
                for hello in &nodes.nodes {
                    self.relay.learn_hello(hello);
                }
            }
            Kind::Lost(workers) => {
                let Some((to, from)) = own_first(&workers) else {
                    return;
                };
                let link = LinkKey::new(self.remote.number, from);
                self.relay.to_worker(to, link, Parcel::Lost).await;
            }
            Kind::Locate(locate) => self.locate(&locate),
            Kind::Located(located) => {
                let worker = located.worker.and_then(|worker| u8::try_from(worker).ok());
                let request = located.request;
                // Who asked has the time for it.
                let _ = self.news.send(News::Located { request, worker }).await;
            }
            // Said already, or handled where frames are.
            Kind::Hello(_) | Kind::Frame(_) => {}
        }
    }

    fn locate(&self, locate: &Locate) {
        let Ok(held) = Arc::clone(&self.places).try_acquire_owned() else {
            return;
        };
        let directory = &self.relay.directory;
        let admitted = directory.admit(&locate.room, locate.epoch).is_ok();
        let place = admitted.then(|| directory.place(&locate.room));
        let worker = place.as_ref().and_then(|place| {
            let heir = || directory.heir(&locate.room, self.remote.number);
            place.home_here().or_else(heir)
        });
        let answer = Kind::Located(Located {
            request: locate.request,
            worker: worker.map(u32::from),
        });
        push(&self.answers, &self.queued, wire::encode(answer));
        let stop = self.relay.stop.clone();
        tokio::spawn(async move {
            // Until the one who asked has attached to it.
            let _ = tokio::time::timeout(PLACE_HELD, stop.cancelled()).await;
            drop((place, held));
        });
    }
}

/// Whom a frame is between, this node's worker first.
fn between_of(kind: &Kind) -> Option<Between> {
    match kind {
        Kind::Frame(frame) => own_first(frame.between.as_ref()?),
        _ => None,
    }
}

fn own_first(workers: &Workers) -> Option<Between> {
    let worker = |number: u32| u8::try_from(number).ok().filter(|n| *n < 64);
    Some((worker(workers.to)?, worker(workers.from)?))
}

/// Takes media in, and asks for what is missing.
async fn receive(relay: Arc<Relay>, number: u64, media: Arc<Media>) {
    let mut hop = HopReceiver::default();
    let mut batch: Vec<(u8, u8, Vec<RelayFrame>)> = Vec::new();
    loop {
        let timeout = hop.poll_timeout();
        let first = tokio::select! {
            datagram = media.connection.read_datagram() => match datagram {
                Ok(datagram) => Some(datagram),
                Err(_) => return,
            },
            () = sleep_until(timeout) => None,
        };
        let (now, rtt) = (Instant::now(), media.connection.rtt());
        let mut next = first;
        for index in 0..BATCH {
            let Some(datagram) = next.take() else { break };
            let received = hop.handle(now, rtt, &datagram);
            if !received.missing.is_empty() {
                let mut sender = lock(&media.sender);
                sender.on_missing(now, &received.missing, |d| media.send(d));
            }
            if let Some(message) = received.message {
                sort(&relay, now, &message, &mut batch);
            }
            if index + 1 < BATCH {
                let more = media.connection.read_datagram().now_or_never();
                next = more.and_then(Result::ok);
            }
        }
        hop.handle_timeout(Instant::now(), rtt, |datagram| media.send(datagram));
        for (to, from, frames) in batch.drain(..) {
            let link = LinkKey::new(number, from);
            let count = frames.len() as u64;
            if !relay.try_to_worker(to, link, Parcel::Frames(frames)) {
                relay.counters.media_dropped(count);
            }
        }
        *lock(&media.received) = hop.stats();
    }
}

/// Puts a packet to the others for its worker.
fn sort(relay: &Relay, now: Instant, message: &[u8], batch: &mut Vec<(u8, u8, Vec<RelayFrame>)>) {
    let decoded = match message {
        [from, to, packet @ ..] if *from < 64 && relay.is_worker(*to) => {
            RelayPacket::decode(now, packet).map(|packet| (*to, *from, packet))
        }
        _ => return relay.counters.malformed(),
    };
    let Ok((to, from, packet)) = decoded else {
        return relay.counters.malformed();
    };
    let frame = RelayFrame::Media(Arc::new(packet));
    match batch.iter_mut().find(|(t, f, _)| (*t, *f) == (to, from)) {
        Some((.., frames)) => frames.push(frame),
        None => batch.push((to, from, vec![frame])),
    }
}

/// Waits until a moment, or for ever.
pub(super) async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// Who a node says it is; `None` when that cannot be.
pub(super) fn remote_of(hello: &Hello) -> Option<Remote> {
    /// Addresses of one node.
    const ADDRESSES_MAX: usize = 8;
    let id: plenum_proto::ids::NodeId = hello.node_id.parse().ok()?;
    let addresses = hello.addresses.iter().take(ADDRESSES_MAX);
    Some(Remote {
        number: id.number(),
        node_id: hello.node_id.clone(),
        addresses: addresses.filter_map(|text| text.parse().ok()).collect(),
        workers: u8::try_from(hello.workers).ok().filter(|n| *n <= 64)?,
    })
}
