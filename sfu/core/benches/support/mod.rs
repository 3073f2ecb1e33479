//! What the benches share: a shard on a stage of virtual time, real WebRTC clients on a thread of their
//! own, the floor that all times are compared with, and the table. Must drive a shard by its public
//! interface alone.

#![allow(
    dead_code,
    reason = "each bench, and the test of allocations, uses its part"
)]

pub(crate) mod allocated;
pub(crate) mod client;
pub(crate) mod clock;
pub(crate) mod cores;
pub(crate) mod crowd;
pub(crate) mod fanout;
pub(crate) mod floor;
pub(crate) mod mail;
pub(crate) mod marks;
pub(crate) mod peer;
pub(crate) mod report;
pub(crate) mod stage;

/// Shorthand for virtual time.
pub(crate) const fn millis(millis: u64) -> std::time::Duration {
    std::time::Duration::from_millis(millis)
}

/// Shorthand for virtual time.
pub(crate) const fn seconds(seconds: u64) -> std::time::Duration {
    std::time::Duration::from_secs(seconds)
}
