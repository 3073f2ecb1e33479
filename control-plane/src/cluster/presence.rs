//! Who is on which node, as one reader of events was told. Owns what that reader has yet to be told when a node is
//! lost, which cannot say itself that who was on it is gone. A pure machine: must not talk to nodes or the store.
//!
//! What is told in a lost node's stead has no sequence: no reader resumes from it. Its ids are those of the participant
//! or room, so that whoever is told twice can tell.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use plenum_proto::{
    node::Present,
    v1::{CloseReason, Event, Participant, ParticipantState, Room, RoomEnded, event::Kind},
};
use prost_types::Timestamp;

/// Participants, and rooms, that are remembered for one reader; of those past it nothing is told.
const MAX_KNOWN: usize = 200_000;

/// Participants of whom it is remembered that they left: of a node that is lost to another, both may tell.
const MAX_LEFT: usize = 20_000;

/// What one reader knows.
#[derive(Debug, Default)]
pub(super) struct Presence {
    participants: BTreeMap<Key, Stay>,
    /// Homes and rooms, by the room's id.
    rooms: BTreeMap<String, (String, Room)>,
    /// Rooms whose home is lost, with that: each comes back elsewhere, or ends.
    orphans: BTreeMap<String, (String, Room)>,
    /// Ids of participants who left lately, and the order in which they did.
    left: (BTreeSet<String>, VecDeque<String>),
}

/// What a reader is to be told of an event.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Passed {
    /// Before it.
    pub(super) before: Vec<Event>,
    /// It was told already.
    pub(super) is_known: bool,
}

/// Ids of the room, its participant's identity, and the participant's id.
type Key = (String, String, String);

#[derive(Debug)]
struct Stay {
    node: String,
    room: Room,
    participant: Participant,
}

impl Presence {
    /// Takes in who is on a node; who of them was not known.
    pub(super) fn seed(&mut self, node: &str, present: Present) -> Vec<Event> {
        for room in present.rooms {
            self.begin(node, &room);
        }
        let mut news = Vec::new();
        for presence in present.participants {
            let (Some(room), Some(participant)) = (presence.room, presence.participant) else {
                continue;
            };
            if !self.participants.contains_key(&key(&room, &participant)) {
                let kind = Kind::ParticipantJoined(participant.clone());
                news.push(told(room.clone(), kind, None));
                self.join(node, room, participant);
            }
        }
        news
    }

    /// Takes in what a node tells. Before who joins, its earlier stays leave on nodes for which `is_gone` holds.
    pub(super) fn pass(
        &mut self,
        node: &str,
        event: &Event,
        is_gone: impl Fn(&str) -> bool,
    ) -> Passed {
        let mut passed = Passed::default();
        let (Some(room), Some(kind)) = (&event.room, &event.kind) else {
            return passed;
        };
        match kind {
            Kind::RoomStarted(_) => self.begin(node, room),
            Kind::RoomUpdated(_) => {
                if let Some((_, known)) = self.rooms.get_mut(&room.id) {
                    known.clone_from(room);
                }
            }
            Kind::RoomEnded(_) => {
                // Not by one that was home before.
                if self
                    .rooms
                    .get(&room.id)
                    .is_some_and(|(home, _)| home == node)
                {
                    self.rooms.remove(&room.id);
                }
                self.orphans.remove(&room.id);
            }
            Kind::ParticipantJoined(joined) => {
                let before = self.before(room, joined, is_gone);
                let told = before.iter().filter_map(|key| self.leave(key, event.at));
                passed.before = told.collect();
                self.join(node, room.clone(), joined.clone());
            }
            Kind::ParticipantUpdated(changed) => {
                if let Some(stay) = self.participants.get_mut(&key(room, changed)) {
                    stay.participant.clone_from(changed);
                }
            }
            Kind::ParticipantLeft(left) => {
                self.participants.remove(&key(room, left));
                passed.is_known = !self.note_left(&left.id);
            }
            Kind::TrackPublished(_)
            | Kind::TrackUnpublished(_)
            | Kind::TrackMuted(_)
            | Kind::TrackUnmuted(_)
            | Kind::SpeakersChanged(_) => {}
        }
        passed
    }

