//! Which worker a room lives on.
//!
//! Owns placement inside the node: a room goes to the least loaded worker and stays there. Must not
//! be used on the packet path; only joins, commands and a room's birth and end come here.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Rooms of a node.
#[derive(Debug)]
pub(crate) struct Directory {
    rooms: Mutex<Rooms>,
}

#[derive(Debug)]
struct Rooms {
    places: HashMap<String, Place>,
    /// Rooms placed on each worker.
    placed: Vec<u64>,
}

#[derive(Debug)]
struct Place {
    worker: usize,
    /// Id of the live room; absent while it does not exist yet, or is gone.
    id: Option<String>,
    /// Requests on their way to the worker that may make the room; they hold the place.
    pending: usize,
}

/// Holds a room's place while a request that may make it is under way. Without it, a room that ends
/// at that moment could come to life on two workers.
#[derive(Debug)]
pub(crate) struct Held {
    directory: Arc<Directory>,
    room: String,
    worker: usize,
}

impl Directory {
    pub(crate) fn new(workers: usize) -> Self {
        Self {
            rooms: Mutex::new(Rooms {
                places: HashMap::new(),
                placed: vec![0; workers],
            }),
        }
    }

    /// The worker of a room that exists.
    pub(crate) fn find(&self, room: &str) -> Option<usize> {
        self.lock().places.get(room).map(|place| place.worker)
    }

    /// The worker of a room, or a place for it: the worker with the least of rooms and what `load`
    /// says of it.
    pub(crate) fn place(self: &Arc<Self>, room: &str, load: impl Fn(usize) -> u64) -> Held {
        let mut rooms = self.lock();
        let worker = match rooms.places.get(room) {
            Some(place) => place.worker,
            None => rooms.least_loaded(load),
        };
        rooms.at(worker, room).pending += 1;
        Held {
            directory: Arc::clone(self),
            room: room.to_owned(),
            worker,
        }
    }

    /// The worker says the room has begun. Called by that worker's thread, in order with
    /// [`Directory::gone`].
    pub(crate) fn started(&self, worker: usize, room: &str, id: &str) {
        self.lock().at(worker, room).id = Some(id.to_owned());
    }

    /// The worker says the room is gone.
    pub(crate) fn gone(&self, room: &str) {
        let mut rooms = self.lock();
        if let Some(place) = rooms.places.get_mut(room) {
            place.id = None;
        }
        rooms.forget_if_idle(room);
    }

    /// A worker lost all its rooms; their names and ids, by name.
    pub(crate) fn lost(&self, worker: usize) -> Vec<(String, String)> {
        let mut rooms = self.lock();
        let mut lost: Vec<_> = rooms
            .places
            .iter_mut()
            .filter(|(_, place)| place.worker == worker)
            .filter_map(|(name, place)| Some((name.clone(), place.id.take()?)))
            .collect();
        for (name, _) in &lost {
            rooms.forget_if_idle(name);
        }
        lost.sort();
        lost
    }

    fn lock(&self) -> MutexGuard<'_, Rooms> {
        // No method panics half-way through a change.
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rooms {
    fn least_loaded(&self, load: impl Fn(usize) -> u64) -> usize {
        let total = |worker: usize| self.placed[worker].saturating_add(load(worker));
        (0..self.placed.len())
            .min_by_key(|&worker| total(worker))
            .unwrap_or(0)
    }

    /// The place of a room, made on `worker` when it has none.
    fn at(&mut self, worker: usize, room: &str) -> &mut Place {
        let placed = &mut self.placed;
        self.places.entry(room.to_owned()).or_insert_with(|| {
            placed[worker] += 1;
            Place {
                worker,
                id: None,
                pending: 0,
            }
        })
    }

    fn forget_if_idle(&mut self, room: &str) {
        if let Entry::Occupied(entry) = self.places.entry(room.to_owned())
            && entry.get().id.is_none()
            && entry.get().pending == 0
        {
            self.placed[entry.remove().worker] -= 1;
        }
    }
}

impl Held {
    pub(crate) fn worker(&self) -> usize {
        self.worker
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut rooms = self.directory.lock();
        if let Some(place) = rooms.places.get_mut(&self.room) {
            place.pending -= 1;
        }
        rooms.forget_if_idle(&self.room);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_goes_to_the_least_loaded_worker_and_stays() {
        let directory = Arc::new(Directory::new(3));
        let load = |worker| [5, 1, 3][worker];
        let first = directory.place("a", load);
        assert_eq!(first.worker(), 1);
        directory.started(1, "a", "RM_1");
        drop(first);
        // Rooms placed count at once, before the worker's own numbers show them.
        let second = directory.place("b", load);
        let third = directory.place("c", load);
        assert_eq!((second.worker(), third.worker()), (1, 1));
        assert_eq!(directory.place("d", load).worker(), 2);
        assert_eq!(directory.place("a", |worker| [0, 9, 9][worker]).worker(), 1);
        assert_eq!(directory.find("a"), Some(1));
        assert_eq!(directory.find("d"), None);
    }

    #[test]
    fn a_place_is_kept_only_for_what_lives_or_is_on_its_way() {
        let directory = Arc::new(Directory::new(1));
        drop(directory.place("refused", |_| 0));
        assert_eq!(directory.find("refused"), None);

        let held = directory.place("a", |_| 0);
        directory.started(0, "a", "RM_1");
        directory.gone("a");
        assert_eq!(directory.find("a"), Some(0), "held by a request under way");
        drop(held);
        assert_eq!(directory.find("a"), None);
    }

    #[test]
    fn a_lost_worker_names_its_live_rooms() {
        let directory = Arc::new(Directory::new(2));
        directory.started(0, "b", "RM_2");
        directory.started(0, "a", "RM_1");
        directory.started(1, "c", "RM_3");
        let held = directory.place("pending", |worker| [0, 9][worker]);
        let expected = [("a", "RM_1"), ("b", "RM_2")].map(|(n, i)| (n.to_owned(), i.to_owned()));
        assert_eq!(directory.lost(0), expected);
        assert_eq!(directory.find("c"), Some(1));
        assert_eq!(directory.find("pending"), Some(0));
        drop(held);
    }
}
