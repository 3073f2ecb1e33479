//! What an SDP file says of media that comes as plain RTP (RFC 8866, RFC 6184, RFC 7798), and the SDP file that
//! tells a sender where to send. Must not open ports.

use std::{fmt::Write as _, net::IpAddr};

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use plenum_proto::v1::TrackKind;
use sfu_core::{KeyframeFeedback, PlainFormat};

/// Bytes of an SDP file.
const BYTES_MAX: usize = 16 * 1024;

/// Media of one.
pub(super) const MEDIA_MAX: usize = 16;

/// One medium.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Medium {
    /// Its place among all media of the description.
    pub(crate) index: usize,
    pub(crate) kind: TrackKind,
    /// To which it is sent; absent where that is left open.
    pub(crate) port: Option<u16>,
    /// To which RTCP is sent, where that is not the next one.
    pub(crate) rtcp_port: Option<u16>,
    /// What is forwarded of what it may carry; the usual one first.
    pub(crate) formats: Vec<PlainFormat>,
    /// By which requests for keyframes it is said to be moved.
    pub(crate) keyframes: Option<KeyframeFeedback>,
    /// It has the profile for feedback (RFC 4585 section 4).
    pub(crate) has_feedback_profile: bool,
    /// By which URL RTSP controls it (RFC 2326 appendix C.1.1).
    pub(crate) control: Option<String>,
}

/// Why media cannot be taken in as described.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DescriptionProblem {
    #[error("has {0} bytes, at most {BYTES_MAX} are taken")]
    Bytes(usize),
    #[error("cannot be read: {0}")]
    Malformed(String),
    #[error("has {0} media, from 1 to {MEDIA_MAX} are taken")]
    Media(usize),
    #[error("medium {0}: nothing that it carries is forwarded here")]
    Unsupported(usize),
    #[error("medium {0}: payload type {1} is not below 128")]
    PayloadType(usize, u32),
    #[error(
        "medium {0}: payload type {1} stands for something else already, and all come to one port"
    )]
    Ambiguous(usize, u8),
}

/// Reads an SDP file. Media that are neither audio nor video are left out; one of which nothing is forwarded has no
/// formats.
pub(super) fn read(text: &str) -> Result<Vec<Medium>, DescriptionProblem> {
    if text.len() > BYTES_MAX {
        return Err(DescriptionProblem::Bytes(text.len()));
    }
    let session = sdp_types::Session::parse(text.trim_start().as_bytes())
        .map_err(|error| DescriptionProblem::Malformed(error.to_string()))?;
    let media = session.medias.iter().enumerate();
    let media: Vec<Medium> = media.filter_map(|(i, m)| medium(i, m)).collect();
    match media.len() {
        1..=MEDIA_MAX => Ok(media),
        count => Err(DescriptionProblem::Media(count)),
    }
}

fn medium(index: usize, media: &sdp_types::Media) -> Option<Medium> {
    /// RFC 863, by which descriptions leave the port open.
    const DISCARD: u16 = 9;
    let kind = match media.media.as_str() {
        "audio" => TrackKind::Audio,
        "video" => TrackKind::Video,
        _ => return None,
    };
    let is_muxed = media.attributes.iter().any(|a| a.attribute == "rtcp-mux");
    let told = values(media, "rtcp").next();
    let rtcp_port = told.and_then(|rtcp| rtcp.split(' ').next()?.parse().ok());
    let port = Some(media.port).filter(|port| ![0, DISCARD].contains(port));
    // What is protected is nothing that is read here (RFC 3711).
    let is_plain = media.proto.starts_with("RTP/AVP");
    let formats = media
        .fmt
        .split(' ')
        .filter(|_| is_plain)
        .filter_map(|word| {
            let payload_type = word.trim().parse().ok().filter(|number| *number < 128)?;
            let format = format_of(media, payload_type)?;
            format.is_forwarded().then_some(format)
        });
    Some(Medium {
        index,
        kind,
        port,
        rtcp_port: if is_muxed { port } else { rtcp_port },
        formats: formats.collect(),
        keyframes: keyframes(media),
        has_feedback_profile: media.proto == "RTP/AVPF",
        control: values(media, "control").next().map(str::to_owned),
    })
}

/// The request for keyframes that is named; the usual one rather than the other.
fn keyframes(media: &sdp_types::Media) -> Option<KeyframeFeedback> {
    let named = |wanted: &str| {
        values(media, "rtcp-fb").any(|line| {
            let rest = line.trim().split_once(' ').map(|(_, rest)| rest.trim());
            rest == Some(wanted)
        })
    };
    if named("nack pli") {
        Some(KeyframeFeedback::Pli)
    } else {
        named("ccm fir").then_some(KeyframeFeedback::Fir)
    }
}

