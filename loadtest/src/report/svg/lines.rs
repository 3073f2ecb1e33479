//! Lines over time or load.
//!
//! Owns how many points are drawn, and what the mouse finds. Must not know what a report is.

use std::fmt::Write as _;

use super::{BOTTOM, LEFT, RIGHT, TOP, below, figure, horizontal, label, ticks};
use crate::report::{format::Unit, page::escape};

/// Most points of a line; more are drawn on top of each other and make the page heavy.
const MOST_POINTS: usize = 240;

/// One line of a [`Lines`] plot.
pub(in crate::report) struct Series<'a> {
    /// Its name; also the legend's, if there are two.
    pub(in crate::report) name: &'a str,
    /// Seconds and values; `None` leaves a gap.
    pub(in crate::report) points: Vec<(f64, Option<f64>)>,
}

/// How points that fall together are drawn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::report) enum Together {
    /// As their average.
    Average,
    /// As the largest: a peak must not vanish.
    Largest,
}

/// Lines over time or load.
pub(in crate::report) struct Lines<'a> {
    pub(in crate::report) title: &'a str,
    pub(in crate::report) unit: Unit,
    /// What to write after a number below: ` s` of time.
    pub(in crate::report) across: &'a str,
    /// One or two.
    pub(in crate::report) series: Vec<Series<'a>>,
    /// Seconds that are shaded as not measured.
    pub(in crate::report) shaded: Option<f64>,
    pub(in crate::report) together: Together,
}

impl Lines<'_> {
    /// The figure; nothing without a value.
    pub(in crate::report) fn draw(&self) -> String {
        let last = points(&self.series).map(|(x, _)| x).fold(0.0, f64::max);
        let largest = points(&self.series)
            .filter_map(|(_, y)| y)
            .fold(f64::NAN, f64::max);
        if largest.is_nan() || last <= 0.0 {
            return String::new();
        }
        let (factor, unit) = scale(self.unit, largest);
        let ticks = ticks(largest / factor, 4);
        let top = ticks.last().copied().unwrap_or(1.0) * factor;
        let x = |seconds: f64| LEFT + seconds / last * (RIGHT - LEFT);
        let y = |value: f64| BOTTOM - value / top * (BOTTOM - TOP);

        let mut svg = String::new();
        if let Some(until) = self.shaded.filter(|until| *until > 0.0) {
            let _ = write!(
                svg,
                "<rect class=\"shade\" x=\"{LEFT}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{}\"/>",
                x(until.min(last)) - LEFT,
                BOTTOM - TOP
            );
        }
        for tick in &ticks {
            horizontal(&mut svg, y(tick * factor), &label(*tick));
        }
        for tick in super::ticks(last, 5)
            .iter()
            .filter(|tick| **tick <= last * 1.001)
        {
            below(
                &mut svg,
                x(*tick),
                &format!("{}{}", label(*tick), self.across),
            );
        }
        let thinned: Vec<Vec<(f64, Option<f64>)>> = self
            .series
            .iter()
            .map(|series| thin(&series.points, self.together))
            .collect();
        for (index, points) in thinned.iter().enumerate() {
            let class = if index == 0 { "line" } else { "line b" };
            let _ = write!(
                svg,
                "<path class=\"{class}\" d=\"{}\"/>",
                path(points, x, y)
            );
        }
        self.hits(&mut svg, &thinned, x);
        figure(self.title, unit, &self.legend(), &svg)
    }

    /// What the mouse finds: one column per point with all values.
    fn hits(&self, svg: &mut String, thinned: &[Vec<(f64, Option<f64>)>], x: impl Fn(f64) -> f64) {
        let Some(longest) = thinned.iter().max_by_key(|points| points.len()) else {
            return;
        };
        let mut before = 0.0;
        for (index, (seconds, _)) in longest.iter().enumerate() {
            let mut title = format!("{}{}", label(*seconds), self.across);
            for (series, points) in self.series.iter().zip(thinned) {
                if let Some((_, Some(value))) = points.get(index) {
                    let _ = write!(title, "\n{}: {}", series.name, self.unit.show(*value));
                }
            }
            let _ = write!(
                svg,
                "<rect class=\"hit\" x=\"{:.1}\" y=\"{TOP}\" width=\"{:.1}\" height=\"{}\"><title>{}</title></rect>",
                x(before),
                x(*seconds) - x(before),
                BOTTOM - TOP,
                escape(&title)
            );
            before = *seconds;
        }
    }

    fn legend(&self) -> String {
        if self.series.len() < 2 {
            return String::new();
        }
        let item = |(index, series): (usize, &Series<'_>)| {
            let class = if index == 0 { "a" } else { "b" };
            format!(
                "<span class=\"legend\"><i class=\"{class}\"></i>{}</span>",
                escape(series.name)
            )
        };
        self.series.iter().enumerate().map(item).collect()
    }
}

