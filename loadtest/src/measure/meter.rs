//! The meter of one subscribed track: joins the accounts of numbers, frames, freezes and switches.

use super::assembler::{Assembler, Position};
use super::descriptor::Part;
use super::freeze::FreezeMeter;
use super::jitter::Jitter;
use super::published::Published;
use super::sequence::{Arrival, SequenceMeter};
use super::switch::SwitchMeter;
use super::track_measure::{ENCODINGS, TrackMeasure};
use crate::media::{Codec, Stamp};

/// How long a decoder tries before it asks for a keyframe.
const PATIENCE_NS: u64 = 200_000_000;

/// What only video has.
#[derive(Debug, Clone)]
struct Pictures {
    assembler: Assembler,
    freezes: FreezeMeter,
    switches: SwitchMeter,
}

/// Counts of the window that no other account keeps.
#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    late: u64,
    duplicated: u64,
    padding: u64,
    bytes: u64,
    by_encoding: [u64; ENCODINGS],
}

/// Measures one subscribed RTP stream. All times are nanoseconds of one clock, the one that stamps
/// are written with.
#[derive(Debug, Clone)]
pub struct TrackMeter {
    codec: Codec,
    window_from_ns: u64,
    sequence: SequenceMeter,
    jitter: Jitter,
    published: Published,
    pictures: Option<Box<Pictures>>,
    counts: Counts,
    first_packet_ns: Option<u64>,
    last_packet_ns: Option<u64>,
    /// Since when nothing has come; none before the first packet and while the track rests.
    quiet_since_ns: Option<u64>,
    longest_gap_ns: u64,
    first_frame_ns: Option<u64>,
    /// Since when packets came that made no frame decodable, and when the last of them came.
    stalled: Option<(u64, u64)>,
    stamped: bool,
    is_paused: bool,
}

impl TrackMeter {
    /// A meter whose window begins at `now_ns`.
    #[must_use]
    pub fn new(codec: Codec, now_ns: u64) -> Self {
        let pictures = codec.is_video().then(|| {
            Box::new(Pictures {
                assembler: Assembler::new(),
                freezes: FreezeMeter::default(),
                switches: SwitchMeter::default(),
            })
        });
        Self {
            codec,
            window_from_ns: now_ns,
            sequence: SequenceMeter::new(),
            jitter: Jitter::new(codec.clock_rate()),
            published: Published::default(),
            pictures,
            counts: Counts::default(),
            first_packet_ns: None,
            last_packet_ns: None,
            quiet_since_ns: None,
            longest_gap_ns: 0,
            first_frame_ns: None,
            stalled: None,
            stamped: false,
            is_paused: false,
        }
    }

    /// Takes a packet as it came, also one recovered by retransmission under its original number.
    /// An empty payload is padding. Returns how long a stamped packet was on its way, in
    /// nanoseconds, if it came for the first time.
    pub fn on_packet(
        &mut self,
        now_ns: u64,
        sequence: u16,
        timestamp: u32,
        marker: bool,
        payload: &[u8],
    ) -> Option<u64> {
        let arrival = self.sequence.on_packet(sequence);
        match arrival {
            Arrival::Next => {}
            Arrival::Late => self.counts.late += u64::from(!payload.is_empty()),
            Arrival::Duplicate => {
                self.counts.duplicated += 1;
                if let Some(pictures) = &mut self.pictures {
                    pictures.assembler.on_duplicate(sequence);
                }
                return None;
            }
            // Not to be counted, but a frame may want it.
            Arrival::Early => {}
            Arrival::Stray => return None,
            Arrival::Restart => self.on_restart(),
        }
        let is_counted = arrival != Arrival::Early;
        if payload.is_empty() {
            self.counts.padding += u64::from(is_counted);
            if let Some(pictures) = &mut self.pictures {
                pictures.assembler.on_padding(sequence);
            }
            return None;
        }
        let in_order = matches!(arrival, Arrival::Next | Arrival::Restart);
        if in_order {
            self.jitter.on_packet(now_ns, timestamp);
        }
        let stamp = Stamp::read(payload);
        if is_counted {
            self.counts.bytes += payload.len() as u64;
            if let Some(stamp) = &stamp {
                self.stamped = true;
                self.published.on_packet(stamp, in_order);
                if let Some(count) = self.counts.by_encoding.get_mut(usize::from(stamp.encoding)) {
                    *count += 1;
                }
            }
        }
        self.first_packet_ns.get_or_insert(now_ns);
        self.longest_gap_ns = self.longest_gap_ns.max(self.gap_ns(now_ns));
        self.last_packet_ns = Some(now_ns);
        self.quiet_since_ns = Some(now_ns);
        self.on_media(now_ns, sequence, timestamp, marker, payload, stamp.as_ref());
        stamp
            .filter(|_| is_counted)
            .map(|stamp| now_ns.saturating_sub(stamp.sent_ns))
    }

