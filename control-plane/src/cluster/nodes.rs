//! The media nodes that are there, as the store has them, and the way to each. Owns the channels, and the judgement
//! that a node is gone before its lease says so. Must not place rooms.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use futures_util::StreamExt as _;
use plenum_proto::{
    cluster::NodeReport,
    node::{StatusRequest, node_client::NodeClient},
};
use plenum_service::cluster::{Known, TrustError};
use prost::Message as _;
use sfu_node::MAX_ANSWER_BYTES;
use tokio::{
    sync::watch,
    time::{sleep, timeout},
};

use super::key;
use crate::{
    metrics::NodeCounts,
    placement::Candidate,
    store::{LeaseId, Revision, SharedStore, StoreError},
};

/// Nodes of one cluster.
const MAX_NODES: usize = 10_000;

/// How long a node that gives no answer has to show that it lives.
const PROBE_TIMEOUT: Duration = Duration::from_secs(1);

/// Between attempts to read the nodes when the store does not answer.
const RETRY: Duration = Duration::from_millis(500);

/// One node.
pub(crate) struct Member {
    /// What it said of itself.
    pub(crate) report: NodeReport,
    /// By which commit.
    pub(crate) revision: Revision,
    /// The way to it.
    pub(crate) client: NodeClient<Known>,
    /// It told us itself that it is being emptied, before the store did.
    is_draining: AtomicBool,
}

impl Member {
    /// Its id.
    pub(crate) fn id(&self) -> &str {
        &self.report.node_id
    }

    /// Its rooms are to go to other nodes.
    pub(crate) fn is_draining(&self) -> bool {
        self.report.draining || self.is_draining.load(Ordering::Relaxed)
    }

    /// Notes what it said.
    pub(crate) fn set_draining(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
    }

    /// As placement sees it.
    pub(crate) fn candidate(&self) -> Candidate<'_> {
        let report = &self.report;
        Candidate {
            id: &report.node_id,
            region: &report.region,
            zone: &report.zone,
            load: load(report),
            is_open: !report.cordoned && !self.is_draining(),
            relays: !report.relay_addresses.is_empty(),
        }
    }
}

/// Share of what a node can take, by the scarcest.
fn load(report: &NodeReport) -> f32 {
    let load = report.load.unwrap_or_default();
    #[expect(clippy::cast_precision_loss, reason = "a share, roughly")]
    let taken = load.num_participants as f32 / load.max_participants.max(1) as f32;
    taken.max(load.busy)
}

/// A node in this process.
pub(crate) struct Local {
    /// Its id.
    pub(crate) id: String,
    /// The way to it.
    pub(crate) channel: Known,
}

/// Makes the way to an address.
pub(super) type Connect = Arc<dyn Fn(&str) -> Result<Known, TrustError> + Send + Sync>;

/// All nodes.
pub(crate) struct Nodes {
    store: SharedStore,
    connect: Connect,
    lease: Duration,
    local: Option<Local>,
    members: RwLock<BTreeMap<String, Arc<Member>>>,
    /// Counts the times the nodes were listed or changed.
    changed: watch::Sender<u64>,
    /// That went without a word.
    lost: AtomicU64,
}

impl Nodes {
    pub(super) fn new(
        store: SharedStore,
        connect: Connect,
        lease: Duration,
        local: Option<Local>,
    ) -> Self {
        Self {
            store,
            connect,
            lease,
            local,
            members: RwLock::default(),
            changed: watch::Sender::new(0),
            lost: AtomicU64::new(0),
        }
    }

    /// Whether a node is in this process.
    pub(super) fn has_local(&self) -> bool {
        self.local.is_some()
    }

    /// A node that is there.
    pub(crate) fn find(&self, id: &str) -> Option<Arc<Member>> {
        self.read().get(id).cloned()
    }

    /// All that are there, by id.
    pub(crate) fn all(&self) -> Vec<Arc<Member>> {
        self.read().values().cloned().collect()
    }

    /// How many there are, and how many were lost.
    pub(crate) fn counts(&self) -> NodeCounts {
        let members = self.read();
        let open = members.values().filter(|member| member.candidate().is_open);
        let open = open.count();
        NodeCounts {
            open: open as u64,
            closed: (members.len() - open) as u64,
            lost: self.lost.load(Ordering::Relaxed),
        }
    }

    /// Tells when a node comes, goes, or says something new.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Waits until the nodes have been read for the first time, or the store has not answered once.
    pub(super) async fn listed(&self) {
        // We hold the sender.
        let _ = self.changes().wait_for(|count| *count > 0).await;
    }

    /// Waits until a node is there, or gone.
    pub(crate) async fn until(&self, id: &str, is_there: bool) {
        let mut changes = self.changes();
        // We hold the sender.
        let _ = changes
            .wait_for(|_| self.find(id).is_some() == is_there)
            .await;
    }

