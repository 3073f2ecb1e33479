//! A room on several shards: what comes over the links to the others, and what they are told. One shard
//! is the room's home and knows all others; participants, media and wants go straight between any two.
//!
//! On each shard the participants of the others are members without a session ("proxies"), so that
//! rosters, rights and subscriptions need not know the difference. Each file beside this one owns one
//! concern. Must not know what carries the frames.

mod home;
mod media;
mod members;
mod parted;
mod span;
mod ways;

use std::time::Instant;

use plenum_proto::relay::{Control, Data, Detach, control::Kind};

use super::Shard;
use crate::{
    LinkKey, RelayFrame, RelayTransmit,
    data::Envelope,
    key::{RoomKey, SessionKey},
    room::Voice,
};

impl Shard {
    /// Takes a frame from the shard at the other end of a link. Frames of one link come in the order in
    /// which they were sent.
    pub fn handle_relay(&mut self, now: Instant, link: LinkKey, frame: RelayFrame) {
        match frame {
            RelayFrame::Media(packet) => {
                self.now = now;
                self.on_relay_packet(now, link, packet);
                if self.has_many_pending() {
                    self.flush();
                }
            }
            RelayFrame::Control(control) => {
                self.flush();
                self.now = now;
                self.on_control(now, link, *control);
                self.settle(now);
            }
        }
    }

    /// The next frame for another shard; best asked for after all that [`Shard::poll_transmit`] has.
    #[must_use]
    pub fn poll_relay(&mut self) -> Option<RelayTransmit> {
        self.relay.poll()
    }

    /// Whatever was known to the shard at the other end of a link is lost: it began anew, or is gone. Its
    /// participants leave; a room whose home it was goes on without one for a while, or ends here, and who is in it is
    /// told to join anew.
    pub fn handle_link_lost(&mut self, now: Instant, link: LinkKey) {
        self.flush();
        self.now = now;
        self.relay.forget(link);
        self.refuse_waiting(link);
        let rooms: Vec<RoomKey> = self.rooms.keys().collect();
        for room in rooms {
            self.lose_link(now, room, link);
        }
        self.settle(now);
    }

    fn on_control(&mut self, now: Instant, link: LinkKey, control: Control) {
        let Control { room_id, kind } = control;
        let kind = match kind {
            Some(Kind::Attach(attach)) => return self.on_attach(now, link, &attach),
            Some(Kind::Refused(refused)) => return self.on_refused(link, &refused.room),
            Some(Kind::Snapshot(snapshot)) => return self.on_snapshot(now, link, snapshot),
            // A kind that this version does not know yet.
            None => return,
            Some(kind) => kind,
        };
        let Some(room) = self.relay.rooms.get(&room_id).copied() else {
            // The other end takes us for a part of it: it must not.
            if !matches!(kind, Kind::Detach(_) | Kind::End(_)) {
                self.relay.send(link, &room_id, Kind::Detach(Detach {}));
            }
            return;
        };
        match kind {
            Kind::Detach(_) => return self.on_detach(now, room, link),
            Kind::End(end) => return self.on_end(now, room, link, &end),
            _ => self.meet(now, room, link),
        }
        match kind {
            Kind::Home(home) => self.on_home(now, room, link, &home),
            Kind::Parted(parted) => self.on_parted(now, room, link, &parted),
            Kind::Introduce(other) => self.meet(now, room, LinkKey(other.link)),
            Kind::Members(members) => self.on_members(now, room, link, members.members),
            Kind::Member(member) => self.apply_member(now, room, link, member),
            Kind::MemberGone(gone) => self.on_member_gone(now, room, link, &gone),
            Kind::Room(info) => self.on_room(room, link, &info),
            Kind::Want(want) => self.on_want(now, link, want),
            Kind::Feed(feed) => self.on_feed(now, link, &feed),
            Kind::KeyframeRequest(request) => self.on_relayed_request(now, request),
            Kind::Flow(flow) => self.on_relayed_flow(now, link, &flow),
            Kind::Data(data) => self.on_relayed_data(now, room, data),
            Kind::Levels(levels) => self.on_levels(room, link, &levels),
            Kind::Quality(report) => self.on_quality(now, room, link, report),
            Kind::Attach(_)
            | Kind::Refused(_)
            | Kind::Snapshot(_)
            | Kind::Detach(_)
            | Kind::End(_) => {}
        }
    }

    /// Tells all other shards of a room.
    pub(super) fn spread(&mut self, room: RoomKey, kind: Kind) {
        let Some(room) = self.rooms.get(room) else {
            return;
        };
        for link in &room.span.links {
            self.relay.send(*link, room.id.as_str(), kind.clone());
        }
    }

    /// Brings a data message to the shards of those it is for.
    pub(super) fn spread_data(
        &mut self,
        key: RoomKey,
        envelope: &Envelope,
        message: Vec<u8>,
        reliable: bool,
    ) {
        let Some(room) = self.rooms.get(key).filter(|r| !r.span.links.is_empty()) else {
            return;
        };
        let is_for_all = envelope.destinations.is_empty() && envelope.destination_ids.is_empty();
        let is_named = |session: &SessionKey, link: LinkKey| {
            let found = self.participants.get(*session);
            found.is_some_and(|p| {
                p.via == Some(link) && envelope.names(p.member.id.as_str(), &p.member.identity)
            })
        };
        let links: Vec<LinkKey> = room
            .span
            .links
            .iter()
            .copied()
            .filter(|link| is_for_all || room.members.iter().any(|m| is_named(m, *link)))
            .collect();
        let data = Data {
            message,
            reliable,
            destinations: envelope.destinations.clone(),
            destination_ids: envelope.destination_ids.clone(),
            is_metrics: envelope.is_metrics,
        };
        for link in links {
            let kind = Kind::Data(data.clone());
            self.relay.send(link, room.id.as_str(), kind);
        }
    }

    fn on_relayed_data(&mut self, now: Instant, room: RoomKey, data: Data) {
        let envelope = Envelope {
            destinations: data.destinations,
            destination_ids: data.destination_ids,
            is_metrics: data.is_metrics,
            sequence: 0,
        };
        self.deliver(now, room, None, &envelope, &data.message, data.reliable);
    }

    /// After every input: wants that changed go out, and an edge that nobody is on any more closes.
    pub(super) fn settle_relay(&mut self, now: Instant) {
        while let Some(room) = self.relay.idle.pop() {
            self.close_idle_edge(now, room);
        }
        self.flush_wants();
    }

    fn close_idle_edge(&mut self, now: Instant, key: RoomKey) {
        use plenum_proto::{node::CloseAction, v1::CloseReason};
        let is_idle = self.rooms.get(key).is_some_and(|room| {
            let mut members = room.members.iter();
            !room.span.is_home()
                && !members.any(|m| self.participants.get(*m).is_some_and(|p| p.is_here()))
        });
        if is_idle {
            // The room goes on without us: nobody is to hear of it.
            let (reason, action) = (CloseReason::ReasonUnknown, CloseAction::Disconnect);
            self.end_room(now, key, reason, action, Voice::Other);
        }
    }
}
