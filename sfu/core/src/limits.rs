//! Every cap of what a client or caller can make grow. Past a cap the request is refused by its name,
//! or, for packets, dropped and counted. Must know nothing of ours.

/// Caps of one shard. Counts unless the name says bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Rooms of the node.
    pub rooms: usize,
    /// Participants of one room, unless the room allows fewer.
    pub participants_per_room: usize,
    /// Participants of the node.
    pub participants: usize,
    /// Stays of the node that have not yet connected a transport.
    pub pending_participants: usize,
    /// Bytes of one session description.
    pub sdp_bytes: usize,
    /// Sections (`m=`) of one session description.
    pub sdp_sections: usize,
    /// Candidate lines accepted from one client, descriptions and trickle together, between restarts.
    pub candidates: usize,
    /// Bytes of one session description, or of one candidate, that one direct participant sends to the other.
    pub direct_signal_bytes: usize,
    /// Tracks one participant may publish.
    pub tracks_per_participant: usize,
    /// Other rooms one participant may be forwarded to: a packet of it is handed on in each.
    pub forwards_per_participant: usize,
    /// Encodings (RTP streams) of one track in one codec.
    pub encodings_per_track: usize,
    /// Distinct SSRCs one publisher may show; the packets of more are dropped.
    pub ssrcs_per_participant: usize,
    /// Subscriptions of one participant.
    pub subscriptions_per_participant: usize,
    /// Data channels one client may open.
    pub data_channels: usize,
    /// Bytes of one data message.
    pub data_message_bytes: usize,
    /// Bytes that wait for one participant in its transport, and again as many reliable ones before it: past that
    /// they are dropped, and one that takes nothing for ten seconds has to reconnect.
    pub data_buffer_bytes: usize,
    /// Bytes of lossy messages that wait for one participant: past it, further ones are dropped.
    pub data_lossy_buffer_bytes: usize,
    /// Bytes of names and identities.
    pub name_bytes: usize,
    /// Bytes of the metadata of a room or participant.
    pub metadata_bytes: usize,
    /// Bytes of all attributes of a participant, keys and values.
    pub attributes_bytes: usize,
    /// Requests of one control connection per second, averaged over ten seconds.
    pub requests_per_second: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rooms: 10_000,
            participants_per_room: 5_000,
            participants: 20_000,
            pending_participants: 2_000,
            sdp_bytes: 512 * 1024,
            sdp_sections: 500,
            candidates: 64,
            direct_signal_bytes: 64 * 1024,
            tracks_per_participant: 32,
            forwards_per_participant: 16,
            encodings_per_track: 4,
            ssrcs_per_participant: 256,
            subscriptions_per_participant: 400,
            data_channels: 16,
            data_message_bytes: 256 * 1024,
            data_buffer_bytes: 1024 * 1024,
            data_lossy_buffer_bytes: 64 * 1024,
            name_bytes: 256,
            metadata_bytes: 512 * 1024,
            attributes_bytes: 64 * 1024,
            requests_per_second: 100,
        }
    }
}
