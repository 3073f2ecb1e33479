//! What was sent of a stream lately, without payloads: from which packet it was made and with which
//! numbers, so that it can be sent again from the track's cache (RFC 4588). Also what keeps a number
//! from being used twice. Must not hold payloads.

use std::time::Duration;

use crate::{
    ahead::fetch_at,
    rtp::{Patch, Rewritten},
};

/// A packet that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sent {
    /// Extended, its low 32 bits.
    pub(super) sequence: u32,
    pub(super) timestamp: u32,
    /// Low bits of its number in the encoding that it came from.
    pub(super) origin: u32,
    pub(super) patch: Patch,
    pub(super) encoding: u8,
    pub(super) payload_type: u8,
    pub(super) marker: bool,
    /// It went out without media.
    pub(super) is_empty: bool,
    /// It was sent again before this time: that got lost as well.
    pub(super) is_urgent: bool,
    /// Milliseconds of the lane's clock at which it was sent first, kept to 16 bits.
    sent_at: u16,
    /// The same of the last time it was sent again; 0 for never.
    again_at: u16,
    is_used: bool,
    is_withdrawn: bool,
}

/// What a packet that is about to be sent was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Origin {
    /// Its number in its encoding.
    pub(super) number: u64,
    pub(super) encoding: u8,
    pub(super) payload_type: u8,
    /// It goes out without media.
    pub(super) is_empty: bool,
    /// With it a keyframe starts.
    pub(super) starts_keyframe: bool,
}

/// When it makes sense to send a packet again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Patience {
    /// Not so soon after the last time.
    pub(super) interval: Duration,
    /// Not so long after the first time: it would come too late.
    pub(super) deadline: Duration,
    /// Not what lies before a keyframe that was sent so long ago.
    pub(super) superseded_after: Duration,
}

/// Numbers that were used, and for video what was sent with them.
#[derive(Debug, Clone, Default)]
pub(super) struct History {
    highest: Option<u64>,
    /// Bit `n`: the number `n` below the highest was used.
    seen: u64,
    /// By the low bits of the sequence number; empty for streams of which nothing is sent again.
    ring: Vec<Sent>,
    keeps: bool,
    /// Sequence number and timestamp of the newest keyframe, and the clock when it was sent: once it is there
    /// nobody needs what came before.
    keyframe: Option<(u64, u32, u64)>,
}

impl History {
    /// Packets that can be sent again. A power of two.
    const PACKETS: usize = 512;

    /// With `keeps`, packets are kept to be sent again.
    pub(super) fn new(keeps: bool) -> Self {
        Self {
            keeps,
            ..Self::default()
        }
    }

    /// Takes note of a packet that is about to be sent; false when its number was used before, or is
    /// so old that nobody knows. `clock` is the time of now in milliseconds of any origin.
    #[must_use]
    pub(super) fn admit(&mut self, rewritten: &Rewritten, origin: &Origin, clock: u64) -> bool {
        let sequence = rewritten.sequence;
        if !self.is_new(sequence) {
            return false;
        }
        if self.keeps {
            // A keyframe may have several packets that start one, of parameter sets for example.
            let is_next = self
                .keyframe
                .is_none_or(|(at, time, _)| at < sequence && time != rewritten.timestamp);
            if origin.starts_keyframe && is_next {
                self.keyframe = Some((sequence, rewritten.timestamp, clock));
            }
            if self.ring.is_empty() {
                self.ring = vec![Sent::NONE; Self::PACKETS];
            }
            if let Some(place) = self.ring.get_mut(place(sequence)) {
                *place = Sent {
                    sequence: sequence as u32,
                    timestamp: rewritten.timestamp,
                    origin: origin.number as u32,
                    patch: rewritten.patch,
                    encoding: origin.encoding,
                    payload_type: origin.payload_type,
                    marker: rewritten.marker,
                    is_empty: origin.is_empty,
                    is_urgent: false,
                    sent_at: clock as u16,
                    again_at: 0,
                    is_used: true,
                    is_withdrawn: false,
                };
            }
        }
        true
    }

