//! The last frames that were decided on, for packets that come late. Must not decide on any.

use crate::ahead::fetch_at;

/// The newest `N` frames in the order in which they were decided on, by their timestamps.
#[derive(Debug, Clone)]
pub(super) struct Recent<T, const N: usize> {
    /// Takes no memory before the first: sound has no frames.
    frames: Vec<(u32, T)>,
    next: usize,
    /// The newest timestamp of those that had to go.
    forgotten: Option<u32>,
}

impl<T: Copy, const N: usize> Recent<T, N> {
    pub(super) const fn new() -> Self {
        Self {
            frames: Vec::new(),
            next: 0,
            forgotten: None,
        }
    }

    /// Keeps a frame; the one goes that was kept for longest.
    pub(super) fn push(&mut self, timestamp: u32, frame: T) {
        if let Some((kept, past)) = self.frames.get_mut(self.next) {
            if self
                .forgotten
                .is_none_or(|newest| !is_behind(*kept, newest))
            {
                self.forgotten = Some(*kept);
            }
            (*kept, *past) = (timestamp, frame);
        } else {
            self.frames.reserve_exact(N - self.frames.len());
            self.frames.push((timestamp, frame));
        }
        self.next = (self.next + 1) % N;
    }

    /// In the order in which they were decided on.
    pub(super) fn iter(&self) -> impl Iterator<Item = &(u32, T)> {
        let (newer, older) = self.frames.split_at(self.next.min(self.frames.len()));
        older.iter().chain(newer)
    }

    /// In no order.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut (u32, T)> {
        self.frames.iter_mut()
    }

    /// Whether it is so old that nothing can be said: its own frame may have gone, or one between it and those that
    /// are kept.
    pub(super) fn is_forgotten(&self, timestamp: u32) -> bool {
        self.forgotten
            .is_some_and(|newest| !is_behind(newest, timestamp))
    }

    /// The frame of this timestamp, or the nearest before it, of several the last decided on; `None` when that is not known any more.
    pub(super) fn before(&self, timestamp: u32) -> Option<&(u32, T)> {
        let ahead = |(other, _): &&(u32, T)| other.wrapping_sub(timestamp).cast_signed();
        self.iter()
            .filter(|_| !self.is_forgotten(timestamp))
            .filter(|kept| ahead(kept) <= 0)
            .max_by_key(ahead)
    }

    /// Asks for what a next frame will touch.
    pub(super) fn fetch(&self) {
        fetch_at(&self.frames, self.next);
    }
}

/// Whether a timestamp lies before another.
pub(super) fn is_behind(timestamp: u32, other: u32) -> bool {
    timestamp.wrapping_sub(other).cast_signed() < 0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_before_is_found_and_what_was_forgotten_is_told() {
        let mut recent = Recent::<char, 3>::new();
        assert!(!recent.is_forgotten(0) && recent.before(0).is_none());
        let wrapped = u32::MAX - 9;
        for (timestamp, frame) in [(wrapped, 'a'), (0, 'b'), (20, 'c')] {
            recent.push(timestamp, frame);
        }
        assert_eq!(recent.before(15), Some(&(0, 'b')));
        assert_eq!(recent.before(20), Some(&(20, 'c')));
        assert_eq!(recent.before(wrapped - 1), None);
        assert!(!recent.is_forgotten(wrapped));
        // One that came late outlives its neighbours, and does not stand for them.
        for (timestamp, frame) in [(5, 'd'), (30, 'e'), (40, 'f')] {
            recent.push(timestamp, frame);
        }
        assert!(recent.is_forgotten(20) && recent.before(20).is_none());
        assert_eq!(recent.before(25), Some(&(5, 'd')));
        let mut kept: Vec<_> = recent.iter().map(|(_, frame)| *frame).collect();
        kept.sort_unstable();
        assert_eq!(kept, ['d', 'e', 'f']);
        // What goes later, but is older, makes no more known.
        recent.push(50, 'g');
        assert!(recent.is_forgotten(20) && !recent.is_forgotten(21));
    }
}
