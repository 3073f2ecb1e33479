//! The HTTP resources: endpoints to publish and to play, and the sessions that come of them. Owns paths,
//! methods, content types and headers. Must not speak to the node. RFC 9725 section 4.

use axum::{
    Json, Router,
    body::Bytes,
    extract::{
        DefaultBodyLimit, Path, Query, State,
        rejection::{BytesRejection, JsonRejection},
    },
    middleware,
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{CONTENT_TYPE, ETAG, IF_MATCH, LOCATION},
};
use serde::Deserialize;
use tokio::sync::oneshot;

use super::{
    admission::{Admission, Purpose, subject, token},
    cors::{self, ACCEPT_PATCH, ACCEPT_POST},
    fragment::Fragment,
    links,
    problem::Problem,
    session::{Command, Session},
    sse::{self, Selection},
    state::{Shared, WhipState},
    task::{self, Opened, Opening},
};
use crate::signal::Refusal;

const SDP: &str = "application/sdp";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
const JSON: &str = "application/json";

/// For clients that take nothing but a URL.
#[derive(Debug, Default, Deserialize)]
struct InUrl {
    access_token: Option<String>,
}

type Token = Query<InUrl>;

/// The paths, to be merged into a server. Request logs around it must leave out the query: it may hold
/// a token.
pub fn router(state: WhipState) -> Router {
    let endpoint = |handler| get(nothing).options(endpoint_options).merge(handler);
    let mut router = Router::new();
    for path in ["/whip", "/whip/", "/whip/{room}"] {
        router = router.route(path, endpoint(post(publish)));
    }
    for path in ["/whep", "/whep/", "/whep/{room}", "/whep/{room}/{identity}"] {
        router = router.route(path, endpoint(post(play)));
    }
    let body = state.shared.config.max_body.bytes();
    router
        .route(
            "/session/{id}",
            get(seen).patch(patch).delete(end).options(session_options),
        )
        .route(
            "/session/{id}/layer",
            post(choose_layer).options(extension_options),
        )
        .route(
            "/session/{id}/sse",
            get(all_events).post(make_stream).options(extension_options),
        )
        .route(
            "/session/{id}/sse/{stream}",
            get(stream_events)
                .delete(end_stream)
                .options(extension_options),
        )
        .layer(DefaultBodyLimit::max(body))
        .layer(middleware::from_fn(cors::open))
        .with_state(state)
}

/// Resources have nothing to be read (RFC 9725 section 4.1).
async fn nothing() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// What an endpoint's path names.
#[derive(Debug, Default, Deserialize)]
struct Target {
    room: Option<String>,
    identity: Option<String>,
}

async fn publish(
    State(WhipState { shared }): State<WhipState>,
    Path(target): Path<Target>,
    query: Token,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    open(shared, target.room, Purpose::Publish, query, headers, body).await
}

async fn play(
    State(WhipState { shared }): State<WhipState>,
    Path(target): Path<Target>,
    query: Token,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let purpose = Purpose::Play {
        of: target.identity,
    };
    open(shared, target.room, purpose, query, headers, body).await
}

async fn open(
    shared: std::sync::Arc<Shared>,
    room: Option<String>,
    purpose: Purpose,
    Query(in_url): Token,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) => return rejection.into_response(),
    };
    let is_playing = purpose != Purpose::Publish;
    let opened = async {
        let token = token(&headers, in_url.access_token.as_deref())?;
        let (keys, signal) = (&shared.keys, &shared.signal);
        let admission = Admission::new(
            keys,
            signal,
            &headers,
            token,
            room.as_deref(),
            purpose.clone(),
        )?;
        let offer = text(&headers, SDP, &body)?;
        let (place, waiting) = shared.enter(&admission.owner, &purpose)?;
        let opening = Opening {
            admission,
            offer,
            place,
            waiting,
        };
        // On a task of its own: a client that goes away in the middle leaves nothing behind.
        let (sender, opened) = oneshot::channel();
        let task = task::run(std::sync::Arc::clone(&shared), opening, sender);
        shared.tasks.spawn(task);
        opened.await.unwrap_or(Err(Refusal::NoNode.into()))
    };
    match opened.await {
        Ok(opened) => created(&shared, opened, is_playing),
        Err(problem) => problem.into_response(),
    }
}

