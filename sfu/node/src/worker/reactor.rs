//! Where a worker's thread sleeps: until a socket is ready, somebody wakes it, or its time has come.
//!
//! Owns the wake-up from other threads. Must not know what the sockets carry. Waits with `ppoll`: a
//! worker has a handful of sockets, deadlines count to the nanosecond, and readiness to write is asked
//! for only while something waits to be written.

use std::{
    array, io,
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Wake, Waker},
    time::Duration,
};

use rustix::{
    event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll},
    io::Errno,
};

use crate::udp::UdpPort;

/// The sleep of one thread.
pub(super) struct Reactor {
    wakeup: Arc<Wakeup>,
    waker: Waker,
}

/// What a socket is ready for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Ready {
    pub(super) to_read: bool,
    pub(super) to_write: bool,
}

/// Wakes the thread. Costs a system call only while it is asleep, or about to.
#[derive(Debug)]
struct Wakeup {
    event: OwnedFd,
    is_armed: AtomicBool,
}

impl Wake for Wakeup {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.is_armed.swap(false, Ordering::SeqCst) {
            // It fails only when the counter is full: then the thread is being woken already.
            let _ = rustix::io::write(&self.event, &1_u64.to_ne_bytes());
        }
    }
}

impl Reactor {
    pub(super) fn new() -> io::Result<Self> {
        let event = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        let wakeup = Arc::new(Wakeup {
            event,
            is_armed: AtomicBool::new(false),
        });
        let waker = Waker::from(Arc::clone(&wakeup));
        Ok(Self { wakeup, waker })
    }

    /// For futures whose progress ends the wait.
    pub(super) fn waker(&self) -> &Waker {
        &self.waker
    }

    /// From now on a wake-up ends the next wait. Futures are to be polled after this, so that none
    /// slips through between the poll and the wait.
    pub(super) fn arm(&self) {
        self.wakeup.is_armed.store(true, Ordering::SeqCst);
    }

    /// Waits for at most `timeout`, or without end; `ready` tells of each port.
    pub(super) fn wait(
        &self,
        ports: &[UdpPort],
        timeout: Option<Duration>,
        ready: &mut Vec<Ready>,
    ) -> io::Result<()> {
        /// Sockets of most workers, and the wake-up; with more, each wait allocates.
        const FEW: usize = 8;
        ready.clear();
        let fd_of = |index: usize| match ports.get(index) {
            Some(port) => {
                let mut wanted = PollFlags::IN;
                wanted.set(PollFlags::OUT, port.has_waiting());
                PollFd::new(port, wanted)
            }
            None => PollFd::new(&self.wakeup.event, PollFlags::IN),
        };
        let (mut few, mut many): ([PollFd<'_>; FEW], Vec<PollFd<'_>>);
        let fds = if ports.len() < FEW {
            few = array::from_fn(fd_of);
            &mut few[..=ports.len()]
        } else {
            many = (0..=ports.len()).map(fd_of).collect();
            &mut many[..]
        };
        let timeout = timeout.map(|timeout| Timespec {
            tv_sec: timeout.as_secs().try_into().unwrap_or(i64::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        let outcome = poll(fds, timeout.as_ref());
        self.wakeup.is_armed.store(false, Ordering::SeqCst);
        match outcome {
            // A signal: whoever waits looks around and waits again.
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for (fd, _) in fds.iter().zip(ports) {
            let flags = fd.revents();
            ready.push(Ready {
                // An error shows at the next read.
                to_read: flags.intersects(PollFlags::IN | PollFlags::ERR),
                to_write: flags.contains(PollFlags::OUT),
            });
        }
        if fds.last().is_some_and(|fd| !fd.revents().is_empty()) {
            // Sets it back to nothing.
            let _ = rustix::io::read(&self.wakeup.event, &mut [0; 8]);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{net::UdpSocket, time::Instant};

    use super::*;
    use crate::{config::UdpConfig, udp};

    const LONG: Duration = Duration::from_secs(60);

    fn port() -> UdpPort {
        let socket = udp::bind("127.0.0.1:0".parse().unwrap(), &UdpConfig::default()).unwrap();
        UdpPort::new(socket, 4).unwrap()
    }

    #[test]
    fn a_datagram_ends_the_wait_for_its_port() {
        let ports = [port(), port()];
        let reactor = Reactor::new().unwrap();
        let other = UdpSocket::bind("127.0.0.1:0").unwrap();
        other.send_to(&[7], ports[1].local()).unwrap();
        let mut ready = Vec::new();
        reactor.wait(&ports, Some(LONG), &mut ready).unwrap();
        // Nothing waits to be written, so nobody asked whether it could be.
        let to_read = Ready {
            to_read: true,
            to_write: false,
        };
        assert_eq!(ready, [Ready::default(), to_read]);
    }

    #[test]
    fn a_wake_up_of_another_thread_is_never_missed() {
        let reactor = Reactor::new().unwrap();
        let mut ready = Vec::new();
        let waited = Instant::now();
        for _ in 0..1000 {
            let waker = reactor.waker().clone();
            reactor.arm();
            let thread = std::thread::spawn(move || waker.wake());
            reactor.wait(&[], Some(LONG), &mut ready).unwrap();
            thread.join().unwrap();
        }
        assert!(waited.elapsed() < LONG);
    }

    #[test]
    fn a_wake_up_ends_one_wait_only() {
        let reactor = Reactor::new().unwrap();
        let mut ready = Vec::new();
        reactor.waker().wake_by_ref();
        reactor.arm();
        reactor.waker().wake_by_ref();
        reactor.waker().wake_by_ref();
        let no_wait = Instant::now();
        reactor.wait(&[], Some(LONG), &mut ready).unwrap();
        assert!(no_wait.elapsed() < LONG);
        let short = Duration::from_millis(2);
        let waited = Instant::now();
        reactor.wait(&[], Some(short), &mut ready).unwrap();
        assert!(waited.elapsed() >= short, "nothing is left to wake it");
    }
}
