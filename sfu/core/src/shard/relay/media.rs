//! Media over links: a packet of a track crosses a link once, in the encodings that somebody behind it
//! takes, and not at all when nobody does. The shard of the subscribers says what that is; the shard of
//! the publisher asks it for that much. Must not look into payloads, nor allocate per subscriber.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use plenum_proto::relay::{Flow, KeyframeRequest, Want, control::Kind};

use super::{
    super::{
        Shard,
        fanout::{ENCODINGS_MAX, Pending},
        forward::{PAYLOAD_MAX, is_plausible},
    },
    members::{flow_message, reported},
};
use crate::{
    DropReason, LinkKey, RelayPacket,
    key::{RoomKey, TrackKey},
    relay::Export,
    rtp::{Packet, Seen},
    session::Stream,
    track::{Layer, LayerSet, Reported},
};

/// How often what is measured of encodings is told again.
const FLOW_INTERVAL: Duration = Duration::from_secs(1);

impl Shard {
    /// Sends a packet over the links behind which somebody takes it, as far as it is for this shard to do.
    pub(in super::super) fn export(&mut self, pending: &Pending) {
        let stream = pending.stream;
        let Some(track) = self.tracks.get_mut(stream.track) else {
            return;
        };
        if track.info.muted || !track.outlets.are_for(stream.encoding) {
            return;
        }
        let published = track.encodings.get(usize::from(stream.encoding));
        let (Some(published), Ok(format)) = (published, u8::try_from(pending.format)) else {
            return;
        };
        // Numbers and starts are those of the shard on which it is published.
        let (number, start) = match &track.origin {
            None => (stream.track.number(), published.starts),
            Some(origin) => {
                let start = origin.starts.get(usize::from(stream.encoding));
                let start = start.copied().flatten().unwrap_or_default();
                (origin.number, start)
            }
        };
        let whole = Arc::new(RelayPacket {
            track: number,
            origin: track.origin.as_ref().map(|origin| origin.link),
            encoding: stream.encoding,
            format,
            start,
            captured: self.anchor.unix(pending.captured),
            clock: published.encoding.clock(),
            packet: Packet::clone(&pending.packet),
        });
        let is_video = pending.packet.codec.is_video();
        let timestamp = pending.packet.timestamp;
        let mut thin: Option<((u8, u8), Arc<RelayPacket>)> = None;
        for (link, limit) in track.outlets.takers(stream.encoding, timestamp) {
            // Workers of one node share the payload; to leave something out would save nothing.
            let is_far = link.node() != self.config.node;
            let relayed = match &thin {
                _ if !is_far || !is_video || limit == LayerSet::ALL => &whole,
                Some((known, relayed)) if *known == limit => relayed,
                _ => {
                    let packet = pending.packet.thin(limit);
                    let relayed = packet.map(|packet| RelayPacket {
                        packet,
                        ..RelayPacket::clone(&whole)
                    });
                    let relayed = relayed.map_or_else(|| Arc::clone(&whole), Arc::new);
                    &thin.insert((limit, relayed)).1
                }
            };
            self.stats.packets_relayed += 1;
            self.relay.send_media(link, Arc::clone(relayed));
        }
    }

    /// A packet of a publisher of another shard: from here on it is treated as one of this shard.
    pub(super) fn on_relay_packet(
        &mut self,
        now: Instant,
        link: LinkKey,
        relayed: Arc<RelayPacket>,
    ) {
        let packet = &relayed.packet;
        if packet.payload.len() > PAYLOAD_MAX {
            return self.stats.drop(DropReason::Malformed);
        }
        let index = usize::from(relayed.encoding);
        let home = relayed.origin.unwrap_or(link);
        let found = self.relay.import(home, relayed.track);
        let origin = found.and_then(|key| self.tracks.get_mut(key)?.origin.as_mut());
        let Some((key, origin)) = found.zip(origin).filter(|_| index < ENCODINGS_MAX) else {
            return self.stats.drop(DropReason::UnknownStream);
        };
        // Of a beginning before the one that is known: late, and of no use any more.
        let is_before = |known: u8| (relayed.start.wrapping_sub(known) as i8) < 0;
        if origin.starts[index].is_some_and(is_before) {
            return;
        }
        let before = origin.starts[index].replace(relayed.start);
        let is_restart = before.is_some_and(|before| before != relayed.start);
        if is_restart {
            origin.seen[index] = Seen::default();
        }
        if !origin.seen[index].admit(packet.sequence) {
            // Meant to be: it comes by two ways while one takes over from the other.
            return;
        }
        if is_restart {
            self.restart_encoding(key, relayed.encoding);
        }
        let track = self.tracks.get_mut(key);
        let Some(published) = track.and_then(|track| track.encodings.get_mut(index)) else {
            return self.stats.drop(DropReason::UnknownStream);
        };
        let RelayPacket {
            encoding,
            format,
            captured,
            clock,
            mut packet,
            ..
        } = Arc::unwrap_or_clone(relayed);
        // One that came as bytes was not read with what came before it.
        if packet.frame.is_none() && packet.has_layers() {
            published.encoding.read_layers(&mut packet);
        }
        let packet = Arc::new(packet);
        published.take(now, &packet);
        published.encoding.set_clock(clock);
        self.stats.packets_imported += 1;
        let captured = self.anchor.moment(captured);
        let captured = captured.filter(|moment| is_plausible(*moment, packet.arrival));
        let captured = captured.unwrap_or(packet.arrival);
        let pending = Pending {
            stream: Stream {
                track: key,
                encoding,
            },
            format: usize::from(format),
            packet,
            captured,
        };
        self.export(&pending);
        self.queue(pending);
    }

