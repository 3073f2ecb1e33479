//! The world: a shard or several, their clients and the network, driven from one event to the next. Owns virtual
//! time and all randomness. Must not judge; `world/laws.rs` and the oracles do.

mod accounts;
mod drive;
mod hops;
mod laws;
mod plain;
mod play;
mod shards;

use std::{
    collections::{BTreeMap, BTreeSet},
    net::SocketAddr,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use plenum_proto::node::{Closed, session_event};
use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use sfu_core::{
    CandidateAddress, Certificate, ClockAnchor, Command, ControlId, CoreConfig, Datagram, Event,
    Limits, Protocol, Shard,
};
use str0m::config::DtlsCert;

use hops::Hop;
use plain::PlainEncoder;
pub use plain::{PlainKey, PlainTold, PlainWay};

use crate::{
    Client, ClientOptions, SourceId, Violation,
    network::{Cargo, Faults, HopFaults, LinkSettings, Network},
};

/// Names a client of a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientKey(pub(crate) usize);

/// Virtual time, and the clocks that follow it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: Instant,
    pub(crate) now: Duration,
    pub(crate) wall_origin: SystemTime,
}

impl Clock {
    /// Real time, from a moment on that is the same for all that are compared.
    pub(crate) fn live(start: Instant) -> Self {
        Self {
            start,
            now: start.elapsed(),
            wall_origin: SystemTime::now() - start.elapsed(),
        }
    }

    pub(crate) fn instant(&self) -> Instant {
        self.start + self.now
    }

    pub(crate) fn instant_of(&self, moment: Duration) -> Instant {
        self.start + moment
    }

    pub(crate) fn since_start(&self, at: Instant) -> Duration {
        at.saturating_duration_since(self.start)
    }
}

/// A datagram that came to the node, or that was sent to a sink.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tapped {
    /// Where from; of a sink where to.
    pub source: SocketAddr,
    /// What.
    pub bytes: Vec<u8>,
}

/// A simulated world.
pub struct World {
    /// The machine under test; with several, the home of all rooms at first.
    pub shard: Shard,
    /// Which shard is the home of all rooms.
    home: usize,
    /// The others, linked to it and to each other.
    edges: Vec<Shard>,
    /// The way between two shards: its loss is that of datagrams between nodes.
    relay_link: LinkSettings,
    /// The shards are on nodes of their own.
    has_nodes: bool,
    hops: BTreeMap<(usize, usize), Hop>,
    /// Shards between which no frame goes, the smaller first.
    apart: BTreeSet<(usize, usize)>,
    /// Relayed media packets, by the shards they went from and to.
    relayed: BTreeMap<(usize, usize), u64>,
    seed: u64,
    clock: Clock,
    rng: ChaCha8Rng,
    network: Network,
    clients: Vec<Client>,
    plain: Vec<PlainEncoder>,
    by_address: BTreeMap<SocketAddr, ClientKey>,
    /// Where the addresses of clients are seen from outside, when that is not where they are.
    outside: BTreeMap<SocketAddr, SocketAddr>,
    by_control: BTreeMap<ControlId, ClientKey>,
    /// First words to control connections that are no client's.
    answers: BTreeMap<ControlId, session_event::Kind>,
    control_links: BTreeMap<ControlId, Duration>,
    certificate: DtlsCert,
    next_control: u64,
    next_source: u32,
    next_judgement: Duration,
    /// What the shard told of rooms, and of addresses.
    told: Vec<Event>,
    /// Destinations of datagrams that no client has.
    stray: Vec<SocketAddr>,
    /// The same with what was in them, where somebody looks.
    sink: Option<(std::net::IpAddr, Vec<Tapped>)>,
    tap: Option<Vec<Tapped>>,
    /// The most offers that a shard had to tell of at once.
    most_offers: usize,
    counts: accounts::Counts,
    /// The accounts are looked at when all is quiet.
    owes_account: bool,
    /// Of the shards.
    limits: Limits,
    /// See [`World::bear`].
    liveness: Duration,
    /// See [`World::set_lateness`].
    lateness: Duration,
    violations: Vec<Violation>,
}

