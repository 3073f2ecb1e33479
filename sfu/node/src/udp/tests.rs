//! Sockets on loopback: what goes in comes out, datagram by datagram and in order.

use std::time::{Duration, Instant};

use socket2::SockRef;

use super::*;
use crate::config::UdpConfig;

/// Nothing on loopback takes so long.
const LONG: Duration = Duration::from_secs(10);

fn port(address: &str, max_waiting: usize) -> UdpPort {
    let config = UdpConfig {
        receive_buffer_bytes: 4 << 20,
        ..UdpConfig::default()
    };
    let socket = bind(address.parse().unwrap(), &config).unwrap();
    UdpPort::new(socket, max_waiting).unwrap()
}

/// Waits until there is something to receive.
fn await_readable(port: &UdpPort) {
    let timeout = rustix::event::Timespec {
        tv_sec: LONG.as_secs().try_into().unwrap(),
        tv_nsec: 0,
    };
    let mut fds = [rustix::event::PollFd::new(
        port,
        rustix::event::PollFlags::IN,
    )];
    assert_eq!(rustix::event::poll(&mut fds, Some(&timeout)), Ok(1));
}

/// Receives so many datagrams: who sent each, and its bytes.
fn receive(port: &mut UdpPort, count: usize) -> Vec<(SocketAddr, Vec<u8>)> {
    let mut batch = Batch::new();
    let mut received = Vec::new();
    while received.len() < count {
        await_readable(port);
        port.receive(&mut batch).unwrap();
        while let Some(datagram) = batch.next() {
            assert_eq!(datagram.local, port.local());
            received.push((datagram.source, datagram.bytes.to_vec()));
        }
    }
    assert_eq!(received.len(), count);
    received
}

/// A run of datagrams that can be told apart, and its datagrams.
fn run(first: u8, count: usize, segment: usize, last: usize) -> (Vec<u8>, Vec<Vec<u8>>) {
    let mut datagrams: Vec<_> = (0..count)
        .map(|i| vec![first.wrapping_add(u8::try_from(i % 256).unwrap()); segment])
        .collect();
    datagrams[count - 1].truncate(last);
    (datagrams.concat(), datagrams)
}

fn bytes_of(received: Vec<(SocketAddr, Vec<u8>)>) -> Vec<Vec<u8>> {
    received.into_iter().map(|(_, bytes)| bytes).collect()
}

#[test]
fn runs_arrive_as_the_datagrams_they_were() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let (mut from, mut to) = (port(address, 64), port(address, 64));
        // Datagrams, bytes of each, bytes of the last.
        for (count, segment, last) in [
            (1, 60_000, 60_000),
            (2, 1200, 1200),
            (16, 1200, 3),
            (64, 1000, 1000),
            (130, 100, 99),
        ] {
            let before = from.stats();
            let (bytes, expected) = run(1, count, segment, last);
            from.send(to.local(), &bytes, (count > 1).then_some(segment));
            from.flush();
            let received = receive(&mut to, count);
            assert!(received.iter().all(|(source, _)| *source == from.local()));
            assert!(
                bytes_of(received) == expected,
                "{address} {count} {segment}"
            );
            let stats = from.stats();
            assert_eq!(stats.sent - before.sent, count as u64);
            if stats.offload_send == 1 {
                let calls = count.div_ceil(64) as u64;
                assert_eq!(
                    stats.send_calls - before.send_calls,
                    calls,
                    "{count} {segment}"
                );
            }
        }
        assert_eq!(from.stats().send_errors, 0);
    }
}

