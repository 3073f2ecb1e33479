//! One WebRTC connection of a client. Keeps the engine's drain rule. Must not know what is sent on it.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::{Duration, Instant},
};

use str0m::{
    Candidate, Event, Input, Output, Rtc, RtcConfig,
    change::SdpPendingOffer,
    config::DtlsCert,
    net::{Protocol, Receive},
};

use super::mail::Mail;

/// A connection.
pub(crate) struct Peer {
    rtc: Rtc,
    address: SocketAddr,
    deadline: Option<Instant>,
    is_dirty: bool,
    /// The offer that waits for its answer.
    pub(crate) pending: Option<SdpPendingOffer>,
}

/// Every connection has a number, and the number is its address.
pub(crate) fn address_of(number: u32) -> SocketAddr {
    const TEN: u32 = 10 << 24;
    SocketAddr::from((Ipv4Addr::from(TEN + number), 40_000))
}

/// The number of an address.
pub(crate) fn number_of(address: SocketAddr) -> Option<u32> {
    let SocketAddr::V4(v4) = address else {
        return None;
    };
    Some(u32::from(*v4.ip()) & 0x00ff_ffff)
}

impl Peer {
    pub(crate) fn new(now: Instant, number: u32, certificate: DtlsCert) -> Self {
        let address = address_of(number);
        let mut rtc = RtcConfig::new()
            .set_rtp_mode(true)
            .set_dtls_cert(certificate)
            .clear_codecs()
            .enable_opus(true, false)
            .enable_vp8(true)
            .build(now);
        let candidate = Candidate::host(address, "udp").expect("an address of ours");
        rtc.add_local_candidate(candidate);
        Self {
            rtc,
            address,
            deadline: Some(now),
            is_dirty: false,
            pending: None,
        }
    }

    /// The engine; whoever uses it drains it after.
    pub(crate) fn engine(&mut self) -> &mut Rtc {
        &mut self.rtc
    }

    /// Notes that it is to be drained; false where that was known.
    pub(crate) fn mark_dirty(&mut self) -> bool {
        !std::mem::replace(&mut self.is_dirty, true)
    }

    /// What the engine refuses it refuses as a browser would, silently.
    pub(crate) fn handle_datagram(&mut self, now: Instant, source: SocketAddr, bytes: &[u8]) {
        if let Ok(receive) = Receive::new(Protocol::Udp, source, self.address, bytes) {
            let _ = self.rtc.handle_input(Input::Receive(now, receive));
        }
    }

    pub(crate) fn handle_timeout(&mut self, now: Instant) {
        let _ = self.rtc.handle_input(Input::Timeout(now));
    }

    pub(crate) fn is_due(&self, now: Instant) -> bool {
        self.deadline.is_some_and(|at| at <= now)
    }

    pub(crate) fn drain(&mut self, now: Instant, mail: &mut Mail, mut on: impl FnMut(Event)) {
        self.is_dirty = false;
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(at)) => {
                    // An engine that wants to be called at once would stop the clock.
                    self.deadline = Some(at.max(now + Duration::from_micros(100)));
                    return;
                }
                Ok(Output::Transmit(out)) => {
                    mail.push(self.address, out.destination, &out.contents);
                }
                Ok(Output::Event(event)) => on(event),
                Err(_) => {
                    self.deadline = None;
                    return;
                }
            }
        }
    }
}
