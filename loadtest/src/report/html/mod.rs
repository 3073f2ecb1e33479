//! A report as a page for a colleague who was not there: one file, nothing loaded from elsewhere.
//!
//! Owns its order and wording. Numbers and their meaning come from `super::figures`, plots from
//! `super::svg`, the frame from `super::page`.

mod silent;
mod tiles;
mod tracks;

use std::fmt::Write as _;

use super::{
    Report, TimelinePoint,
    figures::{TIME, figures, spreads},
    format::Unit,
    page::{escape, page, remarks},
    svg::{Bars, Lines, Series, Together},
    table, thresholds,
};

/// The whole page. Writing to a string cannot fail.
#[must_use]
pub fn render(report: &Report) -> String {
    let mut body = header(report);
    body.push_str(&remarks(&report.notes));
    body.push_str(&limits(report));
    body.push_str(&silent::render(report));
    let _ = write!(
        body,
        "<h2>Over time</h2>\n<p class=\"soft lead\">One point per second. Shaded: joining and warm-up, which no total counts.</p>\n<div class=\"plots\">\n{}</div>\n",
        plots(report)
    );
    body.push_str(&times(report));
    body.push_str(&numbers(report));
    body.push_str(&tracks::render(report));
    body.push_str(&errors(report));
    body.push_str(&circumstances(report));
    page(&format!("{} · load test", report.scenario), &body)
}

fn header(report: &Report) -> String {
    let class = match (report.thresholds.is_empty(), report.passed) {
        (true, _) => "",
        (_, true) => " good",
        (_, false) => " bad",
    };
    format!(
        "<header>\n<div class=\"title\"><h1>Load test: {}</h1><span class=\"verdict{class}\">{}</span></div>\n\
         <p class=\"lead\">{}</p>\n<p class=\"soft\">{}<br>{}, engine {}; {}, measured for {} after {} of joining and warm-up</p>\n{}</header>\n",
        escape(&report.scenario),
        escape(&table::verdict(report)),
        escape(&report.description),
        escape(&table::headline(report)),
        escape(&table::server(report)),
        escape(&report.engine),
        escape(&report.started_at),
        Unit::Seconds.show(report.duration_s),
        Unit::Seconds.show(report.warm_up_s),
        tiles::render(report)
    )
}

fn limits(report: &Report) -> String {
    if report.thresholds.is_empty() {
        return String::new();
    }
    let row = |row: &super::ThresholdResult| {
        let unit = Unit::of_threshold(&row.unit);
        let (class, word) = if row.passed {
            ("good", "✓ passed")
        } else {
            ("bad", "✗ failed")
        };
        let side = if row.name.starts_with("min_") {
            "≥"
        } else {
            "≤"
        };
        let value = row
            .value
            .map_or_else(|| "could not be taken".to_owned(), |value| unit.show(value));
        format!(
            "<tr><th scope=\"row\">{}</th><td class=\"n\">{}</td><td class=\"n\">{side} {}</td><td class=\"{class} keep\">{word}</td></tr>\n",
            escape(thresholds::title(&row.name)),
            escape(&value),
            escape(&unit.show(row.limit))
        )
    };
    format!(
        "<h2>Thresholds</h2>\n<div class=\"card wide fit\"><table><thead><tr><th>limit</th><th class=\"n\">found</th><th class=\"n\">allowed</th><th></th></tr></thead><tbody>\n{}</tbody></table></div>\n",
        report.thresholds.iter().map(row).collect::<String>()
    )
}

fn plots(report: &Report) -> String {
    let shaded = report
        .timeline
        .iter()
        .take_while(|point| !point.measured)
        .last()
        .map(|point| point.t_s);
    let draw = |title, unit, together, series: Vec<(&'static str, Pick)>| {
        let series = series
            .into_iter()
            .map(|(name, pick)| Series {
                name,
                points: over_time(report, pick),
            })
            .collect();
        Lines {
            title,
            unit,
            across: " s",
            series,
            shaded,
            together,
        }
        .draw()
    };
    [
        draw(
            "Forwarding latency",
            Unit::Millis,
            Together::Largest,
            vec![
                ("p50", |point| point.latency_p50_ms),
                ("p99", |point| point.latency_p99_ms),
            ],
        ),
        draw(
            "Packets forwarded",
            Unit::PerSecond,
            Together::Average,
            vec![("packets", |point| Some(point.packets_per_s))],
        ),
        draw(
            "Out of the server",
            Unit::BitRate,
            Together::Average,
            vec![("payload", |point| Some(point.bits_per_s))],
        ),
        draw(
            "Processors kept busy",
            Unit::Cores,
            Together::Average,
            cpu(report),
        ),
        draw(
            "Memory of the server",
            Unit::Bytes,
            Together::Largest,
            vec![("resident", |point| {
                point.rss_bytes.map(|bytes| bytes as f64)
            })],
        ),
        draw(
            "Participants in",
            Unit::Count,
            Together::Average,
            vec![("participants", |point| Some(f64::from(point.connected)))],
        ),
    ]
    .concat()
}

type Pick = fn(&TimelinePoint) -> Option<f64>;

