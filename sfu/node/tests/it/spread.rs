//! A room over the workers of a node: to callers it is one room.

use plenum_proto::{
    node::{
        Join, Joined, Resume, admin_reply, admin_request::Kind as Admin, node_client::NodeClient,
        session_event::Kind as Told, session_request::Kind,
    },
    v1::{
        CloseReason, DeleteRoomRequest, GetParticipantRequest, GetRoomRequest,
        ListParticipantsRequest, ListRoomsRequest, ParticipantState, RemoveParticipantRequest,
        UpdateRoomRequest,
    },
};
use sfu_node::Node;
use tonic::{Code, transport::Channel};

use crate::{
    session::Control,
    support::{GRACE, admin, config, join},
};

/// A node whose rooms spread with their second participant.
async fn start(workers: usize) -> (Node, NodeClient<Channel>) {
    let mut config = config(workers);
    config.rooms.spread_participants = 1;
    let node = sfu_node::start(config).await.unwrap();
    let client = NodeClient::new(node.connect());
    (node, client)
}

/// Reads on until a word fits.
async fn told<T>(control: &mut Control, fits: impl Fn(&Told) -> Option<T>) -> T {
    let read = async {
        loop {
            let event = control.next().await.unwrap().expect("an event");
            if let Some(found) = fits(&event) {
                return found;
            }
        }
    };
    tokio::time::timeout(GRACE, read)
        .await
        .expect("told in time")
}

/// Waits until a participant is seen in a state.
async fn sees(control: &mut Control, identity: &str, state: ParticipantState) {
    told(control, |event| match event {
        Told::Participants(update) => update
            .participants
            .iter()
            .any(|p| p.identity == identity && p.state() == state)
            .then_some(()),
        _ => None,
    })
    .await;
}

fn id(joined: &Joined) -> String {
    joined
        .participant
        .as_ref()
        .map_or_else(String::new, |p| p.id.clone())
}

#[tokio::test]
async fn participants_on_different_workers_are_in_one_room() {
    let (node, client) = start(3).await;
    let (mut ann, first) = Control::joined_with(&client, "room", "ann").await;
    let (mut bob, second) = Control::joined_with(&client, "room", "bob").await;
    sees(&mut ann, "bob", ParticipantState::Joined).await;
    let (cat, third) = Control::joined_with(&client, "room", "cat").await;
    sees(&mut ann, "cat", ParticipantState::Joined).await;
    sees(&mut bob, "cat", ParticipantState::Joined).await;
    assert_eq!(
        [&first, &second, &third].map(|joined| joined.others.len()),
        [0, 1, 2]
    );
    let rooms = [first, second, third].map(|joined| joined.room.map(|room| room.id));
    assert_eq!(rooms[0], rooms[1]);
    assert_eq!(rooms[0], rooms[2]);
    let stats = node.fresh_stats().await.worker.core;
    assert_eq!((stats.rooms, stats.participants, stats.joins), (1, 3, 3));

    let update = UpdateRoomRequest {
        room: "room".into(),
        metadata: Some("agenda".into()),
        ..UpdateRoomRequest::default()
    };
    admin(&client, Admin::UpdateRoom(update)).await.unwrap();
    let is_agenda = |event: &Told| match event {
        Told::Room(room) => (room.metadata == "agenda").then_some(()),
        _ => None,
    };
    told(&mut bob, is_agenda).await;

    let get = |identity: &str| {
        Admin::GetParticipant(GetParticipantRequest {
            room: "room".into(),
            identity: identity.into(),
        })
    };
    for identity in ["ann", "bob", "cat"] {
        match admin(&client, get(identity)).await.unwrap() {
            admin_reply::Kind::Participant(found) => assert_eq!(found.identity, identity),
            other => panic!("{other:?}"),
        }
    }
    let nobody = admin(&client, get("dan")).await.unwrap_err();
    assert_eq!(nobody.code(), Code::NotFound);
    let remove = RemoveParticipantRequest {
        room: "room".into(),
        identity: "cat".into(),
    };
    admin(&client, Admin::RemoveParticipant(remove))
        .await
        .unwrap();
    assert_eq!(cat.end().await, Ok(Some(CloseReason::ParticipantRemoved)));
    sees(&mut ann, "cat", ParticipantState::Disconnected).await;
    let list = ListParticipantsRequest {
        room: "room".into(),
    };
    match admin(&client, Admin::ListParticipants(list)).await.unwrap() {
        admin_reply::Kind::Participants(list) => assert_eq!(list.participants.len(), 2),
        other => panic!("{other:?}"),
    }
    match admin(&client, Admin::ListRooms(ListRoomsRequest::default()))
        .await
        .unwrap()
    {
        admin_reply::Kind::Rooms(list) => {
            assert_eq!(list.rooms.len(), 1);
            assert_eq!(list.rooms[0].num_participants, 2);
        }
        other => panic!("{other:?}"),
    }
    let delete = DeleteRoomRequest {
        room: "room".into(),
    };
    admin(&client, Admin::DeleteRoom(delete)).await.unwrap();
    assert_eq!(ann.end().await, Ok(Some(CloseReason::RoomDeleted)));
    assert_eq!(bob.end().await, Ok(Some(CloseReason::RoomDeleted)));
    let request = GetRoomRequest {
        room: "room".into(),
    };
    let gone = admin(&client, Admin::GetRoom(request)).await.unwrap_err();
    assert_eq!(gone.code(), Code::NotFound);
    node.shutdown(GRACE).await;
}

#[tokio::test]
async fn a_stay_is_taken_up_on_the_worker_where_it_is() {
    let (node, client) = start(2).await;
    let (_ann, _) = Control::joined_with(&client, "room", "ann").await;
    let (bob, joined) = Control::joined_with(&client, "room", "bob").await;
    let participant = id(&joined);
    drop(bob);
    let mut again = Control::open(&client).await;
    let resume = Join {
        resume: Some(Resume {
            participant_id: participant.clone(),
        }),
        ..join("room", "bob")
    };
    again.send(Kind::Join(resume)).await;
    match again.next().await.unwrap() {
        Some(Told::Resumed(resumed)) => {
            assert_eq!(id(&resumed), participant);
            assert_eq!(resumed.others.len(), 1);
        }
        other => panic!("not resumed: {other:?}"),
    }
    assert_eq!(node.fresh_stats().await.worker.core.resumes, 1);
    node.shutdown(GRACE).await;
}

#[tokio::test]
async fn a_node_that_stops_tells_the_participants_of_all_its_workers() {
    let (node, client) = start(2).await;
    let (ann, _) = Control::joined_with(&client, "room", "ann").await;
    let (bob, _) = Control::joined_with(&client, "room", "bob").await;
    let (ann, bob, ()) = tokio::join!(ann.end(), bob.end(), node.shutdown(GRACE));
    assert_eq!(ann, Ok(Some(CloseReason::NodeShutdown)));
    assert_eq!(bob, Ok(Some(CloseReason::NodeShutdown)));
}
