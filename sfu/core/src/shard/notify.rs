//! Telling: events to control connections, and to the event stream of the API. Must not change state
//! but versions.

use std::time::Instant;

use plenum_proto::{
    node::{SessionEvent, session_event::Kind},
    v1::{self, event::Kind as RoomEvent},
};

use super::Shard;
use crate::{
    ControlId, Event,
    key::{RoomKey, SessionKey, TrackKey},
};

impl Shard {
    /// Tells one control connection.
    pub(super) fn tell_control(&mut self, control: ControlId, kind: Kind) {
        self.events.push_back(Event::Session {
            control,
            event: SessionEvent { kind: Some(kind) },
        });
    }

    /// Tells one participant; one whose control connection is lost learns the state when it resumes.
    pub(super) fn tell(&mut self, session: SessionKey, kind: Kind) {
        if let Some(control) = self.participants.get(session).and_then(|p| p.control()) {
            self.tell_control(control, kind);
        }
    }

    /// The participant as others see it, with its published tracks.
    pub(super) fn participant_info(&self, session: SessionKey) -> Option<v1::Participant> {
        let participant = self.participants.get(session)?;
        let tracks = participant
            .tracks
            .iter()
            .filter_map(|key| self.tracks.get(*key))
            .filter(|track| track.is_published)
            .map(|track| track.info.clone())
            .collect();
        Some(participant.member.info(tracks))
    }

    pub(super) fn room_info(&self, room: RoomKey) -> Option<v1::Room> {
        let room = self.rooms.get(room)?;
        let members = room
            .members
            .iter()
            .filter_map(|key| self.participants.get(*key));
        let visible = members.filter(|p| !p.member.permissions.hidden);
        let (mut count, mut publishers) = (0, 0);
        for participant in visible {
            count += u32::from(participant.member.is_person());
            let publishes = participant.tracks.iter().any(|key| {
                self.tracks
                    .get(*key)
                    .is_some_and(|track| track.is_published)
            });
            publishers += u32::from(publishes);
        }
        Some(room.info(count, publishers))
    }

    /// Whether this shard tells the API of what happens to a participant: mostly the one it lives on does.
    pub(super) fn speaks_for(&self, session: SessionKey) -> bool {
        self.participants.get(session).is_some_and(|participant| {
            let room = self.rooms.get(participant.room);
            room.is_none_or(|room| room.span.speaks_for(participant.is_here()))
        })
    }

    /// Tells everybody in a room for whom `to` holds.
    pub(super) fn tell_room(
        &mut self,
        room: RoomKey,
        to: impl Fn(SessionKey) -> bool,
        kind: impl Fn(SessionKey) -> Kind,
    ) {
        let Some(room) = self.rooms.get(room) else {
            return;
        };
        for member in room.members.iter().copied().filter(|member| to(*member)) {
            if let Some(control) = self.participants.get(member).and_then(|p| p.control()) {
                let event = SessionEvent {
                    kind: Some(kind(member)),
                };
                self.events.push_back(Event::Session { control, event });
            }
        }
    }

    /// Tells the event stream.
    pub(super) fn publish_event(&mut self, now: Instant, room: RoomKey, kind: RoomEvent) {
        let event = v1::Event {
            sequence: 0,
            epoch: String::new(),
            at: Some(self.anchor.timestamp(now)),
            room: self.room_info(room),
            kind: Some(kind),
        };
        self.events.push_back(Event::Room(Box::new(event)));
    }

    /// Tells the event stream of a track; hidden participants leave no trace there either.
    pub(super) fn publish_track_event(
        &mut self,
        now: Instant,
        track: TrackKey,
        kind: impl Fn(v1::TrackEvent) -> RoomEvent,
    ) {
        let Some(published) = self.tracks.get(track) else {
            return;
        };
        let info = published.info.clone();
        let Some(owner) = self.participants.get(published.owner) else {
            return;
        };
        if owner.member.permissions.hidden || !self.speaks_for(published.owner) {
            return;
        }
        let (room, participant) = (owner.room, owner.member.info(Vec::new()));
        let event = v1::TrackEvent {
            participant: Some(participant),
            track: Some(info),
        };
        self.publish_event(now, room, kind(event));
    }

    /// The same of a participant.
    pub(super) fn publish_participant_event(
        &mut self,
        now: Instant,
        session: SessionKey,
        kind: impl Fn(v1::Participant) -> RoomEvent,
    ) {
        let Some(info) = self.participant_info(session) else {
            return;
        };
        let Some(participant) = self.participants.get(session) else {
            return;
        };
        if !participant.member.permissions.hidden && self.speaks_for(session) {
            self.publish_event(now, participant.room, kind(info));
        }
    }
}
