//! The control planes' part of a cluster in virtual time, with everything going wrong by a seed: three replicas on one
//! store, media nodes that come and go, backends that make, change and end rooms, participants that join and leave, and
//! readers of events.
//!
//! What is judged: no epoch of a room is ever on two nodes; what was acknowledged of a room is there after all; soon after
//! the last fault every room is on one node, that which the store names, every participant is back, and who reads events
//! knows of them all and of nobody else.

mod backend;
mod faults;
mod held;
mod judge;
mod line;
mod node;
mod people;
mod reader;
mod serve;
mod store;
mod world;

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use plenum_proto::{node::Join, v1::RoomConfig};
use rand::{Rng as _, SeedableRng as _, rngs::StdRng};
use tokio::{
    task::JoinSet,
    time::{Instant, sleep},
};

use self::{
    faults::{Fault, Fired},
    line::{State, Way},
    node::SimNode,
    people::Person,
    reader::Belief,
    world::World,
};
use super::Cluster;
use crate::signal::{
    Refusal,
    node::{First, open},
};

const LEASE: Duration = Duration::from_secs(3);

/// How long things go wrong.
const RUN: Duration = Duration::from_secs(25);

/// After the last fault.
const HEALING: Duration = Duration::from_secs(10);

const REPLICAS: usize = 3;
const NODES: usize = 3;

/// Rooms of backends.
const ROOMS: usize = 4;

/// Rooms of participants.
const CALLS: usize = 3;

/// Participants of one.
const PEOPLE: usize = 3;

/// What anybody waits for an answer.
const ANSWER: Duration = Duration::from_secs(5);

/// A replica, and what somebody believes who reads its events.
type Running = (Arc<Cluster>, Arc<Belief>);

/// What all parts of the world share.
struct Shared {
    seed: u64,
    fired: Arc<Fired>,
    rng: Mutex<StdRng>,
    /// Those that run, by number; no number is used twice.
    replicas: Mutex<BTreeMap<u64, Running>>,
    nodes: Mutex<BTreeMap<String, Arc<SimNode>>>,
    /// Between replicas and nodes.
    ways: Mutex<BTreeMap<(u64, String), Arc<Way>>>,
    /// Which node took a room by which epoch.
    admitted: Mutex<BTreeMap<(String, u64), String>>,
    /// Ids of participants as they know them, by room and identity.
    present: Mutex<BTreeMap<(String, String), String>>,
    /// Laws that were broken.
    broken: Mutex<Vec<String>>,
}

impl Shared {
    fn new(seed: u64, fired: &Arc<Fired>) -> Arc<Self> {
        Arc::new(Self {
            seed,
            fired: Arc::clone(fired),
            rng: Mutex::new(StdRng::seed_from_u64(seed)),
            replicas: Mutex::default(),
            nodes: Mutex::default(),
            ways: Mutex::default(),
            admitted: Mutex::default(),
            present: Mutex::default(),
            broken: Mutex::default(),
        })
    }

    fn choose(&self, below: usize) -> usize {
        self.rng.lock().unwrap().random_range(0..below)
    }

    fn replicas(&self) -> Vec<Arc<Cluster>> {
        let replicas = self.replicas.lock().unwrap();
        let running = replicas.values();
        running.map(|(replica, _)| Arc::clone(replica)).collect()
    }

    fn beliefs(&self) -> Vec<Arc<Belief>> {
        let replicas = self.replicas.lock().unwrap();
        let running = replicas.values();
        running.map(|(_, belief)| Arc::clone(belief)).collect()
    }

    fn any_replica(&self) -> Option<Arc<Cluster>> {
        let mut replicas = self.replicas();
        let count = replicas.len();
        (count > 0).then(|| replicas.swap_remove(self.choose(count)))
    }

    fn nodes(&self) -> Vec<Arc<SimNode>> {
        self.nodes.lock().unwrap().values().cloned().collect()
    }

    fn any_node(&self) -> Arc<SimNode> {
        let mut nodes = self.nodes();
        let count = nodes.len();
        nodes.swap_remove(self.choose(count))
    }

    fn way(&self, replica: u64, node: &str) -> Arc<Way> {
        let mut ways = self.ways.lock().unwrap();
        let way = ways.entry((replica, node.to_owned()));
        Arc::clone(way.or_default())
    }

