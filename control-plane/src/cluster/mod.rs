//! What this replica knows of the cluster, and how it finds the node of a room. Owns the store and the ways to
//! the nodes. Must not hold state of a call: that lives in the nodes; nor decide where a room goes
//! ([`crate::placement`] does).
//!
//! The rules that keep a room on one node: its record in the store names its home and an epoch; it is changed by
//! compare-and-swap alone, and only towards a node whose lease stands; whoever changed it tells the node that was
//! home before; nodes refuse what refers to an older epoch. A node that is cut off from the store goes on with
//! the rooms it has.

mod admin;
mod events;
mod leader;
mod local;
mod nodes;
mod presence;
mod registry;
mod rooms;
mod seat;
mod upkeep;

use std::{sync::Arc, time::Duration};

use plenum_service::cluster::Trust;
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

use crate::store::{Commit, SharedStore, StoreError};

/// Leaders, or nodes.
const MAX_HELD: usize = 10_000;

pub(crate) use events::{Events, Since};
pub(crate) use leader::{Term, lead};
pub(crate) use local::report_local;
pub(crate) use nodes::{Local, Member, Nodes};
pub use registry::RegistryService;
pub(crate) use rooms::{Located, Make};
pub(crate) use upkeep::keep_up;

/// Names in the store.
pub(crate) mod key {
    /// Nodes, by id.
    pub(crate) const NODES: &str = "nodes/";
    /// Rooms, by name.
    pub(crate) const ROOMS: &str = "rooms/";
    /// Dispatches and jobs of agents, by kind and room.
    pub(crate) const AGENTS: &str = "agents/";
    /// Leaders, by what they lead.
    pub(crate) const LEADERS: &str = "leaders/";

    pub(crate) fn node(id: &str) -> String {
        format!("{NODES}{id}")
    }

    pub(crate) fn room(name: &str) -> String {
        format!("{ROOMS}{name}")
    }

    pub(crate) fn leader(name: &str) -> String {
        format!("{LEADERS}{name}")
    }
}

/// Where this replica stands, and so the participants whose signalling comes to it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Standing {
    /// "" = not known.
    pub region: String,
    /// "" = not known.
    pub zone: String,
}

/// Why no node can be named for a room.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PlaceError {
    /// There is no such room, and it is not to be made.
    #[error("the room does not exist")]
    NoRoom,
    /// No node takes it.
    #[error("no media node is available")]
    NoNode,
    /// It changed hands too often while it was looked for.
    #[error("the room is being moved; try again")]
    Busy,
    /// The store does not answer.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Frees what the process before this one held, in a store that only one has at a time: the work it led, and with
/// `nodes` also its own node.
///
/// # Errors
/// The store does not answer.
pub async fn take_over(store: &SharedStore, nodes: bool) -> Result<(), StoreError> {
    let prefixes = [key::LEADERS, key::NODES];
    for prefix in &prefixes[..if nodes { 2 } else { 1 }] {
        for entry in store.list(prefix, "", MAX_HELD).await?.entries {
            store.commit(Commit::default().delete(entry.key)).await?;
        }
    }
    Ok(())
}

/// The cluster as this replica sees it.
pub struct Cluster {
    store: SharedStore,
    nodes: Arc<Nodes>,
    standing: Standing,
    lease: Duration,
    cache: rooms::Cache,
    /// This replica ends.
    closing: CancellationToken,
    _following: AbortOnDropHandle<()>,
}

/// What a [`Cluster`] is made of.
pub struct Setup {
    /// What replicas agree by.
    pub store: SharedStore,
    /// How nodes and control planes know each other.
    pub trust: Trust,
    /// Where this replica stands.
    pub standing: Standing,
    /// How long a node that is not heard of counts as alive.
    pub lease: Duration,
}

impl Cluster {
    /// A view of the cluster that keeps itself up to date. Returns when the nodes that are there are known, or
    /// the store does not answer yet.
    pub async fn start(setup: Setup) -> Arc<Self> {
        Self::with(setup, None).await
    }

    /// With a node in this process, which is reached by its own channel.
    pub(crate) async fn with(setup: Setup, local: Option<Local>) -> Arc<Self> {
        let Setup {
            store,
            trust,
            standing,
            lease,
        } = setup;
        let connect: nodes::Connect = Arc::new(move |address| trust.channel(address));
        Self::connecting(store, connect, standing, lease, local).await
    }

    async fn connecting(
        store: SharedStore,
        connect: nodes::Connect,
        standing: Standing,
        lease: Duration,
        local: Option<Local>,
    ) -> Arc<Self> {
        let nodes = Arc::new(Nodes::new(Arc::clone(&store), connect, lease, local));
        let following = tokio::spawn(Arc::clone(&nodes).follow());
        nodes.listed().await;
        Arc::new(Self {
            store,
            nodes,
            standing,
            lease,
            cache: rooms::Cache::default(),
            closing: CancellationToken::new(),
            _following: AbortOnDropHandle::new(following),
        })
    }

    /// Ends the streams of events that readers follow.
    pub(crate) fn close(&self) {
        self.closing.cancel();
    }

    /// The nodes that are there.
    pub(crate) fn nodes(&self) -> &Arc<Nodes> {
        &self.nodes
    }

    /// Whether all of it is this process: nothing happened before it began.
    pub(crate) fn is_whole(&self) -> bool {
        self.nodes.has_local()
    }

    /// What replicas agree by.
    pub(crate) fn store(&self) -> &SharedStore {
        &self.store
    }

    /// How long a node that is not heard of counts as alive.
    pub(crate) fn lease(&self) -> Duration {
        self.lease
    }
}

#[cfg(test)]
mod sim;
#[cfg(test)]
mod tests;
