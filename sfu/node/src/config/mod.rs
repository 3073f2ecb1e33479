//! Settings of the media node, as they stand in the `[node]` table of a configuration file.
//!
//! Owns the keys, their defaults and their checks. Must not open a socket or read a file. The
//! defaults are a development set-up: everything on loopback.

mod advertise;
mod discover;
mod egress;
mod explained;
mod ingress;
mod limits;
mod network;
mod relay;
mod turn;
mod validate;

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    time::Duration,
};

use serde::{Deserialize, Serialize};

pub use advertise::Advertise;
pub use discover::{DiscoverConfig, StunServer};
pub use egress::EgressConfig;
pub use ingress::IngressConfig;
pub use limits::LimitsConfig;
pub use network::{InvalidNetwork, Network};
pub use relay::RelayConfig;
pub use turn::{SharedSecret, TurnConfig};
pub use validate::ConfigProblem;

use crate::worker::available_cores;

/// Most workers of a node: ICE user fragments name theirs by one character in base 36.
pub const MAX_WORKERS: usize = 36;

/// Settings of a media node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NodeConfig {
    /// Where the node stands, free text; shown to clients and operators.
    pub region: String,
    /// Threads that carry media, each with a UDP port of its own; at most 36. 0 is one for each core
    /// the process may use.
    pub workers: usize,
    /// Each worker keeps to one core. Worth it on machines that do nothing else.
    pub pin_workers: bool,
    /// Joining a room creates it. Off: only the API creates rooms.
    pub auto_create: bool,
    /// The API may unmute tracks, not only mute them.
    pub remote_unmute: bool,
    /// Rooms that are large.
    pub rooms: RoomsConfig,
    /// Learning the addresses told to clients.
    pub discover: DiscoverConfig,
    /// Media over UDP.
    pub udp: UdpConfig,
    /// Media over TCP, for networks that block UDP (RFC 6544).
    pub tcp: TcpConfig,
    /// A relay for clients whose network lets nothing else through.
    pub turn: TurnConfig,
    /// Rooms over several nodes.
    pub relay: RelayConfig,
    /// Media that comes in without WebRTC.
    pub ingress: IngressConfig,
    /// Media that goes out without WebRTC.
    pub egress: EgressConfig,
    /// How long things may take or last.
    pub timeouts: TimeoutsConfig,
    /// What is kept of room events for readers that come back.
    pub events: EventsConfig,
    /// Caps of what clients and callers can make grow, each of one worker.
    pub limits: LimitsConfig,
}

/// Rooms that are large.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RoomsConfig {
    /// Participants of one room on one worker, past which further ones go to another worker; the same
    /// difference in load between workers sends them there, too.
    pub spread_participants: usize,
    /// Microphones that are forwarded in a very large room, the loudest ones; 0 = all. Sound of screens
    /// always is, and so is a microphone to who pinned it: subscribed to it by name, or gave it a
    /// priority.
    pub loudest_audio: usize,
    /// A room is very large when it has more published microphones than this.
    pub loudest_audio_from: usize,
}

/// Media over UDP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UdpConfig {
    /// Addresses of the first worker's sockets, most preferred first; worker `i` takes the port `i`
    /// higher. Port 0 takes any free port for each worker. Empty = no UDP.
    pub listen: Vec<SocketAddr>,
    /// Ports that free ones are looked for in, the one of `listen` the first, so that two nodes can
    /// share a machine while one takes over from the other. 0 = no looking.
    pub port_range: u16,
    /// Addresses told to clients instead of those listened on, `"ip"` or `"ip:port"`: behind a 1:1
    /// NAT, or when `listen` is unspecified (`0.0.0.0`, `::`). They go with the one `listen`
    /// address of their family. A port is the first worker's, as in `listen`; without one it is the
    /// port listened on.
    pub advertise: Vec<Advertise>,
    /// Bytes of the kernel's receive buffer of each socket (`SO_RCVBUFFORCE`; without the privilege
    /// for it, at most `net.core.rmem_max`).
    pub receive_buffer_bytes: usize,
    /// Bytes of the kernel's send buffer of each socket (`SO_SNDBUFFORCE`; without the privilege for
    /// it, at most `net.core.wmem_max`).
    pub send_buffer_bytes: usize,
    /// Datagrams that wait for each socket when the kernel takes no more; past it the oldest goes.
    pub send_queue: usize,
}

