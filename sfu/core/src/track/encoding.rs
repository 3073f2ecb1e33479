//! One RTP stream of a track: what was announced of it, what is measured on it, and how its layers are read.
//!
//! Must not choose between encodings. RFC 3550, RFC 8852 (rid).

use std::time::{Duration, Instant};

use plenum_proto::v1::VideoQuality;

use super::{SenderClock, steady::Steady, usual::Usual};
use crate::{
    losses::Losses,
    rtp::{Codec, LayerReader, Packet, Rid},
    wait::Wait,
};

/// What is announced of an encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EncodingInfo {
    /// Index in its track; of each codec the first is the smallest.
    pub index: u8,
    /// The codec it is of, an index among those of its track.
    pub codec: u8,
    /// RTP stream id, where simulcast has one.
    pub rid: Option<Rid>,
    /// Its step as applications speak of it.
    pub quality: VideoQuality,
    /// Pixels, 0 when unknown.
    pub width: u32,
    /// Pixels, 0 when unknown.
    pub height: u32,
}

/// Spatial and temporal layers that are measured each for itself; those above count as the highest.
pub(crate) const LAYERS: usize = 4;

/// Something of each layer, by spatial and temporal id: of what it takes to decode it.
pub(crate) type Grid<T> = [[T; LAYERS]; LAYERS];

/// What another shard, on which the track is published, says of an encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Reported {
    /// Packets come.
    pub flowing: bool,
    /// Fewer and less than usual, or it comes and goes.
    pub frail: bool,
    /// Bits per second, 0 when nothing is known.
    pub bitrate: u64,
    /// Frames per second, 0 when nothing is known.
    pub fps: u32,
    /// At least 1.
    pub temporal_layers: u8,
    /// At least 1.
    pub spatial_layers: u8,
    /// Width and height of each spatial layer, 0 when not known.
    pub sizes: [(u32, u32); LAYERS],
    /// Bits per second of each layer, 0 when nothing is known.
    pub rates: Grid<u64>,
    /// Of a thousand packets those that never came.
    pub missing: u16,
    /// Of a thousand packets those that came after later ones: they were sent again, mostly.
    pub late: u16,
}

/// One RTP stream of a track.
#[derive(Debug, Clone)]
pub(crate) struct Encoding {
    /// As announced.
    pub info: EncodingInfo,
    silence: Duration,
    codec: Option<Codec>,
    clock: Option<SenderClock>,
    last_packet: Option<Instant>,
    newest_timestamp: Option<u32>,
    newest_sequence: Option<u64>,
    window: Option<Window>,
    measured: Measured,
    /// None of a screen, which has more and fewer pictures as it changes.
    usual: Option<Usual>,
    steady: Steady,
    is_behind: bool,
    losses: Losses,
    /// For what came late: that was sent again.
    wait: Wait,
    layers: LayerReader,
    /// Spatial and temporal layers that are sent, as the stream tells.
    extent: Option<(u8, u8)>,
    /// Width and height of each spatial layer, as the stream tells; 0 when it does not.
    sizes: [(u32, u32); LAYERS],
    /// Of a track that is published elsewhere: goes before what is measured here, where only what is
    /// wanted comes by.
    reported: Option<Reported>,
}

/// What is counted since `start`.
#[derive(Debug, Clone, Copy)]
struct Window {
    start: Instant,
    bytes: u64,
    frames: u32,
    expected: u64,
    received: u64,
    late: u64,
    /// By how much the latest of those that were sent again came behind its turn.
    late_by: Duration,
    top_temporal: u8,
    top_spatial: u8,
    layer_bytes: Grid<u64>,
}

/// What an encoding does while others of its codec come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    Comes,
    /// It does not though its publisher is to send it.
    Silent,
    /// Nor is it to come.
    Rests,
    /// None comes.
    Unknown,
}

/// The last whole window.
#[derive(Debug, Clone, Copy, Default)]
struct Measured {
    bitrate: u64,
    fps: u32,
    expected: u32,
    missing: u16,
    late: u16,
    top_temporal: u8,
    top_spatial: u8,
    rates: Grid<u64>,
}

/// Width and height as a client tells them, within what a picture can have, so that areas and rates do not overflow.
pub(crate) fn plausible_size((width, height): (u32, u32)) -> (u32, u32) {
    /// The widest picture of AV1 (level 6.2).
    const MOST: u32 = 1 << 14;
    (width.min(MOST), height.min(MOST))
}

