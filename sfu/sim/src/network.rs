//! What is under way between the clients and the node: datagrams over links that delay, reorder and
//! lose, and messages over control connections that only delay. Must not look into packets beyond their headers.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap, HashMap},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use bytes::Bytes;
use plenum_proto::node::SessionEvent;
use sfu_core::{Command, RelayFrame};

use crate::{
    Cross,
    line::{Fate, Line},
    world::ClientKey,
};

/// One direction of the way between a client and the node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinkSettings {
    /// How long every datagram takes at least.
    pub delay: Duration,
    /// At most so much longer, evenly spread; the order is kept, as in a queue.
    pub jitter: Duration,
    /// Share of datagrams that come up to [`LinkSettings::LATE`] behind their turn, 0 to 1.
    pub reordering: f64,
    /// Share of datagrams that never come, 0 to 1.
    pub loss: f64,
    /// Losses that come together.
    pub bursts: Option<Bursts>,
    /// Bits per second, and how long what the queue before it holds takes to pass; none: without limit.
    pub rate: Option<(u64, Duration)>,
    /// What else goes over it, where its rate is limited.
    pub cross: Option<Cross>,
}

/// Losses that come together: times in which most is lost, of random length and distance.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bursts {
    /// From one to the next, on average.
    pub every: Duration,
    /// How long one lasts, on average.
    pub last: Duration,
    /// Share of datagrams lost meanwhile, 0 to 1.
    pub loss: f64,
}

impl Default for LinkSettings {
    fn default() -> Self {
        let delay = Duration::from_millis(15);
        Self {
            delay,
            jitter: Duration::ZERO,
            reordering: 0.0,
            loss: 0.0,
            bursts: None,
            rate: None,
            cross: None,
        }
    }
}

impl LinkSettings {
    /// How far behind its turn a datagram may come.
    pub const LATE: Duration = Duration::from_millis(20);

    /// A link that only delays.
    pub fn delayed(delay: Duration) -> Self {
        Self {
            delay,
            ..Self::default()
        }
    }

    /// The default link with loss.
    pub fn lossy(loss: f64) -> Self {
        Self {
            loss,
            ..Self::default()
        }
    }

    /// The default link at so many bits per second, with a queue that holds so much.
    pub fn limited(rate: u64, queue: Duration) -> Self {
        Self {
            rate: Some((rate, queue)),
            ..Self::default()
        }
    }

    /// When a datagram that passed the bottleneck arrives. `turn` is when the newest does that keeps its turn.
    pub(crate) fn arrival(
        &self,
        passed: Duration,
        turn: &mut Duration,
        fate: &mut Fate,
    ) -> Duration {
        let at = (passed + self.delay + fate.part_of(self.jitter)).max(*turn);
        if fate.chance(self.reordering) {
            return at + fate.part_of(Self::LATE);
        }
        *turn = at;
        at
    }

    /// Whether next to nothing passes.
    pub(crate) fn is_cut(&self) -> bool {
        self.loss > 0.5
    }

    /// Whether all that is sent arrives, in order.
    pub(crate) fn is_perfect(&self) -> bool {
        self.loss <= 0.0 && self.reordering <= 0.0 && self.bursts.is_none() && self.rate.is_none()
    }
}

/// A datagram on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Letter {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

impl Letter {
    /// Bytes of it that a link counts. Signatures and certificates differ in length from run to run; a
    /// handshake counts as if it filled its datagrams.
    fn size(&self) -> usize {
        let is_handshake = self.bytes.first() == Some(&HANDSHAKE);
        let least = if is_handshake { FULL } else { 0 };
        self.bytes.len().max(least)
    }
}

/// Something under way.
#[derive(Debug)]
pub(crate) enum Cargo {
    ToNode(Letter),
    ToClient(Letter),
    Command {
        shard: usize,
        command: Command,
    },
    Relay {
        from: usize,
        to: usize,
        frame: RelayFrame,
    },
    /// A datagram between two nodes.
    Hop {
        from: usize,
        to: usize,
        bytes: Bytes,
    },
    Event {
        client: ClientKey,
        event: SessionEvent,
    },
}

/// All that is under way, in the order of arrival.
#[derive(Debug)]
pub(crate) struct Network {
    seed: u64,
    under_way: BinaryHeap<Reverse<Parcel>>,
    sent: u64,
    /// When the newest datagram that keeps its turn arrives, by source and destination.
    turns: BTreeMap<(SocketAddr, SocketAddr), Duration>,
    /// How often a datagram of this kind was sent.
    kinds: HashMap<(SocketAddr, SocketAddr, u64), u64>,
    /// The same of the packets of streams, by SSRC: the newest numbers, each in its place.
    streams: HashMap<(SocketAddr, SocketAddr, u32), Vec<(u16, u64)>>,
    /// The links to and from a client, by its address; true: to the node.
    links: BTreeMap<(IpAddr, bool), Line>,
    /// Datagrams sent from one node to another.
    hops: BTreeMap<(usize, usize), u64>,
    pub(crate) lost: u64,
    /// Of those lost by themselves, and of those that came behind their turn.
    lost_alone: u64,
    reordered: u64,
    /// The same between nodes.
    hop_faults: HopFaults,
}

