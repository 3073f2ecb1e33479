//! What a client's message does: the rules of TURN, and ours.
//!
//! Owns who is challenged, which credential opens what, and the quotas. Must not read from a socket or
//! wait; a relay's own socket is bound here, and everything it carries is its [`Allocation`]'s. RFC 8656
//! sections 5 to 12, RFC 8489 section 9.2.

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket as StdUdpSocket},
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use sfu_core::{ReplyLimit, binding_reply, source_network};
use tokio::net::UdpSocket;
use turn_types::{
    channel::ChannelData,
    message::{ALLOCATE, CHANNEL_BIND, CONNECT, CREATE_PERMISSION, REFRESH},
    stun::{
        attribute::AttributeType,
        message::{IntegrityKey, Message, MessageClass},
    },
};

use super::{
    allocation::{Allocation, MAX_PEERS, PeerError, Setup, ToClient},
    credential::{self, TurnSecret, UsernameError},
    message::{self, Code, Success, Wanted},
    nonce::Nonces,
    peers::{OwnAddress, Peers, canonical},
    stats::{Counters, TurnDrop, TurnRefusal, add},
};
use crate::gate::{Gate, Slot};

/// Life of a relay unless its client asks for more (RFC 8656 section 3.2), and at most.
const LIFETIME: Duration = Duration::from_secs(600);
const MAX_LIFETIME: Duration = Duration::from_secs(3600);

/// Sockets tried for an even port; then any will do.
const EVEN_TRIES: usize = 32;

/// What a relay counts against: its participant's, and its source's.
pub(super) type Held = (Slot<String>, Slot<IpAddr>);

/// Where relays are.
#[derive(Debug, Clone, Copy)]
pub(super) struct RelayAddress {
    /// Bound to; may be unspecified.
    pub(super) local: IpAddr,
    /// What clients are told.
    pub(super) told: IpAddr,
}

/// What a server is made of.
pub(super) struct Parts {
    pub(super) secret: TurnSecret,
    pub(super) peers: Arc<Peers>,
    /// One for each family of addresses at most.
    pub(super) relays: Vec<RelayAddress>,
    pub(super) max_allocations: usize,
    pub(super) max_of_participant: usize,
    pub(super) max_of_source: usize,
    /// Bytes per second of one relay, in each direction.
    pub(super) rate: u64,
    /// Of one relay, with all its refreshes.
    pub(super) max_lifetime: Duration,
}

/// The server: what all its clients share.
pub(crate) struct Server {
    secret: TurnSecret,
    nonces: Nonces,
    peers: Arc<Peers>,
    relays: Vec<RelayAddress>,
    by_participant: Arc<Gate<String>>,
    by_source: Arc<Gate<IpAddr>>,
    replies: Mutex<ReplyLimit>,
    rate: u64,
    max_lifetime: Duration,
    pub(super) counters: Arc<Counters>,
}

/// Who sent a message.
pub(super) struct Sender<'a> {
    pub(super) address: SocketAddr,
    pub(super) way: &'a ToClient,
    pub(super) allocation: Option<&'a Arc<Allocation>>,
}

/// What comes of a message.
#[derive(Default)]
pub(super) struct Outcome {
    pub(super) reply: Option<Vec<u8>>,
    /// The client has a relay from now on.
    pub(super) made: Option<Arc<Allocation>>,
}

/// A request is refused: why, in the words of the protocol and in ours.
struct Refused {
    code: Code,
    reason: TurnRefusal,
    unknown: Vec<AttributeType>,
}

impl Refused {
    fn new(code: Code, reason: TurnRefusal) -> Self {
        Self {
            code,
            reason,
            unknown: Vec::new(),
        }
    }
}

impl From<Code> for Refused {
    fn from(code: Code) -> Self {
        let reason = match code {
            Code::Unauthorized => TurnRefusal::Challenge,
            Code::Forbidden => TurnRefusal::Forbidden,
            Code::StaleNonce => TurnRefusal::StaleNonce,
            Code::WrongCredentials => TurnRefusal::WrongCredentials,
            Code::Quota => TurnRefusal::Quota,
            Code::Capacity => TurnRefusal::Capacity,
            Code::Mismatch => TurnRefusal::Mismatch,
            _ => TurnRefusal::BadRequest,
        };
        Self::new(code, reason)
    }
}