/// By which URL RTSP controls all of it (RFC 2326 appendix C.1.1).
pub(super) fn control(text: &str) -> Option<String> {
    let session = sdp_types::Session::parse(text.trim_start().as_bytes()).ok()?;
    let mut attributes = session.attributes.iter();
    let found = attributes.find(|attribute| attribute.attribute == "control");
    found?.value.clone()
}

fn values<'a>(media: &'a sdp_types::Media, name: &str) -> impl Iterator<Item = &'a str> {
    let named = media.attributes.iter().filter(move |a| a.attribute == name);
    named.filter_map(|attribute| attribute.value.as_deref())
}

fn format_of(media: &sdp_types::Media, payload_type: u8) -> Option<PlainFormat> {
    let of_this = |line: &str| -> Option<String> {
        let (number, rest) = line.trim().split_once(' ')?;
        (number.parse() == Ok(payload_type)).then(|| rest.trim().to_owned())
    };
    let map = values(media, "rtpmap").find_map(of_this);
    let encoding = match &map {
        Some(map) => map.split('/').next()?.to_owned(),
        // Without a map the numbers of RFC 3551 hold.
        None => usual_encoding(payload_type)?.to_owned(),
    };
    let parameters = values(media, "fmtp").find_map(of_this).unwrap_or_default();
    Some(PlainFormat {
        payload_type,
        mime: format!("{}/{encoding}", media.media),
        parameter_sets: parameter_sets(&parameters),
        parameters,
    })
}

fn usual_encoding(payload_type: u8) -> Option<&'static str> {
    USUAL_TYPES
        .iter()
        .find(|(_, number)| *number == payload_type)
        .map(|(mime, _)| mime.split('/').nth(1).unwrap_or_default())
}

/// Payload types that need no map (RFC 3551 section 6).
const USUAL_TYPES: [(&str, u8); 3] = [("audio/PCMU", 0), ("audio/PCMA", 8), ("audio/G722", 9)];

/// The parameter sets among the parameters of H.264 or H.265, in the order in which a stream has them.
pub(super) fn parameter_sets(parameters: &str) -> Vec<Vec<u8>> {
    const NAMES: [&str; 4] = [
        "sprop-vps",
        "sprop-sps",
        "sprop-pps",
        "sprop-parameter-sets",
    ];
    let pairs = || {
        parameters
            .split(';')
            .filter_map(|pair| pair.split_once('='))
    };
    let of_name = |name: &'static str| pairs().filter(move |(key, _)| key.trim() == name);
    let units = NAMES
        .into_iter()
        .flat_map(of_name)
        .flat_map(|(_, value)| value.split(','));
    units
        .filter_map(|unit| {
            STANDARD_NO_PAD
                .decode(unit.trim().trim_end_matches('='))
                .ok()
        })
        .collect()
}

/// A medium that is named in a request instead of an SDP file; `index` is its place there.
pub(super) fn medium_of(
    index: usize,
    media: &plenum_proto::v1::RtpMedia,
) -> Result<Medium, DescriptionProblem> {
    let usual = USUAL_TYPES
        .iter()
        .find(|(mime, _)| mime.eq_ignore_ascii_case(&media.mime));
    let payload_type = match media.payload_type {
        0 => usual.map_or(96 + index as u32, |(_, number)| u32::from(*number)),
        given => given,
    };
    let number = u8::try_from(payload_type)
        .ok()
        .filter(|number| *number < 128);
    let payload_type = number.ok_or(DescriptionProblem::PayloadType(index, payload_type))?;
    let format = PlainFormat {
        payload_type,
        mime: media.mime.clone(),
        parameter_sets: parameter_sets(&media.parameters),
        parameters: media.parameters.clone(),
    };
    let is_video = media.mime.to_ascii_lowercase().starts_with("video/");
    Ok(Medium {
        index,
        kind: if is_video {
            TrackKind::Video
        } else {
            TrackKind::Audio
        },
        port: None,
        rtcp_port: None,
        formats: format
            .is_forwarded()
            .then_some(format)
            .into_iter()
            .collect(),
        keyframes: None,
        has_feedback_profile: false,
        control: None,
    })
}

/// Which medium each payload type belongs to, where all come to one port.
pub(super) fn by_payload_type(media: &[Medium]) -> Result<Vec<(u8, u8)>, DescriptionProblem> {
    let mut known: Vec<(u8, u8)> = Vec::new();
    for (index, medium) in media.iter().enumerate() {
        for format in &medium.formats {
            let payload_type = format.payload_type;
            if known.iter().any(|(other, _)| *other == payload_type) {
                return Err(DescriptionProblem::Ambiguous(index, payload_type));
            }
            // There are no more than MEDIA_MAX.
            known.push((payload_type, index as u8));
        }
    }
    Ok(known)
}

