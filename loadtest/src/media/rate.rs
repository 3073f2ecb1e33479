//! How big the frames of an encoder are: keyframes several times the mean, others scattered around
//! it, and the debt of a big one paid off by the following, so that the bitrate holds over seconds.
//! Pure; randomness comes from the seed.

use super::Noise;
use super::temporal::weight;

/// A keyframe against the mean frame, as camera pictures have it.
const KEYFRAME_FACTOR: f64 = 6.0;
/// Scatter of the logarithm of frame sizes.
const SCATTER: f64 = 0.22;
/// The part of the debt that one frame may pay, against the mean frame.
const REPAYMENT: f64 = 0.25;
/// The smallest frame: room for headers and a stamp in one packet.
const SMALLEST: usize = 120;

#[derive(Debug, Clone)]
pub(super) struct RateModel {
    mean: f64,
    /// Bytes spent beyond the bitrate so far.
    debt: f64,
    noise: Noise,
}

impl RateModel {
    /// For `bitrate` bits per second at `fps`.
    pub(super) fn new(bitrate: u64, fps: u32, seed: u64) -> Self {
        let mean = bitrate as f64 / 8.0 / f64::from(fps.max(1));
        Self {
            mean,
            debt: 0.0,
            noise: Noise::new(seed),
        }
    }

    /// Size in bytes of the next frame.
    pub(super) fn next_size(&mut self, keyframe: bool, layers: u8, temporal: u8) -> usize {
        let scatter = (self.noise.bell() * SCATTER - SCATTER * SCATTER / 2.0).exp();
        let ideal = if keyframe {
            self.mean * KEYFRAME_FACTOR
        } else {
            let repayment = self.debt.clamp(-self.mean, self.mean) * REPAYMENT;
            (self.mean - repayment) * weight(layers, temporal)
        };
        let size = ((ideal * scatter) as usize).max(SMALLEST);
        // An old debt is forgiven rather than starving the picture for many seconds.
        self.debt =
            (self.debt + size as f64 - self.mean).clamp(-60.0 * self.mean, 60.0 * self.mean);
        size
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bitrate_holds_over_seconds_and_keyframes_are_big() {
        for (bitrate, fps, layers) in [(1_500_000, 30, 3), (150_000, 15, 1), (5_000_000, 60, 2)] {
            let mut model = RateModel::new(bitrate, fps, 1);
            let mut sum = 0;
            let mut smallest_key = usize::MAX;
            let frames = fps as usize * 20;
            for frame in 0..frames {
                let temporal = super::super::layer_at(layers, frame as u32);
                let key = frame % (fps as usize * 5) == 0;
                let size = model.next_size(key, layers, temporal);
                sum += size;
                if key {
                    smallest_key = smallest_key.min(size);
                }
            }
            let rate = sum as f64 * 8.0 / 20.0;
            assert!(
                (rate / bitrate as f64 - 1.0).abs() < 0.05,
                "{rate} for {bitrate}"
            );
            assert!(smallest_key > 2 * bitrate as usize / 8 / fps as usize);
        }
    }
}
