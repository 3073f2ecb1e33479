//! What is looked at ten times a second rather than per packet: speakers, demand, keyframes owed, links,
//! and stays and rooms whose time is up.

use std::time::{Duration, Instant};

use plenum_proto::{
    node::{self, CloseAction, session_event::Kind as Told},
    v1::{self, CloseReason, ParticipantState, event::Kind as RoomEvent},
};

use super::Shard;
use crate::{
    key::{RoomKey, SessionKey, TrackKey},
    room::{
        quality::{self, LinkReport},
        speaker::{self, SpeakerDetector},
    },
    session::TransportEvent,
};

/// How often.
const TICK: Duration = Duration::from_millis(100);

/// How long a client may be silent on its transports before its stay ends (RFC 7675 section 5.1).
const CONSENT: Duration = Duration::from_secs(30);

impl Shard {
    /// Sets when [`Shard::tick`] is wanted: often while anybody is here, else when a room ends.
    pub(super) fn schedule_tick(&mut self, now: Instant) {
        let soonest = if self.participants.is_empty() {
            self.rooms.values().filter_map(|room| room.ends_at()).min()
        } else {
            Some(now + TICK)
        };
        self.next_tick = match (self.next_tick, soonest) {
            (Some(set), Some(wanted)) if set > now => Some(set.min(wanted)),
            (_, wanted) => wanted,
        };
    }

    pub(super) fn tick(&mut self, now: Instant) {
        self.next_tick = None;
        self.expire(now);
        let tracks: Vec<_> = self.tracks.keys().collect();
        for track in tracks {
            self.on_flow(now, track);
            self.tell_demand(now, track);
            let Some(found) = self.tracks.get_mut(track) else {
                continue;
            };
            let due: Vec<u8> = found
                .encodings
                .iter_mut()
                .filter_map(|e| {
                    e.throttle
                        .handle_timeout(now)
                        .then_some(e.encoding.info.index)
                })
                .collect();
            for encoding in due {
                self.request_keyframe(track, encoding);
            }
        }
        let rooms: Vec<_> = self.rooms.keys().collect();
        for room in rooms {
            self.report_speakers(now, room);
        }
        let capped: Vec<_> = self
            .participants
            .iter()
            .filter(|(_, p)| p.bandwidth_cap.is_some())
            .map(|(key, _)| key)
            .collect();
        for session in capped {
            self.allocate(now, session);
        }
    }

    /// Ends what has no time left.
    fn expire(&mut self, now: Instant) {
        let config = &self.config;
        let since = |start: Option<Instant>| {
            start.map_or(Duration::ZERO, |start| now.saturating_duration_since(start))
        };
        let ended: Vec<(SessionKey, CloseReason, CloseAction)> = self
            .participants
            .iter()
            .filter_map(|(key, participant)| {
                let member = &participant.member;
                let never_connected = member.state != ParticipantState::Active
                    && since(Some(member.joined)) > config.connect_timeout;
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
        let over: Vec<RoomKey> = self
            .rooms
            .iter()
            .filter(|(_, room)| room.ends_at().is_some_and(|at| at <= now))
            .map(|(key, _)| key)
            .collect();
        for room in over {
            self.end_room(now, room, CloseReason::RoomClosed, CloseAction::Disconnect);
        }
    }

    /// Takes what a transport measured of its link.
    pub(super) fn on_report(&mut self, session: SessionKey, report: TransportEvent) {
        let Some(participant) = self.participants.get_mut(session) else {
            return;
        };
        let link = &mut participant.link;
        let stream = match report {
            TransportEvent::EgressReport(stream) => {
                link.egress_loss = stream.loss.unwrap_or(link.egress_loss);
                stream
            }
            TransportEvent::IngressReport(stream) => {
                link.ingress_loss = stream.loss.unwrap_or(link.ingress_loss);
                stream
            }
            _ => return,
        };
        link.rtt = stream.rtt.or(link.rtt);
        link.jitter = stream.jitter;
        let score = quality::rate(&LinkReport {
            loss: link.egress_loss.max(link.ingress_loss),
            rtt: link.rtt.unwrap_or_default(),
            jitter: link.jitter,
        });
        if link.told == Some(score.quality) {
            return;
        }
        link.told = Some(score.quality);
        let report = node::QualityReport {
            qualities: vec![node::ParticipantQuality {
                participant_id: (&participant.member.id).into(),
                quality: score.quality.into(),
                score: score.mos,
            }],
        };
        let (room, hidden) = (participant.room, participant.member.permissions.hidden);
        let everyone = |other| other == session || !hidden;
        self.tell_room(room, everyone, |_| Told::Quality(report.clone()));
    }

    /// Who speaks in a room now, the loudest first.
    fn speakers_of(&mut self, now: Instant, room: RoomKey) -> Vec<(SessionKey, u8)> {
        let mut heard: Vec<(SessionKey, TrackKey, SpeakerDetector)> = self
            .tracks_of_room(room)
            .into_iter()
            .filter_map(|key| {
                let track = self.tracks.get_mut(key).filter(|track| !track.is_video())?;
                Some((track.owner, key, std::mem::take(&mut track.speaker)))
            })
            .collect();
        let detectors = heard
            .iter_mut()
            .map(|(session, _, detector)| (*session, detector));
        let chosen = speaker::choose_speakers(detectors, now);
        for (_, key, detector) in heard {
            if let Some(track) = self.tracks.get_mut(key) {
                track.speaker = detector;
            }
        }
        chosen
    }

    /// Tells a room who speaks, when that changed.
    fn report_speakers(&mut self, now: Instant, key: RoomKey) {
        let Some(room) = self.rooms.get(key) else {
            return;
        };
        if now < room.next_speakers || room.members.is_empty() {
            return;
        }
        let chosen = self.speakers_of(now, key);
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        room.next_speakers = now + speaker::REPORT_INTERVAL;
        let before = std::mem::replace(&mut room.speaking, chosen.clone());
        if before == chosen {
            return;
        }
        let stopped = before
            .iter()
            .filter(|(s, _)| !chosen.iter().any(|(c, _)| c == s));
        let all = chosen
            .iter()
            .filter(|speaker| !before.contains(speaker))
            .map(|(session, level)| (*session, *level, true))
            .chain(stopped.map(|(session, _)| (*session, 0, false)));
        let speakers: Vec<v1::Speaker> = all
            .filter_map(|(session, level, active)| {
                let member = &self.participants.get(session)?.member;
                (!member.permissions.hidden).then(|| v1::Speaker {
                    participant_id: (&member.id).into(),
                    identity: member.identity.clone(),
                    level: f32::from(level) / f32::from(speaker::LEVELS),
                    active,
                })
            })
            .collect();
        if speakers.is_empty() {
            return;
        }
        let changed = v1::SpeakersChanged { speakers };
        self.tell_room(key, |_| true, |_| Told::Speakers(changed.clone()));
        self.publish_event(now, key, RoomEvent::SpeakersChanged(changed));
    }
}
