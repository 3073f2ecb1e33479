//! Gapless output numbers for an input some of which is left out on purpose.
//!
//! What the input lost stays a gap, so that it can be asked for; what was left out does not. Must
//! not know what is numbered: sequence numbers and picture ids both are.

use crate::ahead::{fetch, fetch_at};

/// Maps extended input numbers to output numbers, over the newest `64 * WORDS` input numbers.
#[derive(Debug, Clone)]
pub(super) struct Numbering<const WORDS: usize> {
    first: u64,
    highest: u64,
    /// The output number of the input after `highest`.
    next: u64,
    seen: [u64; WORDS],
    dropped: [u64; WORDS],
}

/// Why an input number has no output number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unplaced {
    /// It came before.
    Duplicate,
    /// It lies before the first, or too far back to know.
    TooOld,
}

impl<const WORDS: usize> Numbering<WORDS> {
    const WINDOW: u64 = 64 * WORDS as u64;

    /// A jump of the input is passed on up to this size. It is twice the window, so that whoever
    /// comes late after the jump finds a number nobody had before it.
    const MAX_GAP: u64 = 2 * Self::WINDOW;

    /// Begins with an input that gets the number `output`.
    pub(super) fn start(input: u64, output: u64) -> Self {
        let mut numbering = Self {
            first: input,
            highest: input,
            next: output.saturating_add(1),
            seen: [0; WORDS],
            dropped: [0; WORDS],
        };
        set(&mut numbering.seen, input);
        numbering
    }

    /// The output number of an input that occurs once.
    pub(super) fn forward(&mut self, input: u64) -> Result<u64, Unplaced> {
        if input > self.highest {
            self.advance(input);
            set(&mut self.seen, input);
            return Ok(self.next.saturating_sub(1));
        }
        let output = self.look_back(input)?;
        if is_set(&self.seen, input) {
            return Err(Unplaced::Duplicate);
        }
        set(&mut self.seen, input);
        Ok(output)
    }

    /// The output number of an input that may occur again, as a picture of several packets does.
    pub(super) fn repeatable(&mut self, input: u64) -> Result<u64, Unplaced> {
        if input > self.highest {
            return self.forward(input);
        }
        let output = self.look_back(input)?;
        if is_set(&self.dropped, input) {
            Err(Unplaced::Duplicate)
        } else {
            Ok(output)
        }
    }

    /// Leaves out an input. Only the newest closes its gap: when one comes late, later ones are numbered
    /// already. Its output number is then returned, once: nobody else gets it.
    pub(super) fn drop(&mut self, input: u64) -> Option<u64> {
        if input > self.highest {
            self.advance(input);
            self.next = self.next.saturating_sub(1);
            set(&mut self.dropped, input);
            set(&mut self.seen, input);
            return None;
        }
        self.forward(input).ok()
    }

    /// Asks for what a next input will touch: all words, for which of them is known only when it is there.
    pub(super) fn fetch(&self) {
        fetch(&self.highest);
        for at in (0..WORDS).step_by(64 / size_of::<u64>()) {
            fetch_at(&self.seen, at);
            fetch_at(&self.dropped, at);
        }
    }

    /// The newest input.
    pub(super) fn highest(&self) -> u64 {
        self.highest
    }

    /// The output number of the input after the newest.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    fn look_back(&self, input: u64) -> Result<u64, Unplaced> {
        let back = self.highest.checked_sub(input).ok_or(Unplaced::TooOld)?;
        if input < self.first || back >= Self::WINDOW {
            return Err(Unplaced::TooOld);
        }
        let kept = back - self.dropped_after(input);
        self.next.checked_sub(1 + kept).ok_or(Unplaced::TooOld)
    }

    /// Moves on to a new highest input, which gets the number `next - 1`.
    fn advance(&mut self, input: u64) {
        let gap = input - self.highest;
        if gap >= Self::WINDOW {
            self.seen = [0; WORDS];
            self.dropped = [0; WORDS];
        } else {
            for number in self.highest + 1..=input {
                clear(&mut self.seen, number);
                clear(&mut self.dropped, number);
            }
        }
        self.next = self.next.saturating_add(gap.min(Self::MAX_GAP));
        self.highest = input;
    }

    /// How many inputs after this one did not come, of those that still may: below the highest, and in the window.
    pub(super) fn missing_after(&self, input: u64) -> u64 {
        let oldest = self.highest.saturating_sub(Self::WINDOW - 1);
        let input = input.max(oldest);
        let span = self.highest.saturating_sub(input);
        span - count(&self.seen, input + 1, self.highest)
    }

    /// How many inputs in `input + 1..=highest` were left out; `input` lies in the window.
    fn dropped_after(&self, input: u64) -> u64 {
        count(&self.dropped, input + 1, self.highest)
    }
}

/// How many are set of `first..=last`, which lie in the window.
fn count<const WORDS: usize>(bits: &[u64; WORDS], first: u64, last: u64) -> u64 {
    let mut count = 0;
    let mut at = first;
    while at <= last {
        let bit = at % 64;
        let span = (64 - bit).min(last - at + 1);
        let mask = if span == 64 {
            u64::MAX
        } else {
            (1 << span) - 1
        };
        count += u64::from((word(bits, at) >> bit & mask).count_ones());
        at += span;
    }
    count
}

