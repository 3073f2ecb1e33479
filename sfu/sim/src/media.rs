//! Synthetic media: Opus-like and VP8-like packets that carry a stamp of what they are, so that a
//! receiver can judge what it was given. Must not know the network. RFC 7741.

mod scalable;

use std::time::Duration;

use rand::Rng;

pub use scalable::VideoCodec;
pub(crate) use scalable::{Descriptor, DescriptorExtension, ScalableHead};

/// One source of media in a world, whichever track it is published as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SourceId(pub(crate) u32);

/// What a source makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SourceKind {
    /// A microphone: a packet every 20 ms.
    Audio,
    /// A camera.
    Video,
}

/// How a camera is encoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VideoSettings {
    /// Frames per second of every encoding.
    pub fps: u32,
    /// Packets per delta frame; a keyframe has twice as many.
    pub packets: u8,
    /// Stream ids, the smallest encoding first; empty for a track with one encoding.
    pub rids: Vec<&'static str>,
    /// Every second frame is in temporal layer 1; of VP8.
    pub temporal_layers: bool,
    /// Bits per second of each encoding, the smallest first, and of scalable ones of each of its spatial
    /// layers without those below: pictures vary as those of an encoder do. Empty for a few small packets
    /// per frame, which is enough where rates are not the matter.
    pub bitrates: Vec<u32>,
    /// How pictures are packed.
    pub codec: VideoCodec,
    /// It is of a screen, not of a camera.
    pub is_screen: bool,
    /// The media type that is announced where it is not that of the codec.
    pub announced: Option<&'static str>,
    /// VP8 is announced as well, and sent in three encodings once the node asks for it.
    pub has_backup: bool,
}

impl VideoSettings {
    /// A camera of 180, 360 and 720 lines at rates that are usual for these.
    pub fn camera() -> Self {
        Self {
            bitrates: vec![150_000, 500_000, 1_700_000],
            ..Self::default()
        }
    }

    /// A screen in one encoding.
    pub fn screen() -> Self {
        Self {
            fps: 10,
            rids: Vec::new(),
            bitrates: vec![600_000],
            is_screen: true,
            ..Self::default()
        }
    }

    /// Bits per second of payload of an encoding, the smallest being 0.
    pub(crate) fn bitrate_of(&self, encoding: usize) -> u64 {
        let frames = u64::from(self.fps) * 8;
        let layers = self.codec.spatial_layers();
        let all = encoding * layers..(encoding + 1) * layers;
        let of = |layer: usize| match self.bitrates.get(layer) {
            Some(bitrate) => u64::from(*bitrate),
            None => u64::from(self.packets) * (100 + 120 * layer as u64) * frames,
        };
        all.map(of).sum()
    }

    /// The same of the encoding of which most is.
    pub(crate) fn bitrate(&self) -> u64 {
        let encodings = 0..self.rids.len().max(1);
        encodings.map(|one| self.bitrate_of(one)).max().unwrap_or(0)
    }

    /// One stream of AV1 in a mode, for example "L3T3_KEY".
    pub fn av1(mode: &str) -> Self {
        Self::scalable(VideoCodec::Av1, mode)
    }

    /// The same of VP9, without dependency descriptors.
    pub fn vp9(mode: &str) -> Self {
        Self::scalable(VideoCodec::Vp9, mode)
    }

    /// The same of H.264, with dependency descriptors.
    pub fn h264(mode: &str) -> Self {
        Self::scalable(VideoCodec::H264, mode)
    }

    /// The same settings, with VP8 for those who take nothing else.
    #[must_use]
    pub fn with_backup(mut self) -> Self {
        self.has_backup = true;
        self
    }

    fn scalable(codec: fn(crate::Scalability) -> VideoCodec, mode: &str) -> Self {
        let mode = crate::Scalability::named(mode).expect("a scalability mode");
        Self {
            packets: 2,
            rids: Vec::new(),
            codec: codec(mode),
            ..Self::default()
        }
    }
}

impl Default for VideoSettings {
    fn default() -> Self {
        Self {
            fps: 30,
            packets: 3,
            rids: vec!["q", "h", "f"],
            temporal_layers: true,
            bitrates: Vec::new(),
            codec: VideoCodec::Vp8,
            is_screen: false,
            announced: None,
            has_backup: false,
        }
    }
}

