//! Which layer of a track a subscriber is to be served, by what it wishes and what there is.
//!
//! Must not know bandwidth: the allocator's grant comes in as a cap.

use std::time::Instant;

use plenum_proto::v1::VideoQuality;

use crate::track::{Encoding, LAYERS, Layer};

/// What a subscriber asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Wish {
    /// Nothing for now.
    pub disabled: bool,
    /// A step of the ladder; `size` goes before it.
    pub quality: Option<VideoQuality>,
    /// Width and height of the picture on the screen, in pixels.
    pub size: Option<(u32, u32)>,
    /// Frames per second that suffice.
    pub fps: Option<u32>,
    /// The highest layer granted by the allocator.
    pub cap: Option<Layer>,
}

/// What there is of a spatial layer of an encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct LayerView {
    /// The layer with all its temporal layers. The highest spatial layer stands for all there may be.
    pub layer: Layer,
    /// Its step as applications speak of it.
    pub quality: VideoQuality,
    /// Pixels, 0 when unknown.
    pub width: u32,
    /// Pixels, 0 when unknown.
    pub height: u32,
    /// Frames per second, 0 when unknown.
    pub fps: u32,
    /// Number of temporal layers, at least 1.
    pub temporal_layers: u8,
    /// Whether packets come.
    pub flowing: bool,
    /// Whether far less comes than usual, or it comes and goes: what is smaller and whole is better.
    pub frail: bool,
    /// Bits per second by the highest temporal layer, with all lower layers it takes; 0 when unknown.
    pub rates: [u64; LAYERS],
}

impl LayerView {
    /// Encoding and spatial layer: what has a size.
    pub(crate) fn picture(&self) -> (u8, u8) {
        (self.layer.encoding, self.layer.spatial)
    }

    /// The same if all of it came.
    pub(crate) fn whole(self) -> Self {
        Self {
            flowing: true,
            frail: false,
            ..self
        }
    }

    /// The part of it up to a temporal layer.
    pub(crate) fn up_to(&self, temporal: u8) -> Layer {
        let is_top = temporal + 1 >= self.temporal_layers;
        Layer {
            temporal: if is_top {
                Layer::ALL_TEMPORAL
            } else {
                temporal
            },
            ..self.layer
        }
    }

    /// Bits per second up to a temporal layer.
    pub(crate) fn rate(&self, temporal: u8) -> u64 {
        let rate = self
            .rates
            .get(usize::from(temporal))
            .or_else(|| self.rates.last());
        rate.copied().unwrap_or(0)
    }

    /// Frames per second up to a temporal layer, when each layer doubles the rate; 0 when unknown.
    pub(crate) fn frames(&self, temporal: u8) -> u32 {
        let left_out = (self.temporal_layers - 1).saturating_sub(temporal);
        self.fps.checked_shr(left_out.into()).unwrap_or(0)
    }
}

/// The layers of a track as they are now, by encoding and spatial layer.
pub(crate) fn views<'a>(
    encodings: impl Iterator<Item = &'a Encoding> + Clone,
    now: Instant,
) -> impl Iterator<Item = LayerView> {
    let newest = encodings.clone().filter_map(Encoding::last_packet).max();
    encodings.flat_map(move |encoding| {
        let is_left_behind = newest.is_some_and(|newest| encoding.lags(newest));
        let flowing = encoding.is_flowing(now) && !is_left_behind;
        views_of(encoding, flowing, now)
    })
}

/// The spatial layers of one encoding.
fn views_of(encoding: &Encoding, flowing: bool, now: Instant) -> impl Iterator<Item = LayerView> {
    let info = encoding.info;
    let rates = encoding.rates(now);
    let (count, temporal_layers) = (encoding.spatial_layers(), encoding.temporal_layers());
    let fps = encoding.fps();
    let told = |spatial| encoding.size(spatial).filter(|_| count > 1);
    let sizes: [_; LAYERS] = std::array::from_fn(|spatial| told(spatial as u8));
    (0..count.min(LAYERS as u8)).map(move |spatial| {
        let is_top = spatial + 1 == count;
        let below = count - 1 - spatial;
        let told = sizes.get(usize::from(spatial)).copied().flatten();
        // Each layer mostly has half the width of the next.
        let (width, height) = told.unwrap_or((info.width >> below, info.height >> below));
        LayerView {
            layer: Layer {
                encoding: info.index,
                spatial: if is_top { Layer::ALL_SPATIAL } else { spatial },
                temporal: Layer::ALL_TEMPORAL,
            },
            quality: quality_below(info.quality, steps_below(info.width, width, below)),
            width,
            height,
            fps,
            temporal_layers,
            flowing,
            frail: encoding.is_frail(now),
            rates: rates.get(usize::from(spatial)).copied().unwrap_or_default(),
        }
    })
}

