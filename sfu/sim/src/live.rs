//! A client in real time, for tests of a node over real sockets: the same ends and oracles as in a world.
//! Must not open sockets itself; its driver carries datagrams and messages.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    time::{Duration, Instant},
};

use plenum_proto::node::{Join, SessionEvent, SessionRequest, session_request::Kind};
use sfu_core::ControlId;
use str0m::config::DtlsCert;

use crate::{
    Client, ClientOptions, SourceId, SourceKind, VideoSettings,
    connection::Outgoing,
    world::{Clock, client_certificate},
};

/// A client in real time.
pub struct Live {
    client: Client,
    start: Instant,
    next_source: u32,
    /// Frames of each stream so far, and how long each took of late.
    seen: BTreeMap<u32, u64>,
    latencies: Vec<Duration>,
}

/// A datagram of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LiveDatagram {
    /// The address of the client it goes from.
    pub source: SocketAddr,
    /// Where it goes.
    pub destination: SocketAddr,
    /// What.
    pub bytes: Vec<u8>,
}

/// How often [`Live::handle_timeout`] looks at what is late.
const JUDGED_EVERY: Duration = Duration::from_millis(100);

impl Live {
    /// A client with the two addresses it publishes from and receives on. Times are counted from `start`,
    /// which all clients share whose media meet; `number` makes its sources different from theirs.
    pub fn new(
        start: Instant,
        options: ClientOptions,
        addresses: [SocketAddr; 2],
        number: u16,
    ) -> (Self, Join) {
        let join = options.join.clone();
        let certificate: DtlsCert = client_certificate();
        let now = Instant::now();
        let (control, seed) = (ControlId(u64::from(number)), u64::from(number));
        let mut client = Client::new(now, options, control, addresses, seed, certificate);
        // What a busy machine loses is not the node's fault; it shows in the reports.
        client.allow_loss();
        let live = Self {
            client,
            start,
            next_source: u32::from(number) * 100,
            seen: BTreeMap::new(),
            latencies: Vec::new(),
        };
        (live, join)
    }

    /// What it has been told and given.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// The same, to ask something of it.
    pub fn client_mut(&mut self) -> &mut Client {
        &mut self.client
    }

    /// Publishes a microphone or a camera.
    pub fn publish(&mut self, kind: SourceKind, settings: VideoSettings) -> SourceId {
        self.next_source += 1;
        let id = SourceId(self.next_source);
        self.client.publish(&self.clock(), id, kind, settings);
        // There is a voice.
        let mut sources = self.client.sources.iter_mut();
        if let Some(source) = sources.find(|known| known.id == id) {
            source.level = (-15, true);
        }
        id
    }

    /// Opens the connection that carries data.
    pub fn open_data(&mut self) {
        self.client.ensure_publisher(&self.clock());
        self.client.request_offer();
    }

    /// Takes an event of its control connection.
    pub fn handle_event(&mut self, event: SessionEvent) {
        self.client.handle_event(&self.clock(), event);
    }

    /// Takes a datagram at one of its addresses.
    pub fn handle_datagram(&mut self, source: SocketAddr, destination: SocketAddr, bytes: &[u8]) {
        self.client
            .handle_datagram(&self.clock(), source, destination, bytes);
    }

    /// When it wants to be called.
    pub fn poll_timeout(&self) -> Instant {
        let clock = self.clock();
        let most = clock.now + JUDGED_EVERY;
        let due = self.client.deadline(&clock).map_or(most, |at| at.min(most));
        self.start + due
    }

    /// Lets time pass.
    pub fn handle_timeout(&mut self) {
        let clock = self.clock();
        self.client.handle_timeout(&clock);
        self.client.judge(&clock);
    }

    /// What it sends: datagrams, and requests to the node.
    pub fn drain(&mut self) -> (Vec<LiveDatagram>, Vec<SessionRequest>) {
        let mut out = Vec::new();
        self.client.drain(&self.clock(), &mut out);
        for (ssrc, stream) in &self.client.streams {
            let report = stream.report();
            let seen = self.seen.entry(*ssrc).or_default();
            if report.frames > *seen {
                *seen = report.frames;
                self.latencies.push(report.latency);
            }
        }
        let datagrams = out.into_iter().map(|outgoing: Outgoing| LiveDatagram {
            source: outgoing.source,
            destination: outgoing.destination,
            bytes: outgoing.bytes,
        });
        (datagrams.collect(), self.client.outbox.drain(..).collect())
    }

    /// From capture to the last packet of a frame, of the frames since this was last asked.
    pub fn take_latencies(&mut self) -> Vec<Duration> {
        std::mem::take(&mut self.latencies)
    }

    /// What was wrong with what it was given.
    pub fn violations(&self) -> &[String] {
        &self.client.violations
    }

    /// Mutes or unmutes.
    pub fn mute(&mut self, source: SourceId, muted: bool) {
        self.client.mute(source, muted, false);
    }

    /// Sends a request to the node.
    pub fn request(&mut self, kind: Kind) {
        self.client.request(kind);
    }

    fn clock(&self) -> Clock {
        Clock::live(self.start)
    }
}
