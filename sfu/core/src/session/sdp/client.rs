//! What a client wrote, as the engine is to read it. Must not know tracks.

use super::{map_lines, push};

/// Whether a client offers, or agrees, to tell of packets by stream (RFC 8888 section 6) in any section: all share one
/// transport.
pub(crate) fn has_feedback_by_stream(description: &str) -> bool {
    let mut lines = description
        .lines()
        .filter_map(|line| line.strip_prefix("a=rtcp-fb:"));
    lines.any(|line| {
        line.split_once(' ')
            .is_some_and(|(_, kind)| kind.trim() == "ack ccfb")
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
