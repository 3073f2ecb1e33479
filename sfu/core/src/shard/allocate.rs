//! Sharing a participant's bandwidth among its subscriptions. Must not decide; the allocator does.

use std::{
    slice,
    time::{Duration, Instant},
};

use plenum_proto::node::{self, session_event::Kind as Told};

use super::{
    Shard,
    ladders::{kind_of, ladder},
    state::Want,
};
use crate::{
    allocator::{self, Demand, Grant, Kind, Previous, Standing},
    key::{SessionKey, SubscriptionKey},
    subscription::Limit,
};

impl Shard {
    /// Shares a participant's bandwidth among its subscriptions, where it is limited.
    pub(super) fn allocate(&mut self, now: Instant, session: SessionKey) {
        let Some(participant) = self.participants.get(session) else {
            return;
        };
        let budget = participant.budget(now);
        let is_capped = budget.is_some() && budget == participant.bandwidth_cap;
        let keys = participant.subscriptions.clone();
        let demands: Vec<Demand<SubscriptionKey>> = keys
            .iter()
            .filter_map(|key| self.demand_of(now, *key))
            .collect();
        let wanted = demands.iter().map(Demand::rate).sum();
        self.note_allocation(now, session, budget, wanted);
        let grants = allocator::allocate(budget, &demands);
        // What the client does not allow says nothing of its link.
        let shortfall = match is_capped {
            true => 0.0,
            false => allocator::shortfall(&demands, &grants),
        };
        self.note_shortfall(now, session, shortfall);
        let (mut is_changed, mut states) = (false, Vec::new());
        for grant in grants {
            let Some(subscription) = self.subscriptions.get_mut(grant.key) else {
                continue;
            };
            let cap = match budget {
                Some(_) => grant.layer,
                None => None,
            };
            let is_less = grant.layer < subscription.wanted;
            subscription.limit = is_less.then(|| match is_capped {
                true => Limit::Client,
                false => limit_of(budget, &demands, &grant),
            });
            if subscription.wish.cap == cap && subscription.is_paused == grant.paused {
                continue;
            }
            subscription.wish.cap = cap;
            is_changed = true;
            if subscription.is_paused != grant.paused {
                subscription.is_paused = grant.paused;
                if let Some(track) = self.tracks.get(subscription.track) {
                    let owner = self.participants.get(track.owner);
                    states.push(node::StreamState {
                        participant_id: owner.map(|p| (&p.member.id).into()).unwrap_or_default(),
                        track_id: (&track.id).into(),
                        paused: grant.paused,
                    });
                }
            }
            if grant.paused {
                self.drop_waiting(grant.key);
            }
            self.retarget(now, grant.key);
        }
        if let Some(participant) = self.participants.get_mut(session).filter(|_| is_changed) {
            participant.wants = None;
        }
        if !states.is_empty() {
            self.tell(session, Told::StreamStates(node::StreamStates { states }));
        }
    }

    /// Shares a participant's bandwidth anew where it changed by much: less at once, for a queue grows
    /// meanwhile, and more at once as well, for somebody waits.
    pub(super) fn follow_link(&mut self, now: Instant, session: SessionKey) {
        let Some(participant) = self.participants.get(session) else {
            return;
        };
        let (Some(budget), Some((before, _))) =
            (participant.budget(now), participant.link.allocated)
        else {
            return;
        };
        if budget * 10 < before * 9 || budget * 10 > before * 12 {
            self.allocate(now, session);
        }
    }

    /// Looks again at how a participant's bandwidth is shared; without a search where all have what they
    /// want and there is room for it. What tracks take is as it was when [`Shard::ladders`] were last cleared.
    pub(super) fn reallocate(&mut self, now: Instant, session: SessionKey) {
        let budget = self
            .participants
            .get(session)
            .and_then(|participant| participant.budget(now));
        match (budget, self.served_in_full(now, session)) {
            (Some(budget), Some(wanted)) if budget >= with_room(wanted) => {
                self.note_allocation(now, session, Some(budget), wanted);
                self.note_shortfall(now, session, 0.0);
            }
            _ => self.allocate(now, session),
        }
    }

    /// What a participant's subscriptions cost, if each has all that it wants.
    fn served_in_full(&mut self, now: Instant, session: SessionKey) -> Option<u64> {
        if self.participants.get(session)?.wants.is_none() {
            let wants = self.wants_in_full(session);
            self.participants.get_mut(session)?.wants = wants;
        }
        let mut sum = 0;
        for want in self.participants.get(session)?.wants.as_deref()? {
            let track = self.tracks.get(want.track)?;
            let steps = self.ladders.of(now, want.track, track, want.codec);
            let taken = steps.iter().filter(|(layer, _)| *layer <= want.layer);
            sum += taken.map(|(_, rate)| *rate).max().unwrap_or(0);
        }
        Some(sum)
    }

