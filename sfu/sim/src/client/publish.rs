//! Publishing: sources, their sections and the packets they make. Must not look at what comes back but
//! keyframe requests and demand; what the link takes is the concern of `encode.rs`.

use std::time::Duration;

use plenum_proto::{
    node::{AddTrack, Mute, QualityEnabled, session_request::Kind},
    v1::{self, TrackKind, TrackSource, VideoLayer, VideoQuality},
};
use str0m::{
    Event,
    bwe::BweKind,
    change::SdpApi,
    format::Codec,
    media::{Direction, MediaKind, Mid, Pt, Rid, Simulcast, SimulcastLayer},
    rtp::{ExtensionValues, RtpWrite},
};

use super::{Client, encode};
use crate::{
    connection::Connection,
    media::{Descriptor, Encoder, Made, SourceId, SourceKind, VideoCodec, VideoSettings},
    world::Clock,
};

/// A microphone or camera of a client.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) id: SourceId,
    pub(crate) kind: SourceKind,
    pub(super) settings: VideoSettings,
    cid: String,
    /// It is the camera of the source before it in another codec.
    pub(crate) is_backup: bool,
    pub(crate) track_id: Option<String>,
    pub(crate) mid: Option<Mid>,
    payload_type: Option<Pt>,
    pub(crate) encoders: Vec<Encoder>,
    /// When the next frame is captured; absent until the section is negotiated.
    next_at: Option<Duration>,
    /// Told to the node.
    pub(crate) is_muted: bool,
    /// Makes nothing for now.
    pub(crate) is_still: bool,
    pub(crate) is_gone: bool,
    /// Loudness in dBov, and whether there is a voice.
    pub(crate) level: (i8, bool),
    pub(crate) demand: Vec<(VideoQuality, bool)>,
    pub(crate) keyframe_requests: u64,
    /// Since when it has been sending without a break.
    pub(crate) flowing_since: Option<Duration>,
}

/// A packet for the engine.
#[derive(Debug)]
pub(super) struct Write {
    pub(super) mid: Mid,
    rid: Option<Rid>,
    payload_type: Pt,
    packet: Made,
    captured: Duration,
    level: Option<(i8, bool)>,
}

/// From capture of a picture to its packets.
const ENCODING_TIME: Duration = Duration::from_millis(12);
const AUDIO_FRAME: Duration = Duration::from_millis(20);

impl Source {
    /// What its track is called, here and where it is forwarded.
    pub(crate) fn name(&self) -> &str {
        &self.cid
    }

    pub(crate) fn deadline(&self) -> Option<Duration> {
        self.next_at
    }

    /// Bits per second of the best that a receiver may be given of it, with headers.
    pub(crate) fn bitrate(&self) -> u64 {
        let payload = match self.kind {
            SourceKind::Audio => 32_000,
            SourceKind::Video => self.settings.bitrate(),
        };
        payload * 6 / 5
    }

    /// Adds or ends its section in an offer.
    pub(super) fn offer(&mut self, api: &mut SdpApi<'_>) {
        match (self.mid, self.is_gone) {
            (None, false) => {
                let (kind, simulcast) = match self.kind {
                    SourceKind::Audio => (MediaKind::Audio, None),
                    SourceKind::Video if self.settings.rids.is_empty() => (MediaKind::Video, None),
                    SourceKind::Video => {
                        let mut simulcast = Simulcast::new();
                        for rid in &self.settings.rids {
                            simulcast.add_send_layer(SimulcastLayer::new(rid));
                        }
                        (MediaKind::Video, Some(simulcast))
                    }
                };
                let (stream, cid) = (Some("stream".to_owned()), Some(self.cid.clone()));
                self.mid = Some(api.add_media(kind, Direction::SendOnly, stream, cid, simulcast));
            }
            (Some(mid), true) => api.set_direction(mid, Direction::Inactive),
            _ => {}
        }
    }

