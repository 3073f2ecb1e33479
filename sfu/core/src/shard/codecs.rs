//! Tracks that are sent in more than one codec: a preferred one, and another for those who can't take that, which
//! its publisher sends only while there is somebody. Each codec has encodings of its own, and a subscription is
//! served those of one codec.
//!
//! Must not choose among the encodings of a codec.

use std::time::Instant;

use plenum_proto::{
    node::{self, session_event::Kind as Told},
    v1::{self, VideoQuality},
};

use super::{
    Shard,
    fanout::ENCODINGS_MAX,
    publish::Bound,
    state::{PublishedEncoding, Track},
};
use crate::{
    key::{SessionKey, SubscriptionKey, TrackKey},
    rtp::{Codec, Rid},
    session::Carried,
    track::{
        DemandTracker, EncodingInfo, Failing, plausible_size, wanted_qualities, with_stand_ins,
    },
};

/// Codecs that one track is sent in, at most: clients send two, and each costs its publisher an encoder.
pub(super) const CODECS_MAX: usize = 2;

impl Shard {
    /// The publisher is about to send a track that is there in another codec: the section that will carry it becomes
    /// known.
    pub(super) fn add_codec(
        &mut self,
        now: Instant,
        session: SessionKey,
        key: TrackKey,
        cid: String,
        info: v1::Track,
    ) {
        let Some(track) = self.tracks.get_mut(key) else {
            return;
        };
        for mut codec in info.codecs {
            if codec.layers.is_empty() {
                codec.layers.clone_from(&info.layers);
            }
            let codecs = &mut track.info.codecs;
            let is_same = |known: &v1::TrackCodec| known.mime.eq_ignore_ascii_case(&codec.mime);
            match codecs.iter().position(is_same) {
                Some(place) => {
                    let known = codecs.get_mut(place).filter(|known| known.mid.is_empty());
                    if let Some(known) = known {
                        *known = codec;
                    }
                }
                None if codecs.len() < CODECS_MAX => codecs.push(codec),
                None => {}
            }
        }
        let published = node::TrackPublished {
            cid,
            track: Some(track.info.clone()),
        };
        track.foresee_codecs();
        self.tell(session, Told::TrackPublished(published));
        self.retarget_all(now, key);
    }

    /// A codec that no section carries any more is as if it had never come. True if there is one.
    pub(super) fn settle_codecs(
        &mut self,
        session: SessionKey,
        key: TrackKey,
        bound: &[Bound],
    ) -> bool {
        let mut is_changed = false;
        let (Some(track), Some(participant)) =
            (self.tracks.get_mut(key), self.participants.get_mut(session))
        else {
            return false;
        };
        let ingress = &mut participant.session.ingress;
        for codec in 0..track.codecs() {
            let carried = Carried { track: key, codec };
            let section = bound.iter().find(|bound| bound.carried == carried);
            if let Some(section) = section {
                is_changed |= section.is_new;
            } else if ingress.is_bound(carried) {
                ingress.unbind_codec(carried, track.encodings_of(codec));
                track.set_mid(codec, String::new());
                is_changed = true;
            }
        }
        is_changed
    }

    /// What there is of a track changed: all who take it choose anew.
    pub(super) fn retarget_all(&mut self, now: Instant, key: TrackKey) {
        let Some(track) = self.tracks.get(key) else {
            return;
        };
        let (subscriptions, copies) = (track.subscriptions.clone(), track.copies.clone());
        for subscription in subscriptions {
            self.retarget(now, subscription);
        }
        for copy in copies {
            self.retarget_all(now, copy);
        }
    }