    /// All ways that end at one replica or node.
    fn set_ways(&self, ends_there: impl Fn(u64, &str) -> bool, state: State) {
        let ways = self.ways.lock().unwrap();
        let those = ways.iter().filter(|((r, n), _)| ends_there(*r, n));
        those.for_each(|(_, way)| way.set(state));
    }

    /// One owner per room and epoch.
    fn admitted(&self, room: &str, epoch: u64, node: &str) {
        if epoch == 0 {
            return;
        }
        let mut admitted = self.admitted.lock().unwrap_or_else(PoisonError::into_inner);
        let before = admitted.insert((room.to_owned(), epoch), node.to_owned());
        if let Some(before) = before
            && before != node
        {
            let both = format!("{room} is on {before} and {node} by epoch {epoch}");
            self.broken.lock().unwrap().push(both);
        }
    }
}

async fn run(seed: u64, fired: &Arc<Fired>) {
    let shared = Shared::new(seed, fired);
    let mut world = World::start(&shared).await;
    let until = Instant::now() + RUN;
    let mut people = Vec::new();
    let mut living = JoinSet::new();
    for n in 0..CALLS * PEOPLE {
        let person = Person {
            room: format!("call-{}", n % CALLS),
            identity: format!("person-{n}"),
            stays: n / CALLS > 0,
        };
        people.push(person.clone());
        living.spawn(people::live(Arc::clone(&shared), person, until));
    }
    let mut backends = JoinSet::new();
    for n in 0..ROOMS {
        let room = format!("room-{n}");
        backends.spawn(backend::work(Arc::clone(&shared), room, until));
    }
    while Instant::now() < until {
        sleep(Duration::from_millis(shared.choose(1500) as u64)).await;
        world.fail().await;
    }
    let ends = backends.join_all().await;
    world.heal();
    sleep(HEALING).await;
    judge::judge(&shared, ends, &people).await;
    world.stop();
}

/// Runs something in a runtime of its own, in virtual time.
fn in_virtual_time(run: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(run);
}

/// Who may not make rooms comes into one whose home was lost: by its record it is there.
#[test]
fn a_room_that_must_exist_outlives_its_home() {
    in_virtual_time(async {
        let shared = Shared::new(1, &Arc::default());
        let world = World::start(&shared).await;
        let room = RoomConfig {
            name: "tea".to_owned(),
            ..RoomConfig::default()
        };
        let replica = shared.any_replica().unwrap();
        while replica.create(room.clone()).await.is_err() {}
        let home = replica.home_of("tea").await.unwrap().unwrap().node_id;
        world.kill_node(&home);
        let join = Join {
            room: Some(room),
            must_exist: true,
            identity: "ann".to_owned(),
            ..Join::default()
        };
        // The store's answers get lost now and then.
        let opened = loop {
            match open(&replica, join.clone(), ANSWER).await {
                Err(Refusal::NoNode) => sleep(ANSWER).await,
                opened => break opened,
            }
        };
        assert!(matches!(opened, Ok((_, First::Joined(_)))), "it is there");
        world.stop();
    });
}

#[test]
fn rooms_stay_whole_whatever_fails() {
    let fired = Arc::default();
    for seed in 1..=50 {
        in_virtual_time(run(seed, &fired));
    }
    for fault in Fault::ALL {
        assert!(fired.count(fault) > 0, "{fault:?} was never seen");
    }
}

/// `PLENUM_SIM_SEEDS=51..2000 cargo test -p control-plane --lib thousands_of_seeds -- --ignored --nocapture`
#[test]
#[ignore = "takes minutes: by hand"]
fn thousands_of_seeds() {
    let seeds = std::env::var("PLENUM_SIM_SEEDS").unwrap_or_else(|_| "51..2000".to_owned());
    let (from, to) = seeds.split_once("..").expect("FROM..TO");
    let fired = Arc::default();
    let mut broken = Vec::new();
    for seed in from.parse().unwrap()..to.parse().unwrap() {
        let judged = AssertUnwindSafe(|| in_virtual_time(run(seed, &fired)));
        if catch_unwind(judged).is_err() {
            broken.push(seed);
        }
    }
    for fault in Fault::ALL {
        println!("{fault:?}: {}", fired.count(fault));
    }
    assert!(broken.is_empty(), "{broken:?}");
}
