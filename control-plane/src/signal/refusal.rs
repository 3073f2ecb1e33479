//! Why a connection is refused before it begins, and how that is said over HTTP. The one place of
//! the gateway that names statuses. Must not repeat anything of a token.

use axum::response::{IntoResponse, Response};
use http::{
    HeaderValue, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER},
};
use rand::Rng as _;

use super::params::BadParam;
use crate::auth::{GrantError, TokenError};

/// Why a connection is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The token is no good; the client's or its backend's fault.
    #[error("invalid token: {0}")]
    Token(TokenError),
    /// The token does not admit; the backend's fault.
    #[error("{0}")]
    Grant(GrantError),
    /// A parameter is malformed or too long; the client's or its backend's fault.
    #[error("{0}")]
    BadRequest(String),
    /// The request is no WebSocket upgrade; the client's fault.
    #[error("not found")]
    NoUpgrade,
    /// The room does not exist and is not created by joining. SDKs know the text.
    #[error("requested room does not exist")]
    NoRoom,
    /// Too many connections of this participant wait for an answer; the client's fault.
    #[error("too many connections are being opened for this participant")]
    TooManyPending,
    /// It has as many connections that only publish as it may.
    #[error("too many connections of this participant only publish")]
    TooManyOpen,
    /// Too many come at once; all will be admitted.
    #[error("many are joining: try again in a moment")]
    Crowded,
    /// The gateway or the node has no place left.
    #[error("no capacity for another participant")]
    Full,
    /// No node can take it now; ours.
    #[error("no media node is available")]
    NoNode,
    /// The gateway is shutting down: another replica will do.
    #[error("shutting down")]
    Closing,
}

impl Refusal {
    /// For counters.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Token(_) => "token",
            Self::Grant(_) => "grant",
            Self::BadRequest(_) => "bad_request",
            Self::NoUpgrade => "no_upgrade",
            Self::NoRoom => "no_room",
            Self::TooManyPending => "too_many_pending",
            Self::TooManyOpen => "too_many_open",
            Self::Crowded => "crowded",
            Self::Full => "full",
            Self::NoNode => "no_node",
            Self::Closing => "closing",
        }
    }

    /// The HTTP status that says so.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::Grant(GrantError::NoIdentity) | Self::BadRequest(_) => StatusCode::BAD_REQUEST,
            Self::Token(_) | Self::Grant(_) => StatusCode::UNAUTHORIZED,
            Self::NoUpgrade | Self::NoRoom => StatusCode::NOT_FOUND,
            Self::TooManyPending | Self::TooManyOpen => StatusCode::TOO_MANY_REQUESTS,
            Self::Crowded | Self::Full | Self::NoNode | Self::Closing => {
                StatusCode::SERVICE_UNAVAILABLE
            }
        }
    }

    /// In how many seconds it is worth trying again, where it is: not the same for all, so that a crowd does not
    /// come back as one (RFC 9110 section 10.2.3).
    fn retry_after(&self) -> Option<u32> {
        match self {
            Self::Crowded => Some(rand::rng().random_range(1..=5)),
            Self::NoNode | Self::Closing => Some(rand::rng().random_range(1..=2)),
            _ => None,
        }
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let retry_after = self.retry_after();
        let mut response = text(self.status(), self.to_string());
        if let Some(seconds) = retry_after {
            response.headers_mut().insert(RETRY_AFTER, seconds.into());
        }
        response
    }
}

impl From<TokenError> for Refusal {
    fn from(error: TokenError) -> Self {
        Self::Token(error)
    }
}

impl From<GrantError> for Refusal {
    fn from(error: GrantError) -> Self {
        Self::Grant(error)
    }
}

impl From<BadParam> for Refusal {
    fn from(error: BadParam) -> Self {
        Self::BadRequest(error.to_string())
    }
}

/// A plain text answer.
pub(crate) fn text(status: StatusCode, body: String) -> Response {
    let mut response = (status, body).into_response();
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}