    /// Serves a subscription the first codec of its track that its section takes. While that is not known, and where
    /// it takes none, it stays as it is.
    pub(super) fn choose_codec(&mut self, key: SubscriptionKey) {
        let Some(subscription) = self.subscriptions.get_mut(key) else {
            return;
        };
        let Some(track) = self.tracks.get(subscription.track) else {
            return;
        };
        if track.codecs() < 2 || !subscription.is_live {
            return;
        }
        let Some(subscriber) = self.participants.get_mut(subscription.subscriber) else {
            return;
        };
        let Some((egress, transport)) = subscriber.session.sending_media() else {
            return;
        };
        let slot = subscription.slot;
        let mut takes = |codec: Codec| {
            let mut seen = (0..)
                .zip(&track.formats)
                .filter(|(_, format)| format.codec == codec)
                .peekable();
            if seen.peek().is_none() {
                return egress.takes(transport, slot, codec);
            }
            seen.any(|(index, format): (usize, _)| {
                let known = egress.payload_type(transport, slot, index * 2, &format.params, false);
                known.is_some()
            })
        };
        let chosen = (0..track.codecs()).find(|codec| track.codec(*codec).is_some_and(&mut takes));
        if let Some(chosen) = chosen.filter(|chosen| *chosen != subscription.codec) {
            subscription.codec = chosen;
            // What was granted was of the other codec.
            subscription.wish.cap = None;
            subscription.told_unsupported = false;
        }
    }

    /// Media came that the section of a subscription has no format for, though it offers all: false where its track
    /// has no other codec for it either.
    pub(super) fn take_other_codec(&mut self, now: Instant, key: SubscriptionKey) -> bool {
        let codec_of = |shard: &Self| shard.subscriptions.get(key).map(|s| s.codec);
        let before = codec_of(self);
        self.retarget(now, key);
        codec_of(self) != before
    }
}

impl Track {
    /// In how many codecs it may be sent.
    pub(super) fn codecs(&self) -> u8 {
        if self.is_video() {
            self.info.codecs.len().clamp(1, CODECS_MAX) as u8
        } else {
            1
        }
    }

    /// Its codec of this index: of the preferred one what comes, which may be another than was announced.
    fn codec(&self, index: u8) -> Option<Codec> {
        let announced = self.info.codecs.get(usize::from(index));
        let mime = match index {
            0 => &self.info.mime,
            _ => &announced?.mime,
        };
        Codec::from_mime(mime)
    }

    /// Takes what is requested of it by all: of each codec it is another thing that is wanted. Some are
    /// `failing` though their publisher was asked for them.
    pub(super) fn take_requests(
        &mut self,
        now: Instant,
        requested: &[(u8, VideoQuality)],
        failing: Failing,
    ) {
        let bit = |n: u8| 1_u8.checked_shl(n.into()).unwrap_or(0);
        let asked = requested.iter().fold(0, |bits, (n, _)| bits | bit(*n));
        let codecs = self.codecs();
        let with_others = (0..codecs).map(|n| with_stand_ins(asked, failing, self.encodings_of(n)));
        self.stand_ins = with_others.fold(0, |all, of_codec| all | of_codec) & !asked;
        self.stood_in_for = (failing, self.encodings.len());
        let stand_ins = self.stand_ins;
        let stand_ins = (0..8).filter(|n| stand_ins & bit(*n) != 0);
        let all = stand_ins.map(|n| (n, VideoQuality::High));
        let all: Vec<_> = requested.iter().copied().chain(all).map(Some).collect();
        for codec in 0..codecs {
            let infos = self.encodings.iter().map(|e| e.encoding.info);
            let own: Vec<_> = infos.filter(|info| info.codec == codec).collect();
            if self.demands.len() <= usize::from(codec) {
                self.demands.push(DemandTracker::of_spare(now));
            }
            if let Some(demand) = self.demands.get_mut(usize::from(codec)) {
                demand.update(now, wanted_qualities(&own, all.iter().copied()));
            }
        }
    }

    /// What its publisher calls a codec, in lower case: of one alone that which comes, of several what it announced.
    pub(super) fn codec_name(&self, index: usize) -> String {
        let announced = self.info.codecs.get(index).filter(|_| self.codecs() > 1);
        let mime = announced.map_or(&self.info.mime, |codec| &codec.mime);
        let name = mime.rsplit('/').next().unwrap_or_default();
        name.to_ascii_lowercase()
    }

