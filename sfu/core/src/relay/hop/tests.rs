use std::{
    collections::BTreeSet,
    time::{Duration, Instant},
};

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

const ROOM: usize = 1_200;

type Loses = Box<dyn FnMut(u64, &Bytes) -> bool>;

/// Two ends, and what is under way between them. Time is in whole milliseconds.
struct Hop {
    start: Instant,
    now: u64,
    delay: u64,
    sender: HopSender,
    receiver: HopReceiver,
    /// By arrival, in order of sending; `true` goes to the receiver.
    under_way: Vec<(u64, bool, Bytes)>,
    /// Says of the nth datagram whether it is lost.
    loses: Loses,
    carried: u64,
    came: Vec<Bytes>,
}

impl Hop {
    fn new(delay: u64, loses: impl FnMut(u64, &Bytes) -> bool + 'static) -> Self {
        Self {
            start: Instant::now(),
            now: 0,
            delay,
            sender: HopSender::default(),
            receiver: HopReceiver::default(),
            under_way: Vec::new(),
            loses: Box::new(loses),
            carried: 0,
            came: Vec::new(),
        }
    }

    fn instant(&self) -> Instant {
        self.start + Duration::from_millis(self.now)
    }

    fn carry(&mut self, to_receiver: bool, datagrams: Vec<Bytes>) {
        for bytes in datagrams {
            self.carried += 1;
            if !(self.loses)(self.carried, &bytes) {
                let at = self.now + self.delay;
                self.under_way.push((at, to_receiver, bytes));
            }
        }
    }

    fn send(&mut self, message: &[u8]) {
        let mut out = Vec::new();
        let now = self.instant();
        assert!(self.sender.send(now, message, ROOM, |d| out.push(d)));
        assert!(out.iter().all(|datagram| datagram.len() <= ROOM));
        self.carry(true, out);
    }

    fn tick(&mut self) {
        self.now += 1;
        let (now, rtt) = (self.instant(), Duration::from_millis(2 * self.delay));
        let (due, later) = std::mem::take(&mut self.under_way)
            .into_iter()
            .partition(|(at, ..)| *at <= self.now);
        self.under_way = later;
        let due: Vec<(u64, bool, Bytes)> = due;
        let (mut back, mut again) = (Vec::new(), Vec::new());
        for (_, to_receiver, bytes) in due {
            if to_receiver {
                let received = self.receiver.handle(now, rtt, &bytes);
                assert!(received.missing.is_empty());
                self.came.extend(received.message);
            } else {
                // What the other end would send of its own is not looked at here.
                let asked = HopReceiver::default().handle(now, rtt, &bytes).missing;
                self.sender.on_missing(now, &asked, |d| again.push(d));
            }
        }
        self.receiver.handle_timeout(now, rtt, |d| back.push(d));
        self.sender.handle_timeout(now, |d| again.push(d));
        self.carry(false, back);
        self.carry(true, again);
    }
}

/// Every so many milliseconds a message of some length; returns what was sent.
fn stream(hop: &mut Hop, count: u32, length: usize) -> BTreeSet<Bytes> {
    let mut sent = BTreeSet::new();
    for number in 0..count {
        let mut message = vec![7; length];
        message[..4].copy_from_slice(&number.to_be_bytes());
        hop.send(&message);
        sent.insert(Bytes::from(message));
        hop.tick();
    }
    for _ in 0..hop.delay * 24 + 400 {
        hop.tick();
    }
    sent
}

#[test]
fn nothing_is_missing_where_nothing_is_lost() {
    let mut hop = Hop::new(20, |_, _| false);
    let sent = stream(&mut hop, 500, 900);
    assert_eq!(hop.came.iter().cloned().collect::<BTreeSet<_>>(), sent);
    assert_eq!(hop.came.len(), 500);
    let stats = (hop.sender.stats(), hop.receiver.stats());
    assert_eq!((stats.0.sent, stats.0.resent), (500, 0));
    assert_eq!(
        (stats.1.received, stats.1.recovered, stats.1.lost),
        (500, 0, 0)
    );
}

