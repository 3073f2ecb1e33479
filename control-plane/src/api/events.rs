//! The event stream: passes the nodes' events on for as long as the caller may see them. Must not keep
//! events: the nodes do.

use std::{pin::Pin, sync::Arc, time::SystemTime};

use futures_util::{Stream, StreamExt as _, stream};
use plenum_proto::v1::{self, Event};
use tokio::{
    sync::OwnedSemaphorePermit,
    time::{Instant, timeout_at},
};
use tonic::Status;

use super::calls::Calls;
use crate::{
    auth::{LEEWAY, TokenError, Verified},
    cluster::{Events, Since},
    error::CallError,
};

/// Events, until the node ends them or the caller's token does.
pub(crate) type EventStream = Pin<Box<dyn Stream<Item = Result<Event, Status>> + Send>>;

struct Watch {
    events: Events,
    until: Instant,
    /// Held for as long as the stream lives.
    _slot: OwnedSemaphorePermit,
}

impl Calls {
    /// What happens, of one room or of all.
    pub(crate) async fn watch_events(
        &self,
        caller: &Verified,
        request: v1::WatchEventsRequest,
    ) -> Result<EventStream, CallError> {
        if request.room.is_empty() {
            caller.require_room_list()?;
        } else {
            self.in_room(caller, &request.room)?.finish()?;
        }
        let slot = Arc::clone(&self.event_streams)
            .try_acquire_owned()
            .map_err(|_| CallError::Busy("event streams"))?;
        let since = Since {
            by_epoch: request.after,
            of_only: request.after_sequence,
            from_first: request.from_first,
            skips_gaps: false,
        };
        let events = self.cluster.watch(&request.room, since).await?;
        let left = caller
            .expires_at()
            .duration_since(SystemTime::now())
            .unwrap_or_default();
        // A token may be valid for longer than the clock can count: then it does not end the stream.
        let until = Instant::now()
            .checked_add(left.saturating_add(LEEWAY))
            .unwrap_or_else(|| Instant::now() + FOREVER);
        let watch = Watch {
            events,
            until,
            _slot: slot,
        };
        Ok(stream::unfold(Some(watch), next).boxed())
    }
}

const FOREVER: std::time::Duration = std::time::Duration::from_secs(10 * 365 * 24 * 3600);

/// The next event; the first error is the last item.
async fn next(watch: Option<Watch>) -> Option<(Result<Event, Status>, Option<Watch>)> {
    let mut watch = watch?;
    match timeout_at(watch.until, watch.events.next()).await {
        Ok(Some(Ok(event))) => Some((Ok(event), Some(watch))),
        Ok(Some(Err(status))) => Some((Err(CallError::from(status).into()), None)),
        Ok(None) => None,
        Err(_) => Some((Err(CallError::from(TokenError::Expired).into()), None)),
    }
}
