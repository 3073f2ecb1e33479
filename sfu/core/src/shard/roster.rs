//! Telling a room of its participants, and of the quality of their connections. Must not decide who is
//! a member.
//!
//! What one participant has to be told for its media to make sense goes out at once; what costs the
//! square of a large room waits (`room/roster.rs`), or goes only to whom it concerns.

use std::time::Instant;

use plenum_proto::{
    node::{self, session_event::Kind},
    v1,
};

use super::Shard;
use crate::{
    key::{RoomKey, SessionKey},
    room::Roster,
};

/// How soon a change of a participant has to be known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Haste {
    /// Before anything else that is told.
    AtOnce,
    /// Soon; of a participant without tracks in a large room.
    Soon,
}

impl Shard {
    /// A participant of this shard changed: everybody who may see it learns its state of now, here and on
    /// other shards.
    pub(super) fn announce_participant(&mut self, session: SessionKey) {
        self.announce(session, Haste::AtOnce);
    }

    /// The same of a change that nobody has to know before anything else.
    pub(super) fn announce_soon(&mut self, session: SessionKey) {
        self.announce(session, Haste::Soon);
    }

    fn announce(&mut self, session: SessionKey, haste: Haste) {
        if let Some(participant) = self.participants.get_mut(session) {
            participant.member.version += 1;
        }
        let Some(info) = self.participant_info(session) else {
            return;
        };
        let Some(participant) = self.participants.get(session) else {
            return;
        };
        let (room, hidden) = (participant.room, participant.member.permissions.hidden);
        // Itself it is told in any case, and before the others.
        self.tell(session, participants(vec![info.clone()]));
        if !hidden {
            self.tell_others(room, session, info, haste);
        }
        self.spread_member(session);
    }

    /// Tells everybody in a room but the participant itself.
    pub(super) fn tell_others(
        &mut self,
        room: RoomKey,
        about: SessionKey,
        info: v1::Participant,
        haste: Haste,
    ) {
        let Some(found) = self.rooms.get_mut(room) else {
            return;
        };
        let waits =
            haste == Haste::Soon && info.tracks.is_empty() && found.members.len() > Roster::SMALL;
        if waits {
            found.roster.wait(info);
            return self.wake_room(room);
        }
        found.roster.take(&info.id);
        self.tell_room(
            room,
            |other| other != about,
            |_| participants(vec![info.clone()]),
        );
    }

    /// Something of a participant reaches others now: they have to know it before.
    pub(super) fn introduce(&mut self, session: SessionKey) {
        let Some(participant) = self.participants.get(session) else {
            return;
        };
        let (key, id) = (participant.room, participant.member.id.as_str());
        let room = self.rooms.get_mut(key);
        if let Some(waiting) = room.and_then(|room| room.roster.take(id)) {
            self.tell_others(key, session, waiting, Haste::AtOnce);
        }
    }

    /// Tells a room what has waited long enough.
    pub(super) fn tell_roster(&mut self, now: Instant, key: RoomKey) {
        let room = self.rooms.get_mut(key);
        if let Some(infos) = room.and_then(|room| room.roster.due(now, room.members.len())) {
            self.tell_room(key, |_| true, |_| participants(infos.clone()));
        }
    }

    /// Tells how good a participant's connection is: itself, and who takes its tracks here. Clients that are told that
    /// they are lost themselves join again, which the end of their stay is for.
    pub(super) fn tell_quality(&mut self, about: SessionKey, report: &node::QualityReport) {
        let Some(participant) = self.participants.get(about) else {
            return;
        };
        let mut concerned: Vec<SessionKey> = participant
            .tracks
            .iter()
            .filter_map(|track| self.tracks.get(*track))
            .flat_map(|track| &track.subscriptions)
            .filter_map(|subscription| self.subscriptions.get(*subscription))
            .map(|subscription| subscription.subscriber)
            .collect();
        if !participant.link.is_lost {
            concerned.push(about);
        }
        concerned.sort_unstable();
        concerned.dedup();
        for session in concerned {
            self.tell(session, Kind::Quality(report.clone()));
        }
    }
}

fn participants(participants: Vec<v1::Participant>) -> Kind {
    Kind::Participants(node::Participants { participants })
}