    /// Takes what is wanted of it, and with `heeds` switches off what is not.
    pub(super) fn take_demand(&mut self, steps: &[QualityEnabled], heeds: bool) {
        let steps = steps.iter().map(|step| (step.quality(), step.enabled));
        self.demand = steps.collect();
        if !heeds {
            return;
        }
        let count = self.encoders.len();
        for (index, encoder) in self.encoders.iter_mut().enumerate() {
            let quality = match (count, index) {
                (_, 2) | (2, 1) => VideoQuality::High,
                (_, 0) => VideoQuality::Low,
                _ => VideoQuality::Medium,
            };
            // One encoding may hold several steps: it is on for any of them.
            let demand = &self.demand;
            let is_off = if count == 1 {
                !demand.is_empty() && demand.iter().all(|(_, enabled)| !enabled)
            } else {
                let mut steps = demand.iter();
                steps.any(|(step, enabled)| *step == quality && !enabled)
            };
            if encoder.is_off && !is_off {
                encoder.wants_key = true;
            }
            encoder.is_off = is_off;
        }
    }

    fn announcement(&self) -> v1::Track {
        let (kind, source, mime) = match self.kind {
            SourceKind::Audio => (TrackKind::Audio, TrackSource::Microphone, "audio/opus"),
            SourceKind::Video => (
                TrackKind::Video,
                match self.settings.is_screen {
                    true => TrackSource::ScreenShare,
                    false => TrackSource::Camera,
                },
                self.settings
                    .announced
                    .unwrap_or_else(|| self.settings.codec.mime()),
            ),
        };
        let sizes = [
            (VideoQuality::Low, 320, 180),
            (VideoQuality::Medium, 640, 360),
            (VideoQuality::High, 1280, 720),
        ];
        let layers = sizes
            .into_iter()
            .take(self.encoders.len())
            .map(|(quality, width, height)| VideoLayer {
                quality: quality.into(),
                width,
                height,
                ..VideoLayer::default()
            });
        let is_video = self.kind == SourceKind::Video;
        let codec = |mime: &str, cid: &str| v1::TrackCodec {
            mime: mime.into(),
            cid: cid.into(),
            ..v1::TrackCodec::default()
        };
        let backup =
            (is_video && self.settings.has_backup).then(|| codec(VideoCodec::Vp8.mime(), ""));
        v1::Track {
            id: self.track_id.clone().unwrap_or_default(),
            name: self.cid.clone(),
            kind: kind.into(),
            source: source.into(),
            stream: match source {
                TrackSource::ScreenShare => "screen".into(),
                _ => "camera".into(),
            },
            mime: mime.into(),
            width: if is_video { 1280 } else { 0 },
            height: if is_video { 720 } else { 0 },
            simulcast: self.encoders.len() > 1,
            layers: if is_video {
                layers.collect()
            } else {
                Vec::new()
            },
            codecs: if is_video {
                [codec(mime, &self.cid)].into_iter().chain(backup).collect()
            } else {
                Vec::new()
            },
            ..v1::Track::default()
        }
    }
}

impl Client {
    /// Announces a source; its media follows once the node has answered twice.
    pub(crate) fn publish(
        &mut self,
        clock: &Clock,
        id: SourceId,
        kind: SourceKind,
        settings: VideoSettings,
    ) {
        let count = match kind {
            SourceKind::Audio => 1,
            SourceKind::Video => settings.rids.len().max(1),
        };
        let rate = match kind {
            SourceKind::Audio => 48_000,
            SourceKind::Video => 90_000,
        };
        let encoders = (0..count)
            .map(|index| Encoder::new(id, index as u8, rate, &mut self.rng))
            .collect();
        let source = Source {
            id,
            kind,
            settings,
            cid: format!("cid-{}", id.0),
            is_backup: false,
            track_id: None,
            mid: None,
            payload_type: None,
            encoders,
            next_at: None,
            is_muted: false,
            is_still: false,
            is_gone: false,
            level: (-127, false),
            demand: Vec::new(),
            keyframe_requests: 0,
            flowing_since: None,
        };
        self.ensure_publisher(clock);
        self.sources.push(source);
        self.announce(id);
    }

    /// The node wants a camera in the other codec that it was announced in: another sender is added.
    pub(super) fn add_backup(&mut self, id: SourceId) {
        let Some(of) = self.sources.iter().find(|source| source.id == id) else {
            return;
        };
        let settings = VideoSettings {
            rids: vec!["q", "h", "f"],
            codec: VideoCodec::Vp8,
            announced: None,
            has_backup: false,
            ..of.settings.clone()
        };
        let first = of.encoders.len() as u8;
        let source = Source {
            id,
            kind: SourceKind::Video,
            cid: format!("{}-backup", of.cid),
            is_backup: true,
            track_id: of.track_id.clone(),
            mid: None,
            payload_type: None,
            encoders: (first..first + 3)
                .map(|index| Encoder::new(id, index, 90_000, &mut self.rng))
                .collect(),
            settings,
            next_at: None,
            is_muted: of.is_muted,
            is_still: of.is_still,
            is_gone: false,
            level: of.level,
            demand: Vec::new(),
            keyframe_requests: 0,
            flowing_since: None,
        };
        let add = AddTrack {
            cid: source.cid.clone(),
            track: Some(source.announcement()),
        };
        self.sources.push(source);
        self.request(Kind::AddTrack(add));
        self.wants_offer = true;
        self.offer_if_wanted();
    }

