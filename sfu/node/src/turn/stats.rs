//! Numbers of the TURN server. Must not format or export.

use std::sync::atomic::{AtomicU64, Ordering};

/// Numbers of the TURN server: counters, and gauges of this moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TurnStats {
    /// Relays now.
    pub allocations: u64,
    /// Relays made.
    pub allocated: u64,
    /// Connections over TCP and TLS now.
    pub connections: u64,
    /// Plain binding requests (STUN) answered.
    pub bindings: u64,
    /// Bytes relayed from clients to peers.
    pub bytes_to_peers: u64,
    /// Bytes relayed from peers to clients.
    pub bytes_to_clients: u64,
    /// What went no further, by reason in the order of [`TurnDrop::ALL`].
    pub drops: [u64; TurnDrop::ALL.len()],
    /// Requests refused, by reason in the order of [`TurnRefusal::ALL`].
    pub refusals: [u64; TurnRefusal::ALL.len()],
}

/// Why something that came to the TURN server went no further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnDrop {
    /// Neither a STUN message nor channel data, or one that has no place here.
    Malformed,
    /// For relaying, of a client without a relay.
    NoAllocation,
    /// To or from a peer without a permission, or by a channel that is not bound.
    NoPermission,
    /// To or from an address that no relay may reach.
    Forbidden,
    /// Past the rate of a relay.
    Rate,
    /// An answer to a source that was answered often enough in this second.
    ReplyLimit,
    /// For a client that does not take what it is sent.
    QueueFull,
    /// The network did not take it.
    Network,
    /// A connection past the limits, of all or of its source.
    ConnectionLimit,
    /// A connection that was too slow: with TLS, its first relay, or a message.
    Timeout,
    /// A connection whose TLS failed.
    Tls,
    /// The server failed inside; its client lost the message.
    Fault,
}

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TurnRefusal {
    /// No credentials yet: the usual first step.
    Challenge,
    /// A nonce that is old or another's.
    StaleNonce,
    /// A credential whose time is over.
    Expired,
    /// A credential that was not made here, or the wrong password.
    Unauthorized,
    /// Another's credential on a relay.
    WrongCredentials,
    /// A peer that no relay may reach, or a connection to a peer over TCP.
    Forbidden,
    /// The participant, or its source, has as many relays as it may.
    Quota,
    /// The server has as many relays as it may, or no port.
    Capacity,
    /// No relay to do it with, or already one.
    Mismatch,
    /// Anything else that the request has wrong or that is not offered.
    BadRequest,
}

impl TurnDrop {
    /// All reasons, in order.
    pub const ALL: [Self; 12] = [
        Self::Malformed,
        Self::NoAllocation,
        Self::NoPermission,
        Self::Forbidden,
        Self::Rate,
        Self::ReplyLimit,
        Self::QueueFull,
        Self::Network,
        Self::ConnectionLimit,
        Self::Timeout,
        Self::Tls,
        Self::Fault,
    ];

    /// The reason as a metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::NoAllocation => "no_allocation",
            Self::NoPermission => "no_permission",
            Self::Forbidden => "forbidden",
            Self::Rate => "rate",
            Self::ReplyLimit => "reply_limit",
            Self::QueueFull => "queue_full",
            Self::Network => "network",
            Self::ConnectionLimit => "connection_limit",
            Self::Timeout => "timeout",
            Self::Tls => "tls",
            Self::Fault => "fault",
        }
    }
}

impl TurnRefusal {
    /// All reasons, in order.
    pub const ALL: [Self; 10] = [
        Self::Challenge,
        Self::StaleNonce,
        Self::Expired,
        Self::Unauthorized,
        Self::WrongCredentials,
        Self::Forbidden,
        Self::Quota,
        Self::Capacity,
        Self::Mismatch,
        Self::BadRequest,
    ];

    /// The reason as a metric label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Challenge => "challenge",
            Self::StaleNonce => "stale_nonce",
            Self::Expired => "expired",
            Self::Unauthorized => "unauthorized",
            Self::WrongCredentials => "wrong_credentials",
            Self::Forbidden => "forbidden",
            Self::Quota => "quota",
            Self::Capacity => "capacity",
            Self::Mismatch => "mismatch",
            Self::BadRequest => "bad_request",
        }
    }
}

/// The counters, as they are counted.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) allocated: AtomicU64,
    pub(super) bindings: AtomicU64,
    pub(super) bytes_to_peers: AtomicU64,
    pub(super) bytes_to_clients: AtomicU64,
    drops: [AtomicU64; TurnDrop::ALL.len()],
    refusals: [AtomicU64; TurnRefusal::ALL.len()],
}

impl Counters {
    pub(super) fn on_drop(&self, reason: TurnDrop) {
        add(&self.drops[reason as usize], 1);
    }

    pub(super) fn on_refused(&self, reason: TurnRefusal) {
        add(&self.refusals[reason as usize], 1);
    }

    /// The numbers of this moment, but for the gauges.
    pub(super) fn read(&self) -> TurnStats {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        TurnStats {
            allocated: read(&self.allocated),
            bindings: read(&self.bindings),
            bytes_to_peers: read(&self.bytes_to_peers),
            bytes_to_clients: read(&self.bytes_to_clients),
            drops: TurnDrop::ALL.map(|reason| read(&self.drops[reason as usize])),
            refusals: TurnRefusal::ALL.map(|reason| read(&self.refusals[reason as usize])),
            ..TurnStats::default()
        }
    }
}

pub(super) fn add(counter: &AtomicU64, amount: u64) {
    counter.fetch_add(amount, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_places_of_reasons_agree() {
        for (place, reason) in TurnDrop::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place, "{}", reason.label());
        }
        for (place, reason) in TurnRefusal::ALL.into_iter().enumerate() {
            assert_eq!(reason as usize, place, "{}", reason.label());
        }
    }
}