/// The addresses of a client: that from which it publishes, and that on which it receives.
fn client_addresses(number: u16) -> [SocketAddr; 2] {
    let [high, low] = number.to_be_bytes();
    [40_000, 50_000].map(|port| SocketAddr::from(([10, 0, high, low], port)))
}

/// The address of a shard.
fn shard_address(index: usize) -> SocketAddr {
    let last = u8::try_from(index + 1).expect("at most 254 shards");
    SocketAddr::from(([10, 1, 0, last], 7882))
}

/// A certificate of clients.
pub(crate) fn client_certificate() -> DtlsCert {
    str0m::crypto::from_feature_flags()
        .dtls_provider
        .generate_certificate()
        .expect("a certificate of the clients")
}

impl World {
    /// A world with a shard of default settings.
    pub fn new(seed: u64) -> Self {
        Self::with(seed, |_| {})
    }

    /// A world whose shard has other settings.
    pub fn with(seed: u64, change: impl Fn(&mut CoreConfig)) -> Self {
        Self::spanning(seed, 1, change)
    }

    /// A world with several shards, of other settings.
    pub fn spanning(seed: u64, shards: usize, change: impl Fn(&mut CoreConfig)) -> Self {
        // The engine draws ids from this generator of its thread.
        fastrand::seed(seed);
        let start = Instant::now();
        let wall_origin = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        let node = Certificate::generate().expect("a certificate of the node");
        let certificate = client_certificate();
        let anchor = ClockAnchor::new(start, wall_origin);
        let mut limits = Limits::default();
        let mut shards = (0..shards).map(|index| {
            let address = shard_address(index);
            let candidate = CandidateAddress {
                protocol: Protocol::Udp,
                local: address,
                advertised: address,
            };
            let mut config = CoreConfig::new(vec![candidate], node.clone());
            config.contain_faults = false;
            config.repeats_handshakes = true;
            change(&mut config);
            limits = config.limits.clone();
            Shard::new(config, anchor, seed ^ index as u64)
        });
        let shard = shards.next().expect("at least one shard");
        let edges = shards.collect();
        Self {
            shard,
            edges,
            home: 0,
            relay_link: LinkSettings::delayed(Duration::from_micros(200)),
            has_nodes: false,
            hops: BTreeMap::new(),
            apart: BTreeSet::new(),
            relayed: BTreeMap::new(),
            seed,
            clock: Clock {
                start,
                now: Duration::ZERO,
                wall_origin,
            },
            rng: ChaCha8Rng::seed_from_u64(seed),
            network: Network::new(seed),
            clients: Vec::new(),
            plain: Vec::new(),
            by_address: BTreeMap::new(),
            outside: BTreeMap::new(),
            by_control: BTreeMap::new(),
            answers: BTreeMap::new(),
            control_links: BTreeMap::new(),
            certificate,
            next_control: 0,
            next_source: 0,
            next_judgement: Duration::ZERO,
            told: Vec::new(),
            stray: Vec::new(),
            most_offers: 0,
            sink: None,
            tap: None,
            counts: accounts::Counts::default(),
            owes_account: false,
            limits,
            liveness: laws::LIVENESS,
            lateness: Duration::ZERO,
            violations: Vec::new(),
        }
    }

    /// A world with several shards, each on a node of its own, far apart.
    pub fn of_nodes(
        seed: u64,
        nodes: usize,
        link: LinkSettings,
        change: impl Fn(&mut CoreConfig),
    ) -> Self {
        let next = std::cell::Cell::new(0);
        let mut world = Self::spanning(seed, nodes, |config| {
            config.node = next.get();
            next.set(config.node + 1);
            change(config);
        });
        (world.has_nodes, world.relay_link) = (true, link);
        world
    }