#[test]
fn single_datagrams_share_calls_and_keep_their_order() {
    for address in ["127.0.0.1:0", "[::1]:0"] {
        let mut from = port(address, 64);
        let mut to = [port(address, 64), port(address, 64), port(address, 64)];
        for i in 0..90_u8 {
            from.send(
                to[usize::from(i % 3)].local(),
                &vec![i; usize::from(i) + 1],
                None,
            );
        }
        from.flush();
        assert_eq!((from.stats().sent, from.stats().send_calls), (90, 3));
        for (to, offset) in to.iter_mut().zip(0..) {
            let expected: Vec<_> = (0..30)
                .map(|i| i * 3 + offset)
                .map(|i: u8| vec![i; usize::from(i) + 1])
                .collect();
            assert_eq!(bytes_of(receive(to, 30)), expected);
        }
    }
}

#[test]
fn every_number_of_single_datagrams_is_sent_once() {
    let (mut from, mut to) = (port("127.0.0.1:0", 64), port("127.0.0.1:0", 64));
    for count in 1..=33_u8 {
        for i in 0..count {
            from.send(to.local(), &[i; 40], None);
        }
        from.flush();
        let expected: Vec<_> = (0..count).map(|i| vec![i; 40]).collect();
        assert_eq!(bytes_of(receive(&mut to, usize::from(count))), expected);
    }
}

#[test]
fn runs_and_single_datagrams_keep_their_order() {
    let (mut from, mut to) = (port("127.0.0.1:0", 64), port("127.0.0.1:0", 64));
    let (bytes, datagrams) = run(10, 4, 500, 20);
    from.send(to.local(), &[1], None);
    from.send(to.local(), &bytes, Some(500));
    from.send(to.local(), &[2], None);
    from.flush();
    let mut expected = vec![vec![1]];
    expected.extend(datagrams);
    expected.push(vec![2]);
    assert_eq!(bytes_of(receive(&mut to, 6)), expected);
}

#[test]
fn a_run_the_kernel_does_not_cut_goes_out_one_by_one() {
    let (mut from, mut to) = (port("127.0.0.1:0", 64), port("127.0.0.1:0", 64));
    // More datagrams than the kernel has ever cut one call into.
    let (bytes, expected) = run(1, 200, 10, 10);
    let progress = from.wire.send(to.local(), None, &bytes, 10);
    assert_eq!(progress, send::Progress::Done);
    assert_eq!(bytes_of(receive(&mut to, 200)), expected);
    assert_eq!(from.stats().sent, 200);
    assert_eq!(from.stats().offload_send, 1, "the next run may be cut");
}

#[test]
fn what_the_kernel_refuses_is_counted_and_stops_nothing() {
    let (mut from, mut to) = (port("127.0.0.1:0", 64), port("127.0.0.1:0", 64));
    let nowhere = "127.0.0.1:0".parse().unwrap();
    let (bytes, expected) = run(1, 3, 100, 100);
    from.send(to.local(), &[1], None);
    from.send(nowhere, &[2], None);
    from.send(to.local(), &vec![3; 70_000], None);
    from.send(nowhere, &bytes, Some(100));
    from.send(to.local(), &[4], None);
    from.flush();
    from.send(to.local(), &bytes, Some(100));
    assert_eq!(from.stats().send_errors, 5);
    assert!(!from.has_waiting());
    let received = bytes_of(receive(&mut to, 5));
    assert_eq!(received[..2], [vec![1], vec![4]]);
    assert_eq!(received[2..], expected);
}

#[test]
fn a_full_socket_makes_them_wait_and_none_is_lost_or_overtaken() {
    // Loopback hands over within the call, so the kernel never says that it is full: something in
    // the queue stands for it.
    let (mut from, mut to) = (port("127.0.0.1:0", 64), port("127.0.0.1:0", 64));
    let (bytes, datagrams) = run(10, 4, 500, 20);
    let first = queue::Waiting::new(to.local(), None, &[1], 1);
    from.waiting.push(first);
    from.send(to.local(), &[2], None);
    from.send(to.local(), &bytes, Some(500));
    from.send(to.local(), &[3], None);
    from.flush();
    assert_eq!((from.stats().sent, from.has_waiting()), (0, true));
    from.flush_waiting();
    assert_eq!((from.stats().sent, from.has_waiting()), (7, false));
    let mut expected = vec![vec![1], vec![2]];
    expected.extend(datagrams);
    expected.push(vec![3]);
    assert_eq!(bytes_of(receive(&mut to, 7)), expected);
}

