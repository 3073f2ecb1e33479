//! The template structure of a dependency descriptor (RTP Payload Format For AV1, appendix A): what frames
//! there are, and which decode targets need them. Must not hold what changes with each frame.

use super::{References, bits::Bits};

/// Which decode target a layer is, and what is not needed of lower ones.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Structure {
    /// Id of the first template.
    offset: u8,
    /// Spatial and temporal id of each decode target.
    targets: Vec<(u8, u8)>,
    templates: Vec<Template>,
    /// Width and height by spatial id; empty when not told.
    sizes: Vec<(u32, u32)>,
}

/// What frames of a template have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Template {
    pub(super) spatial: u8,
    pub(super) temporal: u8,
    pub(super) indications: Indications,
    pub(super) references: References,
}

/// What a frame is to each decode target, two bits each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Indications(u64);

impl Indications {
    const ABSENT: u32 = 0;
    const DISCARDABLE: u32 = 1;
    const SWITCH: u32 = 2;

    pub(super) fn read(bits: &mut Bits<'_>, targets: usize) -> Option<Self> {
        let mut all = 0;
        for target in 0..targets {
            all |= u64::from(bits.take(2)?) << (2 * target);
        }
        Some(Self(all))
    }

    fn of(self, target: usize) -> u32 {
        (self.0 >> (2 * target) & 3) as u32
    }

    fn which(self, targets: usize, is: impl Fn(u32) -> bool) -> u32 {
        (0..targets).fold(0, |set, target| {
            set | u32::from(is(self.of(target))) << target
        })
    }

    /// Targets that need the frame.
    pub(super) fn serves(self, targets: usize) -> u32 {
        self.which(targets, |is| is != Self::ABSENT)
    }

    /// Targets of which all that follows can be decoded when this frame can.
    pub(super) fn switches(self, targets: usize) -> u32 {
        self.which(targets, |is| is == Self::SWITCH)
    }

    /// Targets of which something can't be decoded when this frame is left out.
    pub(super) fn breaks(self, targets: usize) -> u32 {
        self.which(targets, |is| is != Self::ABSENT && is != Self::DISCARDABLE)
    }
}

impl Structure {
    /// Template ids have six bits, target counts five.
    const TEMPLATES_MAX: usize = 64;
    /// More spatial layers than AV1 (4) or VP9 (8) have; ids past these are refused.
    const SPATIAL_MAX: u8 = 8;
    const TEMPORAL_MAX: u8 = 8;
    const REFERENCES_MAX: usize = 16;

    /// Reads a structure; `None` when it makes no sense.
    pub(super) fn read(bits: &mut Bits<'_>) -> Option<Self> {
        let offset = bits.small(6)?;
        let count = usize::from(bits.small(5)?) + 1;
        let mut layers = Vec::new();
        let (mut spatial, mut temporal) = (0, 0);
        loop {
            if layers.len() >= Self::TEMPLATES_MAX {
                return None;
            }
            layers.push((spatial, temporal));
            match bits.take(2)? {
                0 => {}
                1 => temporal += 1,
                2 => (spatial, temporal) = (spatial + 1, 0),
                _ => break,
            }
            if spatial >= Self::SPATIAL_MAX || temporal >= Self::TEMPORAL_MAX {
                return None;
            }
        }
        let mut templates = Vec::with_capacity(layers.len());
        for (spatial, temporal) in layers {
            templates.push(Template {
                spatial,
                temporal,
                indications: Indications::read(bits, count)?,
                references: References::default(),
            });
        }
        for template in &mut templates {
            let mut references = 0;
            while bits.flag()? {
                template.references.add(bits.take(4)? + 1);
                references += 1;
                if references > Self::REFERENCES_MAX {
                    return None;
                }
            }
        }
        let chains = bits.below(count as u32 + 1)?;
        if chains > 0 {
            // Which chain protects which target, and the distances of the templates: not used.
            for _ in 0..count {
                bits.below(chains)?;
            }
            bits.skip(4 * chains as usize * templates.len())?;
        }
        let highest = spatial;
        let mut sizes = Vec::new();
        if bits.flag()? {
            for _ in 0..=highest {
                sizes.push((bits.take(16)? + 1, bits.take(16)? + 1));
            }
        }
        let targets = (0..count)
            .map(|target| {
                let of_target = templates
                    .iter()
                    .filter(|template| template.indications.of(target) != Indications::ABSENT);
                of_target.fold((0, 0), |(spatial, temporal), template| {
                    (
                        template.spatial.max(spatial),
                        template.temporal.max(temporal),
                    )
                })
            })
            .collect();
        Some(Self {
            offset,
            targets,
            templates,
            sizes,
        })
    }

    /// How many decode targets there are.
    pub(super) fn count(&self) -> usize {
        self.targets.len()
    }

    /// All decode targets.
    pub(super) fn all(&self) -> u32 {
        u32::MAX >> (32 - self.targets.len().clamp(1, 32))
    }

    /// What frames with a template id have in common.
    pub(super) fn template(&self, id: u8) -> Option<&Template> {
        let index = (id + 64 - self.offset) % 64;
        self.templates.get(usize::from(index))
    }

    /// Spatial and temporal id of each decode target.
    pub(crate) fn targets(&self) -> &[(u8, u8)] {
        &self.targets
    }

    /// Width and height by spatial id; empty when not told.
    pub(crate) fn sizes(&self) -> &[(u32, u32)] {
        &self.sizes
    }
}