impl Encoding {
    /// Length of a measurement.
    const WINDOW: Duration = Duration::from_secs(1);
    /// A window this long holds a pause, which says nothing of the rate.
    const WINDOW_WITH_PAUSE: Duration = Duration::from_secs(3);
    /// Silence after which a camera no longer flows.
    const SILENCE: Duration = Duration::from_millis(1_500);
    /// The same for a screen, of which a still picture may rarely be repeated.
    const SCREEN_SILENCE: Duration = Duration::from_secs(10);
    /// After a silence this long the packet that comes is no word on those before it: over a link they may not
    /// have been wanted.
    const INTERRUPTION: Duration = Duration::from_millis(500);
    /// The share of late packets from which on they are waited for.
    const LATE_FROM: f32 = 0.01;
    /// What a browser needs to decode and to draw is part of what it waits.
    const LATE_MARGIN: Duration = Duration::from_millis(20);
    /// RTP header, without extensions.
    const HEADER_BYTES: u64 = 12;

    /// An encoding nothing was received of yet.
    pub(crate) fn new(info: EncodingInfo, is_screen: bool) -> Self {
        Self {
            info,
            silence: if is_screen {
                Self::SCREEN_SILENCE
            } else {
                Self::SILENCE
            },
            codec: None,
            clock: None,
            last_packet: None,
            newest_timestamp: None,
            newest_sequence: None,
            window: None,
            measured: Measured::default(),
            usual: (!is_screen).then(Usual::default),
            steady: Steady::default(),
            is_behind: false,
            losses: Losses::default(),
            wait: Wait::default(),
            layers: LayerReader::default(),
            extent: None,
            sizes: [(0, 0); LAYERS],
            reported: None,
        }
    }

    /// Reads into a packet what it says of layers.
    pub(crate) fn read_layers(&mut self, packet: &mut Packet) {
        self.layers.read(packet);
    }

    /// The same for a packet that came before what tells of its layers.
    pub(crate) fn read_layers_late(&self, packet: &mut Packet) {
        self.layers.clone().read(packet);
    }

    /// Asks who shows a picture to wait for what comes late.
    pub(crate) fn ask(&self, packet: &mut Packet) {
        if let Some(delay) = self.wait.asked().filter(|_| packet.codec.is_video()) {
            packet.elements.ask(delay);
        }
    }

    /// Takes what the shard says on which the track is published.
    pub(crate) fn report(&mut self, reported: Reported) {
        self.reported = Some(reported);
    }

    /// What there is to say to other shards.
    pub(crate) fn reported(&self, now: Instant) -> Reported {
        Reported {
            flowing: self.is_flowing(now),
            frail: self.is_frail(now),
            bitrate: self.bitrate(now),
            fps: self.fps(),
            temporal_layers: self.temporal_layers(),
            spatial_layers: self.spatial_layers(),
            sizes: self.sizes(),
            rates: self.rates(now),
            missing: self.missing(),
            late: self.late(),
        }
    }

    /// This one is another under another name: what was read of that before `packet` holds of this too.
    pub(crate) fn mirror(&mut self, of: &Self, packet: &Packet) {
        self.clock = of.clock;
        if packet.is_keyframe {
            self.layers.clone_from(&of.layers);
        }
    }

    /// Takes the last sender report, as the shard read it on which the track is published.
    pub(crate) fn set_clock(&mut self, clock: Option<SenderClock>) {
        self.clock = clock;
    }

    /// Counts a packet.
    pub(crate) fn on_packet(&mut self, packet: &Packet) {
        let now = packet.arrival;
        if self
            .codec
            .is_some_and(|codec| codec.clock_rate() != packet.codec.clock_rate())
        {
            self.clock = None;
        }
        self.codec = Some(packet.codec);
        let expected = self.expected(packet);
        let late_by = match expected {
            0 => self.behind(packet),
            _ => Duration::ZERO,
        };
        self.last_packet = self.last_packet.max(Some(now));
        let is_new_frame = self
            .newest_timestamp
            .is_none_or(|newest| packet.timestamp.wrapping_sub(newest).cast_signed() > 0);
        if is_new_frame {
            self.newest_timestamp = Some(packet.timestamp);
        }
        self.note_layers(packet);
        let bytes = Self::HEADER_BYTES + packet.payload_length() as u64;
        let window = self.roll(now);
        window.bytes += bytes;
        window.frames += u32::from(is_new_frame);
        window.expected += expected;
        window.received += 1;
        window.late += u64::from(expected == 0);
        window.late_by = window.late_by.max(late_by);
        window.count(packet, bytes);
    }

