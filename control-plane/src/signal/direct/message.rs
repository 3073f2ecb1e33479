//! The messages of the direct API (`docs/direct.md`), as JSON. Owns their form and what a client may put into
//! them. Must not decide who hears them.

use serde::{Deserialize, Serialize};

/// Bytes of a candidate line; they are around 150 long.
const MAX_CANDIDATE: usize = 1024;

/// Bytes of an ICE user name fragment (RFC 8839 section 5.4), and more than any `mid` has.
const MAX_NAME: usize = 256;

/// What a client says.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub(crate) enum Said {
    Offer { sdp: String },
    Answer { sdp: String },
    Candidate(Candidate),
    Restart,
    Connected,
    Sfu { reason: Option<Wish> },
    Ping,
    Leave,
}

/// Why a client wants the node to carry its media.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Wish {
    Failed,
    Wish,
}

/// As `RTCIceCandidate.toJSON()` gives it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Candidate {
    pub(crate) candidate: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) sdp_mid: Option<String>,
    #[serde(rename = "sdpMLineIndex", skip_serializing_if = "Option::is_none")]
    pub(crate) section: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) username_fragment: Option<String>,
}

/// What a client is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(
    tag = "type",
    rename_all = "kebab-case",
    rename_all_fields = "camelCase"
)]
pub(crate) enum Told {
    Hello {
        participant: Person,
        room: Place,
        ice_servers: Vec<IceServer>,
        resumed: bool,
    },
    Token {
        token: String,
    },
    PeerJoined {
        peer: Person,
        polite: bool,
    },
    PeerLeft,
    Offer {
        sdp: String,
    },
    Answer {
        sdp: String,
    },
    Candidate(Candidate),
    Restart,
    Sfu {
        reason: &'static str,
        url: &'static str,
        token: String,
    },
    Pong,
    Error {
        code: Code,
        message: String,
    },
    Closed {
        reason: String,
        retry: &'static str,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) identity: String,
    pub(crate) name: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Place {
    pub(crate) id: String,
    pub(crate) name: String,
}

/// W3C webrtc RTCIceServer.
#[derive(Clone, PartialEq, Eq, Serialize)]
pub(crate) struct IceServer {
    pub(crate) urls: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) username: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) credential: String,
}

/// Without the credential.
impl std::fmt::Debug for IceServer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IceServer")
            .field("urls", &self.urls)
            .finish_non_exhaustive()
    }
}

/// What was wrong with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Code {
    /// No JSON object with a `type`.
    NotJson,
    /// No message of this API.
    UnknownType,
    /// A field is missing or of the wrong form.
    BadField,
    /// A field is too long.
    TooLong,
    /// There is nobody to pass it to.
    NoPeer,
    /// The call goes through the node by now, or is about to.
    Over,
    /// The node did not take it.
    Refused,
}

/// Why a frame is refused; the client's fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bad {
    pub(crate) code: Code,
    pub(crate) message: &'static str,
}

/// The type alone, to tell an unknown message from a malformed one.
#[derive(Deserialize)]
struct Typed {
    #[serde(rename = "type")]
    kind: String,
}

/// All messages, with what each must have.
const KINDS: [(&str, &str); 8] = [
    ("offer", "an offer has `sdp`, a session description"),
    ("answer", "an answer has `sdp`, a session description"),
    (
        "candidate",
        "a candidate has `candidate`, and may have `sdpMid`, `sdpMLineIndex` and `usernameFragment`",
    ),
    ("restart", "restart has nothing else"),
    ("connected", "connected has nothing else"),
    ("sfu", "sfu may have `reason`: \"failed\" or \"wish\""),
    ("ping", "ping has nothing else"),
    ("leave", "leave has nothing else"),
];

impl Said {
    /// Reads a text frame.
    pub(crate) fn read(text: &str) -> Result<Self, Bad> {
        let bad = |code, message| Bad { code, message };
        let typed: Typed = serde_json::from_str(text)
            .map_err(|_| bad(Code::NotJson, "a message is a JSON object with a `type`"))?;
        let (_, form) = KINDS
            .iter()
            .find(|(kind, _)| *kind == typed.kind)
            .ok_or_else(|| bad(Code::UnknownType, "no such type"))?;
        let said: Self = serde_json::from_str(text).map_err(|_| bad(Code::BadField, form))?;
        let is_good = match &said {
            Self::Offer { sdp } | Self::Answer { sdp } => {
                sdp.starts_with("v=0") && is_text(sdp, &['\r', '\n', '\t'])
            }
            Self::Candidate(candidate) => {
                candidate.check_length()?;
                candidate.is_good()
            }
            _ => true,
        };
        if is_good {
            Ok(said)
        } else {
            Err(bad(Code::BadField, form))
        }
    }
}

