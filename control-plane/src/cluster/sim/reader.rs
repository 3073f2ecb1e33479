//! Who is where, as somebody believes who reads the events of one replica. Owns that belief. Must not look into nodes
//! but by way of the replica.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::StreamExt as _;
use plenum_proto::v1::{Event, Participant, Room, event::Kind};
use tokio::time::sleep;
use tonic::Status;

use crate::cluster::{Cluster, Since, events::present};

/// Between attempts to begin.
const RETRY: Duration = Duration::from_millis(300);

/// A participant's room, identity and id.
pub(super) type Stay = (String, String, String);

/// What a reader believes.
#[derive(Default)]
pub(super) struct Belief(Mutex<BTreeSet<Stay>>);

impl Belief {
    pub(super) fn now(&self) -> BTreeSet<Stay> {
        self.0.lock().unwrap().clone()
    }

    fn apply(&self, event: Event) {
        let room = event.room.unwrap_or_default();
        let mut believed = self.0.lock().unwrap();
        match event.kind {
            Some(Kind::ParticipantJoined(joined)) => drop(believed.insert(key(&room, &joined))),
            Some(Kind::ParticipantLeft(left)) => drop(believed.remove(&key(&room, &left))),
            _ => {}
        }
    }
}

pub(super) fn key(room: &Room, participant: &Participant) -> Stay {
    let (identity, id) = (participant.identity.clone(), participant.id.clone());
    (room.name.clone(), identity, id)
}

/// Reads for as long as it is polled. As the API asks of readers, it begins with who is there, and does so again when the
/// stream ends.
pub(super) async fn read(replica: Arc<Cluster>, belief: Arc<Belief>) {
    loop {
        if let Ok(mut events) = replica.watch("", Since::default()).await {
            *belief.0.lock().unwrap() = seed(&replica).await;
            while let Some(Ok(event)) = events.next().await {
                belief.apply(event);
            }
        }
        sleep(RETRY).await;
    }
}

async fn seed(replica: &Cluster) -> BTreeSet<Stay> {
    loop {
        match all(replica).await {
            Ok(present) => return present,
            Err(_) => sleep(RETRY).await,
        }
    }
}

async fn all(replica: &Cluster) -> Result<BTreeSet<Stay>, Status> {
    let mut all = BTreeSet::new();
    for member in replica.nodes().all() {
        let there = present(&member, "").await?.participants.into_iter();
        all.extend(there.map(|presence| {
            let room = presence.room.unwrap_or_default();
            key(&room, &presence.participant.unwrap_or_default())
        }));
    }
    Ok(all)
}
