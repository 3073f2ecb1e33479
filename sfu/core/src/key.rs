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

impl TrackKey {
    /// Names the track on relay links: dense in its lower half, and never the same for two tracks.
    pub(crate) fn number(self) -> u64 {
        slotmap::Key::data(&self).as_ffi()
    }

    /// The key of a number given out before; of any other, a key of nothing.
    pub(crate) fn of_number(number: u64) -> Self {
        slotmap::KeyData::from_ffi(number).into()
    }
}

/// A relay link: names the shard at its other end. The node chooses it, the same for all its shards: the
/// index of a worker, or, later, a worker of another node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkKey(pub u64);

/// One control connection of a participant (a `Session` stream of the node API). The node chooses it
/// and never uses it twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ControlId(pub u64);
