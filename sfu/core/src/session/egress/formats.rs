//! Which formats a section of ours offers: those of the codec that its track is sent with, and those that every
//! client takes (RFC 7742 section 5, RFC 7874 section 3), so that none has a reason to refuse it. All others would
//! only be written, read and answered. A section keeps its formats, whatever it carries. Must not know tracks.

use str0m::{
    format::{CodecConfig, CodecSpec, FormatParams},
    media::Frequency,
};

use crate::{
    rtp::{Codec, PayloadParams, Pt},
    session::sdp::PayloadTypes,
};

/// What a section offers, or has to offer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Formats {
    /// Whatever we forward.
    All,
    /// This codec, and what every client takes.
    Of(Codec),
    /// H.264 of this kind, and what every client takes.
    OfH264(H264),
}

/// A kind of H.264 (RFC 6184 section 8.1): who decodes one may not decode another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct H264 {
    packetization_mode: u8,
    /// The first two bytes of "profile-level-id": the profile and its constraints.
    profile: u16,
}

impl H264 {
    const CONSTRAINED_BASELINE: Self = Self {
        packetization_mode: 1,
        profile: 0x42e0,
    };

    /// Of what was negotiated for it.
    fn of(format: &FormatParams) -> Option<Self> {
        Some(Self {
            packetization_mode: format.packetization_mode.unwrap_or(0),
            profile: u16::try_from(format.profile_level_id? >> 8).ok()?,
        })
    }

    /// The payload type that it has on a connection.
    fn payload_type(self, config: &CodecConfig) -> Option<Pt> {
        // A level is a limit that no track is refused for.
        const LEVEL_3_1: u32 = 0x1f;
        let spec = CodecSpec {
            codec: str0m::format::Codec::H264,
            clock_rate: Frequency::NINETY_KHZ,
            channels: None,
            format: FormatParams {
                packetization_mode: Some(self.packetization_mode),
                profile_level_id: Some(u32::from(self.profile) << 8 | LEVEL_3_1),
                ..FormatParams::default()
            },
        };
        let own = config.match_params(PayloadParams::new(Pt::from(0), None, spec));
        own.map(PayloadParams::pt)
    }
}

impl Formats {
    /// What a section is to offer for a track that is sent, or may be sent, in each of these ways.
    pub(crate) fn of(ways: impl IntoIterator<Item = Self>) -> Self {
        ways.into_iter().reduce(Self::and).unwrap_or(Self::All)
    }

    /// For a codec that was announced; `None` is one that is not known.
    pub(crate) fn announced(codec: Option<Codec>) -> Self {
        match codec {
            None => Self::All,
            // Redundancy is offered with what it wraps.
            Some(Codec::Red) => Self::Of(Codec::Opus),
            Some(codec) => Self::Of(codec),
        }
    }

    /// For a codec that came, and was negotiated so.
    pub(crate) fn seen(codec: Codec, params: &PayloadParams) -> Self {
        let h264 = H264::of(&params.spec().format).filter(|_| codec == Codec::H264);
        h264.map_or_else(|| Self::announced(Some(codec)), Self::OfH264)
    }

    fn and(self, other: Self) -> Self {
        match (self, other) {
            (one, another) if one == another || another.is_universal() => one,
            (one, another) if one.is_universal() => another,
            // It was announced by its name.
            (Self::Of(Codec::H264), kind @ Self::OfH264(_)) => kind,
            (kind @ Self::OfH264(_), Self::Of(Codec::H264)) => kind,
            (Self::OfH264(_), Self::OfH264(_)) => Self::Of(Codec::H264),
            _ => Self::All,
        }
    }

    /// Whether that is what sections of video have in any case (RFC 7742 section 5).
    fn is_universal(self) -> bool {
        self == Self::Of(Codec::Vp8) || self == Self::OfH264(H264::CONSTRAINED_BASELINE)
    }

    /// Whether a section that offers this can carry what asks for `wanted`.
    pub(super) fn serve(self, wanted: Self) -> bool {
        self == Self::All || self == wanted || wanted.is_universal()
    }

