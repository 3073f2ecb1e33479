//! Tokens good and bad. Every bad one is made with the right secret unless the case says otherwise,
//! so that each is refused for its own reason.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, header::AUTHORIZATION};
use jsonwebtoken::{Algorithm, EncodingKey};
use plenum_proto::v1::{ParticipantKind, Permissions, TrackSource};

use super::*;

mod bad;
mod grants;

const SECRET: &str = "a secret of at least thirty-two bytes";
const OTHER_SECRET: &str = "another secret of at least 32 bytes..";
const NOW: u64 = 1_800_000_000;
const HS256: &str = r#"{"alg":"HS256","typ":"JWT"}"#;
const GOOD: &str = r#"{"iss":"key","sub":"ann","exp":1800000600,"nbf":1800000000,
    "video":{"roomJoin":true,"room":"r"}}"#;

fn keys() -> Keys {
    Keys::new([("key", SECRET), ("other", OTHER_SECRET)]).unwrap()
}

fn at(seconds: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(seconds)
}

fn token(header: &str, claims: &str, secret: &str, algorithm: Algorithm) -> String {
    let message = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let key = EncodingKey::from_secret(secret.as_bytes());
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, algorithm).unwrap();
    format!("{message}.{signature}")
}

/// A token with these claims, well signed.
fn signed(claims: &str) -> String {
    token(HS256, claims, SECRET, Algorithm::HS256)
}

/// A token like the good one, but for one claim; an empty value leaves the claim out.
fn with(name: &str, value: &str) -> String {
    let mut claims: serde_json::Map<String, serde_json::Value> =
        serde_json::from_str(GOOD).unwrap();
    claims.remove(name);
    let mut text = serde_json::to_string(&claims).unwrap();
    if !value.is_empty() {
        text.truncate(text.len() - 1);
        text = format!("{text},\"{name}\":{value}}}");
    }
    signed(&text)
}

fn verify(token: &str) -> Result<Verified, TokenError> {
    keys().verify_at(at(NOW), token)
}

fn encoded(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

fn signed_bytes(claims: &[u8]) -> String {
    let message = format!("{}.{}", encoded(HS256), URL_SAFE_NO_PAD.encode(claims));
    let key = EncodingKey::from_secret(SECRET.as_bytes());
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, Algorithm::HS256).unwrap();
    format!("{message}.{signature}")
}

#[test]
fn every_changed_byte_is_noticed() {
    let good = signed(GOOD);
    assert!(verify(&good).is_ok());
    for index in 0..good.len() {
        let mut bytes = good.clone().into_bytes();
        bytes[index] = if bytes[index] == b'A' { b'B' } else { b'A' };
        let changed = String::from_utf8(bytes).unwrap();
        assert!(verify(&changed).is_err(), "byte {index}");
    }
}

