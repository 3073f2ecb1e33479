//! The page, joining as a guest, and signs of life.

use http::{Method, StatusCode};
use plenum_proto::v1::{Side, SubscriptionReason};
use serde_json::json;

use crate::support::{get, keys, plenum, post_json, request, send};

const HTML: (&str, &str) = ("accept", "text/html,application/xhtml+xml");

#[tokio::test]
async fn it_is_alive_ready_and_measured() {
    let running = plenum().await;
    let to = running.http_addr();
    for (path, expected) in [("/healthz", "ok\n"), ("/readyz", "ready\n"), ("/", "OK")] {
        let answer = get(to, path, &[]).await;
        assert_eq!(
            (answer.status, answer.text()),
            (StatusCode::OK, expected),
            "{path}"
        );
    }
    let metrics = get(to, "/metrics", &[]).await;
    assert!(
        metrics
            .header("content-type")
            .starts_with("text/plain; version=0.0.4")
    );
    for metric in [
        "plenum_node_rooms 0",
        "plenum_node_drops_total{reason=\"malformed\"} 0",
        "plenum_http_connections 1",
    ] {
        assert!(
            metrics.text().contains(metric),
            "{metric} missing in {}",
            metrics.text()
        );
    }
    running.shutdown().await;
}

#[tokio::test]
async fn metrics_can_be_switched_off() {
    let mut config = crate::support::config();
    config.telemetry.prometheus = false;
    let running = crate::support::start(config).await;
    assert_eq!(
        get(running.http_addr(), "/metrics", &[]).await.status,
        StatusCode::NOT_FOUND
    );
    running.shutdown().await;
}

/// What is open to everybody does not show them then.
#[tokio::test]
async fn metrics_can_have_a_listener_to_themselves() {
    let mut config = crate::support::config();
    config.telemetry.prometheus_listen = Some(([127, 0, 0, 1], 0).into());
    let running = crate::support::start(config).await;
    let to = running.metrics_addr().expect("a listener");
    let metrics = get(to, "/metrics", &[]).await;
    for metric in [
        "plenum_nodes{state=\"open\"} 1",
        "plenum_nodes_lost_total 0",
        "plenum_store_calls_total{answer=\"refused\",call=\"commit\"} 0",
        "plenum_webhooks_total{end=\"given_up\"} 0",
        "plenum_webhooks_oldest_age_seconds 0",
    ] {
        assert!(
            metrics.text().contains(metric),
            "{metric} missing in {}",
            metrics.text()
        );
    }
    for (at, path) in [
        (running.http_addr(), "/metrics"),
        (to, "/"),
        (to, "/healthz"),
    ] {
        let answer = get(at, path, &[]).await;
        assert_eq!(answer.status, StatusCode::NOT_FOUND, "{at} {path}");
    }
    running.shutdown().await;
}

#[tokio::test]
async fn browsers_get_the_page_with_its_files_and_safe_headers() {
    let running = plenum().await;
    let to = running.http_addr();
    let page = get(to, "/", &[HTML]).await;
    assert_eq!(page.header("content-type"), "text/html; charset=utf-8");
    let policy = page.header("content-security-policy");
    assert!(
        policy.contains("default-src 'none'") && !policy.contains("unsafe"),
        "{policy}"
    );
    assert!(page.header("permissions-policy").contains("camera=(self)"));

    let mut files = 0;
    for name in page
        .text()
        .split('"')
        .filter_map(|part| part.strip_prefix("/assets/"))
    {
        let file = get(to, &format!("/assets/{name}"), &[]).await;
        assert_eq!(file.status, StatusCode::OK, "{name}");
        assert_eq!(file.header("x-content-type-options"), "nosniff");
        files += 1;
    }
    assert!(files > 2, "the page names {files} files");
    let script = get(to, "/assets/app.js", &[]).await;
    assert_eq!(
        script.header("content-type"),
        "text/javascript; charset=utf-8"
    );

    let again = get(
        to,
        "/assets/app.js",
        &[("if-none-match", script.header("etag"))],
    )
    .await;
    assert_eq!(
        (again.status, again.body.len()),
        (StatusCode::NOT_MODIFIED, 0)
    );
    for path in [
        "/assets/none.js",
        "/assets/../Cargo.toml",
        "/assets/%2e%2e/Cargo.toml",
        "/none",
    ] {
        assert_eq!(
            get(to, path, &[]).await.status,
            StatusCode::NOT_FOUND,
            "{path}"
        );
    }
    running.shutdown().await;
}

