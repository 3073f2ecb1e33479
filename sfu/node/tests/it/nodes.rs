//! Rooms over several nodes, over QUIC on loopback: to participants and callers they are one room.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use plenum_proto::{
    node::{
        CloseAction, HomeNode, SendData, StatusRequest, SubscriptionPermission,
        admin_request::Kind as Admin, node_client::NodeClient, session_event::Kind as Told,
        session_request::Kind,
    },
    v1::{
        CloseReason, GetParticipantRequest, GetRoomRequest, MuteTrackRequest, SendDataRequest,
        UpdateRoomRequest, UserData,
    },
};
use sfu_node::{Node, NodeConfig, config::SharedSecret};
use sfu_sim::{Client, ClientOptions, DataTo, SourceId, SourceKind, VideoSettings};
use tokio::{net::UdpSocket, task::JoinHandle};
use tonic::{Code, transport::Channel};
use tonic_types::StatusExt as _;

use crate::{
    people::Person,
    support::{GRACE, admin, config},
};

const SECRET: &str = "a secret of thirty-two characters or more";

fn relaying(workers: usize) -> NodeConfig {
    let mut config = config(workers);
    config.relay.listen = vec!["127.0.0.1:0".parse().unwrap()];
    config.relay.secret = SharedSecret(SECRET.into());
    config
}

/// Nodes of one cluster; the first is the home of all rooms.
struct Cluster {
    start: Instant,
    nodes: Vec<(Node, NodeClient<Channel>)>,
    /// Where the others reach the home, if not where it listens.
    detour: Option<SocketAddr>,
    people: u16,
}

impl Cluster {
    async fn of(configs: impl IntoIterator<Item = NodeConfig>) -> Self {
        let mut nodes = Vec::new();
        for config in configs {
            let node = sfu_node::start(config).await.unwrap();
            let client = NodeClient::new(node.connect());
            nodes.push((node, client));
        }
        Self {
            start: Instant::now(),
            nodes,
            detour: None,
            people: 0,
        }
    }

    async fn new(nodes: usize) -> Self {
        Self::of((0..nodes).map(|_| relaying(1))).await
    }

    fn client(&self, node: usize) -> &NodeClient<Channel> {
        &self.nodes[node].1
    }

    fn home(&self, epoch: u64) -> HomeNode {
        let home = &self.nodes[0].0;
        let relay_addresses = match self.detour {
            Some(detour) => vec![detour.to_string()],
            None => home.relay_addresses().to_vec(),
        };
        HomeNode {
            node_id: home.id().to_owned(),
            relay_addresses,
            epoch,
        }
    }

    async fn enter(&mut self, node: usize, identity: &str) -> Person {
        let options = ClientOptions::new("room", identity);
        self.enter_as(node, options, 1).await
    }

    async fn enter_as(&mut self, node: usize, options: ClientOptions, epoch: u64) -> Person {
        self.people += 1;
        let home = Some(self.home(epoch));
        Person::join(self.client(node), self.start, self.people, options, home).await
    }

    async fn shutdown(self) {
        for (node, _) in self.nodes {
            node.shutdown(GRACE).await;
        }
    }
}

fn camera(person: &Person) -> SourceId {
    person.publish(SourceKind::Video, VideoSettings::default())
}

fn voice(person: &Person) -> SourceId {
    person.publish(SourceKind::Audio, VideoSettings::default())
}

/// The id of the track of a source.
async fn track_of(person: &Person, source: SourceId) -> String {
    person
        .until("track", |c| c.track_id(source).is_some())
        .await;
    person.lock().client().track_id(source).unwrap().to_owned()
}

