//! One relay: its socket, whom it may talk to, and how it passes on.
//!
//! Owns permissions, channels, lifetime and rate of one client's allocation, and the task that carries
//! what peers send. Must not judge credentials or parse requests: [`server`](super::server) does. RFC 8656
//! sections 9 to 12.

use std::{
    collections::{HashMap, HashSet},
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use tokio::{net::UdpSocket, sync::mpsc};
use tokio_util::sync::CancellationToken;
use turn_types::stun::message::{IntegrityKey, TransactionId};

use super::{
    bucket::Bucket,
    message,
    peers::{Forbidden, OwnAddress, Peers, Scope},
    server::Held,
    stats::{Counters, TurnDrop, add},
};

/// RFC 8656 section 9.
const PERMISSION_LIFE: Duration = Duration::from_secs(300);
/// RFC 8656 section 12.
const CHANNEL_LIFE: Duration = Duration::from_secs(600);

/// Permissions and channels of one relay at most: as many peers as a participant has candidates of
/// others, and more.
pub(super) const MAX_PEERS: usize = 64;

/// Longest datagram of a peer that is relayed; WebRTC sends what fits a path's MTU.
const MAX_DATAGRAM: usize = 4096;

/// Datagrams of peers carried in one turn.
const BATCH: usize = 32;

/// Bytes before channel data.
pub(super) const CHANNEL_HEADER: usize = 4;

/// The way to a client.
#[derive(Debug, Clone)]
pub(super) enum ToClient {
    Datagrams {
        socket: Arc<UdpSocket>,
        client: SocketAddr,
    },
    /// Messages for one stream; past the queue's length they are dropped.
    Stream(mpsc::Sender<Vec<u8>>),
}

impl ToClient {
    /// Sends, without waiting.
    pub(super) fn send(&self, bytes: Vec<u8>) -> Result<(), TurnDrop> {
        match self {
            Self::Datagrams { socket, client } => socket
                .try_send_to(&bytes, *client)
                .map(drop)
                .map_err(|error| match error.kind() {
                    io::ErrorKind::WouldBlock => TurnDrop::QueueFull,
                    _ => TurnDrop::Network,
                }),
            Self::Stream(queue) => queue.try_send(bytes).map_err(|_| TurnDrop::QueueFull),
        }
    }

    /// Channel data is padded in a stream (RFC 8656 section 12.5).
    fn is_padded(&self) -> bool {
        matches!(self, Self::Stream(_))
    }
}

/// What a relay is made of.
pub(super) struct Setup {
    pub(super) username: String,
    pub(super) key: IntegrityKey,
    /// Of the request that made it; the same once more is the same request.
    pub(super) transaction: TransactionId,
    pub(super) socket: UdpSocket,
    pub(super) address: OwnAddress,
    pub(super) lifetime: Duration,
    pub(super) max_lifetime: Duration,
    /// Bytes per second, in each direction.
    pub(super) rate: u64,
    pub(super) client: ToClient,
    pub(super) peers: Arc<Peers>,
    pub(super) counters: Arc<Counters>,
    /// What it counts against.
    pub(super) held: Held,
}

/// One relay.
pub(super) struct Allocation {
    pub(super) username: String,
    pub(super) key: IntegrityKey,
    pub(super) transaction: TransactionId,
    pub(super) address: OwnAddress,
    socket: UdpSocket,
    client: ToClient,
    peers: Arc<Peers>,
    counters: Arc<Counters>,
    ended: CancellationToken,
    last_moment: Instant,
    state: Mutex<State>,
    _held: Held,
}

struct State {
    expires: Instant,
    permissions: HashMap<Scope, Instant>,
    /// By number: the peer, and until when.
    channels: HashMap<u16, (SocketAddr, Instant)>,
    numbers: HashMap<SocketAddr, u16>,
    to_peers: Bucket,
    to_client: Bucket,
}

/// Why a peer is not permitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PeerError {
    /// No relay may reach it.
    Forbidden,
    /// It has the other family of addresses.
    Family,
    /// There are as many as there may be.
    Full,
    /// The channel is another peer's, or the peer has another channel.
    Bound,
}

impl From<Forbidden> for PeerError {
    fn from(_: Forbidden) -> Self {
        Self::Forbidden
    }
}

impl Allocation {
    pub(super) fn new(setup: Setup, now: Instant) -> Self {
        setup.peers.add_relay(setup.address);
        add(&setup.counters.allocated, 1);
        Self {
            username: setup.username,
            key: setup.key,
            transaction: setup.transaction,
            address: setup.address,
            socket: setup.socket,
            client: setup.client,
            peers: setup.peers,
            counters: setup.counters,
            ended: CancellationToken::new(),
            last_moment: now + setup.max_lifetime,
            state: Mutex::new(State {
                expires: now + setup.lifetime,
                permissions: HashMap::new(),
                channels: HashMap::new(),
                numbers: HashMap::new(),
                to_peers: Bucket::new(setup.rate, now),
                to_client: Bucket::new(setup.rate, now),
            }),
            _held: setup.held,
        }
    }