    /// By how much a packet comes behind its turn: its media is that much older than the newest would be by now.
    fn behind(&self, packet: &Packet) -> Duration {
        let ticks = self
            .newest_timestamp
            .map_or(0, |newest| newest.wrapping_sub(packet.timestamp));
        let micros = u64::from(ticks) * 1_000_000 / u64::from(packet.codec.clock_rate());
        let since = self.last_packet.map_or(Duration::ZERO, |last| {
            packet.arrival.saturating_duration_since(last)
        });
        Duration::from_micros(micros) + since
    }

    /// How many packets there must have been up to this one that were not counted yet.
    fn expected(&mut self, packet: &Packet) -> u64 {
        /// A greater step is another numbering.
        const STEP_MAX: u64 = 10_000;
        let goes_on = self.last_packet.is_some_and(|last| {
            packet.arrival.saturating_duration_since(last) < Self::INTERRUPTION
        });
        let step = match self.newest_sequence.filter(|_| goes_on) {
            Some(newest) => packet.sequence.saturating_sub(newest),
            None => 1,
        };
        if step > 0 {
            self.newest_sequence = Some(packet.sequence);
        }
        if step > STEP_MAX { 1 } else { step }
    }

    /// Takes what a packet tells of the layers there are.
    fn note_layers(&mut self, packet: &Packet) {
        let Some(frame) = packet.frame.as_ref().filter(|frame| frame.starts) else {
            return;
        };
        self.extent = frame.targets.extent();
        if frame.restarts {
            let told = frame.targets.sizes();
            for (spatial, size) in (0_u8..).zip(&mut self.sizes) {
                let told = told.get(usize::from(spatial)).copied();
                *size = told
                    .or_else(|| self.layers.vp9_size(spatial))
                    .unwrap_or_default();
            }
        }
    }

    /// Takes a sender report: `wall` is the publisher's time since 1970, 0 when it has no clock.
    pub(crate) fn on_sender_report(&mut self, wall: Duration, rtp: u32) {
        // Before the first packet the clock rate is not known.
        let Some(codec) = self.codec else { return };
        if !wall.is_zero() {
            self.clock = Some(SenderClock::new(wall, rtp, codec.clock_rate()));
        }
    }

    /// The RTP stream begins anew, with other numbers; measurements go on.
    pub(crate) fn restart(&mut self) {
        self.clock = None;
        self.newest_timestamp = None;
        self.newest_sequence = None;
        self.layers.forget();
        self.extent = None;
    }

    /// Whether packets come: the last one is not long ago. See also [`Encoding::lags`].
    pub(crate) fn is_flowing(&self, now: Instant) -> bool {
        if let Some(reported) = self.reported {
            return reported.flowing;
        }
        self.last_packet
            .is_some_and(|last| now.saturating_duration_since(last) <= self.silence)
    }

    /// Takes what it does, as seen beside the others of its codec; `is_doubted` where one of them ceased.
    pub(crate) fn note_turn(
        &mut self,
        now: Instant,
        turn: Turn,
        is_behind: bool,
        is_doubted: bool,
    ) {
        match turn {
            Turn::Comes => self.steady.on_coming(now),
            Turn::Silent => self.steady.on_silent(self.last_packet, is_doubted),
            Turn::Rests => self.steady.on_rest(),
            Turn::Unknown => {}
        }
        self.is_behind = is_behind;
    }

    /// Whether it came and does not though it is to.
    pub(crate) fn has_ceased(&self) -> bool {
        self.steady.has_ceased()
    }

    /// Whether nothing came of it for longer than pictures are apart, even those of a camera in the dark, while others
    /// did that are made of the same ones, the last `newest`.
    pub(crate) fn is_later_than(&self, newest: Instant) -> bool {
        const APART: Duration = Duration::from_millis(600);
        let behind = self
            .last_packet
            .map(|last| newest.saturating_duration_since(last));
        self.usual.is_some() && behind.is_some_and(|behind| behind > APART)
    }

    /// Whether it stays behind others of the track.
    pub(crate) fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Whether what comes is far less than it has otherwise, in pictures and in bits, or comes and goes, or stays behind.
    pub(crate) fn is_frail(&self, now: Instant) -> bool {
        if let Some(reported) = self.reported {
            return reported.frail;
        }
        let is_starved = self.usual.is_some_and(|usual| usual.is_starved());
        is_starved || self.is_behind || !self.steady.is_steady(self.last_packet.unwrap_or(now))
    }

