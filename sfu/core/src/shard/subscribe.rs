//! Subscriptions: who takes what, in which layer. Keeps them in step with wishes, rights and tracks.

use std::{collections::HashSet, time::Instant};

use plenum_proto::{
    ids::TrackId,
    node::{self, RequestReason, session_event::Kind as Told},
    v1::VideoQuality,
};
use rand::Rng as _;

use super::{
    Shard,
    fanout::ENCODINGS_MAX,
    state::{Participant, Subscription, Track},
};
use crate::{
    key::{RoomKey, SessionKey, SubscriptionKey, TrackKey},
    session::{Formats, Names},
    subscription::{Choices, Forwarder, LayerView, Wish, select},
    track::{Failing, Layer, plausible_size},
};

impl Shard {
    /// A participant asks for tracks, or gives them up.
    pub(super) fn subscribe(
        &mut self,
        now: Instant,
        session: SessionKey,
        wanted: &node::Subscribe,
    ) {
        let Some(room) = self.participants.get(session).map(|p| p.room) else {
            return;
        };
        let named = wanted.participants.iter().flat_map(|p| p.track_ids.iter());
        let ids: Vec<String> = wanted.track_ids.iter().chain(named).cloned().collect();
        for id in ids {
            let found = self.tracks_of_room(room).into_iter().find_map(|key| {
                let track = self.tracks.get(key)?;
                (track.id.as_str() == id).then(|| (key, track.id.clone()))
            });
            let Some((key, track_id)) = found else {
                let failed = node::SubscriptionFailed {
                    track_id: id,
                    error: node::SubscriptionError::TrackNotFound.into(),
                };
                self.tell(session, Told::SubscriptionFailed(failed));
                continue;
            };
            let cap = self.config.limits.subscriptions_per_participant;
            let is_full = self
                .participants
                .get(session)
                .is_some_and(|participant| participant.wishes.len() >= cap);
            // Wishes for tracks that ended stand in the way of new ones.
            let alive = is_full.then(|| self.track_ids_of_room(room));
            if let Some(participant) = self.participants.get_mut(session) {
                participant.wishes.retain(|(known, _)| {
                    *known != track_id && alive.as_ref().is_none_or(|alive| alive.contains(known))
                });
                if participant.wishes.len() < cap {
                    participant.wishes.push((track_id, wanted.subscribe));
                }
            }
            self.reconcile_subscription(now, session, key);
            self.repin(now, session, key);
        }
        self.offer(session);
    }

    /// A participant asked by name for a track it may have already, or did until now.
    fn repin(&mut self, now: Instant, session: SessionKey, track: TrackKey) {
        let Some(participant) = self.participants.get(session) else {
            return;
        };
        let is_quiet = self.tracks.get(track).is_some_and(|track| track.is_quiet);
        let of_track = |key: &&SubscriptionKey| {
            let found = self.subscriptions.get(**key);
            found.is_some_and(|subscription| subscription.track == track)
        };
        let existing = participant.subscriptions.iter().find(of_track).copied();
        if let Some(subscription) = existing.filter(|_| is_quiet) {
            self.retarget(now, subscription);
        }
    }

    /// Published tracks of a room, in order of members.
    pub(super) fn tracks_of_room(&self, room: RoomKey) -> Vec<TrackKey> {
        let members = self
            .rooms
            .get(room)
            .into_iter()
            .flat_map(|room| room.members.iter());
        members
            .filter_map(|member| self.participants.get(*member))
            .flat_map(|participant| participant.tracks.iter().copied())
            .filter(|key| {
                self.tracks
                    .get(*key)
                    .is_some_and(|track| track.is_published)
            })
            .collect()
    }

    fn track_ids_of_room(&self, room: RoomKey) -> HashSet<TrackId> {
        let tracks = self.tracks_of_room(room).into_iter();
        tracks
            .filter_map(|key| self.tracks.get(key).map(|track| track.id.clone()))
            .collect()
    }

    /// A track is new in the room: everybody who wants it gets it.
    pub(super) fn reconcile_track(&mut self, now: Instant, room: RoomKey, track: TrackKey) {
        let members = self
            .rooms
            .get(room)
            .map(|room| room.members.clone())
            .unwrap_or_default();
        for member in members {
            self.reconcile_subscription(now, member, track);
            self.owe_offer(now, member);
        }
    }

