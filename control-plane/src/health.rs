//! Signs of life for whoever runs us: alive, and ready. Must not judge nodes: we are ready when one is
//! there that takes somebody in.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Router,
    extract::State,
    response::{IntoResponse as _, Response},
    routing::get,
};
use http::StatusCode;

use crate::cluster::Cluster;

/// What the signs are read from.
pub(crate) struct Health {
    /// The nodes, of which one has to take rooms.
    pub(crate) cluster: Arc<Cluster>,
    /// Set as soon as the process is told to end.
    pub(crate) is_stopping: Arc<AtomicBool>,
}

/// The paths.
pub(crate) fn router(health: Health) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(Arc::new(health))
}

async fn ready(State(health): State<Arc<Health>>) -> Response {
    let not = |why| (StatusCode::SERVICE_UNAVAILABLE, why).into_response();
    if health.is_stopping.load(Ordering::Relaxed) {
        return not("shutting down\n");
    }
    let members = health.cluster.nodes().all();
    if members.is_empty() {
        return not("no media node is there\n");
    }
    if members.iter().all(|member| member.is_draining()) {
        return not("all media nodes are draining\n");
    }
    "ready\n".into_response()
}
