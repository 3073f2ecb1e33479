//! Ids that cross boundaries and appear in logs. Owns their form; clients rely on the prefixes.

use std::{fmt, str::FromStr, sync::Arc};

/// Why a text is not an id of the kind asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct InvalidId {
    /// What an id of this kind begins with.
    pub prefix: &'static str,
}

impl fmt::Display for InvalidId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "an id that begins with {} and has at most {MAX_LEN} characters",
            self.prefix
        )
    }
}

impl std::error::Error for InvalidId {}

/// Longest id accepted from outside, in bytes.
const MAX_LEN: usize = 64;

/// Characters after the prefix of an id made here: 62^12 > 2^71.
const RANDOM_LEN: usize = 12;

const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(Arc<str>);

        impl $name {
            /// What every id of this kind begins with.
            pub const PREFIX: &'static str = $prefix;

            /// Makes an id of a stream of random numbers; 12 of them are used.
            pub fn random(mut next: impl FnMut() -> u32) -> Self {
                let mut text = String::with_capacity($prefix.len() + RANDOM_LEN);
                text.push_str($prefix);
                for _ in 0..RANDOM_LEN {
                    text.push(ALPHABET[next() as usize % ALPHABET.len()] as char);
                }
                Self(text.into())
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(text: &str) -> Result<Self, InvalidId> {
                if text.starts_with($prefix) && text.len() <= MAX_LEN && text.is_ascii() {
                    Ok(Self(text.into()))
                } else {
                    Err(InvalidId { prefix: $prefix })
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.0.as_ref().to_owned()
            }
        }

        impl From<&$name> for String {
            fn from(id: &$name) -> Self {
                id.0.as_ref().to_owned()
            }
        }
    };
}

id!(
    /// One life of a room.
    RoomId,
    "RM_"
);
id!(
    /// One stay of a participant in a room.
    ParticipantId,
    "PA_"
);
id!(
    /// One published track.
    TrackId,
    "TR_"
);
id!(
    /// One source of media that comes in without WebRTC.
    IngressId,
    "IN_"
);
id!(
    /// One sink of media that goes out without WebRTC.
    EgressId,
    "EG_"
);
id!(
    /// One running media node.
    NodeId,
    "ND_"
);

impl NodeId {
    /// A number of 58 bits that names the node on relay links, the same in every version (FNV-1a). Ids are
    /// random: of a million nodes two share a number by a chance of one in half a million.
    pub fn number(&self) -> u64 {
        let hash = self
            .0
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        hash >> 6
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_a_node_never_changes() {
        let number = |id: &str| id.parse::<NodeId>().map(|id| id.number());
        assert_eq!(number("ND_local"), Ok(0x40f5dfd330e47f));
        assert_ne!(number("ND_local"), number("ND_locam"));
    }

    #[test]
    fn an_id_begins_with_its_prefix_and_parses_back() {
        let mut n = 0;
        let id = TrackId::random(|| {
            n += 7;
            n
        });
        assert_eq!(id.as_str().len(), "TR_".len() + RANDOM_LEN);
        assert_eq!(id.as_str().parse::<TrackId>(), Ok(id.clone()));
        assert_eq!(
            id.as_str().parse::<RoomId>(),
            Err(InvalidId { prefix: "RM_" })
        );
        assert!(
            format!("TR_{}", "x".repeat(MAX_LEN))
                .parse::<TrackId>()
                .is_err()
        );
    }
}