    /// The rights to the tracks of a publisher changed.
    pub(super) fn reconcile_subscribers_of(&mut self, now: Instant, publisher: SessionKey) {
        let Some(participant) = self.participants.get(publisher) else {
            return;
        };
        let (room, tracks) = (participant.room, participant.tracks.clone());
        for track in tracks {
            self.reconcile_track(now, room, track);
        }
    }

    /// The rights of a subscriber changed.
    pub(super) fn reconcile_subscriber(&mut self, now: Instant, session: SessionKey) {
        let Some(room) = self.participants.get(session).map(|p| p.room) else {
            return;
        };
        for track in self.tracks_of_room(room) {
            self.reconcile_subscription(now, session, track);
        }
        self.offer(session);
    }

    /// Makes or ends the subscription of one participant to one track, as wishes and rights say.
    pub(super) fn reconcile_subscription(
        &mut self,
        now: Instant,
        session: SessionKey,
        key: TrackKey,
    ) {
        let Some(track) = self.tracks.get(key).filter(|track| track.is_published) else {
            return;
        };
        let (Some(subscriber), Some(publisher)) = (
            self.participants.get(session),
            self.participants.get(track.owner),
        ) else {
            return;
        };
        if track.owner == session || subscriber.direct.is_some() {
            return;
        }
        let asked = subscriber
            .wishes
            .iter()
            .find(|(id, _)| *id == track.id)
            .map(|(_, wish)| *wish);
        let wants = asked.unwrap_or(subscriber.member.auto_subscribe);
        let (id, identity) = (subscriber.member.id.as_str(), &subscriber.member.identity);
        let is_allowed = subscriber.member.permissions.can_subscribe
            && publisher
                .member
                .rule
                .allows(id, identity, track.id.as_str());
        let existing = subscriber
            .subscriptions
            .iter()
            .copied()
            .find(|s| self.subscriptions.get(*s).is_some_and(|s| s.track == key));
        let permission_changed = |allowed| {
            Told::PermissionChanged(node::PermissionChanged {
                participant_id: (&publisher.member.id).into(),
                track_id: (&track.id).into(),
                allowed,
            })
        };
        let has_room =
            subscriber.subscriptions.len() < self.config.limits.subscriptions_per_participant;
        match (existing, wants && is_allowed) {
            (None, true) if has_room => {
                let regained = subscriber
                    .refused(&track.id)
                    .then(|| permission_changed(true));
                if let Some(told) = regained {
                    self.tell(session, told);
                    self.set_refused(session, key, false);
                }
                self.open_subscription(now, session, key);
            }
            (None, true) => {
                let cap = self.config.limits.subscriptions_per_participant;
                let message = format!("limit of subscriptions_per_participant is {cap}");
                self.refuse(session, 0, RequestReason::Limit, &message);
            }
            (existing, false) => {
                let told = (wants && !is_allowed && !subscriber.refused(&track.id))
                    .then(|| permission_changed(false));
                if let Some(subscription) = existing {
                    self.remove_subscription(now, subscription, false);
                }
                if let Some(told) = told {
                    self.tell(session, told);
                    self.set_refused(session, key, true);
                }
            }
            (Some(_), true) => {}
        }
    }

    fn set_refused(&mut self, session: SessionKey, key: TrackKey, refused: bool) {
        let Some(id) = self.tracks.get(key).map(|track| track.id.clone()) else {
            return;
        };
        if let Some(participant) = self.participants.get_mut(session) {
            participant.refused.retain(|known| *known != id);
            if refused {
                participant.refused.push(id);
            }
        }
    }

