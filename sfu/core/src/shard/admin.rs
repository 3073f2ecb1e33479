//! Commands of the API on rooms and participants. Must not check tokens; the control plane does.

use std::time::Instant;

use plenum_proto::{
    node::{
        self, AdminReply, AdminRequest, CloseAction, Done, admin_reply, admin_request::Kind,
        session_event::Kind as Told,
    },
    relay::control::Kind as Spread,
    v1::{self, CloseReason, event::Kind as RoomEvent},
};

use super::Shard;
use crate::{
    CommandError, data,
    key::{RoomKey, SessionKey},
    room::{TextProblem, Voice, duration_from},
};

impl From<TextProblem> for CommandError {
    fn from(problem: TextProblem) -> Self {
        Self::Limit {
            limit: problem.limit,
            value: problem.allowed as u64,
        }
    }
}

impl Shard {
    /// Carries out a command.
    pub(super) fn admin(
        &mut self,
        now: Instant,
        request: AdminRequest,
    ) -> Result<AdminReply, CommandError> {
        use admin_reply::Kind as Reply;
        let room_id = request.room_id;
        let kind = match request.kind {
            Some(Kind::CreateRoom(request)) => {
                Reply::Room(self.api_create_room(now, &request, &room_id)?)
            }
            Some(Kind::ListRooms(request)) => Reply::Rooms(self.api_list_rooms(&request)),
            Some(Kind::GetRoom(request)) => {
                let room = self.room_named(&request.room)?;
                Reply::Room(self.room_info(room).unwrap_or_default())
            }
            Some(Kind::UpdateRoom(request)) => Reply::Room(self.api_update_room(now, &request)?),
            Some(Kind::DeleteRoom(request)) => {
                let room = self.home_named(&request.room)?;
                let (reason, action) = (CloseReason::RoomDeleted, CloseAction::Disconnect);
                self.end_room(now, room, reason, action, Voice::All);
                Reply::Done(Done {})
            }
            Some(Kind::ListParticipants(request)) => {
                let room = self.room_named(&request.room)?;
                Reply::Participants(self.api_participants(room))
            }
            Some(Kind::GetParticipant(request)) => {
                let session = self.participant_named(&request.room, &request.identity)?;
                Reply::Participant(self.participant_info(session).unwrap_or_default())
            }
            Some(Kind::UpdateParticipant(request)) => {
                Reply::Participant(self.api_update_participant(now, &request)?)
            }
            Some(Kind::RemoveParticipant(request)) => {
                let session = self.participant_named(&request.room, &request.identity)?;
                let reason = CloseReason::ParticipantRemoved;
                self.end(now, session, reason, CloseAction::Disconnect, "");
                Reply::Done(Done {})
            }
            Some(Kind::ListPresent(request)) => Reply::Present(self.api_present(&request.room)),
            Some(Kind::MoveParticipant(request)) => {
                self.api_move_participant(now, &request)?;
                Reply::Done(Done {})
            }
            Some(Kind::MuteTrack(request)) => Reply::Track(self.api_mute(now, &request)?),
            Some(Kind::UpdateSubscriptions(request)) => {
                let session = self.own_participant(&request.room, &request.identity)?;
                let wanted = node::Subscribe {
                    track_ids: request.track_ids,
                    participants: Vec::new(),
                    subscribe: request.subscribe,
                };
                self.subscribe(now, session, &wanted);
                self.touch(session);
                Reply::Done(Done {})
            }
            Some(Kind::SendData(request)) => {
                self.api_send_data(now, request)?;
                Reply::Done(Done {})
            }
            Some(
                Kind::CreateIngress(_)
                | Kind::ListIngresses(_)
                | Kind::DeleteIngress(_)
                | Kind::CreateEgress(_)
                | Kind::ListEgresses(_)
                | Kind::DeleteEgress(_),
            ) => {
                let what = "ingress and egress are the node's affair";
                return Err(CommandError::NotAllowed(what));
            }
            Some(Kind::ExplainSubscriptions(request)) => {
                let session = self.participant_named(&request.room, &request.identity)?;
                Reply::Subscriptions(self.explain(now, session))
            }
            Some(Kind::ForwardParticipant(_)) => {
                let what = "forwarding is a command of its own";
                return Err(CommandError::NotAllowed(what));
            }
            None => {
                let problem = "names no command".to_owned();
                return Err(CommandError::Invalid {
                    field: "kind",
                    problem,
                });
            }
        };
        Ok(AdminReply { kind: Some(kind) })
    }

