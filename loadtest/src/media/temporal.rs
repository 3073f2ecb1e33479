//! Patterns of temporal layers as libwebrtc's encoders use them: which layer a frame belongs to and
//! which earlier frame it needs. Pure data.

const ONE: [u8; 1] = [0];
const TWO: [u8; 2] = [0, 1];
const THREE: [u8; 4] = [0, 2, 1, 2];

/// The pattern of an encoding with `layers` temporal layers; the phase counts from a keyframe.
pub(super) fn pattern(layers: u8) -> &'static [u8] {
    match layers {
        0 | 1 => &ONE,
        2 => &TWO,
        _ => &THREE,
    }
}

/// The temporal layer at `phase` frames after a keyframe.
pub fn layer_at(layers: u8, phase: u32) -> u8 {
    let pattern = pattern(layers);
    pattern[phase as usize % pattern.len()]
}

/// How much of the average frame a frame of a layer takes: lower layers serve more frames and are
/// coded better. The mean over a pattern is 1.
pub(super) fn weight(layers: u8, temporal: u8) -> f64 {
    match (layers, temporal) {
        (2, 0) => 1.2,
        (2, _) => 0.8,
        (3, 0) => 1.6,
        (3, 1) => 0.9,
        (3, _) => 0.75,
        _ => 1.0,
    }
}

/// Who a frame is and what it rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) keyframe: bool,
    /// Temporal layer.
    pub(super) temporal: u8,
    /// Position in the pattern.
    pub(super) phase: u8,
    /// Frames back to the one needed; 0 for a keyframe.
    pub(super) reference: u8,
    /// Whether a frame above the base layer needs nothing but the base layer.
    pub(super) is_sync: bool,
    /// Number of the base-layer frame this one belongs to, counted from the first.
    pub(super) base_index: u8,
}

/// Walks the pattern frame by frame.
#[derive(Debug, Clone)]
pub(super) struct Ladder {
    layers: u8,
    frame: u32,
    phase: u8,
    base_index: u8,
    /// Number and layer of the newest frame of each layer since the keyframe.
    newest: [Option<u32>; 3],
}

impl Ladder {
    pub(super) fn new(layers: u8) -> Self {
        Self {
            layers: layers.clamp(1, 3),
            frame: 0,
            phase: 0,
            base_index: 0,
            newest: [None; 3],
        }
    }

    pub(super) fn layers(&self) -> u8 {
        self.layers
    }

    /// Places the next frame.
    pub(super) fn step(&mut self, keyframe: bool) -> Place {
        let frame = self.frame;
        self.frame = frame.wrapping_add(1);
        let keyframe = keyframe || self.newest[0].is_none();
        if keyframe {
            self.phase = 0;
            self.newest = [None; 3];
        }
        let phase = self.phase;
        let temporal = layer_at(self.layers, u32::from(phase));
        self.phase = (phase + 1) % pattern(self.layers).len() as u8;
        // A base frame rests on the base frame before; any other on the newest frame below it.
        let below = if temporal == 0 {
            1
        } else {
            usize::from(temporal)
        };
        let needed = self.newest[..below]
            .iter()
            .flatten()
            .copied()
            .max_by_key(|number| {
                // Newest by distance, so that a wrapping frame number does no harm.
                u32::MAX - frame.wrapping_sub(*number)
            });
        let is_sync = temporal > 0 && needed == self.newest[0];
        if temporal == 0 {
            self.base_index = self.base_index.wrapping_add(1);
        }
        self.newest[usize::from(temporal)] = Some(frame);
        Place {
            keyframe,
            temporal,
            phase,
            reference: needed.map_or(0, |number| frame.wrapping_sub(number) as u8),
            is_sync,
            base_index: self.base_index,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_rest_on_lower_layers_only() {
        // Layers, then (temporal, reference, sync) per frame from a keyframe on.
        type Case<'a> = (u8, &'a [(u8, u8, bool)]);
        let cases: [Case<'_>; 3] = [
            (1, &[(0, 0, false), (0, 1, false), (0, 1, false)]),
            (
                2,
                &[(0, 0, false), (1, 1, true), (0, 2, false), (1, 1, true)],
            ),
            (
                3,
                &[
                    (0, 0, false),
                    (2, 1, true),
                    (1, 2, true),
                    (2, 1, false),
                    (0, 4, false),
                    (2, 1, true),
                ],
            ),
        ];
        for (layers, frames) in cases {
            let mut ladder = Ladder::new(layers);
            for (number, (temporal, reference, is_sync)) in frames.iter().enumerate() {
                let place = ladder.step(false);
                assert_eq!(
                    (
                        place.temporal,
                        place.reference,
                        place.is_sync,
                        place.keyframe
                    ),
                    (*temporal, *reference, *is_sync, number == 0),
                    "{layers} layers, frame {number}"
                );
            }
        }
    }

    #[test]
    fn a_keyframe_starts_the_pattern_anew() {
        let mut ladder = Ladder::new(3);
        for _ in 0..3 {
            ladder.step(false);
        }
        let key = ladder.step(true);
        assert_eq!(
            (key.keyframe, key.temporal, key.phase, key.reference),
            (true, 0, 0, 0)
        );
        assert_eq!(ladder.step(false).reference, 1);
    }

    #[test]
    fn layers_share_the_bitrate() {
        for layers in 1..=3 {
            let pattern = pattern(layers);
            let sum: f64 = pattern
                .iter()
                .map(|temporal| weight(layers, *temporal))
                .sum();
            assert!((sum / pattern.len() as f64 - 1.0).abs() < 1e-9, "{layers}");
        }
    }
}
