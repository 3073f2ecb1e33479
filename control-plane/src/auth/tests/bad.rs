//! Bad tokens, and why each is refused.

use super::*;
use crate::auth::{
    Part::{Claims, Header, Shape, Signature},
    TokenError::{
        BadSignature, Expired, Malformed, Missing, MissingExpiry, NotYetValid, TooLong, UnknownKey,
        WrongAlgorithm,
    },
};

fn refused(what: &str, token: &str, expected: TokenError) {
    assert_eq!(verify(token).map(|_| ()), Err(expected), "{what}");
}

#[test]
fn by_their_form() {
    let good = signed(GOOD);
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (header, claims) = message.split_once('.').unwrap();
    for (what, token, expected) in [
        ("nothing", String::new(), Missing),
        ("a word", "token".into(), Malformed(Shape)),
        ("only dots", "..".into(), Malformed(Header)),
        ("two parts", message.into(), Malformed(Shape)),
        ("four parts", format!("{good}.x"), Malformed(Shape)),
        ("1 MiB", "x".repeat(1 << 20), TooLong),
        (
            "1 MiB of claims",
            with("name", &format!("\"{}\"", "n".repeat(1 << 20))),
            TooLong,
        ),
        ("a byte too long", "x".repeat(MAX_TOKEN_BYTES + 1), TooLong),
        ("space before", format!(" {good}"), Malformed(Header)),
        ("space after", format!("{good} "), Malformed(Signature)),
        ("newline after", format!("{good}\n"), Malformed(Signature)),
        (
            "space inside",
            good.replacen('.', ". ", 1),
            Malformed(Claims),
        ),
        (
            "a byte short",
            good[..good.len() - 1].into(),
            Malformed(Signature),
        ),
        (
            "cut to half",
            good[..good.len() / 2].into(),
            Malformed(Shape),
        ),
        ("no signature", format!("{message}."), BadSignature),
        ("short signature", format!("{message}.AAAA"), BadSignature),
        (
            "garbage header",
            format!("!!.{claims}.{signature}"),
            Malformed(Header),
        ),
        (
            "garbage claims",
            format!("{header}.!!.{signature}"),
            Malformed(Claims),
        ),
        (
            "garbage signature",
            format!("{message}.!!"),
            Malformed(Signature),
        ),
        (
            "padding",
            format!("{message}.{signature}="),
            Malformed(Signature),
        ),
        (
            "other claims",
            format!("{header}.{}.{signature}", encoded(OTHER)),
            BadSignature,
        ),
    ] {
        refused(what, &token, expected);
    }
}

/// Claims that a stolen signature might be put under.
const OTHER: &str = r#"{"iss":"key","exp":1800000600,"video":{"roomAdmin":true}}"#;

