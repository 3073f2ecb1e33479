//! A scenario: what a run does, as plain data with types for units.
//!
//! Owns the fields and what they mean. Must not read files (`super::read`), print (`super::write`) or
//! run anything (`crate::run`).

use std::time::Duration;

use super::{Bitrate, ByteSize, Share};
use crate::media::Codec;

/// What a run does. Numbers of participants are per room.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Name: letters, digits, `-`, `_`.
    pub name: String,
    /// What it is for, one line.
    pub description: String,
    /// Rooms, all alike.
    pub rooms: u32,
    /// Participants who publish, per room.
    pub publishers: u32,
    /// Participants who only subscribe, per room; on top of `publishers`.
    pub subscribers: u32,
    /// Whether publishers subscribe to one another.
    pub publishers_subscribe: bool,
    /// Length of the measured window.
    pub duration: Duration,
    /// Between the last join and the measured window.
    pub warm_up: Duration,
    /// WebRTC stack of the participants.
    pub engine: EngineKind,
    /// The exact name of the only room, for one that others publish in.
    pub room: Option<String>,
    /// Else rooms are called `PREFIX-0`, `PREFIX-1`, …
    pub room_prefix: String,
    /// Everything random follows from it: who talks, who leaves, sizes of frames, losses.
    pub seed: u64,
    /// Participants who are cut off come back as SDKs do.
    pub rejoin: bool,
    /// How participants come.
    pub join: Join,
    /// What publishers send as video; `None`: no video.
    pub video: Option<Video>,
    /// What publishers send as audio; `None`: no audio.
    pub audio: Option<Audio>,
    /// Messages that publishers send over data channels; `None`: none.
    pub data: Option<Data>,
    /// What participants subscribe to.
    pub subscribe: Subscribe,
    /// Participants who come and go; `None`: all stay.
    pub churn: Option<Churn>,
    /// Subscribers who ask for other sizes; `None`: nobody does.
    pub layer_changes: Option<LayerChanges>,
    /// Network between each participant and the server; `None`: as it is.
    pub network: Option<Network>,
    /// What must hold for the run to pass.
    pub thresholds: Thresholds,
}

/// Which WebRTC stack takes the part of the participants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EngineKind {
    /// `str0m`: for scale.
    Str0m,
    /// `webrtc` (webrtc-rs): an independent stack, for some dozens of participants.
    Webrtc,
}

/// How participants come.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Join {
    /// Joins begun per second, over all rooms.
    pub rate: f64,
    /// A join not done by then has failed.
    pub timeout: Duration,
}

/// Video of each publisher.
#[derive(Debug, Clone, PartialEq)]
pub struct Video {
    /// Codec; never audio.
    pub codec: Codec,
    /// Publishers who send video, per room; `None`: all.
    pub publishers: Option<u32>,
    /// Simulcast encodings, lowest first; one is no simulcast.
    pub layers: Vec<VideoLayer>,
}

/// One encoding of a video track.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoLayer {
    /// RID: `q`, `h`, `f`.
    pub rid: String,
    /// Pixels.
    pub width: u32,
    /// Pixels.
    pub height: u32,
    /// Frames per second.
    pub fps: u32,
    /// What the encoder aims at.
    pub bitrate: Bitrate,
    /// Temporal layers, 1 to 3.
    pub temporal_layers: u8,
}

/// Audio of each publisher.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Audio {
    /// While talking.
    pub bitrate: Bitrate,
    /// Publishers of a room who talk at a time; the others send silence.
    pub talkers: u32,
    /// How long one talks before another's turn.
    pub turn: Duration,
}

/// Messages of each publisher to all others in its room.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Data {
    /// Messages per second, of each kind.
    pub rate: f64,
    /// Bytes of a message's payload.
    pub size: u32,
    /// Which kinds are sent.
    pub kinds: DataKinds,
}

/// Which kinds of messages are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DataKinds {
    /// Retransmitted, in order.
    Reliable,
    /// Sent once, in any order.
    Lossy,
    /// Each at the full rate.
    Both,
}

/// What a participant subscribes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subscribe {
    /// Whether to subscribe to audio.
    pub audio: bool,
    /// Video tracks at most; `None`: all. The first publishers' tracks are taken.
    pub video_tracks: Option<u32>,
    /// Ask the server for the size that is shown, as SDKs with adaptive stream do; else for all there is.
    pub adaptive: bool,
    /// Size that is shown when `adaptive`, pixels.
    pub width: u32,
    /// Size that is shown when `adaptive`, pixels.
    pub height: u32,
}

/// Participants who come and go. Each who leaves is replaced by another with a new identity.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Churn {
    /// Participants who leave per minute, over all rooms.
    pub per_minute: f64,
    /// Nobody leaves sooner after joining.
    pub stay: Duration,
    /// Who leaves.
    pub who: Who,
}

