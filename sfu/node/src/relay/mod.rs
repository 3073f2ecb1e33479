//! Rooms over several nodes: the connections of this node with others, over QUIC (RFC 9000, with datagrams,
//! RFC 9221). Owns the endpoints, who is known, and the way from a worker here to one there. Must not look
//! into what rooms are; the shards at both ends do.
//!
//! A node calls another when something is to be sent there, and knows where by a join that names the home of
//! its room, or by a third node that is connected with both. [`keys`] says who may connect, [`greet`] how,
//! [`peer`] keeps one connection for each pair of nodes, [`link`] carries frames over it.

mod congestion;
mod counters;
mod greet;
mod keys;
mod link;
mod peer;
mod wire;

use std::{
    collections::{BTreeMap, btree_map::Entry},
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use plenum_proto::{
    ids::NodeId,
    node::HomeNode,
    relay::{Hello, Nodes},
};
use quinn::{Endpoint, EndpointConfig, IdleTimeout, TokioRuntime, TransportConfig, VarInt};
use sfu_core::LinkKey;
use tokio::{
    runtime::Handle,
    sync::{Semaphore, mpsc, oneshot},
};
use tokio_util::sync::CancellationToken;

use self::{
    counters::Counters,
    greet::Offer,
    link::{Media, Remote, lock, remote_of},
    peer::{Order, Peer, Question, Ways},
};
use crate::{
    bind::{BindError, told},
    config::{RelayConfig, UdpConfig},
    directory::Directory,
    stats::RelayStats,
    udp,
    worker::Parcel,
};

pub(crate) use peer::Bundle;

/// Connections that came in and have not said who they are.
const PENDING_MAX: usize = 64;

/// Bytes of a stream, and of a connection, that may come before they are read.
const STREAM_WINDOW: u32 = 2 * 1024 * 1024;

/// Bytes of datagrams that may come before they are read.
const RECEIVE_BUFFER: usize = 8 * 1024 * 1024;

/// How long it may take to find out where a room is.
const LOCATE: Duration = Duration::from_secs(5);

/// How long a node that stops waits for the others to take note.
const CLOSING: Duration = Duration::from_millis(300);

/// Why there is no relay.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// An address of the settings cannot be used.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// The secret is no use.
    #[error("{0}")]
    Keys(String),
}

/// Why the home of a room is not found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LocateError {
    /// Too many nodes are known, or the id is none.
    #[error("join.home: node \"{0}\" cannot be spoken to")]
    Unknown(String),
    /// It gives no answer.
    #[error("the home of the room, node \"{0}\", gives no answer")]
    NoAnswer(String),
    /// It is not the home.
    #[error("node \"{0}\" is not the home of the room")]
    NotHome(String),
}

/// The relay of a node.
pub(crate) struct Relay {
    own: Hello,
    number: u64,
    config: RelayConfig,
    endpoints: Vec<(SocketAddr, Endpoint)>,
    client: quinn::ClientConfig,
    workers: Vec<mpsc::Sender<(LinkKey, Parcel)>>,
    directory: Arc<Directory>,
    peers: Mutex<BTreeMap<u64, Known>>,
    links: Mutex<BTreeMap<u64, Arc<Media>>>,
    counters: Counters,
    pending: Arc<Semaphore>,
    stop: CancellationToken,
    /// Where its tasks run: workers, whose threads have no runtime, may be the first to speak to a node.
    runtime: Handle,
}

/// What is known of another node.
struct Known {
    node_id: String,
    addresses: Vec<SocketAddr>,
    workers: u8,
    ways: Ways,
}

/// What a relay is made of.
pub(crate) struct Setup<'a> {
    pub(crate) config: RelayConfig,
    pub(crate) udp: &'a UdpConfig,
    pub(crate) node: &'a NodeId,
    /// The way into each worker.
    pub(crate) workers: Vec<mpsc::Sender<(LinkKey, Parcel)>>,
    pub(crate) directory: Arc<Directory>,
    pub(crate) stop: CancellationToken,
}

