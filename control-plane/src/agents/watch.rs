//! Keeps the board in step with the store and the rooms, for as long as there are workers. Must not decide anything.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use plenum_proto::{
    cluster::{DispatchRecord, JobRecord},
    node::{admin_reply::Kind as Reply, admin_request::Kind as Command},
    v1::{self, event::Kind as Event},
};
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::{
    Hub,
    book::{At, parse},
};
use crate::{
    cluster::{Cluster, Since, key},
    error::CallError,
    store::{Revision, StoreError},
};

/// Between attempts when something does not answer.
const RETRY: Duration = Duration::from_millis(500);

/// How often the board looks whether somebody has to be asked again.
const TICK: Duration = Duration::from_millis(250);

/// Keeps the board in step for as long as it is polled.
pub(crate) async fn watch(hub: Arc<Hub>) {
    loop {
        hub.until_needed().await;
        tokio::select! {
            () = renew(&hub) => {}
            () = follow_store(&hub) => {}
            () = tick(&hub) => {}
        }
        hub.forget();
    }
}

/// Ends when nobody is served any more.
async fn tick(hub: &Arc<Hub>) {
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        hub.change(|board, now| board.tick(now));
        if hub.is_idle() {
            return;
        }
    }
}

/// Keeps the lease of our claims.
async fn renew(hub: &Arc<Hub>) {
    let ttl = hub.cluster().lease();
    loop {
        if let Err(error) = hub.cluster().store().lease(hub.lease(), ttl).await {
            tracing::debug!(%error, "claims on jobs cannot be renewed");
        }
        sleep(ttl / 3).await;
    }
}

async fn follow_store(hub: &Arc<Hub>) {
    loop {
        if let Err(error) = follow_store_once(hub).await {
            tracing::warn!(%error, "jobs of agents cannot be followed");
        }
        sleep(RETRY).await;
    }
}

async fn follow_store_once(hub: &Arc<Hub>) -> Result<(), StoreError> {
    let cluster = hub.cluster();
    let (entries, revision) = cluster.entries(key::AGENTS).await?;
    let (mut dispatches, mut jobs) = (Vec::new(), Vec::new());
    for entry in entries {
        match parse(&entry.key) {
            Some(At::Dispatch(at)) => {
                dispatches.extend(read(&entry.key, &entry.value).map(|record| (at, record)));
            }
            Some(At::Job(at)) => {
                let record = read(&entry.key, &entry.value);
                jobs.extend(record.map(|record| (at, (record, entry.revision))));
            }
            None => {}
        }
    }
    hub.change(|board, now| {
        board.on_stored(
            now,
            dispatches.into_iter().collect(),
            jobs.into_iter().collect(),
        )
    });
    let mut changes = cluster.store().watch(key::AGENTS, revision).await?;
    let following = async {
        while let Some(change) = changes.next().await {
            let change = change?;
            on_change(hub, &change.key, change.value.as_deref(), change.revision);
        }
        Ok(())
    };
    tokio::select! {
        ended = following => ended,
        // Rooms after what is known of their jobs, so that none is claimed that somebody has.
        never = follow_rooms(hub) => match never {},
    }
}

fn on_change(hub: &Arc<Hub>, key: &str, value: Option<&[u8]>, revision: Revision) {
    match parse(key) {
        Some(At::Dispatch(at)) => {
            let record: Option<DispatchRecord> = value.and_then(|value| read(key, value));
            hub.change(|board, now| board.on_dispatch(now, at, record));
        }
        Some(At::Job(at)) => {
            let record: Option<JobRecord> = value.and_then(|value| read(key, value));
            hub.change(|board, now| board.on_record(now, at, record, revision));
        }
        None => {}
    }
}

fn read<M: prost::Message + Default>(key: &str, value: &[u8]) -> Option<M> {
    M::decode(value)
        .inspect_err(|error| tracing::warn!(key, %error, "an entry of the store cannot be read"))
        .ok()
}

async fn follow_rooms(hub: &Arc<Hub>) -> std::convert::Infallible {
    loop {
        if let Err(error) = follow_rooms_once(hub).await {
            tracing::debug!(%error, "agents do not hear of rooms");
        }
        sleep(RETRY).await;
    }
}

async fn follow_rooms_once(hub: &Arc<Hub>) -> Result<(), CallError> {
    let cluster = hub.cluster();
    // First the stream, then what there is: so that nothing falls between the two.
    let mut events = cluster.watch("", Since::default()).await?;
    learn(hub, cluster).await?;
    while let Some(event) = events.next().await {
        let event = event?;
        let (Some(room), Some(kind)) = (event.room, event.kind) else {
            continue;
        };
        match kind {
            Event::RoomStarted(_) => {
                let wishes = cluster.wishes(&room).await?;
                hub.change(|board, now| board.on_room(now, room, wishes, None));
            }
            Event::RoomEnded(ended) if !ended.moved => {
                hub.change(|board, _| board.on_room_ended(&room.id));
            }
            Event::ParticipantJoined(joined) => {
                hub.change(|board, now| board.on_member(now, &room.id, joined, false));
            }
            Event::ParticipantLeft(left) => {
                hub.change(|board, now| board.on_left(now, &room.id, &left.id));
            }
            Event::TrackPublished(published) => {
                let publisher = published.participant.unwrap_or_default();
                hub.change(|board, now| board.on_member(now, &room.id, publisher, true));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The rooms there are, and who is in them.
async fn learn(hub: &Arc<Hub>, cluster: &Arc<Cluster>) -> Result<(), CallError> {
    let listed = cluster
        .list_rooms(v1::ListRoomsRequest::default())
        .await?
        .rooms;
    hub.change(|board, _| board.keep_rooms(&listed));
    for room in listed {
        let wishes = cluster.wishes(&room).await?;
        let list = Command::ListParticipants(v1::ListParticipantsRequest {
            room: room.name.clone(),
        });
        // It may have ended meanwhile.
        let Ok(Reply::Participants(found)) = cluster.command(&room.name, list).await else {
            continue;
        };
        hub.change(|board, now| board.on_room(now, room, wishes, Some(found.participants)));
    }
    Ok(())
}
