//! Sharing a participant's bandwidth among its subscriptions. Must not decide; the allocator does.

use std::time::Instant;

use plenum_proto::{
    node::{self, session_event::Kind as Told},
    v1::TrackSource,
};

use super::Shard;
use crate::{
    allocator::{self, Demand, Kind, Previous},
    key::{SessionKey, SubscriptionKey},
    track::Layer,
};

impl Shard {
    /// Shares a participant's bandwidth among its subscriptions, where it is limited.
    pub(super) fn allocate(&mut self, now: Instant, session: SessionKey) {
        let Some(participant) = self.participants.get(session) else {
            return;
        };
        let budget = participant.budget(now);
        let keys = participant.subscriptions.clone();
        let demands: Vec<Demand<SubscriptionKey>> = keys
            .iter()
            .filter_map(|key| self.demand_of(now, *key))
            .collect();
        let mut states = Vec::new();
        for grant in allocator::allocate(budget, &demands) {
            let Some(subscription) = self.subscriptions.get_mut(grant.key) else {
                continue;
            };
            subscription.wish.cap = match budget {
                Some(_) => grant.layer.map(|layer| layer.encoding),
                None => None,
            };
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
            self.retarget(now, grant.key);
        }
        if !states.is_empty() {
            self.tell(session, Told::StreamStates(node::StreamStates { states }));
        }
    }

    /// What a subscription asks of the link; one that asks for nothing makes no demand.
    fn demand_of(&self, now: Instant, key: SubscriptionKey) -> Option<Demand<SubscriptionKey>> {
        let subscription = self.subscriptions.get(key)?;
        let track = self.tracks.get(subscription.track)?;
        let kind = match (track.is_video(), track.info.source()) {
            (false, _) => Kind::Audio,
            (true, TrackSource::ScreenShare) => Kind::Screen,
            (true, _) => Kind::Camera,
        };
        let ladder = track
            .views(now)
            .into_iter()
            .filter(|view| view.bitrate > 0)
            .map(|view| (Layer::whole(view.index), view.bitrate))
            .collect();
        let room = self
            .participants
            .get(track.owner)
            .and_then(|p| self.rooms.get(p.room));
        let speaks =
            room.is_some_and(|room| room.speaking.iter().any(|(who, _)| *who == track.owner));
        let previous = match (subscription.is_paused, subscription.wish.cap) {
            (true, _) => Previous::Paused,
            (false, Some(cap)) => Previous::Granted(Layer::whole(cap)),
            (false, None) => Previous::New,
        };
        Some(Demand {
            key,
            kind,
            priority: subscription.priority,
            is_pinned: speaks,
            wanted: subscription.wanted?,
            ladder,
            previous,
        })
    }
}
