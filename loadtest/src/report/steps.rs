//! A search for capacity, shown: a line as each step ends, the number at the end, a page.
//!
//! Owns its layout. The search is `crate::capacity`'s.

use std::fmt::Write as _;

use super::{
    Report,
    format::Unit,
    page::{escape, page},
    svg::{Lines, Series, Together},
    table, thresholds,
};
use crate::capacity::{CapacityReport, Step};

/// A column of the table of steps.
struct Column {
    name: &'static str,
    unit: Unit,
    value: fn(&Report) -> Option<f64>,
}

const COLUMNS: [Column; 7] = [
    Column {
        name: "packets/s",
        unit: Unit::PerSecond,
        value: |report| Some(report.packets_per_second),
    },
    Column {
        name: "lost",
        unit: Unit::Share,
        value: |report| report.packets_lost_ratio,
    },
    Column {
        name: "decodable",
        unit: Unit::Share,
        value: |report| report.frames_decodable_ratio,
    },
    Column {
        name: "p99 latency",
        unit: Unit::Millis,
        value: |report| report.forward_latency_ms.p99,
    },
    Column {
        name: "CPU/packet",
        unit: Unit::Nanos,
        value: |report| report.cpu_ns_per_forwarded_packet,
    },
    Column {
        name: "cores",
        unit: Unit::Cores,
        value: server_cores,
    },
    Column {
        name: "memory",
        unit: Unit::Bytes,
        value: |report| report.rss_bytes.max.map(|bytes| bytes as f64),
    },
];

/// The heading above the lines of [`line()`].
#[must_use]
pub fn heading(vary: &str) -> String {
    let mut text = format!("{vary:>12}");
    for column in &COLUMNS {
        let _ = write!(text, "{:>14}", column.name);
    }
    text
}

/// One step as a line.
#[must_use]
pub fn line(step: &Step) -> String {
    let mut text = format!("{:>12}", Unit::Count.show(f64::from(step.load)));
    if let Some(report) = &step.report {
        for column in &COLUMNS {
            let _ = write!(
                text,
                "{:>14}",
                column.unit.show_or_dash((column.value)(report))
            );
        }
    }
    let _ = write!(text, "  {}", outcome(step));
    text
}

/// The number, in words.
#[must_use]
pub fn conclusion(report: &CapacityReport) -> String {
    let vary = report.vary.key();
    let why = report.limit.and_then(|limit| {
        let step = report
            .steps
            .iter()
            .rev()
            .find(|step| step.load == limit && !step.passed)?;
        Some(reasons(step))
    });
    match (report.capacity, report.limit) {
        (Some(capacity), Some(limit)) => format!(
            "capacity: {capacity} {vary} ({limit} failed: {})",
            why.unwrap_or_default()
        ),
        (Some(capacity), None) => {
            format!("capacity: at least {capacity} {vary}, the most that was tried")
        }
        (None, Some(limit)) => format!(
            "capacity: fewer than {limit} {vary} (failed: {})",
            why.unwrap_or_default()
        ),
        (None, None) => "capacity: nothing was tried".to_owned(),
    }
}

/// The search as a page. Writing to a string cannot fail.
#[must_use]
pub fn render_html(found: &CapacityReport) -> String {
    let vary = found.vary.key();
    let mut body = format!(
        "<header><div class=\"title\"><h1>Capacity: {}</h1></div>\n<p class=\"lead\"><strong>{}</strong></p>\n",
        escape(&found.scenario),
        escape(&conclusion(found))
    );
    if let Some(report) = found.steps.iter().find_map(|step| step.report.as_ref()) {
        let _ = writeln!(
            body,
            "<p class=\"soft\">{}<br>{}, engine {}; {}; {}</p>",
            escape(&report.description),
            escape(&table::server(report)),
            escape(&report.engine),
            escape(&found.url),
            escape(&report.started_at)
        );
    }
    let heads: String = COLUMNS
        .iter()
        .map(|column| format!("<th class=\"n\">{}</th>", column.name))
        .collect();
    let rows: String = found.steps.iter().map(row).collect();
    let _ = write!(
        body,
        "</header>\n<h2>By load</h2>\n<p class=\"soft lead\">From left to right: {vary}{}. Every step is a whole run with its own joining and warm-up.</p>\n<div class=\"plots\">\n{}</div>\n\
         <h2>Steps, in the order made</h2>\n<div class=\"card wide\"><table class=\"sortable tracks\"><thead><tr><th class=\"n\">{vary}</th>{heads}<th>outcome</th></tr></thead><tbody>\n{rows}</tbody></table></div>\n",
        if vary == "rooms" { "" } else { " per room" },
        plots(found)
    );
    page(&format!("{} · capacity", found.scenario), &body)
}

fn row(step: &Step) -> String {
    let mut cells = super::page::number(Some(f64::from(step.load)), &step.load.to_string());
    for column in &COLUMNS {
        let value = step.report.as_ref().and_then(column.value);
        cells.push_str(&super::page::number(
            value,
            &column.unit.show_or_dash(value),
        ));
    }
    let class = if step.passed { "good" } else { "bad" };
    format!(
        "<tr>{cells}<td class=\"{class}\">{}</td></tr>\n",
        escape(&outcome(step))
    )
}

fn outcome(step: &Step) -> String {
    if step.passed {
        "passed".to_owned()
    } else {
        format!("failed: {}", reasons(step))
    }
}

/// What failed, in words.
fn reasons(step: &Step) -> String {
    let reasons: Vec<&str> = step
        .failed
        .iter()
        .map(|name| thresholds::title(name))
        .collect();
    reasons.join(", ")
}

fn plots(found: &CapacityReport) -> String {
    let mut reports: Vec<(u32, &Report)> = found
        .steps
        .iter()
        .filter_map(|step| Some((step.load, step.report.as_ref()?)))
        .collect();
    reports.sort_by_key(|(load, _)| *load);
    let draw = |title, unit, value: fn(&Report) -> Option<f64>| {
        let points = reports
            .iter()
            .map(|(load, report)| (f64::from(*load), value(report)));
        let series = vec![Series {
            name: title,
            points: points.collect(),
        }];
        Lines {
            title,
            unit,
            across: "",
            series,
            shaded: None,
            together: Together::Largest,
        }
        .draw()
    };
    [
        draw("Forwarding latency p99", Unit::Millis, |report| {
            report.forward_latency_ms.p99
        }),
        draw("Packets forwarded", Unit::PerSecond, |report| {
            Some(report.packets_per_second)
        }),
        draw("Share of packets lost", Unit::Share, |report| {
            report.packets_lost_ratio
        }),
        draw("Server CPU per forwarded packet", Unit::Nanos, |report| {
            report.cpu_ns_per_forwarded_packet
        }),
        draw("Server: processors kept busy", Unit::Cores, server_cores),
        draw("Server: memory, the largest", Unit::Bytes, |report| {
            report.rss_bytes.max.map(|bytes| bytes as f64)
        }),
    ]
    .concat()
}

fn server_cores(report: &Report) -> Option<f64> {
    report
        .cpu_seconds
        .filter(|_| report.duration_s > 0.0)
        .map(|seconds| seconds / report.duration_s)
}