/// What links did to datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Faults {
    /// Lost by themselves.
    pub lost: u64,
    /// Lost with others.
    pub lost_in_bursts: u64,
    /// Dropped before a link whose queue was full.
    pub dropped: u64,
    /// Arrived behind their turn.
    pub reordered: u64,
}

/// What the ways between nodes did to datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HopFaults {
    /// Lost.
    pub lost: u64,
    /// Arrived later than the way takes at least.
    pub jittered: u64,
    /// Arrived behind their turn.
    pub reordered: u64,
}

/// Packets of a stream that are told apart from others of the same number.
const PLACES: usize = 1_024;

/// The content type of DTLS handshake messages (RFC 9147, section 4.1), and what a full datagram of them holds, in bytes.
const HANDSHAKE: u8 = 22;
const FULL: usize = 1_200;

/// IPv4 and UDP.
const HEADERS: usize = 28;

#[derive(Debug)]
struct Parcel {
    at: Duration,
    number: u64,
    cargo: Cargo,
}

impl Network {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            seed,
            under_way: BinaryHeap::new(),
            sent: 0,
            turns: BTreeMap::new(),
            kinds: HashMap::new(),
            streams: HashMap::new(),
            links: BTreeMap::new(),
            hops: BTreeMap::new(),
            lost: 0,
            lost_alone: 0,
            reordered: 0,
            hop_faults: HopFaults::default(),
        }
    }

    /// Sends over a link; it may be lost. With `to_node`, the letter goes there.
    pub(crate) fn send(
        &mut self,
        now: Duration,
        link: &LinkSettings,
        letter: Letter,
        to_node: bool,
    ) {
        let mut fate = self.fate(&letter);
        let client = if to_node {
            letter.source.ip()
        } else {
            letter.destination.ip()
        };
        let seed = self.seed;
        let passed = self
            .links
            .entry((client, to_node))
            .or_insert_with(|| {
                let which = number_of(client) << 1 ^ u64::from(to_node);
                Line::recording(seed ^ which)
            })
            .pass(now, link, letter.size() + HEADERS, &mut fate);
        let is_lost_alone = passed.is_some() && fate.chance(link.loss);
        self.lost_alone += u64::from(is_lost_alone);
        let Some(passed) = passed.filter(|_| !is_lost_alone) else {
            self.lost += 1;
            return;
        };
        let turn = self
            .turns
            .entry((letter.source, letter.destination))
            .or_default();
        let at = link.arrival(passed, turn, &mut fate);
        // Who keeps its turn moves it.
        self.reordered += u64::from(*turn < at);
        let cargo = if to_node {
            Cargo::ToNode(letter)
        } else {
            Cargo::ToClient(letter)
        };
        self.deliver_at(at, cargo);
    }

    /// What passed the bottleneck to a client since a moment: how long each datagram took, and its bytes.
    pub(crate) fn passed(
        &self,
        client: IpAddr,
        since: Duration,
    ) -> impl Iterator<Item = (Duration, usize)> {
        let link = self.links.get(&(client, false)).into_iter();
        link.flat_map(Line::passed)
            .filter(move |(at, ..)| *at >= since)
            .map(|(_, wait, bytes)| (*wait, *bytes))
    }

    /// Bytes of what else goes over the limited link to a client that passed.
    pub(crate) fn crossed(&self, client: IpAddr) -> u64 {
        self.links.get(&(client, false)).map_or(0, Line::crossed)
    }

    /// What was done to datagrams between clients and nodes up to now.
    pub(crate) fn faults(&self) -> Faults {
        let lines = self.links.values();
        let (lost_in_bursts, dropped) = lines.fold((0, 0), |(bursts, dropped), line| {
            (bursts + line.lost_in_bursts, dropped + line.dropped)
        });
        Faults {
            lost: self.lost_alone,
            lost_in_bursts,
            dropped,
            reordered: self.reordered,
        }
    }

    /// What was done to datagrams between nodes up to now.
    pub(crate) fn hop_faults(&self) -> HopFaults {
        self.hop_faults
    }

    /// Sends a datagram between two nodes.
    pub(crate) fn send_hop(
        &mut self,
        now: Duration,
        link: &LinkSettings,
        hop: (usize, usize, Bytes),
    ) {
        let (from, to, bytes) = hop;
        let number = self.hops.entry((from, to)).or_default();
        *number += 1;
        let parts = [from as u64, to as u64, 5, *number];
        let mut fate = Fate::of(self.seed, parts);
        if fate.chance(link.loss) {
            self.lost += 1;
            self.hop_faults.lost += 1;
            return;
        }
        let jitter = fate.part_of(link.jitter);
        self.hop_faults.jittered += u64::from(!jitter.is_zero());
        let mut at = now + link.delay + jitter;
        if fate.chance(link.reordering) {
            at += fate.part_of(LinkSettings::LATE);
            self.hop_faults.reordered += 1;
        }
        self.deliver_at(at, Cargo::Hop { from, to, bytes });
    }

    /// What happens to a datagram depends on the seed, on what kind it is, and how many of them were sent
    /// before; not on the order of others, which the engine does not keep from run to run.
    fn fate(&mut self, letter: &Letter) -> Fate {
        let Letter {
            source,
            destination,
            bytes,
        } = letter;
        let ends = [source, destination]
            .map(|address| number_of(address.ip()) << 16 | u64::from(address.port()));
        let kind = match bytes.as_slice() {
            // RTCP, then RTP by sequence number and SSRC.
            [128..=191, 192..=223, ..] => 1,
            // The engine of a client pads with any of its repair streams, another in each run.
            [128..=191, marked, ..] if is_repair(*marked) => 5,
            [128..=191, _, q0, q1, _, _, _, _, s0, s1, s2, s3, ..] => {
                let kind = u64::from_be_bytes([2, 0, *q0, *q1, *s0, *s1, *s2, *s3]);
                let stream = (*source, *destination, kind as u32);
                let places = self
                    .streams
                    .entry(stream)
                    .or_insert_with(|| vec![(0, 0); PLACES]);
                let sequence = u16::from_be_bytes([*q0, *q1]);
                let place = &mut places[usize::from(sequence) % PLACES];
                if place.0 != sequence {
                    *place = (sequence, 0);
                }
                place.1 += 1;
                return Fate::of(self.seed, [ends[0], ends[1], kind, place.1]);
            }
            [20..=63, ..] => 3,
            _ => 4,
        };
        let nth = self.kinds.entry((*source, *destination, kind)).or_default();
        *nth += 1;
        Fate::of(self.seed, [ends[0], ends[1], kind, *nth])
    }

    /// Delivers at a moment, for sure.
    pub(crate) fn deliver_at(&mut self, at: Duration, cargo: Cargo) {
        let number = self.sent;
        self.sent += 1;
        self.under_way.push(Reverse(Parcel { at, number, cargo }));
    }

    /// Forgets what is under way and not wanted any more.
    pub(crate) fn retain(&mut self, keep: impl Fn(&Cargo) -> bool) {
        self.under_way.retain(|Reverse(parcel)| keep(&parcel.cargo));
    }

    /// When the next thing arrives.
    pub(crate) fn next(&self) -> Option<Duration> {
        self.under_way.peek().map(|Reverse(parcel)| parcel.at)
    }

    /// Takes out what has arrived.
    pub(crate) fn pop_due(&mut self, now: Duration) -> Option<Cargo> {
        if self.next()? > now {
            return None;
        }
        self.under_way.pop().map(|Reverse(parcel)| parcel.cargo)
    }
}

