//! Numbers into a report.
//!
//! Owns which measured number becomes which field of `crate::report::model`. Must not measure or judge.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::Target;
use super::crowd::Crowd;
use super::directory::Directory;
use super::sampler::Sampler;
use super::silence::{self, Silences};
use super::world::Notice;
use crate::engine::collect::nanoseconds_histogram;
use crate::engine::{Collector, TrackTotals};
use crate::measure::{MessageTotals, TrackMeasure};
use crate::media::Codec;
use crate::process::program_of;
use crate::report::Quantiles;
use crate::report::model::{
    Bitrates, CodecCount, DataReport, DataReports, Environment, ErrorCount, Rejoin, Report, Server,
    TrackReport, ratio,
};
use crate::scenario::{DataKinds, EngineKind, Scenario};
use crate::signal::{Address, TrackKind};

/// A publisher that is further behind than this is worth a note.
const MOST_LATE: Duration = Duration::from_millis(20);
/// Nanoseconds to milliseconds.
const NS_TO_MS: f64 = 1e-6;

/// What participants told while the run went on.
pub(super) struct Outcome {
    started_at: SystemTime,
    joins_ms: Vec<f64>,
    rejoins: Vec<Rejoin>,
    /// By the server's id of the track.
    first_frames_ms: HashMap<String, Vec<f64>>,
    errors: BTreeMap<String, u64>,
    /// With whether it would pass.
    first_error: Option<(String, bool)>,
    notes: Vec<String>,
    server: Server,
}

impl Outcome {
    pub(super) fn new(started_at: SystemTime) -> Self {
        Self {
            started_at,
            joins_ms: Vec::new(),
            rejoins: Vec::new(),
            first_frames_ms: HashMap::new(),
            errors: BTreeMap::new(),
            first_error: None,
            notes: Vec::new(),
            server: Server::default(),
        }
    }

    pub(super) fn note(&mut self, text: &str) {
        self.notes.push(text.to_owned());
    }

    /// What went wrong first, and whether a participant might try again.
    pub(super) fn first_error(&self) -> (String, bool) {
        self.first_error
            .clone()
            .unwrap_or_else(|| ("interrupted".to_owned(), false))
    }

    fn on_error(&mut self, message: String, is_passing: bool) {
        self.first_error
            .get_or_insert_with(|| (message.clone(), is_passing));
        *self.errors.entry(message).or_default() += 1;
    }

    pub(super) fn on_notice(&mut self, notice: Notice) {
        match notice {
            Notice::Joined { after } => self.joins_ms.push(ms(after)),
            Notice::FirstFrame { track, after } => {
                self.first_frames_ms
                    .entry(track)
                    .or_default()
                    .push(ms(after));
            }
            Notice::Server { edition, version } => {
                self.server.name = Some(edition).filter(|name| !name.is_empty());
                self.server.version = Some(version).filter(|version| !version.is_empty());
            }
            Notice::Back(rejoin) => self.rejoins.push(rejoin),
            Notice::Resumed => {}
            Notice::Trouble(message) => self.on_error(message, true),
            Notice::Gone {
                result: Err(error), ..
            } => self.on_error(error.to_string(), error.is_passing()),
            Notice::Gone { result: Ok(()), .. } => {}
        }
    }

