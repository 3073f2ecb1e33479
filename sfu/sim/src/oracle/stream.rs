//! The law of one RTP stream (RFC 3550): no sequence number stands for two packets, none is missing but
//! for what the network lost, and timestamps never go back in the order of sequence numbers. Puts
//! packets in order for the decoder, and gives up on what does not come.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, SystemTime},
};

use super::{StreamReport, decoder::Decoder, playout::Playout, scalable::ScalableDecoder};
use crate::media::{ScalableHead, SourceKind, Stamp, Vp8Head};

/// A packet as it came to a client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) at: Duration,
    /// Extended.
    pub(crate) sequence: u64,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) stamp: Stamp,
    pub(crate) vp8: Option<Vp8Head>,
    pub(crate) scalable: Option<ScalableHead>,
    /// Wall time and RTP time of the newest sender report, counted from the world's origin of wall time.
    pub(crate) sender_report: Option<(SystemTime, u32)>,
    /// How long after its capture the picture is to be shown at the earliest, if the sender says so.
    pub(crate) playout_delay: Option<Duration>,
}

/// What waits for what comes before it.
#[derive(Debug)]
struct Waiting {
    at: Duration,
    /// Later ones were there long before: it was sent again.
    is_again: bool,
    /// Nothing of a packet without media.
    media: Option<Arrival>,
}

/// Judges one stream.
#[derive(Debug)]
pub(crate) struct StreamCheck {
    kind: SourceKind,
    /// Everything that is sent arrives in order: a gap is a violation.
    is_perfect: bool,
    /// By sequence number.
    waiting: BTreeMap<u64, Waiting>,
    next: Option<u64>,
    newest: Option<(u64, u32)>,
    digests: BTreeMap<u64, u64>,
    decoder: Decoder,
    scalable: ScalableDecoder,
    last_report: Option<(SystemTime, u32)>,
    /// What waits is looked at now.
    now: Duration,
    playout: Playout,
    /// Of the picture that is on its way parts were sent again.
    is_again: bool,
    /// Sounds that came, as the publisher counts them.
    heard: BTreeSet<u32>,
    pub(crate) report: StreamReport,
    pub(crate) violations: Vec<String>,
}

impl StreamCheck {
    /// What did not come for so long does not come any more.
    const HOLD: Duration = Duration::from_millis(800);
    /// The same where the picture could go on without.
    const HOLD_BEFORE_KEYFRAME: Duration = Duration::from_millis(200);
    /// A packet that others overtook by more was not shuffled, but sent again.
    const SHUFFLED: Duration = Duration::from_millis(20);
    const REMEMBERED: usize = 4_000;

    pub(crate) fn new(kind: SourceKind, is_perfect: bool) -> Self {
        Self {
            kind,
            is_perfect,
            waiting: BTreeMap::new(),
            next: None,
            newest: None,
            digests: BTreeMap::new(),
            decoder: Decoder::new(is_perfect),
            scalable: ScalableDecoder::new(is_perfect),
            last_report: None,
            now: Duration::ZERO,
            playout: Playout::default(),
            is_again: false,
            heard: BTreeSet::new(),
            report: StreamReport::default(),
            violations: Vec::new(),
        }
    }

    /// From now on a gap may be the network's fault.
    pub(crate) fn allow_loss(&mut self) {
        self.is_perfect = false;
        self.decoder.allow_loss();
        self.scalable.allow_loss();
    }

    /// Takes a packet.
    pub(crate) fn on_packet(&mut self, arrival: Arrival, wall_origin: SystemTime) {
        self.report.packets += 1;
        self.note_clock(&arrival, wall_origin);
        let digest = digest(&arrival);
        match self.digests.insert(arrival.sequence, digest) {
            Some(before) if before != digest => {
                self.breach(format!(
                    "sequence {} stands for two packets",
                    arrival.sequence
                ));
                return;
            }
            Some(_) => {
                self.breach(format!("sequence {} came twice", arrival.sequence));
                return;
            }
            None => {}
        }
        if self.digests.len() > Self::REMEMBERED {
            self.digests.pop_first();
        }
        if self.next.is_some_and(|next| arrival.sequence < next) {
            self.report.late += 1;
            if self.is_perfect {
                self.breach(format!("sequence {} is out of order", arrival.sequence));
            }
            return;
        }
        let mut later = self.waiting.range(arrival.sequence..);
        let is_again = later.any(|(_, other)| arrival.at.saturating_sub(other.at) > Self::SHUFFLED);
        let waiting = Waiting {
            at: arrival.at,
            is_again,
            media: Some(arrival),
        };
        self.waiting.insert(arrival.sequence, waiting);
        self.handle_timeout(arrival.at);
    }

