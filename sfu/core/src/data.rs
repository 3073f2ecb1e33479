//! The envelope of data messages: a protobuf message that clients share with each other (LiveKit's
//! `DataPacket`). We read whom it is for and stamp whom it is from; the rest passes untouched, also
//! fields we do not know. Must not copy more than the message itself.

use bytes::Buf;
use prost::encoding::{DecodeContext, string};
use prost::encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint, skip_field};

/// Field numbers of the envelope that concern us.
mod field {
    pub(super) const USER: u32 = 2;
    pub(super) const SENDER_IDENTITY: u32 = 4;
    pub(super) const DESTINATIONS: u32 = 5;
    pub(super) const METRICS: u32 = 8;
    pub(super) const SEQUENCE: u32 = 16;
    pub(super) const SENDER_ID: u32 = 17;

    /// Inside a user message.
    pub(super) const USER_PAYLOAD: u32 = 2;
    pub(super) const USER_TOPIC: u32 = 4;
    pub(super) const USER_SENDER_ID: u32 = 1;
    pub(super) const USER_DESTINATION_IDS: u32 = 3;
    pub(super) const USER_SENDER_IDENTITY: u32 = 5;
    pub(super) const USER_DESTINATIONS: u32 = 6;
}

/// What an envelope says to us.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Envelope {
    /// Identities it is for; empty with no ids either = everybody.
    pub(crate) destinations: Vec<String>,
    /// Participant ids it is for, as old clients say it.
    pub(crate) destination_ids: Vec<String>,
    /// Counted by the sender on the reliable channel; 0 = not counted.
    pub(crate) sequence: u32,
    pub(crate) is_metrics: bool,
}

impl Envelope {
    /// Whether a participant is one of those it is for.
    pub(crate) fn names(&self, id: &str, identity: &str) -> bool {
        self.destinations.iter().any(|named| named == identity)
            || self.destination_ids.iter().any(|named| named == id)
    }
}

/// The bytes are no envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a data message")]
pub(crate) struct MalformedEnvelope;

impl From<prost::DecodeError> for MalformedEnvelope {
    fn from(_: prost::DecodeError) -> Self {
        Self
    }
}

/// Reads an envelope.
pub(crate) fn read(message: &[u8]) -> Result<Envelope, MalformedEnvelope> {
    let mut envelope = Envelope::default();
    walk(message, |number, value| {
        match (number, value) {
            (field::DESTINATIONS, Value::Bytes(text)) => envelope.destinations.push(utf8(text)?),
            (field::SEQUENCE, Value::Varint(sequence)) => envelope.sequence = sequence as u32,
            (field::METRICS, Value::Bytes(_)) => envelope.is_metrics = true,
            (field::USER, Value::Bytes(user)) => walk(user, |number, value| {
                match (number, value) {
                    (field::USER_DESTINATIONS, Value::Bytes(text)) => {
                        envelope.destinations.push(utf8(text)?);
                    }
                    (field::USER_DESTINATION_IDS, Value::Bytes(text)) => {
                        envelope.destination_ids.push(utf8(text)?);
                    }
                    _ => {}
                }
                Ok(())
            })?,
            _ => {}
        }
        Ok(())
    })?;
    envelope.destinations.dedup();
    Ok(envelope)
}

/// The message with its true sender. A later field wins over an earlier one (protobuf encoding), so
/// that what the client claimed does not matter.
pub(crate) fn stamp(message: &[u8], sender_id: &str, sender_identity: &str) -> Vec<u8> {
    let mut stamped =
        Vec::with_capacity(message.len() + sender_id.len() + sender_identity.len() + 80);
    stamped.extend_from_slice(message);
    if has_user(message) {
        // Merged into the user message that is there (protobuf merges a repeated submessage).
        let mut user = Vec::new();
        string::encode(field::USER_SENDER_ID, &sender_id.to_owned(), &mut user);
        string::encode(
            field::USER_SENDER_IDENTITY,
            &sender_identity.to_owned(),
            &mut user,
        );
        push_bytes(field::USER, &user, &mut stamped);
    }
    string::encode(
        field::SENDER_IDENTITY,
        &sender_identity.to_owned(),
        &mut stamped,
    );
    string::encode(field::SENDER_ID, &sender_id.to_owned(), &mut stamped);
    stamped
}

