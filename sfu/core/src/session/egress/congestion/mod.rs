//! What the link to one client takes: an estimate by delay and one by loss from transport-wide feedback
//! (draft-holmer-rmcat-transport-wide-cc-extensions-01) or feedback by stream (RFC 8888), probes while more
//! is wanted, and what the client says itself (REMB). Told of every packet sent and of every report. Must not
//! make packets, nor choose layers.

mod delay;
mod delivery;
mod dispersion;
mod fall;
mod groups;
mod loss;
mod names;
mod probe;
mod register;
mod reports;
mod surge;
mod trend;

use std::time::{Duration, Instant};

use plenum_proto::v1::FeedbackKind;

use self::{
    delay::{DelayBased, Signals},
    delivery::Delivery,
    dispersion::Dispersion,
    fall::Fall,
    groups::Groups,
    loss::LossBased,
    names::Names,
    probe::Prober,
    register::{News, Register, Sent},
    reports::Reports,
    surge::{Sight, Surge},
    trend::{Trend, Usage},
};
use crate::{
    ahead::fetch,
    rtcp::{Ccfb, Twcc},
};

/// The controller of one transport.
#[derive(Debug)]
pub(crate) struct Congestion {
    origin: Instant,
    /// The latest moment that was noted, and in microseconds.
    moment: (Instant, u64),
    register: Register,
    groups: Groups,
    trend: Trend,
    delivery: Delivery,
    dispersion: Dispersion,
    surge: Surge,
    fall: Fall,
    /// Until when video is held back.
    held: Option<Instant>,
    delay: DelayBased,
    loss: LossBased,
    prober: Prober,
    reports: Reports,
    remb: Option<(u64, Instant)>,
    /// Packets carry transport-wide numbers, and the client reports on them or may yet.
    is_transport_wide: bool,
    /// The client reported on some.
    is_heard: bool,
    clock: ClientClock,
    /// Set where the client tells of packets by stream.
    names: Option<Box<Names>>,
    /// Set once it did: of transport-wide feedback, which has another clock, nothing is read then.
    stream_clock: Option<ClientClock>,
    /// From sending to the report of it, in seconds.
    response: f64,
    /// When the first packet went out that no report came after.
    unheard: Option<u64>,
    /// The newest packet that arrived: bytes sent up to it, and when it was.
    newest_arrived: Option<(u64, u64)>,
    /// For how long all that was sent was lost, at most, since that was last asked.
    longest_row: Option<u64>,
    arrivals: Arrivals,
    /// When the newest packet went out.
    last_sent: u64,
    /// The estimate before reports ceased to come.
    before_silence: Option<f64>,
    sent: SentRate,
}

/// The client's clock as reports tell it, in microseconds.
#[derive(Debug, Default)]
struct ClientClock {
    /// Of the newest report, in units of the report's kind.
    reference: Option<i64>,
}

/// What a report says of a packet.
#[derive(Debug, Clone, Copy)]
enum Told {
    Missing,
    /// When it came, in microseconds of the client's clock; absent where the client does not know.
    Arrived(Option<i64>),
}

/// At which rate what waits is sent, in bits per second: as slowly as brings it away in time, within these.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Pace {
    pub(super) least: f64,
    pub(super) most: f64,
}

/// Of the packets up to the newest that arrived, how many did: some clients leave out of their reports what is missing
/// between one and the next.
#[derive(Debug, Default)]
struct Arrivals {
    newest: Option<u16>,
    /// The number of the newest report.
    report: Option<u8>,
    expected: u32,
    arrived: u32,
}

/// How much is sent, probes left out.
#[derive(Debug, Default)]
struct SentRate {
    since: u64,
    bytes: u64,
    /// Bits per second.
    rate: Option<f64>,
}