fn sees(client: &Client, identities: &[&str]) -> bool {
    let mut seen: Vec<_> = client.participants().map(|p| p.identity.as_str()).collect();
    seen.sort_unstable();
    seen == identities
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_on_three_nodes_see_and_hear_each_other() {
    let mut cluster = Cluster::new(3).await;
    let mut people = Vec::new();
    for (node, name) in ["ann", "bob", "cat"].into_iter().enumerate() {
        people.push(cluster.enter(node, name).await);
    }
    let sources: Vec<_> = people.iter().map(|p| (camera(p), voice(p))).collect();
    for (n, person) in people.iter().enumerate() {
        person
            .until("roster", |c| sees(c, &["ann", "bob", "cat"]))
            .await;
        for (m, (camera, voice)) in sources.iter().enumerate() {
            if n != m {
                person.frames(*camera, 60).await;
                person.frames(*voice, 60).await;
            }
        }
        let is_told = |told: &Told| matches!(told, Told::Speakers(s) if s.speakers.len() > 1);
        person.until("speakers", |c| c.told().any(is_told)).await;
    }
    for person in &people {
        let violations = person.lock().violations().to_vec();
        assert_eq!(violations, Vec::<String>::new());
    }
    for (node, _) in &cluster.nodes {
        assert_eq!(
            node.fresh_stats().await.relay.links,
            2,
            "with each of the others"
        );
    }
    drop(people);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_is_one_room_whichever_node_is_asked() {
    let mut cluster = Cluster::new(2).await;
    let ann = cluster.enter(0, "ann").await;
    let bob = cluster.enter(1, "bob").await;
    let voice = voice(&bob);
    let track = track_of(&bob, voice).await;
    ann.frames(voice, 10).await;

    // What concerns the room is said at its home, and reaches everybody.
    let update = UpdateRoomRequest {
        room: "room".into(),
        metadata: Some("agenda".into()),
        ..UpdateRoomRequest::default()
    };
    let elsewhere = admin(cluster.client(1), Admin::UpdateRoom(update.clone()))
        .await
        .unwrap_err();
    assert_eq!(elsewhere.code(), Code::Unavailable);
    let details = elsewhere.get_error_details();
    let info = details.error_info().unwrap();
    assert_eq!(info.reason, "ELSEWHERE");
    assert_eq!(info.metadata["node_id"], cluster.nodes[0].0.id());
    admin(cluster.client(0), Admin::UpdateRoom(update))
        .await
        .unwrap();
    let is_agenda = |told: &Told| matches!(told, Told::Room(room) if room.metadata == "agenda");
    bob.until("metadata", |c| c.told().any(is_agenda)).await;

    // A participant is spoken to where it is.
    let get = Admin::GetParticipant(GetParticipantRequest {
        room: "room".into(),
        identity: "bob".into(),
    });
    let elsewhere = admin(cluster.client(0), get.clone()).await.unwrap_err();
    let details = elsewhere.get_error_details();
    let node = &details.error_info().unwrap().metadata["node_id"];
    assert_eq!(node, cluster.nodes[1].0.id());
    admin(cluster.client(1), get).await.unwrap();
    let mute = MuteTrackRequest {
        room: "room".into(),
        identity: "bob".into(),
        track_id: track.clone(),
        muted: true,
    };
    admin(cluster.client(1), Admin::MuteTrack(mute))
        .await
        .unwrap();
    let is_muted = |c: &Client| {
        let bob = c.participant("bob");
        bob.is_some_and(|bob| bob.tracks.iter().any(|t| t.id == track && t.muted))
    };
    ann.until("mute", is_muted).await;

    // Data, from the backend and from a participant.
    let data = SendData {
        request: Some(SendDataRequest {
            room: "room".into(),
            data: Some(UserData {
                payload: b"all".to_vec(),
                reliable: true,
                ..UserData::default()
            }),
        }),
        ..SendData::default()
    };
    admin(cluster.client(0), Admin::SendData(data))
        .await
        .unwrap();
    bob.until("data", |c| c.data().iter().any(|d| d.payload == b"all"))
        .await;
    bob.until("a channel", |c| c.can_send_data()).await;
    let to = DataTo {
        reliable: true,
        identities: Vec::new(),
    };
    assert!(bob.lock().client_mut().send_data(b"hello", &to));
    ann.until("data", |c| {
        let from_bob = |d: &sfu_sim::DataMessage| d.sender == "bob" && d.payload == b"hello";
        c.data().iter().any(from_bob)
    })
    .await;

    // Rights: nobody may subscribe any more.
    let camera = camera(&ann);
    bob.frames(camera, 10).await;
    let nobody = SubscriptionPermission::default();
    ann.lock().request(Kind::SubscriptionPermission(nobody));
    let is_told = |told: &Told| matches!(told, Told::PermissionChanged(c) if !c.allowed);
    bob.until("refusal", |c| c.told().any(is_told)).await;

    drop(ann);
    drop(bob);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_track_crosses_once_for_a_whole_audience() {
    let mut other = relaying(2);
    // Each further guest goes to the other worker.
    other.rooms.spread_participants = 1;
    let mut cluster = Cluster::of([relaying(1), other]).await;
    let ann = cluster.enter(0, "ann").await;
    let voice = voice(&ann);
    let mut audience = Vec::new();
    for n in 0..5 {
        audience.push(cluster.enter(1, &format!("guest {n}")).await);
    }
    for guest in &audience {
        guest.frames(voice, 5).await;
    }
    let sent = || {
        let node = &cluster.nodes[0].0;
        async { node.fresh_stats().await.relay.hop.sent }
    };
    let (crossed, heard) = (
        sent().await,
        audience[0].lock().client().report(voice).packets,
    );
    audience[0].frames(voice, 100).await;
    let (crossed, heard) = (
        sent().await - crossed,
        audience[0].lock().client().report(voice).packets - heard,
    );
    assert!(
        crossed.abs_diff(heard) <= 10,
        "{crossed} crossed, each heard {heard}"
    );
    drop(audience);
    drop(ann);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lossy_link_between_nodes_is_not_seen() {
    let mut cluster = Cluster::new(2).await;
    let proxy = Lossy::start(cluster.home(1).relay_addresses[0].parse().unwrap()).await;
    cluster.detour = Some(proxy.address);
    let ann = cluster.enter(0, "ann").await;
    let bob = cluster.enter(1, "bob").await;
    let (camera, back) = (camera(&ann), voice(&bob));
    // What is late of an encoding that a viewer has left is of no use, and leaves a hole.
    bob.until("best picture", |c| c.report(camera).encoding == 2)
        .await;
    ann.frames(back, 5).await;
    let before = bob.lock().client().report(camera);
    proxy.lose_one_in.store(20, Ordering::Relaxed);
    bob.frames(camera, 120).await;
    ann.frames(back, 100).await;
    proxy.lose_one_in.store(0, Ordering::Relaxed);
    bob.frames(camera, 30).await;
    assert!(proxy.lost.load(Ordering::Relaxed) > 20, "the proxy loses");
    let hop = cluster.nodes[1].0.fresh_stats().await.relay.hop;
    assert!(hop.recovered > 0, "{hop:?}");
    assert_eq!(hop.lost, 0, "{hop:?}");
    let (picture, sound) = (
        bob.lock().client().report(camera),
        ann.lock().client().report(back),
    );
    assert_eq!(
        (picture.lost, picture.undecodable),
        (before.lost, before.undecodable),
        "{picture:?}"
    );
    assert_eq!(sound.lost, 0, "{sound:?}");
    drop((ann, bob));
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_dies_takes_its_participants_along_and_nobody_else() {
    let mut cluster = Cluster::of((0..3).map(|_| {
        let mut config = relaying(1);
        config.relay.idle_timeout = Duration::from_secs(1);
        config
    }))
    .await;
    let ann = cluster.enter(0, "ann").await;
    let bob = cluster.enter(1, "bob").await;
    let cat = cluster.enter(2, "cat").await;
    let voice = voice(&ann);
    for person in [&bob, &cat] {
        person.frames(voice, 5).await;
        person
            .until("roster", |c| sees(c, &["ann", "bob", "cat"]))
            .await;
    }
    // An edge dies: those on the other nodes go on.
    drop(cluster.nodes.remove(1));
    for person in [&ann, &cat] {
        person.until("roster", |c| sees(c, &["ann", "cat"])).await;
    }
    cat.frames(voice, 20).await;
    // The home dies: its room ends, and who is in it comes back.
    drop(cluster.nodes.remove(0));
    cat.until("last word", |c| c.closed().is_some()).await;
    let closed = cat.lock().client().closed().cloned().unwrap();
    assert_eq!(
        (closed.action(), closed.reason()),
        (CloseAction::Reconnect, CloseReason::NodeShutdown)
    );
    drop((ann, bob, cat));
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_who_holds_the_secret_may_connect() {
    let mut stranger = relaying(1);
    stranger.relay.secret = SharedSecret("another secret of thirty-two characters".into());
    let mut cluster = Cluster::of([relaying(1), stranger]).await;
    let _ann = cluster.enter(0, "ann").await;
    let refused = Person::try_join(
        cluster.client(1),
        &ClientOptions::new("room", "eve").join,
        cluster.home(1),
    )
    .await;
    assert_eq!(refused.unwrap_err().code(), Code::Unavailable);
    for (node, _) in &cluster.nodes {
        assert_eq!(node.fresh_stats().await.relay.links, 0);
    }
    assert!(cluster.nodes[0].0.fresh_stats().await.relay.refused > 0);
    cluster.shutdown().await;
}

#[tokio::test]
async fn rubbish_on_the_relay_port_gets_no_answer_and_does_no_harm() {
    let cluster = Cluster::new(1).await;
    let to: SocketAddr = cluster.home(1).relay_addresses[0].parse().unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for bytes in [&[0; 1][..], &[0x40; 1200], &[0xff; 1400], &[0xc0; 1200]] {
        for _ in 0..50 {
            socket.send_to(bytes, to).await.unwrap();
        }
    }
    let status = cluster.client(0).clone().status(StatusRequest {}).await;
    let status = status.unwrap().into_inner();
    assert_eq!(status.relay_addresses, [to.to_string()]);
    assert_eq!(cluster.nodes[0].0.fresh_stats().await.relay.links, 0);
    cluster.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_is_refused_where_the_home_is_not_what_it_says() {
    let mut cluster = Cluster::new(2).await;
    let ann = cluster.enter(0, "ann").await;
    // Of an older epoch.
    let bob = cluster
        .enter_as(1, ClientOptions::new("room", "bob"), 3)
        .await;
    let join = ClientOptions::new("room", "cat").join;
    let refused = Person::try_join(cluster.client(1), &join, cluster.home(2)).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unavailable);
    // A node without a relay.
    let lonely = sfu_node::start(config(1)).await.unwrap();
    let client = NodeClient::new(lonely.connect());
    let refused = Person::try_join(&client, &join, cluster.home(3)).await;
    assert_eq!(refused.unwrap_err().code(), Code::FailedPrecondition);
    // A home that is not there.
    let mut nowhere = cluster.home(3);
    nowhere.node_id = "ND_nowhere".into();
    let refused = Person::try_join(cluster.client(1), &join, nowhere).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unavailable);
    // A room that is to exist, and does not.
    let mut join = ClientOptions::new("other", "cat").join;
    join.must_exist = true;
    let closed = Person::try_join(cluster.client(1), &join, cluster.home(3)).await;
    assert_eq!(closed.unwrap(), Some(CloseReason::JoinFailure));
    let get = Admin::GetRoom(GetRoomRequest {
        room: "other".into(),
    });
    let missing = admin(cluster.client(0), get).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound);
    drop((ann, bob));
    lonely.shutdown(GRACE).await;
    cluster.shutdown().await;
}

/// Prints what a hop between nodes adds: the same picture and sound, seen on the node of the publisher and on
/// another.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a measurement"]
async fn measure_what_a_hop_adds() {
    let mut cluster = Cluster::new(2).await;
    let ann = cluster.enter(0, "ann").await;
    let near = cluster.enter(0, "near").await;
    let far = cluster.enter(1, "far").await;
    let (camera, voice) = (camera(&ann), voice(&ann));
    for person in [&near, &far] {
        person.frames(camera, 100).await;
        person.frames(voice, 100).await;
        person.lock().take_latencies();
    }
    for _ in 0..3 {
        near.frames(camera, 300).await;
    }
    for (place, person) in [("same node", &near), ("other node", &far)] {
        let mut latencies = person.lock().take_latencies();
        latencies.sort_unstable();
        let at = |share: usize| latencies[latencies.len() * share / 100];
        println!(
            "{place}: {} frames, p50 {:?}, p90 {:?}, p99 {:?}",
            latencies.len(),
            at(50),
            at(90),
            at(99)
        );
    }
    println!("{:?}", cluster.nodes[0].0.fresh_stats().await.relay);
    drop((ann, near, far));
    cluster.shutdown().await;
}

/// A way to a node that loses datagrams, in both directions.
struct Lossy {
    address: SocketAddr,
    /// 0 = none.
    lose_one_in: Arc<AtomicU64>,
    lost: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Lossy {
    async fn start(to: SocketAddr) -> Self {
        let front = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let back = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = front.local_addr().unwrap();
        let (lose_one_in, lost) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let (loses, counted) = (Arc::clone(&lose_one_in), Arc::clone(&lost));
        let task = tokio::spawn(async move {
            let (mut forth, mut home) = (vec![0; 2048], vec![0; 2048]);
            let (mut caller, mut state) = (None, 1_u64);
            let mut is_lost = move || {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                let one_in = loses.load(Ordering::Relaxed);
                let is_lost = one_in > 0 && (state >> 33).is_multiple_of(one_in);
                counted.fetch_add(u64::from(is_lost), Ordering::Relaxed);
                is_lost
            };
            loop {
                tokio::select! {
                    Ok((length, from)) = front.recv_from(&mut forth) => {
                        caller = Some(from);
                        if !is_lost() {
                            let _ = back.send_to(&forth[..length], to).await;
                        }
                    }
                    Ok((length, _)) = back.recv_from(&mut home) => {
                        if let Some(caller) = caller.filter(|_| !is_lost()) {
                            let _ = front.send_to(&home[..length], caller).await;
                        }
                    }
                }
            }
        });
        Self {
            address,
            lose_one_in,
            lost,
            task,
        }
    }
}

impl Drop for Lossy {
    fn drop(&mut self) {
        self.task.abort();
    }
}
