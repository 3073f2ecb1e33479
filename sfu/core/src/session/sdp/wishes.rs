//! Answers in which we ask publishers how to encode what they send. Must not know tracks.

use super::{mid_of, parts, push};

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
    map_sections(answer, |mid, section, out| {
        let options = options_of(mid);
        for line in section.lines() {
            out.push_str(line);
            if let Some(OpusOptions { dtx, stereo }) = options
                && line.starts_with("a=fmtp:")
                && line.contains("useinbandfec")
            {
                if dtx && !line.contains("usedtx") {
                    out.push_str(";usedtx=1");
                }
                if stereo && !line.contains("stereo") {
                    out.push_str(";stereo=1;sprop-stereo=1");
                }
            }
            push(out, "");
        }
    })
}

/// An answer whose sections name the codec asked for first: publishers send the first they are answered
/// (RFC 8829 section 5.3.1). `codec_of` gives its name in `a=rtpmap`, by mid.
pub(crate) fn with_codec_first(answer: &str, codec_of: impl Fn(&str) -> Option<String>) -> String {
    map_sections(answer, |mid, section, out| {
        let head = codec_of(mid).zip(section.split_once("\r\n"));
        let Some((codec, (head, rest))) = head else {
            return out.push_str(section);
        };
        push(out, &first(head, &payload_types(section, &codec)));
        out.push_str(rest);
    })
}

/// Rewrites section by section; the closure is told its mid.
fn map_sections(sdp: &str, map: impl Fn(&str, &str, &mut String)) -> String {
    let mut out = String::with_capacity(sdp.len() + 256);
    for part in parts(sdp) {
        match mid_of(part) {
            Some(mid) => map(mid, part, &mut out),
            None => out.push_str(part),
        }
    }
    out
}

/// Payload types of a codec in a section, with those of its retransmission (RFC 4588).
fn payload_types<'a>(section: &'a str, codec: &str) -> Vec<&'a str> {
    let mut types: Vec<&str> = section
        .lines()
        .filter_map(|line| line.strip_prefix("a=rtpmap:")?.split_once(' '))
        .filter(|(_, map)| {
            map.split('/')
                .next()
                .is_some_and(|name| name.eq_ignore_ascii_case(codec))
        })
        .map(|(payload_type, _)| payload_type)
        .collect();
    let repairs: Vec<&str> = section
        .lines()
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
