//! On which other shards a room is. Plain data.

use std::time::Instant;

use crate::LinkKey;

/// Where a room is besides this shard.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Span {
    /// The way to the home shard; absent on the home itself.
    pub(crate) home: Option<LinkKey>,
    /// All other shards that serve the room, in the order in which they became known.
    pub(crate) links: Vec<LinkKey>,
    /// Who takes the room over from the home, which then goes on as an edge.
    pub(crate) heir: Option<LinkKey>,
    /// The home is gone, and the room ends here then unless another is found.
    pub(crate) ends_at: Option<Instant>,
    /// Set while the room ends.
    pub(crate) ending: Option<Voice>,
    /// Edges that are out of sight of this one.
    pub(crate) lost: Vec<Lost>,
}

/// An edge that another edge has lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lost {
    pub(crate) link: LinkKey,
    /// How often it was looked for in vain.
    pub(crate) tries: u32,
    /// The home is asked for it then.
    pub(crate) ask_at: Option<Instant>,
}

/// Who tells the API of what ends with a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Voice {
    /// This shard, of its own participants.
    Own,
    /// This shard, of all participants.
    All,
    /// Another shard did.
    Other,
}

impl Span {
    pub(crate) fn is_home(&self) -> bool {
        self.home.is_none()
    }

    /// Whether this shard tells the API of something that happens to a participant.
    pub(crate) fn speaks_for(&self, lives_here: bool) -> bool {
        match self.ending {
            Some(Voice::All) => true,
            Some(Voice::Other) => false,
            Some(Voice::Own) | None => lives_here,
        }
    }
}