    /// The section that carries a codec; empty where none does any more.
    pub(super) fn set_mid(&mut self, codec: u8, mid: String) {
        if codec == 0 {
            self.info.mid.clone_from(&mid);
        }
        if let Some(announced) = self.info.codecs.get_mut(usize::from(codec)) {
            if mid.is_empty() {
                announced.cid.clear();
            }
            announced.mid = mid;
        }
    }

    /// The encodings of a codec, as bits.
    pub(super) fn encodings_of(&self, codec: u8) -> u8 {
        let infos = self.encodings.iter().map(|e| e.encoding.info);
        infos
            .filter(|info| info.codec == codec)
            .fold(0, |bits, info| {
                bits | 1_u8.checked_shl(info.index.into()).unwrap_or(0)
            })
    }

    /// What of an encoding is there for who is served a codec.
    pub(super) fn is_of_codec(&self, encoding: u8, codec: u8) -> bool {
        let published = self.encodings.get(usize::from(encoding));
        published.is_none_or(|published| published.encoding.info.codec == codec)
    }

    /// Lays out the encodings of a codec by the stream ids of its section, in ascending order of size.
    pub(super) fn announce_encodings(&mut self, codec: u8, rids: &[&str]) {
        for info in infos(&self.info, codec, rids) {
            self.announce_encoding(info);
        }
        self.foresee_codecs();
    }

    /// One encoding stands for all that there may be of a codec that no section carries yet, so that it can be asked
    /// for.
    fn foresee_codecs(&mut self) {
        for codec in 0..self.codecs() {
            if !self.encodings.is_empty() && self.encodings_of(codec) == 0 {
                for info in infos(&self.info, codec, &[]) {
                    self.announce_encoding(info);
                }
            }
        }
    }

    /// An encoding that is known already, or was foreseen, keeps its place.
    fn announce_encoding(&mut self, mut info: EncodingInfo) {
        let is_screen = self.is_screen();
        let mut own = self
            .encodings
            .iter()
            .map(|published| published.encoding.info)
            .filter(|known| known.codec == info.codec);
        let known = own.clone().find(|known| known.rid == info.rid);
        let foreseen = || own.find(|known| known.rid.is_none());
        match known.or_else(foreseen) {
            Some(known) => {
                info.index = known.index;
                if let Some(published) = self.encodings.get_mut(usize::from(known.index)) {
                    published.encoding.info = info;
                }
            }
            None if self.encodings.len() < ENCODINGS_MAX => {
                info.index = self.encodings.len() as u8;
                self.encodings.push(PublishedEncoding::new(info, is_screen));
            }
            None => {}
        }
    }
}

/// The encodings of a codec as they were announced, in ascending order of size.
fn infos(track: &v1::Track, codec: u8, rids: &[&str]) -> Vec<EncodingInfo> {
    let announced = track.codecs.get(usize::from(codec));
    let layers = announced
        .map(|announced| &announced.layers)
        .filter(|layers| !layers.is_empty())
        .unwrap_or(&track.layers);
    let whole = plausible_size((track.width, track.height));
    let size = |quality: VideoQuality| {
        let layer = layers.iter().find(|layer| layer.quality() == quality);
        layer.map_or(whole, |layer| plausible_size((layer.width, layer.height)))
    };
    let info = |rid, quality, (width, height)| EncodingInfo {
        index: 0,
        codec,
        rid,
        quality,
        width,
        height,
    };
    if rids.is_empty() {
        return vec![info(None, VideoQuality::High, whole)];
    }
    let mut infos: Vec<_> = (0..)
        .zip(rids)
        .map(|(index, rid)| {
            let quality = quality_of(rid, index);
            info(Some(Rid::from(*rid)), quality, size(quality))
        })
        .collect();
    infos.sort_by_key(|info| info.quality);
    infos
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
