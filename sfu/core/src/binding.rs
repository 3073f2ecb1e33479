//! Plain binding requests of STUN (RFC 8489 section 3): somebody who has no session asks how we see him.
//!
//! Owns reading the request, the answer, and how many answers a source gets: who asks may have lied
//! about his address, and whom we answer then did not ask. An answer has 32 bytes (IPv4) or 44 (IPv6) to
//! the 20 of the shortest request, so what limits an abuse is their number. Must not know a session:
//! checks of ICE carry a user name and are not read here.

use std::{
    hash::{BuildHasher as _, RandomState},
    net::{IpAddr, Ipv6Addr, SocketAddr},
    time::{Duration, Instant},
};

use crate::stun::{
    BINDING_SUCCESS, FIRST_OPTIONAL, HEADER, INTEGRITY, Message, XOR_MAPPED_ADDRESS,
};

/// Bits of an IPv6 address that one subscriber usually controls.
const IPV6_HOST_BITS: u32 = 64;

/// The answer to a plain binding request: one with no attribute that would have to be understood.
pub fn binding_reply(request: &[u8], source: SocketAddr) -> Option<Vec<u8>> {
    let message = Message::read(request).filter(Message::is_binding_request)?;
    let mut attributes = message.attributes();
    attributes
        .all(|attribute| attribute.is_some_and(|attribute| attribute.kind >= FIRST_OPTIONAL))
        .then(|| success(message.header, source))
}

/// A success response without an end: the answer to a binding request with this header (its first 20 bytes), up to the
/// address that it came from. RFC 8489 section 14.2.
pub(crate) fn success(header: &[u8], source: SocketAddr) -> Vec<u8> {
    // The port and an IPv4 address are hidden by the cookie, an IPv6 address by all that follows it.
    let mask = header.get(4..HEADER).unwrap_or_default();
    let mut hidden = [0; 18];
    let [p0, p1] = source.port().to_be_bytes();
    (hidden[0], hidden[1]) = (p0, p1);
    let (family, size) = match source.ip().to_canonical() {
        IpAddr::V4(ip) => {
            hidden[2..6].copy_from_slice(&ip.octets());
            (1, 8)
        }
        IpAddr::V6(ip) => {
            hidden[2..].copy_from_slice(&ip.octets());
            (2, 20)
        }
    };
    let (port, address) = hidden.split_at_mut(2);
    for part in [port, address] {
        for (byte, mask) in part.iter_mut().zip(mask) {
            *byte ^= mask;
        }
    }
    // With room for a signature and a fingerprint.
    let mut reply = Vec::with_capacity(HEADER + 24 + 4 + INTEGRITY + 8);
    reply.extend(BINDING_SUCCESS);
    reply.extend([0, size + 4]);
    reply.extend(mask);
    reply.extend(XOR_MAPPED_ADDRESS.to_be_bytes());
    reply.extend([0, size, 0, family]);
    reply.extend(hidden.iter().take(usize::from(size) - 2));
    reply
}

/// How many answers a source gets that has not shown that its address is its own. Sources are counted by a hash, so
/// that no number of forged ones fills anything: two in 65,536 share a count by chance, and nobody can choose which.
#[derive(Debug)]
pub struct ReplyLimit {
    /// The second that is counted.
    since: Option<Instant>,
    hash: RandomState,
    answered: Box<[u8]>,
}

impl ReplyLimit {
    /// Answers to one source in one second.
    pub const PER_SECOND: u8 = 10;

    const COUNTS: u64 = 1 << 16;

    /// Nobody was answered yet.
    pub fn new() -> Self {
        Self {
            since: None,
            hash: RandomState::new(),
            answered: vec![0; Self::COUNTS as usize].into(),
        }
    }

    /// Whether a source may be answered now; counts the answer.
    pub fn admit(&mut self, now: Instant, source: IpAddr) -> bool {
        let is_over = |since| now.saturating_duration_since(since) >= Duration::from_secs(1);
        if self.since.is_none_or(is_over) {
            self.since = Some(now);
            self.answered.fill(0);
        }
        let at = self.hash.hash_one(source_network(source)) % Self::COUNTS;
        let Some(count) = self.answered.get_mut(at as usize) else {
            return false;
        };
        let is_admitted = *count < Self::PER_SECOND;
        *count += u8::from(is_admitted);
        is_admitted
    }
}

impl Default for ReplyLimit {
    fn default() -> Self {
        Self::new()
    }
}

