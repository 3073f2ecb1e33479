//! The sending half of a socket: runs by segmentation offload, single datagrams gathered, what the
//! kernel does not take in the queue. Order holds for each destination. Must never wait.

use std::{
    io,
    net::{IpAddr, SocketAddr, UdpSocket},
};

use quinn_udp::{Transmit, UdpSocketState};
use rustix::io::Errno;

use super::{UdpPort, UdpStats, queue::Waiting};

/// Datagrams the kernel cuts one call into at most (`UDP_MAX_SEGMENTS` of kernels before 6.9).
const MAX_SEGMENTS: usize = 64;

/// Runs in a row that a device refuses and whose datagrams it takes, until none are offered any more.
const MAX_REFUSALS: u32 = 8;

impl UdpPort {
    /// Sends a datagram, or a run of datagrams of `segment` bytes, the last of them maybe shorter. A run
    /// goes out at once; single datagrams may wait for [`UdpPort::flush`].
    pub(crate) fn send(&mut self, destination: SocketAddr, bytes: &[u8], segment: Option<usize>) {
        let segment = segment.unwrap_or(bytes.len()).max(1);
        if segment < bytes.len() && self.wire.has_offload() {
            // Whatever came before goes before.
            self.flush();
            let from = self.origins.of(destination);
            for run in bytes.chunks(segment * MAX_SEGMENTS) {
                self.send_or_wait(destination, from, run, segment);
            }
        } else if bytes.is_empty() {
            self.send_single(destination, bytes);
        } else {
            for datagram in bytes.chunks(segment) {
                self.send_single(destination, datagram);
            }
        }
    }

    fn send_single(&mut self, destination: SocketAddr, bytes: &[u8]) {
        let from = self.origins.of(destination);
        if from.is_some() {
            self.flush();
            self.send_or_wait(destination, from, bytes, bytes.len());
            return;
        }
        self.gathered.push(destination, bytes);
        if self.gathered.is_full() {
            self.flush();
        }
    }

    fn send_or_wait(
        &mut self,
        destination: SocketAddr,
        from: Option<IpAddr>,
        bytes: &[u8],
        segment: usize,
    ) {
        let done = if self.waiting.is_empty() {
            self.wire.send(destination, from, bytes, segment)
        } else {
            Progress::Blocked(0)
        };
        if let Progress::Blocked(done) = done {
            let rest = Waiting::new(destination, from, &bytes[done..], segment);
            self.wait(rest);
        }
    }

    fn wait(&mut self, waiting: Waiting) {
        self.wire.stats.send_dropped += count(self.waiting.push(waiting));
    }

    /// Sends the single datagrams that were gathered.
    pub(crate) fn flush(&mut self) {
        let mut next = 0;
        while next < self.gathered.len() && self.waiting.is_empty() {
            self.wire.stats.send_calls += 1;
            match self.gathered.send(&self.wire.socket, next) {
                Ok(taken) => {
                    self.wire.stats.sent += count(taken);
                    next += taken;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(_) => {
                    self.wire.stats.send_errors += 1;
                    next += 1;
                }
            }
        }
        for i in next..self.gathered.len() {
            let (destination, bytes) = self.gathered.datagram(i);
            let waiting = Waiting::new(destination, None, bytes, bytes.len());
            self.wire.stats.send_dropped += count(self.waiting.push(waiting));
        }
        self.gathered.clear();
    }

    /// Sends what waits, as far as the kernel takes it.
    pub(crate) fn flush_waiting(&mut self) {
        while let Some(waiting) = self.waiting.front() {
            let bytes = waiting.bytes();
            let progress =
                self.wire
                    .send(waiting.destination, waiting.from, bytes, waiting.segment);
            let done = match progress {
                Progress::Done => bytes.len(),
                Progress::Blocked(done) => done,
            };
            if !self.waiting.advance(done) || progress != Progress::Done {
                return;
            }
        }
    }
}

/// How far a call came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// Nothing is left: taken or refused.
    Done,
    /// So many bytes are done with; the kernel takes no more for now.
    Blocked(usize),
}

/// The socket itself, with its offload.
#[derive(Debug)]
pub(super) struct Wire {
    pub(super) socket: UdpSocket,
    pub(super) state: UdpSocketState,
    offload: Offload,
    pub(super) stats: UdpStats,
}

impl Wire {
    pub(super) fn new(socket: UdpSocket, state: UdpSocketState) -> Self {
        let offload = Offload {
            is_on: state.max_gso_segments() > 1,
            refusals: 0,
        };
        Self {
            socket,
            state,
            offload,
            stats: UdpStats::default(),
        }
    }

