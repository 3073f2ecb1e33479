//! Publishing: announcement of a track, its match with a section of the publisher's offer, mute and end.

use std::time::Instant;

use plenum_proto::{
    ids::TrackId,
    node::{self, AddTrack, RequestReason, TransportRole, session_event::Kind as Told},
    v1::{self, TrackKind, event::Kind as RoomEvent},
};
use rand::Rng as _;

use super::{
    Shard,
    codecs::CODECS_MAX,
    state::{Participant, Track},
};
use crate::{
    key::{SessionKey, TrackKey},
    room::may_publish_source,
    rtp::{Codec, Mid},
    session::{
        Carried, ice_credentials,
        sdp::{self, OpusOptions, Section, SectionWish},
    },
};

/// A section of a publisher, and what it carries.
#[derive(Debug)]
pub(super) struct Bound {
    mid: String,
    pub(super) carried: Carried,
    /// Since this offer.
    pub(super) is_new: bool,
}

impl Shard {
    /// A participant announces a track; media follows in an offer.
    pub(super) fn add_track(&mut self, now: Instant, session: SessionKey, add: AddTrack) {
        if let Err((reason, message)) = self.check_announcement(session, &add) {
            let response = node::RequestResponse {
                request_id: 0,
                reason: reason.into(),
                message,
                cid: add.cid,
            };
            return self.tell(session, Told::RequestResponse(response));
        }
        let mut info = add.track.unwrap_or_default();
        if let Some(key) = self.own_track(session, &info.id) {
            return self.add_codec(now, session, key, add.cid, info);
        }
        // The same announcement again (after a resume) gets the same answer.
        let known = self.participants.get(session).and_then(|p| {
            let mut keys = p.tracks.iter().copied();
            keys.find(|key| {
                self.tracks
                    .get(*key)
                    .is_some_and(|t| !t.is_published && t.cid == add.cid)
            })
        });
        if let Some(track) = known.and_then(|key| self.tracks.get(key)) {
            let published = node::TrackPublished {
                cid: add.cid,
                track: Some(track.info.clone()),
            };
            return self.tell(session, Told::TrackPublished(published));
        }
        let id = TrackId::random(|| self.rng.random());
        info.id = (&id).into();
        if info.mime.is_empty() {
            // Clients want to know before the first packet tells; these are what browsers choose.
            let usual = match info.kind() {
                TrackKind::Audio => Codec::Opus.mime(),
                TrackKind::Video => Codec::Vp8.mime(),
            };
            let announced = info.codecs.first().map(|codec| codec.mime.as_str());
            info.mime = announced
                .filter(|mime| !mime.is_empty())
                .unwrap_or(usual)
                .to_owned();
        }
        let cid = add.cid.clone();
        let track = Track::new(now, id, session, cid, info.clone());
        let key = self.tracks.insert(track);
        self.wake_track(key);
        if let Some(participant) = self.participants.get_mut(session) {
            participant.tracks.push(key);
        }
        let published = node::TrackPublished {
            cid: add.cid,
            track: Some(info),
        };
        self.tell(session, Told::TrackPublished(published));
    }

    fn check_announcement(
        &self,
        session: SessionKey,
        add: &AddTrack,
    ) -> Result<(), (RequestReason, String)> {
        let Some(participant) = self.participants.get(session) else {
            return Ok(());
        };
        let limits = &self.config.limits;
        let source = add.track.as_ref().map_or(0, |track| track.source);
        if !may_publish_source(&participant.member.permissions, source) {
            let message = "the token does not allow to publish from this source".to_owned();
            return Err((RequestReason::NotAllowed, message));
        }
        let texts = add
            .track
            .iter()
            .flat_map(|t| [&t.name, &t.stream])
            .chain([&add.cid]);
        if texts.into_iter().any(|text| text.len() > limits.name_bytes) {
            let message = format!("limit of name_bytes is {}", limits.name_bytes);
            return Err((RequestReason::Limit, message));
        }
        let layers = add
            .track
            .iter()
            .flat_map(|t| &t.codecs)
            .map(|codec| codec.layers.len());
        let most = layers
            .chain(add.track.iter().map(|t| t.layers.len()))
            .max()
            .unwrap_or(0);
        if most > limits.encodings_per_track {
            let message = format!(
                "limit of encodings_per_track is {}",
                limits.encodings_per_track
            );
            return Err((RequestReason::Limit, message));
        }
        let cap = limits.tracks_per_participant;
        let is_known = add
            .track
            .as_ref()
            .is_some_and(|t| self.own_track(session, &t.id).is_some());
        if participant.tracks.len() >= cap && !is_known {
            return Err((
                RequestReason::Limit,
                format!("limit of tracks_per_participant is {cap}"),
            ));
        }
        Ok(())
    }

