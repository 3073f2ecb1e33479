//! Which packets of a stream came already: over a plain network they may come twice, and while the way of an
//! encoding between shards changes, by two. Must not know anything but numbers.

/// Packets that are remembered.
const WINDOW: u64 = 512;

const WORDS: usize = (WINDOW / u64::BITS as u64) as usize;

/// Packets of one encoding that came, by sequence number.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// Behind the highest; 0 = none came yet.
    next: u64,
    bits: [u64; WORDS],
}

impl Seen {
    /// Takes a number, once; false when it came before, or so long ago that nobody knows.
    pub(crate) fn admit(&mut self, number: u64) -> bool {
        let next = number.saturating_add(1);
        if next > self.next {
            let ahead = next - self.next;
            if ahead >= WINDOW {
                self.bits = [0; WORDS];
            } else {
                (self.next..next).for_each(|skipped| self.set(skipped, false));
            }
            self.next = next;
        } else if self.next - number > WINDOW || self.has(number) {
            return false;
        }
        self.set(number, true);
        true
    }

    fn place(number: u64) -> (usize, u64) {
        let place = number % WINDOW;
        let word = usize::try_from(place / u64::from(u64::BITS)).unwrap_or(0);
        (word, 1 << (place % u64::from(u64::BITS)))
    }

    fn has(&self, number: u64) -> bool {
        let (word, bit) = Self::place(number);
        self.bits[word] & bit != 0
    }

    fn set(&mut self, number: u64, came: bool) {
        let (word, bit) = Self::place(number);
        if came {
            self.bits[word] |= bit;
        } else {
            self.bits[word] &= !bit;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_number_is_taken_once_and_within_the_window(
            start in any::<u64>(),
            steps in prop::collection::vec(-700_i64..700, 1..400),
        ) {
            let (mut seen, mut came) = (Seen::default(), HashSet::new());
            let (mut number, mut highest) = (start, None::<u64>);
            for step in steps {
                number = number.saturating_add_signed(step).min(u64::MAX - 1);
                let is_old = highest.is_some_and(|highest| highest.saturating_sub(number) >= WINDOW);
                let is_new = !is_old && came.insert(number);
                prop_assert_eq!(seen.admit(number), is_new, "{}", number);
                highest = highest.max(Some(number));
            }
        }
    }
}
