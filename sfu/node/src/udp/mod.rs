//! UDP sockets of a worker: receiving and sending many datagrams by one call, without ever waiting.
//!
//! Owns the sockets and what waits for them. Must not look into a datagram. [`open`] makes sockets,
//! [`receive`] cuts apart what one call brought, [`send`] puts together what one call takes, and
//! [`overflow`] reads what the kernel dropped before we saw it.

mod gather;
mod open;
mod origins;
mod overflow;
mod queue;
mod receive;
mod send;

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    os::fd::{AsFd, BorrowedFd},
};

use quinn_udp::{EcnCodepoint, UdpSocketState};
use rustix::net::sockopt::{Ipv4PathMtuDiscovery, set_ip_mtu_discover};

use self::{gather::Gathered, origins::Origins, queue::SendQueue, send::Wire};
pub(crate) use self::{open::bind, overflow::Overflows, receive::Batch};

/// Numbers of one socket, or the sum of several.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UdpStats {
    /// Receive calls.
    pub receive_calls: u64,
    /// Datagrams received.
    pub received: u64,
    /// Of them, those that a router had marked for congestion (ECN CE, RFC 3168).
    pub congestion_marked: u64,
    /// Failed receive calls.
    pub receive_errors: u64,
    /// Send calls.
    pub send_calls: u64,
    /// Datagrams the kernel took.
    pub sent: u64,
    /// Datagrams that gave way in a full send queue.
    pub send_dropped: u64,
    /// Datagrams the kernel refused.
    pub send_errors: u64,
    /// Sockets now that send a run of datagrams by one call (GSO).
    pub offload_send: u64,
    /// Sockets now that receive several datagrams as one message (GRO).
    pub offload_receive: u64,
}

impl UdpStats {
    /// Adds another socket's numbers. Written out in full, so that none is forgotten here.
    pub(crate) fn add(&mut self, other: &Self) {
        let Self {
            receive_calls,
            received,
            congestion_marked,
            receive_errors,
            send_calls,
            sent,
            send_dropped,
            send_errors,
            offload_send,
            offload_receive,
        } = other;
        self.receive_calls += receive_calls;
        self.received += received;
        self.congestion_marked += congestion_marked;
        self.receive_errors += receive_errors;
        self.send_calls += send_calls;
        self.sent += sent;
        self.send_dropped += send_dropped;
        self.send_errors += send_errors;
        self.offload_send += offload_send;
        self.offload_receive += offload_receive;
    }
}

/// A bound socket with what waits to be sent.
#[derive(Debug)]
pub(crate) struct UdpPort {
    wire: Wire,
    local: SocketAddr,
    /// Single datagrams of this moment.
    gathered: Gathered,
    waiting: SendQueue,
    origins: Origins,
}

impl UdpPort {
    /// Takes over a bound socket; at most `max_waiting` datagrams wait for it.
    pub(crate) fn new(socket: UdpSocket, max_waiting: usize) -> io::Result<Self> {
        let local = socket.local_addr()?;
        let state = UdpSocketState::new((&socket).into())?;
        if local.is_ipv4() {
            // We cannot make a publisher's packets smaller: one too large for a link on the way is
            // better cut there than lost, and no stranger can shrink the path by forged ICMP.
            set_ip_mtu_discover(&socket, Ipv4PathMtuDiscovery::OMIT)?;
        }
        Ok(Self {
            wire: Wire::new(socket, state),
            local,
            gathered: Gathered::new(),
            waiting: SendQueue::new(max_waiting),
            origins: Origins::default(),
        })
    }

    /// Fills an empty batch by one call; whether the kernel may have more. Nothing to receive is an
    /// empty batch.
    pub(crate) fn receive(&mut self, batch: &mut Batch) -> io::Result<bool> {
        let socket = (&self.wire.socket).into();
        let (mut buffers, messages) = batch.buffers();
        self.wire.stats.receive_calls += 1;
        let filled = match self.wire.state.recv(socket, &mut buffers, messages) {
            Ok(filled) => filled,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => {
                self.wire.stats.receive_errors += 1;
                return Err(error);
            }
        };
        batch.on_filled(filled, self.local);
        for meta in batch.messages() {
            let datagrams = receive::datagrams(meta) as u64;
            self.wire.stats.received += datagrams;
            if meta.ecn == Some(EcnCodepoint::Ce) {
                self.wire.stats.congestion_marked += datagrams;
            }
            if let (true, Some(our)) = (self.local.ip().is_unspecified(), meta.dst_ip) {
                self.origins.on_received(meta.addr, our);
            }
        }
        Ok(filled == receive::MESSAGES)
    }

    /// The address it is bound to.
    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }

    /// Something waits for the socket to take it.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Its numbers.
    pub(crate) fn stats(&self) -> UdpStats {
        UdpStats {
            offload_send: self.wire.has_offload().into(),
            offload_receive: (self.wire.state.gro_segments() > 1).into(),
            ..self.wire.stats.clone()
        }
    }
}

impl AsFd for UdpPort {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.wire.socket.as_fd()
    }
}

#[cfg(test)]
mod tests;
