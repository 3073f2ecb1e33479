//! Which SRTCP indexes were taken of each sender: a sliding window (RFC 3711 section 3.3.2). Sees
//! authenticated packets only.

/// How far an index may lie behind the highest of its sender.
const WINDOW: u32 = u64::BITS;

/// SSRCs that one transport may report from. A forgotten sender's packets could be replayed, so none is
/// forgotten; endpoints report from one SSRC, or from one per stream they send.
const SENDERS_MAX: usize = 256;

/// Why an index is not admitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    Replayed,
    TooManySenders,
}

#[derive(Debug)]
struct Sender {
    ssrc: u32,
    highest: u32,
    /// Bit n: the index n below the highest was taken.
    taken: u64,
}

/// The windows of all senders of a transport.
#[derive(Debug, Default)]
pub(super) struct Replay {
    senders: Vec<Sender>,
}

impl Replay {
    /// Takes an index, once.
    pub(super) fn admit(&mut self, ssrc: u32, index: u32) -> Result<(), Refusal> {
        let Some(sender) = self.senders.iter_mut().find(|sender| sender.ssrc == ssrc) else {
            if self.senders.len() >= SENDERS_MAX {
                return Err(Refusal::TooManySenders);
            }
            self.senders.push(Sender {
                ssrc,
                highest: index,
                taken: 1,
            });
            return Ok(());
        };
        if index > sender.highest {
            let ahead = index - sender.highest;
            sender.taken = sender.taken.checked_shl(ahead).unwrap_or(0) | 1;
            sender.highest = index;
            return Ok(());
        }
        let behind = sender.highest - index;
        if behind >= WINDOW || sender.taken & (1 << behind) != 0 {
            return Err(Refusal::Replayed);
        }
        sender.taken |= 1 << behind;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_index_is_taken_once_and_within_the_window() {
        let mut replay = Replay::default();
        let steps = [
            (100, Ok(())),
            (100, Err(Refusal::Replayed)),
            (102, Ok(())),
            (101, Ok(())),
            (101, Err(Refusal::Replayed)),
            (165, Ok(())),
            (103, Ok(())),
            (102, Err(Refusal::Replayed)),
            (101, Err(Refusal::Replayed)),
            (90, Err(Refusal::Replayed)),
            (u32::MAX >> 1, Ok(())),
            (165, Err(Refusal::Replayed)),
            ((u32::MAX >> 1) - 63, Ok(())),
        ];
        for (index, expected) in steps {
            assert_eq!(replay.admit(7, index), expected, "{index}");
        }
        assert_eq!(replay.admit(8, 100), Ok(()), "each sender counts alone");
    }

    #[test]
    fn a_flood_of_senders_is_refused_and_the_known_go_on() {
        let mut replay = Replay::default();
        for ssrc in 0..SENDERS_MAX as u32 {
            assert_eq!(replay.admit(ssrc, 0), Ok(()));
        }
        assert_eq!(replay.admit(1 << 20, 0), Err(Refusal::TooManySenders));
        assert_eq!(replay.admit(3, 1), Ok(()));
    }

    proptest! {
        #[test]
        fn nothing_is_taken_twice(indexes in proptest::collection::vec(0u32..300, 0..400)) {
            let mut replay = Replay::default();
            let mut taken = HashSet::new();
            let mut highest = 0;
            for index in indexes {
                let is_due = !taken.contains(&index)
                    && (taken.is_empty() || index + WINDOW > highest);
                prop_assert_eq!(replay.admit(1, index).is_ok(), is_due);
                if is_due {
                    taken.insert(index);
                    highest = highest.max(index);
                }
            }
        }
    }
}
