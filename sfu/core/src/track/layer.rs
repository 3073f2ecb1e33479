//! The step of a track: encoding, spatial and temporal layer. Must hold no policy.

/// One step of a track: an encoding, and the spatial and temporal layers of it up to and with these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Layer {
    /// Index of the encoding in its track, 0 is the smallest.
    pub encoding: u8,
    /// The highest spatial layer, 0 is the smallest.
    pub spatial: u8,
    /// The highest temporal layer, 0 is the slowest.
    pub temporal: u8,
}

impl Layer {
    /// Above all spatial layers there are (VP9 has three bits for them).
    pub(crate) const ALL_SPATIAL: u8 = 7;

    /// Above all temporal layers there are (VP9 has three bits for them).
    pub(crate) const ALL_TEMPORAL: u8 = 7;

    /// A whole encoding.
    pub(crate) fn whole(encoding: u8) -> Self {
        Self {
            encoding,
            spatial: Self::ALL_SPATIAL,
            temporal: Self::ALL_TEMPORAL,
        }
    }
}