/// The SDP file by which media goes to these ports for RTP and RTCP.
pub(crate) fn write(address: IpAddr, media: &[Medium], ports: &[(u16, u16)]) -> String {
    let family = if address.is_ipv4() { "IP4" } else { "IP6" };
    let mut text = format!(
        "v=0\r\no=- 0 0 IN {family} {address}\r\ns=-\r\nc=IN {family} {address}\r\nt=0 0\r\n"
    );
    // Media on one port are told apart by payload types (RFC 9143).
    let first = ports.first().map(|(port, _)| *port);
    let is_bundled = ports.len() > 1 && ports.iter().all(|(port, _)| Some(*port) == first);
    if is_bundled {
        let mids: Vec<String> = (0..media.len()).map(|mid| mid.to_string()).collect();
        let _ = write!(text, "a=group:BUNDLE {}\r\n", mids.join(" "));
    }
    for (mid, (medium, (port, rtcp_port))) in media.iter().zip(ports).enumerate() {
        let kind = match medium.kind {
            TrackKind::Audio => "audio",
            TrackKind::Video => "video",
        };
        let types: Vec<String> = medium
            .formats
            .iter()
            .map(|format| format.payload_type.to_string())
            .collect();
        // Writing to a string cannot fail.
        let _ = write!(text, "m={kind} {port} RTP/AVP {}\r\n", types.join(" "));
        let _ = match rtcp_port == port {
            true => write!(text, "a=rtcp-mux\r\n"),
            false => write!(text, "a=rtcp:{rtcp_port}\r\n"),
        };
        if is_bundled {
            let _ = write!(text, "a=mid:{mid}\r\n");
        }
        for format in &medium.formats {
            let (number, map) = (format.payload_type, map_of(format));
            let _ = write!(text, "a=rtpmap:{number} {map}\r\n");
            if !format.parameters.is_empty() {
                let _ = write!(text, "a=fmtp:{number} {}\r\n", format.parameters);
            }
        }
    }
    text
}

