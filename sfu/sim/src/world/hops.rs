//! Nodes far apart: media between them goes as datagrams that are delayed, reordered and lost, over the hops
//! that real nodes use; control messages are only delayed. Must not judge.

use std::time::{Duration, Instant};

use bytes::Bytes;
use sfu_core::{HopReceiver, HopSender, HopStats, LinkKey, RelayFrame, RelayPacket};

use super::World;

/// Bytes of a datagram between nodes: what QUIC leaves of its smallest packets.
const ROOM: usize = 1_160;

/// Both ends of the way from one node to another.
#[derive(Debug, Default)]
pub(super) struct Hop {
    sender: HopSender,
    receiver: HopReceiver,
    /// Of packets, once each.
    bytes: u64,
}

impl World {
    /// The link to a shard, as all of them name it.
    pub fn link_to(&self, index: usize) -> LinkKey {
        if self.has_nodes {
            LinkKey::new(index as u64, 0)
        } else {
            LinkKey(index as u64)
        }
    }

    pub(super) fn shard_behind(&self, link: LinkKey) -> usize {
        let number = if self.has_nodes { link.node() } else { link.0 };
        usize::try_from(number).expect("an index")
    }

    /// The way to the home of all rooms; none where the home itself serves.
    pub(super) fn home_of(&self, shard: usize) -> Option<LinkKey> {
        (shard != self.home).then(|| self.link_to(self.home))
    }

    /// Rooms have their home on another shard from now on, as far as those who join are told.
    pub fn set_home(&mut self, index: usize) {
        self.home = index;
    }

    /// What was counted on the way from one node to another, at both ends.
    pub fn hop(&self, from: usize, to: usize) -> HopStats {
        let mut stats = HopStats::default();
        if let Some(hop) = self.hops.get(&(from, to)) {
            stats.add(&hop.sender.stats());
            stats.add(&hop.receiver.stats());
        }
        stats
    }

    /// Bytes of the media packets that went from one node to another so far.
    pub fn relayed_bytes(&self, from: usize, to: usize) -> u64 {
        self.hops.get(&(from, to)).map_or(0, |hop| hop.bytes)
    }

    pub(super) fn send_packet(&mut self, from: usize, to: usize, packet: &RelayPacket) {
        let (now, mut out, mut bytes) = (self.clock.instant(), Vec::new(), Vec::new());
        packet.encode(&mut bytes);
        let hop = self.hops.entry((from, to)).or_default();
        hop.bytes += bytes.len() as u64;
        let is_sent = hop
            .sender
            .send(now, &bytes, ROOM, |datagram| out.push(datagram));
        assert!(is_sent, "a packet too large for a hop");
        self.send_datagrams(from, to, out);
    }

    fn send_datagrams(&mut self, from: usize, to: usize, datagrams: Vec<Bytes>) {
        for datagram in datagrams {
            let hop = (from, to, datagram);
            self.network.send_hop(self.clock.now, &self.relay_link, hop);
        }
    }

    fn hop_rtt(&self) -> Duration {
        (self.relay_link.delay + self.relay_link.jitter) * 2
    }

    /// A datagram from one node came to another.
    pub(super) fn on_hop(&mut self, from: usize, to: usize, datagram: &Bytes) {
        let (now, rtt) = (self.clock.instant(), self.hop_rtt());
        let hop = self.hops.entry((from, to)).or_default();
        let received = hop.receiver.handle(now, rtt, datagram);
        if let Some(message) = received.message {
            let packet = RelayPacket::decode(now, &message).expect("a packet");
            let link = self.link_to(from);
            let frame = RelayFrame::Media(packet.into());
            self.shard_mut(to).handle_relay(now, link, frame);
        }
        let mut again = Vec::new();
        let back = self.hops.entry((to, from)).or_default();
        back.sender
            .on_missing(now, &received.missing, |datagram| again.push(datagram));
        self.send_datagrams(to, from, again);
    }

    pub(super) fn hop_deadline(&self) -> Option<Instant> {
        let hops = self.hops.values();
        hops.flat_map(|hop| [hop.sender.poll_timeout(), hop.receiver.poll_timeout()])
            .flatten()
            .min()
    }

    pub(super) fn handle_hop_timeouts(&mut self) {
        let (now, rtt) = (self.clock.instant(), self.hop_rtt());
        let mut out = Vec::new();
        for ((from, to), hop) in &mut self.hops {
            hop.sender
                .handle_timeout(now, |datagram| out.push((*from, *to, datagram)));
            hop.receiver
                .handle_timeout(now, rtt, |datagram| out.push((*to, *from, datagram)));
        }
        for (from, to, datagram) in out {
            self.send_datagrams(from, to, vec![datagram]);
        }
    }
}
