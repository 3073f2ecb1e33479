//! Offers on subscribe transports: when they are made, and to whom first. An offer to somebody who sees many costs
//! milliseconds, and what happens in a large room concerns everybody in it, so that few are made in one call. Must
//! not know what is in them.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use plenum_proto::node::{self, TransportRole, session_event::Kind as Told};

use super::Shard;
use crate::{key::SessionKey, session::Offer};

/// How long a section may wait to be given back.
const VACANCY: Duration = Duration::from_millis(500);

/// Sections in offers that give some back, in one tick: an offer takes about a tenth of a millisecond for each.
const VACATED_SECTIONS: usize = 128;

/// Sections in offers of something new, in one call.
const OWED_SECTIONS: usize = 32;

/// Who is to be made an offer, in order, each at most once.
#[derive(Debug, Default)]
pub(super) struct OwedOffers {
    sessions: VecDeque<SessionKey>,
    since: Option<Instant>,
}

impl OwedOffers {
    fn push(&mut self, now: Instant, session: SessionKey) {
        self.sessions.push_back(session);
        self.since.get_or_insert(now);
    }

    fn pop(&mut self, now: Instant) -> Option<SessionKey> {
        let session = self.sessions.pop_front();
        self.since = (!self.sessions.is_empty()).then_some(now);
        session
    }

    /// Since when somebody waits.
    pub(super) fn since(&self) -> Option<Instant> {
        self.since
    }
}

impl Shard {
    /// Makes an offer on the subscribe transport if one is due.
    pub(super) fn offer(&mut self, session: SessionKey) {
        let Some(participant) = self.participants.get_mut(session) else {
            return;
        };
        if let Some(offer) = participant.session.make_offer() {
            self.send_offer(session, offer);
        }
    }

    /// A section of a subscriber is of no use any more: it is given back with the next offer, or by one of its own when
    /// nothing else is to be offered for a while. Who leaves often comes back, and one offer is then enough for both.
    pub(super) fn offer_soon(&mut self, now: Instant, session: SessionKey) {
        self.vacated.entry(session).or_insert(now + VACANCY);
    }

    /// Gives sections back whose time has come, of a few sessions at a time: many come when a node is lost, and media
    /// must not wait for all of them.
    pub(super) fn offer_vacated(&mut self, now: Instant) {
        let is_due = |(_, at): &(&SessionKey, &Instant)| **at <= now;
        let due: Vec<_> = self
            .vacated
            .iter()
            .filter(is_due)
            .map(|(key, _)| *key)
            .collect();
        let mut sections = 0;
        for session in due {
            if sections >= VACATED_SECTIONS {
                break;
            }
            let participant = self.participants.get(session);
            sections += participant.map_or(0, |p| p.session.egress.sections());
            self.vacated.remove(&session);
            self.offer(session);
        }
    }

    /// Something new is to be offered, to many at once: to each in its turn.
    pub(super) fn owe_offer(&mut self, now: Instant, session: SessionKey) {
        let Some(participant) = self.participants.get_mut(session) else {
            return;
        };
        let is_changed = participant.session.egress.is_changed();
        if is_changed && !std::mem::replace(&mut participant.is_owed, true) {
            self.owed.push(now, session);
        }
    }

    /// Makes the offers that are owed the longest, of a few sections in all: the rest is for the next call, which is
    /// wanted at once but for media that came meanwhile.
    pub(super) fn make_owed_offers(&mut self, now: Instant) {
        let mut sections = 0;
        while sections < OWED_SECTIONS
            && let Some(session) = self.owed.pop(now)
        {
            let Some(participant) = self.participants.get_mut(session) else {
                continue;
            };
            participant.is_owed = false;
            sections += participant.session.egress.sections();
            self.offer(session);
        }
    }

    pub(super) fn send_offer(&mut self, session: SessionKey, offer: Offer) {
        self.register_usernames(session);
        let description = node::Description {
            role: TransportRole::Subscribe.into(),
            is_offer: true,
            sdp: offer.sdp,
            id: offer.id,
            track_by_mid: offer.tracks.into_iter().collect(),
        };
        self.tell(session, Told::Description(description));
        self.touch(session);
    }
}
