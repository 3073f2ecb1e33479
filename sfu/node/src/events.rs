//! Events of rooms: numbers them, keeps the newest, and lets readers follow or catch up.
//!
//! Owns the sequence and the epoch. A reader pulls from the one kept list by a cursor, so a slow one
//! costs nothing: when the list has moved past its cursor, it is told that it lost events. Must not
//! wait while it holds the lock; workers write here.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use plenum_proto::v1::Event;
use prost::Message as _;
use tokio::sync::watch;

use crate::config::EventsConfig;

/// Events a reader looks at for one hold of the lock.
const BATCH: usize = 256;

/// Why events cannot be read on from a sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WatchError {
    /// The caller asked for what is no longer kept, or has not happened in this epoch.
    #[error("events after {asked} are not kept; the oldest kept is {oldest}, the newest {newest}")]
    OutOfRange {
        asked: u64,
        oldest: u64,
        newest: u64,
    },
    /// The reader is too slow.
    #[error("events after {after} were not read in time and are no longer kept")]
    Lost { after: u64 },
    /// The node stops.
    #[error("the node stops")]
    Ended,
}

/// The events of all rooms of a node.
pub(crate) struct EventLog {
    epoch: String,
    config: EventsConfig,
    kept: Mutex<Kept>,
    newest: watch::Sender<u64>,
    watchers: AtomicU64,
}

#[derive(Default)]
struct Kept {
    events: VecDeque<(usize, Arc<Event>)>,
    bytes: usize,
    newest: u64,
    ended: bool,
}

impl EventLog {
    pub(crate) fn new(epoch: String, config: EventsConfig) -> Self {
        let newest = watch::Sender::new(0);
        let watchers = AtomicU64::new(0);
        Self {
            epoch,
            config,
            kept: Mutex::default(),
            newest,
            watchers,
        }
    }

    /// Numbers an event and keeps it.
    pub(crate) fn push(&self, mut event: Event) {
        event.epoch.clone_from(&self.epoch);
        // Without the sequence number, which takes a few bytes more.
        let bytes = event.encoded_len();
        let mut kept = self.lock();
        kept.newest += 1;
        event.sequence = kept.newest;
        kept.bytes += bytes;
        kept.events.push_back((bytes, Arc::new(event)));
        while kept.events.len() > 1
            && (kept.events.len() > self.config.keep || kept.bytes > self.config.keep_bytes)
        {
            if let Some((bytes, _)) = kept.events.pop_front() {
                kept.bytes -= bytes;
            }
        }
        self.newest.send_replace(kept.newest);
    }

    /// Nothing more will happen: readers end once they have read all.
    pub(crate) fn end(&self) {
        let mut kept = self.lock();
        kept.ended = true;
        self.newest.send_replace(kept.newest);
    }

    /// Follows from the event after `after`; from 0 on that is from now on, or `from_first` from the first event
    /// kept.
    pub(crate) fn watch(
        self: &Arc<Self>,
        room: &str,
        after: u64,
        from_first: bool,
    ) -> Result<Watcher, WatchError> {
        let kept = self.lock();
        let oldest = kept.oldest();
        if after > kept.newest || (after > 0 && after + 1 < oldest) {
            return Err(WatchError::OutOfRange {
                asked: after,
                oldest,
                newest: kept.newest,
            });
        }
        let after = match after {
            0 if from_first => oldest - 1,
            0 => kept.newest,
            after => after,
        };
        drop(kept);
        self.watchers.fetch_add(1, Ordering::Relaxed);
        Ok(Watcher {
            changed: self.newest.subscribe(),
            log: Arc::clone(self),
            room: room.to_owned(),
            after,
            batch: VecDeque::new(),
        })
    }

    pub(crate) fn epoch(&self) -> &str {
        &self.epoch
    }

    pub(crate) fn newest(&self) -> u64 {
        self.lock().newest
    }

    pub(crate) fn watchers(&self) -> u64 {
        self.watchers.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        // A push that panicked half-way leaves at worst a gap in the numbers.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// Sequence of the oldest event kept; of the next one when there is none.
    fn oldest(&self) -> u64 {
        self.events
            .front()
            .map_or(self.newest + 1, |(_, event)| event.sequence)
    }
}

/// One reader of events.
pub(crate) struct Watcher {
    log: Arc<EventLog>,
    changed: watch::Receiver<u64>,
    room: String,
    after: u64,
    batch: VecDeque<Arc<Event>>,
}

impl Watcher {
    /// The sequence of the event before the next that is looked at.
    pub(crate) fn after(&self) -> u64 {
        self.after
    }