    /// Whether it stands still while the track goes on: `newest` is when the last packet of any
    /// encoding of the track came in. Even a screen at rest sends all its encodings together.
    pub(crate) fn lags(&self, newest: Instant) -> bool {
        if self.reported.is_some() {
            return false;
        }
        self.last_packet
            .is_none_or(|last| newest.saturating_duration_since(last) > Self::SILENCE)
    }

    /// The last sender report.
    pub(crate) fn clock(&self) -> Option<SenderClock> {
        self.clock
    }

    /// When the last packet came in.
    pub(crate) fn last_packet(&self) -> Option<Instant> {
        self.last_packet
    }

    /// Bits per second over the last second or so, RTP headers included; 0 when nothing flows or
    /// nothing is known yet.
    pub(crate) fn bitrate(&self, now: Instant) -> u64 {
        if let Some(reported) = self.reported {
            return reported.bitrate;
        }
        if self.is_flowing(now) {
            self.measured.bitrate
        } else {
            0
        }
    }

    /// Bits per second that it has while it flows, or had when it did; before it ever flowed, what is
    /// usual for its size. 0 where that is not known either.
    pub(crate) fn expected_bitrate(&self, now: Instant) -> u64 {
        /// A picture of 1280x720 has some 1.8 Mbit/s.
        const PER_PIXEL: u64 = 2;
        let usual = u64::from(self.info.width) * u64::from(self.info.height) * PER_PIXEL;
        [self.bitrate(now), self.measured.bitrate, usual]
            .into_iter()
            .find(|bitrate| *bitrate > 0)
            .unwrap_or(0)
    }

    /// Frames per second over the last second or so; 0 when nothing is known yet.
    pub(crate) fn fps(&self) -> u32 {
        self.reported
            .map_or(self.measured.fps, |reported| reported.fps)
    }

    /// Of a thousand packets of late those that never came, not even when they were sent again, where the
    /// track is published.
    pub(crate) fn missing(&self) -> u16 {
        self.reported
            .map_or(self.measured.missing, |reported| reported.missing)
    }

    /// Of a thousand packets of late those that came behind their turn where the track is published.
    pub(crate) fn late(&self) -> u16 {
        self.reported
            .map_or(self.measured.late, |reported| reported.late)
    }

    /// Packets that were to come here of late, of which those shares are.
    pub(crate) fn expected_packets(&self) -> u32 {
        self.measured.expected
    }

    /// Packets missing here, of a track that is published on another shard: what was lost on the way from there.
    pub(crate) fn missing_since(&self) -> u16 {
        let origin = self.reported.map_or(u16::MAX, |reported| reported.missing);
        self.measured.missing.saturating_sub(origin)
    }

    /// Number of temporal layers seen lately, at least 1.
    pub(crate) fn temporal_layers(&self) -> u8 {
        if let Some(reported) = self.reported {
            return reported.temporal_layers.max(1);
        }
        if let Some((_, temporal)) = self.extent {
            return temporal;
        }
        let counting = self.window.map_or(0, |window| window.top_temporal);
        self.measured.top_temporal.max(counting).saturating_add(1)
    }

    /// Number of spatial layers seen lately, at least 1.
    pub(crate) fn spatial_layers(&self) -> u8 {
        if let Some(reported) = self.reported {
            return reported.spatial_layers.max(1);
        }
        let told = self.extent.map(|(spatial, _)| spatial);
        told.or_else(|| self.layers.vp9_layers())
            .unwrap_or_else(|| {
                let counting = self.window.map_or(0, |window| window.top_spatial);
                self.measured.top_spatial.max(counting).saturating_add(1)
            })
    }

    fn sizes(&self) -> [(u32, u32); LAYERS] {
        self.reported.map_or(self.sizes, |reported| reported.sizes)
    }

    /// Width and height of a spatial layer as the stream tells; `None` when it does not.
    pub(crate) fn size(&self, spatial: u8) -> Option<(u32, u32)> {
        let size = self.sizes().get(usize::from(spatial)).copied();
        size.filter(|(width, height)| *width > 0 && *height > 0)
    }

    /// Bits per second of each layer over the last second or so; zeros as [`Encoding::bitrate`] has them.
    pub(crate) fn rates(&self, now: Instant) -> Grid<u64> {
        if let Some(reported) = self.reported {
            return reported.rates;
        }
        if self.is_flowing(now) {
            self.measured.rates
        } else {
            Grid::default()
        }
    }

