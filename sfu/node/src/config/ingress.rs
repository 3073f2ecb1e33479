//! Settings of media that comes in without WebRTC. Must not check them; `validate` does.

use std::{
    net::{IpAddr, Ipv4Addr},
    time::Duration,
};

use serde::{Deserialize, Serialize};

use super::Network;

/// Media that comes in without WebRTC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct IngressConfig {
    /// The address on which plain RTP is taken, one at most. Empty = none is.
    pub listen: Vec<IpAddr>,
    /// The address told to senders instead, one at most: behind a 1:1 NAT, or when `listen` is unspecified.
    pub advertise: Vec<IpAddr>,
    /// The first UDP port for plain RTP; each medium takes one, and the next for RTCP. 0 = any that are free.
    pub first_port: u16,
    /// How many ports there are from the first on. With `first_port = 0` they are counted only.
    pub ports: u16,
    /// Networks (`"192.168.7.0/24"`) in which cameras may be reached over RTSP, besides what is public; on a node whose
    /// media is bound to loopback its own machine, too.
    pub allowed_targets: Vec<Network>,
    /// Sources at a time.
    pub max_sources: usize,
    /// A source of which nothing comes for so long is given up: its participant leaves.
    #[serde(with = "crate::duration")]
    pub idle_timeout: Duration,
}

impl Default for IngressConfig {
    fn default() -> Self {
        Self {
            listen: vec![IpAddr::V4(Ipv4Addr::LOCALHOST)],
            advertise: Vec::new(),
            first_port: 20_000,
            ports: 200,
            allowed_targets: Vec::new(),
            max_sources: 50,
            idle_timeout: Duration::from_secs(60),
        }
    }
}
