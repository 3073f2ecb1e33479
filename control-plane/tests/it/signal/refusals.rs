//! Refusals before a WebSocket is there: status and text, which SDKs read.

use std::time::Duration;

use axum::body::Body;
use control_plane::{
    auth::{MintRequest, VideoGrants},
    signal::{self, SignalConfig},
};
use http::{Method, Request, Response, header};
use http_body_util::BodyExt as _;
use plenum_proto::{
    node::{self, session_event::Kind as Event},
    v1::CloseReason,
};
use tonic::Status;
use tower::ServiceExt as _;

use super::{fake_node::FakeNode, world::World};

async fn ask(world: &World, request: Request<Body>) -> (Response<()>, String) {
    let response = signal::router(world.state.clone())
        .oneshot(request)
        .await
        .unwrap();
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (
        Response::from_parts(parts, ()),
        String::from_utf8(body.to_vec()).unwrap(),
    )
}

async fn get(world: &World, target: &str) -> (u16, String) {
    let (response, body) = ask(world, Request::get(target).body(Body::empty()).unwrap()).await;
    (response.status().as_u16(), body)
}

fn token(world: &World, change: impl FnOnce(&mut MintRequest)) -> String {
    let grants = VideoGrants {
        room_join: true,
        room: "r".into(),
        ..VideoGrants::default()
    };
    let mut request = MintRequest {
        identity: "ann".into(),
        grants,
        ttl: Duration::from_secs(60),
        ..MintRequest::default()
    };
    change(&mut request);
    world.keys.mint("key", request).unwrap()
}

#[tokio::test]
async fn bad_tokens_are_refused_with_a_text_on_both_paths() {
    let world = World::new().await;
    let good = world.token();
    let (message, _) = good.rsplit_once('.').unwrap();
    let changed = format!("{message}.{}", "A".repeat(43));
    let no_join = token(&world, |request| request.grants.room_join = false);
    let nobody = token(&world, |request| request.identity.clear());
    for (token, status, text) in [
        ("", 401, "invalid token: no access token"),
        (
            "x",
            401,
            "invalid token: malformed access token: not a signed JWT",
        ),
        (
            changed.as_str(),
            401,
            "invalid token: access token has a wrong signature",
        ),
        (
            no_join.as_str(),
            401,
            "access token lacks the grant roomJoin",
        ),
        (nobody.as_str(), 400, "access token has no identity"),
    ] {
        let query = format!("?access_token={token}&protocol=17");
        let (validated, said) = get(&world, &format!("/rtc/validate{query}")).await;
        assert_eq!(validated, status, "{text}");
        assert!(said.starts_with(text), "{said}");
        assert_eq!(world.refused(&format!("/rtc{query}")).await, (status, said));
    }
    assert_eq!(world.counted.count("refused token"), 3);
    assert_eq!(world.counted.count("refused grant"), 2);
}

#[tokio::test]
async fn a_good_token_is_valid_wherever_it_stands() {
    let world = World::new().await;
    let success = (200, "success".to_owned());
    for path in ["/rtc/validate", "/rtc/validate/", "//rtc/validate"] {
        let target = format!("{path}?access_token={}", world.token());
        assert_eq!(get(&world, &target).await, success, "{path}");
    }
    let request = Request::get("/rtc/validate")
        .header(header::AUTHORIZATION, format!("Bearer {}", world.token()))
        .body(Body::empty())
        .unwrap();
    assert_eq!(ask(&world, request).await.1, "success");
}

#[tokio::test]
async fn the_later_protocol_is_not_found_so_that_sdks_fall_back() {
    let world = World::new().await;
    for path in [
        "/rtc/v1",
        "/rtc/v1/",
        "//rtc/v1",
        "/rtc/v1/validate",
        "//rtc/v1/validate",
    ] {
        let target = format!("{path}?access_token={}", world.token());
        let (status, text) = get(&world, &target).await;
        assert_eq!(status, 404, "{path}");
        assert!(!text.contains("requested room does not exist"), "{path}");
        assert_eq!(world.refused(&target).await.0, 404, "{path}");
    }
}