/// The server's processors, and the harness's; only the latter when the server's are unknown.
fn cpu(report: &Report) -> Vec<(&'static str, Pick)> {
    let mut series: Vec<(&'static str, Pick)> = Vec::new();
    if report
        .timeline
        .iter()
        .any(|point| point.cpu_cores.is_some())
    {
        series.push(("server", |point| point.cpu_cores));
    }
    series.push(("harness", |point| Some(point.client_cpu_cores)));
    series
}

pub(super) fn over_time(report: &Report, pick: Pick) -> Vec<(f64, Option<f64>)> {
    report
        .timeline
        .iter()
        .map(|point| (point.t_s, pick(point)))
        .collect()
}

/// Quantiles in a table, and how the values spread.
fn times(report: &Report) -> String {
    let taken: Vec<_> = spreads(report)
        .into_iter()
        .filter(|spread| spread.values.count > 0)
        .collect();
    if taken.is_empty() {
        return String::new();
    }
    let (mut rows, mut plots) = (String::new(), String::new());
    for spread in &taken {
        let values = spread.values;
        let cell = |value| format!("<td class=\"n\">{}</td>", Unit::Millis.show_or_dash(value));
        let _ = writeln!(
            rows,
            "<tr><th scope=\"row\">{}</th>{}<td class=\"n\">{}</td><td class=\"what\">{}</td></tr>",
            spread.name,
            [values.p50, values.p95, values.p99, values.max]
                .map(cell)
                .concat(),
            Unit::Count.show(values.count as f64),
            escape(spread.what)
        );
        let bars = Bars {
            title: spread.name,
            unit: Unit::Millis,
            buckets: &values.buckets,
            marks: vec![
                ("p50", values.p50),
                ("p95", values.p95),
                ("p99", values.p99),
            ],
            // Latency has a long tail; the others come as single values in buckets of one width.
            logarithmic: spread.key.ends_with("latency_ms"),
        };
        plots.push_str(&bars.draw());
    }
    format!(
        "<h2>Times</h2>\n<div class=\"card wide\"><table class=\"times\"><thead><tr><th></th><th class=\"n\">p50</th><th class=\"n\">p95</th><th class=\"n\">p99</th><th class=\"n\">max</th><th class=\"n\">values</th><th></th></tr></thead><tbody>\n{rows}</tbody></table></div>\n\
         <div class=\"plots spaced\">\n{plots}</div>\n"
    )
}

fn numbers(report: &Report) -> String {
    let mut rows = String::new();
    let mut group = "";
    for figure in figures(report)
        .into_iter()
        .filter(|figure| figure.value.is_some() && figure.group != TIME)
    {
        if figure.group != group {
            group = figure.group;
            let _ = writeln!(
                rows,
                "<tr class=\"group\"><th colspan=\"3\" scope=\"rowgroup\">{group}</th></tr>"
            );
        }
        let _ = writeln!(
            rows,
            "<tr><th scope=\"row\">{}</th><td class=\"n\">{}</td><td class=\"what\">{}</td></tr>",
            escape(figure.name),
            escape(&figure.unit.show_or_dash(figure.value)),
            escape(figure.what)
        );
    }
    format!(
        "<h2>Counts</h2>\n<div class=\"card wide\"><table class=\"figures\"><tbody>\n{rows}</tbody></table></div>\n"
    )
}

fn errors(report: &Report) -> String {
    if report.errors.is_empty() {
        return String::new();
    }
    let rows: String = report
        .errors
        .iter()
        .map(|error| {
            format!(
                "<tr><td class=\"n\">{}</td><td>{}</td></tr>\n",
                error.count,
                escape(&error.message)
            )
        })
        .collect();
    format!(
        "<h2>Errors</h2>\n<div class=\"card wide\"><table><thead><tr><th class=\"n\">times</th><th>what</th></tr></thead><tbody>\n{rows}</tbody></table></div>\n"
    )
}

/// Where and how it ran, and how to run it again.
fn circumstances(report: &Report) -> String {
    let environment = &report.environment;
    let memory = (environment.memory_bytes > 0).then_some(environment.memory_bytes as f64);
    let pid = report.server.pid.map_or_else(
        || "not given: its CPU and memory are unknown".to_owned(),
        |pid| {
            format!(
                "{pid}{}",
                report
                    .server
                    .process
                    .as_ref()
                    .map_or_else(String::new, |name| format!(" ({name})"))
            )
        },
    );
    let rows = [
        ("server", report.url.clone()),
        ("what answered", table::server(report)),
        ("server's process", pid),
        ("processor", environment.cpu.clone()),
        ("processors for the harness", environment.cores.to_string()),
        ("memory", Unit::Bytes.show_or_dash(memory)),
        ("system", environment.os.clone()),
        (
            "harness",
            format!(
                "loadtest {}, engine {}",
                environment.loadtest, report.engine
            ),
        ),
        ("started", report.started_at.clone()),
    ];
    let rows: String = rows
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| {
            format!(
                "<tr><th scope=\"row\">{name}</th><td>{}</td></tr>\n",
                escape(value)
            )
        })
        .collect();
    format!(
        "<h2>Where and how</h2>\n<div class=\"two\"><div class=\"card wide\"><table><tbody>\n{rows}</tbody></table></div>\n\
         <div class=\"card\"><h3>Scenario as it ran</h3><p class=\"soft\">Saved as a file, <code>loadtest run FILE</code> repeats it.</p><pre>{}</pre></div></div>\n\
         <footer>Times and losses are what subscribers saw: server, network and harness together. Where all three share a machine, they also share its processors.</footer>\n",
        escape(&report.scenario_toml)
    )
}
