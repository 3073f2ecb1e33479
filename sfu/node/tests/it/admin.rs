use plenum_proto::{
    node::{AdminRequest, admin_reply, admin_request::Kind},
    v1::{CreateRoomRequest, GetRoomRequest, ListRoomsRequest, Room, RoomConfig},
};
use tonic::{Code, transport::Channel};
use tonic_types::StatusExt as _;

use crate::support::{GRACE, admin, create_room, delete_room, start};

async fn rooms(
    client: &plenum_proto::node::node_client::NodeClient<Channel>,
    names: &[&str],
) -> Vec<Room> {
    let names = names.iter().map(|&name| name.to_owned()).collect();
    match admin(client, Kind::ListRooms(ListRoomsRequest { names }))
        .await
        .unwrap()
    {
        admin_reply::Kind::Rooms(answer) => answer.rooms,
        other => panic!("not rooms: {other:?}"),
    }
}

#[tokio::test]
async fn rooms_of_all_workers_are_one_list() {
    let (node, client) = start(3).await;
    let mut created = Vec::new();
    for name in ["a", "b", "c", "d"] {
        created.push(create_room(&client, name).await.id);
    }
    let mut listed: Vec<_> = rooms(&client, &[])
        .await
        .into_iter()
        .map(|room| room.id)
        .collect();
    created.sort();
    listed.sort();
    assert_eq!(listed, created);
    assert_eq!(node.fresh_stats().await.worker.core.rooms, 4);
    node.shutdown(GRACE).await;
}

#[tokio::test]
async fn a_room_stays_on_its_worker_for_its_life() {
    let (node, client) = start(2).await;
    for round in 0..3 {
        let room = create_room(&client, "room").await;
        create_room(&client, &format!("other {round}")).await;
        assert_eq!(create_room(&client, "room").await.id, room.id);
        let request = GetRoomRequest {
            room: "room".into(),
        };
        let got = admin(&client, Kind::GetRoom(request)).await.unwrap();
        assert!(matches!(got, admin_reply::Kind::Room(got) if got.id == room.id));
        delete_room(&client, "room").await;
        let request = GetRoomRequest {
            room: "room".into(),
        };
        let gone = admin(&client, Kind::GetRoom(request)).await.unwrap_err();
        assert_eq!(gone.code(), Code::NotFound);
        assert_eq!(
            gone.get_error_details()
                .resource_info()
                .unwrap()
                .resource_name,
            "room"
        );
    }
    node.shutdown(GRACE).await;
}

#[tokio::test]
async fn wrong_requests_name_the_field() {
    let (node, client) = start(1).await;
    let empty = client
        .clone()
        .admin(AdminRequest::default())
        .await
        .unwrap_err();
    assert_eq!(empty.code(), Code::InvalidArgument);
    assert_eq!(
        empty
            .get_error_details()
            .bad_request()
            .unwrap()
            .field_violations[0]
            .field,
        "kind"
    );

    let request = CreateRoomRequest {
        config: Some(RoomConfig::default()),
    };
    let nameless = admin(&client, Kind::CreateRoom(request)).await.unwrap_err();
    assert_eq!(nameless.code(), Code::InvalidArgument);
    assert!(nameless.get_error_details().bad_request().is_some());
    node.shutdown(GRACE).await;
}
