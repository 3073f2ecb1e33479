//! The calls of a simulated node. Owns how late and in which order they are acted upon. Must not hold anything.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::{Stream, stream};
use plenum_proto::{
    node::{
        self, AdminReply, AdminRequest, Done, FenceRequest, FenceResponse, NodeStatus,
        SessionRequest, StatusRequest, admin_reply::Kind as Reply, admin_request::Kind as Command,
        node_server::Node, session_request,
    },
    v1::{self, CloseReason, ListRoomsResponse},
};
use sfu_node::{EVENTS_AFTER, epochs::Stale};
use tokio::{sync::mpsc, time::sleep};
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::{faults::Fault, node::SimNode};

/// A message that comes once more comes so much later.
const AGAIN: Duration = Duration::from_millis(900);

/// See the module.
pub(super) struct Service(pub(super) Arc<SimNode>);

type Boxed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl Node for Service {
    type SessionStream = Boxed<node::SessionEvent>;
    type WatchEventsStream = Boxed<v1::Event>;

    async fn session(
        &self,
        request: Request<Streaming<SessionRequest>>,
    ) -> Result<Response<Self::SessionStream>, Status> {
        use session_request::Kind;
        let mut requests = request.into_inner();
        self.0.take().await;
        let first = requests.message().await?.and_then(|first| first.kind);
        let Some(Kind::Join(join)) = first else {
            return Err(Status::invalid_argument("join first"));
        };
        if self
            .0
            .is_draining
            .load(std::sync::atomic::Ordering::Relaxed)
        {
            return Err(reason("DRAINING", "draining"));
        }
        let home = join.home.clone().unwrap_or_default();
        if home.node_id != self.0.id {
            return Err(Status::failed_precondition("it has no relay"));
        }
        let name = join.room.as_ref().map_or("", |room| &room.name).to_owned();
        let (to, events) = mpsc::unbounded_channel();
        let control = self.0.with(|held| held.join(join, &to)).map_err(stale)?;
        self.0.shared.admitted(&name, home.epoch, &self.0.id);
        let node = Arc::clone(&self.0);
        self.0.spawn(async move {
            let mut has_left = false;
            while let Ok(Some(request)) = requests.message().await {
                has_left |= matches!(request.kind, Some(Kind::Leave(_)));
            }
            node.gate().await;
            node.with(|held| held.control_ended(control, has_left));
        });
        Ok(Response::new(Box::pin(UnboundedReceiverStream::new(
            events,
        ))))
    }

    async fn admin(&self, request: Request<AdminRequest>) -> Result<Response<AdminReply>, Status> {
        self.0.take().await;
        let kind = Some(admin(&self.0, request.into_inner())?);
        Ok(Response::new(AdminReply { kind }))
    }

    async fn watch_events(
        &self,
        request: Request<v1::WatchEventsRequest>,
    ) -> Result<Response<Self::WatchEventsStream>, Status> {
        self.0.take().await;
        let v1::WatchEventsRequest {
            after_sequence,
            from_first,
            ..
        } = request.into_inner();
        let newest = *self.0.newest.borrow();
        let after = usize::try_from(after_sequence).unwrap();
        if after > newest {
            return Err(Status::out_of_range("it has not happened"));
        }
        let after = if after == 0 && !from_first {
            newest
        } else {
            after
        };
        let events = stream::unfold((Arc::clone(&self.0), after), |(node, after)| async move {
            let mut newest = node.newest.subscribe();
            newest.wait_for(|newest| *newest > after).await.ok()?;
            node.gate().await;
            let event = node.held().log.get(after).cloned()?;
            Some((Ok(event), (node, after + 1)))
        });
        let mut answer: Response<Self::WatchEventsStream> = Response::new(Box::pin(events));
        answer
            .metadata_mut()
            .insert(EVENTS_AFTER, (after as u64).into());
        Ok(answer)
    }

    async fn status(&self, _: Request<StatusRequest>) -> Result<Response<NodeStatus>, Status> {
        self.0.take().await;
        Ok(Response::new(NodeStatus {
            node_id: self.0.id.clone(),
            epoch: self.0.id.clone(),
            draining: self
                .0
                .is_draining
                .load(std::sync::atomic::Ordering::Relaxed),
            ..NodeStatus::default()
        }))
    }

    async fn fence(
        &self,
        request: Request<FenceRequest>,
    ) -> Result<Response<FenceResponse>, Status> {
        let FenceRequest { room, epoch } = request.into_inner();
        self.0.take().await;
        self.0.with(|held| held.fence(&room, epoch));
        let node = Arc::clone(&self.0);
        self.0.spawn(async move {
            sleep(AGAIN).await;
            node.gate().await;
            node.shared.fired.note(Fault::Duplicate);
            node.with(|held| held.fence(&room, epoch));
        });
        Ok(Response::new(FenceResponse {}))
    }

    async fn cordon(
        &self,
        _: Request<node::CordonRequest>,
    ) -> Result<Response<node::CordonResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }

    async fn drain(
        &self,
        _: Request<node::DrainRequest>,
    ) -> Result<Response<node::DrainResponse>, Status> {
        Err(Status::unimplemented("not here"))
    }
}

