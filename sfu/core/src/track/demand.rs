//! Which steps of a track anybody takes, so that the publisher can switch off the rest.
//!
//! Must not send anything: the shard asks [`DemandTracker::poll`].

use std::time::{Duration, Instant};

use plenum_proto::v1::VideoQuality;

use super::EncodingInfo;

/// Which steps of a ladder are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Qualities {
    on: [bool; 3],
}

impl Qualities {
    const STEPS: [VideoQuality; 3] = [VideoQuality::Low, VideoQuality::Medium, VideoQuality::High];

    /// All on.
    pub(crate) const ALL: Self = Self { on: [true; 3] };
    /// All off.
    pub(crate) const NONE: Self = Self { on: [false; 3] };

    /// Whether a step is on.
    pub(crate) fn has(self, step: VideoQuality) -> bool {
        self.iter().any(|(known, on)| known == step && on)
    }

    /// The steps in ascending order, each with whether it is on.
    pub(crate) fn iter(self) -> impl Iterator<Item = (VideoQuality, bool)> {
        Self::STEPS.into_iter().zip(self.on)
    }
}

/// What a subscription requests: an encoding, and the highest step of it, where its spatial layers are
/// several steps.
pub(crate) type Requested = (u8, VideoQuality);

/// Which steps are wanted when this is what the subscriptions request (`None`: paused).
///
/// A step that was not announced follows the encoding that stands in for it, so a track with one
/// encoding is on or off as a whole, under whatever step its publisher files it.
pub(crate) fn wanted_qualities(
    encodings: &[EncodingInfo],
    targets: impl Iterator<Item = Option<Requested>>,
) -> Qualities {
    let serving = Qualities::STEPS.map(|step| serving(encodings, step));
    let mut wanted = Qualities::NONE;
    for (target, highest) in targets.flatten() {
        let steps = Qualities::STEPS.into_iter().zip(serving);
        for (on, (step, index)) in wanted.on.iter_mut().zip(steps) {
            // A higher spatial layer needs those below it.
            *on |= index == Some(target) && step <= highest;
        }
    }
    wanted
}

/// The encoding that stands for a step: the best one not above it, else the lowest.
fn serving(encodings: &[EncodingInfo], step: VideoQuality) -> Option<u8> {
    encodings
        .iter()
        .filter(|encoding| encoding.quality <= step)
        .max_by_key(|encoding| (encoding.quality, encoding.index))
        .or_else(|| {
            encodings
                .iter()
                .min_by_key(|encoding| (encoding.quality, encoding.index))
        })
        .map(|encoding| encoding.index)
}

/// Encodings, as bits, that a publisher was told long ago to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Failing {
    /// They do not come.
    pub silent: u8,
    /// They come with far less than usual, and not whole since, or came and went.
    pub frail: u8,
}

/// The encodings to ask for (as bits, of those that `own` has in ascending order) when these are asked for and some
/// are failing. For each that is silent the next below it that may come, else the next above; those passed over stay
/// asked for, so that they are known to be silent. For each that is frail all below it: publishers give what their
/// link takes to the smallest first, and know best for how many it is enough.
pub(crate) fn with_stand_ins(asked: u8, failing: Failing, own: u8) -> u8 {
    let Failing { silent, frail } = failing;
    let bit = |index: u32| 1_u8.checked_shl(index).unwrap_or(0);
    let mut all = asked & own;
    for index in (0..u8::BITS).filter(|index| asked & frail & own & bit(*index) != 0) {
        all |= own & (bit(index) - 1);
    }
    for index in (0..u8::BITS).filter(|index| asked & silent & own & bit(*index) != 0) {
        let others = (0..index).rev().chain(index + 1..u8::BITS);
        for other in others.filter(|other| own & bit(*other) != 0) {
            all |= bit(other);
            if silent & bit(other) == 0 {
                break;
            }
        }
    }
    all
}

/// Damps what is wanted of a track: on at once, off only when nobody asked for a while.
#[derive(Debug, Clone)]
pub(crate) struct DemandTracker {
    wanted: Qualities,
    /// As its publisher was told last; `None` when it has to be told again, whatever it is.
    told: Option<Qualities>,
    /// Since when each step is on, as the publisher was told.
    on_since: [Instant; 3],
    off_at: [Option<Instant>; 3],
}

impl DemandTracker {
    /// How long a step stays on without demand.
    const LINGER: Duration = Duration::from_secs(5);
    /// How long a publisher may take to send what it was told to: a round trip and a keyframe.
    const ANSWER: Duration = Duration::from_millis(700);