    /// Keeps up with the store for as long as it is polled.
    pub(super) async fn follow(self: Arc<Self>) {
        let mut is_known = false;
        loop {
            if let Err(error) = self.follow_once(&mut is_known).await {
                // What was known of the nodes holds until something else is.
                tracing::warn!(%error, "the nodes cannot be followed; the last known are used");
            }
            self.told();
            sleep(RETRY).await;
        }
    }

    async fn follow_once(self: &Arc<Self>, is_known: &mut bool) -> Result<(), StoreError> {
        let listed = self.store.list(key::NODES, "", MAX_NODES).await?;
        let mut missing = self.all();
        for entry in listed.entries {
            self.set(&entry.key, &entry.value, entry.revision);
            missing.retain(|member| key::node(member.id()) != entry.key);
        }
        if *is_known {
            self.forget_later(missing);
        }
        *is_known = true;
        self.told();
        let mut changes = self.store.watch(key::NODES, listed.revision).await?;
        while let Some(change) = changes.next().await {
            let change = change?;
            match change.value {
                Some(value) => self.set(&change.key, &value, change.revision),
                None => self.remove(change.key.trim_start_matches(key::NODES)),
            }
            self.told();
        }
        Ok(())
    }

    /// After the store was away, nodes may have lost their leases for no fault of their own: they have as long
    /// as a lease to come back before their rooms go to others.
    fn forget_later(self: &Arc<Self>, missing: Vec<Arc<Member>>) {
        if missing.is_empty() {
            return;
        }
        let nodes = Arc::clone(self);
        tokio::spawn(async move {
            sleep(nodes.lease).await;
            for member in missing {
                let now = nodes.find(member.id());
                if now.is_some_and(|now| now.revision == member.revision) {
                    nodes.remove(member.id());
                }
            }
            nodes.told();
        });
    }

    fn set(&self, key: &str, value: &[u8], revision: Revision) {
        let Ok(report) = NodeReport::decode(value) else {
            tracing::warn!(key, "what the store has of a node cannot be read");
            return;
        };
        let before = self.find(&report.node_id);
        let known = match (&self.local, before) {
            (_, Some(before)) if before.report.address == report.address => before.client.clone(),
            (Some(local), _) if local.id == report.node_id => client(local.channel.clone()),
            _ => match (self.connect)(&report.address) {
                Ok(channel) => client(channel),
                Err(error) => {
                    tracing::warn!(node = report.node_id, %error, "a node's address cannot be used");
                    return;
                }
            },
        };
        let member = Member {
            revision,
            client: known,
            is_draining: AtomicBool::new(false),
            report,
        };
        let id = member.id().to_owned();
        if self.write().insert(id.clone(), Arc::new(member)).is_none() {
            tracing::info!(node = id, "a media node is there");
        }
    }

    fn remove(&self, id: &str) {
        let Some(member) = self.write().remove(id) else {
            return;
        };
        if member.is_draining() {
            tracing::info!(node = id, "a media node is gone");
        } else {
            self.lost.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(node = id, "a media node is lost");
        }
    }

    /// A node gave no answer: whether it is gone. One whose address nobody answers at, or somebody else does, is,
    /// and the store is told at once; one that is only silent has until its lease ends.
    pub(crate) async fn suspect(&self, member: &Member) -> bool {
        let is_known = self
            .find(member.id())
            .is_some_and(|now| now.report.address == member.report.address);
        if !is_known {
            return true;
        }
        let mut probe = member.client.clone();
        let asked = timeout(PROBE_TIMEOUT, probe.status(StatusRequest {})).await;
        let is_gone = match asked {
            Ok(Ok(status)) => {
                let status = status.into_inner();
                if status.draining {
                    member.set_draining();
                }
                status.node_id != member.id()
            }
            Ok(Err(status)) => is_refused(&status),
            Err(_) => false,
        };
        if is_gone {
            tracing::warn!(
                node = member.id(),
                "a media node is gone before its lease ended"
            );
            if let Err(error) = self.store.revoke(LeaseId::of(member.id())).await {
                tracing::warn!(%error, "the store was not told");
            }
            self.remove(member.id());
            self.told();
        }
        is_gone
    }

    fn told(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    fn read(&self) -> RwLockReadGuard<'_, BTreeMap<String, Arc<Member>>> {
        // No method panics half-way through a change, here and below.
        self.members.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, BTreeMap<String, Arc<Member>>> {
        self.members.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn client(channel: Known) -> NodeClient<Known> {
    NodeClient::new(channel).max_decoding_message_size(MAX_ANSWER_BYTES)
}

/// Nobody listens there: the machine answers, and the process is gone.
fn is_refused(status: &tonic::Status) -> bool {
    use std::{error::Error as _, io};
    let mut cause = status.source();
    while let Some(error) = cause {
        let kind = error.downcast_ref::<io::Error>().map(io::Error::kind);
        if kind == Some(io::ErrorKind::ConnectionRefused) {
            return true;
        }
        cause = error.source();
    }
    false
}
