//! The numbers of a report in the order in which people read them, each with its unit and meaning.
//!
//! Owns that list: the table, the page and the comparison all show it, so that a number is called the
//! same everywhere. Must not format.

use super::{Quantiles, Report, format::Unit, model::DataReport};

/// Heading of the times, which the table and the page show as [`spreads`].
pub const TIME: &str = "Time";

/// Which way a number is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Better {
    /// Less of it.
    Lower,
    /// More of it.
    Higher,
    /// Neither: it describes the load.
    Neither,
}

/// One number.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// Heading that it stands under.
    pub group: &'static str,
    /// What people call it.
    pub name: &'static str,
    /// Its path in the file.
    pub key: &'static str,
    /// Its value; `None`: not taken.
    pub value: Option<f64>,
    /// Its unit.
    pub unit: Unit,
    /// Which way it is better.
    pub better: Better,
    /// How it is taken.
    pub what: &'static str,
}

/// Rows of one heading: name, key, value, unit, which way is better, how it is taken.
type Rows = Vec<(
    &'static str,
    &'static str,
    Option<f64>,
    Unit,
    Better,
    &'static str,
)>;

/// All numbers of a report.
#[must_use]
pub fn figures(report: &Report) -> Vec<Figure> {
    let groups = [
        ("Delivery", delivery(report)),
        ("Video", video(report)),
        ("Data messages", data(report)),
        (TIME, time(report)),
        ("Server", server(report)),
        ("Load", load(report)),
    ];
    let mut figures = Vec::new();
    for (group, rows) in groups {
        for (name, key, value, unit, better, what) in rows {
            figures.push(Figure {
                group,
                name,
                key,
                value,
                unit,
                better,
                what,
            });
        }
    }
    figures
}

fn delivery(report: &Report) -> Rows {
    use Better::{Lower, Neither};
    let count = |count: u64| Some(count as f64);
    vec![
        (
            "subscriptions",
            "subscriptions",
            count(report.subscriptions),
            Unit::Count,
            Neither,
            "Pairs of a participant and a track that it asked for, those that got nothing too.",
        ),
        (
            "silent subscriptions",
            "subscriptions_silent",
            count(report.subscriptions_silent),
            Unit::Count,
            Lower,
            "Those that got nothing for more than 2 s, at their beginning, at their end or at all, though there was something to get. What they missed counts as lost.",
        ),
        (
            "packets forwarded",
            "packets_forwarded",
            count(report.packets_forwarded),
            Unit::Count,
            Neither,
            "Media packets that subscribers received, all subscriptions together. Duplicates and padding do not count.",
        ),
        (
            "packets expected",
            "packets_expected",
            count(report.packets_expected),
            Unit::Count,
            Neither,
            "Packets forwarded and packets lost.",
        ),
        (
            "packets per second",
            "packets_per_second",
            Some(report.packets_per_second),
            Unit::PerSecond,
            Neither,
            "Packets forwarded over the length of the measured window.",
        ),
        (
            "packets lost",
            "packets_lost",
            count(report.packets_lost),
            Unit::Count,
            Lower,
            "Holes in the sequence numbers that nothing filled, retransmission included.",
        ),
        (
            "share lost",
            "packets_lost_ratio",
            report.packets_lost_ratio,
            Unit::Share,
            Lower,
            "Packets lost, of those expected.",
        ),
        (
            "packets late",
            "packets_late",
            count(report.packets_late),
            Unit::Count,
            Lower,
            "Packets that came after one sent later: reordered or retransmitted.",
        ),
        (
            "packets duplicated",
            "packets_duplicated",
            count(report.packets_duplicated),
            Unit::Count,
            Lower,
            "Packets that came twice.",
        ),
        (
            "packets unseen",
            "packets_unseen",
            count(report.packets_unseen).filter(|_| report.packets_published > 0),
            Unit::Count,
            Lower,
            "Packets that publishers sent and that never came, by the publishers' own numbers: lost on any way, or left out by the server (layers, paused tracks), whatever numbers it gives to the rest.",
        ),
        (
            "share unseen",
            "packets_unseen_ratio",
            report.packets_unseen_ratio,
            Unit::Share,
            Lower,
            "Packets unseen, of those that publishers sent of what was being forwarded.",
        ),
    ]
}

