//! Settings of a shard. Owns their defaults; the node maps its configuration file to this.

use std::{net::SocketAddr, time::Duration};

use crate::{Limits, Protocol, session::Certificate};

/// An address under which clients reach this shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CandidateAddress {
    /// UDP or TCP.
    pub protocol: Protocol,
    /// What the socket is bound to; datagrams carry it as source or destination.
    pub local: SocketAddr,
    /// What clients are told; differs from `local` behind a 1:1 NAT.
    pub advertised: SocketAddr,
}

/// Settings of a shard.
#[derive(Debug, Clone)]
pub struct CoreConfig {
    /// Names the node to clients and operators.
    pub node_id: String,
    /// Region of the node, free text.
    pub region: String,
    /// Where clients reach this shard, most preferred first; at least one.
    pub candidates: Vec<CandidateAddress>,
    /// The DTLS certificate of all sessions.
    pub certificate: Certificate,
    /// Caps of everything a client can make grow.
    pub limits: Limits,
    /// How long a stay outlives its control connection.
    pub resume_window: Duration,
    /// How long a client may take from join to a connected transport once it has one to connect.
    pub connect_timeout: Duration,
    /// How long two participants of a direct call may take to connect to each other, before they are told to
    /// join again.
    pub direct_timeout: Duration,
    /// Life of a room nobody ever joined, unless the room says otherwise.
    pub empty_timeout: Duration,
    /// Life of a room after the last participant left, unless the room says otherwise.
    pub departure_timeout: Duration,
    /// How long a join waits for the home of its room, where that is another shard.
    pub attach_timeout: Duration,
    /// How long a room goes on without its home, until somebody names another
    /// ([`Command::Rehome`](crate::Command::Rehome)); zero = not at all.
    pub rehome_timeout: Duration,
    /// Microphones that are forwarded in a very large room, the loudest ones; 0 = all. Sound of screens is
    /// forwarded always, and so is a microphone to who pinned it: subscribed to it by name, or gave it a
    /// priority.
    pub loudest_audio: usize,
    /// A room is very large when it has more published microphones than this.
    pub loudest_audio_from: usize,
    /// How old the newest keyframe of an encoding may be to be sent to a new subscriber with all that followed
    /// it, in place of a new one; zero for never.
    pub keyframe_replay: Duration,
    /// A join creates the room when it does not exist.
    pub auto_create: bool,
    /// The API may unmute tracks, not only mute them.
    pub remote_unmute: bool,
    /// Index of the worker on its node, below 36; begins the ICE user name of every session.
    pub worker: u8,
    /// The number of the node, as in [`LinkKey`](crate::LinkKey).
    pub node: u64,
    /// Other nodes to which a shard sends the same track; those hand it on to the rest. 0 = to all.
    pub relay_copies: usize,
    /// A panic inside one session ends that session; off, it passes on (tests and simulation).
    pub contain_faults: bool,
    /// What handshakes draw is the same in each run, as for when they try again: for a simulated world alone, where
    /// it makes a run repeat. On, their randoms can be foreseen, so that the node never sets it; keys cannot either
    /// way.
    pub repeats_handshakes: bool,
}

impl CoreConfig {
    /// Defaults around what has none.
    pub fn new(candidates: Vec<CandidateAddress>, certificate: Certificate) -> Self {
        Self {
            node_id: "ND_local".into(),
            region: String::new(),
            candidates,
            certificate,
            limits: Limits::default(),
            resume_window: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(30),
            direct_timeout: Duration::from_secs(10),
            empty_timeout: Duration::from_secs(300),
            departure_timeout: Duration::from_secs(20),
            attach_timeout: Duration::from_secs(5),
            rehome_timeout: Duration::ZERO,
            loudest_audio: 10,
            loudest_audio_from: 50,
            keyframe_replay: Duration::from_millis(1_500),
            auto_create: true,
            remote_unmute: false,
            worker: 0,
            node: 0,
            relay_copies: 4,
            contain_faults: true,
            repeats_handshakes: false,
        }
    }
}
