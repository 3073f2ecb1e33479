//! A published track as plain data: its encodings, their layers and clocks, and what is wanted of
//! them.
//!
//! Must not know who subscribes, nor the session the packets come from.

mod cache;
mod clock;
mod demand;
mod encoding;
mod layer;
mod layer_set;
mod sound;
mod steady;
mod usual;

pub(crate) use cache::PacketCache;
pub(crate) use clock::{PublisherClock, SenderClock};
pub(crate) use demand::{DemandTracker, Failing, wanted_qualities, with_stand_ins};
pub(crate) use encoding::{Encoding, EncodingInfo, LAYERS, Reported, Turn, plausible_size};
pub(crate) use layer::Layer;
pub(crate) use layer_set::LayerSet;
pub(crate) use sound::SoundCache;