    /// The next event; waits for it.
    pub(crate) async fn next(&mut self) -> Result<Event, WatchError> {
        loop {
            if let Some(event) = self.batch.pop_front() {
                return Ok(Arc::unwrap_or_clone(event));
            }
            self.changed.mark_unchanged();
            if self.fill()? {
                continue;
            }
            if self.changed.changed().await.is_err() {
                return Err(WatchError::Ended);
            }
        }
    }

    /// Takes a batch of events of the room; whether anything was there to look at.
    fn fill(&mut self) -> Result<bool, WatchError> {
        let kept = self.log.lock();
        if self.after == kept.newest {
            return if kept.ended {
                Err(WatchError::Ended)
            } else {
                Ok(false)
            };
        }
        let oldest = kept.oldest();
        if self.after + 1 < oldest {
            return Err(WatchError::Lost { after: self.after });
        }
        let skip = usize::try_from(self.after + 1 - oldest).unwrap_or(usize::MAX);
        for (_, event) in kept.events.iter().skip(skip).take(BATCH) {
            self.after = event.sequence;
            let named = event
                .room
                .as_ref()
                .is_some_and(|room| room.name == self.room);
            if self.room.is_empty() || named {
                self.batch.push_back(Arc::clone(event));
            }
        }
        Ok(true)
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        self.log.watchers.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use plenum_proto::v1::Room;

    use super::*;

    fn log(keep: usize) -> Arc<EventLog> {
        let config = EventsConfig {
            keep,
            ..EventsConfig::default()
        };
        Arc::new(EventLog::new("epoch".into(), config))
    }

    fn event(room: &str) -> Event {
        Event {
            room: Some(Room {
                name: room.into(),
                ..Room::default()
            }),
            ..Event::default()
        }
    }

    #[tokio::test]
    async fn a_reader_sees_its_room_from_now_on() {
        let log = log(10);
        log.push(event("a"));
        let mut watcher = log.watch("a", 0, false).unwrap();
        log.push(event("b"));
        log.push(event("a"));
        log.end();
        let seen = watcher.next().await.unwrap();
        assert_eq!((seen.sequence, seen.epoch.as_str()), (3, "epoch"));
        assert_eq!(watcher.next().await, Err(WatchError::Ended));
    }

    #[tokio::test]
    async fn a_reader_can_begin_with_what_is_kept() {
        let log = log(3);
        for _ in 0..5 {
            log.push(event("a"));
        }
        let mut watcher = log.watch("", 0, true).unwrap();
        assert_eq!(watcher.next().await.unwrap().sequence, 3);
        let mut resumed = log.watch("", 4, true).unwrap();
        assert_eq!(resumed.next().await.unwrap().sequence, 5);
    }

    #[tokio::test]
    async fn a_reader_comes_back_where_it_left() {
        let log = log(10);
        for _ in 0..4 {
            log.push(event("a"));
        }
        let mut watcher = log.watch("", 2, false).unwrap();
        assert_eq!(watcher.next().await.unwrap().sequence, 3);
        assert_eq!(watcher.next().await.unwrap().sequence, 4);
        log.push(event("b"));
        assert_eq!(watcher.next().await.unwrap().sequence, 5);
    }

    #[test]
    fn only_what_is_kept_can_be_resumed() {
        let log = log(3);
        for _ in 0..5 {
            log.push(event("a"));
        }
        // Kept are 3, 4 and 5: after 2 is the first that works.
        for (after, works) in [(1, false), (2, true), (5, true), (6, false)] {
            let watcher = log.watch("", after, false);
            assert_eq!(watcher.is_ok(), works, "after {after}");
        }
        assert_eq!(log.watchers(), 0);
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_what_it_lost() {
        let log = log(3);
        let mut watcher = log.watch("", 0, false).unwrap();
        for _ in 0..4 {
            log.push(event("a"));
        }
        assert_eq!(watcher.next().await, Err(WatchError::Lost { after: 0 }));
    }

    #[test]
    fn large_events_push_out_older_ones() {
        let config = EventsConfig {
            keep: 100,
            keep_bytes: 100,
        };
        let log = Arc::new(EventLog::new("epoch".into(), config));
        for _ in 0..3 {
            log.push(event(&"x".repeat(80)));
        }
        assert!(log.watch("", 2, false).is_ok());
        assert!(log.watch("", 1, false).is_err());
    }
}
