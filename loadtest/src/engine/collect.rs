//! What was received, gathered from all threads of an engine.
//!
//! Owns the two sums of a run: one per interval (for the timeline), one per published track over its
//! subscribers (for the report). Engines add to it in batches, some times a second, never per packet.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

use super::Waited;
use crate::measure::{MessageMeasure, MessageTotals, TrackMeasure};
use crate::media::Codec;

/// Largest latency a histogram tells apart: a minute.
const LARGEST_NS: u64 = 60_000_000_000;
/// Smallest: a microsecond.
const SMALLEST_NS: u64 = 1_000;

/// A histogram of nanoseconds, from 1 µs to 60 s, two significant digits.
#[must_use]
pub fn nanoseconds_histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(SMALLEST_NS, LARGEST_NS, 2).unwrap_or_else(|error| {
        // The bounds are constants that hdrhistogram accepts.
        unreachable!("bounds of the latency histogram: {error}")
    })
}

/// What all subscribers received since the last [`Collector::take_interval`].
#[derive(Debug, Clone)]
pub struct Interval {
    /// Media packets that arrived.
    pub packets: u64,
    /// Their payload bytes.
    pub bytes: u64,
    /// Media packets that publishers sent.
    pub packets_sent: u64,
    /// Their payload bytes.
    pub bytes_sent: u64,
    /// Forwarding latency of stamped packets, nanoseconds.
    pub latency: Histogram<u64>,
    /// The most that a publisher was behind with a frame, nanoseconds: this machine was too busy.
    pub late_ns: u64,
}

impl Default for Interval {
    fn default() -> Self {
        Self {
            packets: 0,
            bytes: 0,
            packets_sent: 0,
            bytes_sent: 0,
            latency: nanoseconds_histogram(),
            late_ns: 0,
        }
    }
}

impl Interval {
    /// Counts a packet that arrived.
    pub fn on_packet(&mut self, payload_bytes: usize, latency_ns: Option<u64>) {
        self.packets += 1;
        self.bytes += payload_bytes as u64;
        if let Some(latency) = latency_ns {
            self.latency.saturating_record(latency);
        }
    }

    /// Counts a packet that was sent.
    pub fn on_sent(&mut self, payload_bytes: usize) {
        self.packets_sent += 1;
        self.bytes_sent += payload_bytes as u64;
    }

    /// Notes that a frame was made this much too late.
    pub fn on_late(&mut self, by: Duration) {
        self.late_ns = self.late_ns.max(by.as_nanos() as u64);
    }

    /// Adds `other` and empties it.
    pub fn absorb(&mut self, other: &mut Self) {
        self.packets += std::mem::take(&mut other.packets);
        self.bytes += std::mem::take(&mut other.bytes);
        self.packets_sent += std::mem::take(&mut other.packets_sent);
        self.bytes_sent += std::mem::take(&mut other.bytes_sent);
        self.late_ns = self.late_ns.max(std::mem::take(&mut other.late_ns));
        if !other.latency.is_empty() {
            // Same bounds on both sides: adding cannot fail.
            let _ = self.latency.add(&other.latency);
            other.latency.reset();
        }
    }
}

/// One published track over all its subscribers.
#[derive(Debug)]
pub struct TrackTotals {
    /// Codec its packets came in; none when none came.
    pub codec: Option<Codec>,
    /// Subscriptions in the measured window, those of which nothing came too.
    pub subscriptions: u32,
    /// Sum of what they received.
    pub measure: TrackMeasure,
    /// Forwarding latency of its packets in the measured window, nanoseconds.
    pub latency: Histogram<u64>,
    /// Interarrival jitter of each subscription, nanoseconds.
    pub jitters: Vec<u64>,
    /// Largest share of lost packets that one subscription saw, 0 to 1.
    pub worst_lost_ratio: Option<f64>,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Collector {
    interval: Mutex<Interval>,
    tracks: Mutex<HashMap<String, TrackTotals>>,
    /// By kind.
    messages: Mutex<[MessageTotals; 2]>,
    waited: Mutex<Vec<Waited>>,
    /// Packets by codec.
    unmeasured: Mutex<BTreeMap<String, u64>>,
}

impl Default for MessageTotals {
    fn default() -> Self {
        Self {
            measure: MessageMeasure::default(),
            latency: nanoseconds_histogram(),
            unsent: 0,
        }
    }
}

impl Collector {
    /// Adds an engine thread's interval and empties it.
    pub fn add_interval(&self, interval: &mut Interval) {
        self.interval
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .absorb(interval);
    }

