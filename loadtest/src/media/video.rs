//! One encoding of a video track: frame after frame, sized like an encoder's, cut into stamped
//! payloads. Must not know when a frame is due or when it is sent: the caller does.

use std::time::Duration;

use super::packetize::{Frame, Packetizer, Packets};
use super::rate::RateModel;
use super::temporal::Ladder;
use super::{Codec, EncodingSpec, MediaPacket, Noise, Stamp};

/// Makes the frames of one encoding. Buffers are reused: nothing is allocated once the biggest frame
/// has been made.
#[derive(Debug)]
pub struct VideoSource {
    packetizer: Packetizer,
    rate: RateModel,
    ladder: Ladder,
    packets: Packets,
    clock_rate: u32,
    fps: u32,
    track: u32,
    encoding: u8,
    frame: u32,
    sequence: u32,
    first_timestamp: u32,
    first_picture_id: u16,
}

impl VideoSource {
    /// A source for encoding number `encoding` (0 = smallest) of track number `track`. Sizes, start
    /// of timestamps and picture ids follow from `seed`. `codec` is a video codec; an audio codec
    /// makes frames without packets.
    pub fn new(codec: Codec, spec: &EncodingSpec, track: u32, encoding: u8, seed: u64) -> Self {
        let mut noise =
            Noise::new(seed ^ (u64::from(track) << 8 | u64::from(encoding)).rotate_left(40));
        let ladder = Ladder::new(spec.temporal_layers);
        Self {
            packetizer: Packetizer::new(codec, spec),
            rate: RateModel::new(spec.bitrate, spec.fps, noise.next()),
            ladder,
            packets: Packets::default(),
            clock_rate: codec.clock_rate(),
            fps: spec.fps.max(1),
            track,
            encoding,
            frame: 0,
            sequence: 0,
            first_timestamp: noise.next() as u32,
            first_picture_id: noise.next() as u16,
        }
    }

    /// Time from one frame to the next.
    pub fn frame_interval(&self) -> Duration {
        Duration::from_secs(1) / self.fps
    }

    /// Packets made so far.
    pub fn packets_sent(&self) -> u32 {
        self.sequence
    }

