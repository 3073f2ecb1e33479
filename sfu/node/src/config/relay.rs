//! Settings of the relay. Must not check them; `validate` does.

use std::{net::SocketAddr, time::Duration};

use serde::{Deserialize, Serialize};

use super::{Advertise, SharedSecret};

/// Rooms over several nodes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RelayConfig {
    /// Addresses on which other nodes reach this one, over QUIC; one for each family of addresses at most.
    /// Empty = this node serves no room together with others.
    pub listen: Vec<SocketAddr>,
    /// Addresses told to other nodes instead of those listened on, as for UDP.
    pub advertise: Vec<Advertise>,
    /// What all nodes of the cluster share, at least 32 characters of chance: whoever holds it is taken for
    /// a node. Keys are derived from it.
    pub secret: SharedSecret,
    /// Other nodes that are known at a time.
    pub max_nodes: usize,
    /// Nodes to which this one sends the same track; those hand it on to the rest. 0 = to all.
    pub max_copies: usize,
    /// A connection over which nothing comes for so long is lost; four times as often something is sent.
    #[serde(with = "crate::duration")]
    pub idle_timeout: Duration,
    /// How long participants here stay in a room whose home, another node, is lost, until a control plane has named
    /// another home; then they join anew.
    #[serde(with = "crate::duration")]
    pub home_timeout: Duration,
    /// Bytes of media that wait for a connection; past it packets are dropped.
    pub media_queue_bytes: usize,
    /// Bytes of control messages that wait for a connection; past it the connection is given up.
    pub control_queue_bytes: usize,
}

impl Default for RelayConfig {
    fn default() -> Self {
        Self {
            listen: Vec::new(),
            advertise: Vec::new(),
            secret: SharedSecret::default(),
            max_nodes: 64,
            max_copies: 4,
            idle_timeout: Duration::from_secs(4),
            home_timeout: Duration::from_secs(10),
            media_queue_bytes: 4 * 1024 * 1024,
            control_queue_bytes: 64 * 1024 * 1024,
        }
    }
}
