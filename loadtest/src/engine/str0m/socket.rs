//! One UDP socket of a transport: batches in (recvmmsg, GRO), runs out (GSO).
//!
//! Owns how datagrams meet the kernel. Must not know what they carry.

use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use mio::net::UdpSocket;
use quinn_udp::{RecvMeta, Transmit, UdpSockRef, UdpSocketState};
use socket2::{Domain, Protocol, SockAddr, Socket as RawSocket, Type};

use crate::engine::EngineError;

/// Reads of one call. A subscriber's socket rarely holds more than a frame.
const READS: usize = 8;
/// Room of one read: the kernel hands over up to 64 datagrams at once, 64 KiB at most.
const READ_BYTES: usize = 65_536;
/// Bytes of one run: what a datagram may be before it is cut into segments.
const RUN_BYTES: usize = 60_000;
/// Kernel buffer to ask for: some hundred packets while we are busy with other sockets.
const KERNEL_BUFFER: usize = 1 << 20;

/// Buffers to read into, shared by all sockets of a thread.
pub(super) struct ReadBuffers {
    bytes: Vec<u8>,
    meta: [RecvMeta; READS],
}

impl ReadBuffers {
    pub(super) fn new() -> Self {
        Self {
            bytes: vec![0; READS * READ_BYTES],
            meta: [RecvMeta::default(); READS],
        }
    }
}

/// One socket and its unsent run.
pub(super) struct Socket {
    /// For registration with the event loop.
    pub(super) io: UdpSocket,
    state: UdpSocketState,
    run: Vec<u8>,
    run_to: Option<SocketAddr>,
    segment: usize,
    /// Segments in `run`.
    segments: usize,
    /// The last segment was shorter: nothing may follow it.
    closed: bool,
}

impl Socket {
    /// Opens a socket for packets to and from `local`'s network, and says where others reach it.
    pub(super) fn open(local: IpAddr) -> Result<(Self, SocketAddr), EngineError> {
        let failed = |error: io::Error| EngineError::Socket(error.to_string());
        // Not bound to `local`: the server's media may live on another of our networks.
        let (domain, any): (_, IpAddr) = match local {
            IpAddr::V4(_) => (Domain::IPV4, Ipv4Addr::UNSPECIFIED.into()),
            IpAddr::V6(_) => (Domain::IPV6, Ipv6Addr::UNSPECIFIED.into()),
        };
        let raw = RawSocket::new(domain, Type::DGRAM, Some(Protocol::UDP)).map_err(failed)?;
        raw.set_nonblocking(true).map_err(failed)?;
        // Smaller ones do: the system may have a limit.
        let _ = raw.set_recv_buffer_size(KERNEL_BUFFER);
        let _ = raw.set_send_buffer_size(KERNEL_BUFFER);
        raw.bind(&SockAddr::from(SocketAddr::new(any, 0)))
            .map_err(failed)?;
        let io = UdpSocket::from_std(raw.into());
        let state = UdpSocketState::new(UdpSockRef::from(&io)).map_err(failed)?;
        let port = io.local_addr().map_err(failed)?.port();
        let socket = Self {
            io,
            state,
            run: Vec::new(),
            run_to: None,
            segment: 0,
            segments: 0,
            closed: false,
        };
        Ok((socket, SocketAddr::new(local, port)))
    }

    /// Hands every datagram that waits to `on_datagram`: who sent it, when the kernel got it (Unix
    /// nanoseconds; 0 if it does not say), and its bytes.
    pub(super) fn receive(
        &mut self,
        buffers: &mut ReadBuffers,
        mut on_datagram: impl FnMut(SocketAddr, u64, &[u8]),
    ) -> io::Result<()> {
        loop {
            let mut chunks = buffers.bytes.chunks_exact_mut(READ_BYTES);
            let mut slices: [IoSliceMut<'_>; READS] =
                std::array::from_fn(|_| IoSliceMut::new(chunks.next().unwrap_or_default()));
            let read = self
                .state
                .recv(UdpSockRef::from(&self.io), &mut slices, &mut buffers.meta);
            let count = match read {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            for (meta, slice) in buffers.meta.iter().zip(&slices).take(count) {
                let received_ns = meta.timestamp.map_or(0, |at| at.as_nanos() as u64);
                let bytes = slice.get(..meta.len).unwrap_or_default();
                for datagram in bytes.chunks(meta.stride.max(1)) {
                    on_datagram(meta.addr, received_ns, datagram);
                }
            }
            // Fewer than asked for: the queue was empty, and what comes now wakes us again.
            if count < READS {
                return Ok(());
            }
        }
    }

    /// Sends a datagram, at the latest with the next [`Self::flush`].
    pub(super) fn send(&mut self, to: SocketAddr, bytes: &[u8]) {
        let fits = self.run_to == Some(to)
            && !self.closed
            && bytes.len() <= self.segment
            && self.segments < self.state.max_gso_segments()
            && self.run.len() + bytes.len() <= RUN_BYTES;
        if !fits {
            self.flush();
            self.run_to = Some(to);
            self.segment = bytes.len();
        }
        self.run.extend_from_slice(bytes);
        self.segments += 1;
        self.closed = bytes.len() < self.segment;
    }

    /// Sends what waits. A full kernel buffer, or nobody at the other end, loses it, as networks do.
    pub(super) fn flush(&mut self) {
        if let Some(destination) = self.run_to.take() {
            let transmit = Transmit {
                destination,
                ecn: None,
                contents: &self.run,
                segment_size: (self.segments > 1).then_some(self.segment),
                src_ip: None,
            };
            let _ = self.state.try_send(UdpSockRef::from(&self.io), &transmit);
        }
        self.run.clear();
        self.segments = 0;
        self.closed = false;
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[test]
    fn datagrams_keep_their_borders_through_runs_and_batches() {
        let local = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let (mut sender, _) = Socket::open(local).expect("socket");
        let (mut receiver, address) = Socket::open(local).expect("socket");
        let sizes = [1200, 1200, 1200, 700, 1200, 1201, 40, 40, 40, 1];
        for (index, size) in sizes.iter().enumerate() {
            sender.send(address, &vec![index as u8; *size]);
        }
        sender.flush();

        let mut buffers = ReadBuffers::new();
        let mut got = Vec::new();
        let deadline = Instant::now() + Duration::from_secs(5);
        while got.len() < sizes.len() && Instant::now() < deadline {
            receiver
                .receive(&mut buffers, |_, received_ns, bytes| {
                    got.push((bytes.len(), usize::from(bytes[0]), received_ns > 0));
                })
                .expect("received");
        }
        let sent: Vec<_> = sizes
            .iter()
            .enumerate()
            .map(|(at, size)| (*size, at, true))
            .collect();
        assert_eq!(got, sent);
    }
}
