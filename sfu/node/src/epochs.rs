//! By which placement each room is here, and by which it was here before. Owns the comparison that keeps a
//! room from living on two nodes. Must not know where placements come from.
//!
//! Public for the simulation of control planes, in which nodes keep to it as they do here.
//!
//! Every placement of a room has an epoch, higher than those before it. What refers to an older one than the
//! node knows, or to one that has ended, is refused; whoever asked looks anew.

use std::collections::{HashMap, VecDeque};

/// Ended placements that are remembered; past it the oldest are forgotten. A caller whose knowledge is so
/// old has asked the store since.
const ENDED: usize = 100_000;

/// The caller's knowledge of a room's placement is out of date.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the room was placed anew, or has ended, since epoch {asked}")]
pub struct Stale {
    /// What the caller knows of.
    pub asked: u64,
}

/// The epochs of a node's rooms.
#[derive(Debug, Default)]
pub struct Epochs {
    live: HashMap<String, u64>,
    ended: HashMap<String, u64>,
    oldest: VecDeque<String>,
}

impl Epochs {
    /// Somebody refers to a placement on this node; 0 refers to none.
    ///
    /// # Errors
    /// A later one is known, or it has ended.
    pub fn admit(&mut self, room: &str, epoch: u64) -> Result<(), Stale> {
        if epoch == 0 {
            return Ok(());
        }
        let live = self.live.get(room).copied().unwrap_or_default();
        let ended = self.ended.get(room).copied().unwrap_or_default();
        if epoch < live || epoch <= ended {
            return Err(Stale { asked: epoch });
        }
        if epoch > live {
            self.live.insert(room.to_owned(), epoch);
        }
        Ok(())
    }

    /// The room is placed elsewhere by `epoch`; whether it is here by an older one.
    pub fn fence(&mut self, room: &str, epoch: u64) -> bool {
        let is_older = self.live.get(room).is_some_and(|live| *live < epoch);
        if is_older {
            self.live.remove(room);
        }
        self.end(room, epoch.saturating_sub(1));
        is_older
    }

    /// The room is gone from this node.
    pub fn ended(&mut self, room: &str) {
        if let Some(epoch) = self.live.remove(room) {
            self.end(room, epoch);
        }
    }

    /// The epoch of a room that is here; 0 = none was told.
    pub fn of(&self, room: &str) -> u64 {
        self.live.get(room).copied().unwrap_or_default()
    }

    fn end(&mut self, room: &str, epoch: u64) {
        match self.ended.get_mut(room) {
            Some(ended) => *ended = epoch.max(*ended),
            None => {
                self.ended.insert(room.to_owned(), epoch);
                self.oldest.push_back(room.to_owned());
            }
        }
        while self.oldest.len() > ENDED {
            if let Some(room) = self.oldest.pop_front() {
                self.ended.remove(&room);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STALE: bool = false;
    const FINE: bool = true;

    #[test]
    fn only_the_newest_placement_is_good() {
        let mut epochs = Epochs::default();
        let mut admit = |epoch| epochs.admit("r", epoch).is_ok();
        for (epoch, expected) in [
            (5, FINE),
            (4, STALE),
            (5, FINE),
            (8, FINE),
            (5, STALE),
            (0, FINE),
        ] {
            assert_eq!(admit(epoch), expected, "{epoch}");
        }
    }

    #[test]
    fn an_ended_placement_does_not_come_back() {
        let mut epochs = Epochs::default();
        assert_eq!(epochs.admit("r", 5), Ok(()));
        epochs.ended("r");
        assert_eq!(epochs.admit("r", 5), Err(Stale { asked: 5 }));
        assert_eq!(epochs.admit("r", 6), Ok(()));
        assert_eq!(epochs.of("r"), 6);
    }

    #[test]
    fn a_placement_elsewhere_ends_an_older_one_here() {
        let mut epochs = Epochs::default();
        assert_eq!(epochs.admit("r", 5), Ok(()));
        assert!(!epochs.fence("r", 5), "that is this one");
        assert!(epochs.fence("r", 7));
        assert!(!epochs.fence("r", 7), "it is gone");
        assert_eq!(epochs.admit("r", 6), Err(Stale { asked: 6 }));
        assert!(!epochs.fence("other", 3), "never here");
        assert_eq!(epochs.admit("other", 2), Err(Stale { asked: 2 }));
        assert_eq!(epochs.admit("other", 3), Ok(()), "here again");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut epochs = Epochs::default();
        for n in 0..ENDED + 10 {
            epochs.fence(&n.to_string(), 2);
        }
        assert_eq!((epochs.ended.len(), epochs.oldest.len()), (ENDED, ENDED));
    }
}
