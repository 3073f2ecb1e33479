//! What can go wrong in the simulated cluster, and what did. Plain data.

use std::sync::atomic::{AtomicU64, Ordering};

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// A node is gone, with all that it held.
    NodeCrash,
    /// A replica is gone, with the connections that it carried; another comes.
    ReplicaCrash,
    /// A node is emptied and stops.
    Drain,
    /// A node does nothing for a while, and then goes on as if nothing had happened.
    Pause,
    /// Nothing passes between a replica and a node, and neither is told.
    Partition,
    /// A node does not reach the control planes, while they reach it.
    Mute,
    /// A replica does not reach the store.
    StoreCut,
    /// A commit happened, and its replica does not hear of it.
    LostAnswer,
    /// A message to a node came once more, later than what was sent after it.
    Duplicate,
    /// A node acted on a message before one that came earlier.
    Reorder,
    /// A node's clock runs too fast or too slow, so that it renews its lease too early or too late.
    Drift,
}

impl Fault {
    pub(super) const ALL: [Self; 11] = [
        Self::NodeCrash,
        Self::ReplicaCrash,
        Self::Drain,
        Self::Pause,
        Self::Partition,
        Self::Mute,
        Self::StoreCut,
        Self::LostAnswer,
        Self::Duplicate,
        Self::Reorder,
        Self::Drift,
    ];
}

/// How often each was seen to do something.
#[derive(Debug, Default)]
pub(super) struct Fired([AtomicU64; Fault::ALL.len()]);

impl Fired {
    pub(super) fn note(&self, fault: Fault) {
        self.0[fault as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count(&self, fault: Fault) -> u64 {
        self.0[fault as usize].load(Ordering::Relaxed)
    }
}
