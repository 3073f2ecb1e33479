//! One participant's connection to the node: its transports, what comes in on them and what goes out.
//! Wraps the engine and hides its drain rule. Must not know of rooms; the shard passes values.

mod answer;
mod certificate;
mod channels;
mod check;
mod dtls;
mod egress;
mod fixed;
mod ingress;
mod negotiate;
mod plain;
pub(crate) mod sdp;
mod steady;
mod transport;

use std::{net::SocketAddr, time::Instant};

pub use answer::Answer;
pub use certificate::{Certificate, CertificateError};
pub(crate) use channels::{Channels, Sent};
pub(crate) use egress::{
    Egress, Feedback, Formats, Media, Names, PlainRoutes, Repair, Repeated, SlotIndex, Unsent,
};
pub(crate) use ingress::{Carried, Ingress, Stream};
pub(crate) use negotiate::{NegotiateError, Offer};
pub(crate) use plain::{BadPacket, FORMATS_MAX, Plain, SECTIONS_MAX, SINKS_MAX};
pub use plain::{KeyframeFeedback, PlainFormat};
pub(crate) use transport::{
    IngressPacket, Refused, StreamReport, Transport, TransportEvent, TransportOptions,
};

use crate::{
    CoreConfig,
    ahead::fetch,
    rtp::{Mid, PayloadParams, Pt, Rid, Ssrc},
};

/// Which of a session's transports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Role {
    /// Carries what the client publishes, and its data; the client offers.
    Publish,
    /// Carries what the client subscribes to, and data for it; we offer.
    Subscribe,
}

/// Which transports a session has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    TwoWay,
    PublishOnly,
    /// The client offers, once, and its sections are all there are.
    SubscribeOnly,
    /// None: media is plain RTP.
    Plain,
}

/// The transports a session has: none where the participant is connected to another shard. A session with
/// one transport for both would fill `publish` alone. Apart from the rest, for they are large and mostly
/// not touched when media is sent.
#[derive(Default)]
struct Transports {
    publish: Option<Box<Transport>>,
    subscribe: Option<Box<Transport>>,
}

/// One participant's connection.
pub(crate) struct Session {
    transports: Transports,
    /// In place of transports.
    pub(crate) plain: Option<Box<Plain>>,
    shape: Shape,
    pub(crate) ingress: Ingress,
    pub(crate) egress: Egress,
    pub(crate) channels: Channels,
    offer_id: u32,
    last_offer: Option<Offer>,
    /// Credentials with which ICE is to be restarted by the next offer.
    ice_restart: Option<str0m::IceCreds>,
    /// The same of the offer that waits for its answer; in force once it is answered.
    offered_credentials: Option<str0m::IceCreds>,
    contain_faults: bool,
    /// Addresses whose connectivity checks were accepted, oldest first.
    sources: Vec<(Role, SocketAddr)>,
}

/// Addresses kept per session; a client that changes its address leaves old ones behind.
const SOURCES_MAX: usize = 16;

impl Session {
    /// A session of which nothing is negotiated yet.
    pub(crate) fn new(
        config: &CoreConfig,
        rng: &mut impl rand::Rng,
        shape: Shape,
        use_red: bool,
        now: Instant,
    ) -> Self {
        let mut transport = |has_lane| {
            let options = TransportOptions { use_red, has_lane };
            let credentials = ice_credentials(config, rng);
            Box::new(Transport::new(config, credentials, options, now))
        };
        let publishes = matches!(shape, Shape::TwoWay | Shape::PublishOnly);
        let subscribes = matches!(shape, Shape::TwoWay | Shape::SubscribeOnly);
        let transports = Transports {
            publish: publishes.then(|| transport(false)),
            subscribe: subscribes.then(|| transport(true)),
        };
        let is_fixed = matches!(shape, Shape::SubscribeOnly | Shape::Plain);
        let plain = (shape == Shape::Plain).then(|| Box::new(Plain::new(rng.random())));
        Self {
            transports,
            plain,
            egress: Egress::new(now, rng.random(), is_fixed),
            channels: Channels::new(shape == Shape::TwoWay),
            shape,
            ..Self::elsewhere(config, now)
        }
    }

    /// The session of a participant that is connected to another shard: nothing comes and nothing goes.
    pub(crate) fn elsewhere(config: &CoreConfig, now: Instant) -> Self {
        Self {
            transports: Transports::default(),
            plain: None,
            ingress: Ingress::default(),
            egress: Egress::new(now, 0, false),
            channels: Channels::new(false),
            shape: Shape::TwoWay,
            offer_id: 0,
            last_offer: None,
            ice_restart: None,
            offered_credentials: None,
            contain_faults: config.contain_faults,
            sources: Vec::new(),
        }
    }

