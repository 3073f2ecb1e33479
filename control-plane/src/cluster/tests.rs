//! What a cluster promises about rooms, on the embedded store and, where it is installed, on etcd. Nodes are reports
//! alone: nobody talks to them here.

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use plenum_proto::{
    cluster::{Load, NodeReport, RoomHeld},
    v1::RoomConfig,
};
use plenum_service::cluster::Trust;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};

use super::{Cluster, Located, Make, PlaceError, Setup, Standing};
use crate::{
    metrics::NodeCounts,
    store::{
        Changes, Commit, Embedded, Entry, LeaseId, Listed, Outcome, Revision, SharedStore, Store,
        StoreError, backends,
    },
};

const NODES: [&str; 3] = ["ND_a", "ND_b", "ND_c"];

fn report(id: &str) -> NodeReport {
    NodeReport {
        node_id: id.to_owned(),
        // Nobody listens there.
        address: "127.0.0.1:1".to_owned(),
        load: Some(Load {
            max_participants: 1000,
            ..Load::default()
        }),
        ..NodeReport::default()
    }
}

async fn replica(store: &SharedStore) -> Arc<Cluster> {
    Cluster::start(Setup {
        store: Arc::clone(store),
        trust: Trust::none(),
        standing: Standing::default(),
        lease: Duration::from_secs(60),
    })
    .await
}

/// A replica and three nodes.
async fn cluster(store: &SharedStore) -> Arc<Cluster> {
    let cluster = replica(store).await;
    for id in NODES {
        assert!(
            cluster.keep_report(&report(id)).await.unwrap(),
            "it is fresh"
        );
        cluster.nodes().until(id, true).await;
    }
    cluster
}

fn room(name: &str) -> RoomConfig {
    RoomConfig {
        name: name.to_owned(),
        metadata: "kept".to_owned(),
        ..RoomConfig::default()
    }
}

async fn locate(cluster: &Cluster, name: &str) -> Located {
    cluster
        .locate(&room(name), Make::IfAbsent, None)
        .await
        .unwrap()
}

async fn is_gone(cluster: &Cluster, id: &str) {
    cluster.store().revoke(LeaseId::of(id)).await.unwrap();
    cluster.nodes().until(id, false).await;
}

/// Once in so many questions and answers a replica stands still.
const STANDS_STILL_EVERY: u64 = 500;

/// 10,000 first joins of 500 rooms at once, over three replicas, each of which stands still now and then.
async fn every_room_gets_one_home(stores: [SharedStore; 3]) {
    let stores = stores.map(|store| Disturbed::new(store, STANDS_STILL_EVERY));
    let mut replicas = Vec::new();
    for (n, store) in stores.iter().enumerate() {
        let store: SharedStore = Arc::<Disturbed>::clone(store);
        let replica = match n {
            0 => cluster(&store).await,
            _ => replica(&store).await,
        };
        for id in NODES {
            replica.nodes().until(id, true).await;
        }
        replicas.push(replica);
    }
    let mut joins = JoinSet::new();
    for n in 0..10_000 {
        let replica = Arc::clone(&replicas[n % 3]);
        joins.spawn(async move {
            let name = format!("room-{}", n % 500);
            let located = replica.locate(&room(&name), Make::IfAbsent, None).await;
            (name, located.unwrap())
        });
    }
    let mut homes: HashMap<String, HashSet<_>> = HashMap::new();
    let mut placements: HashMap<String, usize> = HashMap::new();
    while let Some(joined) = joins.join_next().await {
        let (name, located) = joined.unwrap();
        *placements.entry(name.clone()).or_default() += usize::from(located.is_new);
        let record = located.record;
        let home = (record.node_id, record.room_id, located.epoch);
        homes.entry(name).or_default().insert(home);
    }
    assert_eq!(homes.len(), 500);
    assert!(homes.values().all(|homes| homes.len() == 1), "{homes:?}");
    assert!(placements.values().all(|n| *n == 1), "{placements:?}");
    let used: HashSet<_> = homes.values().flatten().map(|(node, ..)| node).collect();
    assert_eq!(used.len(), 3, "all nodes have rooms");
    for store in stores {
        assert!(store.waited.load(Ordering::Relaxed) > 0, "it stood still");
    }
}

#[tokio::test]
async fn every_room_gets_one_home_in_memory() {
    let store: SharedStore = Arc::new(Embedded::in_memory());
    every_room_gets_one_home([Arc::clone(&store), Arc::clone(&store), store]).await;
}

#[tokio::test]
async fn every_room_gets_one_home_in_etcd() {
    if let Some(etcd) = backends::etcd(1).await {
        every_room_gets_one_home([etcd.store(), etcd.store(), etcd.store()]).await;
    }
}

