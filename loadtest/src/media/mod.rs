//! Media made for the test: encoded frames of a given size and rate, cut into RTP payloads.
//!
//! Owns the codecs' payload formats as a publisher writes them, and the stamp that every payload
//! ends with. Nothing here decodes into pictures: what lies between a payload's headers and its
//! stamp is filler, while everything a forwarding unit may look at (descriptors, keyframe marks,
//! parameter sets, layer numbers) is real. Must not touch clocks, sockets or RTP headers.
//!
//! RFC 7741 (VP8), RFC 9628 (VP9), RFC 6184 (H.264), RFC 7587 (Opus), AV1 RTP specification 1.0.

mod audio;
mod bits;
mod packetize;
mod rate;
mod stamp;
mod temporal;
mod video;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use audio::AudioSource;
pub use stamp::Stamp;
pub use temporal::layer_at;
pub use video::VideoSource;

/// The longest payload that a source makes, in bytes: with RTP header, extensions and SRTP tag it
/// stays under the 1,250 bytes or so that cross any path.
pub const MAX_PAYLOAD: usize = 1200;

/// What a track is encoded with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Codec {
    /// Audio at 48 kHz, 20 ms a packet.
    Opus,
    /// Video, with temporal layers in the descriptor.
    Vp8,
    /// Video, non-flexible mode with one spatial layer.
    Vp9,
    /// Video, constrained baseline, packetization mode 1.
    H264,
    /// Video, with one spatial layer.
    Av1,
}

impl Codec {
    /// Every codec, audio first.
    pub const ALL: [Self; 5] = [Self::Opus, Self::Vp8, Self::Vp9, Self::H264, Self::Av1];

    /// Whether it carries pictures.
    pub fn is_video(self) -> bool {
        self != Self::Opus
    }

    /// The media type as SDP and signalling write it.
    pub fn mime(self) -> &'static str {
        match self {
            Self::Opus => "audio/opus",
            Self::Vp8 => "video/VP8",
            Self::Vp9 => "video/VP9",
            Self::H264 => "video/H264",
            Self::Av1 => "video/AV1",
        }
    }

    /// Ticks of the RTP timestamp per second.
    pub fn clock_rate(self) -> u32 {
        if self.is_video() { 90_000 } else { 48_000 }
    }

    /// The name in scenarios and reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Opus => "opus",
            Self::Vp8 => "vp8",
            Self::Vp9 => "vp9",
            Self::H264 => "h264",
            Self::Av1 => "av1",
        }
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The text names no codec of this harness.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no codec is called {0:?}: use opus, vp8, vp9, h264 or av1")]
pub struct UnknownCodec(pub String);

impl FromStr for Codec {
    type Err = UnknownCodec;

    /// Takes a name (`vp8`) or a media type (`video/VP8`), in any case.
    fn from_str(text: &str) -> Result<Self, UnknownCodec> {
        Self::ALL
            .into_iter()
            .find(|codec| {
                text.eq_ignore_ascii_case(codec.name()) || text.eq_ignore_ascii_case(codec.mime())
            })
            .ok_or_else(|| UnknownCodec(text.to_owned()))
    }
}

/// One RTP stream of a video track.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodingSpec {
    /// The restriction id of RFC 8851; none where the track is a single stream.
    pub rid: Option<String>,
    /// Picture width in pixels.
    pub width: u32,
    /// Picture height in pixels.
    pub height: u32,
    /// Pictures per second.
    pub fps: u32,
    /// Payload bits per second, averaged over some seconds.
    pub bitrate: u64,
    /// Number of temporal layers, 1 to 3.
    pub temporal_layers: u8,
}

/// One RTP packet's worth of media, without its header.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MediaPacket {
    /// Payload as it goes on the wire, stamp included; at most [`MAX_PAYLOAD`] bytes.
    pub payload: Vec<u8>,
    /// RTP timestamp in the codec's clock.
    pub timestamp: u32,
    /// The marker bit: end of a picture, or start of talking.
    pub marker: bool,
    /// Whether the packet belongs to a keyframe.
    pub keyframe: bool,
    /// Loudness in dBov (0 loudest, -127 silence) for the audio level extension of RFC 6464.
    pub audio_level: Option<i8>,
    /// The voice activity flag of that extension.
    pub voice: bool,
}

/// A small generator of repeatable noise (SplitMix64): the same seed makes the same media.
#[derive(Debug, Clone)]
struct Noise(u64);

impl Noise {
    fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        word ^ (word >> 31)
    }

    /// Uniform in 0..1.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Near to normal, mean 0 and deviation 1, never beyond 3.5: the sum of twelve.
    fn bell(&mut self) -> f64 {
        let sum: f64 = (0..12).map(|_| self.unit()).sum();
        (sum - 6.0).clamp(-3.5, 3.5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_codec_is_read_from_its_name_and_its_media_type() {
        for codec in Codec::ALL {
            assert_eq!(codec.name().parse(), Ok(codec));
            assert_eq!(codec.mime().to_lowercase().parse(), Ok(codec));
            assert_eq!(codec.to_string(), codec.name());
        }
        assert_eq!("h265".parse::<Codec>(), Err(UnknownCodec("h265".into())));
    }

    #[test]
    fn the_same_seed_makes_the_same_noise_around_zero() {
        let (mut a, mut b) = (Noise::new(7), Noise::new(7));
        let mean = (0..10_000).map(|_| a.bell()).sum::<f64>() / 10_000.0;
        assert!(mean.abs() < 0.05, "{mean}");
        for _ in 0..120_000 {
            b.next();
        }
        assert_eq!(a.next(), b.next());
    }
}
