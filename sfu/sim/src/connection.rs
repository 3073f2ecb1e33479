//! One peer connection of a client: a full-ICE endpoint at one made-up address. Keeps the engine's
//! drain rule. Must not know what is sent on it.

use std::{net::SocketAddr, time::Instant};

use str0m::{
    Candidate, Event, Input, Output, Rtc, RtcConfig,
    bwe::Bitrate,
    change::SdpPendingOffer,
    config::DtlsCert,
    net::{Protocol, Receive},
    rtp::Extension,
};

use crate::media::DescriptorExtension;

/// Beside what the engine numbers by itself.
const PLAYOUT_DELAY_ID: u8 = 9;

/// A datagram a client sends.
pub(crate) struct Outgoing {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) bytes: Vec<u8>,
}

/// A peer connection.
pub(crate) struct Connection {
    rtc: Rtc,
    pub(crate) address: SocketAddr,
    /// The offer that waits for its answer.
    pub(crate) pending: Option<SdpPendingOffer>,
    pub(crate) is_connected: bool,
    deadline: Option<Instant>,
    is_dirty: bool,
}

impl Connection {
    /// One that estimates what the link takes of what is sent, where it is to begin with a rate, and that paces.
    /// With `is_simple`, of video it takes VP8 alone.
    pub(crate) fn new(
        now: Instant,
        address: SocketAddr,
        certificate: DtlsCert,
        is_simple: bool,
        estimate: Option<Bitrate>,
    ) -> Self {
        let mut rtc = RtcConfig::new()
            .set_rtp_mode(true)
            .set_dtls_cert(certificate)
            .enable_bwe(estimate)
            .clear_codecs()
            .enable_opus(true, true)
            .enable_vp8(true)
            .enable_vp9(!is_simple)
            .enable_av1(!is_simple)
            .enable_h264(!is_simple)
            .set_extension(
                DescriptorExtension::ID,
                Extension::with_serializer(DescriptorExtension::URI, DescriptorExtension),
            )
            .set_extension(PLAYOUT_DELAY_ID, Extension::PlayoutDelay)
            .set_crypto_provider(crate::dtls::provider())
            .build(now);
        if let Ok(candidate) = Candidate::host(address, "udp") {
            rtc.add_local_candidate(candidate);
        }
        Self {
            rtc,
            address,
            pending: None,
            is_connected: false,
            deadline: Some(now),
            is_dirty: true,
        }
    }

    /// The engine; what is done to it is drained with the next [`Connection::drain`].
    pub(crate) fn engine(&mut self) -> &mut Rtc {
        self.is_dirty = true;
        &mut self.rtc
    }

    /// Takes a datagram; what the engine refuses it refuses as a browser would, silently.
    pub(crate) fn handle_datagram(&mut self, now: Instant, source: SocketAddr, bytes: &[u8]) {
        let Ok(receive) = Receive::new(Protocol::Udp, source, self.address, bytes) else {
            return;
        };
        self.is_dirty = true;
        let _ = self.rtc.handle_input(Input::Receive(now, receive));
    }

    /// Something was negotiated: the engine looks at what to do next, as after any event.
    pub(crate) fn nudge(&mut self, now: Instant) {
        self.is_dirty = true;
        let _ = self.rtc.handle_input(Input::Timeout(now));
    }

    /// Lets time pass where it is due.
    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        if self.deadline.is_some_and(|at| at <= now) {
            self.is_dirty = true;
            let _ = self.rtc.handle_input(Input::Timeout(now));
        }
    }

    /// Drains the engine.
    pub(crate) fn drain(&mut self, now: Instant, out: &mut Vec<Outgoing>, events: &mut Vec<Event>) {
        if !self.is_dirty {
            return;
        }
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(at)) => {
                    // An engine that wants to be called at once would stop the clock.
                    let soonest = now + std::time::Duration::from_micros(100);
                    self.deadline = Some(at.max(soonest));
                    self.is_dirty = false;
                    return;
                }
                Ok(Output::Transmit(transmit)) => out.push(Outgoing {
                    source: transmit.source,
                    destination: transmit.destination,
                    bytes: transmit.contents.into(),
                }),
                Ok(Output::Event(event)) => {
                    if matches!(event, Event::Connected) {
                        self.is_connected = true;
                    }
                    events.push(event);
                }
                Err(_) => {
                    self.deadline = None;
                    self.is_dirty = false;
                    return;
                }
            }
        }
    }

    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }
}