    /// A publisher starts with everything on, and nobody asked yet.
    pub(crate) fn new(now: Instant) -> Self {
        let mut tracker = Self {
            wanted: Qualities::ALL,
            told: Some(Qualities::ALL),
            on_since: [now; 3],
            off_at: [None; 3],
        };
        tracker.update(now, Qualities::NONE);
        tracker
    }

    /// The same of a codec that its publisher sends only when it is told to.
    pub(crate) fn of_spare(now: Instant) -> Self {
        Self {
            wanted: Qualities::NONE,
            told: Some(Qualities::NONE),
            on_since: [now; 3],
            off_at: [None; 3],
        }
    }

    /// Takes the demand of this moment.
    pub(crate) fn update(&mut self, now: Instant, wanted: Qualities) {
        for ((before, after), off_at) in self.wanted.on.iter().zip(wanted.on).zip(&mut self.off_at)
        {
            if after {
                *off_at = None;
            } else if *before {
                *off_at = Some(now + Self::LINGER);
            }
        }
        self.wanted = wanted;
    }

    /// Whether there is nothing to tell the publisher, now or after a while.
    pub(crate) fn is_settled(&self) -> bool {
        self.told == Some(self.wanted) && self.off_at.iter().all(Option::is_none)
    }

    /// As the publisher was told last.
    pub(crate) fn told(&self) -> Qualities {
        self.told.unwrap_or(Qualities::NONE)
    }

    /// Whether the publisher was told so lately to send something that it need not come yet.
    pub(crate) fn is_fresh(&self, now: Instant) -> bool {
        self.told() != self.owed(now)
    }

    /// What the publisher was told may not have reached it.
    pub(crate) fn forget(&mut self) {
        self.told = None;
    }

    /// The steps that the publisher has been told long enough to send.
    pub(crate) fn owed(&self, now: Instant) -> Qualities {
        let mut owed = self.told();
        for (on, since) in owed.on.iter_mut().zip(self.on_since) {
            *on &= now.saturating_duration_since(since) >= Self::ANSWER;
        }
        owed
    }

