//! Joining a room, taking up an existing stay, and leaving. Owns the order of what a joiner is told.

use std::{collections::BTreeSet, time::Instant};

use plenum_proto::{
    ids::{InvalidId, ParticipantId, RoomId},
    node::{self, CloseAction, Join, SessionShape, session_event::Kind},
    v1::{self, CloseReason, ParticipantState, event::Kind as RoomEvent},
};
use rand::Rng as _;

use super::{
    Shard,
    roster::Haste,
    state::{DirectCall, Participant},
};
use crate::{
    CommandError, ControlId, Event, LinkKey,
    key::{RoomKey, SessionKey, TrackKey},
    room::{
        Member, MemberText, Room, Roster, Span, SubscriptionRule, Voice, duration_from, is_person,
    },
    rtp::Codec,
    session::{Role, Session, Shape, ice_credentials},
    track::DemandTracker,
};

/// Why a join was refused, as the client is told.
pub(super) struct Refusal {
    reason: CloseReason,
    action: CloseAction,
    message: String,
}

impl Refusal {
    /// The room is, or was, elsewhere: another attempt is told where.
    pub(super) fn moved(message: &str) -> Self {
        Self {
            action: CloseAction::Reconnect,
            ..Self::new(message.to_owned())
        }
    }

    pub(super) fn new(message: String) -> Self {
        Self {
            reason: CloseReason::JoinFailure,
            action: CloseAction::Disconnect,
            message,
        }
    }

    pub(super) fn limit(limit: &str, value: usize) -> Self {
        Self {
            reason: CloseReason::LimitExceeded,
            ..Self::new(format!("limit of {limit} is {value}"))
        }
    }
}

impl From<CommandError> for Refusal {
    fn from(error: CommandError) -> Self {
        Self::new(error.to_string())
    }
}

impl Shard {
    /// Opens a control connection. The answer is an event, which may have to wait for the home of the
    /// room.
    pub(super) fn join(
        &mut self,
        now: Instant,
        control: ControlId,
        join: Join,
        home: Option<LinkKey>,
    ) {
        let done = match join.resume.clone() {
            Some(resume) => self.resume(now, control, &join, &resume.participant_id),
            None => match self.find_home(now, &join, home) {
                Ok(Some(home)) => self.await_home(now, control, join, home),
                Ok(None) => self.enter(now, control, join),
                Err(refusal) => Err(refusal),
            },
        };
        if let Err(refusal) = done {
            self.refuse_join(control, refusal);
        }
    }

    pub(super) fn refuse_join(&mut self, control: ControlId, refusal: Refusal) {
        let closed = node::Closed {
            reason: refusal.reason.into(),
            action: refusal.action.into(),
            message: refusal.message,
            ..node::Closed::default()
        };
        self.tell_control(control, Kind::Closed(closed));
    }