    /// Puts the report together.
    #[expect(
        clippy::too_many_arguments,
        reason = "all that a run has gathered meets here"
    )]
    pub(super) fn report(
        mut self,
        scenario: &Scenario,
        target: &Target,
        addresses: &[Address],
        sampler: &Sampler,
        collector: &Collector,
        directory: &Directory,
        crowd: &Crowd,
    ) -> Report {
        let mut tracks = collector.take_tracks();
        let waited = collector.take_waited();
        let started_ns = since_epoch(self.started_at).as_nanos() as u64;
        let silences = silence::judge(&waited, &mut tracks, directory, scenario, started_ns);
        for (track, waits_ms) in &silences.frameless_ms {
            let first_frames = self.first_frames_ms.entry(track.clone()).or_default();
            first_frames.extend(waits_ms);
        }
        let window = sampler.totals();
        let total = sum(&tracks);
        let [reliable, lossy] = collector.take_messages();
        let data = DataReports {
            reliable: data_report(&reliable, scenario, DataKinds::Lossy, window.duration),
            lossy: data_report(&lossy, scenario, DataKinds::Reliable, window.duration),
        };
        let unmeasured = self.unmeasured(collector);
        let mut latency = nanoseconds_histogram();
        for track in tracks.values() {
            // Same bounds on both sides: adding cannot fail.
            let _ = latency.add(&track.latency);
        }
        let is_data_alone = scenario.video.is_none() && scenario.audio.is_none();
        let is_data_alone = is_data_alone && scenario.data.is_some();
        self.note_what_is_missing(target, sampler, &total, latency.is_empty(), is_data_alone);
        let seconds = window.duration.as_secs_f64();
        let rate = |bytes: u64| {
            if seconds > 0.0 {
                bytes as f64 * 8.0 / seconds
            } else {
                0.0
            }
        };
        let first_frames = self.first_frames_ms.values().flatten().copied();
        let jitters = tracks.values().flat_map(|track| &track.jitters);
        let mut report = Report {
            duration_s: seconds,
            warm_up_s: window.before.as_secs_f64(),
            packets_forwarded: total.packets_received,
            packets_lost: total.packets_lost,
            packets_late: total.packets_late,
            packets_duplicated: total.packets_duplicated,
            packets_published: total.packets_published,
            packets_unseen: total.packets_unseen,
            frames_expected: total.frames_expected,
            frames_received: total.frames_complete,
            frames_late: total.frames_late,
            frames_duplicated: total.frames_duplicated,
            frames_decodable: total.frames_decodable,
            freezes: total.freezes,
            freeze_seconds: total.freeze_ns as f64 / 1e9,
            cpu_seconds: window.server_cpu.map(|cpu| cpu.as_secs_f64()),
            rss_bytes: window.rss,
            client_cpu_seconds: window.own_cpu.as_secs_f64(),
            forward_latency_ms: Quantiles::of_histogram(&latency, NS_TO_MS),
            jitter_ms: Quantiles::of_samples(jitters.map(|jitter| *jitter as f64 * NS_TO_MS)),
            join_ms: Quantiles::of_samples(self.joins_ms.iter().copied()),
            first_frame_ms: Quantiles::of_samples(first_frames),
            switch_ms: Quantiles::of_samples(millis(&total.switches)),
            rejoin_ms: Quantiles::of_samples(
                self.rejoins
                    .iter()
                    .map(|rejoin| rejoin.back_at_ms.saturating_sub(rejoin.cut_off_at_ms) as f64),
            ),
            longest_gap_ms: total.longest_gap_ns as f64 * NS_TO_MS,
            bitrate_bps: Bitrates {
                ingress: rate(window.bytes_sent),
                egress: rate(total.bytes),
            },
            data,
            unmeasured,
            subscriptions: tracks
                .values()
                .map(|track| u64::from(track.subscriptions))
                .sum(),
            joins: crowd.joins(),
            timeline: sampler.timeline().to_vec(),
            ..self.heading(scenario, target, addresses)
        };
        report.tracks = self.track_reports(tracks, directory, &silences);
        report.silent = silences.list;
        report.errors = self
            .errors
            .into_iter()
            .map(|(message, count)| ErrorCount { message, count })
            .collect();
        report.notes = self.notes;
        report.rejoins = self.rejoins;
        report.conclude(&scenario.thresholds);
        report
    }

    /// What was run against what, and where.
    fn heading(&self, scenario: &Scenario, target: &Target, addresses: &[Address]) -> Report {
        Report {
            scenario: scenario.name.clone(),
            description: scenario.description.clone(),
            url: addresses_of(addresses),
            server: Server {
                pid: target.server_pid,
                process: target.server_pid.and_then(program_of),
                ..self.server.clone()
            },
            environment: environment(),
            started_at: rfc3339(self.started_at),
            engine: match scenario.engine {
                EngineKind::Str0m => "str0m".to_owned(),
                EngineKind::Webrtc => "webrtc".to_owned(),
            },
            rooms: scenario.rooms,
            publishers: scenario.publishers,
            subscribers: scenario.subscribers,
            scenario_toml: scenario.to_toml(),
            ..Report::default()
        }
    }

    /// What came of codecs that no meter reads.
    fn unmeasured(&mut self, collector: &Collector) -> Vec<CodecCount> {
        let counts = collector.take_unmeasured().into_iter();
        let counts: Vec<CodecCount> = counts
            .map(|(codec, packets)| CodecCount { codec, packets })
            .collect();
        if !counts.is_empty() {
            let what: Vec<String> = counts
                .iter()
                .map(|of| format!("{} of {}", of.packets, of.codec))
                .collect();
            let known = Codec::ALL.map(Codec::name).join(", ");
            self.notes.push(format!(
                "packets that came and are in no other number: {}; measured are {known}",
                what.join(", ")
            ));
        }
        counts
    }

    fn note_what_is_missing(
        &mut self,
        target: &Target,
        sampler: &Sampler,
        total: &TrackMeasure,
        no_latency: bool,
        is_data_alone: bool,
    ) {
        if target.server_pid.is_none() {
            self.note("no --server-pid: CPU and memory of the server are unknown");
        }
        if let Some(error) = sampler.lost_sight() {
            self.notes.push(format!(
                "the server could not be watched to the end: {error}"
            ));
        }
        if total.packets_received == 0 && !is_data_alone {
            self.note("no media arrived in the measured window");
        } else if no_latency && !is_data_alone {
            self.note("media without stamps: forwarding latency is unknown");
        }
        let late = sampler.totals().late;
        if late > MOST_LATE {
            self.notes.push(format!(
                "publishers were up to {} ms behind: this machine was too busy, and part of the \
                 latency, jitter and freezes is the harness's own",
                late.as_millis()
            ));
        }
        if total.switches_open > 0 {
            let open = total.switches_open;
            self.notes.push(format!(
                "{open} switches had not happened when the window ended"
            ));
        }
    }

    fn track_reports(
        &self,
        tracks: HashMap<String, TrackTotals>,
        directory: &Directory,
        silences: &Silences,
    ) -> Vec<TrackReport> {
        let mut reports: Vec<TrackReport> = tracks
            .into_iter()
            .map(|(id, totals)| {
                let first_frames = self.first_frames_ms.get(&id).map_or(&[][..], Vec::as_slice);
                let silent = silences.by_track.get(&id).copied().unwrap_or(0);
                track_report(&id, &totals, first_frames, silent, directory)
            })
            .collect();
        reports.sort_by(|a, b| {
            (&a.room, &a.publisher, &a.kind).cmp(&(&b.room, &b.publisher, &b.kind))
        });
        reports
    }
}