    /// A node is gone: its participants have left.
    pub(super) fn lost(&mut self, node: &str, at: Option<Timestamp>) -> Vec<Event> {
        let stays = self.participants.iter();
        let there = stays.filter(|(_, stay)| stay.node == node);
        let gone: Vec<Key> = there.map(|(key, _)| key.clone()).collect();
        let orphans: Vec<String> = self
            .rooms
            .iter()
            .filter(|(_, (home, _))| home == node)
            .map(|(id, _)| id.clone())
            .collect();
        for id in orphans {
            if let Some(orphan) = self.rooms.remove(&id) {
                self.orphans.insert(id, orphan);
            }
        }
        let told = gone.iter().filter_map(|key| self.leave(key, at));
        told.collect()
    }

    /// Rooms without a home: id, name, and the node that was.
    pub(super) fn orphans(&self) -> Vec<(String, String, String)> {
        let orphans = self.orphans.iter();
        orphans
            .map(|(id, (home, room))| (id.clone(), room.name.clone(), home.clone()))
            .collect()
    }

    /// A room has found another home.
    pub(super) fn found(&mut self, room: &str) {
        self.orphans.remove(room);
    }

    /// A room without a home has ended.
    pub(super) fn ended(&mut self, room: &str, at: Option<Timestamp>) -> Option<Event> {
        let (_, mut room) = self.orphans.remove(room)?;
        (room.num_participants, room.num_publishers) = (0, 0);
        Some(told(room, Kind::RoomEnded(RoomEnded { moved: false }), at))
    }

    fn begin(&mut self, node: &str, room: &Room) {
        self.orphans.remove(&room.id);
        if self.rooms.len() < MAX_KNOWN {
            let home = (node.to_owned(), room.clone());
            self.rooms.insert(room.id.clone(), home);
        }
    }

    /// Whether it is news.
    fn note_left(&mut self, participant: &str) -> bool {
        let (left, order) = &mut self.left;
        let is_news = left.insert(participant.to_owned());
        if is_news {
            order.push_back(participant.to_owned());
            if order.len() > MAX_LEFT
                && let Some(oldest) = order.pop_front()
            {
                left.remove(&oldest);
            }
        }
        is_news
    }

    fn join(&mut self, node: &str, room: Room, participant: Participant) {
        self.left.0.remove(&participant.id);
        if self.participants.len() < MAX_KNOWN {
            let stay = Stay {
                node: node.to_owned(),
                room,
                participant,
            };
            let key = key(&stay.room, &stay.participant);
            self.participants.insert(key, stay);
        }
    }

    /// Stays that who joins had in the room on nodes that are gone.
    fn before(
        &self,
        room: &Room,
        joined: &Participant,
        is_gone: impl Fn(&str) -> bool,
    ) -> Vec<Key> {
        let from = (room.id.clone(), joined.identity.clone(), String::new());
        let of_one = |(key, _): &(&Key, &Stay)| key.0 == from.0 && key.1 == from.1;
        let stays = self.participants.range(from.clone()..).take_while(of_one);
        let others = stays.filter(|(key, stay)| key.2 != joined.id && is_gone(&stay.node));
        others.map(|(key, _)| key.clone()).collect()
    }

    fn leave(&mut self, key: &Key, at: Option<Timestamp>) -> Option<Event> {
        let Stay {
            mut room,
            mut participant,
            ..
        } = self.participants.remove(key)?;
        self.note_left(&participant.id);
        let from = (room.id.clone(), String::new(), String::new());
        let left = self.participants.range(from..);
        let left = left.take_while(|(key, _)| key.0 == room.id).count();
        room.num_participants = u32::try_from(left).unwrap_or(u32::MAX);
        participant.set_state(ParticipantState::Disconnected);
        participant.set_close_reason(CloseReason::MediaFailure);
        participant.tracks.clear();
        Some(told(room, Kind::ParticipantLeft(participant), at))
    }
}

fn key(room: &Room, participant: &Participant) -> Key {
    let (identity, id) = (&participant.identity, &participant.id);
    (room.id.clone(), identity.clone(), id.clone())
}

fn told(room: Room, kind: Kind, at: Option<Timestamp>) -> Event {
    Event {
        sequence: 0,
        epoch: String::new(),
        at,
        room: Some(room),
        kind: Some(kind),
    }
}

#[cfg(test)]
mod tests {
    use plenum_proto::{node, v1::RoomStarted};

    use super::*;

    fn room() -> Room {
        Room {
            id: "RM_1".into(),
            name: "tea".into(),
            ..Room::default()
        }
    }

