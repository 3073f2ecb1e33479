//! Scalable streams: which frames a picture has, what they refer to, and the descriptors that say so (RTP
//! Payload Format For AV1, appendix A; RFC 9628). Must not make media, nor read what it writes.

/// How a stream is layered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scalability {
    /// Spatial layers, 1 to 3.
    pub spatial: u8,
    /// Temporal layers, 1 to 3.
    pub temporal: u8,
    /// When a spatial layer is predicted from the one below.
    pub prediction: Prediction,
}

/// When a spatial layer is predicted from the one below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Prediction {
    /// In every picture, as L3T3.
    Full,
    /// In keyframes only, as L3T3_KEY.
    Key,
    /// Never, as S3T3.
    Never,
}

/// A frame: one picture in one spatial layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerFrame {
    /// Spatial id.
    pub spatial: u8,
    /// Temporal id.
    pub temporal: u8,
    /// Index of its template.
    pub template: u8,
    /// How many frames back those lie that it refers to.
    pub distances: Vec<u8>,
    /// It refers to an earlier picture.
    pub is_inter_picture: bool,
    /// It refers to the spatial layer below.
    pub is_inter_layer: bool,
    /// A spatial layer above refers to it.
    pub is_referred_above: bool,
    /// Later pictures of higher temporal layers refer to none of them before this one.
    pub switches_up: bool,
}

/// Bits, most significant first.
#[derive(Debug, Default)]
struct Bits(Vec<bool>);

impl Bits {
    fn put(&mut self, value: u32, width: u32) {
        let bits = (0..width).rev().map(|bit| value >> bit & 1 != 0);
        self.0.extend(bits);
    }

    /// A number below `limit`, in the non-symmetric code.
    fn put_below(&mut self, value: u32, limit: u32) {
        let width = limit.ilog2() + 1;
        let short = (1 << width) - limit;
        if value < short {
            self.put(value, width - 1);
        } else {
            self.put((value + short) >> 1, width - 1);
            self.put((value + short) & 1, 1);
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let byte = |bits: &[bool]| {
            let ones = bits.iter().zip((0..8).rev()).filter(|(bit, _)| **bit);
            ones.fold(0, |byte, (_, at)| byte | 1 << at)
        };
        self.0.chunks(8).map(byte).collect()
    }
}

impl Scalability {
    /// By the name of the mode, for example "L3T3_KEY".
    pub fn named(name: &str) -> Option<Self> {
        let bytes = name.as_bytes();
        let [kind, spatial, b'T', temporal, rest @ ..] = bytes else {
            return None;
        };
        let prediction = match (kind, rest) {
            (b'L', b"") => Prediction::Full,
            (b'L', b"_KEY") => Prediction::Key,
            (b'S', b"") => Prediction::Never,
            _ => return None,
        };
        let count = |digit: u8| (b'1'..=b'3').contains(&digit).then(|| digit - b'0');
        Some(Self {
            spatial: count(*spatial)?,
            temporal: count(*temporal)?,
            prediction,
        })
    }

    /// Pictures after which the pattern of temporal layers repeats.
    fn period(self) -> u32 {
        1 << (self.temporal - 1)
    }

    /// Templates of each spatial layer: a keyframe's, then one for each place in the pattern, by temporal layer.
    fn phases(self) -> &'static [Option<u32>] {
        match self.temporal {
            1 => &[None, Some(0)],
            2 => &[None, Some(0), Some(1)],
            _ => &[None, Some(0), Some(2), Some(1), Some(3)],
        }
    }

    fn temporal_of(self, phase: Option<u32>) -> u8 {
        match (self.temporal, phase.unwrap_or(0)) {
            (_, 0) => 0,
            (2, _) => 1,
            (_, 2) => 1,
            _ => 2,
        }
    }

    /// How large the pictures of a temporal layer are, of the mean of all.
    pub(crate) fn weight(self, temporal: u8) -> f64 {
        match (self.temporal, temporal) {
            (1, _) => 1.0,
            (2, 0) => 1.2,
            (3, 0) => 1.6,
            _ => 0.8,
        }
    }

    /// The frames of the picture so many after the last keyframe.
    pub fn picture(self, since_key: u32) -> Vec<LayerFrame> {
        let phase = (since_key > 0).then(|| since_key % self.period());
        (0..self.spatial)
            .map(|spatial| self.frame(spatial, phase))
            .collect()
    }

