//! What has to be done about rooms for all replicas: the records of rooms that have ended go, and what was kept of
//! their agents. Owns that; one
//! replica leads it. Must not end rooms.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures_util::StreamExt as _;
use plenum_proto::{
    cluster::RoomRecord,
    v1::{Event, ListRoomsRequest, event::Kind},
};
use prost::Message as _;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::{Cluster, admin, events::Since, key, leader};
use crate::{
    agents::room_of,
    store::{Commit, Is, StoreError},
};

/// How often all records are held against the rooms that there are.
const SWEEP: Duration = Duration::from_secs(30);

/// How long a record without a room is kept: the room may be on its way to a node, or its home is lost and nobody
/// has come back yet.
const KEEP: Duration = Duration::from_secs(60);

/// Records read at once.
const PAGE: usize = 500;

/// Between attempts when something does not answer.
const RETRY: Duration = Duration::from_millis(500);

/// Leads the upkeep whenever no other replica does, for as long as it is polled.
pub(crate) async fn keep_up(cluster: Arc<Cluster>, own: String) {
    let (store, ttl) = (Arc::clone(cluster.store()), cluster.lease());
    leader::lead(store, "rooms", &own, ttl, |_| {
        let cluster = Arc::clone(&cluster);
        async move {
            tokio::join!(follow(&cluster), sweep(&cluster));
        }
    })
    .await;
}

/// Rooms that end are told as they do.
async fn follow(cluster: &Arc<Cluster>) {
    loop {
        match cluster.watch("", Since::default()).await {
            Ok(mut events) => {
                while let Some(Ok(event)) = events.next().await {
                    on_event(cluster, event).await;
                }
            }
            Err(error) => tracing::debug!(%error, "nodes cannot be followed"),
        }
        sleep(RETRY).await;
    }
}

async fn on_event(cluster: &Cluster, event: Event) {
    if let (Some(Kind::RoomEnded(ended)), Some(room)) = (event.kind, event.room)
        && !ended.moved
        && !lives(cluster, &room.name, &room.id).await
        && let Err(error) = cluster.ended(&room.name, &room.id).await
    {
        tracing::debug!(%error, "the record of a room that has ended stays for now");
    }
}

/// Whether a room may live at the home that is on record: a node that was home before tells of the end of its stale copy,
/// maybe long after. What is kept by mistake is found by the sweep.
async fn lives(cluster: &Cluster, name: &str, id: &str) -> bool {
    let Ok(Some(record)) = cluster.home_of(name).await else {
        return true;
    };
    let Some(home) = cluster.nodes().find(&record.node_id) else {
        return true;
    };
    let request = ListRoomsRequest {
        names: vec![name.to_owned()],
    };
    let listed = admin::list(&home, &request).await;
    !listed.is_ok_and(|rooms| rooms.iter().all(|room| room.id != id))
}

/// What was not told is found.
async fn sweep(cluster: &Arc<Cluster>) {
    let mut ticks = interval(SWEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut idle: HashMap<String, Instant> = HashMap::new();
    loop {
        ticks.tick().await;
        if let Err(error) = sweep_once(cluster, &mut idle).await {
            tracing::warn!(%error, "the records of rooms cannot be looked through");
        }
    }
}

async fn sweep_once(
    cluster: &Cluster,
    idle: &mut HashMap<String, Instant>,
) -> Result<(), StoreError> {
    let mut live: BTreeMap<String, Option<HashSet<String>>> = BTreeMap::new();
    for member in cluster.nodes().all() {
        let listed = admin::list(&member, &ListRoomsRequest::default()).await;
        // A node that does not answer may hold any room.
        let ids = listed
            .ok()
            .map(|rooms| rooms.into_iter().map(|room| room.id).collect());
        live.insert(member.id().to_owned(), ids);
    }
    let now = Instant::now();
    let mut still = HashMap::new();
    // Before the records of rooms: one that has agents' has a record of its own, or has ended.
    let (agents, _) = cluster.entries(key::AGENTS).await?;
    let mut recorded = HashSet::new();
    let mut after = String::new();
    loop {
        let listed = cluster.store().list(key::ROOMS, &after, PAGE).await?;
        let Some(last) = listed.entries.last() else {
            break;
        };
        after.clone_from(&last.key);
        for entry in listed.entries {
            let Ok(record) = RoomRecord::decode(entry.value) else {
                continue;
            };
            recorded.insert(record.room_id.clone());
            let is_live = match live.get(&record.node_id) {
                Some(Some(ids)) => ids.contains(&record.room_id),
                Some(None) => true,
                None => false,
            };
            if is_live {
                continue;
            }
            let since = idle.get(&record.room_id).copied().unwrap_or(now);
            let name = entry.key.trim_start_matches(key::ROOMS);
            if now.duration_since(since) < KEEP {
                still.insert(record.room_id, since);
            } else if let Err(error) = cluster.ended(name, &record.room_id).await {
                tracing::debug!(%error, "the record of a lost room stays for now");
            }
        }
    }
    *idle = still;
    for entry in agents {
        let is_over = room_of(&entry.key).is_none_or(|id| !recorded.contains(id));
        if is_over {
            let is = Is::At(entry.revision);
            let commit = Commit::default().when(&entry.key, is).delete(&entry.key);
            cluster.store().commit(commit).await?;
        }
    }
    Ok(())
}
