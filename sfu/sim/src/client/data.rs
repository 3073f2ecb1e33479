//! Data channels: the envelope that clients share, as far as tests need it, and what comes in. Must not
//! trust what the node stamps; the tests judge it.

use std::time::Duration;

use prost::Message as _;
use str0m::{
    change::SdpApi,
    channel::{ChannelConfig, ChannelData, ChannelId, Reliability},
};

use super::Client;
use crate::world::Clock;

/// To whom data is sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DataTo {
    /// Identities; none = everybody.
    pub identities: Vec<String>,
    /// Over the channel that keeps order and loses nothing.
    pub reliable: bool,
}

/// A data message that came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataMessage {
    /// In virtual time.
    pub at: Duration,
    /// Identity of the sender, as the node stamped it.
    pub sender: String,
    /// Id of the sender, as the node stamped it.
    pub sender_id: String,
    /// What was sent.
    pub payload: Vec<u8>,
}

/// The envelope of clients, as far as the tests need it.
#[derive(Clone, PartialEq, prost::Message)]
struct Envelope {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(message, optional, tag = "2")]
    user: Option<UserPacket>,
    #[prost(string, tag = "4")]
    sender: String,
    #[prost(string, repeated, tag = "5")]
    destinations: Vec<String>,
    #[prost(string, tag = "17")]
    sender_id: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct UserPacket {
    #[prost(bytes = "vec", tag = "2")]
    payload: Vec<u8>,
}

/// An envelope that claims to come from somebody else.
fn envelope(payload: &[u8], to: &DataTo) -> Vec<u8> {
    let message = Envelope {
        kind: i32::from(!to.reliable),
        user: Some(UserPacket {
            payload: payload.to_vec(),
        }),
        sender: "somebody else".into(),
        destinations: to.identities.clone(),
        sender_id: "PA_somebody_else".into(),
    };
    message.encode_to_vec()
}

/// The two channels that clients open.
pub(super) fn data_channels(api: &mut SdpApi<'_>) -> [ChannelId; 2] {
    let reliable = ChannelConfig {
        label: "_reliable".into(),
        ..ChannelConfig::default()
    };
    let lossy = ChannelConfig {
        label: "_lossy".into(),
        ordered: false,
        reliability: Reliability::MaxRetransmits { retransmits: 0 },
        ..ChannelConfig::default()
    };
    [
        api.add_channel_with_config(reliable),
        api.add_channel_with_config(lossy),
    ]
}

impl Client {
    /// Whether data can be sent.
    pub fn can_send_data(&self) -> bool {
        self.open_channels == [true; 2]
    }

    /// Sends an envelope of user data; says whether the channel took it.
    pub fn send_data(&mut self, payload: &[u8], to: &DataTo) -> bool {
        let message = envelope(payload, to);
        self.send_raw(&message, to.reliable)
    }

    /// Sends any bytes on a data channel.
    pub fn send_raw(&mut self, message: &[u8], reliable: bool) -> bool {
        let id = self.channels[usize::from(!reliable)];
        let (Some(publisher), Some(id)) = (&mut self.publisher, id) else {
            return false;
        };
        let channel = publisher.engine().channel(id);
        channel.is_some_and(|mut channel| matches!(channel.write(true, message), Ok(true)))
    }

    pub(super) fn on_data(&mut self, clock: &Clock, data: &ChannelData) {
        match Envelope::decode(data.data.as_slice()) {
            Ok(envelope) => self.data.push(DataMessage {
                at: clock.now,
                sender: envelope.sender,
                sender_id: envelope.sender_id,
                payload: envelope.user.unwrap_or_default().payload,
            }),
            Err(_) if self.takes_any_data => {}
            Err(error) => self
                .violations
                .push(format!("data that is no envelope: {error}")),
        }
    }
}
