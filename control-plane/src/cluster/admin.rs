//! Commands on rooms, put to the node that has the answer. Owns the way there, and what the store has to know of a
//! command. Must not check what a caller may do.

use std::sync::Arc;

use plenum_proto::{
    node::{AdminRequest, admin_reply::Kind as Reply, admin_request::Kind as Command},
    v1::{self, RoomConfig},
};
use tonic::Status;
use tonic_types::StatusExt as _;

use super::{Cluster, Located, Make, Member};
use crate::{
    error::CallError,
    signal::{Seat, unfit},
};

/// Times the node of a room is looked for when the one that was named cannot answer.
const ATTEMPTS: usize = 3;

/// Nodes that a command is passed on to: a participant may move while it is looked for.
const HOPS: usize = 3;

impl Cluster {
    /// Creates a room, or finds the one that is there.
    pub(crate) async fn create(&self, config: RoomConfig) -> Result<v1::Room, CallError> {
        match self.put(&config, Make::IfAbsent, None).await? {
            Reply::Room(room) => Ok(room),
            _ => Err(CallError::UnexpectedReply),
        }
    }

    /// A command on a room that has to be there.
    pub(crate) async fn command(&self, room: &str, command: Command) -> Result<Reply, CallError> {
        let config = RoomConfig {
            name: room.to_owned(),
            ..RoomConfig::default()
        };
        let update = match &command {
            Command::UpdateRoom(update) => Some(update.clone()),
            _ => None,
        };
        let is_end = matches!(command, Command::DeleteRoom(_));
        let located = self.locate(&config, Make::AsIs, None).await?;
        let reply = self.put(&config, Make::AsIs, Some(command)).await?;
        // Acknowledged when both the node and the store have it.
        if let Some(update) = update {
            self.keep_config(room, |config| apply(config, &update))
                .await?;
        }
        if is_end {
            self.ended(room, &located.record.room_id).await?;
        }
        Ok(reply)
    }

    /// Puts a command to the home of a room, or makes the room there when there is none.
    async fn put(
        &self,
        config: &RoomConfig,
        mut make: Make,
        command: Option<Command>,
    ) -> Result<Reply, CallError> {
        let mut over = None;
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let located = self.locate(config, make, over).await?;
            let create = || {
                Command::CreateRoom(v1::CreateRoomRequest {
                    config: located.record.config.clone(),
                })
            };
            let asked = match &command {
                None => self.ask(&located, create()).await,
                // A room whose home was lost comes back with its settings, before anything is asked of it.
                Some(command) if located.is_new => match self.ask(&located, create()).await {
                    Ok(_) => self.ask(&located, command.clone()).await,
                    refused => refused,
                },
                Some(command) => self.ask(&located, command.clone()).await,
            };
            let status = match asked {
                Ok(reply) => return Ok(reply),
                Err(status) => status,
            };
            let Some(why) = unfit(&status) else {
                return Err(status.into());
            };
            let seat = Seat {
                node: located.home.client.clone(),
                node_id: located.home.id().to_owned(),
                home: Some(located.home_node()),
                room_id: located.record.room_id.clone(),
                config: None,
            };
            over = self.on_unfit(&seat, why).await?;
            if make == Make::AsIs {
                make = Make::Never;
            }
            last = Some(status);
        }
        Err(last.map_or(CallError::UnexpectedReply, CallError::from))
    }

    /// Asks the home, and where it names another node, that.
    async fn ask(&self, located: &Located, command: Command) -> Result<Reply, Status> {
        let mut member = Arc::clone(&located.home);
        let mut epoch = located.epoch;
        let mut hops = 0;
        loop {
            let request = AdminRequest {
                kind: Some(command.clone()),
                epoch,
                room_id: located.record.room_id.clone(),
            };
            let status = match member.client.clone().admin(request).await {
                Ok(reply) => {
                    let reply = reply.into_inner().kind;
                    return reply.ok_or_else(|| Status::internal("an answer without content"));
                }
                Err(status) => status,
            };
            let named = elsewhere(&status).and_then(|id| self.nodes().find(&id));
            match named.filter(|_| hops < HOPS) {
                Some(next) => member = next,
                None => return Err(status),
            }
            // The epoch is the home's.
            epoch = 0;
            hops += 1;
        }
    }

    /// Media that comes in without WebRTC on all nodes, by id.
    pub(crate) async fn list_ingresses(
        &self,
        request: v1::ListIngressesRequest,
    ) -> Result<v1::ListIngressesResponse, CallError> {
        let mut ingresses: Vec<v1::Ingress> = Vec::new();
        for member in self.nodes().all() {
            match ask_node(&member, Command::ListIngresses(request.clone())).await {
                Ok(Reply::Ingresses(listed)) => ingresses.extend(listed.ingresses),
                Ok(_) => return Err(CallError::UnexpectedReply),
                // With a node that is gone went what came in there.
                Err(_) if self.nodes().suspect(&member).await => {}
                Err(status) => return Err(status.into()),
            }
        }
        ingresses.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(v1::ListIngressesResponse { ingresses })
    }

    /// The rooms of all nodes, oldest first.
    pub(crate) async fn list_rooms(
        &self,
        request: v1::ListRoomsRequest,
    ) -> Result<v1::ListRoomsResponse, CallError> {
        let mut rooms: Vec<v1::Room> = Vec::new();
        for member in self.nodes().all() {
            match list(&member, &request).await {
                Ok(listed) => rooms.extend(listed),
                // A node that is gone holds no room.
                Err(_) if self.nodes().suspect(&member).await => {}
                Err(status) => return Err(status.into()),
            }
        }
        rooms.sort_by(|a, b| age(a).cmp(&age(b)));
        Ok(v1::ListRoomsResponse { rooms })
    }
}

/// Asks one node, whatever room it is about.
async fn ask_node(member: &Member, command: Command) -> Result<Reply, Status> {
    let request = AdminRequest {
        kind: Some(command),
        ..AdminRequest::default()
    };
    let reply = member.client.clone().admin(request).await?;
    let kind = reply.into_inner().kind;
    kind.ok_or_else(|| Status::internal("an answer without content"))
}

/// The rooms that a node is home of.
pub(super) async fn list(
    member: &Member,
    request: &v1::ListRoomsRequest,
) -> Result<Vec<v1::Room>, Status> {
    match ask_node(member, Command::ListRooms(request.clone())).await? {
        Reply::Rooms(rooms) => Ok(rooms.rooms),
        _ => Err(Status::internal("an answer to another question")),
    }
}

fn age(room: &v1::Room) -> ((i64, i32), &str) {
    let created = room.created_at.as_ref().map(|at| (at.seconds, at.nanos));
    (created.unwrap_or_default(), &room.name)
}

/// The node that a refusal names as having the answer.
pub(super) fn elsewhere(status: &Status) -> Option<String> {
    let info = status.get_details_error_info()?;
    (info.reason == "ELSEWHERE").then(|| info.metadata.get("node_id").cloned())?
}

fn apply(config: &mut RoomConfig, update: &v1::UpdateRoomRequest) {
    if let Some(metadata) = &update.metadata {
        config.metadata.clone_from(metadata);
    }
    if update.empty_timeout.is_some() {
        config.empty_timeout = update.empty_timeout;
    }
    if update.departure_timeout.is_some() {
        config.departure_timeout = update.departure_timeout;
    }
    if let Some(most) = update.max_participants {
        config.max_participants = most;
    }
}