fn admin(node: &SimNode, request: AdminRequest) -> Result<Reply, Status> {
    let name = match &request.kind {
        Some(Command::CreateRoom(create)) => create.config.as_ref().map(|c| c.name.clone()),
        Some(Command::UpdateRoom(update)) => Some(update.room.clone()),
        Some(Command::GetRoom(get)) => Some(get.room.clone()),
        Some(Command::GetParticipant(get)) => Some(get.room.clone()),
        Some(Command::DeleteRoom(delete)) => Some(delete.room.clone()),
        _ => None,
    };
    let Some(name) = name else {
        let present = node.held().present();
        return Ok(match request.kind {
            Some(Command::ListPresent(_)) => Reply::Present(present),
            _ => Reply::Rooms(ListRoomsResponse {
                rooms: present.rooms,
            }),
        });
    };
    let is_new = matches!(request.kind, Some(Command::CreateRoom(_)));
    if is_new && node.is_draining.load(std::sync::atomic::Ordering::Relaxed) {
        return Err(reason("DRAINING", "draining"));
    }
    let admitted = node.with(|held| held.epochs.admit(&name, request.epoch));
    admitted.map_err(stale)?;
    node.shared.admitted(&name, request.epoch, &node.id);
    let missing = || {
        let details = ErrorDetails::with_resource_info("room", "", "", "");
        Status::with_error_details(Code::NotFound, "no such room", details)
    };
    node.with(|held| match request.kind {
        Some(Command::CreateRoom(create)) => {
            let room = held.room(create.config.unwrap_or_default(), request.room_id);
            Ok(Reply::Room(room.room.clone()))
        }
        Some(Command::UpdateRoom(update)) => {
            let held = held.rooms.get_mut(&name).ok_or_else(missing)?;
            held.room.metadata = update.metadata.unwrap_or_default();
            Ok(Reply::Room(held.room.clone()))
        }
        Some(Command::DeleteRoom(_)) => {
            held.rooms.get(&name).ok_or_else(missing)?;
            let (reason, action) = (CloseReason::RoomDeleted, node::CloseAction::Disconnect);
            held.end(&name, reason, action);
            Ok(Reply::Done(Done {}))
        }
        Some(Command::GetParticipant(get)) => {
            let held = held.rooms.get(&name).ok_or_else(missing)?;
            let found = held.stays.get(&get.identity);
            let found = found.ok_or_else(|| Status::not_found("no such participant"))?;
            Ok(Reply::Participant(v1::Participant {
                id: found.id.clone(),
                identity: get.identity,
                ..v1::Participant::default()
            }))
        }
        _ => {
            let held = held.rooms.get(&name).ok_or_else(missing)?;
            Ok(Reply::Room(held.room.clone()))
        }
    })
}

fn stale(stale: Stale) -> Status {
    reason("STALE", &stale.to_string())
}

/// As a node names what a control plane acts upon.
fn reason(reason: &str, message: &str) -> Status {
    let details = ErrorDetails::with_error_info(reason, "sim", [] as [(String, String); 0]);
    Status::with_error_details(Code::Aborted, message, details)
}