impl Congestion {
    /// Bits per second before anything is known: a camera's large picture begins at once.
    const START: f64 = 2_500_000.0;
    /// How fast what waits is sent meanwhile: a first picture is not held back on a good link.
    const START_PACE: f64 = 10_000_000.0;
    /// The estimate is never less.
    const FLOOR: f64 = 50_000.0;
    /// How long a REMB holds; clients repeat it every second.
    const REMB_LIFE: Duration = Duration::from_secs(10);
    /// Of the estimate: how fast what waits is sent at most, and while a queue is waited out.
    const PACE: f64 = 1.5;
    const PACE_DRAINING: f64 = 0.9;
    /// Of what is sent: how fast a picture is sent at least, so that it is gone when the next one comes. But no less than
    /// this share of the estimate, nor of what the link passes beyond it: there a picture makes no queue.
    const PACE_EVEN: f64 = 1.04;
    const PACE_LEAST: f64 = 0.5;
    /// A link that passes so many times the estimate is quick: a picture makes no queue there. It is sent as fast
    /// as this share of what the link passes, in bits per second at most.
    const QUICK: f64 = 4.0;
    const PACE_QUICK: f64 = 0.8;
    const PACE_QUICK_MAX: f64 = 30_000_000.0;
    /// Who sends less than this share of the estimate does not show what the link takes.
    const APP_LIMITED: f64 = 0.65;
    /// Bits per second from which on sound may be repeated as often as rows of losses ask for.
    const ROOM_FOR_REPETITION: f64 = 1_500_000.0;
    /// Without reports for so long the estimate falls, again each time, in microseconds.
    const SILENCE: u64 = 500_000;
    const SILENCE_FACTOR: f64 = 0.7;
    /// When nothing was sent for so long, no queue of ours is left, in microseconds.
    const IDLE: u64 = 500_000;
    /// Who has reported on nothing for so long takes the numbers and knows no reports, in microseconds.
    const MUTE: u64 = 3_000_000;

    pub(super) fn new(now: Instant) -> Self {
        Self {
            origin: now,
            moment: (now, 0),
            register: Register::default(),
            groups: Groups::default(),
            trend: Trend::new(),
            delivery: Delivery::new(),
            dispersion: Dispersion::new(),
            surge: Surge::new(),
            fall: Fall::default(),
            held: None,
            delay: DelayBased::new(Self::START),
            loss: LossBased::new(),
            prober: Prober::new(),
            reports: Reports::new(now),
            remb: None,
            is_transport_wide: false,
            is_heard: false,
            clock: ClientClock::default(),
            names: None,
            stream_clock: None,
            response: 0.2,
            unheard: None,
            newest_arrived: None,
            longest_row: None,
            arrivals: Arrivals::default(),
            last_sent: 0,
            before_silence: None,
            sent: SentRate::default(),
        }
    }

    /// Microseconds since this was made; remembered, for it is asked several times with each packet.
    pub(super) fn note_moment(&mut self, now: Instant) -> u64 {
        self.moment = (now, self.micros(now));
        self.moment.1
    }

    /// Asks for what a packet will touch.
    pub(super) fn fetch(&self) {
        fetch(&self.moment);
        fetch(&self.register);
        fetch(&self.names);
        fetch(&self.is_heard);
        fetch(&self.unheard);
        fetch(&self.last_sent);
        fetch(&self.sent);
        fetch(&self.prober);
    }

    /// The same of what can only be found once that is there, for a packet with this number.
    pub(super) fn fetch_deep(&self, next: u16) {
        self.register.fetch(next);
    }

    /// A packet goes out, `bytes` long with its header.
    pub(super) fn on_sent(&mut self, now: Instant, transport_sequence: Option<u16>, bytes: usize) {
        let Some(sequence) = transport_sequence else {
            return self.reports.on_sent(bytes);
        };
        let now = self.micros(now);
        if self.is_heard && now.saturating_sub(self.last_sent) >= Self::IDLE {
            // What was the last before a pause has no say in what comes now.
            self.unheard = None;
        }
        self.last_sent = now;
        let unheard = *self.unheard.get_or_insert(now);
        self.is_transport_wide = self.is_heard || now.saturating_sub(unheard) < Self::MUTE;
        if !self.is_transport_wide {
            self.reports.on_sent(bytes);
        }
        let probe = self.prober.on_sent(now, bytes);
        self.register.insert(now, sequence, bytes, probe);
        if probe == 0 {
            self.sent.bytes += bytes as u64;
        }
    }

    /// The client tells of packets by stream. `next` is the number of the next packet.
    pub(super) fn take_feedback_by_stream(&mut self, next: u16) {
        self.names.get_or_insert_with(|| Box::new(Names::new(next)));
    }

