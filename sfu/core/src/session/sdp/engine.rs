//! What the engine wrote, as clients are to read it: one pass over the text, for the descriptions of large meetings are
//! long. Must not know tracks.

use std::fmt::Write as _;

use str0m::IceCreds;

use super::{mid_of, parts, push};

/// Some of the payload types there are: 0 to 127 (RFC 3551 section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct PayloadTypes(u128);

impl PayloadTypes {
    pub(crate) fn contains(self, payload_type: u8) -> bool {
        payload_type < 128 && self.0 & (1 << payload_type) != 0
    }
}

impl FromIterator<u8> for PayloadTypes {
    fn from_iter<T: IntoIterator<Item = u8>>(types: T) -> Self {
        let known = types.into_iter().filter(|payload_type| *payload_type < 128);
        Self(known.fold(0, |all, payload_type| all | 1 << payload_type))
    }
}

/// What a section of media that we send on is called by stream and track, and the streams it is sent on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamName {
    pub(crate) stream: String,
    pub(crate) track: String,
    pub(crate) ssrc: u32,
    /// Of the stream that repairs it (RFC 4588).
    pub(crate) repair: Option<u32>,
}

/// What is written differently in a section that we send on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct SectionText {
    /// The formats it has; absent for all of the engine's.
    pub(crate) formats: Option<PayloadTypes>,
    /// Absent where it carries nothing now: two sections of one name are an error to clients.
    pub(crate) name: Option<StreamName>,
    /// Whether the client may tell of packets by stream, or agreed to do so. Of a description all sections of media
    /// have to say the same.
    pub(crate) has_feedback_by_stream: bool,
}

/// A description with the credentials `ours` in place of those the engine made up at a restart; with candidates that
/// name none, for the engine leaves old ones there, and clients ignore such candidates (RFC 8839 section 5.1 has the
/// `ufrag` as an extension that may be absent); and with sections that have the formats, the stream, the track and the
/// SSRCs of now, by mid: the engine keeps the first name of a section for ever, while we use a section for one
/// track after another, and knows none of our streams.
pub(crate) fn rewritten(
    text: &str,
    ours: Option<(&IceCreds, &IceCreds)>,
    mut section_of: impl FnMut(&str) -> Option<SectionText>,
) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 4);
    let mut foundations = Vec::new();
    for part in parts(text) {
        let section = mid_of(part).and_then(&mut section_of);
        for line in part.lines() {
            let attribute = line
                .strip_prefix("a=")
                .and_then(|rest| rest.split_once(':'));
            match (attribute, ours, &section) {
                (Some(("candidate", candidate)), ..) => {
                    push_candidate(&mut out, candidate, &mut foundations);
                }
                (Some(("ice-ufrag", ufrag)), Some((engines, ours)), _)
                    if ufrag == engines.ufrag =>
                {
                    push_all(&mut out, &["a=ice-ufrag:", &ours.ufrag]);
                }
                (Some(("ice-pwd", pass)), Some((engines, ours)), _) if pass == engines.pass => {
                    push_all(&mut out, &["a=ice-pwd:", &ours.pass]);
                }
                (Some(attribute), _, Some(section)) => {
                    push_attribute(&mut out, line, attribute, section);
                }
                (
                    None,
                    _,
                    Some(SectionText {
                        formats: Some(kept),
                        ..
                    }),
                ) if line.starts_with("m=") => {
                    push_head(&mut out, line, *kept);
                }
                _ => push(&mut out, line),
            }
        }
        if section.is_some_and(|section| section.has_feedback_by_stream) {
            // RFC 8888 section 6: of all formats at once.
            push(&mut out, "a=rtcp-fb:* ack ccfb");
        }
    }
    out
}

/// A candidate whose foundation is a small number: some encoders read no more than 16 characters of it.
fn push_candidate<'a>(out: &mut String, candidate: &'a str, foundations: &mut Vec<&'a str>) {
    let mut words = candidate.split(' ');
    let foundation = words.next().unwrap_or_default();
    let known = foundations.iter().position(|known| *known == foundation);
    let index = known.unwrap_or_else(|| {
        foundations.push(foundation);
        foundations.len() - 1
    });
    push_number(out, "a=candidate:", index as u64 + 1);
    while let Some(word) = words.next() {
        if word == "ufrag" {
            words.next();
        } else {
            out.push(' ');
            out.push_str(word);
        }
    }
    push(out, "");
}

/// An attribute with a value, of a section that is written differently.
fn push_attribute(
    out: &mut String,
    line: &str,
    (attribute, value): (&str, &str),
    section: &SectionText,
) {
    match (attribute, &section.name, section.formats) {
        ("msid", Some(name), _) => push_name(out, name),
        ("msid" | "ssrc" | "ssrc-group", ..) => {}
        ("rtpmap" | "fmtp" | "rtcp-fb", _, Some(kept)) => {
            let payload_type = value.split(' ').next().and_then(|word| word.parse().ok());
            if payload_type.is_none_or(|payload_type| kept.contains(payload_type)) {
                push(out, line);
            }
        }
        _ => push(out, line),
    }
}

fn push_name(out: &mut String, name: &StreamName) {
    let StreamName {
        stream,
        track,
        ssrc,
        repair,
    } = name;
    push_all(out, &["a=msid:", stream, " ", track]);
    if let Some(repair) = repair {
        push_number(out, "a=ssrc-group:FID ", u64::from(*ssrc));
        push_number(out, " ", u64::from(*repair));
        push(out, "");
    }
    // RFC 5576 section 4: all streams of one clock have one canonical name.
    for ssrc in [ssrc].into_iter().chain(repair) {
        push_number(out, "a=ssrc:", u64::from(*ssrc));
        push_all(out, &[" cname:", stream]);
        push_number(out, "a=ssrc:", u64::from(*ssrc));
        push_all(out, &[" msid:", stream, " ", track]);
    }
}

/// An `m=` line without other payload types.
fn push_head(out: &mut String, line: &str, kept: PayloadTypes) {
    for (at, word) in line.split(' ').enumerate() {
        // Kind, port and protocol stand before the payload types.
        let is_kept = at < 3 || word.parse().is_ok_and(|pt| kept.contains(pt));
        if at > 0 && is_kept {
            out.push(' ');
        }
        if is_kept {
            out.push_str(word);
        }
    }
    push(out, "");
}

fn push_number(out: &mut String, before: &str, number: u64) {
    out.push_str(before);
    // Writing to a string cannot fail.
    let _ = write!(out, "{number}");
}

/// A line of several pieces.
fn push_all(out: &mut String, pieces: &[&str]) {
    for piece in pieces {
        out.push_str(piece);
    }
    push(out, "");
}