fn created(shared: &Shared, opened: Opened, is_playing: bool) -> Response {
    let Opened {
        session,
        answer,
        tag,
    } = opened;
    let mut response = (StatusCode::CREATED, answer).into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(SDP));
    headers.insert(ACCEPT_PATCH, HeaderValue::from_static(FRAGMENT));
    for (name, value) in [(LOCATION, session.path()), (ETAG, tag)] {
        insert(headers, name, &value);
    }
    let servers = shared
        .ice
        .ice_servers(&session.owner.room, &session.owner.identity);
    links::servers(headers, &servers);
    if is_playing {
        links::extensions(headers, &session.path());
    }
    response
}

/// RFC 9725 sections 4.2 and 4.6: what may be posted, and, unless a browser asks on its own, the STUN and
/// TURN servers, for clients that must know them before they offer.
async fn endpoint_options(
    State(WhipState { shared }): State<WhipState>,
    Query(in_url): Token,
    method: Method,
    headers: HeaderMap,
) -> Response {
    let accept = (ACCEPT_POST, HeaderValue::from_static(SDP));
    let mut response = cors::options(&headers, accept);
    if !cors::is_preflight(&method, &headers)
        && let Ok(token) = token(&headers, in_url.access_token.as_deref())
        && let Ok(verified) = shared.keys.verify(token)
        && let Ok(owner) = subject(&verified)
    {
        let servers = shared.ice.ice_servers(&owner.room, &owner.identity);
        links::servers(response.headers_mut(), &servers);
    }
    response
}

async fn session_options(headers: HeaderMap) -> Response {
    cors::options(&headers, (ACCEPT_PATCH, HeaderValue::from_static(FRAGMENT)))
}

async fn extension_options(headers: HeaderMap) -> Response {
    cors::options(&headers, (ACCEPT_POST, HeaderValue::from_static(JSON)))
}

async fn seen(
    State(WhipState { shared }): State<WhipState>,
    Path(id): Path<String>,
) -> Result<StatusCode, Problem> {
    shared.session(&id).map(|_| StatusCode::NO_CONTENT)
}

async fn patch(
    State(WhipState { shared }): State<WhipState>,
    Path(id): Path<String>,
    Query(in_url): Token,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Response {
    let body = match body {
        Ok(body) => body,
        Err(rejection) => return rejection.into_response(),
    };
    let patched = async {
        let session = shared.session(&id)?;
        session.check_owner(&shared.keys, &headers, in_url.access_token.as_deref())?;
        session.check_rate()?;
        let fragment = Fragment::read(&text(&headers, FRAGMENT, &body)?)?;
        let if_match = headers.get(IF_MATCH).and_then(|tags| tags.to_str().ok());
        let if_match = if_match.map(str::to_owned);
        let ask = |reply| Command::Patch {
            if_match,
            fragment,
            reply,
        };
        session.ask(ask).await?
    };
    match patched.await {
        Ok(None) => StatusCode::NO_CONTENT.into_response(),
        Ok(Some(restarted)) => {
            let mut response = (StatusCode::OK, restarted.fragment).into_response();
            let headers = response.headers_mut();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(FRAGMENT));
            insert(headers, ETAG, &restarted.tag);
            response
        }
        Err(problem) => problem.into_response(),
    }
}

/// An entity tag is of no matter here (RFC 9725 section 4.3.1).
async fn end(
    State(WhipState { shared }): State<WhipState>,
    Path(id): Path<String>,
    Query(in_url): Token,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let session = shared.session(&id)?;
    session.check_owner(&shared.keys, &headers, in_url.access_token.as_deref())?;
    session.ask(|reply| Command::End { reply }).await?;
    Ok(StatusCode::OK)
}

