//! Direct calls: two participants whose media goes straight between them. Owns who is paired with whom, the
//! passing on of what they negotiate (W3C webrtc, "perfect negotiation"), and when the shard takes over. Must
//! not read what they negotiate. A direct participant has no transports here; joining again gives it some.

use std::time::Instant;

use plenum_proto::{
    node::{
        self, CloseAction, DirectOver, DirectOverReason, DirectPeer, DirectSignal, Join,
        RequestReason, direct_report, direct_signal, session_event::Kind as Told,
        session_request::Kind as Asked,
    },
    v1::{CloseReason, ParticipantState, Permissions, event::Kind as RoomEvent},
};

use super::{
    Shard,
    state::{DirectCall, Participant},
};
use crate::{
    ControlId,
    key::{RoomKey, SessionKey},
    room::MemberText,
    session::Shape,
};

/// Whether a participant without transports may ask for this.
pub(super) fn may_ask(kind: &Asked) -> bool {
    matches!(
        kind,
        Asked::UpdateOwn(_) | Asked::Leave(_) | Asked::Ping(_) | Asked::Join(_)
    )
}

/// Whether nothing has to be watched over: no shard sees what two participants send each other.
fn is_unrestricted(permissions: &Permissions) -> bool {
    permissions.can_publish
        && permissions.can_subscribe
        && permissions.can_publish_data
        && permissions.can_publish_sources.is_empty()
        && !permissions.hidden
        && !permissions.recorder
}

/// Bytes of the longest text in it; `None` when it says nothing.
fn size(signal: &DirectSignal) -> Option<usize> {
    Some(match signal.kind.as_ref()? {
        direct_signal::Kind::Offer(sdp) | direct_signal::Kind::Answer(sdp) => sdp.len(),
        direct_signal::Kind::Candidate(candidate) => {
            let texts = [&candidate.mid, &candidate.username_fragment];
            let texts = texts.into_iter().flatten().chain([&candidate.candidate]);
            texts.map(String::len).max().unwrap_or(0)
        }
        direct_signal::Kind::Restart(_) => 0,
    })
}

impl Participant {
    /// The other one of its direct call.
    fn direct_peer(&self) -> Option<SessionKey> {
        match self.direct {
            Some(DirectCall::With { peer, .. }) => Some(peer),
            _ => None,
        }
    }

    /// Whether it is in a direct call, or may begin one.
    fn is_direct_open(&self) -> bool {
        matches!(
            self.direct,
            Some(DirectCall::Alone | DirectCall::With { .. })
        )
    }
}

impl Shard {
    /// Whether a participant of this shard has no transports for being direct.
    pub(super) fn is_direct_here(&self, session: SessionKey) -> bool {
        let found = self.participants.get(session);
        found.is_some_and(|participant| participant.direct.is_some())
    }

    /// Brings the direct participants of a room in step with who is in it: pairs two, or ends what they
    /// had. To be called after every change of its members or their rights.
    pub(super) fn settle_direct(&mut self, now: Instant, room: RoomKey) {
        let Some(members) = self.rooms.get(room).map(|room| room.members.clone()) else {
            return;
        };
        let present: Vec<(SessionKey, &Participant)> = members
            .iter()
            .filter_map(|key| Some((*key, self.participants.get(*key)?)))
            .collect();
        if !present.iter().any(|(_, p)| p.is_direct_open()) {
            return;
        }
        let may_be_watched = |(_, p): &(_, &Participant)| !is_unrestricted(&p.member.permissions);
        let is_forwarded = |(_, p): &(_, &Participant)| !p.doubles.is_empty();
        let is_for_two = present.len() <= 2 && !present.iter().any(is_forwarded);
        let reason = if !is_for_two || !present.iter().all(|(_, p)| p.is_direct_open()) {
            Some(DirectOverReason::DirectOverOthers)
        } else if present.iter().any(may_be_watched) {
            Some(DirectOverReason::DirectOverRights)
        } else {
            None
        };
        match (reason, members.as_slice()) {
            (Some(reason), _) => self.end_direct(now, room, reason),
            (None, [one, other]) => {
                // Who was here first makes the first offer.
                self.pair(now, *one, *other, false);
                self.pair(now, *other, *one, true);
            }
            (None, [one]) => self.unpair(*one),
            (None, _) => {}
        }
    }

    fn pair(&mut self, now: Instant, session: SessionKey, peer: SessionKey, polite: bool) {
        let Some(participant) = self.participants.get_mut(session) else {
            return;
        };
        if participant.direct_peer() == Some(peer) {
            return;
        }
        participant.direct = Some(DirectCall::With {
            peer,
            since: now,
            is_connected: false,
        });
        self.tell_direct_peer(session, Some(peer), polite);
    }

    fn unpair(&mut self, session: SessionKey) {
        let Some(participant) = self.participants.get_mut(session) else {
            return;
        };
        if participant.direct_peer().is_none() {
            return;
        }
        participant.direct = Some(DirectCall::Alone);
        self.tell_direct_peer(session, None, false);
    }

    fn tell_direct_peer(&mut self, session: SessionKey, peer: Option<SessionKey>, polite: bool) {
        let participant = peer.and_then(|peer| self.participant_info(peer));
        let told = DirectPeer {
            participant,
            polite,
        };
        self.tell(session, Told::DirectPeer(told));
    }

