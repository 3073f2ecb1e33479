//! The playout-delay header extension (<http://www.webrtc.org/experiments/rtp-hdrext/playout-delay>): how long after its
//! capture a picture is to be shown. Must not know why.

use std::time::Duration;

/// How long is to be waited before a picture is shown, at least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PlayoutDelay(Duration);

impl PlayoutDelay {
    /// Both limits have 12 bits, in steps of 10 ms. No upper limit is asked for: this is what browsers have without one.
    const STEP_MS: u128 = 10;
    const MOST: u16 = 1_000;

    /// Not less than this.
    pub(crate) fn new(least: Duration) -> Self {
        Self(least)
    }

    /// As it stands in a header, where the publisher asks for `published`: the longer of both is waited.
    pub(crate) fn element(self, published: Option<&[u8]>) -> [u8; 3] {
        let own = u16::try_from(self.0.as_millis().div_ceil(Self::STEP_MS)).unwrap_or(Self::MOST);
        let (least, most) = match published {
            Some(&[a, b, c]) => (
                u16::from(a) << 4 | u16::from(b) >> 4,
                u16::from(b & 0x0f) << 8 | u16::from(c),
            ),
            _ => (0, Self::MOST),
        };
        let least = least.max(own);
        let most = most.max(least);
        let both = u32::from(least) << 12 | u32::from(most);
        let [_, value @ ..] = both.to_be_bytes();
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_of_two_wishes_stands_in_the_header() {
        for (own, published, expected) in [
            (310, None, [0x01, 0xf3, 0xe8]),
            (0, None, [0, 0x03, 0xe8]),
            (310, Some([0, 0, 0]), [0x01, 0xf0, 0x1f]),
            (310, Some([0x03, 0x21, 0x00]), [0x03, 0x21, 0x00]),
        ] {
            let delay = PlayoutDelay::new(Duration::from_millis(own));
            let published = published.as_ref().map(|value| &value[..]);
            assert_eq!(delay.element(published), expected, "{own} {published:x?}");
        }
    }
}
