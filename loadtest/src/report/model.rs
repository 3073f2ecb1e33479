//! What a run found, as data: the JSON that scripts read and that `loadtest report` and
//! `loadtest compare` read back.
//!
//! Owns the names and units of that file. Names at the top level are fixed: scripts rely on them. A
//! number that could not be taken is `null`, never 0, and `notes` says why. Must not measure, judge or
//! draw: `crate::measure` and `crate::run` fill it, `super::thresholds` judges, `super::html` and
//! `super::table` draw.

use serde::{Deserialize, Serialize};

use super::Quantiles;

/// Version of the file; raised when a name changes its meaning.
pub const FORMAT: u32 = 1;

/// Share of the machine's processors from which on a report says that it was busy.
const BUSY: f64 = 0.85;

/// One run. Packets and frames count from the end of the warm-up to the end of the run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// Name of the scenario.
    pub scenario: String,
    /// What the scenario is for, one line.
    #[serde(default)]
    pub description: String,
    /// Where the server was, without user, password and query.
    pub url: String,
    /// What answered.
    #[serde(default)]
    pub server: Server,
    /// Where the harness ran.
    #[serde(default)]
    pub environment: Environment,
    /// Wall time at which the first participant set out to join, RFC 3339, UTC.
    pub started_at: String,
    /// Length of the measured window, seconds.
    pub duration_s: f64,
    /// From the start to the measured window: joining and warm-up, seconds.
    #[serde(default)]
    pub warm_up_s: f64,
    /// Name of the WebRTC stack of the participants: `str0m` or `webrtc`.
    pub engine: String,
    /// Rooms.
    pub rooms: u32,
    /// Participants who publish, per room.
    pub publishers: u32,
    /// Participants who only subscribe, per room.
    pub subscribers: u32,

    /// Media packets that reached subscribers, over all subscriptions. Retransmissions that filled a
    /// hole count; duplicates and padding do not.
    pub packets_forwarded: u64,
    /// Packets that subscribers should have had: those that came, holes in their numbers, and what silent
    /// subscriptions missed.
    #[serde(default)]
    pub packets_expected: u64,
    /// Packets that subscribers should have had and never got.
    pub packets_lost: u64,
    /// `packets_lost` over what was expected (`packets_forwarded + packets_lost`); `null` when nothing was.
    pub packets_lost_ratio: Option<f64>,
    /// Packets that came after a packet sent later (reordered, or retransmitted).
    pub packets_late: u64,
    /// Packets that came twice.
    pub packets_duplicated: u64,
    /// Packets that publishers sent, by their stamps: of each subscription between the first and the last that
    /// came of an encoding. 0 without stamps.
    #[serde(default)]
    pub packets_published: u64,
    /// Of these, those that never came: lost on any way, or left out by the server, which may number anew what it
    /// sends so that no hole shows.
    #[serde(default)]
    pub packets_unseen: u64,
    /// `packets_unseen / packets_published`; `null` without stamps.
    #[serde(default)]
    pub packets_unseen_ratio: Option<f64>,
    /// Video frames that subscribers should have had.
    pub frames_expected: u64,
    /// Video frames that came whole.
    #[serde(default)]
    pub frames_received: u64,
    /// Of these, those that were whole only after a newer one was.
    #[serde(default)]
    pub frames_late: u64,
    /// Video frames that never were whole.
    #[serde(default)]
    pub frames_lost: u64,
    /// Video frames that came wholly once more.
    #[serde(default)]
    pub frames_duplicated: u64,
    /// Video frames that came whole and whose references came whole.
    pub frames_decodable: u64,
    /// `frames_decodable / frames_expected`; `null` without video.
    pub frames_decodable_ratio: Option<f64>,
    /// Times a subscriber's picture stood still (the rule: `crate::measure`).
    pub freezes: u64,
    /// Sum of those times, seconds.
    pub freeze_seconds: f64,

    /// CPU time of the server in the measured window, seconds; `null` without `--server-pid`.
    pub cpu_seconds: Option<f64>,
    /// `cpu_seconds / packets_forwarded`, nanoseconds; `null` without `--server-pid`.
    pub cpu_ns_per_forwarded_packet: Option<f64>,
    /// Resident memory of the server, bytes; `null` inside without `--server-pid`.
    pub rss_bytes: Rss,
    /// CPU time of this harness in the measured window, seconds.
    pub client_cpu_seconds: f64,

    /// From handing a packet to the publisher's socket to its arrival at the subscriber's (the kernel's
    /// time stamp; engine `webrtc`: when it is read), milliseconds: both networks and the server.
    pub forward_latency_ms: Quantiles,
    /// Interarrival jitter (RFC 3550, 6.4.1) of each subscription, milliseconds.
    pub jitter_ms: Quantiles,
    /// From opening the WebSocket to every needed transport being connected, milliseconds.
    pub join_ms: Quantiles,
    /// From subscribing to a video track (or, when later, its publishing) to its first whole keyframe,
    /// milliseconds. Where none came, the time waited for it.
    pub first_frame_ms: Quantiles,
    /// From asking for another layer to the first frame of it, milliseconds.
    pub switch_ms: Quantiles,

    /// Of those who were cut off and came back: from that to the first decodable frame (without video: to being
    /// connected), milliseconds.
    #[serde(default)]
    pub rejoin_ms: Quantiles,
    /// The longest time without a packet of one subscription that went on, milliseconds.
    #[serde(default)]
    pub longest_gap_ms: f64,
    /// Messages over data channels.
    #[serde(default)]
    pub data: DataReports,

    /// Payload bits per second into the server and out of it.
    pub bitrate_bps: Bitrates,
    /// `packets_forwarded / duration_s`.
    pub packets_per_second: f64,
    /// Pairs of a participant and a track that it asked for, in the measured window: those that got nothing too.
    #[serde(default)]
    pub subscriptions: u64,
    /// Of these, those in `silent`.
    #[serde(default)]
    pub subscriptions_silent: u64,
    /// Subscriptions that got nothing for more than 2 s, at their beginning, at their end, or at all, while there
    /// was something to get. What they should have had counts as expected and lost.
    #[serde(default)]
    pub silent: Vec<SilentSubscription>,
    /// How joining went, from the first participant to the last, churn included.
    #[serde(default)]
    pub joins: Joins,
    /// Who came back, in that order.
    #[serde(default)]
    pub rejoins: Vec<Rejoin>,

    /// The scenario's limits against what was found.
    pub thresholds: Vec<ThresholdResult>,
    /// Whether every threshold passed.
    pub passed: bool,
    /// Each published track, over all its subscribers.
    pub tracks: Vec<TrackReport>,
    /// Packets that came of codecs that are not measured: in no other number.
    #[serde(default)]
    pub unmeasured: Vec<CodecCount>,
    /// One point per second of the run, warm-up included.
    pub timeline: Vec<TimelinePoint>,
    /// What went wrong, once each with how often.
    pub errors: Vec<ErrorCount>,
    /// Which numbers could not be taken, and anything else a reader must know to read them.
    pub notes: Vec<String>,
    /// The scenario as it ran, overrides applied: a file made from it repeats the run.
    #[serde(default)]
    pub scenario_toml: String,
}

