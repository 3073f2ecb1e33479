//! What is under way between the clients and the node: datagrams over links that delay, reorder and
//! lose, and messages over control connections that only delay. Must not look into packets.

use std::{cmp::Reverse, collections::BinaryHeap, net::SocketAddr, time::Duration};

use plenum_proto::node::SessionEvent;
use rand::Rng;
use sfu_core::Command;

use crate::world::ClientKey;

/// One direction of the way between a client and the node.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LinkSettings {
    /// How long every datagram takes at least.
    pub delay: Duration,
    /// At most so much longer, evenly spread; what is later sent may come earlier.
    pub jitter: Duration,
    /// Share of datagrams that never come, 0 to 1.
    pub loss: f64,
}

impl Default for LinkSettings {
    fn default() -> Self {
        Self { delay: Duration::from_millis(15), jitter: Duration::ZERO, loss: 0.0 }
    }
}

impl LinkSettings {
    /// A link that only delays.
    pub fn delayed(delay: Duration) -> Self {
        Self { delay, ..Self::default() }
    }

    /// The default link with loss.
    pub fn lossy(loss: f64) -> Self {
        Self { loss, ..Self::default() }
    }

    /// Whether all that is sent arrives, in order.
    pub(crate) fn is_perfect(&self) -> bool {
        self.loss <= 0.0 && self.jitter.is_zero()
    }
}

/// Something under way.
#[derive(Debug)]
pub(crate) enum Cargo {
    ToNode { source: SocketAddr, destination: SocketAddr, bytes: Vec<u8> },
    ToClient { source: SocketAddr, destination: SocketAddr, bytes: Vec<u8> },
    Command(Command),
    Event { client: ClientKey, event: SessionEvent },
}

/// All that is under way, in the order of arrival.
#[derive(Debug, Default)]
pub(crate) struct Network {
    under_way: BinaryHeap<Reverse<Parcel>>,
    sent: u64,
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
        let jitter = if link.jitter.is_zero() {
            Duration::ZERO
        } else {
            Duration::from_micros(rng.random_range(0..=link.jitter.as_micros() as u64))
        };
        self.deliver_at(now + link.delay + jitter, cargo);
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
        Cargo::ToNode { source: any, destination: any, bytes: vec![number] }
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
            network.send(Duration::ZERO, &LinkSettings::default(), &mut rng, datagram(number));
        }
        assert_eq!(network.next(), Some(LinkSettings::default().delay));
        assert!(network.pop_due(Duration::from_millis(14)).is_none());
        assert_eq!(arrivals(&mut network), (0..50).collect::<Vec<_>>());
    }

    #[test]
    fn loss_and_jitter_do_what_they_say() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut network = Network::default();
        let link = LinkSettings {
            jitter: Duration::from_millis(9),
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
    }
}
