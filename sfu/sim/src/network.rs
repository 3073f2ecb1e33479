//! What is under way between the clients and the node: datagrams over links that delay, reorder and
//! lose, and messages over control connections that only delay. Must not look into packets.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use plenum_proto::node::SessionEvent;
use sfu_core::{Command, RelayFrame};

use crate::world::ClientKey;

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
}

impl Default for LinkSettings {
    fn default() -> Self {
        let delay = Duration::from_millis(15);
        Self {
            delay,
            jitter: Duration::ZERO,
            reordering: 0.0,
            loss: 0.0,
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

    /// Whether all that is sent arrives, in order.
    pub(crate) fn is_perfect(&self) -> bool {
        self.loss <= 0.0 && self.reordering <= 0.0
    }
}

/// A datagram on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Letter {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) bytes: Vec<u8>,
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
    kinds: BTreeMap<(SocketAddr, SocketAddr, u64), u64>,
    pub(crate) lost: u64,
}

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
            kinds: BTreeMap::new(),
            lost: 0,
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
        if fate.chance(link.loss) {
            self.lost += 1;
            return;
        }
        let mut at = now + link.delay + fate.part_of(link.jitter);
        let turn = self
            .turns
            .entry((letter.source, letter.destination))
            .or_default();
        at = at.max(*turn);
        if fate.chance(link.reordering) {
            at += fate.part_of(LinkSettings::LATE);
        } else {
            *turn = at;
        }
        let cargo = if to_node {
            Cargo::ToNode(letter)
        } else {
            Cargo::ToClient(letter)
        };
        self.deliver_at(at, cargo);
    }

    /// What happens to a datagram depends on the seed, on what kind it is, and how many of them were sent
    /// before; not on the order of others, which the engine does not keep from run to run.
    fn fate(&mut self, letter: &Letter) -> Fate {
        let Letter {
            source,
            destination,
            bytes,
        } = letter;
        let kind = match bytes.as_slice() {
            // RTCP, then RTP by sequence number and SSRC.
            [128..=191, 192..=223, ..] => 1,
            [128..=191, _, q0, q1, _, _, _, _, s0, s1, s2, s3, ..] => {
                u64::from_be_bytes([2, 0, *q0, *q1, *s0, *s1, *s2, *s3])
            }
            [20..=63, ..] => 3,
            _ => 4,
        };
        let nth = self.kinds.entry((*source, *destination, kind)).or_default();
        *nth += 1;
        let ends = [source, destination].map(|address| match address.ip() {
            IpAddr::V4(ip) => u64::from(ip.to_bits()) << 16 | u64::from(address.port()),
            IpAddr::V6(_) => 0,
        });
        let parts = [ends[0], ends[1], kind, *nth];
        Fate(
            parts
                .into_iter()
                .fold(self.seed, |state, part| mix(state ^ part)),
        )
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

/// A few random draws for one datagram.
struct Fate(u64);

impl Fate {
    /// From 0 up to 1.
    fn draw(&mut self) -> f64 {
        self.0 = mix(self.0);
        // 53 bits are what the mantissa holds.
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn chance(&mut self, probability: f64) -> bool {
        self.draw() < probability
    }

    fn part_of(&mut self, span: Duration) -> Duration {
        span.mul_f64(self.draw())
    }
}

/// A step of the SplitMix64 generator.
fn mix(state: u64) -> u64 {
    let state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let state = (state ^ state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ state >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ state >> 31
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