    fn who(id: &str) -> Participant {
        let identity = id.split('-').next().unwrap().to_owned();
        Participant {
            id: id.into(),
            identity,
            ..Participant::default()
        }
    }

    fn event(kind: Kind) -> Event {
        Event {
            sequence: 1,
            ..told(room(), kind, None)
        }
    }

    fn joins(presence: &mut Presence, node: &str, id: &str) -> Vec<String> {
        let joined = event(Kind::ParticipantJoined(who(id)));
        left(presence.pass(node, &joined, |gone| gone == "lost").before)
    }

    /// Ids of those who left, with how many are still in the room.
    fn left(events: Vec<Event>) -> Vec<String> {
        let name = |event: Event| {
            assert_eq!((event.sequence, event.epoch.as_str()), (0, ""));
            let Some(Kind::ParticipantLeft(left)) = event.kind else {
                panic!("{event:?}");
            };
            assert_eq!(left.state(), ParticipantState::Disconnected);
            format!("{} {}", left.id, event.room.unwrap().num_participants)
        };
        events.into_iter().map(name).collect()
    }

    #[test]
    fn who_was_on_a_lost_node_has_left_and_nobody_else() {
        let mut presence = Presence::default();
        presence.pass("lost", &event(Kind::RoomStarted(RoomStarted {})), |_| false);
        for (node, id) in [
            ("lost", "ann"),
            ("lost", "bob"),
            ("other", "cat"),
            ("lost", "dan"),
        ] {
            assert_eq!(joins(&mut presence, node, id), [""; 0]);
        }
        presence.pass("lost", &event(Kind::ParticipantLeft(who("dan"))), |_| false);
        assert_eq!(left(presence.lost("lost", None)), ["ann 2", "bob 1"]);
        assert_eq!(left(presence.lost("lost", None)), [""; 0], "told once");
        // The home of the room tells of those of a lost node too.
        let again = event(Kind::ParticipantLeft(who("ann")));
        assert!(presence.pass("other", &again, |_| false).is_known);
        assert_eq!(left(presence.lost("other", None)), ["cat 0"]);
    }

    #[test]
    fn who_comes_back_first_leaves_first() {
        let mut presence = Presence::default();
        joins(&mut presence, "lost", "ann-1");
        joins(&mut presence, "other", "bob-1");
        assert_eq!(joins(&mut presence, "third", "ann-2"), ["ann-1 1"]);
        assert_eq!(
            joins(&mut presence, "third", "bob-2"),
            [""; 0],
            "its node is there, and tells of it"
        );
        assert_eq!(left(presence.lost("lost", None)), [""; 0]);
    }

    #[test]
    fn a_room_without_a_home_comes_back_or_ends() {
        let mut presence = Presence::default();
        let started = event(Kind::RoomStarted(RoomStarted {}));
        presence.pass("lost", &started, |_| false);
        assert_eq!(presence.orphans(), []);
        presence.lost("lost", None);
        let orphan = ("RM_1".to_owned(), "tea".to_owned(), "lost".to_owned());
        assert_eq!(presence.orphans(), [orphan]);
        presence.pass("other", &started, |_| false);
        assert_eq!(presence.orphans(), []);
        assert_eq!(presence.ended("RM_1", None), None, "it goes on");
        presence.lost("other", None);
        let ended = presence.ended("RM_1", None).unwrap();
        assert_eq!(
            ended.kind,
            Some(Kind::RoomEnded(RoomEnded { moved: false }))
        );
        assert_eq!(presence.ended("RM_1", None), None, "told once");
    }

    #[test]
    fn who_was_there_before_the_reader_is_known_without_a_word() {
        let mut presence = Presence::default();
        let present = || Present {
            rooms: vec![room()],
            participants: vec![node::Presence {
                room: Some(room()),
                participant: Some(who("ann")),
            }],
        };
        assert_eq!(presence.seed("lost", present()).len(), 1);
        assert_eq!(presence.seed("lost", present()), []);
        assert_eq!(left(presence.lost("lost", None)), ["ann 0"]);
        // It was not lost after all, and who left may leave once more.
        let back = presence.seed("lost", present());
        assert!(matches!(back[0].kind, Some(Kind::ParticipantJoined(_))));
        let again = event(Kind::ParticipantLeft(who("ann")));
        assert!(!presence.pass("lost", &again, |_| false).is_known);
    }
}