    pub(super) fn enter(
        &mut self,
        now: Instant,
        control: ControlId,
        join: Join,
    ) -> Result<(), Refusal> {
        let limits = &self.config.limits;
        let text = MemberText {
            name: join.name.clone(),
            metadata: join.metadata.clone(),
            attributes: join.attributes.clone(),
        };
        if let Err(problem) = text.check(limits) {
            return Err(Refusal::limit(problem.limit, problem.allowed));
        }
        if join.identity.is_empty() {
            return Err(Refusal::new("identity: must not be empty".into()));
        }
        if join.identity.len() > limits.name_bytes {
            return Err(Refusal::limit("name_bytes", limits.name_bytes));
        }
        if self.participants_here() >= limits.participants {
            return Err(Refusal::limit("participants", limits.participants));
        }
        let pending = limits.pending_participants;
        if self.pending_participants() >= pending {
            return Err(Refusal::limit("pending_participants", pending));
        }
        let config = join.room.clone().unwrap_or_default();
        let room = match self.room_by_name.get(&config.name) {
            Some(room) => *room,
            None if join.must_exist || !self.config.auto_create => {
                return Err(Refusal::new("requested room does not exist".into()));
            }
            None => self.create_room(now, &config, &join.room_id)?,
        };
        self.check_capacity(room, &join)?;
        let replaced = self.find_identity(room, &join.identity);
        let is_double = join.shape() == SessionShape::Forwarded;
        if is_double {
            self.check_double(replaced, &join)?;
        }
        if let Some(direct) = replaced.filter(|_| !join.direct)
            && self.is_direct_here(direct)
        {
            self.promote_direct(now, direct, control, text, join);
            return Ok(());
        }
        // On all shards the later stay is the one that holds, whatever their clocks say.
        let earliest = replaced
            .and_then(|before| self.participants.get(before))
            .map(|before| after(before.member.joined_at));
        let doubles = replaced.and_then(|before| self.participants.get_mut(before));
        let doubles = doubles.map(|before| std::mem::take(&mut before.doubles));
        if let Some(before) = replaced {
            self.end(
                now,
                before,
                CloseReason::DuplicateIdentity,
                CloseAction::Disconnect,
                "",
            );
        }
        let session = self.admit(now, control, room, text, join);
        self.take_over_doubles(session, doubles.unwrap_or_default());
        if let (Some(earliest), Some(participant)) = (earliest, self.participants.get_mut(session))
        {
            let member = &mut participant.member;
            if age(&member.joined_at) < age(&earliest) {
                member.joined_at = earliest;
            }
        }
        self.welcome(now, session);
        if is_double {
            self.begin_double(now, session);
        }
        Ok(())
    }

    fn check_capacity(&self, room: RoomKey, join: &Join) -> Result<(), Refusal> {
        let Some(found) = self.rooms.get(room) else {
            return Ok(());
        };
        // A participant that replaces its older self takes no place.
        let before = self.find_identity(room, &join.identity);
        let before = before.and_then(|key| self.participants.get(key));
        let was_person = before.is_some_and(|before| before.member.is_person());
        let own = usize::try_from(found.max_participants).unwrap_or(usize::MAX);
        let of_room = (own > 0 && is_person(join.kind()))
            .then(|| (found.people - usize::from(was_person), own));
        let cap = self.config.limits.participants_per_room;
        let of_node = (found.members.len() - usize::from(before.is_some()), cap);
        for (present, cap) in of_room.into_iter().chain([of_node]) {
            if present >= cap {
                return Err(Refusal::limit("max_participants", cap));
            }
        }
        Ok(())
    }

    fn admit(
        &mut self,
        now: Instant,
        control: ControlId,
        room: RoomKey,
        text: MemberText,
        join: Join,
    ) -> SessionKey {
        let shape = match join.shape() {
            SessionShape::TwoWay => Shape::TwoWay,
            SessionShape::PublishOnly => Shape::PublishOnly,
            SessionShape::SubscribeOnly => Shape::SubscribeOnly,
            SessionShape::Plain | SessionShape::Forwarded => Shape::Plain,
        };
        let double_of = self.source_of(&join);
        let client = join.client.unwrap_or_default();
        let session = if join.direct || double_of.is_some() {
            Session::elsewhere(&self.config, now)
        } else {
            self.new_session(now, &client, shape)
        };
        let member = Member {
            id: ParticipantId::random(|| self.rng.random()),
            identity: join.identity,
            text,
            // One that has no transports is all there is of it.
            state: match double_of {
                Some(_) => ParticipantState::Active,
                None => ParticipantState::Joined,
            },
            kind: join.kind,
            permissions: join.permissions.unwrap_or_default(),
            joined_at: self.anchor.timestamp(now),
            joined: now,
            version: 0,
            client,
            auto_subscribe: join.auto_subscribe,
            adaptive_stream: join.adaptive_stream,
            is_direct: join.direct,
            is_forwarded: double_of.is_some(),
            rule: SubscriptionRule::default(),
            control: Some(control),
            lost_since: None,
            heard_at: None,
            silent_since: None,
            requests_left: 0,
            requests_renew: now,
        };
        let (identity, participant) = (member.identity.clone(), String::from(&member.id));
        let mut entry = Participant::new(room, member, session);
        entry.direct = join.direct.then_some(DirectCall::Alone);
        entry.double_of = double_of;
        let key = self.participants.insert(entry);
        self.wake_session(key);
        self.controls.insert(control, key);
        if let (Some(room), Some(entry)) = (self.rooms.get_mut(room), self.participants.get(key)) {
            room.add(key, &entry.member);
            self.events.push_back(Event::StayBegan {
                room: room.name.clone(),
                identity,
                participant,
            });
        }
        self.register_usernames(key);
        self.stats.joins += 1;
        key
    }

