//! Shares a subscriber's bandwidth among what it wants: demands and a budget in, grants out.
//!
//! A pure function of plain data. Must know layers only: no tracks, no packets, no clock.

use std::{cmp::Reverse, collections::BinaryHeap};

use crate::track::Layer;

/// What kind of media is demanded, the most important first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Always granted: it is small, and a call without it is none.
    Audio,
    /// A shared screen.
    Screen,
    /// A camera.
    Camera,
}

/// How a demand stands among those of its kind, the most important first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Standing {
    /// The subscriber pinned it; in its own order, where 1 goes first.
    Pinned(u32),
    /// It shows who speaks.
    Speaker,
    /// Neither.
    Other,
}

impl Standing {
    /// Of a subscriber's `priority`, 0 where it has given none.
    pub(crate) fn new(priority: u32, speaks: bool) -> Self {
        match (priority, speaks) {
            (0, true) => Self::Speaker,
            (0, false) => Self::Other,
            (priority, _) => Self::Pinned(priority),
        }
    }
}

/// What one subscription demands.
#[derive(Debug, Clone)]
pub(crate) struct Demand<K> {
    /// Names the subscription.
    pub key: K,
    /// What kind of media it is.
    pub kind: Kind,
    /// How it stands among those.
    pub standing: Standing,
    /// Pixels it is shown on; 0 when not told.
    pub area: u64,
    /// What it would take without a limit.
    pub wanted: Layer,
    /// The steps there are, ascending, each with its bits per second; empty when the rates are not
    /// known, which counts as free.
    pub ladder: Vec<(Layer, u64)>,
    /// What it got the last time.
    pub previous: Previous,
}

impl<K> Demand<K> {
    /// Bits per second of all it wants, as far as that is known.
    pub(crate) fn rate(&self) -> u64 {
        self.rate_up_to(self.wanted)
    }

    fn rate_up_to(&self, top: Layer) -> u64 {
        let steps = self.ladder.iter();
        steps
            .filter(|(layer, _)| *layer <= top)
            .map(|(_, rate)| *rate)
            .max()
            .unwrap_or(0)
    }
}

/// What a demand got the last time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Previous {
    /// It is new.
    New,
    /// Nothing.
    Paused,
    /// Up to this layer.
    Granted(Layer),
}

/// What one subscription gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Grant<K> {
    /// Names the subscription.
    pub key: K,
    /// The highest layer it may take; `None` while paused.
    pub layer: Option<Layer>,
    /// Nothing is granted for want of bandwidth.
    pub paused: bool,
}

/// Shares `budget` (bits per second; `None` for no limit) among the demands. The grants come in the
/// order of the demands.
///
/// Audio is granted first and always. Then every screen, then every camera gets its lowest step: those that the
/// subscriber pinned first, in its own order, then who speaks, the larger before the smaller. What is left raises
/// screens, then cameras, group by group in the same order: step by step whoever has the fewest bits for the pixels
/// it is shown on, so that equals get the same. To be raised above what it had before, a demand must leave a
/// reserve, so that an estimate that wavers does not toggle it; to be paused, it must lack more than a little.
pub(crate) fn allocate<K: Copy>(budget: Option<u64>, demands: &[Demand<K>]) -> Vec<Grant<K>> {
    let mut candidates: Vec<Candidate<'_>> = demands.iter().map(Candidate::new).collect();
    match budget {
        None => candidates.iter_mut().for_each(Candidate::grant_all),
        Some(budget) => share(budget, &mut candidates),
    }
    demands
        .iter()
        .zip(candidates)
        .map(|(demand, candidate)| {
            let layer = candidate.layer();
            Grant {
                key: demand.key,
                layer,
                paused: layer.is_none(),
            }
        })
        .collect()
}

/// How often the rates of the pictures that are demanded had to be halved to what is granted: the mean, by what each
/// demands.
pub(crate) fn shortfall<K>(demands: &[Demand<K>], grants: &[Grant<K>]) -> f32 {
    /// One that is paused.
    const PAUSED: f32 = 5.0;
    /// Where one is paused, be it ever so small.
    const ANY_PAUSED: f32 = 1.5;
    let (mut sum, mut weights, mut least) = (0.0, 0.0, 0.0);
    let pictures = demands.iter().zip(grants);
    for (demand, grant) in pictures.filter(|(demand, _)| demand.kind != Kind::Audio) {
        let wanted = demand.rate() as f32;
        let halvings = match grant.layer {
            None => {
                least = ANY_PAUSED;
                PAUSED
            }
            Some(layer) => {
                let granted = demand.rate_up_to(layer).max(1) as f32;
                (wanted / granted).log2().clamp(0.0, PAUSED)
            }
        };
        sum += wanted * halvings;
        weights += wanted;
    }
    if weights > 0.0 {
        (sum / weights).max(least)
    } else {
        least
    }
}

