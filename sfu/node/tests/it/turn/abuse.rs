//! Floods, quotas, and credentials that open nothing.

use std::{net::UdpSocket, time::Instant};

use sfu_node::stats::{TurnDrop, TurnRefusal};

use super::*;
use crate::support::GRACE;

/// The shortest Allocate request there is: it asks for nothing.
fn bare_allocate() -> Vec<u8> {
    let mut bytes = question();
    bytes[1] = 3;
    bytes
}

fn bound(address: &str) -> UdpSocket {
    UdpSocket::bind(address).unwrap()
}

/// How many answers come to requests sent at once, and how long they are at most. The last request is
/// of another source, so that all others were taken when its answer is there.
fn answers(to: SocketAddr, request: &[u8], from: &str, last_from: &str) -> (usize, usize) {
    let (socket, last) = (bound(from), bound(last_from));
    for _ in 0..200 {
        socket.send_to(request, to).unwrap();
    }
    // The burst may have filled the server's buffer.
    last.set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let is_answered = (0..50).any(|_| {
        last.send_to(request, to).unwrap();
        last.recv_from(&mut [0; 1500]).is_ok()
    });
    assert!(is_answered);
    socket.set_nonblocking(true).unwrap();
    let mut lengths = Vec::new();
    let mut buffer = [0; 1500];
    while let Ok((length, _)) = socket.recv_from(&mut buffer) {
        lengths.push(length);
    }
    (lengths.len(), lengths.into_iter().max().unwrap_or(0))
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_get_few_and_short_answers() {
    let node = start_turn().await;
    let (turn, media) = (server(&node, "udp"), media(&node, false));
    let cases = [
        (turn, bare_allocate(), 60, ["127.0.1.1:0", "127.0.1.2:0"]),
        (turn, question(), 32, ["127.0.2.1:0", "127.0.2.2:0"]),
        (media, question(), 32, ["127.0.3.1:0", "127.0.3.2:0"]),
    ];
    for (to, request, longest, [from, last]) in cases {
        let (count, length) = answers(to, &request, from, last);
        assert_eq!(request.len(), 20);
        assert_eq!(length, longest);
        // Two seconds are counted apart, and the burst may meet the turn of one.
        assert!((1..=20).contains(&count), "{count} answers to 200 requests");
    }
    let stats = node.fresh_stats().await;
    assert!(stats.turn.drops[TurnDrop::ReplyLimit as usize] >= 2 * 180);
    assert!(stats.worker.core.bindings_answered >= 2);
    node.shutdown(GRACE).await;
}

/// Bytes of memory that this process has.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    let pages: usize = statm.split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// Set where this test is alone in its process, whose memory it measures.
const ALONE: &str = "PLENUM_TEST_ALONE";

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_first_requests_leaves_nothing_behind() {
    if std::env::var_os(ALONE).is_none() {
        let name = "turn::abuse::a_flood_of_first_requests_leaves_nothing_behind";
        let alone = std::process::Command::new(std::env::current_exe().unwrap())
            .args(["--exact", name])
            .env(ALONE, "1")
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&alone.stdout);
        assert!(
            alone.status.success() && said.contains("1 passed"),
            "{said}"
        );
        return;
    }
    let node = start_turn().await;
    let to = server(&node, "udp");
    let before = resident();
    for source in 0..10_000_u32 {
        let [_, b, c, d] = (0x7f10_0000 + source).to_be_bytes();
        let socket = UdpSocket::bind(SocketAddr::from(([127, b, c, d], 0))).unwrap();
        socket.send_to(&bare_allocate(), to).unwrap();
    }
    let begun = Instant::now();
    let mut client = over_udp(&node, "ann").await;
    client.allocate(false).await.unwrap();
    let took = begun.elapsed();
    assert!(took < Duration::from_secs(3), "{took:?}");
    let stats = node.stats().turn;
    assert_eq!((stats.allocated, stats.allocations), (1, 1));
    let grown = resident().saturating_sub(before);
    assert!(grown < 16 * 1024 * 1024, "{grown} bytes");
    node.shutdown(GRACE).await;
}

#[tokio::test]
async fn one_participant_gets_its_quota_and_others_theirs() {
    let mut config = turn_config();
    config.turn.max_connections_per_source = 2_000;
    let node = sfu_node::start(config).await.unwrap();
    let mut open = Vec::new();
    for attempt in 0..1_000_u64 {
        // Credentials of the same participant count together, whenever they were made.
        let ttl = Duration::from_secs(60 + attempt % 7);
        let credential = TurnSecret::new(SECRET).mint("room", "ann", SystemTime::now(), ttl);
        let mut client = over_tcp(&node, &credential).await;
        match client.allocate(false).await {
            Ok(_) => open.push(client),
            Err(ProbeError::Refused(486)) => {}
            Err(error) => panic!("attempt {attempt}: {error}"),
        }
    }
    assert_eq!(open.len(), 12);
    let mut other = over_tcp(&node, &credential("bob")).await;
    other.allocate(false).await.unwrap();
    assert_eq!(node.stats().turn.refusals[TurnRefusal::Quota as usize], 988);
    node.shutdown(GRACE).await;
}

