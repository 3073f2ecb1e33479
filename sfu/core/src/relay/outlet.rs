//! Over which links a shard sends a track. What a link is not to get any more fades: it goes on for a moment,
//! where another shard takes over. Plain data; must not decide who gets what.

use std::time::{Duration, Instant};

use crate::{LinkKey, track::LayerSet};

/// How long a link still gets what another shard is about to send: longer than it takes to tell that one.
const FADE: Duration = Duration::from_millis(500);

/// Links over which a track goes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Outlets(Vec<Outlet>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Outlet {
    link: LinkKey,
    taken: LayerSet,
    /// What ends, and when.
    fading: Option<(LayerSet, Instant)>,
    /// By encoding.
    pictures: [Picture; LayerSet::ENCODINGS],
}

/// The newest picture of an encoding that went over a link. All of a picture goes in the layers that it began with: its
/// packets may come to the other end in any order, and the choice there is made with the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Picture {
    timestamp: Option<u32>,
    /// The highest spatial and temporal layer of it.
    limit: (u8, u8),
    /// The first that these held for, and what held before: its packets may still come.
    since: u32,
    before: (u8, u8),
}

impl Picture {
    /// The highest layers that a packet of a picture goes in, where these are taken now.
    fn limit(&mut self, timestamp: u32, taken: (u8, u8)) -> (u8, u8) {
        let is_ahead_of = |other: u32| timestamp.wrapping_sub(other).cast_signed() > 0;
        if self.timestamp.is_none_or(is_ahead_of) {
            if self.timestamp.is_none() || self.limit != taken {
                self.before = self.timestamp.map_or(taken, |_| self.limit);
                (self.since, self.limit) = (timestamp, taken);
            }
            self.timestamp = Some(timestamp);
        }
        if timestamp == self.since || is_ahead_of(self.since) {
            self.limit
        } else {
            self.before
        }
    }
}

impl Outlets {
    /// Whether any link gets an encoding.
    pub(crate) fn are_for(&self, encoding: u8) -> bool {
        let mut outlets = self.0.iter();
        outlets.any(|outlet| outlet.sent().limit(encoding).is_some())
    }

    /// The links that get a packet of an encoding, each with the highest spatial and temporal layer that it gets of
    /// the picture with this timestamp.
    pub(crate) fn takers(
        &mut self,
        encoding: u8,
        timestamp: u32,
    ) -> impl Iterator<Item = (LinkKey, (u8, u8))> {
        let outlets = self.0.iter_mut();
        outlets.filter_map(move |outlet| {
            let taken = outlet.sent().limit(encoding)?;
            let picture = outlet.pictures.get_mut(usize::from(encoding))?;
            Some((outlet.link, picture.limit(timestamp, taken)))
        })
    }

    /// From now on these links get this. Of what a link got before, `fades` says what ends a
    /// moment later.
    pub(crate) fn set(
        &mut self,
        now: Instant,
        wanted: &[(LinkKey, LayerSet)],
        fades: impl Fn(LinkKey) -> LayerSet,
    ) {
        for (link, _) in wanted {
            if !self.0.iter().any(|outlet| outlet.link == *link) {
                self.0.push(Outlet {
                    link: *link,
                    taken: LayerSet::NONE,
                    fading: None,
                    pictures: Default::default(),
                });
            }
        }
        for outlet in &mut self.0 {
            let wanted = wanted.iter().find(|(link, _)| *link == outlet.link);
            let taken = wanted.map_or(LayerSet::NONE, |(_, taken)| *taken);
            let ends = outlet.taken.intersection(fades(outlet.link));
            if taken.union(ends) != taken {
                outlet.fading = Some((ends, now + FADE));
            }
            outlet.taken = taken;
        }
        self.0.retain(|outlet| !outlet.sent().is_empty());
    }

    /// A link is gone; whether anything went over it.
    pub(crate) fn remove(&mut self, link: LinkKey) -> bool {
        let before = self.0.len();
        self.0.retain(|outlet| outlet.link != link);
        self.0.len() < before
    }

