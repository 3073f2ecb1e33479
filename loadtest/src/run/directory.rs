//! Which published track is whose, and when it was sent: what participants of this run know of the tracks
//! that engines measure.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::signal::TrackKind;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Directory(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    entries: HashMap<String, Entry>,
    /// Of tracks that are published from here.
    sent: HashMap<String, Sent>,
}

/// A published track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) room: String,
    /// Identity of who publishes it.
    pub(super) publisher: String,
    /// As its publisher calls it.
    pub(super) name: String,
    pub(super) kind: TrackKind,
    /// Media type of its codec; empty when nobody says.
    pub(super) mime: String,
}

/// When a track was sent, Unix nanoseconds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Sent {
    pub(super) from_ns: u64,
    /// None: it still is.
    pub(super) to_ns: Option<u64>,
    /// Of audio, when its publisher talked; the end of the last one is open while it does.
    pub(super) talks: Vec<(u64, Option<u64>)>,
}

impl Directory {
    /// Notes a track; the first who says it is believed.
    pub(super) fn add(&self, track: &str, entry: impl FnOnce() -> Entry) {
        let mut known = self.lock();
        // Not `entry`: a thousand subscribers say the same.
        if !known.entries.contains_key(track) {
            known.entries.insert(track.to_owned(), entry());
        }
    }

    /// What is known of a track.
    pub(super) fn find(&self, track: &str) -> Option<Entry> {
        self.lock().entries.get(track).cloned()
    }

    /// A track of ours is sent from now on.
    pub(super) fn on_sent(&self, track: &str, now_ns: u64) {
        let mut known = self.lock();
        known.sent.entry(track.to_owned()).or_insert_with(|| Sent {
            from_ns: now_ns,
            ..Sent::default()
        });
    }

    /// The publisher of a track of ours talks from now on, or is silent.
    pub(super) fn on_talk(&self, track: &str, now_ns: u64, talks: bool) {
        if let Some(sent) = self.lock().sent.get_mut(track) {
            match (sent.talks.last_mut(), talks) {
                (Some((_, end @ None)), false) => *end = Some(now_ns),
                (Some((_, None)), true) | (None, false) => {}
                (_, true) => sent.talks.push((now_ns, None)),
                (Some(_), false) => {}
            }
        }
    }

    /// A track of ours is not sent any more.
    pub(super) fn on_stopped(&self, track: &str, now_ns: u64) {
        if let Some(sent) = self.lock().sent.get_mut(track) {
            sent.to_ns.get_or_insert(now_ns);
        }
    }

    /// When a track was sent; nothing of tracks of others.
    pub(super) fn sent(&self, track: &str) -> Option<Sent> {
        self.lock().sent.get(track).cloned()
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sent {
    /// How long of `from_ns..to_ns` it was sent, from when on; nothing when it was not.
    pub(super) fn within(&self, from_ns: u64, to_ns: u64) -> (u64, u64) {
        let to_ns = self.to_ns.map_or(to_ns, |end| end.min(to_ns));
        let from_ns = from_ns.max(self.from_ns);
        (from_ns, to_ns.max(from_ns))
    }

    /// How long of `from_ns..to_ns` its publisher talked, nanoseconds.
    pub(super) fn talked_ns(&self, from_ns: u64, to_ns: u64) -> u64 {
        let (from_ns, to_ns) = self.within(from_ns, to_ns);
        let talks = self.talks.iter().map(|(begin, end)| {
            let end = end.map_or(to_ns, |end| end.min(to_ns));
            end.saturating_sub(from_ns.max(*begin))
        });
        talks.sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_sent_and_said_is_known_by_time() {
        let directory = Directory::default();
        directory.on_talk("TR", 5, true);
        assert_eq!(directory.sent("TR"), None, "not sent yet");
        directory.on_sent("TR", 10);
        for (at, talks) in [(10, true), (20, false), (25, false), (30, true), (35, true)] {
            directory.on_talk("TR", at, talks);
        }
        directory.on_stopped("TR", 40);
        directory.on_stopped("TR", 50);
        let sent = directory.sent("TR").expect("sent");
        assert_eq!(sent.talks, [(10, Some(20)), (30, None)]);
        assert_eq!(sent.within(0, 100), (10, 40));
        assert_eq!(sent.within(60, 100), (60, 60));
        let talked = [(0, 100), (15, 35), (20, 30), (38, 90)];
        assert_eq!(
            talked.map(|(from, to)| sent.talked_ns(from, to)),
            [20, 10, 0, 2]
        );
    }
}