    fn has(self, params: &PayloadParams, own: Option<Pt>) -> bool {
        let spec = params.spec();
        let is_universal = match Codec::from_engine(spec.codec) {
            None => return self == Self::All,
            Some(Codec::Vp8) => true,
            Some(Codec::H264) => H264::of(&spec.format) == Some(H264::CONSTRAINED_BASELINE),
            Some(_) => false,
        };
        match self {
            Self::All => true,
            Self::Of(codec) => codec.engine() == spec.codec || (codec.is_video() && is_universal),
            Self::OfH264(_) => own == Some(params.pt()) || is_universal,
        }
    }

    /// The payload types it has of those that a connection knows; `None` for all.
    fn payload_types(self, config: &CodecConfig) -> Option<PayloadTypes> {
        let own = match self {
            Self::All => return None,
            Self::Of(_) => None,
            Self::OfH264(kind) => kind.payload_type(config),
        };
        let found = config
            .params()
            .iter()
            .filter(|params| self.has(params, own));
        let types = found.flat_map(|params| [Some(params.pt()), params.resend(), params.red()]);
        Some(types.flatten().map(|pt| *pt).collect())
    }
}

/// The payload types of formats on one connection, found once for all sections of a description.
pub(in super::super) struct KnownFormats<'a> {
    config: &'a CodecConfig,
    found: Vec<(Formats, Option<PayloadTypes>)>,
}

impl<'a> KnownFormats<'a> {
    pub(in super::super) fn new(config: &'a CodecConfig) -> Self {
        Self {
            config,
            found: Vec::new(),
        }
    }

    pub(super) fn payload_types(&mut self, formats: Formats) -> Option<PayloadTypes> {
        if let Some((_, types)) = self.found.iter().find(|(given, _)| *given == formats) {
            return *types;
        }
        let types = formats.payload_types(self.config);
        self.found.push((formats, types));
        types
    }
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
            let ways = codecs.iter().copied().map(Formats::announced);
            assert_eq!(Formats::of(ways), expected, "{codecs:?}");
        }
    }

    /// H.264 as it is negotiated in packetization mode 1.
    fn h264(profile_level_id: u32) -> Formats {
        let mut config = CodecConfig::empty();
        config.add_h264(Pt::from(96), None, true, profile_level_id);
        Formats::seen(Codec::H264, &config.params()[0])
    }

    #[test]
    fn a_track_of_one_kind_of_h264_needs_no_other() {
        let [high, higher, main, baseline] = [0x64_001f, 0x64_0034, 0x4d_001f, 0x42_e01f].map(h264);
        let [vp9, vp8, any] = [Codec::Vp9, Codec::Vp8, Codec::H264].map(Formats::Of);
        for (ways, expected) in [
            (&[any, high][..], high),
            (&[high, any], high),
            (&[high, higher], high),
            (&[high, main], any),
            (&[vp8, high], high),
            // Which every section has.
            (&[vp9, baseline], vp9),
            (&[baseline, high], high),
            (&[any, baseline], any),
            (&[vp9, high], Formats::All),
        ] {
            assert_eq!(Formats::of(ways.iter().copied()), expected, "{ways:?}");
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
            let types = formats.payload_types(&config).unwrap();
            let mut params = config.params().to_vec();
            params.retain(|params| types.contains(*params.pt()));
            let mut found: Vec<_> = params.iter().map(|params| params.spec().codec).collect();
            found.dedup();
            found
        };
        use str0m::format::Codec as Engine;
        assert_eq!(codecs(Formats::Of(Codec::Vp8)), [Engine::Vp8, Engine::H264]);
        let of_av1 = [Engine::Vp8, Engine::H264, Engine::Av1];
        assert_eq!(codecs(Formats::Of(Codec::Av1)), of_av1);
        assert_eq!(codecs(Formats::Of(Codec::Opus)), [Engine::Opus]);
        let count = |formats: Formats| {
            let types = formats.payload_types(&config).unwrap();
            (0..128).filter(|pt| types.contains(*pt)).count()
        };
        // VP8 and one profile of H.264, each with retransmission; Opus and its redundancy.
        assert_eq!(count(Formats::Of(Codec::Vp8)), 4);
        assert_eq!(count(Formats::Of(Codec::Opus)), 2);
        // As long as nobody knows which it will be.
        assert_eq!(count(Formats::Of(Codec::H264)), 2 + 7 * 2);
        assert_eq!(count(h264(0x64_001f)), 6);
        assert_eq!(count(h264(0x42_e01f)), 4);
    }
}