    /// Whether it is still there.
    pub(super) fn is_alive(&self, now: Instant) -> bool {
        !self.ended.is_cancelled() && now < self.lock().expires
    }

    /// How long it lives if it is not refreshed.
    pub(super) fn left(&self, now: Instant) -> Duration {
        self.lock().expires.saturating_duration_since(now)
    }

    /// Ends it.
    pub(super) fn end(&self) {
        self.ended.cancel();
    }

    /// Sets how long it lives from now on; what it got.
    pub(super) fn refresh(&self, now: Instant, lifetime: Duration) -> Duration {
        let left = self.last_moment.saturating_duration_since(now);
        let lifetime = lifetime.min(left);
        if lifetime.is_zero() {
            self.end();
        }
        self.lock().expires = now + lifetime;
        lifetime
    }

    /// Lets peers send to the client, and the client to them: all of them or none.
    pub(super) fn permit(&self, now: Instant, peers: &[SocketAddr]) -> Result<(), PeerError> {
        let scopes = peers
            .iter()
            .map(|&peer| self.admit(now, peer))
            .collect::<Result<HashSet<_>, _>>()?;
        self.lock().permit(now, &scopes)
    }

    /// Binds a channel to a peer, and permits the peer.
    pub(super) fn bind(
        &self,
        now: Instant,
        channel: u16,
        peer: SocketAddr,
    ) -> Result<(), PeerError> {
        let scope = self.admit(now, peer)?;
        let mut state = self.lock();
        state.permit(now, &HashSet::from([scope]))?;
        state.bind(now, channel, peer)
    }

    fn admit(&self, now: Instant, peer: SocketAddr) -> Result<Scope, PeerError> {
        let found = self.peers.find(peer)?;
        if found.to.is_ipv4() != self.address.told.is_ipv4() {
            return Err(PeerError::Family);
        }
        // Judged already, which costs a system call.
        if !self.lock().is_permitted(now, found.scope) {
            self.peers.admit(peer)?;
        }
        Ok(found.scope)
    }

    /// Passes channel data of the client on.
    pub(super) fn on_channel_data(&self, now: Instant, channel: u16, data: &[u8]) {
        let peer = self.lock().channel(now, channel);
        match peer {
            Some(peer) => self.on_sent(now, peer, data),
            None => self.counters.on_drop(TurnDrop::NoPermission),
        }
    }

    /// Passes what the client sends on to a peer.
    pub(super) fn on_sent(&self, now: Instant, peer: SocketAddr, data: &[u8]) {
        if let Err(reason) = self.send(now, peer, data) {
            self.counters.on_drop(reason);
        }
    }