    /// The publisher's offer: sections are matched with announced tracks, and the rest answered.
    pub(super) fn take_offer(
        &mut self,
        now: Instant,
        session: SessionKey,
        offer: &node::Description,
    ) {
        let limits = self.config.limits.clone();
        if let Err(problem) = sdp::check(&offer.sdp, &limits) {
            return self.refuse(session, 0, RequestReason::Limit, &problem.to_string());
        }
        let sections = sdp::sections(&offer.sdp);
        let bound = self.bind_sections(session, &sections);
        let wish = |bound: &Bound| {
            Some(section_wish(
                bound,
                &self.tracks.get(bound.carried.track)?.info,
            ))
        };
        let wishes: Vec<SectionWish> = bound.iter().filter_map(wish).collect();
        let fresh = ice_credentials(&self.config, &mut self.rng);
        let Some(participant) = self.participants.get_mut(session) else {
            return;
        };
        let answer = participant
            .session
            .accept_offer(now, &offer.sdp, fresh, &limits, &wishes);
        let sdp = match answer {
            Ok(sdp) => sdp,
            Err(error) => return self.negotiation_failed(now, session, &error),
        };
        participant.candidates = 0;
        let named = |bound: &Bound| {
            let track = self.tracks.get(bound.carried.track)?;
            Some((bound.mid.clone(), String::from(&track.id)))
        };
        let tracks: Vec<_> = bound.iter().filter_map(named).collect();
        let answer = node::Description {
            role: TransportRole::Publish.into(),
            is_offer: false,
            sdp,
            id: offer.id,
            track_by_mid: tracks.into_iter().collect(),
        };
        self.register_usernames(session);
        self.tell(session, Told::Description(answer));
        self.settle_published(now, session, &bound);
        self.touch(session);
    }

