//! The machine of one worker. Owns everything that lives on it and the order in which things happen;
//! each file beside this one owns one concern. Sees every module; nobody imports it.

mod admin;
mod allocate;
mod awake;
mod backlog;
mod codecs;
mod deliver;
mod direct;
mod double;
mod explain;
mod fanout;
mod feedback;
mod forward;
mod join;
mod ladders;
mod lateness;
mod link;
mod notify;
mod offers;
mod plain;
mod publish;
mod relay;
mod replay;
mod requests;
mod roster;
mod speakers;
mod state;
mod subscribe;
mod tick;

use std::{
    collections::{BTreeMap, HashMap, VecDeque},
    net::SocketAddr,
    time::{Duration, Instant},
};

use plenum_proto::v1::{CloseReason, ParticipantState, event::Kind as RoomEvent};
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use slotmap::SlotMap;

use self::awake::Awake;
use self::fanout::{Handout, Pending, STRETCH_BYTES};
use self::ladders::Ladders;
use self::lateness::Lateness;
use self::offers::OwedOffers;
use self::state::{Participant, Subscription, Track};
use crate::{
    ClockAnchor, Command, CommandError, ControlId, CoreConfig, Datagram, DropReason, Event,
    PlainTransmit, Protocol, Reply, ReplyLimit, ShardStats, Transmit,
    binding::binding_reply,
    demux::{self, Demux},
    key::{RoomKey, SessionKey, SubscriptionKey, TrackKey},
    outbox::{Outbox, Route},
    relay::Relay,
    room::{Room, Voice},
    rtp,
    session::{Feedback, Refused, Role, Shape, Transport, TransportEvent},
    stun::Check,
    timer::Timers,
};
use plenum_proto::node::CloseAction;

/// Datagrams of one run at most.
const RUN_SEGMENTS: usize = 16;

/// The machine of one worker: all it needs comes in by `handle_…`, all it wants comes out by `poll_…`.
///
/// After each `handle_…`, poll until there is nothing left; then wait for input or for
/// [`Shard::poll_timeout`].
pub struct Shard {
    config: CoreConfig,
    anchor: ClockAnchor,
    rng: ChaCha8Rng,
    rooms: SlotMap<RoomKey, Room>,
    room_by_name: HashMap<String, RoomKey>,
    participants: SlotMap<SessionKey, Participant>,
    tracks: SlotMap<TrackKey, Track>,
    subscriptions: SlotMap<SubscriptionKey, Subscription>,
    controls: HashMap<ControlId, SessionKey>,
    demux: Demux,
    /// Answers to those who have no session.
    bindings: ReplyLimit,
    timers: Timers,
    /// When rooms, speakers and demand are looked at next.
    next_tick: Option<Instant>,
    lateness: Lateness,
    awake: Awake,
    /// Of the tick that looks at them.
    ladders: Ladders,
    /// Who has sections to give back, and when it is told at the latest.
    vacated: BTreeMap<SessionKey, Instant>,
    /// Who is to be made an offer, in order, and since when somebody is.
    owed: OwedOffers,
    /// The latest time this shard was told.
    now: Instant,
    /// What came in and is to be handed on, numbered.
    pending: Vec<(usize, Pending)>,
    handout: Handout,
    /// Room for RTCP that is being decrypted, and for what it says.
    decrypted: Vec<u8>,
    feedback: Vec<Feedback>,
    /// Sessions with something to drain, in order; may name one twice.
    dirty: Vec<SessionKey>,
    outbox: Outbox,
    relay: Relay,
    /// RTCP for sources of plain RTP.
    plain: VecDeque<PlainTransmit>,
    events: VecDeque<Event>,
    stats: ShardStats,
}

impl Shard {
    /// A shard without rooms. All randomness but that of keys comes from `seed`.
    pub fn new(config: CoreConfig, anchor: ClockAnchor, seed: u64) -> Self {
        Self {
            now: anchor.instant(),
            pending: Vec::new(),
            handout: Handout::default(),
            decrypted: Vec::new(),
            feedback: Vec::new(),
            config,
            anchor,
            rng: ChaCha8Rng::seed_from_u64(seed),
            rooms: SlotMap::with_key(),
            room_by_name: HashMap::new(),
            participants: SlotMap::with_key(),
            tracks: SlotMap::with_key(),
            subscriptions: SlotMap::with_key(),
            controls: HashMap::new(),
            demux: Demux::default(),
            bindings: ReplyLimit::new(),
            timers: Timers::default(),
            next_tick: None,
            lateness: Lateness::default(),
            awake: Awake::default(),
            ladders: Ladders::default(),
            vacated: BTreeMap::new(),
            owed: OwedOffers::default(),
            dirty: Vec::new(),
            outbox: Outbox::new(RUN_SEGMENTS),
            relay: Relay::default(),
            plain: VecDeque::new(),
            events: VecDeque::new(),
            stats: ShardStats::default(),
        }
    }

