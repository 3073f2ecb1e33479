//! Data messages on the wire: the packet of the client protocol around a stamped payload.
//!
//! Owns the stamp, and the labels and options of the two channels. Must not send.

use std::time::Duration;

use livekit_protocol::{DataPacket, UserPacket, data_packet::Value};
use prost::Message as _;

use crate::measure::MessageKind;

/// Begins the payload of every message of ours.
const MAGIC: [u8; 8] = *b"PLNMDATA";
/// Bytes of a stamp.
pub const STAMP_BYTES: usize = 32;

/// Messages that a participant sends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Messages {
    /// Number of the sender in its stamps; one per participant of a run.
    pub sender: u32,
    /// Between two messages of a kind.
    pub interval: Duration,
    /// Bytes of a payload, at least [`STAMP_BYTES`].
    pub size: usize,
    /// Whether reliable ones are sent.
    pub reliable: bool,
    /// Whether lossy ones are sent.
    pub lossy: bool,
}

/// What a message says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageStamp {
    /// Of [`Messages`].
    pub sender: u32,
    /// How it was sent.
    pub kind: MessageKind,
    /// From 1, of its sender and kind.
    pub number: u64,
    /// When, Unix nanoseconds.
    pub sent_ns: u64,
}

impl MessageStamp {
    /// A whole packet with a payload of `size` bytes.
    #[must_use]
    pub fn packet(&self, size: usize) -> Vec<u8> {
        let mut payload = Vec::with_capacity(size.max(STAMP_BYTES));
        payload.extend(MAGIC);
        payload.extend(self.sender.to_be_bytes());
        payload.extend([u8::from(self.kind == MessageKind::Reliable), 0, 0, 0]);
        payload.extend(self.number.to_be_bytes());
        payload.extend(self.sent_ns.to_be_bytes());
        payload.resize(size.max(STAMP_BYTES), 0x5a);
        let user = UserPacket {
            payload,
            ..UserPacket::default()
        };
        // As SDKs do, so that a server can leave out what it has had.
        let sequence = match self.kind {
            MessageKind::Reliable => u32::try_from(self.number).unwrap_or(u32::MAX),
            MessageKind::Lossy => 0,
        };
        let packet = DataPacket {
            sequence,
            value: Some(Value::User(user)),
            ..DataPacket::default()
        };
        packet.encode_to_vec()
    }

    /// Reads a packet and the size of its payload; nothing when it is none of ours.
    #[must_use]
    pub fn read(packet: &[u8]) -> Option<(Self, usize)> {
        let packet = DataPacket::decode(packet).ok()?;
        let Value::User(user) = packet.value? else {
            return None;
        };
        let stamp = user.payload.first_chunk::<STAMP_BYTES>()?;
        let (magic, rest) = stamp.split_first_chunk::<8>()?;
        let (sender, rest) = rest.split_first_chunk::<4>()?;
        let (kind, rest) = rest.split_first_chunk::<4>()?;
        let (number, rest) = rest.split_first_chunk::<8>()?;
        let sent_ns = rest.first_chunk::<8>()?;
        let kind = match kind[0] {
            0 => MessageKind::Lossy,
            _ => MessageKind::Reliable,
        };
        (*magic == MAGIC).then(|| {
            let stamp = Self {
                sender: u32::from_be_bytes(*sender),
                kind,
                number: u64::from_be_bytes(*number),
                sent_ns: u64::from_be_bytes(*sent_ns),
            };
            (stamp, user.payload.len())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_as_it_was_written() {
        for (kind, size) in [(MessageKind::Reliable, 200), (MessageKind::Lossy, 32)] {
            let stamp = MessageStamp {
                sender: 7,
                kind,
                number: 1 << 40,
                sent_ns: 1_795_384_800_000_000_000,
            };
            assert_eq!(MessageStamp::read(&stamp.packet(size)), Some((stamp, size)));
        }
        let chat = DataPacket {
            value: Some(Value::User(UserPacket {
                payload: vec![1; 64],
                ..UserPacket::default()
            })),
            ..DataPacket::default()
        };
        for foreign in [&chat.encode_to_vec()[..], b"", &[0xff; 40]] {
            assert_eq!(MessageStamp::read(foreign), None);
        }
    }
}
