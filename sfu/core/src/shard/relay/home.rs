//! A room that has lost its home, and finds another, or whose home hands it over. Participants of the other shards stay
//! where they are, and so does the media between these; what only a home does (joins from elsewhere, changes of the room)
//! waits. Must not choose the home: the node asks who may.
//!
//! To hand a room over, its home attaches to the shard that is to be home, as an edge does. Once that has answered, it is
//! an edge, and tells the others where the home is; its participants and their media stay.

use std::time::Instant;

use plenum_proto::{
    node::CloseAction,
    relay::{Attach, Home, control::Kind},
    v1::{self, CloseReason, event::Kind as RoomEvent},
};

use super::super::Shard;
use crate::{
    Event, LinkKey, NewHome,
    key::{RoomKey, SessionKey},
    relay::VERSION,
    room::{Room, Voice},
};

impl Shard {
    /// The home of a room is gone, or lets go of it.
    pub(super) fn lose_home(&mut self, now: Instant, key: RoomKey, link: LinkKey) {
        let is_homeless = self.rooms.get(key).is_none_or(|r| r.span.ends_at.is_some());
        if is_homeless {
            return;
        }
        if self.config.rehome_timeout.is_zero() {
            return self.end_homeless(now, key);
        }
        self.drop_link(now, key, link, CloseReason::MediaFailure);
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        room.span.ends_at = Some(now + self.config.rehome_timeout);
        let (room, room_id) = (room.name.clone(), String::from(&room.id));
        self.wake_room(key);
        self.events.push_back(Event::HomeLost { room, room_id });
    }

    /// Nobody has named another home.
    fn end_homeless(&mut self, now: Instant, key: RoomKey) {
        // A home on another node may be dead, and tell nobody of those here.
        let is_alone = self.config.rehome_timeout.is_zero();
        let voice = if is_alone { Voice::Other } else { Voice::Own };
        let (reason, action) = (CloseReason::NodeShutdown, CloseAction::Reconnect);
        self.end_room(now, key, reason, action, voice);
    }

    /// Ends rooms that have gone on without a home for too long.
    pub(in super::super) fn expire_homeless(&mut self, now: Instant, rooms: &[RoomKey]) {
        for key in rooms {
            let room = self.rooms.get(*key);
            if room.is_some_and(|room| room.span.ends_at.is_some_and(|at| at <= now)) {
                self.end_homeless(now, *key);
            }
        }
    }

    /// Another home is named for a room.
    pub(in super::super) fn rehome(&mut self, now: Instant, room_id: &str, home: NewHome) {
        let mut all = self.rooms.iter();
        let Some((key, room)) = all.find(|(_, room)| room.id.as_str() == room_id) else {
            return;
        };
        let (is_home, is_homeless) = (room.span.is_home(), room.span.ends_at.is_some());
        match home {
            NewHome::At(link) if is_home => self.hand_over(now, key, link),
            // It may have found one by itself since.
            _ if !is_homeless => {}
            NewHome::Here => self.become_home(now, key),
            NewHome::At(link) if self.is_met(key, link) => self.follow_home(now, key, link),
            NewHome::At(link) => self.attach_to(now, key, link),
            NewHome::Nowhere => self.end_homeless(now, key),
        }
    }

    /// Asks another shard to be home of a room that is here.
    fn attach_to(&mut self, now: Instant, key: RoomKey, link: LinkKey) {
        let Some(room) = self.rooms.get(key) else {
            return;
        };
        let info = room.info(0, 0);
        let attach = Attach {
            room: info.name.clone(),
            version: VERSION,
            // It may not have begun there.
            config: Some(v1::RoomConfig {
                name: info.name,
                metadata: info.metadata,
                empty_timeout: info.empty_timeout,
                departure_timeout: info.departure_timeout,
                max_participants: info.max_participants,
                ..v1::RoomConfig::default()
            }),
            room_id: info.id,
        };
        self.attach(now, link, attach);
    }

    /// Another shard is to be home of a room of which this one is.
    fn hand_over(&mut self, now: Instant, key: RoomKey, link: LinkKey) {
        if let Some(room) = self.rooms.get_mut(key) {
            room.span.heir = Some(link);
            let id = String::from(&room.id);
            self.relay.rooms.insert(id, key);
            self.attach_to(now, key, link);
        }
    }

