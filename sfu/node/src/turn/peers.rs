//! Where a relay may send to, and how the other end is called by the client and by us.
//!
//! A relay of a media server has one usual peer, the server itself. So of our own addresses exactly these
//! may be reached: the sockets of media, and other relays of ours (two participants who both need one).
//! Everything else of ours is closed, like everything that is not the public internet. Media and relays
//! are reached by the addresses that they are bound to: nothing leaves the machine, and no NAT in front
//! of it has to send a packet back.
//!
//! Must not know a client or a permission.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    sync::{PoisonError, RwLock, RwLockReadGuard},
};

use super::address::is_public;
use crate::config::Network;

/// An address of ours: as clients know it, and where it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OwnAddress {
    pub(crate) told: SocketAddr,
    /// Bound to; the address may be unspecified.
    pub(crate) local: SocketAddr,
}

/// The peer is one that no relay may send to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Forbidden;

/// A peer that may be sent to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Peer {
    /// Where datagrams for it go.
    pub(super) to: SocketAddr,
    /// What a permission for it covers.
    pub(super) scope: Scope,
}

/// What a permission covers: an address with all its ports (RFC 8656 section 9), but of our own addresses
/// only the one port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Scope {
    Address(IpAddr),
    Port(SocketAddr),
}

/// The rules of one node.
#[derive(Debug)]
pub(super) struct Peers {
    denied: Vec<Network>,
    own: HashSet<IpAddr>,
    media: Names,
    relays: RwLock<Names>,
}

/// Both names of the same sockets.
#[derive(Debug, Default)]
struct Names {
    local: HashMap<SocketAddr, SocketAddr>,
    told: HashMap<SocketAddr, SocketAddr>,
}

impl Names {
    fn insert(&mut self, address: OwnAddress) {
        let local = reachable(address.local);
        self.local.insert(address.told, local);
        self.told.entry(local).or_insert(address.told);
    }

    fn remove(&mut self, address: OwnAddress) {
        self.local.remove(&address.told);
        self.told.remove(&reachable(address.local));
    }
}

impl Peers {
    /// `media` are the node's sockets, `denied` networks that are closed besides.
    pub(super) fn new(media: &[OwnAddress], denied: Vec<Network>) -> Self {
        let mut names = Names::default();
        let mut own = HashSet::new();
        for &address in media {
            names.insert(address);
            own.extend([address.told.ip(), address.local.ip()]);
        }
        Self {
            denied,
            own,
            media: names,
            relays: RwLock::default(),
        }
    }

    pub(super) fn add_relay(&self, relay: OwnAddress) {
        self.relays
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(relay);
    }

    pub(super) fn remove_relay(&self, relay: OwnAddress) {
        self.relays
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .remove(relay);
    }

    /// Judges a peer that a client asks for the first time. Costs a system call.
    pub(super) fn admit(&self, peer: SocketAddr) -> Result<Peer, Forbidden> {
        let admitted = self.find(peer)?;
        let is_foreign = matches!(admitted.scope, Scope::Address(_));
        // What can be bound is an address of this machine, public as it may be.
        if is_foreign && UdpSocket::bind((admitted.to.ip(), 0)).is_ok() {
            return Err(Forbidden);
        }
        Ok(admitted)
    }

    /// Judges a peer for whose address there is a permission.
    pub(super) fn find(&self, peer: SocketAddr) -> Result<Peer, Forbidden> {
        let peer = canonical(peer);
        let own = |to: SocketAddr| Peer {
            to,
            scope: Scope::Port(peer),
        };
        if let Some(&to) = self.media.local.get(&peer) {
            return Ok(own(to));
        }
        if let Some(&to) = self.relays().local.get(&peer) {
            return Ok(own(to));
        }
        let ip = peer.ip();
        let is_closed = !is_public(ip)
            || peer.port() == 0
            || self.own.contains(&ip)
            || self.denied.iter().any(|network| network.contains(ip));
        if is_closed {
            return Err(Forbidden);
        }
        Ok(Peer {
            to: peer,
            scope: Scope::Address(ip),
        })
    }