fn video(report: &Report) -> Rows {
    use Better::{Higher, Lower, Neither};
    let seen = report.frames_expected > 0;
    let count = |count: u64| seen.then_some(count as f64);
    vec![
        (
            "frames expected",
            "frames_expected",
            count(report.frames_expected),
            Unit::Count,
            Neither,
            "Video frames that subscribers should have had.",
        ),
        (
            "frames received",
            "frames_received",
            count(report.frames_received),
            Unit::Count,
            Neither,
            "Video frames that came whole.",
        ),
        (
            "frames late",
            "frames_late",
            count(report.frames_late),
            Unit::Count,
            Lower,
            "Video frames that were whole only after a newer one was: reordered or retransmitted.",
        ),
        (
            "frames lost",
            "frames_lost",
            count(report.frames_lost),
            Unit::Count,
            Lower,
            "Video frames that never were whole.",
        ),
        (
            "frames duplicated",
            "frames_duplicated",
            count(report.frames_duplicated),
            Unit::Count,
            Lower,
            "Video frames that came wholly once more.",
        ),
        (
            "frames decodable",
            "frames_decodable",
            count(report.frames_decodable),
            Unit::Count,
            Neither,
            "Video frames that came whole, on top of whole frames back to a keyframe.",
        ),
        (
            "share decodable",
            "frames_decodable_ratio",
            report.frames_decodable_ratio,
            Unit::Share,
            Higher,
            "Frames decodable, of those expected.",
        ),
        (
            "freezes",
            "freezes",
            count(report.freezes),
            Unit::Count,
            Lower,
            "Times the picture of a subscriber stood still for much longer than frames are apart (the rule of W3C webrtc-stats, without a jitter buffer).",
        ),
        (
            "time frozen",
            "freeze_seconds",
            seen.then_some(report.freeze_seconds),
            Unit::Seconds,
            Lower,
            "Sum of those times, all subscribers together.",
        ),
        (
            "longest gap",
            "longest_gap_ms",
            Some(report.longest_gap_ms).filter(|_| report.packets_forwarded > 0),
            Unit::Millis,
            Lower,
            "The longest time without a packet of one subscription that went on.",
        ),
    ]
}

/// A time that is a spread of many.
pub struct Spread<'a> {
    /// What people call it.
    pub name: &'static str,
    /// Its path in the file.
    pub key: &'static str,
    /// Its values, milliseconds.
    pub values: &'a Quantiles,
    /// How it is taken.
    pub what: &'static str,
}

/// The times of a report, those that were not taken too.
#[must_use]
pub fn spreads(report: &Report) -> [Spread<'_>; 8] {
    let spread = |name, key, values, what| Spread {
        name,
        key,
        values,
        what,
    };
    [
        spread(
            "forwarding latency",
            "forward_latency_ms",
            &report.forward_latency_ms,
            "From handing a packet to the publisher's socket to its arrival at the subscriber's, as the kernel stamps it (engine webrtc: to its being read): both ways through the network, and the server.",
        ),
        spread(
            "jitter",
            "jitter_ms",
            &report.jitter_ms,
            "Interarrival jitter of RFC 3550: one value per subscription.",
        ),
        spread(
            "join",
            "join_ms",
            &report.join_ms,
            "From opening the WebSocket to all transports being connected: one value per participant.",
        ),
        spread(
            "first frame",
            "first_frame_ms",
            &report.first_frame_ms,
            "From subscribing to a video track to its first whole keyframe: one value per subscription. Where none came, the time waited for it.",
        ),
        spread(
            "switch",
            "switch_ms",
            &report.switch_ms,
            "From asking for another layer to the first frame of it.",
        ),
        spread(
            "rejoin",
            "rejoin_ms",
            &report.rejoin_ms,
            "Of those who were cut off and came back: from that to the first decodable frame.",
        ),
        spread(
            "reliable messages",
            "data.reliable.latency_ms",
            &report.data.reliable.latency_ms,
            "From writing a message to its data channel to its arrival, as the kernel stamps it; retransmission and waiting for order included.",
        ),
        spread(
            "lossy messages",
            "data.lossy.latency_ms",
            &report.data.lossy.latency_ms,
            "The same for messages that are sent once, in any order.",
        ),
    ]
}

