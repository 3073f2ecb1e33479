//! An Opus track: a packet every 20 ms, with the loudness of speech or of a quiet room. RFC 7587
//! (payload), RFC 6716 section 3.1 (TOC byte), RFC 6464 (level).

use std::time::Duration;

use super::{Codec, MediaPacket, Noise, Stamp};

/// Configuration 15 of RFC 6716: hybrid, full band, 20 ms; mono; one frame in the packet.
const TOC: u8 = 15 << 3;
const DEFAULT_BITRATE: u64 = 32_000;
/// What an encoder makes of a quiet room, in bytes, where it does not stop sending.
const QUIET: usize = Stamp::LEN + 4;

/// Makes the packets of one audio track. Nothing is allocated per packet.
#[derive(Debug)]
pub struct AudioSource {
    track: u32,
    packet: MediaPacket,
    noise: Noise,
    mean: usize,
    number: u32,
    first_timestamp: u32,
    was_talking: bool,
}

impl AudioSource {
    /// Time from one packet to the next.
    pub const INTERVAL: Duration = Duration::from_millis(20);

    /// A source for track number `track` at 32 kbit/s.
    pub fn new(track: u32, seed: u64) -> Self {
        let mut noise = Noise::new(seed ^ u64::from(track).rotate_left(48));
        let first_timestamp = noise.next() as u32;
        let source = Self {
            track,
            packet: MediaPacket::default(),
            noise,
            mean: 0,
            number: 0,
            first_timestamp,
            was_talking: false,
        };
        source.with_bitrate(DEFAULT_BITRATE)
    }

    /// The same at `bitrate` bits per second while talking, stamp included.
    #[must_use]
    pub fn with_bitrate(mut self, bitrate: u64) -> Self {
        let packets_per_second = 1000 / Self::INTERVAL.as_millis() as u64;
        self.mean = (bitrate / 8 / packets_per_second).min(1000) as usize;
        self
    }

    /// Makes the next packet: loud while `talking`, else quiet and small. It stays until the next
    /// call; the time of sending is written with [`Stamp::write_time`].
    pub fn next(&mut self, talking: bool) -> &mut MediaPacket {
        let number = self.number;
        self.number = number.wrapping_add(1);
        let (length, level) = if talking {
            let length = (self.mean as f64 * (1.0 + 0.12 * self.noise.bell())) as usize;
            (
                length.clamp(QUIET, 1200),
                (-22.0 + 4.0 * self.noise.bell()) as i8,
            )
        } else {
            (QUIET, (-85.0 + 3.0 * self.noise.bell()) as i8)
        };
        let ticks = Codec::Opus.clock_rate() / 1000 * Self::INTERVAL.as_millis() as u32;

        let packet = &mut self.packet;
        packet.payload.clear();
        packet.payload.resize(length, 0x5A);
        packet.payload[0] = TOC;
        packet.timestamp = self
            .first_timestamp
            .wrapping_add(number.wrapping_mul(ticks));
        // RFC 3551 section 4.1: the first packet of a talkspurt.
        packet.marker = talking && !self.was_talking;
        packet.audio_level = Some(level);
        packet.voice = talking;
        self.was_talking = talking;
        let stamp = Stamp {
            track: self.track,
            layers: 1,
            frame: number,
            packets: 1,
            sequence: number,
            ..Stamp::default()
        };
        stamp.write(&mut packet.payload);
        packet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speech_is_loud_and_of_the_bitrate_and_silence_small() {
        let mut source = AudioSource::new(3, 9).with_bitrate(40_000);
        let first = source.next(true).clone();
        assert!(first.marker && first.voice && first.audio_level > Some(-40));
        let mut sum = first.payload.len();
        for _ in 1..500 {
            let packet = source.next(true);
            assert!(!packet.marker);
            sum += packet.payload.len();
        }
        let bitrate = sum as f64 * 8.0 / 10.0;
        assert!((bitrate / 40_000.0 - 1.0).abs() < 0.03, "{bitrate}");

        let quiet = source.next(false).clone();
        assert!(quiet.audio_level < Some(-60) && quiet.payload.len() < 50 && !quiet.voice);
        assert_eq!(quiet.timestamp.wrapping_sub(first.timestamp), 500 * 960);
        let stamp = Stamp::read(&quiet.payload).expect("stamped");
        assert_eq!((stamp.track, stamp.sequence, stamp.packets), (3, 500, 1));
    }
}
