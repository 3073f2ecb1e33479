//! The media node: everything of the media plane that touches the world.
//!
//! Owns sockets, threads, the clock and the node's gRPC service around the sans-IO core
//! ([`sfu_core::Shard`]). A [`Node`] has workers, each a thread with one shard and UDP sockets of its
//! own; they share nothing on the packet path. Must not know a client protocol: the control plane
//! translates. [`program`] makes a process of it.
//!
//! ```no_run
//! # async fn example() -> Result<(), sfu_node::StartError> {
//! let node = sfu_node::start(sfu_node::NodeConfig::default()).await?;
//! let client = plenum_proto::node::node_client::NodeClient::new(node.connect())
//!     .max_decoding_message_size(sfu_node::MAX_ANSWER_BYTES);
//! # drop(client);
//! node.shutdown(std::time::Duration::from_secs(5)).await;
//! # Ok(())
//! # }
//! ```

#![warn(missing_docs)]

mod bind;
pub mod config;
mod connect;
mod directory;
mod discover;
mod duration;
mod egress;
pub mod epochs;
mod error;
mod events;
mod gate;
mod homes;
mod ingress;
mod metrics;
mod node;
pub mod probe;
pub mod program;
mod relay;
mod report;
mod service;
pub mod stats;
mod stun;
mod tcp;
mod turn;
mod udp;
mod worker;

pub use bind::BindError;
pub use config::{ConfigProblem, LimitsConfig, NodeConfig};
pub use discover::DiscoverError;
pub use metrics::{Metric, MetricKind, MetricValue, describe, observe_node};
pub use node::{MAX_ANSWER_BYTES, MAX_REQUEST_BYTES, Node, StartError, StatsReader, start};
pub use relay::RelayError;
pub use report::SelfReport;
pub use service::{EVENTS_AFTER, NodeService};
pub use stats::NodeStats;
pub use stun::worker_of_ufrag;
pub use turn::{CertificateFileError, Credential, TurnAccess, TurnSecret, TurnStartError};