    /// Whether it may.
    pub(super) fn has_feedback_by_stream(&self) -> bool {
        self.names.is_some()
    }

    /// What the client has reported on packets with.
    pub(super) fn feedback(&self) -> FeedbackKind {
        match (&self.stream_clock, self.is_heard) {
            (Some(_), _) => FeedbackKind::FeedbackByStream,
            (None, true) => FeedbackKind::FeedbackTransportWide,
            (None, false) => FeedbackKind::FeedbackUnknown,
        }
    }

    /// Before it goes out: which packet of which stream is to have this number.
    pub(super) fn name(&mut self, number: u16, name: (u32, u16)) {
        if let Some(names) = &mut self.names {
            names.insert(number, name);
        }
    }

    /// Transport-wide feedback: of each packet whether and when it arrived.
    pub(super) fn on_transport_feedback(&mut self, now: Instant, report: &Twcc<'_>) {
        if self.stream_clock.is_some() {
            return;
        }
        self.arrivals.on_report(report.info.report);
        let mut arrival = self.clock.micros::<24>(report.info.reference, 64_000.0);
        let told = report.statuses().map(|(sequence, delta)| {
            arrival += i64::from(delta.unwrap_or(0)) * 250;
            let told = delta.map_or(Told::Missing, |_| Told::Arrived(Some(arrival)));
            (sequence, told)
        });
        self.on_told(now, told);
    }

    /// Feedback by stream (RFC 8888). Marks of ECN say nothing: what we send is not marked as capable of it.
    pub(super) fn on_stream_feedback(&mut self, now: Instant, report: Ccfb<'_>) {
        /// In offsets: eight seconds or more.
        const LONG_AGO: u16 = 0x1ffe;
        let Some(mut names) = self.names.take() else {
            return;
        };
        if self.stream_clock.is_none() {
            self.groups.clear();
            self.trend.clear();
            self.delivery.clear();
            self.dispersion.clear();
        }
        let micros = self.micros(now);
        names.forget(|number| self.register.awaits(micros, number));
        // Compact NTP: 65,536 in a second.
        let timestamp = report.timestamp.cast_signed();
        let clock = self.stream_clock.get_or_insert_default();
        let made = clock.micros::<32>(timestamp, 1e6 / 65_536.0);
        let told = names.told(report).map(|(number, arrival)| {
            let known = |offset: &u16| *offset < LONG_AGO;
            let told = arrival.map_or(Told::Missing, |arrival| {
                let offset = arrival.offset.filter(known);
                Told::Arrived(offset.map(|offset| made - i64::from(offset) * 1_000_000 / 1_024))
            });
            (number, told)
        });
        self.on_told(now, told);
        self.names = Some(names);
    }

    /// Of each packet, in the order of sending, whether and when it arrived.
    fn on_told(&mut self, now: Instant, all: impl Iterator<Item = (u16, Told)>) {
        let at = now;
        let now = self.micros(now);
        let before = self.delivery.queue();
        let estimate = self.estimate();
        let mut newest = None;
        for (sequence, told) in all {
            let has_arrived = matches!(told, Told::Arrived(_));
            let Some((sent, news)) = self.register.tell(sequence, has_arrived) else {
                continue;
            };
            let arrival = match told {
                Told::Arrived(arrival) => arrival,
                Told::Missing => None,
            };
            if news != News::Missing {
                self.arrivals.count(sequence);
            }
            match news {
                News::Missing => self.loss.on_packet(sent.at, sent.bytes, true),
                News::Arrived => {
                    self.loss.on_packet(sent.at, sent.bytes, false);
                    self.note_row(&sent);
                    if let Some(arrival) = arrival
                        && let Some(delta) = self.groups.on_packet(sent.at, arrival)
                    {
                        self.trend.on_group(&delta);
                    }
                }
                News::ArrivedLate => self.loss.on_late(),
            }
            if news != News::Missing {
                newest = newest.max(Some((sent.at, sent.total)));
            }
            if let Some(arrival) = arrival {
                self.delivery.on_arrival(sent.at, arrival, sent.bytes);
                self.dispersion
                    .on_arrival(sent.at, arrival, sent.bytes, estimate);
                if sent.probe != 0 {
                    self.prober.on_arrival(sent.probe, arrival, sent.bytes);
                }
            }
        }
        if let Some((newest, total)) = newest {
            self.on_heard(now, newest);
            let hold = self.surge.on_report(&Sight {
                now,
                newest: self.delivery.newest_queue(),
                before,
                response: now.saturating_sub(newest) as f64 / 1e3,
                in_flight: self.register.total() - total,
                rate: self.delivery.busy_rate(),
                estimate: self.estimate(),
                is_shared: self.delay.is_beside_others(),
            });
            if self.surge.is_on() {
                self.dispersion.clear();
            }
            self.held = (hold > 0.0).then(|| at + Duration::from_micros((hold * 1e3) as u64));
            self.conclude(now);
        }
    }