    /// Closes the window when it is full, and gives the one to count in.
    fn roll(&mut self, now: Instant) -> &mut Window {
        let window = self.window.get_or_insert_with(|| Window::new(now));
        let length = now.saturating_duration_since(window.start);
        if length >= Self::WINDOW {
            if length < Self::WINDOW_WITH_PAUSE {
                self.measured = window.measure(length);
                if let Some(usual) = &mut self.usual {
                    usual.on_second(self.measured.fps, self.measured.bitrate);
                }
                let expected = self.measured.expected;
                let late = u32::try_from(window.late).unwrap_or(expected);
                self.losses.on_row(window.late_by);
                if let Some(judgement) = self.losses.on_report(now, expected, late) {
                    let is_lossy = judgement.loss >= Self::LATE_FROM;
                    let wanted = judgement.row + Self::LATE_MARGIN;
                    self.wait
                        .want(now, if is_lossy { wanted } else { Duration::ZERO });
                }
            }
            *window = Window::new(now);
        }
        window
    }
}

impl Window {
    fn new(start: Instant) -> Self {
        Self {
            start,
            bytes: 0,
            frames: 0,
            expected: 0,
            received: 0,
            late: 0,
            late_by: Duration::ZERO,
            top_temporal: 0,
            top_spatial: 0,
            layer_bytes: Grid::default(),
        }
    }

    /// Counts a packet with each layer that it takes to decode.
    fn count(&mut self, packet: &Packet, bytes: u64) {
        const TOP: u8 = LAYERS as u8 - 1;
        let mut add = |spatial: u8, temporal: u8| {
            let row = self.layer_bytes.get_mut(usize::from(spatial.min(TOP)));
            let cell = row.and_then(|row| row.get_mut(usize::from(temporal.min(TOP))));
            if let Some(cell) = cell {
                *cell += bytes;
            }
        };
        let temporal = packet.temporal();
        self.top_temporal = self.top_temporal.max(temporal);
        match &packet.frame {
            Some(frame) => {
                self.top_spatial = self.top_spatial.max(frame.spatial);
                let layers = frame.targets.layers_of(frame.serves);
                layers.for_each(|(spatial, temporal)| add(spatial, temporal));
            }
            None => (temporal.min(TOP)..=TOP).for_each(|temporal| add(0, temporal)),
        }
    }