/// The same, and the only server stands still too, in the midst of it.
#[tokio::test]
async fn every_room_gets_one_home_though_etcd_stands_still() {
    let Some(etcd) = backends::etcd(1).await else {
        return;
    };
    let joins = every_room_gets_one_home([etcd.store(), etcd.store(), etcd.store()]);
    let stops = async {
        for _ in 0..3 {
            sleep(Duration::from_millis(100)).await;
            let stopped = etcd.servers.stop_leader().await;
            sleep(Duration::from_millis(300)).await;
            drop(stopped);
        }
    };
    tokio::join!(joins, stops);
}

#[tokio::test]
async fn a_room_whose_node_is_gone_comes_back_elsewhere_as_it_was() {
    let store: SharedStore = Arc::new(Embedded::in_memory());
    let cluster = cluster(&store).await;
    let first = locate(&cluster, "r").await;
    assert!(first.is_new);
    cluster
        .keep_config("r", |config| config.metadata = "changed".to_owned())
        .await
        .unwrap();
    let again = locate(&cluster, "r").await;
    assert!(!again.is_new);
    assert_eq!(again.epoch, first.epoch, "changing it is no placement");

    is_gone(&cluster, first.home.id()).await;
    // Not even who must not create rooms is told that there is none.
    let second = cluster.locate(&room("r"), Make::Never, None).await.unwrap();
    assert_ne!(second.home.id(), first.home.id());
    assert!(second.epoch > first.epoch && second.is_new);
    assert_eq!(second.record.room_id, first.record.room_id);
    assert_eq!(second.record.config.as_ref().unwrap().metadata, "changed");
    // The node that is back finds out which rooms it has lost.
    // A room that the store has lost is known again by that.
    let held = |room: &str, epoch, room_id: &str| RoomHeld {
        room: room.to_owned(),
        epoch,
        room_id: room_id.to_owned(),
    };
    let own = second.home.id();
    let asked = [held("r", first.epoch, ""), held("other", 1_000, "RM_o")];
    assert_eq!(
        cluster
            .lost(own, [held("r", second.epoch, "")])
            .await
            .unwrap(),
        []
    );
    let lost = cluster.lost(first.home.id(), asked.clone()).await.unwrap();
    assert_eq!(lost, [held("r", second.epoch, "")]);
    let none = cluster.locate(&room("other"), Make::Never, None).await;
    assert!(none.is_err(), "not by a node that is gone");
    cluster.lost(own, asked).await.unwrap();
    let other = locate(&cluster, "other").await;
    assert_eq!((other.home.id(), other.epoch), (own, 1_000));
    assert_eq!(other.record.room_id, "RM_o");
}

#[tokio::test]
async fn a_room_that_has_ended_begins_anew() {
    let store: SharedStore = Arc::new(Embedded::in_memory());
    let cluster = cluster(&store).await;
    let first = locate(&cluster, "r").await;
    // The node says so before the store knows.
    let over = Some(first.epoch);
    let never = cluster.locate(&room("r"), Make::Never, over).await;
    assert!(matches!(never, Err(PlaceError::NoRoom)));
    let second = cluster
        .locate(&room("r"), Make::IfAbsent, over)
        .await
        .unwrap();
    assert_ne!(second.record.room_id, first.record.room_id);
    assert!(second.epoch > first.epoch);
    // The end of the first does not take the second.
    cluster.ended("r", &first.record.room_id).await.unwrap();
    assert_eq!(locate(&cluster, "r").await.epoch, second.epoch);
    cluster.ended("r", &second.record.room_id).await.unwrap();
    let none = cluster.locate(&room("r"), Make::Never, None).await;
    assert!(matches!(none, Err(PlaceError::NoRoom)));
    assert!(locate(&cluster, "r").await.epoch > second.epoch);
}

#[tokio::test]
async fn a_node_that_is_emptied_gives_up_its_rooms_and_gets_none() {
    let store: SharedStore = Arc::new(Embedded::in_memory());
    let cluster = cluster(&store).await;
    let first = locate(&cluster, "r").await;
    first.home.set_draining();
    let second = locate(&cluster, "r").await;
    assert_ne!(second.home.id(), first.home.id());
    for n in 0..50 {
        let located = locate(&cluster, &format!("room-{n}")).await;
        assert_ne!(located.home.id(), first.home.id());
    }
}

#[tokio::test]
async fn no_node_no_room() {
    let store: SharedStore = Arc::new(Embedded::in_memory());
    let cluster = replica(&store).await;
    let none = cluster.locate(&room("r"), Make::IfAbsent, None).await;
    assert!(matches!(none, Err(PlaceError::NoNode)));
}

/// Nobody answers at the address of a node: it is gone at once, for all replicas.
#[tokio::test]
async fn a_node_whose_process_is_gone_is_given_up_before_its_lease_ends() {
    let store: SharedStore = Arc::new(Embedded::in_memory());
    let cluster = cluster(&store).await;
    let other = replica(&store).await;
    let member = cluster.nodes().find("ND_a").unwrap();
    assert!(cluster.nodes().suspect(&member).await);
    assert!(cluster.nodes().find("ND_a").is_none());
    other.nodes().until("ND_a", false).await;
}

