//! Media from one participant: which section and which SSRC belongs to which track, in which of its codecs.
//! Must not judge the packets.

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

/// What a section carries: a track in one of its codecs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Carried {
    pub(crate) track: TrackKey,
    /// The codec's index among those that were announced; 0 is the one that is preferred.
    pub(crate) codec: u8,
}

/// What a publisher sends.
#[derive(Debug, Default)]
pub(crate) struct Ingress {
    sections: Vec<(Mid, Carried)>,
    streams: Vec<(Ssrc, Stream)>,
}

impl Ingress {
    /// A section carries this from now on.
    pub(crate) fn bind(&mut self, mid: Mid, carried: Carried) {
        self.sections.retain(|(bound, _)| *bound != mid);
        self.sections.push((mid, carried));
    }

    /// A track is gone.
    pub(crate) fn unbind(&mut self, track: TrackKey) {
        self.sections.retain(|(_, bound)| bound.track != track);
        self.streams.retain(|(_, stream)| stream.track != track);
    }

    /// A track is not sent in a codec any more; `encodings` are those of it, as bits.
    pub(crate) fn unbind_codec(&mut self, gone: Carried, encodings: u8) {
        self.sections.retain(|(_, bound)| *bound != gone);
        self.streams.retain(|(_, stream)| {
            let bit = 1_u8.checked_shl(stream.encoding.into()).unwrap_or(0);
            stream.track != gone.track || encodings & bit == 0
        });
    }

    /// What a section carries.
    pub(crate) fn carried(&self, mid: Mid) -> Option<Carried> {
        self.sections
            .iter()
            .find(|(bound, _)| *bound == mid)
            .map(|(_, carried)| *carried)
    }

    /// Whether a section carries this.
    pub(crate) fn is_bound(&self, carried: Carried) -> bool {
        self.sections.iter().any(|(_, bound)| *bound == carried)
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
