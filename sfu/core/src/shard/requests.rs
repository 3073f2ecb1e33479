//! Requests on a control connection: sorts them, and answers what is wrong with them. Must not end a
//! session for a bad request; only a flood does that.

use std::{collections::BTreeMap, time::Instant};

use plenum_proto::{
    node::{
        self, CloseAction, RequestReason, SessionRequest, TransportRole,
        session_event::Kind as Told, session_request::Kind, simulate,
    },
    v1::{self, CloseReason, event::Kind as RoomEvent},
};

use super::{Shard, direct};
use crate::{
    Answer, Command, ControlId, Limits,
    key::SessionKey,
    room::SubscriptionRule,
    session::{Shape, ice_credentials},
};

/// What a request is told that needs the transports of one who is in a direct call.
const NO_TRANSPORTS: &str = "this participant has no transports: it is in a direct call";

impl Command {
    /// A request of a control connection, with an answer already read: that takes long, and is best done where no
    /// media waits for it.
    pub fn of_request(control: ControlId, request: SessionRequest, limits: &Limits) -> Self {
        match &request.kind {
            Some(Kind::Description(description)) if Answer::is(description) => {
                let answer = Box::new(Answer::read(description, limits));
                Self::Answer { control, answer }
            }
            _ => Self::Session { control, request },
        }
    }
}

impl Shard {
    /// Takes an answer of an open control connection that has been read already.
    pub(super) fn read_answer(&mut self, now: Instant, control: ControlId, answer: Answer) {
        match self.admit_request(now, control) {
            Some((session, true)) => {
                self.refuse(session, 0, RequestReason::Invalid, NO_TRANSPORTS);
            }
            Some((session, false)) => {
                self.take_answer(now, session, answer);
                self.touch(session);
            }
            None => {}
        }
    }

    /// Whose request it is, and whether that one is in a direct call; nothing when it is not to be looked at.
    fn admit_request(&mut self, now: Instant, control: ControlId) -> Option<(SessionKey, bool)> {
        let session = self.controls.get(&control).copied()?;
        let per_second = self.config.limits.requests_per_second;
        let participant = self.participants.get_mut(session)?;
        if !participant.member.takes_request(now, per_second) {
            let message = format!("limit of requests_per_second is {per_second}");
            let (reason, action) = (CloseReason::LimitExceeded, CloseAction::Disconnect);
            self.end(now, session, reason, action, &message);
            return None;
        }
        Some((session, participant.direct.is_some()))
    }

    /// Takes a request of an open control connection.
    pub(super) fn request(&mut self, now: Instant, control: ControlId, request: SessionRequest) {
        let Some((session, is_direct)) = self.admit_request(now, control) else {
            return;
        };
        match request.kind {
            Some(Kind::DirectSignal(signal)) => self.pass_direct(session, signal),
            Some(Kind::DirectReport(report)) => self.on_direct_report(now, session, &report),
            Some(kind) if is_direct && !direct::may_ask(&kind) => {
                self.refuse(session, 0, RequestReason::Invalid, NO_TRANSPORTS);
            }
            Some(Kind::Description(description)) => self.describe(now, session, description),
            Some(Kind::Candidate(candidate)) => self.candidate(session, &candidate),
            Some(Kind::AddTrack(add)) => self.add_track(now, session, add),
            Some(Kind::Mute(mute)) => self.mute_own(now, session, &mute),
            Some(Kind::Subscribe(subscribe)) => self.subscribe(now, session, &subscribe),
            Some(Kind::TrackSettings(settings)) => self.track_settings(now, session, &settings),
            Some(Kind::SubscriptionPermission(permission)) => {
                if let Some(participant) = self.participants.get_mut(session) {
                    participant.member.rule = SubscriptionRule::from(permission);
                }
                self.spread_member(session);
                self.reconcile_subscribers_of(now, session);
            }
            Some(Kind::SyncState(state)) => self.sync_state(now, session, state),
            Some(Kind::UpdateOwn(update)) => self.update_own(now, session, &update),
            Some(Kind::UpdateTrack(update)) => self.update_track(session, &update),
            Some(Kind::Simulate(simulate)) => self.simulate(now, session, &simulate),
            Some(Kind::Leave(leave)) => {
                let reason = match leave.reason() {
                    CloseReason::ReasonUnknown => CloseReason::ClientInitiated,
                    told => told,
                };
                self.end(now, session, reason, CloseAction::Disconnect, "");
            }
            Some(Kind::Join(_) | Kind::Ping(_)) | None => {}
        }
        self.touch(session);
    }

