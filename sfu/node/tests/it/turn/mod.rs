//! The TURN server and STUN, asked as clients ask, and as those ask who are up to something.

mod abuse;
mod addresses;
mod relay;

use std::{
    net::{IpAddr, SocketAddr},
    time::{Duration, SystemTime},
};

use sfu_node::{
    Credential, Node, NodeConfig, TurnSecret,
    probe::{Link, ProbeError, TurnClient},
};

use crate::support::config;

/// What the tests' TURN servers share with who hands out credentials.
const SECRET: &str = "a secret of the tests";

/// A node with media and TURN on IPv4 and IPv6.
fn turn_config() -> NodeConfig {
    let mut config = config(1);
    config.udp.listen.push("[::1]:0".parse().unwrap());
    config.turn.udp = vec!["127.0.0.1:0".parse().unwrap()];
    config.turn.tcp = vec!["127.0.0.1:0".parse().unwrap()];
    config.turn.secret.0 = SECRET.to_owned();
    config
}

async fn start_turn() -> Node {
    sfu_node::start(turn_config()).await.unwrap()
}

/// Where the server listens, by the transport that its URL names.
fn server(node: &Node, transport: &str) -> SocketAddr {
    let urls = &node.turn().unwrap().urls;
    let url = urls.iter().find(|url| url.ends_with(transport)).unwrap();
    let (_, rest) = url.split_once(':').unwrap();
    rest.split_once('?').unwrap().0.parse().unwrap()
}

fn credential(identity: &str) -> Credential {
    let ttl = Duration::from_secs(60);
    TurnSecret::new(SECRET).mint("room", identity, SystemTime::now(), ttl)
}

fn client(link: Link, credential: &Credential) -> TurnClient {
    TurnClient::new(link, &credential.username, &credential.password)
}

async fn over_udp(node: &Node, identity: &str) -> TurnClient {
    let link = Link::udp(server(node, "udp")).await.unwrap();
    client(link, &credential(identity))
}

async fn over_tcp(node: &Node, credential: &Credential) -> TurnClient {
    let link = Link::tcp(server(node, "tcp")).await.unwrap();
    client(link, credential)
}

/// The media socket of a family.
fn media(node: &Node, is_ipv6: bool) -> SocketAddr {
    let mut of_family = node.local_udp().iter().filter(|a| a.is_ipv6() == is_ipv6);
    *of_family.next().unwrap()
}

/// A plain binding request.
fn question() -> Vec<u8> {
    let mut bytes = vec![0, 1, 0, 0, 0x21, 0x12, 0xa4, 0x42];
    bytes.extend([9; 12]);
    bytes
}

/// The address in the answer to [`question`], of a family.
fn answered(bytes: &[u8]) -> SocketAddr {
    assert_eq!(bytes[..2], [1, 1], "a success");
    let key = &question()[4..];
    let hidden = |range: std::ops::Range<usize>| -> Vec<u8> {
        bytes[range].iter().zip(key).map(|(a, b)| a ^ b).collect()
    };
    let port = hidden(26..28);
    let ip = match bytes[25] {
        1 => IpAddr::from(<[u8; 4]>::try_from(hidden(28..32)).unwrap()),
        _ => IpAddr::from(<[u8; 16]>::try_from(hidden(28..44)).unwrap()),
    };
    SocketAddr::new(ip, u16::from_be_bytes([port[0], port[1]]))
}

fn code<T: std::fmt::Debug>(outcome: Result<T, ProbeError>) -> u16 {
    match outcome {
        Err(ProbeError::Refused(code)) => code,
        other => panic!("not refused: {other:?}"),
    }
}