    /// Transports for a client.
    pub(super) fn new_session(
        &mut self,
        now: Instant,
        client: &node::ClientInfo,
        shape: Shape,
    ) -> Session {
        // Redundant audio breaks in these browsers' decoders.
        let browser = client.browser.to_ascii_lowercase();
        let use_red = !browser.contains("firefox") && !browser.contains("safari");
        Session::new(&self.config, &mut self.rng, shape, use_red, now)
    }

    /// Tells a joiner where it is and the others who came; then subscribes and offers.
    fn welcome(&mut self, now: Instant, session: SessionKey) {
        let Some(room) = self.participants.get(session).map(|p| p.room) else {
            return;
        };
        if let Some(joined) = self.joined_message(session) {
            self.tell(session, Kind::Joined(joined));
        }
        let Some(info) = self.participant_info(session) else {
            return;
        };
        if !info.permissions.as_ref().is_some_and(|p| p.hidden) {
            self.tell_others(room, session, info, Haste::Soon);
        }
        self.publish_participant_event(now, session, RoomEvent::ParticipantJoined);
        self.spread_member(session);
        self.connect_media(now, session);
        self.settle_direct(now, room);
    }

    /// Subscribes a participant to what there is, and offers.
    pub(super) fn connect_media(&mut self, now: Instant, session: SessionKey) {
        let Some(room) = self.participants.get(session).map(|p| p.room) else {
            return;
        };
        for track in self.tracks_of_room(room) {
            self.reconcile_subscription(now, session, track);
        }
        self.offer(session);
        self.touch(session);
    }

    /// What a control connection is told first.
    pub(super) fn joined_message(&self, session: SessionKey) -> Option<node::Joined> {
        let participant = self.participants.get(session)?;
        let room = self.rooms.get(participant.room)?;
        let others = room
            .members
            .iter()
            .filter(|other| **other != session)
            .filter(|other| {
                self.participants
                    .get(**other)
                    .is_some_and(|p| !p.member.permissions.hidden)
            })
            .filter_map(|other| self.participant_info(*other))
            .collect();
        let codecs = Codec::ALL.into_iter().filter(|codec| *codec != Codec::G722);
        Some(node::Joined {
            room: self.room_info(participant.room),
            participant: self.participant_info(session),
            others,
            publish_codecs: codecs.map(|codec| codec.mime().to_owned()).collect(),
            node_id: self.config.node_id.clone(),
            region: self.config.region.clone(),
        })
    }