    /// How the client calls who sent from `source`, and the permission this takes. None for what no
    /// client can have a permission for.
    pub(super) fn name(&self, source: SocketAddr) -> Option<(SocketAddr, Scope)> {
        let source = canonical(source);
        if let Some(&told) = self.media.told.get(&source) {
            return Some((told, Scope::Port(told)));
        }
        if let Some(&told) = self.relays().told.get(&source) {
            return Some((told, Scope::Port(told)));
        }
        self.find(source).ok().map(|peer| (source, peer.scope))
    }

    fn relays(&self) -> RwLockReadGuard<'_, Names> {
        self.relays.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One form for each address: an IPv4 address hidden in an IPv6 one comes out, a zone goes.
pub(super) fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

/// Where this machine reaches a socket of its own.
fn reachable(local: SocketAddr) -> SocketAddr {
    let ip = match local.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(ip, local.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn own(told: &str, local: &str) -> OwnAddress {
        OwnAddress {
            told: address(told),
            local: address(local),
        }
    }

    /// Behind a 1:1 NAT on IPv4, at a public address on IPv6.
    fn peers() -> Peers {
        let media = [
            own("198.41.0.4:7882", "0.0.0.0:7882"),
            own("[2a00::7]:7882", "[2a00::7]:7882"),
        ];
        Peers::new(&media, vec!["9.9.0.0/16".parse().unwrap()])
    }

    #[test]
    fn media_is_reached_where_it_is_bound_and_named_as_it_was_told() {
        let peers = peers();
        for (told, local) in [
            ("198.41.0.4:7882", "127.0.0.1:7882"),
            ("[::ffff:198.41.0.4]:7882", "127.0.0.1:7882"),
            ("[2a00::7]:7882", "[2a00::7]:7882"),
        ] {
            let peer = peers.admit(address(told)).unwrap();
            assert_eq!(peer.to, address(local));
            let (name, scope) = peers.name(address(local)).unwrap();
            assert_eq!((name, scope), (canonical(address(told)), peer.scope));
        }
    }

    #[test]
    fn our_other_ports_and_closed_networks_are_forbidden() {
        let peers = peers();
        for closed in [
            "198.41.0.4:22",
            "198.41.0.4:7883",
            "198.41.0.4:0",
            "[2a00::7]:22",
            "127.0.0.1:7882",
            "[::1]:7882",
            "0.0.0.0:7882",
            "[::ffff:127.0.0.1]:7882",
            "[::ffff:10.0.0.1]:1",
            "10.0.0.1:1",
            "9.9.9.9:1",
            "[::ffff:9.9.9.9]:1",
            "1.1.1.1:0",
            "[fe80::1%3]:1",
            "[64:ff9b::101:101]:1",
        ] {
            let parsed = closed.parse().unwrap();
            assert_eq!(peers.admit(parsed), Err(Forbidden), "{closed}");
        }
        assert_eq!(peers.name(address("10.0.0.1:5")), None);
        assert_eq!(peers.name(address("127.0.0.1:22")), None);
    }

    #[test]
    fn a_public_peer_is_permitted_with_all_its_ports() {
        let peers = peers();
        let (web, other) = (address("1.1.1.1:443"), address("1.1.1.1:5"));
        let scope = Scope::Address(address("1.1.1.1:0").ip());
        assert_eq!(peers.admit(web), Ok(Peer { to: web, scope }));
        assert_eq!(peers.name(other), Some((other, scope)));
    }

    #[test]
    fn a_relay_is_reached_while_it_lives() {
        let peers = peers();
        let relay = own("198.41.0.4:50000", "0.0.0.0:50000");
        assert_eq!(peers.admit(relay.told), Err(Forbidden));
        peers.add_relay(relay);
        assert_eq!(
            peers.find(relay.told).unwrap().to,
            address("127.0.0.1:50000")
        );
        let named = peers.name(address("127.0.0.1:50000")).unwrap();
        assert_eq!(named, (relay.told, Scope::Port(relay.told)));
        peers.remove_relay(relay);
        assert_eq!(peers.find(relay.told), Err(Forbidden));
        assert_eq!(peers.name(address("127.0.0.1:50000")), None);
    }
}