    fn room_named(&self, name: &str) -> Result<RoomKey, CommandError> {
        let found = self.room_by_name.get(name).copied();
        found.ok_or_else(|| CommandError::NotFound {
            what: "room",
            name: name.to_owned(),
        })
    }

    /// The same of a room whose home this is: what concerns a room as a whole is done there.
    fn home_named(&self, name: &str) -> Result<RoomKey, CommandError> {
        let key = self.room_named(name)?;
        match self.rooms.get(key).and_then(|room| room.span.home) {
            Some(link) => Err(CommandError::Elsewhere { link }),
            None => Ok(key),
        }
    }

    /// A participant of this shard; of one that lives elsewhere, where.
    fn participant_named(&self, room: &str, identity: &str) -> Result<SessionKey, CommandError> {
        let room = self.room_named(room)?;
        let found = self.find_identity(room, identity);
        let via = found.and_then(|key| self.participants.get(key)?.via);
        if let Some(link) = via {
            return Err(CommandError::Elsewhere { link });
        }
        found.ok_or_else(|| CommandError::NotFound {
            what: "participant",
            name: identity.to_owned(),
        })
    }

    /// The same of one that is here in its own right.
    pub(super) fn own_participant(
        &self,
        room: &str,
        identity: &str,
    ) -> Result<SessionKey, CommandError> {
        let session = self.participant_named(room, identity)?;
        let found = self.participants.get(session);
        if found.is_some_and(|participant| participant.double_of.is_some()) {
            return Err(CommandError::NotAllowed(
                "the participant is forwarded from another room: it is changed there",
            ));
        }
        Ok(session)
    }

    fn api_create_room(
        &mut self,
        now: Instant,
        request: &v1::CreateRoomRequest,
        room_id: &str,
    ) -> Result<v1::Room, CommandError> {
        let config = request.config.clone().unwrap_or_default();
        let room = match self.room_by_name.contains_key(&config.name) {
            true => self.home_named(&config.name)?,
            false => self.create_room(now, &config, room_id)?,
        };
        Ok(self.room_info(room).unwrap_or_default())
    }

    fn api_list_rooms(&self, request: &v1::ListRoomsRequest) -> v1::ListRoomsResponse {
        let rooms = self
            .rooms
            .iter()
            .filter(|(_, room)| room.span.is_home())
            .filter(|(_, room)| request.names.is_empty() || request.names.contains(&room.name))
            .filter_map(|(key, _)| self.room_info(key))
            .collect();
        v1::ListRoomsResponse { rooms }
    }

    fn api_update_room(
        &mut self,
        now: Instant,
        request: &v1::UpdateRoomRequest,
    ) -> Result<v1::Room, CommandError> {
        let key = self.home_named(&request.room)?;
        let cap = self.config.limits.metadata_bytes;
        if request
            .metadata
            .as_ref()
            .is_some_and(|metadata| metadata.len() > cap)
        {
            return Err(CommandError::Limit {
                limit: "metadata_bytes",
                value: cap as u64,
            });
        }
        if let Some(room) = self.rooms.get_mut(key) {
            if let Some(metadata) = &request.metadata {
                room.metadata.clone_from(metadata);
            }
            if let Some(timeout) = duration_from(request.empty_timeout.as_ref()) {
                room.empty_timeout = timeout;
            }
            if let Some(timeout) = duration_from(request.departure_timeout.as_ref()) {
                room.departure_timeout = timeout;
            }
            if let Some(max) = request.max_participants {
                room.max_participants = max;
            }
        }
        let info = self.room_info(key).unwrap_or_default();
        self.tell_room(key, |_| true, |_| Told::Room(info.clone()));
        self.spread(key, Spread::Room(info.clone()));
        self.publish_event(now, key, RoomEvent::RoomUpdated(v1::RoomUpdated {}));
        Ok(info)
    }

    /// Who is on this shard, and the rooms whose home it is.
    fn api_present(&self, name: &str) -> node::Present {
        let mut present = node::Present::default();
        let wanted = self
            .rooms
            .iter()
            .filter(|(_, room)| name.is_empty() || room.name == name);
        for (key, room) in wanted {
            let info = self.room_info(key);
            if room.span.is_home() {
                present.rooms.extend(info.clone());
            }
            let here = room.members.iter().filter(|member| {
                let found = self.participants.get(**member);
                found.is_some_and(|p| p.is_here() && !p.member.permissions.hidden)
            });
            present.participants.extend(here.map(|member| {
                let participant = self.participant_info(*member).map(|mut participant| {
                    participant.tracks.clear();
                    participant
                });
                node::Presence {
                    room: info.clone(),
                    participant,
                }
            }));
        }
        present
    }

