//! The dependency descriptor (RTP Payload Format For AV1, appendix A): which frame a packet belongs to,
//! what that frame needs, and which decode targets need it. Read once per packet, with the structure that
//! came with the last keyframe of the encoding.
//!
//! Must not choose a target. What can't be read is `None`, and harms nobody but its sender.

mod bits;
mod structure;

use std::sync::Arc;

use self::{bits::Bits, structure::Indications};
use super::frame::{Frame, References as FrameReferences, Targets};

pub(crate) use structure::Structure;

/// Frames a frame refers to, by how far back they lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct References {
    /// Bit `n`: the frame `n + 1` before.
    pub(crate) near: u64,
    /// One lies further back.
    pub(crate) is_far: bool,
}

impl References {
    fn add(&mut self, distance: u32) {
        match 1_u64.checked_shl(distance - 1) {
            Some(bit) => self.near |= bit,
            None => self.is_far = true,
        }
    }
}

/// Reads the descriptors of one encoding, in the order in which packets come.
#[derive(Debug, Clone, Default)]
pub(crate) struct DependencyReader {
    structure: Option<Arc<Structure>>,
    /// Decode targets that are sent.
    active: u32,
    /// The frame that told of them last.
    told_by: u16,
}

/// Frames that the last word of targets may lie back, at most: numbers have 16 bits, and what is half of them ahead
/// looks late.
const REACH: u16 = 1 << 14;

/// Where the mask of active decode targets stands in a descriptor, or would stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct MaskPlace {
    /// In bits.
    pub(crate) at: u16,
    /// Bits of a mask.
    pub(crate) width: u8,
    /// It is there.
    pub(crate) is_present: bool,
}

impl DependencyReader {
    /// Reads a descriptor; `None` when it is malformed, or its structure is not known.
    pub(crate) fn read(&mut self, bytes: &[u8]) -> Option<Frame> {
        const MANDATORY: usize = 3;
        let mut bits = Bits::new(bytes);
        let (starts, ends) = (bits.flag()?, bits.flag()?);
        let template = bits.small(6)?;
        let number = u16::try_from(bits.take(16)?).ok()?;
        // Kept within reach of 16 bits: frames may go on for hours without a word of structure or mask.
        let ahead = number.wrapping_sub(self.told_by);
        if (REACH..1 << 15).contains(&ahead) {
            self.told_by = number.wrapping_sub(REACH);
        }
        let mut has_structure = false;
        let mut is_custom = [false; 3];
        let mut mask_at = 8 * MANDATORY + 5;
        let mut tells_mask = false;
        if bytes.len() > MANDATORY {
            has_structure = bits.flag()?;
            tells_mask = bits.flag()?;
            for custom in &mut is_custom {
                *custom = bits.flag()?;
            }
            if has_structure {
                let structure = Structure::read(&mut bits)?;
                self.take_structure(structure, number);
            }
            mask_at = bits.position();
        }
        let structure = Arc::clone(self.structure.as_ref()?);
        let count = structure.count();
        if tells_mask {
            let mask = bits.take(count as u32)?;
            // An older frame that comes late tells nothing new.
            if number.wrapping_sub(self.told_by) < 0x8000 && mask != 0 {
                (self.active, self.told_by) = (mask, number);
            }
        }
        let template = *structure.template(template)?;
        let [custom_indications, custom_references, _custom_chains] = is_custom;
        let indications = if custom_indications {
            Indications::read(&mut bits, count)?
        } else {
            template.indications
        };
        let references = if custom_references {
            read_references(&mut bits)?
        } else {
            template.references
        };
        let mask = MaskPlace {
            at: u16::try_from(mask_at).ok()?,
            width: count as u8,
            is_present: tells_mask,
        };
        Some(Frame {
            spatial: template.spatial,
            temporal: template.temporal,
            starts,
            ends,
            restarts: starts && has_structure,
            serves: indications.serves(count),
            switches: indications.switches(count),
            breaks: indications.breaks(count),
            references: FrameReferences::Numbered {
                number,
                before: references,
            },
            targets: Targets::Structure {
                structure,
                active: self.active,
            },
            mask: Some(mask),
        })
    }

    fn take_structure(&mut self, structure: Structure, number: u16) {
        let is_late = self.structure.is_some() && number.wrapping_sub(self.told_by) >= 0x8000;
        if is_late {
            return;
        }
        self.active = structure.all();
        self.told_by = number;
        // The same as before stays shared.
        if self.structure.as_deref() != Some(&structure) {
            self.structure = Some(Arc::new(structure));
        }
    }
}

/// References of one frame in place of its template's: distances of 4, 8 or 12 bits.
fn read_references(bits: &mut Bits<'_>) -> Option<References> {
    let mut references = References::default();
    loop {
        match bits.take(2)? {
            0 => return Some(references),
            size => references.add(bits.take(4 * size)? + 1),
        }
    }
}

/// Writes a descriptor with a mask of active decode targets, in place of the one it has or where one
/// belongs. Returns its length; `None` when it does not fit `out`.
pub(crate) fn with_mask(
    bytes: &[u8],
    place: MaskPlace,
    mask: u32,
    out: &mut [u8],
) -> Option<usize> {
    const TELLS_MASK: usize = 25;
    let at = usize::from(place.at);
    let width = usize::from(place.width);
    let bit = |n: usize| bytes.get(n / 8).map_or(0, |byte| byte >> (7 - n % 8) & 1);
    let skipped = if place.is_present { width } else { 0 };
    let rest = (8 * bytes.len()).saturating_sub(at + skipped);
    let total = at + width + rest;
    let length = total.div_ceil(8);
    let out = out.get_mut(..length)?;
    out.fill(0);
    let value = |n: usize| match n {
        TELLS_MASK => 1,
        // What the short form has no bits for reads as 0.
        _ if n < at => bit(n),
        _ if n < at + width => (mask >> (width - 1 - (n - at)) & 1) as u8,
        _ => bit(n - width + skipped),
    };
    for n in 0..total {
        if let Some(byte) = out.get_mut(n / 8) {
            *byte |= value(n) << (7 - n % 8);
        }
    }
    Some(length)
}

#[cfg(test)]
mod tests;
