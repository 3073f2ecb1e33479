//! The body of a PATCH: an SDP fragment with candidates, and with new credentials when ICE is restarted
//! (RFC 8840 section 9, RFC 9725 section 4.3). Reads and writes them, and puts one into an offer. Must not
//! judge candidates: the node does.

use std::fmt::Write as _;

use super::problem::Problem;

/// Candidates of one fragment at most.
const MAX_CANDIDATES: usize = 64;

/// User name and password of an ICE session (RFC 8839 section 5.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) ufrag: String,
    pub(super) pwd: String,
}

/// What a fragment says.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Fragment {
    pub(super) credentials: Option<Credentials>,
    /// "candidate:…" lines, as they stood.
    pub(super) candidates: Vec<String>,
    pub(super) is_last: bool,
}

impl Fragment {
    /// Reads a fragment. All of a bundle share one ICE session, so it does not matter in which section a
    /// line stands.
    pub(super) fn read(text: &str) -> Result<Self, Problem> {
        let mut fragment = Self::default();
        let (mut ufrag, mut pwd) = (None, None);
        for line in text.lines().filter(|line| !line.trim().is_empty()) {
            let Some((kind, value)) = line.split_once('=').filter(|(kind, _)| kind.len() == 1)
            else {
                let problem = "not an SDP fragment: each line must be a letter, \"=\" and a value";
                return Err(Problem::Malformed(problem.to_owned()));
            };
            match (kind, value.split_once(':')) {
                ("a", Some(("ice-ufrag", value))) => ufrag = Some(value.trim().to_owned()),
                ("a", Some(("ice-pwd", value))) => pwd = Some(value.trim().to_owned()),
                ("a", Some(("candidate", _))) => {
                    if fragment.candidates.len() == MAX_CANDIDATES {
                        let problem = format!("at most {MAX_CANDIDATES} candidates are taken");
                        return Err(Problem::Malformed(problem));
                    }
                    fragment.candidates.push(value.trim().to_owned());
                }
                ("a", None) if value.trim() == "end-of-candidates" => fragment.is_last = true,
                _ => {}
            }
        }
        fragment.credentials = match (ufrag, pwd) {
            (Some(ufrag), Some(pwd)) => Some(Credentials { ufrag, pwd }),
            (None, None) => None,
            _ => {
                let problem = "ice-ufrag and ice-pwd go together";
                return Err(Problem::Malformed(problem.to_owned()));
            }
        };
        if fragment == Self::default() {
            let problem = "the fragment has neither candidates nor credentials";
            return Err(Problem::Malformed(problem.to_owned()));
        }
        Ok(fragment)
    }
}

/// The credentials in a description.
pub(super) fn credentials(sdp: &str) -> Option<Credentials> {
    let value = |name: &str| {
        let mut lines = sdp.lines();
        lines.find_map(|line| Some(line.strip_prefix(name)?.trim().to_owned()))
    };
    Some(Credentials {
        ufrag: value("a=ice-ufrag:")?,
        pwd: value("a=ice-pwd:")?,
    })
}

/// An offer as it would be with the credentials and candidates of a fragment, in place of its own.
pub(super) fn restarted(offer: &str, credentials: &Credentials, candidates: &[String]) -> String {
    let mut out = String::with_capacity(offer.len() + 512);
    for line in offer.lines() {
        if line.starts_with("a=candidate:") || line.starts_with("a=end-of-candidates") {
            continue;
        }
        let line = if line.starts_with("a=ice-ufrag:") {
            format!("a=ice-ufrag:{}", credentials.ufrag)
        } else if line.starts_with("a=ice-pwd:") {
            format!("a=ice-pwd:{}", credentials.pwd)
        } else {
            line.to_owned()
        };
        push(&mut out, &line);
    }
    // They belong to the last section as well as to any: all share one transport.
    for candidate in candidates {
        push(&mut out, &format!("a={candidate}"));
    }
    out
}

