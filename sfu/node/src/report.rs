//! What a node says of itself to control planes. Owns what its figures are taken from. Must not send it.

use std::{sync::Arc, time::Duration};

use plenum_proto::cluster::{Load, NodeReport};
use tokio::time::Instant;

use crate::service::Shared;

/// Says how the node is, whenever somebody wants to know.
pub struct SelfReport {
    shared: Arc<Shared>,
    max_participants: u32,
    /// When the workers' time at work was last looked at, and what it was.
    at: Instant,
    busy: Duration,
}

impl SelfReport {
    pub(crate) fn new(shared: Arc<Shared>, participants_per_worker: usize) -> Self {
        let most = participants_per_worker.saturating_mul(shared.workers.len());
        Self {
            shared,
            max_participants: u32::try_from(most).unwrap_or(u32::MAX),
            at: Instant::now(),
            busy: Duration::ZERO,
        }
    }

    /// How the node is, reached at `address`, standing in `zone`.
    pub fn say(&mut self, address: String, zone: String) -> NodeReport {
        let stats = self.shared.stats();
        let core = &stats.worker.core;
        let count = |value: u64| u32::try_from(value).unwrap_or(u32::MAX);
        NodeReport {
            node_id: self.shared.identity.node_id.clone(),
            address,
            relay_addresses: self.shared.relay_addresses().to_vec(),
            region: self.shared.identity.region.clone(),
            zone,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            load: Some(Load {
                num_rooms: count(core.rooms),
                num_participants: count(core.participants),
                num_published_tracks: count(core.tracks),
                num_subscriptions: count(core.subscriptions),
                max_participants: self.max_participants,
                busy: self.busy_since(stats.worker.busy),
            }),
            cordoned: self.shared.is_cordoned(),
            draining: self.shared.is_draining(),
        }
    }

    /// Waits until there is something to say that cannot wait.
    pub async fn changed(&mut self) {
        self.shared.changed.notified().await;
    }

    /// In steps of a twentieth: a report that says nothing new costs the store nothing.
    fn busy_since(&mut self, busy: Duration) -> f32 {
        let workers = u32::try_from(self.shared.workers.len()).unwrap_or(u32::MAX);
        let passed = self.at.elapsed() * workers;
        let worked = busy.saturating_sub(self.busy);
        (self.at, self.busy) = (Instant::now(), busy);
        if passed.is_zero() {
            return 0.0;
        }
        let share = worked.as_secs_f32() / passed.as_secs_f32();
        (share.min(1.0) * 20.0).round() / 20.0
    }
}
