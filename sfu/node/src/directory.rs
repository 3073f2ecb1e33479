//! Which worker a room lives on, and which of its participants live on others.
//!
//! Owns placement inside the node: a room goes to the least loaded worker, its home, and stays there; a
//! room that outgrows its home spreads over the other workers. Of a room whose home is on another node the
//! first worker that serves it takes that place. Owns also the epochs of the rooms' placements on
//! nodes: what was placed earlier than the node knows is refused. Must not be used on the packet path; only
//! joins, commands, and the beginning and end of rooms and stays come here.

use std::{
    collections::{BTreeMap, HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use sfu_core::LinkKey;
use tokio::sync::Notify;

use crate::{
    epochs::{Epochs, Stale},
    worker,
};

/// Rooms of a node.
#[derive(Debug)]
pub(crate) struct Directory {
    /// The node's number.
    node: u64,
    rooms: Mutex<Rooms>,
    /// Told whenever this node is home of a room no longer.
    let_go: Notify,
}

#[derive(Debug)]
struct Rooms {
    places: HashMap<String, Place>,
    /// Rooms and stays on each worker, and requests on their way to it.
    loads: Vec<usize>,
    /// Participants of a room on one worker, past which it spreads.
    spread: usize,
    epochs: Epochs,
}

#[derive(Debug)]
struct Place {
    home: usize,
    /// The way to the home on another node, if it is there.
    away: Option<LinkKey>,
    /// Id of the live room; absent while it does not exist yet, or is gone.
    id: Option<String>,
    /// Requests on their way to a worker that may make the room; they hold the place.
    pending: usize,
    /// By identity.
    stays: BTreeMap<String, Stay>,
    /// Stays on each worker, and joins on their way to it.
    counts: Vec<usize>,
}

/// Where a participant lives.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Stay {
    participant: String,
    worker: usize,
}

/// A room that this node is home of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Home {
    /// Its name.
    pub(crate) room: String,
    /// Its id.
    pub(crate) id: String,
    /// Of its placement on this node; 0 when it was not placed.
    pub(crate) epoch: u64,
    /// Nobody in it is on this node.
    pub(crate) is_deserted: bool,
}

/// Holds a room's place while a request that may make it is under way. Without it, a room that ends
/// at that moment could come to life on two workers.
#[derive(Debug)]
pub(crate) struct Held {
    directory: Arc<Directory>,
    room: String,
    home: LinkKey,
    worker: usize,
}

impl Directory {
    /// `spread` is how many participants of one room a worker takes before others are asked.
    pub(crate) fn new(node: u64, workers: usize, spread: usize) -> Self {
        Self {
            node,
            rooms: Mutex::new(Rooms {
                places: HashMap::new(),
                loads: vec![0; workers],
                spread,
                epochs: Epochs::default(),
            }),
            let_go: Notify::new(),
        }
    }

    /// The home of a room that exists, or of one whose home is on another node a worker that serves it.
    pub(crate) fn find(&self, room: &str) -> Option<usize> {
        let rooms = self.lock();
        let place = rooms.places.get(room)?;
        let serves = |worker: &usize| place.counts[*worker] > 0;
        let serving = (0..place.counts.len()).find(serves);
        let edge = serving.filter(|_| place.away.is_some());
        Some(edge.unwrap_or(place.home))
    }

    /// The home of a room, or a place for it.
    pub(crate) fn place(self: &Arc<Self>, room: &str) -> Held {
        self.hold(room, |_, place| place.home)
    }

    /// A worker for somebody who joins a room: the one on which that identity is already, else one that
    /// has room. `away` is the way to its home, when that is another node.
    pub(crate) fn place_join(
        self: &Arc<Self>,
        room: &str,
        identity: &str,
        away: Option<LinkKey>,
    ) -> Held {
        let held = self.hold(room, |rooms, place| match place.stays.get(identity) {
            Some(stay) => stay.worker,
            None => choose(place.home, &place.counts, &rooms.loads, rooms.spread),
        });
        self.heading(held, away)
    }

    /// The same for somebody who has to be on a certain worker.
    pub(crate) fn place_on(
        self: &Arc<Self>,
        worker: usize,
        room: &str,
        away: Option<LinkKey>,
    ) -> Held {
        let held = self.hold(room, |_, _| worker);
        self.heading(held, away)
    }

    /// As told where the home of the room is.
    fn heading(&self, mut held: Held, away: Option<LinkKey>) -> Held {
        if let Some(place) = self.lock().places.get_mut(&held.room) {
            // A room that lives here stays here until it ends: its shard says so to who joins.
            if place.id.is_none() {
                place.away = away;
            }
            let here = worker::link(self.node, place.home);
            held.home = away.unwrap_or(here);
        }
        held
    }

