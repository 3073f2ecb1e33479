//! How values spread: a histogram with marks.
//!
//! Owns its horizontal axis. Must not know what a report is.

use std::fmt::Write as _;

use super::{BOTTOM, LEFT, RIGHT, TOP, below, figure, horizontal, label, ticks};
use crate::report::{
    Bucket,
    format::{Unit, plural},
    page::escape,
};

/// Where bars end at the top: the names of marks stand above them.
const BARS_TOP: f64 = 52.0;

/// How values spread.
pub(in crate::report) struct Bars<'a> {
    pub(in crate::report) title: &'a str,
    pub(in crate::report) unit: Unit,
    pub(in crate::report) buckets: &'a [Bucket],
    /// Values to mark, with what to call them.
    pub(in crate::report) marks: Vec<(&'static str, Option<f64>)>,
    /// Whether the axis is logarithmic, as the buckets are.
    pub(in crate::report) logarithmic: bool,
}

impl Bars<'_> {
    /// The figure; nothing without a value.
    pub(in crate::report) fn draw(&self) -> String {
        let most = self.buckets.iter().map(|bucket| bucket.count).max();
        let Some(most) = most.filter(|most| *most > 0) else {
            return String::new();
        };
        let total: u64 = self.buckets.iter().map(|bucket| bucket.count).sum();
        let axis = Axis::of(self.buckets, self.logarithmic);
        let ticks = ticks(most as f64 / total as f64 * 100.0, 4);
        let top = ticks.last().copied().unwrap_or(1.0);
        let y = |percent: f64| BOTTOM - percent / top * (BOTTOM - BARS_TOP);

        let mut svg = String::new();
        for tick in &ticks {
            horizontal(&mut svg, y(*tick), &label(*tick));
        }
        for tick in axis.ticks() {
            below(&mut svg, axis.x(tick), &label(tick));
        }
        for bucket in self.buckets.iter().filter(|bucket| bucket.count > 0) {
            let percent = bucket.count as f64 / total as f64 * 100.0;
            let (from, to) = (axis.x(bucket.from), axis.x(bucket.to));
            let _ = write!(
                svg,
                "<rect class=\"bar\" x=\"{from:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{:.1}\"><title>{} to {}: {} ({})</title></rect>",
                y(percent),
                (to - from - 0.8).max(1.2),
                BOTTOM - y(percent),
                escape(&self.unit.show(bucket.from)),
                escape(&self.unit.show(bucket.to)),
                Unit::Count.show(bucket.count as f64),
                Unit::Percent.show(percent)
            );
        }
        self.draw_marks(&mut svg, &axis);
        let unit = format!("% of {}, by ms", plural(total, "value"));
        figure(self.title, &unit, "", &svg)
    }

    /// The marks, each on a line of its own, so that close ones stay readable.
    fn draw_marks(&self, svg: &mut String, axis: &Axis) {
        let marks = self
            .marks
            .iter()
            .filter_map(|(name, at)| Some((name, (*at)?)));
        for (row, (name, value)) in marks.enumerate() {
            let x = axis.x(value);
            let (anchor, offset) = if x > (LEFT + RIGHT) / 2.0 {
                ("end", -4.0)
            } else {
                ("start", 4.0)
            };
            let _ = write!(
                svg,
                "<line class=\"mark\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{TOP}\" y2=\"{BOTTOM}\"/>\
                 <text class=\"marked\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{name} {}</text>",
                x + offset,
                TOP + 10.0 + 14.0 * row as f64,
                escape(&self.unit.show(value))
            );
        }
    }
}

/// The horizontal axis of [`Bars`].
struct Axis {
    from: f64,
    to: f64,
    logarithmic: bool,
}

impl Axis {
    fn of(buckets: &[Bucket], logarithmic: bool) -> Self {
        let to = buckets.last().map_or(1.0, |bucket| bucket.to);
        let first = buckets.first().map_or(0.0, |bucket| bucket.from);
        // The lowest bucket begins at zero, which a logarithmic axis does not have.
        let from = if logarithmic {
            let lowest = if first > 0.0 {
                first
            } else {
                buckets.first().map_or(1.0, |bucket| bucket.to) * 0.9
            };
            lowest.max(to / 1e6)
        } else if first < to * 0.3 {
            0.0
        } else {
            first
        };
        let to = if to > from {
            to
        } else {
            from + (from.abs() * 0.1).max(1e-3)
        };
        Self {
            from,
            to,
            logarithmic,
        }
    }

    fn x(&self, value: f64) -> f64 {
        let share = if self.logarithmic {
            (value.max(self.from) / self.from).ln() / (self.to / self.from).ln()
        } else {
            (value - self.from) / (self.to - self.from)
        };
        LEFT + share.clamp(0.0, 1.0) * (RIGHT - LEFT)
    }

    fn ticks(&self) -> Vec<f64> {
        if !self.logarithmic {
            let within = |tick: &f64| *tick >= self.from && *tick <= self.to;
            return ticks(self.to, 5).into_iter().filter(within).collect();
        }
        let decades = (self.to / self.from).log10();
        let steps: &[f64] = if decades > 3.0 {
            &[1.0]
        } else if decades > 1.5 {
            &[1.0, 3.0]
        } else {
            &[1.0, 2.0, 5.0]
        };
        let mut ticks = Vec::new();
        let mut decade = 10_f64.powf(self.from.log10().floor());
        while decade <= self.to {
            ticks.extend(steps.iter().map(|step| step * decade));
            decade *= 10.0;
        }
        ticks.retain(|tick| *tick >= self.from && *tick <= self.to);
        ticks
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_drawn_of_nothing() {
        let bars = Bars {
            title: "x",
            unit: Unit::Millis,
            buckets: &[],
            marks: vec![],
            logarithmic: true,
        };
        assert_eq!(bars.draw(), "");
    }

    #[test]
    fn one_value_is_drawn() {
        for logarithmic in [true, false] {
            let bucket = [Bucket {
                from: 5.0,
                to: 5.0,
                count: 3,
            }];
            let bars = Bars {
                title: "x",
                unit: Unit::Millis,
                buckets: &bucket,
                marks: vec![("p50", Some(5.0))],
                logarithmic,
            };
            let svg = bars.draw();
            assert!(
                svg.contains("class=\"bar\"") && !svg.contains("NaN") && !svg.contains("inf"),
                "{svg}"
            );
        }
    }
}
