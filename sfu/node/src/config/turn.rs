//! Settings of the TURN server. Must not open a socket or read a file.

use std::{fmt, net::SocketAddr, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use super::Network;

/// The TURN server (RFC 8656), for clients whose network lets nothing else through. It is off as long as
/// nothing is listened on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TurnConfig {
    /// Addresses to listen on over UDP.
    pub udp: Vec<SocketAddr>,
    /// Addresses to listen on over TCP.
    pub tcp: Vec<SocketAddr>,
    /// Addresses to listen on over TLS.
    pub tls: Vec<SocketAddr>,
    /// The certificate chain for TLS, a PEM file. Read again when it changes.
    pub certificate: PathBuf,
    /// The key of the certificate, a PEM file.
    pub key: PathBuf,
    /// Name or address under which clients reach what is listened on; empty: the addresses themselves, or
    /// those of `udp.advertise`. TLS needs the name in the certificate.
    pub host: String,
    /// URLs told to clients instead, where ports differ or something else ends TLS.
    pub urls: Vec<String>,
    /// Makes the credentials; empty: a new one with each start. Set it when others hand out credentials.
    pub secret: SharedSecret,
    /// How long a credential opens a new relay. One that is open stays open.
    #[serde(with = "crate::duration")]
    pub credential_ttl: Duration,
    /// Longest life of one relay, with all its refreshes.
    #[serde(with = "crate::duration")]
    pub max_lifetime: Duration,
    /// Relays at a time.
    pub max_allocations: usize,
    /// Relays at a time of one participant.
    pub max_allocations_per_participant: usize,
    /// Relays at a time from one IPv4 address, or one IPv6 /64 network.
    pub max_allocations_per_source: usize,
    /// Connections over TCP and TLS at a time.
    pub max_connections: usize,
    /// Of them, from one IPv4 address, or one IPv6 /64 network.
    pub max_connections_per_source: usize,
    /// Bytes per second of one relay, in each direction; the rest is dropped.
    pub bytes_per_second: u64,
    /// Networks that no relay may reach, besides all that is not public.
    pub denied_peers: Vec<Network>,
}

/// A secret that is not printed.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SharedSecret(pub String);

impl TurnConfig {
    /// Whether there is anything to listen on.
    pub fn is_on(&self) -> bool {
        !(self.udp.is_empty() && self.tcp.is_empty() && self.tls.is_empty())
    }
}

impl Default for TurnConfig {
    fn default() -> Self {
        Self {
            udp: Vec::new(),
            tcp: Vec::new(),
            tls: Vec::new(),
            certificate: PathBuf::new(),
            key: PathBuf::new(),
            host: String::new(),
            urls: Vec::new(),
            secret: SharedSecret::default(),
            credential_ttl: Duration::from_secs(300),
            max_lifetime: Duration::from_secs(24 * 3600),
            max_allocations: 2_000,
            max_allocations_per_participant: 12,
            max_allocations_per_source: 200,
            max_connections: 4_096,
            max_connections_per_source: 256,
            bytes_per_second: 4_000_000,
            denied_peers: Vec::new(),
        }
    }
}

impl fmt::Debug for SharedSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(secret)")
    }
}
