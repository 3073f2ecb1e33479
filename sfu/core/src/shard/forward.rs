//! A packet's way through the shard: from the publisher's transport, by its track, to each subscriber.
//! Must not allocate per subscriber beyond what the egress needs, nor log.

use std::{
    sync::Arc,
    time::{Duration, Instant, UNIX_EPOCH},
};

use super::{Shard, state::Format};
use crate::{
    DropReason,
    key::{SessionKey, SubscriptionKey, TrackKey},
    rtp::{Codec, Mid, Packet, red_primary},
    session::{EgressPacket, IngressPacket, Role, Stream},
    subscription::Decision,
    track::SenderClock,
};

/// Encodings whose clocks are looked at; more are never kept (`encodings_per_track`).
const ENCODINGS_MAX: usize = 8;

/// Bytes of a payload. No client packs more, for it would not fit a packet of the Internet; the egress
/// of the engine has room for 2,000 with header and extensions, and fails the subscriber past that.
const PAYLOAD_MAX: usize = 1_500;

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
        let Some(format) = self.format_of(session, stream.track, &packet) else {
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
        let parsed = Packet::parse(
            codec, sequence, timestamp, marker, payload, extensions, arrival,
        );
        self.stats.packets_received += 1;
        let captured = self.note_packet(now, session, stream, &parsed, packet.sender_report);
        self.forward(now, stream, format, &parsed, captured);
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
        if let Some(stream) = participant.session.ingress.stream(packet.ssrc) {
            return Ok(stream);
        }
        let transport = participant
            .session
            .transport_mut(Role::Publish)
            .ok_or(DropReason::UnknownStream)?;
        let (mid, rid) = transport
            .stream_of(packet.ssrc)
            .ok_or(DropReason::UnknownStream)?;
        let key = participant
            .session
            .ingress
            .track_of(mid)
            .ok_or(DropReason::UnknownStream)?;
        let track = self.tracks.get_mut(key).ok_or(DropReason::UnknownStream)?;
        let encoding = track
            .encoding_of(rid, limits.encodings_per_track)
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
        Ok(stream)
    }

    /// An encoding begins anew under another SSRC.
    fn restart_encoding(&mut self, key: TrackKey, encoding: u8) {
        let Some(track) = self.tracks.get_mut(key) else {
            return;
        };
        if let Some(published) = track.encodings.get_mut(usize::from(encoding)) {
            published.encoding.restart();
        }
        for subscription in &track.subscriptions {
            if let Some(subscription) = self.subscriptions.get_mut(*subscription) {
                subscription.forwarder.restart(encoding);
            }
        }
    }

    /// The index of a packet's codec among those of its track.
    fn format_of(
        &mut self,
        session: SessionKey,
        key: TrackKey,
        packet: &IngressPacket,
    ) -> Option<usize> {
        const FORMATS_MAX: usize = 32;
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
            .transport(Role::Publish)?
            .codec_of(packet.payload_type)?;
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
        if !track.info.mime.eq_ignore_ascii_case(mime) {
            let differs = !track.info.mime.is_empty() && !track.info.mime.ends_with("/red");
            mime.clone_into(&mut track.info.mime);
            if differs {
                self.announce_participant(session);
            }
        }
        self.tracks.get(key).map(|track| track.formats.len() - 1)
    }

    /// Measures a packet on its encoding. Returns when its media was captured, on our clock.
    fn note_packet(
        &mut self,
        now: Instant,
        session: SessionKey,
        stream: Stream,
        packet: &Packet,
        report: Option<(std::time::SystemTime, u32)>,
    ) -> Instant {
        let (Some(track), Some(participant)) = (
            self.tracks.get_mut(stream.track),
            self.participants.get_mut(session),
        ) else {
            return packet.arrival;
        };
        if let Some((level, voice)) = packet.audio_level() {
            track.speaker.observe(level, voice, now);
        }
        let Some(published) = track.encodings.get_mut(usize::from(stream.encoding)) else {
            return packet.arrival;
        };
        let encoding = &mut published.encoding;
        let was_flowing = encoding.is_flowing(now);
        encoding.on_packet(packet);
        if packet.is_keyframe {
            published.throttle.on_keyframe(now);
        }
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

    /// An encoding began to flow: who waits for it or for better may switch.
    pub(super) fn on_flow(&mut self, now: Instant, key: TrackKey) {
        let Some(track) = self.tracks.get_mut(key) else {
            return;
        };
        let flowing = track.flowing(now);
        if track.flowing == flowing {
            return;
        }
        track.flowing = flowing;
        for subscription in track.subscriptions.clone() {
            self.retarget(now, subscription);
        }
    }

    /// Hands a packet to each subscriber of its track.
    fn forward(
        &mut self,
        now: Instant,
        stream: Stream,
        format: usize,
        packet: &Packet,
        captured: Instant,
    ) {
        let Self {
            tracks,
            subscriptions,
            participants,
            stats,
            dirty,
            ..
        } = self;
        let Some(track) = tracks.get(stream.track) else {
            return;
        };
        let Some(spec) = track.formats.get(format) else {
            return;
        };
        let mut clocks: [Option<SenderClock>; ENCODINGS_MAX] = [None; ENCODINGS_MAX];
        for (clock, published) in clocks.iter_mut().zip(&track.encodings) {
            *clock = published.encoding.clock();
        }
        let primary = (packet.codec == Codec::Red)
            .then(|| red_primary(&packet.payload))
            .flatten();
        let mut wanted = 0_u8;
        let mut unsupported: Option<SubscriptionKey> = None;
        for key in &track.subscriptions {
            let Some(subscription) = subscriptions.get_mut(*key) else {
                continue;
            };
            stats.packets_offered += 1;
            let subscriber = participants.get_mut(subscription.subscriber);
            let sending = subscriber.and_then(|subscriber| subscriber.session.sending());
            // Before the forwarder is asked: what it lets through counts as sent.
            let ready = sending.filter(|(_, _, transport)| transport.is_connected());
            let Some((egress, _, transport)) = ready.filter(|_| subscription.is_live) else {
                stats.drop(DropReason::NotConnected);
                continue;
            };
            let slot = subscription.slot;
            let is_red = packet.codec == Codec::Red;
            let mut strips_red = false;
            let mut payload_type =
                egress.payload_type(transport, slot, format * 2, &spec.params, is_red);
            if payload_type.is_none() && is_red && primary.is_some() {
                // A receiver without redundancy gets the newest block alone (RFC 2198 section 3).
                strips_red = true;
                payload_type =
                    egress.payload_type(transport, slot, format * 2 + 1, &spec.params, false);
            }
            let Some(payload_type) = payload_type else {
                stats.drop(DropReason::CodecUnsupported);
                if !subscription.told_unsupported {
                    subscription.told_unsupported = true;
                    unsupported = Some(*key);
                }
                continue;
            };
            let decision = subscription
                .forwarder
                .decide(stream.encoding, packet, &clocks);
            if let Some(waiting) = subscription.forwarder.wants_keyframe() {
                wanted |= 1_u8.checked_shl(waiting.into()).unwrap_or(0);
            }
            let rewritten = match decision {
                Decision::Forward(rewritten) => rewritten,
                Decision::Drop(reason) => {
                    stats.drop(reason);
                    continue;
                }
            };
            let payload = match (strips_red, primary) {
                (true, Some(primary)) => Arc::from(primary),
                _ => rewritten
                    .payload
                    .clone()
                    .unwrap_or_else(|| packet.payload.clone()),
            };
            let sent = EgressPacket {
                payload_type,
                sequence: rewritten.sequence,
                timestamp: rewritten.timestamp,
                captured,
                marker: rewritten.marker,
                extensions: rewritten.extensions(packet),
                payload,
                vp8: rewritten.vp8,
            };
            if egress.write(transport, slot, sent) {
                stats.packets_forwarded += 1;
                dirty.push(subscription.subscriber);
            } else {
                stats.drop(DropReason::NotConnected);
            }
        }
        let is_video = track.is_video();
        if let Some(key) = unsupported {
            self.tell_unsupported(key);
        }
        if is_video && wanted != 0 {
            for encoding in 0..ENCODINGS_MAX as u8 {
                if wanted & (1 << encoding) != 0 {
                    self.want_keyframe(now, stream.track, encoding);
                }
            }
        }
    }

    fn tell_unsupported(&mut self, key: SubscriptionKey) {
        use plenum_proto::node::{SubscriptionError, SubscriptionFailed, session_event::Kind};
        let Some(subscription) = self.subscriptions.get(key) else {
            return;
        };
        let Some(track) = self.tracks.get(subscription.track) else {
            return;
        };
        let told = SubscriptionFailed {
            track_id: (&track.id).into(),
            error: SubscriptionError::CodecUnsupported.into(),
        };
        self.tell(subscription.subscriber, Kind::SubscriptionFailed(told));
    }

    /// A subscriber's decoder is stuck.
    pub(super) fn on_keyframe_request(&mut self, now: Instant, session: SessionKey, mid: Mid) {
        self.stats.keyframe_requests_received += 1;
        let Some(participant) = self.participants.get(session) else {
            return;
        };
        let Some(key) = participant.session.egress.subscription_of(mid) else {
            return;
        };
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
        }
    }

    /// Asks the publisher now.
    pub(super) fn request_keyframe(&mut self, track: TrackKey, encoding: u8) {
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
        let Some(transport) = publisher.session.transport_mut(Role::Publish) else {
            return;
        };
        if ssrc.is_some_and(|ssrc| transport.request_keyframe(ssrc)) {
            self.stats.keyframe_requests_sent += 1;
            self.dirty.push(owner);
        }
    }
}

/// Whether a capture time can be true: a client with a broken clock must not upset playout.
fn is_plausible(captured: Instant, arrival: Instant) -> bool {
    const FARTHEST: Duration = Duration::from_secs(10);
    captured.saturating_duration_since(arrival) < FARTHEST
        && arrival.saturating_duration_since(captured) < FARTHEST
}
