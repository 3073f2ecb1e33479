//! The subscriptions that got nothing for a while, on the page.

use crate::report::{
    Report, SilentSubscription,
    format::Unit,
    page::{escape, number},
};

/// Rows of the table; the JSON has all.
const MOST_SILENT: usize = 500;

/// The table; nothing when all got something.
pub(super) fn render(report: &Report) -> String {
    if report.silent.is_empty() {
        return String::new();
    }
    let all = report.silent.len();
    let more = if all > MOST_SILENT {
        format!(" The first {MOST_SILENT} of {all}; the JSON has all.")
    } else {
        String::new()
    };
    let rows: String = report.silent.iter().take(MOST_SILENT).map(row).collect();
    format!(
        "<h2>Silent subscriptions</h2>\n<p class=\"soft lead\">Who got nothing of a track for more than 2 s, at the beginning, at the end or at all, though there was something to get. What they missed counts as lost. Times are from the start of the run.{more}</p>\n\
         <div class=\"card wide fit\"><table class=\"sortable tracks\"><thead><tr><th scope=\"col\">who</th><th scope=\"col\">of</th><th class=\"n\" scope=\"col\">from</th><th class=\"n\" scope=\"col\">for</th><th scope=\"col\">what came</th></tr></thead><tbody>\n{rows}</tbody></table></div>\n"
    )
}

fn row(of: &SilentSubscription) -> String {
    let seconds = |value: f64| number(Some(value), &Unit::Seconds.show(value));
    format!(
        "<tr><td>{}</td><td>{}, {} <span class=\"soft\">{} · {}</span></td>{}{}<td>{}</td></tr>\n",
        escape(&of.viewer),
        escape(&of.publisher),
        escape(&of.kind),
        escape(&of.room),
        escape(&of.track),
        seconds(of.from_s),
        seconds(of.seconds),
        if of.whole { "nothing" } else { "some" }
    )
}