#[test]
fn a_slow_network_loses_the_oldest_and_the_counters_say_so() {
    const SENT: u16 = 200;
    const QUEUE: u16 = 20;
    // Loopback is never slow by itself; with a shaper on it (tbf) the kernel says so after a few.
    for was_full in [true, false] {
        let (mut from, mut to) = (port("127.0.0.1:0", QUEUE.into()), port("127.0.0.1:0", 64));
        SockRef::from(&from.wire.socket)
            .set_send_buffer_size(4608)
            .unwrap();
        let mut total = 0;
        if was_full {
            let first = queue::Waiting::new(to.local(), None, &[0, 0], 2);
            from.waiting.push(first);
            total += 1;
        }
        for i in 1..SENT {
            let mut datagram = vec![0; 1000];
            datagram[..2].copy_from_slice(&i.to_be_bytes());
            if i % 50 == 0 {
                // Both halves of a run begin with the number.
                from.send(to.local(), &datagram.repeat(2), Some(1000));
                total += 2;
            } else {
                from.send(to.local(), &datagram, None);
                total += 1;
            }
        }
        from.flush();
        let arrived = receive_all(&mut from, &mut to);
        let stats = from.stats();
        assert_eq!(stats.sent + stats.send_dropped, total);
        if was_full {
            assert_eq!(stats.sent, u64::from(QUEUE));
        }
        assert!(arrived.is_sorted(), "{arrived:?}");
        assert_eq!(arrived.last(), Some(&(SENT - 1)));
    }
}

/// The first two bytes of all that is on the way or still waits.
fn receive_all(from: &mut UdpPort, to: &mut UdpPort) -> Vec<u16> {
    let mut arrived = Vec::new();
    let mut batch = Batch::new();
    let started = Instant::now();
    while from.has_waiting() || (arrived.len() as u64) < from.stats().sent {
        from.flush_waiting();
        to.receive(&mut batch).unwrap();
        while let Some(received) = batch.next() {
            arrived.push(u16::from_be_bytes([received.bytes[0], received.bytes[1]]));
        }
        assert!(started.elapsed() < LONG);
    }
    arrived
}

#[test]
fn a_socket_of_all_addresses_answers_from_the_one_it_was_asked_at() {
    let mut server = port("0.0.0.0:0", 64);
    let ours = server.local().port();
    let mut batch = Batch::new();
    // Each client hears one address only, as ICE does.
    for last in [1, 2, 1, 3] {
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.set_read_timeout(Some(LONG)).unwrap();
        client
            .connect(SocketAddr::from(([127, 0, 0, last], ours)))
            .unwrap();
        client.send(&[last]).unwrap();
        await_readable(&server);
        server.receive(&mut batch).unwrap();
        let source = batch.next().unwrap().source;
        assert_eq!(source, client.local_addr().unwrap());
        server.send(source, &[1, 2, 3], None);
        server.send(source, &[4, 5, 6, 7], Some(2));
        server.flush();
        let mut buffer = [0; 9];
        for expected in [&[1, 2, 3][..], &[4, 5], &[6, 7]] {
            let length = client.recv(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], expected);
        }
    }
}

#[test]
fn congestion_marks_are_counted() {
    let mut to = port("127.0.0.1:0", 64);
    let from = UdpSocket::bind("127.0.0.1:0").unwrap();
    for ecn in [0, 1, 3] {
        SockRef::from(&from).set_tos_v4(ecn).unwrap();
        from.send_to(&[7], to.local()).unwrap();
    }
    receive(&mut to, 3);
    assert_eq!(to.stats().congestion_marked, 1);
}
