//! What is sent as one RTP stream: its source, its numbers, and when its next frame is due.
//!
//! Must not know the stack beyond RTP headers and payload types.

use std::time::{Duration, Instant};

use bytes::Bytes;
use rtc::rtp;

use crate::engine::{PublishMedia, PublishTrack};
use crate::media::{AudioSource, Codec, EncodingSpec, MediaPacket, VideoSource};

/// Keyframe requests that follow a keyframe sooner than this are not answered, as in browsers.
const KEYFRAME_INTERVAL: Duration = Duration::from_millis(300);
/// A stream this far behind leaves out what cannot be made up for: this machine is too slow.
const FAR_BEHIND: Duration = Duration::from_millis(500);

/// A track, or one encoding of it.
pub(super) struct Stream {
    pub(super) cid: String,
    /// Index of the encoding within its track.
    pub(super) encoding: usize,
    pub(super) rid: Option<String>,
    pub(super) ssrc: u32,
    pub(super) bitrate: u64,
    pub(super) codec: Codec,
    /// When the next frame is made.
    pub(super) due: Instant,
    pub(super) wanted: bool,
    source: Source,
    sequence: u16,
    /// Added to the source's timestamps: time that passed while nobody wanted this encoding.
    skipped_ticks: u32,
    keyframe_wanted: bool,
    keyframe_at: Option<Instant>,
}

enum Source {
    Audio(AudioSource),
    Video(VideoSource),
}

/// Numbers of the agreed payload type and header extensions.
#[derive(Debug, Clone, Default)]
pub(super) struct Agreed {
    pub(super) payload_type: u8,
    pub(super) audio_level: Option<u8>,
    pub(super) mid: Option<(u8, Bytes)>,
    pub(super) rid: Option<(u8, Bytes)>,
}

impl Stream {
    /// The streams of a track, lowest encoding first.
    pub(super) fn of_track(track: &PublishTrack, seed: u64, now: Instant) -> Vec<Self> {
        let number = track.number;
        let stream = |encoding: usize, rid, bitrate, codec, source| Self {
            cid: track.cid.clone(),
            encoding,
            rid,
            ssrc: ssrc(seed, number, encoding),
            bitrate,
            codec,
            due: now,
            wanted: true,
            source,
            sequence: (seed.rotate_left(number % 64) ^ encoding as u64) as u16 & 0x7FFF,
            skipped_ticks: 0,
            keyframe_wanted: false,
            keyframe_at: None,
        };
        match &track.media {
            PublishMedia::Audio { bitrate } => {
                let source = AudioSource::new(number, seed).with_bitrate(*bitrate);
                vec![stream(
                    0,
                    None,
                    *bitrate,
                    Codec::Opus,
                    Source::Audio(source),
                )]
            }
            PublishMedia::Video { codec, encodings } => {
                let is_simulcast = encodings.len() > 1;
                let video = |(index, spec): (usize, &EncodingSpec)| {
                    let source = VideoSource::new(*codec, spec, number, index as u8, seed);
                    let rid = spec.rid.clone().filter(|_| is_simulcast);
                    stream(index, rid, spec.bitrate, *codec, Source::Video(source))
                };
                encodings.iter().enumerate().map(video).collect()
            }
        }
    }

    /// Starts the clock.
    pub(super) fn start(&mut self, now: Instant) {
        // Not all publishers' audio at the same instant; encodings of one camera together.
        let part = f64::from(self.sequence % 97) / 97.0;
        let phase = match self.source {
            Source::Audio(_) => AudioSource::INTERVAL.mul_f64(part),
            Source::Video(_) => Duration::ZERO,
        };
        self.due = now + phase;
    }

    fn interval(&self) -> Duration {
        match &self.source {
            Source::Audio(_) => AudioSource::INTERVAL,
            Source::Video(source) => source.frame_interval(),
        }
    }

    pub(super) fn on_keyframe_request(&mut self, now: Instant) {
        let is_recent = self
            .keyframe_at
            .is_some_and(|at| now.saturating_duration_since(at) < KEYFRAME_INTERVAL);
        self.keyframe_wanted |= !is_recent;
    }

    /// Sets whether anyone wants this stream. One that is wanted again begins with a keyframe, and
    /// its clock has gone on.
    pub(super) fn set_wanted(&mut self, now: Instant, wanted: bool) {
        if wanted && !self.wanted {
            let interval = self.interval();
            let missed = now.saturating_duration_since(self.due).as_nanos();
            let missed = u32::try_from(missed / interval.as_nanos().max(1)).unwrap_or(0);
            self.due += interval * missed;
            let ticks = interval.as_secs_f64() * f64::from(self.codec.clock_rate());
            let ticks = (ticks * f64::from(missed)) as u32;
            self.skipped_ticks = self.skipped_ticks.wrapping_add(ticks);
            self.keyframe_wanted = true;
        }
        self.wanted = wanted;
    }

