//! Connectivity checks that say nothing new: a client repeats the check of its pair of addresses every few seconds
//! for as long as it stays, and all it wants is an answer (RFC 8445 section 7.3, RFC 7675). Owns telling such
//! a check and answering it, for the engine takes ten times as long. Must not change any state of ICE: whatever
//! could is the engine's.

use std::net::SocketAddr;

use aws_lc_rs::hmac;
use crc::{CRC_32_ISO_HDLC, Crc};

use super::check::{
    HEADER, INTEGRITY, MESSAGE_INTEGRITY, PRIORITY, append_signature, key, set_length, verified,
};
use crate::{Protocol, binding};

const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const USERNAME: u16 = 0x0006;
const USE_CANDIDATE: u16 = 0x0025;
const FINGERPRINT: u16 = 0x8028;
const ICE_CONTROLLED: u16 = 0x8029;
/// Attributes from here on may be passed over by who does not know them.
const FIRST_OPTIONAL: u16 = 0x8000;
/// What the checksum of a fingerprint is combined with (RFC 8489 section 14.7).
const FINGERPRINT_MASK: u32 = 0x5354_554e;

static CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// Where a datagram came from and to, as the socket says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pair {
    pub(super) protocol: Protocol,
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
}

/// The check that a client repeats.
pub(super) struct Steady {
    pair: Pair,
    /// Both halves.
    username: Vec<u8>,
    nominates: bool,
    password: String,
}

/// What a check says.
struct Check<'a> {
    username: &'a [u8],
    nominates: bool,
    integrity_at: usize,
    key: hmac::Key,
}

impl Steady {
    /// A check that the engine took, if it is genuine: signed with our password.
    pub(super) fn of(pair: Pair, bytes: &[u8], password: String) -> Option<Self> {
        let check = Check::read(bytes, &password)?;
        verified(&check.key, bytes, check.integrity_at)?;
        Some(Self {
            pair,
            username: check.username.to_vec(),
            nominates: check.nominates,
            password,
        })
    }

    /// The answer to a check that is genuine and the same as this one.
    pub(super) fn answer(&self, pair: Pair, bytes: &[u8]) -> Option<Vec<u8>> {
        if pair != self.pair {
            return None;
        }
        let check = Check::read(bytes, &self.password)?;
        if check.username != self.username || (check.nominates && !self.nominates) {
            return None;
        }
        verified(&check.key, bytes, check.integrity_at)?;
        let mut reply = binding::success(bytes.get(..HEADER)?, pair.source);
        append_signature(&check.key, &mut reply)?;
        append_fingerprint(&mut reply)?;
        Some(reply)
    }
}

impl<'a> Check<'a> {
    /// Reads a binding request of a controlling agent in which nothing has to be understood that is not here.
    fn read(bytes: &'a [u8], password: &str) -> Option<Self> {
        let (header, attributes) = bytes.split_at_checked(HEADER)?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if header[..2] != BINDING_REQUEST || header[4..8] != COOKIE || length != attributes.len() {
            return None;
        }
        let (mut username, mut nominates) = (None, false);
        let mut rest = attributes;
        while let [t0, t1, l0, l1, value @ ..] = rest {
            let kind = u16::from_be_bytes([*t0, *t1]);
            let length = usize::from(u16::from_be_bytes([*l0, *l1]));
            match kind {
                USERNAME => username = value.get(..length),
                USE_CANDIDATE => nominates = true,
                MESSAGE_INTEGRITY if length == INTEGRITY => {
                    return Some(Self {
                        username: username?,
                        nominates,
                        integrity_at: bytes.len() - rest.len(),
                        key: key(password.as_bytes()),
                    });
                }
                PRIORITY => {}
                ICE_CONTROLLED => return None,
                FIRST_OPTIONAL.. => {}
                _ => return None,
            }
            rest = value.get(length.next_multiple_of(4)..)?;
        }
        None
    }
}

fn append_fingerprint(message: &mut Vec<u8>) -> Option<()> {
    const BYTES: usize = 8;
    set_length(message, BYTES)?;
    let checksum = CRC.checksum(message) ^ FINGERPRINT_MASK;
    message.extend(FINGERPRINT.to_be_bytes());
    message.extend(4_u16.to_be_bytes());
    message.extend(checksum.to_be_bytes());
    Some(())
}

