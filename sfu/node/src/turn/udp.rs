//! TURN over UDP: one socket, and which client has which relay.
//!
//! Owns the table of clients. Only a client with a good credential gets a place in it; whatever else
//! comes leaves nothing behind. Must not know the protocol.

use std::{collections::HashMap, io, net::SocketAddr, sync::Arc, time::Instant};

use tokio::{net::UdpSocket, sync::mpsc};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{
    allocation::{Allocation, ToClient},
    server::{Sender, Server},
    stats::TurnDrop,
};

/// Longest datagram of a client.
const MAX_DATAGRAM: usize = 8192;

/// Datagrams taken in one turn; then others have theirs.
const BATCH: usize = 64;

/// Serves a socket until told to stop.
pub(super) async fn serve(
    server: Arc<Server>,
    socket: UdpSocket,
    stop: CancellationToken,
    tasks: TaskTracker,
) {
    let (ended, mut gone) = mpsc::unbounded_channel();
    let mut listener = Listener {
        server,
        socket: Arc::new(socket),
        clients: HashMap::new(),
        ended,
        stop: stop.clone(),
        tasks,
    };
    loop {
        let socket = Arc::clone(&listener.socket);
        tokio::select! {
            () = stop.cancelled() => return,
            Some((client, allocation)) = gone.recv() => listener.on_ended(client, &allocation),
            ready = socket.readable() => match ready {
                Ok(()) => listener.receive(),
                Err(error) => {
                    tracing::error!(%error, "the TURN socket failed");
                    return;
                }
            },
        }
        tokio::task::yield_now().await;
    }
}

struct Listener {
    server: Arc<Server>,
    socket: Arc<UdpSocket>,
    clients: HashMap<SocketAddr, Arc<Allocation>>,
    /// Relays that ended; no more than there are relays.
    ended: mpsc::UnboundedSender<(SocketAddr, Arc<Allocation>)>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Listener {
    fn receive(&mut self) {
        let mut buffer = [0; MAX_DATAGRAM];
        for _ in 0..BATCH {
            match self.socket.try_recv_from(&mut buffer) {
                Ok((length, client)) => self.on_received(client, &buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // About a datagram sent before: an ICMP message. There may be more to receive.
                Err(_) => self.server.counters.on_drop(TurnDrop::Network),
            }
        }
    }

    fn on_received(&mut self, client: SocketAddr, bytes: &[u8]) {
        let way = ToClient::Datagrams {
            socket: Arc::clone(&self.socket),
            client,
        };
        let sender = Sender {
            address: client,
            way: &way,
            allocation: self.clients.get(&client),
        };
        let outcome = self.server.handle(Instant::now(), &sender, bytes);
        if let Some(allocation) = outcome.made {
            self.clients.insert(client, Arc::clone(&allocation));
            let ended = self.ended.clone();
            let stop = self.stop.clone();
            self.tasks.spawn(async move {
                stop.run_until_cancelled(allocation.carry()).await;
                // Nobody listens only when the server stops.
                let _ = ended.send((client, allocation));
            });
        }
        if let Some(reply) = outcome.reply
            && let Err(reason) = way.send(reply)
        {
            self.server.counters.on_drop(reason);
        }
    }

    fn on_ended(&mut self, client: SocketAddr, ended: &Arc<Allocation>) {
        // The client may have made another one meanwhile.
        if self
            .clients
            .get(&client)
            .is_some_and(|allocation| Arc::ptr_eq(allocation, ended))
        {
            self.clients.remove(&client);
        }
    }
}