/// What counts as one source: an IPv4 address or an IPv6 /64.
pub fn source_network(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(
            v6.to_bits() >> IPV6_HOST_BITS << IPV6_HOST_BITS,
        )),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(attributes: &[u8]) -> Vec<u8> {
        let mut bytes = vec![0x00, 0x01];
        bytes.extend((attributes.len() as u16).to_be_bytes());
        bytes.extend([0x21, 0x12, 0xa4, 0x42]);
        bytes.extend(1..=12_u8);
        bytes.extend(attributes);
        bytes
    }

    #[test]
    fn the_answer_tells_the_address_hidden_as_the_rfc_has_it() {
        let reply = binding_reply(&request(&[]), "192.0.2.1:32853".parse().unwrap()).unwrap();
        // RFC 5769 section 2.2 has these bytes for this address and port.
        let told = [0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43];
        assert_eq!(reply[..4], [1, 1, 0, 12]);
        assert_eq!(reply[4..20], request(&[])[4..20]);
        assert_eq!(reply[20..24], [0, 0x20, 0, 8]);
        assert_eq!(reply[24..], told);
        let v6: SocketAddr = "[2001:db8::1]:443".parse().unwrap();
        let reply = binding_reply(&request(&[]), v6).unwrap();
        assert_eq!(
            (reply.len(), reply[3], reply[23], reply[25]),
            (44, 24, 20, 2)
        );
        assert_eq!(
            reply[28..32],
            [0x20 ^ 0x21, 0x01 ^ 0x12, 0x0d ^ 0xa4, 0xb8 ^ 0x42]
        );
        assert_eq!(
            reply[43],
            1 ^ 12,
            "hidden by the last byte of the transaction"
        );
    }

    #[test]
    fn a_mapped_address_is_told_as_what_it_stands_for() {
        let mapped = "[::ffff:192.0.2.1]:32853".parse().unwrap();
        let plain = "192.0.2.1:32853".parse().unwrap();
        assert_eq!(
            binding_reply(&request(&[]), mapped),
            binding_reply(&request(&[]), plain)
        );
    }

    #[test]
    fn only_plain_whole_requests_are_answered() {
        let source = "192.0.2.1:1".parse().unwrap();
        let software = [0x80, 0x22, 0, 3, b'a', b'b', b'c', 0];
        let username = [0x00, 0x06, 0, 3, b'a', b':', b'b', 0];
        let integrity = [[0x00, 0x08, 0, 20].as_slice(), &[0; 20]].concat();
        assert!(binding_reply(&request(&software), source).is_some());
        for attributes in [
            &username[..],
            &integrity,
            &[software, username].concat(),
            &software[..6],
        ] {
            assert_eq!(binding_reply(&request(attributes), source), None);
        }
        let whole = request(&software);
        for end in 0..whole.len() {
            assert_eq!(binding_reply(&whole[..end], source), None, "cut at {end}");
        }
        for (at, value) in [(0, 1), (1, 0x11), (3, 4), (4, 0), (23, 200)] {
            let mut other = whole.clone();
            other[at] = value;
            assert_eq!(binding_reply(&other, source), None, "byte {at}");
        }
    }

    #[test]
    fn a_source_is_answered_ten_times_a_second() {
        let start = Instant::now();
        let mut limit = ReplyLimit::new();
        let mut answers = |at: u64, source: &str| {
            let (now, source) = (start + Duration::from_millis(at), source.parse().unwrap());
            (0..100).filter(|_| limit.admit(now, source)).count()
        };
        assert_eq!(answers(0, "192.0.2.1"), 10);
        assert_eq!(answers(999, "::ffff:192.0.2.1"), 0);
        assert_eq!(answers(999, "192.0.2.2"), 10);
        assert_eq!(answers(999, "2001:db8::1"), 10);
        assert_eq!(answers(999, "2001:db8::ffff:2"), 0, "of one network");
        assert_eq!(answers(1_000, "192.0.2.1"), 10);
    }

    #[test]
    fn a_flood_of_forged_sources_leaves_the_honest_one_its_answers() {
        let now = Instant::now();
        let mut limit = ReplyLimit::new();
        for source in 0..65_536_u32 {
            limit.admit(now, IpAddr::V4(source.into()));
        }
        let honest = (0..100_u32).map(|n| IpAddr::V4((0xc000_0200 + n).into()));
        let answered = honest.filter(|&source| limit.admit(now, source)).count();
        assert!(answered > 95, "{answered} of 100");
    }
}
