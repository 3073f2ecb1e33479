//! Protects and queues what goes out on one subscribe transport: media, what is sent again, and sender
//! reports (RFC 3550, RFC 3711, RFC 4588). Owns the keys, the address media goes to, and the
//! transport-wide numbers. Must not know sections or tracks.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{
    backlog::Shares,
    congestion::Congestion,
    feedback::Feedback,
    header::{self, Fixed, Own},
    history::Sent,
    pacer::Pacer,
    playout::Playout,
    redundancy::Redundancy,
    share::Share,
    stream::{PayloadType, Stream},
};
use crate::{
    ClockAnchor,
    ahead::fetch,
    losses::Losses,
    outbox::{Outbox, Route},
    rtcp::{self, NtpTime},
    rtp::{Packet, Patch, REDUNDANT_MAX, RedBlock, Rewritten, extension_id, write_red},
    session::StreamReport,
    srtp::{SrtcpReceiver, SrtpSender},
};

/// How what goes out and what comes back is protected.
enum Protection {
    /// By the keys of a handshake.
    Srtp(SrtpSender, SrtcpReceiver),
    /// Not at all: plain RTP, to addresses that whoever runs the node allows.
    Plain,
}

/// What is sent to a client, and how.
pub(crate) struct Lane {
    keys: Option<Protection>,
    route: Option<Route>,
    transport_sequence: u16,
    /// What may be spent on sending again, in bytes.
    spare: u32,
    /// Packets of media that waited and were thrown away, since they were last asked for.
    pub(super) discarded: u64,
    origin: Instant,
    pub(super) rtt: Option<Duration>,
    losses: Losses,
    redundancy: Redundancy,
    playout: Playout,
    pub(super) congestion: Congestion,
    pub(super) share: Share,
    pub(super) pacer: Pacer<Queued>,
    /// What waits there, by section.
    pub(super) shares: Shares,
    report_at: Option<Instant>,
    /// When it was last said how all streams together fare.
    told_at: Option<Instant>,
    /// Packets that it told of since then, and those lost of them.
    told: (u32, u32),
}

/// A packet of a stream, with what it was made of.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Media<'a> {
    pub(crate) packet: &'a Arc<Packet>,
    /// Its payload, or the part of it that the client takes.
    pub(crate) payload: &'a [u8],
    /// It goes out without media: only its number is used.
    pub(crate) is_empty: bool,
    /// Sound that goes out with what came before it.
    pub(crate) repeated: Option<Repeated<'a>>,
    /// Which encoding of its track it belongs to.
    pub(crate) encoding: u8,
    pub(crate) payload_type: PayloadType,
    pub(crate) rewritten: Rewritten,
    /// When it was captured, on our clock.
    pub(crate) captured: Instant,
}

/// What waits for its turn.
#[derive(Debug)]
pub(super) enum Queued {
    /// A packet of video.
    Media(Waiting),
    /// A packet to be sent again.
    Again(Again),
}

/// A packet that is to be sent again, as it was sent.
#[derive(Debug, Clone, Copy)]
pub(super) struct Again {
    pub(super) slot: usize,
    /// Of the stream it was sent on.
    pub(super) ssrc: u32,
    pub(super) repair_type: u8,
    pub(super) sent: Sent,
    /// When it was asked for.
    pub(super) asked: Instant,
}

/// What is repeated beside the payload of a packet.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Repeated<'a> {
    /// Of each block.
    payload_type: PayloadType,
    /// The newest first.
    blocks: [Option<RedBlock<'a>>; REDUNDANT_MAX],
}

/// A packet that waits for its turn.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) slot: usize,
    /// Of the stream it was numbered for.
    pub(super) ssrc: u32,
    packet: Arc<Packet>,
    is_empty: bool,
    payload_type: PayloadType,
    rewritten: Rewritten,
    captured: Instant,
    /// When it began to wait.
    since: Instant,
}

impl Waiting {
    /// Whole packets only wait, and empty ones: what is cut is sound.
    pub(super) fn new(now: Instant, slot: usize, ssrc: u32, media: &Media<'_>) -> Self {
        Self {
            slot,
            ssrc,
            packet: Arc::clone(media.packet),
            is_empty: media.is_empty,
            payload_type: media.payload_type,
            rewritten: media.rewritten,
            captured: media.captured,
            since: now,
        }
    }

