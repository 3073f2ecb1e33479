//! Whether an encoding comes starved: with fewer pictures and less in them than it has otherwise, as when its
//! publisher's link is not enough for it. Who has less light makes fewer pictures and more of each; who shows what
//! stands still makes less of as many. Must not look at other encodings.

/// What an encoding has while all is well, and whether it lacks that.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Usual {
    fps: f32,
    /// Bits per second.
    bitrate: f32,
    /// Measurements in a row that lacked much.
    low: u8,
    is_starved: bool,
}

impl Usual {
    /// Shares of what is usual below which pictures are few, and bits.
    const FEW: f32 = 0.67;
    const LITTLE: f32 = 0.5;
    /// From this share of the pictures on it is whole again.
    const WHOLE: f32 = 0.85;
    /// Once may be a moment in which the link stood still.
    const TIMES: u8 = 2;
    /// How much of a difference is learned with each measurement: more is believed soon, and what stays less becomes
    /// usual in the end, in half a minute or so.
    const RISES: f32 = 0.5;
    const FALLS: f32 = 0.05;

    /// Takes what was measured of a second.
    pub(super) fn on_second(&mut self, fps: u32, bitrate: u64) {
        let (fps, bitrate) = (fps as f32, bitrate as f32);
        let is_low = fps < self.fps * Self::FEW && bitrate < self.bitrate * Self::LITTLE;
        self.low = if is_low {
            self.low.saturating_add(1)
        } else {
            0
        };
        let is_whole = fps >= self.fps * Self::WHOLE;
        self.is_starved = self.low >= Self::TIMES || self.is_starved && !is_whole;
        let learn = |usual: &mut f32, now: f32| {
            let part = if now > *usual {
                Self::RISES
            } else {
                Self::FALLS
            };
            *usual += (now - *usual) * part;
        };
        learn(&mut self.fps, fps);
        learn(&mut self.bitrate, bitrate);
    }

    /// Whether it lacks much of what it has otherwise, and did not come whole since.
    pub(super) fn is_starved(&self) -> bool {
        self.is_starved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A camera that was well for a while.
    fn well() -> Usual {
        let mut usual = Usual::default();
        for _ in 0..20 {
            usual.on_second(30, 1_700_000);
            assert!(!usual.is_starved());
        }
        usual
    }

    #[test]
    fn what_lacks_pictures_and_bits_is_starved_until_it_comes_whole() {
        for (case, seconds, expected) in [
            ("well", &[(30, 1_700_000); 3][..], false),
            ("a moment", &[(10, 300_000), (34, 1_900_000)], false),
            ("not enough", &[(14, 300_000), (13, 310_000)], true),
            ("next to nothing", &[(3, 60_000), (1, 20_000)], true),
            ("little light", &[(15, 1_500_000); 9], false),
            ("nothing moves", &[(30, 200_000); 9], false),
            ("worse pictures", &[(29, 600_000); 9], false),
            (
                "between",
                &[(12, 300_000), (12, 300_000), (22, 900_000)],
                true,
            ),
            (
                "whole again",
                &[(12, 300_000), (12, 300_000), (28, 900_000)],
                false,
            ),
        ] {
            let mut usual = well();
            for (fps, bitrate) in seconds {
                usual.on_second(*fps, *bitrate);
            }
            assert_eq!(usual.is_starved(), expected, "{case}");
        }
    }

    #[test]
    fn what_stays_becomes_usual() {
        let mut usual = well();
        let mut seconds = 0;
        while seconds < 2 || usual.is_starved() {
            usual.on_second(10, 200_000);
            seconds += 1;
            assert!(seconds < 60, "{usual:?}");
        }
        assert!(seconds > 20, "{seconds} s are soon");
        usual.on_second(30, 1_700_000);
        usual.on_second(30, 1_700_000);
        assert!(!usual.is_starved());
    }

    #[test]
    fn who_begins_slowly_lacks_nothing() {
        let mut usual = Usual::default();
        for step in 1..=30 {
            usual.on_second(step, u64::from(step) * 50_000);
            assert!(!usual.is_starved());
        }
    }
}
