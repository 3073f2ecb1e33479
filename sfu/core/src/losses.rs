//! What is lost on a way, gathered until it speaks for it. Must not know what is done about it.

use std::time::{Duration, Instant};

/// What was lost since the last judgement.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Losses {
    expected: u32,
    lost: u32,
    row: Duration,
    judged: Option<Instant>,
}

/// What a way lost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Judgement {
    /// The share of packets, 0 to 1.
    pub(crate) loss: f32,
    /// The longest loss: for how long all that was sent was lost, or how long something was missing.
    pub(crate) row: Duration,
    /// Over which time.
    pub(crate) span: Duration,
}

impl Losses {
    /// Loss is judged over so long, and by so many packets at least.
    const SPAN: Duration = Duration::from_millis(900);
    const PACKETS_MIN: u32 = 50;

    /// So many packets were expected since this was last called, and so many of them lost.
    pub(crate) fn on_report(
        &mut self,
        now: Instant,
        expected: u32,
        lost: u32,
    ) -> Option<Judgement> {
        self.expected = self.expected.saturating_add(expected);
        self.lost = self.lost.saturating_add(lost);
        let since = *self.judged.get_or_insert(now);
        let span = now.saturating_duration_since(since);
        if self.expected < Self::PACKETS_MIN || span < Self::SPAN {
            return None;
        }
        let loss = self.lost as f32 / self.expected as f32;
        let row = self.row;
        *self = Self {
            judged: Some(now),
            ..Self::default()
        };
        Some(Judgement { loss, row, span })
    }

    /// See [`Judgement::row`].
    pub(crate) fn on_row(&mut self, lasted: Duration) {
        self.row = self.row.max(lasted);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_packets_do_not_speak_for_the_link() {
        let start = Instant::now();
        let mut losses = Losses::default();
        let mut judged = Vec::new();
        for tenth in 0..40 {
            let now = start + Duration::from_millis(100 * tenth);
            if tenth == 11 {
                losses.on_row(Duration::from_millis(60));
                losses.on_row(Duration::from_millis(20));
            }
            let packets = if tenth < 20 { 20 } else { 2 };
            let judgement = losses.on_report(now, packets, u32::from(tenth == 12));
            judged.extend(judgement.map(|j| (tenth, (j.loss * 1e3).round(), j.row, j.span)));
        }
        let (ms, none) = (Duration::from_millis, Duration::ZERO);
        assert_eq!(
            judged,
            [
                (9, 0.0, none, ms(900)),
                (18, 6.0, ms(60), ms(900)),
                (34, 0.0, none, ms(1_600)),
            ]
        );
    }
}
