//! A bottleneck that flows share, in virtual time: media that follows what the controller allows, sent by
//! the whole lane, its receivers that report (transport-wide), and TCP beside it. What the cases of
//! RFC 8867 are played on. Must not judge.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BinaryHeap},
    time::{Duration, Instant, SystemTime},
};

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use sfu_sim::Bottleneck;

use super::{
    super::{Egress, SlotIndex},
    connected, media, packet, serve,
    tcp::Tcp,
};
use crate::{
    ClockAnchor,
    outbox::Outbox,
    rtcp::{self, Arrival, Ecn, TwccInfo},
    rtp::Codec,
};

/// The way of all flows: one bottleneck, shared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Way {
    pub(super) queue: Duration,
    /// Share of packets lost behind the bottleneck, 0 to 1.
    pub(super) loss: f64,
    /// At most so much more delay, evenly spread, order kept.
    pub(super) jitter: Duration,
    /// Clients tell of packets by stream (RFC 8888).
    pub(super) by_stream: bool,
}

impl Default for Way {
    fn default() -> Self {
        Self {
            queue: Duration::from_millis(300),
            loss: 0.0,
            jitter: Duration::ZERO,
            by_stream: false,
        }
    }
}

/// What a packet of a flow met.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) sent: Duration,
    pub(super) bytes: usize,
    /// Waited at the bottleneck; `None` when it was lost.
    pub(super) queued: Option<Duration>,
}

/// One media flow.
pub(super) struct Flow {
    egress: Egress,
    outbox: Outbox,
    slot: SlotIndex,
    sequence: u64,
    delay: Duration,
    /// Bits per second that the source makes at most.
    source_max: f64,
    is_paused: bool,
    is_started: bool,
    /// Its way back has a bottleneck too.
    back: Option<usize>,
    newest_at: Duration,
    /// When it is woken next.
    woken: Option<Duration>,
    received: Vec<(u16, Duration)>,
    next_number: u16,
    reports: u8,
    /// Reports tell of packets by stream (RFC 8888); here are their streams and sequence numbers.
    by_stream: Option<Vec<(u16, (u32, u16))>>,
    /// Of each stream the first that was not told of.
    told: BTreeMap<u32, u64>,
    /// Everything sent, in order.
    pub(super) seen: Vec<Seen>,
    /// Time and estimate at each frame, bits per second.
    pub(super) estimates: Vec<(Duration, u64)>,
    pub(super) padding: u64,
}

enum What {
    Frame(usize),
    Timer(usize),
    Arrive { flow: usize, number: u16 },
    Feedback(usize),
    Report { flow: usize, bytes: Vec<u8> },
    TcpAck { flow: usize, lost: bool },
    TcpStart(usize),
}

struct Due {
    at: Duration,
    number: u64,
    what: What,
}

/// All that happens.
pub(super) struct World {
    start: Instant,
    pub(super) now: Duration,
    anchor: ClockAnchor,
    pub(super) rng: ChaCha8Rng,
    way: Way,
    pub(super) links: Vec<Bottleneck>,
    heap: BinaryHeap<Reverse<Due>>,
    numbers: u64,
    pub(super) flows: Vec<Flow>,
    /// Which bottleneck each flow takes.
    over: Vec<usize>,
    pub(super) tcp: Vec<Tcp>,
}

/// IPv4 and UDP.
const HEADERS: usize = 28;
const FRAME: Duration = Duration::from_nanos(33_333_333);
const FEEDBACK: Duration = Duration::from_millis(60);
const PAYLOAD: usize = 1_100;

impl World {
    pub(super) fn new(seed: u64, way: Way, rate: u64) -> Self {
        let start = Instant::now();
        Self {
            start,
            now: Duration::ZERO,
            anchor: ClockAnchor::new(start, SystemTime::UNIX_EPOCH),
            rng: ChaCha8Rng::seed_from_u64(seed),
            way,
            links: vec![Bottleneck::new(rate, way.queue)],
            heap: BinaryHeap::new(),
            numbers: 0,
            flows: Vec::new(),
            over: Vec::new(),
            tcp: Vec::new(),
        }
    }