/// What a packet is, written into its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    pub(crate) source: SourceId,
    /// Index of the encoding, 0 is the smallest.
    pub(crate) encoding: u8,
    /// Counts the frames of the encoding.
    pub(crate) frame: u32,
    /// Index of the packet in its frame, and how many there are.
    pub(crate) index: u8,
    pub(crate) count: u8,
    pub(crate) is_key: bool,
    pub(crate) temporal: u8,
    pub(crate) spatial: u8,
    /// Frames it refers to.
    pub(crate) refers_to: [Option<u32>; 2],
    /// When it was captured, in virtual time.
    pub(crate) captured: Duration,
}

impl Stamp {
    pub(crate) const BYTES: usize = 33;
    const MAGIC: [u8; 2] = *b"\xaaS";
    const NONE: u32 = u32::MAX;

    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        out.extend(Self::MAGIC);
        out.extend(self.source.0.to_be_bytes());
        out.extend([
            self.encoding,
            self.index,
            self.count,
            self.temporal,
            u8::from(self.is_key),
        ]);
        out.extend(self.frame.to_be_bytes());
        for frame in self.refers_to {
            out.extend(frame.unwrap_or(Self::NONE).to_be_bytes());
        }
        out.extend((self.captured.as_micros() as u64).to_be_bytes());
        out.extend([self.spatial, 0x5a]);
    }

    /// The first packet of a frame that needs nothing before it.
    pub(crate) fn starts_keyframe(&self) -> bool {
        self.is_key && self.index == 0
    }

    pub(crate) fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; Self::BYTES] = bytes.first_chunk()?;
        if bytes[..2] != Self::MAGIC || bytes[Self::BYTES - 1] != 0x5a {
            return None;
        }
        let word = |at: usize| {
            u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let reference = |at| Some(word(at)).filter(|frame| *frame != Self::NONE);
        let micros = u64::from(word(23)) << 32 | u64::from(word(27));
        Some(Self {
            source: SourceId(word(2)),
            encoding: bytes[6],
            index: bytes[7],
            count: bytes[8],
            temporal: bytes[9],
            spatial: bytes[31],
            is_key: bytes[10] != 0,
            frame: word(11),
            refers_to: [reference(15), reference(19)],
            captured: Duration::from_micros(micros),
        })
    }
}

/// The fields of a VP8 payload descriptor that a receiver checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Vp8Head {
    pub(crate) starts_frame: bool,
    pub(crate) picture_id: u16,
    pub(crate) tl0_pic_idx: u8,
    pub(crate) temporal: u8,
    pub(crate) is_sync: bool,
}

impl Vp8Head {
    const BYTES: usize = 6;

    fn write(&self, out: &mut Vec<u8>) {
        let [high, low] = (self.picture_id | 0x8000).to_be_bytes();
        let start = if self.starts_frame { 0x10 } else { 0 };
        let sync = if self.is_sync { 0x20 } else { 0 };
        // X; I, L and T present.
        out.extend([
            0x80 | start,
            0xe0,
            high,
            low,
            self.tl0_pic_idx,
            self.temporal << 6 | sync,
        ]);
    }

    /// Reads a descriptor as this module writes it; returns what stands behind it.
    pub(crate) fn read(payload: &[u8]) -> Option<(Self, &[u8])> {
        let (head, rest) = payload.split_first_chunk::<{ Self::BYTES }>()?;
        let [first, 0xe0, high, low, tl0_pic_idx, layer] = *head else {
            return None;
        };
        if first & 0x80 == 0 || high & 0x80 == 0 {
            return None;
        }
        let head = Self {
            starts_frame: first & 0x10 != 0,
            picture_id: u16::from_be_bytes([high & 0x7f, low]),
            tl0_pic_idx,
            temporal: layer >> 6,
            is_sync: layer & 0x20 != 0,
        };
        Some((head, rest))
    }
}

/// A packet as a source makes it.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) sequence: u64,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) payload: Vec<u8>,
    /// Its dependency descriptor.
    pub(crate) dependencies: Option<Vec<u8>>,
}