    fn frame(self, spatial: u8, phase: Option<u32>) -> LayerFrame {
        let temporal = self.temporal_of(phase);
        let predicts = match self.prediction {
            Prediction::Full => true,
            Prediction::Key => phase.is_none(),
            Prediction::Never => false,
        };
        let pictures_back = match (temporal, phase) {
            (_, None) => None,
            (0, _) => Some(self.period()),
            (1, _) if self.temporal == 3 => Some(2),
            _ => Some(1),
        };
        let mut distances = Vec::new();
        let is_inter_layer = predicts && spatial > 0;
        if is_inter_layer {
            distances.push(1);
        }
        distances.extend(pictures_back.map(|back| back as u8 * self.spatial));
        let index = self.phases().iter().position(|known| *known == phase);
        LayerFrame {
            spatial,
            temporal,
            template: spatial * self.phases().len() as u8 + index.unwrap_or(0) as u8,
            distances,
            is_inter_picture: phase.is_some(),
            is_inter_layer,
            is_referred_above: predicts && spatial + 1 < self.spatial,
            switches_up: temporal + 1 < self.temporal,
        }
    }

    /// What a frame is to a decode target: 0 absent, 1 discardable, 2 switch, 3 required.
    fn indication(self, frame: &LayerFrame, (spatial, temporal): (u8, u8)) -> u32 {
        let is_key = !frame.is_inter_picture;
        let is_below = frame.spatial < spatial;
        let is_needed = match self.prediction {
            Prediction::Full => frame.spatial <= spatial,
            Prediction::Key if is_key => frame.spatial <= spatial,
            _ => frame.spatial == spatial,
        };
        match () {
            () if !is_needed || frame.temporal > temporal => 0,
            () if is_key => 2,
            () if is_below => 3,
            () if frame.temporal > 0 && frame.temporal == temporal => 1,
            () => 2,
        }
    }

    /// The chain of a spatial layer: frames without which nothing of it can be decoded.
    fn is_in_chain(self, frame: &LayerFrame, chain: u8) -> bool {
        frame.temporal == 0 && self.indication(frame, (chain, 0)) != 0
    }

    /// How far back the last frame of a chain lies.
    fn chain_distance(self, spatial: u8, phase: Option<u32>, chain: u8) -> u32 {
        let mut distance = 0;
        let below = (0..spatial).rev().map(|spatial| (spatial, phase));
        let before = phase.map(|phase| {
            let back = if phase == 0 { self.period() } else { phase };
            (1..=back).flat_map(move |back| {
                let earlier = Some((phase + self.period() - back) % self.period());
                (0..self.spatial)
                    .rev()
                    .map(move |spatial| (spatial, earlier))
            })
        });
        for (spatial, phase) in below.chain(before.into_iter().flatten()) {
            distance += 1;
            if self.is_in_chain(&self.frame(spatial, phase), chain) {
                return distance;
            }
        }
        0
    }

    /// Spatial and temporal id of each decode target.
    pub fn targets(self) -> impl Iterator<Item = (u8, u8)> {
        (0..self.spatial).flat_map(move |s| (0..self.temporal).map(move |t| (s, t)))
    }

    /// Ids of templates begin here.
    const OFFSET: u8 = 60;

    fn write_structure(self, bits: &mut Bits, (width, height): (u32, u32)) {
        let targets = u32::from(self.spatial * self.temporal);
        bits.put(Self::OFFSET.into(), 6);
        bits.put(targets - 1, 5);
        let spatial_layers = 0..self.spatial;
        let templates: Vec<(Option<u32>, LayerFrame)> = spatial_layers
            .flat_map(|spatial| {
                let phases = self.phases().iter();
                phases.map(move |phase| (*phase, self.frame(spatial, *phase)))
            })
            .collect();
        for (number, (_, frame)) in templates.iter().enumerate() {
            let next = templates.get(number + 1).map(|(_, next)| next);
            let step = match next {
                None => 3,
                Some(next) if next.spatial > frame.spatial => 2,
                Some(next) if next.temporal > frame.temporal => 1,
                Some(_) => 0,
            };
            bits.put(step, 2);
        }
        for (_, frame) in &templates {
            for target in self.targets() {
                bits.put(self.indication(frame, target), 2);
            }
        }
        for (_, frame) in &templates {
            for distance in &frame.distances {
                bits.put(1, 1);
                bits.put(u32::from(*distance) - 1, 4);
            }
            bits.put(0, 1);
        }
        let chains = u32::from(self.spatial);
        bits.put_below(chains, targets + 1);
        for (spatial, _) in self.targets() {
            bits.put_below(spatial.into(), chains);
        }
        for (phase, frame) in &templates {
            for chain in 0..self.spatial {
                bits.put(self.chain_distance(frame.spatial, *phase, chain), 4);
            }
        }
        bits.put(1, 1);
        for spatial in 0..self.spatial {
            let halvings = self.spatial - 1 - spatial;
            bits.put((width >> halvings) - 1, 16);
            bits.put((height >> halvings) - 1, 16);
        }
    }

