//! What a client tells of loss, gathered until it speaks for its link. Must not know what is done about it.

use std::time::{Duration, Instant};

/// What was told since the last judgement.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Losses {
    expected: u32,
    lost: u32,
    row: Duration,
    judged: Option<Instant>,
}

/// What a link lost.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Judgement {
    /// The share of packets, 0 to 1.
    pub(super) loss: f32,
    /// The longest time for which all that was sent was lost.
    pub(super) row: Duration,
    /// Over which time.
    pub(super) span: Duration,
}

impl Losses {
    /// Loss is judged over so long, and by so many packets at least.
    const SPAN: Duration = Duration::from_millis(900);
    const PACKETS_MIN: u32 = 50;

    /// The client tells how many packets it expected since it last told, and how many of them were lost.
    pub(super) fn on_report(
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

    /// All that was sent for so long was lost.
    pub(super) fn on_row(&mut self, lasted: Duration) {
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
