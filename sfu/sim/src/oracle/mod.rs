//! What a client may expect of what it is given. Each file owns one law; a breach is a [`Violation`].

mod decoder;
mod playout;
mod scalable;
mod stream;

use std::{fmt, time::Duration};

pub(crate) use stream::{Arrival, StreamCheck};

use crate::media::Stamp;

/// A law was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// In virtual time.
    pub at: Duration,
    /// Who was given what.
    pub place: String,
    /// What is wrong with it.
    pub what: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}: {}", self.at, self.place, self.what)
    }
}

/// What a frame is called where a law is broken; it is seldom said.
#[derive(Debug, Clone, Copy)]
struct Name<'a>(&'a Stamp);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Stamp {
            frame,
            spatial,
            temporal,
            encoding,
            ..
        } = self.0;
        write!(
            f,
            "frame {frame} of layer {spatial}.{temporal} of encoding {encoding}"
        )
    }
}

/// What came of one stream so far.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct StreamReport {
    /// Packets that came.
    pub packets: u64,
    /// Packets that never came, although later ones did.
    pub lost: u64,
    /// Different sounds that came, repeated ones too.
    pub sounds: u64,
    /// Packets without media, in place of what was left out.
    pub fillers: u64,
    /// Packets that came after they were given up.
    pub late: u64,
    /// Whole frames that could be decoded; for audio, packets.
    pub frames: u64,
    /// Frames that came but could not be decoded, for something before was lost.
    pub undecodable: u64,
    /// Keyframes among the frames.
    pub keyframes: u64,
    /// Frames of temporal layers above the base among the frames.
    pub upper_frames: u64,
    /// Changes of encoding, or of the highest spatial layer.
    pub switches: u64,
    /// The encoding of the newest frame, 0 is the smallest.
    pub encoding: u8,
    /// The highest spatial layer of the newest picture.
    pub spatial: u8,
    /// Number of the first and the newest frame as the publisher counts them, of the newest encoding.
    pub first_frame: u32,
    /// See `first_frame`.
    pub last_frame: u32,
    /// When the first and the newest frame were whole.
    pub first_at: Option<Duration>,
    /// See `first_at`.
    pub last_at: Option<Duration>,
    /// The longest time between two frames.
    pub longest_gap: Duration,
    /// Time in which a picture stood still: between frames further apart than three times the mean, and
    /// than the mean and 150 ms (W3C webrtc-stats, `freezeCount`).
    pub frozen: Duration,
    /// From capture to the last packet of the frame, the newest frame.
    pub latency: Duration,
    /// How far the publisher's wall clock, as the newest sender report tells it, is ahead of virtual
    /// time, in microseconds; what differs between two tracks of one publisher is their sync error.
    pub clock_offset: Option<i64>,
    /// Sender reports seen.
    pub sender_reports: u64,
}
