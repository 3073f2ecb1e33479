//! How much of what goes out to a client is media: the rest is headers, tags, what is repeated or sent again. An
//! estimate counts all of it, rates of encodings count media alone. Must not know packets.

/// Bytes sent lately.
#[derive(Debug)]
pub(super) struct Share {
    /// Of media with what is around it.
    framed: Part,
    /// Of that with what is sent again.
    first: Part,
}

/// A part of something, both in bytes.
#[derive(Debug)]
struct Part {
    part: u64,
    whole: u64,
}

impl Share {
    /// Bytes after which what is older counts half. Small pictures and sound have much around them: a second or two
    /// after the link fell that is to be known. A few repairs in a row are to weigh little.
    const KEPT_FRAMED: u64 = 65_536;
    const KEPT_FIRST: u64 = 524_288;
    /// Less than this is not believed: the rest would be a moment's repairs.
    const LEAST: f64 = 0.5;

    /// As it is of large packets, until something is known.
    pub(super) fn new() -> Self {
        Self {
            framed: Part::new(15_200, 16_000),
            first: Part::new(16_000, 16_000),
        }
    }

    /// So many bytes went out, of which so many were media.
    pub(super) fn on_sent(&mut self, media: usize, all: usize) {
        if media > 0 {
            self.framed.add(media, all, Self::KEPT_FRAMED);
        }
        let first = if media > 0 { all } else { 0 };
        self.first.add(first, all, Self::KEPT_FIRST);
    }

    /// The part that is media, 0 to 1.
    pub(super) fn of_media(&self) -> f64 {
        (self.framed.ratio() * self.first.ratio()).clamp(Self::LEAST, 1.0)
    }
}

impl Part {
    fn new(part: u64, whole: u64) -> Self {
        Self { part, whole }
    }

    fn add(&mut self, part: usize, whole: usize, kept: u64) {
        self.part += part as u64;
        self.whole += whole as u64;
        if self.whole > kept {
            self.part /= 2;
            self.whole /= 2;
        }
    }

    fn ratio(&self) -> f64 {
        self.part as f64 / self.whole as f64
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
        (0..1_000).for_each(|_| share.on_sent(80, 128));
        assert!((0.6..0.65).contains(&share.of_media()));
        // Of one repair in ten little is known at once.
        (0..100).for_each(|_| share.on_sent(0, 128));
        assert!((0.55..0.65).contains(&share.of_media()));
        (0..1_000).for_each(|_| share.on_sent(1_100, 1_150));
        assert!(share.of_media() > 0.94);
        (0..1_000).for_each(|_| share.on_sent(0, 1_150));
        assert_eq!(share.of_media(), 0.5);
    }
}