/// One encoding of a source.
#[derive(Debug)]
pub(crate) struct Encoder {
    source: SourceId,
    encoding: u8,
    rate: u32,
    next_sequence: u64,
    first_timestamp: u32,
    frame: u32,
    picture_id: u16,
    tl0_pic_idx: u8,
    since_key: u32,
    last_base: Option<u32>,
    last_upper: Option<u32>,
    /// Draws of how large a picture is.
    dice: u32,
    /// What it makes of each picture, of what it would, 0 to 1.
    pub(crate) scale: f64,
    /// How many of the pictures it makes, 0 to 1, and what is due of the next.
    pub(crate) pictures: f64,
    due: f64,
    pub(crate) wants_key: bool,
    /// Switched off at the wish of the node.
    pub(crate) is_off: bool,
    /// Switched off because the link has no room for it.
    pub(crate) is_starved: bool,
    /// Does not work any more.
    pub(crate) is_stopped: bool,
}

impl Encoder {
    pub(crate) fn new(source: SourceId, encoding: u8, rate: u32, rng: &mut impl Rng) -> Self {
        Self {
            source,
            encoding,
            rate,
            // Near the wrap now and then.
            next_sequence: if rng.random_bool(0.2) {
                65_500
            } else {
                rng.random_range(0..60_000)
            },
            first_timestamp: rng.random(),
            frame: 0,
            picture_id: rng.random::<u16>() & 0x7fff,
            tl0_pic_idx: rng.random(),
            since_key: 0,
            last_base: None,
            last_upper: None,
            dice: rng.random(),
            scale: 1.0,
            pictures: 1.0,
            due: 0.0,
            wants_key: true,
            is_off: false,
            is_starved: false,
            is_stopped: false,
        }
    }

    /// Whether it makes anything.
    pub(crate) fn is_on(&self) -> bool {
        !self.is_off && !self.is_starved && !self.is_stopped
    }

    /// Whether it makes a picture of what is captured now, or leaves it out.
    pub(crate) fn takes_next(&mut self) -> bool {
        self.due += self.pictures;
        let is_due = self.due >= 1.0;
        if is_due {
            self.due -= 1.0;
        }
        is_due
    }

    /// It begins anew, with other numbers and another clock.
    pub(crate) fn renumber(&mut self, rng: &mut impl Rng) {
        self.next_sequence = rng.random_range(0..60_000);
        self.first_timestamp = rng.random();
        self.wants_key = true;
    }

    /// The RTP timestamp of a moment.
    pub(crate) fn timestamp(&self, captured: Duration) -> u32 {
        let ticks = captured.as_micros() * u128::from(self.rate) / 1_000_000;
        self.first_timestamp.wrapping_add(ticks as u32)
    }

    /// A packet of 20 ms of sound.
    pub(crate) fn audio(&mut self, captured: Duration) -> Made {
        let stamp = Stamp {
            source: self.source,
            encoding: 0,
            frame: self.frame,
            index: 0,
            count: 1,
            is_key: false,
            temporal: 0,
            spatial: 0,
            refers_to: [None; 2],
            captured,
        };
        let mut payload = Vec::with_capacity(80);
        stamp.write(&mut payload);
        payload.resize(80, 0x11);
        self.frame += 1;
        self.packet(captured, true, payload)
    }

