//! Session descriptions and candidates, both ways. Must not read SDP: the node does.
//! RFC 8839 (candidate attribute), W3C webrtc `RTCIceCandidateInit` (its JSON).

use livekit_protocol as lk;
use plenum_proto::node::{Candidate, Description, TransportRole};
use serde::{Deserialize, Serialize};

/// Longest candidate taken from a client, JSON and all, in bytes.
pub(crate) const MAX_CANDIDATE_BYTES: usize = 4096;

/// What is wrong with a candidate; the client's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CandidateError {
    /// Longer than [`MAX_CANDIDATE_BYTES`].
    #[error("candidate is too long")]
    TooLong,
    /// Not the JSON of a candidate.
    #[error("candidate is not a JSON object of the expected form")]
    NotJson,
    /// Of a connection that does not exist.
    #[error("candidate is for an unknown target")]
    UnknownTarget,
}

/// The browser's candidate object. Fields not listed are ignored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CandidateInit {
    #[serde(default)]
    candidate: String,
    #[serde(default)]
    sdp_mid: Option<String>,
    #[serde(default, rename = "sdpMLineIndex")]
    sdp_m_line_index: Option<u32>,
}

/// A description from a client. In two connections it offers what it publishes and answers the
/// rest.
pub(crate) fn description_in(is_offer: bool, sdp: lk::SessionDescription) -> Description {
    let role = if is_offer {
        TransportRole::Publish
    } else {
        TransportRole::Subscribe
    };
    Description {
        role: role.into(),
        is_offer,
        sdp: sdp.sdp,
        id: sdp.id,
        track_by_mid: sdp.mid_to_track_id.into_iter().collect(),
    }
}

/// A description for a client.
pub(crate) fn description_out(description: Description) -> lk::SessionDescription {
    lk::SessionDescription {
        r#type: if description.is_offer {
            "offer"
        } else {
            "answer"
        }
        .to_owned(),
        sdp: description.sdp,
        id: description.id,
        mid_to_track_id: description.track_by_mid.into_iter().collect(),
    }
}

/// A candidate from a client.
///
/// # Errors
/// See [`CandidateError`].
pub(crate) fn candidate_in(trickle: &lk::TrickleRequest) -> Result<Candidate, CandidateError> {
    let role = match lk::SignalTarget::try_from(trickle.target) {
        Ok(lk::SignalTarget::Publisher) => TransportRole::Publish,
        Ok(lk::SignalTarget::Subscriber) => TransportRole::Subscribe,
        Err(_) => return Err(CandidateError::UnknownTarget),
    };
    if trickle.candidate_init.len() > MAX_CANDIDATE_BYTES {
        return Err(CandidateError::TooLong);
    }
    if trickle.candidate_init.is_empty() && trickle.r#final {
        return Ok(Candidate {
            role: role.into(),
            last: true,
            ..Default::default()
        });
    }
    // A struct would also be read from a list of its values.
    if !trickle.candidate_init.trim_start().starts_with('{') {
        return Err(CandidateError::NotJson);
    }
    let init: CandidateInit =
        serde_json::from_str(&trickle.candidate_init).map_err(|_| CandidateError::NotJson)?;
    let candidate = init
        .candidate
        .strip_prefix("a=")
        .unwrap_or(&init.candidate)
        .to_owned();
    let mid = match (init.sdp_mid, init.sdp_m_line_index) {
        (Some(mid), _) if !mid.is_empty() => mid,
        (_, Some(index)) => index.to_string(),
        (_, None) => String::new(),
    };
    // An empty candidate is how a browser says that there are no more.
    let last = trickle.r#final || candidate.is_empty();
    Ok(Candidate {
        role: role.into(),
        candidate,
        mid,
        last,
    })
}

/// A candidate for a client.
pub(crate) fn candidate_out(candidate: Candidate) -> lk::TrickleRequest {
    let target = match candidate.role() {
        TransportRole::Publish => lk::SignalTarget::Publisher,
        TransportRole::Subscribe => lk::SignalTarget::Subscriber,
    };
    // Everything is bundled, so the first section stands for all. Some SDKs refuse a null in either
    // field, and browsers look at the mid first.
    let index = candidate.mid.parse().unwrap_or(0);
    let mid = if candidate.mid.is_empty() {
        "0".to_owned()
    } else {
        candidate.mid
    };
    let candidate_init = serde_json::json!({
        "candidate": candidate.candidate,
        "sdpMid": mid,
        "sdpMLineIndex": index_or_first(index),
    });
    lk::TrickleRequest {
        candidate_init: candidate_init.to_string(),
        target: target.into(),
        r#final: candidate.last,
    }
}