    /// Makes the next frame: a keyframe if asked for, and the first one always. The packets stay
    /// until the next call; the time of sending is written into each with [`Stamp::write_time`].
    pub fn next_frame(&mut self, keyframe: bool) -> &mut [MediaPacket] {
        let number = self.frame;
        self.frame = number.wrapping_add(1);
        let place = self.ladder.step(keyframe);
        let size = self
            .rate
            .next_size(place.keyframe, self.ladder.layers(), place.temporal);
        let picture_id = self.first_picture_id.wrapping_add(number as u16) & 0x7FFF;
        self.packetizer.packetize(
            &Frame {
                size,
                place,
                picture_id,
            },
            &mut self.packets,
        );

        let ticks = u64::from(number) * u64::from(self.clock_rate) / u64::from(self.fps);
        let timestamp = self.first_timestamp.wrapping_add(ticks as u32);
        let packets = self.packets.as_mut_slice();
        let count = packets.len();
        for (index, packet) in packets.iter_mut().enumerate() {
            let stamp = Stamp {
                track: self.track,
                encoding: self.encoding,
                temporal: place.temporal,
                layers: self.ladder.layers(),
                phase: place.phase,
                reference: place.reference,
                frame: number,
                packet: index as u16,
                packets: count as u16,
                sequence: self.sequence,
                sent_ns: 0,
            };
            stamp.write(&mut packet.payload);
            self.sequence = self.sequence.wrapping_add(1);
            packet.timestamp = timestamp;
            packet.marker = index + 1 == count;
            packet.keyframe = place.keyframe;
        }
        packets
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use proptest::prelude::*;
    use rtc_rtp::codec::{av1::Av1Depacketizer, h264::H264Packet, vp8::Vp8Packet, vp9::Vp9Packet};
    use rtc_rtp::packetizer::Depacketizer;
    use str0m::format::{
        detect_av1_keyframe, detect_h264_keyframe, detect_vp8_keyframe, detect_vp9_keyframe,
    };

    use super::super::MAX_PAYLOAD;
    use super::*;

    const VIDEO: [Codec; 4] = [Codec::Vp8, Codec::Vp9, Codec::H264, Codec::Av1];

    fn spec(bitrate: u64, temporal_layers: u8) -> EncodingSpec {
        EncodingSpec {
            rid: None,
            width: 1280,
            height: 720,
            fps: 30,
            bitrate,
            temporal_layers,
        }
    }

    fn make(codec: Codec, bitrate: u64, temporal_layers: u8) -> VideoSource {
        VideoSource::new(codec, &spec(bitrate, temporal_layers), 4, 2, 11)
    }

    fn bytes(packet: &MediaPacket) -> Bytes {
        Bytes::copy_from_slice(&packet.payload)
    }

    #[test]
    fn another_stack_sees_the_keyframes() {
        type Detect = fn(&[u8]) -> bool;
        let detectors: [(Codec, Detect); 4] = [
            (Codec::Vp8, detect_vp8_keyframe),
            (Codec::Vp9, detect_vp9_keyframe),
            (Codec::H264, detect_h264_keyframe),
            (Codec::Av1, detect_av1_keyframe),
        ];
        for (codec, detect) in detectors {
            let mut source = make(codec, 1_500_000, 3);
            for frame in 0..40 {
                let packets = source.next_frame(frame == 25);
                let seen = packets.iter().any(|packet| detect(&packet.payload));
                assert_eq!(seen, frame == 0 || frame == 25, "{codec}, frame {frame}");
                assert_eq!(packets[0].keyframe, seen);
            }
        }
    }

    #[test]
    fn vp8_descriptors_count_pictures_and_base_layers() {
        let mut source = make(Codec::Vp8, 900_000, 3);
        let mut previous: Option<Vp8Packet> = None;
        let mut base = 0;
        for frame in 0..200 {
            let packets = source.next_frame(false);
            for (index, packet) in packets.iter().enumerate() {
                let mut parsed = Vp8Packet::default();
                parsed.depacketize(&bytes(packet)).expect("a descriptor");
                assert_eq!(parsed.s == 1, index == 0);
                assert_eq!(parsed.tid, [0, 2, 1, 2][frame % 4]);
                if index == 0 {
                    if let Some(before) = previous {
                        assert_eq!(parsed.picture_id, (before.picture_id + 1) & 0x7FFF);
                        base = before.tl0_pic_idx.wrapping_add(u8::from(parsed.tid == 0));
                    } else {
                        base = parsed.tl0_pic_idx;
                    }
                    previous = Some(parsed.clone());
                }
                assert_eq!(parsed.tl0_pic_idx, base);
            }
        }
    }

    #[test]
    fn a_vp8_keyframe_tells_its_size() {
        let mut source = make(Codec::Vp8, 900_000, 1);
        let packets = source.next_frame(true);
        let mut parsed = Vp8Packet::default();
        let frame = parsed
            .depacketize(&bytes(&packets[0]))
            .expect("a descriptor");
        assert_eq!(frame[0] & 1, 0);
        assert_eq!(frame[3..6], [0x9D, 0x01, 0x2A]);
        assert_eq!(frame[6..10], [0x00, 0x05, 0xD0, 0x02]);
    }

    #[test]
    fn vp9_keyframes_carry_the_structure() {
        for (layers, group) in [(1, vec![]), (2, vec![0, 1]), (3, vec![0, 2, 1, 2])] {
            let mut source = make(Codec::Vp9, 900_000, layers);
            let packets = source.next_frame(true);
            let last = packets.len() - 1;
            for (index, packet) in packets.iter().enumerate() {
                let mut parsed = Vp9Packet::default();
                let frame = parsed.depacketize(&bytes(packet)).expect("a descriptor");
                assert_eq!((parsed.b, parsed.e), (index == 0, index == last));
                assert!(parsed.i && !parsed.p && !parsed.f);
                assert_eq!(parsed.v, index == 0);
                if index == 0 {
                    assert_eq!(
                        (&parsed.width[..], &parsed.height[..]),
                        (&[1280][..], &[720][..])
                    );
                    assert_eq!(parsed.pgtid, group);
                    assert_eq!(frame[1..4], [0x49, 0x83, 0x42]);
                }
            }
            let packets = source.next_frame(false);
            let mut parsed = Vp9Packet::default();
            parsed
                .depacketize(&bytes(&packets[0]))
                .expect("a descriptor");
            assert!(parsed.p && !parsed.v);
            assert_eq!(parsed.l, layers > 1);
        }
    }

    #[test]
    fn h264_frames_come_back_as_units() {
        let mut source = make(Codec::H264, 1_500_000, 1);
        for (keyframe, expected) in [(true, vec![7, 8, 6, 5]), (false, vec![1])] {
            let packets = source.next_frame(keyframe);
            let mut parsed = H264Packet::default();
            parsed.is_avc = true;
            let mut kinds = Vec::new();
            for packet in packets.iter() {
                let stream = parsed.depacketize(&bytes(packet)).expect("a unit");
                let mut rest = &stream[..];
                while let Some((length, units)) = rest.split_first_chunk::<4>() {
                    kinds.push(units[0] & 0x1F);
                    rest = &units[u32::from_be_bytes(*length) as usize..];
                }
            }
            assert_eq!(kinds, expected);
        }
        // Small ones need no fragments.
        let mut small = make(Codec::H264, 100_000, 1);
        small.next_frame(true);
        let packets = small.next_frame(false);
        assert_eq!((packets.len(), packets[0].payload[0]), (1, 0x41));
    }

    #[test]
    fn an_av1_keyframe_is_a_sequence_header_and_a_frame() {
        let mut source = make(Codec::Av1, 1_500_000, 1);
        for (keyframe, expected) in [(true, vec![1, 6]), (false, vec![6])] {
            let packets = source.next_frame(keyframe);
            let mut parsed = Av1Depacketizer::new();
            let mut stream = Vec::new();
            for (index, packet) in packets.iter().enumerate() {
                stream.extend(parsed.depacketize(&bytes(packet)).expect("units"));
                assert_eq!(parsed.n, keyframe && index == 0);
                assert_eq!(parsed.z, index > 0);
            }
            assert_eq!(units(&stream), expected);
        }
    }

    /// Kinds of the OBUs in a low-overhead stream.
    fn units(mut stream: &[u8]) -> Vec<u8> {
        let mut kinds = Vec::new();
        while let [header, rest @ ..] = stream {
            kinds.push(header >> 3 & 0x0F);
            let (mut length, mut shift, mut at) = (0usize, 0, usize::from(header >> 2 & 1));
            loop {
                let byte = rest[at];
                at += 1;
                length |= usize::from(byte & 0x7F) << shift;
                shift += 7;
                if byte & 0x80 == 0 {
                    break;
                }
            }
            stream = &rest[at + length..];
        }
        kinds
    }

    #[test]
    fn parameter_sets_tell_the_size() {
        // Bits of the values that follow one another, as the two standards order them.
        let mut source = make(Codec::H264, 300_000, 1);
        let sps = &source.next_frame(true)[0].payload[3..];
        // Profile 66, constraints, level 31; then 80 columns of 16 (ue 79) and 45 rows (ue 44), which
        // need no cropping: 1 1 011 00100 0 0000001010000 00000101101 1 1 0 0 1.
        assert_eq!(sps[..4], [0x67, 66, 0xE0, 31]);
        let bits: String = sps[4..10]
            .iter()
            .map(|byte| format!("{byte:08b}"))
            .collect();
        assert_eq!(&bits[..39], "110110010000000001010000000001011011100");
        let mut source = make(Codec::Av1, 300_000, 1);
        let header = &source.next_frame(true)[0].payload[3..];
        let bits: String = header[..10]
            .iter()
            .map(|byte| format!("{byte:08b}"))
            .collect();
        // After 30 bits: widths of the two sizes less one, then 1279 in 11 bits and 719 in 10.
        assert_eq!(&bits[30..38], "10101001");
        assert_eq!(&bits[38..59], "100111111111011001111");
    }

    #[test]
    fn frames_follow_the_clock_and_the_bitrate() {
        for codec in VIDEO {
            let mut source = make(codec, 1_500_000, 3);
            let first = source.next_frame(false)[0].timestamp;
            let mut sum = 0;
            for frame in 1..=600u32 {
                let packets = source.next_frame(false);
                assert_eq!(packets[0].timestamp.wrapping_sub(first), frame * 3000);
                sum += packets
                    .iter()
                    .map(|packet| packet.payload.len())
                    .sum::<usize>();
            }
            let bitrate = sum as f64 * 8.0 / 20.0;
            assert!(
                (bitrate / 1_500_000.0 - 1.0).abs() < 0.06,
                "{codec}: {bitrate}"
            );
        }
    }

    #[test]
    fn nothing_is_allocated_once_the_biggest_frame_was_made() {
        let mut source = make(Codec::Vp8, 1_500_000, 3);
        let key: Vec<*const u8> = source
            .next_frame(true)
            .iter()
            .map(|packet| packet.payload.as_ptr())
            .collect();
        for _ in 0..100 {
            let packets = source.next_frame(false);
            assert!(
                packets
                    .iter()
                    .zip(&key)
                    .all(|(packet, old)| packet.payload.as_ptr() == *old)
            );
        }
    }

    proptest! {
        #[test]
        fn every_packet_fits_and_is_stamped(
            codec in proptest::sample::select(VIDEO.to_vec()),
            bitrate in 30_000u64..8_000_000,
            layers in 1u8..=3,
            seed in any::<u64>(),
            keyframes in proptest::collection::vec(proptest::bool::weighted(0.1), 1..40),
        ) {
            let mut source = VideoSource::new(codec, &spec(bitrate, layers), 9, 1, seed);
            let mut sequence = 0;
            for (number, keyframe) in keyframes.iter().enumerate() {
                let packets = source.next_frame(*keyframe);
                let count = packets.len();
                prop_assert!(count > 0);
                // Equal as far as the format allows: a parameter set comes on its own.
                let slices = &packets[usize::from(codec == Codec::H264 && packets[0].keyframe)..];
                if slices.len() > 2 {
                    let lengths = slices[1..].iter().map(|packet| packet.payload.len());
                    let (least, most) = (lengths.clone().min(), lengths.max());
                    prop_assert!(most <= least.map(|length| length + 1));
                }
                for (index, packet) in packets.iter().enumerate() {
                    prop_assert!(packet.payload.len() <= MAX_PAYLOAD);
                    prop_assert_eq!(packet.marker, index + 1 == count);
                    let stamp = Stamp::read(&packet.payload);
                    prop_assert!(stamp.is_some());
                    let stamp = stamp.unwrap_or_default();
                    prop_assert_eq!(
                        (stamp.track, stamp.encoding, stamp.frame, stamp.sequence),
                        (9, 1, number as u32, sequence)
                    );
                    prop_assert_eq!((stamp.packet, stamp.packets), (index as u16, count as u16));
                    prop_assert_eq!(stamp.reference == 0, number == 0 || *keyframe);
                    sequence += 1;
                }
            }
        }
    }
}