    fn resume(
        &mut self,
        now: Instant,
        control: ControlId,
        join: &Join,
        participant_id: &str,
    ) -> Result<(), Refusal> {
        let name = join
            .room
            .as_ref()
            .map(|room| room.name.as_str())
            .unwrap_or_default();
        let session = self
            .room_by_name
            .get(name)
            .and_then(|room| self.find_identity(*room, &join.identity))
            .filter(|key| {
                let found = self.participants.get(*key).filter(|p| p.is_here());
                found.is_some_and(|p| {
                    p.direct.is_some() == join.direct
                        && (participant_id.is_empty() || p.member.id.as_str() == participant_id)
                })
            });
        let Some(participant) = session.and_then(|key| self.participants.get_mut(key)) else {
            return Err(Refusal {
                reason: CloseReason::StateMismatch,
                action: CloseAction::Reconnect,
                message: "this stay has ended; join anew".into(),
            });
        };
        let Some(session) = session else {
            return Ok(());
        };
        let before = participant.member.control.replace(control);
        participant.member.lost_since = None;
        participant.member.silent_since = None;
        let drop_again = std::mem::take(&mut participant.drop_next_resume);
        self.controls.insert(control, session);
        if let Some(before) = before {
            self.controls.remove(&before);
            let closed = node::Closed {
                reason: CloseReason::SignalClosed.into(),
                action: CloseAction::Disconnect.into(),
                message: "taken over by a newer connection".into(),
                ..node::Closed::default()
            };
            self.tell_control(before, Kind::Closed(closed));
        }
        if drop_again {
            let closed = node::Closed {
                reason: CloseReason::SignalClosed.into(),
                action: CloseAction::Resume.into(),
                message: "simulated loss of the control connection".into(),
                ..node::Closed::default()
            };
            self.tell_control(control, Kind::Closed(closed));
            self.controls.remove(&control);
            if let Some(participant) = self.participants.get_mut(session) {
                participant.member.control = None;
                participant.member.lost_since = Some(now);
            }
            self.wake_session(session);
            return Ok(());
        }
        self.stats.resumes += 1;
        self.welcome_back(now, session);
        Ok(())
    }

    /// State of now, then ICE restart on the subscribe transport, or the offer it still owes an answer to.
    fn welcome_back(&mut self, now: Instant, session: SessionKey) {
        let Some(joined) = self.joined_message(session) else {
            return;
        };
        // It carries everybody's state of now; nothing of the past is sent again.
        self.tell(session, Kind::Resumed(joined));
        if self.is_direct_here(session) {
            return self.tell_direct_again(session);
        }
        // What it was asked to send may have been lost with the old connection.
        let tracks = self
            .participants
            .get(session)
            .map(|p| p.tracks.clone())
            .unwrap_or_default();
        for key in tracks {
            if let Some(track) = self.tracks.get_mut(key) {
                track.demands.iter_mut().for_each(DemandTracker::forget);
            }
            self.tell_demand(now, key);
        }
        let fresh = ice_credentials(&self.config, &mut self.rng);
        let Some(participant) = self.participants.get_mut(session) else {
            return;
        };
        participant.session.restart_ice(fresh);
        let unanswered = participant.session.unanswered_offer();
        match unanswered {
            Some(offer) => self.send_offer(session, offer),
            None => self.offer(session),
        }
        self.touch(session);
    }

    /// Makes a room, with this id unless it is empty. The name must be free.
    pub(super) fn create_room(
        &mut self,
        now: Instant,
        config: &v1::RoomConfig,
        id: &str,
    ) -> Result<RoomKey, CommandError> {
        let limits = &self.config.limits;
        if config.name.is_empty() {
            return Err(CommandError::Invalid {
                field: "config.name",
                problem: "must not be empty".into(),
            });
        }
        for (limit, size, cap) in [
            ("name_bytes", config.name.len(), limits.name_bytes),
            (
                "metadata_bytes",
                config.metadata.len(),
                limits.metadata_bytes,
            ),
            ("rooms", self.rooms.len() + 1, limits.rooms),
        ] {
            if size > cap {
                return Err(CommandError::Limit {
                    limit,
                    value: cap as u64,
                });
            }
        }
        let id = match id {
            "" => RoomId::random(|| self.rng.random()),
            given => given
                .parse()
                .map_err(|problem: InvalidId| CommandError::Invalid {
                    field: "room_id",
                    problem: format!("must be {problem}"),
                })?,
        };
        let room = Room {
            id,
            name: config.name.clone(),
            metadata: config.metadata.clone(),
            empty_timeout: duration_from(config.empty_timeout.as_ref())
                .unwrap_or(self.config.empty_timeout),
            departure_timeout: duration_from(config.departure_timeout.as_ref())
                .unwrap_or(self.config.departure_timeout),
            max_participants: config.max_participants,
            created_at: self.anchor.timestamp(now),
            members: Vec::new(),
            people: 0,
            empty_since: now,
            was_joined: false,
            speaking: Vec::new(),
            next_speakers: now,
            span: Span::default(),
            loudest: Vec::new(),
            told_levels: Vec::new(),
            roster: Roster::default(),
            is_awake: false,
        };
        let key = self.rooms.insert(room);
        self.wake_room(key);
        self.room_by_name.insert(config.name.clone(), key);
        self.publish_event(now, key, RoomEvent::RoomStarted(v1::RoomStarted {}));
        Ok(key)
    }

