//! What somebody takes of a track, for links: which encodings, and which layers of them. Plain data. Must hold no policy.

use super::Layer;

/// What is taken of a track: of each encoding nothing, or its layers up to and with one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct LayerSet([u8; Self::ENCODINGS]);

impl LayerSet {
    /// More encodings than a track can have.
    pub(crate) const ENCODINGS: usize = 8;

    /// Nothing.
    pub(crate) const NONE: Self = Self([0; Self::ENCODINGS]);

    /// The limit where an encoding is taken as a whole.
    pub(crate) const ALL: (u8, u8) = (Layer::ALL_SPATIAL, Layer::ALL_TEMPORAL);

    /// In an entry: something is taken.
    const TAKEN: u8 = 0x80;

    /// Everything of the encodings that have a bit, the lowest for the smallest.
    pub(crate) fn whole(encodings: u8) -> Self {
        Self::of_wire(encodings.into(), &[])
    }

    /// As messages say it: a bit for each encoding that is taken, and for each in its place the highest spatial
    /// (upper four bits) and temporal layer; those without a place are taken as a whole.
    pub(crate) fn of_wire(encodings: u32, layers: &[u8]) -> Self {
        let mut set = Self::NONE;
        for (index, entry) in set.0.iter_mut().enumerate() {
            if encodings & (1 << index) != 0 {
                let limit = layers.get(index).map(|l| (l >> 4, l & 0xf));
                let (spatial, temporal) = limit.unwrap_or(Self::ALL);
                *entry = entry_of(spatial, temporal);
            }
        }
        set
    }

    /// The second part of [`LayerSet::of_wire`]; empty where all is taken as a whole.
    pub(crate) fn wire_layers(self) -> Vec<u8> {
        if self == Self::whole(self.encodings()) {
            return Vec::new();
        }
        self.0.iter().map(|entry| entry & !Self::TAKEN).collect()
    }

    /// The encodings of which anything is taken, one bit each.
    pub(crate) fn encodings(self) -> u8 {
        let taken = (0..).zip(self.0).filter(|(_, entry)| *entry != 0);
        taken.fold(0, |bits, (index, _): (u8, _)| bits | 1 << index)
    }

    /// The highest spatial and temporal layer taken of an encoding.
    pub(crate) fn limit(self, encoding: u8) -> Option<(u8, u8)> {
        let entry = *self.0.get(usize::from(encoding))?;
        (entry != 0).then_some((entry >> 4 & 7, entry & 7))
    }

    /// What is taken, each as the highest layer.
    pub(crate) fn iter(self) -> impl Iterator<Item = Layer> {
        (0..)
            .zip(self.0)
            .filter_map(move |(encoding, _): (u8, u8)| {
                let (spatial, temporal) = self.limit(encoding)?;
                Some(Layer {
                    encoding,
                    spatial,
                    temporal,
                })
            })
    }

    /// Takes this layer too.
    pub(crate) fn add(&mut self, layer: Layer) {
        if let Some(entry) = self.0.get_mut(usize::from(layer.encoding)) {
            *entry = higher(*entry, entry_of(layer.spatial, layer.temporal));
        }
    }

    /// What either takes.
    pub(crate) fn union(self, other: Self) -> Self {
        let mut both = self;
        for (entry, other) in both.0.iter_mut().zip(other.0) {
            *entry = higher(*entry, other);
        }
        both
    }

    /// What both take.
    pub(crate) fn intersection(self, other: Self) -> Self {
        let mut both = self;
        for (entry, other) in both.0.iter_mut().zip(other.0) {
            *entry = match (*entry, other) {
                (0, _) | (_, 0) => 0,
                (one, two) => Self::TAKEN | (one & 0x70).min(two & 0x70) | (one & 7).min(two & 7),
            };
        }
        both
    }

    /// Whether nothing is taken.
    pub(crate) fn is_empty(self) -> bool {
        self == Self::NONE
    }
}

fn entry_of(spatial: u8, temporal: u8) -> u8 {
    LayerSet::TAKEN | spatial.min(Layer::ALL_SPATIAL) << 4 | temporal.min(Layer::ALL_TEMPORAL)
}

/// The higher of the spatial layers with the higher of the temporal ones: less does for neither.
fn higher(one: u8, two: u8) -> u8 {
    (one | two) & LayerSet::TAKEN | (one & 0x70).max(two & 0x70) | (one & 7).max(two & 7)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(layers: &[(u8, u8, u8)]) -> LayerSet {
        let mut set = LayerSet::NONE;
        for &(encoding, spatial, temporal) in layers {
            set.add(Layer {
                encoding,
                spatial,
                temporal,
            });
        }
        set
    }

    #[test]
    fn a_set_holds_what_is_put_in() {
        let some = set(&[(0, 0, 0), (2, 1, 2), (2, 2, 0), (9, 0, 0)]);
        assert_eq!(some.encodings(), 0b101);
        assert_eq!(some.limit(0), Some((0, 0)));
        assert_eq!(some.limit(1), None);
        assert_eq!(some.limit(2), Some((2, 2)));
        assert_eq!(some.limit(9), None);
        assert_eq!(some.iter().count(), 2);
        let other = set(&[(1, 0, 0), (2, 3, 1)]);
        assert_eq!(some.union(other), set(&[(0, 0, 0), (1, 0, 0), (2, 3, 2)]));
        assert_eq!(some.intersection(other), set(&[(2, 2, 1)]));
        assert!(LayerSet::NONE.is_empty() && !some.is_empty());
    }

    #[test]
    fn messages_say_it_and_those_that_say_less_mean_all() {
        for some in [
            LayerSet::NONE,
            set(&[(0, 0, 0)]),
            set(&[(1, 2, 1), (3, 7, 7)]),
            LayerSet::whole(0b111),
        ] {
            let back = LayerSet::of_wire(some.encodings().into(), &some.wire_layers());
            assert_eq!(back, some);
        }
        assert!(LayerSet::whole(0b101).wire_layers().is_empty());
        let less = LayerSet::of_wire(0b110, &[0, 0x21]);
        assert_eq!(less, set(&[(1, 2, 1), (2, 7, 7)]));
        // What is out of all measure is all.
        let strange = LayerSet::of_wire(u32::MAX, &[0xff; 40]);
        assert_eq!(strange, LayerSet::whole(0xff));
    }
}
