use std::time::{Instant, SystemTime};

use plenum_proto::{
    node::{CloseAction, session_event},
    v1,
};
use sfu_core::{CandidateAddress, Certificate, Protocol, Transmit};

use super::*;
use crate::config::{EventsConfig, UdpConfig};

/// A worker that no thread drives, and what it shares with the node.
struct Fixture {
    worker: turn::Worker,
    directory: Arc<Directory>,
    log: Arc<EventLog>,
    published: Arc<Published>,
}

fn fixture() -> Fixture {
    let socket = crate::udp::bind("127.0.0.1:0".parse().unwrap(), &UdpConfig::default()).unwrap();
    let local = socket.local_addr().unwrap();
    let candidate = CandidateAddress {
        protocol: Protocol::Udp,
        local,
        advertised: local,
    };
    let directory = Arc::new(Directory::new(7, 1, 300));
    let log = Arc::new(EventLog::new("epoch".into(), EventsConfig::default()));
    let published = Arc::new(Published::default());
    let setup = Setup {
        index: 0,
        core: CoreConfig::new(vec![candidate], Certificate::generate().unwrap()),
        anchor: ClockAnchor::new(Instant::now(), SystemTime::now()),
        is_pinned: false,
        sockets: vec![socket],
        send_queue: 8,
        directory: Arc::clone(&directory),
        events: Arc::clone(&log),
        homeless: Homeless::default(),
        stop: CancellationToken::new(),
    };
    let (_, outgoing) = mesh(7, 1).carriers.remove(0).split();
    let worker = turn::Worker::new(setup, outgoing, Arc::clone(&published)).unwrap();
    Fixture {
        worker,
        directory,
        log,
        published,
    }
}

fn event(kind: session_event::Kind) -> SessionEvent {
    SessionEvent { kind: Some(kind) }
}

#[tokio::test]
async fn a_fault_of_the_core_costs_its_rooms_and_not_the_worker() {
    let Fixture {
        mut worker,
        directory,
        log,
        published,
    } = fixture();
    let (events, mut told) = mpsc::channel(1);
    worker.controls.insert(ControlId(1), events);
    directory.started(0, "room", "RM_1");
    let mut watcher = log.watch("room", 0, false).unwrap();

    worker.guarded(|_| panic!("a fault, made by a test"));

    let Some(session_event::Kind::Closed(closed)) = told.recv().await.unwrap().kind else {
        panic!("not closed");
    };
    assert_eq!(closed.action(), CloseAction::Reconnect);
    assert_eq!(closed.reason(), v1::CloseReason::MediaFailure);
    assert_eq!(told.recv().await, None);
    let ended = watcher.next().await.unwrap();
    assert!(matches!(ended.kind, Some(v1::event::Kind::RoomEnded(_))));
    assert_eq!(ended.room.unwrap().id, "RM_1");
    assert_eq!(directory.find("room"), None);
    assert_eq!(published.read().restarts, 1);

    worker.guarded(|worker| worker.publish());
    assert_eq!(published.read().restarts, 1);
}

#[tokio::test]
async fn a_control_connection_that_is_not_read_is_given_up() {
    let Fixture { mut worker, .. } = fixture();
    let (events, mut told) = mpsc::channel(1);
    worker.controls.insert(ControlId(7), events);
    let speakers = || event(session_event::Kind::Speakers(v1::SpeakersChanged::default()));
    assert_eq!(worker.on_session_event(ControlId(7), speakers()), None);
    assert_eq!(
        worker.on_session_event(ControlId(7), speakers()),
        Some(ControlId(7))
    );
    assert_eq!(worker.stats().controls_overflowed, 1);
    // What was there can still be read; then the stream ends.
    assert!(told.recv().await.is_some());
    assert_eq!(told.recv().await, None);
    assert_eq!(
        worker.on_session_event(ControlId(7), speakers()),
        None,
        "no longer known"
    );
}

#[tokio::test]
async fn nothing_follows_a_closed_event() {
    let Fixture { mut worker, .. } = fixture();
    let (events, mut told) = mpsc::channel(4);
    worker.controls.insert(ControlId(7), events);
    let closed = event(session_event::Kind::Closed(
        plenum_proto::node::Closed::default(),
    ));
    assert_eq!(worker.on_session_event(ControlId(7), closed), None);
    assert!(told.recv().await.is_some());
    assert_eq!(told.recv().await, None);
    assert_eq!(worker.stats().controls, 0);
}