    pub(super) fn bytes(&self) -> usize {
        self.packet.payload.len()
    }

    pub(super) fn is_keyframe(&self) -> bool {
        self.packet.is_keyframe
    }

    pub(super) fn timestamp(&self) -> u32 {
        self.rewritten.timestamp
    }

    pub(super) fn since(&self) -> Instant {
        self.since
    }

    /// Its number in its stream.
    pub(super) fn sequence(&self) -> u64 {
        self.rewritten.sequence
    }
}

impl Lane {
    /// Time between two sender reports, and from a stream's first packet to its first.
    const REPORT_INTERVAL: Duration = Duration::from_secs(1);
    const FIRST_REPORT: Duration = Duration::from_millis(50);

    /// Time between two words on how all streams together fare.
    const TELLING: Duration = Duration::from_millis(500);

    /// Of each byte of media, one fourth may be spent on sending again; up to this much is saved up.
    const SPARE_SHARE: u32 = 4;
    const SPARE_MAX: u32 = 128 * 1024;

    /// Bytes of reports in one datagram.
    const REPORT_BYTES: usize = 1_100;

    pub(super) fn new(now: Instant) -> Self {
        Self {
            keys: None,
            route: None,
            transport_sequence: 0,
            spare: Self::SPARE_MAX,
            discarded: 0,
            origin: now,
            rtt: None,
            congestion: Congestion::new(now),
            share: Share::new(),
            losses: Losses::default(),
            redundancy: Redundancy::default(),
            playout: Playout::default(),
            pacer: Pacer::new(),
            shares: Shares::default(),
            report_at: None,
            told_at: None,
            told: (0, 0),
        }
    }

    /// The handshake is done: these keys protect all that follows.
    pub(crate) fn connect(&mut self, sender: SrtpSender, receiver: SrtcpReceiver) {
        // A second set for one handshake would count from the beginning again.
        self.keys.get_or_insert(Protection::Srtp(sender, receiver));
    }

    /// What is sent is plain RTP: each stream has an address of its own, and the lane this one.
    pub(super) fn connect_plain(&mut self, route: Route) {
        self.keys.get_or_insert(Protection::Plain);
        self.route.get_or_insert(route);
    }

    /// The client nominated this pair of addresses in an authenticated check (RFC 8445 section 8).
    pub(crate) fn set_route(&mut self, now: Instant, route: Route) {
        let before = self.route.replace(route);
        if before.is_some_and(|before| before != route) {
            self.congestion.on_new_route(now);
        }
    }

    /// Whether media can go out.
    pub(crate) fn is_ready(&self) -> bool {
        self.keys.is_some() && self.route.is_some()
    }

    /// Asks for what a next packet will touch.
    pub(super) fn fetch(&self) {
        fetch(&self.keys);
        fetch(&self.route);
        fetch(&self.transport_sequence);
        fetch(&self.origin);
        fetch(&self.report_at);
        fetch(&self.share);
        fetch(&self.playout);
        self.pacer.fetch();
        self.congestion.fetch();
    }

    /// The same of what can only be found once that is there.
    pub(super) fn fetch_deep(&self) {
        self.congestion.fetch_deep(self.transport_sequence);
    }

    /// How many packets of sound are repeated beside each one now.
    pub(crate) fn repetitions(&self) -> usize {
        let has_room = self.congestion.has_room_for_repetition();
        self.redundancy.count(has_room, self.congestion.rate())
    }

