//! Which tracks, rooms and sessions are looked at with every tick: those of which something may change with time
//! alone. All others sleep until something happens to them, so that an idle session costs nothing. Must not do
//! what is due; the tick does.
//!
//! Whoever makes something happen wakes what it happens to. From time to time all are looked at: then what has
//! come to rest falls asleep.

use std::time::{Duration, Instant};

use super::{Shard, state::Participant};
use crate::{
    key::{RoomKey, SessionKey, TrackKey},
    track::DemandTracker,
};

/// How often all are looked at.
const SWEEP: Duration = Duration::from_secs(5);

/// Who is awake, each once.
#[derive(Debug, Default)]
pub(super) struct Awake {
    tracks: Vec<TrackKey>,
    rooms: Vec<RoomKey>,
    sessions: Vec<SessionKey>,
    next_sweep: Option<Instant>,
}

/// What a tick looks at, in the order of their keys.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) tracks: Vec<TrackKey>,
    pub(super) rooms: Vec<RoomKey>,
    pub(super) sessions: Vec<SessionKey>,
    /// These are all there are.
    is_sweep: bool,
}

impl Shard {
    pub(super) fn wake_track(&mut self, key: TrackKey) {
        if let Some(track) = self.tracks.get_mut(key)
            && !std::mem::replace(&mut track.is_awake, true)
        {
            self.awake.tracks.push(key);
        }
    }

    pub(super) fn wake_room(&mut self, key: RoomKey) {
        if let Some(room) = self.rooms.get_mut(key)
            && !std::mem::replace(&mut room.is_awake, true)
        {
            self.awake.rooms.push(key);
        }
    }

    pub(super) fn wake_session(&mut self, key: SessionKey) {
        if let Some(participant) = self.participants.get_mut(key)
            && !std::mem::replace(&mut participant.is_awake, true)
        {
            self.awake.sessions.push(key);
        }
    }

    /// What is to be looked at now.
    pub(super) fn due(&mut self, now: Instant) -> Due {
        let awake = &mut self.awake;
        let is_sweep =
            self.participants.is_empty() || awake.next_sweep.is_none_or(|next| next <= now);
        if is_sweep {
            awake.next_sweep = Some(now + SWEEP);
            return Due {
                tracks: self.tracks.keys().collect(),
                rooms: self.rooms.keys().collect(),
                sessions: self.participants.keys().collect(),
                is_sweep,
            };
        }
        // What is gone meanwhile is left out by the sweep.
        awake.tracks.sort_unstable();
        awake.rooms.sort_unstable();
        awake.sessions.sort_unstable();
        Due {
            tracks: awake.tracks.clone(),
            rooms: awake.rooms.clone(),
            sessions: awake.sessions.clone(),
            is_sweep,
        }
    }

    /// After a look at all: what has come to rest sleeps.
    pub(super) fn let_sleep(&mut self, now: Instant, due: &Due) {
        if !due.is_sweep {
            return;
        }
        self.awake.tracks.clear();
        for key in self.tracks.keys().collect::<Vec<_>>() {
            let stays = self.is_restless_track(now, key);
            if let Some(track) = self.tracks.get_mut(key) {
                track.is_awake = stays;
            }
            self.awake.tracks.extend(stays.then_some(key));
        }
        self.awake.rooms.clear();
        for key in self.rooms.keys().collect::<Vec<_>>() {
            let stays = self.is_restless_room(key);
            if let Some(room) = self.rooms.get_mut(key) {
                room.is_awake = stays;
            }
            self.awake.rooms.extend(stays.then_some(key));
        }
        self.awake.sessions.clear();
        for (key, participant) in &mut self.participants {
            let is_paused = |key| self.subscriptions.get(key).is_some_and(|s| s.is_paused);
            let stays = participant.is_restless(now)
                || participant.subscriptions.iter().copied().any(is_paused);
            participant.is_awake = stays;
            self.awake.sessions.extend(stays.then_some(key));
        }
    }

    /// Whether a track flows, or its publisher is owed a word, or owes an answer. What it was asked for and does not
    /// send rests as soon as others stand in for it.
    fn is_restless_track(&self, now: Instant, key: TrackKey) -> bool {
        let Some(track) = self.tracks.get(key) else {
            return false;
        };
        let mut encodings = track.encodings.iter();
        let is_settled = |demand: &DemandTracker| {
            demand.is_settled() && (track.info.muted || !demand.is_fresh(now))
        };
        track.flowing != 0
            || encodings.any(|e| !e.cache.is_empty() || e.throttle.is_pending())
            || (track.is_video()
                && (!track.demands.iter().all(is_settled)
                    || track.misses_stand_ins(self.failing(now, key))))
    }

    /// Whether a room may end, has to tell something, or has sound in it.
    fn is_restless_room(&self, key: RoomKey) -> bool {
        let Some(room) = self.rooms.get(key) else {
            return false;
        };
        let flows = |key: &TrackKey| {
            let track = self.tracks.get(*key);
            track.is_some_and(|track| !track.is_video() && track.flowing != 0)
        };
        let mut tracks = room.members.iter().filter_map(|member| {
            let participant = self.participants.get(*member)?;
            Some(participant.tracks.iter())
        });
        room.ends_at().is_some()
            || room.span.ends_at.is_some()
            || room.span.lost.iter().any(|lost| lost.ask_at.is_some())
            || room.roster.is_waiting()
            || !room.speaking.is_empty()
            || !room.loudest.is_empty()
            || !room.told_levels.is_empty()
            || tracks.any(|mut tracks| tracks.any(flows))
    }
}

impl Participant {
    /// Whether a stay may end, or a budget is to be shared out anew.
    pub(super) fn is_restless(&self, now: Instant) -> bool {
        let member = &self.member;
        let may_end = member.lost_since.is_some()
            || member.silent_since.is_some()
            || self.link.is_lost
            || self.direct.is_some()
            || (self.is_here() && !member.is_active());
        may_end
            || self.session.plain.is_some()
            || (self.session.egress.deadline().is_some()
                && (self.link.allocated.is_some() || self.budget(now).is_some()))
    }
}