    /// The dependency descriptor of a packet of a frame. With the size of the largest picture the structure is
    /// attached.
    pub fn descriptor(
        self,
        frame: &LayerFrame,
        number: u16,
        (starts, ends): (bool, bool),
        structure: Option<(u32, u32)>,
    ) -> Vec<u8> {
        let mut bits = Bits::default();
        bits.put(starts.into(), 1);
        bits.put(ends.into(), 1);
        bits.put(u32::from((frame.template + Self::OFFSET) % 64), 6);
        bits.put(number.into(), 16);
        if let Some(size) = structure {
            // Structure present; no mask, nothing custom.
            bits.put(0b10000, 5);
            self.write_structure(&mut bits, size);
        }
        bits.bytes()
    }

    /// The payload descriptor of a VP9 packet of a frame. With the size of the largest picture the layers are
    /// told.
    pub fn vp9_descriptor(
        self,
        frame: &LayerFrame,
        picture_id: u16,
        tl0_pic_idx: u8,
        (starts, ends): (bool, bool),
        structure: Option<(u32, u32)>,
    ) -> Vec<u8> {
        let mut bits = Bits::default();
        bits.put(1, 1);
        bits.put(frame.is_inter_picture.into(), 1);
        bits.put(1, 1);
        bits.put(0, 1);
        bits.put(starts.into(), 1);
        bits.put(ends.into(), 1);
        bits.put(structure.is_some().into(), 1);
        bits.put((!frame.is_referred_above).into(), 1);
        bits.put(1, 1);
        bits.put(picture_id.into(), 15);
        bits.put(frame.temporal.into(), 3);
        bits.put(frame.switches_up.into(), 1);
        bits.put(frame.spatial.into(), 3);
        bits.put(frame.is_inter_layer.into(), 1);
        bits.put(tl0_pic_idx.into(), 8);
        if let Some((width, height)) = structure {
            bits.put(u32::from(self.spatial) - 1, 3);
            // Sizes, and no description of the pattern.
            bits.put(0b10000, 5);
            for halvings in (0..self.spatial).rev() {
                bits.put(width >> halvings, 16);
                bits.put(height >> halvings, 16);
            }
        }
        bits.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_layer_in_three_rates_is_written_as_the_specification_says() {
        let mode = Scalability::named("L1T3").expect("a mode");
        let frames: Vec<_> = (0..5)
            .map(|picture| mode.picture(picture)[0].clone())
            .collect();
        let layers: Vec<_> = frames.iter().map(|frame| frame.temporal).collect();
        assert_eq!(layers, [0, 2, 1, 2, 0]);
        let distances: Vec<_> = frames.iter().map(|frame| frame.distances.clone()).collect();
        assert_eq!(distances, [vec![], vec![1], vec![2], vec![1], vec![4]]);
        let short = mode.descriptor(&frames[2], 0x0102, (true, true), None);
        assert_eq!(
            short,
            [0b1111_1110, 1, 2],
            "the third template, of id 62: ids begin at 60"
        );
        let long = mode.descriptor(&frames[0], 7, (true, false), Some((640, 360)));
        let written: String = long.iter().map(|byte| format!("{byte:08b}")).collect();
        let expected = [
            "10",
            "111100",
            "0000000000000111",
            "10000", // frame 7 starts, with its structure
            "111100",
            "00010", // ids from 60, three targets
            "00",
            "01",
            "01",
            "00",
            "11", // T0 T0 T1 T2 T2
            "101010",
            "101010",
            "000110",
            "000001",
            "000001", // SSS SSS -DS --D --D
            "0",
            "100110",
            "100010",
            "100000",
            "100000", // none, 4, 2, 1, 1
            "01",     // one chain of at most three
            "0000",
            "0100",
            "0010",
            "0001",
            "0011", // chain distances; all targets are of chain 0
            "1",
            "0000001001111111",
            "0000000101100111", // 640 x 360
        ];
        let expected = expected.concat();
        assert_eq!(&written[..expected.len()], expected);
    }
}
