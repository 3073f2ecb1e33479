//! A participant's end: speaks the node's session API, and has one connection to publish and one to
//! subscribe, as the SDKs do. Each file beside this one owns one concern. Must not see the shard.

mod data;
mod encode;
mod options;
mod publish;
mod receive;
mod signal;
mod wish;

use std::{
    collections::{BTreeMap, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

use plenum_proto::{
    node::{self, SessionEvent, SessionRequest, session_event, session_request::Kind},
    v1,
};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use sfu_core::ControlId;
use str0m::{channel::ChannelId, config::DtlsCert, media::Mid};

pub use data::{DataMessage, DataTo};
pub use options::ClientOptions;
pub use receive::Stream;

use crate::{
    LinkSettings, SourceId, StreamReport,
    connection::{Connection, Outgoing},
    world::Clock,
};
pub(crate) use publish::Source;
pub(crate) use wish::Change;
use wish::Wishes;

/// A participant's end.
pub struct Client {
    /// How it joined.
    pub options: ClientOptions,
    pub(crate) control: ControlId,
    pub(crate) rng: ChaCha8Rng,
    certificate: DtlsCert,
    addresses: [SocketAddr; 2],
    pub(crate) publisher: Option<Connection>,
    pub(crate) subscriber: Connection,
    /// Requests on their way out.
    pub(crate) outbox: VecDeque<SessionRequest>,
    joined: Option<node::Joined>,
    closed: Option<node::Closed>,
    /// All that was told, in order.
    told: Vec<(Duration, session_event::Kind)>,
    participants: BTreeMap<String, v1::Participant>,
    pub(crate) sources: Vec<Source>,
    /// The publisher's offer has to be made (again).
    wants_offer: bool,
    offers: u32,
    /// The publisher's newest offer.
    last_offer: Option<node::Description>,
    /// One whose answer was lost with the control connection.
    lost_offer: Option<node::Description>,
    /// Id of the newest that was made a second time; 0 for none.
    offered_again: u32,
    channels: [Option<ChannelId>; 2],
    open_channels: [bool; 2],
    /// What each section of the node's last offer carries.
    tracks_by_mid: BTreeMap<Mid, String>,
    pub(crate) streams: BTreeMap<u32, Stream>,
    data: Vec<DataMessage>,
    wishes: Wishes,
    /// What its link up takes, as far as it heeds that.
    uplink: encode::Uplink,
    /// An offer made for the connection before may come again, with tracks that are gone.
    just_resumed: bool,
    pub(crate) is_perfect: bool,
    /// Media packets sent, without retransmissions.
    pub(crate) media_sent: u64,
    pub(crate) media_received: u64,
    /// It does itself harm: what it is told is not judged.
    pub(crate) is_waived: bool,
    /// When the newest that is under way to it on its control connection arrives.
    pub(crate) next_word: Duration,
    /// Since when its links have ample room for all it would show.
    pub(crate) ample_since: Option<Duration>,
    /// When its links last ceased to be cut, or became those of another network.
    pub(crate) restored: Duration,
    pub(crate) takes_any_data: bool,
    pub(crate) violations: Vec<String>,
}

impl Client {
    pub(crate) fn new(
        now: Instant,
        options: ClientOptions,
        control: ControlId,
        addresses: [SocketAddr; 2],
        seed: u64,
        certificate: DtlsCert,
    ) -> Self {
        Self {
            control,
            rng: ChaCha8Rng::seed_from_u64(seed),
            publisher: None,
            subscriber: Connection::new(
                now,
                addresses[1],
                certificate.clone(),
                options.is_simple,
                None,
            ),
            certificate,
            addresses,
            outbox: VecDeque::new(),
            joined: None,
            closed: None,
            told: Vec::new(),
            participants: BTreeMap::new(),
            sources: Vec::new(),
            wants_offer: false,
            offers: 0,
            last_offer: None,
            lost_offer: None,
            offered_again: 0,
            channels: [None; 2],
            open_channels: [false; 2],
            tracks_by_mid: BTreeMap::new(),
            streams: BTreeMap::new(),
            data: Vec::new(),
            wishes: Wishes::new(options.join.auto_subscribe),
            uplink: encode::Uplink::default(),
            just_resumed: false,
            is_perfect: true,
            media_sent: 0,
            media_received: 0,
            is_waived: false,
            next_word: Duration::ZERO,
            ample_since: None,
            restored: Duration::ZERO,
            takes_any_data: false,
            violations: Vec::new(),
            options,
        }
    }

    /// Sends a request to the node.
    pub fn request(&mut self, kind: Kind) {
        self.outbox.push_back(SessionRequest { kind: Some(kind) });
    }

    /// What the node answered to the join.
    pub fn joined(&self) -> Option<&node::Joined> {
        self.joined.as_ref()
    }

    /// The last word of the node, when it has been said.
    pub fn closed(&self) -> Option<&node::Closed> {
        self.closed.as_ref()
    }

    /// The id of this stay; empty before the join is answered.
    pub fn id(&self) -> &str {
        let participant = self
            .joined
            .as_ref()
            .and_then(|joined| joined.participant.as_ref());
        participant
            .map(|participant| participant.id.as_str())
            .unwrap_or_default()
    }

    /// All that the node told, in order.
    pub fn told(&self) -> impl DoubleEndedIterator<Item = &session_event::Kind> {
        self.told.iter().map(|(_, kind)| kind)
    }

    /// The same with when it came.
    pub fn told_at(&self) -> impl DoubleEndedIterator<Item = &(Duration, session_event::Kind)> {
        self.told.iter()
    }

    /// Forgets what was told until now.
    pub fn forget_told(&mut self) {
        self.told.clear();
    }

    /// The others (and itself) as last told, without those who left.
    pub fn participants(&self) -> impl Iterator<Item = &v1::Participant> {
        self.participants.values()
    }

    /// One of them by its identity.
    pub fn participant(&self, identity: &str) -> Option<&v1::Participant> {
        self.participants()
            .find(|participant| participant.identity == identity)
    }

    /// Whether both connections that are in use are up.
    pub fn is_connected(&self) -> bool {
        self.subscriber.is_connected
            && self
                .publisher
                .as_ref()
                .is_none_or(|publisher| publisher.is_connected)
    }

    /// What came of a source; of its newest stream where there were several.
    pub fn stream(&self, source: SourceId) -> Option<&Stream> {
        let mut streams: Vec<_> = self
            .streams
            .values()
            .filter(|s| s.source == source)
            .collect();
        streams.sort_by_key(|stream| stream.began);
        streams.pop()
    }

    /// The same as a report; an empty one where nothing came.
    pub fn report(&self, source: SourceId) -> StreamReport {
        self.stream(source)
            .map(|stream| stream.check.report.clone())
            .unwrap_or_default()
    }

    /// How long the node said, up to a moment, that the link has no room for a track that was wanted.
    pub fn paused(&self, now: Duration, track: &str) -> Duration {
        self.wishes.paused(now, track)
    }

    /// The tracks of which it says so now, and since when.
    pub(crate) fn pauses(&self) -> impl Iterator<Item = (&str, Duration)> {
        // Of a track that ended nobody says that it goes on.
        let is_there = |track: &str| {
            let mut tracks = self.participants.values().flat_map(|other| &other.tracks);
            tracks.any(|known| known.id == track)
        };
        let pauses = self.wishes.pauses();
        pauses.filter(move |(track, _)| is_there(track))
    }

    /// Data that came, in order.
    pub fn data(&self) -> &[DataMessage] {
        &self.data
    }

    /// Frames made of an encoding of a source so far.
    pub fn frames_made(&self, source: SourceId, encoding: usize) -> u32 {
        let source = self.sources.iter().find(|known| known.id == source);
        source
            .and_then(|s| s.encoders.get(encoding))
            .map_or(0, |encoder| encoder.frames())
    }

    /// The id of the track of a source, once the node has given it one.
    pub fn track_id(&self, source: SourceId) -> Option<&str> {
        self.sources
            .iter()
            .find(|known| known.id == source)?
            .track_id
            .as_deref()
    }

    /// Its links become others.
    pub(crate) fn set_links(
        &mut self,
        now: Duration,
        uplink: LinkSettings,
        downlink: LinkSettings,
    ) {
        let was_cut = self.is_cut_off();
        (self.options.uplink, self.options.downlink) = (uplink, downlink);
        if was_cut && !self.is_cut_off() {
            self.restored = now;
        }
    }

    /// Whether next to nothing passes one of its links.
    pub(crate) fn is_cut_off(&self) -> bool {
        self.options.uplink.is_cut() || self.options.downlink.is_cut()
    }

    /// From now on what is sent may be lost, late or in another order.
    pub(crate) fn allow_loss(&mut self) {
        self.is_perfect = false;
        for stream in self.streams.values_mut() {
            stream.check.allow_loss();
        }
    }

    pub(crate) fn addresses(&self) -> [SocketAddr; 2] {
        self.addresses
    }

    /// The publisher's connection is to be offered.
    pub(crate) fn request_offer(&mut self) {
        self.offer_if_wanted();
    }

    /// What it may expect of a track changes.
    pub(crate) fn note_wish(&mut self, now: Duration, track: &str, change: Change) {
        if self.wishes.apply(now, track, change) {
            let streams = self.streams.values_mut();
            streams
                .filter(|stream| stream.track == track)
                .for_each(|stream| stream.check.pause());
        }
    }

    /// Whether a source's track, or one that stands for it, is one that it would show if there were room.
    pub(crate) fn would_show(&self, source: &Source) -> bool {
        let mut tracks = self.wishes.named(source.name());
        tracks.any(|track| self.wants_since(track).is_some() || self.wishes.is_paused(track))
    }

    /// Since when a track is known to it, wanted and allowed.
    pub(crate) fn wants_since(&self, track: &str) -> Option<Duration> {
        let own = self
            .participants
            .get(self.id())
            .and_then(|own| own.permissions.as_ref());
        if !own.is_some_and(|permissions| permissions.can_subscribe) {
            return None;
        }
        self.wishes.since(track)
    }

    /// The section that carries a track, by the node's last offer.
    pub(crate) fn section_of(&self, track: &str) -> Option<Mid> {
        let mut sections = self.tracks_by_mid.iter();
        sections
            .find(|(_, carried)| *carried == track)
            .map(|(mid, _)| *mid)
    }

    pub(crate) fn handle_event(&mut self, clock: &Clock, event: SessionEvent) {
        if let Some(kind) = event.kind {
            self.on_told(clock, kind);
        }
    }

    /// Takes a datagram at one of its addresses.
    pub(crate) fn handle_datagram(
        &mut self,
        clock: &Clock,
        source: SocketAddr,
        destination: SocketAddr,
        bytes: &[u8],
    ) {
        let now = clock.instant();
        if destination == self.subscriber.address {
            self.subscriber.handle_datagram(now, source, bytes);
        }
        if let Some(publisher) = self
            .publisher
            .as_mut()
            .filter(|own| own.address == destination)
        {
            publisher.handle_datagram(now, source, bytes);
        }
    }

    /// When it wants to be called.
    pub(crate) fn deadline(&self, clock: &Clock) -> Option<Duration> {
        let connections = self.publisher.iter().chain([&self.subscriber]);
        let engines = connections
            .filter_map(|c| c.deadline())
            .map(|at| clock.since_start(at));
        let media = self.sources.iter().filter_map(Source::deadline);
        engines.chain(media).chain(self.uplink.deadline()).min()
    }

    pub(crate) fn handle_timeout(&mut self, clock: &Clock) {
        let now = clock.instant();
        self.subscriber.handle_timeout(now);
        if let Some(publisher) = &mut self.publisher {
            publisher.handle_timeout(now);
        }
        self.make_media(clock);
    }

    /// Lets the oracles give up on what is late, and asks for keyframes where a decoder is stuck.
    pub(crate) fn judge(&mut self, clock: &Clock) {
        let mut stuck = Vec::new();
        for (ssrc, stream) in &mut self.streams {
            stream.check.handle_timeout(clock.now);
            for what in stream.check.violations.drain(..) {
                self.violations.push(format!("{}: {what}", stream.name));
            }
            if stream.check.wants_keyframe() {
                stuck.push(*ssrc);
            }
        }
        for ssrc in stuck {
            self.ask_for_keyframe(clock.now, ssrc);
        }
    }

    /// Drains both connections and what comes of it.
    pub(crate) fn drain(&mut self, clock: &Clock, out: &mut Vec<Outgoing>) {
        let now = clock.instant();
        let mut events = Vec::new();
        self.subscriber.drain(now, out, &mut events);
        for event in events.drain(..) {
            self.on_subscriber_event(clock, event);
        }
        if let Some(publisher) = &mut self.publisher {
            publisher.drain(now, out, &mut events);
        }
        for event in events.drain(..) {
            self.on_publisher_event(event);
        }
        self.send_next(clock, out);
    }
}