    /// For how long all that was sent was lost, at most, since this was last asked.
    pub(super) fn take_longest_row(&mut self) -> Option<Duration> {
        self.longest_row.take().map(Duration::from_micros)
    }

    /// Packets up to the newest that arrived since this was last asked, and how many of them did not.
    pub(super) fn take_told(&mut self) -> (u32, u32) {
        self.arrivals.take()
    }

    /// Whether the client tells of each packet.
    pub(super) fn tells_of_all(&self) -> bool {
        self.is_heard
    }

    /// Whether the link has room for sound several times over: what a full queue drops is not mended by more.
    pub(super) fn has_room_for_repetition(&self) -> bool {
        self.estimate() >= Self::ROOM_FOR_REPETITION && !self.is_draining()
    }

    /// Bits per second that the link is thought to take; none where nothing is known.
    pub(super) fn rate(&self) -> Option<f64> {
        self.is_transport_wide.then(|| self.estimate())
    }

    /// A receiver report: packets expected and lost since the one before. Counts where there is no
    /// transport-wide feedback, for both tell of the same packets.
    pub(super) fn on_report(&mut self, now: Instant, expected: u32, lost: u32) {
        if !self.is_transport_wide {
            self.reports.on_report(now, expected, lost);
        }
    }

    /// The client's own estimate, in bits per second.
    pub(super) fn on_remb(&mut self, now: Instant, bitrate: u64) {
        self.remb = Some((bitrate, now));
    }

    /// What all that is wanted would need, in bits per second; 0 for nothing.
    pub(super) fn set_wanted(&mut self, wanted: u64) {
        self.prober.set_wanted(wanted as f64);
    }

    /// Whether there is a stream to send padding on.
    pub(super) fn set_can_pad(&mut self, can_pad: bool) {
        self.prober.set_can_pad(can_pad);
    }

    /// Bits per second that may be sent; `None` while nothing speaks against anything.
    pub(crate) fn budget(&self, now: Instant) -> Option<u64> {
        let remb = self
            .remb
            .filter(|(_, at)| now.saturating_duration_since(*at) < Self::REMB_LIFE)
            .map(|(bitrate, _)| bitrate);
        let own = if self.is_transport_wide {
            Some(self.estimate() as u64)
        } else {
            self.reports.estimate()
        };
        [remb, own].into_iter().flatten().min()
    }

    /// At which rate what waits is sent; `None` where nothing is known.
    pub(super) fn pace(&self, now: Instant) -> Option<Pace> {
        if !self.is_transport_wide {
            let budget = self.budget(now)?;
            return Some(Pace::of(budget as f64 * Self::PACE));
        }
        let pace = if !self.is_heard {
            Pace::of(Self::START_PACE)
        } else if self.delay.is_draining() {
            Pace::of(self.estimate() * Self::PACE_DRAINING)
        } else {
            self.pace_of_calm()
        };
        Some(pace)
    }

    /// The same where no queue is being waited out.
    fn pace_of_calm(&self) -> Pace {
        let estimate = self.estimate();
        let most = estimate * Self::PACE;
        let Some(passes) = self.dispersion.rate() else {
            return Pace::of(most);
        };
        if passes > estimate * Self::QUICK {
            let quick = (passes * Self::PACE_QUICK).min(Self::PACE_QUICK_MAX);
            return Pace::of(quick.max(most));
        }
        // Who sends evenly beside those who do not gets less than they.
        if self.delay.is_beside_others() {
            return Pace::of(most);
        }
        let sent = self.sent.rate.unwrap_or(most);
        Pace {
            // Of late next to nothing may have been sent: sound alone, while video was paused.
            least: (sent * Self::PACE_EVEN)
                .max(estimate.max(passes - estimate) * Self::PACE_LEAST)
                .min(most),
            most,
        }
    }