    /// Virtual time since the world began.
    pub fn now(&self) -> Duration {
        self.clock.now
    }

    /// The moment as the shard knows it.
    pub fn instant(&self) -> Instant {
        self.clock.instant()
    }

    /// The address of the node.
    pub fn node_address(&self) -> SocketAddr {
        shard_address(0)
    }

    /// A client.
    pub fn client(&self, key: ClientKey) -> &Client {
        &self.clients[key.0]
    }

    /// A client, to ask something of it.
    pub fn client_mut(&mut self, key: ClientKey) -> &mut Client {
        &mut self.clients[key.0]
    }

    /// What the shard told of rooms and addresses, in order.
    pub fn told(&self) -> &[Event] {
        &self.told
    }

    /// A number for a test's own choices, from the world's seed.
    pub fn choose(&mut self, below: usize) -> usize {
        self.rng.random_range(0..below)
    }

    /// Whether something happens with this probability.
    pub fn chance(&mut self, probability: f64) -> bool {
        self.rng.random_bool(probability)
    }

    /// A client joins; time has to pass until it is answered.
    pub fn join(&mut self, options: ClientOptions) -> ClientKey {
        let key = ClientKey(self.clients.len());
        let control = self.open_control(key);
        let number = u16::try_from(key.0 + 1).expect("at most 65,534 clients");
        let join = Box::new(options.join.clone());
        let shard = options.shard;
        let home = self.home_of(shard);
        let delay = options.uplink.delay;
        let (now, certificate) = (self.clock.instant(), self.certificate.clone());
        let client = Client::new(
            now,
            options,
            control,
            client_addresses(number),
            self.rng.random(),
            certificate,
        );
        for address in client.addresses() {
            self.by_address.insert(address, key);
        }
        self.clients.push(client);
        self.note_links();
        self.control_links.insert(control, delay);
        self.network.deliver_at(
            self.clock.now + delay,
            Cargo::Command {
                shard,
                command: Command::Join {
                    control,
                    join,
                    home,
                },
            },
        );
        key
    }

    fn open_control(&mut self, key: ClientKey) -> ControlId {
        self.next_control += 1;
        let control = ControlId(self.next_control);
        self.by_control.insert(control, key);
        control
    }

    fn new_source(&mut self) -> SourceId {
        self.next_source += 1;
        SourceId(self.next_source)
    }

    /// Hands a command to the shard at once.
    pub fn command(&mut self, command: Command) -> Result<sfu_core::Reply, sfu_core::CommandError> {
        let reply = self.shard.handle_command(self.clock.instant(), command);
        self.settle();
        reply
    }

    /// Hands a datagram to the shard at once, from any address.
    pub fn inject(&mut self, source: SocketAddr, bytes: &[u8]) {
        let datagram = Datagram {
            source,
            destination: shard_address(0),
            protocol: Protocol::Udp,
            bytes,
        };
        self.shard.handle_datagram(self.clock.instant(), datagram);
        self.settle();
    }

    /// Keeps a copy of every datagram that comes to the node from now on.
    pub fn open_tap(&mut self) {
        self.tap = Some(Vec::new());
    }

    /// The copies.
    pub fn close_tap(&mut self) -> Vec<Tapped> {
        self.tap.take().unwrap_or_default()
    }

    /// Keeps what is sent to an address that no client is at, from now on.
    pub fn open_sink(&mut self, ip: std::net::IpAddr) {
        self.sink = Some((ip, Vec::new()));
    }

    /// What came there: the port, and the datagram.
    pub fn sunk(&self) -> impl Iterator<Item = (u16, &[u8])> {
        let kept = self.sink.iter().flat_map(|(_, kept)| kept);
        kept.map(|tapped| (tapped.source.port(), tapped.bytes.as_slice()))
    }

