//! Learning which addresses clients reach the node at, before it binds.
//!
//! Owns the order of the sources and what counts as public; writes what it found into the settings, as if
//! it had been advertised. Must not be asked again while the node runs: candidates do not change. RFC 8489,
//! RFC 6890.

mod stun;

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
};

use crate::config::{Advertise, DiscoverConfig, NodeConfig};

/// No address to tell clients was found.
#[derive(Debug, thiserror::Error)]
#[error("no address to tell clients was found: {}", Tried(.0))]
pub struct DiscoverError(Vec<Attempt>);

/// What was asked, and why it will not do.
#[derive(Debug)]
struct Attempt {
    what: String,
    why: String,
}

impl Attempt {
    fn new(what: impl ToString, why: impl ToString) -> Self {
        Self {
            what: what.to_string(),
            why: why.to_string(),
        }
    }
}

struct Tried<'a>(&'a [Attempt]);

impl fmt::Display for Tried<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("nobody to ask");
        }
        for (i, Attempt { what, why }) in self.0.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            write!(f, "{comma}{what} {why}")?;
        }
        Ok(())
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    V4,
    V6,
}

impl Family {
    fn holds(self, ip: IpAddr) -> bool {
        ip.is_ipv4() == (self == Self::V4)
    }

    fn unspecified(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Self::V6 => Ipv6Addr::UNSPECIFIED.into(),
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V4 => "IPv4",
            Self::V6 => "IPv6",
        })
    }
}

/// Advertises, for each family listened on as a whole, the address found for it; a family without one is
/// not listened on any more.
pub(crate) async fn apply(config: &mut NodeConfig) -> Result<(), DiscoverError> {
    let NodeConfig {
        discover, udp, tcp, ..
    } = config;
    if !discover.is_on() {
        return Ok(());
    }
    let mut transports = [
        (&mut udp.listen, &mut udp.advertise),
        (&mut tcp.listen, &mut tcp.advertise),
    ];
    let mut tried = Vec::new();
    for family in [Family::V4, Family::V6] {
        if !transports
            .iter()
            .any(|(listen, told)| is_open(listen, told, family))
        {
            continue;
        }
        let found = find(discover, family, &mut tried).await;
        match &found {
            Some((ip, source)) => tracing::info!(%ip, %source, "clients are told this address"),
            None => {
                let tried = Tried(&tried);
                tracing::warn!(%family, %tried, "no address to tell clients: it is not listened on");
            }
        }
        for (listen, told) in &mut transports {
            if !is_open(listen, told, family) {
                continue;
            }
            match found {
                Some((ip, _)) => told.push(Advertise { ip, port: None }),
                None => listen.retain(|address| address.ip() != family.unspecified()),
            }
        }
    }
    if udp.listen.is_empty() && tcp.listen.is_empty() {
        return Err(DiscoverError(tried));
    }
    Ok(())
}

/// Listened on as a whole, with nothing advertised for it.
fn is_open(listen: &[SocketAddr], told: &[Advertise], family: Family) -> bool {
    let is_listened_on = listen.iter().any(|a| a.ip() == family.unspecified());
    is_listened_on && !told.iter().any(|a| family.holds(a.ip))
}

/// The first address that will do, and where it is from; otherwise what was `tried`.
async fn find(
    discover: &DiscoverConfig,
    family: Family,
    tried: &mut Vec<Attempt>,
) -> Option<(IpAddr, String)> {
    let will_do = |ip| !discover.public_only || is_public(ip);
    for &ip in discover.given.iter().filter(|&&ip| family.holds(ip)) {
        if will_do(ip) {
            return Some((ip, "discover.given".to_owned()));
        }
        tried.push(Attempt::new(ip, "is not public"));
    }
    for server in &discover.stun {
        match stun::ask(server, family.unspecified(), discover.timeout).await {
            Ok(ip) if will_do(ip) => return Some((ip, format!("STUN server {server}"))),
            Ok(ip) => tried.push(Attempt::new(
                server,
                format!("says {ip}, which is not public"),
            )),
            Err(error) => tried.push(Attempt::new(server, error)),
        }
    }
    None
}

/// Reachable from everywhere, as far as the address itself shows (the registries of RFC 6890).
fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => {
            let [a, b, c, _] = ip.octets();
            let is_shared = a == 100 && (64..128).contains(&b);
            let is_benchmark = a == 198 && (18..20).contains(&b);
            let is_protocol = a == 192 && b == 0 && c == 0;
            !(ip.is_private()
                || ip.is_loopback()
                || ip.is_link_local()
                || ip.is_documentation()
                || ip.is_multicast()
                || is_shared
                || is_benchmark
                || is_protocol
                || a == 0
                || a >= 240)
        }
        // Global unicast without documentation.
        IpAddr::V6(ip) => {
            let segments = ip.segments();
            segments[0] & 0xE000 == 0x2000 && (segments[0], segments[1]) != (0x2001, 0x0DB8)
        }
    }
}

#[cfg(test)]
mod tests;
