//! Participants that appear in other rooms too. In each it has a double: a member without transports, whose tracks are
//! copies of its own and take its packets from them. To everybody else, on this shard and on others, a double is a
//! participant of this shard like any other, so rosters, rights, wants and links need not know the difference.
//!
//! Owns what makes doubles, keeps them in step and ends them. Must not let a double do anything by itself; nor have
//! doubles of doubles.

use std::{sync::Arc, time::Instant};

use plenum_proto::{
    node::{self, CloseAction, Join, SessionShape},
    relay::control::Kind as Spread,
    v1::{CloseReason, Permissions, event::Kind as RoomEvent},
};
use rand::Rng as _;

use super::{
    Shard,
    fanout::Pending,
    join::Refusal,
    state::{PublishedEncoding, Track},
};
use crate::{
    CommandError, ControlId, Forward, LinkKey,
    key::{SessionKey, TrackKey},
    room::SubscriptionRule,
    session::Stream,
    track::LayerSet,
};

impl Shard {
    /// Lets a participant of this shard appear in another room. Whether that came about is told to `control`.
    pub(super) fn forward(
        &mut self,
        now: Instant,
        control: ControlId,
        forward: Forward,
        home: Option<LinkKey>,
    ) -> Result<(), CommandError> {
        let source = self.own_participant(&forward.room, &forward.identity)?;
        let Some(participant) = self.participants.get(source) else {
            return Ok(());
        };
        let member = &participant.member;
        if member.permissions.hidden {
            let what = "a hidden participant is shown in no room";
            return Err(CommandError::NotAllowed(what));
        }
        let cap = self.config.limits.forwards_per_participant;
        if participant.doubles.len() >= cap {
            return Err(CommandError::Limit {
                limit: "forwards_per_participant",
                value: cap as u64,
            });
        }
        let join = Join {
            room: Some(forward.destination),
            room_id: forward.destination_id,
            identity: member.identity.clone(),
            name: member.text.name.clone(),
            metadata: member.text.metadata.clone(),
            attributes: member.text.attributes.clone(),
            kind: member.kind,
            permissions: Some(of_double(&member.permissions)),
            client: Some(member.client.clone()),
            shape: SessionShape::Forwarded.into(),
            stands_for: (&member.id).into(),
            ..Join::default()
        };
        self.join(now, control, join, home);
        Ok(())
    }

    /// The participant that a joiner stands for, if it stands for one and that is here.
    pub(super) fn source_of(&self, join: &Join) -> Option<SessionKey> {
        if join.shape() != SessionShape::Forwarded {
            return None;
        }
        let mut all = self.participants.iter();
        let found = all.find(|(_, p)| p.is_here() && p.member.id.as_str() == join.stands_for);
        found.map(|(key, _)| key)
    }

    /// Whether a double may come in: in no other's place, and only while there is what it stands for.
    pub(super) fn check_double(
        &self,
        present: Option<SessionKey>,
        join: &Join,
    ) -> Result<(), Refusal> {
        if present.is_some() {
            let message = format!("\"{}\" is in that room already", join.identity);
            return Err(Refusal::new(message));
        }
        match self.source_of(join) {
            Some(_) => Ok(()),
            None => Err(Refusal::new("the participant has left its room".into())),
        }
    }

    /// A double has come in: nobody speaks for it from now on, and it follows.
    pub(super) fn begin_double(&mut self, now: Instant, double: SessionKey) {
        let Some(participant) = self.participants.get_mut(double) else {
            return;
        };
        let source = participant.double_of;
        if let Some(control) = participant.member.control.take() {
            self.controls.remove(&control);
        }
        let Some(source) = source else { return };
        let Some(participant) = self.participants.get_mut(source) else {
            return;
        };
        participant.doubles.push(double);
        let room = participant.room;
        self.follow(source);
        self.settle_direct(now, room);
    }

    /// Another stay of a participant takes over what stood for the one before.
    pub(super) fn take_over_doubles(&mut self, source: SessionKey, doubles: Vec<SessionKey>) {
        for double in &doubles {
            if let Some(double) = self.participants.get_mut(*double) {
                double.double_of = Some(source);
            }
        }
        if let Some(participant) = self.participants.get_mut(source) {
            participant.doubles = doubles;
        }
    }