    fn send(&self, now: Instant, peer: SocketAddr, data: &[u8]) -> Result<(), TurnDrop> {
        let found = self.peers.find(peer).map_err(|_| TurnDrop::Forbidden)?;
        {
            let mut state = self.lock();
            if now >= state.expires {
                return Err(TurnDrop::NoAllocation);
            }
            if !state.is_permitted(now, found.scope) {
                return Err(TurnDrop::NoPermission);
            }
            if !state.to_peers.take(now, data.len()) {
                return Err(TurnDrop::Rate);
            }
        }
        let sent = self.socket.try_send_to(data, found.to);
        sent.map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => TurnDrop::QueueFull,
            _ => TurnDrop::Network,
        })?;
        add(&self.counters.bytes_to_peers, data.len() as u64);
        Ok(())
    }

    /// Carries what peers send, to the end of the relay.
    pub(super) async fn carry(&self) {
        loop {
            let expires = self.lock().expires;
            if expires <= Instant::now() {
                break;
            }
            tokio::select! {
                () = self.ended.cancelled() => break,
                // It may have been refreshed meanwhile.
                () = tokio::time::sleep_until(expires.into()) => {}
                ready = self.socket.readable() => match ready {
                    Ok(()) => self.carry_some(),
                    Err(error) => {
                        tracing::warn!(%error, "a relay's socket failed");
                        break;
                    }
                },
            }
        }
        self.end();
    }

    fn carry_some(&self) {
        let mut buffer = [0; CHANNEL_HEADER + MAX_DATAGRAM];
        for _ in 0..BATCH {
            let (head, body) = buffer.split_at_mut(CHANNEL_HEADER);
            match self.socket.try_recv_from(body) {
                Ok((length, source)) => {
                    let outcome = self.on_received(Instant::now(), source, head, &body[..length]);
                    if let Err(reason) = outcome {
                        self.counters.on_drop(reason);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // About a datagram sent before: an ICMP message. There may be more to receive.
                Err(_) => self.counters.on_drop(TurnDrop::Network),
            }
        }
    }

    fn on_received(
        &self,
        now: Instant,
        source: SocketAddr,
        head: &mut [u8],
        data: &[u8],
    ) -> Result<(), TurnDrop> {
        if data.len() >= MAX_DATAGRAM {
            return Err(TurnDrop::Malformed);
        }
        let (peer, scope) = self.peers.name(source).ok_or(TurnDrop::Forbidden)?;
        let channel = {
            let mut state = self.lock();
            if !state.is_permitted(now, scope) {
                return Err(TurnDrop::NoPermission);
            }
            if !state.to_client.take(now, data.len()) {
                return Err(TurnDrop::Rate);
            }
            state.number(now, peer)
        };
        let bytes = match (channel, u16::try_from(data.len())) {
            (Some(channel), Ok(length)) => {
                head[..2].copy_from_slice(&channel.to_be_bytes());
                head[2..].copy_from_slice(&length.to_be_bytes());
                let mut bytes = [&*head, data].concat();
                if self.client.is_padded() {
                    bytes.resize(bytes.len().next_multiple_of(4), 0);
                }
                bytes
            }
            _ => message::data(peer, data),
        };
        self.client.send(bytes)?;
        add(&self.counters.bytes_to_clients, data.len() as u64);
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No method panics half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Allocation {
    fn drop(&mut self) {
        self.peers.remove_relay(self.address);
    }
}

impl State {
    fn permit(&mut self, now: Instant, scopes: &HashSet<Scope>) -> Result<(), PeerError> {
        self.permissions.retain(|_, until| *until > now);
        let is_new = |scope: &&Scope| !self.permissions.contains_key(*scope);
        if self.permissions.len() + scopes.iter().filter(is_new).count() > MAX_PEERS {
            return Err(PeerError::Full);
        }
        let until = now + PERMISSION_LIFE;
        self.permissions
            .extend(scopes.iter().map(|scope| (*scope, until)));
        Ok(())
    }

    fn is_permitted(&self, now: Instant, scope: Scope) -> bool {
        self.permissions
            .get(&scope)
            .is_some_and(|until| *until > now)
    }

    fn bind(&mut self, now: Instant, channel: u16, peer: SocketAddr) -> Result<(), PeerError> {
        let Self {
            channels, numbers, ..
        } = self;
        channels.retain(|_, (_, until)| *until > now);
        numbers.retain(|_, number| channels.contains_key(number));
        let is_of_peer = channels
            .get(&channel)
            .is_none_or(|(bound, _)| *bound == peer);
        let is_of_channel = numbers.get(&peer).is_none_or(|number| *number == channel);
        if !is_of_peer || !is_of_channel {
            return Err(PeerError::Bound);
        }
        if channels.len() >= MAX_PEERS && !channels.contains_key(&channel) {
            return Err(PeerError::Full);
        }
        channels.insert(channel, (peer, now + CHANNEL_LIFE));
        numbers.insert(peer, channel);
        Ok(())
    }

    fn channel(&self, now: Instant, channel: u16) -> Option<SocketAddr> {
        let (peer, until) = self.channels.get(&channel)?;
        (*until > now).then_some(*peer)
    }

    fn number(&self, now: Instant, peer: SocketAddr) -> Option<u16> {
        let number = *self.numbers.get(&peer)?;
        self.channel(now, number).map(|_| number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(now: Instant) -> State {
        State {
            expires: now + CHANNEL_LIFE,
            permissions: HashMap::new(),
            channels: HashMap::new(),
            numbers: HashMap::new(),
            to_peers: Bucket::new(1, now),
            to_client: Bucket::new(1, now),
        }
    }

    fn peer(port: u16) -> SocketAddr {
        SocketAddr::from(([1, 1, 1, 1], port))
    }

    #[test]
    fn permissions_end_and_are_bounded() {
        let now = Instant::now();
        let mut state = state(now);
        let scopes: Vec<_> = (1..=65).map(|port| Scope::Port(peer(port))).collect();
        for &scope in &scopes[..64] {
            assert_eq!(state.permit(now, &HashSet::from([scope])), Ok(()));
        }
        assert_eq!(
            state.permit(now, &HashSet::from([scopes[64]])),
            Err(PeerError::Full)
        );
        assert_eq!(
            state.permit(now, &HashSet::from([scopes[0]])),
            Ok(()),
            "again"
        );
        let later = now + PERMISSION_LIFE;
        assert!(!state.is_permitted(later, scopes[0]));
        assert_eq!(state.permit(later, &HashSet::from([scopes[64]])), Ok(()));
        assert_eq!(state.permissions.len(), 1);
    }

    #[test]
    fn a_channel_and_a_peer_belong_to_each_other() {
        let now = Instant::now();
        let mut state = state(now);
        assert_eq!(state.bind(now, 0x4000, peer(1)), Ok(()));
        assert_eq!(state.bind(now, 0x4000, peer(1)), Ok(()), "again");
        assert_eq!(state.bind(now, 0x4000, peer(2)), Err(PeerError::Bound));
        assert_eq!(state.bind(now, 0x4001, peer(1)), Err(PeerError::Bound));
        assert_eq!(state.number(now, peer(1)), Some(0x4000));
        let later = now + CHANNEL_LIFE;
        assert_eq!(
            (state.channel(later, 0x4000), state.number(later, peer(1))),
            (None, None)
        );
        assert_eq!(state.bind(later, 0x4000, peer(2)), Ok(()), "free again");
        assert_eq!(state.number(later, peer(1)), None);
    }
}
