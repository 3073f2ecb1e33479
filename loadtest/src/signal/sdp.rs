//! The little of a session description that signalling has to read: which media section carries which
//! track of the server (RFC 8829, RFC 8830), and a candidate inside its JSON (W3C `RTCIceCandidateInit`).

/// A media section of the server's offer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// `a=mid`.
    pub mid: String,
    /// Server's id of the track: the second word of `a=msid`; `None` for sections without media.
    pub track: Option<String>,
    /// Whether the server sends on it.
    pub sends: bool,
}

/// The media sections of a description, in order. Sections without `a=mid` are left out.
#[must_use]
pub fn sections(sdp: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut inside = false;
    for line in sdp.lines() {
        if let Some(media) = line.strip_prefix("m=") {
            inside = true;
            sections.push(Section {
                mid: String::new(),
                track: None,
                // A direction that is not written is both (RFC 8866, 6.7).
                sends: !media.starts_with("application"),
            });
            continue;
        }
        let Some(section) = sections.last_mut().filter(|_| inside) else {
            continue;
        };
        if let Some(mid) = line.strip_prefix("a=mid:") {
            mid.trim().clone_into(&mut section.mid);
        } else if let Some(msid) = line.strip_prefix("a=msid:") {
            section.track = msid.split_whitespace().nth(1).map(str::to_owned);
        } else if matches!(line.trim(), "a=inactive" | "a=recvonly") {
            section.sends = false;
        }
    }
    sections.retain(|section| !section.mid.is_empty());
    sections
}

/// An offer of the server with what a stack makes use of: browsers read a line within a fraction of a microsecond, our
/// stacks take ten, and the offer to somebody who sees thirty others has thousands of lines. All sections share one
/// transport (RFC 9143), whose credentials count once.
#[must_use]
pub fn without_repetition(sdp: &str) -> String {
    const OF_TRANSPORT: [&str; 5] = [
        "a=ice-ufrag:",
        "a=ice-pwd:",
        "a=ice-options:",
        "a=fingerprint:",
        "a=setup:",
    ];
    let mut out = String::with_capacity(sdp.len());
    // Of each the section that has it first: servers may have fingerprints in front of all sections.
    let (mut section, mut first_in) = (0, [None; OF_TRANSPORT.len()]);
    for line in sdp.lines() {
        section += usize::from(line.starts_with("m="));
        let mut of_transport = OF_TRANSPORT.iter().zip(&mut first_in);
        let is_wanted = if let Some((_, first)) = of_transport.find(|(n, _)| line.starts_with(**n))
        {
            *first.get_or_insert(section) == section
        } else if line.starts_with("a=rtcp-fb:") {
            line.ends_with(" transport-cc")
        } else {
            // What `a=msid` says already.
            !(line.starts_with("a=ssrc:") && line.contains(" msid:"))
        };
        if is_wanted {
            out.push_str(line);
            out.push_str("\r\n");
        }
    }
    out
}

/// The candidate line inside a trickled candidate's JSON, without `a=`; `None` for the end of
/// candidates and for what is no candidate.
#[must_use]
pub fn candidate_of(init: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(init).ok()?;
    let candidate = value.get("candidate")?.as_str()?.trim();
    let candidate = candidate.strip_prefix("a=").unwrap_or(candidate);
    (!candidate.is_empty()).then(|| candidate.to_owned())
}

/// The JSON of a trickled candidate of the first section.
#[must_use]
pub fn candidate_init(candidate: &str) -> String {
    serde_json::json!({"candidate": candidate, "sdpMid": "0", "sdpMLineIndex": 0}).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offer_without_repetition_says_the_same() {
        let sdp = "v=0\r\n\
                   m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\n\
                   a=fingerprint:sha-256 00\r\na=fingerprint:sha-512 11\r\na=setup:actpass\r\n\
                   a=mid:0\r\na=ssrc:1 cname:c\r\na=ssrc:1 msid:s t\r\na=rtpmap:96 VP8/90000\r\n\
                   a=rtcp-fb:96 transport-cc\r\na=rtcp-fb:96 nack pli\r\n\
                   m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\n\
                   a=fingerprint:sha-256 00\r\na=setup:actpass\r\na=mid:1\r\n";
        assert_eq!(
            without_repetition(sdp),
            "v=0\r\n\
             m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\n\
             a=fingerprint:sha-256 00\r\na=fingerprint:sha-512 11\r\na=setup:actpass\r\n\
             a=mid:0\r\na=ssrc:1 cname:c\r\na=rtpmap:96 VP8/90000\r\n\
             a=rtcp-fb:96 transport-cc\r\n\
             m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:1\r\n"
        );
    }

    #[test]
    fn a_section_names_its_track() {
        let sdp = "v=0\r\na=msid-semantic: WMS *\r\n\
                   m=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:0\r\n\
                   m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:1\r\na=sendonly\r\na=msid:PA_x|TR_a TR_a\r\n\
                   m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=mid:2\r\na=msid:PA_x|TR_v TR_v\r\na=inactive\r\n\
                   m=video 9 UDP/TLS/RTP/SAVPF 96\r\n";
        let section = |mid: &str, track: Option<&str>, sends| Section {
            mid: mid.to_owned(),
            track: track.map(str::to_owned),
            sends,
        };
        assert_eq!(
            sections(sdp),
            [
                section("0", None, false),
                section("1", Some("TR_a"), true),
                section("2", Some("TR_v"), false),
            ]
        );
    }

    #[test]
    fn candidates_come_in_json() {
        let line = "candidate:1 1 udp 2130706431 127.0.0.1 7882 typ host";
        assert_eq!(candidate_of(&candidate_init(line)).as_deref(), Some(line));
        for none in ["", "{}", r#"{"candidate":""}"#, r#"{"candidate":7}"#, "[]"] {
            assert_eq!(candidate_of(none), None, "{none}");
        }
    }
}
