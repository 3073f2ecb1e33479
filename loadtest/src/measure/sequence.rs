//! RTP sequence numbers of one stream: extended past 16 bits, each seen once, gaps counted.
//! RFC 3550 appendix A.1, with a window of what has been seen so that reordered and retransmitted
//! packets are told from duplicates.

/// Packets behind the highest that are told apart, in bits.
const WINDOW: u64 = 512;
/// A jump further than this is a new numbering (RFC 3550 MAX_DROPOUT).
const LARGEST_JUMP: i64 = 3000;

/// How a packet came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Arrival {
    /// The highest number so far.
    Next,
    /// For the first time, but after a higher number: reordered, or sent again.
    Late,
    /// Seen before.
    Duplicate,
    /// For the first time, but sent before counting began.
    Early,
    /// Too old to tell, or a jump that the following packet has not confirmed.
    Stray,
    /// First of a new numbering: what came before says nothing about what comes.
    Restart,
}

#[derive(Debug, Clone)]
pub(super) struct SequenceMeter {
    /// Highest number, extended; meaningless before the first packet.
    highest: u64,
    /// Bit n: whether `highest - n` has been seen.
    seen: [u64; (WINDOW / 64) as usize],
    /// Where counting began.
    base: u64,
    /// Expected in numberings that have ended.
    expected_before: u64,
    received: u64,
    has_started: bool,
    /// The number that would confirm a jump.
    awaited: Option<u16>,
}

impl SequenceMeter {
    pub(super) fn new() -> Self {
        Self {
            highest: 0,
            seen: [0; (WINDOW / 64) as usize],
            base: 0,
            expected_before: 0,
            received: 0,
            has_started: false,
            awaited: None,
        }
    }

    /// Takes note of a packet. Each packet for the first time counts as received if it belongs to
    /// what is being counted.
    pub(super) fn on_packet(&mut self, sequence: u16) -> Arrival {
        if !self.has_started {
            self.restart_at(sequence);
            return Arrival::Next;
        }
        let distance = i64::from(sequence.wrapping_sub(self.highest as u16) as i16);
        if distance.abs() > LARGEST_JUMP {
            return self.on_jump(sequence);
        }
        self.awaited = None;
        if distance > 0 {
            self.shift(distance as u64);
            self.highest += distance as u64;
            self.seen[0] |= 1;
            self.received += 1;
            return Arrival::Next;
        }
        let behind = distance.unsigned_abs();
        if behind >= WINDOW || behind > self.highest {
            return Arrival::Stray;
        }
        let (word, bit) = ((behind / 64) as usize, 1u64 << (behind % 64));
        if self.seen[word] & bit != 0 {
            return Arrival::Duplicate;
        }
        self.seen[word] |= bit;
        let number = self.highest - behind;
        if number < self.base {
            return Arrival::Early;
        }
        self.received += 1;
        Arrival::Late
    }

    /// Two packets in a row on the far side of a jump are a new numbering.
    fn on_jump(&mut self, sequence: u16) -> Arrival {
        if self.awaited != Some(sequence) {
            self.awaited = Some(sequence.wrapping_add(1));
            return Arrival::Stray;
        }
        self.expected_before += self.highest + 1 - self.base;
        self.restart_at(sequence);
        Arrival::Restart
    }

    fn restart_at(&mut self, sequence: u16) {
        // One cycle up, so that numbers just before the first one are numbers too.
        self.highest = 0x1_0000 + u64::from(sequence);
        self.base = self.highest;
        self.seen = [0; (WINDOW / 64) as usize];
        self.seen[0] = 1;
        self.received += 1;
        self.has_started = true;
        self.awaited = None;
    }

    /// Moves the window up by `distance`.
    fn shift(&mut self, distance: u64) {
        if distance >= WINDOW {
            self.seen = [0; (WINDOW / 64) as usize];
            return;
        }
        let (words, bits) = ((distance / 64) as usize, distance % 64);
        for index in (0..self.seen.len()).rev() {
            let low = index.checked_sub(words).map_or(0, |from| self.seen[from]);
            let below = index
                .checked_sub(words + 1)
                .map_or(0, |from| self.seen[from]);
            self.seen[index] = if bits == 0 {
                low
            } else {
                low << bits | below >> (64 - bits)
            };
        }
    }

    /// Counts from the next number on. What is behind the highest may still come, and is no part of
    /// the new count.
    pub(super) fn begin(&mut self) {
        self.base = if self.has_started {
            self.highest + 1
        } else {
            self.base
        };
        self.expected_before = 0;
        self.received = 0;
    }

    /// Numbers from where counting began to the highest seen.
    pub(super) fn expected(&self) -> u64 {
        let current = if self.has_started {
            self.highest + 1 - self.base
        } else {
            0
        };
        self.expected_before + current
    }

    /// Of these, how many came.
    pub(super) fn received(&self) -> u64 {
        self.received
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn packets_are_told_apart() {
        use Arrival::{Duplicate, Late, Next, Restart, Stray};
        let mut meter = SequenceMeter::new();
        let trace = [
            (65_534, Next),
            (65_535, Next),
            (1, Next),
            (0, Late),
            (0, Duplicate),
            (1, Duplicate),
            (600, Next),
            (89, Late),
            (88, Stray),
            (40_000, Stray),
            (601, Next),
            (40_000, Stray),
            (40_001, Restart),
            (40_002, Next),
        ];
        for (sequence, expected) in trace {
            assert_eq!(meter.on_packet(sequence), expected, "{sequence}");
        }
        // 65,534 to 601 of the first numbering; 40,001 and 40,002 of the second.
        assert_eq!(meter.expected(), 604 + 2);
        assert_eq!(meter.received(), 7 + 2);
    }

    #[test]
    fn what_was_sent_before_the_count_is_no_part_of_it() {
        let mut meter = SequenceMeter::new();
        meter.begin();
        assert_eq!((meter.expected(), meter.received()), (0, 0));
        for sequence in (10..20).filter(|sequence| *sequence != 15) {
            meter.on_packet(sequence);
        }
        meter.begin();
        assert_eq!((meter.expected(), meter.received()), (0, 0));
        assert_eq!(meter.on_packet(15), Arrival::Early);
        assert_eq!(meter.on_packet(21), Arrival::Next);
        assert_eq!(meter.on_packet(20), Arrival::Late);
        assert_eq!((meter.expected(), meter.received()), (2, 2));
    }

    proptest! {
        /// Any loss, duplication and short reordering: each packet counts once.
        #[test]
        fn every_packet_counts_once(
            first in any::<u16>(),
            fates in proptest::collection::vec((0..10u8, 0..40usize), 2..3000),
        ) {
            let mut order: Vec<(usize, u16)> = Vec::new();
            let mut kept = 0;
            let mut highest = 0;
            for (index, (fate, delay)) in fates.iter().enumerate() {
                let sequence = first.wrapping_add(index as u16);
                // The first packet sets the base, so it neither waits nor goes missing.
                let is_first = index == 0;
                if *fate == 0 && !is_first {
                    continue;
                }
                kept += 1;
                highest = index;
                let delay = if *fate == 2 && !is_first { *delay } else { 0 };
                order.push((index + delay, sequence));
                if *fate == 1 {
                    order.push((index + 30, sequence));
                }
            }
            order.sort_by_key(|(at, _)| *at);
            let mut meter = SequenceMeter::new();
            for (_, sequence) in order {
                meter.on_packet(sequence);
            }
            prop_assert_eq!(meter.received(), kept);
            prop_assert_eq!(meter.expected(), highest as u64 + 1);
        }
    }
}
