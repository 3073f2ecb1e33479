//! The participants of other shards: as the shard says on which each lives, in every detail that a
//! participant of this shard has but the session. Must not tell the API of them; their own shard does.

use std::time::Instant;

use plenum_proto::{
    ids::ParticipantId,
    node::{self, CloseAction},
    relay::{
        self, Encoding, EncodingFlow, Format as FormatMessage, LayerFlow, MemberGone, control::Kind,
    },
    v1::{self, CloseReason, ParticipantState, TrackKind},
};

use super::super::{
    Shard,
    fanout::ENCODINGS_MAX,
    join::age,
    roster::Haste,
    state::{Format, Participant, PublishedEncoding, Track},
};
use crate::{
    LinkKey,
    key::{RoomKey, SessionKey, TrackKey},
    relay::Origin,
    room::{Member, MemberText, SubscriptionRule},
    rtp::{Codec, FormatText, Pt, Rid},
    session::Session,
    track::{EncodingInfo, LAYERS, Reported, plausible_size},
};

/// What an update changed of the tracks of a participant.
#[derive(Default)]
struct Changed {
    /// New here.
    begun: Vec<TrackKey>,
    /// Muted or unmuted, or with other encodings: who takes them chooses anew.
    other: Vec<TrackKey>,
}

impl Shard {
    /// Tells the other shards of a room how a participant of this one is now.
    pub(in super::super) fn spread_member(&mut self, session: SessionKey) {
        self.follow(session);
        let Some(participant) = self.participants.get_mut(session) else {
            return;
        };
        participant.revision += 1;
        let room = participant.room;
        let is_alone = |key| self.rooms.get(key).is_none_or(|r| r.span.links.is_empty());
        if !participant.is_here() || is_alone(room) {
            return;
        }
        if let Some(member) = self.member_message(session) {
            self.spread(room, Kind::Member(member));
        }
    }

    /// Tells the other shards of a room that a participant of this one is gone.
    pub(in super::super) fn spread_gone(&mut self, session: SessionKey, reason: CloseReason) {
        let Some(participant) = self.participants.get(session) else {
            return;
        };
        let gone = MemberGone {
            participant_id: (&participant.member.id).into(),
            reason: reason.into(),
        };
        let room = participant.room;
        self.relay.idle.push(room);
        self.spread(room, Kind::MemberGone(gone));
    }

    /// A participant as other shards need it, whichever shard it lives on.
    pub(super) fn member_message(&self, session: SessionKey) -> Option<relay::Member> {
        let participant = self.participants.get(session)?;
        let tracks = participant
            .tracks
            .iter()
            .filter_map(|key| Some((*key, self.tracks.get(*key)?)))
            .filter(|(_, track)| track.is_published)
            .map(|(key, track)| track_message(key, track))
            .collect();
        let rule = match &participant.member.rule {
            SubscriptionRule::Everybody => None,
            SubscriptionRule::Only(rule) => Some(rule.clone()),
        };
        Some(relay::Member {
            participant: self.participant_info(session),
            rule,
            tracks,
            revision: participant.revision,
            link: participant.via.map(|link| link.0),
        })
    }

    /// All participants of another shard: who is not among them has left it.
    pub(super) fn on_members(
        &mut self,
        now: Instant,
        room: RoomKey,
        link: LinkKey,
        members: Vec<relay::Member>,
    ) {
        self.on_found(room, link);
        let known = self.members_behind(room, link);
        for key in known {
            let Some(participant) = self.participants.get(key) else {
                continue;
            };
            let id = participant.member.id.as_str();
            let mut listed = members.iter().filter_map(|m| m.participant.as_ref());
            if !listed.any(|listed| listed.id == id) {
                let reason = CloseReason::ReasonUnknown;
                self.end(now, key, reason, CloseAction::Disconnect, "");
            }
        }
        for member in members {
            self.apply_member(now, room, link, member);
        }
    }

    pub(super) fn on_member_gone(
        &mut self,
        now: Instant,
        room: RoomKey,
        link: LinkKey,
        gone: &MemberGone,
    ) {
        let found = self.members_behind(room, link).into_iter().find(|key| {
            let found = self.participants.get(*key);
            found.is_some_and(|p| p.member.id.as_str() == gone.participant_id)
        });
        if let Some(key) = found {
            self.end(now, key, gone.reason(), CloseAction::Disconnect, "");
        }
    }

