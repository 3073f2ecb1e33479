//! Media over TCP: the listening side of ICE-TCP (RFC 6544, the node passive).
//!
//! Owns the listeners, how many connections there may be, and their counters. Must not look further
//! into a connection than [`connection`] does, which is to its first frame.

mod connection;

use std::{
    io,
    net::{IpAddr, SocketAddr, TcpListener as StdListener},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use sfu_core::source_network;

pub(crate) use connection::put_frame;

use crate::{
    config::TcpConfig,
    gate::{Full, Gate, Slot},
    stats::{TcpEnd, TcpStats},
    worker::{TcpInput, TcpLink},
};

/// Connections the kernel keeps for us to accept.
const BACKLOG: i32 = 1024;

/// How long to leave the kernel alone when it cannot give us a connection (no descriptors left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Binds a listener.
pub(crate) fn bind(address: SocketAddr) -> io::Result<StdListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // A node that starts again does not wait for the old one's connections to be forgotten.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// What all TCP connections of a node share.
pub(crate) struct Tcp {
    config: TcpConfig,
    workers: Vec<mpsc::Sender<TcpInput>>,
    gate: Arc<Gate<IpAddr>>,
    numbers: AtomicU64,
    accepted: AtomicU64,
    ended: [AtomicU64; TcpEnd::ALL.len()],
}

impl Tcp {
    /// `workers` are the ways to the workers, in their order.
    pub(crate) fn new(config: TcpConfig, workers: Vec<mpsc::Sender<TcpInput>>) -> Self {
        let gate = Gate::new(config.max_connections, config.max_connections_per_source);
        Self {
            config,
            workers,
            gate: Arc::new(gate),
            numbers: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            ended: Default::default(),
        }
    }

    /// Accepts connections until told to stop, which ends them all. Frames are said to come to
    /// `local`, the address listened on, even when it is unspecified.
    pub(crate) async fn listen(
        self: Arc<Self>,
        listener: TcpListener,
        local: SocketAddr,
        stop: CancellationToken,
        tasks: TaskTracker,
    ) {
        loop {
            let accepted = tokio::select! {
                () = stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, remote)) => {
                    let Some(slot) = self.admit(remote) else {
                        continue;
                    };
                    let connection = Arc::clone(&self).serve(stream, local, remote, slot);
                    tasks.spawn(stop.clone().run_until_cancelled_owned(connection));
                }
                // The client went away again before we took it.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) => {
                    tracing::warn!(%error, "cannot accept TCP connections");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// The numbers of this moment.
    pub(crate) fn stats(&self) -> TcpStats {
        TcpStats {
            connections: self.gate.count(),
            accepted: self.accepted.load(Ordering::Relaxed),
            ended: TcpEnd::ALL.map(|end| self.ended[end as usize].load(Ordering::Relaxed)),
        }
    }

    fn admit(&self, remote: SocketAddr) -> Option<Slot<IpAddr>> {
        match self.gate.admit(source_network(remote.ip())) {
            Ok(slot) => {
                self.accepted.fetch_add(1, Ordering::Relaxed);
                Some(slot)
            }
            Err(full) => {
                self.count(match full {
                    Full::All => TcpEnd::Limit,
                    Full::Owner => TcpEnd::SourceLimit,
                });
                None
            }
        }
    }

    async fn serve(
        self: Arc<Self>,
        stream: TcpStream,
        local: SocketAddr,
        remote: SocketAddr,
        slot: Slot<IpAddr>,
    ) {
        // Media waits for nobody; without this the kernel would collect small frames.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "cannot set TCP_NODELAY");
        }
        let (reader, writer) = stream.into_split();
        let number = self.numbers.fetch_add(1, Ordering::Relaxed);
        let link = TcpLink {
            number,
            local,
            remote,
        };
        let end = connection::serve(reader, writer, link, &self.config, &self.workers).await;
        if let Some(end) = end {
            self.count(end);
        }
        drop(slot);
    }

    fn count(&self, end: TcpEnd) {
        self.ended[end as usize].fetch_add(1, Ordering::Relaxed);
    }
}