    fn hold(self: &Arc<Self>, room: &str, choose: impl Fn(&Rooms, &Place) -> usize) -> Held {
        let mut rooms = self.lock();
        let least = least_loaded(&rooms.loads);
        rooms.at(least, room);
        let places = &rooms.places;
        let (home, worker) = places
            .get(room)
            .map_or((0, 0), |place| (place.home, choose(&rooms, place)));
        let place = rooms.at(home, room);
        place.pending += 1;
        place.counts[worker] += 1;
        let home = place.away.unwrap_or_else(|| worker::link(self.node, home));
        rooms.loads[worker] += 1;
        Held {
            directory: Arc::clone(self),
            room: room.to_owned(),
            home,
            worker,
        }
    }

    /// The worker of this node at the other end of a link.
    pub(crate) fn worker_behind(&self, link: LinkKey) -> Option<usize> {
        (link.node() == self.node).then(|| usize::from(link.worker()))
    }

    /// The worker says the room has begun. Called by that worker's thread, in order with
    /// [`Directory::gone`].
    pub(crate) fn started(&self, worker: usize, room: &str, id: &str) {
        let mut rooms = self.lock();
        let place = rooms.at(worker, room);
        (place.home, place.away, place.id) = (worker, None, Some(id.to_owned()));
    }

    /// A room that lives on another node has moved its home there.
    pub(crate) fn moved(&self, room: &str, home: LinkKey) {
        if let Some(place) = self.lock().places.get_mut(room)
            && place.id.is_none()
        {
            place.away = Some(home);
        }
    }

    /// A room that this node was home of has its home elsewhere from now on, and goes on here.
    pub(crate) fn handed_over(&self, room: &str, home: LinkKey) {
        let mut rooms = self.lock();
        rooms.epochs.ended(room);
        if let Some(place) = rooms.places.get_mut(room) {
            (place.away, place.id) = (Some(home), None);
        }
        rooms.forget_if_idle(room);
        drop(rooms);
        self.let_go.notify_waiters();
    }

    /// The worker that is to be home of a room by a placement on this node, when it is served here and its home is that
    /// node, which hands it over.
    pub(crate) fn heir(&self, room: &str, node: u64) -> Option<u8> {
        let rooms = self.lock();
        let place = rooms.places.get(room)?;
        place.away.filter(|home| home.node() == node)?;
        let serving = place.stays.values().map(|stay| stay.worker).min();
        u8::try_from(serving.unwrap_or(place.home)).ok()
    }

    /// Waits until this node is home of a room no longer.
    pub(crate) async fn until_let_go(&self, room: &str) {
        loop {
            // Told from here on, so that nothing is missed between the look and the wait.
            let let_go = self.let_go.notified();
            if !self.is_home(room) {
                return;
            }
            let_go.await;
        }
    }

    /// Whether this node is home of a room.
    fn is_home(&self, room: &str) -> bool {
        let rooms = self.lock();
        rooms
            .places
            .get(room)
            .is_some_and(|place| place.id.is_some())
    }

    /// Somebody asks for a room that was placed on this node by this epoch; 0 is not placed at all.
    ///
    /// # Errors
    /// It was placed again since, or has ended: the caller's knowledge is stale.
    pub(crate) fn admit(&self, room: &str, epoch: u64) -> Result<(), Stale> {
        self.lock().epochs.admit(room, epoch)
    }

    /// A room has another home since this epoch. Whether what is here is older, and has to go.
    pub(crate) fn fence(&self, room: &str, epoch: u64) -> bool {
        self.lock().epochs.fence(room, epoch)
    }

    /// The rooms that this node is home of, by name.
    pub(crate) fn homes(&self) -> Vec<Home> {
        let rooms = self.lock();
        let mut homes: Vec<_> = rooms
            .places
            .iter()
            .filter_map(|(name, place)| {
                Some(Home {
                    room: name.clone(),
                    id: place.id.clone()?,
                    epoch: rooms.epochs.of(name),
                    is_deserted: place.stays.is_empty(),
                })
            })
            .collect();
        homes.sort_by(|a, b| a.room.cmp(&b.room));
        homes
    }

    /// The home of a room says that it is gone.
    pub(crate) fn gone(&self, room: &str) {
        let mut rooms = self.lock();
        rooms.epochs.ended(room);
        if let Some(place) = rooms.places.get_mut(room) {
            place.id = None;
        }
        rooms.forget_if_idle(room);
        drop(rooms);
        self.let_go.notify_waiters();
    }