#[tokio::test]
async fn frames_go_to_the_connection_that_is_open_and_no_other() {
    let Fixture { mut worker, .. } = fixture();
    let local = "127.0.0.1:1".parse().unwrap();
    let remote = "127.0.0.1:2".parse().unwrap();
    let link = |number| TcpLink {
        number,
        local,
        remote,
    };
    let send = |worker: &mut turn::Worker, destination| {
        let transmit = Transmit {
            source: local,
            destination,
            protocol: Protocol::Tcp,
            bytes: &[7],
            segment_size: None,
        };
        let turn::Worker {
            ports,
            tcp,
            counted,
            ..
        } = worker;
        output::send(ports, tcp, counted, transmit);
        worker.stats().tcp_send_dropped
    };
    let (first, mut old) = mpsc::channel(1);
    let (second, mut new) = mpsc::channel(1);
    worker.on_tcp(TcpInput::Open {
        link: link(1),
        frames: first,
    });
    worker.on_tcp(TcpInput::Open {
        link: link(2),
        frames: second,
    });
    // The old connection's end comes late and must not close the new one.
    worker.on_tcp(TcpInput::Closed { link: link(1) });
    assert_eq!(old.recv().await, None);
    assert_eq!(send(&mut worker, remote), 0);
    assert_eq!(send(&mut worker, remote), 1, "its queue is full");
    assert_eq!(
        new.recv().await.as_deref(),
        Some(&[0, 1, 7][..]),
        "its length before it"
    );
    assert_eq!(send(&mut worker, local), 2, "no such connection");
    worker.on_tcp(TcpInput::Closed { link: link(2) });
    assert_eq!(new.recv().await, None);
}

/// What a worker without a thread waits for; the senders keep it open.
fn inputs() -> (mpsc::Sender<Request>, mpsc::Sender<TcpInput>, turn::Inputs) {
    let (requests, requests_in) = mpsc::channel(8);
    let (frames, frames_in) = mpsc::channel(8);
    let inputs = turn::Inputs {
        requests: requests_in,
        frames: frames_in,
        // Nobody brings any.
        plain: mpsc::channel(1).1,
        relayed: mesh(7, 1).carriers.remove(0).split().0,
        stop: Box::pin(CancellationToken::new().cancelled_owned()),
    };
    (requests, frames, inputs)
}

#[tokio::test]
async fn a_flood_of_datagrams_leaves_room_for_requests_and_loses_nothing() {
    const FLOOD: u64 = 2000;
    let Fixture { mut worker, .. } = fixture();
    let (requests, _frames, mut inputs) = inputs();
    let other = UdpSocket::bind("127.0.0.1:0").unwrap();
    let to = worker.ports[0].local();
    for _ in 0..FLOOD {
        other.send_to(&[0xff; 20], to).unwrap();
    }
    let ready = [reactor::Ready {
        to_read: true,
        to_write: false,
    }];
    let mut received = 0;
    let mut turns = 0;
    while received < FLOOD {
        let (reply, mut answer) = oneshot::channel();
        requests.try_send(Request::Stats { reply }).unwrap();
        worker.turn(None, &mut inputs, &ready);
        answer.try_recv().expect("answered in the same turn");
        let now = worker.stats().core.datagrams_received;
        assert!((1..=512).contains(&(now - received)), "{received} {now}");
        received = now;
        turns += 1;
    }
    assert_eq!(received, FLOOD);
    assert_eq!(worker.stats().turns, turns);
    assert_eq!(worker.stats().udp.received, FLOOD);
    assert!(worker.stats().udp.receive_calls < FLOOD / 16);
    assert_ne!(worker.may_sleep(), Some(Duration::ZERO), "all is done");
}

#[tokio::test]
async fn a_thread_answers_at_once_and_ends_when_the_node_stops() {
    let stop = CancellationToken::new();
    let socket = crate::udp::bind("127.0.0.1:0".parse().unwrap(), &UdpConfig::default()).unwrap();
    let setup = Setup {
        index: 1,
        core: CoreConfig::new(Vec::new(), Certificate::generate().unwrap()),
        anchor: ClockAnchor::new(Instant::now(), SystemTime::now()),
        is_pinned: true,
        sockets: vec![socket],
        send_queue: 8,
        directory: Arc::new(Directory::new(7, 2, 300)),
        events: Arc::new(EventLog::new("epoch".into(), EventsConfig::default())),
        homeless: Homeless::default(),
        stop: stop.clone(),
    };
    let carrier = mesh(7, 1).carriers.remove(0);
    let (handle, thread) = start(setup, carrier).await.unwrap();
    assert_eq!(thread.thread().name(), Some("sfu-worker-1"));
    for _ in 0..100 {
        let stats = handle.stats().await.unwrap();
        assert!(stats.turns > 0);
    }
    stop.cancel();
    thread.join().unwrap();
    assert_eq!(handle.end_all().await, Err(RequestError::NoAnswer));
}