    /// What is taken here of a track of another shard may have changed.
    pub(in super::super) fn mark_want(&mut self, key: TrackKey) {
        if let Some(origin) = self.tracks.get_mut(key).and_then(|t| t.origin.as_mut())
            && !origin.is_stale
        {
            origin.is_stale = true;
            self.relay.stale.push(key);
        }
    }

    /// Tells other shards what is taken here of their tracks, where that changed.
    pub(super) fn flush_wants(&mut self) {
        while let Some(key) = self.relay.stale.pop() {
            let (taken, requested, is_switching) = self.want_of(key);
            if is_switching {
                self.relay.switching.push(key);
            }
            let Some(track) = self.tracks.get_mut(key) else {
                continue;
            };
            let owner = track.owner;
            let Some(origin) = track.origin.as_mut() else {
                continue;
            };
            origin.is_stale = false;
            if origin.told == (taken, requested) {
                continue;
            }
            origin.told = (taken, requested);
            let (link, number) = (origin.link, origin.number);
            let room = self.participants.get(owner).map(|owner| owner.room);
            if let Some(room) = room.and_then(|room| self.rooms.get(room)) {
                let want = Want {
                    track: number,
                    encodings: taken.encodings().into(),
                    requested: requested.encodings().into(),
                    layers: taken.wire_layers(),
                    requested_layers: requested.wire_layers(),
                };
                self.relay.send_want(link, room.id.as_str(), want);
            }
        }
    }

    /// What is taken here of a track: what is to come, what the publisher is to be asked for, and whether
    /// something of the former is only taken until a switch is done.
    pub(in super::super) fn want_of(&self, key: TrackKey) -> (LayerSet, LayerSet, bool) {
        let (mut taken, mut requested) = (LayerSet::NONE, LayerSet::NONE);
        let mut is_switching = false;
        let Some(track) = self.tracks.get(key) else {
            return (taken, requested, false);
        };
        let is_video = track.is_video();
        let subscriptions = track.subscriptions.iter();
        for subscription in subscriptions.filter_map(|key| self.subscriptions.get(*key)) {
            if !is_video && track.is_quiet && !subscription.is_pinned {
                continue;
            }
            if let Some(layer) = subscription.requested {
                requested.add(layer);
            }
            if is_video {
                let target = subscription.forwarder.target();
                let current = subscription.forwarder.current();
                for layer in target.into_iter().chain(current) {
                    taken.add(layer);
                }
                let is_on_its_way = |(current, target): (Layer, Layer)| {
                    current.encoding != target.encoding
                        || current.spatial > target.spatial
                        || current.temporal > target.temporal
                };
                is_switching |= current.zip(target).is_some_and(is_on_its_way);
            }
        }
        (taken.union(requested), requested, is_switching)
    }

    /// Another shard says what is taken there of a track of this one.
    pub(super) fn on_want(&mut self, now: Instant, link: LinkKey, want: Want) {
        let key = TrackKey::of_number(want.track);
        let Some(track) = self.tracks.get_mut(key).filter(|t| t.origin.is_none()) else {
            return;
        };
        let export = Export {
            link,
            taken: LayerSet::of_wire(want.encodings, &want.layers),
            requested: LayerSet::of_wire(want.requested, &want.requested_layers),
        };
        let known = track.exports.iter_mut().find(|known| known.link == link);
        match known {
            // It keeps its place.
            Some(known) => *known = export,
            None => track.exports.push(export),
        }
        track.exports.retain(|known| !known.taken.is_empty());
        if !export.requested.is_empty() {
            self.tell_first_subscriber(key);
        }
        self.plan_ways(now, key);
        self.update_demand(now, key);
    }

    /// Nobody behind a link takes a track any more.
    pub(super) fn drop_exports(&mut self, now: Instant, key: TrackKey, link: LinkKey) {
        if let Some(track) = self.tracks.get_mut(key) {
            track.exports.retain(|known| known.link != link);
            track.outlets.remove(link);
            track.feeders.remove(&link);
            self.plan_ways(now, key);
            self.update_demand(now, key);
        }
    }

