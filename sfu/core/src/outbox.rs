//! What waits to be sent: one arena of bytes and the runs of datagrams in it. Datagrams of one flow that
//! follow each other become one run, which a socket with segmentation offload sends in one call. Must
//! not look into a datagram.

use std::{collections::VecDeque, net::SocketAddr, ops::Range};

use crate::{Protocol, Transmit};

/// The two ends of a flow of datagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) protocol: Protocol,
}

/// Datagrams of one flow, one behind the other in the arena: all as long as the first, but the last,
/// which may be shorter.
#[derive(Debug)]
struct Run {
    route: Route,
    bytes: Range<usize>,
    segment: usize,
    segments: usize,
}

/// The queue of datagrams of a shard.
#[derive(Debug)]
pub(crate) struct Outbox {
    /// Grows to what waits at a time, and is written over once all of that is sent.
    arena: Vec<u8>,
    /// Where the newest datagram ends; means nothing when none waits.
    end: usize,
    /// A datagram that is being written.
    draft: Vec<u8>,
    runs: VecDeque<Run>,
    /// Datagrams of one run at most.
    segments_max: usize,
    pub(crate) datagrams: u64,
    pub(crate) bytes: u64,
}

impl Outbox {
    /// A run is one UDP datagram to the kernel before it is cut (RFC 768).
    const RUN_BYTES: usize = 65_000;

    /// An arena that grew past this in a burst is given back.
    const KEPT_BYTES: usize = 4 << 20;

    /// `segments_max` is the number of datagrams of a run at most, at least 1.
    pub(crate) fn new(segments_max: usize) -> Self {
        Self {
            arena: Vec::new(),
            end: 0,
            draft: Vec::new(),
            runs: VecDeque::new(),
            segments_max: segments_max.max(1),
            datagrams: 0,
            bytes: 0,
        }
    }

    /// Bytes that wait to be sent, and those before them that are sent already; 0 when nothing waits.
    pub(crate) fn waiting(&self) -> usize {
        if self.runs.is_empty() { 0 } else { self.end }
    }

    /// Queues a datagram.
    pub(crate) fn push(&mut self, route: Route, bytes: &[u8]) {
        self.commit_as(&route, bytes.len(), |_, out| {
            out.copy_from_slice(bytes);
            true
        });
    }

    /// Room to write one datagram; [`Outbox::commit`] or [`Outbox::commit_as`] queues it.
    ///
    /// It is written here, in few bytes that stay in the nearest cache, and goes to its place once, when it is
    /// sealed: written there, each byte would wait for its line of the cache twice.
    pub(crate) fn draft(&mut self) -> &mut Vec<u8> {
        self.draft.clear();
        &mut self.draft
    }

    /// Bytes of the draft.
    pub(crate) fn draft_len(&self) -> usize {
        self.draft.len()
    }

    /// Queues the draft as it is.
    pub(crate) fn commit(&mut self, route: &Route) {
        self.commit_as(route, self.draft.len(), |draft, out| {
            out.copy_from_slice(draft);
            true
        });
    }

    /// Queues what `seal` makes of the draft, so many bytes; nothing where it returns false.
    pub(crate) fn commit_as(
        &mut self,
        route: &Route,
        length: usize,
        seal: impl FnOnce(&[u8], &mut [u8]) -> bool,
    ) -> bool {
        let start = self.waiting();
        let end = start + length;
        if self.arena.len() < end {
            self.arena.resize(end, 0);
        }
        let out = self.arena.get_mut(start..end);
        let is_sealed = out.is_some_and(|out| seal(&self.draft, out));
        if is_sealed {
            self.end = end;
            self.enqueue(route, start, end);
        }
        is_sealed
    }

    fn enqueue(&mut self, route: &Route, start: usize, end: usize) {
        let length = end - start;
        self.datagrams += 1;
        self.bytes += length as u64;
        if let Some(run) = self.runs.back_mut()
            && run.takes(route, start, length, self.segments_max)
        {
            run.bytes.end = end;
            run.segments += 1;
            return;
        }
        self.runs.push_back(Run {
            route: *route,
            bytes: start..end,
            segment: length,
            segments: 1,
        });
    }

    /// The oldest run.
    pub(crate) fn poll(&mut self) -> Option<Transmit<'_>> {
        let Some(run) = self.runs.pop_front() else {
            if self.arena.capacity() > Self::KEPT_BYTES {
                self.arena = Vec::new();
            }
            return None;
        };
        Some(Transmit {
            source: run.route.source,
            destination: run.route.destination,
            protocol: run.route.protocol,
            bytes: self.arena.get(run.bytes)?,
            segment_size: (run.segments > 1).then_some(run.segment),
        })
    }
}

impl Run {
    fn takes(&self, route: &Route, start: usize, length: usize, segments_max: usize) -> bool {
        self.bytes.end == start
            && self.segments < segments_max
            && length <= self.segment
            && self.bytes.len() == self.segment * self.segments
            && self.bytes.len() + length <= Outbox::RUN_BYTES
            && self.route == *route
            // A frame of RFC 4571 has its length before it.
            && route.protocol == Protocol::Udp
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(port: u16) -> Route {
        Route {
            source: ([127, 0, 0, 1], 1).into(),
            destination: ([127, 0, 0, 1], port).into(),
            protocol: Protocol::Udp,
        }
    }

    /// What comes out of a queue: port, bytes, segment size.
    fn drained(outbox: &mut Outbox) -> Vec<(u16, usize, Option<usize>)> {
        std::iter::from_fn(|| {
            let run = outbox.poll()?;
            Some((run.destination.port(), run.bytes.len(), run.segment_size))
        })
        .collect()
    }

    #[test]
    fn datagrams_of_one_flow_become_runs() {
        type Case = (
            &'static [(u16, usize)],
            &'static [(u16, usize, Option<usize>)],
        );
        let cases: [Case; 6] = [
            (&[(1, 100)], &[(1, 100, None)]),
            (&[(1, 100), (1, 100), (1, 60)], &[(1, 260, Some(100))]),
            // A shorter one ends a run, a longer one begins a new one.
            (
                &[(1, 100), (1, 60), (1, 60)],
                &[(1, 160, Some(100)), (1, 60, None)],
            ),
            (&[(1, 60), (1, 100)], &[(1, 60, None), (1, 100, None)]),
            (
                &[(1, 9), (2, 9), (1, 9)],
                &[(1, 9, None), (2, 9, None), (1, 9, None)],
            ),
            (
                &[(1, 9), (1, 9), (1, 9), (1, 9), (1, 9)],
                &[(1, 36, Some(9)), (1, 9, None)],
            ),
        ];
        for (pushed, expected) in cases {
            let mut outbox = Outbox::new(4);
            for (port, length) in pushed {
                outbox.push(route(*port), &vec![7; *length]);
            }
            assert_eq!(outbox.datagrams, pushed.len() as u64);
            assert_eq!(drained(&mut outbox), expected, "{pushed:?}");
            assert!(outbox.poll().is_none());
        }
    }

    #[test]
    fn a_run_fits_one_call_and_tcp_makes_none() {
        let mut outbox = Outbox::new(64);
        for _ in 0..3 {
            outbox.push(route(1), &vec![7; 30_000]);
        }
        assert_eq!(
            drained(&mut outbox),
            [(1, 60_000, Some(30_000)), (1, 30_000, None)]
        );
        let tcp = Route {
            protocol: Protocol::Tcp,
            ..route(1)
        };
        outbox.push(tcp, &[1]);
        outbox.push(tcp, &[1]);
        assert_eq!(drained(&mut outbox), [(1, 1, None), (1, 1, None)]);
    }
}
