//! Rooms that go on here without their home, or are to have another: asks control planes for one, until there is one or
//! the time for it is over. Must not decide who is home.

use std::{sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use plenum_proto::cluster::FindHomeRequest;
use tokio::time::{sleep, timeout};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;

use super::ask::ControlPlanes;
use crate::{homes::HomeLost, service::Shared};

/// Rooms asked about at once: a node that is lost may have been home of thousands.
const AT_ONCE: usize = 32;

/// Between attempts.
const RETRY: Duration = Duration::from_millis(200);

/// Asks for as long as it is polled; `limit` for each room, past which the room ends here by itself.
pub(super) async fn find(shared: Arc<Shared>, control_planes: ControlPlanes, limit: Duration) {
    let lost = ReceiverStream::new(shared.homeless.listen());
    lost.for_each_concurrent(AT_ONCE, |lost| {
        let (shared, mut control_planes) = (Arc::clone(&shared), control_planes.clone());
        async move {
            let room = lost.room_id.as_str();
            tracing::info!(room, "another home of a room is asked for");
            let found = async {
                while let Err(status) = find_one(&shared, &mut control_planes, &lost).await {
                    tracing::debug!(room, problem = status.message(), "no home yet");
                    sleep(RETRY).await;
                }
            };
            if timeout(limit, found).await.is_err() {
                tracing::warn!(room, "no other home of a room was found in time");
            }
        }
    })
    .await;
}

async fn find_one(
    shared: &Shared,
    control_planes: &mut ControlPlanes,
    lost: &HomeLost,
) -> Result<(), Status> {
    let request = FindHomeRequest {
        node_id: shared.identity.node_id.clone(),
        room: lost.room.clone(),
        room_id: lost.room_id.clone(),
    };
    let answer = control_planes
        .ask(|mut client| {
            let request = request.clone();
            async move { client.find_home(request).await }
        })
        .await?;
    shared.rehome(lost, answer.home.as_ref()).await?;
    Ok(())
}
