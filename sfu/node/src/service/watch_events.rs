//! Room events as a stream of a call. Must not keep events: the log does.

use futures_util::{Stream, stream};
use plenum_proto::v1::Event;
use tonic::Status;

use crate::{
    error::CallError,
    events::{WatchError, Watcher},
};

/// The events of a watcher; ends without an error only when the node stops.
pub(super) fn stream(watcher: Watcher) -> impl Stream<Item = Result<Event, Status>> + Send {
    stream::unfold(Some(watcher), |watcher| async {
        let mut watcher = watcher?;
        match watcher.next().await {
            Ok(event) => Some((Ok(event), Some(watcher))),
            Err(WatchError::Ended) => None,
            Err(error) => Some((Err(CallError::from(error).into()), None)),
        }
    })
}