    /// Ends what has faded; whether something still fades.
    pub(crate) fn fade(&mut self, now: Instant) -> bool {
        for outlet in &mut self.0 {
            outlet.fading = outlet.fading.filter(|(_, until)| now < *until);
        }
        self.0.retain(|outlet| !outlet.sent().is_empty());
        self.0.iter().any(|outlet| outlet.fading.is_some())
    }
}

impl Outlet {
    fn sent(&self) -> LayerSet {
        let fading = self.fading.map_or(LayerSet::NONE, |(ends, _)| ends);
        self.taken.union(fading)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ends_fades_only_where_another_takes_over() {
        let (a, b) = (LinkKey(1), LinkKey(2));
        let whole = LayerSet::whole;
        let mut now = Instant::now();
        let mut outlets = Outlets::default();
        let takers = |outlets: &Outlets, encoding| {
            let mut outlets = outlets.clone();
            let takers = outlets.takers(encoding, 0);
            takers.map(|(link, _)| link).collect::<Vec<_>>()
        };
        outlets.set(now, &[(a, whole(0b101)), (b, whole(0b001))], |_| whole(0));
        assert_eq!(takers(&outlets, 0), [a, b]);
        assert_eq!(takers(&outlets, 2), [a]);
        assert_eq!(takers(&outlets, 9), []);
        // b ends at once; of a, the larger encoding fades.
        outlets.set(now, &[(a, whole(0b001))], |link| {
            whole(if link == a { 0b100 } else { 0 })
        });
        assert_eq!(takers(&outlets, 0), [a]);
        assert_eq!(takers(&outlets, 2), [a]);
        assert!(outlets.fade(now + FADE / 2));
        now += FADE;
        assert!(!outlets.fade(now));
        assert_eq!(takers(&outlets, 2), []);
        // A link that is gone gets nothing, whatever fades.
        outlets.set(now, &[], |_| whole(0xff));
        assert_eq!(takers(&outlets, 0), [a]);
        assert!(outlets.remove(a) && !outlets.remove(b));
        assert_eq!(outlets, Outlets::default());
    }

    #[test]
    fn layers_end_at_once_where_they_are_not_taken_any_more() {
        let a = LinkKey(1);
        let now = Instant::now();
        let mut outlets = Outlets::default();
        let limit = |outlets: &Outlets| {
            let mut outlets = outlets.clone();
            outlets.takers(0, 0).next().map(|(_, limit)| limit)
        };
        let small = LayerSet::of_wire(1, &[0x01]);
        outlets.set(now, &[(a, LayerSet::whole(1))], |_| LayerSet::NONE);
        assert_eq!(limit(&outlets), Some((7, 7)));
        outlets.set(now, &[(a, small)], |_| small);
        assert_eq!(limit(&outlets), Some((0, 1)));
        // Handed over to another, which sends no more than that either.
        outlets.set(now, &[], |_| small);
        assert_eq!(limit(&outlets), Some((0, 1)));
        assert!(!outlets.fade(now + FADE));
        assert_eq!(limit(&outlets), None);
    }

    #[test]
    fn a_picture_ends_with_the_layers_it_began_with() {
        let now = Instant::now();
        let mut outlets = Outlets::default();
        let (small, large) = (LayerSet::of_wire(1, &[0x01]), LayerSet::of_wire(1, &[0x22]));
        let mut at = |taken: LayerSet, timestamp: u32| {
            outlets.set(now, &[(LinkKey(1), taken)], |_| LayerSet::NONE);
            outlets.takers(0, timestamp).next().unwrap().1
        };
        let first = u32::MAX - 2_999;
        assert_eq!(at(large, first), (2, 2));
        assert_eq!(at(small, first), (2, 2), "more of it");
        let [second, third, fourth] = [3_000, 6_000, 9_000].map(|ahead| first.wrapping_add(ahead));
        assert_eq!(at(small, second), (0, 1), "the next");
        assert_eq!(at(small, third), (0, 1));
        assert_eq!(at(small, first), (2, 2), "late");
        assert_eq!(at(large, third), (0, 1), "more of it");
        assert_eq!(at(large, fourth), (2, 2));
        assert_eq!(at(large, second), (0, 1), "late");
    }
}
