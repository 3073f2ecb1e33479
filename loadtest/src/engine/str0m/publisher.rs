//! A publisher's transport: media of sources, paced as a browser's encoder and pacer send it.
//!
//! Owns when a frame is made, when its packets leave, and the reactions to keyframe requests and to
//! what subscribers want. Must not receive media.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::media::{Direction, MediaKind};
use str0m::rtp::{ExtensionValues, RtpWrite};
use str0m::{Event, IceConnectionState, RtcConfig};

use super::sender::MessageSender;
use super::socket::ReadBuffers;
use super::stream::{Queued, Source, Stream, payload_type, simulcast, streams_of};
use super::transport::{Transport, TransportSetup};
use crate::engine::Event as Told;
use crate::engine::pacer::Pacer;
use crate::engine::received::Received;
use crate::engine::{EngineError, Messages, PublishMedia, PublishTrack, Target, unix_ns};
use crate::media::{AudioSource, Codec, Stamp};

/// See the module.
pub(super) struct Publisher {
    transport: Transport,
    pending: Option<SdpPendingOffer>,
    streams: Vec<Stream>,
    queue: VecDeque<Queued>,
    pacer: Pacer,
    messages: Option<MessageSender>,
    talking: bool,
    /// When the transport came up; media begins then.
    connected: bool,
    told: Vec<Told>,
}

impl Publisher {
    fn config(tracks: &[PublishTrack]) -> RtcConfig {
        let mut config = Transport::config();
        for track in tracks {
            if let PublishMedia::Video { codec, .. } = track.media {
                config = match codec {
                    Codec::Vp8 => config.enable_vp8(true),
                    Codec::Vp9 => config.enable_vp9(true),
                    Codec::H264 => config.enable_h264(true),
                    Codec::Av1 => config.enable_av1(true),
                    Codec::Opus => config,
                };
            }
        }
        config
    }

    /// Opens the transport and gives the offer.
    pub(super) fn open(
        setup: TransportSetup,
        tracks: Vec<PublishTrack>,
        messages: Option<Messages>,
        now: Instant,
    ) -> Result<(Self, String), EngineError> {
        let seed = setup.seed;
        let mut transport = Transport::open(setup, Self::config(&tracks), now)?;
        let mut streams = Vec::new();
        let mut api = transport.rtc().sdp_api();
        for track in tracks {
            let (kind, simulcast) = match &track.media {
                PublishMedia::Audio { .. } => (MediaKind::Audio, None),
                PublishMedia::Video { encodings, .. } => (MediaKind::Video, simulcast(encodings)),
            };
            let cid = Some(track.cid.clone());
            let mid = api.add_media(kind, Direction::SendOnly, cid.clone(), cid, simulcast);
            streams.extend(streams_of(track, mid, seed, now));
        }
        let messages = messages.map(|messages| MessageSender::declare(&mut api, messages, now));
        let (offer, pending) = api
            .apply()
            .ok_or_else(|| EngineError::Stack("an offer of nothing".to_owned()))?;
        let publisher = Self {
            transport,
            pending: Some(pending),
            pacer: Pacer::new(now),
            streams,
            queue: VecDeque::new(),
            messages,
            talking: false,
            connected: false,
            told: Vec::new(),
        };
        Ok((publisher, offer.to_sdp_string()))
    }

    pub(super) fn transport(&mut self) -> &mut Transport {
        &mut self.transport
    }

    /// Takes the server's answer.
    pub(super) fn handle_answer(
        &mut self,
        now: Instant,
        now_ns: u64,
        text: &str,
    ) -> Result<(), EngineError> {
        let invalid = |error: String| EngineError::Description(error);
        let answer =
            SdpAnswer::from_sdp_string(text).map_err(|error| invalid(error.to_string()))?;
        let Some(pending) = self.pending.take() else {
            return Err(invalid("an answer that nothing asked for".to_owned()));
        };
        let rtc = self.transport.rtc();
        rtc.sdp_api()
            .accept_answer(pending, answer)
            .map_err(|error| invalid(error.to_string()))?;
        for stream in &mut self.streams {
            stream.pt = payload_type(rtc, stream.mid, stream.source.codec());
        }
        self.transport.advance(now)?;
        self.drain(now, now_ns)
    }