    /// A media flow over a link, from a moment on.
    pub(super) fn add_flow(&mut self, link: usize, delay: Duration, at: Duration) -> usize {
        let mut egress = connected(self.start, 100);
        let slot = serve(&mut egress, 1, true);
        if self.way.by_stream {
            egress.lane.take_feedback_by_stream();
        }
        let index = self.flows.len();
        self.flows.push(Flow {
            egress,
            outbox: Outbox::new(16),
            slot,
            sequence: 1,
            delay,
            source_max: 5e6,
            is_paused: false,
            is_started: false,
            back: None,
            newest_at: Duration::ZERO,
            woken: None,
            received: Vec::new(),
            next_number: 0,
            reports: 0,
            by_stream: self.way.by_stream.then(Vec::new),
            told: BTreeMap::new(),
            seen: Vec::new(),
            estimates: Vec::new(),
            padding: 0,
        });
        self.over.push(link);
        let phase = FRAME.mul_f64(self.rng.random());
        self.push(at + phase, What::Frame(index));
        let phase = FEEDBACK.mul_f64(self.rng.random());
        self.push(at + phase, What::Feedback(index));
        index
    }

    /// The reports of a flow go over this link.
    pub(super) fn report_over(&mut self, flow: usize, link: usize) {
        self.flows[flow].back = Some(link);
    }

    /// The source of a flow makes at most so much.
    pub(super) fn limit(&mut self, flow: usize, bits_per_second: f64) {
        self.flows[flow].source_max = bits_per_second;
    }

    pub(super) fn pause(&mut self, flow: usize, is_paused: bool) {
        self.flows[flow].is_paused = is_paused;
    }

    pub(super) fn add_tcp(&mut self, tcp: Tcp, at: Duration) {
        self.tcp.push(tcp);
        self.push(at, What::TcpStart(self.tcp.len() - 1));
    }

    pub(super) fn set_rate(&mut self, link: usize, rate: u64) {
        let now = self.now;
        self.links[link].set_rate(now, rate);
    }

    pub(super) fn set_loss(&mut self, loss: f64) {
        self.way.loss = loss;
    }

    pub(super) fn run_until(&mut self, end: Duration) {
        while let Some(Reverse(due)) = self.heap.pop() {
            if due.at > end {
                self.heap.push(Reverse(due));
                break;
            }
            self.now = self.now.max(due.at);
            self.handle(due.what);
        }
        self.now = end;
    }

    fn push(&mut self, at: Duration, what: What) {
        self.numbers += 1;
        let number = self.numbers;
        self.heap.push(Reverse(Due { at, number, what }));
    }

    fn instant(&self) -> Instant {
        self.start + self.now
    }

    fn handle(&mut self, what: What) {
        match what {
            What::Frame(flow) => self.frame(flow),
            What::Timer(flow) => {
                let now = self.instant();
                let anchor = self.anchor;
                let this = &mut self.flows[flow];
                if this.woken != Some(self.now) {
                    return;
                }
                this.woken = None;
                // A deadline that moved is met when it comes.
                if this.egress.deadline().is_some_and(|at| at <= now) {
                    let timed = this.egress.handle_timeout(
                        now,
                        &anchor,
                        &mut this.outbox,
                        &mut |_, _, _| None,
                    );
                    this.padding += timed.padding;
                }
                self.settle(flow);
            }
            What::Arrive { flow, number } => {
                let now = self.now;
                self.flows[flow].received.push((number, now));
            }
            What::Feedback(flow) => self.feedback(flow),
            What::Report { flow, bytes } => {
                let (now, anchor) = (self.instant(), self.anchor);
                let mut told = Vec::new();
                let this = &mut self.flows[flow];
                this.egress.take_reports(now, &anchor, &bytes, &mut told);
                self.settle(flow);
            }
            What::TcpAck { flow, lost } => {
                let now = self.now;
                self.tcp[flow].on_ack(now, lost);
                self.send_tcp(flow);
            }
            What::TcpStart(flow) => {
                let size = self.tcp[flow]
                    .is_short
                    .then(|| self.rng.random_range(70..700));
                let now = self.now;
                self.tcp[flow].start(now, size);
                self.send_tcp(flow);
            }
        }
    }

