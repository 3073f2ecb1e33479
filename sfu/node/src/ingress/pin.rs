//! From where the packets of one source are taken: its ports are open to the whole network, and only one sender is
//! to be heard. Must not read packets further than to see that they are RTP or RTCP.

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, Instant},
};

/// After so long without a packet another sender is believed: an encoder that is started anew has another port.
const RELEASE: Duration = Duration::from_secs(5);

/// The senders of one source.
#[derive(Debug)]
pub(super) struct Pin {
    /// As the caller said; then it never changes.
    given: Option<IpAddr>,
    /// Whom packets are taken from now, and when the last one came.
    sender: Option<(IpAddr, Instant)>,
    /// The address of each socket's peer, likewise.
    peers: Vec<Option<(SocketAddr, Instant)>>,
}

impl Pin {
    /// For so many sockets.
    pub(super) fn new(given: Option<IpAddr>, sockets: usize) -> Self {
        Self {
            given: given.map(|ip| ip.to_canonical()),
            sender: None,
            peers: vec![None; sockets],
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
        let is_rtp = bytes.first().is_some_and(|first| first >> 6 == 2);
        let is_live = |since: Instant| now.saturating_duration_since(since) < RELEASE;
        let Some(peer) = self.peers.get_mut(socket).filter(|_| is_rtp) else {
            return false;
        };
        let is_other = |(other, since): (IpAddr, Instant)| other != ip && is_live(since);
        if self.given.is_some_and(|given| given != ip) || self.sender.is_some_and(is_other) {
            return false;
        }
        if peer.is_some_and(|(other, since)| other != from && is_live(since)) {
            return false;
        }
        *peer = Some((from, now));
        self.sender = Some((ip, now));
        true
    }

    /// Where what is sent from a socket goes.
    pub(super) fn peer(&self, socket: usize) -> Option<SocketAddr> {
        self.peers
            .get(socket)
            .copied()
            .flatten()
            .map(|(from, _)| from)
    }

    /// When the last packet came.
    pub(super) fn heard(&self) -> Option<Instant> {
        self.sender.map(|(_, at)| at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RTP: &[u8] = &[0x80, 96];

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_first_sender_is_the_only_one_until_it_is_silent() {
        let origin = Instant::now();
        let mut pin = Pin::new(None, 2);
        let mut admit = |seconds, socket, from: &str| {
            let now = origin + Duration::from_secs(seconds);
            pin.admit(now, socket, at(from), RTP)
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
    fn a_sender_that_is_given_never_changes() {
        let origin = Instant::now();
        let mut pin = Pin::new(Some("192.0.2.1".parse().unwrap()), 1);
        assert!(!pin.admit(origin, 0, at("192.0.2.2:1000"), RTP));
        assert!(pin.admit(origin, 0, at("192.0.2.1:1000"), RTP));
        let later = origin + Duration::from_secs(60);
        assert!(!pin.admit(later, 0, at("192.0.2.2:1000"), RTP));
    }

    #[test]
    fn what_is_no_rtp_claims_nothing() {
        let now = Instant::now();
        let mut pin = Pin::new(None, 1);
        for bytes in [&[][..], b"GET / HTTP/1.1", &[0, 1, 0, 0]] {
            assert!(!pin.admit(now, 0, at("192.0.2.1:1"), bytes));
        }
        assert_eq!((pin.peer(0), pin.heard()), (None, None));
        assert!(pin.admit(now, 0, at("192.0.2.2:1"), RTP));
    }
}