    /// Takes a packet without media, which only uses a number.
    pub(crate) fn on_padding(&mut self, at: Duration, sequence: u64) {
        self.report.fillers += 1;
        if self.digests.insert(sequence, 0).is_some() {
            self.breach(format!("sequence {sequence} stands for padding, too"));
        } else if self.next.is_none_or(|next| sequence >= next) {
            let waiting = Waiting {
                at,
                is_again: false,
                media: None,
            };
            self.waiting.insert(sequence, waiting);
            self.handle_timeout(at);
        }
    }

    /// Takes a sound, whether it came by itself or beside a later one.
    pub(crate) fn on_sound(&mut self, number: u32) {
        self.report.sounds += u64::from(self.heard.insert(number));
        if self.heard.len() > Self::REMEMBERED {
            self.heard.pop_first();
        }
    }

    /// Plays what is in order or was waited for long enough.
    pub(crate) fn handle_timeout(&mut self, now: Duration) {
        self.now = now;
        while let Some((&sequence, waiting)) = self.waiting.first_key_value() {
            let (at, is_again, media) = (waiting.at, waiting.is_again, waiting.media);
            let is_next = match self.next {
                Some(next) => next == sequence,
                None => self.is_perfect,
            };
            let is_given_up = now.saturating_sub(at) >= Self::HOLD;
            if !is_next && !self.is_perfect && !is_given_up {
                // A whole keyframe needs nothing of what is missing before it.
                let key = self.whole_keyframe();
                let is_worth_a_wait = now.saturating_sub(at) < Self::HOLD_BEFORE_KEYFRAME;
                let Some(key) = key.filter(|_| !is_worth_a_wait) else {
                    return;
                };
                if key > sequence {
                    self.waiting = self.waiting.split_off(&key);
                    continue;
                }
            }
            if let Some(next) = self.next.filter(|next| *next != sequence) {
                self.report.lost += sequence - next;
                if self.is_perfect {
                    self.breach(format!("sequences {next} to {} are missing", sequence - 1));
                }
                self.decoder.on_gap();
                self.scalable.on_gap();
            }
            let starts = media.is_some_and(|media| media.stamp.starts_keyframe());
            if self.next.is_none() && !self.is_perfect && !starts {
                // What began the stream was lost.
                self.decoder.on_gap();
                self.scalable.on_gap();
            }
            self.waiting.pop_first();
            self.next = Some(sequence + 1);
            match media {
                Some(arrival) => self.play(&arrival, is_again),
                None => self.decoder.on_filler(),
            }
        }
    }

    /// The first packet of a keyframe that is there as a whole.
    fn whole_keyframe(&self) -> Option<u64> {
        let mut begun: Option<(u64, u64)> = None;
        for (&sequence, waiting) in &self.waiting {
            let Some(stamp) = waiting.media.as_ref().map(|media| &media.stamp) else {
                begun = None;
                continue;
            };
            begun = match begun {
                _ if stamp.starts_keyframe() => Some((sequence, u64::from(stamp.count))),
                Some((first, count)) if sequence == first + u64::from(stamp.index) => {
                    Some((first, count))
                }
                _ => None,
            };
            if let Some((first, count)) = begun
                && sequence + 1 == first + count
            {
                return Some(first);
            }
        }
        None
    }

    /// Whether a decoder is stuck and would ask for a keyframe.
    pub(crate) fn wants_keyframe(&self) -> bool {
        self.kind == SourceKind::Video && (self.decoder.is_stuck() || self.scalable.is_stuck())
    }

    /// The client holds the picture on purpose: the time until the next frame is no gap.
    pub(crate) fn pause(&mut self) {
        self.report.last_at = None;
        self.playout.pause();
    }

