//! What a subscriber receives: one meter per stream, and which stream is which track.
//!
//! Must not know the stack: packets, descriptions and times come as arguments.

use crate::engine::Event;
use crate::engine::received::Received;
use crate::engine::wishes::Wishes;
use crate::measure::TrackMeter;
use crate::media::Codec;

/// A decoder without a decodable frame asks for a keyframe this often, as in browsers.
const KEYFRAME_WAIT_NS: u64 = 300_000_000;

/// The head of an RTP packet, as meters need it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) ssrc: u32,
    pub(super) sequence: u16,
    pub(super) timestamp: u32,
    pub(super) marker: bool,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Tracks {
    /// SSRC and track, from the server's newest offer.
    announced: Vec<(u32, String)>,
    slots: Vec<Slot>,
    measuring: bool,
    /// What is to come.
    pub(super) wishes: Wishes,
}

/// One subscribed stream.
#[derive(Debug)]
struct Slot {
    ssrc: u32,
    track: String,
    codec: Codec,
    /// None once the track has ended.
    meter: Option<TrackMeter>,
    /// Index of the thread's histogram of this track.
    latency: usize,
    first_frame_told: bool,
    keyframe_asked_ns: u64,
}

impl Tracks {
    pub(super) fn new(measuring: bool, wishes: Wishes) -> Self {
        Self {
            measuring,
            wishes,
            ..Self::default()
        }
    }

    /// Notes what the server's offer says of its streams, and ends those that it carries no more.
    pub(super) fn apply_offer(&mut self, now_ns: u64, received: &mut Received, sdp: &str) {
        let sections = announced(sdp);
        self.finish(now_ns, received, |slot| {
            !sections.iter().any(|section| section.track == slot.track)
        });
        self.announced = sections
            .into_iter()
            .flat_map(|section| {
                let track = section.track;
                section
                    .ssrcs
                    .into_iter()
                    .map(move |ssrc| (ssrc, track.clone()))
            })
            .collect();
    }

    /// The track that a stream carries by the newest offer.
    pub(super) fn announced_track(&self, ssrc: u32) -> Option<&str> {
        let (_, track) = self.announced.iter().find(|(of, _)| *of == ssrc)?;
        Some(track)
    }

    /// A stream begins. What the track carried before was another stream, and ends.
    pub(super) fn on_stream(
        &mut self,
        now_ns: u64,
        received: &mut Received,
        ssrc: u32,
        track: &str,
        codec: Codec,
    ) {
        let mut of_track = self.slots.iter().filter(|slot| slot.track == track);
        let first_frame_told = of_track.any(|slot| slot.first_frame_told);
        self.finish(now_ns, received, |slot| {
            slot.track == track || slot.ssrc == ssrc
        });
        self.slots.retain(|slot| slot.ssrc != ssrc);
        self.slots.push(Slot {
            ssrc,
            track: track.to_owned(),
            codec,
            meter: Some(TrackMeter::new(codec, now_ns)),
            latency: received.latency_of(track, codec),
            first_frame_told,
            keyframe_asked_ns: now_ns,
        });
    }

    /// A packet of a codec that is not measured.
    pub(super) fn on_unmeasured(
        &mut self,
        now_ns: u64,
        received: &Received,
        track: &str,
        mime: &str,
    ) {
        self.wishes.on_unmeasured(now_ns, track);
        if self.measuring {
            let name = mime.split_once('/').map_or(mime, |(_, name)| name);
            received.on_unmeasured(&name.to_ascii_lowercase());
        }
    }

    /// Whether packets of this stream are known what they are.
    pub(super) fn knows(&self, ssrc: u32) -> bool {
        self.slots.iter().any(|slot| slot.ssrc == ssrc)
    }

    /// Measures a packet; the event, if it made the first decodable frame of its track whole.
    pub(super) fn on_packet(
        &mut self,
        now_ns: u64,
        received: &mut Received,
        head: Head,
        payload: &[u8],
    ) -> Option<Event> {
        let slot = self.slots.iter_mut().find(|slot| slot.ssrc == head.ssrc)?;
        let meter = slot.meter.as_mut()?;
        let Head {
            sequence,
            timestamp,
            marker,
            ..
        } = head;
        let latency_ns = meter.on_packet(now_ns, sequence, timestamp, marker, payload);
        if !payload.is_empty() {
            let measured = self.measuring.then_some(slot.latency);
            received.on_packet(payload.len(), latency_ns, measured);
        }
        let at_ns = meter.first_frame_ns()?;
        if slot.first_frame_told || !slot.codec.is_video() {
            return None;
        }
        slot.first_frame_told = true;
        Some(Event::FirstFrame {
            track: slot.track.clone(),
            at_ns,
        })
    }

