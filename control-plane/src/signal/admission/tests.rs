//! What tokens and parameters make of a join, as tables.

use std::time::Duration;

use http::{HeaderValue, header::AUTHORIZATION};
use plenum_proto::v1::ParticipantKind;

use super::*;
use crate::auth::{GrantError, MintRequest, TokenError, VideoGrants};

const SECRET: &str = "a secret of at least thirty-two bytes";

fn keys() -> Keys {
    Keys::new([("key", SECRET)]).unwrap()
}

fn grants() -> VideoGrants {
    VideoGrants {
        room_join: true,
        room: "r".into(),
        ..VideoGrants::default()
    }
}

fn request() -> MintRequest {
    MintRequest {
        identity: "ann".into(),
        name: "Ann".into(),
        metadata: "m".into(),
        attributes: [("a".to_owned(), "token".to_owned())].into(),
        grants: grants(),
        ttl: Duration::from_secs(60),
        ..MintRequest::default()
    }
}

fn admit(request: MintRequest, pairs: &[(&str, &str)]) -> Result<Admission, Refusal> {
    let mut pairs: Vec<_> = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    pairs.push(("access_token".into(), keys().mint("key", request).unwrap()));
    let params = Params::read(pairs)?;
    Admission::new(&keys(), &SignalConfig::default(), &HeaderMap::new(), params)
}

fn refusal(admission: Result<Admission, Refusal>) -> Option<Refusal> {
    admission.err()
}

#[test]
fn a_join_says_what_token_and_parameters_say() {
    let admission = admit(
        MintRequest {
            kind: "agent".into(),
            ..request()
        },
        &[
            ("protocol", "16"),
            ("adaptive_stream", "1"),
            ("encoding", "json"),
        ],
    );
    let admission = admission.ok().unwrap();
    assert_eq!(admission.protocol(), 16);
    assert_eq!(admission.room(), "r");
    assert_eq!(admission.encoding, Encoding::Json);
    let join = admission.join;
    assert_eq!((join.identity.as_str(), join.name.as_str()), ("ann", "Ann"));
    assert_eq!(join.kind(), ParticipantKind::Agent);
    assert!(join.auto_subscribe && join.adaptive_stream && !join.allow_pause && !join.must_exist);
    assert_eq!(
        join.attributes,
        [("a".to_owned(), "token".to_owned())].into()
    );
    assert_eq!(join.resume, None);
}

#[test]
fn a_resume_carries_its_stay() {
    let admission = admit(request(), &[("reconnect", "1"), ("sid", "PA_x")])
        .ok()
        .unwrap();
    assert_eq!(
        admission.join.resume,
        Some(Resume {
            participant_id: "PA_x".into()
        })
    );
}

#[test]
fn a_second_connection_only_publishes() {
    let admission = admit(request(), &[("publish", "screen")]).ok().unwrap();
    let join = admission.join;
    assert_eq!(join.identity, "ann#screen");
    assert!(!join.auto_subscribe);
    assert_eq!(
        join.permissions.map(|granted| granted.can_subscribe),
        Some(false)
    );
    assert!(admission.is_publish_only);
}

#[test]
fn attributes_of_the_url_need_the_grant() {
    // {"a":"url","b":"c"}
    let pairs = [("attributes", "eyJhIjoidXJsIiwiYiI6ImMifQ")];
    for (granted, expected) in [
        (None, vec![("a", "token")]),
        (Some(false), vec![("a", "token")]),
        (Some(true), vec![("a", "url"), ("b", "c")]),
    ] {
        let grants = VideoGrants {
            can_update_own_metadata: granted,
            ..grants()
        };
        let admission = admit(
            MintRequest {
                grants,
                ..request()
            },
            &pairs,
        )
        .ok()
        .unwrap();
        let attributes: Vec<_> = admission
            .join
            .attributes
            .iter()
            .map(|(k, v)| (k.as_str(), v.as_str()))
            .collect();
        assert_eq!(attributes, expected, "{granted:?}");
    }
}

#[test]
fn refusals_have_a_status() {
    let without = |change: fn(&mut MintRequest)| {
        let mut request = request();
        change(&mut request);
        refusal(admit(request, &[])).unwrap()
    };
    for (refusal, status, text) in [
        (
            without(|r| r.grants.room_join = false),
            401,
            "access token lacks the grant roomJoin",
        ),
        (
            without(|r| r.grants.room.clear()),
            401,
            "access token names no room",
        ),
        (
            without(|r| r.identity.clear()),
            400,
            "access token has no identity",
        ),
        (
            without(|r| r.identity = "x".repeat(257)),
            400,
            "identity is longer than 256 bytes",
        ),
        (
            without(|r| r.name = "x".repeat(257)),
            400,
            "name is longer than 256 bytes",
        ),
        (
            without(|r| r.grants.room = "x".repeat(257)),
            400,
            "room name is longer than 256 bytes",
        ),
        (Refusal::NoRoom, 404, "requested room does not exist"),
        (Refusal::Full, 503, "no capacity for another participant"),
        (Refusal::NoNode, 503, "no media node is available"),
        (
            Refusal::TooManyPending,
            429,
            "too many connections are being opened for this participant",
        ),
        (
            Refusal::TooManyOpen,
            429,
            "too many connections of this participant only publish",
        ),
        (
            Refusal::Token(TokenError::Expired),
            401,
            "invalid token: access token has expired",
        ),
    ] {
        assert_eq!(refusal.to_string(), text);
        assert_eq!(refusal.status().as_u16(), status, "{text}");
    }
    assert_eq!(Refusal::Grant(GrantError::NoRoom).label(), "grant");
}

#[test]
fn attributes_have_a_limit() {
    let grants = VideoGrants {
        can_update_own_metadata: Some(true),
        ..grants()
    };
    let config = SignalConfig {
        max_attributes_bytes: 10,
        ..SignalConfig::default()
    };
    let token = keys()
        .mint(
            "key",
            MintRequest {
                grants,
                ..request()
            },
        )
        .unwrap();
    for (value, expected) in [
        ("eyJiIjoiYyJ9", None),
        (
            "eyJiIjoiMDEyMzQ1Njc4OSJ9",
            Some(Refusal::BadRequest(
                "attributes take more than 10 bytes".into(),
            )),
        ),
    ] {
        let params = Params::read(vec![
            ("access_token".into(), token.clone()),
            ("attributes".into(), value.into()),
        ])
        .ok()
        .unwrap();
        let admission = Admission::new(&keys(), &config, &HeaderMap::new(), params);
        assert_eq!(refusal(admission), expected, "{value}");
    }
}

#[test]
fn the_token_comes_by_url_or_header() {
    let token = keys().mint("key", request()).unwrap();
    let mut headers = HeaderMap::new();
    headers.insert(
        AUTHORIZATION,
        HeaderValue::from_str(&format!("Bearer {token}")).unwrap(),
    );
    let admit = |headers: &HeaderMap, access_token: Option<String>| {
        let params = Params {
            access_token,
            ..Params::default()
        };
        refusal(Admission::new(
            &keys(),
            &SignalConfig::default(),
            headers,
            params,
        ))
    };
    let missing = Some(Refusal::Token(TokenError::Missing));
    assert_eq!(admit(&headers, None), None);
    assert_eq!(admit(&headers, Some(String::new())), None);
    assert_eq!(admit(&HeaderMap::new(), Some(token)), None);
    assert_eq!(admit(&HeaderMap::new(), None), missing);
    let bad = admit(&headers, Some("x".into()));
    assert!(
        matches!(bad, Some(Refusal::Token(TokenError::Malformed(_)))),
        "the URL counts first"
    );
}
