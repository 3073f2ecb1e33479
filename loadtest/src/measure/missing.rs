//! How many frames went missing wholly in a gap of sequence numbers: exact from stamps, near from
//! picture ids, estimated from timestamps.

use super::descriptor::Order;
use crate::media::layer_at;

/// Frames by which the layers being forwarded are judged: the last 8 to 16.
const BUCKET: u8 = 8;

/// What is known of a stream's rhythm.
#[derive(Debug, Clone, Default)]
pub(super) struct Rhythm {
    /// Timestamp ticks between the last two frames that followed one another.
    spacing: u32,
    /// Highest temporal layer in the bucket being filled and in the one before.
    top_layers: [u8; 2],
    in_bucket: u8,
}

/// A frame at the edge of a gap.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edge {
    pub(super) order: Order,
    pub(super) timestamp: u32,
}

impl Rhythm {
    /// Takes the next frame; `spacing` is its distance to the one before if nothing lies between.
    pub(super) fn on_frame(&mut self, order: &Order, spacing: Option<u32>) {
        if let Some(spacing) = spacing {
            self.spacing = spacing;
        }
        if self.in_bucket == BUCKET {
            self.top_layers = [0, self.top_layers[0]];
            self.in_bucket = 0;
        }
        self.in_bucket += 1;
        self.top_layers[0] = self.top_layers[0].max(layer_of(order));
    }

    /// Frames missing wholly between `a` and `b`, which `packets` missing packets lie between.
    /// `ahead` is the highest temporal layer among frames after `b`.
    pub(super) fn missing(&self, a: &Edge, b: &Edge, packets: u16, ahead: u8) -> u64 {
        let frames = self
            .missing_stamped(&a.order, &b.order, packets, ahead)
            .or_else(|| self.missing_numbered(a, b))
            .unwrap_or_else(|| self.missing_by_time(a, b));
        u64::from(frames.min(u32::from(packets)))
    }

    /// Between stamped frames of one encoding: those of layers that are being forwarded.
    fn missing_stamped(&self, a: &Order, b: &Order, packets: u16, ahead: u8) -> Option<u32> {
        let Order::Stamped {
            frame: from,
            encoding,
            layers,
            phase,
            ..
        } = *a
        else {
            return None;
        };
        let Order::Stamped {
            frame: to,
            encoding: of,
            ..
        } = *b
        else {
            return None;
        };
        if encoding != of {
            return None;
        }
        let [now, before] = self.top_layers;
        let granted = ahead.max(now).max(before).max(layer_of(a)).max(layer_of(b));
        let between = to
            .wrapping_sub(from)
            .saturating_sub(1)
            .min(u32::from(packets));
        let wanted = |n: &u32| layer_at(layers, u32::from(phase) + n) <= granted;
        Some((1..=between).filter(wanted).count() as u32)
    }

    fn missing_numbered(&self, a: &Edge, b: &Edge) -> Option<u32> {
        let (from, to) = (picture_of(&a.order)?, picture_of(&b.order)?);
        let numbered = u32::from((to.wrapping_sub(from) & 0x7FFF).saturating_sub(1));
        Some(match b.order {
            // Pictures of layers left out may have kept their numbers.
            Order::Layered { .. } => numbered.min(self.missing_by_time(a, b)),
            _ => numbered,
        })
    }

    fn missing_by_time(&self, a: &Edge, b: &Edge) -> u32 {
        let step = b
            .timestamp
            .wrapping_sub(a.timestamp)
            .saturating_add(self.spacing / 2);
        step.checked_div(self.spacing)
            .unwrap_or(1)
            .saturating_sub(1)
    }
}

/// The temporal layer, 0 if it is not known exactly.
pub(super) fn layer_of(order: &Order) -> u8 {
    match order {
        Order::Stamped { temporal, .. } => *temporal,
        _ => 0,
    }
}

fn picture_of(order: &Order) -> Option<u16> {
    match *order {
        Order::Layered { picture, .. } | Order::Chained { picture } => picture,
        Order::Referring { picture, .. } => Some(picture),
        Order::Stamped { .. } => None,
    }
}