    /// Whether a queue of ours is being waited out.
    pub(super) fn is_draining(&self) -> bool {
        self.delay.is_draining() || self.surge.is_on()
    }

    /// Until when video is held back because a queue shot up.
    pub(super) fn held(&self) -> Option<Instant> {
        self.held
    }

    /// The client is at another address: what its link does is not known any more, how much it takes is
    /// asked.
    pub(super) fn on_new_route(&mut self, now: Instant) {
        self.groups.clear();
        self.trend.clear();
        self.delivery.clear();
        self.dispersion.clear();
        self.surge.clear();
        self.fall = Fall::default();
        self.prober.hurry(self.micros(now));
    }

    /// Lets time pass: probes begin, and silence is judged.
    pub(super) fn handle_timeout(&mut self, now: Instant) {
        if !self.is_transport_wide {
            return;
        }
        let now = self.micros(now);
        // What was not reported on because nothing followed it tells nothing of the link.
        if self.is_heard
            && let Some(since) = self.unheard
            && self.last_sent.saturating_sub(since) >= Self::SILENCE
        {
            let before = self.estimate();
            self.before_silence.get_or_insert(before);
            let times = i32::try_from((self.last_sent - since) / Self::SILENCE).unwrap_or(i32::MAX);
            let lowered = before * Self::SILENCE_FACTOR.powi(times);
            self.delay.lower(lowered.max(Self::FLOOR));
            self.unheard = Some(now);
        }
        let is_idle = now.saturating_sub(self.last_sent) >= Self::IDLE;
        if is_idle {
            // No report will come while nothing is sent: what the last ones said must not hold for ever.
            self.delay.on_idle();
            self.surge.clear();
            self.groups.clear();
            self.trend.clear();
        }
        let is_blocked = !is_idle
            && (self.before_silence.is_some()
                || self.is_draining()
                || self.knows_share(now)
                || self.trend.usage() != Usage::Normal);
        let estimate = self.estimate();
        self.prober.handle_timeout(now, estimate, is_blocked);
    }

    /// Whether a probe would only show what is known.
    fn knows_share(&self, now: u64) -> bool {
        self.delay.knows_share(now) && !self.prober.is_nothing(self.estimate())
    }

    /// Bytes of a probe that are to be sent now.
    pub(super) fn probe_due(&self, now: Instant) -> Option<usize> {
        self.prober.due(self.micros(now))
    }

    /// There was nothing to send for a probe.
    pub(super) fn abort_probe(&mut self, now: Instant) {
        self.prober.abort(self.micros(now));
    }

    /// When [`Congestion::handle_timeout`] is wanted; none while nothing is sent and nobody wants more.
    pub(super) fn deadline(&self) -> Option<Instant> {
        if !self.is_transport_wide {
            return None;
        }
        // Silence is looked for with each sender report; a moment of its own for each packet would cost
        // more than it is worth.
        let silence = self
            .before_silence
            .and(self.unheard)
            .filter(|since| self.last_sent.saturating_sub(*since) >= Self::SILENCE)
            .map(|since| since + Self::SILENCE);
        let probe = self.prober.deadline(self.estimate());
        let at = silence.into_iter().chain(probe).min()?;
        Some(self.origin + Duration::from_micros(at))
    }

    fn estimate(&self) -> f64 {
        let by_delay = self.delay.estimate();
        let by_loss = self.loss.estimate().unwrap_or(f64::MAX);
        by_delay.min(by_loss).max(Self::FLOOR)
    }

    fn micros(&self, now: Instant) -> u64 {
        if now == self.moment.0 {
            return self.moment.1;
        }
        let since = now.saturating_duration_since(self.origin);
        since.as_secs() * 1_000_000 + u64::from(since.subsec_micros())
    }

    /// A report came that tells of packets sent up to `newest`.
    fn on_heard(&mut self, now: u64, newest: u64) {
        const WEIGHT: f64 = 0.1;
        let response = now.saturating_sub(newest) as f64 / 1e6;
        self.response += WEIGHT * (response - self.response);
        self.unheard = None;
        (self.is_heard, self.is_transport_wide) = (true, true);
        if let Some(before) = self.before_silence.take() {
            // The link may be as it was; it is asked, not trusted.
            self.delay.raise(before * 0.5);
            self.prober.hurry(now);
        }
    }