#[test]
fn one_in_twenty_lost_comes_again_each_message_once() {
    for (delay, length) in [(1, 900), (20, 900), (60, 900), (20, 1_400), (20, 3_000)] {
        // Requests and repeats are lost as well.
        let mut state = 1_u64;
        let mut hop = Hop::new(delay, move |_, _| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 33).is_multiple_of(20)
        });
        let sent = stream(&mut hop, 2_000, length);
        assert_eq!(hop.came.len(), 2_000, "delay {delay}, length {length}");
        assert_eq!(hop.came.iter().cloned().collect::<BTreeSet<_>>(), sent);
        let stats = hop.receiver.stats();
        assert_eq!(stats.lost, 0);
        assert!(stats.recovered > 80, "{stats:?}");
        assert!(
            hop.sender.stats().resent < stats.received / 10,
            "{:?}",
            hop.sender.stats()
        );
    }
}

#[test]
fn the_last_of_a_burst_comes_though_nothing_follows() {
    let mut hop = Hop::new(10, |number, _| number == 3);
    for number in 0..3 {
        hop.send(&[number]);
    }
    for _ in 0..100 {
        hop.tick();
    }
    assert_eq!(hop.came.len(), 3);
}

#[test]
fn what_never_comes_is_given_up_and_counted() {
    // The second datagram is lost, however often it is sent.
    let mut hop = Hop::new(5, |_, bytes| bytes[0] == PIECE && bytes[9] == 1);
    for message in 1..=3 {
        hop.send(&[message]);
        hop.tick();
    }
    for _ in 0..2_000 {
        hop.tick();
    }
    let stats = hop.receiver.stats();
    assert_eq!((stats.received, stats.lost), (2, 1));
    assert_eq!(hop.receiver.poll_timeout(), None, "it comes to rest");
    assert_eq!(hop.sender.poll_timeout(), None, "so does the sender");
}

#[test]
fn a_gap_of_any_size_costs_no_more_than_the_cap() {
    let mut receiver = HopReceiver::default();
    let (now, rtt) = (Instant::now(), Duration::from_millis(10));
    let mut piece = vec![PIECE, FIRST | LAST];
    piece.extend((u64::MAX - 1).to_be_bytes());
    let received = receiver.handle(now, rtt, &piece.clone().into());
    assert_eq!(received.message, Some(Bytes::new()));
    let mut requests = 0;
    receiver.handle_timeout(now + rtt, rtt, |datagram| {
        requests += 1;
        assert!(datagram.len() <= ROOM);
    });
    assert_eq!(requests, 4, "the rest later");
    assert!(receiver.handle(now, rtt, &piece.into()).message.is_none());
}

#[test]
fn one_datagram_is_not_sent_again_without_end() {
    let mut sender = HopSender::default();
    let mut now = Instant::now();
    sender.send(now, &[1], ROOM, |_| {});
    let mut repeats = 0;
    for _ in 0..1_000 {
        now += Duration::from_millis(1);
        sender.on_missing(now, &[0, 0, 5, u64::MAX], |_| repeats += 1);
    }
    assert_eq!(repeats, 6);
}

#[test]
fn a_message_without_measure_is_refused() {
    let mut sender = HopSender::default();
    let now = Instant::now();
    let message = vec![0; ROOM * PIECES_MAX];
    assert!(!sender.send(now, &message, ROOM, |_| panic!("sent")));
    assert!(!sender.send(now, &[1], PIECE_HEAD, |_| panic!("sent")));
    assert_eq!(sender.stats().sent, 0);
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(
        datagrams in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 0..40),
        kinds in prop::collection::vec(0_u8..4, 40),
    ) {
        let mut receiver = HopReceiver::default();
        let mut now = Instant::now();
        let rtt = Duration::from_millis(5);
        for (mut datagram, kind) in datagrams.into_iter().zip(kinds) {
            if let Some(first) = datagram.first_mut() {
                *first = kind;
            }
            now += Duration::from_millis(3);
            let received = receiver.handle(now, rtt, &datagram.into());
            HopSender::default().on_missing(now, &received.missing, |_| {});
            receiver.handle_timeout(now, rtt, |_| {});
        }
    }
}
