//! The page: every file of `control-plane/web`, built into the binary, with the headers that keep it
//! safe. Must not know what the page does; who may join as a guest is in `guest`.

mod explain;
mod guest;

use std::sync::Arc;

use axum::{
    Router,
    extract::{DefaultBodyLimit, Path},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, StatusCode,
    header::{
        ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH,
        REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
    },
};
use rust_embed::{EmbeddedFile, RustEmbed};

pub(crate) use guest::Guests;

use crate::api::Calls;

/// Nothing inline, nothing from elsewhere; signalling goes to where the page came from. Older Safari
/// does not count WebSockets as 'self', so their schemes are named.
const CONTENT_POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data: blob:; media-src 'self' blob: data: mediastream:; font-src 'self'; \
    connect-src 'self' ws: wss:; worker-src 'self' blob:; manifest-src 'self'; base-uri 'none'; \
    form-action 'self'; frame-ancestors 'self'";

/// What a meeting needs, and nothing that it does not.
const PERMISSIONS: &str = "camera=(self), microphone=(self), display-capture=(self), \
    autoplay=(self), fullscreen=(self), picture-in-picture=(self), screen-wake-lock=(self), \
    speaker-selection=(self), geolocation=(), payment=(), usb=()";

/// A browser may keep a file, but must ask whether it is still the same: names do not change with content.
const CACHING: &str = "no-cache";

/// Longest body of a guest's request.
const MAX_JOIN_BODY: usize = 4 * 1024;

#[derive(RustEmbed)]
#[folder = "web/"]
struct Files;

/// The paths of the page.
pub(crate) fn router(guests: Guests, calls: Arc<Calls>) -> Router {
    let guests = Arc::new(guests);
    Router::new()
        .route("/", get(root))
        .route("/check", get(check))
        .route("/assets/{*path}", get(asset))
        .route("/web/config", get(guest::config))
        .route(
            "/web/join",
            post(guest::join).layer(DefaultBodyLimit::max(MAX_JOIN_BODY)),
        )
        .with_state(guests)
        .route(
            "/web/subscriptions",
            get(explain::explain).with_state(calls),
        )
}

/// The page for browsers; for everybody else the sign of life that client SDKs and probes look for.
async fn root(headers: HeaderMap) -> Response {
    let mut response = if accepts_html(&headers) {
        file("index.html", &headers)
    } else {
        (StatusCode::OK, "OK").into_response()
    };
    response
        .headers_mut()
        .insert(VARY, HeaderValue::from_static("accept"));
    response
}

/// The connection check.
async fn check(headers: HeaderMap) -> Response {
    file("check.html", &headers)
}

async fn asset(Path(path): Path<String>, headers: HeaderMap) -> Response {
    file(&path, &headers)
}

fn accepts_html(headers: &HeaderMap) -> bool {
    headers
        .get_all(ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .any(|value| value.contains("text/html"))
}

fn file(path: &str, request: &HeaderMap) -> Response {
    let Some(kind) = content_type(path) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let Some(file) = Files::get(path) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let tag = etag(&file);
    let is_known = request
        .get(IF_NONE_MATCH)
        .is_some_and(|known| names(known, &tag));
    let mut response = if is_known {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        file.data.into_owned().into_response()
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (CONTENT_TYPE, kind),
        (CACHE_CONTROL, CACHING),
        (CONTENT_SECURITY_POLICY, CONTENT_POLICY),
        (HeaderName::from_static("permissions-policy"), PERMISSIONS),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(ETAG, tag);
    response
}

fn etag(file: &EmbeddedFile) -> HeaderValue {
    let hash = file.metadata.sha256_hash();
    let mut text = String::from("\"");
    for byte in &hash[..16] {
        text.push_str(&format!("{byte:02x}"));
    }
    text.push('"');
    // Hexadecimal digits in quotes are always a valid value.
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static("\"\""))
}

/// RFC 9110 section 13.1.2; weak tags compare by their value.
fn names(known: &HeaderValue, tag: &HeaderValue) -> bool {
    let (Ok(known), Ok(tag)) = (known.to_str(), tag.to_str()) else {
        return false;
    };
    known
        .split(',')
        .map(|one| one.trim().trim_start_matches("W/"))
        .any(|one| one == tag || one == "*")
}

/// By the end of the name; other files are not served.
fn content_type(path: &str) -> Option<&'static str> {
    let (_, extension) = path.rsplit_once('.')?;
    CONTENT_TYPES
        .iter()
        .find(|(known, _)| *known == extension)
        .map(|(_, kind)| *kind)
}

const CONTENT_TYPES: [(&str, &str); 12] = [
    ("css", "text/css; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("ico", "image/x-icon"),
    ("jpg", "image/jpeg"),
    ("js", "text/javascript; charset=utf-8"),
    ("json", "application/json"),
    ("mp3", "audio/mpeg"),
    ("png", "image/png"),
    ("svg", "image/svg+xml"),
    ("webmanifest", "application/manifest+json"),
    ("webp", "image/webp"),
    ("woff2", "font/woff2"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_the_page_can_be_served() {
        let mut files = 0;
        for path in Files::iter() {
            assert!(content_type(&path).is_some(), "{path} has no content type");
            files += 1;
        }
        assert!(files > 1 && Files::get("index.html").is_some());
    }

    #[test]
    fn a_tag_is_known_by_its_value() {
        let tag = HeaderValue::from_static("\"a\"");
        for (known, expected) in [
            ("\"a\"", true),
            ("W/\"a\"", true),
            ("\"b\", \"a\"", true),
            ("*", true),
            ("\"b\"", false),
        ] {
            assert_eq!(
                names(&HeaderValue::from_static(known), &tag),
                expected,
                "{known}"
            );
        }
    }

    #[test]
    fn only_browsers_get_the_page() {
        for (accept, expected) in [
            (Some("text/html,application/xhtml+xml,*/*;q=0.8"), true),
            (Some("*/*"), false),
            (None, false),
        ] {
            let headers = accept
                .map(|a| (ACCEPT, HeaderValue::from_static(a)))
                .into_iter()
                .collect();
            assert_eq!(accepts_html(&headers), expected, "{accept:?}");
        }
    }
}
