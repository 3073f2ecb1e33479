//! A packet's way into the shard: from the publisher's transport to its track and encoding, and the
//! keyframes that are asked of the publisher. What goes out is fan-out's. Must not log.

use std::{
    sync::Arc,
    time::{Duration, Instant, UNIX_EPOCH},
};

use super::{Shard, fanout::Pending, link::LOSSY, state::Format};
use crate::{
    DropReason,
    key::{SessionKey, SubscriptionKey, TrackKey},
    rtp::{Codec, Packet},
    session::{IngressPacket, Stream},
    track::SenderClock,
};

/// Bytes of a payload. No client packs more, for it would not fit a packet of the Internet.
pub(super) const PAYLOAD_MAX: usize = 1_500;

impl Shard {
    /// A packet of a publisher.
    pub(super) fn on_packet(&mut self, now: Instant, session: SessionKey, packet: IngressPacket) {
        if packet.payload.len() > PAYLOAD_MAX {
            return self.stats.drop(DropReason::Malformed);
        }
        let stream = match self.stream_of(session, &packet) {
            Ok(stream) => stream,
            Err(reason) => return self.stats.drop(reason),
        };
        let Some(format) = self.format_of(session, stream, &packet) else {
            return self.stats.drop(DropReason::UnknownStream);
        };
        let IngressPacket {
            sequence,
            timestamp,
            marker,
            payload,
            extensions,
            arrival,
            ..
        } = packet;
        let Some(codec) = self
            .tracks
            .get(stream.track)
            .and_then(|t| t.formats.get(format))
        else {
            return;
        };
        let codec = codec.codec;
        let mut packet_in = Packet::parse(
            codec,
            sequence,
            timestamp,
            marker,
            payload,
            &extensions,
            arrival,
        );
        self.complete(stream, &mut packet_in);
        let packet_in = Arc::new(packet_in);
        self.stats.packets_received += 1;
        let captured = self.note_packet(now, session, stream, &packet_in, packet.sender_report);
        let pending = Pending {
            stream,
            format,
            packet: packet_in,
            captured,
        };
        self.export(&pending);
        self.copy(now, &pending);
        self.queue(pending);
    }

    /// Reads into a packet what it says of layers, and asks for the wait that its encoding needs.
    fn complete(&mut self, stream: Stream, packet: &mut Packet) {
        let track = self.tracks.get_mut(stream.track);
        let encodings = track.map(|track| &mut track.encodings);
        if let Some(published) =
            encodings.and_then(|encodings| encodings.get_mut(usize::from(stream.encoding)))
        {
            published.encoding.read_layers(packet);
            published.encoding.ask(packet);
        }
    }

    /// The track and encoding of a packet.
    fn stream_of(
        &mut self,
        session: SessionKey,
        packet: &IngressPacket,
    ) -> Result<Stream, DropReason> {
        let limits = &self.config.limits;
        let participant = self
            .participants
            .get_mut(session)
            .ok_or(DropReason::UnknownStream)?;
        // Media is a sign of life too: some encoders check connectivity at the start and never again.
        participant.member.silent_since = participant.member.silent_since.map(|_| packet.arrival);
        if let Some(stream) = participant.session.ingress.stream(packet.ssrc) {
            return Ok(stream);
        }
        let (mid, rid) = participant
            .session
            .stream_of(packet.ssrc)
            .ok_or(DropReason::UnknownStream)?;
        let carried = participant
            .session
            .ingress
            .carried(mid)
            .ok_or(DropReason::UnknownStream)?;
        let key = carried.track;
        let track = self.tracks.get_mut(key).ok_or(DropReason::UnknownStream)?;
        let encoding = track
            .encoding_of(carried.codec, rid, limits.encodings_per_track)
            .ok_or(DropReason::SsrcLimit)?;
        let stream = Stream {
            track: key,
            encoding,
        };
        let is_restart = participant.session.ingress.ssrc_of(stream).is_some();
        let cap = limits.ssrcs_per_participant;
        if !participant.session.ingress.insert(packet.ssrc, stream, cap) {
            return Err(DropReason::SsrcLimit);
        }
        if is_restart {
            self.restart_encoding(key, encoding);
        }
        // The others may not know of the encoding yet.
        self.spread_member(session);
        Ok(stream)
    }

