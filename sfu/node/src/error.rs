//! What goes wrong in a call, and the one place that maps it to gRPC codes and details.
//!
//! Must be the only file that names a code.

use std::collections::HashMap;

use sfu_core::CommandError;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use crate::{
    egress::EgressProblem,
    events::WatchError,
    ingress::{IngressProblem, PortProblem},
    relay::LocateError,
    worker::RequestError,
};

/// Why a call ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CallError {
    /// The worker refused it, or gave no answer.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// Room events cannot be read on.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// The caller sent a request without content.
    #[error("kind: must be set")]
    Empty,
    /// The caller opened a control connection with something else than a join.
    #[error("kind: the first request must be join")]
    JoinFirst,
    /// The caller joined twice on a control connection.
    #[error("kind: join must come once only")]
    JoinTwice,
    /// The caller took too long to join.
    #[error("no join came in time")]
    JoinTimeout,
    /// The caller did not read its events.
    #[error("events were not read in time; the stay can be taken up again")]
    EventsNotRead,
    /// The caller's requests could not be read, for example because one was too large.
    #[error("requests could not be read")]
    Broken(#[source] Status),
    /// The room has its home on another node, and this one has no relay to any.
    #[error("join.home: this node serves no rooms of other nodes")]
    NoRelay,
    /// A source cannot be taken in.
    #[error(transparent)]
    Ingress(#[from] IngressProblem),
    /// A sink cannot be served.
    #[error(transparent)]
    Egress(#[from] EgressProblem),
    /// Its participant may not join.
    #[error("the participant may not join: {0}")]
    NoSeat(String),
    /// The room that a participant is to be forwarded to is being moved, or its home gives no answer.
    #[error("the other room: {0}")]
    Destination(String),
    /// The caller joined in a shape that only the node itself may.
    #[error("join.shape: plain RTP is taken in by an ingress, and forwarding is a command")]
    InnerShape,
    /// The caller gave a time that is none.
    #[error("spread: must be a duration that is not negative")]
    Spread,
    /// The home of the room gives no answer, or says that it is not.
    #[error(transparent)]
    Home(#[from] LocateError),
    /// It is for another node.
    #[error("it is for node \"{node}\": ask there")]
    Elsewhere { node: String },
    /// The node takes nobody in any more.
    #[error("the node shuts down")]
    Draining,
    /// The node is being emptied: others take its rooms.
    #[error("the node is draining: its rooms go to other nodes")]
    Moving,
}

impl From<CallError> for Status {
    fn from(error: CallError) -> Self {
        let message = error.to_string();
        match error {
            CallError::Request(RequestError::Refused(error)) => refused(error, message),
            CallError::Request(RequestError::Stale(_)) => reason(Code::Aborted, "STALE", message),
            CallError::Request(RequestError::StaleDestination(_)) => {
                reason(Code::Aborted, "DESTINATION_STALE", message)
            }
            CallError::Destination(_) => reason(Code::Aborted, "DESTINATION", message),
            CallError::Moving => reason(Code::Aborted, "DRAINING", message),
            CallError::Request(RequestError::NoAnswer)
            | CallError::Draining
            | CallError::Watch(WatchError::Ended) => Self::unavailable(message),
            CallError::Watch(WatchError::OutOfRange { .. }) => Self::out_of_range(message),
            CallError::Watch(WatchError::Lost { .. }) | CallError::EventsNotRead => {
                Self::data_loss(message)
            }
            CallError::Empty | CallError::JoinFirst | CallError::JoinTwice => {
                let details = ErrorDetails::with_bad_request_violation("kind", message.clone());
                Self::with_error_details(Code::InvalidArgument, message, details)
            }
            CallError::Ingress(problem) => ingress(&problem, message),
            CallError::Egress(problem) => egress(&problem, message),
            CallError::NoSeat(_) => Self::failed_precondition(message),
            CallError::InnerShape => {
                let details =
                    ErrorDetails::with_bad_request_violation("join.shape", message.clone());
                Self::with_error_details(Code::InvalidArgument, message, details)
            }
            CallError::NoRelay => Self::failed_precondition(message),
            CallError::Home(LocateError::Unknown(_)) => Self::invalid_argument(message),
            CallError::Home(_) => Self::unavailable(message),
            CallError::Elsewhere { node } => {
                let node = HashMap::from([("node_id".to_owned(), node)]);
                let details = ErrorDetails::with_error_info("ELSEWHERE", "plenum.node", node);
                Self::with_error_details(Code::Unavailable, message, details)
            }
            CallError::Spread => {
                let details = ErrorDetails::with_bad_request_violation("spread", message.clone());
                Self::with_error_details(Code::InvalidArgument, message, details)
            }
            CallError::JoinTimeout => Self::deadline_exceeded(message),
            CallError::Broken(status) => status,
        }
    }
}

/// What a control plane acts upon by itself is named in an `ErrorInfo`.
fn reason(code: Code, reason: &str, message: String) -> Status {
    let details = ErrorDetails::with_error_info(reason, "plenum.node", HashMap::new());
    Status::with_error_details(code, message, details)
}

fn ingress(problem: &IngressProblem, message: String) -> Status {
    let (code, details) = match (problem.field(), problem.limit(), problem) {
        (Some(field), ..) => (
            Code::InvalidArgument,
            ErrorDetails::with_bad_request_violation(field, message.clone()),
        ),
        (None, Some(limit), _) => (
            Code::ResourceExhausted,
            ErrorDetails::with_quota_failure_violation(limit, message.clone()),
        ),
        (None, None, IngressProblem::NotFound(id)) => (
            Code::NotFound,
            ErrorDetails::with_resource_info("ingress", id.clone(), "", message.clone()),
        ),
        (None, None, IngressProblem::Ports(PortProblem::Taken(..) | PortProblem::System(_))) => {
            (Code::Unavailable, ErrorDetails::new())
        }
        _ => (Code::FailedPrecondition, ErrorDetails::new()),
    };
    Status::with_error_details(code, message, details)
}

fn egress(problem: &EgressProblem, message: String) -> Status {
    let (code, details) = match (problem.field(), problem) {
        (Some("from_identity"), _) => (
            Code::FailedPrecondition,
            ErrorDetails::with_precondition_failure_violation("NO_MEDIA", "", message.clone()),
        ),
        (_, EgressProblem::NotFound(id)) => (
            Code::NotFound,
            ErrorDetails::with_resource_info("egress", id.clone(), "", message.clone()),
        ),
        (Some(field), _) => (
            Code::InvalidArgument,
            ErrorDetails::with_bad_request_violation(field, message.clone()),
        ),
        (None, _) => (
            Code::ResourceExhausted,
            ErrorDetails::with_quota_failure_violation("egress.max_sinks", message.clone()),
        ),
    };
    Status::with_error_details(code, message, details)
}

fn refused(error: CommandError, message: String) -> Status {
    let (code, details) = match error {
        CommandError::NotFound { what, name } => {
            let details = ErrorDetails::with_resource_info(what, name, "", message.clone());
            (Code::NotFound, details)
        }
        CommandError::Invalid { field, problem } => (
            Code::InvalidArgument,
            ErrorDetails::with_bad_request_violation(field, problem),
        ),
        CommandError::Limit { limit, .. } => (
            Code::ResourceExhausted,
            ErrorDetails::with_quota_failure_violation(limit, message.clone()),
        ),
        // Followed where it happens; it may be that there is nobody any more when we get there.
        CommandError::Elsewhere { .. } => (Code::Unavailable, ErrorDetails::new()),
        CommandError::NotAllowed(what) => (
            Code::FailedPrecondition,
            ErrorDetails::with_precondition_failure_violation("NOT_ALLOWED", "", what),
        ),
    };
    Status::with_error_details(code, message, details)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_have_a_code_and_name_what_is_at_fault() {
        let status = |error| Status::from(CallError::Request(RequestError::Refused(error)));

        let invalid = status(CommandError::Invalid {
            field: "join.identity",
            problem: "empty".into(),
        });
        assert_eq!(invalid.code(), Code::InvalidArgument);
        let details = invalid.get_error_details();
        let fields = &details.bad_request().unwrap().field_violations;
        assert_eq!(
            (fields[0].field.as_str(), fields[0].description.as_str()),
            ("join.identity", "empty")
        );

        let limit = status(CommandError::Limit {
            limit: "rooms",
            value: 3,
        });
        assert_eq!(limit.code(), Code::ResourceExhausted);
        let details = limit.get_error_details();
        assert_eq!(
            details.quota_failure().unwrap().violations[0].subject,
            "rooms"
        );

        let missing = status(CommandError::NotFound {
            what: "room",
            name: "x".into(),
        });
        assert_eq!(missing.code(), Code::NotFound);
        let details = missing.get_error_details();
        assert_eq!(details.resource_info().unwrap().resource_type, "room");

        assert_eq!(
            status(CommandError::NotAllowed("unmute")).code(),
            Code::FailedPrecondition
        );
    }
}