    /// What to tell the publisher, once for every change.
    #[must_use]
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Qualities> {
        for off_at in &mut self.off_at {
            if off_at.is_some_and(|at| at <= now) {
                *off_at = None;
            }
        }
        let mut due = self.wanted;
        for (on, lingers) in due.on.iter_mut().zip(self.off_at) {
            *on |= lingers.is_some();
        }
        if self.told == Some(due) {
            return None;
        }
        let before = self.told();
        for ((since, on), was_on) in self.on_since.iter_mut().zip(due.on).zip(before.on) {
            if on && !was_on {
                *since = now;
            }
        }
        self.told = Some(due);
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use VideoQuality::{High, Low, Medium};

    use super::*;

    fn set(low: bool, medium: bool, high: bool) -> Qualities {
        Qualities {
            on: [low, medium, high],
        }
    }

    #[test]
    fn steps_somebody_requests_are_wanted() {
        let ladder = |qualities: &[VideoQuality]| -> Vec<EncodingInfo> {
            (0..)
                .zip(qualities)
                .map(|(index, &quality)| EncodingInfo {
                    index,
                    codec: 0,
                    rid: None,
                    quality,
                    width: 0,
                    height: 0,
                })
                .collect()
        };
        let full = ladder(&[Low, Medium, High]);
        let two = ladder(&[Low, Medium]);
        let one = ladder(&[High]);
        for (case, encodings, targets, expected) in [
            ("nobody", &full, &[][..], Qualities::NONE),
            ("all paused", &full, &[None, None], Qualities::NONE),
            (
                "one takes the middle",
                &full,
                &[Some(1)],
                set(false, true, false),
            ),
            (
                "ends taken",
                &full,
                &[Some(0), None, Some(2)],
                set(true, false, true),
            ),
            (
                "the top stands in for what is above",
                &two,
                &[Some(1)],
                set(false, true, true),
            ),
            (
                "the bottom of two",
                &two,
                &[Some(0)],
                set(true, false, false),
            ),
            (
                "a single encoding is all steps",
                &one,
                &[Some(0)],
                Qualities::ALL,
            ),
            ("unknown index", &full, &[Some(7)], Qualities::NONE),
            ("no encodings", &vec![], &[Some(0)], Qualities::NONE),
        ] {
            let whole = targets
                .iter()
                .map(|target| target.map(|index| (index, High)));
            let wanted = wanted_qualities(encodings, whole);
            assert_eq!(wanted, expected, "{case}");
        }
        // One encoding of three spatial layers.
        for (highest, expected) in [
            (Low, set(true, false, false)),
            (Medium, set(true, true, false)),
            (High, Qualities::ALL),
        ] {
            let targets = [None, Some((0, Low)), Some((0, highest))];
            let wanted = wanted_qualities(&one, targets.into_iter());
            assert_eq!(wanted, expected, "up to {highest:?}");
        }
    }

    #[test]
    fn what_does_not_come_has_a_stand_in() {
        for (asked, silent, expected) in [
            (0b100, 0b000, 0b100),
            (0b100, 0b011, 0b100),
            (0b100, 0b100, 0b110),
            (0b100, 0b110, 0b111),
            (0b100, 0b111, 0b111),
            (0b001, 0b001, 0b011),
            (0b010, 0b010, 0b011),
            (0b010, 0b011, 0b111),
            (0b101, 0b001, 0b111),
            (0b000, 0b111, 0b000),
        ] {
            let failing = Failing { silent, frail: 0 };
            let all = with_stand_ins(asked, failing, 0b111);
            assert_eq!(all, expected, "{asked:03b} of which {silent:03b} silent");
        }
        let silent = |silent| Failing { silent, frail: 0 };
        assert_eq!(with_stand_ins(1, silent(1), 1), 1, "there is no other");
        assert_eq!(
            with_stand_ins(0b1_0010, silent(0b1_0010), 0b1_1100),
            0b1_1000,
            "none of another codec stands in, nor for one"
        );
        for (asked, frail, own, expected) in [
            (0b100, 0b100, 0b111, 0b111),
            (0b010, 0b010, 0b111, 0b011),
            (0b001, 0b001, 0b111, 0b001),
            (0b010, 0b100, 0b111, 0b010),
            (0b10_0000, 0b10_0000, 0b11_1000, 0b11_1000),
        ] {
            for silent in [0, frail & !1] {
                let all = with_stand_ins(asked, Failing { silent, frail }, own);
                assert_eq!(all, expected, "{asked:03b} of which {frail:03b} frail");
            }
        }
    }

    #[test]
    fn on_at_once_and_off_after_a_while() {
        let start = Instant::now();
        let at = |millis| start + Duration::from_millis(millis);
        let mut tracker = DemandTracker::new(start);
        assert_eq!(tracker.poll(at(4_999)), None);
        tracker.update(at(4_999), set(true, false, false));
        assert_eq!(tracker.poll(at(5_000)), Some(set(true, false, false)));
        tracker.update(at(6_000), set(false, false, true));
        assert_eq!(
            tracker.poll(at(6_000)),
            Some(set(true, false, true)),
            "on at once"
        );
        // Demand that comes back in time changes nothing.
        tracker.update(at(7_000), set(true, false, true));
        assert_eq!(tracker.poll(at(20_000)), None);
        tracker.update(at(20_000), Qualities::NONE);
        tracker.update(at(23_000), Qualities::NONE);
        assert_eq!(tracker.poll(at(24_999)), None);
        assert_eq!(tracker.poll(at(25_000)), Some(Qualities::NONE));
        assert_eq!(tracker.poll(at(99_000)), None);
        tracker.forget();
        assert_eq!(
            tracker.poll(at(99_000)),
            Some(Qualities::NONE),
            "told again"
        );
        assert_eq!(tracker.owed(at(99_999)), Qualities::NONE);
        tracker.update(at(99_999), Qualities::ALL);
        assert_eq!(tracker.poll(at(99_999)), Some(Qualities::ALL));
        tracker.forget();
        assert_eq!(
            tracker.poll(at(99_999)),
            Some(Qualities::ALL),
            "even if all are on"
        );
        tracker.update(at(99_999), Qualities::NONE);
        assert_eq!(tracker.poll(at(105_000)), Some(Qualities::NONE));
        tracker.update(at(106_000), set(true, false, false));
        assert!(tracker.poll(at(106_000)).is_some());
        for (millis, expected) in [
            (106_699, Qualities::NONE),
            (106_700, set(true, false, false)),
        ] {
            assert_eq!(tracker.owed(at(millis)), expected, "{millis}");
        }
        let list: Vec<_> = set(true, false, true).iter().collect();
        assert_eq!(list, [(Low, true), (Medium, false), (High, true)]);
    }
}
