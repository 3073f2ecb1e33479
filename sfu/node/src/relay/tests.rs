//! The relay against other ends: nodes of other versions, strangers, and a node gone bad.

use std::{error::Error, time::Instant};

use bytes::Bytes;
use plenum_proto::relay::{Carried, Frame, Workers, carried::Kind};
use prost::Message as _;
use quinn::{Connection, crypto::rustls::HandshakeData};

use super::*;
use crate::config::SharedSecret;

const SECRET: &str = "a secret of thirty-two characters or more";
const PATIENCE: Duration = Duration::from_secs(10);

struct Fixture {
    relay: Arc<Relay>,
    incoming: mpsc::Receiver<(LinkKey, Parcel)>,
    _stop: tokio_util::sync::DropGuard,
}

fn node() -> Fixture {
    let stop = CancellationToken::new();
    let id = NodeId::random(rand::random);
    let (worker, incoming) = mpsc::channel(64);
    let config = RelayConfig {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        secret: SharedSecret(SECRET.into()),
        ..RelayConfig::default()
    };
    let udp = UdpConfig {
        receive_buffer_bytes: 64 * 1024,
        send_buffer_bytes: 64 * 1024,
        ..UdpConfig::default()
    };
    let setup = Setup {
        config,
        udp: &udp,
        node: &id,
        workers: vec![worker],
        directory: Arc::new(Directory::new(id.number(), 1, 300)),
        stop: stop.clone(),
    };
    Fixture {
        relay: Relay::start(setup).unwrap(),
        incoming,
        _stop: stop.drop_guard(),
    }
}

/// Another node, that may have gone bad.
struct Rogue {
    /// Closed with it.
    _endpoint: Endpoint,
    connection: Connection,
    sending: quinn::SendStream,
}

impl Rogue {
    /// It speaks these protocols, holds this secret, and says who it is.
    async fn greet(to: &Relay, secret: &str, protocols: &[&[u8]]) -> Result<Self, Box<dyn Error>> {
        let keys = keys::Keys::speaking(secret, protocols)?;
        let endpoint = Endpoint::client("127.0.0.1:0".parse()?)?;
        let mut client = quinn::ClientConfig::new(keys.client);
        client.transport_config(Arc::new(transport(&to.config)));
        let address = to.addresses()[0].parse()?;
        let connection = endpoint.connect_with(client, address, "plenum")?.await?;
        let (mut sending, mut receiving) = connection.open_bi().await?;
        let hello = Kind::Hello(Hello {
            node_id: "ND_rogue".into(),
            workers: 1,
            callee: to.own.node_id.clone(),
            ..Hello::default()
        });
        wire::write(&mut sending, &wire::encode(hello)).await?;
        // Only now it is sure that the other side accepts what it was shown.
        receiving.read_chunk(1024, true).await?;
        Ok(Self {
            _endpoint: endpoint,
            connection,
            sending,
        })
    }

    async fn of(fixture: &Fixture) -> Self {
        let rogue = Self::greet(&fixture.relay, SECRET, &[b"plenum-relay/1"]).await;
        until("a link", || fixture.relay.stats().links == 1).await;
        rogue.unwrap()
    }

    async fn say(&mut self, bytes: &[u8]) {
        wire::write(&mut self.sending, bytes).await.unwrap();
    }
}

async fn until(what: &str, holds: impl Fn() -> bool) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < PATIENCE, "no {what} in time");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

#[tokio::test]
async fn nodes_of_different_versions_speak_what_both_know() {
    let fixture = node();
    let newer: [&[u8]; 2] = [b"plenum-relay/2", b"plenum-relay/1"];
    let rogue = Rogue::greet(&fixture.relay, SECRET, &newer).await.unwrap();
    let data = rogue.connection.handshake_data().unwrap();
    let data = data.downcast::<HandshakeData>().unwrap();
    assert_eq!(data.protocol.as_deref(), Some(&b"plenum-relay/1"[..]));
    let far = Rogue::greet(&fixture.relay, SECRET, &[b"plenum-relay/9"]).await;
    assert!(far.is_err(), "nothing in common");
}

