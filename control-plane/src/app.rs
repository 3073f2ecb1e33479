//! Everything that is served, put together: which request goes where, and what holds for all of them.
//! Must not answer anything itself.

use std::time::Duration;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request},
    middleware::{self, Next},
    response::{IntoResponse as _, Response},
};
use http::{Method, StatusCode, Uri, header::CONTENT_TYPE, uri::PathAndQuery};
use tonic::{Status, service::Routes};
use tower::ServiceExt as _;
use tower_http::cors::{AllowHeaders, Any, CorsLayer};

use crate::config::HttpConfig;

/// What is to be served.
pub(crate) struct Parts {
    /// The page.
    pub(crate) web: Router,
    /// Signs of life.
    pub(crate) health: Router,
    /// Metrics, where they are served here.
    pub(crate) metrics: Router,
    /// Signalling of clients.
    pub(crate) signal: Router,
    /// Workers of agents.
    pub(crate) agents: Router,
    /// Encoders and players.
    pub(crate) whip: Router,
    /// The API of server SDKs.
    pub(crate) twirp: Router,
    /// The gRPC API.
    pub(crate) grpc: Routes,
}

/// Puts it together.
pub(crate) fn app(parts: Parts, limits: &HttpConfig) -> Router {
    let request_timeout = limits.request_timeout;
    let http = Router::new()
        .merge(parts.web)
        .merge(parts.health)
        .merge(parts.metrics)
        .merge(parts.signal)
        .merge(parts.agents)
        .merge(parts.twirp.layer(cors()))
        .layer(DefaultBodyLimit::max(limits.max_body.bytes()))
        // Has a limit of its own.
        .merge(parts.whip)
        .layer(middleware::from_fn(
            move |request: Request, next: Next| async move {
                let late = || StatusCode::REQUEST_TIMEOUT.into_response();
                in_time(request_timeout, request, next, late).await
            },
        ));
    let grpc = parts
        .grpc
        .prepare()
        .into_axum_router()
        .layer(middleware::from_fn(
            move |request: Request, next: Next| async move {
                let late = || Status::deadline_exceeded("the request was not complete in time");
                in_time(request_timeout, request, next, || late().into_http()).await
            },
        ));
    Router::new().fallback(move |request: Request| {
        let to = if is_grpc(&request) {
            grpc.clone()
        } else {
            http.clone()
        };
        to.oneshot(normal(request))
    })
}

/// Any origin and any header: without a token nothing can be done, and browsers ask first whether they
/// may send its header. Signalling has its own.
fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::POST])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers(Any)
        .max_age(Duration::from_secs(3600))
}

/// A response that does not begin in time does not come: neither a handler that hangs nor a body
/// that trickles in holds a request for ever. Streams that have begun are not touched.
async fn in_time(
    limit: Duration,
    request: Request,
    next: Next,
    late: impl FnOnce() -> Response,
) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => late(),
    }
}

fn is_grpc(request: &Request) -> bool {
    request
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"))
}

/// Clients whose address ends in a slash ask for `//rtc`: they mean `/rtc`.
fn normal(mut request: Request) -> Request {
    if let Some(uri) = collapsed(request.uri()) {
        *request.uri_mut() = uri;
    }
    request
}

fn collapsed(uri: &Uri) -> Option<Uri> {
    let path = uri.path_and_query()?.as_str();
    let rest = path.strip_prefix("//")?.trim_start_matches('/');
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(format!("/{rest}")).ok()?);
    Uri::from_parts(parts).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn leading_slashes_are_one() {
        for (uri, expected) in [
            ("//rtc?a=//b", Some("/rtc?a=//b")),
            ("///", Some("/")),
            ("/rtc", None),
            ("/rtc//validate", None),
        ] {
            let collapsed = collapsed(&Uri::try_from(uri).unwrap()).map(|uri| uri.to_string());
            assert_eq!(collapsed.as_deref(), expected, "{uri}");
        }
    }
}