/// Whether the second byte of an RTP packet names a repair stream (RFC 4588), by the payload types of the clients' engine.
pub(crate) fn is_repair(marked: u8) -> bool {
    matches!(
        marked & 0x7f,
        36 | 46 | 97 | 99 | 101 | 107 | 109 | 115 | 119 | 120 | 121
    )
}

fn number_of(address: IpAddr) -> u64 {
    match address {
        IpAddr::V4(ip) => ip.to_bits().into(),
        IpAddr::V6(_) => 0,
    }
}

impl PartialEq for Parcel {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Parcel {}

impl PartialOrd for Parcel {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Parcel {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn letter(number: u8) -> Letter {
        let any = SocketAddr::from(([10, 0, 0, 1], 1));
        Letter {
            source: any,
            destination: any,
            bytes: vec![number],
        }
    }

    fn send(network: &mut Network, link: LinkSettings, count: u8) -> Vec<u8> {
        for number in 0..count {
            network.send(Duration::ZERO, &link, letter(number), true);
        }
        let mut numbers = Vec::new();
        while let Some(Cargo::ToNode(letter)) = network.pop_due(Duration::MAX) {
            numbers.extend(letter.bytes);
        }
        numbers
    }

    #[test]
    fn a_link_that_only_delays_keeps_the_order() {
        let mut network = Network::new(1);
        network.send(Duration::ZERO, &LinkSettings::default(), letter(0), true);
        assert_eq!(network.next(), Some(LinkSettings::default().delay));
        assert!(network.pop_due(Duration::from_millis(14)).is_none());
        let mut network = Network::new(1);
        let jitter = LinkSettings {
            jitter: Duration::from_millis(9),
            ..LinkSettings::default()
        };
        for link in [LinkSettings::default(), jitter] {
            assert_eq!(send(&mut network, link, 50), (0..50).collect::<Vec<_>>());
        }
    }

    #[test]
    fn loss_and_reordering_do_what_they_say() {
        let link = LinkSettings {
            reordering: 0.2,
            ..LinkSettings::lossy(0.5)
        };
        let mut network = Network::new(1);
        let came = send(&mut network, link, 200);
        assert!((60..140).contains(&network.lost), "{}", network.lost);
        assert_eq!(came.len() as u64, 200 - network.lost);
        assert!(!came.is_sorted());
        assert_eq!(
            send(&mut Network::new(1), link, 200),
            came,
            "by the seed alone"
        );
        assert_ne!(send(&mut Network::new(2), link, 200), came);
    }
}