    /// Makes the next frame or audio packet: `send` gets each RTP packet of it.
    pub(super) fn make(
        &mut self,
        now: Instant,
        talking: bool,
        agreed: &Agreed,
        mut send: impl FnMut(rtp::Packet),
    ) {
        self.due += self.interval();
        if now.saturating_duration_since(self.due) > FAR_BEHIND {
            self.due = now;
        }
        let packets = match &mut self.source {
            Source::Audio(source) => std::slice::from_mut(source.next(talking)),
            Source::Video(source) => source.next_frame(std::mem::take(&mut self.keyframe_wanted)),
        };
        if packets.first().is_some_and(|packet| packet.keyframe) {
            self.keyframe_at = Some(now);
        }
        for packet in packets {
            let mut header = agreed.header(packet);
            header.ssrc = self.ssrc;
            header.sequence_number = self.sequence;
            header.timestamp = packet.timestamp.wrapping_add(self.skipped_ticks);
            self.sequence = self.sequence.wrapping_add(1);
            let payload = Bytes::copy_from_slice(&packet.payload);
            send(rtp::Packet { header, payload });
        }
    }
}

impl Agreed {
    fn header(&self, packet: &MediaPacket) -> rtp::Header {
        let mut header = rtp::Header {
            version: 2,
            marker: packet.marker,
            payload_type: self.payload_type,
            ..rtp::Header::default()
        };
        let level = packet.audio_level.zip(self.audio_level).map(|(level, id)| {
            // RFC 6464: the voice flag, and the level without its sign.
            let byte = u8::from(packet.voice) << 7 | (level.unsigned_abs() & 0x7F);
            (id, Bytes::copy_from_slice(&[byte]))
        });
        let named = self.mid.iter().chain(&self.rid).cloned();
        for (id, value) in named.chain(level) {
            // Ids that were agreed always fit.
            let _ = header.set_extension(id, value);
        }
        header
    }
}

/// Differs by participant, track and encoding; never 0.
fn ssrc(seed: u64, track: u32, encoding: usize) -> u32 {
    let mixed = (seed ^ u64::from(track).rotate_left(32) ^ (encoding as u64 + 1))
        .wrapping_mul(0x9E37_79B9_7F4A_7C15);
    (mixed >> 32) as u32 | 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn video(encodings: usize) -> PublishTrack {
        let spec = |index: usize| EncodingSpec {
            rid: Some(["q", "h", "f"][index].to_owned()),
            width: 320 << index,
            height: 180 << index,
            fps: 30,
            bitrate: 150_000 << (2 * index),
            temporal_layers: 1,
        };
        PublishTrack {
            cid: "camera".to_owned(),
            number: 3,
            media: PublishMedia::Video {
                codec: Codec::Vp8,
                encodings: (0..encodings).map(spec).collect(),
            },
        }
    }

    fn packets(stream: &mut Stream, now: Instant) -> Vec<rtp::Packet> {
        let mut packets = Vec::new();
        stream.make(now, true, &Agreed::default(), |packet| packets.push(packet));
        packets
    }

    #[test]
    fn only_one_of_several_encodings_has_a_rid() {
        let now = Instant::now();
        let single = Stream::of_track(&video(1), 1, now);
        assert_eq!(single[0].rid, None);
        let three = Stream::of_track(&video(3), 1, now);
        let rids: Vec<_> = three.iter().map(|stream| stream.rid.as_deref()).collect();
        assert_eq!(rids, [Some("q"), Some("h"), Some("f")]);
        assert!(three[0].ssrc != three[1].ssrc && three[1].ssrc != three[2].ssrc);
    }

    #[test]
    fn a_stream_wanted_again_begins_with_a_keyframe_at_the_time_it_is() {
        let start = Instant::now();
        let mut stream = Stream::of_track(&video(1), 1, start).remove(0);
        let first = packets(&mut stream, start);
        let before = first[0].header.timestamp;
        stream.set_wanted(start, false);
        let later = start + Duration::from_secs(3);
        stream.set_wanted(later, true);
        let again = packets(&mut stream, later);
        assert_eq!(again[0].payload[6] & 1, 0, "a VP8 keyframe");
        let passed = again[0].header.timestamp.wrapping_sub(before);
        assert!(passed.abs_diff(3 * 90_000) <= 3_000, "{passed}");
        let expected = first[0].header.sequence_number + first.len() as u16;
        assert_eq!(again[0].header.sequence_number, expected);
    }

    #[test]
    fn a_keyframe_is_made_once_for_many_requests() {
        let start = Instant::now();
        let mut stream = Stream::of_track(&video(1), 1, start).remove(0);
        packets(&mut stream, start);
        stream.on_keyframe_request(start + Duration::from_millis(100));
        assert!(!stream.keyframe_wanted, "one has just been sent");
        stream.on_keyframe_request(start + Duration::from_millis(400));
        assert!(stream.keyframe_wanted);
    }

    #[test]
    fn loudness_goes_into_the_header() {
        let now = Instant::now();
        let track = PublishTrack {
            cid: "microphone".to_owned(),
            number: 1,
            media: PublishMedia::Audio { bitrate: 32_000 },
        };
        let mut stream = Stream::of_track(&track, 1, now).remove(0);
        let agreed = Agreed {
            payload_type: 111,
            audio_level: Some(4),
            ..Agreed::default()
        };
        let mut levels = Vec::new();
        for talking in [true, false] {
            stream.make(now, talking, &agreed, |packet| {
                levels.extend(packet.header.get_extension(4));
            });
        }
        assert!(
            levels[0][0] & 0x80 != 0 && levels[0][0] & 0x7F < 40,
            "{levels:?}"
        );
        assert!(
            levels[1][0] & 0x80 == 0 && levels[1][0] & 0x7F > 60,
            "{levels:?}"
        );
    }
}
