//! Access tokens: what a backend would hand to a participant.
//!
//! JSON Web Tokens signed with HMAC-SHA-256 (RFC 7519, RFC 7518 section 3.2), with LiveKit's grants.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde::Serialize;
use thiserror::Error;

/// How long before now a token begins to hold: clocks differ.
const LEEWAY: Duration = Duration::from_secs(10);

/// An API key and its secret.
#[derive(Clone)]
pub struct Keys {
    key: String,
    secret: EncodingKey,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

/// A token could not be signed.
#[derive(Debug, Error)]
#[error("cannot sign a token: {0}")]
pub struct TokenError(#[from] jsonwebtoken::errors::Error);

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    name: &'a str,
    nbf: u64,
    exp: u64,
    video: Grants<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Grants<'a> {
    room: &'a str,
    room_join: bool,
    can_publish: bool,
    can_subscribe: bool,
    can_publish_data: bool,
}

impl Keys {
    /// An API key and its secret.
    #[must_use]
    pub fn new(key: &str, secret: &str) -> Self {
        Self {
            key: key.to_owned(),
            secret: EncodingKey::from_secret(secret.as_bytes()),
        }
    }

    /// A token with which `identity` may join `room`, publish media and data if `publish` says so, and subscribe.
    ///
    /// # Errors
    /// When it cannot be signed.
    pub fn join_token(
        &self,
        room: &str,
        identity: &str,
        publish: bool,
        valid_for: Duration,
    ) -> Result<String, TokenError> {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let claims = Claims {
            iss: &self.key,
            sub: identity,
            name: identity,
            nbf: now.saturating_sub(LEEWAY).as_secs(),
            exp: (now + valid_for).as_secs(),
            video: Grants {
                room,
                room_join: true,
                can_publish: publish,
                can_subscribe: true,
                can_publish_data: publish,
            },
        };
        Ok(jsonwebtoken::encode(
            &Header::new(Algorithm::HS256),
            &claims,
            &self.secret,
        )?)
    }
}

#[cfg(test)]
mod tests {
    use jsonwebtoken::{DecodingKey, Validation};
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_token_names_who_may_do_what_where() {
        for publish in [true, false] {
            let token = Keys::new("devkey", "secret")
                .join_token("room-0", "viewer-7", publish, Duration::from_secs(60))
                .expect("signed");
            let mut validation = Validation::new(Algorithm::HS256);
            validation.set_issuer(&["devkey"]);
            let claims = jsonwebtoken::decode::<Value>(
                &token,
                &DecodingKey::from_secret(b"secret"),
                &validation,
            )
            .expect("valid")
            .claims;
            assert_eq!(claims["sub"], "viewer-7");
            assert_eq!(
                claims["video"],
                json!({"room": "room-0", "roomJoin": true, "canPublish": publish,
                       "canSubscribe": true, "canPublishData": publish})
            );
        }
    }

    #[test]
    fn keys_do_not_show_in_messages() {
        let shown = format!("{:?}", Keys::new("devkey", "hidden-secret"));
        assert!(
            !shown.contains("hidden-secret") && !shown.contains("devkey"),
            "{shown}"
        );
    }
}
