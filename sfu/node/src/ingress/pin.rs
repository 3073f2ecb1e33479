//! From where the packets of one source are taken: its ports are open to the whole network, and only one sender is
//! to be heard. A sender whose address changes, because a NAT in front of it forgot, is followed at once where it shows
//! that it is the same: its packet goes on with a stream of which nothing comes from the old address any more. Must not
//! read packets further than to see what stream they are of.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

/// After so long without a packet another sender is believed: an encoder that is started anew has another port.
const RELEASE: Duration = Duration::from_secs(5);

/// After so long without a packet the same sender is believed to have another address: who still sends keeps its own.
const MOVED: Duration = Duration::from_millis(200);

/// So many packets may have been lost while the address changed. Who does not see the stream would have to guess its
/// SSRC, and its number with a chance of one in 128.
const AHEAD_MAX: u16 = 512;

/// Streams of one socket that are known, more than there are media.
const STREAMS_MAX: usize = 16;

/// The senders of one source.
#[derive(Debug)]
pub(super) struct Pin {
    /// As the caller said; then it never changes.
    given: Option<IpAddr>,
    /// Whom packets are taken from now, and when the last one came.
    sender: Option<(IpAddr, Instant)>,
    sockets: Vec<Socket>,
}

/// What is known of one socket.
#[derive(Debug, Clone, Default)]
struct Socket {
    /// The address of its peer, and when the last packet came.
    peer: Option<(SocketAddr, Instant)>,
    /// The newest number of each stream, by SSRC.
    streams: Vec<(u32, u16)>,
}

/// The stream that a packet of RTP belongs to, and its number in it; none for RTCP.
type Seen = Option<(u32, u16)>;

/// What is to be seen of a packet; an error for what is neither RTP nor RTCP.
fn look(bytes: &[u8]) -> Result<Seen, ()> {
    match bytes {
        [first, kind, ..] if first >> 6 == 2 && (192..=223).contains(kind) => Ok(None),
        [first, _, n0, n1, _, _, _, _, s0, s1, s2, s3, ..] if first >> 6 == 2 => {
            let ssrc = u32::from_be_bytes([*s0, *s1, *s2, *s3]);
            Ok(Some((ssrc, u16::from_be_bytes([*n0, *n1]))))
        }
        _ => Err(()),
    }
}

impl Socket {
    /// Whether a packet goes on with a stream that is known.
    fn goes_on(&self, seen: Seen) -> bool {
        seen.is_some_and(|(ssrc, number)| {
            let mut known = self.streams.iter().filter(|(other, _)| *other == ssrc);
            known.any(|(_, newest)| (1..=AHEAD_MAX).contains(&number.wrapping_sub(*newest)))
        })
    }

    /// Keeps the newest number of a stream.
    fn note(&mut self, seen: Seen) {
        let Some((ssrc, number)) = seen else { return };
        let known = self.streams.iter_mut().find(|(other, _)| *other == ssrc);
        match known {
            // One that was overtaken is not the newest.
            Some((_, newest)) if number.wrapping_sub(*newest) > u16::MAX / 2 => {}
            Some((_, newest)) => *newest = number,
            None => {
                if self.streams.len() >= STREAMS_MAX {
                    self.streams.remove(0);
                }
                self.streams.push((ssrc, number));
            }
        }
    }
}

impl Pin {
    /// For so many sockets.
    pub(super) fn new(given: Option<IpAddr>, sockets: usize) -> Self {
        Self {
            given: given.map(|ip| ip.to_canonical()),
            sender: None,
            sockets: vec![Socket::default(); sockets],
        }
    }

    /// Whether a datagram on a socket is taken; if so, its sender is who the next ones are taken from.
    pub(super) fn admit(
        &mut self,
        now: Instant,
        socket: usize,
        from: SocketAddr,
        bytes: &[u8],
    ) -> bool {
        let ip = from.ip().to_canonical();
        let Ok(seen) = look(bytes) else {
            return false;
        };
        let Some(place) = self.sockets.get_mut(socket) else {
            return false;
        };
        let patience = match place.goes_on(seen) {
            true => MOVED,
            false => RELEASE,
        };
        let is_live = |since: Instant| now.saturating_duration_since(since) < patience;
        let is_other = |(other, since): (IpAddr, Instant)| other != ip && is_live(since);
        let is_moved = |(other, since): (SocketAddr, Instant)| other != from && is_live(since);
        if self.given.is_some_and(|given| given != ip)
            || self.sender.is_some_and(is_other)
            || place.peer.is_some_and(is_moved)
        {
            return false;
        }
        place.peer = Some((from, now));
        place.note(seen);
        self.sender = Some((ip, now));
        true
    }

    /// Where what is sent from a socket goes.
    pub(super) fn peer(&self, socket: usize) -> Option<SocketAddr> {
        let (from, _) = self.sockets.get(socket)?.peer?;
        Some(from)
    }