#[test]
fn by_their_header() {
    for (header, expected) in [
        ("HS256", Malformed(Header)),
        ("null", Malformed(Header)),
        (r#"["HS256"]"#, Malformed(Header)),
        (r#"{"typ":"JWT"}"#, Malformed(Header)),
        (r#"{"alg":null}"#, Malformed(Header)),
        (r#"{"alg":["HS256"]}"#, Malformed(Header)),
        (r#"{"alg":"none","alg":"HS256"}"#, Malformed(Header)),
        (
            r#"{"alg":"HS256","crit":["b64"],"b64":false}"#,
            Malformed(Header),
        ),
        (r#"{"alg":"none"}"#, WrongAlgorithm),
        (r#"{"alg":"NONE"}"#, WrongAlgorithm),
        (r#"{"alg":"hs256"}"#, WrongAlgorithm),
        (r#"{"alg":" HS256"}"#, WrongAlgorithm),
        (r#"{"alg":""}"#, WrongAlgorithm),
        (r#"{"alg":"RS256"}"#, WrongAlgorithm),
        (r#"{"alg":"ES256"}"#, WrongAlgorithm),
        (r#"{"alg":"EdDSA"}"#, WrongAlgorithm),
    ] {
        refused(
            header,
            &token(header, GOOD, SECRET, Algorithm::HS256),
            expected,
        );
    }
    let unsigned = format!("{}.{}.", encoded(r#"{"alg":"none"}"#), encoded(GOOD));
    refused("unsigned", &unsigned, WrongAlgorithm);
}

#[test]
fn by_their_signature() {
    for (what, header, secret, algorithm, expected) in [
        (
            "HS384",
            r#"{"alg":"HS384"}"#,
            SECRET,
            Algorithm::HS384,
            WrongAlgorithm,
        ),
        (
            "HS512",
            r#"{"alg":"HS512"}"#,
            SECRET,
            Algorithm::HS512,
            WrongAlgorithm,
        ),
        (
            "HS512 said to be HS256",
            HS256,
            SECRET,
            Algorithm::HS512,
            BadSignature,
        ),
        (
            "secret of another key",
            HS256,
            OTHER_SECRET,
            Algorithm::HS256,
            BadSignature,
        ),
        ("empty secret", HS256, "", Algorithm::HS256, BadSignature),
        (
            "name of the key as secret",
            HS256,
            "key",
            Algorithm::HS256,
            BadSignature,
        ),
    ] {
        refused(what, &token(header, GOOD, secret, algorithm), expected);
    }
}

#[test]
fn by_one_claim() {
    for (name, value, expected) in [
        ("iss", "", UnknownKey),
        ("iss", "\"\"", UnknownKey),
        ("iss", "\"stranger\"", UnknownKey),
        ("iss", "\"KEY\"", UnknownKey),
        ("iss", "\"other\"", BadSignature),
        ("iss", "[\"key\"]", Malformed(Claims)),
        ("exp", "", MissingExpiry),
        ("exp", "null", MissingExpiry),
        ("exp", "\"1800000600\"", Malformed(Claims)),
        ("exp", "1800000600.5", Malformed(Claims)),
        ("exp", "1800000600.0", Malformed(Claims)),
        ("exp", "1e18", Malformed(Claims)),
        ("exp", "-1", Malformed(Claims)),
        ("exp", "99999999999999999999", Malformed(Claims)),
        ("exp", "true", Malformed(Claims)),
        ("exp", "[1800000600]", Malformed(Claims)),
        ("exp", "0", Expired),
        ("exp", "1700000000", Expired),
        ("exp", "1799999939", Expired),
        ("nbf", "\"1\"", Malformed(Claims)),
        ("nbf", "1.5", Malformed(Claims)),
        ("nbf", "-1", Malformed(Claims)),
        ("nbf", "1800000061", NotYetValid),
        ("nbf", "18446744073709551615", NotYetValid),
        ("sub", "7", Malformed(Claims)),
        ("sub", "null", Malformed(Claims)),
        ("name", "[]", Malformed(Claims)),
        ("attributes", "[]", Malformed(Claims)),
        ("attributes", r#"{"a":1}"#, Malformed(Claims)),
        ("video", "\"all\"", Malformed(Claims)),
        (
            "video",
            "[true,true,true,true,true,\"r\"]",
            Malformed(Claims),
        ),
        ("video", r#"{"roomJoin":"true"}"#, Malformed(Claims)),
        ("video", r#"{"roomJoin":1}"#, Malformed(Claims)),
        ("video", r#"{"roomJoin":null}"#, Malformed(Claims)),
        (
            "video",
            r#"{"roomJoin":false,"roomJoin":true}"#,
            Malformed(Claims),
        ),
        (
            "video",
            r#"{"roomJoin":true,"room":["r"]}"#,
            Malformed(Claims),
        ),
        ("video", r#"{"canPublish":"no"}"#, Malformed(Claims)),
        (
            "video",
            r#"{"canPublishSources":"camera"}"#,
            Malformed(Claims),
        ),
        ("video", r#"{"canPublishSources":[1]}"#, Malformed(Claims)),
        ("roomConfig", "[]", Malformed(Claims)),
        ("roomConfig", r#"{"emptyTimeout":"5"}"#, Malformed(Claims)),
    ] {
        refused(&format!("{name} {value}"), &with(name, value), expected);
    }
}

#[test]
fn by_their_claims_as_a_whole() {
    for (claims, expected) in [
        ("[]", Malformed(Claims)),
        (r#"["key","ann"]"#, Malformed(Claims)),
        ("null", Malformed(Claims)),
        ("x", Malformed(Claims)),
        ("{", Malformed(Claims)),
        ("{} {}", Malformed(Claims)),
        (
            r#"{"iss":"key","iss":"key","exp":1800000600}"#,
            Malformed(Claims),
        ),
        (
            r#"{"iss":"key","exp":1,"exp":1800000600}"#,
            Malformed(Claims),
        ),
        (
            r#"{"iss":"key","exp":1800000600,"sub":"a","sub":"b"}"#,
            Malformed(Claims),
        ),
        (
            r#"{"iss":"key","exp":1800000600,"video":{},"video":{}}"#,
            Malformed(Claims),
        ),
    ] {
        refused(claims, &signed(claims), expected);
    }
    let open = format!("{{\"iss\":\"key\",\"x\":{}", "[".repeat(8000));
    refused("nested without end", &signed(&open), Malformed(Claims));
    let bytes = b"{\"iss\":\"key\",\"exp\":1800000600,\"name\":\"\xff\"}";
    refused("no UTF-8", &signed_bytes(bytes), Malformed(Claims));
}
