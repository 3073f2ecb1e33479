//! The tables of tracks on the page, which sort: packets of each, and frames of video.

use crate::report::{
    Report, TrackReport,
    format::Unit,
    model::ratio,
    page::{escape, number},
};

/// Rows of the table of tracks; the JSON has all.
const MOST_TRACKS: usize = 1_000;

/// The tables; nothing without tracks.
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
    tracks.truncate(MOST_TRACKS);
    let video: Vec<&TrackReport> = tracks
        .iter()
        .copied()
        .filter(|track| track.kind == "video")
        .collect();
    let mut text = format!(
        "<h2>Tracks</h2>\n<p class=\"soft lead\">Each published track, over all its viewers; for the worst viewer, the share lost. Unseen is what its publisher sent and viewers never got: lost on any way, or left out by the server.{more} Press a heading to sort.</p>\n{}",
        table(&PACKETS, &tracks)
    );
    if !video.is_empty() {
        text.push_str("<h3 class=\"spaced\">Video frames</h3>\n");
        text.push_str(&table(&FRAMES, &video));
    }
    text
}

/// A column: its heading, whether it holds numbers, and its cell.
type Column = (&'static str, bool, fn(&TrackReport) -> String);

const PACKETS: [Column; 14] = [
    ("track", false, name),
    ("codec", false, |track| {
        format!("<td>{}</td>", escape(&track.codec))
    }),
    ("viewers", true, viewers),
    ("expected", true, |track| count(track.packets_expected)),
    ("received", true, |track| count(track.packets_received)),
    ("late", true, |track| count(track.packets_late)),
    ("lost", true, |track| count(track.packets_lost)),
    ("worst viewer", true, |track| share(track.worst_lost_ratio)),
    ("twice", true, |track| count(track.packets_duplicated)),
    ("unseen", true, |track| count(track.packets_unseen)),
    ("latency p50", true, |track| millis(track.latency_ms.p50)),
    ("latency p99", true, |track| millis(track.latency_ms.p99)),
    ("jitter p95", true, |track| millis(track.jitter_ms.p95)),
    ("bitrate", true, |track| {
        number(
            Some(track.bitrate_bps),
            &Unit::BitRate.show(track.bitrate_bps),
        )
    }),
];

const FRAMES: [Column; 13] = [
    ("track", false, name),
    ("expected", true, |track| count(track.frames_expected)),
    ("received", true, |track| count(track.frames_received)),
    ("late", true, |track| count(track.frames_late)),
    ("lost", true, |track| count(track.frames_lost)),
    ("twice", true, |track| count(track.frames_duplicated)),
    ("decodable", true, |track| {
        share(ratio(track.frames_decodable, track.frames_expected))
    }),
    ("freezes", true, |track| count(track.freezes)),
    ("longest gap", true, |track| {
        millis(Some(track.longest_gap_ms))
    }),
    ("first frame p95", true, |track| {
        millis(track.first_frame_ms.p95)
    }),
    ("switch p50", true, |track| millis(track.switch_ms.p50)),
    ("switch p95", true, |track| millis(track.switch_ms.p95)),
    ("by layer", false, |track| {
        format!("<td>{}</td>", layers(&track.received_by_encoding))
    }),
];

fn table(columns: &[Column], tracks: &[&TrackReport]) -> String {
    let heads: String = columns
        .iter()
        .map(|(name, is_number, _)| {
            let class = if *is_number { "n" } else { "" };
            format!("<th class=\"{class}\" scope=\"col\">{name}</th>")
        })
        .collect();
    let row = |track: &TrackReport| {
        let cells: String = columns.iter().map(|(_, _, cell)| cell(track)).collect();
        format!("<tr>{cells}</tr>\n")
    };
    let rows: String = tracks.iter().map(|track| row(track)).collect();
    format!(
        "<div class=\"card wide\"><table class=\"sortable tracks\"><thead><tr>{heads}</tr></thead><tbody>\n{rows}</tbody></table></div>\n"
    )
}

fn name(track: &TrackReport) -> String {
    format!(
        "<td>{} <span class=\"soft\">{} · {}</span></td>",
        escape(&track.publisher),
        escape(&track.room),
        escape(&track.name)
    )
}

fn count(value: u64) -> String {
    number(Some(value as f64), &Unit::Count.show(value as f64))
}

fn millis(value: Option<f64>) -> String {
    number(value, &Unit::Millis.show_or_dash(value))
}

fn share(value: Option<f64>) -> String {
    number(value, &Unit::Share.show_or_dash(value))
}

/// How many asked for it, and how many of them got nothing for a while.
fn viewers(track: &TrackReport) -> String {
    let text = match track.silent {
        0 => track.subscribers.to_string(),
        silent => format!("{} ({silent} silent)", track.subscribers),
    };
    number(Some(f64::from(track.subscribers)), &text)
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
