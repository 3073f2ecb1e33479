//! From settings to bound sockets and the candidates of each worker.
//!
//! Owns which port belongs to which worker and what clients are told of it. Must not receive or send.

use std::{
    io,
    net::{SocketAddr, UdpSocket},
};

use plenum_proto::ids::NodeId;
use plenum_service::serve::first_free;
use sfu_core::{CandidateAddress, Certificate, CoreConfig, Protocol};
use tokio::net::TcpListener;

use crate::{
    config::{Advertise, NodeConfig},
    tcp, udp,
};

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {protocol} {address}")]
pub struct BindError {
    /// "UDP" or "TCP".
    pub protocol: &'static str,
    /// As configured, with the worker's port; with a range, where it begins.
    pub address: SocketAddr,
    /// What the system says.
    pub source: io::Error,
}

/// All sockets of a node.
pub(crate) struct Bound {
    pub(crate) workers: Vec<BoundWorker>,
    pub(crate) listeners: Vec<BoundListener>,
}

/// The sockets of one worker.
pub(crate) struct BoundWorker {
    pub(crate) sockets: Vec<UdpSocket>,
    /// The worker's own UDP addresses, then the TCP addresses it shares.
    pub(crate) candidates: Vec<CandidateAddress>,
    udp: Vec<SocketAddr>,
}

/// A TCP listener.
pub(crate) struct BoundListener {
    pub(crate) listener: TcpListener,
    pub(crate) local: SocketAddr,
}

impl BoundWorker {
    pub(crate) fn udp_addresses(&self) -> Vec<SocketAddr> {
        self.udp.clone()
    }

    /// Its UDP addresses as clients know them.
    pub(crate) fn stun_addresses(&self) -> Vec<SocketAddr> {
        self.candidates
            .iter()
            .filter(|candidate| candidate.protocol == Protocol::Udp)
            .map(|candidate| candidate.advertised)
            .collect()
    }
}

/// Binds everything; needs a tokio runtime.
pub(crate) fn bind(config: &NodeConfig) -> Result<Bound, BindError> {
    let mut listeners = Vec::new();
    let mut tcp_candidates = Vec::new();
    for &address in &config.tcp.listen {
        let error = |source| BindError {
            protocol: "TCP",
            address,
            source,
        };
        let listener = first_free(address, config.tcp.port_range, tcp::bind)
            .and_then(TcpListener::from_std)
            .map_err(error)?;
        let local = listener.local_addr().map_err(error)?;
        tcp_candidates.extend(candidates(Protocol::Tcp, local, &config.tcp.advertise, 0));
        listeners.push(BoundListener { listener, local });
    }
    let mut workers = Vec::new();
    for offset in (0..u16::MAX).take(config.worker_count()) {
        let mut worker = BoundWorker {
            sockets: Vec::new(),
            candidates: Vec::new(),
            udp: Vec::new(),
        };
        for &listen in &config.udp.listen {
            let mut address = listen;
            let range = config.udp.port_range;
            // In a range each worker takes what those before it left.
            if listen.port() != 0 && range == 0 {
                address.set_port(listen.port().saturating_add(offset));
            }
            let error = |source| BindError {
                protocol: "UDP",
                address,
                source,
            };
            let socket = first_free(address, range, |address| udp::bind(address, &config.udp))
                .map_err(error)?;
            let local = socket.local_addr().map_err(error)?;
            let told = candidates(Protocol::Udp, local, &config.udp.advertise, offset);
            worker.candidates.extend(told);
            worker.udp.push(local);
            worker.sockets.push(socket);
        }
        worker.candidates.extend(&tcp_candidates);
        workers.push(worker);
    }
    Ok(Bound { workers, listeners })
}

/// What clients are told of a socket.
fn candidates(
    protocol: Protocol,
    local: SocketAddr,
    advertise: &[Advertise],
    offset: u16,
) -> Vec<CandidateAddress> {
    told(local, advertise, offset)
        .into_iter()
        .map(|advertised| CandidateAddress {
            protocol,
            local,
            advertised,
        })
        .collect()
}

/// What others are told of a socket: what is advertised for its family, or else its own address.
pub(crate) fn told(local: SocketAddr, advertise: &[Advertise], offset: u16) -> Vec<SocketAddr> {
    let mut told: Vec<_> = advertise
        .iter()
        .filter(|advertise| advertise.ip.is_ipv4() == local.is_ipv4())
        .map(|advertise| advertise.address(local, offset))
        .collect();
    if told.is_empty() {
        told.push(local);
    }
    told
}