/// As they are given on the command line.
fn addresses_of(addresses: &[Address]) -> String {
    let addresses: Vec<String> = addresses.iter().map(Address::to_string).collect();
    addresses.join(",")
}

fn track_report(
    id: &str,
    totals: &TrackTotals,
    first_frames_ms: &[f64],
    silent: u32,
    directory: &Directory,
) -> TrackReport {
    let measure = &totals.measure;
    let entry = directory.find(id);
    let is_video = match (&entry, totals.codec) {
        (Some(entry), _) => entry.kind == TrackKind::Video,
        (None, codec) => codec.is_some_and(Codec::is_video),
    };
    let name = entry.as_ref().map_or(id, |entry| &entry.name).to_owned();
    let announced = entry.as_ref().map_or("", |entry| &entry.mime);
    let codec = totals
        .codec
        .map_or_else(|| codec_of(announced), |codec| codec.name().to_owned());
    TrackReport {
        room: entry
            .as_ref()
            .map(|entry| entry.room.clone())
            .unwrap_or_default(),
        publisher: entry.map(|entry| entry.publisher).unwrap_or_default(),
        name,
        kind: if is_video { "video" } else { "audio" }.to_owned(),
        codec,
        stamped: measure.stamped,
        subscribers: totals.subscriptions,
        silent,
        packets_expected: measure.packets_expected,
        packets_received: measure.packets_received,
        packets_lost: measure.packets_lost,
        packets_late: measure.packets_late,
        packets_duplicated: measure.packets_duplicated,
        packets_published: measure.packets_published,
        packets_unseen: measure.packets_unseen,
        worst_lost_ratio: totals.worst_lost_ratio,
        frames_expected: measure.frames_expected,
        frames_received: measure.frames_complete,
        frames_late: measure.frames_late,
        frames_lost: measure
            .frames_expected
            .saturating_sub(measure.frames_complete),
        frames_duplicated: measure.frames_duplicated,
        frames_decodable: measure.frames_decodable,
        freezes: measure.freezes,
        freeze_seconds: measure.freeze_ns as f64 / 1e9,
        longest_gap_ms: measure.longest_gap_ns as f64 * NS_TO_MS,
        bitrate_bps: measure.bitrate() as f64,
        latency_ms: Quantiles::of_histogram(&totals.latency, NS_TO_MS).without_buckets(),
        jitter_ms: Quantiles::of_samples(millis(&totals.jitters)).without_buckets(),
        first_frame_ms: Quantiles::of_samples(first_frames_ms.iter().copied()).without_buckets(),
        switch_ms: Quantiles::of_samples(millis(&measure.switches)).without_buckets(),
        received_by_encoding: by_encoding(&measure.received_by_encoding),
    }
}

