//! The two listeners of `sfu`: gRPC for control planes, and HTTP for whoever runs it. Owns them. Must not answer
//! anything of rooms.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, http::StatusCode, response::IntoResponse as _, routing::get};
use plenum_service::{
    cluster::Trust,
    config::HttpConfig,
    serve::{self, Server},
    telemetry::MetricsExport,
};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;
use tonic::service::interceptor::InterceptedService;

use super::{SfuConfig, SfuError, report::Reporter};
use crate::node::Node;

/// The listeners before anybody is let in.
pub(super) struct Bound {
    cluster: TcpListener,
    http: TcpListener,
    address: SocketAddr,
}

impl Bound {
    /// Where control planes reach us.
    pub(super) fn cluster_address(&self) -> SocketAddr {
        self.address
    }
}

/// Takes both addresses: they are what most often cannot be had.
pub(super) async fn bind(config: &SfuConfig) -> Result<Bound, SfuError> {
    let listen = async |key, address| {
        TcpListener::bind(address)
            .await
            .map_err(|source| SfuError::Listen {
                key,
                address,
                source,
            })
    };
    let cluster = listen("cluster.listen", config.cluster.listen).await?;
    let http = serve::bind(&config.http).map_err(|source| SfuError::Listen {
        key: "http.listen",
        address: config.http.listen,
        source,
    })?;
    let address = cluster.local_addr().map_err(|source| SfuError::Listen {
        key: "cluster.listen",
        address: config.cluster.listen,
        source,
    })?;
    Ok(Bound {
        cluster,
        http,
        address,
    })
}

/// The listeners at work.
pub(super) struct Listeners {
    cluster: SocketAddr,
    http: Server,
    stop: CancellationToken,
    serving: JoinHandle<Result<(), tonic::transport::Error>>,
    metrics: MetricsExport,
}

impl Listeners {
    pub(super) fn start(
        bound: Bound,
        node: &Node,
        reporter: &Reporter,
        trust: &Trust,
        config: &SfuConfig,
        metrics: MetricsExport,
    ) -> Result<Self, SfuError> {
        let stop = CancellationToken::new();
        let service = InterceptedService::new(node.service(), trust.guard());
        let server = trust.server().add_service(service);
        let serving = trust.clone().serve(server, bound.cluster, stop.clone());
        let serving = tokio::spawn(serving);
        let app = router(reporter, node).merge(metrics.router());
        let http = http(bound.http, app, &config.http)?;
        tracing::info!(cluster = %bound.address, http = %http.address(), "listening");
        Ok(Self {
            cluster: bound.address,
            http,
            stop,
            serving,
            metrics,
        })
    }

    pub(super) fn http(&self) -> SocketAddr {
        self.http.address()
    }

    pub(super) fn cluster(&self) -> SocketAddr {
        self.cluster
    }

    pub(super) async fn end(self, grace: Duration) {
        self.stop.cancel();
        // Control planes keep their connections open; they have been told all there is.
        if tokio::time::timeout(grace, self.serving).await.is_err() {
            tracing::debug!("control planes did not hang up");
        }
        self.http.shutdown(grace).await;
        self.metrics.end(grace).await;
    }
}

fn http(listener: TcpListener, app: Router, config: &HttpConfig) -> Result<Server, SfuError> {
    Server::start(listener, app, config).map_err(|source| SfuError::Listen {
        key: "http.listen",
        address: config.listen,
        source,
    })
}

/// `/readyz` is about taking in somebody new: a node that nobody knows, or that is being emptied, does not.
fn router(reporter: &Reporter, node: &Node) -> Router {
    let (known, going) = (reporter.is_known(), node.going());
    let ready = move || {
        let is_known = *known.borrow();
        let answer = if going() {
            (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
        } else if is_known {
            (StatusCode::OK, "ready\n")
        } else {
            (
                StatusCode::SERVICE_UNAVAILABLE,
                "no control plane knows this node\n",
            )
        };
        std::future::ready(answer.into_response())
    };
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
}