    /// Takes a datagram. Bad bytes are a counted [`DropReason`].
    pub fn handle_datagram(&mut self, now: Instant, datagram: Datagram<'_>) {
        self.now = now;
        self.stats.datagrams_received += 1;
        self.stats.bytes_received += datagram.bytes.len() as u64;
        let Datagram {
            source,
            destination,
            protocol,
            bytes,
        } = datagram;
        let route = Route {
            source: destination,
            destination: source,
            protocol,
        };
        let kind = demux::kind(bytes);
        let check = (kind == demux::Kind::Stun)
            .then(|| Check::read(bytes))
            .flatten();
        let owner = match kind {
            demux::Kind::Stun => match &check {
                Some(check) if self.answer_check(now, route, check) => return,
                Some(check) => self.demux.by_username(check.ours),
                None => return self.on_plain_stun(now, datagram),
            }
            .ok_or(DropReason::UnknownStun),
            demux::Kind::DtlsOrRtp => self
                .demux
                .by_source(protocol, source)
                .ok_or(DropReason::UnvalidatedSource),
            demux::Kind::Other => Err(DropReason::NotWebRtc),
        };
        let (session, role) = match owner {
            Ok(owner) => owner,
            Err(reason) => return self.stats.drop(reason),
        };
        let is_of_another = check.is_some() && self.is_of_another(now, session, (protocol, source));
        let Some(participant) = self.participants.get_mut(session) else {
            return;
        };
        if role == Role::Subscribe && rtp::is_media(bytes) {
            // The lane's; the engine has no part in it.
            if rtp::is_rtcp(bytes) {
                self.on_rtcp(now, session, bytes);
            } else {
                self.stats.drop(DropReason::UnknownStream);
            }
            return self.settle(now);
        }
        let Some(transport) = participant.session.transport_mut(role) else {
            return;
        };
        let taken = transport.handle_datagram(now, route, bytes, check.as_ref());
        match taken {
            // It is answered, which does no harm, and named again while it lasts.
            Ok(()) if is_of_another => {}
            Ok(()) if kind == demux::Kind::Stun => {
                participant.member.heard_at = Some(now);
                if let Some(forgotten) = participant.session.add_source(role, source) {
                    self.demux.remove_source(forgotten, session);
                }
                self.demux.add_source(protocol, source, session, role);
                if role == Role::Subscribe && check.is_some_and(|check| check.nominates) {
                    self.set_route(now, session, route);
                }
            }
            Ok(()) => {}
            Err(Refused::NotWebRtc) => self.stats.drop(DropReason::NotWebRtc),
            Err(Refused::Malformed) => self.stats.drop(DropReason::Malformed),
            Err(Refused::Source) if kind == demux::Kind::Stun => {
                self.stats.drop(DropReason::UnknownStun);
            }
            Err(Refused::Source) => self.stats.drop(DropReason::UnvalidatedSource),
            Err(Refused::Fault) => self.fault(now, session),
        }
        self.touch(session);
        self.settle(now);
        if self.has_many_pending() {
            self.flush();
        }
    }

    /// Answers a connectivity check that says nothing new. True when that was one.
    fn answer_check(&mut self, now: Instant, route: Route, check: &Check<'_>) -> bool {
        // Whose address it is, the user name in it must say as well: a repeated check has the same.
        let owner = self.demux.by_source(route.protocol, route.destination);
        let Some((session, role)) = owner else {
            return false;
        };
        let Some(participant) = self.participants.get_mut(session) else {
            return false;
        };
        let transport = participant.session.transport_mut(role);
        let Some(reply) = transport.and_then(|t| t.answer(now, route, check)) else {
            return false;
        };
        participant.member.heard_at = Some(now);
        self.outbox.push(route, &reply);
        true
    }

    /// Whether an address is that of another session, which was heard of lately: who forges checks of their own
    /// from there does not get what comes from there.
    fn is_of_another(
        &self,
        now: Instant,
        session: SessionKey,
        (protocol, source): (Protocol, SocketAddr),
    ) -> bool {
        /// Clients check twice in this time (RFC 7675 section 5.1).
        const LATELY: Duration = Duration::from_secs(10);
        let owner = self.demux.by_source(protocol, source);
        owner
            .filter(|(owner, _)| *owner != session)
            .and_then(|(owner, _)| self.participants.get(owner)?.member.heard_at)
            .is_some_and(|heard_at| now.saturating_duration_since(heard_at) < LATELY)
    }

