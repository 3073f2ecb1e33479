//! How much of what goes out to a client is media: the rest is headers, tags, what is repeated or sent again. An
//! estimate counts all of it, rates of encodings count media alone. Must not know packets.

/// Bytes sent lately.
#[derive(Debug)]
pub(super) struct Share {
    media: f64,
    all: f64,
}

impl Share {
    /// Bytes after which what is older counts half: so many that a few repairs in a row weigh little.
    const KEPT: f64 = 524_288.0;
    /// Less than this is not believed: the rest would be a moment's repairs.
    const LEAST: f64 = 0.5;

    /// As it is of large packets, until something is known.
    pub(super) fn new() -> Self {
        Self {
            media: 15_200.0,
            all: 16_000.0,
        }
    }

    /// So many bytes went out, of which so many were media.
    pub(super) fn on_sent(&mut self, media: usize, all: usize) {
        self.media += media as f64;
        self.all += all as f64;
        if self.all > Self::KEPT {
            self.media /= 2.0;
            self.all /= 2.0;
        }
    }

    /// The part that is media, 0 to 1.
    pub(super) fn of_media(&self) -> f64 {
        (self.media / self.all).clamp(Self::LEAST, 1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_follows_what_is_sent() {
        let mut share = Share::new();
        assert!(share.of_media() > 0.9);
        // Sound in small packets.
        (0..4_000).for_each(|_| share.on_sent(80, 128));
        assert!((0.6..0.65).contains(&share.of_media()));
        (0..1_000).for_each(|_| share.on_sent(1_100, 1_150));
        assert!(share.of_media() > 0.94);
        (0..1_000).for_each(|_| share.on_sent(0, 1_150));
        assert_eq!(share.of_media(), 0.5);
    }
}