async fn choose_layer(
    State(WhipState { shared }): State<WhipState>,
    Path(id): Path<String>,
    Query(in_url): Token,
    headers: HeaderMap,
    body: Result<Json<Selection>, JsonRejection>,
) -> Result<StatusCode, Problem> {
    let session = player(&shared, &id)?;
    session.check_owner(&shared.keys, &headers, in_url.access_token.as_deref())?;
    session.check_rate()?;
    let wanted = json(body)?;
    let ask = |reply| Command::Layer { wanted, reply };
    session.ask(ask).await??;
    Ok(StatusCode::OK)
}

async fn make_stream(
    State(WhipState { shared }): State<WhipState>,
    Path(id): Path<String>,
    Query(in_url): Token,
    headers: HeaderMap,
    body: Result<Json<Vec<String>>, JsonRejection>,
) -> Result<Response, Problem> {
    let session = player(&shared, &id)?;
    session.check_owner(&shared.keys, &headers, in_url.access_token.as_deref())?;
    session.check_rate()?;
    let events = json(body)?;
    let player = session.player.as_ref().ok_or(Problem::NoSession)?;
    let location = format!("{}/sse/{}", session.path(), player.streams.make(events)?);
    let mut response = StatusCode::CREATED.into_response();
    insert(response.headers_mut(), LOCATION, &location);
    Ok(response)
}

/// Who knows the path of a session may listen to it: a browser's event source sends no token.
async fn all_events(
    State(WhipState { shared }): State<WhipState>,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let session = player(&shared, &id)?;
    let player = session.player.as_ref().ok_or(Problem::NoSession)?;
    Ok(sse::events(player.told.clone(), sse::every()).into_response())
}

async fn stream_events(
    State(WhipState { shared }): State<WhipState>,
    Path((id, stream)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let session = player(&shared, &id)?;
    let player = session.player.as_ref().ok_or(Problem::NoSession)?;
    let found = player.streams.find(&stream)?;
    Ok(sse::events(player.told.clone(), found).into_response())
}

async fn end_stream(
    State(WhipState { shared }): State<WhipState>,
    Path((id, stream)): Path<(String, String)>,
    Query(in_url): Token,
    headers: HeaderMap,
) -> Result<StatusCode, Problem> {
    let session = player(&shared, &id)?;
    session.check_owner(&shared.keys, &headers, in_url.access_token.as_deref())?;
    let player = session.player.as_ref().ok_or(Problem::NoSession)?;
    player.streams.end(&stream)?;
    Ok(StatusCode::OK)
}

/// A session that plays.
fn player(shared: &Shared, id: &str) -> Result<std::sync::Arc<Session>, Problem> {
    let session = shared.session(id)?;
    session
        .player
        .is_some()
        .then_some(session)
        .ok_or(Problem::NoSession)
}

/// The body, which must be text of this type.
fn text(headers: &HeaderMap, kind: &'static str, body: &Bytes) -> Result<String, Problem> {
    let given = headers
        .get(CONTENT_TYPE)
        .and_then(|given| given.to_str().ok());
    let given = given
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default();
    if !given.trim().eq_ignore_ascii_case(kind) {
        return Err(Problem::WrongType(kind));
    }
    let text = std::str::from_utf8(body);
    let text = text.map_err(|_| Problem::Malformed("the body is not UTF-8".to_owned()))?;
    Ok(text.to_owned())
}

fn json<T>(body: Result<Json<T>, JsonRejection>) -> Result<T, Problem> {
    match body {
        Ok(Json(value)) => Ok(value),
        Err(JsonRejection::MissingJsonContentType(_)) => Err(Problem::WrongType(JSON)),
        Err(rejection) => Err(Problem::Malformed(rejection.body_text())),
    }
}

/// Sets a header whose value is made of characters that a header may have.
fn insert(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}
