//! One RTP stream that a publisher sends: an audio track, or an encoding of a video track.
//!
//! Owns its source, its RTP numbers and its clock. Must not send.

use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::Rtc;
use str0m::format::Codec as StackCodec;
use str0m::media::{Mid, Pt, Rid, Simulcast, SimulcastLayer};

use crate::engine::{PublishMedia, PublishTrack};
use crate::media::{AudioSource, Codec, EncodingSpec, VideoSource};

/// Keyframe requests that follow a keyframe sooner than this are not answered, as in browsers.
const KEYFRAME_INTERVAL: Duration = Duration::from_millis(300);

/// A track, or one encoding of it.
pub(super) struct Stream {
    pub(super) cid: String,
    pub(super) encoding: usize,
    pub(super) mid: Mid,
    pub(super) rid: Option<Rid>,
    pub(super) pt: Option<Pt>,
    pub(super) sequence: u64,
    pub(super) bitrate: u64,
    pub(super) source: Source,
    /// When the next frame is made.
    pub(super) due: Instant,
    pub(super) wanted: bool,
}

pub(super) enum Source {
    Audio(AudioSource),
    Video(Box<Video>),
}

pub(super) struct Video {
    pub(super) source: VideoSource,
    pub(super) codec: Codec,
    pub(super) keyframe_wanted: bool,
    pub(super) keyframe_at: Option<Instant>,
    /// Added to the source's timestamps: time that passed while nobody wanted this encoding.
    pub(super) skipped_ticks: u32,
}

/// A packet that waits for the pacer.
pub(super) struct Queued {
    pub(super) stream: usize,
    pub(super) payload: Arc<[u8]>,
    pub(super) timestamp: u32,
    pub(super) marker: bool,
}

impl Source {
    pub(super) fn codec(&self) -> Codec {
        match self {
            Self::Audio(_) => Codec::Opus,
            Self::Video(video) => video.codec,
        }
    }
}

impl Video {
    pub(super) fn next_frame(
        &mut self,
        now: Instant,
        stream: usize,
    ) -> impl Iterator<Item = Queued> + '_ {
        let keyframe = std::mem::take(&mut self.keyframe_wanted);
        let skipped = self.skipped_ticks;
        let packets = self.source.next_frame(keyframe);
        if packets.first().is_some_and(|packet| packet.keyframe) {
            self.keyframe_at = Some(now);
        }
        packets.iter().map(move |packet| Queued {
            stream,
            payload: packet.payload.as_slice().into(),
            timestamp: packet.timestamp.wrapping_add(skipped),
            marker: packet.marker,
        })
    }
}

impl Stream {
    /// Where in its interval this stream makes its frames: a part of it that differs by stream.
    pub(super) fn phase(&self) -> Duration {
        match &self.source {
            Source::Audio(_) => AudioSource::INTERVAL.mul_f64((self.sequence % 97) as f64 / 97.0),
            // Encodings of a track are made of one camera picture, at one time.
            Source::Video(_) => Duration::ZERO,
        }
    }

    pub(super) fn on_keyframe_request(&mut self, now: Instant) {
        if let Source::Video(video) = &mut self.source {
            let recent = video
                .keyframe_at
                .is_some_and(|at| now.saturating_duration_since(at) < KEYFRAME_INTERVAL);
            video.keyframe_wanted |= !recent;
        }
    }

    /// Somebody wants this encoding again: its clock has gone on, and it begins with a keyframe.
    pub(super) fn resume(&mut self, now: Instant) {
        if let Source::Video(video) = &mut self.source {
            let interval = video.source.frame_interval();
            let behind = now.saturating_duration_since(self.due).as_nanos();
            // The next frame is made in its turn, not late.
            let intervals = behind.div_ceil(interval.as_nanos().max(1));
            let intervals = u32::try_from(intervals).unwrap_or(0);
            self.due += interval * intervals;
            let ticks = interval.as_secs_f64() * f64::from(video.codec.clock_rate());
            video.skipped_ticks = video
                .skipped_ticks
                .wrapping_add((ticks * f64::from(intervals)) as u32);
            video.keyframe_wanted = true;
        }
    }
}

