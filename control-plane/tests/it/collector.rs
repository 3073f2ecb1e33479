//! Metrics and traces on their way to a collector: the whole program against a collector of the tests.

use http::{Method, StatusCode};
use opentelemetry_proto::tonic::collector::{
    metrics::v1::{
        ExportMetricsServiceRequest, ExportMetricsServiceResponse,
        metrics_service_server::{MetricsService, MetricsServiceServer},
    },
    trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

use crate::{
    process::{end, greeting, serving},
    support::{admin, request, send},
};

/// Passes on the names of what it is sent.
#[derive(Clone)]
struct Collector(mpsc::UnboundedSender<String>);

#[tonic::async_trait]
impl MetricsService for Collector {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let scopes = request
            .into_inner()
            .resource_metrics
            .into_iter()
            .flat_map(|of| of.scope_metrics);
        for metric in scopes.flat_map(|scope| scope.metrics) {
            let _ = self.0.send(format!("metric {}", metric.name));
        }
        Ok(Response::new(ExportMetricsServiceResponse::default()))
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let scopes = request
            .into_inner()
            .resource_spans
            .into_iter()
            .flat_map(|of| of.scope_spans);
        for span in scopes.flat_map(|scope| scope.spans) {
            let _ = self.0.send(format!("span {}", span.name));
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn metrics_and_traces_reach_a_collector() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!(
        "telemetry.otlp_endpoint=http://{}",
        listener.local_addr().unwrap()
    );
    let (sender, mut names) = mpsc::unbounded_channel();
    let collector = Collector(sender);
    let server = Server::builder()
        .add_service(MetricsServiceServer::new(collector.clone()))
        .add_service(TraceServiceServer::new(collector))
        .serve_with_incoming(TcpListenerStream::new(listener));
    let server = tokio::spawn(server);

    let mut child = serving(&[endpoint.as_str()]);
    let (child, greeting) = tokio::task::spawn_blocking(move || {
        let greeting = greeting(&mut child);
        (child, greeting)
    })
    .await
    .unwrap();
    let base = greeting
        .split_whitespace()
        .find_map(|word| word.strip_prefix("http://"))
        .unwrap();
    let bearer = format!("Bearer {}", admin("tea"));
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
    ];
    let list = request(
        Method::POST,
        "/twirp/livekit.RoomService/ListRooms",
        &headers,
        "{}",
    );
    assert_eq!(
        send(base.parse().unwrap(), list).await.status,
        StatusCode::OK
    );
    // Everything that waits is sent before the process ends.
    tokio::task::spawn_blocking(move || end(child))
        .await
        .unwrap();
    server.abort();

    let mut seen = Vec::new();
    while let Ok(name) = names.try_recv() {
        seen.push(name);
    }
    for name in [
        "metric plenum.node.rooms",
        "metric plenum.api.calls",
        "span api call",
    ] {
        assert!(
            seen.iter().any(|one| one == name),
            "{name} missing in {seen:?}"
        );
    }
}
