//! The frames of a scalable stream that were decided on lately: what comes late is judged by its own place among
//! them. Must not decide.

use super::super::recent::{Recent, is_behind};

/// Of three spatial layers, more than a second: what is lost twice on the way up takes as long.
const KEPT: usize = 128;

pub(super) type Frames = Recent<Past, KEPT>;

/// A frame that was decided on.
#[derive(Debug, Clone, Copy)]
pub(super) struct Past {
    /// Its number or spatial layer.
    pub(super) id: u16,
    /// The spatial layer that it is of.
    pub(super) own_spatial: u8,
    /// How often the stream had restarted: nothing refers to what was before.
    pub(super) era: u16,
    pub(super) fate: Fate,
    /// The decode target served with its picture, if any could be decoded, and the spatial layer of that.
    pub(super) serving: u32,
    pub(super) spatial: u8,
    /// Targets of which the receiver had all after it that frames to come might need.
    pub(super) intact: u32,
    /// Targets that can't be decoded any more without it, where it was left out.
    pub(super) broken: u32,
    /// Targets that can be decoded from it on, where it was forwarded in turn.
    pub(super) gained: u32,
}

/// What becomes of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fate {
    pub(super) is_forwarded: bool,
    /// No frame of the picture is forwarded after it.
    pub(super) ends_picture: bool,
}

impl Fate {
    pub(super) const LEFT_OUT: Self = Self {
        is_forwarded: false,
        ends_picture: false,
    };
}

impl Frames {
    /// Frames of a picture.
    pub(super) fn of_picture(&self, timestamp: u32) -> impl Iterator<Item = &Past> {
        let picture = self.iter().filter(move |(other, _)| *other == timestamp);
        picture.map(|(_, past)| past)
    }

    /// Frames of pictures after it, as long as the stream did not restart, with their timestamps.
    fn after(&self, timestamp: u32, era: u16) -> impl Iterator<Item = &(u32, Past)> {
        self.iter()
            .filter(move |(other, past)| past.era == era && is_behind(timestamp, *other))
    }

    /// A frame was left out behind others: targets that can't be decoded without it are broken since, until a frame that
    /// was forwarded brought them back. Says which nothing brought back.
    pub(super) fn break_from(&mut self, timestamp: u32, era: u16, broken: u32) -> u32 {
        if broken == 0 {
            return 0;
        }
        let since = |other: u32| other.wrapping_sub(timestamp);
        // How long after it what was brought back, in order of time; then all that was until then.
        let mut gains = [(u32::MAX, 0); KEPT];
        let later = self.after(timestamp, era);
        let gaining = later.filter(|(_, past)| past.gained & broken != 0);
        for (gain, (other, past)) in gains.iter_mut().zip(gaining) {
            *gain = (since(*other), past.gained);
        }
        gains.sort_unstable();
        let mut regained = 0;
        for (_, gained) in &mut gains {
            regained |= *gained;
            *gained = regained;
        }
        for (other, past) in self.iter_mut() {
            if past.era == era && !is_behind(*other, timestamp) {
                let until = gains.partition_point(|(after, _)| *after <= since(*other));
                let before = until.checked_sub(1).and_then(|last| gains.get(last));
                past.intact &= !(broken & !before.map_or(0, |(_, regained)| *regained));
            }
        }
        broken & !regained
    }

    /// Decode targets that need what comes late as well, if they did not need what was left out before, and their
    /// spatial layer: those of pictures since that are as sharp, or as the next one where none was served then. But
    /// none where its picture could have no end any more.
    pub(super) fn served_since(&self, timestamp: u32, before: &Past) -> (u32, u8) {
        let spatial = if before.serving == 0 {
            let later = self.after(timestamp, before.era);
            let served = later.filter(|(_, past)| past.serving != 0);
            let next = served.min_by_key(|(other, _)| other.wrapping_sub(timestamp));
            next.map_or(before.spatial, |(_, past)| past.spatial)
        } else {
            before.spatial
        };
        let is_left_out = |past: &Past| past.own_spatial == spatial && !past.fate.is_forwarded;
        if self.of_picture(timestamp).any(is_left_out) {
            return (0, spatial);
        }
        let later = self.after(timestamp, before.era);
        let alike = later.filter(|(_, past)| past.spatial == spatial);
        let serving = alike.fold(0, |all, (_, past)| all | past.serving);
        (serving & before.intact, spatial)
    }
}
