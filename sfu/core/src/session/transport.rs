//! One ICE + DTLS connection of a participant: wraps the engine and hides its drain rule (every
//! mutation is followed by a drain to its timeout, but for packets of media in order). Must not know of
//! rooms, tracks or subscriptions.

use std::{
    net::SocketAddr,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use str0m::{
    Candidate, Event as EngineEvent, Input, Output, Rtc, RtcConfig,
    change::SdpPendingOffer,
    channel::ChannelId,
    config::DtlsVersion,
    format::PayloadParams,
    media::{KeyframeRequestKind, MediaKind},
    net::{Protocol as EngineProtocol, Receive, TcpType},
    stats::MediaIngressStats,
};

use super::{
    check,
    dtls::{self, KeySlot, Keying},
    steady::Steady,
};
use crate::{
    CoreConfig, Protocol,
    outbox::{Outbox, Route},
    rtp::{self, Mid, Pt, Rid, Ssrc},
    stun::Check,
};

/// A connection of a participant.
pub(crate) struct Transport {
    rtc: Rtc,
    /// Where each of our addresses is seen from outside, to translate at the boundary.
    addresses: Vec<(Protocol, SocketAddr, SocketAddr)>,
    /// The offer that waits for its answer.
    pub(super) pending: Option<SdpPendingOffer>,
    deadline: Option<Instant>,
    needs_drain: bool,
    /// When the engine was last drained to its timeout.
    drained_at: Option<Instant>,
    /// The newest packet of each stream.
    newest: Newest,
    /// Until then the engine is woken when it wants to be.
    awake_until: Instant,
    /// Something was asked of the engine since the last drain.
    is_stirred: bool,
    /// When RTP came last.
    media_at: Option<Instant>,
    /// When a genuine connectivity check came last.
    heard_at: Option<Instant>,
    is_silent: bool,
    /// The check that the client repeats, once it is connected.
    steady: Option<Box<Steady>>,
    is_connected: bool,
    contain_faults: bool,
    keys: KeySlot,
    /// Media and its feedback are the egress lane's, not the engine's.
    has_lane: bool,
    received: Received,
}

/// The number of the newest packet of each stream that came lately.
#[derive(Debug, Default)]
struct Newest(Vec<(Ssrc, u64)>);

impl Newest {
    /// More streams are not kept.
    const MOST: usize = 8;

    /// Takes note of a packet. True when it is the next of its stream.
    fn follows(&mut self, ssrc: Ssrc, sequence: u64) -> bool {
        let mut known = self.0.iter_mut();
        match known.find(|(known, _)| *known == ssrc) {
            Some((_, newest)) => {
                let before = std::mem::replace(newest, sequence);
                sequence == before.wrapping_add(1)
            }
            None => {
                self.0.truncate(Self::MOST - 1);
                self.0.insert(0, (ssrc, sequence));
                false
            }
        }
    }
}

/// Packets of each stream that had come when the engine last told.
#[derive(Debug, Default)]
struct Received(Vec<(Mid, Option<Rid>, u64)>);

impl Received {
    /// Packets of a stream that came since.
    fn since_last(&mut self, stats: &MediaIngressStats) -> u64 {
        let mut known = self.0.iter_mut();
        match known.find(|(mid, rid, _)| (*mid, *rid) == (stats.mid, stats.rid)) {
            Some((.., before)) => {
                let before = std::mem::replace(before, stats.packets);
                stats.packets.saturating_sub(before)
            }
            None => {
                self.0.push((stats.mid, stats.rid, stats.packets));
                stats.packets
            }
        }
    }
}

/// How many were sent of which so many came.
fn to_come(received: u64, loss: f32) -> u32 {
    /// More says that nothing came, which those that came belie.
    const MOST: f32 = 0.95;
    (received as f32 / (1.0 - loss.min(MOST))) as u32
}

/// What a transport tells its session.
#[derive(Debug)]
pub(crate) enum TransportEvent {
    /// ICE and DTLS are up.
    Connected,
    /// The client has gone silent (no connectivity check for 15 s); it may come back.
    Silent,
    /// The client is heard again.
    Heard,
    /// The other end closed DTLS.
    Closed,
    Packet(Box<IngressPacket>),
    ChannelOpen(ChannelId, String),
    ChannelData(ChannelId, Vec<u8>),
    ChannelClosed(ChannelId),
    /// What we see of a stream that the client sends.
    IngressReport(StreamReport),
}

/// How a stream fares (RFC 3550 section 6.4.1), or all of one way together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct StreamReport {
    /// Packets that were to come since the report before.
    pub(crate) packets: u32,
    /// Share of them that did not, 0 to 1; absent where another report tells of the same packets.
    pub(crate) loss: Option<f32>,
    pub(crate) rtt: Option<Duration>,
    pub(crate) jitter: Option<Duration>,
}