    /// A stay ends: so does what stands for it; and what it stands for has it no longer.
    pub(super) fn end_doubles(&mut self, now: Instant, session: SessionKey, reason: CloseReason) {
        let Some(participant) = self.participants.get_mut(session) else {
            return;
        };
        let doubles = std::mem::take(&mut participant.doubles);
        let source = participant.double_of;
        for double in doubles {
            self.end(now, double, reason, CloseAction::Disconnect, "");
        }
        if let Some(source) = source.and_then(|source| self.participants.get_mut(source)) {
            source.doubles.retain(|double| *double != session);
        }
    }

    /// Something of a participant changed: its doubles change with it.
    pub(super) fn follow(&mut self, source: SessionKey) {
        let doubles = self.participants.get(source).map(|p| &p.doubles);
        for double in doubles.cloned().unwrap_or_default() {
            self.bring_in_step(source, double);
        }
    }

    fn bring_in_step(&mut self, source: SessionKey, double: SessionKey) {
        let now = self.now;
        let before = self.participant_info(double);
        let (Some(of), Some(_)) = (self.participants.get(source), &before) else {
            return;
        };
        let (text, permissions) = (of.member.text.clone(), of_double(&of.member.permissions));
        let (rule, tracks) = (of.member.rule.clone(), of.tracks.clone());
        let mut begun = Vec::new();
        let mut copies = Vec::new();
        for track in tracks {
            let found = self.tracks.get(track).filter(|track| track.is_published);
            let Some(known) = found.map(|track| self.copy_for(track, double)) else {
                continue;
            };
            let copy = known.or_else(|| self.insert_copy(now, track, double));
            let Some(copy) = copy else { continue };
            if known.is_none() {
                begun.push(copy);
            }
            self.renew_copy(track, copy);
            copies.push((track, copy));
        }
        let rule = self.rule_of_double(rule, &copies);
        let Some(participant) = self.participants.get_mut(double) else {
            return;
        };
        let (room, member) = (participant.room, &mut participant.member);
        (member.text, member.permissions) = (text, permissions);
        let is_rule_new = std::mem::replace(&mut member.rule, rule.clone()) != rule;
        if self.participant_info(double) == before {
            // Others may have to know more of a track all the same.
            self.spread_member(double);
        } else {
            self.announce_participant(double);
        }
        for copy in begun {
            self.publish_track_event(now, copy, RoomEvent::TrackPublished);
            self.reconcile_track(now, room, copy);
        }
        for (track, copy) in copies {
            let is_muted = self.tracks.get(track).is_some_and(|t| t.info.muted);
            self.set_muted(now, copy, is_muted);
        }
        if is_rule_new {
            self.reconcile_subscribers_of(now, double);
        }
    }

    /// What a track is in the room of a double.
    fn copy_for(&self, track: &Track, double: SessionKey) -> Option<TrackKey> {
        let is_its = |key: &TrackKey| self.tracks.get(*key).is_some_and(|t| t.owner == double);
        track.copies.iter().copied().find(is_its)
    }

    fn insert_copy(
        &mut self,
        now: Instant,
        source: TrackKey,
        double: SessionKey,
    ) -> Option<TrackKey> {
        let mut info = self.tracks.get(source)?.info.clone();
        let id = plenum_proto::ids::TrackId::random(|| self.rng.random());
        info.id = (&id).into();
        let mut copy = Track::new(now, id, double, String::new(), info);
        (copy.is_published, copy.copy_of) = (true, Some(source));
        let key = self.tracks.insert(copy);
        self.wake_track(key);
        self.tracks.get_mut(source)?.copies.push(key);
        self.participants.get_mut(double)?.tracks.push(key);
        Some(key)
    }

    /// Brings a copy in step with its track, but for its being muted.
    fn renew_copy(&mut self, source: TrackKey, copy: TrackKey) {
        let Some([of, copy]) = self.tracks.get_disjoint_mut([source, copy]) else {
            return;
        };
        let muted = copy.info.muted;
        copy.info = of.info.clone();
        copy.info.id = (&copy.id).into();
        copy.info.muted = muted;
        let is_screen = of.is_screen();
        for (index, published) in of.encodings.iter().enumerate() {
            let info = published.encoding.info;
            match copy.encodings.get_mut(index) {
                Some(known) => known.encoding.info = info,
                None => copy.encodings.push(PublishedEncoding::new(info, is_screen)),
            }
        }
        let known = copy.formats.len();
        copy.formats.extend(of.formats.iter().skip(known));
    }