    /// The most offers that a shard made in one call, since this was last asked.
    pub fn take_most_offers(&mut self) -> usize {
        std::mem::take(&mut self.most_offers)
    }

    /// Where datagrams went that no client is at.
    pub fn stray(&self) -> &[SocketAddr] {
        &self.stray
    }

    /// The last word to a client, when it was said.
    pub fn closed(&self, key: ClientKey) -> Option<&Closed> {
        self.client(key).closed()
    }

    /// Changes the way between a client and the node, both directions.
    pub fn set_link(&mut self, key: ClientKey, link: LinkSettings) {
        let now = self.clock.now;
        self.clients[key.0].set_links(now, link, link);
        self.note_links();
    }

    /// Changes the way from a client to the node.
    pub fn set_uplink(&mut self, key: ClientKey, link: LinkSettings) {
        let now = self.clock.now;
        let client = &mut self.clients[key.0];
        client.set_links(now, link, client.options.downlink);
        self.note_links();
    }

    /// Changes the way from the node to a client.
    pub fn set_downlink(&mut self, key: ClientKey, link: LinkSettings) {
        let now = self.clock.now;
        let client = &mut self.clients[key.0];
        client.set_links(now, client.options.uplink, link);
        self.note_links();
    }

    /// Changes the way between the shards.
    pub fn set_relay_link(&mut self, link: LinkSettings) {
        self.relay_link = link;
        self.note_links();
    }

    /// From now on shards handle their timers so late, as on a machine that is busy with something else.
    pub fn set_lateness(&mut self, lateness: Duration) {
        self.lateness = lateness;
    }

    /// How long what was sent to a client since a moment waited at the limited link there.
    pub fn queued(&self, key: ClientKey, since: Duration) -> Vec<Duration> {
        let [address, _] = self.client(key).addresses();
        let passed = self.network.passed(address.ip(), since);
        passed.map(|(wait, _)| wait).collect()
    }

    /// Bytes that passed the limited link to a client since a moment, with IP and UDP headers.
    pub fn carried(&self, key: ClientKey, since: Duration) -> usize {
        let [address, _] = self.client(key).addresses();
        let passed = self.network.passed(address.ip(), since);
        passed.map(|(_, bytes)| bytes).sum()
    }

    /// Bytes of what else goes over the limited link to a client that passed, since it began.
    pub fn crossed(&self, key: ClientKey) -> u64 {
        let [address, _] = self.client(key).addresses();
        self.network.crossed(address.ip())
    }

    /// What links between clients and nodes did to datagrams up to now.
    pub fn faults(&self) -> Faults {
        self.network.faults()
    }

    /// What the ways between nodes did to datagrams up to now.
    pub fn hop_faults(&self) -> HopFaults {
        self.network.hop_faults()
    }

    /// A client changes its network: from now on it is seen at other addresses, and what is sent to the old
    /// ones is lost.
    pub fn change_network(&mut self, key: ClientKey) {
        for inside in self.clients[key.0].addresses() {
            let before = self.outside.get(&inside).copied().unwrap_or(inside);
            self.by_address.remove(&before);
            let mut after = before;
            after.set_port(before.port().wrapping_add(MOVED));
            self.outside.insert(inside, after);
            self.by_address.insert(after, key);
        }
        self.clients[key.0].restored = self.clock.now;
        // What it sends meanwhile is missed by all.
        self.clients.iter_mut().for_each(Client::allow_loss);
    }

    /// What one link loses is missed at all others.
    fn note_links(&mut self) {
        let mut links = self
            .clients
            .iter()
            .flat_map(|c| [c.options.uplink, c.options.downlink]);
        if links.any(|link| !link.is_perfect()) || !self.relay_link.is_perfect() {
            self.clients.iter_mut().for_each(Client::allow_loss);
        }
    }
}

/// How far a client's ports move with its network.
const MOVED: u16 = 20_000;
