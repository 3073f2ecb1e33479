//! `livekit.RoomService`: each method mapped onto a call of ours and its answer back. Must not hold
//! rules of its own.

use std::sync::Arc;

use axum::response::Response;
use livekit_protocol as lk;
use plenum_proto::v1;

use super::{
    error::TwirpError,
    incoming::Incoming,
    model::{agent_wish, permissions},
};
use crate::{
    api::Calls,
    auth::Verified,
    error::CallError,
    signal::translate::{
        model::{participant, room as room_out},
        track::track_out,
    },
};

/// A room with no word on codecs: those are told to clients alone.
fn room(room: v1::Room) -> lk::Room {
    room_out(room, &[])
}

/// As it stands in the path.
pub(super) const NAME: &str = "livekit.RoomService";

/// Answers one method.
pub(super) async fn call(method: &str, incoming: Incoming<'_>) -> Result<Response, TwirpError> {
    match method {
        "CreateRoom" => incoming.run("RoomService/CreateRoom", create_room).await,
        "ListRooms" => incoming.run("RoomService/ListRooms", list_rooms).await,
        "DeleteRoom" => incoming.run("RoomService/DeleteRoom", delete_room).await,
        "ListParticipants" => {
            incoming
                .run("RoomService/ListParticipants", list_participants)
                .await
        }
        "GetParticipant" => {
            incoming
                .run("RoomService/GetParticipant", get_participant)
                .await
        }
        "RemoveParticipant" => {
            incoming
                .run("RoomService/RemoveParticipant", remove_participant)
                .await
        }
        "MutePublishedTrack" => {
            incoming
                .run("RoomService/MutePublishedTrack", mute_track)
                .await
        }
        "UpdateParticipant" => {
            incoming
                .run("RoomService/UpdateParticipant", update_participant)
                .await
        }
        "UpdateSubscriptions" => {
            incoming
                .run("RoomService/UpdateSubscriptions", update_subscriptions)
                .await
        }
        "SendData" => incoming.run("RoomService/SendData", send_data).await,
        "UpdateRoomMetadata" => {
            incoming
                .run("RoomService/UpdateRoomMetadata", update_room_metadata)
                .await
        }
        "MoveParticipant" => {
            incoming
                .run("RoomService/MoveParticipant", move_participant)
                .await
        }
        "ForwardParticipant" => {
            incoming
                .run("RoomService/ForwardParticipant", forward_participant)
                .await
        }
        "PerformRpc" => Err(TwirpError::unimplemented(format!(
            "{method} is not offered here"
        ))),
        _ => Err(TwirpError::bad_route("no handler for path")),
    }
}

async fn create_room(
    calls: Arc<Calls>,
    caller: Verified,
    request: lk::CreateRoomRequest,
) -> Result<lk::Room, CallError> {
    let config = v1::RoomConfig {
        name: request.name,
        metadata: request.metadata,
        empty_timeout: seconds(request.empty_timeout),
        departure_timeout: seconds(request.departure_timeout),
        max_participants: request.max_participants,
        agents: request.agents.into_iter().map(agent_wish).collect(),
    };
    let request = v1::CreateRoomRequest {
        config: Some(config),
    };
    Ok(room(calls.create_room(&caller, request).await?))
}

async fn list_rooms(
    calls: Arc<Calls>,
    caller: Verified,
    request: lk::ListRoomsRequest,
) -> Result<lk::ListRoomsResponse, CallError> {
    let request = v1::ListRoomsRequest {
        names: request.names,
    };
    let listed = calls.list_rooms(&caller, request).await?;
    Ok(lk::ListRoomsResponse {
        rooms: listed.rooms.into_iter().map(room).collect(),
    })
}

async fn delete_room(
    calls: Arc<Calls>,
    caller: Verified,
    request: lk::DeleteRoomRequest,
) -> Result<lk::DeleteRoomResponse, CallError> {
    calls
        .delete_room(&caller, v1::DeleteRoomRequest { room: request.room })
        .await?;
    Ok(lk::DeleteRoomResponse {})
}

async fn list_participants(
    calls: Arc<Calls>,
    caller: Verified,
    request: lk::ListParticipantsRequest,
) -> Result<lk::ListParticipantsResponse, CallError> {
    let request = v1::ListParticipantsRequest { room: request.room };
    let listed = calls.list_participants(&caller, request).await?;
    let participants = listed.participants.into_iter().map(participant).collect();
    Ok(lk::ListParticipantsResponse { participants })
}

async fn get_participant(
    calls: Arc<Calls>,
    caller: Verified,
    request: lk::RoomParticipantIdentity,
) -> Result<lk::ParticipantInfo, CallError> {
    let lk::RoomParticipantIdentity { room, identity, .. } = request;
    let request = v1::GetParticipantRequest { room, identity };
    Ok(participant(calls.get_participant(&caller, request).await?))
}