    /// A copy of a track is gone.
    pub(super) fn drop_copy(&mut self, now: Instant, source: TrackKey, copy: TrackKey) {
        if let Some(track) = self.tracks.get_mut(source) {
            track.copies.retain(|known| *known != copy);
            self.update_demand(now, source);
        }
    }

    /// What of a track is asked for in other rooms.
    pub(super) fn requested_of_copies(&self, key: TrackKey) -> LayerSet {
        let copies = self.tracks.get(key).into_iter().flat_map(|t| &t.copies);
        copies.fold(LayerSet::NONE, |all, copy| {
            let (_, requested, _) = self.want_of(*copy);
            let exported = self.tracks.get(*copy).map(Track::exports_requested);
            all.union(requested).union(exported.unwrap_or_default())
        })
    }

    /// A packet of a track is one of its copies too.
    pub(super) fn copy(&mut self, now: Instant, pending: &Pending) {
        let Stream { track, encoding } = pending.stream;
        let index = usize::from(encoding);
        let mut nth = 0;
        while let Some(key) = self
            .tracks
            .get(track)
            .and_then(|t| t.copies.get(nth))
            .copied()
        {
            nth += 1;
            let Some([of, copy]) = self.tracks.get_disjoint_mut([track, key]) else {
                continue;
            };
            let packet = &pending.packet;
            if let Some((level, voice)) = packet.audio_level {
                copy.speaker.observe(level, voice, now);
            }
            let (Some(of), Some(published)) =
                (of.encodings.get(index), copy.encodings.get_mut(index))
            else {
                continue;
            };
            let was_flowing = published.encoding.is_flowing(now);
            published.encoding.mirror(&of.encoding, packet);
            published.take(now, packet);
            if !was_flowing {
                self.on_flow(now, key);
            }
            let pending = Pending {
                stream: Stream {
                    track: key,
                    encoding,
                },
                format: pending.format,
                packet: Arc::clone(packet),
                captured: pending.captured,
            };
            self.export(&pending);
            self.queue(pending);
        }
    }

    /// The way of a participant to us is that of its doubles.
    pub(super) fn tell_doubles_quality(
        &mut self,
        now: Instant,
        source: SessionKey,
        report: &node::QualityReport,
    ) {
        let doubles = self.participants.get(source).map(|p| &p.doubles);
        for key in doubles.cloned().unwrap_or_default() {
            let Some(double) = self.participants.get(key) else {
                continue;
            };
            let (room, id) = (double.room, String::from(&double.member.id));
            let mut report = report.clone();
            for quality in &mut report.qualities {
                quality.participant_id.clone_from(&id);
                if self.on_uplink(now, key, quality) {
                    let qualities = vec![quality.clone()];
                    self.tell_quality(key, &node::QualityReport { qualities });
                }
            }
            self.spread(room, Spread::Quality(report));
        }
    }

    /// Who may subscribe to a double: whom the participant named by identity, and of its tracks their copies.
    fn rule_of_double(
        &self,
        rule: SubscriptionRule,
        copies: &[(TrackKey, TrackKey)],
    ) -> SubscriptionRule {
        let SubscriptionRule::Only(mut message) = rule else {
            return rule;
        };
        let id = |key: TrackKey| self.tracks.get(key).map(|track| track.id.as_str());
        for entry in &mut message.permissions {
            if !entry.identity.is_empty() {
                // The id is of a stay in the other room.
                entry.participant_id.clear();
            }
            for named in &mut entry.track_ids {
                let copy = copies.iter().find(|(of, _)| id(*of) == Some(named));
                if let Some(copy) = copy.and_then(|(_, copy)| id(*copy)) {
                    copy.clone_into(named);
                }
            }
        }
        SubscriptionRule::Only(message)
    }
}

/// What a double may do: be seen as what it stands for, and nothing by itself.
fn of_double(permissions: &Permissions) -> Permissions {
    Permissions {
        can_subscribe: false,
        can_publish_data: false,
        can_update_metadata: false,
        can_subscribe_metrics: false,
        ..permissions.clone()
    }
}