    /// What a participant's subscriptions want, if each has all of it.
    fn wants_in_full(&self, session: SessionKey) -> Option<Vec<Want>> {
        let mut wants = Vec::new();
        for key in &self.participants.get(session)?.subscriptions {
            let subscription = self.subscriptions.get(*key)?;
            let Some(layer) = subscription.wanted else {
                continue;
            };
            let cap = subscription.wish.cap;
            if subscription.is_paused || cap.is_some_and(|cap| cap < layer) {
                return None;
            }
            wants.push(Want {
                track: subscription.track,
                codec: subscription.codec,
                layer,
            });
        }
        Some(wants)
    }

    fn note_allocation(
        &mut self,
        now: Instant,
        session: SessionKey,
        budget: Option<u64>,
        wanted: u64,
    ) {
        if let Some(participant) = self.participants.get_mut(session) {
            participant.link.allocated = budget.map(|budget| (budget, now));
            let probed = budget.map_or(0, |_| with_room(wanted));
            participant.session.egress.set_wanted(probed);
            self.touch(session);
        }
    }

    /// Whether it is time to look at how a participant's bandwidth is shared: rates of encodings change.
    pub(super) fn owes_allocation(&self, now: Instant, session: SessionKey) -> bool {
        const INTERVAL: Duration = Duration::from_millis(500);
        let Some(participant) = self.participants.get(session) else {
            return false;
        };
        match (participant.budget(now), participant.link.allocated) {
            (Some(_), Some((_, at))) => now.saturating_duration_since(at) >= INTERVAL,
            // Once more when the limit is gone, to lift what it brought.
            (Some(_), None) | (None, Some(_)) => true,
            (None, None) => false,
        }
    }

    /// What waits for a subscription that is paused is not to be sent.
    fn drop_waiting(&mut self, key: SubscriptionKey) {
        if let Some(subscription) = self.subscriptions.get(key)
            && let Some(subscriber) = self.participants.get_mut(subscription.subscriber)
        {
            subscriber.session.egress.drop_waiting(subscription.slot);
        }
    }

    /// What a subscription asks of the link; one that asks for nothing makes no demand.
    pub(super) fn demand_of(
        &self,
        now: Instant,
        key: SubscriptionKey,
    ) -> Option<Demand<SubscriptionKey>> {
        let subscription = self.subscriptions.get(key)?;
        let track = self.tracks.get(subscription.track)?;
        let kind = kind_of(track);
        let ladder = ladder(track, subscription.codec, now, kind).collect();
        let room = self
            .participants
            .get(track.owner)
            .and_then(|p| self.rooms.get(p.room));
        let speaks =
            room.is_some_and(|room| room.speaking.iter().any(|(who, _)| *who == track.owner));
        let previous = match (subscription.is_paused, subscription.wish.cap) {
            (true, _) => Previous::Paused,
            (false, Some(cap)) => Previous::Granted(cap),
            (false, None) => Previous::New,
        };
        Some(Demand {
            key,
            kind,
            standing: Standing::new(subscription.priority, speaks),
            area: subscription
                .wish
                .size
                .map_or(0, |(width, height)| u64::from(width) * u64::from(height)),
            wanted: subscription.wanted?,
            ladder,
            previous,
        })
    }
}

/// Whether it is the link or the other demands that a demand got no more.
fn limit_of(
    budget: Option<u64>,
    demands: &[Demand<SubscriptionKey>],
    grant: &Grant<SubscriptionKey>,
) -> Limit {
    let sound = demands.iter().filter(|demand| demand.kind == Kind::Audio);
    let sound = sound.map(Demand::rate).sum();
    let left = budget.map(|budget| budget.saturating_sub(sound));
    let demand = demands.iter().find(|demand| demand.key == grant.key);
    let alone = demand.map(|demand| allocator::allocate(left, slice::from_ref(demand)));
    let alone = alone.iter().flatten().map(|alone| alone.layer).next();
    match Some(grant.layer) < alone {
        true => Limit::Others,
        false => Limit::Link,
    }
}

/// What is raised must leave a reserve, and packets have headers.
fn with_room(wanted: u64) -> u64 {
    wanted + wanted / 8
}
