//! What a webhook says: an event of ours in the words of the client protocol (`livekit.WebhookEvent` as JSON). Owns
//! which events are told. Must not send anything.

use std::collections::HashSet;

use livekit_protocol as lk;
use plenum_proto::v1::{Event, event::Kind};

use crate::signal::translate::{
    model::{participant, room},
    track::track_out,
};

/// Rooms of which it is remembered that they have begun.
const MAX_BEGUN: usize = 100_000;

/// Longest body, in bytes: all that goes out of one event is written to the store at once.
const MAX_BODY: usize = 128 * 1024;

/// Which rooms have been told of, so that one that moves to another node does not begin again.
#[derive(Debug, Default)]
pub(super) struct Told {
    begun: HashSet<String>,
}

/// One webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Body {
    /// The room's name: what concerns one stays in order.
    pub(super) room: String,
    /// Of the event.
    pub(super) id: String,
    /// As it is sent.
    pub(super) json: Vec<u8>,
}

impl Told {
    /// What is to be told of an event, if anything is.
    pub(super) fn body(&mut self, event: Event) -> Option<Body> {
        let of = event.room?;
        let kind = event.kind?;
        let name = match &kind {
            Kind::RoomStarted(_) => self.begins(&of.id).then_some("room_started")?,
            Kind::RoomEnded(ended) if ended.moved => return None,
            Kind::RoomEnded(_) => {
                self.begun.remove(&of.id);
                "room_finished"
            }
            Kind::ParticipantJoined(_) => "participant_joined",
            Kind::ParticipantLeft(_) => "participant_left",
            Kind::TrackPublished(_) => "track_published",
            Kind::TrackUnpublished(_) => "track_unpublished",
            Kind::RoomUpdated(_)
            | Kind::ParticipantUpdated(_)
            | Kind::TrackMuted(_)
            | Kind::TrackUnmuted(_)
            | Kind::SpeakersChanged(_) => return None,
        };
        let id = match (&kind, event.sequence) {
            // Told in a lost node's stead, once for each participant or room.
            (Kind::ParticipantJoined(who) | Kind::ParticipantLeft(who), 0) => {
                format!("EV_{}_{name}", who.id)
            }
            (_, 0) => format!("EV_{}_{name}", of.id),
            (_, sequence) => format!("EV_{}_{sequence}", event.epoch),
        };
        let mut told = lk::WebhookEvent {
            event: name.to_owned(),
            id: id.clone(),
            created_at: event.at.map_or(0, |at| at.seconds),
            ..lk::WebhookEvent::default()
        };
        match kind {
            Kind::ParticipantJoined(who) | Kind::ParticipantLeft(who) => {
                told.participant = Some(participant(who));
            }
            Kind::TrackPublished(of) | Kind::TrackUnpublished(of) => {
                told.participant = of.participant.map(participant);
                told.track = of.track.map(track_out);
            }
            _ => {}
        }
        let name = of.name.clone();
        told.room = Some(room(of, &[]));
        // Plain data: it always can be written.
        let mut json = serde_json::to_vec(&told).ok()?;
        if json.len() > MAX_BODY {
            without_metadata(&mut told);
            json = serde_json::to_vec(&told).ok()?;
        }
        if json.len() > MAX_BODY {
            tracing::error!(id, room = name, "a webhook is too long and is left out");
            return None;
        }
        Some(Body {
            room: name,
            id,
            json,
        })
    }

    fn begins(&mut self, id: &str) -> bool {
        if self.begun.len() >= MAX_BEGUN {
            self.begun.clear();
        }
        self.begun.insert(id.to_owned())
    }
}

/// Takes out what participants and backends write freely, and may have written at length.
fn without_metadata(told: &mut lk::WebhookEvent) {
    if let Some(participant) = &mut told.participant {
        participant.metadata.clear();
        participant.attributes.clear();
    }
    if let Some(room) = &mut told.room {
        room.metadata.clear();
    }
}

#[cfg(test)]
mod tests {
    use plenum_proto::v1::{Participant, Room, RoomEnded, RoomStarted, Track, TrackEvent};

    use super::*;

    fn event(kind: Kind) -> Event {
        Event {
            sequence: 7,
            epoch: "e".into(),
            at: Some(prost_types::Timestamp {
                seconds: 1_700_000_000,
                nanos: 0,
            }),
            room: Some(Room {
                id: "RM_1".into(),
                name: "r".into(),
                ..Room::default()
            }),
            kind: Some(kind),
        }
    }

    fn json(told: &mut Told, kind: Kind) -> Option<serde_json::Value> {
        let body = told.body(event(kind))?;
        assert_eq!((body.room.as_str(), body.id.as_str()), ("r", "EV_e_7"));
        Some(serde_json::from_slice(&body.json).unwrap())
    }

    #[test]
    fn an_event_is_told_as_receivers_know_it() {
        let ann = || Participant {
            id: "PA_1".into(),
            identity: "ann".into(),
            ..Participant::default()
        };
        let track = TrackEvent {
            participant: Some(ann()),
            track: Some(Track {
                id: "TR_1".into(),
                ..Track::default()
            }),
        };
        let mut told = Told::default();
        let joined = json(&mut told, Kind::ParticipantJoined(ann())).unwrap();
        assert_eq!(joined["event"], "participant_joined");
        assert_eq!(joined["room"]["sid"], "RM_1");
        assert_eq!(joined["participant"]["identity"], "ann");
        assert_eq!(joined["createdAt"], "1700000000");
        let published = json(&mut told, Kind::TrackPublished(track)).unwrap();
        assert_eq!(published["event"], "track_published");
        assert_eq!(published["track"]["sid"], "TR_1");
        assert_eq!(published["participant"]["sid"], "PA_1");
        assert_eq!(json(&mut told, Kind::ParticipantUpdated(ann())), None);
    }

    #[test]
    fn a_room_that_moves_neither_ends_nor_begins() {
        let mut told = Told::default();
        let mut name = |kind| json(&mut told, kind).map(|told| told["event"].clone());
        let ended = |moved| Kind::RoomEnded(RoomEnded { moved });
        let started = || Kind::RoomStarted(RoomStarted {});
        assert_eq!(name(started()), Some("room_started".into()));
        assert_eq!(name(ended(true)), None);
        assert_eq!(name(started()), None);
        assert_eq!(name(ended(false)), Some("room_finished".into()));
        assert_eq!(name(started()), Some("room_started".into()));
    }

    #[test]
    fn what_a_participant_writes_at_length_is_left_out() {
        let mut told = Told::default();
        let who = Participant {
            id: "PA_1".into(),
            identity: "ann".into(),
            metadata: "\u{1}".repeat(500 * 1024),
            ..Participant::default()
        };
        let body = told.body(event(Kind::ParticipantJoined(who))).unwrap();
        assert!(body.json.len() < MAX_BODY, "{}", body.json.len());
        let told: serde_json::Value = serde_json::from_slice(&body.json).unwrap();
        assert_eq!(told["participant"]["identity"], "ann");
    }
}