impl From<PeerError> for Refused {
    fn from(error: PeerError) -> Self {
        match error {
            PeerError::Forbidden => Code::Forbidden,
            PeerError::Family => Code::PeerFamily,
            PeerError::Full => Code::Capacity,
            PeerError::Bound => Code::BadRequest,
        }
        .into()
    }
}

/// A client whose credential was checked.
struct Known {
    username: String,
    key: IntegrityKey,
}

impl Server {
    pub(super) fn new(parts: Parts) -> Self {
        Self {
            secret: parts.secret,
            nonces: Nonces::new(),
            peers: parts.peers,
            relays: parts.relays,
            by_participant: Arc::new(Gate::new(parts.max_allocations, parts.max_of_participant)),
            by_source: Arc::new(Gate::new(parts.max_allocations, parts.max_of_source)),
            replies: Mutex::default(),
            rate: parts.rate,
            max_lifetime: parts.max_lifetime,
            counters: Arc::default(),
        }
    }

    /// Relays now.
    pub(super) fn allocations(&self) -> u64 {
        self.by_participant.count()
    }

    /// Takes a message of a client. A fault inside costs the message, not the server.
    pub(super) fn handle(&self, now: Instant, sender: &Sender<'_>, bytes: &[u8]) -> Outcome {
        let taken = catch_unwind(AssertUnwindSafe(|| self.take(now, sender, bytes)));
        taken.unwrap_or_else(|_| {
            self.counters.on_drop(TurnDrop::Fault);
            Outcome::default()
        })
    }

    fn take(&self, now: Instant, sender: &Sender<'_>, bytes: &[u8]) -> Outcome {
        let allocation = sender
            .allocation
            .filter(|allocation| allocation.is_alive(now));
        // RFC 7983: the first two bits tell channel data from STUN.
        if bytes.first().is_some_and(|first| first >> 6 == 1) {
            match (ChannelData::parse(bytes), allocation) {
                (Ok(data), Some(allocation)) => {
                    allocation.on_channel_data(now, data.id(), data.data());
                }
                (Ok(_), None) => self.counters.on_drop(TurnDrop::NoAllocation),
                (Err(_), _) => self.counters.on_drop(TurnDrop::Malformed),
            }
            return Outcome::default();
        }
        if let Some(reply) = binding_reply(bytes, sender.address) {
            let reply = self.limited(now, sender, reply);
            add(&self.counters.bindings, reply.is_some().into());
            return Outcome { reply, made: None };
        }
        let Ok(message) = Message::from_bytes(bytes) else {
            self.counters.on_drop(TurnDrop::Malformed);
            return Outcome::default();
        };
        match message.class() {
            MessageClass::Request => self.on_request(now, sender, allocation, &message),
            MessageClass::Indication => {
                match (message::sent(&message), allocation) {
                    (Some((peer, data)), Some(allocation)) => allocation.on_sent(now, peer, &data),
                    (Some(_), None) => self.counters.on_drop(TurnDrop::NoAllocation),
                    (None, _) => self.counters.on_drop(TurnDrop::Malformed),
                }
                Outcome::default()
            }
            MessageClass::Success | MessageClass::Error => {
                self.counters.on_drop(TurnDrop::Malformed);
                Outcome::default()
            }
        }
    }

    fn on_request(
        &self,
        now: Instant,
        sender: &Sender<'_>,
        allocation: Option<&Arc<Allocation>>,
        request: &Message<'_>,
    ) -> Outcome {
        let is_known = [ALLOCATE, REFRESH, CREATE_PERMISSION, CHANNEL_BIND, CONNECT]
            .contains(&request.method());
        if !is_known {
            self.counters.on_drop(TurnDrop::Malformed);
            return Outcome::default();
        }
        let known = match self.identify(now, sender.address, allocation, request) {
            Ok(known) => known,
            Err(refused) => {
                let reply = self.turn_away(now, sender.address, request, &refused);
                return Outcome {
                    reply: self.limited(now, sender, reply),
                    made: None,
                };
            }
        };
        match self.grant(now, sender, allocation, request, &known) {
            Ok((told, made)) => Outcome {
                reply: Some(message::success(request, told, &known.key)),
                made,
            },
            Err(refused) => {
                self.counters.on_refused(refused.reason);
                let Refused { code, unknown, .. } = refused;
                Outcome {
                    reply: Some(message::refusal(request, code, &unknown, &known.key)),
                    made: None,
                }
            }
        }
    }