/// The quantiles that are compared.
fn time(report: &Report) -> Rows {
    let [
        latency,
        jitter,
        join,
        first,
        switch,
        rejoin,
        reliable,
        lossy,
    ] = spreads(report);
    let row = |name, key, value, what| (name, key, value, Unit::Millis, Better::Lower, what);
    vec![
        row(
            "forwarding latency p50",
            "forward_latency_ms.p50",
            latency.values.p50,
            latency.what,
        ),
        row(
            "forwarding latency p95",
            "forward_latency_ms.p95",
            latency.values.p95,
            latency.what,
        ),
        row(
            "forwarding latency p99",
            "forward_latency_ms.p99",
            latency.values.p99,
            latency.what,
        ),
        row(
            "forwarding latency max",
            "forward_latency_ms.max",
            latency.values.max,
            latency.what,
        ),
        row(
            "jitter p50",
            "jitter_ms.p50",
            jitter.values.p50,
            jitter.what,
        ),
        row(
            "jitter p95",
            "jitter_ms.p95",
            jitter.values.p95,
            jitter.what,
        ),
        row("join p50", "join_ms.p50", join.values.p50, join.what),
        row("join p95", "join_ms.p95", join.values.p95, join.what),
        row("join max", "join_ms.max", join.values.max, join.what),
        row(
            "first frame p50",
            "first_frame_ms.p50",
            first.values.p50,
            first.what,
        ),
        row(
            "first frame p95",
            "first_frame_ms.p95",
            first.values.p95,
            first.what,
        ),
        row(
            "switch p50",
            "switch_ms.p50",
            switch.values.p50,
            switch.what,
        ),
        row(
            "switch p95",
            "switch_ms.p95",
            switch.values.p95,
            switch.what,
        ),
        row(
            "rejoin p50",
            "rejoin_ms.p50",
            rejoin.values.p50,
            rejoin.what,
        ),
        row(
            "rejoin p95",
            "rejoin_ms.p95",
            rejoin.values.p95,
            rejoin.what,
        ),
        row(
            "reliable messages p50",
            "data.reliable.latency_ms.p50",
            reliable.values.p50,
            reliable.what,
        ),
        row(
            "reliable messages p99",
            "data.reliable.latency_ms.p99",
            reliable.values.p99,
            reliable.what,
        ),
        row(
            "lossy messages p50",
            "data.lossy.latency_ms.p50",
            lossy.values.p50,
            lossy.what,
        ),
        row(
            "lossy messages p99",
            "data.lossy.latency_ms.p99",
            lossy.values.p99,
            lossy.what,
        ),
    ]
}

fn data(report: &Report) -> Rows {
    let (reliable, lossy) = (&report.data.reliable, &report.data.lossy);
    let mut rows = data_rows(
        reliable,
        [
            ("reliable messages", "data.reliable.messages_received"),
            ("reliable, share lost", "data.reliable.messages_lost_ratio"),
            (
                "reliable, out of order",
                "data.reliable.messages_disordered",
            ),
            ("reliable, twice", "data.reliable.messages_duplicated"),
            ("reliable, not sent", "data.reliable.messages_unsent"),
        ],
    );
    rows.extend(data_rows(
        lossy,
        [
            ("lossy messages", "data.lossy.messages_received"),
            ("lossy, share lost", "data.lossy.messages_lost_ratio"),
            ("lossy, out of order", "data.lossy.messages_disordered"),
            ("lossy, twice", "data.lossy.messages_duplicated"),
            ("lossy, not sent", "data.lossy.messages_unsent"),
        ],
    ));
    rows
}

