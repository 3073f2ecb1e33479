//! Every call of the public API: authorise, check, ask the node. Must not know by which surface a call
//! came, nor word its refusal.

use std::{sync::Arc, time::Instant};

use http::HeaderMap;
use plenum_proto::{
    node::{SendData, admin_reply::Kind as Reply, admin_request::Kind as Command},
    v1,
};
use tokio::{sync::Semaphore, time::timeout};
use tonic::Code;
use tracing::Instrument as _;

use super::{
    idempotent,
    validate::{Check, Limits},
};
use crate::{
    auth::{self, GrantError, Keys, Verified},
    cluster::Cluster,
    config::ApiConfig,
    error::{self, CallError},
    metrics::{Api, Metrics},
};

/// What the API needs to answer.
pub(crate) struct Settings {
    /// Verifies and mints tokens.
    pub(crate) keys: Arc<Keys>,
    /// The nodes that hold the rooms.
    pub(crate) cluster: Arc<Cluster>,
    /// Caps of what a request may carry.
    pub(crate) limits: Limits,
    /// Times and numbers.
    pub(crate) config: ApiConfig,
    /// Counts calls.
    pub(crate) metrics: Metrics,
}

/// The calls.
pub(crate) struct Calls {
    pub(super) keys: Arc<Keys>,
    pub(super) cluster: Arc<Cluster>,
    pub(super) limits: Limits,
    pub(super) config: ApiConfig,
    pub(super) event_streams: Arc<Semaphore>,
    slots: Semaphore,
    metrics: Metrics,
}

impl Calls {
    /// Answers with these settings.
    pub(crate) fn new(settings: Settings) -> Arc<Self> {
        let Settings {
            keys,
            cluster,
            limits,
            config,
            metrics,
        } = settings;
        Arc::new(Self {
            keys,
            cluster,
            limits,
            event_streams: Arc::new(Semaphore::new(config.max_event_streams as usize)),
            slots: Semaphore::new(config.max_concurrent_requests as usize),
            config,
            metrics,
        })
    }

    /// Runs one call: who asks, not too many at once, in time, counted and traced. `method` comes from a
    /// closed set.
    pub(crate) async fn run<T, F>(
        self: &Arc<Self>,
        api: Api,
        method: &'static str,
        headers: &HeaderMap,
        call: impl FnOnce(Arc<Self>, Verified) -> F,
    ) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, CallError>>,
    {
        let begun = Instant::now();
        let span = tracing::info_span!("api call", ?api, method, code = tracing::field::Empty);
        let answered = async {
            let caller = self.keys.verify(auth::bearer(headers)?)?;
            let _slot = self
                .slots
                .try_acquire()
                .map_err(|_| CallError::Busy("calls"))?;
            let answering = idempotent::scoped(headers, call(Arc::clone(self), caller));
            timeout(self.config.request_timeout, answering)
                .await
                .unwrap_or(Err(CallError::Timeout))
        };
        let result = answered.instrument(span.clone()).await;
        let code = error::label(result.as_ref().err().map_or(Code::Ok, CallError::code));
        span.record("code", code);
        self.metrics.call(api, method, code, begun.elapsed());
        result
    }

    pub(super) async fn command(&self, room: String, command: Command) -> Result<Reply, CallError> {
        self.cluster.command(&room, command).await
    }