    fn measure(&self, length: Duration) -> Measured {
        let millis = u64::try_from(length.as_millis()).unwrap_or(u64::MAX).max(1);
        let fps = (u64::from(self.frames) * 1_000 + millis / 2) / millis;
        let rate = |bytes: u64| bytes.saturating_mul(8_000) / millis;
        let share = |packets: u64| (packets * 1_000).checked_div(self.expected).unwrap_or(0) as u16;
        Measured {
            bitrate: rate(self.bytes),
            expected: u32::try_from(self.expected).unwrap_or(u32::MAX),
            missing: share(self.expected.saturating_sub(self.received)),
            late: share(self.late.min(self.expected)),
            fps: u32::try_from(fps).unwrap_or(u32::MAX),
            top_temporal: self.top_temporal,
            top_spatial: self.top_spatial,
            rates: self.layer_bytes.map(|row| row.map(rate)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::rtp::ExtensionValues;

    const INFO: EncodingInfo = EncodingInfo {
        index: 0,
        codec: 0,
        rid: None,
        quality: VideoQuality::High,
        width: 640,
        height: 360,
    };

    /// VP8 with a temporal layer, of 88 bytes: with the header 100.
    fn packet(sequence: u64, timestamp: u32, temporal: u8, arrival: Instant) -> Packet {
        let mut payload = vec![0x90, 0x20, temporal << 6, 1];
        payload.resize(88, 0);
        let extensions = ExtensionValues::default();
        let payload = Arc::from(payload);
        Packet::parse(
            Codec::Vp8,
            sequence,
            timestamp,
            true,
            payload,
            &extensions,
            arrival,
        )
    }

    #[test]
    fn measures_rate_frames_and_layers() {
        let start = Instant::now();
        let mut encoding = Encoding::new(INFO, false);
        assert_eq!((encoding.bitrate(start), encoding.fps()), (0, 0));
        let mut now = start;
        // 25 frames per second of two packets each.
        for frame in 0..60 {
            for part in 0..2 {
                let temporal = u8::try_from(frame % 2).unwrap();
                let sequence = u64::from(frame) * 2 + part;
                encoding.on_packet(&packet(sequence, frame * 3_600, temporal, now));
            }
            now += Duration::from_millis(40);
        }
        assert_eq!(encoding.bitrate(now), 25 * 2 * 100 * 8);
        assert_eq!(encoding.fps(), 25);
        assert_eq!(encoding.temporal_layers(), 2);
        assert_eq!(encoding.bitrate(now + Duration::from_secs(2)), 0, "silent");
        // A pause is no measurement.
        now += Duration::from_secs(60);
        encoding.on_packet(&packet(120, 1_000_000, 0, now));
        assert_eq!(encoding.bitrate(now), 25 * 2 * 100 * 8);
    }

    #[test]
    fn counts_what_never_came_and_not_what_was_not_asked_for() {
        let start = Instant::now();
        let ms = Duration::from_millis;
        let mut encoding = Encoding::new(INFO, false);
        let mut send = |numbers: &mut dyn Iterator<Item = u64>, from: Instant| {
            for (step, number) in (0..).zip(numbers) {
                encoding.on_packet(&packet(number, step, 0, from + ms(u64::from(step) * 10)));
            }
            (encoding.missing(), encoding.late())
        };
        // Every tenth is lost, and every twentieth is sent again and comes late.
        let comes = |n: &u64| n % 20 != 10;
        let order = |n: u64| match n % 20 {
            0..=3 => n + 1,
            4 => n - 4,
            _ => n,
        };
        assert_eq!(
            send(&mut (0..260).filter(comes).map(order), start),
            (47, 47)
        );
        // Nothing was wanted for a while.
        let later = start + ms(3_000);
        assert_eq!(send(&mut (1_000..1_130), later), (0, 0));
        assert_eq!(encoding.missing_since(), 0, "it is published here");
        encoding.report(Reported {
            missing: 20,
            ..Reported::default()
        });
        assert_eq!(encoding.missing(), 20);
    }

    #[test]
    fn flows_while_packets_come() {
        let start = Instant::now();
        let ms = Duration::from_millis;
        for (is_screen, after, flows) in [
            (false, ms(0), true),
            (false, ms(1_500), true),
            (false, ms(1_501), false),
            (true, ms(1_501), true),
            (true, ms(10_001), false),
        ] {
            let mut encoding = Encoding::new(INFO, is_screen);
            assert!(!encoding.is_flowing(start));
            assert!(encoding.lags(start));
            encoding.on_packet(&packet(1, 1, 0, start));
            assert_eq!(
                encoding.is_flowing(start + after),
                flows,
                "{is_screen} {after:?}"
            );
            assert!(!encoding.lags(start + ms(1_500)));
            assert!(encoding.lags(start + ms(1_501)));
        }
    }

    #[test]
    fn what_the_origin_reports_goes_before_what_comes_by() {
        let start = Instant::now();
        let mut encoding = Encoding::new(INFO, false);
        let mut reported = Reported {
            flowing: true,
            bitrate: 1_000,
            fps: 15,
            ..Reported::default()
        };
        encoding.report(reported);
        assert!(encoding.is_flowing(start) && !encoding.lags(start));
        assert_eq!((encoding.bitrate(start), encoding.fps()), (1_000, 15));
        (reported.temporal_layers, reported.spatial_layers) = (1, 1);
        assert_eq!(encoding.reported(start), reported);
        encoding.on_packet(&packet(1, 1, 2, start));
        assert_eq!(encoding.temporal_layers(), 1);
        reported.flowing = false;
        encoding.report(reported);
        assert!(
            !encoding.is_flowing(start),
            "the last packet is of no account"
        );
    }

    #[test]
    fn takes_sender_reports_once_the_clock_rate_is_known() {
        let start = Instant::now();
        let mut encoding = Encoding::new(INFO, false);
        encoding.on_sender_report(Duration::from_secs(9), 0);
        assert_eq!(encoding.clock(), None);
        encoding.on_packet(&packet(1, 1, 0, start));
        encoding.on_sender_report(Duration::ZERO, 0);
        assert_eq!(encoding.clock(), None, "a sender without a clock");
        encoding.on_sender_report(Duration::from_secs(9), 0);
        assert_eq!(
            encoding.clock(),
            Some(SenderClock::new(Duration::from_secs(9), 0, 90_000))
        );
        encoding.restart();
        assert_eq!(encoding.clock(), None);
    }
}
