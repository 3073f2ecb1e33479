//! The few facts of a session description that the engine does not tell, and the few lines we write
//! differently. Owns no state; everything else of SDP is the engine's (RFC 8829, RFC 8866).

use str0m::IceCreds;

use crate::Limits;

/// One `m=` section.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Section<'a> {
    /// "audio", "video" or "application".
    pub(crate) kind: &'a str,
    pub(crate) mid: &'a str,
    /// Whether its author sends on it.
    pub(crate) sends: bool,
    /// Whether its author receives on it.
    pub(crate) receives: bool,
    /// Id of the media stream track, from `a=msid`.
    pub(crate) track: Option<&'a str>,
    /// Stream ids of the encodings it sends, in the order given (RFC 8853).
    pub(crate) rids: Vec<&'a str>,
    /// Its port is 0, and it is not one that is to be had in a bundle only (RFC 9143 section 6).
    pub(crate) is_rejected: bool,
}

/// Which cap a session description is over, before the engine sees it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SdpProblem {
    #[error("the session description has {0} bytes, at most {1} are taken")]
    Bytes(usize, usize),
    #[error("the session description has {0} sections, at most {1} are taken")]
    Sections(usize, usize),
    #[error("the session description has {0} candidates, at most {1} are taken")]
    Candidates(usize, usize),
}

/// Checks the caps before anything is built of the text.
pub(crate) fn check(sdp: &str, limits: &Limits) -> Result<(), SdpProblem> {
    if sdp.len() > limits.sdp_bytes {
        return Err(SdpProblem::Bytes(sdp.len(), limits.sdp_bytes));
    }
    let count = |prefix: &str| sdp.lines().filter(|line| line.starts_with(prefix)).count();
    let sections = count("m=");
    if sections > limits.sdp_sections {
        return Err(SdpProblem::Sections(sections, limits.sdp_sections));
    }
    // With bundle a client may repeat its candidates in every section.
    let candidates = count("a=candidate:");
    let allowed = limits.candidates.saturating_mul(sections.max(1));
    if candidates > allowed {
        return Err(SdpProblem::Candidates(candidates, allowed));
    }
    Ok(())
}

/// The sections in order.
pub(crate) fn sections(sdp: &str) -> Vec<Section<'_>> {
    let mut sections: Vec<Section<'_>> = Vec::new();
    for line in sdp.lines() {
        if let Some(rest) = line.strip_prefix("m=") {
            let kind = rest.split(' ').next().unwrap_or_default();
            let is_media = kind != "application";
            sections.push(Section {
                kind,
                sends: is_media,
                receives: is_media,
                is_rejected: rest.split(' ').nth(1) == Some("0"),
                ..Section::default()
            });
            continue;
        }
        let (Some(section), Some(attribute)) = (sections.last_mut(), line.strip_prefix("a="))
        else {
            continue;
        };
        match attribute.split_once(':') {
            Some(("mid", mid)) => section.mid = mid.trim(),
            Some(("msid", msid)) => section.track = msid.split(' ').nth(1).map(str::trim),
            Some(("rid", rid)) => {
                let mut words = rid.split(' ');
                if let (Some(id), Some("send")) = (words.next(), words.next().map(str::trim)) {
                    section.rids.push(id);
                }
            }
            None => match attribute.trim() {
                "recvonly" => section.sends = false,
                "sendonly" => section.receives = false,
                "inactive" => (section.sends, section.receives) = (false, false),
                "bundle-only" => section.is_rejected = false,
                _ => {}
            },
            _ => {}
        }
    }
    for section in sections.iter_mut().filter(|section| section.is_rejected) {
        (section.sends, section.receives) = (false, false);
    }
    sections
}

/// Whether a client offers to tell of packets by stream (RFC 8888 section 6) in any section: all share one transport.
pub(crate) fn offers_feedback_by_stream(offer: &str) -> bool {
    let mut lines = offer
        .lines()
        .filter_map(|line| line.strip_prefix("a=rtcp-fb:"));
    lines.any(|line| {
        line.split_once(' ')
            .is_some_and(|(_, kind)| kind.trim() == "ack ccfb")
    })
}