    /// A packet arrived: what was sent between it and the one before it was lost, whether reports tell of it or not.
    fn note_row(&mut self, sent: &Sent) {
        let Some((total, at)) = self.newest_arrived else {
            self.newest_arrived = Some((sent.total, sent.at));
            return;
        };
        if sent.total <= total {
            return;
        }
        self.newest_arrived = Some((sent.total, sent.at));
        if sent.total - u64::from(sent.bytes) > total {
            let row = sent.at.saturating_sub(at);
            self.longest_row = self.longest_row.max(Some(row));
        }
    }

    fn conclude(&mut self, now: u64) {
        let estimate = self.estimate();
        self.sent.update(now);
        let is_app_limited = self
            .sent
            .rate
            .is_none_or(|rate| rate < estimate * Self::APP_LIMITED);
        let mut delivered = self.delivery.rate();
        let (mut usage, mut queue) = (self.trend.usage(), self.delivery.queue());
        // What comes as it was sent, if little and late, shows no less than the link takes.
        let has_fallen = self.surge.is_confirmed() && self.delivery.grows();
        if has_fallen {
            // What the last quarter of a second held was mostly before it.
            let late = self.delivery.rate_of_late();
            delivered = delivered.map(|rate| rate.min(late));
            (usage, queue) = (Usage::Over, self.delivery.newest_queue());
        }
        self.delay.update(&Signals {
            now,
            usage,
            delivered,
            queue,
            response: self.response,
            is_app_limited,
            has_fallen,
        });
        if self.delay.take_longer_way() {
            self.delivery.settle();
        }
        self.fall.on_estimate(now, estimate, self.delay.estimate());
        let (queue, passes) = (self.delivery.newest_queue(), self.delivery.busy_rate());
        let own = self.delay.estimate();
        if let Some(worth) = self.fall.on_report(now, queue, passes, own) {
            self.delay.restore(worth);
        }
        self.loss.update(self.delay.estimate(), delivered);
        if let Some(shown) = self.prober.result(now, estimate) {
            self.delay.raise(shown);
            self.loss.raise(shown);
        } else if self.estimate() < estimate {
            self.prober.on_lowered(now);
        }
    }
}

impl ClientClock {
    /// The time of a report, whose bits wrap, where one of its units is so many microseconds.
    fn micros<const BITS: u32>(&mut self, reference: i32, unit: f64) -> i64 {
        let reference = i64::from(reference);
        let unwrapped = match self.reference {
            // That many bits with sign.
            Some(last) => last + (((reference - last) << (64 - BITS)) >> (64 - BITS)),
            None => reference,
        };
        self.reference = self.reference.max(Some(unwrapped));
        (unwrapped as f64 * unit) as i64
    }
}

impl Pace {
    /// No other rate than this one.
    pub(super) fn of(rate: f64) -> Self {
        Self {
            least: rate,
            most: rate,
        }
    }
}

impl Arrivals {
    /// A report with this number: what those before it told of that did not come is not known.
    fn on_report(&mut self, number: u8) {
        let is_next = self
            .report
            .is_none_or(|last| number == last.wrapping_add(1));
        self.report = Some(number);
        if !is_next {
            self.newest = None;
        }
    }

    fn count(&mut self, sequence: u16) {
        self.arrived += 1;
        let newest = *self.newest.get_or_insert_with(|| sequence.wrapping_sub(1));
        let ahead = sequence.wrapping_sub(newest);
        if ahead < 0x8000 {
            self.newest = Some(sequence);
            self.expected += u32::from(ahead);
        }
    }

    /// Packets expected, and those that did not arrive.
    fn take(&mut self) -> (u32, u32) {
        let (expected, arrived) = (self.expected, self.arrived);
        (self.expected, self.arrived) = (0, 0);
        (expected, expected.saturating_sub(arrived))
    }
}

