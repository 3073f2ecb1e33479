//! The list of metrics, by name. Must hold nothing else.

use std::time::Duration;

use super::{Metric, MetricKind, Read};
use crate::stats::NodeStats;

pub(super) const METRICS: &[Metric] = &[
    counter(
        "plenum.node.bindings",
        "{request}",
        "Plain binding requests (STUN) answered.",
        |s| s.worker.core.bindings_answered,
    ),
    gauge(
        "plenum.node.controls",
        "{connection}",
        "Control connections.",
        |s| s.worker.controls,
    ),
    counter(
        "plenum.node.controls.overflowed",
        "{connection}",
        "Control connections given up because their events were not read in time.",
        |s| s.worker.controls_overflowed,
    ),
    counter(
        "plenum.node.data_messages",
        "{message}",
        "Data messages delivered.",
        |s| s.worker.core.data_messages,
    ),
    by_reason(
        "plenum.node.drops",
        "{packet}",
        "Packets and data messages that went no further.",
        Read::Drops,
    ),
    gauge(
        "plenum.node.event_watchers",
        "{connection}",
        "Readers of room events.",
        |s| s.event_watchers,
    ),
    counter(
        "plenum.node.faults",
        "{session}",
        "Sessions ended by a fault inside.",
        |s| s.worker.core.faults,
    ),
    counter("plenum.node.joins", "{join}", "Joins answered.", |s| {
        s.worker.core.joins
    }),
    counter(
        "plenum.node.keyframe_requests.received",
        "{request}",
        "Keyframe requests of subscribers.",
        |s| s.worker.core.keyframe_requests_received,
    ),
    counter(
        "plenum.node.keyframe_requests.sent",
        "{request}",
        "Keyframe requests sent to publishers.",
        |s| s.worker.core.keyframe_requests_sent,
    ),
    counter(
        "plenum.node.network.received",
        "By",
        "Bytes of datagrams received.",
        |s| s.worker.core.bytes_received,
    ),
    counter(
        "plenum.node.network.received_datagrams",
        "{datagram}",
        "Datagrams received.",
        |s| s.worker.core.datagrams_received,
    ),
    counter(
        "plenum.node.network.sent",
        "By",
        "Bytes of datagrams sent.",
        |s| s.worker.core.bytes_sent,
    ),
    counter(
        "plenum.node.network.sent_datagrams",
        "{datagram}",
        "Datagrams sent.",
        |s| s.worker.core.datagrams_sent,
    ),
    gauge(
        "plenum.node.participants",
        "{participant}",
        "Participants.",
        |s| s.worker.core.participants,
    ),
    counter(
        "plenum.node.relay.dropped",
        "{frame}",
        "Frames between workers that gave way because the receiver did not keep up.",
        |s| s.worker.relay_dropped,
    ),
    counter(
        "plenum.node.relay.links_lost",
        "{link}",
        "Links between workers that were given up because the receiver did not move.",
        |s| s.worker.relay_links_lost,
    ),
    counter(
        "plenum.node.relay.received",
        "{packet}",
        "RTP packets of known tracks that came from another worker.",
        |s| s.worker.core.packets_imported,
    ),
    counter(
        "plenum.node.relay.sent",
        "{packet}",
        "RTP packets sent to other workers, one per worker.",
        |s| s.worker.core.packets_relayed,
    ),
    gauge(
        "plenum.node.relay_node.connections",
        "{connection}",
        "Other nodes this one is connected with.",
        |s| s.relay.links,
    ),
    counter(
        "plenum.node.relay_node.connections_lost",
        "{connection}",
        "Connections with other nodes that broke, or were given up because the other end did not keep up.",
        |s| s.relay.links_lost,
    ),
    counter(
        "plenum.node.relay_node.connections_refused",
        "{connection}",
        "Connections refused: not of this cluster, too slow to say who they are, or too many.",
        |s| s.relay.refused,
    ),
    counter(
        "plenum.node.relay_node.datagrams_lost",
        "{datagram}",
        "Datagrams of media from other nodes that never came.",
        |s| s.relay.hop.lost,
    ),
    counter(
        "plenum.node.relay_node.datagrams_received",
        "{datagram}",
        "Datagrams of media received from other nodes.",
        |s| s.relay.hop.received,
    ),
    counter(
        "plenum.node.relay_node.datagrams_recovered",
        "{datagram}",
        "Datagrams of media from other nodes that came when they were asked for again.",
        |s| s.relay.hop.recovered,
    ),
    counter(
        "plenum.node.relay_node.datagrams_resent",
        "{datagram}",
        "Datagrams of media sent again because another node asked.",
        |s| s.relay.hop.resent,
    ),
    counter(
        "plenum.node.relay_node.datagrams_sent",
        "{datagram}",
        "Datagrams of media sent to other nodes.",
        |s| s.relay.hop.sent,
    ),
    counter(
        "plenum.node.relay_node.datagrams_useless",
        "{datagram}",
        "Datagrams of media from other nodes that came twice, too late, or were none.",
        |s| s.relay.hop.useless + s.relay.malformed,
    ),
    counter(
        "plenum.node.relay_node.dropped",
        "{packet}",
        "Media between nodes that gave way because a connection or a worker did not keep up.",
        |s| s.relay.dropped,
    ),
    counter(
        "plenum.node.relay_node.received",
        "By",
        "Bytes of datagrams received from other nodes.",
        |s| s.relay.bytes_received,
    ),
    time(
        "plenum.node.relay_node.rtt",
        MetricKind::Gauge,
        "The longest round trip to another node.",
        |s| s.relay.rtt,
    ),
    counter(
        "plenum.node.relay_node.sent",
        "By",
        "Bytes of datagrams sent to other nodes.",
        |s| s.relay.bytes_sent,
    ),
    counter(
        "plenum.node.relay_node.unreachable",
        "{failure}",
        "Times another node was not reached in time.",
        |s| s.relay.unreachable,
    ),
    counter(
        "plenum.node.repairs.missed",
        "{packet}",
        "RTP packets that subscribers missed and that were kept no longer.",
        |s| s.worker.core.repairs_missed,
    ),
    counter(
        "plenum.node.repairs.sent",
        "{packet}",
        "RTP packets that subscribers missed and were sent again.",
        |s| s.worker.core.packets_repaired,
    ),
    counter(
        "plenum.node.replays",
        "{subscription}",
        "Subscriptions that began with a keyframe that was kept.",
        |s| s.worker.core.replays,
    ),
    counter(
        "plenum.node.resumes",
        "{join}",
        "Stays taken up again.",
        |s| s.worker.core.resumes,
    ),
    counter("plenum.node.room_events", "{event}", "Room events.", |s| {
        s.room_events
    }),
    gauge("plenum.node.rooms", "{room}", "Rooms.", |s| {
        s.worker.core.rooms
    }),
    counter(
        "plenum.node.rtp.discarded",
        "{packet}",
        "RTP packets handed to a subscriber that waited for their turn and were thrown away.",
        |s| s.worker.core.packets_discarded,
    ),
    counter(
        "plenum.node.rtp.forwarded",
        "{packet}",
        "RTP packets handed to a subscriber, one per subscriber.",
        |s| s.worker.core.packets_forwarded,
    ),
    counter(
        "plenum.node.rtp.padding",
        "{packet}",
        "RTP packets sent to find out whether a link takes more.",
        |s| s.worker.core.packets_padding,
    ),
    counter(
        "plenum.node.rtp.received",
        "{packet}",
        "RTP packets of announced tracks.",
        |s| s.worker.core.packets_received,
    ),
    gauge(
        "plenum.node.rtp.waiting",
        "{packet}",
        "RTP packets handed to a subscriber that wait for their turn.",
        |s| s.worker.core.packets_waiting,
    ),
    gauge(
        "plenum.node.subscriptions",
        "{subscription}",
        "Subscriptions.",
        |s| s.worker.core.subscriptions,
    ),
    counter(
        "plenum.node.tcp.accepted",
        "{connection}",
        "Media connections accepted.",
        |s| s.tcp.accepted,
    ),
    gauge(
        "plenum.node.tcp.connections",
        "{connection}",
        "Media connections over TCP.",
        |s| s.tcp.connections,
    ),
    by_reason(
        "plenum.node.tcp.ended",
        "{connection}",
        "Media connections over TCP refused, or ended by the node.",
        Read::TcpEnds,
    ),
    counter(
        "plenum.node.tcp.send_dropped",
        "{frame}",
        "Frames dropped because their connection did not take them, or was gone.",
        |s| s.worker.tcp_send_dropped,
    ),
    counter(
        "plenum.node.timer_stalls",
        "{stall}",
        "Times the core wanted to be called at once over and over, and was made to wait.",
        |s| s.worker.timer_stalls,
    ),
    gauge("plenum.node.tracks", "{track}", "Published tracks.", |s| {
        s.worker.core.tracks
    }),
    gauge(
        "plenum.node.turn.allocations",
        "{relay}",
        "Relays of the TURN server.",
        |s| s.turn.allocations,
    ),
    counter(
        "plenum.node.turn.allocations.made",
        "{relay}",
        "Relays that the TURN server made.",
        |s| s.turn.allocated,
    ),
    counter(
        "plenum.node.turn.bindings",
        "{request}",
        "Plain binding requests (STUN) answered by the TURN server.",
        |s| s.turn.bindings,
    ),
    gauge(
        "plenum.node.turn.connections",
        "{connection}",
        "Connections to the TURN server over TCP and TLS.",
        |s| s.turn.connections,
    ),
    by_reason(
        "plenum.node.turn.drops",
        "{message}",
        "What came to the TURN server and went no further.",
        Read::TurnDrops,
    ),
    by_reason(
        "plenum.node.turn.refusals",
        "{request}",
        "Requests that the TURN server refused; the first of each client is one (challenge).",
        Read::TurnRefusals,
    ),
    counter(
        "plenum.node.turn.to_clients",
        "By",
        "Bytes relayed from peers to clients.",
        |s| s.turn.bytes_to_clients,
    ),
    counter(
        "plenum.node.turn.to_peers",
        "By",
        "Bytes relayed from clients to peers.",
        |s| s.turn.bytes_to_peers,
    ),
    counter(
        "plenum.node.udp.congestion_marked",
        "{datagram}",
        "Datagrams received that a router had marked for congestion.",
        |s| s.worker.udp.congestion_marked,
    ),
    gauge(
        "plenum.node.udp.offload_receive",
        "{socket}",
        "UDP sockets that receive several datagrams as one message (GRO).",
        |s| s.worker.udp.offload_receive,
    ),
    gauge(
        "plenum.node.udp.offload_send",
        "{socket}",
        "UDP sockets that send a run of datagrams by one call (GSO).",
        |s| s.worker.udp.offload_send,
    ),
    counter(
        "plenum.node.udp.receive_calls",
        "{call}",
        "Receive calls of UDP sockets.",
        |s| s.worker.udp.receive_calls,
    ),
    counter(
        "plenum.node.udp.receive_errors",
        "{error}",
        "Failed receive calls of UDP sockets.",
        |s| s.worker.udp.receive_errors,
    ),
    counter(
        "plenum.node.udp.receive_overflows",
        "{datagram}",
        "Datagrams the kernel dropped because a socket's receive buffer was full.",
        |s| s.udp_receive_overflows,
    ),
    counter(
        "plenum.node.udp.received",
        "{datagram}",
        "Datagrams received by UDP sockets.",
        |s| s.worker.udp.received,
    ),
    counter(
        "plenum.node.udp.send_calls",
        "{call}",
        "Send calls of UDP sockets.",
        |s| s.worker.udp.send_calls,
    ),
    counter(
        "plenum.node.udp.send_dropped",
        "{datagram}",
        "Datagrams that gave way in a full send queue.",
        |s| s.worker.udp.send_dropped,
    ),
    counter(
        "plenum.node.udp.send_errors",
        "{datagram}",
        "Datagrams the kernel refused to send.",
        |s| s.worker.udp.send_errors,
    ),
    counter(
        "plenum.node.udp.sent",
        "{datagram}",
        "Datagrams that UDP sockets took to send.",
        |s| s.worker.udp.sent,
    ),
    time(
        "plenum.node.worker.busy",
        MetricKind::Counter,
        "Time the workers were at work, all together.",
        |s| s.worker.busy,
    ),
    time(
        "plenum.node.worker.lag",
        MetricKind::Gauge,
        "How late a timer of a worker fired at most, of late.",
        |s| s.worker.lag_max,
    ),
    time(
        "plenum.node.worker.turn",
        MetricKind::Gauge,
        "The longest turn of a worker, of late: no other input was looked at meanwhile.",
        |s| s.worker.turn_max,
    ),
    counter(
        "plenum.node.worker.turns",
        "{turn}",
        "Times a worker woke up and looked at its inputs.",
        |s| s.worker.turns,
    ),
    counter(
        "plenum.node.worker_restarts",
        "{restart}",
        "Times a worker started anew after a fault.",
        |s| s.worker.restarts,
    ),
    gauge("plenum.node.workers", "{worker}", "Workers.", |s| s.workers),
];

const fn gauge(
    name: &'static str,
    unit: &'static str,
    help: &'static str,
    read: fn(&NodeStats) -> u64,
) -> Metric {
    Metric {
        name,
        unit,
        help,
        kind: MetricKind::Gauge,
        label: None,
        read: Read::One(read),
    }
}

const fn counter(
    name: &'static str,
    unit: &'static str,
    help: &'static str,
    read: fn(&NodeStats) -> u64,
) -> Metric {
    Metric {
        name,
        unit,
        help,
        kind: MetricKind::Counter,
        label: None,
        read: Read::One(read),
    }
}

const fn time(
    name: &'static str,
    kind: MetricKind,
    help: &'static str,
    read: fn(&NodeStats) -> Duration,
) -> Metric {
    Metric {
        name,
        unit: "s",
        help,
        kind,
        label: None,
        read: Read::Seconds(read),
    }
}

const fn by_reason(
    name: &'static str,
    unit: &'static str,
    help: &'static str,
    read: Read,
) -> Metric {
    Metric {
        name,
        unit,
        help,
        kind: MetricKind::Counter,
        label: Some("reason"),
        read,
    }
}
