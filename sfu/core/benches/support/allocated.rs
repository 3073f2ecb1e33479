//! What a program took from its allocator. The allocator itself is the program's.

use std::{
    iter::Sum,
    ops::{AddAssign, Sub},
};

use stats_alloc::Stats;

/// Allocations, those that grow included; what is given back is not counted.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Allocated {
    pub(crate) calls: u64,
    pub(crate) bytes: u64,
}

impl From<Stats> for Allocated {
    fn from(stats: Stats) -> Self {
        Self {
            calls: (stats.allocations + stats.reallocations) as u64,
            bytes: stats.bytes_allocated as u64,
        }
    }
}

impl AddAssign for Allocated {
    fn add_assign(&mut self, more: Self) {
        self.calls += more.calls;
        self.bytes += more.bytes;
    }
}

impl Sub for Allocated {
    type Output = Self;

    /// What is more, which is never less than nothing.
    fn sub(self, before: Self) -> Self {
        Self {
            calls: self.calls.saturating_sub(before.calls),
            bytes: self.bytes.saturating_sub(before.bytes),
        }
    }
}

impl Sum for Allocated {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        let mut sum = Self::default();
        all.for_each(|each| sum += each);
        sum
    }
}