    /// Asks for what a next packet will touch.
    pub(super) fn fetch(&self) {
        let next = self.highest.map_or(0, |highest| highest.wrapping_add(1));
        fetch_at(&self.ring, place(next));
    }

    /// Nothing that was sent until now is sent again; its numbers stay used.
    pub(super) fn forget(&mut self) {
        for sent in &mut self.ring {
            sent.is_withdrawn = true;
        }
    }

    fn is_new(&mut self, sequence: u64) -> bool {
        let Some(highest) = self.highest else {
            self.highest = Some(sequence);
            self.seen = 1;
            return true;
        };
        if sequence > highest {
            let ahead = sequence - highest;
            self.seen = u32::try_from(ahead)
                .ok()
                .and_then(|ahead| self.seen.checked_shl(ahead))
                .unwrap_or(0)
                | 1;
            self.highest = Some(sequence);
            return true;
        }
        let behind = highest - sequence;
        if behind < 64 {
            let bit = 1 << behind;
            let is_new = self.seen & bit == 0;
            self.seen |= bit;
            return is_new;
        }
        // The ring knows further back: a place that holds an older number was not used for this one.
        self.keeps
            && behind < Self::PACKETS as u64
            && self
                .ring
                .get(place(sequence))
                .is_some_and(|held| !held.is_used || held.sequence != sequence as u32)
    }

    /// What was sent with a number, if it makes sense to send it again now, and a newer keyframe has not made
    /// good for it. `clock` is as for [`History::admit`].
    pub(super) fn again(&mut self, sequence: u16, clock: u64, patience: Patience) -> Option<Sent> {
        let highest = self.highest?;
        // The nearest number at or below the highest that ends in these bits.
        let behind = (highest as u16).wrapping_sub(sequence);
        let full = highest.checked_sub(u64::from(behind))?;
        let sent = self
            .ring
            .get_mut(place(full))
            .filter(|sent| sent.is_used && !sent.is_withdrawn && sent.sequence == full as u32)?;
        // 0 stands for never.
        let now = (clock as u16).max(1);
        let since = |at: u16| Duration::from_millis(now.wrapping_sub(at).into());
        let is_repeated = sent.again_at != 0 && since(sent.again_at) < patience.interval;
        // A keyframe that is still on its way makes good for nothing yet.
        let is_superseded = self.keyframe.is_some_and(|(keyframe, _, sent)| {
            let age = Duration::from_millis(clock.saturating_sub(sent));
            full < keyframe && age > patience.superseded_after
        });
        if is_repeated || is_superseded || since(sent.sent_at) > patience.deadline {
            return None;
        }
        sent.is_urgent = sent.again_at != 0;
        sent.again_at = now;
        Some(*sent)
    }
}

impl History {
    /// A packet so far behind the newest, if it was sent and is known.
    pub(super) fn recent(&self, behind: u64) -> Option<Sent> {
        let sequence = self.highest?.checked_sub(behind)?;
        let sent = self.ring.get(place(sequence))?;
        let is_known = sent.is_used && !sent.is_withdrawn && sent.sequence == sequence as u32;
        is_known.then_some(*sent)
    }

    /// A packet will not be sent after all: nor is it sent again when it is missed. Its number stays used.
    pub(super) fn withdraw(&mut self, sequence: u64) {
        let sent = self.ring.get_mut(place(sequence));
        if let Some(sent) = sent.filter(|sent| sent.sequence == sequence as u32) {
            sent.is_withdrawn = true;
        }
    }
}

impl Sent {
    const NONE: Self = Self {
        sequence: 0,
        timestamp: 0,
        origin: 0,
        patch: Patch {
            picture_id: None,
            tl0_pic_idx: None,
            key_idx: None,
            frame_number: None,
            active_targets: None,
        },
        encoding: 0,
        payload_type: 0,
        marker: false,
        is_empty: false,
        is_urgent: false,
        sent_at: 0,
        again_at: 0,
        is_used: false,
        is_withdrawn: false,
    };
}