    /// The home of a room that is served here wants this shard to be home; true when it is from now on.
    pub(super) fn take_over(&mut self, now: Instant, link: LinkKey, attach: &Attach) -> bool {
        let known = self.room_by_name.get(&attach.room).copied();
        let room = known.and_then(|key| Some((key, self.rooms.get_mut(key)?)));
        let is_its = |room: &Room| {
            room.span.home == Some(link) && room.id.as_str() == attach.room_id.as_str()
        };
        let Some((key, room)) = room.filter(|(_, room)| is_its(room)) else {
            return false;
        };
        (room.span.home, room.span.heir, room.span.ends_at) = (None, None, None);
        let started = RoomEvent::RoomStarted(v1::RoomStarted {});
        self.publish_event(now, key, started);
        true
    }

    /// The shard that this one hands a room over to has taken it: here it goes on as an edge.
    fn step_down(
        &mut self,
        now: Instant,
        key: RoomKey,
        link: LinkKey,
        info: &v1::Room,
    ) -> Option<RoomKey> {
        let room = self.rooms.get_mut(key)?;
        if room.span.heir.take() != Some(link) || room.id.as_str() != info.id {
            return None;
        }
        room.span.home = Some(link);
        let (name, id) = (room.name.clone(), room.id.clone());
        let others = room.span.links.clone();
        self.meet(now, key, link);
        self.on_room(key, link, info);
        for other in others.into_iter().filter(|other| *other != link) {
            let moved = Kind::Home(Home { link: Some(link.0) });
            self.relay.send(other, id.as_str(), moved);
        }
        self.events.push_back(Event::HomeMoved { name, home: link });
        Some(key)
    }

    /// Another shard is home of the room, or says which one is that it hands it over to.
    pub(super) fn on_home(&mut self, now: Instant, key: RoomKey, link: LinkKey, home: &Home) {
        let Some(heir) = home.link.map(LinkKey) else {
            return self.follow_home(now, key, link);
        };
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        if room.span.home != Some(link) {
            return;
        }
        room.span.heir = Some(heir);
        if self.is_met(key, heir) {
            self.follow_home(now, key, heir);
        } else {
            self.attach_to(now, key, heir);
        }
    }

    /// Whether a shard is known to serve the room too.
    pub(super) fn is_met(&self, key: RoomKey, link: LinkKey) -> bool {
        let room = self.rooms.get(key);
        room.is_some_and(|room| room.span.links.contains(&link))
    }

    /// This shard is home of a room from now on.
    pub(super) fn become_home(&mut self, now: Instant, key: RoomKey) {
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        let Some(before) = room.span.home.take() else {
            return;
        };
        room.span.ends_at = None;
        if room.span.links.contains(&before) {
            self.drop_link(now, key, before, CloseReason::MediaFailure);
        }
        self.spread(key, Kind::Home(Home::default()));
        let started = RoomEvent::RoomStarted(v1::RoomStarted {});
        self.publish_event(now, key, started);
    }

    /// Another shard that is known is home of a room from now on.
    pub(super) fn follow_home(&mut self, now: Instant, key: RoomKey, link: LinkKey) {
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        // Of two homes one is fenced by who placed the other.
        let Some(before) = room.span.home else {
            return;
        };
        room.span.home = Some(link);
        room.span.ends_at = None;
        let is_heir = room.span.heir.take() == Some(link);
        if before != link && !is_heir && room.span.links.contains(&before) {
            self.drop_link(now, key, before, CloseReason::MediaFailure);
        }
    }

    /// A home that was not known before takes the room up, with who is here. None when it is another room by now, or
    /// this shard is home itself.
    pub(super) fn adopt_home(
        &mut self,
        now: Instant,
        key: RoomKey,
        link: LinkKey,
        info: &v1::Room,
    ) -> Option<RoomKey> {
        let room = self.rooms.get(key)?;
        let Some(before) = room.span.home else {
            return self.step_down(now, key, link, info);
        };
        if room.id.as_str() != info.id {
            self.end_homeless(now, key);
            return self.open_edge(now, link, info);
        }
        self.meet(now, key, link);
        self.follow_home(now, key, link);
        self.on_room(key, link, info);
        if before == link {
            self.announce_again(now, key);
        }
        Some(key)
    }

    /// The home that had lost sight of those here has told the API that they left.
    fn announce_again(&mut self, now: Instant, key: RoomKey) {
        let members = self.rooms.get(key).map(|room| room.members.clone());
        let here = |member: &SessionKey| {
            let found = self.participants.get(*member);
            found.is_some_and(|participant| participant.is_here())
        };
        let here: Vec<_> = members
            .unwrap_or_default()
            .into_iter()
            .filter(here)
            .collect();
        for member in here {
            self.publish_participant_event(now, member, RoomEvent::ParticipantJoined);
        }
    }
}