    /// An encoding begins anew under another SSRC.
    pub(super) fn restart_encoding(&mut self, key: TrackKey, encoding: u8) {
        // What came before the new beginning is numbered as before.
        self.flush();
        let Some(track) = self.tracks.get_mut(key) else {
            return;
        };
        if let Some(published) = track.encodings.get_mut(usize::from(encoding)) {
            published.encoding.restart();
            published.starts = published.starts.wrapping_add(1);
        }
        for subscription in &track.subscriptions {
            if let Some(subscription) = self.subscriptions.get_mut(*subscription) {
                subscription.forwarder.restart(encoding);
            }
        }
        for copy in track.copies.clone() {
            self.restart_encoding(copy, encoding);
        }
    }

    /// The index of a packet's codec among those of its track.
    fn format_of(
        &mut self,
        session: SessionKey,
        stream: Stream,
        packet: &IngressPacket,
    ) -> Option<usize> {
        const FORMATS_MAX: usize = 32;
        let key = stream.track;
        let track = self.tracks.get_mut(key)?;
        let known = track
            .formats
            .iter()
            .position(|f| f.payload_type == packet.payload_type);
        if known.is_some() {
            return known;
        }
        let participant = self.participants.get(session)?;
        let params = participant
            .session
            .codec_of(packet.ssrc, packet.payload_type)?;
        let is_red = params.red() == Some(packet.payload_type);
        let codec = if is_red {
            Codec::Red
        } else {
            Codec::from_engine(params.spec().codec)?
        };
        if track.formats.len() >= FORMATS_MAX {
            return None;
        }
        track.formats.push(Format {
            payload_type: packet.payload_type,
            codec,
            params,
        });
        // What was announced may differ from what comes.
        let mime = if is_red {
            Codec::Opus.mime()
        } else {
            codec.mime()
        };
        if track.is_of_codec(stream.encoding, 0) && !track.info.mime.eq_ignore_ascii_case(mime) {
            let differs = !track.info.mime.is_empty() && !track.info.mime.ends_with("/red");
            mime.clone_into(&mut track.info.mime);
            if differs {
                self.announce_participant(session);
            }
        }
        // The others need the codec before its first packet.
        self.spread_member(session);
        self.tracks.get(key).map(|track| track.formats.len() - 1)
    }

    /// Measures a packet on its encoding. Returns when its media was captured, on our clock.
    fn note_packet(
        &mut self,
        now: Instant,
        session: SessionKey,
        stream: Stream,
        packet: &Arc<Packet>,
        report: Option<(std::time::SystemTime, u32)>,
    ) -> Instant {
        let (Some(track), Some(participant)) = (
            self.tracks.get_mut(stream.track),
            self.participants.get_mut(session),
        ) else {
            return packet.arrival;
        };
        if let Some((level, voice)) = packet.audio_level {
            track.speaker.observe(level, voice, now);
        }
        let Some(published) = track.encodings.get_mut(usize::from(stream.encoding)) else {
            return packet.arrival;
        };
        let was_flowing = published.encoding.is_flowing(now);
        published.take(now, packet);
        let encoding = &mut published.encoding;
        if let Some((wall, rtp)) = report {
            let wall = wall.duration_since(UNIX_EPOCH).unwrap_or_default();
            let clock = SenderClock::new(wall, rtp, packet.codec.clock_rate());
            // The engine repeats the newest report with every packet.
            if encoding.clock() != Some(clock) {
                encoding.on_sender_report(wall, rtp);
                participant.clock.on_sender_report(now, wall);
            }
        }
        let captured = encoding
            .clock()
            .and_then(|clock| participant.clock.moment(clock.time_of(packet.timestamp)))
            .filter(|moment| is_plausible(*moment, packet.arrival))
            .unwrap_or(packet.arrival);
        if !was_flowing {
            self.on_flow(now, stream.track);
        }
        captured
    }

