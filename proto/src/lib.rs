//! Wire types of Plenum, and the ids everyone shares.
//!
//! Owns: the messages of the public API ([`v1`]), of the node's session API ([`node`]), of a node's reports
//! ([`cluster`]) and of relay links ([`relay`]), generated from the `.proto` files of this folder, and [`ids`].
//! Must not hold behaviour.

pub mod ids;

#[allow(
    clippy::all,
    clippy::allow_attributes_without_reason,
    clippy::use_self,
    unused_qualifications,
    unreachable_pub,
    reason = "generated code, laid out as the packages are"
)]
mod plenum {
    pub mod v1 {
        include!(concat!(env!("OUT_DIR"), "/plenum.v1.rs"));
    }
    pub mod node {
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/plenum.node.v1.rs"));
        }
    }
    pub mod cluster {
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/plenum.cluster.v1.rs"));
        }
    }
    pub mod relay {
        pub mod v1 {
            include!(concat!(env!("OUT_DIR"), "/plenum.relay.v1.rs"));
        }
    }
}

/// What media nodes report to the control plane (`plenum.cluster.v1`).
pub use plenum::cluster::v1 as cluster;
/// The node's session API (`plenum.node.v1`).
pub use plenum::node::v1 as node;
/// What the shards of one room tell each other (`plenum.relay.v1`).
pub use plenum::relay::v1 as relay;
/// The public API and the model of rooms, participants and tracks (`plenum.v1`).
pub use plenum::v1;

/// Descriptors of all files, for server reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
