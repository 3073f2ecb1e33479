//! TURN (RFC 8656): a relay for clients whose network lets nothing else through, over UDP, TCP and TLS.
//!
//! Owns the listeners, how many connections there may be, and what clients are told. A client comes in
//! by [`udp`] or [`stream`], [`server`] judges what it says, and an [`allocation`] relays. What is worth
//! an attack, and what stands against it:
//!
//! * relaying to where the client could not go by itself: [`peers`] lets it reach the media sockets of this
//!   node, other relays, and the public internet;
//! * answers to forged addresses: at most three times as long as the question, and ten a second to one
//!   source;
//! * memory: nothing is remembered of a client without a good credential ([`nonce`]), and relays are
//!   counted by participant, by source and in all;
//! * somebody else's credential: it ends after minutes, and all that it opens counts as its owner's.
//!
//! Peers are reached over UDP alone: connections to peers (RFC 6062) are refused.

mod address;
mod allocation;
mod bucket;
mod credential;
mod message;
mod nonce;
mod peers;
mod server;
mod stats;
mod stream;
mod tls;
mod udp;

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener as StdTcpListener, UdpSocket as StdUdpSocket},
    sync::Arc,
    time::Duration,
};

use sfu_core::{CandidateAddress, Protocol, source_network};
use tokio::{
    net::{TcpListener, TcpStream, UdpSocket},
    time::timeout,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

pub(crate) use address::is_public;
pub use credential::{Credential, TurnSecret};
pub use stats::{TurnDrop, TurnRefusal, TurnStats};
pub use tls::CertificateFileError;

use self::{
    peers::{OwnAddress, Peers},
    server::{Parts, RelayAddress, Server},
    tls::{Current, Files},
};
use crate::{
    bind::BindError,
    config::{NodeConfig, TurnConfig},
    gate::{Gate, Slot},
    tcp,
};

/// How long to leave the kernel alone when it cannot give us a connection (no descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why the TURN server does not start.
#[derive(Debug, thiserror::Error)]
pub enum TurnStartError {
    /// An address cannot be listened on.
    #[error(transparent)]
    Bind(#[from] BindError),
    /// There is no certificate for TLS.
    #[error(transparent)]
    Certificate(#[from] CertificateFileError),
}

/// What a client has to know to use the TURN server.
#[derive(Debug, Clone)]
pub struct TurnAccess {
    /// Ways to reach it (RFC 7065).
    pub urls: Vec<String>,
    /// Makes its credentials.
    pub secret: TurnSecret,
    /// How long they are to be good for.
    pub credential_ttl: Duration,
}

/// The TURN server of a node.
pub(crate) struct Turn {
    server: Arc<Server>,
    connections: Arc<Gate<IpAddr>>,
    access: TurnAccess,
}

/// Its sockets, bound and not yet served.
#[derive(Default)]
struct Sockets {
    udp: Vec<UdpSocket>,
    tcp: Vec<TcpListener>,
    tls: Vec<TcpListener>,
}

impl Turn {
    /// Starts the server, where there is something to listen on. `media` is where clients find media.
    pub(crate) fn start(
        config: &NodeConfig,
        media: &[CandidateAddress],
        stop: &CancellationToken,
        tasks: &TaskTracker,
    ) -> Result<Option<Self>, TurnStartError> {
        let turn = &config.turn;
        if !turn.is_on() {
            return Ok(None);
        }
        let tls = acceptor(turn, stop, tasks)?;
        let sockets = Sockets::bind(turn)?;
        let secret = match turn.secret.0.as_str() {
            "" => TurnSecret::random(),
            text => TurnSecret::new(text),
        };
        let access = TurnAccess {
            urls: sockets.urls(config)?,
            secret: secret.clone(),
            credential_ttl: turn.credential_ttl,
        };
        let media = own_addresses(media);
        let server = Arc::new(Server::new(Parts {
            secret,
            relays: relay_addresses(&media),
            peers: Arc::new(Peers::new(&media, turn.denied_peers.clone())),
            max_allocations: turn.max_allocations,
            max_of_participant: turn.max_allocations_per_participant,
            max_of_source: turn.max_allocations_per_source,
            rate: turn.bytes_per_second,
            max_lifetime: turn.max_lifetime,
        }));
        let connections = Arc::new(Gate::new(
            turn.max_connections,
            turn.max_connections_per_source,
        ));
        let listening = Listening {
            server: Arc::clone(&server),
            connections: Arc::clone(&connections),
            stop: stop.clone(),
            tasks: tasks.clone(),
        };
        listening.serve(sockets, tls);
        Ok(Some(Self {
            server,
            connections,
            access,
        }))
    }

    /// What clients have to know.
    pub(crate) fn access(&self) -> &TurnAccess {
        &self.access
    }

    /// The numbers of this moment.
    pub(crate) fn stats(&self) -> TurnStats {
        TurnStats {
            allocations: self.server.allocations(),
            connections: self.connections.count(),
            ..self.server.counters.read()
        }
    }
}

/// What accepts TLS, if any is spoken.
fn acceptor(
    turn: &TurnConfig,
    stop: &CancellationToken,
    tasks: &TaskTracker,
) -> Result<Option<TlsAcceptor>, CertificateFileError> {
    if turn.tls.is_empty() {
        return Ok(None);
    }
    let current = Current::read(Files {
        certificate: turn.certificate.clone(),
        key: turn.key.clone(),
    })?;
    let acceptor = current.acceptor()?;
    tasks.spawn(current.follow(stop.clone()));
    Ok(Some(acceptor))
}

/// The media sockets, by the names clients know them by.
fn own_addresses(media: &[CandidateAddress]) -> Vec<OwnAddress> {
    media
        .iter()
        .filter(|candidate| candidate.protocol == Protocol::Udp)
        .map(|candidate| OwnAddress {
            told: candidate.advertised,
            local: candidate.local,
        })
        .collect()
}

/// Relays are at the addresses of media, the first of each family.
fn relay_addresses(media: &[OwnAddress]) -> Vec<RelayAddress> {
    let mut relays: Vec<RelayAddress> = Vec::new();
    for address in media {
        let is_new = |relay: &RelayAddress| relay.told.is_ipv4() != address.told.is_ipv4();
        if relays.iter().all(is_new) {
            relays.push(RelayAddress {
                local: address.local.ip(),
                told: address.told.ip(),
            });
        }
    }
    relays
}

impl Sockets {
    fn bind(turn: &TurnConfig) -> Result<Self, BindError> {
        let mut sockets = Self::default();
        for &address in &turn.udp {
            let bound = StdUdpSocket::bind(address).and_then(|socket| {
                socket.set_nonblocking(true)?;
                UdpSocket::from_std(socket)
            });
            sockets.udp.push(bound.map_err(failed("UDP", address))?);
        }
        let listen = |address| {
            tcp::bind(address)
                .and_then(|listener: StdTcpListener| TcpListener::from_std(listener))
                .map_err(failed("TCP", address))
        };
        sockets.tcp = turn
            .tcp
            .iter()
            .copied()
            .map(listen)
            .collect::<Result<_, _>>()?;
        sockets.tls = turn
            .tls
            .iter()
            .copied()
            .map(listen)
            .collect::<Result<_, _>>()?;
        Ok(sockets)
    }

    /// What clients are told of them.
    fn urls(&self, config: &NodeConfig) -> Result<Vec<String>, BindError> {
        if !config.turn.urls.is_empty() {
            return Ok(config.turn.urls.clone());
        }
        let mut urls = Vec::new();
        let mut tell = |scheme, transport, bound: io::Result<SocketAddr>| {
            let bound = bound.map_err(failed("TURN", ([0, 0, 0, 0], 0).into()))?;
            let host = host(config, bound);
            let port = bound.port();
            urls.push(format!("{scheme}:{host}:{port}?transport={transport}"));
            Ok(())
        };
        for socket in &self.udp {
            tell("turn", "udp", socket.local_addr())?;
        }
        for listener in &self.tcp {
            tell("turn", "tcp", listener.local_addr())?;
        }
        for listener in &self.tls {
            tell("turns", "tcp", listener.local_addr())?;
        }
        Ok(urls)
    }
}

/// How clients call the host of an address that is listened on.
fn host(config: &NodeConfig, bound: SocketAddr) -> String {
    if !config.turn.host.is_empty() {
        return config.turn.host.clone();
    }
    let is_of_family = |ip: &IpAddr| ip.is_ipv4() == bound.is_ipv4();
    let advertised = config.udp.advertise.iter().map(|advertise| advertise.ip);
    match advertised
        .into_iter()
        .find(is_of_family)
        .unwrap_or_else(|| bound.ip())
    {
        IpAddr::V4(ip) => ip.to_string(),
        IpAddr::V6(ip) => format!("[{ip}]"),
    }
}

fn failed(protocol: &'static str, address: SocketAddr) -> impl Fn(io::Error) -> BindError {
    move |source| BindError {
        protocol,
        address,
        source,
    }
}

/// What the listeners share.
#[derive(Clone)]
struct Listening {
    server: Arc<Server>,
    connections: Arc<Gate<IpAddr>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Listening {
    fn serve(&self, sockets: Sockets, tls: Option<TlsAcceptor>) {
        for socket in sockets.udp {
            let (server, stop, tasks) = (&self.server, &self.stop, &self.tasks);
            tasks.spawn(udp::serve(
                Arc::clone(server),
                socket,
                stop.clone(),
                tasks.clone(),
            ));
        }
        for listener in sockets.tcp {
            self.tasks.spawn(self.clone().accept(listener, None));
        }
        for listener in sockets.tls {
            self.tasks.spawn(self.clone().accept(listener, tls.clone()));
        }
    }

    async fn accept(self, listener: TcpListener, tls: Option<TlsAcceptor>) {
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, client)) => match self.connections.admit(source_network(client.ip())) {
                    Ok(slot) => {
                        let connection =
                            carry(Arc::clone(&self.server), stream, client, tls.clone(), slot);
                        let stop = self.stop.clone();
                        self.tasks.spawn(stop.run_until_cancelled_owned(connection));
                    }
                    Err(_) => self.server.counters.on_drop(TurnDrop::ConnectionLimit),
                },
                // The client went away again before we took it.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept connections for TURN");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }
}

async fn carry(
    server: Arc<Server>,
    stream: TcpStream,
    client: SocketAddr,
    tls: Option<TlsAcceptor>,
    _slot: Slot<IpAddr>,
) {
    // Media waits for nobody; without this the kernel would collect small messages.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let Some(tls) = tls else {
        return stream::serve(server, stream, client).await;
    };
    match timeout(stream::PATIENCE, tls.accept(stream)).await {
        Ok(Ok(stream)) => stream::serve(server, stream, client).await,
        Ok(Err(_)) => server.counters.on_drop(TurnDrop::Tls),
        Err(_) => server.counters.on_drop(TurnDrop::Timeout),
    }
}