#[tokio::test]
async fn a_guest_gets_a_token_for_the_room() {
    let running = plenum().await;
    let to = running.http_addr();
    assert_eq!(
        get(to, "/web/config", &[]).await.json()["guest_access"],
        json!(true)
    );

    let answer = post_json(to, "/web/join", &json!({"room": " tea ", "name": "Ada L."})).await;
    assert_eq!(answer.status, StatusCode::OK);
    let answer = answer.json();
    assert_eq!(answer["room"], "tea");
    let verified = keys().verify(answer["token"].as_str().unwrap()).unwrap();
    assert_eq!(verified.require_join(), Ok("tea"));
    assert_eq!(verified.identity(), answer["identity"].as_str().unwrap());
    assert!(
        verified.identity().starts_with("ada-l-"),
        "{}",
        verified.identity()
    );
    assert_eq!(verified.claims().name, "Ada L.");
    assert!(verified.require_room_admin("tea").is_err());

    let long = "x".repeat(65);
    for bad in [
        json!({"room": "", "name": "Ada"}),
        json!({"room": "tea", "name": " "}),
        json!({"room": "tea", "name": "a\nb"}),
        json!({"room": long, "name": "Ada"}),
    ] {
        let refused = post_json(to, "/web/join", &bad).await;
        assert_eq!(refused.status, StatusCode::BAD_REQUEST, "{bad}");
        assert!(refused.json()["error"].is_string());
    }
    let not_json = request(
        Method::POST,
        "/web/join",
        &[("content-type", "text/plain")],
        "{}",
    );
    assert_eq!(
        send(to, not_json).await.status,
        StatusCode::UNSUPPORTED_MEDIA_TYPE
    );
    running.shutdown().await;
}

#[tokio::test]
async fn the_page_is_told_why_only_of_who_asks() {
    let running = plenum().await;
    let to = running.http_addr();
    let path = "/web/subscriptions";
    assert_eq!(get(to, path, &[]).await.status, StatusCode::UNAUTHORIZED);
    let guest = post_json(to, "/web/join", &json!({"room": "tea", "name": "Ada"})).await;
    let bearer = format!("Bearer {}", guest.json()["token"].as_str().unwrap());
    let refused = get(to, path, &[("authorization", &bearer)]).await;
    assert_eq!(refused.status, StatusCode::NOT_FOUND);
    assert!(refused.json()["error"].is_string(), "{}", refused.text());
    running.shutdown().await;
}

#[tokio::test]
async fn the_page_has_words_for_whatever_it_is_told() {
    let running = plenum().await;
    let words = get(running.http_addr(), "/assets/rtc/explain.js", &[]).await;
    let reasons = (0..).map_while(|number| SubscriptionReason::try_from(number).ok());
    let sides = (0..).map_while(|number| Side::try_from(number).ok());
    let names = reasons.map(|reason| reason.as_str_name());
    let mut told = 0;
    for name in names.chain(sides.map(|side| side.as_str_name())) {
        assert!(words.text().contains(&format!(" {name}: '")), "{name}");
        told += 1;
    }
    assert!(told >= 20, "{told}");
    running.shutdown().await;
}

#[tokio::test]
async fn without_guest_access_nobody_gets_a_token() {
    let mut config = crate::support::config();
    config.web.guest_access = Some(false);
    let running = crate::support::start(config).await;
    let to = running.http_addr();
    assert_eq!(
        get(to, "/web/config", &[]).await.json()["guest_access"],
        json!(false)
    );
    let refused = post_json(to, "/web/join", &json!({"room": "tea", "name": "Ada"})).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    assert!(refused.json()["error"].is_string());
    running.shutdown().await;
}

#[tokio::test]
async fn pages_of_other_origins_may_call_the_api_but_not_join_as_guests() {
    let running = plenum().await;
    let to = running.http_addr();
    let asked = [
        ("origin", "https://app.example"),
        ("access-control-request-method", "POST"),
        (
            "access-control-request-headers",
            "authorization,content-type",
        ),
    ];
    let path = "/twirp/livekit.RoomService/ListRooms";
    let preflight = send(to, request(Method::OPTIONS, path, &asked, "")).await;
    assert_eq!(preflight.header("access-control-allow-origin"), "*");
    assert_eq!(
        preflight.header("access-control-allow-headers"),
        "authorization,content-type"
    );
    let guest = send(to, request(Method::OPTIONS, "/web/join", &asked, "")).await;
    assert_eq!(guest.header("access-control-allow-origin"), "");
    running.shutdown().await;
}

#[tokio::test]
async fn leading_slashes_count_as_one() {
    let running = plenum().await;
    assert_eq!(
        get(running.http_addr(), "//healthz", &[]).await.status,
        StatusCode::OK
    );
    running.shutdown().await;
}

#[tokio::test]
async fn after_the_end_nobody_listens() {
    let running = plenum().await;
    let to = running.http_addr();
    running.shutdown().await;
    assert!(tokio::net::TcpStream::connect(to).await.is_err());
}

#[tokio::test]
async fn what_is_wrong_keeps_it_from_starting() {
    let mut config = crate::support::config();
    config.http.listen.set_ip([0, 0, 0, 0].into());
    let error = control_plane::run::start(config)
        .await
        .err()
        .expect("refused")
        .to_string();
    assert!(
        error.contains("http.listen") && error.contains("devkey"),
        "{error}"
    );

    let running = plenum().await;
    let mut config = crate::support::config();
    config.http.listen = running.http_addr();
    let error = control_plane::run::start(config)
        .await
        .err()
        .expect("refused")
        .to_string();
    assert!(
        error.contains("http.listen") && error.contains("cannot be listened on"),
        "{error}"
    );
    running.shutdown().await;
}
