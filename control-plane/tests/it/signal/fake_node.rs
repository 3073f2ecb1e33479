//! A media node that does nothing by itself: each session is handed to the test, which plays its
//! part.

use std::net::SocketAddr;

use plenum_proto::{
    node::{
        AdminReply, AdminRequest, CordonRequest, CordonResponse, DrainRequest, DrainResponse,
        FenceRequest, FenceResponse, Join, NodeStatus, SessionEvent, SessionRequest, StatusRequest,
        node_server::{Node, NodeServer},
        session_event, session_request,
    },
    v1,
};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::{Request, Response, Status, Streaming, transport::Server};

use super::soon;

/// The node's end of one session.
pub(crate) struct FakeSession {
    /// What the gateway asked for first.
    pub(crate) join: Join,
    requests: Streaming<SessionRequest>,
    events: mpsc::Sender<Result<SessionEvent, Status>>,
}

/// Sessions as they are opened.
pub(crate) struct FakeNode {
    pub(crate) address: SocketAddr,
    sessions: mpsc::UnboundedReceiver<FakeSession>,
}

struct Service {
    sessions: mpsc::UnboundedSender<FakeSession>,
    /// Answer to every call instead of the usual one.
    refusal: Option<Status>,
}

impl FakeNode {
    /// A node that opens sessions.
    pub(crate) async fn start() -> Self {
        Self::start_with(None).await
    }

    /// A node that refuses everything when given a refusal.
    pub(crate) async fn start_with(refusal: Option<Status>) -> Self {
        let (sender, sessions) = mpsc::unbounded_channel();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let service = Service {
            sessions: sender,
            refusal,
        };
        let server = Server::builder().add_service(NodeServer::new(service));
        tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Self { address, sessions }
    }

    /// The next session that is opened.
    pub(crate) async fn session(&mut self) -> FakeSession {
        soon(self.sessions.recv())
            .await
            .expect("the node lives as long as the test")
    }
}

impl FakeSession {
    /// Tells the gateway.
    pub(crate) async fn tell(&self, kind: session_event::Kind) {
        soon(self.events.send(Ok(SessionEvent { kind: Some(kind) })))
            .await
            .unwrap();
    }

    /// Ends the session with a status.
    pub(crate) async fn fail(self, status: Status) {
        soon(self.events.send(Err(status))).await.unwrap();
    }

    /// The next request that is no ping; `None` once the gateway has gone.
    pub(crate) async fn request(&mut self) -> Option<session_request::Kind> {
        soon(async {
            loop {
                match self.requests.message().await {
                    Ok(Some(SessionRequest {
                        kind: Some(session_request::Kind::Ping(_)),
                    })) => {}
                    Ok(Some(request)) => return request.kind,
                    Ok(None) | Err(_) => return None,
                }
            }
        })
        .await
    }
}

#[tonic::async_trait]
impl Node for Service {
    type SessionStream = ReceiverStream<Result<SessionEvent, Status>>;
    type WatchEventsStream = ReceiverStream<Result<v1::Event, Status>>;

    async fn session(
        &self,
        request: Request<Streaming<SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        if let Some(refusal) = &self.refusal {
            return Err(refusal.clone());
        }
        let mut requests = request.into_inner();
        let Some(SessionRequest {
            kind: Some(session_request::Kind::Join(join)),
        }) = requests.message().await?
        else {
            return Err(Status::invalid_argument("the first request is join"));
        };
        let (events, stream) = mpsc::channel(16);
        let _ = self.sessions.send(FakeSession {
            join,
            requests,
            events,
        });
        Ok(Response::new(ReceiverStream::new(stream)))
    }

    async fn admin(&self, _: Request<AdminRequest>) -> Result<Response<AdminReply>, Status> {
        match &self.refusal {
            Some(refusal) => Err(refusal.clone()),
            None => Ok(Response::new(AdminReply::default())),
        }
    }

    async fn watch_events(
        &self,
        _: Request<v1::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }

    async fn fence(&self, _: Request<FenceRequest>) -> Result<Response<FenceResponse>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }

    async fn cordon(&self, _: Request<CordonRequest>) -> Result<Response<CordonResponse>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }

    async fn drain(&self, _: Request<DrainRequest>) -> Result<Response<DrainResponse>, Status> {
        Err(Status::unimplemented("not asked for here"))
    }

    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<NodeStatus>, Status> {
        Ok(Response::new(NodeStatus::default()))
    }
}
