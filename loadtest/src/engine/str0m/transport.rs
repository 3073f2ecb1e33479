//! One ICE/DTLS/SRTP transport: a session of the stack, its socket, and the network between.
//!
//! Owns the stack's rules (after every change drain all output; time only goes forward) so that
//! publisher and subscriber see events only. Must not know tracks.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc, RtcConfig, RtcError};

use super::provider;
use super::socket::{ReadBuffers, Socket};
use crate::engine::shaper::{Shaper, Window};
use crate::engine::{EngineError, unix_ns};
use crate::scenario::Network;

/// Timers are no finer than this: it bounds what a participant costs while nothing happens.
const TICK: Duration = Duration::from_millis(1);
/// Longest the stack may sleep.
const LONGEST: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Transport {
    rtc: Rtc,
    pub(super) socket: Socket,
    local: SocketAddr,
    /// When the stack wants to be called again.
    deadline: Instant,
    network: Option<Box<[Shaper; 2]>>,
}

/// What a transport is opened with.
#[derive(Debug, Clone)]
pub(super) struct TransportSetup {
    /// Our address.
    pub(super) local: IpAddr,
    /// Network to pretend.
    pub(super) network: Option<Network>,
    /// That the network's changes count from.
    pub(super) window: Window,
    /// Of what is random in it.
    pub(super) seed: u64,
}

impl From<RtcError> for EngineError {
    fn from(error: RtcError) -> Self {
        Self::Stack(error.to_string())
    }
}

impl Transport {
    /// A configuration without codecs, as both kinds of transport begin with.
    pub(super) fn config() -> RtcConfig {
        RtcConfig::new()
            .set_crypto_provider(provider::provider())
            .set_rtp_mode(true)
            .clear_codecs()
            .enable_opus(true, false)
    }

    pub(super) fn open(
        setup: TransportSetup,
        config: RtcConfig,
        now: Instant,
    ) -> Result<Self, EngineError> {
        let (socket, local) = Socket::open(setup.local)?;
        let mut rtc = config.build(now);
        let candidate = Candidate::host(local, Protocol::Udp)
            .map_err(|error| EngineError::Socket(error.to_string()))?;
        rtc.add_local_candidate(candidate);
        let network = setup.network.map(|network| {
            Box::new([
                Shaper::out(network, setup.seed),
                Shaper::back(network, setup.window, setup.seed.wrapping_add(1)),
            ])
        });
        Ok(Self {
            rtc,
            socket,
            local,
            deadline: now,
            network,
        })
    }

    /// The stack. After a change, [`Self::poll`] until it gives nothing more.
    pub(super) fn rtc(&mut self) -> &mut Rtc {
        &mut self.rtc
    }

    /// Adds a candidate of the server; one that we cannot use is ignored, as ICE wants it (RFC 8838).
    /// To be followed by [`Self::poll`].
    pub(super) fn add_candidate(
        &mut self,
        now: Instant,
        candidate: &str,
    ) -> Result<(), EngineError> {
        if let Ok(candidate) = Candidate::from_sdp_string(candidate)
            && candidate.proto() == Protocol::Udp
        {
            self.rtc.add_remote_candidate(candidate);
            // Checks begin when time passes, not when a candidate is known.
            self.advance(now)?;
        }
        Ok(())
    }

    /// When something has to be done without anything arriving.
    pub(super) fn due(&self) -> Instant {
        let shaped = self
            .network
            .as_ref()
            .into_iter()
            .flat_map(|both| both.iter());
        shaped
            .filter_map(Shaper::due)
            .fold(self.deadline, Instant::min)
    }

    /// The next event; `None` when there is none until [`Self::due`] or a datagram.
    pub(super) fn poll(&mut self, now: Instant) -> Result<Option<Event>, EngineError> {
        loop {
            match self.rtc.poll_output()? {
                Output::Transmit(transmit) => match &mut self.network {
                    None => self.socket.send(transmit.destination, &transmit.contents),
                    Some(network) => {
                        network[0].handle(now, 0, transmit.destination, &transmit.contents);
                    }
                },
                Output::Event(event) => return Ok(Some(event)),
                Output::Timeout(at) => {
                    self.deadline = at.clamp(now + TICK, now + LONGEST);
                    return Ok(None);
                }
            }
        }
    }

