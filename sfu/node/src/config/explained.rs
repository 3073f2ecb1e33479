//! The section `[node]` of a configuration file: what its keys mean. Must not hold keys, defaults or
//! checks: those stand beside the structure.

use plenum_service::config::{
    Explained, Given, Key, Mistakes, Setting, print_external, read_external,
};

use super::NodeConfig;

impl Setting for NodeConfig {
    const IS_TABLE: bool = true;

    fn read(&mut self, given: Given, key: &Key, mistakes: &mut Mistakes) {
        read_external(self, given, key, mistakes);
    }

    fn print(&self, key: &Key, about: &[&str], out: &mut String) {
        print_external(self, EXPLAINED, key, about, out);
    }
}

impl NodeConfig {
    /// Notes what [`validate`](Self::validate) finds, as mistakes of the section `[node]`.
    pub fn check(&self, mistakes: &mut Mistakes) {
        for problem in self.validate().err().unwrap_or_default() {
            mistakes.add(&Key::of("node").child(&problem.path), problem.problem);
        }
    }
}

const EXPLAINED: Explained = &[
    (
        "region",
        "Where the node stands, free text; shown to clients and operators.",
    ),
    (
        "workers",
        "Threads that carry media, each with a UDP port of its own; at most 36. 0: one for each core.",
    ),
    (
        "pin_workers",
        "Each worker keeps to one core. Worth it on machines that do nothing else.",
    ),
    (
        "auto_create",
        "Joining a room creates it. Off: only the API creates rooms.",
    ),
    (
        "remote_unmute",
        "The API may unmute tracks, not only mute them.",
    ),
    ("rooms", "Rooms that are large."),
    (
        "rooms.spread_participants",
        "Participants of one room on one worker, past which further ones go to another worker.",
    ),
    (
        "rooms.loudest_audio",
        "Microphones that are forwarded in a very large room, the loudest ones; 0: all. Sound of screens always \
         is, and so is a microphone to who subscribed to it by name or gave it a priority.",
    ),
    (
        "rooms.loudest_audio_from",
        "A room is very large when it has more published microphones than this.",
    ),
    (
        "discover",
        "Learning the addresses told to clients, where 0.0.0.0 or [::] is listened on and advertise says \
         nothing for its family. Off when neither given nor stun is set. A family for which no address is found \
         is not listened on.",
    ),
    (
        "discover.given",
        "Addresses of this machine, as whoever starts the process knows them (Kubernetes: status.hostIPs); one \
         of a family not listened on is passed over.",
    ),
    (
        "discover.stun",
        "STUN servers (\"stun.example.org:3478\"), asked in turn when nothing given will do.",
    ),
    (
        "discover.public_only",
        "Addresses of private networks will not do.",
    ),
    (
        "discover.timeout",
        "How long one STUN server may take to answer.",
    ),
    ("udp", "Media over UDP."),
    (
        "udp.listen",
        "Addresses of the first worker's sockets, most preferred first; the next worker takes the next \
         port. Port 0 takes any free one. Empty: no UDP.",
    ),
    (
        "udp.port_range",
        "So many ports, from the one of listen on, are tried for free ones, so that two nodes can share a \
         machine while one takes over from the other. 0: no looking.",
    ),
    (
        "udp.advertise",
        "Addresses told to clients instead (\"203.0.113.7\" or \"203.0.113.7:7882\"): behind a 1:1 NAT, or \
         when listening on 0.0.0.0 or [::]. One for each address listened on, by family.",
    ),
    (
        "udp.receive_buffer_bytes",
        "Kernel receive buffer of each socket. Without CAP_NET_ADMIN net.core.rmem_max caps it.",
    ),
    (
        "udp.send_buffer_bytes",
        "Kernel send buffer of each socket. Without CAP_NET_ADMIN net.core.wmem_max caps it.",
    ),
    (
        "udp.send_queue",
        "Datagrams waiting for a socket; past it the oldest is dropped.",
    ),
    ("tcp", "Media over TCP, for networks that block UDP."),
    (
        "tcp.listen",
        "Addresses to listen on, shared by all workers. Empty: no TCP.",
    ),
    (
        "tcp.port_range",
        "So many ports, from the one of listen on, are tried for a free one. 0: no looking.",
    ),
    (
        "tcp.advertise",
        "As for UDP; the port is the same for all workers.",
    ),
    ("tcp.max_connections", "Connections at once."),
    (
        "tcp.max_connections_per_source",
        "Connections at once from one IPv4 address or one IPv6 /64 network.",
    ),
    (
        "tcp.send_queue",
        "Frames waiting for a connection; past it frames are dropped.",
    ),
    (
        "tcp.first_frame_timeout",
        "How long a connection may take to its first frame.",
    ),
    (
        "tcp.idle_timeout",
        "How long a connection may stay silent, or take what is sent to it.",
    ),
    (
        "turn",
        "A relay (TURN) for clients whose network lets nothing else through. Off as long as nothing is \
         listened on. Relays are at the addresses of udp.",
    ),
    (
        "turn.udp",
        "Addresses to listen on over UDP, usually port 3478.",
    ),
    (
        "turn.tcp",
        "Addresses to listen on over TCP, usually port 3478.",
    ),
    (
        "turn.tls",
        "Addresses to listen on over TLS, usually port 443 or 5349; 443 gets through where nothing else does.",
    ),
    (
        "turn.certificate",
        "The certificate chain for TLS, a PEM file. Read again when it changes.",
    ),
    ("turn.key", "The key of the certificate, a PEM file."),
    (
        "turn.host",
        "Name or address under which clients reach what is listened on. Empty: the addresses themselves, or \
         those of udp.advertise. TLS needs the name in the certificate.",
    ),
    (
        "turn.urls",
        "URLs told to clients instead (\"turns:turn.example.org:443?transport=tcp\"), where ports differ or \
         something else ends TLS.",
    ),
    (
        "turn.secret",
        "Makes the credentials. Empty: a new one with each start. Set it when others hand out credentials.",
    ),
    (
        "turn.credential_ttl",
        "How long a credential opens a new relay. One that is open stays open.",
    ),
    (
        "turn.max_lifetime",
        "Longest life of one relay, with all its refreshes.",
    ),
    ("turn.max_allocations", "Relays at once."),
    (
        "turn.max_allocations_per_participant",
        "Relays at once of one participant.",
    ),
    (
        "turn.max_allocations_per_source",
        "Relays at once from one IPv4 address or one IPv6 /64 network.",
    ),
    (
        "turn.max_connections",
        "Connections over TCP and TLS at once.",
    ),
    (
        "turn.max_connections_per_source",
        "Of them, from one IPv4 address or one IPv6 /64 network.",
    ),
    (
        "turn.bytes_per_second",
        "Bytes per second of one relay, in each direction; the rest is dropped.",
    ),
    (
        "turn.denied_peers",
        "Networks that no relay may reach (\"198.51.100.0/24\"), besides all that is not public.",
    ),
    (
        "relay",
        "Rooms over several nodes: how the nodes of a cluster reach each other, over QUIC.",
    ),
    (
        "relay.listen",
        "Addresses on which other nodes reach this one, at most one IPv4 and one IPv6. Empty: this node serves \
         no room together with others.",
    ),
    (
        "relay.advertise",
        "Addresses told to other nodes instead (\"10.0.0.7\" or \"10.0.0.7:7890\"), as for UDP.",
    ),
    (
        "relay.secret",
        "What all nodes of the cluster share, at least 32 characters of chance (openssl rand -hex 32): whoever \
         holds it is taken for a node. Keys are derived from it. Empty: sfu takes cluster.secret.",
    ),
    ("relay.max_nodes", "Other nodes known at a time."),
    (
        "relay.max_copies",
        "Nodes to which this one sends the same track; those hand it on to the rest. 0: to all.",
    ),
    (
        "relay.idle_timeout",
        "A connection over which nothing comes for so long is lost.",
    ),
    (
        "relay.home_timeout",
        "How long participants here stay in a room whose home, another node, is lost, until a control plane has named \
         another home; then they join anew. 0s: at once.",
    ),
    (
        "relay.media_queue_bytes",
        "Media that waits for a connection; past it packets are dropped.",
    ),
    (
        "relay.control_queue_bytes",
        "Control messages that wait for a connection; past it the connection is given up.",
    ),
    (
        "ingress",
        "Media that comes in without WebRTC: encoders and tools that send plain RTP, and \
         cameras (RTSP). It is taken in by the API alone.",
    ),
    (
        "ingress.listen",
        "The address on which plain RTP is taken, one at most. Empty: none is.",
    ),
    (
        "ingress.advertise",
        "The address told to senders instead, one at most.",
    ),
    (
        "ingress.first_port",
        "The first UDP port for plain RTP; each medium takes one, and the next for RTCP. 0: any that are free.",
    ),
    (
        "ingress.ports",
        "How many ports there are from the first on. With first_port = 0 they are counted only.",
    ),
    (
        "ingress.allowed_targets",
        "Networks (\"192.168.7.0/24\") in which cameras may be reached over RTSP, besides what is public; on a node \
         whose media is bound to loopback its own machine, too.",
    ),
    ("ingress.max_sources", "Sources at a time."),
    (
        "ingress.idle_timeout",
        "A source of which nothing comes for so long is given up: its participant leaves.",
    ),
    (
        "egress",
        "Media that goes out without WebRTC, as plain RTP. It is asked for by the API alone.",
    ),
    (
        "egress.allowed_targets",
        "Networks (\"192.168.7.0/24\") to which plain RTP may be sent; on a node whose media is bound to loopback its \
         own machine, too. Nothing else is: whoever may ask for it could flood others with it.",
    ),
    ("egress.max_sinks", "Sinks at a time."),
    ("timeouts", "How long things may take or last."),
    (
        "timeouts.join",
        "How long a control connection may take to its join.",
    ),
    (
        "timeouts.resume_window",
        "How long a participant is kept when its signalling broke off.",
    ),
    (
        "timeouts.connect",
        "How long a client may take to connect its media.",
    ),
    (
        "timeouts.direct",
        "How long the two of a direct call may take to connect to each other.",
    ),
    (
        "timeouts.empty_room",
        "Life of a room nobody ever joined, unless the room says otherwise.",
    ),
    (
        "timeouts.departure",
        "Life of a room after the last participant left, likewise.",
    ),
    (
        "timeouts.drain",
        "Over which a node that is drained sends its rooms to other nodes, one after the other, and its participants of rooms elsewhere.",
    ),
    (
        "events",
        "What is kept of room events for readers that come back.",
    ),
    (
        "events.keep",
        "Events kept; a reader further behind is told to start anew.",
    ),
    ("events.keep_bytes", "Bytes of events kept."),
    (
        "limits",
        "Caps of what clients and callers can make grow, each of one worker. Past a cap a request is \
         refused by the cap's name, and a packet is dropped and counted.",
    ),
    ("limits.rooms", "Rooms."),
    (
        "limits.participants_per_room",
        "Participants of one room, unless the room allows fewer.",
    ),
    ("limits.participants", "Participants."),
    (
        "limits.pending_participants",
        "Participants that have not connected their media yet.",
    ),
    ("limits.sdp_bytes", "Bytes of one session description."),
    (
        "limits.sdp_sections",
        "Sections (m=) of one session description.",
    ),
    (
        "limits.candidates",
        "Candidates accepted from one client between restarts.",
    ),
    (
        "limits.direct_signal_bytes",
        "Bytes of one session description or candidate between the two of a direct call.",
    ),
    (
        "limits.tracks_per_participant",
        "Tracks one participant may publish.",
    ),
    (
        "limits.forwards_per_participant",
        "Other rooms one participant may be forwarded to: a packet of it is handed on in each.",
    ),
    (
        "limits.encodings_per_track",
        "Encodings (RTP streams) of one track in one codec.",
    ),
    (
        "limits.ssrcs_per_participant",
        "Distinct SSRCs one publisher may show.",
    ),
    (
        "limits.subscriptions_per_participant",
        "Subscriptions of one participant.",
    ),
    (
        "limits.data_channels",
        "Data channels one client may open; may be 0.",
    ),
    ("limits.data_message_bytes", "Bytes of one data message."),
    (
        "limits.data_buffer_bytes",
        "Bytes that wait for one participant in its transport, and again as many reliable ones before it: past that \
         they are dropped, and one that takes nothing for ten seconds has to reconnect.",
    ),
    (
        "limits.data_lossy_buffer_bytes",
        "Bytes of lossy messages that wait for one participant: past it, further ones are dropped.",
    ),
    ("limits.name_bytes", "Bytes of names and identities."),
    (
        "limits.metadata_bytes",
        "Bytes of the metadata of a room or participant; may be 0.",
    ),
    (
        "limits.attributes_bytes",
        "Bytes of all attributes of a participant; may be 0.",
    ),
    (
        "limits.requests_per_second",
        "Requests of one client per second, over ten seconds.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_of_the_node_is_explained_and_nothing_else() {
        let mut keys = plenum_service::config::paths(&NodeConfig::default());
        let mut explained: Vec<String> = EXPLAINED
            .iter()
            .map(|(path, _)| (*path).to_owned())
            .collect();
        keys.sort();
        explained.sort();
        assert_eq!(keys, explained);
    }
}
