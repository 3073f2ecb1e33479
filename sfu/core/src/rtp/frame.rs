//! What the choice of layers knows of a packet's frame, whichever way its codec says it: by a dependency
//! descriptor, or by the payload descriptor of VP9. Must not choose.
//!
//! Both speak of decode targets: a target is a layer with all that it takes to decode it. A set of
//! targets is a mask.

use std::sync::Arc;

use super::{MaskPlace, Structure, dependency};

/// The frame of a packet: one picture in one spatial layer.
#[derive(Debug, Clone)]
pub(crate) struct Frame {
    /// 0 is the smallest.
    pub(crate) spatial: u8,
    /// 0 is the slowest.
    pub(crate) temporal: u8,
    /// The first packet of the frame.
    pub(crate) starts: bool,
    /// The last packet of the frame.
    pub(crate) ends: bool,
    /// The first packet of a keyframe: every target can be decoded from here on.
    pub(crate) restarts: bool,
    /// Targets that need the frame.
    pub(crate) serves: u32,
    /// Targets that can be decoded from here on, if this frame can.
    pub(crate) switches: u32,
    /// Targets that can't be decoded any more when this frame is left out.
    pub(crate) breaks: u32,
    /// What decides whether the frame can be decoded.
    pub(crate) references: References,
    /// Which targets there are.
    pub(crate) targets: Targets,
    /// Where its dependency descriptor tells of active targets.
    pub(crate) mask: Option<MaskPlace>,
}

/// What a frame refers to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum References {
    /// Frames before it, by their numbers.
    Numbered {
        /// Of the frame itself.
        number: u16,
        /// How far back what it refers to lies.
        before: dependency::References,
    },
    /// What those have that are served all of these targets. The targets it switches to are further
    /// bound by the spatial layer below, where `on_lower` is set.
    Targets {
        /// A mask.
        needs: u32,
        /// Predicted from the spatial layer below.
        on_lower: bool,
    },
}

/// The decode targets of a stream.
#[derive(Debug, Clone)]
pub(crate) enum Targets {
    /// As its structure tells.
    Structure {
        /// From the last keyframe.
        structure: Arc<Structure>,
        /// Targets that are sent.
        active: u32,
    },
    /// Each pair of spatial and temporal id.
    Grid {
        /// The highest spatial id, where it is known.
        top: Option<u8>,
    },
}

/// Spatial and temporal ids of a grid: those above count as the highest.
pub(crate) const GRID: u8 = 4;

/// The target of a pair of ids in a grid.
pub(super) fn grid_target(spatial: u8, temporal: u8) -> u8 {
    spatial.min(GRID - 1) * GRID + temporal.min(GRID - 1)
}

/// The spatial layer below of each target of a mask, in a grid.
pub(crate) fn grid_above(mask: u32) -> u32 {
    mask << GRID
}

impl Targets {
    /// The best target within a layer, or the lowest where there is none within.
    pub(crate) fn choose(&self, spatial: u8, temporal: u8) -> u8 {
        match self {
            Self::Grid { top } => {
                let spatial = top.map_or(spatial, |top| spatial.min(top));
                grid_target(spatial, temporal)
            }
            Self::Structure { structure, active } => {
                let sent = || {
                    let targets = (0_u8..).zip(structure.targets());
                    targets.filter(|(target, _)| active & bit(*target) != 0)
                };
                sent()
                    .filter(|(_, (s, t))| *s <= spatial && *t <= temporal)
                    .max_by_key(|(_, layer)| **layer)
                    .or_else(|| sent().min_by_key(|(_, layer)| **layer))
                    .map_or(0, |(target, _)| target)
            }
        }
    }

    /// Spatial and temporal id of a target.
    pub(crate) fn layer(&self, target: u8) -> (u8, u8) {
        match self {
            Self::Grid { top } => {
                let spatial = target / GRID;
                (top.map_or(spatial, |top| spatial.min(top)), target % GRID)
            }
            Self::Structure { structure, .. } => {
                let layer = structure.targets().get(usize::from(target));
                layer.copied().unwrap_or_default()
            }
        }
    }

    /// Targets within a target's layer that are sent, where a structure tells them: what one who is served
    /// this target is to know of.
    pub(crate) fn within(&self, target: u8) -> Option<u32> {
        let Self::Structure { active, .. } = self else {
            return None;
        };
        let (spatial, temporal) = self.layer(target);
        Some(self.up_to(spatial, temporal) & active)
    }

    /// Targets within a layer, sent or not, and the one that is chosen for it.
    pub(crate) fn up_to(&self, spatial: u8, temporal: u8) -> u32 {
        let is_within = |layer: (u8, u8)| layer.0 <= spatial && layer.1 <= temporal;
        let count = match self {
            Self::Structure { structure, .. } => structure.targets().len(),
            Self::Grid { .. } => usize::from(GRID * GRID),
        };
        let within = (0_u8..32)
            .take(count)
            .filter(|target| is_within(self.layer(*target)));
        within.fold(bit(self.choose(spatial, temporal)), |mask, target| {
            mask | bit(target)
        })
    }

    /// Whether every target that is sent lies in a mask.
    pub(crate) fn is_all(&self, mask: u32) -> bool {
        match self {
            Self::Structure { active, .. } => active & !mask == 0,
            Self::Grid { .. } => true,
        }
    }

    /// Targets of a mask, each with spatial and temporal id.
    pub(crate) fn layers_of(&self, mask: u32) -> impl Iterator<Item = (u8, u8)> + '_ {
        (0..32)
            .filter(move |target| mask & bit(*target) != 0)
            .map(|target| match self {
                // Not clamped: each pair is measured for itself.
                Self::Grid { .. } => (target / GRID, target % GRID),
                Self::Structure { .. } => self.layer(target),
            })
    }

    /// Spatial and temporal layers that are sent, where that is known.
    pub(crate) fn extent(&self) -> Option<(u8, u8)> {
        match self {
            Self::Grid { .. } => None,
            Self::Structure { structure, active } => {
                let sent = (0_u8..)
                    .zip(structure.targets())
                    .filter(|(target, _)| active & bit(*target) != 0);
                Some(sent.fold((1, 1), |(s, t), (_, layer)| {
                    (s.max(layer.0 + 1), t.max(layer.1 + 1))
                }))
            }
        }
    }

    /// Width and height by spatial id; empty when not told.
    pub(crate) fn sizes(&self) -> &[(u32, u32)] {
        match self {
            Self::Structure { structure, .. } => structure.sizes(),
            Self::Grid { .. } => &[],
        }
    }
}

/// The mask of one target.
pub(crate) fn bit(target: u8) -> u32 {
    1_u32.checked_shl(target.into()).unwrap_or(0)
}
