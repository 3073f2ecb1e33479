//! What the node tells, and what is answered: descriptions above all (RFC 8829). Owns the law that a
//! track is announced before an offer carries it.

use std::collections::BTreeMap;

use plenum_proto::{
    node::{
        self, Description, SessionShape, SubscribedQuality, TransportRole,
        session_event::Kind as Told, session_request::Kind,
    },
    v1::ParticipantState,
};
use str0m::{
    change::{SdpAnswer, SdpOffer},
    media::{Direction, MediaKind, Mid},
};

use super::{Change, Client, Source};
use crate::world::Clock;

impl Client {
    pub(super) fn on_told(&mut self, clock: &Clock, kind: Told) {
        if self.closed.is_some() {
            self.violations.push(format!("told after closed: {kind:?}"));
        }
        if self.told.is_empty()
            && self.joined.is_none()
            && !matches!(kind, Told::Joined(_) | Told::Resumed(_) | Told::Closed(_))
        {
            self.violations
                .push(format!("told before joined: {kind:?}"));
        }
        match &kind {
            Told::Joined(joined) | Told::Resumed(joined) => {
                let all = joined.participant.iter().chain(&joined.others);
                self.participants = all.map(|p| (p.id.clone(), p.clone())).collect();
                let is_first = self.joined.replace(joined.clone()).is_none();
                if is_first && self.is_player() {
                    self.offer_to_receive();
                }
                if matches!(kind, Told::Resumed(_)) {
                    self.announce_unanswered();
                    let publisher = self.publisher.as_ref();
                    let is_pending = publisher.is_some_and(|own| own.pending.is_some());
                    let newest = self.offers;
                    let lost = self.lost_offer.take();
                    if let Some(offer) = lost.filter(|lost| is_pending && lost.id == newest) {
                        self.offered_again = offer.id;
                        self.request(Kind::Description(offer));
                    }
                }
            }
            Told::Participants(update) => {
                for participant in &update.participants {
                    if participant.state() == ParticipantState::Disconnected {
                        self.participants.remove(&participant.id);
                    } else {
                        self.participants
                            .insert(participant.id.clone(), participant.clone());
                    }
                }
            }
            Told::Description(description) => self.on_description(clock, description),
            Told::TrackPublished(published) => {
                let track = published.track.as_ref().map(|track| track.id.clone());
                self.on_published(&published.cid, track);
            }
            Told::SubscribedQuality(quality) => self.on_demand(quality),
            Told::PermissionChanged(changed) => {
                self.note_wish(clock.now, &changed.track_id, Change::Allow(changed.allowed));
            }
            Told::StreamStates(states) => {
                for state in &states.states {
                    self.note_wish(clock.now, &state.track_id, Change::Pause(state.paused));
                }
            }
            Told::Closed(closed) => self.closed = Some(closed.clone()),
            _ => {}
        }
        for track in self
            .participants
            .values()
            .flat_map(|participant| &participant.tracks)
        {
            self.wishes.on_track(clock.now, &track.id, &track.name);
        }
        self.told.push((clock.now, kind));
    }

    fn on_description(&mut self, clock: &Clock, description: &Description) {
        match (description.role(), description.is_offer) {
            (TransportRole::Subscribe, true) => self.on_offer(clock, description),
            (TransportRole::Publish, false) => self.on_answer(clock, description),
            (TransportRole::Subscribe, false) if self.is_player() => {
                self.on_receiving_answer(clock, description);
            }
            (role, is_offer) => {
                self.violations
                    .push(format!("a description of {role:?}, offer: {is_offer}"));
            }
        }
    }

    /// Whether it only subscribes, on sections of its own.
    pub(super) fn is_player(&self) -> bool {
        self.options.join.shape() == SessionShape::SubscribeOnly
    }

    /// Offers one section for a picture.
    fn offer_to_receive(&mut self) {
        let mut api = self.subscriber.engine().sdp_api();
        api.add_media(MediaKind::Video, Direction::RecvOnly, None, None, None);
        let Some((offer, pending)) = api.apply() else {
            return;
        };
        self.subscriber.pending = Some(pending);
        self.request(Kind::Description(Description {
            role: TransportRole::Subscribe.into(),
            is_offer: true,
            sdp: offer.to_sdp_string(),
            id: 1,
            track_by_mid: BTreeMap::new(),
        }));
    }

    fn on_receiving_answer(&mut self, clock: &Clock, answer: &Description) {
        let Some(pending) = self.subscriber.pending.take() else {
            return self.violations.push("an answer to no offer".into());
        };
        let taken = SdpAnswer::from_sdp_string(&answer.sdp)
            .map_err(|error| error.to_string())
            .and_then(|parsed| {
                let api = self.subscriber.engine().sdp_api();
                api.accept_answer(pending, parsed)
                    .map_err(|error| error.to_string())
            });
        self.subscriber.nudge(clock.instant());
        if let Err(error) = taken {
            self.violations.push(format!("answer to a player: {error}"));
        }
    }

