//! The API that server SDKs of the client protocol speak: Twirp at `/twirp/livekit.<Service>/<Method>`.
//! Owns its paths and encodings; every method is a thin mapping onto [`Calls`]. Must not check or decide
//! anything that the gRPC API does not.

mod dispatch_service;
mod error;
mod incoming;
mod model;
mod room_service;
mod wire;

use std::sync::Arc;

use axum::{
    Router,
    extract::{FromRequest as _, Path, Request, State},
    response::{IntoResponse as _, Response},
    routing::post,
};
use bytes::Bytes;
use http::StatusCode;

pub(crate) use self::model::permissions;
use self::{error::TwirpError, incoming::Incoming, wire::Wire};
use crate::api::Calls;

/// Services of the protocol that are not offered here; asking for them is no mistake in the path.
const NOT_HERE: [&str; 7] = [
    "livekit.AgentSimulation",
    "livekit.CloudAgent",
    "livekit.Connector",
    "livekit.Egress",
    "livekit.Ingress",
    "livekit.PhoneNumberService",
    "livekit.SIP",
];

/// The paths. Bodies are bounded by whoever merges this.
pub(crate) fn router(calls: Arc<Calls>) -> Router {
    let handler = post(call).fallback(|| async {
        TwirpError::bad_route("unsupported method (only POST is allowed)").into_response()
    });
    Router::new()
        .route("/twirp/{*path}", handler)
        .with_state(calls)
}

async fn call(
    State(calls): State<Arc<Calls>>,
    Path(path): Path<String>,
    request: Request,
) -> Response {
    answer(&calls, &path, request)
        .await
        .unwrap_or_else(TwirpError::into_response)
}

async fn answer(calls: &Arc<Calls>, path: &str, request: Request) -> Result<Response, TwirpError> {
    let (service, method) = path.split_once('/').ok_or_else(no_route)?;
    if NOT_HERE.contains(&service) {
        return Err(TwirpError::unimplemented(format!(
            "{service} is not offered here"
        )));
    }
    if ![room_service::NAME, dispatch_service::NAME].contains(&service) {
        return Err(no_route());
    }
    let wire = Wire::of(request.headers())?;
    let headers = request.headers().clone();
    let body = Bytes::from_request(request, &())
        .await
        .map_err(|rejection| {
            if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
                TwirpError::too_large()
            } else {
                TwirpError::malformed("the request could not be read")
            }
        })?;
    let incoming = Incoming {
        calls,
        headers: &headers,
        wire,
        body: &body,
    };
    if service == dispatch_service::NAME {
        dispatch_service::call(method, incoming).await
    } else {
        room_service::call(method, incoming).await
    }
}

fn no_route() -> TwirpError {
    TwirpError::bad_route("no handler for path")
}