    fn open_subscription(&mut self, now: Instant, session: SessionKey, key: TrackKey) {
        let (Some(track), Some(_)) = (self.tracks.get(key), self.participants.get(session)) else {
            return;
        };
        let Some(publisher) = self.participants.get(track.owner) else {
            return;
        };
        let mut names = names(track, publisher);
        let (is_video, formats) = (track.is_video(), track.formats_to_offer());
        let Some(subscriber) = self.participants.get_mut(session) else {
            return;
        };
        if !subscriber.session.egress.has_place(is_video) {
            let message = "all sections of the client's offer are taken";
            return self.refuse(session, 0, RequestReason::Limit, message);
        }
        names.shared = names.shared.filter(|_| subscriber.member.plays_in_step());
        // A client that tells the size of each tile starts small until it does.
        let quality = if subscriber.member.adaptive_stream && is_video {
            VideoQuality::Low
        } else {
            VideoQuality::High
        };
        let wish = Wish {
            quality: Some(quality),
            ..Wish::default()
        };
        let fresh = Forwarder::new(self.rng.random_range(0..16_384), self.rng.random());
        let subscription = self.subscriptions.insert_with_key(|subscription| {
            let egress = &mut subscriber.session.egress;
            let slot = egress.open(subscription, is_video, formats, names);
            Subscription {
                subscriber: session,
                track: key,
                slot,
                codec: 0,
                wish,
                priority: 0,
                is_live: egress.is_serving(slot),
                forwarder: subscriber.parked.remove(&slot).unwrap_or(fresh),
                wanted: None,
                requested: None,
                requested_at: None,
                is_paused: false,
                limit: None,
                choices: Choices::default(),
                told_unsupported: false,
                offered_again: None,
                is_pinned: false,
            }
        });
        subscriber.subscriptions.push(subscription);
        subscriber.wants = None;
        if let Some(track) = self.tracks.get_mut(key) {
            track.subscriptions.push(subscription);
        }
        self.tell_first_subscriber(key);
        self.retarget(now, subscription);
    }

    /// Media came that the section of a subscription has no format for: it moves to one that offers whatever we have.
    /// False where that is so already, and the client takes no such media.
    pub(super) fn widen(&mut self, now: Instant, key: SubscriptionKey) -> bool {
        let Some(subscription) = self.subscriptions.get_mut(key) else {
            return false;
        };
        let Some(track) = self.tracks.get(subscription.track) else {
            return false;
        };
        let Some(publisher) = self.participants.get(track.owner) else {
            return false;
        };
        let (mut names, is_video) = (names(track, publisher), track.is_video());
        let session = subscription.subscriber;
        let Some(subscriber) = self.participants.get_mut(session) else {
            return false;
        };
        names.shared = names.shared.filter(|_| subscriber.member.plays_in_step());
        let egress = &mut subscriber.session.egress;
        if egress.offers_all(subscription.slot) {
            return false;
        }
        egress.close(key);
        subscription.slot = egress.open(key, is_video, Formats::All, names);
        subscription.is_live = egress.is_serving(subscription.slot);
        self.retarget(now, key);
        self.offer(session);
        true
    }

    /// Somebody takes a track: its publisher learns of the first one.
    pub(super) fn tell_first_subscriber(&mut self, key: TrackKey) {
        let source = self.tracks.get(key).and_then(|track| track.copy_of);
        let Some(track) = self.tracks.get_mut(source.unwrap_or(key)) else {
            return;
        };
        if std::mem::replace(&mut track.told_first_subscriber, true) {
            return;
        }
        let told = node::TrackSubscribed {
            track_id: (&track.id).into(),
        };
        let owner = track.owner;
        self.tell(owner, Told::TrackSubscribed(told));
    }

    /// The section of a subscription is negotiated: media may flow, beginning with a keyframe.
    pub(super) fn begin_subscription(&mut self, now: Instant, key: SubscriptionKey) {
        if let Some(subscription) = self.subscriptions.get_mut(key) {
            subscription.is_live = true;
        }
        self.retarget(now, key);
    }

    /// Ends a subscription. With `offer`, the subscriber is told before long that its section is given back.
    pub(super) fn remove_subscription(&mut self, now: Instant, key: SubscriptionKey, offer: bool) {
        let Some(gone) = self.subscriptions.remove(key) else {
            return;
        };
        if let Some(track) = self.tracks.get_mut(gone.track) {
            track
                .subscriptions
                .retain(|subscription| *subscription != key);
        }
        if let Some(subscriber) = self.participants.get_mut(gone.subscriber) {
            subscriber
                .subscriptions
                .retain(|subscription| *subscription != key);
            subscriber.wants = None;
            subscriber.session.egress.close(key);
            if subscriber.session.egress.is_fixed() {
                // The next track is another stream under the same numbers.
                let mut forwarder = gone.forwarder;
                forwarder.retarget(None);
                for encoding in 0..ENCODINGS_MAX as u8 {
                    forwarder.restart(encoding);
                }
                subscriber.parked.insert(gone.slot, forwarder);
            }
        }
        self.update_demand(now, gone.track);
        if offer {
            self.offer_soon(now, gone.subscriber);
        }
    }