/// What answered, as far as it says.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Server {
    /// Name or edition, from the join response.
    pub name: Option<String>,
    /// Version, from the join response.
    pub version: Option<String>,
    /// Process whose CPU and memory were taken.
    pub pid: Option<u32>,
    /// First word of the process's command line, without its folder.
    pub process: Option<String>,
}

/// The machine the harness ran on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Environment {
    /// Version of the harness.
    pub loadtest: String,
    /// Operating system and kernel.
    pub os: String,
    /// Model of the processor.
    pub cpu: String,
    /// Processors that the harness may use.
    pub cores: u32,
    /// Memory, bytes.
    pub memory_bytes: u64,
}

/// Memory of the server over the measured window, bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Rss {
    /// At its start.
    pub start: Option<u64>,
    /// At its end.
    pub end: Option<u64>,
    /// The largest seen.
    pub max: Option<u64>,
}

/// Messages over data channels, by how they were sent.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DataReports {
    /// Retransmitted, in order.
    pub reliable: DataReport,
    /// Sent once, in any order.
    pub lossy: DataReport,
}

/// Messages of one kind, over all pairs of a sender and a receiver. All 0 when none were sent.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct DataReport {
    /// Pairs between which anything came.
    pub streams: u64,
    /// Messages that receivers should have had: from the first to the last that came of each pair, and what a silent
    /// pair missed.
    pub messages_expected: u64,
    /// Messages that came.
    pub messages_received: u64,
    /// Expected and not received.
    pub messages_lost: u64,
    /// `messages_lost / messages_expected`; `null` when none was expected.
    pub messages_lost_ratio: Option<f64>,
    /// Messages that came after one sent later.
    pub messages_disordered: u64,
    /// Messages that came twice.
    pub messages_duplicated: u64,
    /// Messages that senders had no room for; nobody expects them.
    pub messages_unsent: u64,
    /// From writing a message to its channel to its datagram's arrival (the kernel's time stamp), milliseconds.
    pub latency_ms: Quantiles,
}