impl SentRate {
    fn update(&mut self, now: u64) {
        const SPAN: u64 = 500_000;
        let since = now.saturating_sub(self.since);
        if since >= SPAN {
            self.rate = Some(self.bytes as f64 * 8e6 / since as f64);
            (self.since, self.bytes) = (now, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 100 packets a second for so long, without a word from the client.
    fn send(congestion: &mut Congestion, from: Instant, numbers: std::ops::Range<u16>) -> Instant {
        let mut now = from;
        for number in numbers {
            congestion.on_sent(now, Some(number), 1_250);
            congestion.handle_timeout(now);
            now += Duration::from_millis(10);
        }
        now
    }

    /// A report that all packets of a range came 20 ms after they were sent.
    fn report(congestion: &mut Congestion, now: Instant, numbers: std::ops::Range<u16>) {
        let info = crate::rtcp::TwccInfo {
            sender: 1,
            media: 2,
            base: numbers.start,
            reference: i32::from(numbers.start) * 10 / 64,
            report: 0,
        };
        let first = i16::try_from(i32::from(numbers.start) * 10 % 64 * 4).unwrap();
        let deltas = numbers
            .clone()
            .map(|number| Some(if number == numbers.start { first } else { 40 }));
        let mut bytes = Vec::new();
        crate::rtcp::write_twcc(&mut bytes, &info, &deltas.collect::<Vec<_>>()).unwrap();
        for part in crate::rtcp::Parts::new(&bytes) {
            let Ok(crate::rtcp::Part::Twcc(twcc)) = part else {
                panic!("a report");
            };
            congestion.on_transport_feedback(now, &twcc);
        }
    }

    #[test]
    fn who_never_reports_is_not_held_back() {
        let start = Instant::now();
        let mut congestion = Congestion::new(start);
        let now = send(&mut congestion, start, 0..200);
        assert_eq!(congestion.budget(now), Some(2_500_000));
        let now = send(&mut congestion, now, 200..500);
        assert_eq!((congestion.budget(now), congestion.pace(now)), (None, None));
        // Its receiver reports count, as those of clients without the numbers do.
        congestion.on_report(now, 300, 90);
        assert!(congestion.budget(now).is_some());
    }

    #[test]
    fn silence_lowers_the_estimate_and_a_word_ends_that() {
        let start = Instant::now();
        let mut congestion = Congestion::new(start);
        let now = send(&mut congestion, start, 0..100);
        report(&mut congestion, now, 0..100);
        let before = congestion.budget(now).unwrap();
        let now = send(&mut congestion, now, 100..400);
        let silent = congestion.budget(now).unwrap();
        assert!(silent < before / 4, "{silent} of {before}");
        report(&mut congestion, now, 100..400);
        let after = congestion.budget(now).unwrap();
        assert!(after >= before / 2, "{after} of {before}");
    }

    #[test]
    fn a_last_packet_that_is_lost_says_nothing_of_a_link_on_which_nothing_is_sent() {
        let start = Instant::now();
        let mut congestion = Congestion::new(start);
        let mut now = send(&mut congestion, start, 0..101);
        report(&mut congestion, now, 0..100);
        let before = congestion.budget(now);
        for _ in 0..60 {
            now += Duration::from_millis(100);
            congestion.handle_timeout(now);
        }
        assert_eq!(
            (congestion.budget(now), congestion.deadline()),
            (before, None)
        );
        // Nor when it goes on, some reports later.
        now = send(&mut congestion, now, 101..131);
        report(&mut congestion, now, 101..131);
        assert!(congestion.budget(now) >= before);
    }

    #[test]
    fn the_clients_own_estimate_holds_while_it_is_fresh() {
        let start = Instant::now();
        let mut congestion = Congestion::new(start);
        congestion.on_remb(start, 500_000);
        let later = |seconds| start + Duration::from_secs(seconds);
        assert_eq!(congestion.budget(later(9)), Some(500_000));
        assert_eq!(congestion.budget(later(11)), None);
    }

    #[test]
    fn nothing_is_wanted_of_an_idle_transport() {
        let start = Instant::now();
        let mut congestion = Congestion::new(start);
        assert_eq!(congestion.deadline(), None);
        let now = send(&mut congestion, start, 0..100);
        report(&mut congestion, now, 0..100);
        congestion.set_can_pad(true);
        congestion.set_wanted(0);
        assert_eq!(congestion.deadline(), None);
        congestion.set_wanted(9_000_000);
        assert!(congestion.deadline().is_some());
    }
}
