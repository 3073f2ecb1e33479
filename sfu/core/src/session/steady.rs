//! Connectivity checks that say nothing new: a client repeats the check of its pair of addresses every few seconds
//! for as long as it stays, and all it wants is an answer (RFC 8445 section 7.3, RFC 7675). Owns telling such
//! a check and answering it, for the engine takes ten times as long. Must not change any state of ICE: whatever
//! could is the engine's.

use aws_lc_rs::hmac;
use crc::{CRC_32_ISO_HDLC, Crc};

use super::check::{append_signature, key, set_length, verified};
use crate::{
    binding,
    outbox::Route,
    stun::{Check, FINGERPRINT, HEADER},
};

/// What the checksum of a fingerprint is combined with (RFC 8489 section 14.7).
const FINGERPRINT_MASK: u32 = 0x5354_554e;

static CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISO_HDLC);

/// The check that a client repeats.
pub(super) struct Steady {
    /// Where the answer goes.
    route: Route,
    /// Both halves.
    username: Box<str>,
    nominates: bool,
    /// Of our password.
    key: hmac::Key,
}

impl Steady {
    /// A check that the engine took, if it is genuine: signed with our password.
    pub(super) fn of(route: Route, check: &Check<'_>, password: &str) -> Option<Self> {
        let key = key(password.as_bytes());
        verified(&key, check).filter(|_| check.is_usual)?;
        Some(Self {
            route,
            username: check.username.into(),
            nominates: check.nominates,
            key,
        })
    }

    /// The answer to a check that is genuine and the same as this one.
    pub(super) fn answer(&self, route: Route, check: &Check<'_>) -> Option<Vec<u8>> {
        if route != self.route
            || !check.is_usual
            || *check.username != *self.username
            || (check.nominates && !self.nominates)
        {
            return None;
        }
        let signed = verified(&self.key, check)?;
        let mut reply = binding::success(signed.get(..HEADER)?, route.destination);
        append_signature(&self.key, &mut reply)?;
        append_fingerprint(&mut reply)?;
        Some(reply)
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
    use crate::Protocol;

    fn kept(route: Route, bytes: &[u8], password: &str) -> Option<Steady> {
        Steady::of(route, &Check::read(bytes)?, password)
    }

    fn answer(steady: &Steady, route: Route, bytes: &[u8]) -> Option<Vec<u8>> {
        steady.answer(route, &Check::read(bytes)?)
    }

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

    fn route(client: &str) -> Route {
        Route {
            protocol: Protocol::Udp,
            source: "192.0.2.1:7882".parse().unwrap(),
            destination: client.parse().unwrap(),
        }
    }

    #[test]
    fn the_same_check_is_answered_as_another_implementation_expects() {
        for source in ["198.51.100.7:4321", "[2001:db8::7]:4321"] {
            let route = route(source);
            let steady = kept(route, &check(&USUAL), "password").unwrap();
            let again = check(&USUAL);
            let reply = answer(&steady, route, &again).unwrap();
            let parsed = StunMessage::parse(&reply).unwrap();
            assert!(parsed.is_successful_binding_response());
            assert!(parsed.verify(b"password", sha1_hmac));
            assert_eq!(parsed.mapped_address(), Some(route.destination));
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
        let here = route("198.51.100.7:4321");
        let first = check(&Say {
            nominates: false,
            ..USUAL
        });
        let steady = kept(here, &first, "password").unwrap();
        assert!(answer(&steady, here, &first).is_some());
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
            assert!(answer(&steady, here, &check(&other)).is_none());
        }
        assert!(answer(&steady, route("198.51.100.7:4322"), &first).is_none());
        let mut unknown = first.clone();
        // PRIORITY becomes an attribute that has to be understood.
        let at = unknown
            .windows(4)
            .position(|w| w == [0, 0x24, 0, 4])
            .unwrap();
        unknown[at + 1] = 0x26;
        assert!(answer(&steady, here, &unknown).is_none());
        for end in 0..first.len() {
            assert!(
                answer(&steady, here, &first[..end]).is_none(),
                "{end} bytes"
            );
        }
        assert!(kept(here, &first, "another").is_none());
        let mut response = first;
        response[0] = 1;
        assert!(kept(here, &response, "password").is_none());
    }
}
