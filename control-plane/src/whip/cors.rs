//! Cross-origin requests: any page may publish or play, for without a token nothing can be done (W3C
//! Fetch; RFC 9725 section 4.2 for what an OPTIONS request is told besides). Must not answer anything but
//! OPTIONS.

use axum::{
    extract::Request,
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
        ALLOW, VARY,
    },
};

pub(super) const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
pub(super) const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

/// The methods of all resources here; one that does not know a method says so itself.
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, POST, PATCH, DELETE, OPTIONS");

/// What a page may read besides what any may.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "Location, Link, ETag, Accept-Post, Accept-Patch, Retry-After, WWW-Authenticate",
);

/// Lets pages of any origin read the answer.
pub(super) async fn open(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    response
}

/// The answer to OPTIONS, which is what a browser asks before anything else.
pub(super) fn options(request: &HeaderMap, accept: (HeaderName, HeaderValue)) -> Response {
    let mut response = StatusCode::OK.into_response();
    let headers = response.headers_mut();
    headers.insert(ALLOW, METHODS);
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    if let Some(wanted) = request.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        // A star would leave out the header of the token.
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, wanted.clone());
    }
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("3600"));
    headers.insert(
        VARY,
        HeaderValue::from_static("Access-Control-Request-Headers"),
    );
    let (name, value) = accept;
    headers.insert(name, value);
    response
}

/// Whether a browser asks on its own, before the request it is about.
pub(super) fn is_preflight(method: &Method, request: &HeaderMap) -> bool {
    method == Method::OPTIONS && request.contains_key(http::header::ACCESS_CONTROL_REQUEST_METHOD)
}