pub(super) fn simulcast(encodings: &[EncodingSpec]) -> Option<Simulcast> {
    if encodings.len() < 2 {
        return None;
    }
    let mut simulcast = Simulcast::new();
    for encoding in encodings {
        let rid = encoding.rid.as_deref().unwrap_or_default();
        simulcast.add_send_layer(SimulcastLayer::new(rid));
    }
    Some(simulcast)
}

pub(super) fn streams_of(track: PublishTrack, mid: Mid, seed: u64, now: Instant) -> Vec<Stream> {
    let number = track.number;
    let stream = |encoding: usize, rid, bitrate, source| Stream {
        cid: track.cid.clone(),
        encoding,
        mid,
        rid,
        pt: None,
        // Anywhere in the lower half: the roll-over counter begins at zero (RFC 3711, 3.3.1).
        sequence: (seed.rotate_left(number % 64) ^ encoding as u64) & 0x7FFF,
        bitrate,
        source,
        due: now,
        wanted: true,
    };
    match &track.media {
        PublishMedia::Audio { bitrate } => {
            let source = AudioSource::new(number, seed).with_bitrate(*bitrate);
            vec![stream(0, None, *bitrate, Source::Audio(source))]
        }
        PublishMedia::Video { codec, encodings } => encodings
            .iter()
            .enumerate()
            .map(|(index, spec)| {
                let rid = (encodings.len() > 1)
                    .then(|| spec.rid.as_deref().map(Rid::from))
                    .flatten();
                let video = Video {
                    source: VideoSource::new(*codec, spec, number, index as u8, seed),
                    codec: *codec,
                    keyframe_wanted: false,
                    keyframe_at: None,
                    skipped_ticks: 0,
                };
                stream(index, rid, spec.bitrate, Source::Video(Box::new(video)))
            })
            .collect(),
    }
}

/// Payload type that the server took for `codec`; H.264 with packetization mode 1.
pub(super) fn payload_type(rtc: &Rtc, mid: Mid, codec: Codec) -> Option<Pt> {
    let wanted = match codec {
        Codec::Opus => StackCodec::Opus,
        Codec::Vp8 => StackCodec::Vp8,
        Codec::Vp9 => StackCodec::Vp9,
        Codec::H264 => StackCodec::H264,
        Codec::Av1 => StackCodec::Av1,
    };
    let agreed = rtc.media(mid)?.remote_pts();
    let params = rtc.codec_config().params();
    agreed.iter().copied().find(|pt| {
        params.iter().any(|params| {
            let spec = params.spec();
            params.pt() == *pt
                && spec.codec == wanted
                && (wanted != StackCodec::H264 || spec.format.packetization_mode == Some(1))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoding_that_nobody_wanted_for_a_while_goes_on_in_time() {
        let start = Instant::now();
        let spec = EncodingSpec {
            rid: None,
            width: 320,
            height: 180,
            fps: 10,
            bitrate: 100_000,
            temporal_layers: 1,
        };
        let track = PublishTrack {
            cid: "camera".to_owned(),
            number: 1,
            media: PublishMedia::Video {
                codec: Codec::Vp8,
                encodings: vec![spec],
            },
        };
        let mut streams = streams_of(track, Mid::from("0"), 7, start);
        let stream = &mut streams[0];
        let timestamp = |stream: &mut Stream, now| match &mut stream.source {
            Source::Video(video) => video
                .next_frame(now, 0)
                .next()
                .map(|packet| packet.timestamp),
            Source::Audio(_) => None,
        };
        let before = timestamp(stream, start).expect("a frame");
        stream.due += Duration::from_millis(100);

        let now = start + Duration::from_millis(1_234);
        stream.resume(now);
        assert_eq!(stream.due, start + Duration::from_millis(1_300));
        let after = timestamp(stream, stream.due).expect("a frame");
        assert_eq!(after.wrapping_sub(before), 90_000 * 13 / 10);
    }
}