/// A packet as the engine hands it over: decrypted, de-duplicated, RTX undone.
#[derive(Debug)]
pub(crate) struct IngressPacket {
    pub(crate) ssrc: Ssrc,
    pub(crate) payload_type: Pt,
    pub(crate) sequence: u64,
    pub(crate) timestamp: u32,
    pub(crate) marker: bool,
    pub(crate) extensions: rtp::ExtensionValues,
    pub(crate) payload: std::sync::Arc<[u8]>,
    pub(crate) arrival: Instant,
    /// The newest sender report of this stream: wall time of the sender, and RTP time.
    pub(crate) sender_report: Option<(std::time::SystemTime, u32)>,
}

/// The engine failed inside; the session must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Fault;

/// Why a datagram was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refused {
    NotWebRtc,
    Malformed,
    /// Not from an address that a connectivity check has validated.
    Source,
    Fault,
}

/// How a transport is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TransportOptions {
    /// Media goes out through the egress lane: the engine has no part in RTP and RTCP.
    pub(crate) has_lane: bool,
    /// Offer and take RFC 2198 redundant audio; some browsers decode it badly.
    pub(crate) use_red: bool,
}

impl Transport {
    /// Who is not heard of for so long is silent.
    const SILENCE: Duration = Duration::from_secs(15);

    /// When nothing but connectivity checks came and went for so long, nothing of the engine's can be due that
    /// matters: what it would do then is to look for silence, which is ours, and to report on streams that do not
    /// flow. So it sleeps until something comes.
    const LULL: Duration = Duration::from_secs(10);

    /// So long after a drain a packet that nothing is missing before needs none: all that it may change of what
    /// the engine has to say is when it reports on packets, which is no sooner than 50 ms after the report before.
    /// A drain costs a sixth of what the packet does.
    const REST: Duration = Duration::from_millis(30);
    /// Where no packet came meanwhile that has one, there is a drain after so long.
    const REST_MAX: Duration = Duration::from_millis(45);

    pub(crate) fn new(
        config: &CoreConfig,
        credentials: str0m::IceCreds,
        options: TransportOptions,
        now: Instant,
    ) -> Self {
        let engine = RtcConfig::new()
            .set_rtp_mode(true)
            .set_ice_lite(true)
            .set_dtls_version(DtlsVersion::Auto)
            .set_dtls_cert(config.certificate.engine())
            .set_local_ice_credentials(credentials)
            .set_extension_map(rtp::extension_map())
            .set_sctp_max_message_size(
                u32::try_from(config.limits.data_message_bytes).unwrap_or(u32::MAX),
            )
            .set_sctp_max_buffered_amount(config.limits.data_buffer_bytes)
            // Of what the lane sends, the client's reports tell.
            .set_stats_interval((!options.has_lane).then_some(Duration::from_secs(2)))
            .enable_opus(true, options.use_red)
            .enable_pcmu(true, false)
            .enable_pcma(true, false)
            .enable_g722(true, false);
        let (mut rtc, keys) = dtls::build(engine, now, config.repeats_handshakes);
        let mut addresses = Vec::with_capacity(config.candidates.len());
        for address in &config.candidates {
            addresses.push((address.protocol, address.local, address.advertised));
            let candidate = match address.protocol {
                Protocol::Udp => Candidate::builder().udp().host(address.advertised).build(),
                Protocol::Tcp => Candidate::builder()
                    .tcp()
                    .host(address.advertised)
                    .tcptype(TcpType::Passive)
                    .build(),
            };
            if let Ok(candidate) = candidate {
                rtc.add_local_candidate(candidate);
            }
        }
        Self {
            rtc,
            addresses,
            pending: None,
            deadline: None,
            needs_drain: true,
            drained_at: None,
            newest: Newest::default(),
            received: Received::default(),
            awake_until: now + Self::LULL,
            is_stirred: false,
            media_at: None,
            heard_at: None,
            is_silent: false,
            steady: None,
            is_connected: false,
            contain_faults: config.contain_faults,
            keys,
            has_lane: options.has_lane,
        }
    }

