//! Encoders that send plain RTP to the home shard: a camera and a microphone of one participant, without a client.
//! Their datagrams are there at once; who loses or repeats them is the test.

use std::time::Duration;

use plenum_proto::{
    node::{Join, SessionShape},
    v1::{ParticipantKind, Permissions, RoomConfig, Track, TrackKind, TrackSource},
};
use sfu_core::{Command, ControlId, PlainDatagram, PlainFormat, PlainSection, PlainTransmit};

use super::{Clock, World};
use crate::{
    SourceId, VideoSettings,
    media::{Encoder, Made},
    millis, seconds,
};

/// Names an encoder of a world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlainKey(usize);

/// What becomes of the datagrams of an encoder on their way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PlainWay {
    /// One of so many is lost; 0 = none.
    pub loses: u32,
    /// One of so many comes twice; 0 = none.
    pub repeats: u32,
}

/// What an encoder was told by RTCP.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PlainTold {
    /// Keyframes that were asked for.
    pub keyframes: u32,
    /// Report blocks, and what the newest said is missing of all, in packets.
    pub reports: u32,
    /// See [`PlainTold::reports`].
    pub lost: u32,
}

/// An encoder that sends plain RTP.
pub(super) struct PlainEncoder {
    control: ControlId,
    camera: Encoder,
    microphone: Encoder,
    settings: VideoSettings,
    /// In the headers of both; grows when it begins anew.
    ssrc: u32,
    next_picture: Duration,
    next_sound: Duration,
    next_report: Duration,
    sent: u32,
    way: PlainWay,
    told: PlainTold,
}

const VP8: u8 = 96;
const OPUS: u8 = 111;

impl PlainEncoder {
    fn deadline(&self) -> Duration {
        self.next_picture.min(self.next_sound).min(self.next_report)
    }

    /// What it sends by now, with the sections it is for.
    fn poll(&mut self, clock: &Clock) -> Vec<(u8, Vec<u8>)> {
        let mut out = Vec::new();
        while self.next_picture <= clock.now {
            let made = self.camera.video(self.next_picture, &self.settings);
            out.extend(made.iter().map(|made| (0, packet(VP8, self.ssrc, made))));
            self.next_picture += seconds(1) / self.settings.fps;
        }
        while self.next_sound <= clock.now {
            let made = self.microphone.audio(self.next_sound);
            out.push((1, packet(OPUS, self.ssrc + 1, &made)));
            self.next_sound += millis(20);
        }
        if self.next_report <= clock.now {
            let at = self.next_report;
            let clocks = [&self.camera, &self.microphone].map(|encoder| encoder.timestamp(at));
            for (ssrc, rtp) in (self.ssrc..).zip(clocks) {
                out.push((0, report(clock, at, ssrc, rtp)));
            }
            self.next_report += seconds(1);
        }
        out
    }

    /// What of it comes.
    fn carried(&mut self, sent: Vec<(u8, Vec<u8>)>) -> Vec<(u8, Vec<u8>)> {
        let mut out = Vec::new();
        for datagram in sent {
            self.sent += 1;
            let is_hit = |every: u32| every > 0 && self.sent.is_multiple_of(every);
            if is_hit(self.way.loses) {
                continue;
            }
            if is_hit(self.way.repeats) {
                out.push(datagram.clone());
            }
            out.push(datagram);
        }
        out
    }

    fn on_rtcp(&mut self, mut bytes: &[u8]) {
        while let [first, kind, high, low, body @ ..] = bytes {
            let length = usize::from(u16::from_be_bytes([*high, *low])) * 4;
            let (body, rest) = body.split_at(length);
            match (kind, first & 0x1f) {
                (206, 1) => {
                    self.told.keyframes += 1;
                    self.camera.wants_key = true;
                }
                (201, 1..) => {
                    self.told.reports += 1;
                    let lost = u32::from_be_bytes([0, body[9], body[10], body[11]]);
                    self.told.lost = lost;
                }
                _ => {}
            }
            bytes = rest;
        }
    }
}

fn packet(payload_type: u8, ssrc: u32, made: &Made) -> Vec<u8> {
    let mut out = vec![0x80, payload_type | u8::from(made.marker) << 7];
    out.extend_from_slice(&(made.sequence as u16).to_be_bytes());
    out.extend_from_slice(&made.timestamp.to_be_bytes());
    out.extend_from_slice(&ssrc.to_be_bytes());
    out.extend_from_slice(&made.payload);
    out
}

