//! A network of addresses as it is written in settings, `"10.0.0.0/8"`. Must not resolve names.

use std::{fmt, net::IpAddr, str::FromStr};

use serde::{Deserialize, Serialize};

/// Addresses that share a prefix: `"198.51.100.0/24"`, `"2001:db8::/32"`, or one address alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Network {
    ip: IpAddr,
    length: u8,
}

/// Why a text is not a network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("\"{0}\" is not a network such as \"198.51.100.0/24\" or \"2001:db8::/32\"")]
pub struct InvalidNetwork(String);

impl Network {
    /// The addresses whose first `length` bits are those of `ip`.
    pub(crate) fn new(ip: IpAddr, length: u8) -> Result<Self, InvalidNetwork> {
        if u32::from(length) > bits(ip).1 {
            return Err(InvalidNetwork(format!("{ip}/{length}")));
        }
        Ok(Self { ip, length })
    }

    /// Whether an address is of this network; both in their canonical form.
    pub(crate) fn contains(&self, ip: IpAddr) -> bool {
        let ((ours, width), (other, other_width)) = (bits(self.ip), bits(ip));
        let host = width.saturating_sub(u32::from(self.length));
        width == other_width
            && ours.checked_shr(host).unwrap_or(0) == other.checked_shr(host).unwrap_or(0)
    }
}

/// An address as a number, and how many bits it has.
fn bits(ip: IpAddr) -> (u128, u32) {
    match ip {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        let invalid = || InvalidNetwork(text.to_owned());
        let (ip, length) = match text.split_once('/') {
            Some((ip, length)) => (ip, Some(length)),
            None => (text, None),
        };
        let ip: IpAddr = ip.parse().map_err(|_| invalid())?;
        let whole = if ip.is_ipv4() { 32 } else { 128 };
        let length = length
            .map_or(Ok(whole), str::parse)
            .map_err(|_| invalid())?;
        Self::new(ip, length).map_err(|_| invalid())
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.length)
    }
}

impl TryFrom<String> for Network {
    type Error = InvalidNetwork;

    fn try_from(text: String) -> Result<Self, InvalidNetwork> {
        text.parse()
    }
}

impl From<Network> for String {
    fn from(network: Network) -> Self {
        network.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_holds_what_shares_its_prefix() {
        for (network, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.0"),
            ("10.0.0.5", "10.0.0.5", "10.0.0.4"),
            ("0.0.0.0/0", "255.0.0.1", "::1"),
            ("::/0", "ff::1", "10.0.0.1"),
            ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::"),
            ("2001:db8::1/128", "2001:db8::1", "2001:db8::2"),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert!(parsed.contains(inside.parse().unwrap()), "{network}");
            assert!(!parsed.contains(outside.parse().unwrap()), "{network}");
            assert_eq!(parsed.to_string().parse(), Ok(parsed));
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in [
            "",
            "10.0.0.0/33",
            "::/129",
            "10.0.0.0/",
            "10.0.0.0/-1",
            "example.org",
        ] {
            assert!(text.parse::<Network>().is_err(), "{text}");
        }
    }
}