fn slot<const WORDS: usize>(number: u64) -> usize {
    // The remainder is below the length of an array.
    (number / 64 % WORDS as u64) as usize
}

fn word<const WORDS: usize>(bits: &[u64; WORDS], number: u64) -> u64 {
    bits.get(slot::<WORDS>(number)).copied().unwrap_or(0)
}

fn is_set<const WORDS: usize>(bits: &[u64; WORDS], number: u64) -> bool {
    word(bits, number) >> (number % 64) & 1 != 0
}

fn set<const WORDS: usize>(bits: &mut [u64; WORDS], number: u64) {
    if let Some(word) = bits.get_mut(slot::<WORDS>(number)) {
        *word |= 1 << (number % 64);
    }
}

fn clear<const WORDS: usize>(bits: &mut [u64; WORDS], number: u64) {
    if let Some(word) = bits.get_mut(slot::<WORDS>(number)) {
        *word &= !(1 << (number % 64));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_gaps_drops_and_latecomers() {
        enum Do {
            Forward(u64, Result<u64, Unplaced>),
            Drop(u64),
            /// Left out late, and the number that stays over.
            Late(u64, Option<u64>),
        }
        use Do::{Drop, Forward, Late};
        let mut numbering = Numbering::<2>::start(1_000, 10);
        for (step, action) in [
            Forward(1_001, Ok(11)),
            Forward(1_001, Err(Unplaced::Duplicate)),
            Forward(999, Err(Unplaced::TooOld)),
            Drop(1_002),
            Forward(1_003, Ok(12)),
            // 1004 is lost: its number stays free until it comes.
            Forward(1_005, Ok(14)),
            Drop(1_006),
            Forward(1_007, Ok(15)),
            Forward(1_004, Ok(13)),
            Forward(1_004, Err(Unplaced::Duplicate)),
            Forward(1_002, Err(Unplaced::Duplicate)),
            // Left out too late to close the gap.
            Forward(1_009, Ok(17)),
            Late(1_008, Some(16)),
            Late(1_008, None),
            Forward(1_008, Err(Unplaced::Duplicate)),
            Forward(1_010, Ok(18)),
            // A jump is shortened, and leaves room for those who come late after it.
            Forward(9_000, Ok(18 + 256)),
            Forward(8_873, Ok(18 + 256 - 127)),
            Forward(8_872, Err(Unplaced::TooOld)),
        ]
        .into_iter()
        .enumerate()
        {
            match action {
                Forward(input, expected) => {
                    assert_eq!(numbering.forward(input), expected, "step {step}");
                }
                Drop(input) => assert_eq!(numbering.drop(input), None, "step {step}"),
                Late(input, over) => assert_eq!(numbering.drop(input), over, "step {step}"),
            }
        }
    }

    #[test]
    fn what_is_missing_is_counted_while_it_may_come() {
        let mut numbering = Numbering::<2>::start(1_000, 10);
        assert_eq!(numbering.missing_after(1_000), 0);
        for input in [1_003, 1_005] {
            numbering.forward(input).unwrap();
        }
        assert_eq!(numbering.missing_after(1_000), 3);
        assert_eq!(numbering.missing_after(1_003), 1);
        assert_eq!(numbering.missing_after(1_005), 0);
        assert_eq!(numbering.drop(1_002), Some(12));
        assert_eq!(numbering.missing_after(1_000), 2);
        for input in 1_006..1_131 {
            numbering.forward(input).unwrap();
        }
        assert_eq!(numbering.missing_after(1_000), 1, "1001 is too old to come");
    }

    #[test]
    fn a_picture_may_occur_again() {
        let mut numbering = Numbering::<2>::start(5, 5);
        assert_eq!(numbering.repeatable(5), Ok(5));
        assert_eq!(numbering.drop(6), None);
        for (input, expected) in [
            (7, Ok(6)),
            (7, Ok(6)),
            (5, Ok(5)),
            (6, Err(Unplaced::Duplicate)),
            (8, Ok(7)),
        ] {
            assert_eq!(numbering.repeatable(input), expected, "{input}");
        }
    }

    proptest! {
        /// Whatever comes in whatever order: an output number is never used twice, and order is
        /// kept.
        #[test]
        fn numbers_are_unique_and_ordered(
            steps in prop::collection::vec((-140_i64..8, any::<bool>(), 0_u8..40), 1..400),
        ) {
            let start = 1_000_000;
            let mut numbering = Numbering::<2>::start(start, 77);
            let mut outputs = BTreeMap::from([(start, 77)]);
            let mut head = start;
            for (step, drops, jump) in steps {
                let step = if jump == 0 { step * 100 } else { step };
                let input = head.saturating_add_signed(step);
                head = head.max(input);
                let output = if drops {
                    numbering.drop(input)
                } else {
                    numbering.forward(input).ok()
                };
                if let Some(output) = output {
                    prop_assert!(outputs.insert(input, output).is_none(), "{input} twice");
                    let before = outputs.range(..input).next_back();
                    let after = outputs.range(input + 1..).next();
                    prop_assert!(before.is_none_or(|(_, &other)| other < output));
                    prop_assert!(after.is_none_or(|(_, &other)| other > output));
                }
            }
        }
    }
}