fn report(clock: &Clock, at: Duration, ssrc: u32, rtp: u32) -> Vec<u8> {
    const SINCE_1900: u64 = 2_208_988_800;
    let wall = clock.wall_origin.duration_since(std::time::UNIX_EPOCH);
    let wall = wall.unwrap_or_default() + at;
    let fraction = (u64::from(wall.subsec_nanos()) << 32) / 1_000_000_000;
    let mut out = vec![0x80, 200, 0, 6];
    out.extend_from_slice(&ssrc.to_be_bytes());
    out.extend_from_slice(&((wall.as_secs() + SINCE_1900) << 32 | fraction).to_be_bytes());
    out.extend_from_slice(&rtp.to_be_bytes());
    out.extend_from_slice(&[0; 8]);
    out
}

impl World {
    /// Somebody joins who is to publish by plain RTP.
    ///
    /// # Panics
    /// When the node refuses.
    pub fn enter_source(&mut self, room: &str, identity: &str) -> ControlId {
        self.next_control += 1;
        let control = ControlId(self.next_control);
        let join = Join {
            room: Some(RoomConfig {
                name: room.to_owned(),
                ..RoomConfig::default()
            }),
            identity: identity.to_owned(),
            kind: ParticipantKind::Ingress.into(),
            permissions: Some(Permissions {
                can_publish: true,
                ..Permissions::default()
            }),
            shape: SessionShape::Plain.into(),
            ..Join::default()
        };
        let (join, home) = (Box::new(join), None);
        let joined = self.command(Command::Join {
            control,
            join,
            home,
        });
        joined.expect("a join");
        control
    }

    /// An encoder joins that sends VP8 and Opus as plain RTP. Returns it with its camera and its microphone.
    pub fn enter_plain(
        &mut self,
        room: &str,
        identity: &str,
        way: PlainWay,
    ) -> (PlainKey, SourceId, SourceId) {
        let control = self.enter_source(room, identity);
        let sections = vec![
            section(TrackKind::Video, TrackSource::Camera, VP8, "video/VP8"),
            section(
                TrackKind::Audio,
                TrackSource::Microphone,
                OPUS,
                "audio/opus",
            ),
        ];
        self.command(Command::DescribePlain { control, sections })
            .expect("a description");
        let (camera, microphone) = (self.new_source(), self.new_source());
        let settings = VideoSettings {
            rids: Vec::new(),
            temporal_layers: false,
            ..VideoSettings::default()
        };
        let now = self.clock.now;
        self.plain.push(PlainEncoder {
            control,
            camera: Encoder::new(camera, 0, 90_000, &mut self.rng),
            microphone: Encoder::new(microphone, 0, 48_000, &mut self.rng),
            settings,
            ssrc: 1_000,
            next_picture: now,
            next_sound: now,
            next_report: now + millis(500),
            sent: 0,
            way,
            told: PlainTold::default(),
        });
        if way != PlainWay::default() {
            self.clients.iter_mut().for_each(crate::Client::allow_loss);
        }
        (PlainKey(self.plain.len() - 1), camera, microphone)
    }

    /// What an encoder was told.
    pub fn plain_told(&self, key: PlainKey) -> PlainTold {
        self.plain[key.0].told
    }

    /// An encoder begins anew: under other names, with other numbers and another clock.
    pub fn restart_plain(&mut self, key: PlainKey) {
        let encoder = &mut self.plain[key.0];
        encoder.ssrc += 10;
        encoder.camera.renumber(&mut self.rng);
        encoder.microphone.renumber(&mut self.rng);
    }

    pub(super) fn plain_deadline(&self) -> Option<Duration> {
        self.plain.iter().map(PlainEncoder::deadline).min()
    }

    /// What encoders send by now comes to the shard.
    pub(super) fn send_plain(&mut self) {
        let (clock, now) = (self.clock, self.clock.instant());
        for encoder in &mut self.plain {
            let sent = encoder.poll(&clock);
            for (section, bytes) in encoder.carried(sent) {
                let datagram = PlainDatagram {
                    control: encoder.control,
                    section,
                    bytes: &bytes,
                };
                self.shard.handle_plain(now, datagram);
            }
        }
    }

    /// What the shard tells encoders comes to them.
    pub(super) fn tell_plain(&mut self) {
        while let Some(PlainTransmit { control, bytes, .. }) = self.shard.poll_plain() {
            let of_this = self.plain.iter_mut().find(|e| e.control == control);
            if let Some(encoder) = of_this {
                encoder.on_rtcp(&bytes);
            }
        }
    }
}

fn section(kind: TrackKind, source: TrackSource, payload_type: u8, mime: &str) -> PlainSection {
    PlainSection {
        track: Track {
            kind: kind.into(),
            source: source.into(),
            ..Track::default()
        },
        formats: vec![PlainFormat {
            payload_type,
            mime: mime.to_owned(),
            ..PlainFormat::default()
        }],
        ..PlainSection::default()
    }
}