    /// STUN without a user name: the sender may ask how we see it, within limits.
    fn on_plain_stun(&mut self, now: Instant, datagram: Datagram<'_>) {
        let Some(reply) = binding_reply(datagram.bytes, datagram.source) else {
            return self.stats.drop(DropReason::UnknownStun);
        };
        // Over TCP the sender has shown that it has the address.
        let is_shown = datagram.protocol == Protocol::Tcp;
        if !is_shown && !self.bindings.admit(now, datagram.source.ip()) {
            return self.stats.drop(DropReason::BindingLimit);
        }
        self.stats.bindings_answered += 1;
        let route = Route {
            source: datagram.destination,
            destination: datagram.source,
            protocol: datagram.protocol,
        };
        self.outbox.push(route, &reply);
    }

    /// Takes a command. Its answer comes at once, what follows from it as events.
    pub fn handle_command(
        &mut self,
        now: Instant,
        command: Command,
    ) -> Result<Reply, CommandError> {
        self.flush();
        self.now = now;
        let reply = match command {
            Command::Join {
                control,
                join,
                home,
            } => {
                self.join(now, control, *join, home);
                Ok(Reply::Accepted)
            }
            Command::Forward {
                control,
                forward,
                home,
            } => self
                .forward(now, control, *forward, home)
                .map(|()| Reply::Accepted),
            Command::Session { control, request } => {
                self.request(now, control, request);
                Ok(Reply::Accepted)
            }
            Command::Answer { control, answer } => {
                self.read_answer(now, control, *answer);
                Ok(Reply::Accepted)
            }
            Command::DescribePlain { control, sections } => self
                .describe_plain(now, control, sections)
                .map(|()| Reply::Accepted),
            Command::SendPlain {
                control,
                sinks,
                keyframes,
            } => self
                .send_plain(now, control, &sinks, keyframes)
                .map(|()| Reply::Accepted),
            Command::ControlLost { control } => {
                self.control_lost(now, control);
                Ok(Reply::Accepted)
            }
            Command::Admin(request) => self.admin(now, request).map(Reply::Admin),
            Command::EndAll => {
                let rooms: Vec<_> = self.rooms.keys().collect();
                for room in rooms {
                    let reason = CloseReason::NodeShutdown;
                    self.end_room(now, room, reason, CloseAction::Disconnect, Voice::Own);
                }
                Ok(Reply::Accepted)
            }
            Command::Rehome { room_id, home } => {
                self.rehome(now, &room_id, home);
                Ok(Reply::Accepted)
            }
            Command::MoveGuests { keep, except } => {
                Ok(Reply::Guests(self.move_guests(now, keep, &except)))
            }
            Command::MoveAway { room } => {
                let rooms: Vec<_> = match room {
                    Some(name) => self.room_by_name.get(&name).copied().into_iter().collect(),
                    None => self.rooms.keys().collect(),
                };
                for room in rooms {
                    let (reason, action) = (CloseReason::Migration, CloseAction::Reconnect);
                    // Who is on other nodes stays there.
                    self.end_room(now, room, reason, action, Voice::Own);
                }
                Ok(Reply::Accepted)
            }
        };
        self.settle(now);
        reply
    }

