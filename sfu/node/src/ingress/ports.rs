//! UDP ports for plain RTP: bounded in number and place. Must not read from them.

use std::{
    io,
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use tokio::net::UdpSocket;

use super::sdp::MEDIA_MAX;
use crate::config::IngressConfig;

/// Which ports there are, and which are in use.
#[derive(Debug)]
pub(super) struct Ports {
    address: IpAddr,
    first: u16,
    count: usize,
    used: Mutex<usize>,
}

/// Why there are no ports.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PortProblem {
    #[error("all {0} ports for plain RTP are in use")]
    Full(usize),
    #[error("port {0} is none that the node may use: from {1} to {2}")]
    Outside(u16, u32, u32),
    #[error("port {0} cannot be used")]
    Taken(u16, #[source] io::Error),
    #[error("no port can be opened")]
    System(#[source] io::Error),
}

/// The sockets of one medium.
#[derive(Debug)]
pub(super) struct Pair {
    pub(super) rtp: Arc<UdpSocket>,
    /// The same where RTCP comes to the same port.
    pub(super) rtcp: Arc<UdpSocket>,
    _held: Held,
}

impl Pair {
    /// For RTP and RTCP.
    pub(super) fn ports(&self) -> io::Result<(u16, u16)> {
        let port = |socket: &UdpSocket| socket.local_addr().map(|local| local.port());
        Ok((port(&self.rtp)?, port(&self.rtcp)?))
    }
}

/// Ports that are counted as used.
#[derive(Debug)]
struct Held {
    ports: Arc<Ports>,
    count: usize,
}

impl Drop for Held {
    fn drop(&mut self) {
        *self
            .ports
            .used
            .lock()
            .unwrap_or_else(PoisonError::into_inner) -= self.count;
    }
}

impl Ports {
    /// Those of the settings; `None` where plain RTP is not taken.
    pub(super) fn new(config: &IngressConfig) -> Option<Arc<Self>> {
        let address = *config.listen.first()?;
        Some(Arc::new(Self {
            address,
            first: config.first_port,
            count: usize::from(config.ports),
            used: Mutex::new(0),
        }))
    }

    /// Free ones of an address, for one camera that is asked to send to them.
    pub(super) fn free(address: IpAddr) -> Arc<Self> {
        Arc::new(Self {
            address,
            first: 0,
            count: MEDIA_MAX * 2,
            used: Mutex::new(0),
        })
    }

    /// Whether they are reached by an address of ours.
    pub(super) fn serves(&self, address: IpAddr) -> bool {
        let is_family = self.address.is_ipv4() == address.is_ipv4();
        self.address == address || (self.address.is_unspecified() && is_family)
    }

    fn hold(self: &Arc<Self>, count: usize) -> Result<Held, PortProblem> {
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        if *used + count > self.count {
            return Err(PortProblem::Full(self.count));
        }
        *used += count;
        Ok(Held {
            ports: Arc::clone(self),
            count,
        })
    }

    /// Opens these ports; RTCP comes to the same one where they are equal.
    pub(super) fn open(self: &Arc<Self>, rtp: u16, rtcp: u16) -> Result<Pair, PortProblem> {
        let last = u32::from(self.first) + self.count as u32;
        for port in [rtp, rtcp] {
            if self.first != 0 && !(u32::from(self.first)..last).contains(&port.into()) {
                return Err(PortProblem::Outside(port, self.first.into(), last - 1));
            }
        }
        let held = self.hold(if rtp == rtcp { 1 } else { 2 })?;
        let bind = |port| {
            self.bind(port)
                .map_err(|error| PortProblem::Taken(port, error))
        };
        let socket = bind(rtp)?;
        Ok(Pair {
            rtcp: if rtp == rtcp {
                Arc::clone(&socket)
            } else {
                bind(rtcp)?
            },
            rtp: socket,
            _held: held,
        })
    }

    /// Opens free ports: an even one and the next (RFC 3550 section 11), or one for both.
    pub(super) fn open_any(self: &Arc<Self>, is_muxed: bool) -> Result<Pair, PortProblem> {
        let held = self.hold(if is_muxed { 1 } else { 2 })?;
        let mut last = None;
        for port in self.candidates() {
            let opened = self.bind(port).and_then(|rtp| {
                let port = rtp.local_addr()?.port();
                let rtcp = match is_muxed {
                    true => Arc::clone(&rtp),
                    false if port % 2 == 1 => return Err(io::ErrorKind::AddrInUse.into()),
                    false => self.bind(port + 1)?,
                };
                Ok((rtp, rtcp))
            });
            match opened {
                Ok((rtp, rtcp)) => {
                    return Ok(Pair {
                        rtp,
                        rtcp,
                        _held: held,
                    });
                }
                Err(error) => last = Some(error),
            }
        }
        Err(last.map_or(PortProblem::Full(self.count), PortProblem::System))
    }

    fn candidates(&self) -> Box<dyn Iterator<Item = u16>> {
        /// How often the system is asked for a port behind which another one is free.
        const TRIES: usize = 64;
        match self.first {
            0 => Box::new(std::iter::repeat_n(0, TRIES)),
            first => {
                let first = u32::from(first).next_multiple_of(2);
                let last = u32::from(self.first) + self.count as u32;
                let even = (first..last.saturating_sub(1)).step_by(2);
                Box::new(even.filter_map(|port| u16::try_from(port).ok()))
            }
        }
    }

    fn bind(&self, port: u16) -> io::Result<Arc<UdpSocket>> {
        let socket = std::net::UdpSocket::bind(SocketAddr::new(self.address, port))?;
        socket.set_nonblocking(true)?;
        UdpSocket::from_std(socket).map(Arc::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ports(count: u16) -> Arc<Ports> {
        let config = IngressConfig {
            first_port: 0,
            ports: count,
            ..IngressConfig::default()
        };
        Ports::new(&config).unwrap()
    }

    #[tokio::test]
    async fn ports_are_given_back_and_never_more_than_there_are() {
        let ports = ports(3);
        let pair = ports.open_any(false).unwrap();
        let (rtp, rtcp) = pair.ports().unwrap();
        assert_eq!((rtcp, rtp % 2), (rtp + 1, 0));
        let single = ports.open_any(true).unwrap();
        let (rtp, rtcp) = single.ports().unwrap();
        assert_eq!(rtcp, rtp);
        assert!(matches!(ports.open_any(true), Err(PortProblem::Full(3))));
        drop(pair);
        assert!(ports.open_any(false).is_ok());
    }

    #[tokio::test]
    async fn only_ports_of_the_settings_are_opened() {
        let config = IngressConfig {
            first_port: 40_000,
            ports: 10,
            ..IngressConfig::default()
        };
        let ports = Ports::new(&config).unwrap();
        for (rtp, rtcp) in [
            (39_999, 40_000),
            (40_010, 40_010),
            (40_009, 40_010),
            (22, 23),
        ] {
            let refused = ports.open(rtp, rtcp);
            assert!(
                matches!(refused, Err(PortProblem::Outside(_, 40_000, 40_009))),
                "{rtp}"
            );
        }
        assert_eq!(*ports.used.lock().unwrap(), 0);
    }
}
