//! The HTTP paths of the gateway. Owns paths, CORS and the WebSocket upgrade; a connection is
//! admitted, and its first answer fetched from the node, before the upgrade, so that refusals have
//! a status that SDKs read. Must not carry signalling. RFC 6455 section 4.

use std::time::Instant;

use axum::{
    Router,
    extract::{
        Query, State,
        rejection::QueryRejection,
        ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection},
    },
    response::{IntoResponse as _, Response},
    routing::{any, get},
};
use http::{HeaderMap, Method, StatusCode};
use tower_http::cors::{AllowHeaders, Any, CorsLayer};
use tracing::{Instrument as _, field::Empty};

use super::{
    admission::Admission,
    connection::{self, Opened},
    direct,
    node::{self, First},
    params::Params,
    refusal::{self, Refusal},
    state::SignalState,
};

/// Bytes read from a connection at once; the library's own choice is 128 KiB for each.
const READ_BUFFER: usize = 8 * 1024;

/// Users write base addresses with and without a slash at the end, so that SDKs make two of them.
const RTC: [&str; 4] = ["/rtc", "/rtc/", "//rtc", "//rtc/"];
const VALIDATE: [&str; 4] = [
    "/rtc/validate",
    "/rtc/validate/",
    "//rtc/validate",
    "//rtc/validate/",
];
/// The later form of the protocol, with one connection per participant. SDKs fall back on 404
/// alone, and some ask the validate path too and look for a 404 that does not speak of a missing
/// room.
const NOT_SPOKEN: [&str; 8] = [
    "/rtc/v1",
    "/rtc/v1/",
    "//rtc/v1",
    "//rtc/v1/",
    "/rtc/v1/validate",
    "/rtc/v1/validate/",
    "//rtc/v1/validate",
    "//rtc/v1/validate/",
];

/// The direct API, which no SDK speaks.
const DIRECT: &str = "/direct";
const VALIDATE_DIRECT: &str = "/direct/validate";

type Pairs = Query<Vec<(String, String)>>;

/// The paths of the gateway, to be merged into a server. Request logs around it must leave out the
/// query: it holds the token.
pub fn router(state: SignalState) -> Router {
    let cors = CorsLayer::new()
        .allow_origin(Any)
        .allow_methods([Method::GET, Method::OPTIONS])
        .allow_headers(AllowHeaders::mirror_request());
    let mut router = Router::new();
    for path in RTC {
        router = router.route(path, any(connect));
    }
    for path in VALIDATE {
        router = router.route(path, get(validate));
    }
    router = router
        .route(DIRECT, any(connect_direct))
        .route(VALIDATE_DIRECT, get(validate_direct));
    for path in NOT_SPOKEN {
        router = router.route(path, any(not_spoken));
    }
    router.layer(cors).with_state(state)
}

async fn not_spoken() -> Response {
    refusal::text(StatusCode::NOT_FOUND, "not found".to_owned())
}

/// Tells an SDK whose upgrade failed why; a browser does not let it see the answer to the upgrade.
async fn validate(
    State(state): State<SignalState>,
    headers: HeaderMap,
    query: Result<Pairs, QueryRejection>,
) -> Response {
    check(&state, &headers, sdk_params(query)).await
}

/// The same for a client of the direct API.
async fn validate_direct(
    State(state): State<SignalState>,
    headers: HeaderMap,
    query: Result<Pairs, QueryRejection>,
) -> Response {
    check(&state, &headers, direct_params(query)).await
}

async fn check(
    state: &SignalState,
    headers: &HeaderMap,
    params: Result<Params, Refusal>,
) -> Response {
    let shared = &state.shared;
    let checked = async {
        let admission = admit(state, headers, params)?;
        if admission.join.must_exist {
            let limit = shared.config.node_timeout;
            node::require_room(shared.nodes.as_ref(), &admission.join, limit).await?;
        }
        Ok::<_, Refusal>(())
    };
    match checked.await {
        Ok(()) => refusal::text(StatusCode::OK, "success".to_owned()),
        Err(refusal) => refusal.into_response(),
    }
}

async fn connect(
    State(state): State<SignalState>,
    headers: HeaderMap,
    query: Result<Pairs, QueryRejection>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let largest = state.shared.config.max_message_bytes;
    upgraded(state, headers, sdk_params(query), upgrade, largest).await
}

async fn connect_direct(
    State(state): State<SignalState>,
    headers: HeaderMap,
    query: Result<Pairs, QueryRejection>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let largest = direct::MAX_MESSAGE_BYTES;
    upgraded(state, headers, direct_params(query), upgrade, largest).await
}

/// `largest` is in bytes, of a message of the client.
async fn upgraded(
    state: SignalState,
    headers: HeaderMap,
    params: Result<Params, Refusal>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
    largest: usize,
) -> Response {
    let Ok(upgrade) = upgrade else {
        return Refusal::NoUpgrade.into_response();
    };
    let span = tracing::info_span!("join", room = Empty, participant = Empty, refused = Empty);
    let opened = open(&state, &headers, params)
        .instrument(span.clone())
        .await;
    let opened = match opened {
        Ok(opened) => opened,
        Err(refusal) => {
            span.record("refused", refusal.label());
            state.shared.metrics.on_refused(refusal.label());
            return refusal.into_response();
        }
    };
    let config = &state.shared.config;
    let tasks = state.shared.tasks.clone();
    upgrade
        .read_buffer_size(READ_BUFFER)
        .max_message_size(largest)
        .max_frame_size(largest)
        .max_write_buffer_size(config.max_write_buffer_bytes)
        .on_upgrade(move |socket| tasks.track_future(connection::run(state.shared, socket, opened)))
}

async fn open(
    state: &SignalState,
    headers: &HeaderMap,
    params: Result<Params, Refusal>,
) -> Result<Opened, Refusal> {
    let shared = &state.shared;
    let admission = admit(state, headers, params)?;
    let (place, waiting) = shared.enter(&admission)?;
    let started = Instant::now();
    let join = admission.join.clone();
    let limit = shared.config.node_timeout;
    let (session, first) = node::open(shared.nodes.as_ref(), join, limit).await?;
    let (how, joined) = match &first {
        First::Joined(joined) => ("joined", Some(joined)),
        First::Resumed(joined) => ("resumed", Some(joined)),
        First::Closed(_) => ("closed", None),
    };
    shared.metrics.on_answered(how, started.elapsed());
    if let Some(joined) = joined {
        let span = tracing::Span::current();
        span.record("room", joined.room.as_ref().map_or("", |room| &room.id));
        span.record(
            "participant",
            joined.participant.as_ref().map_or("", |own| &own.id),
        );
    }
    Ok(Opened {
        admission,
        session,
        first,
        place,
        waiting,
    })
}

fn admit(
    state: &SignalState,
    headers: &HeaderMap,
    params: Result<Params, Refusal>,
) -> Result<Admission, Refusal> {
    Admission::new(&state.shared.keys, &state.shared.config, headers, params?)
}

fn sdk_params(query: Result<Pairs, QueryRejection>) -> Result<Params, Refusal> {
    Ok(Params::read(pairs(query)?)?)
}

fn direct_params(query: Result<Pairs, QueryRejection>) -> Result<Params, Refusal> {
    Ok(Params::read_direct(pairs(query)?))
}

fn pairs(query: Result<Pairs, QueryRejection>) -> Result<Vec<(String, String)>, Refusal> {
    let malformed = |_| Refusal::BadRequest("query is malformed".to_owned());
    query.map(|Query(pairs)| pairs).map_err(malformed)
}
