//! Codecs as this stack negotiates them, and which payload type and header extensions came out of it.

use rtc::peer_connection::configuration::media_engine::MediaEngine;
use rtc::rtp_transceiver::rtp_sender::{
    RTCPFeedback, RTCRtpCodec, RTCRtpCodecParameters, RTCRtpHeaderExtensionCapability,
    RTCRtpParameters, RtpCodecKind,
};
use webrtc::error::Result;

use crate::media::Codec;

/// RFC 6464.
pub(super) const AUDIO_LEVEL: &str = "urn:ietf:params:rtp-hdrext:ssrc-audio-level";
/// RFC 8843.
pub(super) const MID: &str = "urn:ietf:params:rtp-hdrext:sdes:mid";
/// RFC 8852.
pub(super) const RID: &str = "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id";
/// RFC 8852.
pub(super) const REPAIRED_RID: &str = "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id";

const MIME_RTX: &str = "video/rtx";

pub(super) fn kind(codec: Codec) -> RtpCodecKind {
    if codec.is_video() {
        RtpCodecKind::Video
    } else {
        RtpCodecKind::Audio
    }
}

/// A codec as it is offered.
pub(super) fn codec(codec: Codec) -> RTCRtpCodec {
    let format = match codec {
        Codec::Opus => "minptime=10;useinbandfec=1",
        Codec::Vp8 => "",
        Codec::Vp9 => "profile-id=0",
        Codec::H264 => "level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f",
        Codec::Av1 => "level-idx=5;profile=0;tier=0",
    };
    let feedback = |typ: &str, parameter: &str| RTCPFeedback {
        typ: typ.to_owned(),
        parameter: parameter.to_owned(),
    };
    let rtcp_feedback = if codec.is_video() {
        vec![
            feedback("nack", ""),
            feedback("nack", "pli"),
            feedback("ccm", "fir"),
        ]
    } else {
        Vec::new()
    };
    RTCRtpCodec {
        mime_type: codec.mime().to_owned(),
        clock_rate: codec.clock_rate(),
        channels: if codec.is_video() { 0 } else { 2 },
        sdp_fmtp_line: format.to_owned(),
        rtcp_feedback,
    }
}

/// Payload type of our offers; that of the retransmissions is one above.
fn payload_type(codec: Codec) -> u8 {
    match codec {
        Codec::Opus => 111,
        Codec::Vp8 => 96,
        Codec::Vp9 => 98,
        Codec::H264 => 102,
        Codec::Av1 => 45,
    }
}

/// What others may publish and no meter reads: taken so that it is seen.
const UNMEASURED: [(&str, u32, u8, RtpCodecKind); 4] = [
    ("audio/PCMU", 8_000, 0, RtpCodecKind::Audio),
    ("audio/PCMA", 8_000, 8, RtpCodecKind::Audio),
    ("audio/G722", 8_000, 9, RtpCodecKind::Audio),
    ("video/H265", 90_000, 49, RtpCodecKind::Video),
];

/// Has an engine take what no meter reads.
pub(super) fn register_unmeasured(engine: &mut MediaEngine) -> Result<()> {
    for (mime, clock_rate, payload_type, kind) in UNMEASURED {
        let rtp_codec = RTCRtpCodec {
            mime_type: mime.to_owned(),
            clock_rate,
            ..RTCRtpCodec::default()
        };
        let parameters = RTCRtpCodecParameters {
            rtp_codec,
            payload_type,
        };
        engine.register_codec(parameters, kind)?;
    }
    Ok(())
}

/// A media engine that knows `codecs`, each video codec with RTX (RFC 4588).
pub(super) fn media_engine(codecs: &[Codec]) -> Result<MediaEngine> {
    let mut engine = MediaEngine::default();
    for codec in codecs {
        let number = payload_type(*codec);
        let parameters = |rtp_codec, payload_type| RTCRtpCodecParameters {
            rtp_codec,
            payload_type,
        };
        engine.register_codec(parameters(self::codec(*codec), number), kind(*codec))?;
        if codec.is_video() {
            let repair = RTCRtpCodec {
                mime_type: MIME_RTX.to_owned(),
                clock_rate: codec.clock_rate(),
                channels: 0,
                sdp_fmtp_line: format!("apt={number}"),
                rtcp_feedback: Vec::new(),
            };
            engine.register_codec(parameters(repair, number + 1), RtpCodecKind::Video)?;
        }
    }
    engine.register_header_extension(
        RTCRtpHeaderExtensionCapability {
            uri: AUDIO_LEVEL.to_owned(),
        },
        RtpCodecKind::Audio,
        None,
    )?;
    Ok(engine)
}

/// Payload type that was agreed for `codec`.
pub(super) fn agreed_payload_type(parameters: &RTCRtpParameters, codec: Codec) -> Option<u8> {
    parameters
        .codecs
        .iter()
        .find(|agreed| {
            agreed
                .rtp_codec
                .mime_type
                .eq_ignore_ascii_case(codec.mime())
        })
        .map(|agreed| agreed.payload_type)
}

/// Id that was agreed for a header extension.
pub(super) fn agreed_extension(parameters: &RTCRtpParameters, uri: &str) -> Option<u8> {
    let extension = parameters
        .header_extensions
        .iter()
        .find(|extension| extension.uri == uri)?;
    u8::try_from(extension.id).ok()
}