/// A demand on its way up the ladder.
struct Candidate<'a> {
    rank: Rank,
    area: u64,
    wanted: Layer,
    /// The steps up to the wanted one; where all lie above it, the lowest.
    steps: &'a [(Layer, u64)],
    /// How many steps are granted; 0 is paused. Without a ladder there is one step, for free.
    granted: usize,
    /// How many were before; `None` when it is new.
    before: Option<usize>,
}

/// Who goes first: the groups that are raised together, then the order within.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    kind: Kind,
    standing: Standing,
    area: Reverse<u64>,
}

impl Rank {
    fn group(self) -> (Kind, Standing) {
        match (self.kind, self.standing) {
            // Screens are few: those that nobody pinned are raised together.
            (Kind::Screen, Standing::Speaker) => (Kind::Screen, Standing::Other),
            group => group,
        }
    }
}

impl<'a> Candidate<'a> {
    fn new<K>(demand: &'a Demand<K>) -> Self {
        let within = demand
            .ladder
            .partition_point(|&(layer, _)| layer <= demand.wanted);
        let steps = demand.ladder.get(..within.max(1)).unwrap_or_default();
        let before = match demand.previous {
            Previous::New => None,
            Previous::Paused => Some(0),
            Previous::Granted(layer) => {
                Some(steps.partition_point(|&(step, _)| step <= layer).max(1))
            }
        };
        let rank = Rank {
            kind: demand.kind,
            standing: demand.standing,
            area: Reverse(demand.area),
        };
        Self {
            rank,
            area: if demand.area == 0 {
                Self::AREA
            } else {
                demand.area
            },
            wanted: demand.wanted,
            steps,
            granted: 0,
            before,
        }
    }

    /// Pixels of a picture nobody told the size of.
    const AREA: u64 = 640 * 360;

    /// How well it is served: bits per second for each million pixels.
    fn served(&self) -> u64 {
        self.rate(self.granted).saturating_mul(1_000_000) / self.area
    }

    fn top(&self) -> usize {
        self.steps.len().max(1)
    }

    fn grant_all(&mut self) {
        self.granted = self.top();
    }

    /// Bits per second of so many steps.
    fn rate(&self, steps: usize) -> u64 {
        let last = steps.checked_sub(1).and_then(|last| self.steps.get(last));
        last.map_or(0, |&(_, rate)| rate)
    }

    /// Goes one step up when `left` affords it. `reserve` is what must stay over above what it had.
    fn raise(&mut self, left: &mut u64, reserve: u64) -> bool {
        let next = self.granted + 1;
        if next > self.top() {
            return false;
        }
        // Measured rates need not ascend: a higher step may be the cheaper one.
        let (now, then) = (self.rate(self.granted), self.rate(next));
        let keep = if self.before.is_some_and(|before| next > before) {
            reserve
        } else {
            0
        };
        let available = left.saturating_add(now);
        let stays = next == 1 && self.before.is_some_and(|before| before > 0);
        let lacking = if stays { available / LACKING } else { 0 };
        if then.saturating_add(keep) > available + lacking {
            return false;
        }
        *left = available.saturating_sub(then);
        self.granted = next;
        true
    }

    fn layer(&self) -> Option<Layer> {
        match self.granted {
            0 => None,
            granted if granted == self.top() => Some(self.wanted),
            granted => self.steps.get(granted - 1).map(|&(layer, _)| layer),
        }
    }
}

/// One part in so many of the budget stays over when something is raised: more than lies between the ends of
/// an estimate that wavers by 5 % to either side.
const RESERVE: u64 = 9;

/// A picture that flows keeps its lowest step while no more than one part in so many is lacking: a moment's loss
/// must not stop it, for it comes back with a keyframe only, and where the link carries less the estimate falls on.
const LACKING: u64 = 8;

fn share(budget: u64, candidates: &mut [Candidate<'_>]) {
    let reserve = budget / RESERVE;
    let mut left = budget;
    let mut order: Vec<&mut Candidate<'_>> = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        if candidate.rank.kind == Kind::Audio {
            candidate.grant_all();
            left = left.saturating_sub(candidate.rate(candidate.granted));
        } else {
            order.push(candidate);
        }
    }
    // Stable: among equals the order of the demands holds.
    order.sort_by_key(|candidate| candidate.rank);
    for candidate in &mut order {
        candidate.raise(&mut left, reserve);
    }
    for group in order.chunk_by_mut(|one, other| one.rank.group() == other.rank.group()) {
        let served = |(place, candidate): (usize, &&mut Candidate<'_>)| {
            (candidate.granted > 0).then(|| Reverse((candidate.served(), place)))
        };
        let mut least: BinaryHeap<_> = group.iter().enumerate().filter_map(served).collect();
        while let Some(Reverse((_, place))) = least.pop() {
            if let Some(candidate) = group.get_mut(place)
                && candidate.raise(&mut left, reserve)
            {
                least.push(Reverse((candidate.served(), place)));
            }
        }
    }
}

#[cfg(test)]
mod tests;
