//! What the layers of tracks take, as steps for the allocator. Must not decide.

use std::time::Instant;

use plenum_proto::v1::TrackSource;
use slotmap::SecondaryMap;

use super::state::Track;
use crate::{allocator::Kind, key::TrackKey, track::Layer};

/// The steps of tracks at one moment, for the many who look at the same tracks in it.
#[derive(Debug, Default)]
pub(super) struct Ladders {
    known: SecondaryMap<TrackKey, Known>,
    /// Of all tracks, one behind the other.
    steps: Vec<(Layer, u64)>,
}

/// Which steps are those of a track in a codec.
#[derive(Debug, Clone, Copy)]
struct Known {
    codec: u8,
    start: usize,
    end: usize,
}

impl Ladders {
    /// Forgets all, for another moment.
    pub(super) fn clear(&mut self) {
        if !self.known.is_empty() {
            self.known.clear();
            self.steps.clear();
        }
    }

    /// As [`ladder`] gives them, looked up once.
    pub(super) fn of(
        &mut self,
        now: Instant,
        key: TrackKey,
        track: &Track,
        codec: u8,
    ) -> &[(Layer, u64)] {
        let known = self.known.get(key).filter(|known| known.codec == codec);
        let known = known.copied().unwrap_or_else(|| {
            let start = self.steps.len();
            self.steps.extend(ladder(track, codec, now, kind_of(track)));
            let end = self.steps.len();
            Known { codec, start, end }
        });
        self.known.insert(key, known);
        &self.steps[known.start..known.end]
    }
}

/// What kind of media a track is.
pub(super) fn kind_of(track: &Track) -> Kind {
    match (track.is_video(), track.info.source()) {
        (false, _) => Kind::Audio,
        (true, TrackSource::ScreenShare) => Kind::Screen,
        (true, _) => Kind::Camera,
    }
}

/// The steps of a track in a codec with what each takes, ascending. Fewer frames are a step only where they are no
/// slide show: of a screen, where sharpness counts, and of the smallest picture, below which there is nothing.
/// What nobody takes does not flow; what it would cost must be known before it is granted.
pub(super) fn ladder(
    track: &Track,
    codec: u8,
    now: Instant,
    kind: Kind,
) -> impl Iterator<Item = (Layer, u64)> {
    const FPS_MIN: u32 = 10;
    /// As an encoding is expected to have.
    const PER_PIXEL: u64 = 2;
    let views = track.each_view(codec, now).enumerate();
    views.flat_map(move |(index, view)| {
        let top = view.temporal_layers - 1;
        let flows = view.rate(top) > 0;
        let published = track.encodings.get(usize::from(view.layer.encoding));
        let expected = published.filter(|_| !flows);
        let expected = expected.map_or(0, |e| e.encoding.expected_bitrate(now));
        (0..=top).filter_map(move |temporal| {
            if !flows {
                let usual = u64::from(view.width) * u64::from(view.height) * PER_PIXEL;
                let rate = if view.layer.spatial == Layer::ALL_SPATIAL {
                    expected
                } else {
                    usual.min(expected)
                };
                return (temporal == top && rate > 0).then_some((view.layer, rate));
            }
            let suffices = temporal == top || kind == Kind::Screen || index == 0;
            let rate = view.rate(temporal);
            let is_step = rate > 0 && (suffices || view.frames(temporal) >= FPS_MIN);
            is_step.then(|| (view.up_to(temporal), rate))
        })
    })
}
