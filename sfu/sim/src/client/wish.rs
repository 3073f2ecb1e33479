//! What a client has asked for and was allowed, track by track: what it may expect to get. Must not
//! ask for anything.

use std::{collections::BTreeMap, time::Duration};

/// Wishes for all tracks.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    by_track: BTreeMap<String, Wish>,
    /// What publishers call the tracks: what stands for one in another room has its name.
    names: BTreeMap<String, String>,
    auto_subscribe: bool,
}

#[derive(Debug, Clone, Copy)]
struct Wish {
    /// Since when the track is known.
    known: Option<Duration>,
    /// As it asked by name.
    subscribed: Option<bool>,
    is_shown: bool,
    is_allowed: bool,
    /// The node says that the link has no room for it.
    is_paused: bool,
    /// Nobody expects it any more.
    is_waived: bool,
    /// Since when all of that holds.
    since: Option<Duration>,
    /// Since when it is paused, and would be expected but for that; and how long that was so before.
    paused: Option<Duration>,
    paused_before: Duration,
}

/// What changes of a wish.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Subscribe(bool),
    Show(bool),
    Allow(bool),
    Pause(bool),
    Waive,
}

impl Wishes {
    pub(super) fn new(auto_subscribe: bool) -> Self {
        Self {
            by_track: BTreeMap::new(),
            names: BTreeMap::new(),
            auto_subscribe,
        }
    }

    /// A track is told of.
    pub(super) fn on_track(&mut self, now: Duration, track: &str, name: &str) {
        if !self.names.contains_key(track) {
            self.names.insert(track.to_owned(), name.to_owned());
        }
        self.change(now, track, |wish, _| {
            wish.known.get_or_insert(now);
        });
    }

    /// Applies a change; says whether it begins or ends what is expected.
    pub(super) fn apply(&mut self, now: Duration, track: &str, change: Change) -> bool {
        self.change(now, track, |wish, auto| match change {
            Change::Subscribe(wanted) => {
                // A new subscription is shown until told otherwise.
                wish.is_shown |= wanted && !wish.subscribed.unwrap_or(auto);
                wish.subscribed = Some(wanted);
            }
            // How a track is shown that is not subscribed to concerns nobody.
            Change::Show(shown) if wish.subscribed.unwrap_or(auto) => wish.is_shown = shown,
            Change::Show(_) => {}
            Change::Allow(allowed) => wish.is_allowed = allowed,
            Change::Pause(paused) => wish.is_paused = paused,
            Change::Waive => wish.is_waived = true,
        })
    }

    /// Since when a track may be expected.
    pub(super) fn since(&self, track: &str) -> Option<Duration> {
        self.by_track.get(track)?.since
    }

    /// How long a track was paused that was wanted.
    pub(super) fn paused(&self, now: Duration, track: &str) -> Duration {
        self.by_track.get(track).map_or(Duration::ZERO, |wish| {
            let lately = wish.paused.map(|since| now.saturating_sub(since));
            wish.paused_before + lately.unwrap_or_default()
        })
    }

    /// Whether a track is paused now and would be expected but for that.
    pub(super) fn is_paused(&self, track: &str) -> bool {
        let wish = self.by_track.get(track);
        wish.is_some_and(|wish| wish.paused.is_some() && !wish.is_waived)
    }

    /// The tracks that are paused now and would be expected but for that, and since when.
    pub(super) fn pauses(&self) -> impl Iterator<Item = (&str, Duration)> {
        let wishes = self.by_track.iter().filter(|(_, wish)| !wish.is_waived);
        wishes.filter_map(|(track, wish)| Some((track.as_str(), wish.paused?)))
    }

    /// The tracks of a name.
    pub(super) fn named(&self, name: &str) -> impl Iterator<Item = &str> {
        let named = self.names.iter().filter(move |(_, known)| *known == name);
        named.map(|(track, _)| track.as_str())
    }

    pub(super) fn is_known(&self, track: &str) -> bool {
        self.by_track
            .get(track)
            .is_some_and(|wish| wish.known.is_some())
    }

    fn change(&mut self, now: Duration, track: &str, apply: impl FnOnce(&mut Wish, bool)) -> bool {
        let auto = self.auto_subscribe;
        let wish = self.by_track.entry(track.to_owned()).or_insert(Wish {
            known: None,
            subscribed: None,
            is_shown: true,
            is_allowed: true,
            is_paused: false,
            is_waived: false,
            since: None,
            paused: None,
            paused_before: Duration::ZERO,
        });
        apply(wish, auto);
        let is_wanted = wish.known.is_some()
            && wish.subscribed.unwrap_or(auto)
            && wish.is_shown
            && wish.is_allowed;
        let holds = is_wanted && !wish.is_paused && !wish.is_waived;
        if is_wanted && wish.is_paused {
            wish.paused.get_or_insert(now);
        } else if let Some(since) = wish.paused.take() {
            wish.paused_before += now.saturating_sub(since);
        }
        let is_change = holds != wish.since.is_some();
        if is_change {
            wish.since = holds.then_some(now);
        }
        is_change
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_track_is_expected_while_it_is_known_wanted_and_allowed() {
        let at = Duration::from_secs;
        let mut wishes = Wishes::new(true);
        assert!(
            !wishes.apply(at(1), "t", Change::Subscribe(true)),
            "not known yet"
        );
        wishes.on_track(at(2), "t", "camera");
        assert_eq!(wishes.since("t"), Some(at(2)));
        for (second, change, since) in [
            (3, Change::Subscribe(true), Some(2)),
            (4, Change::Show(false), None),
            (5, Change::Subscribe(true), None),
            (6, Change::Subscribe(false), None),
            (7, Change::Show(true), None),
            (8, Change::Subscribe(true), Some(8)),
            (9, Change::Allow(false), None),
            (10, Change::Allow(true), Some(10)),
            (11, Change::Pause(true), None),
            (12, Change::Pause(false), Some(12)),
            (13, Change::Waive, None),
        ] {
            wishes.apply(at(second), "t", change);
            assert_eq!(wishes.since("t"), since.map(at), "{change:?}");
        }
    }

    #[test]
    fn the_time_counts_in_which_a_track_is_wanted_and_paused() {
        let at = Duration::from_secs;
        let mut wishes = Wishes::new(true);
        wishes.on_track(at(1), "t", "camera");
        for (second, change, paused) in [
            (2, Change::Pause(true), true),
            (5, Change::Show(false), false),
            (7, Change::Show(true), true),
            (8, Change::Pause(true), true),
            (9, Change::Pause(false), false),
        ] {
            wishes.apply(at(second), "t", change);
            assert_eq!(wishes.pauses().count(), usize::from(paused), "{change:?}");
        }
        assert_eq!(wishes.paused(at(20), "t"), at(3 + 2));
        wishes.apply(at(20), "t", Change::Pause(true));
        assert_eq!(wishes.paused(at(21), "t"), at(3 + 2 + 1));
    }
}
