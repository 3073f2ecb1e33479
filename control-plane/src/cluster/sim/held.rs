//! What a simulated node holds: rooms, who is in them, and what it tells of both. Keeps to the rules of real nodes
//! about epochs and stays. A plain machine: must not wait.

use std::collections::BTreeMap;

use plenum_proto::{
    node::{
        CloseAction, Closed, Join, Joined, Presence, Present, SessionEvent,
        session_event::Kind as Told,
    },
    v1::{CloseReason, Event, Participant, Room, RoomConfig, RoomEnded, RoomStarted, event::Kind},
};
use sfu_node::epochs::{Epochs, Stale};
use tokio::{
    sync::mpsc,
    time::{Duration, Instant},
};
use tonic::Status;

/// How long a stay is kept whose signalling broke.
const RESUME: Duration = Duration::from_secs(3);

/// How long a room is kept that everybody has left.
const DEPARTURE: Duration = Duration::from_secs(2);

/// What a participant's control connection reads.
pub(super) type Telling = mpsc::UnboundedSender<Result<SessionEvent, Status>>;

/// See the module.
#[derive(Default)]
pub(super) struct Held {
    pub(super) epochs: Epochs,
    pub(super) rooms: BTreeMap<String, HeldRoom>,
    /// All that was ever told to readers of events.
    pub(super) log: Vec<Event>,
    node: String,
    joins: u64,
}

/// A room.
pub(super) struct HeldRoom {
    pub(super) room: Room,
    /// By identity.
    pub(super) stays: BTreeMap<String, Stay>,
    /// Since when nobody is there any more.
    left: Option<Instant>,
}

/// A participant.
pub(super) struct Stay {
    pub(super) id: String,
    /// Which of the node's control connections is its own.
    control: u64,
    to: Telling,
    lost_since: Option<Instant>,
}

impl Held {
    pub(super) fn new(node: &str) -> Self {
        Self {
            node: node.to_owned(),
            ..Self::default()
        }
    }

    /// The room of that name, made by these settings unless it is there.
    pub(super) fn room(&mut self, config: RoomConfig, id: String) -> &mut HeldRoom {
        if !self.rooms.contains_key(&config.name) {
            let room = Room {
                id,
                name: config.name.clone(),
                metadata: config.metadata,
                ..Room::default()
            };
            self.tell(room.clone(), Kind::RoomStarted(RoomStarted {}));
            let held = HeldRoom {
                room,
                stays: BTreeMap::new(),
                left: None,
            };
            self.rooms.insert(config.name.clone(), held);
        }
        self.rooms.get_mut(&config.name).unwrap()
    }

    /// Takes somebody in, or up again; what is told first goes to `to`. The number of the control connection.
    pub(super) fn join(&mut self, join: Join, to: &Telling) -> Result<u64, Stale> {
        let config = join.room.unwrap_or_default();
        let name = config.name.clone();
        let epoch = join.home.map_or(0, |home| home.epoch);
        self.epochs.admit(&name, epoch)?;
        self.joins += 1;
        let control = self.joins;
        let closed = |reason: CloseReason, action: CloseAction| {
            let (reason, action) = (reason.into(), action.into());
            say(
                to,
                Told::Closed(Closed {
                    reason,
                    action,
                    ..Closed::default()
                }),
            );
        };
        if let Some(resume) = join.resume {
            let stay = self.stay_mut(&name, &join.identity);
            match stay.filter(|stay| stay.id == resume.participant_id) {
                Some(stay) => {
                    (stay.control, stay.to, stay.lost_since) = (control, to.clone(), None);
                    let joined = self.joined(&name, &join.identity);
                    say(to, Told::Resumed(joined));
                }
                None => closed(CloseReason::StateMismatch, CloseAction::Reconnect),
            }
            return Ok(control);
        }
        if join.must_exist && !self.rooms.contains_key(&name) {
            closed(CloseReason::JoinFailure, CloseAction::Disconnect);
            return Ok(control);
        }
        self.room(config, join.room_id);
        let (reason, action) = (CloseReason::DuplicateIdentity, CloseAction::Disconnect);
        self.leave(&name, &join.identity, reason, action);
        let held = self.rooms.get_mut(&name).unwrap();
        held.left = None;
        let stay = Stay {
            id: format!("PA_{}_{control}", self.node),
            control,
            to: to.clone(),
            lost_since: None,
        };
        let participant = participant(&join.identity, &stay);
        held.stays.insert(join.identity.clone(), stay);
        let room = held.room.clone();
        self.tell(room, Kind::ParticipantJoined(participant));
        let joined = self.joined(&name, &join.identity);
        say(to, Told::Joined(joined));
        Ok(control)
    }

