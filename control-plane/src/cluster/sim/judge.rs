//! What has to hold soon after the last fault. Must not change anything.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use plenum_proto::{
    node::{admin_reply, admin_request::Kind as Command},
    v1::GetRoomRequest,
};
use tokio::time::timeout;
use tonic::Code;

use super::{
    ANSWER, Shared,
    backend::{Ended, Known},
    people::Person,
    reader::{Stay, key},
};
use crate::{cluster::Cluster, error::CallError};

/// Judges the rooms of backends, the participants, and where both are.
pub(super) async fn judge(shared: &Shared, ends: Vec<Ended>, people: &[Person]) {
    let (seed, broken) = (shared.seed, shared.broken.lock().unwrap().clone());
    assert!(broken.is_empty(), "seed {seed}: {broken:?}");
    present(shared, people);
    placed(shared).await;
    for end in ends {
        acknowledged(shared, &end).await;
    }
}

/// What a replica says of a room: the number of its last change.
async fn read(replica: &Cluster, name: &str) -> Result<Option<u64>, CallError> {
    let get = Command::GetRoom(GetRoomRequest {
        room: name.to_owned(),
    });
    match replica.command(name, get).await {
        Ok(admin_reply::Kind::Room(room)) => Ok(Some(room.metadata.parse().unwrap_or_default())),
        Ok(_) => Err(CallError::UnexpectedReply),
        Err(error) if error.code() == Code::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// All replicas say the same of a room, and nothing that was acknowledged is lost.
async fn acknowledged(shared: &Shared, end: &Ended) {
    let (seed, name) = (shared.seed, &end.room);
    let mut said = Vec::new();
    for replica in shared.replicas() {
        let read = timeout(ANSWER, read(&replica, name)).await;
        said.push(read.expect("an answer").unwrap_or_else(|error| {
            panic!("seed {seed}: {name} cannot be read: {error}");
        }));
    }
    assert!(
        said.iter().all(|one| one == &said[0]),
        "seed {seed}: replicas differ about {name}: {said:?}"
    );
    if let Known::Live(acknowledged) = end.known {
        let there = said[0].unwrap_or_else(|| panic!("seed {seed}: {name} is lost"));
        assert!(
            (acknowledged..=end.last).contains(&there),
            "seed {seed}: {name} has change {there}; {acknowledged} was acknowledged"
        );
    }
}

/// Every room is on one node, that which the store names.
async fn placed(shared: &Shared) {
    let seed = shared.seed;
    let replicas = shared.replicas();
    let mut homes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for node in shared.nodes() {
        for room in node.held().present().rooms {
            homes
                .entry(room.name)
                .or_default()
                .push(format!("{}/{}", node.id, room.id));
        }
    }
    for (name, nodes) in homes {
        let record = replicas[0].home_of(&name).await.unwrap();
        let record = record.unwrap_or_else(|| panic!("seed {seed}: {name} has no record"));
        let home = format!("{}/{}", record.node_id, record.room_id);
        assert_eq!(
            nodes,
            [home],
            "seed {seed}: {name} is not where the store has it"
        );
    }
}

/// Who believes to be in a room is there and nobody else is, and every reader of events knows just that.
fn present(shared: &Shared, people: &[Person]) {
    let seed = shared.seed;
    let mut there: BTreeSet<Stay> = BTreeSet::new();
    for node in shared.nodes() {
        let present = node.held().present().participants.into_iter();
        there.extend(present.map(|presence| {
            let room = presence.room.unwrap_or_default();
            key(&room, &presence.participant.unwrap_or_default())
        }));
    }
    let believed = shared.present.lock().unwrap().clone();
    let believed = believed.into_iter();
    let believed: BTreeSet<Stay> = believed
        .map(|((room, identity), id)| (room, identity, id))
        .collect();
    assert_eq!(
        there, believed,
        "seed {seed}: nodes and participants differ"
    );
    let staying = people.iter().filter(|person| person.stays).count();
    assert_eq!(
        believed.len(),
        staying,
        "seed {seed}: not all are back: {believed:?}"
    );
    for (n, belief) in shared.beliefs().iter().enumerate() {
        let known = Arc::clone(belief).now();
        let ghosts: Vec<_> = known.difference(&there).collect();
        let missed: Vec<_> = there.difference(&known).collect();
        assert!(
            ghosts.is_empty() && missed.is_empty(),
            "seed {seed}: a reader of replica {n} has ghosts {ghosts:?} and misses {missed:?}"
        );
    }
}
