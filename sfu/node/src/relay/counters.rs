//! Numbers of the relay: those of connections that are gone, and of what happens outside of any. Must not
//! know nodes by name.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use super::link::{Media, lock};
use crate::stats::RelayStats;

#[derive(Debug, Default)]
pub(super) struct Counters {
    media_dropped: AtomicU64,
    malformed: AtomicU64,
    refused: AtomicU64,
    unreachable: AtomicU64,
    lost: AtomicU64,
    /// Of connections that are gone.
    ended: Mutex<RelayStats>,
}

impl Counters {
    /// Media and lossy data that gave way because the link or a worker did not keep up.
    pub(super) fn media_dropped(&self, frames: u64) {
        self.media_dropped.fetch_add(frames, Ordering::Relaxed);
    }

    /// A message of media that is none.
    pub(super) fn malformed(&self) {
        self.malformed.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection that came in and was not taken.
    pub(super) fn refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// A node with which no connection came about in time.
    pub(super) fn unreachable(&self) {
        self.unreachable.fetch_add(1, Ordering::Relaxed);
    }

    /// A connection that broke.
    pub(super) fn lost(&self) {
        self.lost.fetch_add(1, Ordering::Relaxed);
    }

    /// Keeps the numbers of a connection that is gone.
    pub(super) fn link_ended(&self, media: &Media) {
        add(&mut lock(&self.ended), media);
    }

    pub(super) fn stats(&self, links: &[Arc<Media>]) -> RelayStats {
        let mut stats = lock(&self.ended).clone();
        for media in links {
            add(&mut stats, media);
            stats.links += 1;
            stats.rtt = stats.rtt.max(media.connection().rtt());
        }
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        stats.dropped = read(&self.media_dropped);
        stats.malformed = read(&self.malformed);
        stats.refused = read(&self.refused);
        stats.unreachable = read(&self.unreachable);
        stats.links_lost = read(&self.lost);
        stats
    }
}

fn add(stats: &mut RelayStats, media: &Media) {
    let connection = media.connection().stats();
    stats.bytes_sent += connection.udp_tx.bytes;
    stats.bytes_received += connection.udp_rx.bytes;
    stats.hop.add(&media.stats());
}