    pub(super) fn has_offload(&self) -> bool {
        self.offload.is_on
    }

    /// One call for all, if the kernel likes it; else one for each datagram.
    pub(super) fn send(
        &mut self,
        destination: SocketAddr,
        from: Option<IpAddr>,
        bytes: &[u8],
        segment: usize,
    ) -> Progress {
        if segment >= bytes.len() || !self.has_offload() {
            return self.send_each(destination, from, bytes, segment);
        }
        let datagrams = count(bytes.len().div_ceil(segment));
        match self.call(destination, from, bytes, Some(segment)) {
            Ok(()) => {
                self.stats.sent += datagrams;
                self.offload.on_taken();
                Progress::Done
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Progress::Blocked(0),
            Err(error) => match Refusal::of(&error) {
                Refusal::Destination => {
                    self.stats.send_errors += datagrams;
                    Progress::Done
                }
                refusal => {
                    let sent = self.stats.sent;
                    let progress = self.send_each(destination, from, bytes, segment);
                    let were_taken = self.stats.sent - sent == datagrams;
                    if refusal == Refusal::Device && were_taken {
                        self.offload.on_refused(&error);
                    }
                    progress
                }
            },
        }
    }

    fn send_each(
        &mut self,
        destination: SocketAddr,
        from: Option<IpAddr>,
        bytes: &[u8],
        segment: usize,
    ) -> Progress {
        let segment = segment.max(1);
        let mut done = 0;
        loop {
            let end = bytes.len().min(done + segment);
            match self.call(destination, from, &bytes[done..end], None) {
                Ok(()) => self.stats.sent += 1,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Progress::Blocked(done);
                }
                Err(_) => self.stats.send_errors += 1,
            }
            done = end;
            if done >= bytes.len() {
                return Progress::Done;
            }
        }
    }

    fn call(
        &mut self,
        destination: SocketAddr,
        from: Option<IpAddr>,
        bytes: &[u8],
        segment: Option<usize>,
    ) -> io::Result<()> {
        self.stats.send_calls += 1;
        let transmit = Transmit {
            destination,
            // Nothing of ours reacts to congestion marks of what it sends (RFC 3168, section 5.2).
            ecn: None,
            contents: bytes,
            segment_size: segment,
            src_ip: from,
        };
        self.state.try_send((&self.socket).into(), &transmit)
    }
}

/// Who refused a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refusal {
    /// The way out cannot cut it: no checksums in hardware, or encryption on the way.
    Device,
    /// Its datagrams are larger than the way takes in one piece.
    Size,
    /// Its datagrams would be refused one by one, too.
    Destination,
}

impl Refusal {
    fn of(error: &io::Error) -> Self {
        match Errno::from_io_error(error) {
            Some(Errno::IO) => Self::Device,
            Some(Errno::INVAL | Errno::MSGSIZE) => Self::Size,
            _ => Self::Destination,
        }
    }
}

/// Whether runs are offered in one call.
#[derive(Debug)]
struct Offload {
    is_on: bool,
    /// Runs refused since the last that was taken.
    refusals: u32,
}

impl Offload {
    fn on_taken(&mut self) {
        self.refusals = 0;
    }

    /// A single way out that cannot cut must not cost the others theirs: only when there is nothing else,
    /// offering is given up.
    fn on_refused(&mut self, error: &io::Error) {
        self.refusals += 1;
        if self.refusals >= MAX_REFUSALS && self.is_on {
            self.is_on = false;
            tracing::warn!(
                %error,
                "the network device refuses segmentation offload: datagrams go out one by one"
            );
        }
    }
}

fn count(datagrams: usize) -> u64 {
    u64::try_from(datagrams).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offload_is_given_up_only_when_nothing_else_is_seen() {
        let refused = io::Error::from(Errno::IO);
        let mut offload = Offload {
            is_on: true,
            refusals: 0,
        };
        for _ in 0..MAX_REFUSALS {
            offload.on_refused(&refused);
            offload.on_taken();
        }
        for _ in 1..MAX_REFUSALS {
            offload.on_refused(&refused);
            assert!(offload.is_on);
        }
        offload.on_refused(&refused);
        assert!(!offload.is_on);
    }

    #[test]
    fn refusals_are_told_apart() {
        for (errno, expected) in [
            (Errno::IO, Refusal::Device),
            (Errno::INVAL, Refusal::Size),
            (Errno::MSGSIZE, Refusal::Size),
            (Errno::PERM, Refusal::Destination),
            (Errno::NETUNREACH, Refusal::Destination),
        ] {
            assert_eq!(Refusal::of(&io::Error::from(errno)), expected);
        }
    }
}
