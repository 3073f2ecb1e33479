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

#[cfg(test)]
mod tests {
    use super::*;

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