    fn members_behind(&self, room: RoomKey, link: LinkKey) -> Vec<SessionKey> {
        let members = self.rooms.get(room).into_iter().flat_map(|r| &r.members);
        let is_behind = |key: &&SessionKey| {
            let found = self.participants.get(**key);
            found.is_some_and(|participant| participant.via == Some(link))
        };
        members.filter(is_behind).copied().collect()
    }

    /// A participant of another shard is new or has changed. Of two stays of one identity the later holds,
    /// on every shard alike.
    pub(super) fn apply_member(
        &mut self,
        now: Instant,
        room: RoomKey,
        via: LinkKey,
        message: relay::Member,
    ) {
        let Some(info) = message.participant.clone() else {
            return;
        };
        let Ok(id) = info.id.parse::<ParticipantId>() else {
            return;
        };
        let Some(key) = self.find_identity(room, &info.identity) else {
            return self.insert_proxy(now, room, via, id, info, &message);
        };
        let Some(known) = self.participants.get(key) else {
            return;
        };
        if known.member.id == id {
            if known.via == Some(via) && known.revision < message.revision {
                let before = self.participant_info(key);
                self.update_proxy(now, key, before, info, &message);
            }
            return;
        }
        let begun = info.joined_at.unwrap_or_default();
        let order = (age(&known.member.joined_at), known.member.id.as_str());
        if order < (age(&begun), id.as_str()) {
            let (reason, action) = (CloseReason::DuplicateIdentity, CloseAction::Disconnect);
            self.end(now, key, reason, action, "");
            self.insert_proxy(now, room, via, id, info, &message);
        }
    }

    fn insert_proxy(
        &mut self,
        now: Instant,
        room: RoomKey,
        via: LinkKey,
        id: ParticipantId,
        info: v1::Participant,
        message: &relay::Member,
    ) {
        if info.state() == ParticipantState::Disconnected {
            return;
        }
        let member = Member {
            id,
            identity: info.identity,
            text: MemberText::default(),
            state: ParticipantState::Joined,
            kind: info.kind,
            permissions: v1::Permissions::default(),
            joined_at: info.joined_at.unwrap_or_default(),
            joined: now,
            version: 0,
            client: node::ClientInfo {
                client_protocol: info.client_protocol,
                capabilities: info.capabilities,
                ..node::ClientInfo::default()
            },
            auto_subscribe: false,
            adaptive_stream: false,
            is_direct: info.direct,
            is_forwarded: info.forwarded,
            rule: SubscriptionRule::default(),
            control: None,
            lost_since: None,
            heard_at: None,
            silent_since: None,
            requests_left: 0,
            requests_renew: now,
        };
        let session = Session::elsewhere(&self.config, now);
        let mut participant = Participant::new(room, member, session);
        participant.via = Some(via);
        let key = self.participants.insert(participant);
        self.wake_session(key);
        if let (Some(room), Some(entry)) = (self.rooms.get_mut(room), self.participants.get(key)) {
            room.add(key, &entry.member);
        }
        let info = message.participant.clone().unwrap_or_default();
        self.update_proxy(now, key, None, info, message);
        self.settle_direct(now, room);
    }

    /// Takes over all that another shard says of a participant, tells those here what differs from
    /// `before`, and brings subscriptions in step.
    fn update_proxy(
        &mut self,
        now: Instant,
        key: SessionKey,
        before: Option<v1::Participant>,
        info: v1::Participant,
        message: &relay::Member,
    ) {
        let Some(participant) = self.participants.get_mut(key) else {
            return;
        };
        participant.revision = message.revision;
        let rule = message.rule.clone();
        let rule = rule.map_or(SubscriptionRule::Everybody, SubscriptionRule::from);
        let member = &mut participant.member;
        let is_rule_changed = member.rule != rule;
        member.rule = rule;
        (member.state, member.version) = (info.state(), info.version);
        member.is_direct = info.direct;
        member.text = MemberText {
            name: info.name,
            metadata: info.metadata,
            attributes: info.attributes,
        };
        member.permissions = info.permissions.unwrap_or_default();
        let (room, hidden) = (participant.room, member.permissions.hidden);
        let changed = self.update_tracks(now, key, info.tracks, &message.tracks);
        let after = self.participant_info(key);
        if let Some(info) = after.filter(|after| !hidden && Some(after) != before.as_ref()) {
            // Others must know a track before its media reaches them.
            // What it did since it came is as urgent as on its own shard.
            let haste = match before {
                Some(before) if before.state == info.state => Haste::AtOnce,
                _ => Haste::Soon,
            };
            self.tell_others(room, key, info, haste);
        }
        for track in changed.begun {
            self.reconcile_track(now, room, track);
        }
        for track in changed.other {
            let subscriptions = self.tracks.get(track).map(|t| t.subscriptions.clone());
            for subscription in subscriptions.unwrap_or_default() {
                self.retarget(now, subscription);
            }
        }
        if is_rule_changed {
            self.reconcile_subscribers_of(now, key);
        }
    }