    fn announce(&mut self, id: SourceId) {
        let source = self.sources.iter().find(|source| source.id == id);
        let add = source.map(|source| AddTrack {
            cid: source.cid.clone(),
            track: Some(source.announcement()),
        });
        if let Some(add) = add {
            self.request(Kind::AddTrack(add));
        }
    }

    /// The answer to an announcement may have been lost with the control connection: it is made again.
    pub(super) fn announce_unanswered(&mut self) {
        let unanswered = |source: &&Source| source.track_id.is_none() && !source.is_gone;
        let ids: Vec<_> = self
            .sources
            .iter()
            .filter(unanswered)
            .map(|s| s.id)
            .collect();
        for id in ids {
            self.announce(id);
        }
    }

    /// Opens the publisher's connection with its data channels.
    pub(crate) fn ensure_publisher(&mut self, clock: &Clock) {
        if self.publisher.is_none() {
            let (address, certificate) = (self.addresses[0], self.certificate.clone());
            let estimate = self.options.heeds_estimate.then_some(encode::INITIAL);
            let connection =
                Connection::new(clock.instant(), address, certificate, false, estimate);
            self.publisher = Some(connection);
            self.wants_offer = true;
        }
    }

    pub(super) fn on_published(&mut self, cid: &str, track: Option<String>) {
        if let Some(source) = self.sources.iter_mut().find(|source| source.cid == cid) {
            source.track_id = track;
            self.wants_offer = true;
            self.offer_if_wanted();
        } else {
            self.violations.push(format!("published {cid}, not ours"));
        }
    }

    /// Ends a source: its section goes out of use with the next offer.
    pub(crate) fn unpublish(&mut self, id: SourceId) {
        for source in self.sources.iter_mut().filter(|source| source.id == id) {
            source.is_gone = true;
            source.next_at = None;
            source.flowing_since = None;
            if let Some(mid) = source.mid {
                self.uplink.forget(mid);
            }
            self.wants_offer = true;
        }
        self.offer_if_wanted();
    }

    /// Mutes or unmutes a source. A client may go on to send what is muted; the node must not.
    pub(crate) fn mute(&mut self, id: SourceId, muted: bool, goes_on_sending: bool) {
        let Some(source) = self.sources.iter_mut().find(|source| source.id == id) else {
            return;
        };
        source.is_muted = muted;
        source.is_still = muted && !goes_on_sending;
        source.flowing_since = None;
        let track_id = source.track_id.clone().unwrap_or_default();
        self.request(Kind::Mute(Mute { track_id, muted }));
    }

    /// Sections are negotiated: what is on them begins to send.
    pub(super) fn begin_sources(&mut self, now: Duration) {
        let Some(publisher) = &mut self.publisher else {
            return;
        };
        let rtc = publisher.engine();
        for source in self
            .sources
            .iter_mut()
            .filter(|s| s.next_at.is_none() && !s.is_gone)
        {
            let Some(mid) = source.mid else { continue };
            let wanted = match source.kind {
                SourceKind::Audio => Codec::Opus,
                SourceKind::Video => source.settings.codec.engine(),
            };
            let taken = rtc
                .media(mid)
                .map(|media| media.remote_pts().to_vec())
                .unwrap_or_default();
            let own = rtc
                .codec_config()
                .find(|params| params.spec().codec == wanted && taken.contains(&params.pt()));
            source.payload_type = own.map(|params| params.pt());
            source.next_at = Some(now);
        }
    }