fn map_of(format: &PlainFormat) -> String {
    let encoding = format.mime.split('/').nth(1).unwrap_or_default();
    match encoding.to_ascii_lowercase().as_str() {
        "opus" => format!("{encoding}/48000/2"),
        "pcmu" | "pcma" | "g722" => format!("{encoding}/8000"),
        _ => format!("{encoding}/90000"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF_FFMPEG: &str = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=No Name\nc=IN IP4 127.0.0.1\nt=0 0\na=tool:libavformat\n\
        m=video 5004 RTP/AVP 96\nb=AS:500\na=rtpmap:96 H264/90000\n\
        a=fmtp:96 packetization-mode=1; sprop-parameter-sets=Z0LAH9kBQBbo,aMuDyyA=; profile-level-id=42C01F\n\
        m=audio 5006 RTP/AVP 97\na=rtpmap:97 opus/48000/2\na=fmtp:97 sprop-stereo=1\n";

    #[test]
    fn reads_what_ffmpeg_writes() {
        let media = read(OF_FFMPEG).unwrap();
        assert_eq!(media.len(), 2);
        let [video, audio] = &media[..] else { panic!() };
        assert_eq!(
            (video.kind, video.port, video.rtcp_port),
            (TrackKind::Video, Some(5004), None)
        );
        let h264 = &video.formats[0];
        assert_eq!((h264.mime.as_str(), h264.payload_type), ("video/H264", 96));
        assert!(h264.parameters.contains("profile-level-id=42C01F"));
        let first_bytes: Vec<u8> = h264.parameter_sets.iter().map(|unit| unit[0]).collect();
        assert_eq!(first_bytes, [0x67, 0x68]);
        assert_eq!(audio.formats[0].mime, "audio/opus");
    }

    #[test]
    fn reads_what_cameras_write() {
        let text = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=cam\r\nt=0 0\r\n\
            m=video 0 RTP/AVP 96\r\na=control:track1\r\na=rtpmap:96 H265/90000\r\n\
            a=fmtp:96 sprop-vps=QAEMAf//;sprop-sps=QgEBAWAA;sprop-pps=RAHBcrRi\r\n\
            m=audio 0 RTP/AVP 8\r\na=control:track2\r\n\
            m=audio 0 RTP/AVP 104\r\na=rtpmap:104 MPEG4-GENERIC/16000/1\r\n\
            m=application 0 RTP/AVP 107\r\na=rtpmap:107 vnd.onvif.metadata/90000\r\n";
        let media = read(text).unwrap();
        let mimes: Vec<Vec<&str>> = media
            .iter()
            .map(|medium| medium.formats.iter().map(|f| f.mime.as_str()).collect())
            .collect();
        assert_eq!(mimes, [vec!["video/H265"], vec!["audio/PCMA"], vec![]]);
        let kinds: Vec<u8> = media[0].formats[0]
            .parameter_sets
            .iter()
            .map(|u| u[0] >> 1)
            .collect();
        assert_eq!(kinds, [32, 33, 34]);
        assert!(media.iter().all(|medium| medium.port.is_none()));
        let controls: Vec<_> = media
            .iter()
            .map(|medium| medium.control.as_deref())
            .collect();
        assert_eq!(controls, [Some("track1"), Some("track2"), None]);
        assert_eq!(control(text), None);
    }

    #[test]
    fn reads_what_moves_a_source_to_a_keyframe() {
        let of = |profile: &str, lines: &str| {
            let text = format!(
                "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=cam\r\nt=0 0\r\na=control:rtsp://cam/live\r\n\
                 m=video 0 {profile} 96\r\na=rtpmap:96 H264/90000\r\n{lines}"
            );
            assert_eq!(control(&text).as_deref(), Some("rtsp://cam/live"));
            let medium = read(&text).unwrap().remove(0);
            let count = medium.formats.len();
            (medium.keyframes, medium.has_feedback_profile, count)
        };
        let pli = "a=rtcp-fb:* nack pli\r\n";
        let fir = "a=rtcp-fb:96 ccm fir\r\n";
        for (profile, lines, expected) in [
            ("RTP/AVP", String::new(), (None, false, 1)),
            (
                "RTP/AVPF",
                "a=rtcp-fb:96 nack\r\n".to_owned(),
                (None, true, 1),
            ),
            (
                "RTP/AVPF",
                format!("{fir}{pli}"),
                (Some(KeyframeFeedback::Pli), true, 1),
            ),
            (
                "RTP/AVPF",
                fir.to_owned(),
                (Some(KeyframeFeedback::Fir), true, 1),
            ),
            ("RTP/SAVP", String::new(), (None, false, 0)),
        ] {
            assert_eq!(of(profile, &lines), expected, "{profile} {lines}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let media = read(OF_FFMPEG).unwrap();
        let text = write(
            "192.0.2.7".parse().unwrap(),
            &media,
            &[(20_000, 20_001), (20_002, 20_002)],
        );
        let again = read(&text).unwrap();
        let ports: Vec<_> = again.iter().map(|m| (m.port, m.rtcp_port)).collect();
        assert_eq!(
            ports,
            [(Some(20_000), Some(20_001)), (Some(20_002), Some(20_002))]
        );
        let formats =
            |media: &[Medium]| -> Vec<_> { media.iter().map(|m| m.formats.clone()).collect() };
        assert_eq!(formats(&again), formats(&media));
        assert!(!text.contains("BUNDLE"));
        let on_one = write(
            "192.0.2.7".parse().unwrap(),
            &media,
            &[(20_000, 20_000), (20_000, 20_000)],
        );
        assert!(on_one.contains("a=group:BUNDLE 0 1\r\n") && on_one.contains("a=mid:1\r\n"));
        assert_eq!(formats(&read(&on_one).unwrap()), formats(&media));
    }

    #[test]
    fn what_cannot_be_taken_is_refused() {
        use DescriptionProblem as Problem;
        let long = format!("v=0\r\n{}", "a=x\r\n".repeat(4_000));
        assert!(matches!(read(&long), Err(Problem::Bytes(_))));
        assert!(matches!(read("hello"), Err(Problem::Malformed(_))));
        let none = "v=0\r\no=- 0 0 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\n";
        assert_eq!(read(none), Err(Problem::Media(0)));
        let of = |mime: &str, payload_type| plenum_proto::v1::RtpMedia {
            mime: mime.into(),
            payload_type,
            parameters: String::new(),
        };
        assert_eq!(
            medium_of(0, &of("video/H264", 128)),
            Err(Problem::PayloadType(0, 128))
        );
        assert_eq!(
            medium_of(1, &of("audio/opus", 0)).unwrap().formats[0].payload_type,
            97
        );
        assert_eq!(
            medium_of(1, &of("audio/PCMA", 0)).unwrap().formats[0].payload_type,
            8
        );
        assert_eq!(medium_of(0, &of("video/MPEG", 0)).unwrap().formats, []);
        let same = [
            medium_of(0, &of("video/H264", 96)),
            medium_of(1, &of("audio/opus", 96)),
        ];
        let same: Vec<_> = same.into_iter().map(Result::unwrap).collect();
        assert_eq!(by_payload_type(&same), Err(Problem::Ambiguous(1, 96)));
    }
}