/// How many steps of quality a picture is below what was announced: one for each halving of the width.
fn steps_below(announced: u32, width: u32, below: u8) -> u8 {
    match (announced, width) {
        (0, _) | (_, 0) => below,
        (announced, width) if width * 4 > announced * 3 => 0,
        (announced, width) if width * 8 > announced * 3 => 1,
        _ => 2,
    }
}

fn quality_below(quality: VideoQuality, steps: u8) -> VideoQuality {
    match (quality, steps) {
        (quality, 0) => quality,
        (VideoQuality::High, 1) => VideoQuality::Medium,
        _ => VideoQuality::Low,
    }
}

/// Chooses the layer that serves a wish: the smallest that suffices, of those that flow, and rather of
/// those that come whole. While nothing flows the choice stays what it would be, so that a pause of the publisher switches
/// nobody. `views` are in ascending order.
pub(crate) fn select(wish: &Wish, views: &[LayerView]) -> Option<Layer> {
    if wish.disabled || wish.quality == Some(VideoQuality::Off) {
        return None;
    }
    let granted = match wish.cap {
        Some(cap) => views
            .iter()
            .rposition(|view| view.picture() <= (cap.encoding, cap.spatial))
            .unwrap_or(0),
        None => views.len().saturating_sub(1),
    };
    let wanted = match (wish.size, wish.quality) {
        (Some(size), _) => views.iter().position(|view| covers(view, size)),
        (None, Some(quality)) => Some(
            views
                .iter()
                .rposition(|view| view.quality <= quality)
                .unwrap_or(0),
        ),
        (None, None) => None,
    };
    let best = wanted.map_or(granted, |wanted| wanted.min(granted));
    let (below, above) = (views.get(..=best)?, views.get(best..=granted)?);
    let nearest = |comes: fn(&LayerView) -> bool| {
        let below = below.iter().rfind(|view| comes(view));
        below.or_else(|| above.iter().find(|view| comes(view)))
    };
    let chosen = nearest(|view| view.flowing && !view.frail)
        .or_else(|| nearest(|view| view.flowing))
        .or_else(|| views.get(best))?;
    let enough = temporal(chosen, wish.fps);
    let is_capped = |cap: &Layer| chosen.picture() == (cap.encoding, cap.spatial);
    let cap = wish.cap.filter(is_capped).map(|cap| cap.temporal);
    Some(Layer {
        temporal: cap.map_or(enough, |cap| cap.min(enough)),
        ..chosen.layer
    })
}

/// Whether a picture of this size suffices, by its area and its short side (either may be turned).
/// A seventh less per side is hard to see and saves an encoding.
fn covers(view: &LayerView, (width, height): (u32, u32)) -> bool {
    let area = |width: u32, height: u32| u64::from(width) * u64::from(height);
    let short = |width: u32, height: u32| u64::from(width.min(height));
    area(view.width, view.height) * 130 >= area(width, height) * 100
        && short(view.width, view.height) * 115 >= short(width, height) * 100
}

/// The temporal layers that give so many frames.
fn temporal(view: &LayerView, fps: Option<u32>) -> u8 {
    let layers = view.temporal_layers;
    let Some(fps) = fps.filter(|&fps| fps > 0 && layers > 1 && view.fps > 0) else {
        return Layer::ALL_TEMPORAL;
    };
    (0..layers - 1)
        // The measured rate wavers.
        .find(|&temporal| u64::from(view.frames(temporal)) * 110 >= u64::from(fps) * 100)
        .unwrap_or(Layer::ALL_TEMPORAL)
}