    /// Lets time pass for the stack and sends what the pretended network held. To be followed by
    /// [`Self::poll`].
    pub(super) fn handle_timeout(&mut self, now: Instant) -> Result<(), EngineError> {
        if let Some(network) = &mut self.network {
            while let Some(held) = network[0].poll(now) {
                self.socket.send(held.remote, &held.bytes);
            }
        }
        if self.deadline <= now {
            self.rtc.handle_input(Input::Timeout(now))?;
        }
        Ok(())
    }

    /// Lets time pass for the stack at once: what was just written goes out.
    pub(super) fn advance(&mut self, now: Instant) -> Result<(), EngineError> {
        self.rtc.handle_input(Input::Timeout(now))?;
        Ok(())
    }

    /// Reads the socket. `on_event` gets what follows from each datagram with the time the kernel had
    /// it, Unix nanoseconds.
    pub(super) fn receive(
        &mut self,
        now: Instant,
        buffers: &mut ReadBuffers,
        mut on_event: impl FnMut(&mut Rtc, u64, Event),
    ) -> Result<(), EngineError> {
        let Self {
            rtc,
            socket,
            local,
            deadline,
            network,
        } = self;
        let mut outbox: Vec<(SocketAddr, Vec<u8>)> = Vec::new();
        let mut result = Ok(());
        let read = socket.receive(buffers, |source, received_ns, bytes| {
            let received_ns = if received_ns == 0 {
                unix_ns()
            } else {
                received_ns
            };
            if let Some(network) = network {
                network[1].handle(now, received_ns, source, bytes);
            } else if result.is_ok() {
                let datagram = Datagram {
                    source,
                    received_ns,
                    bytes,
                };
                result =
                    handle_datagram(rtc, now, *local, &datagram, &mut on_event, |to, bytes| {
                        outbox.push((to, bytes));
                    })
                    .map(|at| *deadline = at.clamp(now + TICK, now + LONGEST));
            }
        });
        for (to, bytes) in outbox {
            self.transmit(now, to, &bytes);
        }
        result?;
        read.map_err(|error| EngineError::Socket(error.to_string()))
    }

    /// Takes what the pretended network has delivered by now, like [`Self::receive`].
    pub(super) fn receive_held(
        &mut self,
        now: Instant,
        mut on_event: impl FnMut(&mut Rtc, u64, Event),
    ) -> Result<(), EngineError> {
        loop {
            let Some(held) = self.network.as_mut().and_then(|both| both[1].poll(now)) else {
                return Ok(());
            };
            let datagram = Datagram {
                source: held.remote,
                received_ns: held.sent_ns + held.delay.as_nanos() as u64,
                bytes: &held.bytes,
            };
            let mut outbox: Vec<(SocketAddr, Vec<u8>)> = Vec::new();
            let at = handle_datagram(
                &mut self.rtc,
                now,
                self.local,
                &datagram,
                &mut on_event,
                |to, bytes| outbox.push((to, bytes)),
            )?;
            self.deadline = at.clamp(now + TICK, now + LONGEST);
            for (to, bytes) in outbox {
                self.transmit(now, to, &bytes);
            }
        }
    }

    fn transmit(&mut self, now: Instant, to: SocketAddr, bytes: &[u8]) {
        match &mut self.network {
            None => self.socket.send(to, bytes),
            Some(network) => network[0].handle(now, 0, to, bytes),
        }
    }

    /// Says goodbye (RTCP BYE, DTLS close) and sends it. The transport is of no use after.
    pub(super) fn close(&mut self, now: Instant) {
        if self.rtc.close().is_ok() {
            while let Ok(Some(_)) = self.poll(now) {}
        }
        self.socket.flush();
    }
}

/// A datagram of the server.
struct Datagram<'a> {
    source: SocketAddr,
    received_ns: u64,
    bytes: &'a [u8],
}

/// Feeds one datagram and drains the stack; gives its next deadline. What is neither STUN, DTLS nor RTP
/// is dropped.
fn handle_datagram(
    rtc: &mut Rtc,
    now: Instant,
    local: SocketAddr,
    datagram: &Datagram<'_>,
    on_event: &mut impl FnMut(&mut Rtc, u64, Event),
    mut transmit: impl FnMut(SocketAddr, Vec<u8>),
) -> Result<Instant, EngineError> {
    if let Ok(receive) = Receive::new(Protocol::Udp, datagram.source, local, datagram.bytes) {
        rtc.handle_input(Input::Receive(now, receive))?;
    }
    loop {
        match rtc.poll_output()? {
            Output::Transmit(out) => transmit(out.destination, out.contents.into()),
            Output::Event(event) => on_event(rtc, datagram.received_ns, event),
            Output::Timeout(at) => return Ok(at),
        }
    }
}
