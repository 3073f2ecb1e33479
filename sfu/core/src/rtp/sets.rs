//! Parameter sets of H.264 (RFC 6184) and H.265 (RFC 7798) in front of keyframes. Encoders that are described by
//! an SDP file may leave them there and out of the stream, where browsers look for them alone.
//!
//! Reads unit headers only. Must not know where the payloads come from.

use std::sync::Arc;

use super::{
    Codec,
    keyframe::{Unit, units},
};

/// Bytes of a payload made here: it has to fit a packet of the Internet.
const PAYLOAD_MAX: usize = 1_200;

/// Units kept: three of H.265, and some more of each kind.
const UNITS_MAX: usize = 8;

/// The parameter sets of a stream, and which of its pictures had them.
#[derive(Debug, Clone, Default)]
pub(crate) struct ParameterSets {
    units: Vec<Arc<[u8]>>,
    /// Timestamp of the picture that they came with.
    came_with: Option<u32>,
    /// Timestamp of the picture that they were put in front of.
    put_before: Option<u32>,
}

impl ParameterSets {
    /// Those of a description; what is too much is left out.
    pub(crate) fn new(units: impl IntoIterator<Item = Vec<u8>>) -> Self {
        let units = units.into_iter().filter(|unit| !unit.is_empty());
        Self {
            units: units.take(UNITS_MAX).map(Arc::from).collect(),
            ..Self::default()
        }
    }

    /// Looks at a payload of the stream. Returns the payload that has to go in front of it, when it begins a
    /// keyframe to which no parameter sets came.
    pub(crate) fn missing_before(
        &mut self,
        codec: Codec,
        payload: &[u8],
        timestamp: u32,
    ) -> Option<Arc<[u8]>> {
        if !matches!(codec, Codec::H264 | Codec::H265) {
            return None;
        }
        let mut begins = false;
        for unit in units(codec, payload) {
            match unit {
                Unit::ParameterSet(unit) => self.take(unit, timestamp),
                Unit::Keyframe => begins = true,
                Unit::Other => {}
            }
        }
        let has_them = [self.came_with, self.put_before].contains(&Some(timestamp));
        if !begins || has_them {
            return None;
        }
        self.put_before = Some(timestamp);
        self.aggregate(codec)
    }

    /// Those of a picture take the place of all before.
    fn take(&mut self, unit: &[u8], timestamp: u32) {
        if self.came_with != Some(timestamp) {
            self.came_with = Some(timestamp);
            self.units.clear();
        }
        if self.units.len() < UNITS_MAX && !unit.is_empty() {
            self.units.push(Arc::from(unit));
        }
    }

    /// All of them as one payload (RFC 6184 section 5.7.1, RFC 7798 section 4.4.2); none where there are none, or
    /// too many.
    fn aggregate(&self, codec: Codec) -> Option<Arc<[u8]>> {
        // Of H.265 with layer 0 and temporal id 1, of H.264 with the importance of parameter sets.
        let mut out = match codec {
            Codec::H265 => vec![48 << 1, 1],
            _ => vec![0x60 | 24],
        };
        for unit in &self.units {
            out.extend_from_slice(&u16::try_from(unit.len()).ok()?.to_be_bytes());
            out.extend_from_slice(unit);
        }
        (!self.units.is_empty() && out.len() <= PAYLOAD_MAX).then(|| Arc::from(out))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rtp::keyframe::{h264_starts_keyframe, h265_starts_keyframe};

    const SPS: &[u8] = &[0x67, 0x42, 0xc0];
    const PPS: &[u8] = &[0x68, 0xce];
    const IDR: &[u8] = &[0x65, 0x88, 1];
    const SLICE: &[u8] = &[0x41, 0x9a];
    const TOGETHER: &[u8] = &[0x78, 0, 3, 0x67, 0x42, 0xc0, 0, 2, 0x68, 0xce];

    fn told() -> ParameterSets {
        ParameterSets::new([SPS.to_vec(), PPS.to_vec()])
    }

    #[test]
    fn a_keyframe_without_parameter_sets_gets_those_of_the_description() {
        let mut sets = told();
        let mut look = |payload, at| sets.missing_before(Codec::H264, payload, at);
        assert_eq!(look(SLICE, 1), None);
        let put = look(IDR, 2).expect("parameter sets");
        assert_eq!(&*put, TOGETHER);
        assert!(h264_starts_keyframe(&put));
        assert_eq!(look(IDR, 2), None, "once for each picture");
        assert_eq!(look(&[28, 0x05, 1], 3), None, "the middle of a keyframe");
        assert!(
            look(&[28, 0x85, 0x88], 3).is_some(),
            "its fragmented beginning"
        );
    }

    #[test]
    fn those_of_the_stream_come_first_and_are_kept() {
        let mut sets = told();
        let mut look = |payload, at| sets.missing_before(Codec::H264, payload, at);
        let other: &[u8] = &[0x67, 0x64, 0x1f];
        assert_eq!(look(other, 1), None);
        assert_eq!(look(PPS, 1), None);
        assert_eq!(look(IDR, 1), None, "it had them");
        let put = look(IDR, 2).expect("those of before");
        assert_eq!(&*put, [0x78, 0, 3, 0x67, 0x64, 0x1f, 0, 2, 0x68, 0xce]);
        let aggregated = [TOGETHER, &[0, 3], IDR].concat();
        assert_eq!(look(&aggregated, 3), None, "in one packet with it");
        assert_eq!(&*look(IDR, 4).expect("those again"), TOGETHER);
    }

    #[test]
    fn of_h265_too() {
        let (vps, sps, pps) = ([0x40, 1, 7], [0x42, 1, 8], [0x44, 1, 9]);
        let all = [&vps[..], &sps, &pps].map(<[u8]>::to_vec);
        let mut sets = ParameterSets::new(all);
        let idr = [19 << 1, 1, 0x80];
        let put = sets
            .missing_before(Codec::H265, &idr, 1)
            .expect("parameter sets");
        let expected = [
            0x60, 1, 0, 3, 0x40, 1, 7, 0, 3, 0x42, 1, 8, 0, 3, 0x44, 1, 9,
        ];
        assert_eq!(&*put, expected);
        assert!(h265_starts_keyframe(&put));
        // In its own aggregation, and a fragment that begins.
        assert_eq!(sets.missing_before(Codec::H265, &put, 2), None);
        assert_eq!(sets.missing_before(Codec::H265, &idr, 2), None);
        let fragment = [49 << 1, 1, 0x80 | 19, 0x80];
        assert!(sets.missing_before(Codec::H265, &fragment, 3).is_some());
    }

    #[test]
    fn nothing_is_made_up() {
        let mut none = ParameterSets::default();
        assert_eq!(none.missing_before(Codec::H264, IDR, 1), None);
        let mut large = ParameterSets::new([vec![0x67; 1_199]]);
        assert_eq!(large.missing_before(Codec::H264, IDR, 1), None);
        assert_eq!(told().missing_before(Codec::Vp8, IDR, 1), None);
    }
}