    /// Whether to ask for a keyframe of this stream now.
    pub(super) fn wants_keyframe(&mut self, now_ns: u64, ssrc: u32) -> bool {
        let Some(slot) = self.slots.iter_mut().find(|slot| slot.ssrc == ssrc) else {
            return false;
        };
        let is_stuck = slot
            .meter
            .as_ref()
            .is_some_and(|meter| meter.needs_keyframe(now_ns));
        if !is_stuck || now_ns.saturating_sub(slot.keyframe_asked_ns) < KEYFRAME_WAIT_NS {
            return false;
        }
        slot.keyframe_asked_ns = now_ns;
        true
    }

    /// Another layer of `track` has been asked for.
    pub(super) fn on_layer_change(&mut self, now_ns: u64, track: &str) {
        let slots = self.slots.iter_mut().filter(|slot| slot.track == track);
        for meter in slots.filter_map(|slot| slot.meter.as_mut()) {
            meter.on_layer_change(now_ns);
        }
    }

    /// `track` is not published any more.
    pub(super) fn on_track_ended(&mut self, now_ns: u64, received: &mut Received, track: &str) {
        self.finish(now_ns, received, |slot| slot.track == track);
        self.wishes.on_track_ended(now_ns, received, track);
    }

    /// The publisher of `track` has muted it, or sends again.
    pub(super) fn on_rest(&mut self, now_ns: u64, track: &str, is_resting: bool) {
        let slots = self.slots.iter_mut().filter(|slot| slot.track == track);
        for meter in slots.filter_map(|slot| slot.meter.as_mut()) {
            if is_resting {
                meter.on_pause();
            } else {
                meter.on_resume();
            }
        }
        self.wishes.on_rest(now_ns, track, is_resting);
    }

    /// The measured window begins.
    pub(super) fn begin(&mut self, now_ns: u64) {
        self.measuring = true;
        self.wishes.begin(now_ns);
        for meter in self.slots.iter_mut().filter_map(|slot| slot.meter.as_mut()) {
            meter.begin(now_ns);
        }
    }

    /// The measured window ends: hands in what was received.
    pub(super) fn end(&mut self, now_ns: u64, received: &mut Received) {
        for slot in &mut self.slots {
            slot.finish(now_ns, received, self.measuring, &mut self.wishes);
        }
        self.wishes.end(now_ns, received);
        self.measuring = false;
    }

    /// Ends some streams because what they carried has ended: that nothing comes any more is no
    /// freeze.
    fn finish(&mut self, now_ns: u64, received: &mut Received, which: impl Fn(&Slot) -> bool) {
        for slot in self.slots.iter_mut().filter(|slot| which(slot)) {
            if let Some(meter) = &mut slot.meter {
                meter.on_pause();
            }
            slot.finish(now_ns, received, self.measuring, &mut self.wishes);
        }
    }
}

impl Slot {
    /// Ends the meter, and hands in what it measured if that was in the window.
    fn finish(&mut self, now_ns: u64, received: &Received, measuring: bool, wishes: &mut Wishes) {
        let Some(meter) = self.meter.take() else {
            return;
        };
        let measure = meter.finish(now_ns);
        wishes.on_stream(&self.track, &measure);
        if measuring {
            received.add_subscription(&self.track, self.codec, &measure);
        }
    }
}

/// A media section that the server sends on.
#[derive(Debug, Default, PartialEq, Eq)]
struct Announced {
    track: String,
    ssrcs: Vec<u32>,
}

