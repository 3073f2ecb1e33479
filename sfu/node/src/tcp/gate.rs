//! How many TCP connections there may be, in all and from one source. Must not know what they carry.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::stats::TcpEnd;

/// Bits of an IPv6 address that one subscriber usually controls.
const IPV6_HOST_BITS: u32 = 64;

/// Counts connections.
#[derive(Debug)]
pub(super) struct Gate {
    max: usize,
    max_per_source: usize,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    total: usize,
    by_source: HashMap<IpAddr, usize>,
}

/// A connection that counts, until it is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    gate: Arc<Gate>,
    source: IpAddr,
}

impl Gate {
    pub(super) fn new(max: usize, max_per_source: usize) -> Self {
        Self {
            max,
            max_per_source,
            open: Mutex::default(),
        }
    }

    /// Lets a connection in, or says which limit it meets.
    pub(super) fn admit(self: &Arc<Self>, source: IpAddr) -> Result<Slot, TcpEnd> {
        let source = network(source);
        let mut open = self.lock();
        if open.total >= self.max {
            return Err(TcpEnd::Limit);
        }
        if open
            .by_source
            .get(&source)
            .is_some_and(|&count| count >= self.max_per_source)
        {
            return Err(TcpEnd::SourceLimit);
        }
        open.total += 1;
        *open.by_source.entry(source).or_default() += 1;
        Ok(Slot {
            gate: Arc::clone(self),
            source,
        })
    }

    pub(super) fn connections(&self) -> u64 {
        u64::try_from(self.lock().total).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // No method panics half-way through a change.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut open = self.gate.lock();
        open.total -= 1;
        if let Some(count) = open.by_source.get_mut(&self.source) {
            *count -= 1;
            if *count == 0 {
                open.by_source.remove(&self.source);
            }
        }
    }
}

/// What counts as one source: an IPv4 address or an IPv6 /64.
fn network(source: IpAddr) -> IpAddr {
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

    #[test]
    fn limits_hold_in_all_and_by_source() {
        let gate = Arc::new(Gate::new(3, 2));
        let admit = |source: &str| gate.admit(source.parse().unwrap());
        let first = admit("192.0.2.1").unwrap();
        let _second = admit("::ffff:192.0.2.1").unwrap();
        assert_eq!(admit("192.0.2.1").unwrap_err(), TcpEnd::SourceLimit);
        let _third = admit("2001:db8::1").unwrap();
        assert_eq!(admit("2001:db8::2").unwrap_err(), TcpEnd::Limit);
        drop(first);
        let _fourth = admit("2001:db8::2").unwrap();
        assert_eq!(gate.connections(), 3);
    }

    #[test]
    fn an_ipv6_network_is_one_source_and_is_forgotten() {
        let gate = Arc::new(Gate::new(10, 1));
        let slot = gate.admit("2001:db8::1".parse().unwrap()).unwrap();
        let same = gate.admit("2001:db8::ffff:2".parse().unwrap());
        assert_eq!(same.unwrap_err(), TcpEnd::SourceLimit);
        assert!(gate.admit("2001:db8:0:1::1".parse().unwrap()).is_ok());
        drop(slot);
        assert!(gate.lock().by_source.is_empty());
    }
}
