//! Two reports side by side: the same figures, their ratio, and which is better.
//!
//! Owns what may be compared and what must be said when the loads differ. Must not judge: whether a
//! difference matters is for the reader (machines vary between runs).

use std::fmt::Write as _;

use super::{
    Report, TimelinePoint,
    figures::{Better, Figure, figures},
    format::Unit,
    html::over_time,
    page::{escape, page, remarks},
    svg::{Lines, Series, Together},
    table,
};

/// One figure of both.
struct Row {
    left: Figure,
    right: Option<f64>,
}

/// How the right one is to the left one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Better,
    Worse,
    Neither,
}

/// Differences below this share are not called better or worse: runs on one machine vary more.
const SAME: f64 = 0.05;

/// Both as a table for the terminal, with the names to call them (files, servers). Writing to a string
/// cannot fail.
#[must_use]
pub fn render_text(left: (&str, &Report), right: (&str, &Report)) -> String {
    let mut text = String::new();
    for (mark, (name, report)) in [("A", left), ("B", right)] {
        let _ = writeln!(
            text,
            "{mark}  {name}: {}, {}; {}",
            report.scenario,
            table::headline(report),
            table::server(report)
        );
    }
    for remark in differences(left.1, right.1) {
        let _ = writeln!(text, "!  {remark}");
    }
    let _ = writeln!(text, "\n{:<32}{:>16}{:>16}{:>10}", "", "A", "B", "B / A");
    let mut group = "";
    for row in rows(left.1, right.1) {
        if row.left.group != group {
            group = row.left.group;
            let _ = writeln!(text, "{group}");
        }
        let word = match row.verdict() {
            Verdict::Better => "  better",
            Verdict::Worse => "  worse",
            Verdict::Neither => "",
        };
        let _ = writeln!(
            text,
            "  {:<30}{:>16}{:>16}{:>10}{word}",
            row.left.name,
            row.left.unit.show_or_dash(row.left.value),
            row.left.unit.show_or_dash(row.right),
            row.ratio_text()
        );
    }
    text
}

/// Both as a page.
#[must_use]
pub fn render_html(left: (&str, &Report), right: (&str, &Report)) -> String {
    let mut body = format!(
        "<header><div class=\"title\"><h1>Load test: {} compared</h1></div>\n",
        escape(&left.1.scenario)
    );
    for (mark, (name, report)) in [("A", left), ("B", right)] {
        let _ = writeln!(
            body,
            "<p><strong>{mark}: {}</strong> <span class=\"soft\">{}; {}; {}; {}</span></p>",
            escape(name),
            escape(&table::headline(report)),
            escape(&table::server(report)),
            escape(&report.started_at),
            escape(&table::verdict(report))
        );
    }
    body.push_str("</header>\n");
    body.push_str(&remarks(&differences(left.1, right.1)));
    let _ = write!(
        body,
        "<h2>Side by side</h2>\n<p class=\"soft lead\">Differences under {} are left without a word: one machine varies as much from run to run.</p>\n\
         <div class=\"card wide\"><table><thead><tr><th></th><th class=\"n\">A</th><th class=\"n\">B</th><th class=\"n\">B / A</th><th></th><th></th></tr></thead><tbody>\n{}</tbody></table></div>\n",
        Unit::Share.show(SAME),
        html_rows(left.1, right.1)
    );
    let _ = write!(
        body,
        "<h2>Over time</h2>\n<div class=\"plots\">\n{}</div>\n<footer>Compare runs that were made in turn on an idle machine, several of each.</footer>\n",
        plots(left.1, right.1)
    );
    page(&format!("{} · load tests compared", left.1.scenario), &body)
}

fn html_rows(left: &Report, right: &Report) -> String {
    let mut text = String::new();
    let (mut group, mut told) = ("", "");
    for row in rows(left, right) {
        if row.left.group != group {
            group = row.left.group;
            let _ = writeln!(
                text,
                "<tr class=\"group\"><th colspan=\"6\" scope=\"rowgroup\">{group}</th></tr>"
            );
        }
        let (class, word) = match row.verdict() {
            Verdict::Better => ("good", "better"),
            Verdict::Worse => ("bad", "worse"),
            Verdict::Neither => ("soft", ""),
        };
        let cell = |value| escape(&row.left.unit.show_or_dash(value));
        let _ = writeln!(
            text,
            "<tr><th scope=\"row\">{}</th><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"{class}\">{word}</td><td class=\"what\">{}</td></tr>",
            escape(row.left.name),
            cell(row.left.value),
            cell(row.right),
            row.ratio_text(),
            // What holds for several rows is told at the first.
            if row.left.what == told {
                String::new()
            } else {
                escape(row.left.what)
            }
        );
        told = row.left.what;
    }
    text
}

