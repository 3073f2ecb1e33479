//! A cluster of real processes on one machine: control planes, media nodes, and clients that speak the signalling
//! protocol. Here is what outlives what; where it goes in the store is tested beside the store.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod agents;
mod processes;
mod tls;

use std::time::{Duration, Instant};

use control_plane::auth::{MintRequest, VideoGrants};
use livekit_protocol::{
    JoinResponse, LeaveRequest, leave_request::Action, signal_response::Message as Hear,
};
use plenum_proto::{
    node::{StatusRequest, node_client::NodeClient},
    v1::{
        CordonNodeRequest, CreateRoomRequest, ForwardParticipantRequest, GetParticipantRequest,
        GetRoomRequest, ListNodesRequest, ListRoomsRequest, RoomConfig, WatchEventsRequest,
        event::Kind as Event, event_service_client::EventServiceClient,
        node_service_client::NodeServiceClient,
        participant_service_client::ParticipantServiceClient,
        room_service_client::RoomServiceClient,
    },
};
use tonic::{Code, transport::Endpoint};

use crate::{
    signal::{
        soon,
        world::{Client, Connector, Last},
    },
    support::{PATIENCE, keys, token, with_token},
};
use processes::{ControlPlane, Etcd, Sfu};

fn admin(room: &str) -> String {
    token(VideoGrants {
        room_create: true,
        room_list: true,
        room_admin: true,
        node_admin: true,
        room: room.to_owned(),
        ..VideoGrants::default()
    })
}

/// Joins as a client does, past the first two messages.
async fn join(at: &ControlPlane, room: &str, identity: &str) -> (Client, JoinResponse) {
    let mut client = connect(at, room, identity, "").await;
    let Hear::Join(joined) = client.hear().await else {
        panic!("the first message is a join");
    };
    assert!(matches!(client.hear().await, Hear::RefreshToken(_)));
    (client, joined)
}

/// What a participant comes with.
pub(crate) fn participant_token(identity: &str, grants: VideoGrants) -> String {
    let request = MintRequest {
        identity: identity.to_owned(),
        grants,
        ttl: Duration::from_secs(60),
        ..MintRequest::default()
    };
    keys()
        .mint(control_plane::config::DEV_KEY, request)
        .unwrap()
}

async fn connect(at: &ControlPlane, room: &str, identity: &str, query: &str) -> Client {
    let grants = VideoGrants {
        room_join: true,
        room: room.to_owned(),
        ..VideoGrants::default()
    };
    let token = participant_token(identity, grants);
    let target = format!("/rtc?protocol=16&access_token={token}{query}");
    Connector(at.http).connect_to(&target).await.unwrap()
}

fn node_of(joined: &JoinResponse) -> String {
    joined.server_info.as_ref().unwrap().node_id.clone()
}

fn room_id(joined: &JoinResponse) -> String {
    joined.room.as_ref().unwrap().sid.clone()
}

/// What a client is told to do next; everything before that is passed over.
async fn leave(client: &mut Client) -> LeaveRequest {
    leave_after(client).await.0
}

/// The same, with the last token that came before.
pub(crate) async fn leave_after(client: &mut Client) -> (LeaveRequest, Option<String>) {
    let mut token = None;
    loop {
        match client.last().await {
            Last::Message(message) => match *message {
                Hear::Leave(leave) => return (leave, token),
                Hear::RefreshToken(fresh) => token = Some(fresh),
                _ => {}
            },
            Last::Close(code) => panic!("closed with {code} and no word"),
        }
    }
}

async fn rooms(at: &ControlPlane) -> RoomServiceClient<tonic::transport::Channel> {
    RoomServiceClient::new(channel(at).await)
}

async fn channel(at: &ControlPlane) -> tonic::transport::Channel {
    Endpoint::from_shared(format!("http://{}", at.http))
        .unwrap()
        .timeout(PATIENCE)
        .connect()
        .await
        .unwrap()
}

async fn create(at: &ControlPlane, name: &str, metadata: &str) {
    let config = RoomConfig {
        name: name.to_owned(),
        metadata: metadata.to_owned(),
        ..RoomConfig::default()
    };
    let request = CreateRoomRequest {
        config: Some(config),
    };
    let request = with_token(&admin(name), request);
    rooms(at).await.create_room(request).await.unwrap();
}

