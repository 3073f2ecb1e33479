//! The laws of what goes through a node: every packet is forwarded, waits, or is dropped for a reason that is
//! counted, and what waits is bounded. Must not change anything.

use std::{collections::BTreeSet, time::Duration};

use sfu_core::{DropReason, ShardStats};

use super::World;

/// Packets that may wait for one client.
const PACKETS: usize = 1_024;

/// How old media may be that still waits.
const AGE: Duration = Duration::from_secs(4);

/// Datagrams by what their first bytes say.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// RTP sent by clients, retransmissions included.
    client_rtp: u64,
    /// The same of the nodes.
    node_rtp: u64,
    /// Of that, what is on streams that repair others: what is sent again, and padding.
    node_repairs: u64,
    /// The SSRCs of these, by the descriptions of the nodes.
    repairs: BTreeSet<u32>,
}

impl Counts {
    pub(super) fn on_sent_by_client(&mut self, bytes: &[u8]) {
        self.client_rtp += u64::from(is_rtp(bytes));
    }

    pub(super) fn on_sent_by_node(&mut self, bytes: &[u8]) {
        if !is_rtp(bytes) {
            return;
        }
        self.node_rtp += 1;
        let ssrc = bytes.get(8..).and_then(|rest| rest.first_chunk());
        let repairs = ssrc.is_some_and(|ssrc| self.repairs.contains(&u32::from_be_bytes(*ssrc)));
        self.node_repairs += u64::from(repairs);
    }

    /// A node describes what it sends (RFC 5576 section 4.2).
    pub(super) fn on_described_by_node(&mut self, sdp: &str) {
        let groups = sdp
            .lines()
            .filter_map(|line| line.strip_prefix("a=ssrc-group:FID "));
        let repairs =
            groups.filter_map(|group| group.split_whitespace().nth(1)?.parse::<u32>().ok());
        self.repairs.extend(repairs);
    }
}

/// RTP and not RTCP (RFC 5761).
fn is_rtp(bytes: &[u8]) -> bool {
    matches!(bytes, [128..=191, kind, ..] if !(192..=223).contains(kind))
}

/// Why a packet was not handed to a subscriber, of those it was offered to.
const FORWARDING: [DropReason; 10] = [
    DropReason::NotWanted,
    DropReason::AwaitingKeyframe,
    DropReason::TemporalLayer,
    DropReason::SpatialLayer,
    DropReason::Paused,
    DropReason::Stale,
    DropReason::CodecUnsupported,
    DropReason::NotConnected,
    DropReason::NotLoudest,
    DropReason::QueueFull,
];

/// What left the nodes for subscribers, by their own account.
fn sent_by_nodes(stats: &ShardStats) -> u64 {
    stats.packets_forwarded - stats.packets_discarded - stats.packets_waiting
}

impl World {
    /// Looks at the accounts, when the nodes have said all they have to say.
    pub(super) fn judge_accounts(&mut self) {
        self.judge_conservation();
        self.judge_wire();
        self.judge_queues();
    }

    /// Every packet offered to a subscription was forwarded, or dropped for a reason that is counted.
    fn judge_conservation(&mut self) {
        for index in 0..self.shard_count() {
            let stats = self.shard_at(index).stats();
            let dropped: u64 = FORWARDING.iter().map(|reason| stats.dropped(*reason)).sum();
            let offered = stats.packets_offered;
            if offered != stats.packets_forwarded + dropped {
                let forwarded = stats.packets_forwarded;
                self.breach(
                    &format!("shard {index}"),
                    format!("{offered} offered, {forwarded} forwarded, {dropped} dropped"),
                );
            }
        }
    }

    /// Every packet that was forwarded was sent, once, or waits, or was thrown away, which is counted.
    fn judge_wire(&mut self) {
        let stats = self.stats();
        let seen = self.counts.node_rtp - self.counts.node_repairs;
        if seen != sent_by_nodes(&stats) {
            let (forwarded, discarded) = (stats.packets_forwarded, stats.packets_discarded);
            let waiting = stats.packets_waiting;
            let what = format!(
                "{forwarded} forwarded, {discarded} discarded, {waiting} wait, {seen} were sent"
            );
            self.breach("the nodes", what);
        }
    }

    /// What waits for a client is bounded in number, in time and, of data, in bytes.
    fn judge_queues(&mut self) {
        let data_bytes = self.limits.data_buffer_bytes * 2;
        for index in 0..self.shard_count() {
            for backlog in self.shard_mut(index).backlogs() {
                let is_bounded = backlog.packets <= PACKETS
                    && backlog.age <= AGE
                    && backlog.data_bytes <= data_bytes;
                if !is_bounded {
                    self.breach(&backlog.identity, format!("too much waits: {backlog:?}"));
                }
            }
        }
    }

    /// All packets that were under way have arrived. Everything the clients sent was taken or dropped
    /// for a reason, and everything forwarded was received; only where the links lose nothing.
    pub fn assert_all_accounted(&mut self) {
        let lossless = self.network.lost == 0;
        assert!(lossless, "with loss nothing can be said");
        let stats = self.stats();
        let sent: u64 = self.clients.iter().map(|client| client.media_sent).sum();
        let refused = [
            DropReason::UnknownStream,
            DropReason::SsrcLimit,
            DropReason::UnvalidatedSource,
            DropReason::Malformed,
        ];
        let refused: u64 = refused.iter().map(|reason| stats.dropped(*reason)).sum();
        assert_eq!(
            sent, self.counts.client_rtp,
            "clients sent again what was not lost"
        );
        assert!(
            stats.packets_received <= sent && sent <= stats.packets_received + refused,
            "{sent} sent, {} taken, {refused} refused",
            stats.packets_received
        );
        let received: u64 = self
            .clients
            .iter()
            .map(|client| client.media_received)
            .sum();
        assert_eq!(
            sent_by_nodes(&stats) + stats.packets_padding,
            self.counts.node_rtp,
            "forwarded, and on the wire"
        );
        assert_eq!(
            sent_by_nodes(&stats),
            received,
            "forwarded, and received by clients"
        );
    }
}
