//! The pair of encoding and temporal layer. Must hold no policy.

/// One step of a track: an encoding, and the temporal layers of it up to and with `temporal`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Layer {
    /// Index of the encoding in its track, 0 is the smallest.
    pub encoding: u8,
    /// The highest temporal layer, 0 is the slowest.
    pub temporal: u8,
}

impl Layer {
    /// Above all temporal layers there are (VP9 has three bits for them).
    pub(crate) const ALL_TEMPORAL: u8 = 7;

    /// A whole encoding.
    pub(crate) fn whole(encoding: u8) -> Self {
        Self {
            encoding,
            temporal: Self::ALL_TEMPORAL,
        }
    }
}
