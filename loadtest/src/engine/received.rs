//! What some participants received, before it goes to the collector.
//!
//! Owns the sums of one thread, so that nothing is shared per packet. Must not know transports.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hdrhistogram::Histogram;

use super::collect::nanoseconds_histogram;
use super::{Collector, Interval, Waited};
use crate::measure::{MessageKind, MessageMeter, MessageTotals, TrackMeasure};
use crate::media::Codec;

/// What the participants of a thread received, before it goes to the collector.
pub(super) struct Received {
    collector: Arc<Collector>,
    interval: Interval,
    tracks: Vec<TrackLatency>,
    by_track: HashMap<String, usize>,
    /// The one that was last handed in.
    last_track: usize,
    /// By kind.
    messages: [MessageTotals; 2],
}

struct TrackLatency {
    track: String,
    codec: Codec,
    latency: Histogram<u64>,
}

impl Received {
    /// Nothing received yet.
    pub(super) fn new(collector: Arc<Collector>) -> Self {
        Self {
            collector,
            interval: Interval::default(),
            tracks: Vec::new(),
            by_track: HashMap::new(),
            last_track: 0,
            messages: Default::default(),
        }
    }

    /// Counts a packet; `measured` is the track's index when the measured window is open.
    pub(super) fn on_packet(
        &mut self,
        payload_bytes: usize,
        latency_ns: Option<u64>,
        measured: Option<usize>,
    ) {
        self.interval.on_packet(payload_bytes, latency_ns);
        if let (Some(latency), Some(track)) = (latency_ns, measured) {
            self.tracks[track].latency.saturating_record(latency);
        }
    }

    /// Counts a packet that was sent.
    pub(super) fn on_sent(&mut self, payload_bytes: usize) {
        self.interval.on_sent(payload_bytes);
    }

    /// Counts a data message; it is added to what is measured when the measured window is open.
    pub(super) fn on_message(
        &mut self,
        payload_bytes: usize,
        kind: MessageKind,
        latency_ns: u64,
        is_measured: bool,
    ) {
        self.interval.on_packet(payload_bytes, Some(latency_ns));
        if is_measured {
            self.messages[kind as usize]
                .latency
                .saturating_record(latency_ns);
        }
    }

    /// Counts a data message that could not be sent.
    pub(super) fn on_unsent(&mut self, kind: MessageKind) {
        self.messages[kind as usize].unsent += 1;
    }

    /// Hands in what one receiver got of data messages.
    pub(super) fn add_messages(&mut self, meter: &MessageMeter) {
        for kind in MessageKind::ALL {
            self.messages[kind as usize]
                .measure
                .merge(&meter.measure(kind));
        }
    }

    /// Notes that a frame was made this much too late.
    pub(super) fn on_late(&mut self, by: Duration) {
        self.interval.on_late(by);
    }

    /// Index of the track for [`Self::on_packet`].
    pub(super) fn latency_of(&mut self, track: &str, codec: Codec) -> usize {
        if let Some(index) = self.by_track.get(track) {
            return *index;
        }
        let index = self.tracks.len();
        self.by_track.insert(track.to_owned(), index);
        self.tracks.push(TrackLatency {
            track: track.to_owned(),
            codec,
            latency: nanoseconds_histogram(),
        });
        index
    }

    /// Hands in what one subscription measured.
    pub(super) fn add_subscription(&self, track: &str, codec: Codec, measure: &TrackMeasure) {
        self.collector.add_subscription(track, codec, measure);
    }

    /// Counts a packet of a codec that is not measured, in the measured window.
    pub(super) fn on_unmeasured(&self, codec: &str) {
        self.collector.add_unmeasured(codec);
    }

    /// Hands in a subscription; one of which there is something to say is kept.
    pub(super) fn add_wish(&self, waited: Waited, is_odd: bool) {
        self.collector.add_wish(waited, is_odd);
    }

    /// Hands in what was counted since the last call.
    pub(super) fn hand_in(&mut self) {
        self.collector.add_interval(&mut self.interval);
    }

    /// Hands in the latencies of a tenth of the tracks, in turn: larger, and all at once would keep a thread
    /// from its media for milliseconds.
    pub(super) fn hand_in_some_tracks(&mut self) {
        let tracks = self.tracks.len();
        for _ in 0..tracks.div_ceil(10) {
            self.last_track = (self.last_track + 1) % tracks;
            self.tracks[self.last_track].hand_in(&self.collector);
        }
        self.collector.add_messages(&mut self.messages);
    }

    /// Hands in the latencies of all tracks.
    pub(super) fn hand_in_tracks(&mut self) {
        for track in &mut self.tracks {
            track.hand_in(&self.collector);
        }
        self.collector.add_messages(&mut self.messages);
    }
}

impl TrackLatency {
    fn hand_in(&mut self, collector: &Collector) {
        if !self.latency.is_empty() {
            collector.add_latency(&self.track, self.codec, &self.latency);
            self.latency.reset();
        }
    }
}