    /// The packets of one frame.
    pub(crate) fn video(&mut self, captured: Duration, settings: &VideoSettings) -> Vec<Made> {
        if let Some(mode) = settings.codec.mode() {
            return self.scalable(captured, settings, mode);
        }
        let is_key = std::mem::take(&mut self.wants_key);
        if is_key {
            self.since_key = 0;
            self.last_upper = None;
        }
        let temporal = u8::from(settings.temporal_layers && self.since_key % 2 == 1);
        // Every fourth frame of layer 1 refers to the base layer alone.
        let is_sync = temporal == 1 && (self.since_key % 8 == 1 || self.last_upper.is_none());
        let refers_to = match (is_key, temporal, is_sync) {
            (true, ..) => [None; 2],
            (_, 1, false) => [self.last_base, self.last_upper],
            _ => [self.last_base, None],
        };
        if temporal == 0 {
            self.tl0_pic_idx = self.tl0_pic_idx.wrapping_add(1);
            self.last_base = Some(self.frame);
        } else {
            self.last_upper = Some(self.frame);
        }
        let index = usize::from(self.encoding);
        let small = || {
            let count = if is_key {
                settings.packets.saturating_mul(2)
            } else {
                settings.packets
            };
            (count, 100 + 60 * index)
        };
        let bitrate = settings.bitrates.get(index);
        let (count, size) = bitrate.map_or_else(small, |bitrate| {
            self.size(f64::from(*bitrate), settings.fps, is_key)
        });
        let mut packets = Vec::with_capacity(usize::from(count));
        for index in 0..count {
            let head = Vp8Head {
                starts_frame: index == 0,
                picture_id: self.picture_id,
                tl0_pic_idx: self.tl0_pic_idx,
                temporal,
                is_sync,
            };
            let stamp = Stamp {
                source: self.source,
                encoding: self.encoding,
                frame: self.frame,
                index,
                count,
                is_key,
                temporal,
                spatial: 0,
                refers_to,
                captured,
            };
            let mut payload = Vec::with_capacity(size);
            head.write(&mut payload);
            // The frame tag: bit 0 is 0 in a keyframe (RFC 6386 section 9.1).
            payload.push(u8::from(!is_key));
            stamp.write(&mut payload);
            payload.resize(size, 0x22);
            packets.push(self.packet(captured, index + 1 == count, payload));
        }
        self.frame += 1;
        self.since_key += 1;
        self.picture_id = (self.picture_id + 1) & 0x7fff;
        packets
    }

    /// Packets of a frame at so many bits per second, and bytes of each.
    fn size(&mut self, bitrate: f64, fps: u32, is_key: bool) -> (u8, usize) {
        /// Of a packet.
        const PAYLOAD: f64 = 1_100.0;
        /// A keyframe is so much larger; the frames after it make up for that.
        const KEY: f64 = 5.0;
        // An LCG of 32 bits (Numerical Recipes) is random enough for sizes.
        self.dice = self
            .dice
            .wrapping_mul(1_664_525)
            .wrapping_add(1_013_904_223);
        let varied = 0.7 + 0.6 * f64::from(self.dice >> 8) / f64::from(1 << 24);
        let factor = match (is_key, self.since_key) {
            (true, _) => KEY,
            // Over half a second.
            (false, 1..=15) => varied * 0.75,
            (false, _) => varied,
        };
        let bytes = bitrate / 8.0 / f64::from(fps) * factor * self.scale;
        let count = (bytes / PAYLOAD).ceil().clamp(1.0, 200.0);
        let size = (bytes / count).max(60.0);
        (count as u8, size as usize)
    }

    fn packet(&mut self, captured: Duration, marker: bool, payload: Vec<u8>) -> Made {
        let sequence = self.next_sequence;
        self.next_sequence += 1;
        Made {
            sequence,
            timestamp: self.timestamp(captured),
            marker,
            payload,
            dependencies: None,
        }
    }

    /// Frames made so far.
    pub(crate) fn frames(&self) -> u32 {
        self.frame
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng as _;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    #[test]
    fn a_frame_says_what_it_is() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut encoder = Encoder::new(SourceId(9), 1, 90_000, &mut rng);
        let settings = VideoSettings::default();
        let mut frames = Vec::new();
        for number in 0..4 {
            let packets = encoder.video(Duration::from_millis(number * 33), &settings);
            assert!(packets.iter().rev().skip(1).all(|packet| !packet.marker));
            assert!(packets.last().is_some_and(|packet| packet.marker));
            let (head, rest) = Vp8Head::read(&packets[0].payload).expect("written by us");
            let stamp = Stamp::read(&rest[1..]).expect("written by us");
            assert_eq!(usize::from(stamp.count), packets.len());
            frames.push((stamp.is_key, head.temporal, head.is_sync, stamp.refers_to));
        }
        assert_eq!(
            frames,
            [
                (true, 0, false, [None, None]),
                (false, 1, true, [Some(0), None]),
                (false, 0, false, [Some(0), None]),
                (false, 1, false, [Some(2), Some(1)]),
            ]
        );
        assert_eq!(
            Stamp::read(b"no stamp, but quite long enough to be one"),
            None
        );
    }
}