/// Bits per second of payload, seen from the server.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Bitrates {
    /// From publishers.
    #[serde(rename = "in")]
    pub ingress: f64,
    /// To subscribers.
    #[serde(rename = "out")]
    pub egress: f64,
}

/// How joining went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Joins {
    /// Joins begun.
    pub attempted: u64,
    /// Joins whose transports all connected.
    pub succeeded: u64,
    /// Joins refused or not done in time.
    pub failed: u64,
    /// Participants who left because the scenario says so (churn).
    pub left: u64,
    /// Participants who were in, were cut off, and did not come back.
    pub lost: u64,
    /// Times somebody who was cut off came back by joining anew.
    #[serde(default)]
    pub rejoined: u64,
    /// Times somebody whose WebSocket broke took up the stay on another.
    #[serde(default)]
    pub resumed: u64,
}

/// A subscription that got nothing for a while.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SilentSubscription {
    /// Room.
    pub room: String,
    /// Identity of who asked for the track.
    pub viewer: String,
    /// Identity of who publishes it.
    pub publisher: String,
    /// Name of the track.
    pub track: String,
    /// `audio` or `video`.
    pub kind: String,
    /// When it began, since the start of the run, seconds.
    pub from_s: f64,
    /// For how long there was something to get, seconds.
    pub seconds: f64,
    /// Whether nothing at all came in the measured window.
    pub whole: bool,
}

/// Somebody who was cut off and came back.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Rejoin {
    /// Of its room.
    pub room: String,
    /// Of the participant.
    pub identity: String,
    /// When it was cut off, as it noticed: Unix time in milliseconds.
    pub cut_off_at_ms: u64,
    /// When its first frame was decodable again, likewise.
    pub back_at_ms: u64,
}

/// A limit and what was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ThresholdResult {
    /// Key of the limit in the scenario's `[thresholds]`.
    pub name: String,
    /// The limit, in `unit`.
    pub limit: f64,
    /// What was found, in `unit`; `null` when the number could not be taken, which fails.
    pub value: Option<f64>,
    /// Unit of both: `%`, `ms`, `ns`, `bytes`, or empty for a count.
    pub unit: String,
    /// Whether it holds.
    pub passed: bool,
}

/// One published track, over all its subscribers, in the measured window.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TrackReport {
    /// Room.
    pub room: String,
    /// Identity of who publishes it.
    pub publisher: String,
    /// Name of the track.
    pub name: String,
    /// `audio` or `video`.
    pub kind: String,
    /// `opus`, `vp8`, …
    pub codec: String,
    /// Whether its packets carry the harness's stamp; without it latency is unknown.
    pub stamped: bool,
    /// Subscriptions in the measured window, those that got nothing too.
    pub subscribers: u32,
    /// Of these, those in [`Report::silent`].
    #[serde(default)]
    pub silent: u32,
    /// Packets that its subscribers should have had.
    pub packets_expected: u64,
    /// Packets that came, duplicates aside.
    pub packets_received: u64,
    /// Packets that never came.
    pub packets_lost: u64,
    /// Packets that came after one sent later.
    pub packets_late: u64,
    /// Packets that came twice.
    pub packets_duplicated: u64,
    /// See [`Report::packets_published`].
    #[serde(default)]
    pub packets_published: u64,
    /// See [`Report::packets_unseen`].
    #[serde(default)]
    pub packets_unseen: u64,
    /// The largest share of lost packets that one subscriber saw, 0 to 1.
    pub worst_lost_ratio: Option<f64>,
    /// Video frames that should have come.
    pub frames_expected: u64,
    /// Video frames that came whole.
    #[serde(default)]
    pub frames_received: u64,
    /// Of these, those that were whole only after a newer one was.
    #[serde(default)]
    pub frames_late: u64,
    /// Video frames that never were whole.
    #[serde(default)]
    pub frames_lost: u64,
    /// Video frames that came wholly once more.
    #[serde(default)]
    pub frames_duplicated: u64,
    /// Video frames that could be decoded.
    pub frames_decodable: u64,
    /// Times a picture stood still.
    pub freezes: u64,
    /// Sum of those times, seconds.
    pub freeze_seconds: f64,
    /// The longest time without a packet of it at one subscriber, milliseconds.
    #[serde(default)]
    pub longest_gap_ms: f64,
    /// Bits per second of payload that one subscriber got, on average.
    pub bitrate_bps: f64,
    /// See [`Report::forward_latency_ms`].
    pub latency_ms: Quantiles,
    /// See [`Report::jitter_ms`].
    pub jitter_ms: Quantiles,
    /// See [`Report::first_frame_ms`].
    pub first_frame_ms: Quantiles,
    /// See [`Report::switch_ms`].
    #[serde(default)]
    pub switch_ms: Quantiles,
    /// Packets that came of each encoding, lowest first; empty where that is unknown.
    pub received_by_encoding: Vec<u64>,
}