#[cfg(test)]
mod tests {
    use VideoQuality::{High, Low, Medium, Off};
    use proptest::prelude::*;

    use super::*;

    fn view(index: u8, quality: VideoQuality, width: u32, flowing: bool) -> LayerView {
        let height = width * 9 / 16;
        let (fps, temporal_layers) = (30, 3);
        LayerView {
            layer: Layer::whole(index),
            quality,
            width,
            height,
            fps,
            temporal_layers,
            flowing,
            frail: false,
            rates: [0; LAYERS],
        }
    }

    /// 320, 640 and 1280 wide.
    fn ladder(flowing: [bool; 3]) -> Vec<LayerView> {
        (0..)
            .zip([(Low, 320), (Medium, 640), (High, 1_280)])
            .zip(flowing)
            .map(|((index, (quality, width)), flowing)| view(index, quality, width, flowing))
            .collect()
    }

    #[test]
    fn the_smallest_that_suffices() {
        let all = ladder([true; 3]);
        let any = Wish::default();
        let of = |quality| Wish {
            quality: Some(quality),
            ..any
        };
        let sized = |width, height| Wish {
            size: Some((width, height)),
            ..any
        };
        for (case, wish, expected) in [
            ("no wish", any, Some(2)),
            (
                "disabled",
                Wish {
                    disabled: true,
                    ..of(High)
                },
                None,
            ),
            ("off", of(Off), None),
            ("low", of(Low), Some(0)),
            ("medium", of(Medium), Some(1)),
            ("high", of(High), Some(2)),
            ("tiny", sized(10, 10), Some(0)),
            ("exact", sized(640, 360), Some(1)),
            ("a little more than exact", sized(720, 405), Some(1)),
            ("clearly more", sized(800, 450), Some(2)),
            ("upright tile", sized(360, 640), Some(1)),
            ("square tile", sized(300, 300), Some(1)),
            ("more than there is", sized(3_840, 2_160), Some(2)),
            (
                "size goes before quality",
                Wish {
                    quality: Some(High),
                    ..sized(320, 180)
                },
                Some(0),
            ),
            (
                "capped",
                Wish {
                    cap: Some(Layer::whole(1)),
                    ..any
                },
                Some(1),
            ),
            (
                "cap above the wish",
                Wish {
                    cap: Some(Layer::whole(2)),
                    ..of(Low)
                },
                Some(0),
            ),
            (
                "cap below the wish",
                Wish {
                    cap: Some(Layer::whole(0)),
                    ..sized(1_280, 720)
                },
                Some(0),
            ),
        ] {
            assert_eq!(select(&wish, &all), expected.map(Layer::whole), "{case}");
        }
        assert_eq!(select(&any, &[]), None);
        let single = [view(0, High, 640, true)];
        assert_eq!(
            select(&of(Low), &single),
            Some(Layer::whole(0)),
            "nothing lower"
        );
        let unknown = [LayerView {
            width: 0,
            height: 0,
            ..single[0]
        }];
        assert_eq!(
            select(&sized(640, 360), &unknown),
            Some(Layer::whole(0)),
            "size unknown"
        );
    }

    #[test]
    fn only_what_flows() {
        let top = Wish::default();
        let middle = Wish {
            quality: Some(Medium),
            ..top
        };
        let (on, off) = (true, false);
        for (flowing, wish, expected) in [
            ([on, on, off], top, 1),
            ([on, off, off], top, 0),
            ([off, off, on], middle, 2),
            ([on, off, on], middle, 0),
            ([off, off, off], middle, 1),
            ([off, off, off], top, 2),
            // Above the grant is no way out.
            (
                [off, off, on],
                Wish {
                    cap: Some(Layer::whole(1)),
                    ..middle
                },
                1,
            ),
            (
                [off, on, on],
                Wish {
                    cap: Some(Layer::whole(1)),
                    quality: Some(Low),
                    ..top
                },
                1,
            ),
        ] {
            let chosen = select(&wish, &ladder(flowing)).unwrap();
            assert_eq!(chosen.encoding, expected, "{flowing:?} {wish:?}");
        }
    }

