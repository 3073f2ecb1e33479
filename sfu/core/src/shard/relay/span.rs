//! How a room comes to a shard and leaves it: an edge attaches to the home, the home introduces the edges
//! to each other, and any two tell each other all they have when they meet. A message of a shard that is
//! not known yet is as good as an introduction, so the order in which links deliver does not matter.

use std::time::Instant;

use plenum_proto::{
    node::{CloseAction, Join, session_event::Kind as Told},
    relay::{Attach, Detach, End, Introduce, Members, Refused, Snapshot, control::Kind},
    v1::{self, CloseReason},
};

use super::super::{Shard, join::Refusal};
use crate::{
    ControlId, LinkKey,
    key::{RoomKey, SessionKey},
    relay::{VERSION, Waiting},
    room::{Room, Roster, Span, Voice, duration_from},
};

impl Shard {
    /// Where a join has to ask first: the home of its room, unless the room is here.
    pub(in super::super) fn find_home(
        &mut self,
        now: Instant,
        join: &Join,
        home: Option<LinkKey>,
    ) -> Result<Option<LinkKey>, Refusal> {
        let name = join.room.as_ref().map_or("", |room| room.name.as_str());
        let Some(room) = self.room_by_name.get(name).copied() else {
            return Ok(home);
        };
        let known = self.rooms.get(room).and_then(|room| room.span.home);
        if known == home {
            return Ok(None);
        }
        if known.is_none() {
            // What is home here is no edge of another: the node lets go of it first, if it has to.
            return Err(Refusal::moved("the room has another home now; join anew"));
        }
        // The node knows better: the home of what is here is gone.
        match home {
            None => self.become_home(now, room),
            Some(link) if self.is_met(room, link) => self.follow_home(now, room, link),
            Some(link) => return Ok(Some(link)),
        }
        Ok(None)
    }

    /// A join waits until the home of its room has told of it.
    pub(in super::super) fn await_home(
        &mut self,
        now: Instant,
        control: ControlId,
        join: Join,
        home: LinkKey,
    ) -> Result<(), Refusal> {
        let cap = self.config.limits.pending_participants;
        let waiting = self.relay.waiting.values();
        if waiting.map(|waiting| waiting.joins.len()).sum::<usize>() >= cap {
            return Err(Refusal::limit("pending_participants", cap));
        }
        let name = join.room.as_ref().map_or("", |room| room.name.as_str());
        let attach = Attach {
            room: name.to_owned(),
            version: VERSION,
            config: join.room.clone().filter(|_| !join.must_exist),
            room_id: join.room_id.clone(),
        };
        match self.attach(now, home, attach) {
            Some(waiting) => waiting.joins.push((control, join)),
            None => return Err(Refusal::moved("the room has another home now; join anew")),
        }
        Ok(())
    }

    /// Asks the home of a room to serve participants of it, unless that is under way; none when another home was
    /// asked before.
    pub(super) fn attach(
        &mut self,
        now: Instant,
        home: LinkKey,
        attach: Attach,
    ) -> Option<&mut Waiting> {
        let name = attach.room.clone();
        if !self.relay.waiting.contains_key(&name) {
            self.relay.send(home, "", Kind::Attach(attach));
        }
        let deadline = now + self.config.attach_timeout;
        let waiting = self.relay.waiting.entry(name).or_insert(Waiting {
            home,
            deadline,
            joins: Vec::new(),
        });
        Some(waiting).filter(|waiting| waiting.home == home)
    }

    /// The control connection of a join that waits is gone.
    pub(in super::super) fn forget_waiting(&mut self, control: ControlId) {
        for waiting in self.relay.waiting.values_mut() {
            waiting.joins.retain(|(waits, _)| *waits != control);
        }
    }

    /// Refuses the joins whose time is up.
    pub(in super::super) fn expire_waiting(&mut self, now: Instant) {
        let message = "the home of the room gave no answer in time; join anew";
        self.refuse_waiting_if(message, |_, waiting| waiting.deadline <= now);
    }

    /// Refuses the joins that wait for a link that is lost.
    pub(super) fn refuse_waiting(&mut self, link: LinkKey) {
        let message = "the home of the room is gone; join anew";
        self.refuse_waiting_if(message, |_, waiting| waiting.home == link);
    }

    pub(super) fn on_refused(&mut self, link: LinkKey, name: &str) {
        let message = "the room has ended; join anew";
        self.refuse_waiting_if(message, |room, waiting| {
            room == name && waiting.home == link
        });
    }

    fn refuse_waiting_if(&mut self, message: &str, is_over: impl Fn(&str, &Waiting) -> bool) {
        let over: Vec<String> = self
            .relay
            .waiting
            .iter()
            .filter(|(room, waiting)| is_over(room, waiting))
            .map(|(room, _)| room.clone())
            .collect();
        for room in over {
            let waiting = self.relay.waiting.remove(&room);
            for (control, _) in waiting.into_iter().flat_map(|waiting| waiting.joins) {
                self.refuse_join(control, Refusal::moved(message));
            }
        }
    }