impl Relay {
    /// Binds and listens. Needs a tokio runtime.
    pub(crate) fn start(setup: Setup<'_>) -> Result<Arc<Self>, RelayError> {
        let Setup {
            config,
            udp,
            node,
            workers,
            directory,
            stop,
        } = setup;
        let keys = keys::Keys::of_secret(&config.secret.0)
            .map_err(|error| RelayError::Keys(error.to_string()))?;
        let transport = Arc::new(transport(&config));
        let mut client = quinn::ClientConfig::new(keys.client);
        client.transport_config(Arc::clone(&transport));
        let mut server = quinn::ServerConfig::with_crypto(keys.server);
        server
            .transport_config(transport)
            .migration(false)
            .max_incoming(PENDING_MAX)
            .incoming_buffer_size(64 * 1024)
            .incoming_buffer_size_total(1024 * 1024);
        let (mut endpoints, mut addresses) = (Vec::new(), Vec::new());
        for address in &config.listen {
            let error = |source| BindError {
                protocol: "UDP",
                address: *address,
                source,
            };
            let socket = udp::bind(*address, udp).map_err(error)?;
            let local = socket.local_addr().map_err(error)?;
            let settings = EndpointConfig::default();
            let server = Some(server.clone());
            let endpoint = Endpoint::new(settings, server, socket, Arc::new(TokioRuntime));
            endpoints.push((local, endpoint.map_err(error)?));
            addresses.extend(told(local, &config.advertise, 0));
        }
        let own = Hello {
            node_id: node.into(),
            addresses: addresses.iter().map(SocketAddr::to_string).collect(),
            workers: u32::try_from(workers.len()).unwrap_or(u32::MAX),
            callee: String::new(),
        };
        let relay = Arc::new(Self {
            own,
            number: node.number(),
            config,
            endpoints,
            client,
            workers,
            directory,
            peers: Mutex::default(),
            links: Mutex::default(),
            counters: Counters::default(),
            pending: Arc::new(Semaphore::new(PENDING_MAX)),
            stop,
            runtime: Handle::current(),
        });
        for (_, endpoint) in &relay.endpoints {
            tokio::spawn(greet::listen(Arc::clone(&relay), endpoint.clone()));
        }
        Ok(relay)
    }

    /// Where other nodes reach this one.
    pub(crate) fn addresses(&self) -> &[String] {
        &self.own.addresses
    }

    /// The way to a node for what the workers send; none when there are too many nodes. Needs no runtime.
    pub(crate) fn bundles(self: &Arc<Self>, number: u64) -> Option<mpsc::Sender<Bundle>> {
        Some(self.ways(number)?.bundles)
    }

    /// The link to the worker that is home of a room, on the node that is.
    pub(crate) async fn locate(
        self: &Arc<Self>,
        home: &HomeNode,
        room: &str,
    ) -> Result<LinkKey, LocateError> {
        let node = || home.node_id.clone();
        let unknown = || LocateError::Unknown(node());
        let remote = remote_of(&Hello {
            node_id: node(),
            addresses: home.relay_addresses.clone(),
            ..Hello::default()
        });
        let remote = remote.ok_or_else(unknown)?;
        self.learn(&remote);
        let ways = self.ways(remote.number).ok_or_else(unknown)?;
        let (answer, answered) = oneshot::channel();
        let question = Question {
            room: room.to_owned(),
            epoch: home.epoch,
        };
        let asked = async {
            let ask = Order::Ask(question, answer);
            ways.orders.send(ask).await.ok()?;
            answered.await.ok()
        };
        let located = tokio::time::timeout(LOCATE, asked).await.ok().flatten();
        let worker = located.ok_or_else(|| LocateError::NoAnswer(node()))?;
        let worker = worker.ok_or_else(|| LocateError::NotHome(node()))?;
        Ok(LinkKey::new(remote.number, worker))
    }

    /// The id of the node at the other end of a link.
    pub(crate) fn node_of(&self, link: LinkKey) -> Option<String> {
        self.name_of(link.node())
    }

    /// Numbers of this moment.
    pub(crate) fn stats(&self) -> RelayStats {
        let links: Vec<Arc<Media>> = lock(&self.links).values().cloned().collect();
        self.counters.stats(&links)
    }

    /// Tells the other nodes that this one is gone.
    pub(crate) async fn close(&self) {
        for (_, endpoint) in &self.endpoints {
            endpoint.close(VarInt::from_u32(0), b"the node stops");
            // Whoever does not take note finds out by itself.
            let _ = tokio::time::timeout(CLOSING, endpoint.wait_idle()).await;
        }
    }

    fn ways(self: &Arc<Self>, number: u64) -> Option<Ways> {
        let mut peers = lock(&self.peers);
        self.known(&mut peers, number)
            .map(|known| known.ways.clone())
    }