/// The sections of an offer that carry a track, with the SSRCs named in each (RFC 5576).
fn announced(sdp: &str) -> Vec<Announced> {
    let mut sections: Vec<(Announced, bool)> = Vec::new();
    for line in sdp.lines().map(str::trim_end) {
        if line.starts_with("m=") {
            sections.push((Announced::default(), true));
        }
        let Some((section, sends)) = sections.last_mut() else {
            continue;
        };
        if let Some(msid) = line.strip_prefix("a=msid:") {
            section.track = msid
                .split_whitespace()
                .nth(1)
                .unwrap_or_default()
                .to_owned();
        } else if let Some(source) = line.strip_prefix("a=ssrc:") {
            let number = source
                .split_whitespace()
                .next()
                .and_then(|text| text.parse().ok());
            if let Some(ssrc) = number.filter(|ssrc| !section.ssrcs.contains(ssrc)) {
                section.ssrcs.push(ssrc);
            }
        } else if matches!(line, "a=inactive" | "a=recvonly") {
            *sends = false;
        }
    }
    let carrying = sections
        .into_iter()
        .filter(|(section, sends)| *sends && !section.track.is_empty());
    carrying.map(|(section, _)| section).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::Collector;
    use crate::media::{EncodingSpec, VideoSource};

    const OFFER: &str = "v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\na=mid:0\r\n\
        m=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=msid:PA_x|TR_a TR_a\r\na=ssrc:11 cname:x\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=msid:PA_x|TR_v TR_v\r\na=ssrc-group:FID 21 22\r\n\
        a=ssrc:21 cname:x\r\na=ssrc:21 msid:PA_x TR_v\r\na=ssrc:22 cname:x\r\n\
        m=video 9 UDP/TLS/RTP/SAVPF 96\r\na=msid:PA_x|TR_w TR_w\r\na=ssrc:31 cname:x\r\na=inactive\r\n";

    fn spec() -> EncodingSpec {
        EncodingSpec {
            rid: None,
            width: 640,
            height: 360,
            fps: 30,
            bitrate: 300_000,
            temporal_layers: 1,
        }
    }

    #[test]
    fn an_offer_names_the_streams_of_each_track() {
        let collector = Arc::new(Collector::default());
        let mut received = Received::new(collector);
        let mut tracks = Tracks::new(false, Wishes::new("viewer"));
        tracks.apply_offer(0, &mut received, OFFER);
        let cases = [
            (11, Some("TR_a")),
            (21, Some("TR_v")),
            (22, Some("TR_v")),
            (31, None),
        ];
        for (ssrc, track) in cases {
            assert_eq!(tracks.announced_track(ssrc), track, "{ssrc}");
        }
    }

    #[test]
    fn what_came_in_the_window_is_handed_in_once() {
        let collector = Arc::new(Collector::default());
        let mut received = Received::new(Arc::clone(&collector));
        let mut tracks = Tracks::new(false, Wishes::new("viewer"));
        tracks.apply_offer(0, &mut received, OFFER);
        tracks.wishes.on_connected(0);
        tracks.wishes.on_subscribe(0, "TR_v");
        tracks.on_stream(0, &mut received, 21, "TR_v", Codec::Vp8);
        let mut source = VideoSource::new(Codec::Vp8, &spec(), 1, 0, 1);
        let mut sequence = 0;
        let mut first_frames = 0;
        for frame in 0..20u64 {
            if frame == 10 {
                tracks.begin(frame * 33_000_000);
            }
            for packet in source.next_frame(false) {
                let head = Head {
                    ssrc: 21,
                    sequence,
                    timestamp: packet.timestamp,
                    marker: packet.marker,
                };
                sequence += 1;
                let now_ns = frame * 33_000_000;
                let event = tracks.on_packet(now_ns, &mut received, head, &packet.payload);
                first_frames += usize::from(event.is_some());
            }
        }
        assert_eq!(first_frames, 1);
        tracks.end(700_000_000, &mut received);
        tracks.on_track_ended(800_000_000, &mut received, "TR_v");
        let totals = collector.take_tracks();
        let track = totals.get("TR_v").expect("the track");
        assert_eq!(
            (track.subscriptions, track.measure.frames_decodable),
            (1, 10)
        );
    }

    #[test]
    fn a_track_of_which_nothing_comes_and_a_foreign_codec_are_told() {
        let collector = Arc::new(Collector::default());
        let mut received = Received::new(Arc::clone(&collector));
        let mut tracks = Tracks::new(false, Wishes::new("viewer"));
        tracks.wishes.on_connected(0);
        tracks.begin(0);
        for track in ["TR_a", "TR_v"] {
            tracks.wishes.on_subscribe(0, track);
        }
        tracks.apply_offer(0, &mut received, OFFER);
        for n in 0..3 {
            tracks.on_unmeasured(n * 4_000_000_000, &received, "TR_a", "audio/PCMU");
        }
        tracks.end(9_000_000_000, &mut received);
        let waited = collector.take_waited();
        let silent: Vec<_> = waited.iter().map(|of| of.track.as_str()).collect();
        assert_eq!(silent, ["TR_v"]);
        assert_eq!(
            collector.take_unmeasured().into_iter().collect::<Vec<_>>(),
            [("pcmu".to_owned(), 3)]
        );
    }

    #[test]
    fn a_section_that_carries_another_track_ends_the_one_before() {
        let collector = Arc::new(Collector::default());
        let mut received = Received::new(Arc::clone(&collector));
        let mut tracks = Tracks::new(true, Wishes::new("viewer"));
        tracks.on_stream(0, &mut received, 21, "TR_v", Codec::Vp8);
        tracks.apply_offer(1, &mut received, &OFFER.replace("TR_v", "TR_z"));
        tracks.on_stream(2, &mut received, 21, "TR_z", Codec::Vp8);
        assert!(tracks.knows(21));
        assert_eq!(
            collector
                .take_tracks()
                .get("TR_v")
                .map(|of| of.measure.window_ns),
            Some(1)
        );
    }
}
