//! An address told to clients, with or without a port. Must not resolve names.

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    str::FromStr,
};

use serde::{Deserialize, Serialize};

/// An address told to clients: `"203.0.113.7"`, `"203.0.113.7:7882"`, `"[2001:db8::7]:7882"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Advertise {
    /// Where clients reach the node.
    pub ip: IpAddr,
    /// Absent: the port listened on.
    pub port: Option<u16>,
}

/// Why a text is not an address to advertise.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not an address such as \"203.0.113.7\" or \"203.0.113.7:7882\"")]
pub struct InvalidAdvertise(String);

impl Advertise {
    /// The address to tell for a socket bound to `local`, the `offset`th worker's.
    pub(crate) fn address(self, local: SocketAddr, offset: u16) -> SocketAddr {
        let port = match self.port {
            Some(first) => first.saturating_add(offset),
            None => local.port(),
        };
        SocketAddr::new(self.ip, port)
    }
}

impl FromStr for Advertise {
    type Err = InvalidAdvertise;

    fn from_str(text: &str) -> Result<Self, InvalidAdvertise> {
        if let Ok(ip) = text.parse() {
            return Ok(Self { ip, port: None });
        }
        match text.parse::<SocketAddr>() {
            Ok(address) => Ok(Self {
                ip: address.ip(),
                port: Some(address.port()),
            }),
            Err(_) => Err(InvalidAdvertise(text.to_owned())),
        }
    }
}

impl fmt::Display for Advertise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.port {
            Some(port) => SocketAddr::new(self.ip, port).fmt(f),
            None => self.ip.fmt(f),
        }
    }
}

impl TryFrom<String> for Advertise {
    type Error = InvalidAdvertise;

    fn try_from(text: String) -> Result<Self, InvalidAdvertise> {
        text.parse()
    }
}

impl From<Advertise> for String {
    fn from(advertise: Advertise) -> Self {
        advertise.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_keeps_its_form() {
        for text in [
            "203.0.113.7",
            "203.0.113.7:7882",
            "2001:db8::7",
            "[2001:db8::7]:7882",
        ] {
            assert_eq!(text.parse::<Advertise>().unwrap().to_string(), text);
        }
        for text in [
            "",
            "example.org",
            "203.0.113.7:",
            "203.0.113.7:70000",
            "[::1]",
        ] {
            assert!(text.parse::<Advertise>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_given_port_counts_on_from_the_first_worker() {
        let local = "10.0.0.1:7883".parse().unwrap();
        let address = |text: &str, offset| {
            text.parse::<Advertise>()
                .unwrap()
                .address(local, offset)
                .to_string()
        };
        assert_eq!(address("203.0.113.7", 1), "203.0.113.7:7883");
        assert_eq!(address("203.0.113.7:30000", 1), "203.0.113.7:30001");
    }
}