    /// A participant is back on a new control connection: what it may have missed.
    pub(super) fn tell_direct_again(&mut self, session: SessionKey) {
        let Some(participant) = self.participants.get(session) else {
            return;
        };
        match participant.direct {
            Some(DirectCall::With { peer, .. }) => {
                let room = self.rooms.get(participant.room);
                let first = room.and_then(|room| room.members.first().copied());
                self.tell_direct_peer(session, Some(peer), first != Some(session));
            }
            Some(DirectCall::Over { .. }) => {
                let reason = DirectOverReason::DirectOverUnknown;
                self.tell_direct_over(session, reason);
            }
            Some(DirectCall::Alone) => self.tell_direct_peer(session, None, false),
            None => {}
        }
    }

    /// Passes on what one of the two negotiates; for nobody when the other has just gone.
    pub(super) fn pass_direct(&mut self, session: SessionKey, signal: DirectSignal) {
        let cap = self.config.limits.direct_signal_bytes;
        match size(&signal) {
            None => {}
            Some(size) if size > cap => {
                let message = format!("limit of direct_signal_bytes is {cap}");
                self.refuse(session, 0, RequestReason::Limit, &message);
            }
            Some(_) => {
                let found = self.participants.get(session);
                if let Some(peer) = found.and_then(Participant::direct_peer) {
                    self.tell(peer, Told::DirectSignal(signal));
                }
            }
        }
    }

    pub(super) fn on_direct_report(
        &mut self,
        now: Instant,
        session: SessionKey,
        report: &node::DirectReport,
    ) {
        let Some(participant) = self.participants.get_mut(session) else {
            return;
        };
        let room = participant.room;
        match (&report.kind, &mut participant.direct) {
            (
                Some(direct_report::Kind::Connected(_)),
                Some(DirectCall::With { is_connected, .. }),
            ) => {
                *is_connected = true;
                if participant.member.state != ParticipantState::Active {
                    participant.member.state = ParticipantState::Active;
                    self.announce_participant(session);
                    self.publish_participant_event(now, session, RoomEvent::ParticipantUpdated);
                }
            }
            (Some(direct_report::Kind::Failed(_)), Some(_)) => {
                self.end_direct(now, room, DirectOverReason::DirectOverFailed);
            }
            (Some(direct_report::Kind::Unwanted(_)), Some(_)) => {
                self.end_direct(now, room, DirectOverReason::DirectOverWish);
            }
            _ => {}
        }
    }

    /// Ends the direct calls that did not come about in time.
    pub(super) fn expire_direct(&mut self, now: Instant, sessions: &[SessionKey]) {
        let limit = self.config.direct_timeout;
        let late: Vec<RoomKey> = sessions
            .iter()
            .filter_map(|session| self.participants.get(*session))
            .filter_map(|participant| match participant.direct {
                Some(DirectCall::With {
                    since,
                    is_connected: false,
                    ..
                }) if now.saturating_duration_since(since) > limit => Some(participant.room),
                _ => None,
            })
            .collect();
        for room in late {
            self.end_direct(now, room, DirectOverReason::DirectOverLate);
        }
    }

    /// Tells all direct participants of a room to join again.
    fn end_direct(&mut self, now: Instant, room: RoomKey, reason: DirectOverReason) {
        let members = self.rooms.get(room).map(|room| room.members.clone());
        for session in members.unwrap_or_default() {
            let Some(participant) = self.participants.get_mut(session) else {
                continue;
            };
            if participant.is_direct_open() {
                participant.direct = Some(DirectCall::Over { since: now });
                self.tell_direct_over(session, reason);
            }
        }
    }

    fn tell_direct_over(&mut self, session: SessionKey, reason: DirectOverReason) {
        let reason = reason.into();
        self.tell(session, Told::DirectOver(DirectOver { reason }));
    }

    /// A direct participant joins again, to send its media here: the stay goes on under the same id, and
    /// nobody sees it leave.
    pub(super) fn promote_direct(
        &mut self,
        now: Instant,
        session: SessionKey,
        control: ControlId,
        text: MemberText,
        join: Join,
    ) {
        let client = join.client.unwrap_or_default();
        let fresh = self.new_session(now, &client, Shape::TwoWay);
        let Some(participant) = self.participants.get_mut(session) else {
            return;
        };
        participant.direct = None;
        participant.session = fresh;
        let room = participant.room;
        let member = &mut participant.member;
        member.is_direct = false;
        member.state = ParticipantState::Joined;
        member.joined = now;
        (member.text, member.kind, member.client) = (text, join.kind, client);
        member.permissions = join.permissions.unwrap_or_default();
        member.auto_subscribe = join.auto_subscribe;
        member.adaptive_stream = join.adaptive_stream;
        (member.lost_since, member.silent_since) = (None, None);
        let before = member.control.replace(control);
        self.controls.insert(control, session);
        if let Some(before) = before {
            self.controls.remove(&before);
            let closed = node::Closed {
                reason: CloseReason::Migration.into(),
                action: CloseAction::Disconnect.into(),
                message: "the participant has joined again".into(),
                ..node::Closed::default()
            };
            self.tell_control(before, Told::Closed(closed));
        }
        self.register_usernames(session);
        self.stats.joins += 1;
        if let Some(joined) = self.joined_message(session) {
            self.tell(session, Told::Joined(joined));
        }
        self.announce_participant(session);
        self.publish_participant_event(now, session, RoomEvent::ParticipantUpdated);
        self.connect_media(now, session);
        self.settle_direct(now, room);
    }
}
