//! Joining without a token: the page asks for one by name. Owns whether that is allowed, and what a guest
//! may do. Must not check tokens.

use std::{sync::Arc, time::Duration};

use axum::{
    Json,
    extract::{State, rejection::JsonRejection},
    response::{IntoResponse as _, Response},
};
use http::StatusCode;
use serde::{Deserialize, Serialize};

use crate::{
    auth::{Keys, MintRequest, VideoGrants},
    metrics::Metrics,
};

/// Characters of the name of a room or person.
const MAX_CHARS: usize = 64;

/// Life of a guest's token: a long day.
const TTL: Duration = Duration::from_secs(12 * 3600);

/// Random characters after the slug of a guest's name: 36^8 > 2^41, so that nobody puts somebody else
/// out by chance, or by guessing.
const SUFFIX_LEN: usize = 8;

/// Characters of the name that show in the identity.
const SLUG_LEN: usize = 24;

/// Admits guests.
pub(crate) struct Guests {
    /// Signs for guests; `None` where guests are not admitted.
    pub(crate) key: Option<String>,
    /// Knows the key.
    pub(crate) keys: Arc<Keys>,
    /// Counts guests.
    pub(crate) metrics: Metrics,
}

#[derive(Debug, Serialize)]
pub(super) struct PageConfig {
    guest_access: bool,
    name: &'static str,
    version: &'static str,
}

#[derive(Debug, Deserialize)]
pub(super) struct JoinRequest {
    room: String,
    name: String,
}

#[derive(Debug, Serialize)]
struct JoinAnswer {
    token: String,
    room: String,
    identity: String,
}

/// What the page has to know before anybody joins.
pub(super) async fn config(State(guests): State<Arc<Guests>>) -> Json<PageConfig> {
    Json(PageConfig {
        guest_access: guests.key.is_some(),
        name: "Plenum",
        version: env!("CARGO_PKG_VERSION"),
    })
}

/// A token for a guest.
pub(super) async fn join(
    State(guests): State<Arc<Guests>>,
    request: Result<Json<JoinRequest>, JsonRejection>,
) -> Response {
    let Some(key) = &guests.key else {
        return refuse(
            StatusCode::FORBIDDEN,
            "Guests cannot join here; ask for an invitation.",
        );
    };
    let request = match request {
        Ok(Json(request)) => request,
        Err(rejection) => return refuse(rejection.status(), "A room and a name are needed."),
    };
    let (room, name) = (request.room.trim(), request.name.trim());
    for (what, text) in [("room", room), ("name", name)] {
        if let Some(problem) = problem(text) {
            return refuse(StatusCode::BAD_REQUEST, &format!("The {what} {problem}."));
        }
    }
    let identity = identity(name, &mut rand::rng());
    let minted = guests.keys.mint(
        key,
        MintRequest {
            identity: identity.clone(),
            name: name.to_owned(),
            grants: VideoGrants {
                room_join: true,
                room: room.to_owned(),
                can_update_own_metadata: Some(true),
                ..VideoGrants::default()
            },
            ttl: TTL,
            ..MintRequest::default()
        },
    );
    match minted {
        Ok(token) => {
            guests.metrics.guest_token();
            Json(JoinAnswer {
                token,
                room: room.to_owned(),
                identity,
            })
            .into_response()
        }
        Err(error) => {
            tracing::error!(%error, "no token for a guest");
            refuse(
                StatusCode::INTERNAL_SERVER_ERROR,
                "Something went wrong here.",
            )
        }
    }
}

#[derive(Debug, Serialize)]
struct Refusal<'a> {
    error: &'a str,
}

pub(super) fn refuse(status: StatusCode, error: &str) -> Response {
    (status, Json(Refusal { error })).into_response()
}

fn problem(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        Some("must not be empty")
    } else if text.chars().count() > MAX_CHARS {
        Some("must have at most 64 characters")
    } else if text.chars().any(char::is_control) {
        Some("must not have control characters")
    } else {
        None
    }
}

fn identity(name: &str, random: &mut impl rand::Rng) -> String {
    let mut identity = slug(name);
    if !identity.is_empty() {
        identity.push('-');
    }
    for _ in 0..SUFFIX_LEN {
        let digit = random.random_range(0..36);
        identity.extend(char::from_digit(digit, 36));
    }
    identity
}

/// Small letters and digits of the name, with single hyphens between.
fn slug(name: &str) -> String {
    let mut slug = String::new();
    for c in name.chars() {
        if slug.len() >= SLUG_LEN {
            break;
        }
        if c.is_ascii_alphanumeric() {
            slug.push(c.to_ascii_lowercase());
        } else if !slug.is_empty() && !slug.ends_with('-') {
            slug.push('-');
        }
    }
    slug.trim_end_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_becomes_a_slug() {
        for (name, expected) in [
            ("Ada Lovelace", "ada-lovelace"),
            ("  --Ada!!  ", "ada"),
            ("Łukasz", "ukasz"),
            ("李雷", ""),
            (
                "a very long name that does not end",
                "a-very-long-name-that-do",
            ),
        ] {
            assert_eq!(slug(name), expected, "{name}");
        }
    }

    #[test]
    fn an_identity_is_readable_and_not_to_be_guessed() {
        let one = identity("Ada", &mut rand::rng());
        assert!(
            one.starts_with("ada-") && one.len() == "ada-".len() + SUFFIX_LEN,
            "{one}"
        );
        assert_ne!(one, identity("Ada", &mut rand::rng()));
        assert_eq!(identity("李雷", &mut rand::rng()).len(), SUFFIX_LEN);
    }

    #[test]
    fn names_are_checked() {
        assert_eq!(problem("Ada 李雷"), None);
        assert_eq!(problem(&"李".repeat(64)), None);
        for bad in ["", "a\nb", "\u{7f}", &"x".repeat(65)] {
            assert!(problem(bad).is_some(), "{bad:?}");
        }
    }
}