    pub(super) fn make_media(&mut self, clock: &Clock) {
        let now = clock.now;
        self.share_link();
        let has_backlog = self.uplink.has_backlog(now);
        for index in 0..self.sources.len() {
            let Some(source) = self.sources.get_mut(index) else {
                continue;
            };
            let Some(at) = source.next_at.filter(|at| *at <= now) else {
                continue;
            };
            let interval = match source.kind {
                SourceKind::Audio => AUDIO_FRAME,
                SourceKind::Video => Duration::from_secs(1) / source.settings.fps,
            };
            source.next_at = Some(at + interval);
            let is_up = self
                .publisher
                .as_ref()
                .is_some_and(|publisher| publisher.is_connected);
            if source.is_still || !is_up {
                continue;
            }
            if has_backlog && source.kind == SourceKind::Video {
                continue;
            }
            if !source.is_muted {
                source.flowing_since.get_or_insert(now);
            }
            let level = source.level;
            let settings = source.settings.clone();
            let (mid, payload_type) = (source.mid, source.payload_type);
            let is_simulcast = source.encoders.len() > 1;
            let mut made: Vec<(Option<Rid>, Made)> = Vec::new();
            let captured = match source.kind {
                // When it was due: in real time a driver comes late, and then twice at once.
                SourceKind::Audio => at,
                SourceKind::Video => at.saturating_sub(ENCODING_TIME),
            };
            for (number, encoder) in source.encoders.iter_mut().enumerate() {
                if !encoder.is_on() || !encoder.takes_next() {
                    continue;
                }
                let rid = settings
                    .rids
                    .get(number)
                    .filter(|_| is_simulcast)
                    .map(|rid| Rid::from(*rid));
                match source.kind {
                    SourceKind::Audio => made.push((None, encoder.audio(captured))),
                    SourceKind::Video => {
                        let frame = encoder.video(captured, &settings);
                        made.extend(frame.into_iter().map(|packet| (rid, packet)));
                    }
                }
            }
            let is_audio = source.kind == SourceKind::Audio;
            let (Some(mid), Some(payload_type)) = (mid, payload_type) else {
                continue;
            };
            for (rid, packet) in made {
                let write = Write {
                    mid,
                    rid,
                    payload_type,
                    packet,
                    captured,
                    level: is_audio.then_some(level),
                };
                if self.options.heeds_estimate && !is_audio {
                    self.uplink.push(now, write);
                } else {
                    self.write(clock, write);
                }
            }
        }
    }

    /// Hands a packet to the engine; returns by what it is known on the wire.
    pub(super) fn write(&mut self, clock: &Clock, write: Write) -> Option<encode::OnWire> {
        let Write {
            mid,
            rid,
            payload_type,
            packet,
            captured,
            level,
        } = write;
        let publisher = self.publisher.as_mut()?;
        let mut api = publisher.engine().direct_api();
        let Some(stream) = api.stream_tx_by_mid(mid, rid) else {
            self.violations
                .push(format!("no stream for section {mid} {rid:?}"));
            return None;
        };
        let number = (packet.sequence as u16).to_be_bytes();
        let ssrc = (*stream.ssrc()).to_be_bytes();
        let mut extensions = ExtensionValues {
            audio_level: level.map(|(level, _)| level),
            voice_activity: level.map(|(_, voice)| voice),
            ..ExtensionValues::default()
        };
        if let Some(bytes) = packet.dependencies {
            extensions.user_values.set(Descriptor(bytes.into()));
        }
        let write = RtpWrite::new(
            payload_type,
            packet.sequence.into(),
            packet.timestamp,
            clock.instant_of(captured),
            packet.payload,
        )
        .marker(packet.marker)
        .ext_vals(extensions)
        .nackable(true);
        stream.write_rtp(write);
        self.media_sent += 1;
        Some((number, ssrc))
    }

    pub(super) fn on_publisher_event(&mut self, event: Event) {
        match event {
            Event::KeyframeRequest(request) => {
                let source = self.sources.iter_mut().find(|s| s.mid == Some(request.mid));
                let Some(source) = source else { return };
                let index = request.rid.and_then(|rid| {
                    source
                        .settings
                        .rids
                        .iter()
                        .position(|known| Rid::from(*known) == rid)
                });
                if let Some(encoder) = source.encoders.get_mut(index.unwrap_or(0)) {
                    encoder.wants_key = true;
                }
                source.keyframe_requests += 1;
            }
            Event::EgressBitrateEstimate(BweKind::Twcc { estimate, .. }) => {
                self.uplink.on_estimate(estimate.as_u64());
            }
            Event::ChannelOpen(id, _) => {
                for (channel, open) in self.channels.iter().zip(&mut self.open_channels) {
                    *open |= *channel == Some(id);
                }
            }
            _ => {}
        }
    }
}
