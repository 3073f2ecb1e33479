//! What is looked at ten times a second rather than per packet: speakers, demand, keyframes owed, and stays
//! and rooms whose time is up.

use std::time::{Duration, Instant};

use plenum_proto::{node::CloseAction, v1::CloseReason};

use super::{Shard, awake::Due, state::DirectCall};
use crate::{key::SessionKey, room::Voice};

/// How often.
const TICK: Duration = Duration::from_millis(100);

/// How long after its last connectivity check a silent client's stay ends: consent to send to it is over
/// after 30 s (RFC 7675 section 5.1), and the tick before that is the last one in time.
const CONSENT: Duration = Duration::from_millis(29_900);

impl Shard {
    /// Sets when [`Shard::tick`] is wanted: often while anybody is here, else when a room ends.
    pub(super) fn schedule_tick(&mut self, now: Instant) {
        let soonest = if self.participants.is_empty() {
            let rooms = self.rooms.values().filter_map(|room| room.ends_at());
            let waiting = self.relay.waiting.values().map(|waiting| waiting.deadline);
            rooms.chain(waiting).min()
        } else {
            Some(now + TICK)
        };
        // What is to end already is due now.
        let soonest = soonest.map(|at| at.max(now));
        self.next_tick = match (self.next_tick, soonest) {
            // One that is due stays due: whoever is busy must not put it off again and again.
            (Some(set), Some(wanted)) => Some(set.min(wanted)),
            (_, wanted) => wanted,
        };
    }

    pub(super) fn tick(&mut self, now: Instant) {
        if let Some(due_at) = self.next_tick.take() {
            let late = now.saturating_duration_since(due_at);
            self.lateness.take(late, TICK);
        }
        let due = self.due(now);
        self.expire(now, &due);
        for track in due.tracks.iter().copied() {
            self.on_flow(now, track);
            self.stand_in(now, track);
            self.tell_demand(now, track);
            let Some(found) = self.tracks.get_mut(track) else {
                continue;
            };
            for stopped in found
                .encodings
                .iter_mut()
                .filter(|e| !e.cache.is_empty() && !e.encoding.is_flowing(now))
            {
                stopped.cache.clear();
            }
            let owed: Vec<u8> = found
                .encodings
                .iter_mut()
                .filter_map(|e| {
                    e.throttle
                        .handle_timeout(now)
                        .then_some(e.encoding.info.index)
                })
                .collect();
            for encoding in owed {
                self.request_keyframe(track, encoding);
            }
        }
        for room in due.rooms.iter().copied() {
            self.report_speakers(now, room);
            self.tell_roster(now, room);
        }
        self.offer_vacated(now);
        self.report_plain(now, &due.sessions);
        self.refresh_plain(now, &due.sessions);
        self.tick_relay(now);
        self.ladders.clear();
        for session in due.sessions.iter().copied() {
            self.note_silence(now, session);
            if self.owes_allocation(now, session) {
                self.reallocate(now, session);
            }
        }
        self.let_sleep(now, &due);
    }

    /// Ends what has no time left.
    fn expire(&mut self, now: Instant, due: &Due) {
        let config = &self.config;
        let since = |start: Option<Instant>| {
            start.map_or(Duration::ZERO, |start| now.saturating_duration_since(start))
        };
        let ended: Vec<(SessionKey, CloseReason, CloseAction)> = due
            .sessions
            .iter()
            .filter_map(|key| Some((*key, self.participants.get(*key)?)))
            .filter(|(_, participant)| participant.is_here())
            .filter_map(|(key, participant)| {
                let member = &participant.member;
                let never_connected = match participant.direct {
                    None => {
                        !member.is_active() && since(Some(member.joined)) > config.connect_timeout
                    }
                    Some(DirectCall::Over { since: over }) => {
                        since(Some(over)) > config.connect_timeout
                    }
                    Some(DirectCall::Alone | DirectCall::With { .. }) => false,
                };
                if since(member.lost_since) > config.resume_window {
                    Some((key, CloseReason::SignalClosed, CloseAction::Reconnect))
                } else if never_connected || since(member.silent_since) > CONSENT {
                    Some((key, CloseReason::ConnectionTimeout, CloseAction::Reconnect))
                } else {
                    None
                }
            })
            .collect();
        for (session, reason, action) in ended {
            self.end(now, session, reason, action, "");
        }
        self.expire_direct(now, &due.sessions);
        self.expire_waiting(now);
        self.expire_homeless(now, &due.rooms);
        self.ask_for_lost(now, &due.rooms);
        for room in due.rooms.iter().copied() {
            let ends_at = self.rooms.get(room).and_then(|room| room.ends_at());
            if ends_at.is_none_or(|at| at > now) {
                continue;
            }
            let (reason, action) = (CloseReason::RoomClosed, CloseAction::Disconnect);
            self.end_room(now, room, reason, action, Voice::All);
        }
    }
}