    /// Ends a stay: media stops, everybody learns of it.
    pub(super) fn end(
        &mut self,
        now: Instant,
        session: SessionKey,
        reason: CloseReason,
        action: CloseAction,
        message: &str,
    ) {
        let Some(participant) = self.participants.get_mut(session) else {
            return;
        };
        participant.session.close();
        participant.member.state = ParticipantState::Disconnected;
        participant.member.version += 1;
        let room = participant.room;
        let (hidden, is_here) = (participant.member.permissions.hidden, participant.is_here());
        let closed = node::Closed {
            reason: reason.into(),
            action: action.into(),
            message: message.to_owned(),
            ..node::Closed::default()
        };
        // The last word: nothing of what follows concerns this connection any more.
        let control = self
            .participants
            .get_mut(session)
            .and_then(|p| p.member.control.take());
        if let Some(control) = control {
            self.tell_control(control, Kind::Closed(closed));
            self.controls.remove(&control);
        }
        self.drain_closing(now, session);

        self.end_doubles(now, session, reason);
        let tracks = self
            .participants
            .get(session)
            .map(|p| p.tracks.clone())
            .unwrap_or_default();
        let is_published = |key: &TrackKey| self.tracks.get(*key).is_some_and(|t| t.is_published);
        let was_publisher = tracks.iter().any(is_published);
        for track in tracks {
            self.remove_track(now, track, false);
        }
        let subscriptions = self
            .participants
            .get(session)
            .map(|p| p.subscriptions.clone())
            .unwrap_or_default();
        for subscription in subscriptions {
            self.remove_subscription(now, subscription, false);
        }
        let info = self.participant_info(session).map(|mut info| {
            info.close_reason = reason.into();
            info
        });
        let is_ours_to_tell = self.speaks_for(session);
        if is_here {
            self.spread_gone(session, reason);
            self.tell_stay_ended(session);
        }
        if let Some(mut gone) = self.participants.remove(session) {
            if let Some(room) = self.rooms.get_mut(room) {
                room.remove(now, session, &gone.member);
            }
            self.wake_room(room);
            self.stats.packets_discarded += gone.session.egress.discard_all();
            for source in gone.session.sources() {
                self.demux.remove_source(source, session);
                self.events.push_back(Event::CloseTcp { remote: source });
            }
        }
        self.demux.remove_usernames(session);
        self.timers.set(session, None);
        if let Some(info) = info.filter(|_| !hidden) {
            let haste = if was_publisher {
                Haste::AtOnce
            } else {
                Haste::Soon
            };
            self.tell_others(room, session, info.clone(), haste);
            if is_ours_to_tell {
                self.publish_event(now, room, RoomEvent::ParticipantLeft(info));
            }
        }
        self.settle_direct(now, room);
    }

