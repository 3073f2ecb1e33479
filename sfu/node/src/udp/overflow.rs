//! Datagrams the kernel dropped because a receive buffer was full, as `/proc/net/udp` counts them: the
//! first thing to look at when a node loses packets that no counter of ours shows. Must not be asked by
//! a worker: the kernel walks all UDP sockets of the machine to answer.

use std::{
    fs,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Tables of the kernel, by family.
const TABLES: [&str; 2] = ["/proc/net/udp", "/proc/net/udp6"];

/// How long an answer is good.
const GOOD_FOR: Duration = Duration::from_secs(1);

/// The drops of some sockets.
#[derive(Debug)]
pub(crate) struct Overflows {
    own: Vec<SocketAddr>,
    last: Mutex<Option<(Instant, u64)>>,
}

impl Overflows {
    /// For the sockets bound to these addresses.
    pub(crate) fn new(own: Vec<SocketAddr>) -> Self {
        Self {
            own,
            last: Mutex::new(None),
        }
    }

    /// Datagrams dropped so far, at most a second old. 0 where the kernel does not tell.
    pub(crate) fn count(&self) -> u64 {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if let Some((at, count)) = *last
            && now < at + GOOD_FOR
        {
            return count;
        }
        let count = TABLES
            .into_iter()
            // No IPv6 on this machine, or no /proc: nothing to count.
            .filter_map(|path| fs::read_to_string(path).ok())
            .map(|table| drops(&table, &self.own))
            .sum();
        *last = Some((now, count));
        count
    }
}

/// The sum of the last column of the lines whose second column is one of `own`.
fn drops(table: &str, own: &[SocketAddr]) -> u64 {
    table
        .lines()
        .filter_map(|line| {
            let mut columns = line.split_whitespace();
            let local = address(columns.nth(1)?)?;
            let drops = columns.next_back()?.parse::<u64>().ok()?;
            own.contains(&local).then_some(drops)
        })
        .sum()
}

/// An address as the kernel prints it: `0100007F:1ECA`, each 32-bit word in the machine's byte order.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let word = |at: usize| -> Option<[u8; 4]> {
        let hex = ip.get(at * 8..at * 8 + 8)?;
        Some(u32::from_str_radix(hex, 16).ok()?.to_ne_bytes())
    };
    let ip: IpAddr = match ip.len() {
        8 => Ipv4Addr::from(word(0)?).into(),
        32 => {
            let mut octets = [0; 16];
            for (at, part) in octets.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(at)?);
            }
            Ipv6Addr::from(octets).into()
        }
        _ => return None,
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(test)]
mod tests {
    use socket2::SockRef;

    use super::*;

    #[test]
    #[cfg(target_endian = "little")]
    fn addresses_are_read_as_the_kernel_prints_them() {
        for (text, expected) in [
            ("0100007F:1ECA", Some("127.0.0.1:7882")),
            ("00000000000000000000000001000000:0035", Some("[::1]:53")),
            (
                "B80D0120000000000000000007000000:1ECA",
                Some("[2001:db8::7]:7882"),
            ),
            ("local_address", None),
            ("0100007F", None),
            ("zz00007F:1ECA", None),
        ] {
            assert_eq!(address(text).map(|a| a.to_string()).as_deref(), expected);
        }
    }

    #[test]
    fn what_does_not_fit_the_buffer_is_counted() {
        for ip in ["127.0.0.1:0", "[::1]:0"] {
            let socket = std::net::UdpSocket::bind(ip).unwrap();
            SockRef::from(&socket).set_recv_buffer_size(4096).unwrap();
            let own = socket.local_addr().unwrap();
            let other = std::net::UdpSocket::bind(ip).unwrap();
            for _ in 0..64 {
                other.send_to(&[7; 1000], own).unwrap();
            }
            let dropped = Overflows::new(vec![own]).count();
            assert!((1..64).contains(&dropped), "{ip}: {dropped}");
            assert_eq!(Overflows::new(vec![other.local_addr().unwrap()]).count(), 0);
        }
    }
}