    /// The client tells how it shows tracks.
    pub(super) fn track_settings(
        &mut self,
        now: Instant,
        session: SessionKey,
        settings: &node::TrackSettings,
    ) {
        let Some(participant) = self.participants.get(session) else {
            return;
        };
        let subscriptions: Vec<_> = participant
            .subscriptions
            .iter()
            .copied()
            .filter(|key| {
                self.subscriptions
                    .get(*key)
                    .and_then(|subscription| self.tracks.get(subscription.track))
                    .is_some_and(|track| {
                        settings.track_ids.iter().any(|id| id == track.id.as_str())
                    })
            })
            .collect();
        for key in subscriptions {
            if let Some(subscription) = self.subscriptions.get_mut(key) {
                let has_size = settings.width > 0 && settings.height > 0;
                subscription.wish = Wish {
                    disabled: settings.disabled,
                    quality: (!has_size).then(|| settings.quality()),
                    size: has_size.then_some(plausible_size((settings.width, settings.height))),
                    fps: (settings.fps > 0).then_some(settings.fps),
                    cap: subscription.wish.cap,
                };
                subscription.priority = settings.priority;
            }
            self.retarget(now, key);
        }
        self.allocate(now, session);
    }

    /// Chooses what a subscription is served of what flows now, and what it would want.
    pub(super) fn retarget(&mut self, now: Instant, key: SubscriptionKey) {
        let subscription = self.subscriptions.get(key);
        let wanted = subscription.map(|s| (s.codec, s.wanted));
        self.choose_codec(key);
        let Some(subscription) = self.subscriptions.get_mut(key) else {
            return;
        };
        let Some(track) = self.tracks.get(subscription.track) else {
            return;
        };
        let views = track.views(subscription.codec, now);
        let every: Vec<_> = views.iter().copied().map(LayerView::whole).collect();
        let before = subscription.requested;
        subscription.requested = select(&subscription.wish, &every);
        subscription.wanted = select(
            &Wish {
                cap: None,
                ..subscription.wish
            },
            &every,
        );
        if before != subscription.requested {
            subscription.requested_at = Some(now);
        }
        if wanted != Some((subscription.codec, subscription.wanted))
            && let Some(subscriber) = self.participants.get_mut(subscription.subscriber)
        {
            subscriber.wants = None;
        }
        let subscriber = self.participants.get(subscription.subscriber);
        let is_pinned = track.is_quiet
            && (subscription.priority > 0
                || subscriber.is_some_and(|s| s.wishes.contains(&(track.id.clone(), true))));
        subscription.is_pinned = is_pinned;
        let is_left_out = track.is_quiet && !is_pinned;
        // A keyframe that can't be sent yet would be spent for nothing.
        let subscriber = self.participants.get(subscription.subscriber);
        let is_ready = subscription.is_live
            && subscriber.is_some_and(|subscriber| subscriber.session.egress.lane.is_ready());
        let target = select(&subscription.wish, &views)
            .filter(|_| is_ready && !track.info.muted && !subscription.is_paused)
            .filter(|_| !is_left_out);
        let from = subscription.forwarder.target();
        let is_new = from != target;
        if is_new {
            subscription.forwarder.retarget(target);
        }
        let wants = subscription
            .forwarder
            .wants_keyframe()
            .filter(|_| track.is_video());
        let (track, changed) = (subscription.track, before != subscription.requested);
        if let Some(track) = self.tracks.get_mut(track) {
            track.is_pinned |= is_pinned;
        }
        if is_new {
            self.note_choice(now, key, from, &views);
        }
        self.mark_want(track);
        if let Some(encoding) = wants
            && !self.replay(now, key)
        {
            self.want_keyframe(now, track, encoding);
        }
        if changed {
            self.update_demand(now, track);
        }
    }