/// A node is killed: who was on it comes back on another, in the same room, and others notice nothing.
#[tokio::test]
async fn a_room_outlives_its_node() {
    let control = ControlPlane::start(&[]).await;
    let Some(mut nodes) = Sfu::several(2, &[&control]).await else {
        return;
    };
    create(&control, "tea", "green").await;
    let (mut ann, first) = join(&control, "tea", "ann").await;
    assert_eq!(first.room.as_ref().unwrap().metadata, "green");
    let (mut dan, _) = join(&control, "tea", "dan").await;
    // A reader that comes later.
    let mut api = EventServiceClient::new(channel(&control).await);
    let watch = WatchEventsRequest {
        room: "tea".to_owned(),
        ..WatchEventsRequest::default()
    };
    let watching = api.watch_events(with_token(&admin("tea"), watch)).await;
    let mut events = watching.unwrap().into_inner();
    let home = node_of(&first);
    // A room on the other node.
    let mut bystander = None;
    for n in 0..100 {
        let (client, joined) = join(&control, &format!("other-{n}"), "bob").await;
        if node_of(&joined) != home {
            bystander = Some(client);
            break;
        }
    }
    let mut bystander = bystander.expect("rooms go to both nodes");

    let killed = Instant::now();
    nodes.retain(|node| node.id != home);
    let told = leave(&mut ann).await;
    assert_eq!(told.action(), Action::Reconnect);
    let (mut ann, second) = join(&control, "tea", "ann").await;
    println!("back in the room after {} ms", killed.elapsed().as_millis());
    assert_ne!(node_of(&second), home);
    assert_eq!(room_id(&second), room_id(&first));
    assert_eq!(second.room.as_ref().unwrap().metadata, "green");
    ann.settle().await;
    bystander.settle().await;
    // The API sees it where it is.
    let request = with_token(&admin("tea"), GetRoomRequest { room: "tea".into() });
    let room = rooms(&control).await.get_room(request).await.unwrap();
    assert_eq!(room.get_ref().id, room_id(&first));
    assert_eq!(room.get_ref().num_participants, 1);
    // Everybody left, though the node could not say so, and who came back joined.
    leave(&mut dan).await;
    let mut told = Vec::new();
    while told.len() < 3 {
        let event = soon(events.message()).await.unwrap().unwrap();
        match event.kind {
            Some(Event::ParticipantLeft(who)) => told.push(format!("{} left", who.identity)),
            Some(Event::ParticipantJoined(who)) => told.push(format!("{} joined", who.identity)),
            _ => {}
        }
    }
    told.sort_unstable();
    assert_eq!(told, ["ann joined", "ann left", "dan left"]);
}

/// A control plane is killed: its clients go on at another, with their stay as it was.
#[tokio::test]
async fn a_stay_outlives_its_control_plane() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let store = etcd.setting();
    let first = ControlPlane::start(&[&store]).await;
    let second = ControlPlane::start(&[&store]).await;
    let Some(nodes) = Sfu::several(2, &[&first, &second]).await else {
        return;
    };
    second.knows(&nodes).await;
    let (mut ann, joined) = join(&first, "tea", "ann").await;
    let own = joined.participant.as_ref().unwrap().sid.clone();
    // Both answer for the room, wherever it was joined.
    let list = || with_token(&admin("tea"), ListRoomsRequest::default());
    for replica in [&first, &second] {
        let listed = rooms(replica).await.list_rooms(list()).await.unwrap();
        assert_eq!(listed.get_ref().rooms.len(), 1);
    }
    drop(first);
    ann.rest().await;
    let resume = format!("&reconnect=1&sid={own}");
    let mut ann = connect(&second, "tea", "ann", &resume).await;
    assert!(matches!(ann.hear().await, Hear::Reconnect(_)));
    ann.settle().await;
    // Rooms can be made with the replica that is left, and the nodes report to it.
    let (_bob, bob) = join(&second, "coffee", "bob").await;
    assert!(nodes.iter().any(|node| node.id == node_of(&bob)));
    second.knows(&nodes).await;
}

/// A node is told to end: its rooms go to another node first, and it ends in order.
#[tokio::test]
async fn a_node_that_ends_sends_its_rooms_on() {
    let control = ControlPlane::start(&[]).await;
    let Some(mut nodes) = Sfu::several(2, &[&control]).await else {
        return;
    };
    let (mut ann, first) = join(&control, "tea", "ann").await;
    let home = node_of(&first);
    let at = nodes.iter().position(|node| node.id == home).unwrap();
    let node = nodes.remove(at);
    node.tell_to_end();
    let told = leave(&mut ann).await;
    assert_eq!(told.action(), Action::Reconnect);
    let (mut ann, second) = join(&control, "tea", "ann").await;
    assert_eq!(node_of(&second), nodes[0].id);
    assert_eq!(room_id(&second), room_id(&first));
    ann.settle().await;
    assert_eq!(soon(node.ended()).await, Some(0));
    control.knows(&nodes).await;
}

/// Where no new rooms are wanted, none go.
#[tokio::test]
async fn a_cordoned_node_gets_no_room() {
    let control = ControlPlane::start(&[]).await;
    let Some(nodes) = Sfu::several(2, &[&control]).await else {
        return;
    };
    let mut api = NodeServiceClient::new(channel(&control).await);
    let cordon = CordonNodeRequest {
        node_id: nodes[0].id.clone(),
        cordoned: true,
    };
    let refused = api.cordon_node(with_token(&token(VideoGrants::default()), cordon.clone()));
    assert_eq!(refused.await.unwrap_err().code(), Code::PermissionDenied);
    let unknown = CordonNodeRequest {
        node_id: "ND_none".into(),
        cordoned: true,
    };
    let refused = api.cordon_node(with_token(&admin(""), unknown));
    assert_eq!(refused.await.unwrap_err().code(), Code::NotFound);
    api.cordon_node(with_token(&admin(""), cordon))
        .await
        .unwrap();
    // It says so itself, with its next report.
    soon(async {
        loop {
            let list = with_token(&admin(""), ListNodesRequest {});
            let listed = api.list_nodes(list).await.unwrap().into_inner().nodes;
            assert_eq!(listed.len(), 2);
            if listed.iter().any(|node| node.cordoned) {
                break;
            }
        }
    })
    .await;
    for n in 0..20 {
        let (_client, joined) = join(&control, &format!("room-{n}"), "ann").await;
        assert_eq!(node_of(&joined), nodes[1].id);
    }
}