    /// Takes bytes from the network, to whose sender answers go by `route`, and what they say if they are a
    /// connectivity check.
    pub(crate) fn handle_datagram(
        &mut self,
        now: Instant,
        route: Route,
        received: &[u8],
        check: Option<&Check<'_>>,
    ) -> Result<(), Refused> {
        let (protocol, source) = (route.protocol, route.destination);
        let advertised = self
            .addresses
            .iter()
            .find(|(p, local, _)| *p == protocol && *local == route.source)
            .map_or(route.source, |(_, _, advertised)| *advertised);
        let completed = check
            .filter(|check| !check.has_priority)
            .and_then(|check| check::completed(check, self.password().as_bytes()));
        let bytes = completed.as_deref().unwrap_or(received);
        let receive = Receive::new(engine_protocol(protocol), source, advertised, bytes)
            .map_err(|_| Refused::NotWebRtc)?;
        let input = Input::Receive(now, receive);
        if !self.rtc.accepts(&input) {
            return Err(Refused::Source);
        }
        if rtp::is_media(bytes) && rtp::is_rtcp(bytes) && !self.has_media(now) {
            return Ok(());
        }
        self.needs_drain = true;
        let rtc = &mut self.rtc;
        let result = guarded(self.contain_faults, || rtc.handle_input(input));
        match result {
            Ok(Ok(())) => {
                self.on_taken(now, route, received, check);
                Ok(())
            }
            Ok(Err(_)) => Err(Refused::Malformed),
            Err(Fault) => Err(Refused::Fault),
        }
    }

    /// Whether RTP came lately. RTCP of who sends none speaks of streams that do not flow: that takes the engine
    /// longer to read than all else that an idle client says.
    fn has_media(&self, now: Instant) -> bool {
        let since = |at| now.saturating_duration_since(at);
        self.media_at.is_some_and(|at| since(at) < Self::LULL)
    }

    /// The answer to a connectivity check that says nothing new: the engine need not see it.
    pub(crate) fn answer(
        &mut self,
        now: Instant,
        route: Route,
        check: &Check<'_>,
    ) -> Option<Vec<u8>> {
        let steady = self.steady.as_ref().filter(|_| !self.is_silent)?;
        let reply = steady.answer(route, check)?;
        self.heard_at = Some(now);
        Some(reply)
    }

    /// Takes note of what came from the network, and that the engine took it.
    fn on_taken(&mut self, now: Instant, route: Route, bytes: &[u8], check: Option<&Check<'_>>) {
        let Some(check) = check else {
            self.awake_until = now + Self::LULL;
            if rtp::is_media(bytes) && !rtp::is_rtcp(bytes) {
                self.media_at = Some(now);
            }
            return;
        };
        if !self.is_connected {
            self.heard_at = Some(now);
        } else if let Some(steady) = Steady::of(route, check, &self.password()) {
            self.heard_at = Some(now);
            self.steady = Some(Box::new(steady));
        }
    }

    fn password(&mut self) -> String {
        self.rtc.direct_api().local_ice_credentials().pass
    }

    /// Before a description is applied: a handshake that begins with it is given up a while after the last moment that the
    /// engine was told of, which may be long ago where nothing was to be done.
    pub(super) fn catch_up(&mut self, now: Instant) -> Result<(), Fault> {
        if self.is_connected {
            return Ok(());
        }
        self.handle_timeout(now)
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) -> Result<(), Fault> {
        self.needs_drain = true;
        if self.is_asleep(now) {
            return Ok(());
        }
        let rtc = &mut self.rtc;
        let result = guarded(self.contain_faults, || {
            rtc.handle_input(Input::Timeout(now))
        });
        // An error on a timeout concerns this transport alone and is final for it.
        match result {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(Fault) => Err(Fault),
        }
    }