    /// Finds what each section that sends carries: what it does already, else the track or the codec of one that was
    /// announced with the id of its media stream track, else the first of its kind that was announced (browsers
    /// rename media stream tracks).
    pub(super) fn bind_sections(
        &mut self,
        session: SessionKey,
        sections: &[Section<'_>],
    ) -> Vec<Bound> {
        let mut bound: Vec<Bound> = Vec::new();
        for section in sections.iter().filter(|section| section.sends) {
            let mid = Mid::from(section.mid);
            let Some(participant) = self.participants.get(session) else {
                continue;
            };
            let known = participant.session.ingress.carried(mid);
            let found = known.or_else(|| self.awaited(participant, &bound, section));
            let Some(carried) = found else {
                continue;
            };
            if let Some(participant) = self.participants.get_mut(session) {
                participant.session.ingress.bind(mid, carried);
            }
            if let Some(track) = self.tracks.get_mut(carried.track) {
                track.set_mid(carried.codec, section.mid.to_owned());
                if known.is_none() {
                    track.announce_encodings(carried.codec, &section.rids);
                }
            }
            bound.push(Bound {
                mid: section.mid.to_owned(),
                carried,
                is_new: known.is_none(),
            });
        }
        bound
    }

    /// What was announced and no section carries yet, for a section that is new.
    fn awaited(
        &self,
        participant: &Participant,
        bound: &[Bound],
        section: &Section<'_>,
    ) -> Option<Carried> {
        let cid = section.track.unwrap_or_default();
        let is_video = section.kind == "video";
        let all = (0..CODECS_MAX as u8).flat_map(|codec| {
            let tracks = participant.tracks.iter();
            tracks.map(move |track| Carried {
                track: *track,
                codec,
            })
        });
        let ranked = all.filter_map(|carried| {
            let track = self.tracks.get(carried.track)?;
            let is_taken = if track.is_published {
                participant.session.ingress.is_bound(carried)
            } else {
                bound.iter().any(|bound| bound.carried == carried)
            };
            if is_taken || track.is_video() != is_video || carried.codec >= track.codecs() {
                return None;
            }
            let codec = track.info.codecs.get(usize::from(carried.codec));
            let announced = codec.map_or("", |codec| codec.cid.as_str());
            let rank = match carried.codec {
                0 if track.cid == cid => 0,
                _ if !announced.is_empty() && announced == cid => 1,
                // Of another codec its publisher says when it comes.
                codec if codec > 0 && announced.is_empty() => return None,
                _ => 2,
            };
            Some((rank, carried))
        });
        let best = ranked.min_by_key(|(rank, _)| *rank);
        best.map(|(_, carried)| carried)
    }

    /// Publishes what is newly bound, and ends what no section carries any more.
    pub(super) fn settle_published(&mut self, now: Instant, session: SessionKey, bound: &[Bound]) {
        let tracks = self
            .participants
            .get(session)
            .map(|p| p.tracks.clone())
            .unwrap_or_default();
        let mut begun = Vec::new();
        let mut is_changed = false;
        for key in tracks {
            let is_bound = bound.iter().any(|bound| bound.carried.track == key);
            let Some(track) = self.tracks.get_mut(key) else {
                continue;
            };
            match (track.is_published, is_bound) {
                (false, true) => {
                    track.is_published = true;
                    begun.push(key);
                }
                (true, false) => self.remove_track(now, key, true),
                (true, true) => is_changed |= self.settle_codecs(session, key, bound),
                (false, false) => {}
            }
        }
        if begun.is_empty() && !is_changed {
            return;
        }
        // Others must know the track before its media reaches them.
        self.announce_participant(session);
        let Some(room) = self.participants.get(session).map(|p| p.room) else {
            return;
        };
        for key in &begun {
            self.publish_track_event(now, *key, RoomEvent::TrackPublished);
            self.reconcile_track(now, room, *key);
        }
        let added = bound.iter().filter(|bound| bound.is_new);
        for track in added.map(|bound| bound.carried.track) {
            if !begun.contains(&track) {
                self.retarget_all(now, track);
            }
        }
    }

    /// Ends a track. With `tell`, its publisher and the room learn of it here.
    pub(super) fn remove_track(&mut self, now: Instant, key: TrackKey, tell: bool) {
        let Some(track) = self.tracks.get(key) else {
            return;
        };
        let (owner, id, was_published) = (track.owner, track.id.clone(), track.is_published);
        let (copies, subscriptions) = (track.copies.clone(), track.subscriptions.clone());
        for copy in copies {
            self.remove_track(now, copy, true);
        }
        for subscription in subscriptions {
            self.remove_subscription(now, subscription, true);
        }
        if was_published {
            self.publish_track_event(now, key, RoomEvent::TrackUnpublished);
        }
        let Some(gone) = self.tracks.remove(key) else {
            return;
        };
        if let Some(origin) = gone.origin {
            self.relay.remove_import(origin.link, origin.number);
        }
        if let Some(source) = gone.copy_of {
            self.drop_copy(now, source, key);
        }
        if let Some(participant) = self.participants.get_mut(owner) {
            participant.tracks.retain(|track| *track != key);
            participant.session.ingress.unbind(key);
        }
        if tell {
            let unpublished = node::TrackUnpublished {
                track_id: id.into(),
            };
            self.tell(owner, Told::TrackUnpublished(unpublished));
            if was_published {
                self.announce_participant(owner);
            }
        }
    }

    /// The publisher mutes or unmutes its own track.
    pub(super) fn mute_own(&mut self, now: Instant, session: SessionKey, mute: &node::Mute) {
        match self.own_track(session, &mute.track_id) {
            Some(key) => self.set_muted(now, key, mute.muted),
            None => {
                let message = format!("track \"{}\" is not yours or does not exist", mute.track_id);
                self.refuse(session, 0, RequestReason::NotFound, &message);
            }
        }
    }

    pub(super) fn set_muted(&mut self, now: Instant, key: TrackKey, muted: bool) {
        let Some(track) = self.tracks.get_mut(key) else {
            return;
        };
        if track.info.muted == muted {
            return;
        }
        track.info.muted = muted;
        let owner = track.owner;
        let is_published = track.is_published;
        let subscriptions = track.subscriptions.clone();
        self.wake_track(key);
        if !is_published {
            return;
        }
        self.announce_participant(owner);
        let kind = if muted {
            RoomEvent::TrackMuted
        } else {
            RoomEvent::TrackUnmuted
        };
        self.publish_track_event(now, key, kind);
        for subscription in subscriptions {
            self.retarget(now, subscription);
        }
    }

    /// A track of this participant by its id.
    pub(super) fn own_track(&self, session: SessionKey, id: &str) -> Option<TrackKey> {
        let participant = self.participants.get(session)?;
        participant.tracks.iter().copied().find(|key| {
            self.tracks
                .get(*key)
                .is_some_and(|track| track.id.as_str() == id)
        })
    }
}

/// How the publisher of a track is to encode it, as it announced.
fn section_wish(bound: &Bound, info: &v1::Track) -> SectionWish {
    let is_audio = info.kind() == TrackKind::Audio;
    let codec = info.codecs.get(usize::from(bound.carried.codec));
    let announced = codec.map_or(&info.mime, |codec| &codec.mime);
    SectionWish {
        mid: bound.mid.clone(),
        opus: is_audio.then_some(OpusOptions {
            dtx: !info.disable_dtx,
            stereo: info.stereo,
        }),
        codec: announced.strip_prefix("video/").map(str::to_owned),
    }
}
