//! Plain counters of a shard, read as a snapshot. Must know nothing of ours.

use std::time::Duration;

/// Why a packet or message went no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DropReason {
    /// First byte fits none of STUN, DTLS, RTP, RTCP (RFC 7983).
    NotWebRtc,
    /// A STUN message that does not parse, or names no session of ours.
    UnknownStun,
    /// DTLS, RTP or RTCP from an address no connectivity check has validated.
    UnvalidatedSource,
    /// The session refused the bytes (malformed, or from the wrong state).
    Malformed,
    /// RTP that belongs to no announced track.
    UnknownStream,
    /// The publisher shows more SSRCs than allowed.
    SsrcLimit,
    /// Nobody takes this encoding or layer.
    NotWanted,
    /// Waiting for a keyframe of the granted encoding.
    AwaitingKeyframe,
    /// A temporal layer above the granted one.
    TemporalLayer,
    /// A spatial layer above the granted one, or one that the granted one does not need.
    SpatialLayer,
    /// The track is muted, or the subscription disabled.
    Paused,
    /// A copy of a packet, or one older than the switch point.
    Stale,
    /// The subscriber did not negotiate the codec.
    CodecUnsupported,
    /// The subscriber's transport is not connected.
    NotConnected,
    /// A data message of a participant that may not send it, or that is malformed.
    DataRefused,
    /// A lossy data message for a reader whose buffer is full.
    DataBufferFull,
    /// Too much waits already for this subscriber.
    QueueFull,
    /// Sound of a microphone that is not among the loudest of a very large room.
    NotLoudest,
    /// A plain binding request of a source that was answered often enough in this second.
    BindingLimit,
    /// Plain RTP that came twice, or that fits nothing that came lately.
    OutOfPlace,
}

impl DropReason {
    /// All reasons, in order.
    pub const ALL: [Self; 20] = [
        Self::NotWebRtc,
        Self::UnknownStun,
        Self::UnvalidatedSource,
        Self::Malformed,
        Self::UnknownStream,
        Self::SsrcLimit,
        Self::NotWanted,
        Self::AwaitingKeyframe,
        Self::TemporalLayer,
        Self::SpatialLayer,
        Self::Paused,
        Self::Stale,
        Self::CodecUnsupported,
        Self::NotConnected,
        Self::DataRefused,
        Self::DataBufferFull,
        Self::QueueFull,
        Self::NotLoudest,
        Self::BindingLimit,
        Self::OutOfPlace,
    ];

    /// The reason as a metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::NotWebRtc => "not_webrtc",
            Self::UnknownStun => "unknown_stun",
            Self::UnvalidatedSource => "unvalidated_source",
            Self::Malformed => "malformed",
            Self::UnknownStream => "unknown_stream",
            Self::SsrcLimit => "ssrc_limit",
            Self::NotWanted => "not_wanted",
            Self::AwaitingKeyframe => "awaiting_keyframe",
            Self::TemporalLayer => "temporal_layer",
            Self::SpatialLayer => "spatial_layer",
            Self::Paused => "paused",
            Self::Stale => "stale",
            Self::CodecUnsupported => "codec_unsupported",
            Self::NotConnected => "not_connected",
            Self::DataRefused => "data_refused",
            Self::DataBufferFull => "data_buffer_full",
            Self::QueueFull => "queue_full",
            Self::NotLoudest => "not_loudest",
            Self::BindingLimit => "binding_limit",
            Self::OutOfPlace => "out_of_place",
        }
    }
}

/// Counters since the shard was made, and gauges of this moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ShardStats {
    /// Rooms now.
    pub rooms: u64,
    /// Participants now.
    pub participants: u64,
    /// Published tracks now.
    pub tracks: u64,
    /// Subscriptions now.
    pub subscriptions: u64,
    /// Datagrams in.
    pub datagrams_received: u64,
    /// Bytes of the datagrams in.
    pub bytes_received: u64,
    /// Datagrams out.
    pub datagrams_sent: u64,
    /// Bytes of the datagrams out.
    pub bytes_sent: u64,
    /// RTP packets of announced tracks in.
    pub packets_received: u64,
    /// The same, times the subscriptions each was offered to: forwarded, or dropped for a reason.
    pub packets_offered: u64,
    /// RTP packets handed to a subscriber, one per subscriber.
    pub packets_forwarded: u64,
    /// Of these, packets that waited for their turn and were thrown away: a keyframe came, too much waited, or
    /// the subscription ended.
    pub packets_discarded: u64,
    /// Of these, packets that wait for their turn now.
    pub packets_waiting: u64,
    /// Packets that subscribers missed and were sent again.
    pub packets_repaired: u64,
    /// Packets that subscribers missed and that were kept no longer.
    pub repairs_missed: u64,
    /// Packets sent to find out whether a link takes more.
    pub packets_padding: u64,
    /// RTP packets sent over relay links, one per link.
    pub packets_relayed: u64,
    /// RTP packets that came over relay links, of tracks that are known.
    pub packets_imported: u64,
    /// New subscribers that began with a keyframe that was kept.
    pub replays: u64,
    /// Keyframe requests of subscribers.
    pub keyframe_requests_received: u64,
    /// Keyframe requests sent to publishers.
    pub keyframe_requests_sent: u64,
    /// Joins that were answered.
    pub joins: u64,
    /// Stays taken up again.
    pub resumes: u64,
    /// Sessions ended because of a fault inside.
    pub faults: u64,
    /// Plain binding requests (STUN) answered.
    pub bindings_answered: u64,
    /// Data messages delivered, one per receiver.
    pub data_messages: u64,
    /// Drops by reason, in the order of [`DropReason::ALL`].
    pub drops: [u64; DropReason::ALL.len()],
}

/// What waits in a shard for one client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backlog {
    /// Identity of the participant.
    pub identity: String,
    /// Packets that wait for their turn, those that are sent again among them.
    pub packets: usize,
    /// Bytes of their payloads.
    pub bytes: usize,
    /// How long ago the oldest packet of media that waits was captured.
    pub age: Duration,
    /// Bytes of data messages that the client has not acknowledged, or that wait before these.
    pub data_bytes: usize,
}

impl ShardStats {
    pub(crate) fn drop(&mut self, reason: DropReason) {
        self.drop_many(reason, 1);
    }

    pub(crate) fn drop_many(&mut self, reason: DropReason, count: usize) {
        self.drops[reason as usize] += count as u64;
    }

    /// How often something was dropped for this reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize]
    }
}