/// The fragment that tells a client of our end after a restart, taken from the answer (RFC 9725
/// section 4.3.3).
pub(super) fn of_answer(answer: &str) -> String {
    let mut out = String::new();
    let head = answer.split("\nm=").next().unwrap_or_default();
    for line in head.lines() {
        let is_told = ["a=ice-lite", "a=ice-options:", "a=group:"];
        if is_told.iter().any(|start| line.starts_with(start)) {
            push(&mut out, line);
        }
    }
    let section = answer.split_once("\nm=").map_or("", |(_, rest)| rest);
    let section = section.split("\nm=").next().unwrap_or_default();
    for (index, line) in section.lines().enumerate() {
        let is_told = [
            "a=mid:",
            "a=ice-ufrag:",
            "a=ice-pwd:",
            "a=ice-options:",
            "a=candidate:",
        ];
        if index == 0 {
            push(&mut out, &format!("m={line}"));
        } else if is_told.iter().any(|start| line.starts_with(start)) {
            push(&mut out, line);
        }
    }
    push(&mut out, "a=end-of-candidates");
    out
}

fn push(out: &mut String, line: &str) {
    // Writing to a string cannot fail.
    let _ = write!(out, "{}\r\n", line.trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAGMENT: &str = "a=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n\
        a=ice-ufrag:EsAw\r\na=ice-pwd:P2uYro0UCOQ4zxjKXaWCBui1\r\n\
        a=candidate:1387637174 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag EsAw\r\n\
        a=candidate:3471623853 1 udp 2122194687 198.51.100.2 61765 typ host\r\na=end-of-candidates\r\n";

    fn problem(text: &str) -> String {
        Fragment::read(text).unwrap_err().to_string()
    }

    #[test]
    fn a_fragment_is_read() {
        let read = Fragment::read(FRAGMENT).unwrap();
        assert_eq!(read.candidates.len(), 2);
        assert!(read.candidates[1].starts_with("candidate:3471623853 1 udp"));
        assert!(read.is_last);
        assert_eq!(read.credentials.unwrap().ufrag, "EsAw");
        let bare = Fragment::read("a=candidate:1 1 udp 1 192.0.2.1 1 typ host").unwrap();
        assert_eq!((bare.credentials, bare.is_last), (None, false));
    }

    #[test]
    fn what_is_wrong_with_a_fragment_is_told() {
        for (text, expected) in [
            ("", "neither candidates nor credentials"),
            ("a=mid:0\r\n", "neither candidates nor credentials"),
            ("{\"candidate\":1}", "each line"),
            ("candidate:1 1 udp", "each line"),
            ("a=ice-ufrag:x\r\n", "go together"),
            (&"a=candidate:1\r\n".repeat(65), "at most 64"),
        ] {
            assert!(
                problem(text).contains(expected),
                "{text}: {}",
                problem(text)
            );
        }
    }

    #[test]
    fn a_restart_changes_credentials_and_candidates_alone() {
        let offer = "v=0\r\nm=audio 9 X 111\r\na=mid:0\r\na=ice-ufrag:old\r\na=ice-pwd:older\r\n\
            a=candidate:1 1 udp 1 192.0.2.1 1 typ host\r\na=end-of-candidates\r\n\
            m=video 9 X 96\r\na=mid:1\r\na=ice-ufrag:old\r\na=ice-pwd:older\r\n";
        let credentials = Credentials {
            ufrag: "new".into(),
            pwd: "newer".into(),
        };
        let candidates = ["candidate:2 1 udp 1 192.0.2.2 2 typ host".to_owned()];
        assert_eq!(
            restarted(offer, &credentials, &candidates),
            "v=0\r\nm=audio 9 X 111\r\na=mid:0\r\na=ice-ufrag:new\r\na=ice-pwd:newer\r\n\
             m=video 9 X 96\r\na=mid:1\r\na=ice-ufrag:new\r\na=ice-pwd:newer\r\n\
             a=candidate:2 1 udp 1 192.0.2.2 2 typ host\r\n"
        );
    }

    #[test]
    fn our_end_is_told_of_the_first_section() {
        let answer = "v=0\r\na=group:BUNDLE 0 1\r\na=ice-lite\r\nm=audio 9 X 111\r\na=mid:0\r\n\
            a=ice-ufrag:u\r\na=ice-pwd:p\r\na=candidate:1 1 udp 1 192.0.2.1 1 typ host\r\n\
            a=rtcp-mux\r\nm=video 9 X 96\r\na=mid:1\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\n";
        assert_eq!(
            of_answer(answer),
            "a=group:BUNDLE 0 1\r\na=ice-lite\r\nm=audio 9 X 111\r\na=mid:0\r\na=ice-ufrag:u\r\n\
             a=ice-pwd:p\r\na=candidate:1 1 udp 1 192.0.2.1 1 typ host\r\na=end-of-candidates\r\n"
        );
    }
}
