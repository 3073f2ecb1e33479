//! The table of tracks on the page, which sorts.

use crate::report::{
    Report, TrackReport,
    format::Unit,
    model::ratio,
    page::{escape, number},
};

/// Rows of the table of tracks; the JSON has all.
const MOST_TRACKS: usize = 1_000;

/// The table; nothing without tracks.
pub(super) fn render(report: &Report) -> String {
    if report.tracks.is_empty() {
        return String::new();
    }
    let mut tracks: Vec<&TrackReport> = report.tracks.iter().collect();
    tracks.sort_by_key(|track| std::cmp::Reverse((track.silent, track.packets_lost)));
    let more = if tracks.len() > MOST_TRACKS {
        format!(
            " The {MOST_TRACKS} with the most losses of {}; the JSON has all.",
            tracks.len()
        )
    } else {
        String::new()
    };
    let rows: String = tracks.into_iter().take(MOST_TRACKS).map(track).collect();
    let heads = [
        ("track", ""),
        ("codec", ""),
        ("viewers", "n"),
        ("received", "n"),
        ("lost", "n"),
        ("worst viewer", "n"),
        ("late", "n"),
        ("decodable", "n"),
        ("freezes", "n"),
        ("latency p50", "n"),
        ("latency p99", "n"),
        ("jitter p95", "n"),
        ("first frame p95", "n"),
        ("bitrate", "n"),
        ("by layer", ""),
    ];
    let heads: String = heads
        .iter()
        .map(|(name, class)| format!("<th class=\"{class}\" scope=\"col\">{name}</th>"))
        .collect();
    format!(
        "<h2>Tracks</h2>\n<p class=\"soft lead\">Each published track, over all its viewers; for the worst viewer, the share lost.{more} Press a heading to sort.</p>\n\
         <div class=\"card wide\"><table class=\"sortable tracks\"><thead><tr>{heads}</tr></thead><tbody>\n{rows}</tbody></table></div>\n"
    )
}

fn track(track: &TrackReport) -> String {
    let millis = |value: Option<f64>| number(value, &Unit::Millis.show_or_dash(value));
    let count = |value: u64| number(Some(value as f64), &Unit::Count.show(value as f64));
    let share = |value: Option<f64>| number(value, &Unit::Share.show_or_dash(value));
    let video = track.kind == "video";
    let cells = [
        format!(
            "<td>{} <span class=\"soft\">{} · {}</span></td>",
            escape(&track.publisher),
            escape(&track.room),
            escape(&track.name)
        ),
        format!("<td>{}</td>", escape(&track.codec)),
        number(
            Some(f64::from(track.subscribers)),
            &viewers(track),
        ),
        count(track.packets_received),
        count(track.packets_lost),
        share(track.worst_lost_ratio),
        count(track.packets_late),
        share(ratio(track.frames_decodable, track.frames_expected)),
        if video {
            count(track.freezes)
        } else {
            number(None, "–")
        },
        millis(track.latency_ms.p50),
        millis(track.latency_ms.p99),
        millis(track.jitter_ms.p95),
        millis(track.first_frame_ms.p95),
        number(
            Some(track.bitrate_bps),
            &Unit::BitRate.show(track.bitrate_bps),
        ),
        format!("<td>{}</td>", layers(&track.received_by_encoding)),
    ];
    format!("<tr>{}</tr>\n", cells.concat())
}

/// How many asked for it, and how many of them got nothing for a while.
fn viewers(track: &TrackReport) -> String {
    match track.silent {
        0 => track.subscribers.to_string(),
        silent => format!("{} ({silent} silent)", track.subscribers),
    }
}

/// Shares of the encodings, lowest first; nothing with only one.
fn layers(received: &[u64]) -> String {
    let total: u64 = received.iter().sum();
    if received.len() < 2 || total == 0 {
        return String::new();
    }
    let shares: Vec<String> = received
        .iter()
        .map(|count| format!("{:.0}", *count as f64 / total as f64 * 100.0))
        .collect();
    format!("{} %", shares.join(" / "))
}