    /// A shard wants to serve participants of a room whose home this is.
    pub(super) fn on_attach(&mut self, now: Instant, link: LinkKey, attach: &Attach) {
        let is_handed_over = self.take_over(now, link, attach);
        let Some(key) = self.home_for(now, attach) else {
            let room = attach.room.clone();
            return self.relay.send(link, "", Kind::Refused(Refused { room }));
        };
        if !is_handed_over {
            // What it had before, it has forgotten.
            self.drop_link(now, key, link, CloseReason::MediaFailure);
        }
        self.note_flows(now, key);
        let room = self.room_info(key);
        let Some(found) = self.rooms.get_mut(key) else {
            return;
        };
        let (id, members) = (found.id.clone(), found.members.clone());
        found.span.links.retain(|known| *known != link);
        let others = found.span.links.clone();
        found.span.links.push(link);
        found.told_levels.clear();
        self.relay.rooms.insert((&id).into(), key);
        let snapshot = Snapshot {
            room,
            members: members
                .into_iter()
                .filter_map(|member| self.member_message(member))
                .collect(),
            links: others.iter().map(|link| link.0).collect(),
        };
        self.relay.send(link, id.as_str(), Kind::Snapshot(snapshot));
        for other in others {
            let introduce = Introduce { link: link.0 };
            self.relay
                .send(other, id.as_str(), Kind::Introduce(introduce));
        }
    }

    /// The room that a shard wants to serve, made if need be; none when this is not its home.
    fn home_for(&mut self, now: Instant, attach: &Attach) -> Option<RoomKey> {
        if attach.version < VERSION {
            return None;
        }
        match self.room_by_name.get(&attach.room).copied() {
            Some(key) => self.rooms.get(key)?.span.is_home().then_some(key),
            None => {
                let config = attach.config.as_ref().filter(|_| self.config.auto_create)?;
                let is_named = config.name == attach.room;
                // Refused with the attach: the edge says to those who wait that there is no room.
                is_named.then(|| self.create_room(now, config, &attach.room_id).ok())?
            }
        }
    }

    /// The home tells of its room: it is here from now on, and who waited for it comes in.
    pub(super) fn on_snapshot(&mut self, now: Instant, link: LinkKey, snapshot: Snapshot) {
        let info = snapshot.room.unwrap_or_default();
        let waiting = self.relay.waiting.get(&info.name);
        let is_awaited = waiting.is_some_and(|waiting| waiting.home == link);
        let known = self.room_by_name.get(&info.name).copied();
        let room = match known {
            _ if !is_awaited => None,
            Some(room) => self.adopt_home(now, room, link, &info),
            None => self.open_edge(now, link, &info),
        };
        let Some(room) = room else {
            return self.relay.send(link, &info.id, Kind::Detach(Detach {}));
        };
        for member in snapshot.members {
            let via = member.link.map_or(link, LinkKey);
            self.apply_member(now, room, via, member);
        }
        for other in snapshot.links {
            self.meet(now, room, LinkKey(other));
        }
        let waiting = self.relay.waiting.remove(&info.name);
        for (control, join) in waiting.into_iter().flat_map(|waiting| waiting.joins) {
            if let Err(refusal) = self.enter(now, control, join) {
                self.refuse_join(control, refusal);
            }
        }
        self.relay.idle.push(room);
    }

    pub(super) fn open_edge(
        &mut self,
        now: Instant,
        home: LinkKey,
        info: &v1::Room,
    ) -> Option<RoomKey> {
        if self.room_by_name.contains_key(&info.name) {
            return None;
        }
        let room = Room {
            id: info.id.parse().ok()?,
            name: info.name.clone(),
            metadata: info.metadata.clone(),
            empty_timeout: duration_from(info.empty_timeout.as_ref())?,
            departure_timeout: duration_from(info.departure_timeout.as_ref())?,
            max_participants: info.max_participants,
            created_at: info.created_at.unwrap_or_default(),
            members: Vec::new(),
            people: 0,
            empty_since: now,
            was_joined: true,
            speaking: Vec::new(),
            next_speakers: now,
            span: Span {
                home: Some(home),
                links: vec![home],
                ..Span::default()
            },
            loudest: Vec::new(),
            told_levels: Vec::new(),
            roster: Roster::default(),
            is_awake: false,
        };
        let key = self.rooms.insert(room);
        self.wake_room(key);
        self.room_by_name.insert(info.name.clone(), key);
        self.relay.rooms.insert(info.id.clone(), key);
        Some(key)
    }