fn plots(left: &Report, right: &Report) -> String {
    type Pick = fn(&TimelinePoint) -> Option<f64>;
    let draw = |title, unit, together, pick: Pick| {
        let series = vec![
            Series {
                name: "A",
                points: over_time(left, pick),
            },
            Series {
                name: "B",
                points: over_time(right, pick),
            },
        ];
        Lines {
            title,
            unit,
            across: " s",
            series,
            shaded: None,
            together,
        }
        .draw()
    };
    [
        draw(
            "Forwarding latency p99",
            Unit::Millis,
            Together::Largest,
            |point| point.latency_p99_ms,
        ),
        draw(
            "Forwarding latency p50",
            Unit::Millis,
            Together::Largest,
            |point| point.latency_p50_ms,
        ),
        draw(
            "Packets forwarded",
            Unit::PerSecond,
            Together::Average,
            |point| Some(point.packets_per_s),
        ),
        draw(
            "Server: processors kept busy",
            Unit::Cores,
            Together::Average,
            |point| point.cpu_cores,
        ),
        draw("Server: memory", Unit::Bytes, Together::Largest, |point| {
            point.rss_bytes.map(|bytes| bytes as f64)
        }),
        draw(
            "Harness: processors kept busy",
            Unit::Cores,
            Together::Average,
            |point| Some(point.client_cpu_cores),
        ),
    ]
    .concat()
}

/// What makes the two unlike, beyond the server.
fn differences(left: &Report, right: &Report) -> Vec<String> {
    let mut remarks = Vec::new();
    if left.scenario != right.scenario {
        remarks.push(format!(
            "Two scenarios, {} and {}: the numbers are of different loads.",
            left.scenario, right.scenario
        ));
    } else if left.scenario_toml != right.scenario_toml {
        let only = |these: &Report, those: &Report| {
            let those: Vec<&str> = those.scenario_toml.lines().collect();
            let only: Vec<&str> = these
                .scenario_toml
                .lines()
                .filter(|line| !line.is_empty() && !those.contains(line))
                .collect();
            if only.is_empty() {
                "nothing".to_owned()
            } else {
                only.join(", ")
            }
        };
        remarks.push(format!(
            "The scenarios differ. Only in A: {}. Only in B: {}.",
            only(left, right),
            only(right, left)
        ));
    }
    if left.environment != right.environment {
        remarks.push("The harness did not run on the same machine, system or version.".to_owned());
    }
    for (name, report) in [("A", left), ("B", right)] {
        remarks.extend(report.notes.iter().map(|note| format!("{name}: {note}")));
    }
    remarks
}

fn rows(left: &Report, right: &Report) -> Vec<Row> {
    figures(left)
        .into_iter()
        .zip(figures(right))
        .map(|(left, right)| Row {
            left,
            right: right.value,
        })
        .filter(|row| row.left.value.is_some() || row.right.is_some())
        .collect()
}

impl Row {
    fn ratio(&self) -> Option<f64> {
        let (left, right) = (self.left.value?, self.right?);
        (left > 0.0).then(|| right / left)
    }

    fn ratio_text(&self) -> String {
        self.ratio()
            .map_or_else(String::new, |ratio| format!("{ratio:.2}"))
    }

    fn verdict(&self) -> Verdict {
        let (Some(left), Some(right)) = (self.left.value, self.right) else {
            return Verdict::Neither;
        };
        // A share near 1 is told apart by what is missing from it.
        let (left, right, better) = match (self.left.unit, self.left.better) {
            (Unit::Share, Better::Higher) => (1.0 - left, 1.0 - right, Better::Lower),
            (_, better) => (left, right, better),
        };
        let same = (left - right).abs() <= SAME * left.abs().max(right.abs());
        match better {
            Better::Neither => Verdict::Neither,
            _ if same => Verdict::Neither,
            Better::Lower if right < left => Verdict::Better,
            Better::Higher if right > left => Verdict::Better,
            Better::Lower | Better::Higher => Verdict::Worse,
        }
    }
}