    /// A participant lives on a worker from now on.
    pub(crate) fn stay_began(
        &self,
        worker: usize,
        room: &str,
        identity: String,
        participant: String,
    ) {
        let mut rooms = self.lock();
        let Some(place) = rooms.places.get_mut(room) else {
            return;
        };
        place.counts[worker] += 1;
        let stay = Stay {
            participant,
            worker,
        };
        // Of two stays of one identity the older is about to end.
        let before = place.stays.insert(identity, stay);
        rooms.loads[worker] += 1;
        if let Some(before) = before {
            rooms.release(room, before.worker);
        }
    }

    /// It does no longer.
    pub(crate) fn stay_ended(&self, worker: usize, room: &str, identity: &str, participant: &str) {
        let mut rooms = self.lock();
        let Some(place) = rooms.places.get_mut(room) else {
            return;
        };
        let stay = place.stays.get(identity);
        if stay.is_some_and(|stay| stay.participant == participant && stay.worker == worker) {
            place.stays.remove(identity);
            rooms.release(room, worker);
            rooms.forget_if_idle(room);
        }
    }

    /// A worker lost all its rooms; their names and ids, by name.
    pub(crate) fn lost(&self, worker: usize) -> Vec<(String, String)> {
        let mut rooms = self.lock();
        let mut lost = Vec::new();
        let mut released = Vec::new();
        for (name, place) in &mut rooms.places {
            let is_home = place.home == worker && place.away.is_none();
            if let Some(id) = place.id.take_if(|_| is_home) {
                lost.push((name.clone(), id));
            }
            // Without its home a room ends on all workers.
            place.stays.retain(|_, stay| {
                let is_lost = is_home || stay.worker == worker;
                if is_lost {
                    released.push((name.clone(), stay.worker));
                }
                !is_lost
            });
        }
        for (room, worker) in released {
            rooms.release(&room, worker);
        }
        let idle: Vec<String> = rooms.places.keys().cloned().collect();
        for name in idle {
            rooms.forget_if_idle(&name);
        }
        for (name, _) in &lost {
            rooms.epochs.ended(name);
        }
        lost.sort();
        lost
    }

    fn lock(&self) -> MutexGuard<'_, Rooms> {
        // No method panics half-way through a change.
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The worker for one more participant of a room. As long as one that serves the room has room for it,
/// and is not much busier than the idlest, it is that one, the home first; else the idlest.
fn choose(home: usize, counts: &[usize], loads: &[usize], spread: usize) -> usize {
    let idlest = least_loaded(loads);
    let most = loads[idlest].saturating_add(spread);
    let fits = |worker: &usize| counts[*worker] < spread && loads[*worker] <= most;
    let edges = (0..counts.len()).filter(|worker| *worker != home && counts[*worker] > 0);
    let mut serving = [home].into_iter().chain(edges);
    serving.find(fits).unwrap_or(idlest)
}

fn least_loaded(loads: &[usize]) -> usize {
    (0..loads.len())
        .min_by_key(|&worker| loads[worker])
        .unwrap_or(0)
}

impl Rooms {
    /// The place of a room, made with its home on `worker` when it has none.
    fn at(&mut self, worker: usize, room: &str) -> &mut Place {
        let Self { places, loads, .. } = self;
        places.entry(room.to_owned()).or_insert_with(|| {
            loads[worker] += 1;
            Place {
                home: worker,
                away: None,
                id: None,
                pending: 0,
                stays: BTreeMap::new(),
                counts: vec![0; loads.len()],
            }
        })
    }

    /// A stay, or a request under way, is over.
    fn release(&mut self, room: &str, worker: usize) {
        if let Some(place) = self.places.get_mut(room) {
            place.counts[worker] = place.counts[worker].saturating_sub(1);
        }
        self.loads[worker] = self.loads[worker].saturating_sub(1);
    }

    fn forget_if_idle(&mut self, room: &str) {
        if let Entry::Occupied(entry) = self.places.entry(room.to_owned())
            && entry.get().id.is_none()
            && entry.get().pending == 0
            && (entry.get().away.is_none() || entry.get().stays.is_empty())
        {
            let place = entry.remove();
            for stay in place.stays.values() {
                self.loads[stay.worker] = self.loads[stay.worker].saturating_sub(1);
            }
            self.loads[place.home] = self.loads[place.home].saturating_sub(1);
        }
    }
}

impl Held {
    /// Where the request goes.
    pub(crate) fn worker(&self) -> usize {
        self.worker
    }

