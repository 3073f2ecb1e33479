//! The few facts of a session description that the engine does not tell, and the few lines we write
//! differently. Owns no state; everything else of SDP is the engine's (RFC 8829, RFC 8866).

mod client;
mod engine;
mod wishes;

pub(crate) use client::{
    answer_for_engine, has_feedback_by_stream, receiving_only, sending_only, with_whole_formats,
    without_candidates,
};
pub(crate) use engine::{PayloadTypes, SectionText, StreamName, rewritten};
pub(crate) use wishes::{OpusOptions, SectionWish, with_codec_first, with_opus_options};

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

/// Rewrites line by line.
fn map_lines(sdp: &str, mut map: impl FnMut(&str, &mut String)) -> String {
    let mut out = String::with_capacity(sdp.len() + 256);
    for line in sdp.lines() {
        map(line, &mut out);
    }
    out
}

/// What stands in front of all sections, and each section from its `m=` line on.
fn parts(sdp: &str) -> impl Iterator<Item = &str> {
    let mut rest = sdp;
    std::iter::from_fn(move || {
        let end = rest.find("\nm=").map_or(rest.len(), |at| at + 1);
        let part = rest.split_at(end);
        rest = part.1;
        (end > 0).then_some(part.0)
    })
}

/// The name of a section.
fn mid_of(part: &str) -> Option<&str> {
    let mid = part.lines().find_map(|line| line.strip_prefix("a=mid:"));
    mid.map(str::trim)
}

/// Ends a line with this.
fn push(out: &mut String, rest: &str) {
    out.push_str(rest);
    out.push_str("\r\n");
}

#[cfg(test)]
mod tests;
