//! Whether the delay of a link grows: a line through the newest groups, and a threshold for its slope that
//! adapts to what the link does by itself (draft-ietf-rmcat-gcc-02 sections 5.3 and 5.4, with a line in
//! place of the Kalman filter). Must not choose a rate.

use super::groups::Delta;

/// What the slope says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Usage {
    /// Nothing builds up.
    #[default]
    Normal,
    /// A queue grows.
    Over,
    /// A queue shrinks.
    Under,
}

/// The line through the newest groups and its threshold.
#[derive(Debug)]
pub(super) struct Trend {
    /// Arrival and accumulated delay, in milliseconds; the oldest is overwritten.
    window: [(f64, f64); Self::GROUPS],
    samples: u32,
    origin: Option<i64>,
    accumulated: f64,
    smoothed: f64,
    threshold: f64,
    /// How long the slope has been above the threshold, in milliseconds, and for how many groups.
    over: Option<(f64, u32)>,
    slope_before: f64,
    last_at: f64,
    usage: Usage,
}

impl Trend {
    const GROUPS: usize = 20;
    const SMOOTHING: f64 = 0.9;
    /// The slope is weighed by the number of groups, up to so many, and by a gain.
    const WEIGHT_MAX: u32 = 60;
    const GAIN: f64 = 4.0;
    const THRESHOLD: f64 = 12.5;
    const THRESHOLD_MIN: f64 = 6.0;
    const THRESHOLD_MAX: f64 = 600.0;
    /// How fast the threshold follows, per millisecond: up and down.
    const FOLLOW_UP: f64 = 0.0087;
    const FOLLOW_DOWN: f64 = 0.039;
    /// A slope so far above is an event, not what the link does by itself.
    const OUTLIER: f64 = 15.0;
    /// The slope must hold for so long, in milliseconds.
    const OVER_FOR: f64 = 10.0;

    pub(super) fn new() -> Self {
        Self {
            window: [(0.0, 0.0); Self::GROUPS],
            samples: 0,
            origin: None,
            accumulated: 0.0,
            smoothed: 0.0,
            threshold: Self::THRESHOLD,
            over: None,
            slope_before: 0.0,
            last_at: 0.0,
            usage: Usage::Normal,
        }
    }

    /// What the groups up to now say.
    pub(super) fn usage(&self) -> Usage {
        self.usage
    }

    /// Takes a group.
    pub(super) fn on_group(&mut self, delta: &Delta) {
        let at = (delta.at - *self.origin.get_or_insert(delta.at)) as f64 / 1e3;
        self.accumulated += (delta.arrival - delta.sent) as f64 / 1e3;
        self.smoothed =
            Self::SMOOTHING * self.smoothed + (1.0 - Self::SMOOTHING) * self.accumulated;
        let index = self.samples as usize % Self::GROUPS;
        if let Some(place) = self.window.get_mut(index) {
            *place = (at, self.smoothed);
        }
        self.samples = self.samples.wrapping_add(1).max(1);
        let known = (self.samples as usize).min(Self::GROUPS);
        let slope = if known == Self::GROUPS {
            slope(&self.window)
        } else {
            0.0
        };
        let sent = delta.sent as f64 / 1e3;
        self.detect(slope, sent);
        self.adapt(slope, at);
    }

    /// Begins anew, with what was learnt of the threshold.
    pub(super) fn clear(&mut self) {
        *self = Self {
            threshold: self.threshold,
            ..Self::new()
        };
    }

    fn weighed(&self, slope: f64) -> f64 {
        f64::from(self.samples.min(Self::WEIGHT_MAX)) * slope * Self::GAIN
    }

    fn detect(&mut self, slope: f64, sent: f64) {
        let weighed = self.weighed(slope);
        if weighed > self.threshold {
            let (time, groups) = match self.over {
                Some((time, groups)) => (time + sent, groups + 1),
                None => (sent / 2.0, 1),
            };
            self.over = Some((time, groups));
            if time > Self::OVER_FOR && groups > 1 && slope >= self.slope_before {
                self.over = Some((0.0, 0));
                self.usage = Usage::Over;
            }
        } else {
            self.over = None;
            self.usage = if weighed < -self.threshold {
                Usage::Under
            } else {
                Usage::Normal
            };
        }
        self.slope_before = slope;
    }

    fn adapt(&mut self, slope: f64, at: f64) {
        let weighed = self.weighed(slope).abs();
        let span = (at - self.last_at).clamp(0.0, 100.0);
        self.last_at = at;
        if weighed > self.threshold + Self::OUTLIER {
            return;
        }
        let follow = if weighed < self.threshold {
            Self::FOLLOW_DOWN
        } else {
            Self::FOLLOW_UP
        };
        self.threshold = (self.threshold + follow * (weighed - self.threshold) * span)
            .clamp(Self::THRESHOLD_MIN, Self::THRESHOLD_MAX);
    }
}

/// Slope of the line of least squares.
fn slope(points: &[(f64, f64)]) -> f64 {
    let count = points.len() as f64;
    let (x, y) = points
        .iter()
        .fold((0.0, 0.0), |(x, y), point| (x + point.0, y + point.1));
    let (x, y) = (x / count, y / count);
    let (over, under) = points.iter().fold((0.0, 0.0), |(over, under), point| {
        let from = point.0 - x;
        (over + from * (point.1 - y), under + from * from)
    });
    if under > 0.0 { over / under } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A group each 20 ms, each so many microseconds more under way than the one before.
    fn play(trend: &mut Trend, from: i64, groups: i64, growth: impl Fn(i64) -> i64) -> Vec<Usage> {
        let mut at = from;
        (0..groups)
            .map(|number| {
                let arrival = 20_000 + growth(number);
                at += arrival;
                trend.on_group(&Delta {
                    sent: 20_000,
                    arrival,
                    at,
                });
                trend.usage()
            })
            .collect()
    }

    #[test]
    fn a_growing_queue_is_seen_within_some_groups_and_a_shrinking_one_too() {
        let mut trend = Trend::new();
        let calm = play(&mut trend, 0, 100, |_| 0);
        assert!(calm.iter().all(|usage| *usage == Usage::Normal));
        let grows = play(&mut trend, 2_000_000, 30, |_| 4_000);
        let seen = grows.iter().position(|usage| *usage == Usage::Over);
        assert!(
            seen.is_some_and(|groups| groups < 12),
            "a quarter of a second: {seen:?}"
        );
        let shrinks = play(&mut trend, 2_720_000, 60, |_| -4_000);
        assert!(shrinks.contains(&Usage::Under));
    }

    #[test]
    fn jitter_is_no_queue() {
        let mut trend = Trend::new();
        // Back and forth by 10 ms, in no regular way.
        let said = play(&mut trend, 0, 2_000, |number| {
            let wave = |n: i64| (n * 7_919 % 13) * 800;
            wave(number) - wave(number - 1)
        });
        let over = said.iter().filter(|usage| **usage == Usage::Over).count();
        assert!(over < 20, "{over} of 2,000");
    }
}