fn data_rows(data: &DataReport, names: [(&'static str, &'static str); 5]) -> Rows {
    use Better::{Lower, Neither};
    let seen = data.messages_expected > 0;
    let count = |count: u64| seen.then_some(count as f64);
    let values = [
        (
            count(data.messages_received),
            Unit::Count,
            Neither,
            "Data messages that came, over all pairs of a sender and a receiver.",
        ),
        (
            data.messages_lost_ratio,
            Unit::Share,
            Lower,
            "Numbers of their senders that never came, of those expected.",
        ),
        (
            count(data.messages_disordered),
            Unit::Count,
            Lower,
            "Messages that came after one sent later.",
        ),
        (
            count(data.messages_duplicated),
            Unit::Count,
            Lower,
            "Messages that came twice.",
        ),
        (
            count(data.messages_unsent),
            Unit::Count,
            Lower,
            "Messages that their sender left out, because those before had not left yet.",
        ),
    ];
    names
        .into_iter()
        .zip(values)
        .map(|((name, key), (value, unit, better, what))| (name, key, value, unit, better, what))
        .collect()
}

fn server(report: &Report) -> Rows {
    use Better::Lower;
    let bytes = |bytes: Option<u64>| bytes.map(|bytes| bytes as f64);
    let cores = report
        .cpu_seconds
        .filter(|_| report.duration_s > 0.0)
        .map(|seconds| seconds / report.duration_s);
    vec![
        (
            "CPU per forwarded packet",
            "cpu_ns_per_forwarded_packet",
            report.cpu_ns_per_forwarded_packet,
            Unit::Nanos,
            Lower,
            "CPU time of the server's process, user and system, over packets forwarded.",
        ),
        (
            "CPU, processors busy",
            "cpu_seconds / duration_s",
            cores,
            Unit::Cores,
            Lower,
            "CPU time of the server's process over the length of the measured window.",
        ),
        (
            "memory at the start",
            "rss_bytes.start",
            bytes(report.rss_bytes.start),
            Unit::Bytes,
            Lower,
            "Resident memory of the server's process when the measured window begins.",
        ),
        (
            "memory at the end",
            "rss_bytes.end",
            bytes(report.rss_bytes.end),
            Unit::Bytes,
            Lower,
            "The same when it ends.",
        ),
        (
            "memory max",
            "rss_bytes.max",
            bytes(report.rss_bytes.max),
            Unit::Bytes,
            Lower,
            "The largest seen in it.",
        ),
    ]
}

fn load(report: &Report) -> Rows {
    use Better::{Lower, Neither};
    let count = |count: u64| Some(count as f64);
    let cores = (report.duration_s > 0.0).then(|| report.client_cpu_seconds / report.duration_s);
    vec![
        (
            "into the server",
            "bitrate_bps.in",
            Some(report.bitrate_bps.ingress),
            Unit::BitRate,
            Neither,
            "Payload that publishers sent.",
        ),
        (
            "out of the server",
            "bitrate_bps.out",
            Some(report.bitrate_bps.egress),
            Unit::BitRate,
            Neither,
            "Payload that subscribers received.",
        ),
        (
            "joins",
            "joins.succeeded",
            count(report.joins.succeeded),
            Unit::Count,
            Neither,
            "Participants who got in, replacements of those who left included.",
        ),
        (
            "joins failed",
            "joins.failed",
            count(report.joins.failed),
            Unit::Count,
            Lower,
            "Joins refused or not done in time.",
        ),
        (
            "cut off",
            "joins.lost",
            count(report.joins.lost),
            Unit::Count,
            Lower,
            "Participants who were in and lost the connection.",
        ),
        (
            "harness CPU, processors busy",
            "client_cpu_seconds / duration_s",
            cores,
            Unit::Cores,
            Neither,
            "CPU time of the harness itself. Near the number of processors, it measures itself.",
        ),
    ]
}
