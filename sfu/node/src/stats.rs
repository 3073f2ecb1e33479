//! Numbers of a node: what the cores count and what happens around them. Must not format or export.
//!
//! Each worker counts for itself and publishes a copy at most once a second; nothing on the packet
//! path is shared.

use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};

use sfu_core::{DropReason, HopStats, ShardStats};

pub use crate::{
    turn::{TurnDrop, TurnRefusal, TurnStats},
    udp::UdpStats,
};

/// How long a published copy of a busy worker may be out of date.
pub(crate) const PUBLISH_INTERVAL: Duration = Duration::from_secs(1);

/// Numbers of a node. Counters never fall while the node lives, not even when a worker starts anew.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeStats {
    /// Of all workers together.
    pub worker: WorkerStats,
    /// Media over TCP.
    pub tcp: TcpStats,
    /// The TURN server.
    pub turn: TurnStats,
    /// Room events so far.
    pub room_events: u64,
    /// Readers of room events now.
    pub event_watchers: u64,
    /// Workers the node has.
    pub workers: u64,
    /// Datagrams the kernel dropped because a socket's receive buffer was full.
    pub udp_receive_overflows: u64,
    /// Connections with other nodes.
    pub relay: RelayStats,
}

/// Connections with other nodes, all together.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RelayStats {
    /// Connections now.
    pub links: u64,
    /// Connections that broke, or were given up because the other end did not keep up.
    pub links_lost: u64,
    /// Connections from outside that were refused: not of this cluster, too slow, or too many.
    pub refused: u64,
    /// Times another node was not reached in time.
    pub unreachable: u64,
    /// Media packets and lossy data that gave way because a link or a worker did not keep up.
    pub dropped: u64,
    /// Media messages that were none.
    pub malformed: u64,
    /// Bytes of datagrams sent, with all that QUIC adds.
    pub bytes_sent: u64,
    /// Bytes of datagrams received.
    pub bytes_received: u64,
    /// Datagrams of media.
    pub hop: HopStats,
    /// The longest round trip of the connections of now.
    pub rtt: Duration,
}

/// Numbers of one worker, or the sum of several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WorkerStats {
    /// What the core counts.
    pub core: ShardStats,
    /// Control connections now.
    pub controls: u64,
    /// Control connections given up because their events were not read in time.
    pub controls_overflowed: u64,
    /// UDP sockets.
    pub udp: UdpStats,
    /// Frames dropped because their TCP connection did not take them, or was gone.
    pub tcp_send_dropped: u64,
    /// Times the core wanted to be called again at once, over and over, and was made to wait.
    pub timer_stalls: u64,
    /// Times the worker started anew after a fault.
    pub restarts: u64,
    /// Frames for other workers that gave way because those did not keep up.
    pub relay_dropped: u64,
    /// Links to other workers that were given up because those did not move at all.
    pub relay_links_lost: u64,
    /// Times the worker woke up and looked at its inputs.
    pub turns: u64,
    /// How long it was at work, not asleep.
    pub busy: Duration,
    /// The longest of the turns since the numbers were last published.
    pub turn_max: Duration,
    /// How late a timer fired at most, since the numbers were last published.
    pub lag_max: Duration,
}

/// Media over TCP.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TcpStats {
    /// Connections now.
    pub connections: u64,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections refused, or ended by us, by reason in the order of [`TcpEnd::ALL`].
    pub ended: [u64; TcpEnd::ALL.len()],
}

/// Why a TCP connection was refused, or ended by us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TcpEnd {
    /// The node has as many as it may.
    Limit,
    /// Its source has as many as it may.
    SourceLimit,
    /// Its first frame was no STUN binding request that names a session.
    NotIce,
    /// No frame in time, or it did not take what was sent to it.
    Timeout,
    /// A frame longer than allowed.
    FrameSize,
    /// Its media is no longer wanted.
    Closed,
}

impl TcpEnd {
    /// All reasons, in order.
    pub const ALL: [Self; 6] = [
        Self::Limit,
        Self::SourceLimit,
        Self::NotIce,
        Self::Timeout,
        Self::FrameSize,
        Self::Closed,
    ];

