//! Where a node learns the addresses it tells clients, when its settings do not say them. Must not ask
//! anybody.

use std::{fmt, net::IpAddr, str::FromStr, time::Duration};

use serde::{Deserialize, Serialize};

/// Learning the addresses told to clients: for each family of `0.0.0.0` or `::` listened on for which
/// nothing is advertised. With neither `given` nor `stun` it is off. A family for which no address is
/// found is not listened on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiscoverConfig {
    /// What whoever starts the node knows of the machine (in Kubernetes `status.hostIPs`). Unlike those of
    /// `advertise`, one of a family that is not listened on is passed over.
    pub given: Vec<IpAddr>,
    /// STUN servers, `"host:port"`, asked in turn when nothing of `given` will do (RFC 8489).
    pub stun: Vec<StunServer>,
    /// Only addresses that can be reached from everywhere will do, not those of private networks.
    pub public_only: bool,
    /// How long one STUN server may take to answer.
    #[serde(with = "crate::duration")]
    pub timeout: Duration,
}

impl DiscoverConfig {
    /// Whether there is anybody to learn from.
    pub(crate) fn is_on(&self) -> bool {
        !self.given.is_empty() || !self.stun.is_empty()
    }
}

impl Default for DiscoverConfig {
    fn default() -> Self {
        Self {
            given: Vec::new(),
            stun: Vec::new(),
            public_only: false,
            timeout: Duration::from_secs(2),
        }
    }
}

/// A STUN server by name or address, and port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct StunServer(String);

/// Why a text is not a STUN server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a host and a port such as \"stun.example.org:3478\"")]
pub struct InvalidStunServer(String);

impl StunServer {
    /// As `host:port`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for StunServer {
    type Err = InvalidStunServer;

    fn from_str(text: &str) -> Result<Self, InvalidStunServer> {
        let is_right = text.rsplit_once(':').is_some_and(|(host, port)| {
            // An IPv6 address has brackets around it.
            let is_host = !host.is_empty() && (!host.contains(':') || host.ends_with(']'));
            is_host && !text.contains([' ', '/']) && port.parse::<u16>().is_ok_and(|port| port != 0)
        });
        if is_right {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidStunServer(text.to_owned()))
        }
    }
}

impl fmt::Display for StunServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for StunServer {
    type Error = InvalidStunServer;

    fn try_from(text: String) -> Result<Self, InvalidStunServer> {
        text.parse()
    }
}

impl From<StunServer> for String {
    fn from(server: StunServer) -> Self {
        server.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stun_server_is_a_host_and_a_port() {
        for text in [
            "stun.example.org:3478",
            "192.0.2.1:3478",
            "[2001:db8::1]:3478",
        ] {
            assert_eq!(text.parse::<StunServer>().unwrap().as_str(), text);
        }
        for text in [
            "",
            "stun.example.org",
            ":3478",
            "a:0",
            "a:70000",
            "stun:a:1",
            "2001:db8::1",
            "http://a:1",
        ] {
            assert!(text.parse::<StunServer>().is_err(), "{text}");
        }
    }
}
