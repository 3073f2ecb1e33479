//! What is looked up of a stream by its SSRC, and what the receiver reported of it last: apart from the streams, for
//! clients go on reporting on many that rest.

use super::SlotIndex;
use crate::rtcp::ReportBlock;

/// A stream that is known to the receiver.
#[derive(Debug, Clone, Copy)]
pub(super) struct Known {
    pub(super) ssrc: u32,
    pub(super) slot: SlotIndex,
    /// Of the receiver's last report: the highest sequence number, and lost up to it.
    last_block: Option<(u32, i32)>,
}

impl Known {
    /// A stream that nothing was reported of yet.
    pub(super) fn new(ssrc: u32, slot: SlotIndex) -> Self {
        Self {
            ssrc,
            slot,
            last_block: None,
        }
    }

    /// What a report says of the time since the one before: packets expected, and lost of them; nothing where it says
    /// the same again.
    pub(super) fn take(&mut self, block: &ReportBlock) -> Option<(u32, u32)> {
        let told = (block.highest_sequence, block.cumulative_lost);
        let Some(before) = self.last_block.replace(told) else {
            return Some((0, 0));
        };
        if before == told {
            return None;
        }
        let expected = told.0.wrapping_sub(before.0);
        if expected > u32::from(u16::MAX) {
            // Older than the one before, or nonsense.
            return Some((0, 0));
        }
        let lost = u32::try_from(told.1.saturating_sub(before.1)).unwrap_or(0);
        Some((expected, lost.min(expected)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(highest_sequence: u32, cumulative_lost: i32) -> ReportBlock {
        ReportBlock {
            ssrc: 7,
            fraction_lost: 0,
            cumulative_lost,
            highest_sequence,
            jitter: 0,
            last_sr: 0,
            delay: 0,
        }
    }

    #[test]
    fn blocks_tell_the_loss_since_the_one_before() {
        let mut known = Known::new(7, SlotIndex(0));
        for (highest, lost, expected) in [
            (1_000, 5, Some((0, 0))),
            (1_100, 15, Some((100, 10))),
            (1_100, 15, None),
            (1_200, 15, Some((100, 0))),
            // Duplicates made it less.
            (1_300, 10, Some((100, 0))),
            (1_350, 200, Some((50, 50))),
            // An older report.
            (1_200, 15, Some((0, 0))),
        ] {
            assert_eq!(known.take(&block(highest, lost)), expected);
        }
    }
}