/// An answer that takes feedback by stream of all formats that are media (RFC 8888 section 6; RFC 4585 section 4.2).
pub(crate) fn with_feedback_by_stream(answer: &str) -> String {
    map_lines(answer, |line, out| {
        push(out, line);
        let format = line
            .strip_prefix("a=rtpmap:")
            .and_then(|rest| rest.split_once(' '));
        if let Some((payload_type, codec)) = format
            && !codec.to_ascii_lowercase().starts_with("rtx/")
        {
            push(out, &format!("a=rtcp-fb:{payload_type} ack ccfb"));
        }
    })
}

/// An offer in which no section asks to receive: nothing is sent on a publish transport, and a silent
/// stream of ours would cost sender reports for ever.
pub(crate) fn sending_only(offer: &str) -> String {
    with_direction(offer, |direction| match direction {
        "recvonly" => "inactive",
        "sendrecv" => "sendonly",
        other => other,
    })
}

/// An offer in which no section sends: nothing is taken on a transport that only sends to the client.
pub(crate) fn receiving_only(offer: &str) -> String {
    with_direction(offer, |direction| match direction {
        "sendonly" => "inactive",
        "sendrecv" => "recvonly",
        other => other,
    })
}

/// A description with other directions (RFC 8866 section 6.7).
fn with_direction(sdp: &str, change: impl Fn(&str) -> &str) -> String {
    map_lines(sdp, |line, out| {
        let Some(attribute) = line.strip_prefix("a=") else {
            return push(out, line);
        };
        out.push_str("a=");
        push(out, change(attribute));
    })
}

/// A description of a client without its candidates. We check nothing (ICE-lite) and find a client by its
/// own checks, so that candidates would only make pairs to look through.
pub(crate) fn without_candidates(text: &str) -> String {
    map_lines(text, |line, out| {
        if !line.starts_with("a=candidate:") {
            push(out, line);
        }
    })
}

/// A client's answer with what the engine makes use of, and nothing else: reading a line costs it microseconds, and
/// the answer of somebody who sees thirty others has thousands. All sections share one transport (RFC 9143), so
/// its credentials count once; we decide how to repair and when to ask for keyframes, whatever the client says of that;
/// and a client sends nothing on sections that answer ours.
pub(crate) fn answer_for_engine(text: &str) -> String {
    const OF_TRANSPORT: [&str; 5] = [
        "a=ice-ufrag:",
        "a=ice-pwd:",
        "a=ice-options:",
        "a=fingerprint:",
        "a=setup:",
    ];
    const UNUSED: [&str; 5] = [
        "a=candidate:",
        "a=msid:",
        "a=rtcp:",
        "a=ssrc:",
        "a=ssrc-group:",
    ];
    // Of each the section that has it first: clients may have fingerprints in front of all sections, where there may be
    // several, and the rest in the sections.
    let mut first_in = [None; OF_TRANSPORT.len()];
    // A section that is refused has no part in the transport, whatever it says.
    let (mut section, mut is_rejected) = (0, false);
    map_lines(text, |line, out| {
        if let Some(rest) = line.strip_prefix("m=") {
            section += 1;
            is_rejected = rest.split(' ').nth(1) == Some("0");
        }
        let mut of_transport = OF_TRANSPORT.iter().zip(&mut first_in);
        let is_needed = if let Some((_, first)) = of_transport.find(|(n, _)| line.starts_with(**n))
        {
            is_rejected || *first.get_or_insert(section) == section
        } else if line.starts_with("a=rtcp-fb:") {
            line.ends_with(" transport-cc")
        } else {
            !UNUSED.iter().any(|name| line.starts_with(name))
        };
        if is_needed {
            push(out, line);
        }
    })
}