#[tokio::test]
async fn a_source_gets_its_limit() {
    let mut config = turn_config();
    config.turn.max_allocations_per_source = 2;
    let node = sfu_node::start(config).await.unwrap();
    let mut open = Vec::new();
    for (identity, expected) in [("a", Ok(())), ("b", Ok(())), ("c", Err(486))] {
        let mut client = over_tcp(&node, &credential(identity)).await;
        let outcome = client.allocate(false).await;
        match expected {
            Ok(()) => drop(outcome.unwrap()),
            Err(expected) => assert_eq!(code(outcome), expected),
        }
        open.push(client);
    }
    node.shutdown(GRACE).await;
}

#[tokio::test]
async fn old_foreign_and_altered_credentials_open_nothing() {
    let node = start_turn().await;
    let now = SystemTime::now();
    let minute = Duration::from_secs(60);
    let expired = TurnSecret::new(SECRET).mint("room", "ann", now - 2 * minute, minute);
    let foreign = TurnSecret::new("another secret").mint("room", "ann", now, minute);
    let good = credential("ann");
    let altered = Credential {
        username: expired.username.clone(),
        password: good.password.clone(),
    };
    // The time of one and the participant of another.
    let (ends, _) = good.username.split_once(':').unwrap();
    let (_, tag) = credential("bob")
        .username
        .split_once(':')
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let spliced = Credential {
        username: format!("{ends}:{tag}"),
        password: good.password.clone(),
    };
    let unknown = Credential {
        username: "ann".into(),
        password: "secret".into(),
    };
    for credential in [expired, foreign, altered, spliced, unknown] {
        let mut client = over_tcp(&node, &credential).await;
        assert_eq!(code(client.allocate(false).await), 401, "{credential:?}");
    }
    let refusals = node.stats().turn.refusals;
    assert_eq!(refusals[TurnRefusal::Expired as usize], 2);
    assert_eq!(refusals[TurnRefusal::Unauthorized as usize], 3);
    assert_eq!(node.stats().turn.allocated, 0);
    node.shutdown(GRACE).await;
}

#[tokio::test]
async fn a_relay_stays_open_when_its_credential_ends_and_goes_no_faster_than_it_may() {
    let mut config = turn_config();
    config.turn.bytes_per_second = 10_000;
    let node = sfu_node::start(config).await.unwrap();
    let second = Duration::from_secs(1);
    let short = TurnSecret::new(SECRET).mint("room", "ann", SystemTime::now(), 4 * second);
    let mut client = over_tcp(&node, &short).await;
    client.allocate(false).await.unwrap();
    let media = media(&node, false);
    client.permit(media).await.unwrap();
    for _ in 0..100 {
        client.send(media, &[0xff; 1_000]).await.unwrap();
    }
    // Takes effect after what was sent before it.
    client.permit(media).await.unwrap();
    let dropped = node.stats().turn.drops[TurnDrop::Rate as usize];
    assert!(dropped >= 60, "{dropped} of 100 were dropped");
    let ends: u64 = short.username.split_once(':').unwrap().0.parse().unwrap();
    let ended = || SystemTime::now() > SystemTime::UNIX_EPOCH + Duration::from_secs(ends);
    while !ended() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    client.refresh(600).await.unwrap();
    client.permit(media).await.unwrap();
    let mut late = over_tcp(&node, &short).await;
    assert_eq!(code(late.allocate(false).await), 401);
    node.shutdown(GRACE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rubbish_costs_its_sender_only() {
    let node = start_turn().await;
    let mut ann = over_udp(&node, "ann").await;
    ann.allocate(false).await.unwrap();
    let socket = bound("127.0.4.1:0");
    let mut state = 1_u32;
    let mut random = move || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    for round in 0..2_000_usize {
        let mut bytes: Vec<u8> = (0..round % 160).map(|_| random()).collect();
        // Half of it has the look of STUN.
        if round % 2 == 0 && bytes.len() >= 20 {
            bytes[..2].copy_from_slice(&[0, [1, 3, 4, 6, 8, 9, 10, 22][round / 2 % 8]]);
            let length = u16::try_from(bytes.len() - 20).unwrap();
            bytes[2..4].copy_from_slice(&length.to_be_bytes());
            bytes[4..8].copy_from_slice(&[0x21, 0x12, 0xa4, 0x42]);
        }
        socket.send_to(&bytes, server(&node, "udp")).unwrap();
    }
    let media = media(&node, false);
    ann.permit(media).await.unwrap();
    ann.ask_peer(media).await.unwrap();
    let stats = node.stats().turn;
    assert_eq!(stats.drops[TurnDrop::Fault as usize], 0);
    assert_eq!(stats.allocations, 1);
    node.shutdown(GRACE).await;
}