/// One that says that it goes is not lost, for any replica; one that is cordoned and not heard of again is.
#[tokio::test]
async fn nodes_that_go_without_a_word_are_counted() {
    let store: SharedStore = Arc::new(Embedded::in_memory());
    let cluster = cluster(&store).await;
    let other = replica(&store).await;
    cluster.node_goes("ND_a").await.unwrap();
    let mut cordoned = report("ND_b");
    cordoned.cordoned = true;
    cluster.keep_report(&cordoned).await.unwrap();
    for (replica, lost) in [(&cluster, 0), (&other, 0)] {
        replica.nodes().until("ND_a", false).await;
        let mut changes = replica.nodes().changes();
        let counts = NodeCounts {
            open: 1,
            closed: 1,
            lost,
        };
        let seen = changes.wait_for(|_| replica.nodes().counts() == counts);
        timeout(Duration::from_secs(30), seen)
            .await
            .expect("in time")
            .unwrap();
    }
    is_gone(&cluster, "ND_b").await;
    other.nodes().until("ND_b", false).await;
    for replica in [&cluster, &other] {
        assert_eq!(replica.nodes().counts().lost, 1);
        assert_eq!(replica.nodes().counts().closed, 0);
    }
    // Nobody is lost twice, and it may be that nobody goes who was never there.
    cluster.node_goes("ND_b").await.unwrap();
    assert_eq!(cluster.nodes().counts().lost, 1);
}

/// A store as a replica has it that stands still now and then, or is cut off.
struct Disturbed {
    store: SharedStore,
    is_cut: AtomicBool,
    /// Once in so many questions and answers it stands still.
    stands_still_every: u64,
    passed: AtomicU64,
    is_running: watch::Sender<bool>,
    /// Times that something waited until the replica ran again.
    waited: AtomicU64,
}

impl Disturbed {
    fn new(store: SharedStore, stands_still_every: u64) -> Arc<Self> {
        Arc::new(Self {
            store,
            is_cut: AtomicBool::new(false),
            stands_still_every,
            passed: AtomicU64::new(0),
            is_running: watch::Sender::new(true),
            waited: AtomicU64::new(0),
        })
    }

    /// What is asked, and then the answer, passes only while the replica runs.
    async fn pass(&self) -> Result<(), StoreError> {
        let passed = self.passed.fetch_add(1, Ordering::Relaxed) + 1;
        if passed.is_multiple_of(self.stands_still_every) {
            self.is_running.send_replace(false);
            let is_running = self.is_running.clone();
            tokio::spawn(async move {
                sleep(Duration::from_millis(30)).await;
                is_running.send_replace(true);
            });
        }
        if !*self.is_running.borrow() {
            self.waited.fetch_add(1, Ordering::Relaxed);
            let mut is_running = self.is_running.subscribe();
            // We hold the sender.
            let _ = is_running.wait_for(|is_running| *is_running).await;
        }
        if self.is_cut.load(Ordering::Relaxed) {
            return Err(StoreError::Unavailable("cut".to_owned()));
        }
        Ok(())
    }

    async fn ask<T>(
        &self,
        asking: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.pass().await?;
        let answer = asking.await?;
        self.pass().await?;
        Ok(answer)
    }
}

#[tonic::async_trait]
impl Store for Disturbed {
    async fn get(&self, key: &str) -> Result<Option<Entry>, StoreError> {
        self.ask(self.store.get(key)).await
    }
    async fn list(&self, prefix: &str, after: &str, limit: usize) -> Result<Listed, StoreError> {
        self.ask(self.store.list(prefix, after, limit)).await
    }
    async fn commit(&self, commit: Commit) -> Result<Outcome, StoreError> {
        self.ask(self.store.commit(commit)).await
    }
    async fn lease(&self, id: LeaseId, ttl: Duration) -> Result<bool, StoreError> {
        self.ask(self.store.lease(id, ttl)).await
    }
    async fn revoke(&self, id: LeaseId) -> Result<(), StoreError> {
        self.ask(self.store.revoke(id)).await
    }
    async fn watch(&self, prefix: &str, revision: Revision) -> Result<Changes, StoreError> {
        self.ask(self.store.watch(prefix, revision)).await
    }
}

#[tokio::test]
async fn without_the_store_known_rooms_go_on_and_new_ones_wait() {
    let cut = Disturbed::new(Arc::new(Embedded::in_memory()), u64::MAX);
    let store: SharedStore = Arc::<Disturbed>::clone(&cut);
    let cluster = cluster(&store).await;
    let known = locate(&cluster, "known").await;
    cut.is_cut.store(true, Ordering::Relaxed);
    let still = locate(&cluster, "known").await;
    assert_eq!(
        (still.home.id(), still.epoch),
        (known.home.id(), known.epoch)
    );
    let new = room("new");
    let asked = cluster.locate(&new, Make::IfAbsent, None);
    let refused = timeout(Duration::from_secs(2), asked).await.unwrap();
    assert!(matches!(refused, Err(PlaceError::Store(_))));
    cut.is_cut.store(false, Ordering::Relaxed);
    assert!(locate(&cluster, "new").await.is_new);
}
