//! Which published track is whose: what signalling says of the tracks that engines measure.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Directory(Mutex<HashMap<String, Entry>>);

/// A published track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) room: String,
    /// Identity of who publishes it.
    pub(super) publisher: String,
    /// As its publisher calls it.
    pub(super) name: String,
}

impl Directory {
    /// Notes a track; the first who says it is believed.
    pub(super) fn add(&self, track: &str, room: &str, publisher: &str, name: &str) {
        let mut entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Not `entry`: a thousand subscribers say the same.
        if !entries.contains_key(track) {
            let entry = Entry {
                room: room.to_owned(),
                publisher: publisher.to_owned(),
                name: name.to_owned(),
            };
            entries.insert(track.to_owned(), entry);
        }
    }

    /// What is known of a track.
    pub(super) fn find(&self, track: &str) -> Option<Entry> {
        let entries = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        entries.get(track).cloned()
    }
}
