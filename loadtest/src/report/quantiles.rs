//! The spread of a measured number: a few quantiles, and buckets to draw.
//!
//! Owns how quantiles are taken from samples and histograms (nearest rank: a value that was measured,
//! never one in between). Must not know what is measured.

use hdrhistogram::{Counter, Histogram};
use serde::{Deserialize, Serialize};

/// Most buckets kept; enough to draw, few enough to store.
const MOST_BUCKETS: usize = 40;

/// The spread of a number. All values have the unit that the field's name says; all are `None` when
/// nothing was measured.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Quantiles {
    /// How many values there were.
    pub count: u64,
    /// Their average.
    pub mean: Option<f64>,
    /// Half of them are at most this.
    pub p50: Option<f64>,
    /// 95 of 100 are at most this.
    pub p95: Option<f64>,
    /// 99 of 100 are at most this.
    pub p99: Option<f64>,
    /// The largest.
    pub max: Option<f64>,
    /// How the values spread, smallest first: for plots.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub buckets: Vec<Bucket>,
}

/// Values between two bounds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bucket {
    /// Above this.
    pub from: f64,
    /// At most this.
    pub to: f64,
    /// How many.
    pub count: u64,
}

impl Quantiles {
    /// Of single values; `NaN` is left out.
    #[must_use]
    pub fn of_samples(samples: impl IntoIterator<Item = f64>) -> Self {
        let mut samples: Vec<f64> = samples
            .into_iter()
            .filter(|value| !value.is_nan())
            .collect();
        samples.sort_by(f64::total_cmp);
        let Some((&smallest, &largest)) = samples.first().zip(samples.last()) else {
            return Self::default();
        };
        let rank = |share: f64| {
            let rank = (share * samples.len() as f64).ceil() as usize;
            samples.get(rank.clamp(1, samples.len()) - 1).copied()
        };
        let width = (largest - smallest) / MOST_BUCKETS as f64;
        let mut buckets: Vec<Bucket> = Vec::new();
        if width > 0.0 {
            buckets.extend((0..MOST_BUCKETS).map(|index| Bucket {
                from: smallest + width * index as f64,
                to: smallest + width * (index + 1) as f64,
                count: 0,
            }));
            for value in &samples {
                let index = ((value - smallest) / width) as usize;
                buckets[index.min(MOST_BUCKETS - 1)].count += 1;
            }
        } else {
            buckets.push(Bucket {
                from: smallest,
                to: largest,
                count: samples.len() as u64,
            });
        }
        Self {
            count: samples.len() as u64,
            mean: Some(samples.iter().sum::<f64>() / samples.len() as f64),
            p50: rank(0.50),
            p95: rank(0.95),
            p99: rank(0.99),
            max: Some(largest),
            buckets,
        }
    }

    /// Of a histogram whose values times `scale` have the unit wanted: nanoseconds times `1e-6` are
    /// milliseconds.
    #[must_use]
    pub fn of_histogram<C: Counter>(histogram: &Histogram<C>, scale: f64) -> Self {
        if histogram.is_empty() {
            return Self::default();
        }
        let at = |share: f64| Some(histogram.value_at_quantile(share) as f64 * scale);
        Self {
            count: histogram.len(),
            mean: Some(histogram.mean() * scale),
            p50: at(0.50),
            p95: at(0.95),
            p99: at(0.99),
            max: Some(histogram.max() as f64 * scale),
            buckets: logarithmic_buckets(histogram, scale),
        }
    }

    /// The same without the buckets: for the many small ones of a report.
    #[must_use]
    pub fn without_buckets(mut self) -> Self {
        self.buckets = Vec::new();
        self
    }
}

/// Buckets of equal width on a logarithmic axis, which a long tail needs.
fn logarithmic_buckets<C: Counter>(histogram: &Histogram<C>, scale: f64) -> Vec<Bucket> {
    let (smallest, largest) = (histogram.min().max(1) as f64, histogram.max().max(1) as f64);
    let factor = (largest / smallest)
        .powf(1.0 / MOST_BUCKETS as f64)
        .max(1.01);
    let mut buckets: Vec<Bucket> = Vec::with_capacity(MOST_BUCKETS);
    let (mut from, mut to) = (0.0, smallest);
    let mut count = 0;
    for value in histogram.iter_recorded() {
        let at = value.value_iterated_to() as f64;
        while at > to * (1.0 + 1e-9) {
            if count > 0 || !buckets.is_empty() {
                buckets.push(Bucket {
                    from: from * scale,
                    to: to * scale,
                    count,
                });
            }
            (from, to, count) = (to, to * factor, 0);
        }
        count += value.count_since_last_iteration();
    }
    buckets.push(Bucket {
        from: from * scale,
        to: to * scale,
        count,
    });
    buckets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_values_that_were_measured() {
        let cases: &[(&[f64], [Option<f64>; 4])] = &[
            (&[], [None; 4]),
            (&[7.0], [Some(7.0); 4]),
            (
                &[3.0, 1.0, 2.0],
                [Some(2.0), Some(3.0), Some(3.0), Some(3.0)],
            ),
            (&[1.0, f64::NAN], [Some(1.0); 4]),
        ];
        for (samples, [p50, p95, p99, max]) in cases {
            let spread = Quantiles::of_samples(samples.iter().copied());
            assert_eq!(
                [spread.p50, spread.p95, spread.p99, spread.max],
                [*p50, *p95, *p99, *max],
                "{samples:?}"
            );
        }
        let hundred = Quantiles::of_samples((1..=100).map(f64::from));
        assert_eq!(
            (hundred.p50, hundred.p95, hundred.p99, hundred.mean),
            (Some(50.0), Some(95.0), Some(99.0), Some(50.5))
        );
    }

    #[test]
    fn no_value_falls_between_the_buckets() {
        let samples: Vec<f64> = (0..997_u32).map(|n| f64::from(n * n % 601)).collect();
        let spread = Quantiles::of_samples(samples.iter().copied());
        assert_eq!(spread.buckets.iter().map(|b| b.count).sum::<u64>(), 997);

        let mut histogram = Histogram::<u64>::new(3).expect("three digits");
        for sample in &samples {
            histogram.record((*sample * 1e6) as u64).expect("in range");
        }
        let spread = Quantiles::of_histogram(&histogram, 1e-6);
        assert_eq!(spread.count, 997);
        assert_eq!(spread.buckets.iter().map(|b| b.count).sum::<u64>(), 997);
        assert!(
            spread.buckets.len() <= MOST_BUCKETS + 2,
            "{}",
            spread.buckets.len()
        );
        for pair in spread.buckets.windows(2) {
            assert!((pair[0].to - pair[1].from).abs() < 1e-9, "{pair:?}");
        }
    }

    #[test]
    fn a_histogram_of_one_value_has_one_bucket() {
        let mut histogram = Histogram::<u64>::new(3).expect("three digits");
        histogram.record_n(5_000_000, 9).expect("in range");
        let spread = Quantiles::of_histogram(&histogram, 1e-6);
        assert_eq!(spread.buckets.len(), 1);
        assert_eq!(spread.buckets[0].count, 9);
        assert!((spread.p99.unwrap_or_default() - 5.0).abs() < 0.01);
    }
}
