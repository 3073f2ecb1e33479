//! Media from one participant: which section and which SSRC belongs to which track. Must not judge the
//! packets.

use crate::{
    key::TrackKey,
    rtp::{Mid, Ssrc},
};

/// An encoding of a track.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stream {
    pub(crate) track: TrackKey,
    pub(crate) encoding: u8,
}

/// What a publisher sends.
#[derive(Debug, Default)]
pub(crate) struct Ingress {
    sections: Vec<(Mid, TrackKey)>,
    streams: Vec<(Ssrc, Stream)>,
}

impl Ingress {
    /// A section carries a track from now on.
    pub(crate) fn bind(&mut self, mid: Mid, track: TrackKey) {
        self.sections.retain(|(bound, _)| *bound != mid);
        self.sections.push((mid, track));
    }

    /// A track is gone.
    pub(crate) fn unbind(&mut self, track: TrackKey) {
        self.sections.retain(|(_, bound)| *bound != track);
        self.streams.retain(|(_, stream)| stream.track != track);
    }

    pub(crate) fn track_of(&self, mid: Mid) -> Option<TrackKey> {
        self.sections
            .iter()
            .find(|(bound, _)| *bound == mid)
            .map(|(_, track)| *track)
    }

    /// The stream of an SSRC that was seen before. A publisher has few, so a walk beats a hash.
    pub(crate) fn stream(&self, ssrc: Ssrc) -> Option<Stream> {
        self.streams
            .iter()
            .find(|(known, _)| *known == ssrc)
            .map(|(_, stream)| *stream)
    }

    /// A new SSRC; false past the cap.
    pub(crate) fn insert(&mut self, ssrc: Ssrc, stream: Stream, cap: usize) -> bool {
        if self.streams.len() >= cap {
            return false;
        }
        // An encoding that begins anew under another SSRC leaves its old one behind.
        self.streams.retain(|(_, known)| *known != stream);
        self.streams.push((ssrc, stream));
        true
    }

    /// The SSRC on which an encoding comes now.
    pub(crate) fn ssrc_of(&self, stream: Stream) -> Option<Ssrc> {
        self.streams
            .iter()
            .find(|(_, known)| *known == stream)
            .map(|(ssrc, _)| *ssrc)
    }
}
