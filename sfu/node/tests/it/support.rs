//! A node on free ports of loopback, and clients of it.

use std::time::Duration;

use plenum_proto::{
    node::{AdminReply, AdminRequest, Join, admin_reply, admin_request, node_client::NodeClient},
    v1::{CreateRoomRequest, DeleteRoomRequest, Room, RoomConfig},
};
use sfu_node::{Node, NodeConfig};
use tonic::{Status, transport::Channel};

/// How long a node waits for those who do not read, at the end of a test.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

pub(crate) fn config(workers: usize) -> NodeConfig {
    let mut config = NodeConfig {
        workers,
        ..NodeConfig::default()
    };
    config.udp.listen = vec!["127.0.0.1:0".parse().unwrap()];
    config.tcp.listen = vec!["127.0.0.1:0".parse().unwrap()];
    // What the system gives without asking.
    config.udp.receive_buffer_bytes = 64 * 1024;
    config.udp.send_buffer_bytes = 64 * 1024;
    config
}

pub(crate) async fn start(workers: usize) -> (Node, NodeClient<Channel>) {
    let node = sfu_node::start(config(workers)).await.unwrap();
    let client = NodeClient::new(node.connect());
    (node, client)
}

pub(crate) async fn admin(
    client: &NodeClient<Channel>,
    kind: admin_request::Kind,
) -> Result<admin_reply::Kind, Status> {
    let request = AdminRequest {
        kind: Some(kind),
        ..AdminRequest::default()
    };
    let AdminReply { kind } = client.clone().admin(request).await?.into_inner();
    Ok(kind.expect("an answer"))
}

pub(crate) async fn create_room(client: &NodeClient<Channel>, name: &str) -> Room {
    let config = RoomConfig {
        name: name.into(),
        ..RoomConfig::default()
    };
    let request = CreateRoomRequest {
        config: Some(config),
    };
    match admin(client, admin_request::Kind::CreateRoom(request))
        .await
        .unwrap()
    {
        admin_reply::Kind::Room(room) => room,
        other => panic!("not a room: {other:?}"),
    }
}

pub(crate) async fn delete_room(client: &NodeClient<Channel>, name: &str) {
    let request = DeleteRoomRequest { room: name.into() };
    admin(client, admin_request::Kind::DeleteRoom(request))
        .await
        .unwrap();
}

pub(crate) fn join(room: &str, identity: &str) -> Join {
    Join {
        room: Some(RoomConfig {
            name: room.into(),
            ..RoomConfig::default()
        }),
        identity: identity.into(),
        ..Join::default()
    }
}
