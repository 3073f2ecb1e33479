//! Where a socket bound to all addresses must send from: a client hears only the address it wrote to.
//!
//! Owns what is known of that. Nothing is kept of clients that wrote to the address all others wrote to,
//! so that on most hosts there is nothing to look up.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

/// Clients remembered. Past it all are forgotten: each is known again by its next datagram, which ICE
/// consent (RFC 7675) makes come soon.
const REMEMBERED: usize = 65_536;

/// Which of our addresses clients wrote to.
#[derive(Debug, Default)]
pub(super) struct Origins {
    /// The address that the first datagram came to.
    usual: Option<IpAddr>,
    /// Clients that wrote to another, since there is one.
    others: HashMap<SocketAddr, IpAddr>,
}

impl Origins {
    /// `client` wrote to `our` address.
    pub(super) fn on_received(&mut self, client: SocketAddr, our: IpAddr) {
        let usual = *self.usual.get_or_insert(our);
        if our != usual {
            if self.others.len() >= REMEMBERED && !self.others.contains_key(&client) {
                self.others.clear();
            }
            self.others.insert(client, our);
        } else if !self.others.is_empty() {
            self.others.remove(&client);
        }
    }

    /// The address to send to `client` from; `None` leaves it to the kernel.
    pub(super) fn of(&self, client: SocketAddr) -> Option<IpAddr> {
        if self.others.is_empty() {
            return None;
        }
        self.others.get(&client).copied().or(self.usual)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_answered_from_the_address_it_wrote_to() {
        let ip = |last| IpAddr::from([10, 0, 0, last]);
        let client = |port| SocketAddr::from(([192, 0, 2, 1], port));
        let mut origins = Origins::default();
        origins.on_received(client(1), ip(1));
        assert_eq!(origins.of(client(1)), None, "the kernel knows the only one");
        origins.on_received(client(2), ip(2));
        assert_eq!(origins.of(client(1)), Some(ip(1)));
        assert_eq!(origins.of(client(2)), Some(ip(2)));
        origins.on_received(client(2), ip(1));
        assert_eq!(origins.of(client(2)), None);
    }

    #[test]
    fn memory_is_bounded() {
        let mut origins = Origins::default();
        origins.on_received(([192, 0, 2, 1], 1).into(), [10, 0, 0, 1].into());
        for client in 0..=u32::try_from(REMEMBERED).unwrap() {
            let ip = std::net::Ipv4Addr::from(client);
            origins.on_received((ip, 9).into(), [10, 0, 0, 2].into());
        }
        assert_eq!(origins.others.len(), 1);
    }
}