    /// Checks the credential of a request.
    fn identify(
        &self,
        now: Instant,
        client: SocketAddr,
        allocation: Option<&Arc<Allocation>>,
        request: &Message<'_>,
    ) -> Result<Known, Refused> {
        let shown = message::shown(request)?;
        if shown.realm != message::REALM {
            return Err(Refused::new(Code::Unauthorized, TurnRefusal::Unauthorized));
        }
        if !self.nonces.is_good(&shown.nonce, now, client) {
            return Err(Code::StaleNonce.into());
        }
        // The time of a credential counts when a relay is made: a call may last longer.
        if let Some(allocation) = allocation {
            let key = if allocation.username == shown.username {
                allocation.key.clone()
            } else {
                self.key(&shown.username)
            };
            return known(request, shown.username, key);
        }
        credential::judge(&shown.username, SystemTime::now()).map_err(|error| {
            let reason = match error {
                UsernameError::Expired => TurnRefusal::Expired,
                UsernameError::Foreign => TurnRefusal::Unauthorized,
            };
            Refused::new(Code::Unauthorized, reason)
        })?;
        let key = self.key(&shown.username);
        known(request, shown.username, key)
    }

    fn key(&self, username: &str) -> IntegrityKey {
        message::key(username, self.secret.password(username))
    }

    /// The answer to who has not shown a good credential.
    fn turn_away(
        &self,
        now: Instant,
        client: SocketAddr,
        request: &Message<'_>,
        refused: &Refused,
    ) -> Vec<u8> {
        self.counters.on_refused(refused.reason);
        let takes_nonce = matches!(refused.code, Code::Unauthorized | Code::StaleNonce);
        let nonce = takes_nonce.then(|| self.nonces.make(now, client));
        message::challenge(request, refused.code, nonce.as_deref())
    }

    /// An answer to a source that may not be who it says, if that gets one.
    fn limited(&self, now: Instant, sender: &Sender<'_>, reply: Vec<u8>) -> Option<Vec<u8>> {
        if matches!(sender.way, ToClient::Datagrams { .. }) {
            let mut replies = self.replies.lock().unwrap_or_else(PoisonError::into_inner);
            if !replies.admit(now, sender.address.ip()) {
                self.counters.on_drop(TurnDrop::ReplyLimit);
                return None;
            }
        }
        Some(reply)
    }

    /// Does what a request with a good credential asks for.
    fn grant(
        &self,
        now: Instant,
        sender: &Sender<'_>,
        allocation: Option<&Arc<Allocation>>,
        request: &Message<'_>,
        known: &Known,
    ) -> Result<(Success, Option<Arc<Allocation>>), Refused> {
        if let Some(allocation) = allocation
            && allocation.username != known.username
        {
            return Err(Code::WrongCredentials.into());
        }
        if request.has_method(ALLOCATE) {
            return self.allocate(now, sender, allocation, request, known);
        }
        // Peers are reached over UDP alone.
        if request.has_method(CONNECT) {
            return Err(Code::Forbidden.into());
        }
        let of_method = if request.has_method(REFRESH) {
            message::OF_REFRESH
        } else {
            message::OF_PEERS
        };
        check_known(request, of_method)?;
        let Some(allocation) = allocation else {
            // A client that gives up a relay twice means well.
            if request.has_method(REFRESH) && message::lifetime(request) == Some(0) {
                let told = Success {
                    lifetime: Some(0),
                    ..Success::default()
                };
                return Ok((told, None));
            }
            return Err(Code::Mismatch.into());
        };
        let mut told = Success::default();
        if request.has_method(REFRESH) {
            let lifetime = allocation.refresh(now, lifetime(message::lifetime(request)));
            told.lifetime = Some(whole_seconds(lifetime));
        } else if request.has_method(CREATE_PERMISSION) {
            allocation.permit(now, &message::peers(request, MAX_PEERS)?)?;
        } else {
            let channel = message::channel(request).ok_or(Code::BadRequest)?;
            let [peer] = message::peers(request, 1)?[..] else {
                return Err(Code::BadRequest.into());
            };
            allocation.bind(now, channel, peer)?;
        }
        Ok((told, None))
    }