    /// Drains the engine until it wants to sleep.
    pub(crate) fn drain(
        &mut self,
        now: Instant,
        outbox: &mut Outbox,
        event: &mut impl FnMut(TransportEvent),
    ) -> Result<(), Fault> {
        if !self.needs_drain {
            return Ok(());
        }
        if std::mem::take(&mut self.is_stirred) {
            self.awake_until = now + Self::LULL;
        }
        let is_silent = self.silent_at().is_some_and(|at| at <= now);
        if is_silent != self.is_silent {
            self.is_silent = is_silent;
            self.awake_until = now + Self::LULL;
            event(match is_silent {
                true => TransportEvent::Silent,
                false => TransportEvent::Heard,
            });
        }
        loop {
            let rtc = &mut self.rtc;
            let output = guarded(self.contain_faults, || rtc.poll_output())?;
            match output.map_err(|_| Fault)? {
                Output::Timeout(at) => {
                    let engine = (!self.is_asleep(now)).then_some(at);
                    let silent = self.silent_at().filter(|_| !self.is_silent);
                    self.deadline = engine.into_iter().chain(silent).min();
                    self.needs_drain = false;
                    self.drained_at = Some(now);
                    return Ok(());
                }
                // The engine knows no stream of the lane's, and must not use a number of its.
                Output::Transmit(out) if self.has_lane && rtp::is_media(&out.contents) => {}
                Output::Transmit(out) => {
                    if is_dtls(&out.contents) {
                        self.awake_until = now + Self::LULL;
                    }
                    let protocol = match out.proto {
                        EngineProtocol::Udp => Protocol::Udp,
                        _ => Protocol::Tcp,
                    };
                    let source = self
                        .addresses
                        .iter()
                        .find(|(p, _, advertised)| *p == protocol && *advertised == out.source)
                        .map_or(out.source, |(_, local, _)| *local);
                    let route = Route {
                        source,
                        destination: out.destination,
                        protocol,
                    };
                    outbox.push(route, &out.contents);
                }
                Output::Event(engine_event) => {
                    let rested = self.rests(now, &engine_event);
                    if let Some(told) = self.translate(engine_event) {
                        event(told);
                    }
                    if let Some(drained_at) = rested {
                        let due = drained_at + Self::REST_MAX;
                        self.deadline = self.deadline.into_iter().chain([due]).min();
                        self.needs_drain = false;
                        return Ok(());
                    }
                }
            }
        }
    }

    /// When the engine was drained last, if it need not be once more for what this event tells.
    fn rests(&mut self, now: Instant, event: &EngineEvent) -> Option<Instant> {
        let EngineEvent::RtpPacket(packet) = event else {
            return None;
        };
        let follows = self.newest.follows(packet.header.ssrc, *packet.seq_no);
        self.drained_at
            .filter(|at| follows && now.saturating_duration_since(*at) < Self::REST)
    }

    fn translate(&mut self, event: EngineEvent) -> Option<TransportEvent> {
        Some(match event {
            EngineEvent::Connected => {
                self.is_connected = true;
                TransportEvent::Connected
            }
            EngineEvent::Closed => TransportEvent::Closed,
            EngineEvent::RtpPacket(packet) => TransportEvent::Packet(Box::new(IngressPacket {
                ssrc: packet.header.ssrc,
                payload_type: packet.header.payload_type,
                sequence: *packet.seq_no,
                timestamp: packet.header.timestamp,
                marker: packet.header.marker,
                extensions: packet.header.ext_vals,
                payload: packet.payload,
                arrival: packet.timestamp,
                sender_report: packet
                    .last_sender_info
                    .map(|info| (info.ntp_time, info.rtp_time.numer() as u32)),
            })),
            EngineEvent::ChannelOpen(id, label) => TransportEvent::ChannelOpen(id, label),
            EngineEvent::ChannelData(data) => TransportEvent::ChannelData(data.id, data.data),
            EngineEvent::ChannelClose(id) => TransportEvent::ChannelClosed(id),
            EngineEvent::MediaIngressStats(stats) => {
                let received = self.received.since_last(&stats);
                // What is not reported on yet counts when it is.
                let loss = stats.loss?.clamp(0.0, 1.0);
                TransportEvent::IngressReport(StreamReport {
                    packets: to_come(received, loss),
                    loss: Some(loss),
                    rtt: stats.rtt,
                    jitter: Some(self.ticks(stats.mid, stats.jitter)),
                })
            }
            _ => return None,
        })
    }

    /// Ticks of a section's clock as time: Opus runs at 48 kHz, video at 90.
    fn ticks(&self, mid: Mid, ticks: u32) -> Duration {
        let is_audio = self
            .rtc
            .media(mid)
            .is_some_and(|media| media.kind().is_audio());
        let rate: u64 = if is_audio { 48_000 } else { 90_000 };
        Duration::from_micros(u64::from(ticks) * 1_000_000 / rate)
    }