    /// The reason as a metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Limit => "limit",
            Self::SourceLimit => "source_limit",
            Self::NotIce => "not_ice",
            Self::Timeout => "timeout",
            Self::FrameSize => "frame_size",
            Self::Closed => "closed",
        }
    }
}

impl WorkerStats {
    /// Adds another worker's numbers.
    pub(crate) fn add(&mut self, other: &Self) {
        add_core(&mut self.core, &other.core);
        self.controls += other.controls;
        self.controls_overflowed += other.controls_overflowed;
        self.udp.add(&other.udp);
        self.tcp_send_dropped += other.tcp_send_dropped;
        self.timer_stalls += other.timer_stalls;
        self.restarts += other.restarts;
        self.relay_dropped += other.relay_dropped;
        self.relay_links_lost += other.relay_links_lost;
        self.turns += other.turns;
        self.busy += other.busy;
        // Of several, what the worst of them shows.
        self.turn_max = self.turn_max.max(other.turn_max);
        self.lag_max = self.lag_max.max(other.lag_max);
    }
}

/// What outlives a shard: its counters, not what it had at that moment.
pub(crate) fn counters_only(core: &ShardStats) -> ShardStats {
    ShardStats {
        rooms: 0,
        participants: 0,
        tracks: 0,
        subscriptions: 0,
        packets_waiting: 0,
        ..core.clone()
    }
}

/// Adds up cores. Written out in full, so that a number the core adds is not forgotten here.
pub(crate) fn add_core(sum: &mut ShardStats, other: &ShardStats) {
    let ShardStats {
        rooms,
        participants,
        tracks,
        subscriptions,
        datagrams_received,
        bytes_received,
        datagrams_sent,
        bytes_sent,
        packets_received,
        packets_offered,
        packets_forwarded,
        packets_relayed,
        packets_imported,
        replays,
        keyframe_requests_received,
        keyframe_requests_sent,
        joins,
        resumes,
        faults,
        bindings_answered,
        data_messages,
        packets_repaired,
        repairs_missed,
        packets_padding,
        packets_discarded,
        packets_waiting,
        drops,
    } = other;
    sum.rooms += rooms;
    sum.participants += participants;
    sum.tracks += tracks;
    sum.subscriptions += subscriptions;
    sum.datagrams_received += datagrams_received;
    sum.bytes_received += bytes_received;
    sum.datagrams_sent += datagrams_sent;
    sum.bytes_sent += bytes_sent;
    sum.packets_received += packets_received;
    sum.packets_offered += packets_offered;
    sum.packets_forwarded += packets_forwarded;
    sum.packets_relayed += packets_relayed;
    sum.packets_imported += packets_imported;
    sum.replays += replays;
    sum.keyframe_requests_received += keyframe_requests_received;
    sum.keyframe_requests_sent += keyframe_requests_sent;
    sum.joins += joins;
    sum.resumes += resumes;
    sum.faults += faults;
    sum.bindings_answered += bindings_answered;
    sum.data_messages += data_messages;
    sum.packets_repaired += packets_repaired;
    sum.repairs_missed += repairs_missed;
    sum.packets_padding += packets_padding;
    sum.packets_discarded += packets_discarded;
    sum.packets_waiting += packets_waiting;
    for reason in DropReason::ALL {
        sum.drops[reason as usize] += drops[reason as usize];
    }
}

/// Where a worker puts the copy that others read.
#[derive(Debug, Default)]
pub(crate) struct Published(Mutex<WorkerStats>);

impl Published {
    pub(crate) fn set(&self, stats: WorkerStats) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = stats;
    }

    pub(crate) fn read(&self) -> WorkerStats {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_places_of_reasons_agree() {
        for (place, reason) in TcpEnd::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place, "{}", reason.label());
        }
    }

    #[test]
    fn a_shard_that_is_gone_leaves_its_counters_only() {
        let mut core = ShardStats {
            rooms: 3,
            joins: 7,
            ..ShardStats::default()
        };
        core.drops[2] = 5;
        let mut sum = counters_only(&core);
        add_core(&mut sum, &core);
        assert_eq!((sum.rooms, sum.joins, sum.drops[2]), (3, 14, 10));
    }
}