impl Candidate {
    fn names(&self) -> impl Iterator<Item = &str> {
        let names = [&self.sdp_mid, &self.username_fragment];
        names.into_iter().flatten().map(String::as_str)
    }

    fn check_length(&self) -> Result<(), Bad> {
        let is_short = self.candidate.len() <= MAX_CANDIDATE
            && self.names().all(|name| name.len() <= MAX_NAME);
        let message =
            "a candidate takes 1024 bytes at most, its `sdpMid` and `usernameFragment` 256";
        is_short.then_some(()).ok_or(Bad {
            code: Code::TooLong,
            message,
        })
    }

    fn is_good(&self) -> bool {
        let line = &self.candidate;
        (line.is_empty() || line.starts_with("candidate:"))
            && is_text(line, &[])
            && self.names().all(|name| is_text(name, &[]))
    }
}

/// Whether there is no control character in it but these.
fn is_text(text: &str, allowed: &[char]) -> bool {
    !text
        .chars()
        .any(|c| c.is_control() && !allowed.contains(&c))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(text: &str) -> Option<Code> {
        Said::read(text).err().map(|bad| bad.code)
    }

    #[test]
    fn what_is_known_is_read_and_nothing_else_kept() {
        let candidate = r#"{"type":"candidate","candidate":"candidate:1 1 udp 1 192.0.2.1 9 typ host",
            "sdpMid":"0","sdpMLineIndex":0,"usernameFragment":"abcd","extra":{"a":[1]}}"#;
        let Ok(Said::Candidate(read)) = Said::read(candidate) else {
            panic!("not read");
        };
        let told = serde_json::to_value(Told::Candidate(read)).unwrap();
        let expected = serde_json::json!({"type": "candidate",
            "candidate": "candidate:1 1 udp 1 192.0.2.1 9 typ host",
            "sdpMid": "0", "sdpMLineIndex": 0, "usernameFragment": "abcd"});
        assert_eq!(told, expected);
        for (text, expected) in [
            (
                r#"{"type":"offer","sdp":"v=0\r\n"}"#,
                Said::Offer {
                    sdp: "v=0\r\n".into(),
                },
            ),
            (r#"{"type":"sfu"}"#, Said::Sfu { reason: None }),
            (
                r#"{"type":"sfu","reason":"failed"}"#,
                Said::Sfu {
                    reason: Some(Wish::Failed),
                },
            ),
            (r#"{"type":"restart","sdp":1}"#, Said::Restart),
        ] {
            assert_eq!(Said::read(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn every_kind_can_be_read() {
        for (kind, _) in KINDS {
            let text = format!(r#"{{"type":"{kind}","sdp":"v=0","candidate":"","reason":"wish"}}"#);
            assert!(Said::read(&text).is_ok(), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_has_a_code() {
        let long = format!(
            r#"{{"type":"candidate","candidate":"candidate:{}"}}"#,
            "1".repeat(MAX_CANDIDATE)
        );
        for (text, expected) in [
            ("", Code::NotJson),
            ("[]", Code::NotJson),
            (r#"{"sdp":"v=0"}"#, Code::NotJson),
            (r#"{"type":"peer-joined"}"#, Code::UnknownType),
            (r#"{"type":"__proto__"}"#, Code::UnknownType),
            (r#"{"type":"offer"}"#, Code::BadField),
            (r#"{"type":"offer","sdp":["v=0"]}"#, Code::BadField),
            (r#"{"type":"offer","sdp":"hello"}"#, Code::BadField),
            (r#"{"type":"offer","sdp":"v=0\u0000"}"#, Code::BadField),
            (
                r#"{"type":"candidate","candidate":"a=candidate:"}"#,
                Code::BadField,
            ),
            (
                r#"{"type":"candidate","candidate":"candidate:\n"}"#,
                Code::BadField,
            ),
            (
                r#"{"type":"candidate","candidate":"","sdpMLineIndex":-1}"#,
                Code::BadField,
            ),
            (r#"{"type":"sfu","reason":"others"}"#, Code::BadField),
            (&long, Code::TooLong),
        ] {
            assert_eq!(code(text), Some(expected), "{text}");
        }
    }
}
