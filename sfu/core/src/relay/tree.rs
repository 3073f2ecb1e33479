//! How a track gets to many shards: who sends it on to whom. A pure function of who takes it, so that it is
//! the same whenever it is asked, and a shard that comes or goes moves as few others as can be.

use crate::{LinkKey, track::LayerSet};

/// A shard that takes a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Taker {
    pub(crate) link: LinkKey,
    pub(crate) taken: LayerSet,
}

/// One step of a track's way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Branch {
    /// Absent: the shard on which the track is published.
    pub(crate) from: Option<LinkKey>,
    pub(crate) to: LinkKey,
    /// What `to` takes, and what it sends on.
    pub(crate) taken: LayerSet,
}

/// The way of a track, published on a shard of `node`, to all who take it, in the order in which they came.
/// It comes to a node once, to the first shard there that takes it; that one hands it to the others of its
/// node, and to the shards of at most `copies` other nodes (0 = to all from the publisher's).
pub(crate) fn plan(node: u64, takers: &[Taker], copies: usize) -> Vec<Branch> {
    let (own, others): (Vec<Taker>, Vec<Taker>) =
        takers.iter().partition(|taker| taker.link.node() == node);
    let mut nodes: Vec<Vec<Taker>> = Vec::new();
    for taker in others {
        let known = nodes
            .iter_mut()
            .find(|known| known[0].link.node() == taker.link.node());
        match known {
            Some(known) => known.push(taker),
            None => nodes.push(vec![taker]),
        }
    }
    // The nodes fill the places of a tree row by row.
    let parent = |place: usize| (copies > 0 && place >= copies).then(|| place / copies - 1);
    let mut needs: Vec<LayerSet> = nodes.iter().map(|takers| taken_by(takers)).collect();
    for place in (0..nodes.len()).rev() {
        if let Some(above) = parent(place) {
            needs[above] = needs[above].union(needs[place]);
        }
    }
    let mut branches: Vec<Branch> = own
        .into_iter()
        .map(|Taker { link, taken }| Branch {
            from: None,
            to: link,
            taken,
        })
        .collect();
    for (place, takers) in nodes.iter().enumerate() {
        let gate = takers[0].link;
        branches.push(Branch {
            from: parent(place).map(|above| nodes[above][0].link),
            to: gate,
            taken: needs[place],
        });
        branches.extend(takers[1..].iter().map(|taker| Branch {
            from: Some(gate),
            to: taker.link,
            taken: taker.taken,
        }));
    }
    branches
}

/// What any of them takes.
pub(crate) fn taken_by(takers: &[Taker]) -> LayerSet {
    let none = LayerSet::NONE;
    takers
        .iter()
        .fold(none, |all, taker| all.union(taker.taken))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// By node and worker.
    fn taker(node: u64, worker: u8, encodings: u8) -> Taker {
        let link = LinkKey::new(node, worker);
        let taken = LayerSet::whole(encodings);
        Taker { link, taken }
    }

    /// Node and worker.
    type Place = (u64, u8);

    /// From, to, encodings.
    fn planned(takers: &[Taker], copies: usize) -> Vec<(Option<Place>, Place, u8)> {
        let name = |link: LinkKey| (link.node(), link.worker());
        let branches = plan(0, takers, copies).into_iter();
        branches
            .map(|branch| {
                let taken = branch.taken.encodings();
                (branch.from.map(name), name(branch.to), taken)
            })
            .collect()
    }

    #[test]
    fn a_node_gets_a_track_once_and_hands_it_on() {
        let takers = [
            taker(1, 0, 1),
            taker(0, 1, 2),
            taker(1, 1, 4),
            taker(2, 0, 1),
        ];
        assert_eq!(
            planned(&takers, 0),
            [
                (None, (0, 1), 2),
                (None, (1, 0), 5),
                (Some((1, 0)), (1, 1), 4),
                (None, (2, 0), 1),
            ]
        );
        assert_eq!(planned(&[], 2), []);
    }

    #[test]
    fn past_its_copies_a_node_lets_others_send_on() {
        let takers: Vec<_> = (1..=7).map(|node| taker(node, 0, 1)).collect();
        let from = |copies| -> Vec<Option<u64>> {
            let branches = planned(&takers, copies).into_iter();
            branches
                .map(|(from, ..)| from.map(|(node, _)| node))
                .collect()
        };
        assert_eq!(
            from(2),
            [None, None, Some(1), Some(1), Some(2), Some(2), Some(3)]
        );
        assert_eq!(
            from(1),
            [None, Some(1), Some(2), Some(3), Some(4), Some(5), Some(6)]
        );
        assert_eq!(from(7), [None; 7]);
    }

    #[test]
    fn who_sends_on_gets_what_is_taken_behind_it() {
        let takers = [taker(1, 0, 1), taker(2, 0, 2), taker(3, 0, 4)];
        let needs: Vec<u8> = planned(&takers, 1).into_iter().map(|(_, _, n)| n).collect();
        assert_eq!(needs, [7, 6, 4]);
    }

    proptest! {
        #[test]
        fn everybody_is_reached_once_by_few_copies(
            takers in prop::collection::btree_map((0_u64..12, 0_u8..3), 1_u8..8, 0..30),
            copies in 1_usize..4,
        ) {
            let takers: Vec<Taker> =
                takers.into_iter().map(|((n, w), e)| taker(n, w, e)).collect();
            let branches = plan(0, &takers, copies);
            prop_assert_eq!(branches.len(), takers.len());
            let mut reached = vec![None];
            for branch in &branches {
                prop_assert!(!reached.contains(&Some(branch.to)), "twice");
                prop_assert!(reached.contains(&branch.from), "in the order of the way");
                reached.push(Some(branch.to));
                let taker = takers.iter().find(|t| t.link == branch.to);
                let taken = taker.map_or(LayerSet::NONE, |t| t.taken);
                prop_assert_eq!(branch.taken.union(taken), branch.taken);
                let node = branch.from.map_or(0, LinkKey::node);
                let crossing = branches.iter().filter(|other| {
                    other.from == branch.from && other.to.node() != node
                });
                prop_assert!(crossing.count() <= copies);
            }
        }
    }
}
