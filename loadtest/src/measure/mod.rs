//! What a subscriber got of a track: packets, frames that could be decoded, freezes, delays; and of data messages.
//!
//! Owns the accounting of one subscribed RTP stream and its sums. Pure: time comes as an argument, in
//! nanoseconds of the clock that stamps are written with, and nothing is allocated per packet. Works
//! from stamps where media carries them, and from RTP numbers and payload descriptors where not. Must
//! not know transports, engines or scenarios.
//!
//! RFC 3550 (sequence numbers, jitter), W3C webrtc-stats (freezes), RFC 7741, 9628, 6184 and the AV1
//! RTP specification (where frames begin and what they rest on).

mod assembler;
mod descriptor;
mod freeze;
mod jitter;
mod messages;
mod meter;
mod missing;
mod published;
mod sequence;
mod switch;
#[cfg(test)]
mod tests;
mod track_measure;

pub use messages::{MessageKind, MessageMeasure, MessageMeter, MessageTotals};
pub use meter::TrackMeter;
pub use track_measure::TrackMeasure;
