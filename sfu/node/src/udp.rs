//! UDP sockets of a worker: making them, receiving in batches, sending without ever waiting.
//!
//! Owns the send queue of each socket. Must not look into a datagram. The batch interface is the
//! place for `recvmmsg` and segmentation offload.

use std::{
    collections::VecDeque,
    io,
    net::{SocketAddr, UdpSocket as StdSocket},
    task::{Context, Poll},
};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;

use crate::config::UdpConfig;

/// Largest UDP payload.
const MAX_DATAGRAM: usize = 65_535;

/// Binds a socket; buffers smaller than wished are a warning only.
pub(crate) fn bind(address: SocketAddr, config: &UdpConfig) -> io::Result<StdSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        // IPv4 clients come to the IPv4 socket: each socket shows addresses of one family.
        socket.set_only_v6(true)?;
    }
    // The kernel caps what it gives silently (net.core.rmem_max, net.core.wmem_max), and Linux
    // reports twice what it gives.
    let doubled = if cfg!(target_os = "linux") { 2 } else { 1 };
    socket.set_recv_buffer_size(config.receive_buffer_bytes)?;
    let given = socket.recv_buffer_size()? / doubled;
    if given < config.receive_buffer_bytes {
        let wanted = config.receive_buffer_bytes;
        tracing::warn!(%address, wanted, given, "receive buffer is smaller than configured");
    }
    socket.set_send_buffer_size(config.send_buffer_bytes)?;
    let given = socket.send_buffer_size()? / doubled;
    if given < config.send_buffer_bytes {
        let wanted = config.send_buffer_bytes;
        tracing::warn!(%address, wanted, given, "send buffer is smaller than configured");
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// What became of a datagram to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// The kernel has it, or it waits.
    Taken,
    /// It waits, and the oldest that waited gave way.
    PushedOut,
    /// The kernel refused it.
    Refused,
}

/// A bound socket with what waits to be sent.
#[derive(Debug)]
pub(crate) struct UdpPort {
    socket: UdpSocket,
    local: SocketAddr,
    waiting: VecDeque<(SocketAddr, Vec<u8>)>,
    max_waiting: usize,
}

impl UdpPort {
    /// Takes over a bound, non-blocking socket; needs the runtime of the thread that will use it.
    pub(crate) fn new(socket: StdSocket, max_waiting: usize) -> io::Result<Self> {
        let local = socket.local_addr()?;
        let socket = UdpSocket::from_std(socket)?;
        Ok(Self {
            socket,
            local,
            waiting: VecDeque::new(),
            max_waiting,
        })
    }

    /// Receives one datagram, if there is one.
    pub(crate) fn receive(&self, buffer: &mut ReceiveBuffer) -> io::Result<Option<Received>> {
        match self.socket.try_recv_from(&mut buffer.0) {
            Ok((length, source)) => Ok(Some(Received { source, length })),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends, or lets the datagram wait behind others.
    pub(crate) fn send(&mut self, destination: SocketAddr, bytes: Vec<u8>) -> Sent {
        if self.waiting.is_empty() {
            match self.socket.try_send_to(&bytes, destination) {
                Ok(_) => return Sent::Taken,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return Sent::Refused,
            }
        }
        // Old media is worth less than new.
        let pushed_out =
            self.waiting.len() >= self.max_waiting && self.waiting.pop_front().is_some();
        self.waiting.push_back((destination, bytes));
        if pushed_out {
            Sent::PushedOut
        } else {
            Sent::Taken
        }
    }

    /// Sends what waits, as far as the kernel takes it; how many datagrams it refused.
    pub(crate) fn flush(&mut self) -> u64 {
        let mut refused = 0;
        while let Some((destination, bytes)) = self.waiting.front() {
            match self.socket.try_send_to(bytes, *destination) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Ok(_) => {}
                Err(_) => refused += 1,
            }
            self.waiting.pop_front();
        }
        refused
    }

    /// Ready when something can be read, or when what waits can be sent.
    pub(crate) fn poll_ready(&self, context: &mut Context<'_>) -> Poll<()> {
        // An error is ready too: the next read or write shows it.
        let readable = self.socket.poll_recv_ready(context).is_ready();
        let writable = !self.waiting.is_empty() && self.socket.poll_send_ready(context).is_ready();
        if readable || writable {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    }

    pub(crate) fn local(&self) -> SocketAddr {
        self.local
    }
}

/// Room for the largest datagram.
pub(crate) struct ReceiveBuffer(Box<[u8]>);

/// A datagram that lies at the start of the buffer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Received {
    pub(crate) source: SocketAddr,
    length: usize,
}

impl ReceiveBuffer {
    pub(crate) fn new() -> Self {
        Self(vec![0; MAX_DATAGRAM].into_boxed_slice())
    }

    pub(crate) fn bytes(&self, received: Received) -> &[u8] {
        &self.0[..received.length]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn port(max_waiting: usize) -> UdpPort {
        let socket = bind("127.0.0.1:0".parse().unwrap(), &UdpConfig::default()).unwrap();
        let port = UdpPort::new(socket, max_waiting).unwrap();
        // Until the runtime has seen the socket, everything sent waits.
        port.socket.writable().await.unwrap();
        port
    }

    #[tokio::test]
    async fn a_datagram_arrives_whole_with_its_source() {
        let (mut from, to) = (port(4).await, port(4).await);
        let sent = vec![7; 60_000];
        assert_eq!(from.send(to.local(), sent.clone()), Sent::Taken);
        std::future::poll_fn(|context| to.poll_ready(context)).await;
        let mut buffer = ReceiveBuffer::new();
        let received = to.receive(&mut buffer).unwrap().unwrap();
        assert_eq!(received.source, from.local());
        assert_eq!(buffer.bytes(received), sent);
        assert!(to.receive(&mut buffer).unwrap().is_none());
    }

    #[tokio::test]
    async fn what_waits_keeps_its_order_and_the_oldest_gives_way() {
        let (mut from, to) = (port(2).await, port(2).await);
        from.waiting.push_back((to.local(), vec![1]));
        assert_eq!(from.send(to.local(), vec![2]), Sent::Taken);
        assert_eq!(from.send(to.local(), vec![3]), Sent::PushedOut);
        assert_eq!(from.flush(), 0);
        let mut buffer = ReceiveBuffer::new();
        for expected in [2, 3] {
            std::future::poll_fn(|context| to.poll_ready(context)).await;
            let received = to.receive(&mut buffer).unwrap().unwrap();
            assert_eq!(buffer.bytes(received), [expected]);
        }
    }

    #[tokio::test]
    async fn what_the_kernel_refuses_is_said_and_not_kept() {
        let mut port = port(2).await;
        let nowhere = "127.0.0.1:9".parse().unwrap();
        assert_eq!(port.send(nowhere, vec![0; MAX_DATAGRAM + 1]), Sent::Refused);
        port.waiting.push_back((nowhere, vec![0; MAX_DATAGRAM + 1]));
        assert_eq!(port.flush(), 1);
        assert!(port.waiting.is_empty());
    }
}
