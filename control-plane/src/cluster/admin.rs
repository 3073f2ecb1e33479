//! Commands on rooms, put to the node that has the answer. Owns the way there, and what the store has to know of a
//! command. Must not check what a caller may do.

use std::{sync::Arc, time::Duration};

use plenum_proto::{
    node::{
        AdminRequest, ForwardParticipant, admin_reply::Kind as Reply,
        admin_request::Kind as Command,
    },
    v1::{self, RoomConfig},
};
use tokio::time::sleep;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use super::{Cluster, Located, Make, Member};
use crate::{
    error::CallError,
    signal::{Seat, unfit},
};

/// Times the node of a room is looked for when the one that was named cannot answer.
const ATTEMPTS: usize = 3;

/// How long a room may take to settle that was being moved.
const SETTLING: Duration = Duration::from_millis(300);

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
            let asked = self.ask_home(&located, command.as_ref()).await;
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

    /// Puts a command to the home of a room, or makes the room there when there is none. A room whose home was lost comes
    /// back with its settings before anything is asked of it; whoever placed it anew may have lost the store's answer, and
    /// then only the home's not knowing it shows that.
    async fn ask_home(
        &self,
        located: &Located,
        command: Option<&Command>,
    ) -> Result<Reply, Status> {
        let create = Command::CreateRoom(v1::CreateRoomRequest {
            config: located.record.config.clone(),
        });
        let Some(command) = command else {
            return self.ask(located, create).await;
        };
        if !located.is_new {
            let answer = self.ask(located, command.clone()).await;
            if !answer.as_ref().is_err_and(is_no_room) {
                return answer;
            }
        }
        self.ask(located, create).await?;
        self.ask(located, command.clone()).await
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

    /// Lets a participant appear in another room too, which is placed if need be.
    pub(crate) async fn forward(
        &self,
        request: v1::ForwardParticipantRequest,
    ) -> Result<(), CallError> {
        // No room is placed for somebody who is not there.
        let present = Command::GetParticipant(v1::GetParticipantRequest {
            room: request.room.clone(),
            identity: request.identity.clone(),
        });
        self.command(&request.room, present).await?;
        let destination = RoomConfig {
            name: request.destination_room.clone(),
            ..RoomConfig::default()
        };
        let mut over = None;
        for attempt in 1.. {
            let located = self.locate(&destination, Make::IfAbsent, over).await?;
            let command = Command::ForwardParticipant(ForwardParticipant {
                request: Some(request.clone()),
                destination: located.record.config.clone(),
                home: Some(located.home_node()),
                destination_id: located.record.room_id.clone(),
            });
            match self.command(&request.room, command).await {
                Err(CallError::Node(status)) if attempt < ATTEMPTS => {
                    let is_over = is_displaced(&status).ok_or(CallError::Node(status))?;
                    over = is_over.then_some(located.epoch);
                    sleep(SETTLING).await;
                }
                Ok(Reply::Done(_)) => return Ok(()),
                Ok(_) => break,
                Err(error) => return Err(error),
            }
        }
        Err(CallError::UnexpectedReply)
    }

    /// Media that comes in without WebRTC on all nodes, by id.
    pub(crate) async fn list_ingresses(
        &self,
        request: v1::ListIngressesRequest,
    ) -> Result<v1::ListIngressesResponse, CallError> {
        let command = Command::ListIngresses(request);
        let mut ingresses = self.of_all_nodes(&command, ingresses).await?;
        ingresses.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(v1::ListIngressesResponse { ingresses })
    }

    /// Media that goes out without WebRTC on all nodes, by id.
    pub(crate) async fn list_egresses(
        &self,
        request: v1::ListEgressesRequest,
    ) -> Result<v1::ListEgressesResponse, CallError> {
        let command = Command::ListEgresses(request);
        let mut egresses = self.of_all_nodes(&command, egresses).await?;
        egresses.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(v1::ListEgressesResponse { egresses })
    }

    /// The rooms of all nodes, oldest first.
    pub(crate) async fn list_rooms(
        &self,
        request: v1::ListRoomsRequest,
    ) -> Result<v1::ListRoomsResponse, CallError> {
        let command = Command::ListRooms(request);
        let mut rooms = self.of_all_nodes(&command, rooms).await?;
        rooms.sort_by(|a, b| age(a).cmp(&age(b)));
        Ok(v1::ListRoomsResponse { rooms })
    }

    /// What all nodes list, asked one after the other; a node that is gone has nothing.
    async fn of_all_nodes<T>(
        &self,
        command: &Command,
        of: fn(Reply) -> Option<Vec<T>>,
    ) -> Result<Vec<T>, CallError> {
        let mut all = Vec::new();
        for member in self.nodes().all() {
            match ask_node(&member, command.clone()).await {
                Ok(reply) => all.extend(of(reply).ok_or(CallError::UnexpectedReply)?),
                Err(_) if self.nodes().suspect(&member).await => {}
                Err(status) => return Err(status.into()),
            }
        }
        Ok(all)
    }
}

fn rooms(reply: Reply) -> Option<Vec<v1::Room>> {
    match reply {
        Reply::Rooms(listed) => Some(listed.rooms),
        _ => None,
    }
}

fn ingresses(reply: Reply) -> Option<Vec<v1::Ingress>> {
    match reply {
        Reply::Ingresses(listed) => Some(listed.ingresses),
        _ => None,
    }
}

fn egresses(reply: Reply) -> Option<Vec<v1::Egress>> {
    match reply {
        Reply::Egresses(listed) => Some(listed.egresses),
        _ => None,
    }
}

/// Asks one node, whatever room it is about.
pub(super) async fn ask_node(member: &Member, command: Command) -> Result<Reply, Status> {
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
    let reply = ask_node(member, Command::ListRooms(request.clone())).await?;
    rooms(reply).ok_or_else(|| Status::internal("an answer to another question"))
}

fn age(room: &v1::Room) -> ((i64, i32), &str) {
    let created = room.created_at.as_ref().map(|at| (at.seconds, at.nanos));
    (created.unwrap_or_default(), &room.name)
}

/// The node knows of no such room. Of one that was there and has ended it says so: that is stale.
fn is_no_room(status: &Status) -> bool {
    let details = status.get_error_details();
    let what = details.resource_info().map(|info| &info.resource_type);
    status.code() == Code::NotFound && what.is_some_and(|what| what == "room")
}

/// Whether the placement is over of a room that a participant is to be forwarded to, where that room is why it was not.
fn is_displaced(status: &Status) -> Option<bool> {
    match status.get_details_error_info()?.reason.as_str() {
        "DESTINATION" => Some(false),
        "DESTINATION_STALE" => Some(true),
        _ => None,
    }
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
