//! A report as a table for the terminal.
//!
//! Owns its layout. Text only: no colours, so that it can be kept and compared.

use std::fmt::Write as _;

use super::{
    Report, SilentSubscription, ThresholdResult, TrackReport,
    figures::{TIME, figures, spreads},
    format::{Unit, plural},
    thresholds,
};

/// Tracks shown; the file has all.
const MOST_TRACKS: usize = 12;
/// Silent subscriptions shown; the file has all.
const MOST_SILENT: usize = 12;

/// The whole table. Writing to a string cannot fail.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut text = String::new();
    let _ = writeln!(text, "\n{}: {}", report.scenario, headline(report));
    let _ = writeln!(
        text,
        "measured for {} after {} of joining and warm-up; engine {}; {}",
        Unit::Seconds.show(report.duration_s),
        Unit::Seconds.show(report.warm_up_s),
        report.engine,
        server(report)
    );
    let mut group = "";
    let mut rows: Vec<[String; 2]> = Vec::new();
    for figure in figures(report).iter().filter(|figure| figure.group != TIME) {
        if figure.group != group {
            write_rows(&mut text, group, &rows);
            rows.clear();
            group = figure.group;
        }
        rows.push([
            figure.name.to_owned(),
            figure.unit.show_or_dash(figure.value),
        ]);
    }
    write_rows(&mut text, group, &rows);
    times(&mut text, report);
    silent(&mut text, report);
    tracks(&mut text, report);
    ends(&mut text, report);
    text
}

/// What ran where, in one line.
#[must_use]
pub fn headline(report: &Report) -> String {
    let mut parts = Vec::new();
    if report.publishers > 0 {
        parts.push(plural(u64::from(report.publishers), "publisher"));
    }
    if report.subscribers > 0 {
        parts.push(plural(u64::from(report.subscribers), "subscriber"));
    }
    let each = if report.rooms == 1 { "" } else { " each" };
    format!(
        "{}, {}{each}, at {}",
        plural(u64::from(report.rooms), "room"),
        parts.join(" and "),
        report.url
    )
}

/// What answered. Compatible servers say another's name and version, so the process comes first.
#[must_use]
pub fn server(report: &Report) -> String {
    let said = [&report.server.name, &report.server.version];
    let said: Vec<&str> = said.into_iter().flatten().map(String::as_str).collect();
    match (&report.server.process, said.is_empty()) {
        (Some(process), true) => format!("server {process}"),
        (Some(process), false) => format!("server {process}, which says {}", said.join(" ")),
        (None, true) => "server unnamed".to_owned(),
        (None, false) => format!("server says {}", said.join(" ")),
    }
}

/// The verdict in one line.
#[must_use]
pub fn verdict(report: &Report) -> String {
    let failed = report.thresholds.iter().filter(|row| !row.passed).count();
    match (report.thresholds.len(), failed) {
        (0, _) => "no thresholds set".to_owned(),
        (all, 0) => format!("passed: {} hold", plural(all as u64, "threshold")),
        (all, failed) => format!("FAILED: {failed} of {}", plural(all as u64, "threshold")),
    }
}

/// `packets lost 0.002 %, at most 0.1 %`.
#[must_use]
pub fn threshold(row: &ThresholdResult) -> String {
    let unit = Unit::of_threshold(&row.unit);
    let side = if row.name.starts_with("min_") {
        "at least"
    } else {
        "at most"
    };
    let value = row
        .value
        .map_or_else(|| "could not be taken".to_owned(), |value| unit.show(value));
    format!(
        "{} {value}, {side} {}",
        thresholds::title(&row.name),
        unit.show(row.limit)
    )
}

fn write_rows(text: &mut String, group: &str, rows: &[[String; 2]]) {
    if rows.is_empty() || rows.iter().all(|[_, value]| value == "–") {
        return;
    }
    let _ = writeln!(text, "\n{group}");
    for [name, value] in rows {
        let _ = writeln!(text, "  {name:<30}{value:>16}");
    }
}

fn times(text: &mut String, report: &Report) {
    let _ = writeln!(
        text,
        "\n{:<20}{:>12}{:>12}{:>12}{:>12}{:>12}",
        "Time", "p50", "p95", "p99", "max", "values"
    );
    for spread in spreads(report)
        .iter()
        .filter(|spread| spread.values.count > 0)
    {
        let (name, spread) = (spread.name, spread.values);
        let cell = |value| Unit::Millis.show_or_dash(value);
        let _ = writeln!(
            text,
            "  {name:<18}{:>12}{:>12}{:>12}{:>12}{:>12}",
            cell(spread.p50),
            cell(spread.p95),
            cell(spread.p99),
            cell(spread.max),
            Unit::Count.show(spread.count as f64)
        );
    }
}

/// `subscriber-3: publisher-0 video, nothing at all for 20.0 s`.
#[must_use]
pub fn silence(report: &Report, of: &SilentSubscription) -> String {
    // Rooms are alike: they matter only when there are several.
    let room = if report.rooms > 1 {
        format!("{} ", of.room)
    } else {
        String::new()
    };
    let what = if of.whole {
        "nothing at all, for"
    } else {
        "nothing for"
    };
    format!(
        "{room}{}: of {}'s {} {what} {} from {}",
        of.viewer,
        of.publisher,
        of.kind,
        Unit::Seconds.show(of.seconds),
        Unit::Seconds.show(of.from_s)
    )
}

