//! Who sends a track on to whom: the shard on which it is published plans it for all that take it, sends to
//! the first ones itself and tells some of them to send it on. The plan is `relay/tree.rs`; must not look at
//! packets.

use std::{collections::BTreeMap, time::Instant};

use plenum_proto::relay::{Feed, Outlet, control::Kind};

use super::super::Shard;
use crate::{
    LinkKey,
    key::TrackKey,
    relay::{Taker, plan, taken_by},
    track::LayerSet,
};

impl Shard {
    /// Who takes a track of this shard has changed.
    pub(super) fn plan_ways(&mut self, now: Instant, key: TrackKey) {
        let Some(track) = self.tracks.get_mut(key) else {
            return;
        };
        let exports = track.exports.iter();
        let takers: Vec<Taker> = exports
            .map(|export| Taker {
                link: export.link,
                taken: export.taken,
            })
            .collect();
        let takes = |link: LinkKey| takers.iter().any(|taker| taker.link == link);
        track.apart.retain(|(from, to)| takes(*from) && takes(*to));
        let mut own = Vec::new();
        let mut feeders: BTreeMap<LinkKey, Vec<(LinkKey, LayerSet)>> = BTreeMap::new();
        for branch in plan(self.config.node, &takers, self.config.relay_copies) {
            let is_apart = |from: &LinkKey| track.apart.contains(&(*from, branch.to));
            let outlets = match branch.from.filter(|from| !is_apart(from)) {
                None => &mut own,
                Some(feeder) => feeders.entry(feeder).or_default(),
            };
            outlets.push((branch.to, branch.taken));
        }
        // Whoever still takes something gets it by another way in a moment; so do those behind it.
        let all = taken_by(&takers);
        let before = std::mem::replace(&mut track.feeders, feeders);
        track.outlets.set(now, &own, |link| {
            if before.contains_key(&link) {
                return all;
            }
            let taker = takers.iter().find(|taker| taker.link == link);
            taker.map_or(LayerSet::NONE, |taker| taker.taken)
        });
        self.relay.fading.push(key);
        self.tell_feeders(key, &before);
    }

    /// Tells those whose part has changed.
    fn tell_feeders(
        &mut self,
        key: TrackKey,
        before: &BTreeMap<LinkKey, Vec<(LinkKey, LayerSet)>>,
    ) {
        let Some(track) = self.tracks.get(key) else {
            return;
        };
        let room = self.participants.get(track.owner).map(|owner| owner.room);
        let Some(room) = room.and_then(|room| self.rooms.get(room)) else {
            return;
        };
        let none = Vec::new();
        let ended = before
            .keys()
            .filter(|link| !track.feeders.contains_key(*link));
        for feeder in track.feeders.keys().chain(ended) {
            let outlets = track.feeders.get(feeder).unwrap_or(&none);
            if before.get(feeder) == Some(outlets) || !room.span.links.contains(feeder) {
                continue;
            }
            let outlets = outlets.iter().map(|(link, taken)| Outlet {
                link: link.0,
                encodings: taken.encodings().into(),
                layers: taken.wire_layers(),
            });
            let feed = Feed {
                track: key.number(),
                outlets: outlets.collect(),
            };
            self.relay.send(*feeder, room.id.as_str(), Kind::Feed(feed));
        }
    }

    /// The shard on which a track is published says to whom it is to go from here.
    pub(super) fn on_feed(&mut self, now: Instant, link: LinkKey, feed: &Feed) {
        let Some(key) = self.relay.import(link, feed.track) else {
            return;
        };
        let Some(track) = self.tracks.get_mut(key) else {
            return;
        };
        let owner = self.participants.get(track.owner);
        let Some((room, span)) = owner.and_then(|o| Some((o.room, &self.rooms.get(o.room)?.span)))
        else {
            return;
        };
        let is_lost = |to: LinkKey| span.lost.iter().any(|lost| lost.link == to);
        let outlets = feed.outlets.iter();
        let (lost, wanted): (Vec<_>, Vec<(LinkKey, LayerSet)>) = outlets
            .map(|outlet| {
                let taken = LayerSet::of_wire(outlet.encodings, &outlet.layers);
                (LinkKey(outlet.link), taken)
            })
            .filter(|(to, _)| *to != link)
            .partition(|(to, _)| is_lost(*to));
        // Another shard takes over what ends here.
        track
            .outlets
            .set(now, &wanted, |_| LayerSet::whole(u8::MAX));
        self.relay.fading.push(key);
        for (to, _) in lost {
            self.refuse_to_feed(room, link, to);
        }
    }

    /// Ends what has faded.
    pub(super) fn fade_outlets(&mut self, now: Instant) {
        let mut fading = std::mem::take(&mut self.relay.fading);
        fading.sort_unstable();
        fading.dedup();
        fading.retain(|key| {
            let track = self.tracks.get_mut(*key);
            track.is_some_and(|track| track.outlets.fade(now))
        });
        self.relay.fading = fading;
    }
}