    /// What the publisher of a track is to send follows what its subscribers ask for, on this shard and
    /// on others.
    pub(super) fn update_demand(&mut self, now: Instant, key: TrackKey) {
        if let Some(source) = self.tracks.get(key).and_then(|track| track.copy_of) {
            return self.update_demand(now, source);
        }
        self.mark_want(key);
        let published = |track: &&mut Track| track.is_video() && track.origin.is_none();
        let failing = self.failing(now, key);
        let in_other_rooms = self.requested_of_copies(key);
        let Some(track) = self.tracks.get_mut(key).filter(published) else {
            return;
        };
        let known = &*track;
        let views = (0..known.codecs()).flat_map(|codec| known.each_view(codec, now));
        let views: Vec<_> = views.collect();
        let step = |layer: Layer| {
            let view = views
                .iter()
                .find(|v| v.picture() == (layer.encoding, layer.spatial));
            let below_top = view.filter(|view| view.layer.spatial != Layer::ALL_SPATIAL);
            below_top.map_or(VideoQuality::High, |view| view.quality)
        };
        let requested = track
            .subscriptions
            .iter()
            .filter_map(|key| self.subscriptions.get(*key))
            .map(|subscription| subscription.requested.map(|l| (l.encoding, step(l))));
        let elsewhere = in_other_rooms.union(track.exports_requested());
        let elsewhere = elsewhere.iter().map(|l| Some((l.encoding, step(l))));
        let requested: Vec<_> = requested.chain(elsewhere).flatten().collect();
        track.take_requests(now, &requested, failing);
        self.tell_demand(now, key);
        self.wake_track(key);
    }

    /// What a publisher was asked to send and does not, or hardly, because its own link or processor is not enough, must not
    /// leave those without a picture who asked for it: others of its encodings are switched on. Time alone changes
    /// what does not come; who asks for what is not looked at again for that.
    pub(super) fn stand_in(&mut self, now: Instant, key: TrackKey) {
        let failing = self.failing(now, key);
        let track = self.tracks.get(key);
        if track.is_some_and(|track| track.misses_stand_ins(failing)) {
            self.update_demand(now, key);
        }
    }

    /// Which encodings of a track fail although its publisher was asked for them.
    pub(super) fn failing(&self, now: Instant, key: TrackKey) -> Failing {
        let Some(track) = self.tracks.get(key) else {
            return Failing::default();
        };
        let owner = self.participants.get(track.owner);
        let can_be_told = owner.is_some_and(|owner| owner.member.control.is_some());
        if can_be_told {
            track.failing(now)
        } else {
            Failing::default()
        }
    }

    /// Tells the publisher what changed of the demand for its track.
    pub(super) fn tell_demand(&mut self, now: Instant, key: TrackKey) {
        // Sound has no steps, and is never switched off at its source.
        let Some(track) = self.tracks.get_mut(key).filter(|track| track.is_video()) else {
            return;
        };
        let changed = track.demands.iter_mut().filter_map(|d| d.poll(now));
        if changed.count() == 0 {
            return;
        }
        let codecs = track.demands.iter().enumerate().map(|(index, demand)| {
            let qualities = demand.told().iter();
            node::CodecQualities {
                codec: track.codec_name(index),
                qualities: qualities
                    .map(|(quality, enabled)| node::QualityEnabled {
                        quality: quality.into(),
                        enabled,
                    })
                    .collect(),
            }
        });
        let told = node::SubscribedQuality {
            track_id: (&track.id).into(),
            codecs: codecs.collect(),
        };
        let owner = track.owner;
        self.tell(owner, Told::SubscribedQuality(told));
    }
}

/// What a track is called in a section that carries it.
fn names(track: &Track, publisher: &Participant) -> Names {
    let (name, owner) = (String::from(&track.id), &publisher.member.id);
    let stream = track.info.stream.as_str();
    Names {
        alone: format!("{owner}|{name}"),
        shared: is_stream_name(stream).then(|| format!("{owner}|{stream}")),
        track: name,
    }
}

/// Whether what a publisher calls a stream may stand in a description, and is not taken for the id of a track.
fn is_stream_name(name: &str) -> bool {
    const MAX: usize = 32;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=MAX).contains(&name.len()) && name.bytes().all(is_plain) && !name.starts_with("TR")
}