#[test]
fn good_tokens_are_accepted() {
    for (what, token) in [
        ("as it is", signed(GOOD)),
        (
            "no type in the header",
            token(r#"{"alg":"HS256"}"#, GOOD, SECRET, Algorithm::HS256),
        ),
        (
            "key id",
            token(
                r#"{"alg":"HS256","kid":"x"}"#,
                GOOD,
                SECRET,
                Algorithm::HS256,
            ),
        ),
        ("exp at the leeway", with("exp", "1799999940")),
        ("exp far away", with("exp", "18446744073709551615")),
        ("nbf at the leeway", with("nbf", "1800000060")),
        ("nbf zero", with("nbf", "0")),
        ("no nbf", with("nbf", "")),
        ("nbf null", with("nbf", "null")),
        ("an audience", with("aud", "\"anybody\"")),
        (
            "grants of later",
            with("video", r#"{"roomJoin":true,"room":"r","canFly":true}"#),
        ),
        ("claims of later", with("inference", r#"{"perform":true}"#)),
        ("attributes null", with("attributes", "null")),
        (
            "sources null",
            with(
                "video",
                r#"{"roomJoin":true,"room":"r","canPublishSources":null}"#,
            ),
        ),
        (
            "room config",
            with(
                "roomConfig",
                r#"{"empty_timeout":5,"agents":[{"agentName":"x"}]}"#,
            ),
        ),
    ] {
        assert_eq!(verify(&token).map(|_| ()), Ok(()), "{what}");
    }
}

#[test]
fn a_taken_away_key_admits_nobody() {
    let token = token(HS256, GOOD, SECRET, Algorithm::HS256);
    let rotated = Keys::new([("key", OTHER_SECRET)]).unwrap();
    assert_eq!(
        rotated.verify_at(at(NOW), &token),
        Err(TokenError::BadSignature)
    );
    let gone = Keys::new([("other", SECRET)]).unwrap();
    assert_eq!(gone.verify_at(at(NOW), &token), Err(TokenError::UnknownKey));
    assert_eq!(
        Keys::default().verify_at(at(NOW), &token),
        Err(TokenError::UnknownKey)
    );
}

#[test]
fn keys_are_checked() {
    let new = |pairs: &[(&str, &str)]| Keys::new(pairs.iter().copied()).map(|_| ());
    assert_eq!(new(&[("", SECRET)]), Err(KeysError::EmptyName));
    assert_eq!(new(&[("a", "")]), Err(KeysError::EmptySecret("a".into())));
    assert_eq!(
        new(&[("a", "x"), ("a", "y")]),
        Err(KeysError::Duplicate("a".into()))
    );
    let keys = Keys::new([("b", SECRET), ("a", "short")]).unwrap();
    assert_eq!(keys.names().collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!(keys.weak().collect::<Vec<_>>(), ["a"]);
    assert!(!keys.is_empty() && Keys::default().is_empty());
}

#[test]
fn what_is_minted_is_verified_and_says_the_same() {
    // Every grant on and off in some combination, by the bits of a counter.
    for bits in 0_u32..512 {
        let bit = |n: u32| bits & (1 << n) != 0;
        let maybe = |n: u32| if bit(n) { Some(bit(n + 1)) } else { None };
        let grants = VideoGrants {
            room_join: bit(0),
            room: if bit(1) {
                format!("room {bits} \u{1f41f}")
            } else {
                String::new()
            },
            room_admin: bit(2),
            room_list: bit(3),
            can_publish: maybe(4),
            can_subscribe: maybe(5),
            can_publish_data: maybe(6),
            can_publish_sources: bit(7).then(|| vec!["camera".to_owned()]),
            hidden: bit(8),
            token_create: bit(3),
            ..VideoGrants::default()
        };
        let request = MintRequest {
            identity: format!("\"{bits}\\\n"),
            name: "Ann \u{e4}".into(),
            metadata: "{\"a\":1}".into(),
            attributes: [("k".to_owned(), bits.to_string())].into(),
            kind: "agent".into(),
            grants: grants.clone(),
            room_config: bit(2).then(|| RoomConfigClaim {
                empty_timeout: Some(bits),
                ..Default::default()
            }),
            sha256: String::new(),
            ttl: Duration::from_secs(60),
        };
        let token = keys().mint_at(at(NOW), "key", request.clone()).unwrap();
        let verified = verify(&token).unwrap();
        assert_eq!(verified.grants(), &grants);
        assert_eq!(verified.identity(), request.identity);
        let claims = verified.claims();
        assert_eq!(
            (&claims.name, &claims.metadata),
            (&request.name, &request.metadata)
        );
        assert_eq!(claims.attributes.as_ref(), Some(&request.attributes));
        assert_eq!(claims.room_config, request.room_config);
        assert_eq!((claims.nbf, claims.exp), (Some(NOW), Some(NOW + 60)));
    }
}

#[test]
fn minting_has_limits() {
    let mint = |key: &str, metadata: String| {
        let request = MintRequest {
            metadata,
            ..MintRequest::default()
        };
        keys().mint_at(at(NOW), key, request).map(|_| ())
    };
    assert_eq!(mint("key", String::new()), Ok(()));
    assert_eq!(mint("stranger", String::new()), Err(MintError::UnknownKey));
    assert_eq!(
        mint("key", "x".repeat(MAX_TOKEN_BYTES)),
        Err(MintError::TooLong)
    );
}

#[test]
fn a_fresh_token_ends_at_the_later_of_both() {
    for (exp, expected) in [("1800000300", NOW + 600), ("1800003600", NOW + 3600)] {
        let verified = verify(&with("exp", exp)).unwrap();
        let fresh = keys()
            .refresh_at(at(NOW), &verified, Duration::from_secs(600))
            .unwrap();
        let fresh = verify(&fresh).unwrap();
        assert_eq!(fresh.claims().exp, Some(expected));
        assert_eq!(fresh.grants(), verified.grants());
        assert_eq!(fresh.expires_at(), at(expected));
    }
    let verified = verify(&signed(GOOD)).unwrap();
    let gone = Keys::new([("other", SECRET)]).unwrap();
    let refused = gone.refresh_at(at(NOW), &verified, Duration::from_secs(600));
    assert_eq!(refused, Err(MintError::UnknownKey));
}

#[test]
fn a_fresh_token_leaves_out_what_has_grown_too_long() {
    let mut verified = verify(&signed(GOOD)).unwrap();
    verified.apply(&plenum_proto::v1::Participant {
        name: "Ann".into(),
        metadata: "m".repeat(MAX_TOKEN_BYTES),
        ..Default::default()
    });
    let fresh = keys()
        .refresh_at(at(NOW), &verified, Duration::from_secs(600))
        .unwrap();
    let fresh = verify(&fresh).unwrap();
    assert_eq!(
        (
            fresh.claims().name.as_str(),
            fresh.claims().metadata.as_str()
        ),
        ("Ann", "")
    );
    assert_eq!(fresh.require_join(), Ok("r"));
}

#[test]
fn a_bearer_is_found_in_the_header() {
    for (value, expected) in [
        (Some("Bearer abc"), Ok("abc")),
        (Some("bearer abc"), Ok("abc")),
        (Some("Bearer   abc "), Ok("abc")),
        (Some("Bearer "), Err(TokenError::Missing)),
        (Some("Bearer"), Err(TokenError::Missing)),
        (Some("Basic abc"), Err(TokenError::Missing)),
        (Some("abc"), Err(TokenError::Missing)),
        (Some(""), Err(TokenError::Missing)),
        (None, Err(TokenError::Missing)),
    ] {
        let mut headers = HeaderMap::new();
        if let Some(value) = value {
            headers.insert(AUTHORIZATION, HeaderValue::from_static(value));
        }
        assert_eq!(bearer(&headers), expected, "{value:?}");
    }
}

#[test]
fn secrets_and_names_are_not_printed() {
    assert!(!format!("{:?}", keys()).contains("secret"));
    let verified = verify(&with("name", "\"Ann Example\"")).unwrap();
    let printed = format!("{:?}", verified.claims());
    assert!(
        !printed.contains("Ann") && !printed.contains("ann"),
        "{printed}"
    );
}