    /// Another shard of the room shows itself: it is told who lives here.
    pub(super) fn meet(&mut self, now: Instant, key: RoomKey, link: LinkKey) {
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        if room.span.links.contains(&link) {
            return;
        }
        room.span.links.push(link);
        room.told_levels.clear();
        let (id, members) = (room.id.clone(), room.members.clone());
        self.note_flows(now, key);
        let here = |member: &SessionKey| {
            let found = self.participants.get(*member);
            found.is_some_and(|participant| participant.is_here())
        };
        let members = Members {
            members: members
                .into_iter()
                .filter(here)
                .filter_map(|member| self.member_message(member))
                .collect(),
        };
        self.relay.send(link, id.as_str(), Kind::Members(members));
    }

    /// The record of the room changed at its home.
    pub(super) fn on_room(&mut self, key: RoomKey, link: LinkKey, info: &v1::Room) {
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        if room.span.home != Some(link) {
            return;
        }
        room.metadata.clone_from(&info.metadata);
        room.max_participants = info.max_participants;
        let empty = duration_from(info.empty_timeout.as_ref());
        room.empty_timeout = empty.unwrap_or(room.empty_timeout);
        let departure = duration_from(info.departure_timeout.as_ref());
        room.departure_timeout = departure.unwrap_or(room.departure_timeout);
        let info = self.room_info(key).unwrap_or_default();
        self.tell_room(key, |_| true, |_| Told::Room(info.clone()));
    }

    /// Nobody of the room is on that shard any more.
    pub(super) fn on_detach(&mut self, now: Instant, room: RoomKey, link: LinkKey) {
        let home = self.rooms.get(room).and_then(|room| room.span.home);
        if home == Some(link) {
            // It lets go of the room, or knows nothing of us.
            self.lose_home(now, room, link);
        } else {
            self.drop_link(now, room, link, CloseReason::ReasonUnknown);
        }
    }

    /// The home ends the room.
    pub(super) fn on_end(&mut self, now: Instant, room: RoomKey, link: LinkKey, end: &End) {
        let home = self.rooms.get(room).and_then(|room| room.span.home);
        if home == Some(link) {
            let voice = if end.is_told {
                Voice::Other
            } else {
                Voice::Own
            };
            self.end_room(now, room, end.reason(), end.action(), voice);
        }
    }

    /// A room takes leave of the other shards: the home ends it there too, an edge goes alone. A room that moves goes on
    /// on other nodes.
    pub(in super::super) fn part(
        &mut self,
        room: RoomKey,
        reason: CloseReason,
        action: CloseAction,
        voice: Voice,
    ) {
        let Some(room) = self.rooms.get_mut(room) else {
            return;
        };
        let links = std::mem::take(&mut room.span.links);
        let is_home = room.span.is_home();
        for link in links {
            let goes_on = reason == CloseReason::Migration && link.node() != self.config.node;
            let kind = if is_home && !goes_on {
                Kind::End(End {
                    reason: reason.into(),
                    action: action.into(),
                    is_told: voice == Voice::All,
                })
            } else {
                Kind::Detach(Detach {})
            };
            self.relay.send(link, room.id.as_str(), kind);
        }
        self.relay.rooms.remove(room.id.as_str());
    }

    /// What a room had behind a link is gone.
    pub(super) fn drop_link(
        &mut self,
        now: Instant,
        key: RoomKey,
        link: LinkKey,
        reason: CloseReason,
    ) {
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        room.span.links.retain(|known| *known != link);
        for member in room.members.clone() {
            let Some(participant) = self.participants.get(member) else {
                continue;
            };
            if participant.via == Some(link) {
                self.end(now, member, reason, CloseAction::Disconnect, "");
            } else if participant.is_here() {
                for track in participant.tracks.clone() {
                    self.drop_exports(now, track, link);
                }
            } else {
                for track in participant.tracks.clone() {
                    let Some(track) = self.tracks.get_mut(track) else {
                        continue;
                    };
                    let origin = track.origin.as_ref().map(|origin| origin.link);
                    if let (true, Some(origin)) = (track.outlets.remove(link), origin) {
                        self.refuse_to_feed(key, origin, link);
                    }
                }
            }
        }
    }

    /// A link is lost, as far as one room is concerned.
    pub(super) fn lose_link(&mut self, now: Instant, key: RoomKey, link: LinkKey) {
        let Some(room) = self.rooms.get_mut(key) else {
            return;
        };
        if room.span.home == Some(link) {
            self.lose_home(now, key, link);
        } else if room.span.links.contains(&link) {
            // Who lived there can't tell the API that it left: the home does.
            room.span.ending = room.span.is_home().then_some(Voice::All);
            self.drop_link(now, key, link, CloseReason::MediaFailure);
            if let Some(room) = self.rooms.get_mut(key) {
                room.span.ending = None;
            }
            self.on_parted_from(now, key, link);
        }
    }
}
