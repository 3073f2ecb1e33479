//! Signs of life for whoever runs us: alive, ready, and the metrics. Must not judge the node: it is ready
//! when it answers and is not on its way out.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use axum::{
    Router,
    extract::State,
    response::{IntoResponse as _, Response},
    routing::get,
};
use http::{HeaderValue, StatusCode, header::CONTENT_TYPE};
use plenum_proto::node::{StatusRequest, node_client::NodeClient};
use tokio::time::timeout;
use tonic::transport::Channel;

use crate::telemetry::MetricsExport;

/// A node that takes longer to say how it is would take longer to take anybody in.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

/// What the signs are read from.
pub(crate) struct Health {
    /// The node that has to answer.
    pub(crate) node: NodeClient<Channel>,
    /// Set as soon as the process is told to end.
    pub(crate) is_stopping: Arc<AtomicBool>,
    /// The metrics to show.
    pub(crate) metrics: Arc<MetricsExport>,
}

/// The paths.
pub(crate) fn router(health: Health) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .with_state(Arc::new(health))
}

async fn ready(State(health): State<Arc<Health>>) -> Response {
    let not = |why| (StatusCode::SERVICE_UNAVAILABLE, why).into_response();
    if health.is_stopping.load(Ordering::Relaxed) {
        return not("shutting down\n");
    }
    match timeout(READY_TIMEOUT, health.node.clone().status(StatusRequest {})).await {
        Ok(Ok(status)) if status.get_ref().draining => not("the media node is draining\n"),
        Ok(Ok(_)) => "ready\n".into_response(),
        Ok(Err(_)) | Err(_) => not("the media node does not answer\n"),
    }
}

async fn metrics(State(health): State<Arc<Health>>) -> Response {
    match health.metrics.scrape() {
        Some(text) => {
            let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
            ([(CONTENT_TYPE, kind)], text).into_response()
        }
        None => StatusCode::NOT_FOUND.into_response(),
    }
}