/// One second of a run.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct TimelinePoint {
    /// End of this second, since the start of the run, seconds.
    pub t_s: f64,
    /// Whether it lies in the measured window.
    pub measured: bool,
    /// Packets that reached subscribers, per second.
    pub packets_per_s: f64,
    /// Payload bits that reached subscribers, per second.
    pub bits_per_s: f64,
    /// Processors that the server kept busy; `null` without `--server-pid`.
    pub cpu_cores: Option<f64>,
    /// Processors that the harness kept busy.
    pub client_cpu_cores: f64,
    /// Resident memory of the server, bytes; `null` without `--server-pid`.
    pub rss_bytes: Option<u64>,
    /// Half of the packets were faster, milliseconds; `null` when none came.
    pub latency_p50_ms: Option<f64>,
    /// 99 of 100 packets were faster, milliseconds.
    pub latency_p99_ms: Option<f64>,
    /// Participants who are in.
    pub connected: u32,
}

/// Packets of one codec that is not measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CodecCount {
    /// `h265`, `pcmu`, …
    pub codec: String,
    /// Packets that came of it.
    pub packets: u64,
}

/// One kind of error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErrorCount {
    /// What went wrong.
    pub message: String,
    /// How often.
    pub count: u64,
}

impl Report {
    /// Puts together the numbers that follow from others, so that they are computed in one place:
    /// ratios, CPU per packet, packets per second, and the thresholds. Call it last.
    pub fn conclude(&mut self, limits: &crate::scenario::Thresholds) {
        self.format = FORMAT;
        self.subscriptions_silent = self.silent.len() as u64;
        self.packets_expected = self.packets_forwarded + self.packets_lost;
        self.packets_lost_ratio = ratio(self.packets_lost, self.packets_expected);
        self.packets_unseen_ratio = ratio(self.packets_unseen, self.packets_published);
        self.frames_lost = self.frames_expected.saturating_sub(self.frames_received);
        self.frames_decodable_ratio = ratio(self.frames_decodable, self.frames_expected);
        self.cpu_ns_per_forwarded_packet = self
            .cpu_seconds
            .filter(|_| self.packets_forwarded > 0)
            .map(|seconds| seconds * 1e9 / self.packets_forwarded as f64);
        self.packets_per_second = if self.duration_s > 0.0 {
            self.packets_forwarded as f64 / self.duration_s
        } else {
            0.0
        };
        self.note_a_busy_machine();
        self.thresholds = super::thresholds::evaluate(limits, self);
        self.passed = self.thresholds.iter().all(|threshold| threshold.passed);
    }

    /// A machine with nothing to spare makes everything late: the reader has to know.
    fn note_a_busy_machine(&mut self) {
        let spent = self.client_cpu_seconds + self.cpu_seconds.unwrap_or(0.0);
        let busy = spent / self.duration_s.max(1e-9);
        let cores = f64::from(self.environment.cores);
        if cores > 0.0 && self.duration_s > 0.0 && busy > cores * BUSY {
            self.notes.push(format!(
                "The harness and the server it shares the machine with kept {busy:.1} of {cores} processors busy: \
                 latencies and losses are partly those of the harness."
            ));
        }
    }
}

/// `part / whole`, `None` of nothing.
#[must_use]
pub fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}
