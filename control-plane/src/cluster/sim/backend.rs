//! Backends, each of which makes, changes and ends a room of its own through any replica. Owns what each knows of its
//! room: nobody else changes it. Must not look into nodes.

use std::{sync::Arc, time::Duration};

use plenum_proto::{
    node::admin_request::Kind as Command,
    v1::{DeleteRoomRequest, RoomConfig, UpdateRoomRequest},
};
use tokio::time::{Instant, sleep, timeout};

use super::{ANSWER, Shared};
use crate::cluster::Cluster;

/// What a backend knows of its room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// It is there, with at least the change of this number.
    Live(u64),
    /// It has ended, or its end was asked for and not acknowledged.
    Open,
}

/// What a backend has of its room at the end.
pub(super) struct Ended {
    pub(super) room: String,
    pub(super) known: Known,
    /// The number of the last change that it asked for.
    pub(super) last: u64,
}

/// Works on the room until `until`.
pub(super) async fn work(shared: Arc<Shared>, room: String, until: Instant) -> Ended {
    let mut known = Known::Open;
    let mut last = 0;
    let config = RoomConfig {
        name: room.clone(),
        ..RoomConfig::default()
    };
    while Instant::now() < until {
        sleep(Duration::from_millis(20 + shared.choose(400) as u64)).await;
        let Some(replica) = shared.any_replica() else {
            continue;
        };
        let deletes = shared.choose(20) == 0;
        if known != Known::Open && deletes {
            let delete = Command::DeleteRoom(DeleteRoomRequest { room: room.clone() });
            known = Known::Open;
            // It may come about late: only a fresh change says what is there.
            let _ = timeout(ANSWER, replica.command(&room, delete)).await;
            continue;
        }
        if known == Known::Open {
            let _ = timeout(ANSWER, replica.create(config.clone())).await;
        }
        last += 1;
        if change(&replica, &room, last).await {
            known = Known::Live(last);
        }
    }
    Ended { room, known, last }
}

/// Whether it was acknowledged.
async fn change(replica: &Arc<Cluster>, room: &str, number: u64) -> bool {
    let update = Command::UpdateRoom(UpdateRoomRequest {
        room: room.to_owned(),
        metadata: Some(number.to_string()),
        ..UpdateRoomRequest::default()
    });
    matches!(
        timeout(ANSWER, replica.command(room, update)).await,
        Ok(Ok(_))
    )
}
