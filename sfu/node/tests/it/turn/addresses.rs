//! No address that is not public can be reached by a relay, in whatever form it is written and by
//! whatever request it is named.

use std::{io, net::UdpSocket};

use sfu_node::stats::TurnDrop;
use turn_types::message::CONNECT;

use super::*;
use crate::support::GRACE;

/// Peers of an IPv4 relay and of an IPv6 relay; `P` stands for a port at which somebody listens.
const OF_V4: [&str; 37] = [
    "0.0.0.0:P",
    "0.1.2.3:P",
    "127.0.0.1:P",
    "127.0.0.2:P",
    "127.255.255.254:P",
    "10.0.0.1:P",
    "10.255.255.255:P",
    "100.64.0.1:P",
    "100.127.255.254:P",
    "169.254.0.1:P",
    "169.254.169.254:80",
    "172.16.0.1:P",
    "172.31.255.254:P",
    "192.0.0.1:P",
    "192.0.2.1:P",
    "192.88.99.1:P",
    "192.168.0.1:P",
    "192.168.255.254:P",
    "198.18.0.1:P",
    "198.19.255.254:P",
    "198.51.100.1:P",
    "203.0.113.1:P",
    "224.0.0.1:P",
    "224.0.0.251:5353",
    "239.255.255.250:1900",
    "240.0.0.1:P",
    "255.255.255.255:P",
    // Mapped and compatible forms.
    "[::ffff:0.0.0.0]:P",
    "[::ffff:127.0.0.1]:P",
    "[::ffff:10.0.0.1]:P",
    "[::ffff:169.254.169.254]:80",
    "[::ffff:192.168.0.1]:P",
    "[::ffff:255.255.255.255]:P",
    "[::127.0.0.1]:P",
    "[::10.0.0.1]:P",
    // Ours, at a port that is not media's.
    "1.1.1.1:0",
    "[::ffff:224.0.0.1]:P",
];
const OF_V6: [&str; 32] = [
    "[::1]:P",
    "[::]:P",
    "[fe80::1]:P",
    "[fe80::1%1]:P",
    "[febf::1]:P",
    "[fec0::1]:P",
    "[fc00::1]:P",
    "[fd00::1]:P",
    "[fd00:ec2::254]:80",
    "[fdff:ffff::1]:P",
    "[ff02::1]:P",
    "[ff02::fb]:5353",
    "[ff05::2]:P",
    // 6to4, NAT64 and Teredo, of loopback, private, metadata and public addresses.
    "[2002:7f00:1::]:P",
    "[2002:7f00:1::1]:P",
    "[2002:a00:1::1]:P",
    "[2002:a9fe:a9fe::]:80",
    "[2002:101:101::1]:P",
    "[64:ff9b::7f00:1]:P",
    "[64:ff9b::a00:1]:P",
    "[64:ff9b::a9fe:a9fe]:80",
    "[64:ff9b::101:101]:P",
    "[64:ff9b:1::7f00:1]:P",
    "[2001::7f00:1]:P",
    "[2001:0:7f00:1::1]:P",
    "[2001:2::1]:P",
    "[2001:10::1]:P",
    "[2001:20::1]:P",
    "[2001:db8::1]:P",
    "[100::1]:P",
    "[3fff::1]:P",
    "[::2]:P",
];

/// Listens where a packet of this machine could arrive.
fn listeners() -> (u16, Vec<UdpSocket>) {
    // Any address of the machine, by either family.
    let all = UdpSocket::bind("[::]:0").unwrap();
    let port = all.local_addr().unwrap().port();
    let sockets: Vec<_> = [
        Ok(all),
        UdpSocket::bind(("127.0.0.1", port)),
        UdpSocket::bind(("::1", port)),
    ]
    .into_iter()
    .flatten()
    .collect();
    for socket in &sockets {
        socket.set_nonblocking(true).unwrap();
    }
    (port, sockets)
}

fn peer(text: &str, port: u16) -> SocketAddr {
    text.replace(":P", &format!(":{port}")).parse().unwrap()
}

#[tokio::test]
async fn nothing_that_is_not_public_is_reached_by_any_request() {
    let node = start_turn().await;
    let (port, sockets) = listeners();
    let mut attempts = 0;
    for (is_ipv6, peers) in [(false, &OF_V4[..]), (true, &OF_V6[..])] {
        let mut client = over_tcp(&node, &credential("mallory")).await;
        client.allocate(is_ipv6).await.unwrap();
        for text in peers {
            let peer = peer(text, port);
            assert_eq!(code(client.permit(peer).await), 403, "permit {text}");
            assert_eq!(code(client.bind(0x4000, peer).await), 403, "bind {text}");
            assert_eq!(code(client.ask(CONNECT, peer).await), 403, "connect {text}");
            client.send(peer, b"let me in").await.unwrap();
            client.send_by(0x4000, b"let me in").await.unwrap();
            attempts += 1;
        }
        // What was sent before this was taken before it.
        let media = media(&node, is_ipv6);
        client.permit(media).await.unwrap();
        client.send(media, &question()).await.unwrap();
        client.receive().await.unwrap();
    }
    for socket in sockets {
        let got = socket.recv_from(&mut [0; 64]);
        assert_eq!(got.unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }
    let drops = node.stats().turn.drops;
    assert_eq!(drops[TurnDrop::Forbidden as usize], attempts, "indications");
    assert_eq!(drops[TurnDrop::NoPermission as usize], attempts, "channels");
    node.shutdown(GRACE).await;
}

#[tokio::test]
async fn of_our_own_addresses_only_media_is_reached() {
    let node = start_turn().await;
    let mut client = over_tcp(&node, &credential("mallory")).await;
    client.allocate(false).await.unwrap();
    let media = media(&node, false);
    client.permit(media).await.unwrap();
    let (_, sockets) = listeners();
    let other = UdpSocket::bind((media.ip(), 0)).unwrap();
    other.set_nonblocking(true).unwrap();
    // The permission is for the one port of ours, not for all of the address.
    let secret = other.local_addr().unwrap();
    assert_eq!(code(client.permit(secret).await), 403);
    client.send(secret, b"let me in").await.unwrap();
    client.send(media, &question()).await.unwrap();
    client.receive().await.unwrap();
    assert!(other.recv_from(&mut [0; 64]).is_err());
    drop(sockets);
    for own in [server(&node, "udp"), node.local_tcp()[0]] {
        assert_eq!(code(client.permit(own).await), 403, "{own}");
    }
    node.shutdown(GRACE).await;
}

#[tokio::test]
async fn a_public_peer_is_permitted_unless_its_network_is_closed() {
    let mut config = turn_config();
    config.turn.denied_peers = vec!["9.9.9.0/24".parse().unwrap()];
    let node = sfu_node::start(config).await.unwrap();
    let mut client = over_tcp(&node, &credential("ann")).await;
    client.allocate(false).await.unwrap();
    client.permit("1.1.1.1:443".parse().unwrap()).await.unwrap();
    assert_eq!(
        code(client.permit("9.9.9.9:443".parse().unwrap()).await),
        403
    );
    let v6 = "[2606:4700::1111]:443".parse().unwrap();
    assert_eq!(code(client.permit(v6).await), 443, "of the other family");
    node.shutdown(GRACE).await;
}
