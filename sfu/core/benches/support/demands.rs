//! What the allocator is asked in a large meeting. The allocator itself is a pure function that the
//! crate keeps to itself: a bench takes it in as source. Must not touch a shard.

use crate::{
    allocator::{self, Demand, Grant, Kind, Previous, Standing},
    track::Layer,
};

/// So many demands: every tenth a microphone, one screen, the rest cameras in three encodings; half of
/// them held something before.
pub(crate) fn demands(count: u32) -> Vec<Demand<u32>> {
    let ladder = |rates: &[u64]| -> Vec<(Layer, u64)> {
        let steps = rates.iter().zip(0..);
        steps
            .map(|(rate, encoding)| (Layer::whole(encoding), *rate))
            .collect()
    };
    let demand = |key: u32| {
        let (kind, rates): (Kind, &[u64]) = match key {
            0 => (Kind::Screen, &[400_000, 1_500_000]),
            key if key % 10 == 1 => (Kind::Audio, &[32_000]),
            _ => (Kind::Camera, &[150_000, 500_000, 1_700_000]),
        };
        let top = u8::try_from(rates.len()).map_or(0, |len| len - 1);
        Demand {
            key,
            kind,
            standing: Standing::new(u32::from(key == 5), key == 7),
            area: 0,
            wanted: Layer::whole(top),
            ladder: ladder(rates),
            previous: if key.is_multiple_of(2) {
                Previous::Granted(Layer::whole(0))
            } else {
                Previous::New
            },
        }
    };
    (0..count).map(demand).collect()
}

/// Shares what is enough for about half of the steps.
pub(crate) fn allocate(demands: &[Demand<u32>]) -> Vec<Grant<u32>> {
    allocator::allocate(Some(12_000_000), demands)
}