/// Indexes are 16 bits wide in browsers.
fn index_or_first(index: u32) -> u16 {
    u16::try_from(index).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUB: i32 = lk::SignalTarget::Publisher as i32;
    const SUB: i32 = lk::SignalTarget::Subscriber as i32;

    fn trickle(candidate_init: &str, target: i32, last: bool) -> lk::TrickleRequest {
        lk::TrickleRequest {
            candidate_init: candidate_init.to_owned(),
            target,
            r#final: last,
        }
    }

    fn candidate(role: TransportRole, candidate: &str, mid: &str, last: bool) -> Candidate {
        Candidate {
            role: role.into(),
            candidate: candidate.into(),
            mid: mid.into(),
            last,
        }
    }

    #[test]
    fn candidates_of_clients_are_read() {
        use TransportRole::{Publish, Subscribe};
        for (json, target, last, expected) in [
            (
                r#"{"candidate":"candidate:1 1 udp 1 192.0.2.1 1 typ host","sdpMid":"0",
                    "sdpMLineIndex":0,"usernameFragment":"x"}"#,
                PUB,
                false,
                candidate(
                    Publish,
                    "candidate:1 1 udp 1 192.0.2.1 1 typ host",
                    "0",
                    false,
                ),
            ),
            (
                r#"{"candidate":"a=candidate:2","sdpMid":"audio","sdpMLineIndex":3}"#,
                SUB,
                false,
                candidate(Subscribe, "candidate:2", "audio", false),
            ),
            (
                r#"{"candidate":"candidate:3","sdpMid":null,"sdpMLineIndex":2}"#,
                SUB,
                true,
                candidate(Subscribe, "candidate:3", "2", true),
            ),
            (
                r#"{"candidate":"candidate:4","sdpMid":""}"#,
                PUB,
                false,
                candidate(Publish, "candidate:4", "", false),
            ),
            (
                r#"{"candidate":"","sdpMid":"0"}"#,
                PUB,
                false,
                candidate(Publish, "", "0", true),
            ),
            ("", SUB, true, candidate(Subscribe, "", "", true)),
        ] {
            assert_eq!(
                candidate_in(&trickle(json, target, last)),
                Ok(expected),
                "{json}"
            );
        }
    }

    #[test]
    fn bad_candidates_are_refused() {
        let long = format!(r#"{{"candidate":"{}"}}"#, "x".repeat(MAX_CANDIDATE_BYTES));
        for (json, target, expected) in [
            ("", PUB, CandidateError::NotJson),
            ("{", PUB, CandidateError::NotJson),
            ("[]", PUB, CandidateError::NotJson),
            (r#"{"candidate":7}"#, PUB, CandidateError::NotJson),
            (
                r#"{"candidate":"c","sdpMLineIndex":-1}"#,
                PUB,
                CandidateError::NotJson,
            ),
            (r#"{"candidate":"c"}"#, 2, CandidateError::UnknownTarget),
            (&long, PUB, CandidateError::TooLong),
        ] {
            assert_eq!(
                candidate_in(&trickle(json, target, false)),
                Err(expected),
                "{json}"
            );
        }
    }

    #[test]
    fn candidates_for_clients_have_neither_field_null() {
        for (mid, expected) in [
            (
                "0",
                r#"{"candidate":"candidate:1","sdpMLineIndex":0,"sdpMid":"0"}"#,
            ),
            (
                "7",
                r#"{"candidate":"candidate:1","sdpMLineIndex":7,"sdpMid":"7"}"#,
            ),
            (
                "data",
                r#"{"candidate":"candidate:1","sdpMLineIndex":0,"sdpMid":"data"}"#,
            ),
            (
                "70000",
                r#"{"candidate":"candidate:1","sdpMLineIndex":0,"sdpMid":"70000"}"#,
            ),
            (
                "",
                r#"{"candidate":"candidate:1","sdpMLineIndex":0,"sdpMid":"0"}"#,
            ),
        ] {
            let out = candidate_out(candidate(
                TransportRole::Subscribe,
                "candidate:1",
                mid,
                false,
            ));
            assert_eq!(out, trickle(expected, SUB, false));
        }
    }

    #[test]
    fn descriptions_keep_ids_and_tracks() {
        let sdp = lk::SessionDescription {
            r#type: "offer".into(),
            sdp: "v=0".into(),
            id: 9,
            mid_to_track_id: [("1".to_owned(), "TR_a".to_owned())].into(),
        };
        let offer = description_in(true, sdp.clone());
        assert_eq!(
            offer,
            Description {
                role: TransportRole::Publish.into(),
                is_offer: true,
                sdp: "v=0".into(),
                id: 9,
                track_by_mid: [("1".to_owned(), "TR_a".to_owned())].into(),
            }
        );
        assert_eq!(description_out(offer), sdp);
        assert_eq!(description_in(false, sdp).role(), TransportRole::Subscribe);
    }
}