    pub(crate) fn transport_mut(&mut self, role: Role) -> Option<&mut Transport> {
        match role {
            Role::Publish => self.transports.publish.as_deref_mut(),
            Role::Subscribe => self.transports.subscribe.as_deref_mut(),
        }
    }

    pub(crate) fn transport(&self, role: Role) -> Option<&Transport> {
        match role {
            Role::Publish => self.transports.publish.as_deref(),
            Role::Subscribe => self.transports.subscribe.as_deref(),
        }
    }

    fn subscribe_ref(&self) -> Option<&Transport> {
        self.transports.subscribe.as_deref()
    }

    /// Where an SSRC that the participant sends on belongs, once that is known.
    pub(crate) fn stream_of(&mut self, ssrc: Ssrc) -> Option<(Mid, Option<Rid>)> {
        match &self.plain {
            Some(plain) => plain.section_of(ssrc).map(|mid| (mid, None)),
            None => self.transport_mut(Role::Publish)?.stream_of(ssrc),
        }
    }

    /// The codec behind a payload type on an SSRC that the participant sends on.
    pub(crate) fn codec_of(&self, ssrc: Ssrc, payload_type: Pt) -> Option<PayloadParams> {
        match &self.plain {
            Some(plain) => plain.codec_of(ssrc, payload_type),
            None => self.transport(Role::Publish)?.codec_of(payload_type),
        }
    }

    /// Asks the participant for a keyframe on an SSRC; false where it does not send on it.
    pub(crate) fn request_keyframe(&mut self, ssrc: Ssrc) -> bool {
        match &mut self.plain {
            Some(plain) => plain.request_keyframe(ssrc),
            None => self
                .transport_mut(Role::Publish)
                .is_some_and(|transport| transport.request_keyframe(ssrc)),
        }
    }

    /// A stream that the participant sends has come to rest, or comes again.
    pub(crate) fn set_at_rest(&mut self, stream: Stream, is_at_rest: bool) {
        let ssrc = self.ingress.ssrc_of(stream);
        if let (Some(ssrc), Some(transport)) = (ssrc, self.transport_mut(Role::Publish)) {
            transport.set_at_rest(ssrc, is_at_rest);
        }
    }

    /// What sends media, with the transport it sends on; plain RTP has none.
    pub(crate) fn sending_media(&mut self) -> Option<(&mut Egress, Option<&Transport>)> {
        let transport = self.transports.subscribe.as_deref();
        (transport.is_some() || self.plain.is_some()).then_some((&mut self.egress, transport))
    }

    /// Asks for what a next packet of media will touch.
    pub(crate) fn fetch(&self) {
        fetch(&self.transports.subscribe);
        fetch(&self.plain);
        self.egress.fetch();
    }

    /// What sends, with the transport it sends on.
    pub(crate) fn sending(&mut self) -> Option<(&mut Egress, &mut Channels, &mut Transport)> {
        let Self {
            transports,
            egress,
            channels,
            ..
        } = self;
        Some((egress, channels, transports.subscribe.as_deref_mut()?))
    }

    pub(crate) fn shape(&self) -> Shape {
        self.shape
    }

    /// ICE is to be restarted with the next offer, with new credentials.
    pub(crate) fn restart_ice(&mut self, fresh: str0m::IceCreds) {
        self.ice_restart = Some(fresh);
    }

    /// Notes an address that a connectivity check has validated. Returns the one that is forgotten for it.
    pub(crate) fn add_source(&mut self, role: Role, source: SocketAddr) -> Option<SocketAddr> {
        if self.sources.contains(&(role, source)) {
            return None;
        }
        self.sources.push((role, source));
        let over = self.sources.len() > SOURCES_MAX;
        over.then(|| self.sources.remove(0).1)
    }

    pub(crate) fn sources(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.sources.iter().map(|(_, source)| *source)
    }

    /// Closes what is open.
    pub(crate) fn close(&mut self) {
        for role in [Role::Publish, Role::Subscribe] {
            if let Some(transport) = self.transport_mut(role) {
                transport.close();
            }
        }
    }
}

/// Credentials whose user name begins with the worker's digit, by which a node finds the worker of a
/// TCP connection. 20 characters of 62 are 119 bits, the password has 142 (RFC 8445 asks for 24 and 128).
pub(crate) fn ice_credentials(config: &CoreConfig, rng: &mut impl rand::Rng) -> str0m::IceCreds {
    const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let mut text = |length: usize| -> String {
        (0..length)
            .map(|_| ALPHABET[rng.random_range(0..ALPHABET.len())] as char)
            .collect()
    };
    let digit = char::from_digit(u32::from(config.worker) % 36, 36).unwrap_or('0');
    str0m::IceCreds {
        ufrag: format!("{digit}{}", text(15)),
        pass: text(24),
    }
}