    /// When [`Transport::handle_timeout`] is wanted; known after a drain.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    fn silent_at(&self) -> Option<Instant> {
        Some(self.heard_at? + Self::SILENCE)
    }

    fn is_asleep(&self, now: Instant) -> bool {
        self.is_connected && now >= self.awake_until
    }

    pub(crate) fn needs_drain(&self) -> bool {
        self.needs_drain
    }

    /// The keys of the handshake, once, when the transport is connected.
    pub(crate) fn take_keys(&mut self) -> Option<Keying> {
        self.keys.take()
    }

    /// The engine, for its neighbours in `session/` only; what they do is drained later.
    pub(super) fn engine(&mut self) -> &mut Rtc {
        self.needs_drain = true;
        self.is_stirred = true;
        &mut self.rtc
    }

    /// Bytes on a channel that the client has not acknowledged; to look is no reason to drain.
    pub(super) fn unacknowledged(&mut self, channel: ChannelId) -> usize {
        let channel = self.rtc.channel(channel);
        channel.map_or(0, |mut channel| channel.buffered_amount())
    }

    pub(super) fn engine_ref(&self) -> &Rtc {
        &self.rtc
    }

    /// The local half of the user name that checks of this transport carry (RFC 8445).
    pub(crate) fn ice_username(&mut self) -> String {
        self.rtc.direct_api().local_ice_credentials().ufrag
    }

    /// Where an SSRC belongs, once the engine has mapped it.
    pub(crate) fn stream_of(&mut self, ssrc: Ssrc) -> Option<(Mid, Option<Rid>)> {
        let mut api = self.rtc.direct_api();
        api.stream_rx(&ssrc)
            .map(|stream| (stream.mid(), stream.rid()))
    }

    /// The codec behind a payload type of this connection.
    pub(crate) fn codec_of(&self, payload_type: Pt) -> Option<PayloadParams> {
        let config = self.rtc.codec_config();
        config
            .find(|params| params.pt() == payload_type || params.red() == Some(payload_type))
            .copied()
    }

    /// Asks the publisher for a keyframe of one of its streams; false where there is no such stream.
    pub(crate) fn request_keyframe(&mut self, ssrc: Ssrc) -> bool {
        self.needs_drain = true;
        self.is_stirred = true;
        match self.rtc.direct_api().stream_rx(&ssrc) {
            Some(stream) => {
                stream.request_keyframe(KeyframeRequestKind::Pli);
                true
            }
            None => false,
        }
    }

    /// A stream of the publisher has come to rest, or comes again. Of one at rest nothing is missing; the engine
    /// would look for that through all that it knows of it, with each packet of any other.
    pub(super) fn set_at_rest(&mut self, ssrc: Ssrc, is_at_rest: bool) {
        let mut api = self.rtc.direct_api();
        // Of others the engine asks for nothing anyway.
        if let Some(stream) = api.stream_rx(&ssrc).filter(|s| s.rtx().is_some()) {
            stream.suppress_nack(is_at_rest);
        }
    }

    /// Closes DTLS politely.
    pub(crate) fn close(&mut self) {
        self.needs_drain = true;
        self.is_stirred = true;
        // Nothing is left to do about a transport that cannot even close.
        let _ = self.rtc.close();
    }
}

/// Runs the engine; with `contain`, a panic inside is this session's fault alone.
pub(super) fn guarded<T>(contain: bool, run: impl FnOnce() -> T) -> Result<T, Fault> {
    if contain {
        catch_unwind(AssertUnwindSafe(run)).map_err(|_| Fault)
    } else {
        Ok(run())
    }
}

/// The engine's kind of a section.
pub(super) fn engine_kind(is_video: bool) -> MediaKind {
    if is_video {
        MediaKind::Video
    } else {
        MediaKind::Audio
    }
}

/// By the first byte (RFC 7983).
fn is_dtls(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(20..=63))
}

fn engine_protocol(protocol: Protocol) -> EngineProtocol {
    match protocol {
        Protocol::Udp => EngineProtocol::Udp,
        Protocol::Tcp => EngineProtocol::Tcp,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_follows_only_the_one_before_it() {
        let mut newest = Newest::default();
        let mut follows = |ssrc: u32, sequence| newest.follows(ssrc.into(), sequence);
        assert!(!follows(1, 10), "nothing is known of the stream");
        assert!(follows(1, 11));
        assert!(!follows(2, 12), "of another stream");
        assert!(!follows(1, 13), "one is missing");
        assert!(!follows(1, 12), "it came late");
        assert!(
            !follows(1, 14),
            "and which is next is to be looked at again"
        );
        assert!(follows(1, 15));
        for ssrc in 3..20 {
            follows(ssrc, 1);
        }
        assert!(!follows(1, 16), "so many are not kept");
    }
}