    fn update_tracks(
        &mut self,
        now: Instant,
        owner: SessionKey,
        infos: Vec<v1::Track>,
        details: &[relay::Track],
    ) -> Changed {
        let mut changed = Changed::default();
        let Some(participant) = self.participants.get(owner) else {
            return changed;
        };
        let Some(via) = participant.via else {
            return changed;
        };
        for key in participant.tracks.clone() {
            let id = self.tracks.get(key).map(|track| track.id.as_str());
            if !infos.iter().any(|info| Some(info.id.as_str()) == id) {
                self.remove_track(now, key, false);
            }
        }
        for info in infos {
            let Some(detail) = details.iter().find(|detail| detail.id == info.id) else {
                continue;
            };
            let key = match self.own_track(owner, &info.id) {
                Some(key) => key,
                None => match self.insert_import(now, owner, via, &info, detail.number) {
                    Some(key) => {
                        changed.begun.push(key);
                        key
                    }
                    None => continue,
                },
            };
            if let Some(track) = self.tracks.get_mut(key) {
                let was_muted = track.info.muted;
                track.info = info;
                let is_other = update_track(track, detail);
                if is_other || track.info.muted != was_muted {
                    changed.other.push(key);
                }
            }
            self.wake_track(key);
        }
        changed
    }

    fn insert_import(
        &mut self,
        now: Instant,
        owner: SessionKey,
        via: LinkKey,
        info: &v1::Track,
        number: u64,
    ) -> Option<TrackKey> {
        let id = info.id.parse().ok()?;
        let mut track = Track::new(now, id, owner, String::new(), info.clone());
        track.is_published = true;
        track.origin = Some(Origin::new(via, number));
        if !track.is_video() {
            track.speaker.report(0.0);
        }
        let key = self.tracks.insert(track);
        if !self.relay.add_import(via, number, key) {
            self.tracks.remove(key);
            return None;
        }
        if let Some(participant) = self.participants.get_mut(owner) {
            participant.tracks.push(key);
        }
        Some(key)
    }

    pub(super) fn on_levels(&mut self, room: RoomKey, link: LinkKey, levels: &relay::Levels) {
        for member in self.members_behind(room, link) {
            let tracks = self.participants.get(member).map(|p| p.tracks.clone());
            for key in tracks.unwrap_or_default() {
                let Some(track) = self.tracks.get_mut(key).filter(|t| !t.is_video()) else {
                    continue;
                };
                let number = track.origin.as_ref().map(|origin| origin.number);
                let told = levels.levels.iter().find(|told| Some(told.track) == number);
                let level = told.map_or(0, |told| told.level.min(u32::from(u8::MAX)));
                track.speaker.report(level as f32 / f32::from(u8::MAX));
            }
        }
        self.wake_room(room);
    }

    pub(super) fn on_quality(
        &mut self,
        now: Instant,
        room: RoomKey,
        link: LinkKey,
        report: node::QualityReport,
    ) {
        let behind = self.members_behind(room, link);
        for quality in report.qualities {
            let about = behind.iter().copied().find(|key| {
                let found = self.participants.get(*key);
                found.is_some_and(|p| p.member.id.as_str() == quality.participant_id)
            });
            if let Some(about) = about
                && self.on_uplink(now, about, &quality)
            {
                let qualities = vec![quality];
                self.tell_quality(about, &node::QualityReport { qualities });
            }
        }
    }
}