/// The name of a codec as reports write it, from its media type: `video/H265` is `h265`.
fn codec_of(mime: &str) -> String {
    let name = mime.split_once('/').map_or(mime, |(_, name)| name);
    name.to_ascii_lowercase()
}

/// One kind of data messages; none of it is sent with `without`.
fn data_report(
    totals: &MessageTotals,
    scenario: &Scenario,
    without: DataKinds,
    window: Duration,
) -> DataReport {
    let measure = &totals.measure;
    let sent = scenario.data.filter(|data| data.kinds != without);
    // A pair of which nothing came has no numbers. Who is there how long is not known where people come and go.
    let pairs = u64::from(scenario.rooms)
        * u64::from(scenario.publishers)
        * u64::from(scenario.data_receivers());
    let silent = match scenario.churn {
        None => pairs.saturating_sub(measure.streams),
        Some(_) => 0,
    };
    let each = sent.map_or(0.0, |data| data.rate * window.as_secs_f64());
    let missed = (silent as f64 * each) as u64;
    let expected = measure.expected + missed;
    let lost = expected.saturating_sub(measure.received);
    DataReport {
        streams: measure.streams,
        messages_expected: expected,
        messages_received: measure.received,
        messages_lost: lost,
        messages_lost_ratio: ratio(lost, expected),
        messages_disordered: measure.disordered,
        messages_duplicated: measure.duplicated,
        messages_unsent: totals.unsent,
        latency_ms: Quantiles::of_histogram(&totals.latency, NS_TO_MS),
    }
}

/// Up to the highest encoding that anybody got; empty without stamps.
fn by_encoding(received: &[u64]) -> Vec<u64> {
    let highest = received.iter().rposition(|count| *count > 0);
    received[..highest.map_or(0, |highest| highest + 1)].to_vec()
}

