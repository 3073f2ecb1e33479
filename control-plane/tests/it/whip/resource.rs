//! What may be asked of a session: candidates, a restart of ICE, its end; and by whom.

use http::{Method, StatusCode};

use super::world::{FRAGMENT, PUBLISH, World, token};

const CANDIDATES: &str = "m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:a174B\r\n\
    a=ice-pwd:wkl8bGkrYJrOQEzzq8tM7kQZ\r\n\
    a=candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag a174B\r\n\
    a=candidate:2 1 udp 2122260223 abcd-ef.local 61764 typ host\r\na=end-of-candidates\r\n";

const RESTART: &str = "a=ice-options:trickle ice2\r\na=group:BUNDLE 0 1\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:ysXw\r\n\
    a=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k\r\n\
    a=candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host generation 0 ufrag ysXw\r\n";

fn ufrag(text: &str) -> &str {
    let mut lines = text.lines();
    lines
        .find_map(|line| line.strip_prefix("a=ice-ufrag:"))
        .expect("a user name")
}

#[tokio::test]
async fn candidates_trickle_in_for_the_session_that_the_tag_names() {
    let world = World::new().await;
    let ann = token("ann");
    let (path, tag) = world.opened("/whip", &ann, PUBLISH).await;
    for (if_match, status) in [
        (Some(tag.as_str()), 204),
        (Some("*"), 204),
        (Some("\"a\", \"b\""), 412),
        (Some("\"stale\""), 412),
        (None, 428),
    ] {
        let answer = world.patch(&path, &ann, if_match, CANDIDATES).await;
        assert_eq!(answer.status.as_u16(), status, "{if_match:?}");
        assert_eq!(answer.header("etag"), "", "{if_match:?}");
    }
    for (body, status) in [("", 400), ("nonsense", 400), ("a=ice-ufrag:x\r\n", 400)] {
        let answer = world.patch(&path, &ann, Some(&tag), body).await;
        assert_eq!(answer.status.as_u16(), status, "{body}: {}", answer.text());
    }
    let bearer = format!("Bearer {ann}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/sdp"),
        ("if-match", tag.as_str()),
    ];
    let answer = world.ask(Method::PATCH, &path, &headers, CANDIDATES).await;
    assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE);
    world.running.shutdown().await;
}

#[tokio::test]
async fn ice_restarts_under_a_new_tag() {
    let world = World::new().await;
    let ann = token("ann");
    let opened = world.post("/whip", &ann, PUBLISH).await;
    let (path, first) = (opened.header("location"), opened.header("etag"));
    let answer = world.patch(path, &ann, Some("*"), RESTART).await;
    assert_eq!(answer.status, StatusCode::OK, "{}", answer.text());
    assert_eq!(answer.header("content-type"), FRAGMENT);
    let second = answer.header("etag");
    assert!(!second.is_empty() && second != first);
    let fragment = answer.text();
    assert!(fragment.contains("a=ice-lite\r\n"), "{fragment}");
    assert!(fragment.contains("a=mid:0\r\n"), "{fragment}");
    assert!(fragment.contains("a=candidate:"), "{fragment}");
    assert_ne!(ufrag(fragment), ufrag(opened.text()));
    // What was under way for the session before comes too late.
    let late = world.patch(path, &ann, Some(first), CANDIDATES).await;
    assert_eq!(late.status, StatusCode::PRECONDITION_FAILED);
    let candidates = RESTART.replace("a=candidate:1", "a=candidate:7");
    let more = world.patch(path, &ann, Some(second), &candidates).await;
    assert_eq!(more.status, StatusCode::NO_CONTENT);
    let participants = world.participants("r").await;
    assert_eq!(participants[0]["tracks"].as_array().map(Vec::len), Some(2));
    world.running.shutdown().await;
}

#[tokio::test]
async fn a_session_is_its_owners_alone() {
    let world = World::new().await;
    let (ann, bob) = (token("ann"), token("bob"));
    let (path, tag) = world.opened("/whip", &ann, PUBLISH).await;
    assert_eq!(world.delete(&path, &bob).await, StatusCode::FORBIDDEN);
    assert_eq!(world.delete(&path, "").await, StatusCode::UNAUTHORIZED);
    let answer = world.patch(&path, &bob, Some(&tag), CANDIDATES).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    let guessed = format!("{}A", &path[..path.len() - 1]);
    assert_eq!(world.delete(&guessed, &ann).await, StatusCode::NOT_FOUND);
    let answer = world.patch(&guessed, &ann, Some(&tag), CANDIDATES).await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    assert_eq!(world.participants("r").await.len(), 1);

    assert_eq!(world.delete(&path, &ann).await, StatusCode::OK);
    world.until_participants("r", 0).await;
    assert_eq!(world.delete(&path, &ann).await, StatusCode::NOT_FOUND);
    // It plays nothing, so there is nothing to choose.
    let layer = format!("{path}/layer");
    let bearer = format!("Bearer {ann}");
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
    ];
    let answer = world.ask(Method::POST, &layer, &headers, "{}").await;
    assert_eq!(answer.status, StatusCode::NOT_FOUND);
    world.running.shutdown().await;
}

#[tokio::test]
async fn a_participant_that_a_backend_removes_has_no_session_any_more() {
    let world = World::new().await;
    let ann = token("ann");
    let (path, _) = world.opened("/whip", &ann, PUBLISH).await;
    // The same identity again takes the place of the first.
    let (newer, _) = world.opened("/whip", &ann, PUBLISH).await;
    let gone = async {
        while world.ask(Method::GET, &path, &[], "").await.status != StatusCode::NOT_FOUND {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(crate::support::PATIENCE, gone)
        .await
        .expect("the older session ends");
    assert_eq!(world.delete(&newer, &ann).await, StatusCode::OK);
    world.running.shutdown().await;
}