    fn play(&mut self, arrival: &Arrival, is_again: bool) {
        if let Some((sequence, timestamp)) = self.newest {
            let step = arrival.timestamp.wrapping_sub(timestamp).cast_signed();
            if step < 0 || step == 0 && self.kind == SourceKind::Audio {
                self.breach(format!(
                    "timestamp goes from {timestamp} at sequence {sequence} to {} at {}",
                    arrival.timestamp, arrival.sequence
                ));
            }
        }
        self.newest = Some((arrival.sequence, arrival.timestamp));
        match self.kind {
            SourceKind::Audio => {
                let before = self.report.last_frame;
                if self.report.frames > 0 && arrival.stamp.frame <= before {
                    self.breach(format!("sound {} after {before}", arrival.stamp.frame));
                }
                self.note_frame(arrival);
            }
            SourceKind::Video => {
                self.is_again |= is_again;
                let outcome = match &arrival.scalable {
                    Some(head) => self.scalable.on_packet(arrival, head),
                    None => self.decoder.on_packet(arrival),
                };
                self.violations.extend(outcome.violations);
                self.report.undecodable += u64::from(outcome.is_undecodable);
                if outcome.is_frame {
                    self.note_frame(arrival);
                }
            }
        }
    }

    fn note_frame(&mut self, arrival: &Arrival) {
        let (report, stamp) = (&mut self.report, &arrival.stamp);
        let is_switch = report.frames > 0 && report.encoding != stamp.encoding;
        let is_step = report.frames > 0 && report.spatial != stamp.spatial;
        if report.frames == 0 || is_switch {
            report.first_frame = stamp.frame;
        }
        report.switches += u64::from(is_switch || is_step);
        report.encoding = stamp.encoding;
        report.spatial = stamp.spatial;
        report.frames += 1;
        report.keyframes += u64::from(stamp.is_key);
        report.upper_frames += u64::from(stamp.temporal > 0);
        report.last_frame = stamp.frame;
        report.latency = arrival.at.saturating_sub(stamp.captured);
        if let Some(last) = report.last_at {
            let gap = arrival.at.saturating_sub(last);
            report.longest_gap = report.longest_gap.max(gap);
        }
        self.note_shown(arrival);
        let report = &mut self.report;
        report.first_at.get_or_insert(arrival.at);
        report.last_at = Some(arrival.at);
    }

    fn note_shown(&mut self, arrival: &Arrival) {
        if let Some(wait) = arrival.playout_delay {
            self.playout.ask(wait);
        }
        let arrived = (!std::mem::take(&mut self.is_again)).then_some(arrival.at);
        let captured = arrival.stamp.captured;
        let stood = self.playout.on_picture(self.now, captured, arrived);
        self.report.frozen += stood.unwrap_or_default();
    }

    /// Compares what sender reports say of the time of capture with the truth.
    fn note_clock(&mut self, arrival: &Arrival, wall_origin: SystemTime) {
        let Some((wall, rtp)) = arrival.sender_report else {
            return;
        };
        if self.last_report != Some((wall, rtp)) {
            self.last_report = Some((wall, rtp));
            self.report.sender_reports += 1;
        }
        let rate: i64 = match self.kind {
            SourceKind::Audio => 48_000,
            SourceKind::Video => 90_000,
        };
        let since_report = i64::from(arrival.timestamp.wrapping_sub(rtp).cast_signed());
        let wall = micros_since(wall, wall_origin) + since_report * 1_000_000 / rate;
        let truth = i64::try_from(arrival.stamp.captured.as_micros()).unwrap_or(i64::MAX);
        self.report.clock_offset = Some(wall - truth);
    }

    fn breach(&mut self, what: String) {
        self.violations.push(what);
    }
}

fn micros_since(wall: SystemTime, origin: SystemTime) -> i64 {
    match wall.duration_since(origin) {
        Ok(later) => i64::try_from(later.as_micros()).unwrap_or(i64::MAX),
        Err(earlier) => -i64::try_from(earlier.duration().as_micros()).unwrap_or(i64::MAX),
    }
}

/// What two packets of one number must share.
fn digest(arrival: &Arrival) -> u64 {
    let stamp = &arrival.stamp;
    let parts = [
        u64::from(arrival.timestamp),
        u64::from(stamp.source.0),
        u64::from(stamp.encoding),
        u64::from(stamp.frame),
        u64::from(stamp.index),
        u64::from(arrival.marker),
    ];
    parts.into_iter().fold(0xcbf2_9ce4_8422_2325, |hash, part| {
        (hash ^ part).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests;
