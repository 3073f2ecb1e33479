//! Who speaks in a room, over all its shards: told to the participants here, and in a very large room
//! the ground on which microphones are forwarded. Must not measure; the detectors do.

use std::time::Instant;

use plenum_proto::{
    node::session_event::Kind as Told,
    relay::{self, control::Kind as Spread},
    v1::{self, TrackSource, event::Kind as RoomEvent},
};

use super::Shard;
use crate::{
    key::{RoomKey, SessionKey, TrackKey},
    room::{choose_loudest, speaker},
};

/// A microphone, or the sound of a screen, and how loud it is.
struct Heard {
    track: TrackKey,
    owner: SessionKey,
    /// 0 to 1.
    level: f32,
}

impl Shard {
    /// Looks at who speaks in a room when that is due, and tells what changed.
    pub(super) fn report_speakers(&mut self, now: Instant, key: RoomKey) {
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        if now < room.next_speakers || room.members.is_empty() {
            return;
        }
        room.next_speakers = now + speaker::REPORT_INTERVAL;
        let heard = self.hear(now, key);
        self.spread_levels(key, &heard);
        self.choose_microphones(now, key, &heard);
        self.tell_speakers(now, key, &heard);
    }

    /// How loud everything is that sounds in a room.
    fn hear(&mut self, now: Instant, room: RoomKey) -> Vec<Heard> {
        let tracks = self.tracks_of_room(room).into_iter();
        tracks
            .filter_map(|key| {
                let track = self.tracks.get_mut(key).filter(|track| !track.is_video())?;
                Some(Heard {
                    track: key,
                    owner: track.owner,
                    level: track.speaker.level(now),
                })
            })
            .collect()
    }

    /// Tells the other shards of a room how loud the microphones of this one are, when that changed.
    fn spread_levels(&mut self, key: RoomKey, heard: &[Heard]) {
        let levels: Vec<(u64, u8)> = heard
            .iter()
            .filter(|heard| {
                self.tracks
                    .get(heard.track)
                    .is_some_and(|t| t.origin.is_none())
            })
            .map(|heard| (heard.track.number(), fine(heard.level)))
            .filter(|(_, level)| *level > 0)
            .collect();
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        if room.span.links.is_empty() || room.told_levels == levels {
            return;
        }
        let told = levels.iter().map(|(track, level)| relay::Level {
            track: *track,
            level: u32::from(*level),
        });
        let told = relay::Levels {
            levels: told.collect(),
        };
        room.told_levels = levels;
        self.spread(key, Spread::Levels(told));
    }

    /// In a very large room, forwards the loudest microphones alone.
    fn choose_microphones(&mut self, now: Instant, key: RoomKey, heard: &[Heard]) {
        let microphones: Vec<(TrackKey, f32)> = heard
            .iter()
            .filter(|heard| {
                let track = self.tracks.get(heard.track);
                track.is_some_and(|t| t.info.source() != TrackSource::ScreenShareAudio)
            })
            .map(|heard| (heard.track, heard.level))
            .collect();
        let limit = self.config.loudest_audio;
        let is_large = limit > 0 && microphones.len() > self.config.loudest_audio_from;
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        if !is_large && room.loudest.is_empty() {
            return;
        }
        room.loudest = if is_large {
            choose_loudest(limit, &microphones, now, &room.loudest)
        } else {
            Vec::new()
        };
        let chosen: Vec<TrackKey> = room.loudest.iter().map(|chosen| chosen.key).collect();
        for (track, _) in microphones {
            let is_quiet = is_large && !chosen.contains(&track);
            self.set_quiet(now, track, is_quiet);
        }
    }

    fn set_quiet(&mut self, now: Instant, key: TrackKey, is_quiet: bool) {
        let Some(track) = self.tracks.get_mut(key) else {
            return;
        };
        if track.is_quiet == is_quiet {
            // A pin that was taken back since shows here.
            let subscriptions = &self.subscriptions;
            track.is_pinned = is_quiet
                && track.is_pinned
                && track
                    .subscriptions
                    .iter()
                    .any(|key| subscriptions.get(*key).is_some_and(|s| s.is_pinned));
            return;
        }
        (track.is_quiet, track.is_pinned) = (is_quiet, false);
        for subscription in track.subscriptions.clone() {
            self.retarget(now, subscription);
        }
    }

    fn tell_speakers(&mut self, now: Instant, key: RoomKey, heard: &[Heard]) {
        let chosen = speaker::choose_speakers(heard.iter().map(|heard| (heard.owner, heard.level)));
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        let is_home = room.span.is_home();
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
        if is_home {
            self.publish_event(now, key, RoomEvent::SpeakersChanged(changed));
        }
    }
}

/// A loudness of 0 to 1 as it goes over a link, 0 to 255.
fn fine(level: f32) -> u8 {
    // Within the range, so the cast is exact after the ceiling.
    (level.clamp(0.0, 1.0) * f32::from(u8::MAX)).ceil() as u8
}
