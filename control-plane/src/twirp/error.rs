//! Errors of the Twirp surface: `{"code", "msg", "meta"}` and the HTTP status of each code (Twirp wire
//! protocol, version 7). Owns the words client SDKs look for. Must not decide what is an error.

use axum::{
    body::Body,
    response::{IntoResponse, Response},
};
use http::{StatusCode, header::CONTENT_TYPE};
use serde::Serialize;
use tonic::Code;
use tonic_types::StatusExt as _;

use crate::error::{self, CallError};

/// A refusal on its way out.
#[derive(Debug, Serialize)]
pub(super) struct TwirpError {
    #[serde(skip)]
    status: StatusCode,
    code: &'static str,
    msg: String,
    #[serde(skip_serializing_if = "Meta::is_empty")]
    meta: Meta,
}

/// Which argument is at fault, where one is.
#[derive(Debug, Default, Serialize)]
struct Meta {
    #[serde(skip_serializing_if = "Option::is_none")]
    argument: Option<String>,
}

impl Meta {
    fn is_empty(&self) -> bool {
        self.argument.is_none()
    }
}

impl TwirpError {
    fn new(status: StatusCode, code: &'static str, msg: impl Into<String>) -> Self {
        Self {
            status,
            code,
            msg: msg.into(),
            meta: Meta::default(),
        }
    }

    /// No such path, or a content type we do not speak.
    pub(super) fn bad_route(msg: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "bad_route", msg)
    }

    /// The body is no message of the method.
    pub(super) fn malformed(msg: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", msg)
    }

    /// The body is longer than allowed.
    pub(super) fn too_large() -> Self {
        Self::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "resource_exhausted",
            "request is too large",
        )
    }

    /// A method that exists, but not here.
    pub(super) fn unimplemented(msg: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_IMPLEMENTED, "unimplemented", msg)
    }

    /// The answer cannot be written.
    pub(super) fn internal(msg: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", msg)
    }
}

impl From<CallError> for TwirpError {
    fn from(error: CallError) -> Self {
        // SDKs expect one answer for no token and for one without the grant.
        if matches!(error, CallError::Forbidden(_)) {
            return Self::new(
                StatusCode::UNAUTHORIZED,
                "unauthenticated",
                error.to_string(),
            );
        }
        let code = error.code();
        let argument = match &error {
            CallError::Invalid(violations) => violations.first().map(|v| v.field.to_owned()),
            CallError::Node(status) => status
                .get_details_bad_request()
                .and_then(|bad| bad.field_violations.into_iter().next())
                .map(|violation| violation.field),
            _ => None,
        };
        let msg = match &error {
            CallError::Node(status) if code == Code::NotFound => not_found(status),
            _ => error.to_string(),
        };
        // Twirp has gRPC's codes by the names of our labels, but for these two.
        let name = match code {
            Code::Cancelled => "canceled",
            Code::DataLoss => "dataloss",
            other => error::label(other),
        };
        Self {
            status: status(code),
            code: name,
            msg,
            meta: Meta { argument },
        }
    }
}

/// The words that users of SDKs match on.
fn not_found(status: &tonic::Status) -> String {
    let message = status.message();
    let kind = status
        .get_details_resource_info()
        .map(|resource| resource.resource_type);
    let kind = kind
        .as_deref()
        .or_else(|| message.split_whitespace().next());
    match kind {
        Some("room") => "requested room does not exist".to_owned(),
        Some("participant") => "participant does not exist".to_owned(),
        Some("track") => "track is not found".to_owned(),
        _ => message.to_owned(),
    }
}

fn status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::Cancelled | Code::DeadlineExceeded => StatusCode::REQUEST_TIMEOUT,
        Code::InvalidArgument | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::FailedPrecondition => StatusCode::PRECONDITION_FAILED,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoResponse for TwirpError {
    fn into_response(self) -> Response {
        // A struct of texts always serialises.
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let json = http::HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, json);
        response
    }
}

#[cfg(test)]
mod tests {
    use tonic::Status;

    use super::*;
    use crate::{
        auth::{GrantError, TokenError},
        error::Violation,
    };

    #[test]
    fn refusals_are_worded_as_sdks_expect() {
        let invalid = Violation {
            field: "room",
            problem: "must not be empty".into(),
        };
        let node = |code, message: &str| CallError::from(Status::new(code, message));
        for (error, status, code, msg) in [
            (
                CallError::from(TokenError::Missing),
                401,
                "unauthenticated",
                "no access token",
            ),
            (
                GrantError::OtherRoom.into(),
                401,
                "unauthenticated",
                "access token is for another room",
            ),
            (
                CallError::Invalid(vec![invalid]),
                400,
                "invalid_argument",
                "room must not be empty",
            ),
            (
                node(Code::NotFound, "room \"a\" does not exist"),
                404,
                "not_found",
                "requested room does not exist",
            ),
            (
                node(Code::NotFound, "participant \"a\" does not exist"),
                404,
                "not_found",
                "participant does not exist",
            ),
            (node(Code::DataLoss, "x"), 500, "dataloss", "x"),
            (node(Code::Cancelled, "x"), 408, "canceled", "x"),
            (
                node(Code::FailedPrecondition, "x"),
                412,
                "failed_precondition",
                "x",
            ),
            (
                CallError::Busy("calls"),
                429,
                "resource_exhausted",
                "too many calls at once",
            ),
        ] {
            let error = TwirpError::from(error);
            assert_eq!(
                (error.status.as_u16(), error.code, error.msg.as_str()),
                (status, code, msg)
            );
        }
    }

    #[test]
    fn the_argument_at_fault_is_in_the_meta_data() {
        let invalid = Violation {
            field: "room",
            problem: "must not be empty".into(),
        };
        let error = TwirpError::from(CallError::Invalid(vec![invalid]));
        assert_eq!(
            serde_json::to_value(&error).unwrap(),
            serde_json::json!({
                "code": "invalid_argument",
                "msg": "room must not be empty",
                "meta": {"argument": "room"},
            })
        );
        let plain = serde_json::to_value(TwirpError::bad_route("x")).unwrap();
        assert_eq!(plain, serde_json::json!({"code": "bad_route", "msg": "x"}));
    }
}