    /// The control connection broke: the stay waits for a resume.
    pub(super) fn control_lost(&mut self, now: Instant, control: ControlId) {
        let Some(session) = self.controls.remove(&control) else {
            return self.forget_waiting(control);
        };
        let participant = self.participants.get_mut(session);
        if let Some(participant) = participant.filter(|p| p.member.control == Some(control)) {
            participant.member.control = None;
            participant.member.lost_since = Some(now);
        }
        self.wake_session(session);
    }

    fn describe(&mut self, now: Instant, session: SessionKey, description: node::Description) {
        match (description.role(), description.is_offer) {
            (TransportRole::Publish, true) => self.take_offer(now, session, &description),
            (TransportRole::Subscribe, false) => {
                let answer = Answer::read(&description, &self.config.limits);
                self.take_answer(now, session, answer);
            }
            (TransportRole::Subscribe, true) if self.client_offers_to_subscribe(session) => {
                self.take_receiving_offer(now, session, &description);
            }
            (role, is_offer) => {
                let what = if is_offer { "an offer" } else { "an answer" };
                self.refuse(
                    session,
                    0,
                    RequestReason::Invalid,
                    &format!("{what} for {role:?}"),
                );
            }
        }
    }

    fn client_offers_to_subscribe(&self, session: SessionKey) -> bool {
        let participant = self.participants.get(session);
        participant.is_some_and(|p| p.session.shape() == Shape::SubscribeOnly)
    }

    /// The client's offer on its only transport, on which it subscribes.
    fn take_receiving_offer(
        &mut self,
        now: Instant,
        session: SessionKey,
        offer: &node::Description,
    ) {
        let limits = self.config.limits.clone();
        let fresh = ice_credentials(&self.config, &mut self.rng);
        let Some(participant) = self.participants.get_mut(session) else {
            return;
        };
        let answer = participant
            .session
            .accept_receiving_offer(now, &offer.sdp, fresh, &limits);
        let sdp = match answer {
            Ok(sdp) => sdp,
            Err(error) => return self.negotiation_failed(now, session, &error),
        };
        participant.candidates = 0;
        let answer = node::Description {
            role: TransportRole::Subscribe.into(),
            is_offer: false,
            sdp,
            id: offer.id,
            track_by_mid: BTreeMap::default(),
        };
        self.register_usernames(session);
        self.tell(session, Told::Description(answer));
        self.reconcile_subscriber(now, session);
        self.touch(session);
    }

    fn take_answer(&mut self, now: Instant, session: SessionKey, answer: Answer) {
        let Some(participant) = self.participants.get_mut(session) else {
            return;
        };
        match participant.session.accept_answer(now, answer) {
            Ok(begun) => {
                for subscription in begun {
                    self.begin_subscription(now, subscription);
                }
                self.register_usernames(session);
                self.offer(session);
            }
            Err(error) => self.negotiation_failed(now, session, &error),
        }
    }

    pub(super) fn negotiation_failed(
        &mut self,
        now: Instant,
        session: SessionKey,
        error: &crate::session::NegotiateError,
    ) {
        use crate::session::NegotiateError;
        match error {
            NegotiateError::Fault => self.fault(now, session),
            // A late answer to an offer that was replaced is no mistake of the client.
            NegotiateError::Stale | NegotiateError::NoOffer => {}
            _ => self.refuse(session, 0, RequestReason::Invalid, &error.to_string()),
        }
    }

    /// Counts a candidate of the client, which is not used: the client is found by its checks.
    fn candidate(&mut self, session: SessionKey, candidate: &node::Candidate) {
        let cap = self.config.limits.candidates;
        let Some(participant) = self.participants.get_mut(session) else {
            return;
        };
        if candidate.candidate.is_empty() {
            return;
        }
        participant.candidates += 1;
        if participant.candidates > cap {
            let message = format!("limit of candidates is {cap}");
            self.refuse(session, 0, RequestReason::Limit, &message);
        }
    }

    /// Answers a request that can't be carried out.
    pub(super) fn refuse(
        &mut self,
        session: SessionKey,
        request_id: u32,
        reason: RequestReason,
        message: &str,
    ) {
        let response = node::RequestResponse {
            request_id,
            reason: reason.into(),
            message: message.to_owned(),
            cid: String::new(),
        };
        self.tell(session, Told::RequestResponse(response));
    }

    fn update_own(&mut self, now: Instant, session: SessionKey, update: &node::UpdateOwn) {
        let limits = self.config.limits.clone();
        let Some(participant) = self.participants.get_mut(session) else {
            return;
        };
        let id = update.request_id;
        if !participant.member.permissions.can_update_metadata {
            let message = "the token does not allow to change metadata";
            return self.refuse(session, id, RequestReason::NotAllowed, message);
        }
        let text = participant.member.text.changed(
            update.name.as_deref(),
            update.metadata.as_deref(),
            &update.attributes,
        );
        if let Err(problem) = text.check(&limits) {
            let message = format!(
                "{}: limit of {} is {}",
                problem.field, problem.limit, problem.allowed
            );
            return self.refuse(session, id, RequestReason::Limit, &message);
        }
        participant.member.text = text;
        self.announce_participant(session);
        self.publish_participant_event(now, session, RoomEvent::ParticipantUpdated);
        self.refuse(session, id, RequestReason::Ok, "");
    }

