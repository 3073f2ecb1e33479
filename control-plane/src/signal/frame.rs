//! Signalling messages in WebSocket frames: binary protobuf, or protobuf's JSON in text frames for
//! clients that speak it. Owns the choice per connection. Must not interpret messages.

use axum::extract::ws::Message as Frame;
use livekit_protocol::{SignalRequest, SignalResponse, signal_request, signal_response};
use prost::Message as _;

/// How one connection's messages are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// Binary frames.
    Protobuf,
    /// Text frames.
    Json,
}

/// Why a frame holds no message; the client's fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    #[error("binary frame is no signalling message")]
    Protobuf,
    #[error("text frame is no signalling message")]
    Json,
}

/// Why a message could not be written; our fault.
#[derive(Debug, thiserror::Error)]
#[error("message has no JSON form")]
pub(crate) struct NoJson(#[source] serde_json::Error);

impl Encoding {
    /// Reads a binary frame; from then on the connection speaks protobuf. `Ok(None)` is a message
    /// of a later step of the protocol.
    pub(crate) fn read_binary(
        &mut self,
        bytes: &[u8],
    ) -> Result<Option<signal_request::Message>, FrameError> {
        let request = SignalRequest::decode(bytes).map_err(|_| FrameError::Protobuf)?;
        *self = Self::Protobuf;
        Ok(request.message)
    }

    /// Reads a text frame; from then on the connection speaks JSON. `Ok(None)` is a message of a
    /// later step of the protocol.
    pub(crate) fn read_text(
        &mut self,
        text: &str,
    ) -> Result<Option<signal_request::Message>, FrameError> {
        let request: SignalRequest = serde_json::from_str(text).map_err(|_| FrameError::Json)?;
        *self = Self::Json;
        Ok(request.message)
    }

    /// Writes a message.
    pub(crate) fn write(self, message: signal_response::Message) -> Result<Frame, NoJson> {
        let response = SignalResponse {
            message: Some(message),
        };
        Ok(match self {
            Self::Protobuf => Frame::Binary(response.encode_to_vec().into()),
            Self::Json => Frame::Text(serde_json::to_string(&response).map_err(NoJson)?.into()),
        })
    }
}

#[cfg(test)]
mod tests {
    use livekit_protocol::{MuteTrackRequest, Ping, Pong, signal_request::Message as Request};

    use super::*;

    #[test]
    fn the_connection_speaks_as_the_last_frame_did() {
        let mut encoding = Encoding::Protobuf;
        let text = r#"{"pingReq":{"timestamp":"12","rtt":"3"},"new":1}"#;
        let ping = Request::PingReq(Ping {
            timestamp: 12,
            rtt: 3,
        });
        assert_eq!(encoding.read_text(text), Ok(Some(ping.clone())));
        assert_eq!(encoding, Encoding::Json);
        let pong = signal_response::Message::PongResp(Pong {
            last_ping_timestamp: 12,
            timestamp: 13,
        });
        assert_eq!(
            encoding.write(pong.clone()).unwrap(),
            Frame::Text(r#"{"pongResp":{"lastPingTimestamp":"12","timestamp":"13"}}"#.into())
        );

        let bytes = SignalRequest {
            message: Some(ping.clone()),
        }
        .encode_to_vec();
        assert_eq!(encoding.read_binary(&bytes), Ok(Some(ping)));
        assert_eq!(encoding, Encoding::Protobuf);
        assert!(matches!(encoding.write(pong).unwrap(), Frame::Binary(_)));
    }

    #[test]
    fn frames_without_a_message_are_told_from_broken_ones() {
        // Field 99, a string: a message that a later protocol may have.
        let later = [0x9a, 0x06, 0x01, b'x'];
        for (bytes, expected) in [
            (&[][..], Ok(None)),
            (&later[..], Ok(None)),
            (&[0xff, 0xff][..], Err(FrameError::Protobuf)),
            (&[0x0a, 0x05, 0x00][..], Err(FrameError::Protobuf)),
        ] {
            assert_eq!(Encoding::Protobuf.read_binary(bytes), expected, "{bytes:?}");
        }
        let mute = Request::Mute(MuteTrackRequest {
            sid: "TR_a".into(),
            muted: true,
        });
        for (text, expected) in [
            ("{}", Ok(None)),
            (r#"{"later":{}}"#, Ok(None)),
            (r#"{"mute":{"sid":"TR_a","muted":true}}"#, Ok(Some(mute))),
            ("", Err(FrameError::Json)),
            ("[]", Err(FrameError::Json)),
            ("null", Err(FrameError::Json)),
            (r#"{"mute":{"muted":"yes"}}"#, Err(FrameError::Json)),
            (r#"{"mute":{},"offer":{}}"#, Err(FrameError::Json)),
        ] {
            let mut encoding = Encoding::Protobuf;
            assert_eq!(encoding.read_text(text), expected, "{text}");
            let is_json = expected.is_ok();
            assert_eq!(encoding == Encoding::Json, is_json, "{text}");
        }
    }

    #[test]
    fn deep_nesting_does_no_harm() {
        // Skipped without recursion.
        let text = format!("{{\"a\":{}{}}}", "[".repeat(10_000), "]".repeat(10_000));
        assert_eq!(Encoding::Json.read_text(&text), Ok(None));
        // Field 99 as groups in groups: the decoder skips unknown fields by recursion.
        let groups = [0x9b, 0x06].repeat(10_000);
        assert_eq!(
            Encoding::Protobuf.read_binary(&groups),
            Err(FrameError::Protobuf)
        );
    }
}