    fn joined(&self, room: &str, identity: &str) -> Joined {
        let held = &self.rooms[room];
        Joined {
            room: Some(held.room.clone()),
            participant: Some(participant(identity, &held.stays[identity])),
            ..Joined::default()
        }
    }

    fn stay_mut(&mut self, room: &str, identity: &str) -> Option<&mut Stay> {
        self.rooms.get_mut(room)?.stays.get_mut(identity)
    }

    /// Somebody goes.
    fn leave(&mut self, room: &str, identity: &str, reason: CloseReason, action: CloseAction) {
        let Some(held) = self.rooms.get_mut(room) else {
            return;
        };
        let Some(stay) = held.stays.remove(identity) else {
            return;
        };
        if held.stays.is_empty() {
            held.left = Some(Instant::now());
        }
        let closed = Closed {
            reason: reason.into(),
            action: action.into(),
            ..Closed::default()
        };
        say(&stay.to, Told::Closed(closed));
        let (room, gone) = (held.room.clone(), participant(identity, &stay));
        self.tell(room, Kind::ParticipantLeft(gone));
    }

    /// Whoever holds a control connection says that it goes, or is heard of no more.
    pub(super) fn control_ended(&mut self, control: u64, has_left: bool) {
        let of_control = self.rooms.iter().find_map(|(name, held)| {
            let mut stays = held.stays.iter();
            let (identity, _) = stays.find(|(_, stay)| stay.control == control)?;
            Some((name.clone(), identity.clone()))
        });
        let Some((room, identity)) = of_control else {
            return;
        };
        if has_left {
            let (reason, action) = (CloseReason::ClientInitiated, CloseAction::Disconnect);
            self.leave(&room, &identity, reason, action);
        } else if let Some(stay) = self.stay_mut(&room, &identity) {
            stay.lost_since = Some(Instant::now());
        }
    }

    /// Ends what has waited for too long.
    pub(super) fn expire(&mut self) {
        let is_over = |since: &Option<Instant>, limit: Duration| {
            since.is_some_and(|since| since.elapsed() > limit)
        };
        let mut lost = Vec::new();
        let mut empty = Vec::new();
        for (name, held) in &self.rooms {
            for (identity, stay) in &held.stays {
                if is_over(&stay.lost_since, RESUME) {
                    lost.push((name.clone(), identity.clone()));
                }
            }
            if is_over(&held.left, DEPARTURE) {
                empty.push(name.clone());
            }
        }
        for (room, identity) in lost {
            let (reason, action) = (CloseReason::SignalClosed, CloseAction::Disconnect);
            self.leave(&room, &identity, reason, action);
        }
        for room in empty {
            self.end(&room, CloseReason::RoomClosed, CloseAction::Disconnect);
        }
    }

    /// A room ends here; for good, unless it moves.
    pub(super) fn end(&mut self, name: &str, reason: CloseReason, action: CloseAction) {
        let Some(held) = self.rooms.get(name) else {
            return;
        };
        let room = held.room.clone();
        let identities: Vec<String> = held.stays.keys().cloned().collect();
        for identity in identities {
            self.leave(name, &identity, reason, action);
        }
        let moved = reason == CloseReason::Migration;
        self.tell(room, Kind::RoomEnded(RoomEnded { moved }));
        self.rooms.remove(name);
        self.epochs.ended(name);
    }

    /// A room has another home: it goes if what is here is older.
    pub(super) fn fence(&mut self, name: &str, epoch: u64) {
        if self.epochs.fence(name, epoch) {
            self.end(name, CloseReason::Migration, CloseAction::Reconnect);
        }
    }

    /// Sends all rooms to other nodes.
    pub(super) fn empty(&mut self) {
        let names: Vec<String> = self.rooms.keys().cloned().collect();
        for name in names {
            self.end(&name, CloseReason::Migration, CloseAction::Reconnect);
        }
    }

    /// Who is here.
    pub(super) fn present(&self) -> Present {
        let mut present = Present::default();
        for held in self.rooms.values() {
            present.rooms.push(held.room.clone());
            let stays = held.stays.iter();
            present
                .participants
                .extend(stays.map(|(identity, stay)| Presence {
                    room: Some(held.room.clone()),
                    participant: Some(participant(identity, stay)),
                }));
        }
        present
    }

    pub(super) fn tell(&mut self, room: Room, kind: Kind) {
        let sequence = self.log.len() as u64 + 1;
        self.log.push(Event {
            sequence,
            epoch: self.node.clone(),
            at: None,
            room: Some(room),
            kind: Some(kind),
        });
    }
}

fn participant(identity: &str, stay: &Stay) -> Participant {
    Participant {
        id: stay.id.clone(),
        identity: identity.to_owned(),
        ..Participant::default()
    }
}

/// A connection that is gone hears nothing.
fn say(to: &Telling, kind: Told) {
    let _ = to.send(Ok(SessionEvent { kind: Some(kind) }));
}
