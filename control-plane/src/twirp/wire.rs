//! The two encodings of Twirp: protobuf, and protobuf's JSON. Must not know any method.

use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header::CONTENT_TYPE};
use prost::Message;
use serde::{Serialize, de::DeserializeOwned};

use super::error::TwirpError;

/// How a request is encoded, and so its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wire {
    /// application/protobuf
    Protobuf,
    /// application/json
    Json,
}

impl Wire {
    /// By the content type of the request; parameters such as a charset do not matter.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, TwirpError> {
        let value = headers
            .get(CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("");
        match value.split(';').next().unwrap_or("").trim() {
            kind if kind.eq_ignore_ascii_case("application/protobuf") => Ok(Self::Protobuf),
            kind if kind.eq_ignore_ascii_case("application/json") => Ok(Self::Json),
            // Without the header's text: it is the caller's, and goes back to a browser as it came.
            _ => Err(TwirpError::bad_route("unexpected Content-Type")),
        }
    }

    /// Reads a request.
    pub(super) fn decode<M>(self, body: &Bytes) -> Result<M, TwirpError>
    where
        M: Message + Default + DeserializeOwned,
    {
        match self {
            Self::Protobuf => M::decode(body.clone())
                .map_err(|_| TwirpError::malformed("the protobuf request could not be decoded")),
            Self::Json => serde_json::from_slice(body)
                .map_err(|_| TwirpError::malformed("the json request could not be decoded")),
        }
    }

    /// Writes an answer.
    pub(super) fn encode<M: Message + Serialize>(
        self,
        message: &M,
    ) -> Result<Response, TwirpError> {
        let (kind, body) = match self {
            Self::Protobuf => ("application/protobuf", message.encode_to_vec()),
            Self::Json => (
                "application/json",
                serde_json::to_vec(message)
                    .map_err(|_| TwirpError::internal("the json answer could not be encoded"))?,
            ),
        };
        Ok(([(CONTENT_TYPE, HeaderValue::from_static(kind))], body).into_response())
    }
}

#[cfg(test)]
mod tests {
    use livekit_protocol as lk;

    use super::*;

    fn wire(kind: &str) -> Option<Wire> {
        let headers = [(CONTENT_TYPE, HeaderValue::from_str(kind).unwrap())]
            .into_iter()
            .collect();
        Wire::of(&headers).ok()
    }

    #[test]
    fn the_content_type_names_the_encoding() {
        for (kind, expected) in [
            ("application/json", Some(Wire::Json)),
            ("application/json;charset=UTF-8", Some(Wire::Json)),
            ("Application/Protobuf", Some(Wire::Protobuf)),
            ("text/plain", None),
            ("", None),
        ] {
            assert_eq!(wire(kind), expected, "{kind}");
        }
        assert!(Wire::of(&HeaderMap::new()).is_err());
    }

    #[test]
    fn json_takes_both_spellings_and_ignores_what_it_does_not_know() {
        for json in [
            r#"{"name":"a","emptyTimeout":5,"maxParticipants":7}"#,
            r#"{"name":"a","empty_timeout":5,"max_participants":7,"tomorrow":[{}]}"#,
        ] {
            let request: lk::CreateRoomRequest = Wire::Json
                .decode(&Bytes::from_static(json.as_bytes()))
                .unwrap();
            assert_eq!(
                (request.empty_timeout, request.max_participants),
                (5, 7),
                "{json}"
            );
        }
        let refused = Wire::Json.decode::<lk::CreateRoomRequest>(&Bytes::from_static(b"{"));
        assert!(refused.is_err());
    }

    #[test]
    fn a_deep_message_does_not_end_us() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        for (field, is_read) in [("tomorrow", true), ("name", false)] {
            let body = Bytes::from(format!("{{\"{field}\":{deep}}}"));
            let read = Wire::Json.decode::<lk::CreateRoomRequest>(&body);
            assert_eq!(read.is_ok(), is_read, "{field}");
        }
        // Groups in groups, which no message of ours has.
        let body = Bytes::from(vec![0x0b; 100_000]);
        assert!(
            Wire::Protobuf
                .decode::<lk::CreateRoomRequest>(&body)
                .is_err()
        );
    }
}