    #[test]
    fn rather_what_is_whole() {
        let top = Wish::default();
        let low = Wish {
            quality: Some(Low),
            ..top
        };
        let (on, off) = (true, false);
        for (flowing, frail, wish, expected) in [
            ([on, on, on], [off, off, on], top, 1),
            ([on, on, on], [off, on, on], top, 0),
            ([on, on, on], [on, on, on], top, 2),
            ([off, off, on], [off, off, on], top, 2),
            ([off, off, on], [on, on, on], top, 2),
            ([on, off, on], [on, off, off], low, 2),
        ] {
            let mut views = ladder(flowing);
            for (view, frail) in views.iter_mut().zip(frail) {
                view.frail = frail;
            }
            let chosen = select(&wish, &views).unwrap();
            assert_eq!(chosen.encoding, expected, "{flowing:?} {frail:?}");
        }
    }

    #[test]
    fn frame_rates_by_temporal_layers() {
        let three = view(0, High, 640, true);
        let one = LayerView {
            temporal_layers: 1,
            ..three
        };
        let unmeasured = LayerView { fps: 0, ..three };
        let all = Layer::ALL_TEMPORAL;
        for (encoding, fps, expected) in [
            (three, None, all),
            (three, Some(0), all),
            (three, Some(5), 0),
            (three, Some(8), 1),
            (three, Some(15), 1),
            (three, Some(16), 1),
            (three, Some(20), all),
            (three, Some(60), all),
            (one, Some(5), all),
            (unmeasured, Some(5), all),
        ] {
            assert_eq!(temporal(&encoding, fps), expected, "{fps:?}");
        }
    }

    #[test]
    fn a_lagging_encoding_does_not_flow() {
        use crate::{
            rtp::{Codec, ExtensionValues, Packet},
            track::EncodingInfo,
        };
        use std::{sync::Arc, time::Duration};

        let start = Instant::now();
        let packet = |arrival| {
            let payload = Arc::from([0x10, 0, 1]);
            Packet::parse(
                Codec::Vp8,
                1,
                1,
                true,
                payload,
                &ExtensionValues::default(),
                arrival,
            )
        };
        let encoding = |index, quality| {
            let info = EncodingInfo {
                index,
                codec: 0,
                rid: None,
                quality,
                width: 0,
                height: 0,
            };
            Encoding::new(info, true)
        };
        let mut encodings = [encoding(0, Low), encoding(1, High)];
        let flowing = |encodings: &[Encoding], after| {
            let views: Vec<_> =
                views(encodings.iter(), start + Duration::from_secs(after)).collect();
            [views[0].flowing, views[1].flowing]
        };
        assert_eq!(flowing(&encodings, 0), [false, false]);
        encodings[0].on_packet(&packet(start));
        encodings[1].on_packet(&packet(start));
        assert_eq!(flowing(&encodings, 5), [true, true], "a screen at rest");
        encodings[0].on_packet(&packet(start + Duration::from_secs(5)));
        assert_eq!(
            flowing(&encodings, 5),
            [true, false],
            "one stands still alone"
        );
    }

    proptest! {
        /// Whatever is wished and flows: never above the cap, never what does not flow while
        /// something granted does, and nothing only where nothing is wished.
        #[test]
        fn choices_keep_to_the_rules(
            flowing in any::<[bool; 3]>(),
            disabled in prop::bool::weighted(0.1),
            quality in prop::option::of(prop::sample::select(vec![Low, Medium, High])),
            size in prop::option::of((0_u32..4_000, 0_u32..4_000)),
            fps in prop::option::of(0_u32..90),
            cap in prop::option::of((0_u8..4, 0_u8..4)),
        ) {
            let encodings = ladder(flowing);
            let cap = cap.map(|(encoding, temporal)| Layer { temporal, ..Layer::whole(encoding) });
            let wish = Wish { disabled, quality, size, fps, cap };
            let Some(layer) = select(&wish, &encodings) else {
                prop_assert!(disabled);
                return Ok(());
            };
            prop_assert!(!disabled);
            prop_assert!(cap.is_none_or(|cap| layer <= cap));
            let granted = usize::from(cap.map_or(2, |cap| cap.encoding.min(2)));
            if flowing[..=granted].contains(&true) {
                prop_assert!(flowing[usize::from(layer.encoding)]);
            }
        }
    }
}
