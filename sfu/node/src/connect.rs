//! Calls to a node in the same process, over memory instead of a network.
//!
//! Owns the in-memory listener and the channels to it. They speak gRPC like any other, so that a
//! control plane sees no difference between this node and one far away.

use std::io;

use hyper_util::rt::TokioIo;
use plenum_proto::node::node_server::NodeServer;
use tokio::{io::DuplexStream, sync::mpsc};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::{sync::CancellationToken, task::TaskTracker};
use tonic::transport::{Channel, Endpoint, Server, Uri};

use crate::service::NodeService;

/// Bytes under way in each direction of a connection.
const PIPE_BYTES: usize = 256 * 1024;

/// Connections that wait to be served.
const BACKLOG: usize = 64;

/// Bytes one call may have unread, and all calls of a connection together: far apart, so that slow
/// readers do not hold up the others.
const STREAM_WINDOW: u32 = 256 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024 * 1024;

/// Calls of one connection at a time; a control plane keeps one for each of its participants.
const MAX_CALLS: u32 = 100_000;

/// The way to a node in this process.
#[derive(Debug, Clone)]
pub(crate) struct InMemory {
    connections: mpsc::Sender<io::Result<DuplexStream>>,
}

impl InMemory {
    /// Serves connections until told to stop.
    pub(crate) fn serve(
        service: NodeServer<NodeService>,
        stop: CancellationToken,
        tasks: &TaskTracker,
    ) -> Self {
        let (connections, incoming) = mpsc::channel(BACKLOG);
        tasks.spawn(async move {
            let server = Server::builder()
                .max_concurrent_streams(MAX_CALLS)
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW)
                .add_service(service)
                .serve_with_incoming_shutdown(
                    ReceiverStream::new(incoming),
                    stop.clone().cancelled_owned(),
                );
            // A caller that does not hang up cannot keep a stopped node.
            tokio::select! {
                outcome = server => {
                    if let Err(error) = outcome {
                        tracing::warn!(%error, "in-memory service ended");
                    }
                }
                () = stop.cancelled() => {}
            }
        });
        Self { connections }
    }

    /// A channel that connects when it is first used, and again when it has to.
    pub(crate) fn channel(&self) -> Channel {
        let connections = self.connections.clone();
        // The address is never resolved.
        Endpoint::from_static("http://node.invalid")
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .connect_with_connector_lazy(tower::service_fn(move |_: Uri| {
                let connections = connections.clone();
                async move {
                    let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
                    match connections.send(Ok(theirs)).await {
                        Ok(()) => Ok(TokioIo::new(ours)),
                        Err(_) => Err(io::Error::from(io::ErrorKind::ConnectionRefused)),
                    }
                }
            }))
    }
}