/// An offer that says of its formats what GStreamer's `whepclientsrc` leaves out and means: Opus has two
/// channels, as every description of it has (RFC 7587 section 7), and H.264 may come in fragments (RFC 6184
/// section 8.1: mode 0, which does not, is what is left out; but who means that in WebRTC, says so).
pub(crate) fn with_whole_formats(offer: &str) -> String {
    /// Of an `a=rtpmap`: the payload type, and what it stands for.
    fn format(line: &str) -> Option<(&str, &str)> {
        line.strip_prefix("a=rtpmap:")?.split_once(' ')
    }
    let is_h264 = |(_, codec): &(_, &str)| codec.eq_ignore_ascii_case("h264/90000");
    let h264: Vec<&str> = offer
        .lines()
        .filter_map(format)
        .filter(is_h264)
        .map(|(pt, _)| pt)
        .collect();
    map_lines(offer, |line, out| {
        let lacks_channels =
            format(line).is_some_and(|(_, codec)| codec.eq_ignore_ascii_case("opus/48000"));
        let parameters = line
            .strip_prefix("a=fmtp:")
            .and_then(|rest| rest.split_once(' '));
        let lacks_mode = parameters
            .is_some_and(|(pt, given)| h264.contains(&pt) && !given.contains("packetization-mode"));
        let added = match (lacks_channels, lacks_mode) {
            (true, _) => "/2",
            (_, true) => ";packetization-mode=1",
            _ => "",
        };
        out.push_str(line);
        push(out, added);
    })
}

/// A description with the credentials `ours` in place of those the engine made up at a restart, and with
/// candidates that name none: the engine leaves old ones there, and clients ignore such candidates
/// (RFC 8839 section 5.1 has the `ufrag` as an extension that may be absent). Foundations become small
/// numbers: some encoders read no more than 16 characters of them.
pub(crate) fn with_credentials(text: &str, ours: Option<(&IceCreds, &IceCreds)>) -> String {
    let mut foundations: Vec<String> = Vec::new();
    map_lines(text, |line, out| {
        if let Some(candidate) = line.strip_prefix("a=candidate:") {
            let mut words: Vec<&str> = candidate.split(' ').skip(1).collect();
            if let Some(at) = words.iter().position(|word| *word == "ufrag") {
                words.drain(at..words.len().min(at + 2));
            }
            let foundation = candidate.split(' ').next().unwrap_or_default();
            let known = foundations.iter().position(|known| known == foundation);
            let index = known.unwrap_or_else(|| {
                foundations.push(foundation.to_owned());
                foundations.len() - 1
            });
            let line = format!("a=candidate:{} {}", index + 1, words.join(" "));
            return push(out, &line);
        }
        match ours {
            Some((engines, ours)) if line.strip_prefix("a=ice-ufrag:") == Some(&engines.ufrag) => {
                push(out, &format!("a=ice-ufrag:{}", ours.ufrag));
            }
            Some((engines, ours)) if line.strip_prefix("a=ice-pwd:") == Some(&engines.pass) => {
                push(out, &format!("a=ice-pwd:{}", ours.pass));
            }
            _ => push(out, line),
        }
    })
}

/// What a section is called by stream and track, and the streams that it is sent on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StreamName {
    /// As the engine wrote it.
    Unknown,
    /// It carries nothing now, so it has no name; two sections of one name are an error to clients.
    Vacant,
    Is {
        stream: String,
        track: String,
        ssrc: u32,
        /// Of the stream that repairs it (RFC 4588).
        repair: Option<u32>,
    },
}

/// An offer in which each section carries the stream and track of now, and our SSRCs: the engine keeps
/// the first name of a section for ever, while we use a section for one track after another, and knows
/// none of our streams.
pub(crate) fn with_stream_names(offer: &str, name_of: impl Fn(&str) -> StreamName) -> String {
    let mut name = StreamName::Unknown;
    map_section_lines(offer, |mid, line, out| {
        if line.starts_with("m=") {
            name = mid.map_or(StreamName::Unknown, &name_of);
        }
        let is_name = line.starts_with("a=msid:");
        let is_ssrc = line.starts_with("a=ssrc:") || line.starts_with("a=ssrc-group:");
        if !is_ssrc && !is_name {
            return push(out, line);
        }
        match &name {
            StreamName::Unknown => push(out, line),
            StreamName::Is {
                stream,
                track,
                ssrc,
                repair,
            } if is_name => {
                push(out, &format!("a=msid:{stream} {track}"));
                if let Some(repair) = repair {
                    push(out, &format!("a=ssrc-group:FID {ssrc} {repair}"));
                }
                // RFC 5576 section 4: all streams of one clock have one canonical name.
                for ssrc in [ssrc].into_iter().chain(repair) {
                    push(out, &format!("a=ssrc:{ssrc} cname:{stream}"));
                    push(out, &format!("a=ssrc:{ssrc} msid:{stream} {track}"));
                }
            }
            StreamName::Is { .. } | StreamName::Vacant => {}
        }
    })
}