async fn remove_participant(
    calls: Arc<Calls>,
    caller: Verified,
    request: lk::RoomParticipantIdentity,
) -> Result<lk::RemoveParticipantResponse, CallError> {
    let lk::RoomParticipantIdentity { room, identity, .. } = request;
    calls
        .remove_participant(&caller, v1::RemoveParticipantRequest { room, identity })
        .await?;
    Ok(lk::RemoveParticipantResponse {})
}

async fn move_participant(
    calls: Arc<Calls>,
    caller: Verified,
    request: lk::MoveParticipantRequest,
) -> Result<lk::MoveParticipantResponse, CallError> {
    let lk::MoveParticipantRequest {
        room,
        identity,
        destination_room,
    } = request;
    let request = v1::MoveParticipantRequest {
        room,
        identity,
        destination_room,
    };
    calls.move_participant(&caller, request).await?;
    Ok(lk::MoveParticipantResponse {})
}

async fn forward_participant(
    calls: Arc<Calls>,
    caller: Verified,
    request: lk::ForwardParticipantRequest,
) -> Result<lk::ForwardParticipantResponse, CallError> {
    let lk::ForwardParticipantRequest {
        room,
        identity,
        destination_room,
    } = request;
    let request = v1::ForwardParticipantRequest {
        room,
        identity,
        destination_room,
    };
    calls.forward_participant(&caller, request).await?;
    Ok(lk::ForwardParticipantResponse {})
}

async fn mute_track(
    calls: Arc<Calls>,
    caller: Verified,
    request: lk::MuteRoomTrackRequest,
) -> Result<lk::MuteRoomTrackResponse, CallError> {
    let lk::MuteRoomTrackRequest {
        room,
        identity,
        track_sid,
        muted,
    } = request;
    let request = v1::MuteTrackRequest {
        room,
        identity,
        track_id: track_sid,
        muted,
    };
    let track = calls.mute_track(&caller, request).await?;
    Ok(lk::MuteRoomTrackResponse {
        track: Some(track_out(track)),
    })
}

async fn update_participant(
    calls: Arc<Calls>,
    caller: Verified,
    request: lk::UpdateParticipantRequest,
) -> Result<lk::ParticipantInfo, CallError> {
    // This protocol has no way to empty a text: an empty one means "as it is".
    let given = |text: String| (!text.is_empty()).then_some(text);
    let request = v1::UpdateParticipantRequest {
        room: request.room,
        identity: request.identity,
        name: given(request.name),
        metadata: given(request.metadata),
        attributes: request.attributes.into_iter().collect(),
        permissions: request.permission.map(permissions),
    };
    Ok(participant(
        calls.update_participant(&caller, request).await?,
    ))
}

async fn update_subscriptions(
    calls: Arc<Calls>,
    caller: Verified,
    request: lk::UpdateSubscriptionsRequest,
) -> Result<lk::UpdateSubscriptionsResponse, CallError> {
    let mut track_ids = request.track_sids;
    track_ids.extend(
        request
            .participant_tracks
            .into_iter()
            .flat_map(|of| of.track_sids),
    );
    let request = v1::UpdateSubscriptionsRequest {
        room: request.room,
        identity: request.identity,
        track_ids,
        subscribe: request.subscribe,
    };
    calls.update_subscriptions(&caller, request).await?;
    Ok(lk::UpdateSubscriptionsResponse {})
}

#[expect(deprecated, reason = "older SDKs name receivers by id")]
async fn send_data(
    calls: Arc<Calls>,
    caller: Verified,
    request: lk::SendDataRequest,
) -> Result<lk::SendDataResponse, CallError> {
    let reliable = request.kind() == lk::data_packet::Kind::Reliable;
    let data = v1::UserData {
        payload: request.data,
        topic: request.topic.unwrap_or_default(),
        reliable,
        destination_identities: request.destination_identities,
    };
    let send = v1::SendDataRequest {
        room: request.room,
        data: Some(data),
    };
    calls
        .send_data_to(&caller, send, request.destination_sids)
        .await?;
    Ok(lk::SendDataResponse {})
}

async fn update_room_metadata(
    calls: Arc<Calls>,
    caller: Verified,
    request: lk::UpdateRoomMetadataRequest,
) -> Result<lk::Room, CallError> {
    let request = v1::UpdateRoomRequest {
        room: request.room,
        metadata: Some(request.metadata),
        ..v1::UpdateRoomRequest::default()
    };
    Ok(room(calls.update_room(&caller, request).await?))
}

/// 0 means "as the node has it".
fn seconds(seconds: u32) -> Option<prost_types::Duration> {
    (seconds > 0).then(|| prost_types::Duration {
        seconds: i64::from(seconds),
        nanos: 0,
    })
}