fn place(sequence: u64) -> usize {
    (sequence % History::PACKETS as u64) as usize
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn rewritten(sequence: u64) -> Rewritten {
        Rewritten {
            sequence,
            timestamp: sequence as u32 * 10,
            marker: false,
            patch: Patch::default(),
        }
    }

    #[test]
    fn what_was_sent_is_found_until_it_is_too_old() {
        let mut history = History::new(true);
        let round_trip = Patience {
            interval: Duration::from_millis(50),
            deadline: Duration::from_millis(600),
            superseded_after: Duration::ZERO,
        };
        for sequence in 65_000..66_000 {
            let origin = Origin {
                number: sequence + 7,
                encoding: 1,
                payload_type: 96,
                ..Origin::default()
            };
            assert!(history.admit(&rewritten(sequence), &origin, 0));
        }
        let sent = history.again(65_999_u64 as u16, 5, round_trip).unwrap();
        assert_eq!((sent.sequence, sent.origin), (65_999, 66_006));
        assert_eq!((sent.encoding, sent.timestamp), (1, 659_990));
        // Not twice within a round trip.
        assert_eq!(history.again(65_999_u64 as u16, 54, round_trip), None);
        assert!(history.again(65_999_u64 as u16, 55, round_trip).is_some());
        assert!(history.again(65_488_u64 as u16, 5, round_trip).is_some());
        for too_old_or_never_sent in [65_487_u64, 65_000, 66_000, 70_000] {
            assert_eq!(
                history.again(too_old_or_never_sent as u16, 5, round_trip),
                None
            );
        }
        assert!(history.again(65_900_u64 as u16, 600, round_trip).is_some());
        assert_eq!(
            history.again(65_901_u64 as u16, 601, round_trip),
            None,
            "too late"
        );
    }

    #[test]
    fn nothing_before_a_keyframe_is_sent_again() {
        let patience = Patience {
            interval: Duration::from_millis(50),
            deadline: Duration::from_secs(1),
            superseded_after: Duration::from_millis(100),
        };
        let mut history = History::new(true);
        let at = |sequence, timestamp| Rewritten {
            timestamp,
            ..rewritten(sequence)
        };
        // Parameter sets at 12 and the picture at 13 are one keyframe.
        for (sequence, timestamp, starts_keyframe) in [
            (10, 1, true),
            (11, 2, false),
            (12, 3, true),
            (13, 3, true),
            (14, 4, false),
        ] {
            let origin = Origin {
                starts_keyframe,
                ..Origin::default()
            };
            assert!(history.admit(&at(sequence, timestamp), &origin, 7));
        }
        for (sequence, is_needed) in [(10, false), (11, false), (12, true), (13, true), (14, true)]
        {
            // While the keyframe may be on its way, it does not count.
            assert!(history.clone().again(sequence, 107, patience).is_some());
            let again = history.again(sequence, 108, patience);
            assert_eq!(again.is_some(), is_needed, "{sequence}");
        }
    }

    #[test]
    fn a_late_packet_takes_its_own_number_once() {
        for keeps in [false, true] {
            let mut history = History::new(keeps);
            for sequence in [100, 101, 103, 160] {
                assert!(history.admit(&rewritten(sequence), &Origin::default(), 0));
                assert!(!history.admit(&rewritten(sequence), &Origin::default(), 0));
            }
            assert!(history.admit(&rewritten(102), &Origin::default(), 0));
            assert!(!history.admit(&rewritten(102), &Origin::default(), 0));
            assert!(history.admit(&rewritten(300), &Origin::default(), 0));
            // 200 below: only a ring knows that it is free.
            assert_eq!(history.admit(&rewritten(105), &Origin::default(), 0), keeps);
            assert!(!history.admit(&rewritten(103), &Origin::default(), 0));
        }
    }

    proptest! {
        #[test]
        fn no_number_is_used_twice(
            keeps in any::<bool>(),
            steps in prop::collection::vec(-700_i64..40, 1..600),
        ) {
            let mut history = History::new(keeps);
            let mut used = BTreeSet::new();
            let mut head = 10_000_u64;
            for step in steps {
                let sequence = head.saturating_add_signed(step);
                head = head.max(sequence);
                if history.admit(&rewritten(sequence), &Origin::default(), 0) {
                    prop_assert!(used.insert(sequence), "{sequence} twice");
                }
            }
        }
    }
}
