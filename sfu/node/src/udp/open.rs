//! Making the sockets: addresses, kernel buffers. Must not receive or send.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    os::fd::AsFd,
};

use rustix::net::sockopt;
use socket2::{Domain, Protocol, Socket, Type};

use crate::config::UdpConfig;

/// Binds a non-blocking socket; buffers smaller than wished are a warning only.
pub(crate) fn bind(address: SocketAddr, config: &UdpConfig) -> io::Result<UdpSocket> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::DGRAM,
        Some(Protocol::UDP),
    )?;
    if address.is_ipv6() {
        // IPv4 clients come to the IPv4 socket: each socket shows addresses of one family.
        socket.set_only_v6(true)?;
    }
    for buffer in [Buffer::Receive, Buffer::Send] {
        let wanted = match buffer {
            Buffer::Receive => config.receive_buffer_bytes,
            Buffer::Send => config.send_buffer_bytes,
        };
        let given = buffer.size(&socket, wanted)?;
        if given < wanted {
            let (buffer, sysctl) = (buffer.name(), buffer.sysctl());
            tracing::warn!(
                %address,
                buffer,
                wanted,
                given,
                "socket buffer is smaller than configured: raise {sysctl}, or give the process \
                 CAP_NET_ADMIN"
            );
        }
    }
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    Ok(socket.into())
}

/// One of the kernel's buffers of a socket.
#[derive(Debug, Clone, Copy)]
enum Buffer {
    Receive,
    Send,
}

impl Buffer {
    fn name(self) -> &'static str {
        match self {
            Self::Receive => "receive",
            Self::Send => "send",
        }
    }

    /// What caps it for a process without privileges.
    fn sysctl(self) -> &'static str {
        match self {
            Self::Receive => "net.core.rmem_max",
            Self::Send => "net.core.wmem_max",
        }
    }

    /// Asks for `wanted` bytes, past the cap where that is permitted; the bytes given.
    fn size(self, socket: impl AsFd, wanted: usize) -> io::Result<usize> {
        let socket = socket.as_fd();
        let forced = match self {
            Self::Receive => sockopt::set_socket_recv_buffer_size_force(socket, wanted),
            Self::Send => sockopt::set_socket_send_buffer_size_force(socket, wanted),
        };
        if forced.is_err() {
            // Cut down to the cap in silence.
            match self {
                Self::Receive => sockopt::set_socket_recv_buffer_size(socket, wanted)?,
                Self::Send => sockopt::set_socket_send_buffer_size(socket, wanted)?,
            }
        }
        let doubled = match self {
            Self::Receive => sockopt::socket_recv_buffer_size(socket)?,
            Self::Send => sockopt::socket_send_buffer_size(socket)?,
        };
        // Linux counts its own overhead in, and reports twice what was asked for.
        Ok(doubled / 2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_as_wanted_or_as_large_as_allowed() {
        let socket = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        for buffer in [Buffer::Receive, Buffer::Send] {
            assert_eq!(buffer.size(&socket, 100_000).unwrap(), 100_000);
            let path = format!("/proc/sys/{}", buffer.sysctl().replace('.', "/"));
            let cap: usize = std::fs::read_to_string(path)
                .unwrap()
                .trim()
                .parse()
                .unwrap();
            let given = buffer.size(&socket, cap + 4096).unwrap();
            assert!([cap, cap + 4096].contains(&given), "{buffer:?} {given}");
        }
    }
}