    /// Its client is told where to go; here it leaves.
    fn api_move_participant(
        &mut self,
        now: Instant,
        request: &v1::MoveParticipantRequest,
    ) -> Result<(), CommandError> {
        let session = self.own_participant(&request.room, &request.identity)?;
        let control = self.participants.get(session).and_then(|p| p.control());
        let control = control.ok_or(CommandError::NotAllowed(
            "the participant's signalling is broken at this moment: try again when it is back",
        ))?;
        let closed = node::Closed {
            reason: CloseReason::Migration.into(),
            action: CloseAction::Reconnect.into(),
            message: "moved to another room".to_owned(),
            room: request.destination_room.clone(),
        };
        self.tell_control(control, Told::Closed(closed));
        self.controls.remove(&control);
        if let Some(participant) = self.participants.get_mut(session) {
            participant.member.control = None;
        }
        let (reason, action) = (CloseReason::Migration, CloseAction::Reconnect);
        self.end(now, session, reason, action, "");
        Ok(())
    }

    fn api_participants(&self, room: RoomKey) -> v1::ListParticipantsResponse {
        let members = self
            .rooms
            .get(room)
            .into_iter()
            .flat_map(|room| room.members.iter());
        let participants = members
            .filter_map(|key| self.participant_info(*key))
            .collect();
        v1::ListParticipantsResponse { participants }
    }

    fn api_update_participant(
        &mut self,
        now: Instant,
        request: &v1::UpdateParticipantRequest,
    ) -> Result<v1::Participant, CommandError> {
        let session = self.own_participant(&request.room, &request.identity)?;
        let limits = self.config.limits.clone();
        let Some(participant) = self.participants.get_mut(session) else {
            return Ok(v1::Participant::default());
        };
        let text = participant.member.text.changed(
            request.name.as_deref(),
            request.metadata.as_deref(),
            &request.attributes,
        );
        text.check(&limits)?;
        participant.member.text = text;
        if let Some(permissions) = &request.permissions {
            participant.member.permissions = permissions.clone();
            self.apply_permissions(now, session);
        }
        self.announce_participant(session);
        self.publish_participant_event(now, session, RoomEvent::ParticipantUpdated);
        Ok(self.participant_info(session).unwrap_or_default())
    }

    /// New rights: what is no longer allowed ends.
    fn apply_permissions(&mut self, now: Instant, session: SessionKey) {
        let Some(participant) = self.participants.get(session) else {
            return;
        };
        let (room, permissions) = (participant.room, participant.member.permissions.clone());
        for track in participant.tracks.clone() {
            let source = self.tracks.get(track).map_or(0, |track| track.info.source);
            if !crate::room::may_publish_source(&permissions, source) {
                self.remove_track(now, track, true);
            }
        }
        self.reconcile_subscriber(now, session);
        self.settle_direct(now, room);
        self.touch(session);
    }

    fn api_mute(
        &mut self,
        now: Instant,
        request: &v1::MuteTrackRequest,
    ) -> Result<v1::Track, CommandError> {
        let session = self.own_participant(&request.room, &request.identity)?;
        let key =
            self.own_track(session, &request.track_id)
                .ok_or_else(|| CommandError::NotFound {
                    what: "track",
                    name: request.track_id.clone(),
                })?;
        if !request.muted && !self.config.remote_unmute {
            return Err(CommandError::NotAllowed(
                "remote unmute is switched off on this node",
            ));
        }
        let told = node::Mute {
            track_id: request.track_id.clone(),
            muted: request.muted,
        };
        self.tell(session, Told::Mute(told));
        self.set_muted(now, key, request.muted);
        Ok(self
            .tracks
            .get(key)
            .map(|track| track.info.clone())
            .unwrap_or_default())
    }

    fn api_send_data(&mut self, now: Instant, command: node::SendData) -> Result<(), CommandError> {
        let request = command.request.unwrap_or_default();
        let room = self.home_named(&request.room)?;
        let payload = request.data.unwrap_or_default();
        let cap = self.config.limits.data_message_bytes;
        if payload.payload.len() > cap {
            return Err(CommandError::Limit {
                limit: "data_message_bytes",
                value: cap as u64,
            });
        }
        let destinations = payload.destination_identities;
        let message = data::user_message(
            &payload.payload,
            &payload.topic,
            &destinations,
            payload.reliable,
        );
        let envelope = data::Envelope {
            destinations,
            destination_ids: command.destination_ids,
            ..data::Envelope::default()
        };
        self.deliver(now, room, None, &envelope, &message, payload.reliable);
        self.spread_data(room, &envelope, message, payload.reliable);
        Ok(())
    }
}