    /// What arrived since the last call.
    #[must_use]
    pub fn take_interval(&self) -> Interval {
        std::mem::take(&mut *self.interval.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds what one stream of a subscription of `track` (the server's id) brought in the measured window.
    pub fn add_subscription(&self, track: &str, codec: Codec, measure: &TrackMeasure) {
        let mut tracks = self.tracks.lock().unwrap_or_else(PoisonError::into_inner);
        let totals = totals_of(&mut tracks, track, Some(codec));
        if measure.packets_received > 1 {
            totals.jitters.push(measure.jitter_ns);
        }
        if measure.packets_expected > 0 {
            let lost = measure.packets_lost as f64 / measure.packets_expected as f64;
            let worst = totals.worst_lost_ratio.unwrap_or(0.0);
            totals.worst_lost_ratio = Some(worst.max(lost));
        }
        totals.measure.merge(measure);
    }

    /// Counts a subscription of the measured window, and keeps it where there is something to say of it.
    pub fn add_wish(&self, waited: Waited, is_odd: bool) {
        let mut tracks = self.tracks.lock().unwrap_or_else(PoisonError::into_inner);
        totals_of(&mut tracks, &waited.track, None).subscriptions += 1;
        drop(tracks);
        if is_odd {
            let mut kept = self.waited.lock().unwrap_or_else(PoisonError::into_inner);
            kept.push(waited);
        }
    }

    /// Counts a packet of a codec that is not measured. Few: a run measures what it knows.
    pub fn add_unmeasured(&self, codec: &str) {
        let mut counts = self
            .unmeasured
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        match counts.get_mut(codec) {
            Some(count) => *count += 1,
            None => {
                counts.insert(codec.to_owned(), 1);
            }
        }
    }

    /// Packets of codecs that are not measured, by codec; the collector is empty after.
    #[must_use]
    pub fn take_unmeasured(&self) -> BTreeMap<String, u64> {
        std::mem::take(
            &mut *self
                .unmeasured
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }

    /// The subscriptions that were kept; the collector is empty after.
    #[must_use]
    pub fn take_waited(&self) -> Vec<Waited> {
        std::mem::take(&mut *self.waited.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Adds latencies of packets of `track` in the measured window.
    pub fn add_latency(&self, track: &str, codec: Codec, latency: &Histogram<u64>) {
        let mut tracks = self.tracks.lock().unwrap_or_else(PoisonError::into_inner);
        let totals = totals_of(&mut tracks, track, Some(codec));
        // Same bounds on both sides: adding cannot fail.
        let _ = totals.latency.add(latency);
    }

    /// Adds what receivers got of data messages, by kind, and empties it.
    pub fn add_messages(&self, more: &mut [MessageTotals; 2]) {
        let mut messages = self.messages.lock().unwrap_or_else(PoisonError::into_inner);
        for (total, more) in messages.iter_mut().zip(more) {
            total.measure.merge(&std::mem::take(&mut more.measure));
            total.unsent += std::mem::take(&mut more.unsent);
            if !more.latency.is_empty() {
                // Same bounds on both sides: adding cannot fail.
                let _ = total.latency.add(&more.latency);
                more.latency.reset();
            }
        }
    }

    /// What all receivers got of data messages, by kind; the collector is empty after.
    #[must_use]
    pub fn take_messages(&self) -> [MessageTotals; 2] {
        std::mem::take(&mut *self.messages.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// All tracks by the server's id of them; the collector is empty after.
    #[must_use]
    pub fn take_tracks(&self) -> HashMap<String, TrackTotals> {
        std::mem::take(&mut *self.tracks.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn totals_of<'a>(
    tracks: &'a mut HashMap<String, TrackTotals>,
    track: &str,
    codec: Option<Codec>,
) -> &'a mut TrackTotals {
    // Not `entry`: it would allocate the key for each subscription.
    if !tracks.contains_key(track) {
        tracks.insert(
            track.to_owned(),
            TrackTotals {
                codec: None,
                subscriptions: 0,
                measure: TrackMeasure::default(),
                latency: nanoseconds_histogram(),
                jitters: Vec::new(),
                worst_lost_ratio: None,
            },
        );
    }
    let totals = tracks
        .get_mut(track)
        .unwrap_or_else(|| unreachable!("inserted above"));
    totals.codec = totals.codec.or(codec);
    totals
}