    pub(super) fn check(&self) -> Check<'_> {
        Check::new(&self.limits)
    }

    /// Creates a room.
    pub(crate) async fn create_room(
        &self,
        caller: &Verified,
        request: v1::CreateRoomRequest,
    ) -> Result<v1::Room, CallError> {
        caller.require_room_create()?;
        let config = request.config.unwrap_or_default();
        let mut check = self.check();
        check.name("config.name", &config.name);
        check.metadata("config.metadata", &config.metadata);
        check.agents("config.agents", &config.agents);
        check.timeout("config.empty_timeout", config.empty_timeout.as_ref());
        check.timeout(
            "config.departure_timeout",
            config.departure_timeout.as_ref(),
        );
        check.finish()?;
        self.create_once(caller, config).await
    }

    /// Lists rooms.
    pub(crate) async fn list_rooms(
        &self,
        caller: &Verified,
        request: v1::ListRoomsRequest,
    ) -> Result<v1::ListRoomsResponse, CallError> {
        caller.require_room_list()?;
        let mut check = self.check();
        check.list("names", request.names.len());
        check.finish()?;
        self.cluster.list_rooms(request).await
    }

    /// One room.
    pub(crate) async fn get_room(
        &self,
        caller: &Verified,
        request: v1::GetRoomRequest,
    ) -> Result<v1::Room, CallError> {
        self.in_room(caller, &request.room)?.finish()?;
        room(
            self.command(request.room.clone(), Command::GetRoom(request))
                .await?,
        )
    }

    /// Changes a room.
    pub(crate) async fn update_room(
        &self,
        caller: &Verified,
        request: v1::UpdateRoomRequest,
    ) -> Result<v1::Room, CallError> {
        let mut check = self.in_room(caller, &request.room)?;
        check.metadata("metadata", request.metadata.as_deref().unwrap_or_default());
        check.timeout("empty_timeout", request.empty_timeout.as_ref());
        check.timeout("departure_timeout", request.departure_timeout.as_ref());
        check.finish()?;
        room(
            self.command(request.room.clone(), Command::UpdateRoom(request))
                .await?,
        )
    }

    /// Ends a room.
    pub(crate) async fn delete_room(
        &self,
        caller: &Verified,
        request: v1::DeleteRoomRequest,
    ) -> Result<v1::DeleteRoomResponse, CallError> {
        // Who may create rooms may end them: SDKs ask with that grant.
        let check = if caller.require_room_create().is_ok() {
            let mut check = self.check();
            check.name("room", &request.room);
            check
        } else {
            self.in_room(caller, &request.room)?
        };
        check.finish()?;
        done(
            self.command(request.room.clone(), Command::DeleteRoom(request))
                .await?,
        )?;
        Ok(v1::DeleteRoomResponse {})
    }

    /// Who is in a room.
    pub(crate) async fn list_participants(
        &self,
        caller: &Verified,
        request: v1::ListParticipantsRequest,
    ) -> Result<v1::ListParticipantsResponse, CallError> {
        self.in_room(caller, &request.room)?.finish()?;
        match self
            .command(request.room.clone(), Command::ListParticipants(request))
            .await?
        {
            Reply::Participants(participants) => Ok(participants),
            _ => Err(CallError::UnexpectedReply),
        }
    }

    /// One participant.
    pub(crate) async fn get_participant(
        &self,
        caller: &Verified,
        request: v1::GetParticipantRequest,
    ) -> Result<v1::Participant, CallError> {
        let mut check = self.in_room(caller, &request.room)?;
        check.name("identity", &request.identity);
        check.finish()?;
        participant(
            self.command(request.room.clone(), Command::GetParticipant(request))
                .await?,
        )
    }

    /// Changes a participant.
    pub(crate) async fn update_participant(
        &self,
        caller: &Verified,
        request: v1::UpdateParticipantRequest,
    ) -> Result<v1::Participant, CallError> {
        let mut check = self.in_room(caller, &request.room)?;
        check.name("identity", &request.identity);
        check.optional_name("name", request.name.as_deref().unwrap_or_default());
        check.metadata("metadata", request.metadata.as_deref().unwrap_or_default());
        check.attributes("attributes", &request.attributes);
        check.permissions(
            "permissions.can_publish_sources",
            request.permissions.as_ref(),
        );
        check.finish()?;
        participant(
            self.command(request.room.clone(), Command::UpdateParticipant(request))
                .await?,
        )
    }

    /// Puts a participant out of a room.
    pub(crate) async fn remove_participant(
        &self,
        caller: &Verified,
        request: v1::RemoveParticipantRequest,
    ) -> Result<v1::RemoveParticipantResponse, CallError> {
        let mut check = self.in_room(caller, &request.room)?;
        check.name("identity", &request.identity);
        check.finish()?;
        done(
            self.command(request.room.clone(), Command::RemoveParticipant(request))
                .await?,
        )?;
        Ok(v1::RemoveParticipantResponse {})
    }

    /// Sends a participant to another room.
    pub(crate) async fn move_participant(
        &self,
        caller: &Verified,
        request: v1::MoveParticipantRequest,
    ) -> Result<v1::MoveParticipantResponse, CallError> {
        let (room, other) = (&request.room, &request.destination_room);
        self.between_rooms(caller, room, &request.identity, other)?;
        done(
            self.command(request.room.clone(), Command::MoveParticipant(request))
                .await?,
        )?;
        Ok(v1::MoveParticipantResponse {})
    }

    /// Lets a participant appear in another room too.
    pub(crate) async fn forward_participant(
        &self,
        caller: &Verified,
        request: v1::ForwardParticipantRequest,
    ) -> Result<v1::ForwardParticipantResponse, CallError> {
        let (room, other) = (&request.room, &request.destination_room);
        self.between_rooms(caller, room, &request.identity, other)?;
        self.cluster.forward(request).await?;
        Ok(v1::ForwardParticipantResponse {})
    }

    /// The caller may take a participant from one room to another.
    fn between_rooms(
        &self,
        caller: &Verified,
        room: &str,
        identity: &str,
        destination: &str,
    ) -> Result<(), CallError> {
        let mut check = self.in_room(caller, room)?;
        check.name("identity", identity);
        check.name("destination_room", destination);
        if destination == room {
            check.refuse("destination_room", "must be another room");
        }
        check.finish()?;
        Ok(caller.require_move(room, destination)?)
    }

    /// Mutes or unmutes a track.
    pub(crate) async fn mute_track(
        &self,
        caller: &Verified,
        request: v1::MuteTrackRequest,
    ) -> Result<v1::Track, CallError> {
        let mut check = self.in_room(caller, &request.room)?;
        check.name("identity", &request.identity);
        check.track_id("track_id", &request.track_id);
        check.finish()?;
        match self
            .command(request.room.clone(), Command::MuteTrack(request))
            .await?
        {
            Reply::Track(track) => Ok(track),
            _ => Err(CallError::UnexpectedReply),
        }
    }

    /// Subscribes a participant to tracks, or ends subscriptions.
    pub(crate) async fn update_subscriptions(
        &self,
        caller: &Verified,
        request: v1::UpdateSubscriptionsRequest,
    ) -> Result<v1::UpdateSubscriptionsResponse, CallError> {
        let mut check = self.in_room(caller, &request.room)?;
        check.name("identity", &request.identity);
        check.track_ids("track_ids", &request.track_ids);
        check.finish()?;
        done(
            self.command(request.room.clone(), Command::UpdateSubscriptions(request))
                .await?,
        )?;
        Ok(v1::UpdateSubscriptionsResponse {})
    }

    /// Sends a message of the backend to participants.
    pub(crate) async fn send_data(
        &self,
        caller: &Verified,
        request: v1::SendDataRequest,
    ) -> Result<v1::SendDataResponse, CallError> {
        self.send_data_to(caller, request, Vec::new()).await?;
        Ok(v1::SendDataResponse {})
    }

    /// As [`send_data`](Self::send_data), with receivers by id in addition.
    pub(crate) async fn send_data_to(
        &self,
        caller: &Verified,
        request: v1::SendDataRequest,
        destination_ids: Vec<String>,
    ) -> Result<(), CallError> {
        let mut check = self.in_room(caller, &request.room)?;
        match &request.data {
            Some(data) => check.data(data),
            None => check.refuse("data", "must be set"),
        }
        check.list("destination_ids", destination_ids.len());
        check.finish()?;
        let room = request.room.clone();
        let participant_id = String::new();
        let send = SendData {
            request: Some(request),
            participant_id,
            destination_ids,
        };
        done(self.cluster.command(&room, Command::SendData(send)).await?)
    }

    /// The caller administers `room`; the request's other fields are to be checked.
    pub(super) fn in_room(&self, caller: &Verified, room: &str) -> Result<Check<'_>, GrantError> {
        let mut check = self.check();
        if room.is_empty() {
            // Say which field is missing, but only to somebody who administers some room.
            caller.require_room_admin(&caller.grants().room)?;
            check.name("room", room);
        } else {
            caller.require_room_admin(room)?;
        }
        Ok(check)
    }
}

fn room(reply: Reply) -> Result<v1::Room, CallError> {
    match reply {
        Reply::Room(room) => Ok(room),
        _ => Err(CallError::UnexpectedReply),
    }
}

fn participant(reply: Reply) -> Result<v1::Participant, CallError> {
    match reply {
        Reply::Participant(participant) => Ok(participant),
        _ => Err(CallError::UnexpectedReply),
    }
}

pub(super) fn done(reply: Reply) -> Result<(), CallError> {
    match reply {
        Reply::Done(_) => Ok(()),
        _ => Err(CallError::UnexpectedReply),
    }
}
