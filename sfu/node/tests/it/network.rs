use std::{
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

use plenum_proto::node::StatusRequest;
use sfu_node::Node;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::support::{GRACE, config, start};

/// Waits until as many datagrams have arrived; each question lets the workers work.
async fn arrived(node: &Node, datagrams: u64) {
    let all = async {
        while node.fresh_stats().await.worker.core.datagrams_received < datagrams {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), all)
        .await
        .expect("datagrams arrive");
}

#[tokio::test]
async fn rubbish_on_the_media_port_disturbs_nobody() {
    let (node, mut client) = start(2).await;
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let stun_like = [&[1, 1, 0, 0, 0x21, 0x12, 0xA4, 0x42][..], &[0; 12]].concat();
    let rubbish: [&[u8]; 6] = [
        b"",
        b"x",
        b"GET / HTTP/1.1\r\n\r\n",
        &stun_like,
        &[0x80; 1500],
        &[0xFF; 60_000],
    ];
    for &to in node.local_udp() {
        for bytes in rubbish {
            socket.send_to(bytes, to).unwrap();
        }
    }
    arrived(&node, 12).await;
    let stats = node.fresh_stats().await;
    assert_eq!(stats.worker.restarts, 0);
    assert_eq!(stats.worker.core.drops.iter().sum::<u64>(), 12);
    let status = client.status(StatusRequest {}).await.unwrap().into_inner();
    assert_eq!((status.node_id.as_str(), status.num_rooms), (node.id(), 0));
    node.shutdown(GRACE).await;
}

#[tokio::test]
async fn every_worker_has_a_port_of_its_own() {
    let (node, _) = start(3).await;
    let mut ports: Vec<_> = node.local_udp().iter().map(SocketAddr::port).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), 3);
    assert_eq!(node.local_tcp().len(), 1);
    node.shutdown(GRACE).await;
}

#[tokio::test]
async fn a_tcp_connection_that_is_not_ice_is_closed() {
    let (node, _) = start(1).await;
    let mut stream = TcpStream::connect(node.local_tcp()[0]).await.unwrap();
    stream.write_all(b"\x00\x04ping").await.unwrap();
    assert_eq!(stream.read(&mut [0; 16]).await.unwrap(), 0, "closed");
    let stats = node.fresh_stats().await;
    let not_ice = sfu_node::stats::TcpEnd::NotIce as usize;
    assert_eq!((stats.tcp.accepted, stats.tcp.ended[not_ice]), (1, 1));
    node.shutdown(GRACE).await;
}

#[tokio::test]
async fn tcp_connections_past_the_limit_of_a_source_are_refused() {
    let mut config = config(1);
    config.tcp.max_connections_per_source = 1;
    let node = sfu_node::start(config).await.unwrap();
    let mut first = TcpStream::connect(node.local_tcp()[0]).await.unwrap();
    let mut second = TcpStream::connect(node.local_tcp()[0]).await.unwrap();
    // Closing may show as a reset, when something was still unread.
    assert_eq!(second.read(&mut [0; 16]).await.unwrap_or(0), 0, "refused");
    first.write_all(b"\x00").await.unwrap();
    assert_eq!(node.fresh_stats().await.tcp.connections, 1);
    node.shutdown(GRACE).await;
    assert_eq!(
        first.read(&mut [0; 16]).await.unwrap_or(0),
        0,
        "closed with the node"
    );
}

#[tokio::test]
async fn a_port_in_use_keeps_the_node_from_starting() {
    let holder = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut config = config(1);
    config.udp.listen = vec![holder.local_addr().unwrap()];
    let error = sfu_node::start(config).await.err().expect("refused");
    assert!(
        error
            .to_string()
            .starts_with("cannot listen on UDP 127.0.0.1:"),
        "{error}"
    );
}