#[tokio::test]
async fn another_secret_gets_nowhere() {
    let fixture = node();
    let other = "another secret of thirty-two characters";
    let rogue = Rogue::greet(&fixture.relay, other, &[b"plenum-relay/1"]).await;
    assert!(rogue.is_err());
    assert_eq!(fixture.relay.stats().links, 0);
}

#[tokio::test]
async fn a_node_gone_bad_costs_its_own_connection_only() {
    let too_long = (u32::MAX - 1).to_be_bytes().to_vec();
    let no_message = [&[0, 0, 0, 4][..], &[0xff; 4]].concat();
    for bytes in [too_long, no_message] {
        let fixture = node();
        let mut rogue = Rogue::of(&fixture).await;
        rogue.say(&bytes).await;
        rogue.connection.closed().await;
        until("end", || fixture.relay.stats().links == 0).await;
        Rogue::of(&fixture).await;
    }
}

#[tokio::test]
async fn what_is_for_nobody_goes_nowhere() {
    let mut fixture = node();
    let mut rogue = Rogue::of(&fixture).await;
    for (from, to) in [(0, 7), (99, 0), (0, 300)] {
        let frame = Frame {
            between: Some(Workers { from, to }),
            control: Some(Default::default()),
        };
        rogue.say(&wire::encode(Kind::Frame(frame))).await;
    }
    // A kind of a later version.
    let unknown = Carried::default().encode_to_vec();
    let unknown = [
        &u32::try_from(unknown.len()).unwrap().to_be_bytes()[..],
        &unknown,
    ]
    .concat();
    rogue.say(&unknown).await;
    let good = Frame {
        between: Some(Workers { from: 5, to: 0 }),
        control: Some(Default::default()),
    };
    rogue.say(&wire::encode(Kind::Frame(good))).await;
    let (link, parcel) = fixture.incoming.recv().await.unwrap();
    assert_eq!(link.worker(), 5);
    assert!(matches!(parcel, Parcel::Frames(frames) if frames.len() == 1));
    assert!(
        fixture.incoming.try_recv().is_err(),
        "the rest is for nobody"
    );

    for bytes in [
        &b""[..],
        b"x",
        &[1, 3],
        &[1, 3, 0, 0, 0, 0, 0, 0, 0, 0, 9, 9],
        &[2; 9],
        &[3; 9],
    ] {
        let bytes = Bytes::copy_from_slice(bytes);
        rogue.connection.send_datagram(bytes).unwrap();
    }
    until("count", || {
        let stats = fixture.relay.stats();
        stats.malformed >= 1 && stats.hop.useless >= 3
    })
    .await;
    assert_eq!(fixture.relay.stats().links, 1);
}

#[tokio::test]
async fn a_worker_may_be_the_first_to_speak_to_a_node() {
    let fixture = node();
    let relay = Arc::clone(&fixture.relay);
    let number = NodeId::random(rand::random).number();
    // Its thread has no runtime.
    let told = std::thread::spawn(move || relay.bundles(number).is_some());
    assert!(told.join().expect("the worker goes on"));
}

#[tokio::test]
async fn a_flood_of_media_makes_nothing_grow() {
    let fixture = node();
    let rogue = Rogue::of(&fixture).await;
    // Nobody reads what goes to the worker; every number leaves a gap.
    let (mut piece, mut number) = (vec![0; 1_000], 0_u64);
    for _ in 0..4_000 {
        number += 500;
        (piece[0], piece[1]) = (1, 3);
        piece[2..10].copy_from_slice(&number.to_be_bytes());
        let piece = Bytes::copy_from_slice(&piece);
        rogue.connection.send_datagram_wait(piece).await.unwrap();
    }
    until("end of the flood", || {
        fixture.relay.stats().hop.lost > 1_900_000
    })
    .await;
    assert!(fixture.incoming.len() <= 64);
    assert_eq!(fixture.relay.stats().links, 1);
}
