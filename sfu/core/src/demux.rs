//! Which session a datagram belongs to: connectivity checks by the user name in them (RFC 8445), the
//! rest by the source address that an accepted check has named. Must not look further into packets.

use std::{collections::HashMap, net::SocketAddr};

use crate::{Protocol, key::SessionKey, session::Role};

/// The tables of one shard.
#[derive(Debug, Default)]
pub(crate) struct Demux {
    by_username: HashMap<String, (SessionKey, Role)>,
    usernames: HashMap<(SessionKey, Role), String>,
    by_source: HashMap<(Protocol, SocketAddr), (SessionKey, Role)>,
}

impl Demux {
    /// A transport goes by this name from now on, and by no other.
    pub(crate) fn set_username(&mut self, username: String, session: SessionKey, role: Role) {
        if let Some(before) = self.usernames.insert((session, role), username.clone()) {
            self.by_username.remove(&before);
        }
        self.by_username.insert(username, (session, role));
    }

    /// An accepted check came from there; whoever had the address before has lost it.
    pub(crate) fn add_source(
        &mut self,
        protocol: Protocol,
        source: SocketAddr,
        session: SessionKey,
        role: Role,
    ) {
        self.by_source.insert((protocol, source), (session, role));
    }

    pub(crate) fn remove_source(&mut self, source: SocketAddr, session: SessionKey) {
        for protocol in [Protocol::Udp, Protocol::Tcp] {
            if self
                .by_source
                .get(&(protocol, source))
                .is_some_and(|(owner, _)| *owner == session)
            {
                self.by_source.remove(&(protocol, source));
            }
        }
    }

    pub(crate) fn remove_usernames(&mut self, session: SessionKey) {
        for role in [Role::Publish, Role::Subscribe] {
            if let Some(username) = self.usernames.remove(&(session, role)) {
                self.by_username.remove(&username);
            }
        }
    }

    pub(crate) fn by_username(&self, username: &str) -> Option<(SessionKey, Role)> {
        self.by_username.get(username).copied()
    }

    pub(crate) fn by_source(
        &self,
        protocol: Protocol,
        source: SocketAddr,
    ) -> Option<(SessionKey, Role)> {
        self.by_source.get(&(protocol, source)).copied()
    }
}

/// Kind of a datagram by its first byte (RFC 7983).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Stun,
    DtlsOrRtp,
    Other,
}

/// Sorts by the first byte.
pub(crate) fn kind(bytes: &[u8]) -> Kind {
    match bytes.first() {
        Some(0..=3) => Kind::Stun,
        Some(20..=63 | 128..=191) => Kind::DtlsOrRtp,
        _ => Kind::Other,
    }
}

/// Our half of the user name in a connectivity check: what stands before the colon. Reads the
/// attributes alone (RFC 8489 section 14); whether the check is genuine the session decides.
pub(crate) fn check_username(bytes: &[u8]) -> Option<&str> {
    const USERNAME: u16 = 0x0006;
    let name = std::str::from_utf8(attribute(bytes, USERNAME)?).ok()?;
    name.split_once(':').map(|(ours, _)| ours)
}

/// Whether a connectivity check nominates the pair of addresses that it came on (RFC 8445 section 7.1.1).
pub(crate) fn nominates(bytes: &[u8]) -> bool {
    const USE_CANDIDATE: u16 = 0x0025;
    const BINDING_REQUEST: [u8; 2] = [0, 1];
    bytes.starts_with(&BINDING_REQUEST) && attribute(bytes, USE_CANDIDATE).is_some()
}

/// An attribute of a STUN message.
fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    const HEADER: usize = 20;
    const COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
    if bytes.get(4..8)? != COOKIE {
        return None;
    }
    let mut rest = bytes.get(HEADER..)?;
    while let [t0, t1, l0, l1, value @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        if u16::from_be_bytes([*t0, *t1]) == kind {
            return value.get(..length);
        }
        rest = value.get(length.next_multiple_of(4)..)?;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(attributes: &[(u16, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
        bytes.extend([7; 12]);
        for (kind, value) in attributes {
            bytes.extend(kind.to_be_bytes());
            bytes.extend((value.len() as u16).to_be_bytes());
            bytes.extend(*value);
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        bytes
    }

    #[test]
    fn the_user_name_is_found_behind_other_attributes() {
        let bytes = check(&[(0x24, &[1, 2, 3]), (6, b"0ours:theirs")]);
        assert_eq!(check_username(&bytes), Some("0ours"));
    }

    #[test]
    fn no_prefix_of_a_check_is_misread() {
        let bytes = check(&[(0x24, &[1, 2, 3]), (6, b"0ours:theirs")]);
        for end in 0..bytes.len() - 1 {
            assert_eq!(check_username(&bytes[..end]), None, "{end} bytes");
        }
        assert_eq!(check_username(&check(&[(6, &[0xff, 0xfe, b':'])])), None);
        assert_eq!(check_username(&check(&[(6, b"nocolon")])), None);
        let mut long = check(&[(6, b"0ours:theirs")]);
        long[22..24].copy_from_slice(&u16::MAX.to_be_bytes());
        assert_eq!(check_username(&long), None);
    }

    #[test]
    fn the_first_byte_sorts() {
        for (byte, expected) in [
            (0, Kind::Stun),
            (3, Kind::Stun),
            (4, Kind::Other),
            (20, Kind::DtlsOrRtp),
            (63, Kind::DtlsOrRtp),
            (64, Kind::Other),
            (127, Kind::Other),
            (128, Kind::DtlsOrRtp),
            (191, Kind::DtlsOrRtp),
            (192, Kind::Other),
        ] {
            assert_eq!(kind(&[byte]), expected, "{byte}");
        }
        assert_eq!(kind(&[]), Kind::Other);
    }
}