    /// Lets time pass. What came in and is not handed on yet stays so.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.now = now;
        while let Some(session) = self.timers.pop_due(now) {
            let Some(participant) = self.participants.get_mut(session) else {
                continue;
            };
            let mut is_faulty = false;
            for role in [Role::Publish, Role::Subscribe] {
                let transport = participant.session.transport_mut(role);
                if let Some(due) = transport.filter(|t| t.deadline().is_some_and(|at| at <= now)) {
                    is_faulty |= due.handle_timeout(now).is_err();
                }
            }
            self.send_timed(now, session);
            if is_faulty {
                self.fault(now, session);
            }
            self.dirty.push(session);
        }
        if self.next_tick.is_some_and(|at| at <= now) {
            self.tick(now);
        }
        self.make_owed_offers(now);
        self.settle(now);
    }

    /// The next datagram, or run of datagrams, to send. The first calls after a turn hand on what came in
    /// during it, part by part: a batch of datagrams is best taken in whole before.
    #[must_use]
    pub fn poll_transmit(&mut self) -> Option<Transmit<'_>> {
        while self.outbox.waiting() == 0 && self.has_pending() {
            self.hand_on(STRETCH_BYTES);
        }
        self.outbox.poll()
    }

    /// The next event.
    #[must_use]
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Shard::handle_timeout`] is wanted next; changes with every `handle_…`.
    #[must_use]
    pub fn poll_timeout(&mut self) -> Option<Instant> {
        let owed = self.owed.since();
        let timers = [self.timers.next(), self.next_tick, owed].into_iter();
        timers.flatten().min()
    }

    /// Counters up to now.
    pub fn stats(&self) -> ShardStats {
        let (waiting, discarded) = self.waiting_and_discarded();
        ShardStats {
            packets_waiting: waiting,
            packets_discarded: self.stats.packets_discarded + discarded,
            rooms: self.rooms.values().filter(|r| r.span.is_home()).count() as u64,
            participants: self.participants_here() as u64,
            tracks: self.tracks.values().filter(|t| t.origin.is_none()).count() as u64,
            subscriptions: self.subscriptions.len() as u64,
            datagrams_sent: self.outbox.datagrams,
            bytes_sent: self.outbox.bytes,
            ..self.stats.clone()
        }
    }

    /// Hands on all that came in.
    fn flush(&mut self) {
        self.hand_on(usize::MAX);
    }

    /// Hands on what came in until all of it is, or so many bytes wait to be sent.
    fn hand_on(&mut self, enough: usize) {
        if self.has_pending() {
            let now = self.now;
            self.forward_pending(now, enough);
            self.settle(now);
        }
    }

    /// The client chose where its media goes.
    fn set_route(&mut self, now: Instant, session: SessionKey, route: Route) {
        let Some(participant) = self.participants.get_mut(session) else {
            return;
        };
        let lane = &mut participant.session.egress.lane;
        let was_ready = lane.is_ready();
        lane.set_route(now, route);
        if lane.is_ready() && !was_ready {
            self.on_lane_ready(now, session);
        }
    }

    /// A session has something to drain.
    fn touch(&mut self, session: SessionKey) {
        self.dirty.push(session);
    }

    /// Drains every session that was touched, and what comes of it, until all is quiet.
    fn settle(&mut self, now: Instant) {
        let mut told = Vec::new();
        while let Some(session) = self.dirty.pop() {
            let Some(participant) = self.participants.get_mut(session) else {
                continue;
            };
            let mut is_faulty = false;
            for role in [Role::Publish, Role::Subscribe] {
                let Some(transport) = participant.session.transport_mut(role) else {
                    continue;
                };
                if !transport.needs_drain() {
                    continue;
                }
                let drained =
                    transport.drain(now, &mut self.outbox, &mut |event| told.push((role, event)));
                is_faulty |= drained.is_err();
            }
            let deadlines = [Role::Publish, Role::Subscribe].into_iter();
            let deadline = deadlines
                .filter_map(|role| participant.session.transport(role)?.deadline())
                .chain(participant.session.egress.deadline())
                .min();
            // A deadline that has passed already must not make the loop spin.
            let soonest = now + Duration::from_micros(100);
            self.timers.set(session, deadline.map(|at| at.max(soonest)));
            if !participant.is_awake && participant.is_restless(now) {
                self.wake_session(session);
            }
            for (role, event) in told.drain(..) {
                self.on_transport_event(now, session, role, event);
            }
            if is_faulty {
                self.fault(now, session);
            }
            self.flush_data(now, session);
            self.fetch_plain(session);
        }
        self.settle_relay(now);
        self.schedule_tick(now);
    }

    /// Drains a session that is being closed: its farewell, nothing else.
    fn drain_closing(&mut self, now: Instant, session: SessionKey) {
        let Some(participant) = self.participants.get_mut(session) else {
            return;
        };
        for role in [Role::Publish, Role::Subscribe] {
            if let Some(transport) = participant.session.transport_mut(role) {
                // A fault changes nothing: the session ends.
                let _ = transport.drain(now, &mut self.outbox, &mut |_| {});
            }
        }
    }

    /// Sends on data that waited for a slow reader.
    fn flush_data(&mut self, now: Instant, session: SessionKey) {
        let Some(participant) = self.participants.get_mut(session) else {
            return;
        };
        let Some((_, channels, transport)) = participant.session.sending() else {
            return;
        };
        if channels.has_backlog() {
            channels.flush(now, transport);
            // What it tells was told by the drain before; a fault shows at the next input.
            let _ = transport.drain(now, &mut self.outbox, &mut |_| {});
        }
    }

    fn on_transport_event(
        &mut self,
        now: Instant,
        session: SessionKey,
        role: Role,
        event: TransportEvent,
    ) {
        match event {
            TransportEvent::Packet(packet) => self.on_packet(now, session, *packet),
            TransportEvent::Connected => self.on_connected(now, session, role),
            TransportEvent::Closed if self.is_one_way(session) => {
                let (reason, action) = (CloseReason::ClientInitiated, CloseAction::Disconnect);
                self.end(
                    now,
                    session,
                    reason,
                    action,
                    "the client closed its connection",
                );
            }
            TransportEvent::Silent | TransportEvent::Closed => {
                if let Some(participant) = self.participants.get_mut(session) {
                    // Consent counts from the last check, not from when it was missed.
                    let since = participant.member.heard_at.unwrap_or(now);
                    participant.member.silent_since.get_or_insert(since);
                }
                self.wake_session(session);
            }
            TransportEvent::Heard => {
                if let Some(participant) = self.participants.get_mut(session) {
                    participant.member.silent_since = None;
                }
            }
            TransportEvent::ChannelOpen(id, label) => {
                let cap = self.config.limits.data_channels;
                let Some(participant) = self.participants.get_mut(session) else {
                    return;
                };
                let ours = role == Role::Subscribe;
                if !participant.session.channels.on_open(id, &label, ours, cap) {
                    let message = format!("limit of data_channels is {cap}");
                    let reason = CloseReason::LimitExceeded;
                    self.end(now, session, reason, CloseAction::Disconnect, &message);
                }
            }
            TransportEvent::ChannelClosed(id) => {
                if let Some(participant) = self.participants.get_mut(session) {
                    participant
                        .session
                        .channels
                        .on_closed(id, role == Role::Subscribe);
                }
            }
            TransportEvent::ChannelData(id, message) => {
                let Some(participant) = self.participants.get(session) else {
                    return;
                };
                match participant
                    .session
                    .channels
                    .reliability_of(id, role == Role::Subscribe)
                {
                    Some(reliable) => self.on_data(now, session, reliable, &message),
                    None => self.stats.drop(DropReason::DataRefused),
                }
            }
            TransportEvent::IngressReport(report) => self.on_ingress_report(now, session, &report),
        }
    }

    /// Whether a session has one transport, which is then all that the client has of us.
    fn is_one_way(&self, session: SessionKey) -> bool {
        let participant = self.participants.get(session);
        participant.is_some_and(|p| p.session.shape() != Shape::TwoWay)
    }

    pub(super) fn on_connected(&mut self, now: Instant, session: SessionKey, role: Role) {
        let Some(participant) = self.participants.get_mut(session) else {
            return;
        };
        participant.member.silent_since = None;
        if participant.member.state != ParticipantState::Active {
            participant.member.state = ParticipantState::Active;
            self.announce_soon(session);
            self.publish_participant_event(now, session, RoomEvent::ParticipantUpdated);
        }
        if role == Role::Subscribe {
            self.connect_lane(now, session);
        }
    }

    /// The handshake of a subscribe transport is done: its keys go to the lane.
    fn connect_lane(&mut self, now: Instant, session: SessionKey) {
        let Some(participant) = self.participants.get_mut(session) else {
            return;
        };
        let transport = participant.session.transport_mut(Role::Subscribe);
        let Some(keys) = transport.and_then(Transport::take_keys) else {
            // Connected before: a restart of ICE changes no keys.
            return;
        };
        match keys.contexts() {
            Ok((sender, receiver)) => {
                participant.session.egress.lane.connect(sender, receiver);
                self.on_lane_ready(now, session);
            }
            Err(_) => self.fault(now, session),
        }
    }

    /// Media can go out to a participant.
    pub(super) fn on_lane_ready(&mut self, now: Instant, session: SessionKey) {
        let subscriptions = self
            .participants
            .get(session)
            .map(|participant| participant.subscriptions.clone())
            .unwrap_or_default();
        for subscription in subscriptions {
            self.retarget(now, subscription);
        }
    }

    /// The engine of a session failed inside: the session ends, nobody else is touched.
    fn fault(&mut self, now: Instant, session: SessionKey) {
        self.stats.faults += 1;
        let message = "the session failed inside; join anew";
        self.end(
            now,
            session,
            CloseReason::MediaFailure,
            CloseAction::Reconnect,
            message,
        );
    }
}