    /// An encoding began to flow, ceased, or has less or more than it had: who waits for it or for better may switch.
    pub(super) fn on_flow(&mut self, now: Instant, key: TrackKey) {
        /// Twice as often as this it is looked whether an encoding ceased.
        const JUST_NOW: Duration = Duration::from_millis(200);
        let silent = self.failing(now, key).silent;
        let Some(track) = self.tracks.get_mut(key) else {
            return;
        };
        track.note_flow(now, silent);
        let flowing = track.flowing(now);
        let frail = track.frail(now);
        if (track.flowing, track.frail) == (flowing, frail) {
            return;
        }
        let changed = track.flowing ^ flowing;
        (track.flowing, track.frail) = (flowing, frail);
        let owner = track.owner;
        if let Some(publisher) = self.participants.get_mut(owner) {
            for encoding in (0..u8::BITS as u8).filter(|n| changed >> n & 1 != 0) {
                let is_at_rest = flowing >> encoding & 1 == 0;
                let track = key;
                publisher
                    .session
                    .set_at_rest(Stream { track, encoding }, is_at_rest);
            }
        }
        self.wake_track(key);
        if let Some(room) = self.participants.get(owner).map(|owner| owner.room) {
            self.wake_room(room);
        }
        let Some(track) = self.tracks.get(key) else {
            return;
        };
        // One that ceased flowed a moment ago.
        let before = now.checked_sub(JUST_NOW).unwrap_or(now);
        let is_lossy = track.uplink_loss(before) >= LOSSY;
        if let Some(publisher) = self.participants.get_mut(track.owner).filter(|_| is_lossy) {
            publisher.link.lossy_at = Some(now);
        }
        for subscription in track.subscriptions.clone() {
            self.retarget(now, subscription);
        }
        self.spread_flow(now, key);
    }

    /// A subscriber's decoder is stuck.
    pub(super) fn on_keyframe_request(&mut self, now: Instant, key: SubscriptionKey) {
        self.stats.keyframe_requests_received += 1;
        let Some(subscription) = self.subscriptions.get(key) else {
            return;
        };
        let layer = subscription
            .forwarder
            .current()
            .or_else(|| subscription.forwarder.target());
        if let Some(layer) = layer {
            self.want_keyframe(now, subscription.track, layer.encoding);
        }
    }

    /// Somebody needs a keyframe of an encoding; the publisher is asked as often as is good for it.
    pub(super) fn want_keyframe(&mut self, now: Instant, key: TrackKey, encoding: u8) {
        let Some(track) = self.tracks.get_mut(key) else {
            return;
        };
        let owner = track.owner;
        let rtt = self.participants.get(owner).and_then(|p| p.link.rtt);
        let Some(published) = track.encodings.get_mut(usize::from(encoding)) else {
            return;
        };
        if published.throttle.request(now, rtt) {
            self.request_keyframe(key, encoding);
        } else {
            self.wake_track(key);
        }
    }

    /// Asks the publisher now.
    pub(super) fn request_keyframe(&mut self, track: TrackKey, encoding: u8) {
        if self.request_keyframe_elsewhere(track, encoding) {
            return;
        }
        if let Some(source) = self.tracks.get(track).and_then(|track| track.copy_of) {
            return self.want_keyframe(self.now, source, encoding);
        }
        let Some(owner) = self.tracks.get(track).map(|track| track.owner) else {
            return;
        };
        let Some(publisher) = self.participants.get_mut(owner) else {
            return;
        };
        let ssrc = publisher
            .session
            .ingress
            .ssrc_of(Stream { track, encoding });
        if ssrc.is_some_and(|ssrc| publisher.session.request_keyframe(ssrc)) {
            self.stats.keyframe_requests_sent += 1;
            self.dirty.push(owner);
        }
    }
}

/// Whether a capture time can be true: a client with a broken clock must not upset playout.
pub(super) fn is_plausible(captured: Instant, arrival: Instant) -> bool {
    const FARTHEST: Duration = Duration::from_secs(10);
    captured.saturating_duration_since(arrival) < FARTHEST
        && arrival.saturating_duration_since(captured) < FARTHEST
}
