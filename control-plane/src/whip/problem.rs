//! What went wrong with a request, and how that is said over HTTP: a status, and a problem statement
//! (RFC 9457). The one place here that names statuses of errors. Must not repeat anything of a token.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use http::{
    HeaderValue, StatusCode,
    header::{CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE},
};
use serde_json::json;

use crate::{
    auth::{GrantError, TokenError},
    signal::Refusal,
};

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Problem {
    /// The token is no good; the client's or its backend's fault.
    #[error("invalid token: {0}")]
    Token(TokenError),
    /// The token does not allow it; the backend's fault.
    #[error("{0}")]
    Grant(GrantError),
    /// The node finds that the participant may not.
    #[error("{0}")]
    NotAllowed(String),
    /// The session is another token's.
    #[error("this session was opened with a token of another participant")]
    NotYours,
    /// There is no such session, or not any more.
    #[error("no such session")]
    NoSession,
    /// The body is of another type than the resource takes.
    #[error("the content type must be {0}")]
    WrongType(&'static str),
    /// The body cannot be read; the client's fault.
    #[error("{0}")]
    Malformed(String),
    /// The body can be read, but not served; the client's fault.
    #[error("{0}")]
    Unsupported(String),
    /// A request that needs an entity tag has none.
    #[error("an If-Match header with the entity tag of the ICE session is needed")]
    NoTag,
    /// The entity tag is of an earlier ICE session.
    #[error("the entity tag is not that of the ICE session")]
    StaleTag,
    /// Too many requests; the client's fault.
    #[error("too many requests")]
    TooFast,
    /// No room is served, or the gateway or the node has no place; see there.
    #[error("{0}")]
    Refused(Refusal),
}

impl Problem {
    /// The HTTP status that says so.
    pub(super) fn status(&self) -> StatusCode {
        match self {
            Self::Token(_) => StatusCode::UNAUTHORIZED,
            Self::Grant(GrantError::NoIdentity) | Self::Malformed(_) => StatusCode::BAD_REQUEST,
            Self::Grant(_) | Self::NotAllowed(_) | Self::NotYours => StatusCode::FORBIDDEN,
            Self::NoSession => StatusCode::NOT_FOUND,
            Self::WrongType(_) => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Unsupported(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::NoTag => StatusCode::PRECONDITION_REQUIRED,
            Self::StaleTag => StatusCode::PRECONDITION_FAILED,
            Self::TooFast => StatusCode::TOO_MANY_REQUESTS,
            Self::Refused(refusal) => refusal.status(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = self.status();
        let statement = json!({
            "title": status.canonical_reason(),
            "status": status.as_u16(),
            "detail": self.to_string(),
        });
        let mut response = (status, Json(statement)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        match status {
            StatusCode::UNAUTHORIZED => {
                headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("2"));
            }
            _ => {}
        }
        response
    }
}

impl From<TokenError> for Problem {
    fn from(error: TokenError) -> Self {
        Self::Token(error)
    }
}

impl From<GrantError> for Problem {
    fn from(error: GrantError) -> Self {
        Self::Grant(error)
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Token(error) => Self::Token(error),
            Refusal::Grant(error) => Self::Grant(error),
            Refusal::BadRequest(message) => Self::Malformed(message),
            refusal => Self::Refused(refusal),
        }
    }
}