    fn on_offer(&mut self, clock: &Clock, offer: &Description) {
        let is_old = std::mem::take(&mut self.just_resumed);
        for (mid, track) in &offer.track_by_mid {
            if !is_old && !self.wishes.is_known(track) {
                self.violations
                    .push(format!("section {mid} carries {track}, not announced"));
            }
        }
        let by_mid = offer.track_by_mid.iter();
        self.tracks_by_mid = by_mid
            .map(|(mid, track)| (Mid::from(mid.as_str()), track.clone()))
            .collect::<BTreeMap<_, _>>();
        if !self.options.answers_offers {
            return;
        }
        let answer = SdpOffer::from_sdp_string(&offer.sdp)
            .map_err(|error| error.to_string())
            .and_then(|parsed| {
                let api = self.subscriber.engine().sdp_api();
                api.accept_offer(parsed).map_err(|error| error.to_string())
            });
        self.subscriber.nudge(clock.instant());
        match answer {
            Ok(answer) => self.request(Kind::Description(Description {
                role: TransportRole::Subscribe.into(),
                is_offer: false,
                sdp: answer.to_sdp_string(),
                id: offer.id,
                track_by_mid: BTreeMap::new(),
            })),
            Err(error) => self.violations.push(format!("offer {}: {error}", offer.id)),
        }
    }

    fn on_answer(&mut self, clock: &Clock, answer: &Description) {
        let Some(publisher) = &mut self.publisher else {
            return;
        };
        let Some(pending) = publisher.pending.take() else {
            // One that was made twice may be answered twice.
            if answer.id != self.offered_again {
                self.violations.push("an answer to no offer".into());
            }
            return;
        };
        let taken = SdpAnswer::from_sdp_string(&answer.sdp)
            .map_err(|error| error.to_string())
            .and_then(|parsed| {
                let api = publisher.engine().sdp_api();
                api.accept_answer(pending, parsed)
                    .map_err(|error| error.to_string())
            });
        publisher.nudge(clock.instant());
        if let Err(error) = taken {
            self.violations
                .push(format!("answer to offer {}: {error}", answer.id));
        }
        for (mid, track) in &answer.track_by_mid {
            let mid = Mid::from(mid.as_str());
            let source = self.sources.iter().find(|source| source.mid == Some(mid));
            if source.and_then(|source| source.track_id.as_ref()) != Some(track) {
                self.violations
                    .push(format!("section {mid} was bound to {track}"));
            }
        }
        self.begin_sources(clock.now);
        self.offer_if_wanted();
    }

    /// The node says which steps of a track anybody takes, of each of its codecs.
    fn on_demand(&mut self, told: &SubscribedQuality) {
        let own = |s: &&mut Source| s.track_id.as_ref() == Some(&told.track_id);
        let mut has_backup = false;
        let mut first = None;
        for source in self.sources.iter_mut().filter(own) {
            has_backup |= source.is_backup;
            first = first.or(Some(source.id));
            let wanted = told.codecs.get(usize::from(source.is_backup));
            if let Some(wanted) = wanted {
                source.take_demand(&wanted.qualities, self.options.heeds_demand);
            }
        }
        let Some(first) = first else {
            // Of a track of its own it may not know yet, when the answer was lost.
            if self.sources.iter().all(|source| source.track_id.is_some()) {
                self.violations
                    .push(format!("demand for {}, not ours", told.track_id));
            }
            return;
        };
        let backup = told.codecs.get(1);
        let is_wanted = backup.is_some_and(|codec| codec.qualities.iter().any(|q| q.enabled));
        if is_wanted && !has_backup {
            self.add_backup(first);
            self.on_demand(told);
        }
    }

    /// Makes the publisher's offer if there is something new to say and nothing under way.
    pub(super) fn offer_if_wanted(&mut self) {
        let Some(publisher) = &mut self.publisher else {
            return;
        };
        if !self.wants_offer || publisher.pending.is_some() || self.joined.is_none() {
            return;
        }
        self.wants_offer = false;
        let mut api = publisher.engine().sdp_api();
        if self.channels[0].is_none() {
            self.channels = super::data::data_channels(&mut api).map(Some);
        }
        for source in self
            .sources
            .iter_mut()
            .filter(|source| source.track_id.is_some())
        {
            source.offer(&mut api);
        }
        let Some((offer, pending)) = api.apply() else {
            return;
        };
        publisher.pending = Some(pending);
        self.send_offer(offer.to_sdp_string());
    }

    /// Takes up the stay on a new control connection.
    pub(crate) fn resume_message(&mut self) -> node::Join {
        // A new connection begins: what was told belongs to the old one.
        self.closed = None;
        self.told.clear();
        self.just_resumed = true;
        let publisher = self.publisher.as_ref();
        if publisher.is_some_and(|publisher| publisher.pending.is_some()) {
            self.lost_offer = self.last_offer.clone();
        }
        let mut join = self.options.join.clone();
        join.resume = Some(node::Resume {
            participant_id: self.id().to_owned(),
        });
        join
    }

    fn send_offer(&mut self, sdp: String) {
        self.offers += 1;
        let offer = Description {
            role: TransportRole::Publish.into(),
            is_offer: true,
            sdp,
            id: self.offers,
            track_by_mid: BTreeMap::new(),
        };
        self.last_offer = Some(offer.clone());
        self.request(Kind::Description(offer));
    }

    /// Restarts ICE on the publisher's connection, as clients do after a resume.
    pub(crate) fn restart_publisher(&mut self) {
        let Some(publisher) = &mut self.publisher else {
            return;
        };
        if publisher.pending.is_some() {
            return;
        }
        let mut api = publisher.engine().sdp_api();
        api.ice_restart(true);
        let Some((offer, pending)) = api.apply() else {
            return;
        };
        publisher.pending = Some(pending);
        self.send_offer(offer.to_sdp_string());
    }
}
