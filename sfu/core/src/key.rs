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

/// A relay link: names the shard at its other end, by the node and the worker, the same for all shards of
/// all nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkKey(pub u64);

impl LinkKey {
    /// Bits that name the worker.
    const WORKER_BITS: u32 = 6;

    /// The link to a worker, below 64, of a node; of the node's number the lower 58 bits count.
    pub fn new(node: u64, worker: u8) -> Self {
        let worker = u64::from(worker) & ((1 << Self::WORKER_BITS) - 1);
        Self(node << Self::WORKER_BITS | worker)
    }

    /// The number of the node.
    pub fn node(self) -> u64 {
        self.0 >> Self::WORKER_BITS
    }

    /// The worker there.
    pub fn worker(self) -> u8 {
        (self.0 & ((1 << Self::WORKER_BITS) - 1)) as u8
    }
}

/// One control connection of a participant (a `Session` stream of the node API). The node chooses it
/// and never uses it twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ControlId(pub u64);
