//! Plots as inline SVG.
//!
//! Owns the frame of a plot: its size, grid, ticks and labels. Colours come from the page's style by
//! class. Must not know what a report is.

mod bars;
mod lines;

use std::fmt::Write as _;

use super::page::escape;

pub(super) use bars::Bars;
pub(super) use lines::{Lines, Series, Together};

/// Size of the drawing, and of the part within the axes.
const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 200.0;
const LEFT: f64 = 40.0;
const RIGHT: f64 = 396.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 178.0;

fn figure(title: &str, unit: &str, legend: &str, svg: &str) -> String {
    format!(
        "<figure class=\"card\"><figcaption><h3>{}</h3><span class=\"unit\">{}</span>{legend}</figcaption>\
         <svg viewBox=\"0 0 {WIDTH} {HEIGHT}\" role=\"img\" aria-label=\"{}\">{svg}\
         <line class=\"axis\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{BOTTOM}\" y2=\"{BOTTOM}\"/></svg></figure>\n",
        escape(title),
        escape(unit),
        escape(title)
    )
}

fn horizontal(svg: &mut String, y: f64, label: &str) {
    let _ = write!(
        svg,
        "<line class=\"grid\" x1=\"{LEFT}\" x2=\"{RIGHT}\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>\
         <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
        LEFT - 6.0,
        y + 4.0
    );
}

fn below(svg: &mut String, x: f64, label: &str) {
    let anchor = if x > RIGHT - 12.0 { "end" } else { "middle" };
    let _ = write!(
        svg,
        "<text x=\"{x:.1}\" y=\"{}\" text-anchor=\"{anchor}\">{label}</text>",
        BOTTOM + 16.0
    );
}

/// Round numbers from zero to at least `largest`, about `wanted` steps.
fn ticks(largest: f64, wanted: u32) -> Vec<f64> {
    if !largest.is_finite() || largest <= 0.0 {
        return vec![0.0, 1.0];
    }
    let rough = largest / f64::from(wanted);
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 2.5, 5.0, 10.0]
        .into_iter()
        .map(|step| step * power)
        .find(|step| *step >= rough * 0.999)
        .unwrap_or(power * 10.0);
    let count = (largest / step * 0.999).ceil() as u32;
    (0..=count.max(1))
        .map(|index| f64::from(index) * step)
        .collect()
}

/// A tick's number without needless digits.
fn label(value: f64) -> String {
    if value.abs() >= 1e4 {
        return super::format::grouped(value);
    }
    let text = format!("{value:.3}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_round_and_reach_the_largest() {
        let cases: &[(f64, &[f64])] = &[
            (100.0, &[0.0, 25.0, 50.0, 75.0, 100.0]),
            (7.3, &[0.0, 2.0, 4.0, 6.0, 8.0]),
            (0.04, &[0.0, 0.01, 0.02, 0.03, 0.04]),
            (0.0, &[0.0, 1.0]),
        ];
        for (largest, expected) in cases {
            let found = ticks(*largest, 4);
            assert_eq!(found.len(), expected.len(), "{largest}: {found:?}");
            for (found, expected) in found.iter().zip(*expected) {
                assert!((found - expected).abs() < 1e-9, "{largest}");
            }
        }
    }
}