    /// A picture as large as the estimate allows, give or take.
    fn frame(&mut self, flow: usize) {
        self.push(self.now + FRAME, What::Frame(flow));
        let now = self.instant();
        let noise = 1.0 + self.rng.random_range(-0.25..0.25);
        let this = &mut self.flows[flow];
        this.is_started = true;
        if this.is_paused {
            this.egress.set_wanted(0);
            return self.settle(flow);
        }
        this.egress.set_wanted(this.source_max as u64);
        let estimate = this.egress.budget(now).unwrap_or(1_000_000);
        this.estimates.push((self.now, estimate));
        let rate = (estimate as f64).min(this.source_max);
        let mut bytes = (rate * FRAME.as_secs_f64() / 8.0 * noise) as usize;
        while bytes > 0 {
            let size = bytes.min(PAYLOAD);
            bytes -= size;
            let part = packet(Codec::H264, this.sequence, size.max(60));
            // What is refused is lost, and shows as that.
            let _ = this.egress.write(
                now,
                &mut this.outbox,
                this.slot,
                &media(&part, this.sequence),
            );
            this.sequence += 1;
        }
        self.settle(flow);
    }

    /// Sends what a flow has queued, and sees to its deadline.
    fn settle(&mut self, flow: usize) {
        let link = self.over[flow];
        let mut datagrams = Vec::new();
        let this = &mut self.flows[flow];
        while let Some(run) = this.outbox.poll() {
            for bytes in run.datagrams() {
                let number = transport_number(bytes);
                datagrams.push((number, bytes.len()));
                if let (Some(names), Some(number)) = (&mut this.by_stream, number) {
                    names.push((number, name(bytes)));
                }
            }
        }
        if let Some(at) = this.egress.deadline() {
            let at = at.saturating_duration_since(self.start);
            let at = at.max(self.now + Duration::from_micros(100));
            if this.woken.is_none_or(|woken| at < woken) {
                this.woken = Some(at);
                self.push(at, What::Timer(flow));
            }
        }
        for (number, bytes) in datagrams {
            // Sender reports pass as well.
            let passed = self.links[link].send(self.now, bytes + HEADERS);
            let Some(number) = number else { continue };
            let is_lost = self.rng.random_bool(self.way.loss);
            let jitter = self.way.jitter.mul_f64(self.rng.random());
            let now = self.now;
            let this = &mut self.flows[flow];
            let queued = passed.filter(|_| !is_lost).map(|at| at - now);
            this.seen.push(Seen {
                sent: now,
                bytes,
                queued,
            });
            if let Some(at) = passed.filter(|_| !is_lost) {
                let at = (at + this.delay + jitter).max(this.newest_at);
                this.newest_at = at;
                self.push(at, What::Arrive { flow, number });
            }
        }
    }

    /// The receiver reports what came.
    fn feedback(&mut self, flow: usize) {
        self.push(self.now + FEEDBACK, What::Feedback(flow));
        let this = &mut self.flows[flow];
        let report = match this.by_stream {
            None => this.report(),
            Some(_) => this.report_by_stream(self.now),
        };
        let Some(bytes) = report else {
            return;
        };
        let (delay, back) = (this.delay, this.back);
        let passed = match back {
            Some(link) => self.links[link].send(self.now, bytes.len() + HEADERS + 14),
            None => Some(self.now),
        };
        if let Some(at) = passed {
            self.push(at + delay, What::Report { flow, bytes });
        }
    }

    fn send_tcp(&mut self, flow: usize) {
        while self.tcp[flow].takes_packet() {
            let passed = self.links[0].send(self.now, 1_500);
            let delay = self.tcp[flow].delay;
            let lost = passed.is_none();
            // A loss shows a round trip later, by the packets behind it.
            let behind = self.now + self.links[0].backlog(self.now);
            let at = passed.unwrap_or(behind) + delay * 2;
            self.push(at, What::TcpAck { flow, lost });
        }
        if let Some(next) = self.tcp[flow].rest() {
            let pause = next.mul_f64(-(1.0 - self.rng.random::<f64>()).ln());
            self.push(self.now + pause, What::TcpStart(flow));
        }
    }
}