    /// The home of the room, when that is another worker, here or on another node.
    pub(crate) fn home(&self) -> Option<LinkKey> {
        let own = worker::link(self.directory.node, self.worker);
        (self.home != own).then_some(self.home)
    }

    /// The worker of this node that is the home.
    pub(crate) fn home_here(&self) -> Option<u8> {
        (self.home.node() == self.directory.node).then(|| self.home.worker())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut rooms = self.directory.lock();
        if let Some(place) = rooms.places.get_mut(&self.room) {
            place.pending -= 1;
        }
        rooms.release(&self.room, self.worker);
        rooms.forget_if_idle(&self.room);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NODE: u64 = 7;

    fn directory(workers: usize) -> Arc<Directory> {
        Arc::new(Directory::new(NODE, workers, 3))
    }

    fn loads(directory: &Directory) -> Vec<usize> {
        directory.lock().loads.clone()
    }

    /// A join that comes about; the worker it was given, and the home if that is another.
    fn join(directory: &Arc<Directory>, room: &str, identity: &str) -> (usize, Option<usize>) {
        let held = directory.place_join(room, identity, None);
        let home = held.home().map(|home| usize::from(home.worker()));
        if home.is_none() && directory.lock().places[room].id.is_none() {
            directory.started(held.worker(), room, "RM_1");
        }
        let participant = format!("PA_{identity}");
        directory.stay_began(held.worker(), room, identity.to_owned(), participant);
        (held.worker(), home)
    }

    /// The worker for somebody who joins.
    fn placed(directory: &Arc<Directory>, room: &str, identity: &str) -> usize {
        directory.place_join(room, identity, None).worker()
    }

    fn leave(directory: &Directory, worker: usize, room: &str, identity: &str) {
        directory.stay_ended(worker, room, identity, &format!("PA_{identity}"));
    }

    #[test]
    fn a_room_goes_to_the_least_loaded_worker_and_stays() {
        let directory = directory(3);
        let first = directory.place("a");
        // Requests under way count at once.
        let (second, third) = (directory.place("b"), directory.place("c"));
        assert_eq!((first.worker(), second.worker(), third.worker()), (0, 1, 2));
        directory.started(1, "b", "RM_2");
        drop((first, second, third));
        assert_eq!(loads(&directory), [0, 1, 0]);
        assert_eq!(directory.place("b").worker(), 1);
        assert_eq!(directory.find("b"), Some(1));
        assert_eq!(directory.find("a"), None);
    }

    #[test]
    fn a_room_that_outgrows_its_worker_spreads() {
        let directory = directory(3);
        let places: Vec<_> = (0..10)
            .map(|n| join(&directory, "a", &n.to_string()))
            .collect();
        let home = (0, None);
        let edge = |worker| (worker, Some(0));
        let full = [
            home,
            home,
            home,
            edge(1),
            edge(1),
            edge(1),
            edge(2),
            edge(2),
            edge(2),
            edge(1),
        ];
        assert_eq!(places, full, "one worker after the other, then the idlest");
        // Whoever is there already is found again, wherever there is room.
        leave(&directory, 0, "a", "0");
        assert_eq!(join(&directory, "a", "6"), edge(2));
        assert_eq!(join(&directory, "a", "new"), home);
        for n in 1..10 {
            for worker in 0..3 {
                leave(&directory, worker, "a", &n.to_string());
            }
        }
        leave(&directory, 0, "a", "new");
        assert_eq!(loads(&directory), [1, 0, 0]);
        directory.gone("a");
        assert_eq!(loads(&directory), [0; 3]);
    }

    #[test]
    fn a_worker_that_is_much_busier_takes_nobody_more() {
        for (case, counts, loads, chosen) in [
            ("an empty room", [0, 0], [5, 4], 0),
            ("not much busier", [1, 0], [4, 1], 0),
            ("much busier", [1, 0], [5, 1], 1),
            ("full, the other busier yet", [3, 0], [3, 9], 0),
            ("both full", [3, 3], [4, 3], 1),
        ] {
            assert_eq!(choose(0, &counts, &loads, 3), chosen, "{case}");
        }
    }

    #[test]
    fn an_older_stay_ends_without_taking_the_newer_along() {
        let directory = directory(2);
        join(&directory, "a", "ann");
        directory.stay_began(1, "a", "ann".into(), "PA_new".into());
        assert_eq!(placed(&directory, "a", "ann"), 1);
        leave(&directory, 0, "a", "ann");
        assert_eq!(placed(&directory, "a", "ann"), 1);
        assert_eq!(loads(&directory), [1, 1]);
        directory.stay_ended(1, "a", "ann", "PA_new");
        assert_eq!(loads(&directory), [1, 0]);
    }

    #[test]
    fn a_place_is_kept_only_for_what_lives_or_is_on_its_way() {
        let directory = directory(1);
        drop(directory.place("refused"));
        assert_eq!(directory.find("refused"), None);

        let held = directory.place("a");
        directory.started(0, "a", "RM_1");
        directory.gone("a");
        assert_eq!(directory.find("a"), Some(0), "held by a request under way");
        drop(held);
        assert_eq!(directory.find("a"), None);
        assert_eq!(loads(&directory), [0]);
    }

    #[test]
    fn a_room_of_another_node_is_kept_while_somebody_is_in_it() {
        let directory = directory(2);
        let away = Some(LinkKey::new(9, 3));
        let held = directory.place_join("a", "ann", away);
        assert_eq!(
            (held.worker(), held.home(), held.home_here()),
            (0, away, None)
        );
        directory.stay_began(0, "a", "ann".into(), "PA_ann".into());
        drop(held);
        assert_eq!(directory.place("a").home_here(), None, "others are told so");
        directory.stay_began(1, "a", "bob".into(), "PA_bob".into());
        leave(&directory, 0, "a", "ann");
        assert_eq!(directory.find("a"), Some(1), "a worker that serves it");
        leave(&directory, 1, "a", "bob");
        assert_eq!(directory.find("a"), None);
        assert_eq!(loads(&directory), [0, 0]);
    }

    #[test]
    fn a_room_that_is_handed_over_is_kept_while_somebody_is_in_it() {
        let directory = directory(2);
        join(&directory, "a", "ann");
        let away = LinkKey::new(9, 3);
        directory.handed_over("a", away);
        assert_eq!(
            (directory.is_home("a"), directory.find("a")),
            (false, Some(0))
        );
        assert_eq!(directory.homes(), []);
        assert_eq!(directory.place_join("a", "bob", None).home_here(), Some(0));
        leave(&directory, 0, "a", "ann");
        assert_eq!(directory.find("a"), None);
        assert_eq!(loads(&directory), [0, 0]);
        join(&directory, "b", "ann");
        leave(&directory, 0, "b", "ann");
        directory.handed_over("b", away);
        assert_eq!(directory.find("b"), None, "nobody is in it");
    }

    #[test]
    fn whoever_serves_a_room_is_the_heir_of_its_home() {
        let directory = directory(3);
        assert_eq!(directory.heir("a", 9), None);
        let held = directory.place_on(2, "a", Some(LinkKey::new(9, 3)));
        assert_eq!(directory.heir("a", 9), Some(0), "nobody is in it yet");
        directory.stay_began(2, "a", "ann".into(), "PA_ann".into());
        drop(held);
        assert_eq!(
            (directory.heir("a", 9), directory.heir("a", 8)),
            (Some(2), None)
        );
        directory.started(2, "a", "RM_1");
        assert_eq!(directory.heir("a", 9), None);
        assert_eq!(directory.place("a").home_here(), Some(2));
    }

    #[test]
    fn a_room_comes_to_this_node_when_its_home_does() {
        let directory = directory(2);
        let held = directory.place_join("a", "ann", Some(LinkKey::new(9, 3)));
        directory.stay_began(0, "a", "ann".into(), "PA_ann".into());
        drop(held);
        let held = directory.place_join("a", "bob", None);
        assert_eq!(held.home_here(), Some(0));
        directory.started(0, "a", "RM_1");
        assert_eq!(directory.place("a").home_here(), Some(0));
    }

    #[test]
    fn a_lost_worker_names_its_live_rooms_and_loses_its_stays() {
        let directory = directory(2);
        directory.started(0, "b", "RM_2");
        directory.started(0, "a", "RM_1");
        directory.started(1, "c", "RM_3");
        directory.stay_began(1, "a", "ann".into(), "PA_1".into());
        directory.stay_began(0, "c", "bob".into(), "PA_2".into());
        directory.stay_began(1, "c", "cat".into(), "PA_3".into());
        let held = directory.place("pending");
        assert_eq!(held.worker(), 0, "3 on each");
        let expected = [("a", "RM_1"), ("b", "RM_2")].map(|(n, i)| (n.to_owned(), i.to_owned()));
        assert_eq!(directory.lost(0), expected);
        assert_eq!(directory.find("c"), Some(1));
        assert_eq!(directory.find("pending"), Some(0));
        drop(held);
        assert_eq!(loads(&directory), [0, 2]);
        assert_eq!(placed(&directory, "c", "cat"), 1);
    }
}