/// A user message made here, for data the application's backend sends.
pub(crate) fn user_message(
    payload: &[u8],
    topic: &str,
    destinations: &[String],
    reliable: bool,
) -> Vec<u8> {
    let mut user = Vec::with_capacity(payload.len() + topic.len() + 16);
    push_bytes(field::USER_PAYLOAD, payload, &mut user);
    if !topic.is_empty() {
        string::encode(field::USER_TOPIC, &topic.to_owned(), &mut user);
    }
    let mut message = Vec::with_capacity(user.len() + 64);
    if !reliable {
        // `kind`, field 1: 0 = reliable, 1 = lossy.
        encode_key(1, WireType::Varint, &mut message);
        encode_varint(1, &mut message);
    }
    push_bytes(field::USER, &user, &mut message);
    for identity in destinations {
        string::encode(field::DESTINATIONS, identity, &mut message);
    }
    message
}

fn has_user(message: &[u8]) -> bool {
    let mut found = false;
    // A message that does not parse was refused by `read` before.
    let _ = walk(message, |number, _| {
        found |= number == field::USER;
        Ok(())
    });
    found
}

enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
}

/// Calls back for every varint and length-delimited field, in order.
fn walk<'a>(
    message: &'a [u8],
    mut each: impl FnMut(u32, Value<'a>) -> Result<(), MalformedEnvelope>,
) -> Result<(), MalformedEnvelope> {
    let mut rest = message;
    while rest.has_remaining() {
        let (number, wire_type) = decode_key(&mut rest)?;
        match wire_type {
            WireType::Varint => each(number, Value::Varint(decode_varint(&mut rest)?))?,
            WireType::LengthDelimited => {
                let length = usize::try_from(decode_varint(&mut rest)?).unwrap_or(usize::MAX);
                let (value, after) = rest.split_at_checked(length).ok_or(MalformedEnvelope)?;
                rest = after;
                each(number, Value::Bytes(value))?;
            }
            _ => skip_field(wire_type, number, &mut rest, DecodeContext::default())?,
        }
    }
    Ok(())
}

fn push_bytes(number: u32, value: &[u8], out: &mut Vec<u8>) {
    encode_key(number, WireType::LengthDelimited, out);
    encode_varint(value.len() as u64, out);
    out.extend_from_slice(value);
}

fn utf8(bytes: &[u8]) -> Result<String, MalformedEnvelope> {
    String::from_utf8(bytes.to_vec()).map_err(|_| MalformedEnvelope)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_envelope_tells_whom_it_is_for() {
        let message = user_message(b"hi", "chat", &["ann".into(), "bob".into()], true);
        let envelope = read(&message).expect("made by us");
        assert_eq!(envelope.destinations, ["ann", "bob"]);
        assert_eq!(envelope.sequence, 0);
    }

    #[test]
    fn a_stamp_wins_over_what_the_client_claimed() {
        let mut claimed = user_message(b"hi", "", &[], false);
        string::encode(field::SENDER_IDENTITY, &"root".to_owned(), &mut claimed);
        let stamped = stamp(&claimed, "PA_1", "eve");
        let mut identities = Vec::new();
        walk(&stamped, |number, value| {
            if let (field::SENDER_IDENTITY, Value::Bytes(text)) = (number, value) {
                identities.push(utf8(text)?);
            }
            Ok(())
        })
        .expect("still an envelope");
        assert_eq!(identities.last().map(String::as_str), Some("eve"));
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
            let _ = stamp(&bytes, "PA_1", "x");
        }
    }
}
