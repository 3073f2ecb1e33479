//! Publishing: announcement of a track, its match with a section of the publisher's offer, mute and end.

use std::time::Instant;

use plenum_proto::{
    ids::TrackId,
    node::{self, AddTrack, RequestReason, TransportRole, session_event::Kind as Told},
    v1::{self, TrackKind, VideoQuality, event::Kind as RoomEvent},
};
use rand::Rng as _;

use super::{
    Shard,
    state::{PublishedEncoding, Track},
};
use crate::{
    key::{SessionKey, TrackKey},
    room::may_publish_source,
    rtp::{Codec, Mid, Rid},
    session::{
        ice_credentials,
        sdp::{self, OpusOptions, Section, SectionWish},
    },
    track::{EncodingInfo, plausible_size},
};

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
            return self.add_codec(session, key, add.cid, info);
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
        if participant.tracks.len() >= cap {
            return Err((
                RequestReason::Limit,
                format!("limit of tracks_per_participant is {cap}"),
            ));
        }
        Ok(())
    }

    /// Another codec for a track that is there: noted, so that its section is known; it is sent
    /// only if somebody needs it.
    fn add_codec(&mut self, session: SessionKey, key: TrackKey, cid: String, info: v1::Track) {
        let Some(track) = self.tracks.get_mut(key) else {
            return;
        };
        for codec in info.codecs {
            if !track
                .info
                .codecs
                .iter()
                .any(|known| known.mime.eq_ignore_ascii_case(&codec.mime))
            {
                track.info.codecs.push(codec);
            }
        }
        let published = node::TrackPublished {
            cid,
            track: Some(track.info.clone()),
        };
        self.tell(session, Told::TrackPublished(published));
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
        let wishes: Vec<SectionWish> = bound
            .iter()
            .filter_map(|(mid, key)| Some(section_wish(mid, &self.tracks.get(*key)?.info)))
            .collect();
        let fresh = ice_credentials(&self.config, &mut self.rng);
        let Some(participant) = self.participants.get_mut(session) else {
            return;
        };
        let answer = participant
            .session
            .accept_offer(&offer.sdp, fresh, &limits, &wishes);
        let sdp = match answer {
            Ok(sdp) => sdp,
            Err(error) => return self.negotiation_failed(now, session, &error),
        };
        participant.candidates = 0;
        let tracks: Vec<_> = bound
            .iter()
            .filter_map(|(mid, key)| Some((mid.clone(), String::from(&self.tracks.get(*key)?.id))))
            .collect();
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

    /// Finds the track of each section that sends: the one it carries already, else by the id of the
    /// media stream track, else by that of one of its codecs, else the first announced of its kind
    /// (browsers rename media stream tracks).
    pub(super) fn bind_sections(
        &mut self,
        session: SessionKey,
        sections: &[Section<'_>],
    ) -> Vec<(String, TrackKey)> {
        let mut bound: Vec<(String, TrackKey)> = Vec::new();
        for section in sections.iter().filter(|section| section.sends) {
            let mid = Mid::from(section.mid);
            let Some(participant) = self.participants.get(session) else {
                continue;
            };
            let waiting = |shard: &Self, fits: &dyn Fn(&Track) -> bool| {
                participant.tracks.iter().copied().find(|key| {
                    let track = shard.tracks.get(*key);
                    track.is_some_and(|t| !t.is_published && fits(t))
                        && !bound.iter().any(|(_, taken)| taken == key)
                })
            };
            let is_video = section.kind == "video";
            let cid = section.track.unwrap_or_default();
            let key = participant
                .session
                .ingress
                .track_of(mid)
                .or_else(|| waiting(self, &|t| t.cid == cid && t.is_video() == is_video))
                .or_else(|| {
                    waiting(self, &|t| {
                        t.is_video() == is_video && t.info.codecs.iter().any(|c| c.cid == cid)
                    })
                })
                .or_else(|| waiting(self, &|t| t.is_video() == is_video));
            let Some(key) = key else { continue };
            if let Some(participant) = self.participants.get_mut(session) {
                participant.session.ingress.bind(mid, key);
            }
            if let Some(track) = self.tracks.get_mut(key) {
                section.mid.clone_into(&mut track.info.mid);
                announce_encodings(track, &section.rids);
            }
            bound.push((section.mid.to_owned(), key));
        }
        bound
    }

    /// Publishes what is newly bound, and ends what no section carries any more.
    pub(super) fn settle_published(
        &mut self,
        now: Instant,
        session: SessionKey,
        bound: &[(String, TrackKey)],
    ) {
        let tracks = self
            .participants
            .get(session)
            .map(|p| p.tracks.clone())
            .unwrap_or_default();
        let mut is_changed = false;
        for key in tracks {
            let is_bound = bound.iter().any(|(_, carried)| *carried == key);
            let Some(track) = self.tracks.get_mut(key) else {
                continue;
            };
            match (track.is_published, is_bound) {
                (false, true) => {
                    track.is_published = true;
                    is_changed = true;
                }
                (true, false) => self.remove_track(now, key, true),
                _ => {}
            }
        }
        if !is_changed {
            return;
        }
        // Others must know the track before its media reaches them.
        self.announce_participant(session);
        let Some(room) = self.participants.get(session).map(|p| p.room) else {
            return;
        };
        for (_, key) in bound {
            if self
                .tracks
                .get(*key)
                .is_some_and(|track| track.subscriptions.is_empty())
            {
                self.publish_track_event(now, *key, RoomEvent::TrackPublished);
                self.reconcile_track(now, room, *key);
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
fn section_wish(mid: &str, info: &v1::Track) -> SectionWish {
    let is_audio = info.kind() == TrackKind::Audio;
    let announced = info.codecs.first().map_or(&info.mime, |codec| &codec.mime);
    SectionWish {
        mid: mid.to_owned(),
        opus: is_audio.then_some(OpusOptions {
            dtx: !info.disable_dtx,
            stereo: info.stereo,
        }),
        codec: announced.strip_prefix("video/").map(str::to_owned),
    }
}

/// Lays out the encodings of a track by the stream ids of its section, in ascending order of size.
fn announce_encodings(track: &mut Track, rids: &[&str]) {
    if !track.encodings.is_empty() {
        return;
    }
    let is_screen = track.is_screen();
    let layers = track
        .info
        .codecs
        .first()
        .map(|codec| &codec.layers)
        .filter(|l| !l.is_empty());
    let layers = layers.unwrap_or(&track.info.layers).clone();
    let (width, height) = (track.info.width, track.info.height);
    let size = |quality: VideoQuality| {
        let layer = layers.iter().find(|layer| layer.quality() == quality);
        plausible_size(layer.map_or((width, height), |layer| (layer.width, layer.height)))
    };
    let mut infos: Vec<EncodingInfo> = rids
        .iter()
        .enumerate()
        .map(|(index, rid)| {
            let quality = quality_of(rid, index);
            let (width, height) = size(quality);
            EncodingInfo {
                index: 0,
                rid: Some(Rid::from(*rid)),
                quality,
                width,
                height,
            }
        })
        .collect();
    if infos.is_empty() {
        let quality = VideoQuality::High;
        infos.push(EncodingInfo {
            index: 0,
            rid: None,
            quality,
            width,
            height,
        });
    }
    infos.sort_by_key(|info| info.quality);
    for (index, mut info) in infos.into_iter().enumerate() {
        info.index = u8::try_from(index).unwrap_or(u8::MAX);
        track
            .encodings
            .push(PublishedEncoding::new(info, is_screen));
    }
}

/// The step that a stream id stands for: "q", "h" and "f" (quarter, half, full) by custom, others by
/// their place.
fn quality_of(rid: &str, index: usize) -> VideoQuality {
    match (rid, index) {
        ("q", _) => VideoQuality::Low,
        ("h", _) => VideoQuality::Medium,
        ("f", _) => VideoQuality::High,
        (_, 0) => VideoQuality::Low,
        (_, 1) => VideoQuality::Medium,
        _ => VideoQuality::High,
    }
}