/// Brings a track in step with what its shard says; encodings and codecs are only ever added. True if there are
/// others than before.
fn update_track(track: &mut Track, detail: &relay::Track) -> bool {
    let is_screen = track.is_screen();
    let is_audio = track.info.kind() == TrackKind::Audio;
    let mut is_other = false;
    for (index, told) in (0..).zip(detail.encodings.iter().take(ENCODINGS_MAX)) {
        let (width, height) = plausible_size((told.width, told.height));
        let info = EncodingInfo {
            index,
            codec: u8::try_from(told.codec).unwrap_or(u8::MAX),
            rid: (!told.rid.is_empty()).then(|| Rid::from(told.rid.as_str())),
            quality: told.quality(),
            width,
            height,
        };
        match track.encodings.get_mut(usize::from(index)) {
            Some(known) => is_other |= std::mem::replace(&mut known.encoding.info, info) != info,
            None => {
                let published = PublishedEncoding::new(info, is_screen);
                track.encodings.push(published);
                is_other = true;
            }
        }
        if let Some(published) = track.encodings.get_mut(usize::from(index)) {
            let mut reported = reported(told.flow.as_ref());
            // Whether sound comes makes no difference, so nobody tells.
            reported.flowing |= is_audio;
            published.encoding.report(reported);
        }
    }
    for told in detail.formats.iter().skip(track.formats.len()) {
        let Some(format) = format(told) else {
            // One that this version does not know: what comes after it could not be told apart.
            return is_other;
        };
        track.formats.push(format);
    }
    is_other
}

fn track_message(key: TrackKey, track: &Track) -> relay::Track {
    let flows = (0..).map(|index: usize| track.told_flow.get(index).copied().unwrap_or_default());
    relay::Track {
        id: (&track.id).into(),
        number: (track.origin.as_ref()).map_or_else(|| key.number(), |origin| origin.number),
        encodings: track
            .encodings
            .iter()
            .zip(flows)
            .map(|(published, flow)| {
                let info = published.encoding.info;
                Encoding {
                    rid: info.rid.map(|rid| rid.to_string()).unwrap_or_default(),
                    codec: info.codec.into(),
                    quality: info.quality.into(),
                    width: info.width,
                    height: info.height,
                    flow: Some(flow_message(&flow)),
                }
            })
            .collect(),
        formats: track.formats.iter().map(format_message).collect(),
    }
}

pub(super) fn flow_message(flow: &Reported) -> EncodingFlow {
    let layers = flow.sizes.iter().zip(&flow.rates);
    EncodingFlow {
        flowing: flow.flowing,
        frail: flow.frail,
        bitrate: flow.bitrate,
        fps: flow.fps,
        temporal_layers: flow.temporal_layers.into(),
        missing: flow.missing.into(),
        late: flow.late.into(),
        layers: layers
            .take(flow.spatial_layers.into())
            .map(|(&(width, height), rates)| LayerFlow {
                width,
                height,
                rates: rates.to_vec(),
            })
            .collect(),
    }
}

pub(super) fn reported(flow: Option<&EncodingFlow>) -> Reported {
    let Some(flow) = flow else {
        return Reported::default();
    };
    let mut reported = Reported {
        flowing: flow.flowing,
        frail: flow.frail,
        bitrate: flow.bitrate,
        fps: flow.fps,
        temporal_layers: flow.temporal_layers.min(LAYERS as u32) as u8,
        spatial_layers: flow.layers.len().min(LAYERS) as u8,
        missing: u16::try_from(flow.missing).unwrap_or(0),
        late: u16::try_from(flow.late).unwrap_or(0),
        ..Reported::default()
    };
    let places = reported.sizes.iter_mut().zip(&mut reported.rates);
    for (told, (size, rates)) in flow.layers.iter().zip(places) {
        *size = plausible_size((told.width, told.height));
        for (rate, told) in rates.iter_mut().zip(&told.rates) {
            *rate = *told;
        }
    }
    reported
}

fn format_message(format: &Format) -> FormatMessage {
    let text = FormatText::of(&format.params);
    FormatMessage {
        payload_type: u32::from(*format.payload_type),
        mime: format.codec.mime().to_owned(),
        clock_rate: text.clock_rate,
        channels: text.channels.map_or(0, u32::from),
        parameters: text.parameters,
    }
}

fn format(message: &FormatMessage) -> Option<Format> {
    let payload_type = u8::try_from(message.payload_type).ok()?;
    let codec = Codec::from_mime(&message.mime)?;
    let channels = u8::try_from(message.channels).ok()?;
    let text = FormatText {
        clock_rate: message.clock_rate,
        channels: (channels > 0).then_some(channels),
        parameters: message.parameters.clone(),
    };
    Some(Format {
        payload_type: Pt::from(payload_type),
        codec,
        params: text.params(codec, payload_type)?,
    })
}