    pub(super) fn set_talking(&mut self, talking: bool) {
        self.talking = talking;
    }

    /// Notes which encodings of a track anyone wants.
    pub(super) fn set_wanted(&mut self, now: Instant, cid: &str, wanted: &[bool]) {
        for stream in self.streams.iter_mut().filter(|stream| stream.cid == cid) {
            let wanted = wanted.get(stream.encoding).copied().unwrap_or(true);
            if wanted && !stream.wanted {
                stream.resume(now);
            }
            stream.wanted = wanted;
        }
    }

    /// When something has to be done.
    pub(super) fn due(&self) -> Instant {
        let mut due = self.transport.due();
        if self.connected {
            let wanted = self.streams.iter().filter(|stream| stream.wanted);
            due = wanted.map(|stream| stream.due).fold(due, Instant::min);
            let messages = self.messages.as_ref().and_then(MessageSender::due);
            due = messages.map_or(due, |at| due.min(at));
            if !self.queue.is_empty() {
                due = due.min(self.pacer.due());
            }
        }
        due
    }

    /// Reads the socket.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        buffers: &mut ReadBuffers,
    ) -> Result<(), EngineError> {
        let mut events = Vec::new();
        self.transport
            .receive(now, buffers, |_, at_ns, event| events.push((at_ns, event)))?;
        for (at_ns, event) in events {
            self.handle_event(now, at_ns, &event);
        }
        Ok(())
    }

    /// Does what is due: makes frames, sends packets.
    pub(super) fn handle_timeout(
        &mut self,
        now: Instant,
        now_ns: u64,
        received: &mut Received,
    ) -> Result<(), EngineError> {
        let mut events = Vec::new();
        self.transport
            .receive_held(now, |_, at_ns, event| events.push((at_ns, event)))?;
        for (at_ns, event) in events {
            self.handle_event(now, at_ns, &event);
        }
        self.transport.handle_timeout(now)?;
        self.drain(now, now_ns)?;
        if self.connected {
            self.make_frames(now, now_ns, received)?;
            self.send_paced(now, now_ns, received)?;
            if let Some(messages) = &mut self.messages
                && messages.send(now, self.transport.rtc(), received)
            {
                self.transport.advance(now)?;
                self.drain(now, now_ns)?;
            }
        }
        Ok(())
    }

    /// Drains the stack after any change to it.
    pub(super) fn drain(&mut self, now: Instant, now_ns: u64) -> Result<(), EngineError> {
        while let Some(event) = self.transport.poll(now)? {
            self.handle_event(now, now_ns, &event);
        }
        Ok(())
    }

    /// What the driver has to know since the last call.
    pub(super) fn told(&mut self) -> impl Iterator<Item = Told> + '_ {
        self.told.drain(..)
    }

    fn handle_event(&mut self, now: Instant, at_ns: u64, event: &Event) {
        let target = Target::Publisher;
        match event {
            Event::Connected => {
                self.connected = true;
                // Spread by what was drawn at the start, so that not all publishers send at once.
                for stream in &mut self.streams {
                    stream.due = now + stream.phase();
                }
                self.told.push(Told::Connected { target, at_ns });
            }
            Event::IceConnectionStateChange(IceConnectionState::Disconnected) | Event::Closed => {
                self.connected = false;
                self.told.push(Told::Disconnected { target });
            }
            Event::ChannelOpen(id, _) => {
                if let Some(messages) = &mut self.messages {
                    messages.on_open(now, *id);
                }
            }
            Event::KeyframeRequest(request) => {
                for stream in &mut self.streams {
                    if stream.mid == request.mid
                        && (request.rid.is_none() || stream.rid == request.rid)
                    {
                        stream.on_keyframe_request(now);
                    }
                }
            }
            _ => {}
        }
    }

    /// Makes the frames that are due. Audio leaves at once, video through the pacer.
    fn make_frames(
        &mut self,
        now: Instant,
        now_ns: u64,
        received: &mut Received,
    ) -> Result<(), EngineError> {
        for index in 0..self.streams.len() {
            let talking = self.talking;
            let stream = &mut self.streams[index];
            if !stream.wanted {
                continue;
            }
            if stream.due <= now {
                received.on_late(now - stream.due);
            }
            let mut voice = None;
            while stream.due <= now {
                match &mut stream.source {
                    Source::Audio(source) => {
                        let packet = source.next(talking);
                        Stamp::write_time(&mut packet.payload, now_ns);
                        let write = (
                            packet.payload.as_slice().into(),
                            packet.timestamp,
                            packet.marker,
                        );
                        voice = Some((write, packet.audio_level, packet.voice));
                        stream.due += AudioSource::INTERVAL;
                    }
                    Source::Video(video) => {
                        stream.due += video.source.frame_interval();
                        self.queue.extend(video.next_frame(now, index));
                    }
                }
                // Far behind, because this machine is: leave out what cannot be made up for.
                if now.saturating_duration_since(stream.due) > Duration::from_millis(500) {
                    stream.due = now;
                }
                if let Some(((payload, timestamp, marker), level, voice)) = voice.take() {
                    let packet = Queued {
                        stream: index,
                        payload,
                        timestamp,
                        marker,
                    };
                    let values = ExtensionValues {
                        audio_level: level,
                        voice_activity: Some(voice),
                        ..ExtensionValues::default()
                    };
                    write(&mut self.transport, stream, packet, values, now, received)?;
                }
            }
        }
        self.drain(now, now_ns)
    }

    /// Sends what the pacer lets through.
    fn send_paced(
        &mut self,
        now: Instant,
        now_ns: u64,
        received: &mut Received,
    ) -> Result<(), EngineError> {
        if self.queue.is_empty() {
            return Ok(());
        }
        let wanted = self.streams.iter().filter(|stream| stream.wanted);
        self.pacer
            .advance(now, wanted.map(|stream| stream.bitrate).sum());
        let sent_ns = unix_ns().max(now_ns);
        while self.pacer.may_send() {
            let Some(mut packet) = self.queue.pop_front() else {
                break;
            };
            self.pacer.on_sent(packet.payload.len());
            if let Some(payload) = Arc::get_mut(&mut packet.payload) {
                Stamp::write_time(payload, sent_ns);
            }
            let stream = &mut self.streams[packet.stream];
            let values = ExtensionValues::default();
            write(&mut self.transport, stream, packet, values, now, received)?;
        }
        self.transport.socket.flush();
        self.drain(now, now_ns)
    }
}

/// Gives a packet to the stack and drains it.
fn write(
    transport: &mut Transport,
    stream: &mut Stream,
    packet: Queued,
    values: ExtensionValues,
    now: Instant,
    received: &mut Received,
) -> Result<(), EngineError> {
    let Some(pt) = stream.pt else {
        return Ok(());
    };
    received.on_sent(packet.payload.len());
    let sequence = stream.sequence.into();
    stream.sequence += 1;
    let mut direct = transport.rtc().direct_api();
    let Some(tx) = direct.stream_tx_by_mid(stream.mid, stream.rid) else {
        return Ok(());
    };
    tx.write_rtp(
        RtpWrite::new(pt, sequence, packet.timestamp, now, packet.payload)
            .marker(packet.marker)
            .nackable(true)
            .ext_vals(values),
    );
    transport.advance(now)?;
    // Events of a write are none that matter: requests come with datagrams.
    while transport.poll(now)?.is_some() {}
    Ok(())
}