    /// The node forgets where to take up a stay.
    fn tell_stay_ended(&mut self, session: SessionKey) {
        let Some(participant) = self.participants.get(session) else {
            return;
        };
        if let Some(room) = self.rooms.get(participant.room) {
            self.events.push_back(Event::StayEnded {
                room: room.name.clone(),
                identity: participant.member.identity.clone(),
                participant: (&participant.member.id).into(),
            });
        }
    }

    /// Ends a room and everybody's stay in it: on the home everywhere, on an edge here alone. `voice`
    /// says who tells the API of it.
    pub(super) fn end_room(
        &mut self,
        now: Instant,
        room: RoomKey,
        reason: CloseReason,
        action: CloseAction,
        voice: Voice,
    ) {
        let Some(ending) = self.rooms.get_mut(room) else {
            return;
        };
        ending.span.ending = Some(voice);
        let (is_home, members) = (ending.span.is_home(), ending.members.clone());
        let moved = reason == CloseReason::Migration;
        self.part(room, reason, action, voice);
        for member in members {
            self.end(now, member, reason, action, "");
        }
        if is_home {
            self.publish_event(now, room, RoomEvent::RoomEnded(v1::RoomEnded { moved }));
        }
        if let Some(gone) = self.rooms.remove(room) {
            self.room_by_name.remove(&gone.name);
            if is_home {
                self.events.push_back(Event::RoomGone { name: gone.name });
            }
        }
    }

    /// Sends on those who are here while their room's home is elsewhere, whoever came first, but for so many; says how
    /// many are left.
    pub(super) fn move_guests(
        &mut self,
        now: Instant,
        keep: usize,
        except: &BTreeSet<String>,
    ) -> usize {
        let rooms = self.rooms.values();
        let elsewhere = rooms.filter(|room| !room.span.is_home() && !except.contains(&room.name));
        let is_guest = |key: &SessionKey| {
            self.participants
                .get(*key)
                .is_some_and(Participant::is_here)
        };
        let guests: Vec<SessionKey> = elsewhere
            .flat_map(|room| room.members.iter().copied())
            .filter(is_guest)
            .collect();
        let left = guests.len().min(keep);
        let gone = guests.len() - left;
        for guest in guests.into_iter().take(gone) {
            let (reason, action) = (CloseReason::Migration, CloseAction::Reconnect);
            self.end(now, guest, reason, action, "");
        }
        left
    }

    pub(super) fn find_identity(&self, room: RoomKey, identity: &str) -> Option<SessionKey> {
        self.rooms.get(room)?.members.iter().copied().find(|key| {
            self.participants
                .get(*key)
                .is_some_and(|p| p.member.identity == identity)
        })
    }

    /// Stays on this shard.
    pub(super) fn participants_here(&self) -> usize {
        self.participants.values().filter(|p| p.is_here()).count()
    }

    /// Stays on this shard without a connected transport.
    fn pending_participants(&self) -> usize {
        self.participants
            .values()
            .filter(|p| p.is_here() && p.direct.is_none())
            .filter(|p| p.member.state != ParticipantState::Active)
            .count()
    }

    /// Lets connectivity checks find the session under its user names of now.
    pub(super) fn register_usernames(&mut self, session: SessionKey) {
        let Some(participant) = self.participants.get_mut(session) else {
            return;
        };
        for role in [Role::Publish, Role::Subscribe] {
            if let Some(transport) = participant.session.transport_mut(role) {
                let username = transport.ice_username();
                self.demux.set_username(username, session, role);
            }
        }
    }
}

/// The moment a stay began, so that two can be compared.
pub(super) fn age(at: &prost_types::Timestamp) -> (i64, i32) {
    (at.seconds, at.nanos)
}

/// The next moment there is.
fn after(mut at: prost_types::Timestamp) -> prost_types::Timestamp {
    at.nanos += 1;
    if at.nanos >= 1_000_000_000 {
        (at.seconds, at.nanos) = (at.seconds.saturating_add(1), 0);
    }
    at
}
