//! The list of metrics, by name. Must hold nothing else.

use super::{Metric, MetricKind, Read};
use crate::stats::NodeStats;

pub(super) const METRICS: &[Metric] = &[
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
        "plenum.node.rtp.forwarded",
        "{packet}",
        "RTP packets handed to a subscriber, one per subscriber.",
        |s| s.worker.core.packets_forwarded,
    ),
    counter(
        "plenum.node.rtp.received",
        "{packet}",
        "RTP packets of announced tracks.",
        |s| s.worker.core.packets_received,
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
    counter(
        "plenum.node.udp.receive_errors",
        "{error}",
        "Failed reads of a UDP socket.",
        |s| s.worker.udp_receive_errors,
    ),
    counter(
        "plenum.node.udp.send_dropped",
        "{datagram}",
        "Datagrams that gave way in a full send queue.",
        |s| s.worker.udp_send_dropped,
    ),
    counter(
        "plenum.node.udp.send_errors",
        "{datagram}",
        "Datagrams the kernel refused to send.",
        |s| s.worker.udp_send_errors,
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