/// An offer with no other formats than `types_of` says, by mid; with all where it says nothing.
pub(crate) fn with_payload_types(
    offer: &str,
    mut types_of: impl FnMut(&str) -> Option<Vec<u8>>,
) -> String {
    const OF_FORMAT: [&str; 3] = ["a=rtpmap:", "a=fmtp:", "a=rtcp-fb:"];
    let mut kept: Option<Vec<u8>> = None;
    map_section_lines(offer, |mid, line, out| {
        let is_section = line.starts_with("m=");
        if is_section {
            kept = mid.and_then(&mut types_of);
        }
        let Some(kept) = &kept else {
            return push(out, line);
        };
        let is_kept = |word: &str| word.parse().is_ok_and(|pt| kept.contains(&pt));
        if is_section {
            return push(out, &only(line, is_kept));
        }
        let of_format = OF_FORMAT.iter().find_map(|name| line.strip_prefix(name));
        let payload_type = of_format.and_then(|rest| rest.split_once(' '));
        if payload_type.is_none_or(|(word, _)| is_kept(word)) {
            push(out, line);
        }
    })
}

/// How a publisher is to encode Opus (RFC 7587), by section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct OpusOptions {
    pub(crate) dtx: bool,
    pub(crate) stereo: bool,
}

/// How a publisher is to encode what a section carries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct SectionWish {
    pub(crate) mid: String,
    pub(crate) opus: Option<OpusOptions>,
    /// Name of the codec it announced, as in `a=rtpmap`.
    pub(crate) codec: Option<String>,
}

/// An answer that asks the publisher for these Opus options.
pub(crate) fn with_opus_options(
    answer: &str,
    options_of: impl Fn(&str) -> Option<OpusOptions>,
) -> String {
    map_section_lines(answer, |mid, line, out| {
        let options = mid
            .filter(|_| line.starts_with("a=fmtp:") && line.contains("useinbandfec"))
            .and_then(&options_of);
        out.push_str(line);
        if let Some(OpusOptions { dtx, stereo }) = options {
            if dtx && !line.contains("usedtx") {
                out.push_str(";usedtx=1");
            }
            if stereo && !line.contains("stereo") {
                out.push_str(";stereo=1;sprop-stereo=1");
            }
        }
        push(out, "");
    })
}

/// An answer whose sections name the codec asked for first: publishers send the first they are answered
/// (RFC 8829 section 5.3.1). `codec_of` gives its name in `a=rtpmap`, by mid.
pub(crate) fn with_codec_first(answer: &str, codec_of: impl Fn(&str) -> Option<String>) -> String {
    map_section_lines(answer, |mid, line, out| {
        let codec = mid.filter(|_| line.starts_with("m=")).and_then(&codec_of);
        match codec.zip(mid) {
            Some((codec, mid)) => push(out, &first(line, &payload_types(answer, mid, &codec))),
            None => push(out, line),
        }
    })
}

