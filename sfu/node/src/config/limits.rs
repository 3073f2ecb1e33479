//! The core's limits as configuration keys. Must not judge them: the core says what they mean.

use serde::{Deserialize, Serialize};
use sfu_core::Limits;

/// Declares the keys once, for the struct, its defaults and its way to the core; a limit that the
/// core adds and this list lacks does not compile.
macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident: $type:ty,)*) => {
        /// Caps of what clients and callers can make grow, each of one worker. Past a cap a request
        /// is refused with the cap's name, and a packet is dropped and counted.
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct LimitsConfig {
            $($(#[$doc])* pub $name: $type,)*
        }

        impl Default for LimitsConfig {
            fn default() -> Self {
                let Limits { $($name),* } = Limits::default();
                Self { $($name),* }
            }
        }

        impl From<&LimitsConfig> for Limits {
            fn from(config: &LimitsConfig) -> Self {
                Self { $($name: config.$name),* }
            }
        }

        impl LimitsConfig {
            /// Names of the limits that are 0.
            pub(super) fn zeros(&self) -> Vec<&'static str> {
                [$((stringify!($name), self.$name == 0)),*]
                    .into_iter()
                    .filter_map(|(name, is_zero)| is_zero.then_some(name))
                    .collect()
            }
        }
    };
}

limits! {
    /// Rooms.
    rooms: usize,
    /// Participants of one room, unless the room allows fewer.
    participants_per_room: usize,
    /// Participants.
    participants: usize,
    /// Participants that have not yet connected a transport.
    pending_participants: usize,
    /// Bytes of one session description.
    sdp_bytes: usize,
    /// Sections (`m=`) of one session description.
    sdp_sections: usize,
    /// Candidate lines accepted from one client between restarts.
    candidates: usize,
    /// Bytes of one session description or candidate from one direct participant to the other.
    direct_signal_bytes: usize,
    /// Tracks one participant may publish.
    tracks_per_participant: usize,
    /// Other rooms one participant may be forwarded to.
    forwards_per_participant: usize,
    /// Encodings (RTP streams) of one track in one codec.
    encodings_per_track: usize,
    /// Distinct SSRCs one publisher may show.
    ssrcs_per_participant: usize,
    /// Subscriptions of one participant.
    subscriptions_per_participant: usize,
    /// Data channels one client may open; may be 0.
    data_channels: usize,
    /// Bytes of one data message.
    data_message_bytes: usize,
    /// Bytes that wait for one participant in its transport, and again as many reliable ones before it: past that
    /// they are dropped, and one that takes nothing for ten seconds has to reconnect.
    data_buffer_bytes: usize,
    /// Bytes of lossy messages that wait for one participant: past it, further ones are dropped.
    data_lossy_buffer_bytes: usize,
    /// Bytes of names and identities.
    name_bytes: usize,
    /// Bytes of the metadata of a room or participant; may be 0.
    metadata_bytes: usize,
    /// Bytes of all attributes of a participant, keys and values; may be 0.
    attributes_bytes: usize,
    /// Requests of one control connection per second, averaged over ten seconds.
    requests_per_second: u32,
}