    /// When the last packet came.
    pub(super) fn heard(&self) -> Option<Instant> {
        self.sender.map(|(_, at)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SSRC: u32 = 0x1234_5678;

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    fn rtp(ssrc: u32, number: u16) -> Vec<u8> {
        let mut bytes = vec![0x80, 96];
        bytes.extend(number.to_be_bytes());
        bytes.extend([0; 4]);
        bytes.extend(ssrc.to_be_bytes());
        bytes
    }

    #[test]
    fn the_first_sender_is_the_only_one_until_it_is_silent() {
        let origin = Instant::now();
        let mut pin = Pin::new(None, 2);
        let mut admit = |seconds, socket, from: &str| {
            let now = origin + Duration::from_secs(seconds);
            // All of the same number: nothing goes on with anything.
            pin.admit(now, socket, at(from), &rtp(SSRC, 7))
        };
        assert!(admit(0, 0, "192.0.2.1:1000"));
        assert!(!admit(1, 0, "192.0.2.2:1000"), "somebody else");
        assert!(!admit(1, 0, "192.0.2.1:1001"), "another port");
        assert!(
            !admit(1, 1, "192.0.2.2:1000"),
            "somebody else on another socket"
        );
        assert!(admit(2, 1, "192.0.2.1:1001"));
        assert!(
            !admit(6, 0, "192.0.2.2:1000"),
            "it sends on the other socket"
        );
        assert!(admit(6, 0, "192.0.2.1:7"), "started anew");
        assert!(admit(20, 0, "192.0.2.2:1000"), "after silence");
        assert_eq!(pin.peer(0), Some(at("192.0.2.2:1000")));
    }

    #[test]
    fn a_sender_that_goes_on_with_its_stream_is_followed_to_another_address() {
        const OLD: &str = "192.0.2.1:1000";
        // Milliseconds since the last packet, from where, SSRC, number; the last number was 65,530.
        for (millis, from, ssrc, number, expected) in [
            (200, "192.0.2.1:1001", SSRC, 65_531, true),
            (200, "192.0.2.9:1001", SSRC, 65_531, true),
            (200, "192.0.2.9:1001", SSRC, 506, true),
            (200, "192.0.2.9:1001", SSRC, 507, false),
            (200, "192.0.2.9:1001", SSRC, 65_530, false),
            (200, "192.0.2.9:1001", SSRC, 65_529, false),
            (200, "192.0.2.9:1001", SSRC + 1, 65_531, false),
            (199, "192.0.2.9:1001", SSRC, 65_531, false),
            (199, "192.0.2.1:1001", SSRC, 65_531, false),
            (5_000, "192.0.2.9:1001", SSRC + 1, 1, true),
        ] {
            let origin = Instant::now();
            let mut pin = Pin::new(None, 2);
            for (millis, number) in [(0, 65_529), (20, 65_530), (20, 65_528)] {
                let now = origin + Duration::from_millis(millis);
                assert!(pin.admit(now, 0, at(OLD), &rtp(SSRC, number)));
            }
            let now = origin + Duration::from_millis(20 + millis);
            let taken = pin.admit(now, 0, at(from), &rtp(ssrc, number));
            assert_eq!(taken, expected, "{millis} {from} {ssrc} {number}");
            let peer = if expected { from } else { OLD };
            assert_eq!(pin.peer(0), Some(at(peer)));
        }
    }

    #[test]
    fn a_sender_that_is_given_never_changes() {
        let origin = Instant::now();
        let mut pin = Pin::new(Some("192.0.2.1".parse().unwrap()), 1);
        assert!(!pin.admit(origin, 0, at("192.0.2.2:1000"), &rtp(SSRC, 1)));
        assert!(pin.admit(origin, 0, at("192.0.2.1:1000"), &rtp(SSRC, 2)));
        let later = origin + Duration::from_secs(60);
        assert!(!pin.admit(later, 0, at("192.0.2.2:1000"), &rtp(SSRC, 3)));
        let soon = origin + Duration::from_secs(1);
        assert!(pin.admit(soon, 0, at("192.0.2.1:1001"), &rtp(SSRC, 3)));
    }

    #[test]
    fn streams_that_are_remembered_are_few() {
        let mut socket = Socket::default();
        for ssrc in 0..100 {
            socket.note(Some((ssrc, 1)));
        }
        assert_eq!(socket.streams.len(), STREAMS_MAX);
        assert!(socket.goes_on(Some((99, 2))) && !socket.goes_on(Some((0, 2))));
    }

    #[test]
    fn what_is_no_rtp_claims_nothing() {
        let now = Instant::now();
        let mut pin = Pin::new(None, 1);
        for bytes in [&[][..], b"GET / HTTP/1.1", &[0, 1, 0, 0], &[0x80, 96, 0, 1]] {
            assert!(!pin.admit(now, 0, at("192.0.2.1:1"), bytes));
        }
        assert_eq!((pin.peer(0), pin.heard()), (None, None));
        assert!(pin.admit(now, 0, at("192.0.2.2:1"), &[0x80, 200, 0, 6]));
    }
}