/// Payload types of a codec in a section, with those of its retransmission (RFC 4588).
fn payload_types<'a>(sdp: &'a str, mid: &str, codec: &str) -> Vec<&'a str> {
    let section = sdp
        .split("m=")
        .find(|part| part.lines().any(|line| line == format!("a=mid:{mid}")));
    let lines = || section.unwrap_or_default().lines();
    let mut types: Vec<&str> = lines()
        .filter_map(|line| line.strip_prefix("a=rtpmap:")?.split_once(' '))
        .filter(|(_, map)| {
            map.split('/')
                .next()
                .is_some_and(|name| name.eq_ignore_ascii_case(codec))
        })
        .map(|(payload_type, _)| payload_type)
        .collect();
    let repairs: Vec<&str> = lines()
        .filter_map(|line| line.strip_prefix("a=fmtp:")?.split_once(" apt="))
        .filter(|(_, repaired)| types.contains(&repaired.trim()))
        .map(|(repair, _)| repair)
        .collect();
    types.extend(repairs);
    types
}

/// An `m=` line with these payload types in front.
fn first(line: &str, payload_types: &[&str]) -> String {
    // Kind, port and protocol stand before the payload types.
    let words: Vec<&str> = line.split(' ').collect();
    let (head, all) = words.split_at(words.len().min(3));
    let (front, rest): (Vec<&str>, Vec<&str>) = all
        .iter()
        .copied()
        .partition(|word| payload_types.contains(word));
    [head, &front, &rest].concat().join(" ")
}

/// An `m=` line without other payload types.
fn only(line: &str, is_kept: impl Fn(&str) -> bool) -> String {
    let (at, words) = (0.., line.split(' '));
    let kept = at.zip(words).filter(|(at, word)| *at < 3 || is_kept(word));
    let kept: Vec<&str> = kept.map(|(_, word)| word).collect();
    kept.join(" ")
}

/// Rewrites line by line.
fn map_lines(sdp: &str, mut map: impl FnMut(&str, &mut String)) -> String {
    let mut out = String::with_capacity(sdp.len() + 256);
    for line in sdp.lines() {
        map(line, &mut out);
    }
    out
}

/// The same; the closure is told the mid of the section that the line stands in.
fn map_section_lines(sdp: &str, mut map: impl FnMut(Option<&str>, &str, &mut String)) -> String {
    // `a=mid` stands after lines that want to know it.
    let mut mids: Vec<&str> = Vec::new();
    for line in sdp.lines() {
        if line.starts_with("m=") {
            mids.push("");
        } else if let (Some(mid), Some(own)) = (mids.last_mut(), line.strip_prefix("a=mid:")) {
            *mid = own.trim();
        }
    }
    let mut begun = 0;
    map_lines(sdp, |line, out| {
        begun += usize::from(line.starts_with("m="));
        let section = begun.checked_sub(1);
        map(
            section.and_then(|index| mids.get(index).copied()),
            line,
            out,
        );
    })
}