#[cfg(test)]
mod tests {
    use str0m::ice::{StunMessage, StunMessageBuilder, TransId};

    use super::{super::check::sha1_hmac, *};

    struct Say {
        username: &'static str,
        password: &'static str,
        nominates: bool,
        is_controlling: bool,
    }

    const USUAL: Say = Say {
        username: "0ours:theirs",
        password: "password",
        nominates: true,
        is_controlling: true,
    };

    /// A check by another implementation.
    fn check(say: &Say) -> Vec<u8> {
        let builder = StunMessageBuilder::new().binding().request();
        let mut builder = builder.username(say.username).prio(7);
        builder = match say.is_controlling {
            true => builder.ice_controlling(9),
            false => builder.ice_controlled(9),
        };
        if say.nominates {
            builder = builder.use_candidate();
        }
        let mut buffer = vec![0; 256];
        let password = Some(say.password.as_bytes());
        let message = builder.build(TransId::new());
        let length = message.to_bytes(password, &mut buffer, sha1_hmac).unwrap();
        buffer.truncate(length);
        buffer
    }

    fn pair(source: &str) -> Pair {
        Pair {
            protocol: Protocol::Udp,
            source: source.parse().unwrap(),
            destination: "192.0.2.1:7882".parse().unwrap(),
        }
    }

    #[test]
    fn the_same_check_is_answered_as_another_implementation_expects() {
        for source in ["198.51.100.7:4321", "[2001:db8::7]:4321"] {
            let pair = pair(source);
            let steady = Steady::of(pair, &check(&USUAL), "password".into()).unwrap();
            let again = check(&USUAL);
            let reply = steady.answer(pair, &again).unwrap();
            let parsed = StunMessage::parse(&reply).unwrap();
            assert!(parsed.is_successful_binding_response());
            assert!(parsed.verify(b"password", sha1_hmac));
            assert_eq!(parsed.mapped_address(), Some(pair.source));
            assert_eq!(reply[4..HEADER], again[4..HEADER], "same transaction");
            // RFC 8489 section 14.7: a checksum over all before it, and the last attribute.
            let (body, fingerprint) = reply.split_at(reply.len() - 8);
            let checksum = CRC.checksum(body) ^ FINGERPRINT_MASK;
            assert_eq!(fingerprint[..4], [0x80, 0x28, 0, 4]);
            assert_eq!(fingerprint[4..], checksum.to_be_bytes());
        }
    }

    #[test]
    fn a_known_message_has_the_fingerprint_of_the_rfc() {
        // RFC 5769 section 2.2, without its software.
        let mut message = vec![0x01, 0x01, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        message.extend([
            0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae,
        ]);
        assert_eq!(CRC.checksum(b"123456789"), 0xcbf4_3926);
        append_fingerprint(&mut message).unwrap();
        assert_eq!((message.len(), message[3]), (28, 8));
    }

    #[test]
    fn what_says_anything_new_is_the_engines() {
        let here = pair("198.51.100.7:4321");
        let first = check(&Say {
            nominates: false,
            ..USUAL
        });
        let steady = Steady::of(here, &first, "password".into()).unwrap();
        assert!(steady.answer(here, &first).is_some());
        for other in [
            Say {
                nominates: true,
                ..USUAL
            },
            Say {
                username: "0ours:others",
                nominates: false,
                ..USUAL
            },
            Say {
                password: "forged",
                nominates: false,
                ..USUAL
            },
            Say {
                is_controlling: false,
                nominates: false,
                ..USUAL
            },
        ] {
            assert!(steady.answer(here, &check(&other)).is_none());
        }
        assert!(steady.answer(pair("198.51.100.7:4322"), &first).is_none());
        let mut unknown = first.clone();
        // PRIORITY becomes an attribute that has to be understood.
        let at = unknown
            .windows(4)
            .position(|w| w == [0, 0x24, 0, 4])
            .unwrap();
        unknown[at + 1] = 0x26;
        assert!(steady.answer(here, &unknown).is_none());
        for end in 0..first.len() {
            assert!(steady.answer(here, &first[..end]).is_none(), "{end} bytes");
        }
        assert!(Steady::of(here, &first, "another".into()).is_none());
        let mut response = first;
        response[0] = 1;
        assert!(Steady::of(here, &response, "password".into()).is_none());
    }
}