    fn on_media(
        &mut self,
        now_ns: u64,
        sequence: u16,
        timestamp: u32,
        marker: bool,
        payload: &[u8],
        stamp: Option<&Stamp>,
    ) {
        let Some(pictures) = &mut self.pictures else {
            self.first_frame_ns.get_or_insert(now_ns);
            return;
        };
        let of_frame = stamp.map(|stamp| (stamp.packet, stamp.packets));
        let position = Position {
            sequence,
            timestamp,
            marker,
            of_frame,
        };
        let part = stamp.map_or_else(|| Part::of_payload(self.codec, payload), Part::of_stamp);
        let Some(decoded) = pictures.assembler.on_packet(&position, &part) else {
            let since = self.stalled.map_or(now_ns, |(since, _)| since);
            self.stalled = Some((since, now_ns));
            return;
        };
        self.stalled = None;
        self.first_frame_ns.get_or_insert(now_ns);
        if decoded.is_newest {
            pictures.switches.on_frame(now_ns, decoded.format);
            if !self.is_paused {
                pictures.freezes.on_frame(now_ns);
            }
        }
    }

    /// For how long nothing has come, since the window began, unless the track rests.
    fn gap_ns(&self, now_ns: u64) -> u64 {
        let since = self.quiet_since_ns.filter(|_| !self.is_paused);
        let since = since.map(|last| last.max(self.window_from_ns));
        since.map_or(0, |since| now_ns.saturating_sub(since))
    }

    fn on_restart(&mut self) {
        self.jitter.restart();
        if let Some(pictures) = &mut self.pictures {
            pictures.assembler.restart();
        }
    }

    /// The viewer wishes for another encoding: the time until its first frame is taken. To be called
    /// only for wishes that need another encoding.
    pub fn on_layer_change(&mut self, now_ns: u64) {
        if let Some(pictures) = &mut self.pictures {
            pictures.switches.on_layer_change(now_ns);
        }
    }

    /// The track rests because someone wants it so (viewer or publisher): no freeze until it resumes.
    pub fn on_pause(&mut self) {
        self.is_paused = true;
        self.quiet_since_ns = None;
        self.jitter.restart();
        if let Some(pictures) = &mut self.pictures {
            pictures.freezes.on_pause();
        }
    }

    /// The end of [`Self::on_pause`]; the first frame after it starts the clock of freezes again.
    pub fn on_resume(&mut self) {
        self.is_paused = false;
    }

    /// Begins the window: counts start from zero, while decoding, continuity and the time of the
    /// first frame stay, since what comes rests on what came.
    pub fn begin(&mut self, now_ns: u64) {
        self.window_from_ns = now_ns;
        self.sequence.begin();
        self.jitter.begin();
        self.published.begin();
        self.counts = Counts::default();
        self.longest_gap_ns = 0;
        if let Some(pictures) = &mut self.pictures {
            pictures.assembler.begin();
            pictures.freezes.begin();
            pictures.switches.begin();
        }
    }

    /// Whether a decoder would ask for a keyframe: media has come for 200 ms, the last of it not
    /// longer ago than that, and no frame of it could be decoded.
    #[must_use]
    pub fn needs_keyframe(&self, now_ns: u64) -> bool {
        self.stalled.is_some_and(|(since, last)| {
            last.saturating_sub(since) >= PATIENCE_NS && now_ns.saturating_sub(last) <= PATIENCE_NS
        })
    }

    /// When the first decodable frame was whole (audio: the first packet came), in nanoseconds.
    #[must_use]
    pub fn first_frame_ns(&self) -> Option<u64> {
        self.first_frame_ns
    }

    /// The sums of the window up to now. What a retransmission may still bring counts as lost.
    #[must_use]
    pub fn snapshot(&self, now_ns: u64) -> TrackMeasure {
        let Counts {
            late,
            duplicated,
            padding,
            bytes,
            by_encoding,
        } = self.counts;
        let packets_expected = self.sequence.expected().saturating_sub(padding);
        let packets_received = self.sequence.received().saturating_sub(padding);
        let mut measure = TrackMeasure {
            stamped: self.stamped,
            window_ns: now_ns.saturating_sub(self.window_from_ns),
            packets_expected,
            packets_received,
            packets_lost: packets_expected.saturating_sub(packets_received),
            packets_late: late,
            packets_duplicated: duplicated,
            packets_padding: padding,
            packets_published: self.published.spanned(),
            packets_unseen: self.published.unseen(),
            bytes,
            received_by_encoding: by_encoding,
            first_packet_ns: self.first_packet_ns,
            last_packet_ns: self.last_packet_ns,
            first_frame_ns: self.first_frame_ns,
            longest_gap_ns: self.longest_gap_ns.max(self.gap_ns(now_ns)),
            jitter_ns: self.jitter.mean_ns(),
            ..TrackMeasure::default()
        };
        if let Some(pictures) = &self.pictures {
            let tally = pictures.assembler.tally();
            measure.frames_expected = tally.expected;
            measure.frames_complete = tally.complete;
            measure.frames_late = tally.late;
            measure.frames_duplicated = tally.duplicated;
            measure.frames_decodable = tally.decodable;
            measure.keyframes = tally.keyframes;
            (measure.freezes, measure.freeze_ns) = pictures.freezes.totals(now_ns);
            measure.switches = pictures.switches.times_ns().to_vec();
            measure.switches_open = u64::from(pictures.switches.is_waiting());
        }
        measure
    }

    /// The sums of the window, which ends now. To be called before publishers stop: else their
    /// silence counts as a freeze.
    #[must_use]
    pub fn finish(self, now_ns: u64) -> TrackMeasure {
        self.snapshot(now_ns)
    }
}
