//! Which addresses the node may connect or send to at a caller's word: without a rule anybody with a token would look around
//! in the network behind us, or flood somebody else's. Must not connect.

use std::net::{IpAddr, SocketAddr};

use tokio::net::lookup_host;

use crate::{config::Network, turn::is_public};

/// What may be reached.
#[derive(Debug, Clone)]
pub(crate) struct Targets {
    allowed: Vec<Network>,
    /// The setting that names more of them.
    setting: &'static str,
    /// What is public may be reached.
    has_public: bool,
    /// This node is for development: it serves its own machine alone.
    is_local: bool,
}

/// Why an address is not used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum TargetProblem {
    /// It has no address.
    #[error("the host has no address")]
    Unknown,
    /// None of its addresses may be reached; and the setting that names which may.
    #[error("{0} is not among the networks that this node may reach ({1})")]
    Forbidden(IpAddr, &'static str),
}

impl Targets {
    /// Of what is fetched: the networks of the settings, what is public, and on a node that is bound to loopback the machine
    /// itself.
    pub(crate) fn of_ingress(allowed: Vec<Network>, is_local: bool) -> Self {
        Self {
            allowed,
            setting: "ingress.allowed_targets",
            has_public: true,
            is_local,
        }
    }

    /// Of what is sent to: the same without what is public.
    pub(crate) fn of_egress(allowed: Vec<Network>, is_local: bool) -> Self {
        Self {
            allowed,
            setting: "egress.allowed_targets",
            has_public: false,
            is_local,
        }
    }

    /// Whether it is one of them.
    pub(crate) fn may_reach(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        let is_own = self.is_local && ip.is_loopback();
        let is_public = self.has_public && is_public(ip);
        is_own || is_public || self.allowed.iter().any(|network| network.contains(ip))
    }

    /// An address of a host that may be reached.
    pub(super) async fn find(&self, host: &str, port: u16) -> Result<SocketAddr, TargetProblem> {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let found = lookup_host((host, port)).await;
        let mut forbidden = None;
        for address in found.map_err(|_| TargetProblem::Unknown)? {
            if self.may_reach(address.ip()) {
                return Ok(address);
            }
            forbidden = Some(address.ip());
        }
        Err(forbidden.map_or(TargetProblem::Unknown, |ip| self.forbidden(ip)))
    }

    /// Why such an address is not used.
    pub(crate) fn forbidden(&self, ip: IpAddr) -> TargetProblem {
        TargetProblem::Forbidden(ip, self.setting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_what_is_public_or_allowed_is_reached() {
        let cameras = Targets::of_ingress(vec!["192.168.7.0/24".parse().unwrap()], false);
        let local = Targets::of_ingress(Vec::new(), true);
        for (host, by_cameras, by_local) in [
            ("1.1.1.1", true, true),
            ("192.168.7.20", true, false),
            ("::ffff:192.168.7.20", true, false),
            ("192.168.8.20", false, false),
            ("10.0.0.1", false, false),
            ("169.254.169.254", false, false),
            ("127.0.0.1", false, true),
            ("[::1]", false, true),
            ("::ffff:127.0.0.1", false, true),
            ("0.0.0.0", false, false),
            ("fe80::1", false, false),
            ("64:ff9b::7f00:1", false, false),
        ] {
            assert_eq!(cameras.find(host, 554).await.is_ok(), by_cameras, "{host}");
            assert_eq!(local.find(host, 554).await.is_ok(), by_local, "{host}");
        }
        let problem = cameras.find("10.0.0.1", 554).await.unwrap_err();
        assert!(problem.to_string().contains("(ingress.allowed_targets)"));
    }

    #[test]
    fn what_is_public_is_not_sent_to_unless_it_is_allowed() {
        let sinks = Targets::of_egress(vec!["9.9.9.0/24".parse().unwrap()], false);
        for (ip, expected) in [
            ("9.9.9.9", true),
            ("1.1.1.1", false),
            ("10.0.0.1", false),
            ("127.0.0.1", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
        ] {
            assert_eq!(sinks.may_reach(ip.parse().unwrap()), expected, "{ip}");
        }
    }
}