/// Whom something concerns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Who {
    /// Those who only subscribe.
    Subscribers,
    /// Those who publish.
    Publishers,
    /// Anyone.
    All,
}

/// Subscribers who ask for another size now and then, among those of the layers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LayerChanges {
    /// Changes per minute of each subscriber.
    pub per_minute: f64,
}

/// A worse network than there is, made by the harness on what each participant sends and receives.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Network {
    /// Packets dropped at random, each way.
    pub loss: Share,
    /// Losses that come together; `None`: only those at random.
    pub bursts: Option<Bursts>,
    /// Added each way.
    pub delay: Duration,
    /// Added at random on top of `delay`, from zero to this, each way.
    pub jitter: Duration,
    /// Bits per second that the link carries toward the participant; `None`: what comes.
    pub rate: Option<Bitrate>,
    /// What would wait longer for its turn on such a link is lost.
    pub queue: Duration,
    /// A time during which the link carries less.
    pub squeeze: Option<Squeeze>,
    /// Whose network it is.
    pub who: Who,
}

/// Losses that come together: times in which most is lost, of random length and distance, each way.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Bursts {
    /// From the end of one to the beginning of the next, on average.
    pub every: Duration,
    /// How long one lasts, on average.
    pub last: Duration,
    /// Packets lost meanwhile.
    pub loss: Share,
}

/// A time during which a link carries less toward the participant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Squeeze {
    /// Bits per second meanwhile.
    pub rate: Bitrate,
    /// When it begins, from the beginning of the measured window.
    pub after: Duration,
    /// How long it lasts.
    pub length: Duration,
}

impl Who {
    /// Whether somebody who publishes, or one who only subscribes, is one of them.
    #[must_use]
    pub fn includes(self, publishes: bool) -> bool {
        match self {
            Self::Subscribers => !publishes,
            Self::Publishers => publishes,
            Self::All => true,
        }
    }
}

/// What must hold for the run to pass. `None`: not asked.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Thresholds {
    /// Packets that never reached a subscriber, of those expected.
    pub max_lost: Option<Share>,
    /// Packets that publishers sent and that never came, of those sent of what was being forwarded.
    pub max_unseen: Option<Share>,
    /// Subscriptions that got nothing for a while though there was something to get.
    pub max_silent: Option<u64>,
    /// Video frames that a subscriber could decode, of those expected.
    pub min_decodable_frames: Option<Share>,
    /// Times a picture stood still, over all subscribers.
    pub max_freezes: Option<u64>,
    /// 99 of 100 packets were forwarded faster.
    pub max_latency_p99: Option<Duration>,
    /// Data messages that never reached a receiver, of those expected; of both kinds.
    pub max_data_lost: Option<Share>,
    /// 99 of 100 data messages were faster; of both kinds.
    pub max_data_latency_p99: Option<Duration>,
    /// 95 of 100 joins were faster.
    pub max_join_p95: Option<Duration>,
    /// 95 of 100 first frames were faster.
    pub max_first_frame_p95: Option<Duration>,
    /// 95 of 100 switches were faster.
    pub max_switch_p95: Option<Duration>,
    /// Joins that failed, of those begun.
    pub max_failed_joins: Option<Share>,
    /// CPU time of the server per forwarded packet; needs `--server-pid`.
    pub max_cpu_per_packet: Option<Duration>,
    /// Memory of the server at its largest; needs `--server-pid`.
    pub max_rss: Option<ByteSize>,
}

impl Scenario {
    /// The name of a room, counted from 0.
    #[must_use]
    pub fn room_name(&self, room: u32) -> String {
        self.room
            .clone()
            .unwrap_or_else(|| format!("{}-{room}", self.room_prefix))
    }

    /// Participants in one room at a time.
    #[must_use]
    pub fn participants_per_room(&self) -> u32 {
        self.publishers + self.subscribers
    }

    /// Participants at a time, over all rooms.
    #[must_use]
    pub fn participants(&self) -> u32 {
        self.rooms * self.participants_per_room()
    }

    /// Participants who get the data messages of one publisher: the others in its room that receive anything.
    #[must_use]
    pub fn data_receivers(&self) -> u32 {
        let publishers = if self.publishers_subscribe {
            self.publishers.saturating_sub(1)
        } else {
            0
        };
        publishers + self.subscribers
    }

    /// Publishers of a room who send video.
    #[must_use]
    pub fn video_publishers(&self) -> u32 {
        self.video.as_ref().map_or(0, |video| {
            video
                .publishers
                .unwrap_or(self.publishers)
                .min(self.publishers)
        })
    }
}
