//! A negotiated codec as text, so that another shard can match it with what its own subscribers take
//! (the attributes "rtpmap" and "fmtp" of RFC 8866). Must not choose between codecs.

use str0m::{
    format::{CodecSpec, FormatParams},
    media::Frequency,
};

use super::{Codec, PayloadParams, Pt};

/// A codec as a session description has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FormatText {
    /// In ticks per second; of G.722 the sampling rate.
    pub clock_rate: u32,
    /// Absent where the description gives none.
    pub channels: Option<u8>,
    /// As after "fmtp", without the payload type.
    pub parameters: String,
}

impl FormatText {
    /// Writes down what was negotiated.
    pub(crate) fn of(params: &PayloadParams) -> Self {
        let spec = params.spec();
        Self {
            clock_rate: spec.clock_rate.get(),
            channels: spec.channels,
            parameters: spec.format.to_string(),
        }
    }

    /// A codec as it is described where nothing else is said.
    pub(crate) fn usual(codec: Codec) -> Self {
        Self {
            clock_rate: match codec {
                Codec::G722 => 16_000,
                _ => codec.clock_rate(),
            },
            channels: matches!(codec, Codec::Opus | Codec::Red).then_some(2),
            parameters: String::new(),
        }
    }

    /// What was negotiated, in the engine's form; `None` when no codec has such a rate.
    pub(crate) fn params(&self, codec: Codec, payload_type: u8) -> Option<PayloadParams> {
        let spec = CodecSpec {
            codec: codec.engine(),
            clock_rate: Frequency::new(self.clock_rate)?,
            channels: self.channels,
            format: FormatParams::parse_line(&self.parameters),
        };
        Some(PayloadParams::new(Pt::from(payload_type), None, spec))
    }
}

#[cfg(test)]
mod tests {
    use str0m::format::CodecConfig;

    use super::*;

    #[test]
    fn every_codec_of_the_engine_comes_back() {
        let config = CodecConfig::new_with_defaults();
        let mut seen = 0;
        for params in config.params() {
            let Some(codec) = Codec::from_engine(params.spec().codec) else {
                continue;
            };
            let text = FormatText::of(params);
            let back = text.params(codec, 96).unwrap();
            assert_eq!(back.spec(), params.spec(), "{text:?}");
            assert!(config.match_params(back).is_some(), "{text:?}");
            seen += 1;
        }
        assert!(seen > 5);
        let nonsense = FormatText {
            clock_rate: 0,
            channels: None,
            parameters: "=;;=x".into(),
        };
        assert_eq!(nonsense.params(Codec::Vp8, 96), None);
    }
}
