//! What is under way between the clients and the node: datagrams over links that delay, reorder and
//! lose, and messages over control connections that only delay. Must not look into packets.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    net::SocketAddr,
    time::Duration,
};

use plenum_proto::node::SessionEvent;
use rand::Rng;
use sfu_core::Command;

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

/// Something under way.
#[derive(Debug)]
pub(crate) enum Cargo {
    ToNode {
        source: SocketAddr,
        destination: SocketAddr,
        bytes: Vec<u8>,
    },
    ToClient {
        source: SocketAddr,
        destination: SocketAddr,
        bytes: Vec<u8>,
    },
    Command(Command),
    Event {
        client: ClientKey,
        event: SessionEvent,
    },
}

/// All that is under way, in the order of arrival.
#[derive(Debug, Default)]
pub(crate) struct Network {
    under_way: BinaryHeap<Reverse<Parcel>>,
    sent: u64,
    /// When the newest datagram that keeps its turn arrives, by source and destination.
    turns: BTreeMap<(SocketAddr, SocketAddr), Duration>,
    pub(crate) lost: u64,
}

#[derive(Debug)]
struct Parcel {
    at: Duration,
    number: u64,
    cargo: Cargo,
}

impl Network {
    /// Sends over a link; it may be lost.
    pub(crate) fn send(
        &mut self,
        now: Duration,
        link: &LinkSettings,
        rng: &mut impl Rng,
        cargo: Cargo,
    ) {
        if link.loss > 0.0 && rng.random_bool(link.loss.min(1.0)) {
            self.lost += 1;
            return;
        }
        let mut spread = |most: Duration| match most.as_micros() as u64 {
            0 => Duration::ZERO,
            most => Duration::from_micros(rng.random_range(0..=most)),
        };
        let mut at = now + link.delay + spread(link.jitter);
        let late = spread(LinkSettings::LATE);
        if let Cargo::ToNode {
            source,
            destination,
            ..
        }
        | Cargo::ToClient {
            source,
            destination,
            ..
        } = &cargo
        {
            let turn = self.turns.entry((*source, *destination)).or_default();
            at = at.max(*turn);
            if link.reordering > 0.0 && rng.random_bool(link.reordering.min(1.0)) {
                at += late;
            } else {
                *turn = at;
            }
        }
        self.deliver_at(at, cargo);
    }

    /// Delivers at a moment, for sure.
    pub(crate) fn deliver_at(&mut self, at: Duration, cargo: Cargo) {
        let number = self.sent;
        self.sent += 1;
        self.under_way.push(Reverse(Parcel { at, number, cargo }));
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
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    fn datagram(number: u8) -> Cargo {
        let any = SocketAddr::from(([10, 0, 0, 1], 1));
        Cargo::ToNode {
            source: any,
            destination: any,
            bytes: vec![number],
        }
    }

    fn arrivals(network: &mut Network) -> Vec<u8> {
        let mut numbers = Vec::new();
        while let Some(Cargo::ToNode { bytes, .. }) = network.pop_due(Duration::MAX) {
            numbers.extend(bytes);
        }
        numbers
    }

    #[test]
    fn a_link_that_only_delays_keeps_the_order() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut network = Network::default();
        for number in 0..50 {
            network.send(
                Duration::ZERO,
                &LinkSettings::default(),
                &mut rng,
                datagram(number),
            );
        }
        assert_eq!(network.next(), Some(LinkSettings::default().delay));
        assert!(network.pop_due(Duration::from_millis(14)).is_none());
        assert_eq!(arrivals(&mut network), (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn loss_and_reordering_do_what_they_say() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut network = Network::default();
        let link = LinkSettings {
            reordering: 0.2,
            ..LinkSettings::lossy(0.5)
        };
        for number in 0..200 {
            network.send(Duration::ZERO, &link, &mut rng, datagram(number));
        }
        let lost = network.lost;
        assert!((60..140).contains(&lost), "{lost}");
        let came = arrivals(&mut network);
        assert_eq!(came.len() as u64, 200 - lost);
        assert!(!came.is_sorted());
        let link = LinkSettings {
            jitter: Duration::from_millis(9),
            ..LinkSettings::default()
        };
        for number in 0..50 {
            network.send(Duration::ZERO, &link, &mut rng, datagram(number));
        }
        assert!(network.next() > Some(link.delay));
        assert!(arrivals(&mut network).is_sorted());
    }
}