impl Flow {
    /// The same by stream: of each stream a block, up to the newest packet that came of it.
    fn report_by_stream(&mut self, now: Duration) -> Option<Vec<u8>> {
        let came = std::mem::take(&mut self.received);
        let names = self.by_stream.as_mut()?;
        let mut streams: BTreeMap<u32, BTreeMap<u64, Duration>> = BTreeMap::new();
        for (number, arrival) in &came {
            let (_, (ssrc, sequence)) = names.iter().find(|(known, _)| known == number)?;
            let stream = streams.entry(*ssrc).or_default();
            // Blocks are short: what is behind a wrap is ahead.
            let first = stream
                .keys()
                .next()
                .map_or(*sequence, |first| *first as u16);
            let ahead = sequence.wrapping_sub(first).cast_signed();
            let extended = stream.keys().next().map_or_else(
                || u64::from(*sequence) + (1 << 32),
                |first| first.saturating_add_signed(ahead.into()),
            );
            stream.insert(extended, *arrival);
        }
        names.retain(|(number, _)| {
            let newest = came.last().map_or(*number, |(newest, _)| *newest);
            newest.wrapping_sub(*number).cast_signed() < 2_000
        });
        let blocks: Vec<(u32, u16, Vec<Option<Arrival>>)> = streams
            .into_iter()
            .filter_map(|(ssrc, stream)| {
                let (first, last) = (*stream.keys().next()?, *stream.keys().next_back()?);
                let told = self.told.insert(ssrc, last + 1);
                // What is missing between two reports is told as well.
                let begin = told
                    .filter(|told| *told <= first && first - told < 500)
                    .unwrap_or(first);
                let metrics = (begin..=last).map(|sequence| {
                    let ago = now.saturating_sub(*stream.get(&sequence)?);
                    Some(Arrival {
                        ecn: Ecn::NotEct,
                        offset: Some((ago.as_micros() * 1_024 / 1_000_000) as u16),
                    })
                });
                Some((ssrc, begin as u16, metrics.collect()))
            })
            .collect();
        let blocks: Vec<_> = blocks.iter().map(|(s, b, m)| (*s, *b, &m[..])).collect();
        if blocks.is_empty() {
            return None;
        }
        let timestamp = (now.as_micros() * 65_536 / 1_000_000) as u32;
        let mut out = Vec::new();
        rtcp::write_ccfb(&mut out, 1, timestamp, &blocks).unwrap();
        Some(out)
    }

    /// The report on what came since the last one.
    fn report(&mut self) -> Option<Vec<u8>> {
        let mut came = std::mem::take(&mut self.received);
        // In the order of arrival, which is that of sending.
        let first = came.first()?.1;
        came.dedup();
        // What is missing between two reports is told as well.
        let base = self.next_number;
        let reference = (first.as_millis() / 64) as i64;
        let mut statuses = Vec::new();
        let mut at = reference * 64_000;
        let mut next = base;
        for (number, arrival) in came {
            while next != number {
                statuses.push(None);
                next = next.wrapping_add(1);
            }
            let micros = arrival.as_micros() as i64;
            let delta = (micros - at).div_euclid(250);
            at += delta * 250;
            statuses.push(Some(delta as i16));
            next = next.wrapping_add(1);
        }
        self.next_number = next;
        self.reports = self.reports.wrapping_add(1);
        let info = TwccInfo {
            sender: 1,
            media: 2,
            base,
            reference: reference as i32,
            report: self.reports,
        };
        let mut out = Vec::new();
        rtcp::write_twcc(&mut out, &info, &statuses).unwrap();
        Some(out)
    }
}

/// SSRC and sequence number.
fn name(bytes: &[u8]) -> (u32, u16) {
    let sequence = u16::from_be_bytes([bytes[2], bytes[3]]);
    (
        u32::from_be_bytes([bytes[8], bytes[9], bytes[10], bytes[11]]),
        sequence,
    )
}

/// The transport-wide number of a packet, which stands first of its extensions; none in RTCP.
fn transport_number(bytes: &[u8]) -> Option<u16> {
    if (192..=223).contains(&bytes[1]) {
        return None;
    }
    assert_eq!(bytes[16], 0x31, "the number stands first");
    Some(u16::from_be_bytes([bytes[17], bytes[18]]))
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Due {}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}