fn points<'a>(series: &'a [Series<'_>]) -> impl Iterator<Item = (f64, Option<f64>)> + 'a {
    series
        .iter()
        .flat_map(|series| series.points.iter().copied())
}

/// A path with a gap where there is no value; a lone point is a dot.
fn path(points: &[(f64, Option<f64>)], x: impl Fn(f64) -> f64, y: impl Fn(f64) -> f64) -> String {
    let mut path = String::new();
    let mut drawing = false;
    for (seconds, value) in points {
        let Some(value) = value else {
            drawing = false;
            continue;
        };
        let (x, y) = (x(*seconds), y(*value));
        let _ = if drawing {
            write!(path, "L{x:.1} {y:.1}")
        } else {
            write!(path, "M{x:.1} {y:.1}h0")
        };
        drawing = true;
    }
    path
}

/// At most [`MOST_POINTS`].
fn thin(points: &[(f64, Option<f64>)], together: Together) -> Vec<(f64, Option<f64>)> {
    let size = points.len().div_ceil(MOST_POINTS).max(1);
    let merge = |chunk: &[(f64, Option<f64>)]| {
        let values = || chunk.iter().filter_map(|(_, value)| *value);
        let count = values().count();
        let value = match together {
            Together::Average => values().sum::<f64>() / count.max(1) as f64,
            Together::Largest => values().fold(f64::MIN, f64::max),
        };
        let at = chunk.last().map_or(0.0, |(seconds, _)| *seconds);
        (at, (count > 0).then_some(value))
    };
    points.chunks(size).map(merge).collect()
}

/// What to divide by so that labels are short, and the unit that then holds.
fn scale(unit: Unit, largest: f64) -> (f64, &'static str) {
    let pick = |base: f64, units: &[&'static str]| {
        let power = (0..units.len())
            .rev()
            .find(|power| largest >= base.powi(*power as i32))
            .unwrap_or(0);
        (base.powi(power as i32), units[power])
    };
    match unit {
        Unit::Bytes => pick(1024.0, &["bytes", "KiB", "MiB", "GiB"]),
        Unit::BitRate => pick(1e3, &["bit/s", "kbit/s", "Mbit/s", "Gbit/s"]),
        Unit::PerSecond => pick(
            1e3,
            &["per second", "thousand per second", "million per second"],
        ),
        Unit::Millis => (1.0, "ms"),
        Unit::Nanos => pick(1e3, &["ns", "µs", "ms"]),
        Unit::Seconds => (1.0, "s"),
        Unit::Share => (0.01, "%"),
        Unit::Percent => (1.0, "%"),
        Unit::Cores | Unit::Count => (1.0, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_is_kept_when_a_day_is_drawn() {
        let mut points: Vec<(f64, Option<f64>)> = (0..86_400)
            .map(|second| (f64::from(second), Some(1.0)))
            .collect();
        points[40_000].1 = Some(99.0);
        let drawn = thin(&points, Together::Largest);
        assert!(drawn.len() <= MOST_POINTS);
        assert!(drawn.iter().any(|(_, value)| *value == Some(99.0)));
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        let series = vec![Series {
            name: "x",
            points: vec![(1.0, None), (2.0, None)],
        }];
        let lines = Lines {
            title: "x",
            unit: Unit::Millis,
            across: " s",
            series,
            shaded: None,
            together: Together::Average,
        };
        assert_eq!(lines.draw(), "");
    }
}