#[tokio::test]
async fn slashes_too_many_are_forgiven() {
    let mut world = World::new().await;
    for path in ["/rtc", "/rtc/", "//rtc", "//rtc/"] {
        let target = format!("{path}?access_token={}", world.token());
        let connector = world.connector();
        let (client, ()) = tokio::join!(connector.connect_to(&target), async {
            let session = world.node.session().await;
            session.tell(Event::Closed(node::Closed::default())).await;
        });
        assert!(client.is_ok(), "{path}");
    }
}

#[tokio::test]
async fn what_is_no_upgrade_or_no_query_is_refused() {
    let world = World::new().await;
    let target = format!("/rtc?access_token={}", world.token());
    assert_eq!(get(&world, &target).await.0, 404);
    for query in ["&protocol=x", "&attributes=x", "&client_protocol=-1"] {
        let (status, _) = world.refused(&format!("{target}{query}")).await;
        assert_eq!(status, 400, "{query}");
    }
}

#[tokio::test]
async fn pages_of_any_origin_may_ask() {
    let world = World::new().await;
    let request = Request::builder()
        .method(Method::OPTIONS)
        .uri("/rtc/validate")
        .header(header::ORIGIN, "https://app.example.org")
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, "GET")
        .header(
            header::ACCESS_CONTROL_REQUEST_HEADERS,
            "authorization,x-custom",
        )
        .body(Body::empty())
        .unwrap();
    let (response, _) = ask(&world, request).await;
    assert!(response.status().is_success());
    assert_eq!(response.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    let allowed = &response.headers()[header::ACCESS_CONTROL_ALLOW_HEADERS];
    assert_eq!(allowed, "authorization,x-custom");

    for target in ["/rtc/validate", "/rtc/v1/validate"] {
        let request = Request::get(target)
            .header(header::ORIGIN, "https://app.example.org")
            .body(Body::empty())
            .unwrap();
        let (response, _) = ask(&world, request).await;
        assert_eq!(
            response.headers()[header::ACCESS_CONTROL_ALLOW_ORIGIN],
            "*",
            "{target}"
        );
    }
}

#[tokio::test]
async fn refusals_of_the_node_have_a_status() {
    for (status, expected) in [
        (
            Status::not_found("room"),
            (404, "requested room does not exist"),
        ),
        (
            Status::resource_exhausted("rooms"),
            (503, "no capacity for another participant"),
        ),
        (
            Status::invalid_argument("metadata: too long"),
            (400, "metadata: too long"),
        ),
        (
            Status::unavailable("draining"),
            (503, "no media node is available"),
        ),
        (
            Status::permission_denied("gateway"),
            (503, "no media node is available"),
        ),
    ] {
        let node = FakeNode::start_with(Some(status)).await;
        let world = World::between(node, SignalConfig::default()).await;
        let target = format!("/rtc?access_token={}", world.token());
        let (code, text) = world.refused(&target).await;
        assert_eq!((code, text.as_str()), expected);
    }
}

#[tokio::test]
async fn a_full_node_may_say_so_in_its_first_event() {
    let mut world = World::new().await;
    let target = format!("/rtc?access_token={}", world.token());
    let connector = world.connector();
    let (refused, ()) = tokio::join!(connector.refused(&target), async {
        let reason = CloseReason::LimitExceeded.into();
        let closed = node::Closed {
            reason,
            ..Default::default()
        };
        world.node.session().await.tell(Event::Closed(closed)).await;
    });
    assert_eq!(
        refused,
        (503, "no capacity for another participant".to_owned())
    );
}

#[tokio::test]
async fn a_missing_room_is_told_where_joins_create_none() {
    let node = FakeNode::start_with(Some(Status::not_found("room"))).await;
    let config = SignalConfig {
        auto_create: false,
        ..SignalConfig::default()
    };
    let world = World::between(node, config).await;
    let target = format!("/rtc/validate?access_token={}", world.token());
    let expected = (404, "requested room does not exist".to_owned());
    assert_eq!(get(&world, &target).await, expected);
}

#[tokio::test]
async fn a_node_that_does_not_answer_is_not_waited_for() {
    let config = SignalConfig {
        node_timeout: Duration::from_millis(100),
        ..Default::default()
    };
    let world = World::with(config).await;
    let target = format!("/rtc?access_token={}", world.token());
    let expected = (503, "no media node is available".to_owned());
    assert_eq!(world.refused(&target).await, expected);
}
