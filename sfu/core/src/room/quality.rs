//! How good a connection is, by a simplified E-model (ITU-T G.107) over loss, delay and jitter.
//!
//! Must not measure, and must never say that a connection is lost: clients reconnect when they are
//! told so, and numbers alone can't tell a dead link from a quiet one.

use std::time::Duration;

use plenum_proto::v1::ConnectionQuality;

/// What was measured of a participant's link over the last seconds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Figures {
    /// Share of packets that never came, 0 to 1.
    pub loss: f32,
    /// Round trip time, zero when not known yet.
    pub rtt: Duration,
    /// Interarrival jitter (RFC 3550, section 6.4.1).
    pub jitter: Duration,
}

/// A verdict on a connection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Score {
    /// Mean opinion score, 1 to 4.5.
    pub mos: f32,
    /// The same in steps; never `Lost`.
    pub quality: ConnectionQuality,
}

/// Rates a connection.
pub(crate) fn rate(report: &Figures) -> Score {
    let mos = mean_opinion_score(transmission_rating(report));
    let quality = if mos > EXCELLENT {
        ConnectionQuality::Excellent
    } else if mos > GOOD {
        ConnectionQuality::Good
    } else {
        ConnectionQuality::Poor
    };
    Score { mos, quality }
}

/// Scores above this are excellent: about 2 % of loss, or 300 ms of round trip.
const EXCELLENT: f32 = 4.1;
/// Scores above this are good: about 6 % of loss, or 700 ms of round trip.
const GOOD: f32 = 3.2;

/// The R factor, 0 to 100 (93.2 undisturbed).
fn transmission_rating(report: &Figures) -> f32 {
    const BASE: f32 = 93.2;
    // What packet loss concealment and retransmission bear (Bpl of G.113).
    const ROBUSTNESS: f32 = 20.0;
    // Half the round trip; a jitter buffer of twice the jitter; a codec and its packets.
    let one_way = report.rtt.as_secs_f32() * 500.0 + report.jitter.as_secs_f32() * 2_000.0 + 20.0;
    // Past 177 ms people begin to talk into each other.
    let delay = 0.024 * one_way + 0.11 * (one_way - 177.3).max(0.0);
    // A share that is not a number says nothing.
    let share = if report.loss.is_finite() {
        report.loss.clamp(0.0, 1.0)
    } else {
        0.0
    };
    let percent = share * 100.0;
    let loss = 95.0 * percent / (percent + ROBUSTNESS);
    (BASE - delay - loss).clamp(0.0, 100.0)
}

/// The score of an R factor (G.107, annex B).
fn mean_opinion_score(rating: f32) -> f32 {
    let score = 1.0 + 0.035 * rating + rating * (rating - 60.0) * (100.0 - rating) * 7.0e-6;
    score.clamp(1.0, 4.5)
}

#[cfg(test)]
mod tests {
    use ConnectionQuality::{Excellent, Good, Poor};

    use super::*;

    #[test]
    fn ratings() {
        for (case, loss, rtt, jitter, expected) in [
            ("nothing wrong", 0.0, 0, 0, Excellent),
            ("far away", 0.0, 250, 0, Excellent),
            ("very far away", 0.0, 500, 0, Good),
            ("by satellite, twice", 0.0, 1_200, 0, Poor),
            ("hardly any loss", 0.01, 0, 0, Excellent),
            ("some loss", 0.04, 0, 0, Good),
            ("much loss", 0.10, 0, 0, Poor),
            ("all lost", 1.0, 0, 0, Poor),
            ("some jitter", 0.0, 50, 30, Excellent),
            ("much jitter", 0.0, 50, 150, Good),
            ("a little of everything", 0.02, 200, 20, Good),
            ("some of everything", 0.05, 400, 40, Poor),
            ("not a number", f32::NAN, 0, 0, Excellent),
            ("more than everything lost", 7.0, 0, 0, Poor),
            ("less than nothing lost", -1.0, 0, 0, Excellent),
        ] {
            let (rtt, jitter) = (Duration::from_millis(rtt), Duration::from_millis(jitter));
            let score = rate(&Figures { loss, rtt, jitter });
            assert_eq!(score.quality, expected, "{case}: {}", score.mos);
            assert!((1.0..=4.5).contains(&score.mos), "{case}: {}", score.mos);
        }
    }

    #[test]
    fn more_trouble_is_never_rated_better() {
        type Trouble = fn(u16) -> Figures;
        let troubles: [(&str, Trouble); 3] = [
            ("loss", |n| Figures {
                loss: f32::from(n) / 300.0,
                ..Figures::default()
            }),
            ("delay", |n| Figures {
                rtt: Duration::from_millis(u64::from(n) * 10),
                ..Figures::default()
            }),
            ("jitter", |n| Figures {
                jitter: Duration::from_millis(u64::from(n) * 3),
                ..Figures::default()
            }),
        ];
        for (name, trouble) in troubles {
            let scores: Vec<f32> = (0..300).map(|n| rate(&trouble(n)).mos).collect();
            assert!(
                scores.is_sorted_by(|before, after| before >= after),
                "{name}"
            );
            assert!(scores.first() > scores.last(), "{name}");
        }
    }
}