    fn known<'a>(
        self: &Arc<Self>,
        peers: &'a mut BTreeMap<u64, Known>,
        number: u64,
    ) -> Option<&'a mut Known> {
        let count = peers.len();
        match peers.entry(number) {
            Entry::Occupied(entry) => Some(entry.into_mut()),
            Entry::Vacant(_) if count >= self.config.max_nodes || number == self.number => None,
            Entry::Vacant(entry) => Some(entry.insert(Known {
                node_id: String::new(),
                addresses: Vec::new(),
                workers: 0,
                ways: Peer::start(self, number),
            })),
        }
    }

    /// Takes note of where a node is.
    fn learn(self: &Arc<Self>, remote: &Remote) {
        let mut peers = lock(&self.peers);
        let Some(known) = self.known(&mut peers, remote.number) else {
            return;
        };
        known.node_id.clone_from(&remote.node_id);
        known.workers = known.workers.max(remote.workers);
        if !remote.addresses.is_empty() && known.addresses != remote.addresses {
            known.addresses.clone_from(&remote.addresses);
            known.ways.addresses.send_replace(remote.addresses.clone());
        }
    }

    fn learn_hello(self: &Arc<Self>, hello: &Hello) {
        if let Some(remote) = remote_of(hello) {
            self.learn(&remote);
        }
    }

    /// Nothing goes to a node any more.
    fn forget(&self, number: u64) {
        lock(&self.peers).remove(&number);
    }

    fn name_of(&self, number: u64) -> Option<String> {
        let peers = lock(&self.peers);
        let known = peers.get(&number)?;
        (!known.node_id.is_empty()).then(|| known.node_id.clone())
    }

    /// The nodes this one is connected with, but for one.
    fn neighbours(&self, except: u64) -> Nodes {
        let links: Vec<u64> = lock(&self.links).keys().copied().collect();
        let peers = lock(&self.peers);
        let others = links.iter().filter(|number| **number != except);
        let nodes = others
            .filter_map(|number| peers.get(number))
            .map(Known::hello);
        Nodes {
            nodes: nodes.collect(),
        }
    }

    /// Tells the other nodes of one that came.
    fn introduce(&self, remote: &Remote) {
        let hello = Known::hello_of(&remote.node_id, &remote.addresses, remote.workers);
        let linked: Vec<u64> = lock(&self.links).keys().copied().collect();
        for (number, known) in &*lock(&self.peers) {
            if *number != remote.number && linked.contains(number) {
                let (orders, hello) = (known.ways.orders.clone(), hello.clone());
                tokio::spawn(async move {
                    // A peer that is gone needs no news.
                    let _ = orders.send(Order::Introduce(hello)).await;
                });
            }
        }
    }

    async fn offer(self: &Arc<Self>, offer: Offer) {
        let number = offer.remote.number;
        self.learn(&offer.remote);
        match self.ways(number) {
            Some(ways) => {
                let order = Order::Offer(Box::new(offer));
                // As above.
                let _ = ways.orders.send(order).await;
            }
            None => {
                self.counters.refused();
                offer.refuse();
            }
        }
    }

    fn endpoint_for(&self, address: SocketAddr) -> Option<&Endpoint> {
        let mut endpoints = self.endpoints.iter();
        let found = endpoints.find(|(local, _)| local.is_ipv4() == address.is_ipv4());
        found.map(|(_, endpoint)| endpoint)
    }

    fn is_worker(&self, worker: u8) -> bool {
        usize::from(worker) < self.workers.len()
    }

    /// Hands a worker what came for it; waits until there is room.
    async fn to_worker(&self, worker: u8, link: LinkKey, parcel: Parcel) {
        if let Some(way) = self.workers.get(usize::from(worker)) {
            // A worker that has stopped needs nothing.
            let _ = way.send((link, parcel)).await;
        }
    }

    /// The same without waiting; false when there is no room.
    fn try_to_worker(&self, worker: u8, link: LinkKey, parcel: Parcel) -> bool {
        let way = self.workers.get(usize::from(worker));
        way.is_some_and(|way| way.try_send((link, parcel)).is_ok())
    }

    fn links_changed(&self, number: u64, media: Option<Arc<Media>>) {
        let mut links = lock(&self.links);
        match media {
            Some(media) => links.insert(number, media),
            None => links.remove(&number),
        };
    }
}

impl Known {
    fn hello(&self) -> Hello {
        Self::hello_of(&self.node_id, &self.addresses, self.workers)
    }

    fn hello_of(node_id: &str, addresses: &[SocketAddr], workers: u8) -> Hello {
        Hello {
            node_id: node_id.to_owned(),
            addresses: addresses.iter().map(SocketAddr::to_string).collect(),
            workers: workers.into(),
            callee: String::new(),
        }
    }
}

fn transport(config: &RelayConfig) -> TransportConfig {
    let mut transport = TransportConfig::default();
    // At most an hour, by the checks of the settings.
    let idle = IdleTimeout::try_from(config.idle_timeout).ok();
    transport
        .max_concurrent_bidi_streams(VarInt::from_u32(1))
        .max_concurrent_uni_streams(VarInt::from_u32(0))
        .stream_receive_window(VarInt::from_u32(STREAM_WINDOW))
        .receive_window(VarInt::from_u32(STREAM_WINDOW))
        .send_window(u64::from(STREAM_WINDOW) * 4)
        .datagram_receive_buffer_size(Some(RECEIVE_BUFFER))
        .datagram_send_buffer_size(config.media_queue_bytes)
        .max_idle_timeout(idle)
        .keep_alive_interval(Some(config.idle_timeout / 4))
        .congestion_controller_factory(Arc::new(congestion::Windows));
    transport
}

#[cfg(test)]
mod tests;
