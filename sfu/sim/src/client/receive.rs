//! Receiving: packets go to the oracle of their stream. Owns the law that a section
//! carries the track the node said it would.

use std::time::Duration;

use str0m::{
    Event,
    media::{KeyframeRequestKind, Mid},
    rtp::RtpPacket,
};

use super::Client;
use crate::{
    StreamReport,
    media::{Descriptor, ScalableHead, SourceId, SourceKind, Stamp, Vp8Head},
    oracle::{Arrival, StreamCheck},
    world::Clock,
};

/// A stream of media that comes in.
#[derive(Debug)]
pub struct Stream {
    pub(crate) source: SourceId,
    pub(crate) name: String,
    pub(crate) mid: Mid,
    /// The track its section carried when it began.
    pub(crate) track: String,
    pub(crate) began: Duration,
    pub(crate) check: StreamCheck,
    asked_at: Option<Duration>,
}

impl Stream {
    /// The section it comes on.
    pub fn mid(&self) -> Mid {
        self.mid
    }

    /// What came of it.
    pub fn report(&self) -> &StreamReport {
        &self.check.report
    }
}

/// The newest block of redundant audio (RFC 2198), and those before it; of other sound the payload, and nothing.
fn blocks(payload: &[u8]) -> (&[u8], Vec<&[u8]>) {
    let (mut rest, mut lengths) = (payload, Vec::new());
    while let [head, _, high, low, after @ ..] = rest
        && head & 0x80 != 0
    {
        lengths.push(usize::from(high & 0x03) << 8 | usize::from(*low));
        rest = after;
    }
    let mut earlier = Vec::new();
    let Some((_, mut rest)) = rest.split_first() else {
        return (payload, Vec::new());
    };
    for length in lengths {
        let Some((block, after)) = rest.split_at_checked(length) else {
            return (payload, Vec::new());
        };
        earlier.push(block);
        rest = after;
    }
    if Stamp::read(payload).is_some() {
        return (payload, Vec::new());
    }
    (rest, earlier)
}

impl Client {
    pub(super) fn on_subscriber_event(&mut self, clock: &Clock, event: Event) {
        match event {
            Event::RtpPacket(packet) => self.on_packet(clock, &packet),
            Event::ChannelData(data) => self.on_data(clock, &data),
            _ => {}
        }
    }

    fn on_packet(&mut self, clock: &Clock, packet: &RtpPacket) {
        self.media_received += 1;
        let ssrc = packet.header.ssrc;
        let Some(mid) = self
            .subscriber
            .engine()
            .direct_api()
            .stream_rx(&ssrc)
            .map(|stream| stream.mid())
        else {
            return self
                .violations
                .push(format!("a packet of unknown stream {ssrc}"));
        };
        if packet.payload.is_empty() {
            return self.on_padding(clock.now, packet);
        }
        let media = self.subscriber.engine().media(mid);
        let (payload, repeated) = if media.is_some_and(|media| media.kind().is_audio()) {
            blocks(&packet.payload)
        } else {
            (&*packet.payload, Vec::new())
        };
        let descriptor = packet.header.ext_vals.user_values.get::<Descriptor>();
        let scalable = ScalableHead::read(payload, descriptor);
        let parsed = match Vp8Head::read(payload) {
            Some((head, rest)) => rest
                .get(1..)
                .and_then(Stamp::read)
                .map(|stamp| (stamp, Some(head))),
            None => None,
        };
        let parsed = parsed.or_else(|| Some((scalable?.1, None)));
        let parsed = parsed.or_else(|| Some((Stamp::read(payload)?, None)));
        let Some((stamp, vp8)) = parsed else {
            return self
                .violations
                .push(format!("a packet that nobody stamped on {mid}"));
        };
        let (is_perfect, takes_turns) = (self.is_perfect, self.is_player());
        let track = self.tracks_by_mid.get(&mid).cloned().unwrap_or_default();
        let stream = self.streams.entry(*ssrc).or_insert_with(|| {
            let kind = if vp8.is_some() || scalable.is_some() {
                SourceKind::Video
            } else {
                SourceKind::Audio
            };
            Stream {
                source: stamp.source,
                name: format!("{kind:?} {} on {mid}", stamp.source.0),
                mid,
                track,
                began: clock.now,
                check: StreamCheck::new(kind, is_perfect),
                asked_at: None,
            }
        });
        if takes_turns {
            // A section of a player carries one track after another in one stream.
            stream.source = stamp.source;
        }
        if stream.source != stamp.source {
            let what = format!("{} carries source {}", stream.name, stamp.source.0);
            return self.violations.push(what);
        }
        let report = packet.last_sender_info;
        let arrival = Arrival {
            at: clock.now,
            sequence: *packet.seq_no,
            timestamp: packet.header.timestamp,
            marker: packet.header.marker,
            stamp,
            vp8,
            scalable: scalable.map(|(head, _)| head),
            sender_report: report.map(|info| (info.ntp_time, info.rtp_time.numer() as u32)),
            playout_delay: packet.header.ext_vals.play_delay_min.map(Duration::from),
        };
        if arrival.vp8.is_none() && arrival.scalable.is_none() {
            let earlier = repeated.iter().filter_map(|block| Stamp::read(block));
            earlier.for_each(|sound| stream.check.on_sound(sound.frame));
            stream.check.on_sound(arrival.stamp.frame);
        }
        stream.check.on_packet(arrival, clock.wall_origin);
        for what in stream.check.violations.drain(..) {
            self.violations.push(format!("{}: {what}", stream.name));
        }
    }

    /// A packet without media: its number is used.
    fn on_padding(&mut self, now: Duration, packet: &RtpPacket) {
        if let Some(stream) = self.streams.get_mut(&*packet.header.ssrc) {
            stream.check.on_padding(now, *packet.seq_no);
        }
    }

    /// A decoder that is stuck asks for a keyframe, at most twice a second.
    pub(super) fn ask_for_keyframe(&mut self, now: Duration, ssrc: u32) {
        const INTERVAL: Duration = Duration::from_millis(500);
        let Some(stream) = self.streams.get_mut(&ssrc) else {
            return;
        };
        if stream
            .asked_at
            .is_some_and(|asked| now.saturating_sub(asked) < INTERVAL)
        {
            return;
        }
        stream.asked_at = Some(now);
        let mut api = self.subscriber.engine().direct_api();
        if let Some(stream) = api.stream_rx(&ssrc.into()) {
            stream.request_keyframe(KeyframeRequestKind::Pli);
        }
    }
}