    fn allocate(
        &self,
        now: Instant,
        sender: &Sender<'_>,
        allocation: Option<&Arc<Allocation>>,
        request: &Message<'_>,
        known: &Known,
    ) -> Result<(Success, Option<Arc<Allocation>>), Refused> {
        let told = |address: OwnAddress, lifetime: Duration| Success {
            relayed: Some(address.told),
            mapped: Some(canonical(sender.address)),
            lifetime: Some(whole_seconds(lifetime)),
        };
        if let Some(allocation) = allocation {
            if allocation.transaction == request.transaction_id() {
                // The answer was lost on the way.
                return Ok((told(allocation.address, allocation.left(now)), None));
            }
            return Err(Code::Mismatch.into());
        }
        check_known(request, message::OF_ALLOCATE)?;
        let wanted = message::wanted(request)?;
        let held = self.hold(&known.username, sender.address)?;
        let (socket, address) = self.bind(wanted)?;
        let lifetime = lifetime(wanted.lifetime)
            .max(LIFETIME)
            .min(self.max_lifetime);
        let setup = Setup {
            username: known.username.clone(),
            key: known.key.clone(),
            transaction: request.transaction_id(),
            socket,
            address,
            lifetime,
            max_lifetime: self.max_lifetime,
            rate: self.rate,
            client: sender.way.clone(),
            peers: Arc::clone(&self.peers),
            counters: Arc::clone(&self.counters),
            held,
        };
        let made = Arc::new(Allocation::new(setup, now));
        Ok((told(address, lifetime), Some(made)))
    }

    /// Counts one more relay, for its participant and its source.
    fn hold(&self, username: &str, source: SocketAddr) -> Result<Held, Refused> {
        let full = |full| match full {
            crate::gate::Full::All => Refused::from(Code::Capacity),
            crate::gate::Full::Owner => Refused::from(Code::Quota),
        };
        // Judged when it was identified.
        let tag = username.split_once(':').map_or("", |(_, tag)| tag);
        let of_participant = self.by_participant.admit(tag.to_owned()).map_err(full)?;
        let of_source = self
            .by_source
            .admit(source_network(source.ip()))
            .map_err(full)?;
        Ok((of_participant, of_source))
    }

    /// A socket for a relay as it is asked for.
    fn bind(&self, wanted: Wanted) -> Result<(UdpSocket, OwnAddress), Refused> {
        let mut of_family = self
            .relays
            .iter()
            .filter(|r| r.told.is_ipv6() == wanted.is_ipv6);
        let relay = of_family.next().ok_or(Code::Family)?;
        let bound = any_port(relay.local, wanted.is_even).and_then(|socket| {
            socket.set_nonblocking(true)?;
            let local = socket.local_addr()?;
            Ok((UdpSocket::from_std(socket)?, local))
        });
        let (socket, local) = bound.map_err(|error| {
            tracing::warn!(%error, "no socket for a relay");
            Code::Capacity
        })?;
        let told = SocketAddr::new(relay.told, local.port());
        Ok((socket, OwnAddress { told, local }))
    }
}

/// The sender of a request, if it was sealed with the key of the one it names.
fn known(request: &Message<'_>, username: String, key: IntegrityKey) -> Result<Known, Refused> {
    if message::is_sealed(request, &key) {
        Ok(Known { username, key })
    } else {
        Err(Refused::new(Code::Unauthorized, TurnRefusal::Unauthorized))
    }
}

fn check_known(request: &Message<'_>, known: &[AttributeType]) -> Result<(), Refused> {
    let unknown = message::unknown(request, known);
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Refused {
        unknown,
        ..Code::UnknownAttribute.into()
    })
}

/// A socket at any port, or at an even one.
fn any_port(local: IpAddr, is_even: bool) -> io::Result<StdUdpSocket> {
    // Kept until one is even, so that none comes twice.
    let mut odd = Vec::new();
    loop {
        let socket = StdUdpSocket::bind((local, 0))?;
        if !is_even || socket.local_addr()?.port() % 2 == 0 || odd.len() >= EVEN_TRIES {
            return Ok(socket);
        }
        odd.push(socket);
    }
}

/// The lifetime for what a client asks: 0 gives up.
fn lifetime(seconds: Option<u32>) -> Duration {
    match seconds {
        Some(0) => Duration::ZERO,
        Some(seconds) => Duration::from_secs(seconds.into()).clamp(LIFETIME, MAX_LIFETIME),
        None => LIFETIME,
    }
}

fn whole_seconds(time: Duration) -> u32 {
    u32::try_from(time.as_secs()).unwrap_or(u32::MAX)
}
