//! What a relay is for.

use std::io::Write as _;

use sfu_node::probe::{Link, TlsTrust, binding};

use super::*;
use crate::support::GRACE;

/// The node's own media port answers through the relay, and sees the relay's address.
async fn reaches_media(node: &Node, client: &mut TurnClient, is_ipv6: bool) {
    let relayed = client.allocate(is_ipv6).await.unwrap();
    let media = media(node, is_ipv6);
    client.permit(media).await.unwrap();
    client.send(media, &question()).await.unwrap();
    assert_eq!(answered(&client.receive().await.unwrap()), relayed);
    client.bind(0x4000, media).await.unwrap();
    client.send_by(0x4000, &question()).await.unwrap();
    assert_eq!(answered(&client.receive().await.unwrap()), relayed);
}

#[tokio::test]
async fn media_is_reached_over_udp_and_tcp_on_both_families() {
    let node = start_turn().await;
    for is_ipv6 in [false, true] {
        reaches_media(&node, &mut over_udp(&node, "udp").await, is_ipv6).await;
        reaches_media(
            &node,
            &mut over_tcp(&node, &credential("tcp")).await,
            is_ipv6,
        )
        .await;
    }
    let stats = node.stats().turn;
    assert_eq!(stats.allocated, 4);
    assert_eq!(
        (stats.bytes_to_peers, stats.bytes_to_clients),
        (160, 2 * 2 * (32 + 44))
    );
    node.shutdown(GRACE).await;
}

#[tokio::test]
async fn media_is_reached_over_tls_with_the_certificate_of_the_files() {
    let folder = std::env::temp_dir().join(format!("plenum-turn-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let made = rcgen::generate_simple_self_signed(["turn.example.org".to_owned()]).unwrap();
    let write = |name: &str, text: String| {
        let path = folder.join(name);
        std::fs::File::create(&path)
            .unwrap()
            .write_all(text.as_bytes())
            .unwrap();
        path
    };
    let mut config = turn_config();
    config.turn.certificate = write("certificate.pem", made.cert.pem());
    config.turn.key = write("key.pem", made.signing_key.serialize_pem());
    config.turn.tls = vec!["127.0.0.1:0".parse().unwrap()];
    config.turn.host = "turn.example.org".to_owned();
    let authorities = config.turn.certificate.clone();
    let node = sfu_node::start(config).await.unwrap();
    let url = node.turn().unwrap().urls.last().unwrap().clone();
    let port = url
        .strip_prefix("turns:turn.example.org:")
        .and_then(|rest| rest.strip_suffix("?transport=tcp"));
    let server = SocketAddr::new([127, 0, 0, 1].into(), port.unwrap().parse().unwrap());
    let trust = TlsTrust::new(Some(&authorities)).unwrap();
    let link = Link::tls(server, "turn.example.org", &trust).await.unwrap();
    reaches_media(&node, &mut client(link, &credential("ann")), false).await;
    assert!(
        Link::tls(server, "other.example.org", &trust)
            .await
            .is_err()
    );
    node.shutdown(GRACE).await;
    std::fs::remove_dir_all(&folder).unwrap();
}

#[tokio::test]
async fn two_who_both_need_a_relay_reach_each_other_once_both_have_agreed() {
    let node = start_turn().await;
    let mut ann = over_udp(&node, "ann").await;
    let mut bob = over_tcp(&node, &credential("bob")).await;
    let of_ann = ann.allocate(false).await.unwrap();
    let of_bob = bob.allocate(false).await.unwrap();
    ann.permit(of_bob).await.unwrap();
    // Bob has not agreed: this must not arrive, and the next one must be the first.
    ann.send(of_bob, b"too early").await.unwrap();
    ann.permit(of_bob).await.unwrap();
    let dropped = || node.stats().turn.drops[sfu_node::stats::TurnDrop::NoPermission as usize];
    while dropped() == 0 {
        tokio::task::yield_now().await;
    }
    bob.permit(of_ann).await.unwrap();
    ann.send(of_bob, b"hello").await.unwrap();
    assert_eq!(bob.receive().await.unwrap(), b"hello");
    bob.send(of_ann, b"hello yourself").await.unwrap();
    assert_eq!(ann.receive().await.unwrap(), b"hello yourself");
    // A relay that is given up is no peer any more.
    bob.refresh(0).await.unwrap();
    while node.stats().turn.allocations > 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(code(ann.permit(of_bob).await), 403);
    node.shutdown(GRACE).await;
}

#[tokio::test]
async fn a_relay_ends_with_its_connection() {
    let node = start_turn().await;
    let mut client = over_tcp(&node, &credential("ann")).await;
    client.allocate(false).await.unwrap();
    assert_eq!(node.stats().turn.allocations, 1);
    drop(client);
    while node.stats().turn.allocations > 0 || node.stats().turn.connections > 0 {
        tokio::task::yield_now().await;
    }
    node.shutdown(GRACE).await;
}

#[tokio::test]
async fn media_and_turn_ports_tell_how_they_see_a_client() {
    let node = start_turn().await;
    let (v4, v6) = (media(&node, false), media(&node, true));
    for (mut link, ip) in [
        (Link::udp(v4).await.unwrap(), v4.ip()),
        (Link::udp(v6).await.unwrap(), v6.ip()),
        (Link::frames(node.local_tcp()[0]).await.unwrap(), v4.ip()),
        (Link::udp(server(&node, "udp")).await.unwrap(), v4.ip()),
        (Link::tcp(server(&node, "tcp")).await.unwrap(), v4.ip()),
    ] {
        assert_eq!(binding(&mut link).await.unwrap().ip(), ip);
    }
    assert_eq!(node.stun_addresses(), [v4, v6]);
    node.shutdown(GRACE).await;
}