/// Who does not know the secret is neither taken in as a node nor listened to by one.
#[tokio::test]
async fn strangers_are_no_part_of_a_cluster() {
    let secret = format!("cluster.secret={}", "s".repeat(32));
    let control = ControlPlane::start(&[&secret]).await;
    let Some(node) = Sfu::start(&[&control], &[&secret]).await else {
        return;
    };
    control.knows(std::slice::from_ref(&node)).await;
    let wrong = format!("cluster.secret={}", "x".repeat(32));
    let stranger = Sfu::start(&[&control], &[&wrong]).await.unwrap();
    let channel = Endpoint::from_shared(format!("http://{}", node.cluster)).unwrap();
    let mut client = NodeClient::new(channel.connect_lazy());
    let refused = client.status(StatusRequest {}).await;
    assert_eq!(refused.unwrap_err().code(), Code::Unauthenticated);
    assert!(stranger.says("cluster.secret").await);
    control.knows(std::slice::from_ref(&node)).await;
}

/// Participants of one room whose signalling comes to different regions are served by nodes of these, as one room.
#[tokio::test]
async fn a_room_spans_the_regions_of_its_participants() {
    let Some(etcd) = Etcd::start().await else {
        return;
    };
    let store = etcd.setting();
    let eu = ControlPlane::start(&[&store, "cluster.region=eu"]).await;
    let us = ControlPlane::start(&[&store, "cluster.region=us"]).await;
    let secret = format!("node.relay.secret={:032x}", rand::random::<u128>());
    let relay = "node.relay.listen=127.0.0.1:0";
    let both = [&eu, &us];
    let Some(home) = Sfu::start(&both, &["node.region=eu", relay, &secret]).await else {
        return;
    };
    let edge = Sfu::start(&both, &["node.region=us", relay, &secret])
        .await
        .unwrap();
    let nodes = [home, edge];
    for replica in both {
        replica.knows(&nodes).await;
    }
    let (mut ann, at_home) = join(&eu, "tea", "ann").await;
    let (bob, at_edge) = join(&us, "tea", "bob").await;
    assert_eq!(node_of(&at_home), nodes[0].id);
    assert_eq!(node_of(&at_edge), nodes[1].id);
    assert_eq!(room_id(&at_edge), room_id(&at_home));
    let others = at_edge
        .other_participants
        .iter()
        .map(|other| &other.identity);
    assert_eq!(others.collect::<Vec<_>>(), ["ann"]);
    loop {
        if let Hear::Update(update) = ann.hear().await
            && update.participants.iter().any(|who| who.identity == "bob")
        {
            break;
        }
    }
    // Both replicas answer for both participants, wherever these are.
    for replica in both {
        let mut api = ParticipantServiceClient::new(channel(replica).await);
        for identity in ["ann", "bob"] {
            let get = GetParticipantRequest {
                room: "tea".into(),
                identity: identity.into(),
            };
            let found = api.get_participant(with_token(&admin("tea"), get)).await;
            assert_eq!(found.unwrap().get_ref().identity, identity);
        }
    }
    // Who is on one node is shown in a room whose home is the other.
    let (mut cat, joined) = join(&eu, "coffee", "cat").await;
    assert_eq!(node_of(&joined), nodes[0].id);
    let mut api = ParticipantServiceClient::new(channel(&eu).await);
    let forward = ForwardParticipantRequest {
        room: "tea".into(),
        identity: "bob".into(),
        destination_room: "coffee".into(),
    };
    let grants = VideoGrants {
        room_admin: true,
        room: "tea".to_owned(),
        destination_room: "coffee".to_owned(),
        ..VideoGrants::default()
    };
    let forward = with_token(&token(grants), forward);
    api.forward_participant(forward).await.unwrap();
    loop {
        if let Hear::Update(update) = cat.hear().await
            && update.participants.iter().any(|who| who.identity == "bob")
        {
            break;
        }
    }
    // A stay is taken up where it is, though the signalling comes from elsewhere.
    drop(bob);
    let own = at_edge.participant.as_ref().unwrap().sid.clone();
    let mut bob = connect(&eu, "tea", "bob", &format!("&reconnect=1&sid={own}")).await;
    assert!(matches!(bob.hear().await, Hear::Reconnect(_)));
    bob.settle().await;
}
