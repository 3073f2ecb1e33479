//! What waits for a socket that takes no more: a bounded queue, the oldest goes first when it is full.
//! Must not touch a socket.

use std::{
    collections::VecDeque,
    net::{IpAddr, SocketAddr},
};

/// Datagrams to one destination that wait together, all as long as `segment` but the last.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Waiting {
    pub(super) destination: SocketAddr,
    /// The address to send from, where the socket has several.
    pub(super) from: Option<IpAddr>,
    bytes: Vec<u8>,
    /// Of the bytes, those that no longer wait.
    done: usize,
    /// Bytes of each datagram, at least 1.
    pub(super) segment: usize,
}

impl Waiting {
    /// A copy of what could not be sent now.
    pub(super) fn new(
        destination: SocketAddr,
        from: Option<IpAddr>,
        bytes: &[u8],
        segment: usize,
    ) -> Self {
        Self {
            destination,
            from,
            bytes: bytes.to_vec(),
            done: 0,
            segment: segment.max(1),
        }
    }

    /// What is left to send.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes[self.done..]
    }

    fn datagrams(&self) -> usize {
        // An empty datagram is one too.
        self.bytes().len().div_ceil(self.segment).max(1)
    }
}

/// The queue of one socket.
#[derive(Debug)]
pub(super) struct SendQueue {
    runs: VecDeque<Waiting>,
    datagrams: usize,
    limit: usize,
}

impl SendQueue {
    /// An empty queue of at most `limit` datagrams.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            runs: VecDeque::new(),
            datagrams: 0,
            limit,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Queues behind all others; how many old datagrams gave way. The newest run always finds room.
    pub(super) fn push(&mut self, waiting: Waiting) -> usize {
        let datagrams = waiting.datagrams();
        let mut dropped = 0;
        // Old media is worth less than new.
        while self.datagrams + datagrams > self.limit {
            let Some(oldest) = self.runs.pop_front() else {
                break;
            };
            self.datagrams -= oldest.datagrams();
            dropped += oldest.datagrams();
        }
        self.datagrams += datagrams;
        self.runs.push_back(waiting);
        dropped
    }

    /// What has waited longest.
    pub(super) fn front(&self) -> Option<&Waiting> {
        self.runs.front()
    }

    /// `bytes` of the front, whole datagrams, wait no longer; whether it is gone.
    pub(super) fn advance(&mut self, bytes: usize) -> bool {
        let Some(front) = self.runs.front_mut() else {
            return true;
        };
        self.datagrams -= front.datagrams();
        front.done += bytes;
        if front.done < front.bytes.len() {
            self.datagrams += front.datagrams();
            return false;
        }
        self.runs.pop_front();
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(port: u16, length: usize, segment: usize) -> Waiting {
        let bytes = vec![7; length];
        Waiting::new(([127, 0, 0, 1], port).into(), None, &bytes, segment)
    }

    fn ports(queue: &SendQueue) -> Vec<u16> {
        queue.runs.iter().map(|w| w.destination.port()).collect()
    }

    #[test]
    fn the_oldest_gives_way_by_datagrams() {
        // Limit, what is pushed (port, bytes, segment), what is dropped, what is left.
        type Case = (usize, &'static [(u16, usize, usize)], usize, &'static [u16]);
        let cases: [Case; 5] = [
            (2, &[(1, 9, 9), (2, 9, 9)], 0, &[1, 2]),
            (2, &[(1, 9, 9), (2, 9, 9), (3, 9, 9)], 1, &[2, 3]),
            (4, &[(1, 25, 10), (2, 9, 9), (3, 9, 9)], 3, &[2, 3]),
            // One that fills more than the queue pushes everything out and stays itself.
            (2, &[(1, 9, 9), (2, 90, 9)], 1, &[2]),
            (1, &[(1, 0, 9), (2, 0, 9)], 1, &[2]),
        ];
        for (limit, pushed, expected_dropped, expected_left) in cases {
            let mut queue = SendQueue::new(limit);
            let dropped: usize = pushed
                .iter()
                .map(|&(port, length, segment)| queue.push(run(port, length, segment)))
                .sum();
            assert_eq!(dropped, expected_dropped, "{pushed:?}");
            assert_eq!(ports(&queue), expected_left, "{pushed:?}");
        }
    }

    #[test]
    fn a_run_leaves_datagram_by_datagram() {
        let mut queue = SendQueue::new(3);
        queue.push(run(1, 25, 10));
        assert!(!queue.advance(10));
        assert_eq!(queue.front().map(|w| w.bytes().len()), Some(15));
        assert_eq!(queue.push(run(2, 5, 5)), 0, "one place is free again");
        assert!(queue.advance(15));
        assert!(queue.advance(5));
        assert!(queue.is_empty());
        assert_eq!(queue.datagrams, 0);
    }
}
