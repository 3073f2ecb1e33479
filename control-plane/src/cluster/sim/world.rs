//! The simulated cluster as a whole, and what goes wrong in it. Owns who runs. Must not judge.

use std::{
    io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use plenum_service::cluster::Trust;
use tokio::time::sleep;
use tokio_util::task::AbortOnDropHandle;
use tonic::transport::Endpoint;

use super::{
    LEASE, NODES, REPLICAS, Shared,
    faults::Fault,
    line::State,
    node::{Drift, SimNode},
    reader::{self, Belief},
    store::FarStore,
};
use crate::{
    cluster::{Cluster, Standing, keep_up, nodes::Connect},
    store::{Embedded, SharedStore},
};

/// As between real ones: how often a silent way is asked whether it is whole, and how long it may take to answer.
const KEEPALIVE: Duration = Duration::from_secs(2);

/// See the module.
pub(super) struct World {
    shared: Arc<Shared>,
    store: SharedStore,
    replicas: Vec<Replica>,
    started_replicas: u64,
    started_nodes: u64,
}

/// A control plane.
struct Replica {
    number: u64,
    store: Arc<FarStore>,
    _tasks: [AbortOnDropHandle<()>; 2],
}

impl World {
    /// Returns when all know each other.
    pub(super) async fn start(shared: &Arc<Shared>) -> Self {
        let mut world = Self {
            shared: Arc::clone(shared),
            store: Arc::new(Embedded::in_virtual_time()),
            replicas: Vec::new(),
            started_replicas: 0,
            started_nodes: 0,
        };
        for _ in 0..REPLICAS {
            world.start_replica().await;
        }
        for _ in 0..NODES {
            world.start_node(Drift::None);
        }
        for replica in shared.replicas() {
            for node in shared.nodes() {
                replica.nodes().until(&node.id, true).await;
            }
        }
        world
    }

    async fn start_replica(&mut self) {
        self.started_replicas += 1;
        let number = self.started_replicas;
        let shared = &self.shared;
        let store = FarStore::new(&self.store, shared.seed ^ (number << 32), &shared.fired);
        let own: SharedStore = Arc::<FarStore>::clone(&store);
        let (connect, standing) = (connect(shared, number), Standing::default());
        let cluster = Cluster::connecting(own, connect, standing, LEASE, None).await;
        let belief = Arc::<Belief>::default();
        let upkeep = keep_up(Arc::clone(&cluster), format!("replica-{number}"));
        let reading = reader::read(Arc::clone(&cluster), Arc::clone(&belief));
        let tasks = [
            AbortOnDropHandle::new(tokio::spawn(upkeep)),
            AbortOnDropHandle::new(tokio::spawn(reading)),
        ];
        let mut replicas = shared.replicas.lock().unwrap();
        replicas.insert(number, (cluster, belief));
        self.replicas.push(Replica {
            number,
            store,
            _tasks: tasks,
        });
    }

    fn start_node(&mut self, drift: Drift) {
        self.started_nodes += 1;
        let id = format!("ND_{}", self.started_nodes);
        let node = SimNode::start(id.clone(), &self.shared, drift);
        self.shared.nodes.lock().unwrap().insert(id, node);
    }

    pub(super) fn kill_node(&self, id: &str) {
        if let Some(node) = self.shared.nodes.lock().unwrap().remove(id) {
            node.crash();
        }
        self.shared.set_ways(|_, node| node == id, State::Dead);
    }

    /// Something goes wrong, and is well again when this returns.
    pub(super) async fn fail(&mut self) {
        let shared = Arc::clone(&self.shared);
        let span = Duration::from_millis(500 + 100 * shared.choose(80) as u64);
        let (node, at) = (shared.any_node(), shared.choose(self.replicas.len()));
        let drift = [Drift::Slow, Drift::None, Drift::Fast][shared.choose(3)];
        match shared.choose(8) {
            0 => {
                shared.fired.note(Fault::NodeCrash);
                self.kill_node(&node.id);
                sleep(span).await;
                self.start_node(drift);
            }
            1 => {
                shared.fired.note(Fault::Drain);
                node.drain();
                self.start_node(drift);
                sleep(span).await;
                self.kill_node(&node.id);
            }
            2 => {
                shared.fired.note(Fault::Pause);
                node.set_awake(false);
                sleep(span).await;
                node.set_awake(true);
            }
            3 => {
                node.is_heard.store(false, Ordering::Relaxed);
                sleep(span).await;
                node.is_heard.store(true, Ordering::Relaxed);
            }
            4 => {
                shared.fired.note(Fault::Partition);
                let way = shared.way(self.replicas[at].number, &node.id);
                way.set(State::Cut);
                sleep(span).await;
                way.set(State::Whole);
            }
            5 => {
                shared.fired.note(Fault::ReplicaCrash);
                let gone = self.replicas.swap_remove(at);
                shared.replicas.lock().unwrap().remove(&gone.number);
                gone.store.cut(true);
                shared.set_ways(|replica, _| replica == gone.number, State::Dead);
                drop(gone);
                sleep(span).await;
                self.start_replica().await;
            }
            6 => {
                let store = Arc::clone(&self.replicas[at].store);
                store.cut(true);
                sleep(span).await;
                store.cut(false);
            }
            _ => {
                let stores = self.replicas.iter().map(|replica| &replica.store);
                stores.clone().for_each(|store| store.cut(true));
                sleep(span).await;
                stores.for_each(|store| store.cut(false));
            }
        }
    }

    /// Nothing is lost any more.
    pub(super) fn heal(&self) {
        self.replicas.iter().for_each(|r| r.store.heal());
    }

    /// Lets go of what holds each other.
    pub(super) fn stop(self) {
        self.shared.replicas.lock().unwrap().clear();
        for node in self.shared.nodes() {
            self.kill_node(&node.id);
        }
    }
}

/// The ways of a replica to nodes, whose address is their id.
fn connect(shared: &Arc<Shared>, replica: u64) -> Connect {
    let shared = Arc::downgrade(shared);
    Arc::new(move |address| {
        let (shared, id) = (shared.clone(), address.to_owned());
        let connector = tower::service_fn(move |_: http::Uri| {
            let found = shared.upgrade().and_then(|shared| {
                let node = shared.nodes.lock().unwrap().get(&id).cloned()?;
                Some((node, shared.way(replica, &id)))
            });
            async move {
                let Some((node, way)) = found else {
                    return Err(io::ErrorKind::ConnectionRefused.into());
                };
                way.whole().await?;
                node.connect(way)
            }
        });
        let endpoint = Endpoint::from_static("http://node")
            .connect_timeout(Duration::from_secs(2))
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE)
            .keep_alive_while_idle(true);
        Ok(Trust::none().show(endpoint.connect_with_connector_lazy(connector)))
    })
}