fn sum(tracks: &HashMap<String, TrackTotals>) -> TrackMeasure {
    tracks
        .values()
        .fold(TrackMeasure::default(), |mut total, track| {
            total.merge(&track.measure);
            total
        })
}

/// Nanoseconds as milliseconds.
fn millis(times_ns: &[u64]) -> impl Iterator<Item = f64> {
    times_ns.iter().map(|ns| *ns as f64 * NS_TO_MS)
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// The machine this runs on.
fn environment() -> Environment {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, name: &str| {
        let line = text.lines().find(|line| line.starts_with(name))?;
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let kibibytes = memory.and_then(|memory| memory.trim_end_matches(" kB").parse::<u64>().ok());
    Environment {
        loadtest: env!("CARGO_PKG_VERSION").to_owned(),
        os: format!("Linux {}", read("/proc/sys/kernel/osrelease").trim()),
        cpu: field(&read("/proc/cpuinfo"), "model name")
            .unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
        cores: std::thread::available_parallelism().map_or(1, |cores| cores.get() as u32),
        memory_bytes: kibibytes.unwrap_or(0) * 1024,
    }
}

fn since_epoch(time: SystemTime) -> Duration {
    time.duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// A wall time as RFC 3339 writes it, UTC, whole seconds.
fn rfc3339(time: SystemTime) -> String {
    let seconds = since_epoch(time).as_secs();
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    let (year, month, day) = civil(days);
    let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Date of a day counted from 1970-01-01, in the Gregorian calendar.
fn civil(mut days: u64) -> (u64, u64, u64) {
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let mut year = 1970;
    loop {
        let length = if is_leap(year) { 366 } else { 365 };
        if days < length {
            break;
        }
        days -= length;
        year += 1;
    }
    let february = if is_leap(year) { 29 } else { 28 };
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wall_times_are_written_as_rfc_3339_wants() {
        let cases = [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (1_795_384_800, "2026-11-22T22:00:00Z"),
        ];
        for (seconds, text) in cases {
            assert_eq!(rfc3339(UNIX_EPOCH + Duration::from_secs(seconds)), text);
        }
    }

    #[test]
    fn encodings_are_listed_up_to_the_highest_that_came() {
        let cases: [([u64; 3], &[u64]); 3] =
            [([0, 0, 0], &[]), ([5, 0, 0], &[5]), ([0, 7, 0], &[0, 7])];
        for (received, listed) in cases {
            assert_eq!(by_encoding(&received), listed);
        }
    }

    #[test]
    fn errors_are_counted_by_what_they_say() {
        let mut outcome = Outcome::new(UNIX_EPOCH);
        for message in ["b", "a", "b"] {
            outcome.on_notice(Notice::Trouble(message.to_owned()));
        }
        assert_eq!(outcome.first_error(), ("b".to_owned(), true));
        assert_eq!(
            outcome.errors.into_iter().collect::<Vec<_>>(),
            [("a".to_owned(), 1), ("b".to_owned(), 2)]
        );
    }

    #[test]
    fn what_is_not_measured_is_counted_and_noted() {
        let collector = Collector::default();
        for codec in ["pcmu", "h265", "pcmu"] {
            collector.add_unmeasured(codec);
        }
        let mut outcome = Outcome::new(UNIX_EPOCH);
        let counts = outcome.unmeasured(&collector);
        assert_eq!((counts.len(), counts[1].packets), (2, 2));
        assert!(
            outcome.notes[0].contains("1 of h265, 2 of pcmu; measured are opus, vp8"),
            "{:?}",
            outcome.notes
        );
        assert!(outcome.unmeasured(&collector).is_empty() && outcome.notes.len() == 1);
    }

    #[test]
    fn this_machine_has_processors_and_memory() {
        let environment = environment();
        assert!(
            environment.cores > 0 && environment.memory_bytes > 0,
            "{environment:?}"
        );
    }
}
