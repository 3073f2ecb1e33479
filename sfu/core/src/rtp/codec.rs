//! The codecs this node forwards. Must not know payload type numbers: those are a transport's
//! affair.

/// How a payload is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Codec {
    /// RFC 7587.
    Opus,
    /// Redundant audio (RFC 2198) around Opus.
    Red,
    /// G.711 µ-law.
    Pcmu,
    /// G.711 A-law.
    Pcma,
    /// G.722.
    G722,
    /// RFC 7741.
    Vp8,
    /// RFC 9628.
    Vp9,
    /// RFC 6184.
    H264,
    /// RFC 7798.
    H265,
    /// The RTP payload format of the Alliance for Open Media.
    Av1,
}

impl Codec {
    /// All codecs, in order.
    pub(crate) const ALL: [Self; 10] = [
        Self::Opus,
        Self::Red,
        Self::Pcmu,
        Self::Pcma,
        Self::G722,
        Self::Vp8,
        Self::Vp9,
        Self::H264,
        Self::H265,
        Self::Av1,
    ];

    /// The codec the engine names; `None` for one that is not forwarded.
    pub(crate) fn from_engine(codec: str0m::format::Codec) -> Option<Self> {
        use str0m::format::Codec as Engine;
        Some(match codec {
            Engine::Opus => Self::Opus,
            Engine::PCMU => Self::Pcmu,
            Engine::PCMA => Self::Pcma,
            Engine::G722 => Self::G722,
            Engine::Vp8 => Self::Vp8,
            Engine::Vp9 => Self::Vp9,
            Engine::H264 => Self::H264,
            Engine::H265 => Self::H265,
            Engine::Av1 => Self::Av1,
            _ => return None,
        })
    }

    /// The codec as the engine names it; of redundant audio the one inside.
    pub(crate) fn engine(self) -> str0m::format::Codec {
        use str0m::format::Codec as Engine;
        match self {
            Self::Opus | Self::Red => Engine::Opus,
            Self::Pcmu => Engine::PCMU,
            Self::Pcma => Engine::PCMA,
            Self::G722 => Engine::G722,
            Self::Vp8 => Engine::Vp8,
            Self::Vp9 => Engine::Vp9,
            Self::H264 => Engine::H264,
            Self::H265 => Engine::H265,
            Self::Av1 => Engine::Av1,
        }
    }

    /// The codec of a media type, however it is spelled.
    pub(crate) fn from_mime(mime: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|codec| codec.mime().eq_ignore_ascii_case(mime))
    }

    /// Media type with the kind in front, spelled as in the IANA registry.
    pub(crate) fn mime(self) -> &'static str {
        match self {
            Self::Opus => "audio/opus",
            Self::Red => "audio/red",
            Self::Pcmu => "audio/PCMU",
            Self::Pcma => "audio/PCMA",
            Self::G722 => "audio/G722",
            Self::Vp8 => "video/VP8",
            Self::Vp9 => "video/VP9",
            Self::H264 => "video/H264",
            Self::H265 => "video/H265",
            Self::Av1 => "video/AV1",
        }
    }

    /// The payload type under which plain RTP of ours has it: those of RFC 3551 where there are any.
    pub(crate) fn plain_type(self) -> u8 {
        match self {
            Self::Pcmu => 0,
            Self::Pcma => 8,
            Self::G722 => 9,
            Self::Vp8 => 96,
            Self::Vp9 => 97,
            Self::H264 => 98,
            Self::H265 => 99,
            Self::Av1 => 100,
            Self::Opus => 101,
            Self::Red => 102,
        }
    }

    /// Ticks of the RTP timestamp per second.
    pub(crate) fn clock_rate(self) -> u32 {
        match self {
            Self::Opus | Self::Red => 48_000,
            // G.722 samples at 16 kHz, yet its RTP clock is 8 kHz (RFC 3551, section 4.5.2).
            Self::Pcmu | Self::Pcma | Self::G722 => 8_000,
            Self::Vp8 | Self::Vp9 | Self::H264 | Self::H265 | Self::Av1 => 90_000,
        }
    }

    /// Whether decoding can only start at a keyframe.
    pub(crate) fn is_video(self) -> bool {
        matches!(
            self,
            Self::Vp8 | Self::Vp9 | Self::H264 | Self::H265 | Self::Av1
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mime_type_tells_the_kind() {
        for codec in Codec::ALL {
            assert_eq!(codec.is_video(), codec.mime().starts_with("video/"));
            assert_eq!(Codec::from_mime(&codec.mime().to_lowercase()), Some(codec));
        }
    }
}