impl NodeConfig {
    /// The settings of a worker's core.
    pub(crate) fn core(
        &self,
        node: &NodeId,
        worker: u8,
        candidates: Vec<CandidateAddress>,
        certificate: Certificate,
    ) -> CoreConfig {
        let mut core = CoreConfig::new(candidates, certificate);
        core.node_id = node.into();
        core.worker = worker;
        core.node = node.number();
        core.relay_copies = self.relay.max_copies;
        core.region.clone_from(&self.region);
        core.limits = (&self.limits).into();
        if !self.relay.listen.is_empty() {
            core.rehome_timeout = self.relay.home_timeout;
        }
        core.resume_window = self.timeouts.resume_window;
        core.connect_timeout = self.timeouts.connect;
        core.direct_timeout = self.timeouts.direct;
        core.empty_timeout = self.timeouts.empty_room;
        core.departure_timeout = self.timeouts.departure;
        core.loudest_audio = self.rooms.loudest_audio;
        core.loudest_audio_from = self.rooms.loudest_audio_from;
        core.auto_create = self.auto_create;
        core.remote_unmute = self.remote_unmute;
        core
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn any_port() -> NodeConfig {
        let mut config = NodeConfig {
            workers: 2,
            ..NodeConfig::default()
        };
        config.udp.listen = vec!["127.0.0.1:0".parse().unwrap()];
        config.tcp.listen = vec!["127.0.0.1:0".parse().unwrap()];
        config
    }

    #[tokio::test]
    async fn candidates_carry_the_ports_that_were_bound() {
        let bound = bind(&any_port()).unwrap();
        let tcp = bound.listeners[0].local;
        for worker in &bound.workers {
            let own = worker.udp_addresses()[0];
            let told: Vec<_> = worker
                .candidates
                .iter()
                .map(|c| (c.protocol, c.local, c.advertised))
                .collect();
            assert_ne!(own.port(), 0);
            assert_eq!(told, [(Protocol::Udp, own, own), (Protocol::Tcp, tcp, tcp)]);
        }
        assert_ne!(
            bound.workers[0].udp_addresses(),
            bound.workers[1].udp_addresses()
        );
    }

    #[tokio::test]
    async fn what_is_advertised_stands_for_what_is_listened_on() {
        let mut config = any_port();
        config.udp.listen = vec!["0.0.0.0:0".parse().unwrap()];
        config.udp.advertise = ["203.0.113.7", "203.0.113.8:40000"]
            .map(|a| a.parse().unwrap())
            .to_vec();
        let bound = bind(&config).unwrap();
        let worker = &bound.workers[1];
        let local = worker.udp_addresses()[0];
        let told: Vec<_> = worker.candidates[..2]
            .iter()
            .map(|c| (c.local, c.advertised.to_string()))
            .collect();
        let own_port = format!("203.0.113.7:{}", local.port());
        assert_eq!(
            told,
            [(local, own_port), (local, "203.0.113.8:40001".to_owned())]
        );
    }

    #[tokio::test]
    async fn an_address_in_use_is_named() {
        let taken = UdpSocket::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let _holder = UdpSocket::bind(taken).unwrap();
        let mut config = any_port();
        config.udp.listen = vec![taken];
        config.workers = 1;
        let error = bind(&config).err().unwrap();
        assert_eq!((error.protocol, error.address), ("UDP", taken));
    }

    #[tokio::test]
    async fn a_node_that_takes_over_finds_the_ports_the_old_one_left() {
        // On an address of its own, so that nobody else is after the ports; they are lower than those
        // that are given out by the system.
        const FIRST: u16 = 21_000;
        let own = std::net::Ipv4Addr::from_bits(rand::random_range(0x7F01_0000..0x7FFF_0000));
        let mut config = any_port();
        config.udp.listen = vec![SocketAddr::from((own, FIRST))];
        config.tcp.listen = config.udp.listen.clone();
        config.udp.port_range = 5;
        config.tcp.port_range = 2;
        let ports = |bound: &Bound| {
            let udp = bound.workers.iter().map(|w| w.udp_addresses()[0].port());
            let tcp = bound.listeners[0].local.port();
            (udp.collect::<Vec<_>>(), tcp)
        };
        let old = bind(&config).unwrap();
        assert_eq!(ports(&old), (vec![FIRST, FIRST + 1], FIRST));
        let new = bind(&config).unwrap();
        assert_eq!(ports(&new), (vec![FIRST + 2, FIRST + 3], FIRST + 1));
        let told = new.workers[1]
            .candidates
            .iter()
            .map(|c| c.advertised.port());
        assert_eq!(told.collect::<Vec<_>>(), [FIRST + 3, FIRST + 1]);
        // One port is left, of UDP only: a third node has no place.
        let error = bind(&config).err().unwrap();
        assert_eq!((error.protocol, error.address.port()), ("TCP", FIRST));
        drop(old);
        assert_eq!(
            ports(&bind(&config).unwrap()),
            (vec![FIRST, FIRST + 1], FIRST)
        );
    }
}
