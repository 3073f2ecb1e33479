//! Data messages: from one participant, or the application's backend, to others. Owns the checks.

use std::time::Instant;

use plenum_proto::{node::CloseAction, v1::CloseReason};

use super::Shard;
use crate::{
    DropReason,
    data::{self, Envelope},
    key::{RoomKey, SessionKey},
    session::Sent,
};

impl Shard {
    /// A message came on a data channel of a participant.
    pub(super) fn on_data(
        &mut self,
        now: Instant,
        session: SessionKey,
        reliable: bool,
        message: &[u8],
    ) {
        let cap = self.config.limits.data_message_bytes;
        let Some(participant) = self.participants.get_mut(session) else {
            return;
        };
        let envelope = match data::read(message) {
            Ok(envelope)
                if participant.member.permissions.can_publish_data && message.len() <= cap =>
            {
                envelope
            }
            _ => return self.stats.drop(DropReason::DataRefused),
        };
        // After a resume a client sends again what it does not know to have arrived.
        if reliable && envelope.sequence > 0 {
            if envelope.sequence <= participant.last_data_sequence {
                return;
            }
            participant.last_data_sequence = envelope.sequence;
        }
        let member = &participant.member;
        let stamped = data::stamp(message, member.id.as_str(), &member.identity);
        let room = participant.room;
        self.introduce(session);
        self.deliver(now, room, Some(session), &envelope, &stamped, reliable);
        self.spread_data(room, &envelope, stamped, reliable);
    }

    /// Sends a message to whom it is for.
    pub(super) fn deliver(
        &mut self,
        now: Instant,
        room: RoomKey,
        sender: Option<SessionKey>,
        envelope: &Envelope,
        message: &[u8],
        reliable: bool,
    ) {
        let members = self
            .rooms
            .get(room)
            .map(|room| room.members.clone())
            .unwrap_or_default();
        let mut stalled = Vec::new();
        for key in members {
            let Some(receiver) = self.participants.get_mut(key) else {
                continue;
            };
            let member = &receiver.member;
            let is_named =
                if envelope.destinations.is_empty() && envelope.destination_ids.is_empty() {
                    sender != Some(key)
                } else {
                    envelope.names(member.id.as_str(), &member.identity)
                };
            let takes_metrics = !envelope.is_metrics || member.permissions.can_subscribe_metrics;
            if !is_named || !takes_metrics {
                continue;
            }
            let Some((_, channels, transport)) = receiver.session.sending() else {
                continue;
            };
            match channels.send(now, transport, reliable, message, &self.config.limits) {
                Sent::Yes => self.stats.data_messages += 1,
                Sent::Dropped => self.stats.drop(DropReason::DataBufferFull),
                Sent::Stalled => stalled.push(key),
            }
            self.dirty.push(key);
        }
        for key in stalled {
            let message = "limit of data_buffer_bytes: the data channel is not read";
            self.end(
                now,
                key,
                CloseReason::LimitExceeded,
                CloseAction::Reconnect,
                message,
            );
        }
    }
}