    fn update_track(&mut self, session: SessionKey, update: &node::UpdateTrack) {
        let Some(key) = self.own_track(session, &update.track_id) else {
            return;
        };
        if let Some(track) = self.tracks.get_mut(key) {
            if let Some(width) = update.width {
                track.info.width = width;
            }
            if let Some(height) = update.height {
                track.info.height = height;
            }
            if update.has_audio_features {
                track.info.audio_features.clone_from(&update.audio_features);
            }
        }
        self.announce_participant(session);
    }

    /// After a resume the client says what it holds: settle what differs.
    fn sync_state(&mut self, now: Instant, session: SessionKey, state: node::SyncState) {
        if let Some(subscription) = &state.subscription
            && !(subscription.track_ids.is_empty() && subscription.participants.is_empty())
        {
            self.subscribe(now, session, subscription);
        }
        for track_id in &state.disabled_track_ids {
            let settings = node::TrackSettings {
                track_ids: vec![track_id.clone()],
                disabled: true,
                ..node::TrackSettings::default()
            };
            self.track_settings(now, session, &settings);
        }
        // What it no longer publishes is gone.
        let held: Vec<&str> = state
            .tracks
            .iter()
            .map(|track| track.track_id.as_str())
            .collect();
        let gone: Vec<_> = self
            .participants
            .get(session)
            .into_iter()
            .flat_map(|p| p.tracks.iter().copied())
            .filter(|key| {
                self.tracks
                    .get(*key)
                    .is_some_and(|t| t.is_published && !held.contains(&t.id.as_str()))
            })
            .collect();
        for track in gone {
            self.remove_track(now, track, true);
        }
    }

    fn simulate(&mut self, now: Instant, session: SessionKey, simulate: &node::Simulate) {
        let Some(participant) = self.participants.get_mut(session) else {
            return;
        };
        let end = |shard: &mut Self, reason, action| {
            shard.end(
                now,
                session,
                reason,
                action,
                "simulated at the client's wish",
            );
        };
        match simulate.kind {
            Some(simulate::Kind::SpeakerSeconds(_)) => {
                let id = participant.member.id.as_str().to_owned();
                let identity = participant.member.identity.clone();
                let speaker = v1::Speaker {
                    participant_id: id,
                    identity,
                    level: 0.8,
                    active: true,
                };
                let changed = v1::SpeakersChanged {
                    speakers: vec![speaker],
                };
                self.tell(session, Told::Speakers(changed));
            }
            Some(simulate::Kind::NodeFailure(true)) => {
                // As a node that dies: the connection ends without a word from the participant.
                end(self, CloseReason::NodeShutdown, CloseAction::Reconnect);
            }
            Some(simulate::Kind::Migration(true)) => {
                self.drop_control(now, session, CloseReason::Migration);
            }
            Some(simulate::Kind::NodeLeave(true)) => {
                end(self, CloseReason::NodeShutdown, CloseAction::Disconnect);
            }
            Some(simulate::Kind::LeaveFullReconnect(true)) => {
                end(self, CloseReason::ClientInitiated, CloseAction::Reconnect);
            }
            Some(
                simulate::Kind::DisconnectSignalOnResume(true)
                | simulate::Kind::DisconnectSignalOnResumeNoMessages(true),
            ) => participant.drop_next_resume = true,
            Some(simulate::Kind::SubscriberBandwidth(cap)) => {
                participant.bandwidth_cap = (cap > 0).then_some(cap);
                self.allocate(now, session);
            }
            // A client that wants TCP restarts ICE by itself; the candidates are there already.
            Some(simulate::Kind::CandidateProtocol(_)) => {
                self.drop_control(now, session, CloseReason::SignalClosed);
            }
            _ => {}
        }
    }

    /// Ends the control connection alone, so that the client resumes.
    fn drop_control(&mut self, now: Instant, session: SessionKey, reason: CloseReason) {
        let closed = node::Closed {
            reason: reason.into(),
            action: CloseAction::Resume.into(),
            message: "simulated at the client's wish".into(),
            ..node::Closed::default()
        };
        self.tell(session, Told::Closed(closed));
        let control = self.participants.get(session).and_then(|p| p.control());
        if let Some(control) = control {
            self.control_lost(now, control);
        }
    }
}