fn silent(text: &mut String, report: &Report) {
    if report.silent.is_empty() {
        return;
    }
    let all = report.silent.len();
    let _ = writeln!(text, "\nSilent subscriptions");
    for of in report.silent.iter().take(MOST_SILENT) {
        let _ = writeln!(text, "  {}", silence(report, of));
    }
    if all > MOST_SILENT {
        let _ = writeln!(text, "  and {} more; the JSON has all", all - MOST_SILENT);
    }
}

fn tracks(text: &mut String, report: &Report) {
    if report.tracks.is_empty() {
        return;
    }
    let mut tracks: Vec<&TrackReport> = report.tracks.iter().collect();
    // The worst first: they are what one looks for.
    tracks.sort_by(|a, b| {
        (b.silent.cmp(&a.silent))
            .then(b.freezes.cmp(&a.freezes))
            .then(b.packets_lost.cmp(&a.packets_lost))
            .then(cell_order(b.latency_ms.p99, a.latency_ms.p99))
    });
    let shown = tracks.len().min(MOST_TRACKS);
    let which = if shown < tracks.len() {
        format!("Tracks, the worst {shown} of {}", tracks.len())
    } else {
        "Tracks".to_owned()
    };
    let tracks = &tracks[..shown];
    packets(text, report, &which, tracks);
    if tracks.iter().any(|track| track.kind == "video") {
        frames(text, report, tracks);
    }
}

/// What came of each track.
fn packets(text: &mut String, report: &Report, which: &str, tracks: &[&TrackReport]) {
    let count = |value: u64| Unit::Count.show(value as f64);
    let _ = writeln!(
        text,
        "\n{which:<36}{:>8}{:>12}{:>12}{:>8}{:>9}{:>8}{:>9}{:>10}{:>12}",
        "viewers", "expected", "received", "late", "lost", "twice", "unseen", "p99", "bitrate"
    );
    for track in tracks {
        let _ = writeln!(
            text,
            "  {:<34}{:>8}{:>12}{:>12}{:>8}{:>9}{:>8}{:>9}{:>10}{:>12}",
            name(report, track),
            track.subscribers,
            count(track.packets_expected),
            count(track.packets_received),
            count(track.packets_late),
            count(track.packets_lost),
            count(track.packets_duplicated),
            count(track.packets_unseen),
            Unit::Millis.show_or_dash(track.latency_ms.p99),
            Unit::BitRate.show(track.bitrate_bps)
        );
    }
}

/// What became of each video track's frames.
fn frames(text: &mut String, report: &Report, tracks: &[&TrackReport]) {
    let count = |value: u64| Unit::Count.show(value as f64);
    let _ = writeln!(
        text,
        "\n{:<36}{:>11}{:>11}{:>8}{:>8}{:>8}{:>12}{:>9}{:>11}{:>11}",
        "Video frames",
        "expected",
        "received",
        "late",
        "lost",
        "twice",
        "decodable",
        "freezes",
        "first p95",
        "switch p95"
    );
    for track in tracks.iter().filter(|track| track.kind == "video") {
        let decodable = super::model::ratio(track.frames_decodable, track.frames_expected);
        let _ = writeln!(
            text,
            "  {:<34}{:>11}{:>11}{:>8}{:>8}{:>8}{:>12}{:>9}{:>11}{:>11}",
            name(report, track),
            count(track.frames_expected),
            count(track.frames_received),
            count(track.frames_late),
            count(track.frames_lost),
            count(track.frames_duplicated),
            Unit::Share.show_or_dash(decodable),
            track.freezes,
            Unit::Millis.show_or_dash(track.first_frame_ms.p95),
            Unit::Millis.show_or_dash(track.switch_ms.p95)
        );
    }
}

/// What to call a track.
fn name(report: &Report, track: &TrackReport) -> String {
    // Rooms are alike: they matter only when there are several.
    let room = if report.rooms > 1 {
        format!("{} ", track.room)
    } else {
        String::new()
    };
    let name = format!("{room}{} {} {}", track.publisher, track.kind, track.codec);
    shorten(&name, 33)
}

fn ends(text: &mut String, report: &Report) {
    if !report.errors.is_empty() {
        let _ = writeln!(text, "\nErrors");
        for error in &report.errors {
            let _ = writeln!(text, "  {} × {}", error.count, error.message);
        }
    }
    if !report.notes.is_empty() {
        let _ = writeln!(text, "\nNotes");
        for note in &report.notes {
            let _ = writeln!(text, "  {note}");
        }
    }
    let _ = writeln!(text, "\nThresholds: {}", verdict(report));
    for row in &report.thresholds {
        let mark = if row.passed { "ok  " } else { "FAIL" };
        let _ = writeln!(text, "  {mark} {}", threshold(row));
    }
}

fn cell_order(left: Option<f64>, right: Option<f64>) -> std::cmp::Ordering {
    left.unwrap_or(0.0).total_cmp(&right.unwrap_or(0.0))
}

/// At most `most` characters.
fn shorten(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most - 1).collect();
    short.push('…');
    short
}
