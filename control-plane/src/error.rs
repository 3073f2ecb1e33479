//! Why a call of an application's backend was refused, and the one place that says which gRPC code each
//! reason has. Must not decide anything else.

use tonic::{Code, Status};
use tonic_types::{BadRequest, ErrorDetails, FieldViolation, StatusExt as _};

use crate::{
    auth::{GrantError, MintError, TokenError},
    cluster::PlaceError,
};

/// Why a call was refused.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The caller has no good token.
    #[error("{0}")]
    Unauthenticated(#[from] TokenError),
    /// The caller's token does not grant this.
    #[error("{0}")]
    Forbidden(#[from] GrantError),
    /// Fields of the request are wrong: the caller's fault, all of them named.
    #[error("{}", summary(.0))]
    Invalid(Vec<Violation>),
    /// Too many calls at once; try again.
    #[error("too many {0} at once")]
    Busy(&'static str),
    /// The node did not answer in time.
    #[error("the media node did not answer in time")]
    Timeout,
    /// No node can be named for the room.
    #[error("{0}")]
    Place(PlaceError),
    /// The node refused, or cannot be reached.
    #[error("{}", .0.message())]
    Node(Box<Status>),
    /// The node answered with something else than asked for; ours.
    #[error("the media node gave an unexpected answer")]
    UnexpectedReply,
    /// No token was made.
    #[error("{0}")]
    Mint(#[from] MintError),
}

/// A field of a request, and what is wrong with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    /// Path of the field.
    pub(crate) field: &'static str,
    /// The rest of a sentence that begins with the field.
    pub(crate) problem: String,
}

impl From<PlaceError> for CallError {
    fn from(error: PlaceError) -> Self {
        match error {
            // In the words of a node that does not know it.
            PlaceError::NoRoom => {
                let message = error.to_string();
                let details = ErrorDetails::with_resource_info("room", "", "", message.clone());
                Status::with_error_details(Code::NotFound, message, details).into()
            }
            error => Self::Place(error),
        }
    }
}

impl From<Status> for CallError {
    fn from(status: Status) -> Self {
        Self::Node(Box::new(status))
    }
}

impl CallError {
    /// The code that a caller sees.
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::Unauthenticated(_) => Code::Unauthenticated,
            Self::Forbidden(_) => Code::PermissionDenied,
            Self::Invalid(_) | Self::Mint(MintError::TooLong) => Code::InvalidArgument,
            Self::Busy(_) => Code::ResourceExhausted,
            Self::Timeout => Code::DeadlineExceeded,
            Self::Place(PlaceError::NoRoom) => Code::NotFound,
            Self::Place(PlaceError::NoNode | PlaceError::Busy | PlaceError::Store(_)) => {
                Code::Unavailable
            }
            Self::Node(status) => status.code(),
            // The asking token was signed with that key a moment ago: it is gone since.
            Self::Mint(MintError::UnknownKey) => Code::Unauthenticated,
            Self::UnexpectedReply | Self::Mint(MintError::Signing(_)) => Code::Internal,
        }
    }
}

impl From<CallError> for Status {
    fn from(error: CallError) -> Self {
        let code = error.code();
        match error {
            // Details go through; metadata is between the node and us.
            CallError::Node(status) => {
                Self::with_details(code, status.message(), status.details().to_vec().into())
            }
            CallError::Invalid(violations) => {
                let message = summary(&violations);
                let fields: Vec<FieldViolation> = violations
                    .into_iter()
                    .map(|violation| FieldViolation::new(violation.field, violation.problem))
                    .collect();
                let mut details = ErrorDetails::new();
                details.set_bad_request(BadRequest::new(fields).field_violations);
                Self::with_error_details(code, message, details)
            }
            other => Self::new(code, other.to_string()),
        }
    }
}

/// The code as a metric label.
pub(crate) fn label(code: Code) -> &'static str {
    match code {
        Code::Ok => "ok",
        Code::Cancelled => "cancelled",
        Code::Unknown => "unknown",
        Code::InvalidArgument => "invalid_argument",
        Code::DeadlineExceeded => "deadline_exceeded",
        Code::NotFound => "not_found",
        Code::AlreadyExists => "already_exists",
        Code::PermissionDenied => "permission_denied",
        Code::ResourceExhausted => "resource_exhausted",
        Code::FailedPrecondition => "failed_precondition",
        Code::Aborted => "aborted",
        Code::OutOfRange => "out_of_range",
        Code::Unimplemented => "unimplemented",
        Code::Internal => "internal",
        Code::Unavailable => "unavailable",
        Code::DataLoss => "data_loss",
        Code::Unauthenticated => "unauthenticated",
    }
}

fn summary(violations: &[Violation]) -> String {
    let lines: Vec<String> = violations
        .iter()
        .map(|v| format!("{} {}", v.field, v.problem))
        .collect();
    lines.join("; ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_its_code() {
        let violation = Violation {
            field: "room",
            problem: "is missing".to_owned(),
        };
        for (error, code, message) in [
            (
                CallError::from(TokenError::Missing),
                Code::Unauthenticated,
                "no access token",
            ),
            (
                CallError::Forbidden(GrantError::OtherRoom),
                Code::PermissionDenied,
                "another room",
            ),
            (
                CallError::Invalid(vec![violation]),
                Code::InvalidArgument,
                "room is missing",
            ),
            (
                CallError::Busy("calls"),
                Code::ResourceExhausted,
                "too many calls at once",
            ),
            (CallError::Timeout, Code::DeadlineExceeded, "in time"),
            (
                CallError::from(Status::not_found("gone")),
                Code::NotFound,
                "gone",
            ),
            (
                CallError::Mint(MintError::TooLong),
                Code::InvalidArgument,
                "too long",
            ),
        ] {
            let status = Status::from(error);
            assert_eq!(status.code(), code);
            assert!(status.message().contains(message), "{status:?}");
        }
    }

    #[test]
    fn all_fields_at_fault_are_named() {
        let violations = ["room", "identity"].map(|field| Violation {
            field,
            problem: "must not be empty".to_owned(),
        });
        let status = Status::from(CallError::Invalid(violations.to_vec()));
        let bad = status.get_details_bad_request().expect("details");
        let fields: Vec<&str> = bad
            .field_violations
            .iter()
            .map(|v| v.field.as_str())
            .collect();
        assert_eq!(fields, ["room", "identity"]);
    }
}