    /// When [`Lane::report`], the pacer or the controller wants to be called.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.report_at
            .into_iter()
            .chain(self.pacer.deadline())
            .chain(self.congestion.deadline())
            .min()
    }

    /// The client has told what became of packets: how all streams together fare, now and then.
    pub(super) fn on_told(&mut self, now: Instant) -> Option<Feedback> {
        if let Some(row) = self.congestion.take_longest_row() {
            self.redundancy.on_row(now, row);
            self.losses.on_row(row);
        }
        let told = self.congestion.take_told();
        self.on_losses(now, told.0, told.1);
        self.told.0 = self.told.0.saturating_add(told.0);
        self.told.1 = self.told.1.saturating_add(told.1);
        self.follow(now);
        let since = self.told_at.map(|at| now.saturating_duration_since(at));
        if self.told.0 == 0 || since.is_some_and(|since| since < Self::TELLING) {
            return None;
        }
        let (packets, lost) = std::mem::take(&mut self.told);
        self.told_at = Some(now);
        Some(Feedback::Report(StreamReport {
            packets,
            loss: Some(lost as f32 / packets as f32),
            rtt: None,
            jitter: None,
        }))
    }

    /// The client tells how many packets it expected since it last told, and how many of them were lost.
    pub(super) fn on_losses(&mut self, now: Instant, expected: u32, lost: u32) {
        if let Some(judgement) = self.losses.on_report(now, expected, lost) {
            self.redundancy.judge(now, &judgement);
            self.playout
                .judge(now, &judgement, self.rtt.unwrap_or_default());
        }
    }

    /// From now on the client tells of packets by stream (RFC 8888), if it tells of them.
    pub(in super::super) fn take_feedback_by_stream(&mut self) {
        self.congestion
            .take_feedback_by_stream(self.transport_sequence);
    }

    /// What the controller says of the link holds for what is sent from now on.
    pub(super) fn follow(&mut self, now: Instant) {
        self.pacer.set_pace(self.congestion.pace(now));
        self.pacer.hold(self.congestion.held());
    }

    /// Sends a packet now. True when the lane's deadline was set by it.
    pub(super) fn send(
        &mut self,
        now: Instant,
        outbox: &mut Outbox,
        stream: &mut Stream,
        media: &Media<'_>,
    ) -> bool {
        let bytes = self.seal(
            now,
            outbox,
            stream,
            &Outgoing {
                packet: media.packet,
                payload: media.payload,
                is_empty: media.is_empty,
                repeated: media.repeated,
                payload_type: media.payload_type.media,
                rewritten: media.rewritten,
                repairs: None,
            },
        );
        if bytes == 0 {
            return false;
        }
        if !media.packet.codec.is_video() {
            self.redundancy.on_sound(bytes);
        }
        self.share.on_sent(media.payload.len(), bytes);
        self.spare = (self.spare + bytes as u32 / Self::SPARE_SHARE).min(Self::SPARE_MAX);
        let rate = media.packet.codec.clock_rate();
        let is_first = !stream.has_sent();
        stream.on_sent(
            media.rewritten.timestamp,
            media.captured,
            rate,
            media.payload.len(),
        );
        let wanted = match (is_first, self.report_at) {
            (false, Some(_)) => return false,
            (false, None) => Self::REPORT_INTERVAL,
            (true, _) => Self::FIRST_REPORT,
        };
        let at = now + wanted;
        let is_sooner = self.report_at.is_none_or(|set| at < set);
        if is_sooner {
            self.report_at = Some(at);
        }
        is_sooner
    }

    /// Sends what waited and has its turn now.
    pub(super) fn send_waiting(
        &mut self,
        now: Instant,
        outbox: &mut Outbox,
        stream: &mut Stream,
        waiting: &Waiting,
    ) {
        self.send(
            now,
            outbox,
            stream,
            &Media {
                packet: &waiting.packet,
                payload: if waiting.is_empty {
                    &[]
                } else {
                    &waiting.packet.payload
                },
                is_empty: waiting.is_empty,
                // Sound never waits.
                repeated: None,
                encoding: 0,
                payload_type: waiting.payload_type,
                rewritten: waiting.rewritten,
                captured: waiting.captured,
            },
        );
    }

    /// Sends a packet again that was missed; false where that would cost more than is spared for it. Where what is sent
    /// again gets lost, too, a picture waits for it: it goes twice.
    pub(super) fn repair(
        &mut self,
        now: Instant,
        outbox: &mut Outbox,
        stream: &mut Stream,
        (repair_type, sent): (u8, &Sent),
        packet: &Packet,
    ) -> bool {
        let is_doubled = sent.is_urgent || self.playout.loses_much();
        let copies = 1 + usize::from(is_doubled && !self.congestion.is_draining());
        let cost = packet.payload.len() as u32;
        let mut is_sent = false;
        for _ in 0..copies {
            let Some(left) = self.spare.checked_sub(cost) else {
                break;
            };
            if !self.send_again(now, outbox, stream, (repair_type, sent), packet) {
                break;
            }
            self.spare = left;
            self.share.on_sent(0, packet.payload.len());
            is_sent = true;
        }
        is_sent
    }

    /// Sends a packet again, as a packet of the stream that repairs (RFC 4588); false where there is none.
    pub(super) fn send_again(
        &mut self,
        now: Instant,
        outbox: &mut Outbox,
        stream: &mut Stream,
        (repair_type, sent): (u8, &Sent),
        packet: &Packet,
    ) -> bool {
        if stream.repair_ssrc.is_none() {
            return false;
        }
        let rewritten = Rewritten {
            sequence: stream.take_repair_number(),
            ..Stream::rewritten(sent)
        };
        let outgoing = Outgoing {
            packet,
            payload: if sent.is_empty { &[] } else { &packet.payload },
            is_empty: sent.is_empty,
            repeated: None,
            payload_type: repair_type,
            rewritten,
            repairs: Some(sent.sequence as u16),
        };
        self.seal(now, outbox, stream, &outgoing) > 0
    }

    /// Sends a packet of nothing on the stream that repairs (RFC 3550 section 5.1, RFC 4588): there its
    /// number takes none away from media. False where there is no such stream.
    pub(super) fn send_padding(
        &mut self,
        now: Instant,
        outbox: &mut Outbox,
        stream: &mut Stream,
        repair_type: u8,
    ) -> bool {
        const BYTES: u8 = u8::MAX;
        let (Some(ssrc), Some(_), Some(_)) = (stream.repair_ssrc, &self.keys, self.route) else {
            return false;
        };
        let sequence = stream.take_repair_number();
        let fixed = Fixed {
            payload_type: repair_type,
            marker: false,
            is_padded: true,
            sequence: sequence as u16,
            timestamp: stream.timestamp(),
            ssrc,
        };
        let out = outbox.draft();
        let own = self.own(now, stream);
        let header = header::write(
            out,
            fixed,
            &stream.ids,
            own,
            None,
            (&Patch::default(), None),
        );
        out.resize(out.len() + usize::from(BYTES), 0);
        if let Some(last) = out.last_mut() {
            *last = BYTES;
        }
        let is_wide = own.transport_sequence.is_some();
        self.commit(now, outbox, (None, header), (ssrc, sequence), is_wide) > 0
    }

    /// Milliseconds since the lane was made.
    pub(super) fn clock(&mut self, now: Instant) -> u64 {
        self.congestion.note_moment(now) / 1_000
    }

    /// Writes, protects and queues a packet. Returns its bytes on the wire, 0 when it was not sent.
    fn seal(
        &mut self,
        now: Instant,
        outbox: &mut Outbox,
        stream: &Stream,
        outgoing: &Outgoing<'_>,
    ) -> usize {
        if !self.is_ready() {
            return 0;
        }
        let ssrc = match (outgoing.repairs, stream.repair_ssrc) {
            (None, _) => stream.ssrc,
            (Some(_), Some(ssrc)) => ssrc,
            // Under the media's own SSRC the number would be used twice.
            (Some(_), None) => return 0,
        };
        let own = self.own(now, stream);
        let is_padding = outgoing.is_empty && outgoing.repairs.is_none();
        let fixed = Fixed {
            payload_type: outgoing.payload_type,
            marker: outgoing.rewritten.marker,
            is_padded: is_padding,
            sequence: outgoing.rewritten.sequence as u16,
            timestamp: outgoing.rewritten.timestamp,
            ssrc,
        };
        let out = outbox.draft();
        let patch: &Patch = &outgoing.rewritten.patch;
        // Without media there is nothing for them to speak of.
        let elements = (!outgoing.is_empty).then_some(&outgoing.packet.elements);
        let place = outgoing.packet.frame.as_ref().and_then(|frame| frame.mask);
        let header = header::write(out, fixed, &stream.ids, own, elements, (patch, place));
        if let Some(original) = outgoing.repairs {
            out.extend_from_slice(&original.to_be_bytes());
        }
        let payload = out.len();
        match &outgoing.repeated {
            Some(repeated) => repeated.write(out, outgoing.payload),
            None => out.extend_from_slice(outgoing.payload),
        }
        if is_padding {
            // One byte, which says so.
            out.push(1);
        } else if let Some(bytes) = out.get_mut(payload..).filter(|_| !outgoing.is_empty) {
            patch.apply(&outgoing.packet.descriptor, bytes);
        }
        let index = outgoing.rewritten.sequence;
        let is_wide = own.transport_sequence.is_some();
        let plain = stream.plain.as_ref().map(|plain| &plain.rtp);
        self.commit(now, outbox, (plain, header), (ssrc, index), is_wide)
    }

    /// The extensions of a packet that are the transport's own.
    fn own<'a>(&self, now: Instant, stream: &'a Stream) -> Own<'a> {
        let is_wide = stream.ids.id(extension_id::TRANSPORT_SEQUENCE).is_some();
        Own {
            transport_sequence: is_wide.then_some(self.transport_sequence),
            abs_send_time: (!is_wide).then(|| abs_send_time(now - self.origin)),
            mid: stream.mid.as_deref(),
            playout_delay: self.playout.delay(),
        }
    }

    /// Protects and queues the draft, whose header has so many bytes, for a route of its own or that of the lane.
    /// Returns its bytes on the wire, 0 when it was not sent.
    fn commit(
        &mut self,
        now: Instant,
        outbox: &mut Outbox,
        (route, header): (Option<&Route>, usize),
        number: (u32, u64),
        is_transport_wide: bool,
    ) -> usize {
        let (Some(keys), Some(route)) = (&self.keys, route.or(self.route.as_ref())) else {
            return 0;
        };
        let length = outbox.draft_len();
        let bytes = match keys {
            Protection::Plain => {
                outbox.commit(route);
                length
            }
            Protection::Srtp(sender, _) => {
                let bytes = length + sender.overhead();
                let is_sent = outbox.commit_as(route, bytes, |packet, out| {
                    sender.protect(packet, header, number, out).is_ok()
                });
                if !is_sent {
                    return 0;
                }
                bytes
            }
        };
        let is_numbered = is_transport_wide || self.congestion.has_feedback_by_stream();
        let wide = is_numbered.then_some(self.transport_sequence);
        self.congestion
            .name(self.transport_sequence, (number.0, number.1 as u16));
        self.congestion.on_sent(now, wide, bytes);
        self.pacer.on_sent(now, bytes);
        if is_numbered {
            if self.transport_sequence == 0 {
                self.follow(now);
            }
            self.transport_sequence = self.transport_sequence.wrapping_add(1);
        }
        bytes
    }

    /// Sends the sender reports that are due (RFC 3550 section 6.4.1).
    pub(super) fn report<'a>(
        &mut self,
        now: Instant,
        anchor: &ClockAnchor,
        outbox: &mut Outbox,
        streams: impl Iterator<Item = (&'a mut Stream, &'a str)>,
    ) {
        if self.report_at.is_none_or(|at| at > now) {
            return;
        }
        // Set again by the next packet: a silent stream has nothing to report.
        self.report_at = None;
        let (Some(keys), Some(route)) = (&mut self.keys, &self.route) else {
            return;
        };
        let wall = NtpTime::from_unix(anchor.unix(now));
        let mut out = std::mem::take(outbox.draft());
        for (stream, name) in streams.filter(|(stream, _)| stream.owes_report()) {
            let Some(info) = stream.report(now, wall) else {
                continue;
            };
            rtcp::write_sender_report(&mut out, &info, &[]);
            rtcp::write_sdes(&mut out, info.ssrc, name);
            if let Some(plain) = &stream.plain {
                protect_report(keys, outbox, &plain.rtcp, &mut out);
            } else if out.len() > Self::REPORT_BYTES {
                protect_report(keys, outbox, route, &mut out);
            }
        }
        if !out.is_empty() {
            protect_report(keys, outbox, route, &mut out);
        }
        *outbox.draft() = out;
    }

    /// Decrypts a compound RTCP packet in place. `None` when it is not authentic, a copy, or came too
    /// early.
    pub(super) fn open<'a>(&mut self, bytes: &'a mut [u8]) -> Option<&'a [u8]> {
        match self.keys.as_mut()? {
            Protection::Plain => Some(bytes),
            Protection::Srtp(_, receiver) => {
                let length = receiver.unprotect(bytes).ok()?;
                bytes.get(..length)
            }
        }
    }
}

