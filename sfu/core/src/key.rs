//! Dense keys of the packet path, and the handle of a control connection. Must know nothing of ours.

slotmap::new_key_type! {
    /// A session of this shard.
    pub(crate) struct SessionKey;
    /// A published track of this shard.
    pub(crate) struct TrackKey;
    /// A subscription of this shard.
    pub(crate) struct SubscriptionKey;
    /// A room of this shard.
    pub(crate) struct RoomKey;
}

/// One control connection of a participant (a `Session` stream of the node API). The node chooses it
/// and never uses it twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ControlId(pub u64);
