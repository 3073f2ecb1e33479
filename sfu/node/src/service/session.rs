//! One control connection: requests to the worker, its events back to the caller.
//!
//! Owns the deadline of the join and the ways such a stream can end. Must not hold up a worker: a
//! caller that does not read its events loses the connection, and may take up its stay again.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_util::{FutureExt as _, Stream, StreamExt as _};
use plenum_proto::node::{
    Join, SessionEvent, SessionRequest, SessionShape, session_event, session_request::Kind,
};
use sfu_core::ControlId;
use tokio::{
    sync::{mpsc, oneshot},
    time::timeout,
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::task_tracker::TaskTrackerToken,
};
use tonic::Status;

use super::Shared;
use crate::{error::CallError, worker::WorkerHandle};

/// Events that wait for a caller; past it the control connection is given up.
const EVENT_QUEUE: usize = 512;

/// Why no more requests are taken, when nothing is wrong.
enum End {
    /// The caller has no more.
    Finished,
    /// The caller reads no more, or the worker has let go of the control connection.
    Stopped,
}

/// Starts a control connection; the stream is what the caller reads.
pub(super) fn open<S>(shared: Arc<Shared>, requests: S) -> SessionEvents
where
    S: Stream<Item = Result<SessionRequest, Status>> + Send + Unpin + 'static,
{
    let (events, queue) = mpsc::channel(EVENT_QUEUE);
    let (end, ended) = oneshot::channel();
    let stop = CancellationToken::new();
    let stream = SessionEvents {
        queue,
        ended: Some(ended),
        is_closed: false,
        stop: Some(stop.clone().drop_guard()),
        shared: Arc::clone(&shared),
        _open: shared.sessions.token(),
    };
    tokio::spawn(async move {
        let reached = carry(&shared, requests, events, &stop).await;
        // Nobody listens when the caller is gone.
        let _ = end.send(reached);
    });
    stream
}

async fn carry<S>(
    shared: &Shared,
    mut requests: S,
    events: mpsc::Sender<SessionEvent>,
    stop: &CancellationToken,
) -> Result<End, CallError>
where
    S: Stream<Item = Result<SessionRequest, Status>> + Send + Unpin,
{
    let join = tokio::select! {
        () = stop.cancelled() => return Ok(End::Stopped),
        join = first(shared, &mut requests) => join?,
    };
    if shared.is_draining() {
        return Err(shared.going());
    }
    let control = shared.new_control();
    let room = join.room.as_ref().map_or("", |room| &room.name);
    let away = shared.find_home(room, join.home.as_ref()).await?;
    let (worker, held) = shared.place_join(&join, away);
    let epoch = shared.epoch_of(join.home.as_ref());
    worker
        .join(control, join, epoch, held.home(), events)
        .await?;
    drop(held);
    let reached = tokio::select! {
        () = stop.cancelled() => Ok(End::Stopped),
        reached = follow(worker, control, &mut requests) => reached,
    };
    // No news to a worker that closed it; and one that has stopped needs none.
    let _ = worker.control_lost(control).await;
    reached
}

/// The join that must come first, and soon.
async fn first<S>(shared: &Shared, requests: &mut S) -> Result<Join, CallError>
where
    S: Stream<Item = Result<SessionRequest, Status>> + Send + Unpin,
{
    let first = timeout(shared.join_timeout, requests.next()).await;
    match first.map_err(|_| CallError::JoinTimeout)? {
        Some(Ok(SessionRequest {
            kind: Some(Kind::Join(join)),
        })) if is_inner(join.shape()) => Err(CallError::InnerShape),
        Some(Ok(SessionRequest {
            kind: Some(Kind::Join(join)),
        })) => Ok(join),
        Some(Ok(_)) | None => Err(CallError::JoinFirst),
        Some(Err(broken)) => Err(CallError::Broken(broken)),
    }
}

/// Whether a session has media that only the node itself can see to.
fn is_inner(shape: SessionShape) -> bool {
    matches!(shape, SessionShape::Plain | SessionShape::Forwarded)
}

/// Passes requests on until there are no more.
async fn follow<S>(
    worker: &WorkerHandle,
    control: ControlId,
    requests: &mut S,
) -> Result<End, CallError>
where
    S: Stream<Item = Result<SessionRequest, Status>> + Send + Unpin,
{
    while let Some(request) = requests.next().await {
        let request = request.map_err(CallError::Broken)?;
        match request.kind {
            // A kind that this version does not know yet.
            None => {}
            Some(Kind::Join(_)) => return Err(CallError::JoinTwice),
            Some(_) => worker.session(control, request).await?,
        }
    }
    Ok(End::Finished)
}

/// What the caller reads of its control connection.
pub(super) struct SessionEvents {
    queue: mpsc::Receiver<SessionEvent>,
    ended: Option<oneshot::Receiver<Result<End, CallError>>>,
    /// `closed` has been read: nothing is missing.
    is_closed: bool,
    /// Dropped with the stream, when the caller is gone.
    stop: Option<DropGuard>,
    shared: Arc<Shared>,
    /// A node that stops waits until the caller has read all.
    _open: TaskTrackerToken,
}

impl Stream for SessionEvents {
    type Item = Result<SessionEvent, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(event) = ready!(self.queue.poll_recv(context)) {
            self.is_closed |= matches!(event.kind, Some(session_event::Kind::Closed(_)));
            return Poll::Ready(Some(Ok(event)));
        }
        self.stop = None;
        let Some(ended) = &mut self.ended else {
            return Poll::Ready(None);
        };
        let reached = ready!(ended.poll_unpin(context));
        self.ended = None;
        let missing = match reached {
            _ if self.is_closed => None,
            Ok(Ok(End::Finished)) => None,
            Ok(Err(error)) => Some(error),
            Ok(Ok(End::Stopped)) | Err(_) if self.shared.is_draining() => Some(CallError::Draining),
            Ok(Ok(End::Stopped)) | Err(_) => Some(CallError::EventsNotRead),
        };
        Poll::Ready(missing.map(|error| Err(error.into())))
    }
}