/// Ends a line with this.
fn push(out: &mut String, rest: &str) {
    out.push_str(rest);
    out.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFFER: &str = "v=0\r\no=- 1 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n\
        m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:0\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=msid:S mic\r\na=mid:1\r\na=sendonly\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:2\r\na=sendrecv\r\na=msid:- cam\r\n\
        a=rid:q send\r\na=rid:h send\r\na=simulcast:send q;h\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:3\r\na=recvonly\r\n";

    #[test]
    fn an_answer_for_the_engine_has_the_credentials_once_and_nothing_we_decide() {
        let section = |mid: &str, more: &str| {
            format!("m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\na=mid:{mid}\r\n{more}a=recvonly\r\n")
        };
        let transport = "a=ice-ufrag:u\r\na=ice-pwd:p\r\na=ice-options:trickle\r\n\
                         a=fingerprint:sha-256 00\r\na=fingerprint:sha-512 11\r\na=setup:active\r\n";
        let media = "a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 transport-cc\r\na=rtpmap:97 rtx/90000\r\n\
                     a=fmtp:97 apt=96\r\na=extmap:3 urn:x\r\na=rtcp-mux\r\n";
        let noise = "a=candidate:1 1 udp 1 192.0.2.1 9 typ host\r\na=msid:- t\r\n\
                     a=rtcp:9 IN IP4 0.0.0.0\r\na=rtcp-fb:96 nack\r\na=rtcp-fb:96 ccm fir\r\n\
                     a=ssrc:1 cname:c\r\na=ssrc-group:FID 1 2\r\n";
        let all = [noise, transport, media].concat();
        let given = format!("v=0\r\n{}{}", section("0", &all), section("1", &all));
        let first = [transport, media].concat();
        let expected = format!("v=0\r\n{}{}", section("0", &first), section("1", media));
        assert_eq!(answer_for_engine(&given), expected);
        // Fingerprints in front of all sections, the rest in each, as pion and webrtc-rs write it.
        let fingerprint = "a=fingerprint:sha-256 00\r\n";
        let rest = "a=ice-ufrag:u\r\na=ice-pwd:p\r\na=setup:active\r\n";
        let [zero, one] = ["0", "1"].map(|mid| section(mid, rest));
        let given = format!("v=0\r\n{fingerprint}{zero}{one}");
        let expected = format!("v=0\r\n{fingerprint}{zero}{}", section("1", ""));
        assert_eq!(answer_for_engine(&given), expected);
        let refused = zero.replace("m=video 9", "m=video 0");
        let given = format!("v=0\r\n{fingerprint}{refused}{one}");
        assert_eq!(answer_for_engine(&given), given);
        // Said once for all sections, before the first.
        let given = format!("v=0\r\n{transport}{}", section("0", &all));
        let expected = format!("v=0\r\n{transport}{}", section("0", media));
        assert_eq!(answer_for_engine(&given), expected);
    }

    #[test]
    fn candidates_are_left_out_and_nothing_else() {
        let text = "v=0\r\na=ice-lite\r\na=candidate:1 1 udp 1 10.1.0.1 7 typ host\r\n\
                    a=end-of-candidates\r\n";
        let expected = "v=0\r\na=ice-lite\r\na=end-of-candidates\r\n";
        assert_eq!(without_candidates(text), expected);
    }

    #[test]
    fn formats_are_whole() {
        for (offer, expected) in [
            ("a=rtpmap:101 OPUS/48000", "a=rtpmap:101 OPUS/48000/2"),
            ("a=rtpmap:101 opus/48000/2", "a=rtpmap:101 opus/48000/2"),
            ("a=rtpmap:106 red/48000", "a=rtpmap:106 red/48000"),
            ("a=rtpmap:111", "a=rtpmap:111"),
            (
                "a=rtpmap:97 H264/90000\r\na=fmtp:97 profile-level-id=42e016",
                "a=rtpmap:97 H264/90000\r\na=fmtp:97 profile-level-id=42e016;packetization-mode=1",
            ),
            (
                "a=rtpmap:97 H264/90000\r\na=fmtp:97 packetization-mode=0",
                "a=rtpmap:97 H264/90000\r\na=fmtp:97 packetization-mode=0",
            ),
            (
                "a=rtpmap:98 VP9/90000\r\na=fmtp:98 profile-id=0",
                "a=rtpmap:98 VP9/90000\r\na=fmtp:98 profile-id=0",
            ),
        ] {
            assert_eq!(with_whole_formats(offer), format!("{expected}\r\n"));
        }
    }

    #[test]
    fn sections_tell_who_sends_what() {
        let found = sections(OFFER);
        let told: Vec<_> = found
            .iter()
            .map(|s| (s.kind, s.mid, s.sends, s.track, s.rids.as_slice()))
            .collect();
        assert_eq!(
            told,
            [
                ("application", "0", false, None, &[][..]),
                ("audio", "1", true, Some("mic"), &[]),
                ("video", "2", true, Some("cam"), &["q", "h"]),
                ("video", "3", false, None, &[]),
            ]
        );
    }

    #[test]
    fn a_port_of_zero_rejects_unless_in_a_bundle_only() {
        let offer = "m=audio 0 UDP/TLS/RTP/SAVPF 109\r\na=bundle-only\r\na=sendonly\r\na=mid:1\r\n\
            m=video 0 UDP/TLS/RTP/SAVPF 120\r\na=mid:2\r\na=sendrecv\r\na=bundle-only\r\n\
            m=video 0 UDP/TLS/RTP/SAVPF 120\r\na=mid:3\r\na=sendrecv\r\n";
        let told: Vec<_> = sections(offer)
            .iter()
            .map(|s| (s.mid, s.sends, s.receives))
            .collect();
        assert_eq!(
            told,
            [("1", true, false), ("2", true, true), ("3", false, false)]
        );
    }

    #[test]
    fn credentials_are_ours_and_candidates_name_none() {
        let creds = |ufrag: &str, pass: &str| IceCreds {
            ufrag: ufrag.into(),
            pass: pass.into(),
        };
        let text = "v=0\r\nm=audio 9 X 0\r\n\
            a=candidate:fffeff7e32c583ef85edbb1a 1 tcp 1 10.1.0.1 7 typ host ufrag old tcptype passive\r\n\
            a=candidate:0123456789abcdef 1 udp 1 10.1.0.1 7 typ host ufrag old\r\n\
            a=ice-ufrag:made\r\na=ice-pwd:up\r\n";
        let (made, ours) = (creds("made", "up"), creds("0ours", "secret"));
        let plain = with_credentials(text, None);
        assert!(
            plain.contains("a=candidate:1 1 tcp 1 10.1.0.1 7 typ host tcptype passive\r\n"),
            "{plain}"
        );
        assert!(plain.contains("a=candidate:2 1 udp 1 "), "{plain}");
        assert!(
            plain.contains("typ host\r\na=ice-ufrag:made\r\na=ice-pwd:up\r\n"),
            "{plain}"
        );
        let named = with_credentials(text, Some((&made, &ours)));
        assert!(
            named.contains("a=ice-ufrag:0ours\r\na=ice-pwd:secret\r\n"),
            "{named}"
        );
    }

    #[test]
    fn caps_are_named() {
        let limits = Limits {
            sdp_bytes: 10,
            ..Limits::default()
        };
        assert_eq!(
            check(OFFER, &limits),
            Err(SdpProblem::Bytes(OFFER.len(), 10))
        );
        let limits = Limits {
            sdp_sections: 3,
            ..Limits::default()
        };
        assert_eq!(check(OFFER, &limits), Err(SdpProblem::Sections(4, 3)));
        let many = format!(
            "{OFFER}{}",
            "a=candidate:1 1 udp 1 1.2.3.4 5 typ host\r\n".repeat(9)
        );
        let limits = Limits {
            candidates: 2,
            ..Limits::default()
        };
        assert_eq!(check(&many, &limits), Err(SdpProblem::Candidates(9, 8)));
        assert_eq!(check(OFFER, &Limits::default()), Ok(()));
    }

    #[test]
    fn an_offer_goes_one_way() {
        let directions = |sdp: &str| -> Vec<String> {
            let lines = sdp.lines().filter_map(|line| line.strip_prefix("a="));
            lines
                .filter(|line| ["sendonly", "recvonly", "sendrecv", "inactive"].contains(line))
                .map(str::to_owned)
                .collect()
        };
        assert_eq!(directions(OFFER), ["sendonly", "sendrecv", "recvonly"]);
        let sending = sending_only(OFFER);
        assert_eq!(directions(&sending), ["sendonly", "sendonly", "inactive"]);
        let receiving = receiving_only(OFFER);
        assert_eq!(directions(&receiving), ["inactive", "recvonly", "recvonly"]);
        assert_eq!(sending.lines().count(), OFFER.lines().count());
    }

    #[test]
    fn a_section_goes_by_the_name_of_what_it_carries() {
        let named = with_stream_names(OFFER, |mid| match mid {
            "1" => StreamName::Is {
                stream: "PA_a|TR_b".into(),
                track: "TR_b".into(),
                ssrc: 7,
                repair: Some(8),
            },
            "2" => StreamName::Vacant,
            _ => StreamName::Unknown,
        });
        let lines = "a=msid:PA_a|TR_b TR_b\r\na=ssrc-group:FID 7 8\r\n\
            a=ssrc:7 cname:PA_a|TR_b\r\na=ssrc:7 msid:PA_a|TR_b TR_b\r\n\
            a=ssrc:8 cname:PA_a|TR_b\r\na=ssrc:8 msid:PA_a|TR_b TR_b\r\n";
        assert!(named.contains(lines), "{named}");
        assert_eq!(named.matches("a=msid:").count(), 1, "{named}");
        assert_eq!(with_stream_names(OFFER, |_| StreamName::Unknown), OFFER);
    }

    #[test]
    fn feedback_by_stream_is_taken_where_it_is_offered() {
        let offer = |line: &str| format!("v=0\r\nm=video 9 X 96 97\r\na=mid:1\r\n{line}\r\n");
        for (line, expected) in [
            ("a=rtcp-fb:96 ack ccfb", true),
            ("a=rtcp-fb:* ack ccfb ", true),
            ("a=rtcp-fb:96 ack rpsi", false),
            ("a=rtcp-fb:96 transport-cc", false),
            ("a=rtcp-fb:ack ccfb", false),
        ] {
            assert_eq!(offers_feedback_by_stream(&offer(line)), expected, "{line}");
        }
        let answer = "v=0\r\nm=video 9 X 96 97\r\na=mid:1\r\na=rtpmap:96 VP8/90000\r\n\
            a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n";
        let taken = with_feedback_by_stream(answer);
        let line = "a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 ack ccfb\r\na=rtpmap:97";
        assert!(taken.contains(line), "{taken}");
        assert_eq!(taken.matches("ccfb").count(), 1);
    }

    #[test]
    fn opus_options_stand_in_the_section_they_are_meant_for() {
        let answer = "v=0\r\nm=audio 9 X 111\r\na=mid:1\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n\
            m=audio 9 X 111\r\na=mid:2\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n";
        let asked = with_opus_options(answer, |mid| {
            (mid == "2").then_some(OpusOptions {
                dtx: true,
                stereo: true,
            })
        });
        let first = "a=fmtp:111 minptime=10;useinbandfec=1\r\nm=";
        let second = "a=fmtp:111 minptime=10;useinbandfec=1;usedtx=1;stereo=1;sprop-stereo=1\r\n";
        assert!(asked.contains(first), "{asked}");
        assert!(asked.contains(second), "{asked}");
    }

    #[test]
    fn a_section_has_the_formats_it_is_to_have() {
        let section = |mid: &str, types: &str| {
            format!("m=video 9 UDP/TLS/RTP/SAVPF{types}\r\na=mid:{mid}\r\na=extmap:9 urn:x\r\n")
        };
        let (vp8, repair) = (
            "a=rtpmap:9 VP8/90000\r\na=rtcp-fb:9 nack\r\n",
            "a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=9\r\n",
        );
        let vp9 = "a=rtpmap:98 VP9/90000\r\na=rtcp-fb:98 nack\r\na=fmtp:98 profile-id=0\r\n";
        let whole = [&section("1", " 98 9 97"), vp9, vp8, repair].concat();
        let other = [&section("2", " 98 9 97"), vp9, vp8, repair].concat();
        let narrow = [&section("1", " 9 97"), vp8, repair].concat();
        let told = with_payload_types(&format!("v=0\r\n{whole}{other}"), |mid| {
            (mid == "1").then(|| vec![9, 97])
        });
        assert_eq!(told, format!("v=0\r\n{narrow}{other}"));
    }

    #[test]
    fn the_codec_asked_for_stands_first_with_its_retransmission() {
        let answer = "v=0\r\nm=video 9 X 96 97 98 99\r\na=mid:1\r\na=rtpmap:96 VP8/90000\r\n\
            a=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\na=rtpmap:98 VP9/90000\r\n\
            a=rtpmap:99 rtx/90000\r\na=fmtp:99 apt=98\r\n";
        let first_line = |codec: &str| {
            let asked = with_codec_first(answer, |mid| (mid == "1").then(|| codec.to_owned()));
            asked.lines().nth(1).unwrap_or_default().to_owned()
        };
        assert_eq!(first_line("vp9"), "m=video 9 X 98 99 96 97");
        assert_eq!(first_line("VP8"), "m=video 9 X 96 97 98 99");
        assert_eq!(first_line("AV1"), "m=video 9 X 96 97 98 99");
    }
}