/// A packet about to be written.
struct Outgoing<'a> {
    packet: &'a Packet,
    payload: &'a [u8],
    is_empty: bool,
    repeated: Option<Repeated<'a>>,
    payload_type: u8,
    rewritten: Rewritten,
    /// The sequence number of the packet that this one repairs.
    repairs: Option<u16>,
}

impl<'a> Repeated<'a> {
    /// A payload that is longer would be cut in pieces on its way, just where packets get lost.
    const PAYLOAD_MAX: usize = 1_150;

    /// The first `count` of these blocks, the newest first, as far as they fit beside `newest`.
    pub(crate) fn new(
        payload_type: PayloadType,
        mut blocks: [Option<RedBlock<'a>>; REDUNDANT_MAX],
        count: usize,
        newest: &[u8],
    ) -> Self {
        let mut length = newest.len();
        for (index, block) in blocks.iter_mut().enumerate() {
            length += block.map_or(0, |block| block.payload.len());
            if index >= count || length > Self::PAYLOAD_MAX {
                *block = None;
            }
        }
        Self {
            payload_type,
            blocks,
        }
    }

    fn write(&self, out: &mut Vec<u8>, newest: &[u8]) {
        let mut oldest_first = [RedBlock {
            age: 0,
            payload: &[],
        }; REDUNDANT_MAX];
        let mut count = 0;
        for (place, block) in oldest_first
            .iter_mut()
            .zip(self.blocks.iter().rev().flatten())
        {
            *place = *block;
            count += 1;
        }
        let earlier = oldest_first.get(..count).unwrap_or_default();
        write_red(out, self.payload_type.media, earlier, newest);
    }
}

/// Queues the reports that were written, and takes them out of `out`.
fn protect_report(keys: &mut Protection, outbox: &mut Outbox, route: &Route, out: &mut Vec<u8>) {
    let protected = match keys {
        Protection::Plain => true,
        Protection::Srtp(sender, _) => sender.protect_rtcp(out, 0).is_ok(),
    };
    if protected {
        outbox.push(*route, out);
    }
    out.clear();
}

/// Seconds modulo 64, in 24 bits with 18 of the fraction
/// (draft-alvestrand-rmcat-remb-03 section 2.2, abs-send-time).
fn abs_send_time(since: Duration) -> u32 {
    let fraction = u64::from(since.subsec_nanos()) << 18;
    let ticks = (since.as_secs() << 18) | (fraction / 1_000_000_000);
    (ticks & 0x00ff_ffff) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sound_is_repeated_as_far_as_it_fits_into_a_packet() {
        for (newest, earlier, count, expected) in [
            (160, [160, 160], 2, [true, true]),
            (160, [160, 160], 1, [true, false]),
            (640, [500, 20], 2, [true, false]),
            (640, [640, 10], 2, [false, false]),
            (960, [960, 960], 2, [false, false]),
        ] {
            let bytes = [0; 1_000];
            let block = |length| {
                Some(RedBlock {
                    age: 960,
                    payload: &bytes[..length],
                })
            };
            let payload_type = PayloadType {
                media: 111,
                repair: None,
            };
            let mut blocks = [None; REDUNDANT_MAX];
            blocks[..2].copy_from_slice(&earlier.map(block));
            let repeated = Repeated::new(payload_type, blocks, count, &bytes[..newest]);
            let kept = repeated.blocks.map(|block| block.is_some());
            assert_eq!(kept[..2], expected, "{newest} beside {earlier:?}");
        }
    }

    #[test]
    fn send_times_wrap_after_64_seconds() {
        for (millis, expected) in [
            (0, 0),
            (500, 1 << 17),
            (1_000, 1 << 18),
            (63_999, (64 << 18) - 263),
            (64_250, 1 << 16),
        ] {
            assert_eq!(abs_send_time(Duration::from_millis(millis)), expected);
        }
    }
}
