//! Translation between the client protocol and the node's session API: pure functions, message in,
//! message out. Must hold no state, read no clock, and do no input or output.
//!
//! [`request`] is what clients say, [`response`] what they are told, [`model`] the nouns of both.

pub(crate) mod codec_name;
pub(crate) mod description;
pub(crate) mod joined;
pub(crate) mod model;
pub(crate) mod request;
pub(crate) mod response;
pub(crate) mod track;

/// Values of an enumeration that the protocol crate knows. Others must not pass: its JSON writer
/// refuses a whole message for one of them.
pub(crate) fn known<E: TryFrom<i32>>(values: &[i32]) -> Vec<i32> {
    values
        .iter()
        .copied()
        .filter(|value| E::try_from(*value).is_ok())
        .collect()
}