/// Media over TCP (RFC 6544, the node passive; frames of RFC 4571).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TcpConfig {
    /// Addresses to listen on, shared by all workers. Empty = no TCP.
    pub listen: Vec<SocketAddr>,
    /// Ports that a free one is looked for in, the one of `listen` the first. 0 = no looking.
    pub port_range: u16,
    /// Addresses told to clients instead of those listened on; as for UDP, but the port is the
    /// same for all workers.
    pub advertise: Vec<Advertise>,
    /// Connections at a time.
    pub max_connections: usize,
    /// Connections at a time from one IPv4 address, or one IPv6 /64 network.
    pub max_connections_per_source: usize,
    /// Frames that wait for a connection to take them; past it frames are dropped.
    pub send_queue: usize,
    /// How long a connection may take to its first frame.
    #[serde(with = "crate::duration")]
    pub first_frame_timeout: Duration,
    /// How long a connection may take from one frame to the next, or to take what is sent to it.
    #[serde(with = "crate::duration")]
    pub idle_timeout: Duration,
}

/// How long things may take or last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TimeoutsConfig {
    /// How long a control connection may take to its `join`.
    #[serde(with = "crate::duration")]
    pub join: Duration,
    /// How long a stay outlives its control connection.
    #[serde(with = "crate::duration")]
    pub resume_window: Duration,
    /// How long a client may take to connect a transport.
    #[serde(with = "crate::duration")]
    pub connect: Duration,
    /// How long the two of a direct call may take to connect to each other, before the node takes over.
    #[serde(with = "crate::duration")]
    pub direct: Duration,
    /// Life of a room nobody ever joined, unless the room says otherwise.
    #[serde(with = "crate::duration")]
    pub empty_room: Duration,
    /// Life of a room after the last participant left, unless the room says otherwise.
    #[serde(with = "crate::duration")]
    pub departure: Duration,
    /// Over which a node that is drained sends its rooms to other nodes.
    #[serde(with = "crate::duration")]
    pub drain: Duration,
}

/// What is kept of room events for readers that come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventsConfig {
    /// Events kept; a reader further behind is told to start anew.
    pub keep: usize,
    /// Bytes of events kept, as encoded; the newest event always is.
    pub keep_bytes: usize,
}

impl NodeConfig {
    /// Threads that carry media, as many as there are cores when the setting leaves it open.
    pub fn worker_count(&self) -> usize {
        match self.workers {
            0 => available_cores().clamp(1, MAX_WORKERS),
            workers => workers,
        }
    }
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            region: String::new(),
            workers: 0,
            pin_workers: false,
            auto_create: true,
            remote_unmute: false,
            rooms: RoomsConfig::default(),
            discover: DiscoverConfig::default(),
            udp: UdpConfig::default(),
            tcp: TcpConfig::default(),
            turn: TurnConfig::default(),
            relay: RelayConfig::default(),
            ingress: IngressConfig::default(),
            egress: EgressConfig::default(),
            timeouts: TimeoutsConfig::default(),
            events: EventsConfig::default(),
            limits: LimitsConfig::default(),
        }
    }
}

impl Default for RoomsConfig {
    fn default() -> Self {
        Self {
            spread_participants: 300,
            loudest_audio: 10,
            loudest_audio_from: 50,
        }
    }
}

impl Default for UdpConfig {
    fn default() -> Self {
        Self {
            listen: vec![loopback(7882)],
            port_range: 0,
            advertise: Vec::new(),
            receive_buffer_bytes: 8 * 1024 * 1024,
            send_buffer_bytes: 4 * 1024 * 1024,
            send_queue: 4096,
        }
    }
}

impl Default for TcpConfig {
    fn default() -> Self {
        Self {
            listen: vec![loopback(7881)],
            port_range: 0,
            advertise: Vec::new(),
            max_connections: 4096,
            max_connections_per_source: 256,
            send_queue: 512,
            first_frame_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
        }
    }
}

impl Default for TimeoutsConfig {
    fn default() -> Self {
        Self {
            join: Duration::from_secs(10),
            resume_window: Duration::from_secs(30),
            connect: Duration::from_secs(30),
            direct: Duration::from_secs(10),
            empty_room: Duration::from_secs(300),
            departure: Duration::from_secs(20),
            drain: Duration::from_secs(30),
        }
    }
}

impl Default for EventsConfig {
    fn default() -> Self {
        Self {
            keep: 10_000,
            keep_bytes: 64 * 1024 * 1024,
        }
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port)
}
