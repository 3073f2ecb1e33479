//! Relay links: what goes over them, and what a shard keeps of each as plain data. A room spans several
//! shards; each packet crosses a link once, whoever takes it there. Must not know rooms or participants;
//! the shard does (`shard/relay`).

mod hop;
mod outlet;
mod packet;
mod state;
mod tree;

use std::sync::Arc;

use plenum_proto::relay::{Control, control::Kind};

pub use hop::{HopReceiver, HopSender, HopStats, Received};
pub(crate) use outlet::Outlets;
pub use packet::{MalformedRelayPacket, RelayPacket};
pub(crate) use state::{Export, Origin, Relay, Waiting};
pub(crate) use tree::{Taker, plan, taken_by};

use crate::LinkKey;

/// The version of the control messages that this shard speaks.
pub(crate) const VERSION: u32 = 1;

/// Something that goes over a relay link. Frames of one link arrive in order. A carrier may drop what
/// [`RelayFrame::may_drop`] allows; if it cannot deliver the rest, the link is lost.
#[derive(Debug, Clone)]
pub enum RelayFrame {
    /// About a room, its participants and tracks.
    Control(Box<Control>),
    /// A media packet, shared by the links it goes over; its payload by everybody who forwards it.
    Media(Arc<RelayPacket>),
}

impl RelayFrame {
    /// Whether it may be lost without harm to the state of a room: media, and data that is sent
    /// unreliably anyway.
    pub fn may_drop(&self) -> bool {
        match self {
            Self::Media(_) => true,
            Self::Control(control) => {
                matches!(&control.kind, Some(Kind::Data(data)) if !data.reliable)
            }
        }
    }
}

/// A frame on its way out.
#[derive(Debug, Clone)]
pub struct RelayTransmit {
    /// To whom.
    pub link: LinkKey,
    /// What.
    pub frame: RelayFrame,
}