    /// Asks for a keyframe of a track of another shard; false when the track is of this one.
    pub(in super::super) fn request_keyframe_elsewhere(
        &mut self,
        key: TrackKey,
        encoding: u8,
    ) -> bool {
        let Some(track) = self.tracks.get(key) else {
            return false;
        };
        let Some(origin) = &track.origin else {
            return false;
        };
        let room = self.participants.get(track.owner).map(|owner| owner.room);
        if let Some(room) = room.and_then(|room| self.rooms.get(room)) {
            let request = KeyframeRequest {
                track: origin.number,
                encoding: encoding.into(),
            };
            let kind = Kind::KeyframeRequest(request);
            self.relay.send(origin.link, room.id.as_str(), kind);
        }
        true
    }

    pub(super) fn on_relayed_request(&mut self, now: Instant, request: KeyframeRequest) {
        let key = TrackKey::of_number(request.track);
        let is_ours = self.tracks.get(key).is_some_and(|t| t.origin.is_none());
        if let (true, Ok(encoding)) = (is_ours, u8::try_from(request.encoding)) {
            self.want_keyframe(now, key, encoding);
        }
    }

    /// Tells other shards which encodings of a track flow, and how much comes of them.
    pub(in super::super) fn spread_flow(&mut self, now: Instant, key: TrackKey) {
        let Some(track) = self.tracks.get_mut(key) else {
            return;
        };
        let is_told = track.is_video() && track.is_published && track.origin.is_none();
        let room = self.participants.get(track.owner).map(|owner| owner.room);
        let Some(room) = room.filter(|_| is_told) else {
            return;
        };
        let is_alone = |room| self.rooms.get(room).is_none_or(|r| r.span.links.is_empty());
        let encodings = track.encodings.iter();
        let flow: Vec<Reported> = encodings.map(|e| e.encoding.reported(now)).collect();
        if is_alone(room) || flow == track.told_flow {
            return;
        }
        let message = Flow {
            track: key.number(),
            encodings: flow.iter().map(flow_message).collect(),
        };
        track.told_flow = flow;
        self.spread(room, Kind::Flow(message));
    }

    /// Before another shard is told of the participants here: what it will find in the messages.
    pub(super) fn note_flows(&mut self, now: Instant, room: RoomKey) {
        for key in self.tracks_of_room(room) {
            if let Some(track) = self.tracks.get_mut(key) {
                let encodings = track.encodings.iter();
                track.told_flow = encodings.map(|e| e.encoding.reported(now)).collect();
            }
        }
    }

    pub(super) fn on_relayed_flow(&mut self, now: Instant, link: LinkKey, flow: &Flow) {
        let Some(key) = self.relay.import(link, flow.track) else {
            return;
        };
        if let Some(track) = self.tracks.get_mut(key) {
            for (published, told) in track.encodings.iter_mut().zip(&flow.encodings) {
                published.encoding.report(reported(Some(told)));
            }
        }
        self.on_flow(now, key);
    }

    /// Ten times a second: wants that only a switch under way kept up, and once a second what is measured.
    pub(in super::super) fn tick_relay(&mut self, now: Instant) {
        for key in std::mem::take(&mut self.relay.switching) {
            self.mark_want(key);
        }
        self.fade_outlets(now);
        if self.relay.rooms.is_empty() || self.relay.next_flow.is_some_and(|at| now < at) {
            return;
        }
        self.relay.next_flow = Some(now + FLOW_INTERVAL);
        let rooms: Vec<RoomKey> = self.relay.rooms.values().copied().collect();
        for room in rooms {
            for key in self.tracks_of_room(room) {
                if self.has_news(now, key) {
                    self.spread_flow(now, key);
                }
            }
        }
    }

    /// Whether a track flows differently enough from what other shards know to tell them.
    fn has_news(&self, now: Instant, key: TrackKey) -> bool {
        let Some(track) = self.tracks.get(key).filter(|t| t.origin.is_none()) else {
            return false;
        };
        let differs = |is: u64, told: u64| is.abs_diff(told) * 8 > told;
        let told = track.told_flow.iter();
        let mut both = track
            .encodings
            .iter()
            .map(|e| e.encoding.reported(now))
            .zip(told);
        track.told_flow.len() != track.encodings.len()
            || both.any(|(is, told)| {
                let layers = |of: &Reported| (of.flowing, of.spatial_layers, of.temporal_layers);
                layers(&is) != layers(told)
                    || is.missing.abs_diff(told.missing) > 10
                    || is.late.abs_diff(told.late) > 10
                    || differs(is.bitrate, told.bitrate)
                    || differs(is.fps.into(), told.fps.into())
            })
    }
}
