//! Which formats a section of ours offers: those of the codec that its track is sent with, and those that every
//! client takes (RFC 7742 section 5, RFC 7874 section 3), so that none has a reason to refuse it. All others would
//! only be written, read and answered. A section keeps its formats, whatever it carries. Must not know tracks.

use str0m::format::{CodecConfig, PayloadParams};

use crate::{rtp::Codec, session::sdp};

/// What a section offers, or has to offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Formats {
    /// Whatever we forward.
    All,
    /// This codec, and what every client takes.
    Of(Codec),
}

impl Formats {
    /// What a section is to offer for a track that is sent, or may be sent, with these codecs; `None` is one that is
    /// not known.
    pub(crate) fn of(codecs: impl IntoIterator<Item = Option<Codec>>) -> Self {
        let mut found = Self::All;
        for codec in codecs {
            let codec = match codec {
                None => return Self::All,
                // Redundancy is offered with what it wraps.
                Some(Codec::Red) => Codec::Opus,
                Some(codec) => codec,
            };
            found = match found {
                Self::Of(known) if known != codec && codec == Codec::Vp8 => found,
                Self::Of(known) if known != codec && known != Codec::Vp8 => return Self::All,
                Self::All | Self::Of(_) => Self::Of(codec),
            };
        }
        found
    }

    /// Whether a section that offers this can carry what asks for `wanted`.
    pub(super) fn serve(self, wanted: Self) -> bool {
        self == Self::All || self == wanted || wanted == Self::Of(Codec::Vp8)
    }

    fn has(self, params: &PayloadParams) -> bool {
        match (self, Codec::from_engine(params.spec().codec)) {
            (Self::All, _) => true,
            (Self::Of(of), Some(codec)) => of == codec || (of.is_video() && is_universal(params)),
            (Self::Of(_), None) => false,
        }
    }

    /// The payload types it has of those that a connection knows.
    fn payload_types(self, config: &CodecConfig) -> Vec<u8> {
        let own = config.params().iter().filter(|params| self.has(params));
        own.flat_map(|params| [Some(params.pt()), params.resend(), params.red()])
            .flatten()
            .map(|pt| *pt)
            .collect()
    }
}

/// VP8, and H.264 in its constrained baseline profile.
fn is_universal(params: &PayloadParams) -> bool {
    const CONSTRAINED_BASELINE: u32 = 0x42_e0;
    let format = params.spec().format;
    match Codec::from_engine(params.spec().codec) {
        Some(Codec::Vp8) => true,
        Some(Codec::H264) => {
            let profile = format.profile_level_id.map(|id| id >> 8);
            format.packetization_mode == Some(1) && profile == Some(CONSTRAINED_BASELINE)
        }
        _ => false,
    }
}

/// An offer whose sections have the formats that `formats_of` says, by mid.
pub(super) fn with_formats(
    offer: &str,
    config: &CodecConfig,
    formats_of: impl Fn(&str) -> Formats,
) -> String {
    let mut known: Vec<(Formats, Vec<u8>)> = Vec::new();
    sdp::with_payload_types(offer, |mid| {
        let formats = formats_of(mid);
        if formats == Formats::All {
            return None;
        }
        let of_these = |(given, _): &(Formats, Vec<u8>)| *given == formats;
        if !known.iter().any(of_these) {
            known.push((formats, formats.payload_types(config)));
        }
        let found = known.iter().find(|entry| of_these(entry));
        found.map(|(_, types)| types.clone())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_track_of_one_codec_needs_no_other() {
        use Codec::{Av1, H264, Opus, Pcmu, Red, Vp8, Vp9};
        for (codecs, expected) in [
            (&[][..], Formats::All),
            (&[Some(Vp8)], Formats::Of(Vp8)),
            (&[Some(Av1), Some(Av1)], Formats::Of(Av1)),
            // With what every client takes as well: one section has both.
            (&[Some(Vp9), Some(Vp8)], Formats::Of(Vp9)),
            (&[Some(Vp8), Some(Vp9)], Formats::Of(Vp9)),
            (&[Some(Vp9), Some(H264)], Formats::All),
            (&[Some(Vp8), None], Formats::All),
            (&[Some(Opus), Some(Red)], Formats::Of(Opus)),
            (&[Some(Opus), Some(Pcmu)], Formats::All),
        ] {
            assert_eq!(Formats::of(codecs.iter().copied()), expected, "{codecs:?}");
        }
    }

    #[test]
    fn a_section_serves_what_it_offers() {
        let [vp8, av1, all] = [
            Formats::Of(Codec::Vp8),
            Formats::Of(Codec::Av1),
            Formats::All,
        ];
        for (section, wanted, expected) in [
            (all, av1, true),
            (all, all, true),
            (av1, av1, true),
            (av1, vp8, true),
            (vp8, av1, false),
            (av1, all, false),
        ] {
            assert_eq!(
                section.serve(wanted),
                expected,
                "{section:?} for {wanted:?}"
            );
        }
    }

    #[test]
    fn every_client_finds_a_format_it_takes() {
        let mut config = CodecConfig::new_with_defaults();
        config.enable_opus(true, true);
        let codecs = |formats: Formats| {
            let params = config.params().iter().filter(|params| formats.has(params));
            let mut found: Vec<_> = params.map(|params| params.spec().codec).collect();
            found.dedup();
            found
        };
        use str0m::format::Codec as Engine;
        assert_eq!(codecs(Formats::Of(Codec::Vp8)), [Engine::Vp8, Engine::H264]);
        let of_av1 = [Engine::Vp8, Engine::H264, Engine::Av1];
        assert_eq!(codecs(Formats::Of(Codec::Av1)), of_av1);
        assert_eq!(codecs(Formats::Of(Codec::Opus)), [Engine::Opus]);
        // VP8 and one profile of H.264, each with retransmission; Opus and its redundancy.
        assert_eq!(Formats::Of(Codec::Vp8).payload_types(&config).len(), 4);
        assert_eq!(Formats::Of(Codec::Opus).payload_types(&config).len(), 2);
        assert!(Formats::Of(Codec::H264).payload_types(&config).len() > 4);
    }
}
