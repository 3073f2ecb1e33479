//! What happens on all nodes, as one stream. Owns following nodes that come, and letting go of those that go. Must not
//! keep events, nor put those of different nodes in order: a room's are all of its home.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt as _, stream::BoxStream};
use plenum_proto::{
    node::StatusRequest,
    v1::{Event, WatchEventsRequest},
};
use tokio::{sync::mpsc, task::JoinSet, time::sleep};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::{Cluster, Member};

/// Events on their way to one reader; past it the nodes wait.
const QUEUE: usize = 64;

/// Between attempts to follow a node that is there and does not answer.
const RETRY: Duration = Duration::from_millis(500);

/// A node's event, or why there are no more.
pub(crate) type Events = BoxStream<'static, Result<Event, Status>>;

/// Where a reader wants to begin.
#[derive(Debug, Clone, Default)]
pub(crate) struct Since {
    /// Last event seen of each epoch, which is one run of a node.
    pub(crate) by_epoch: BTreeMap<String, u64>,
    /// Last event seen of the only node there is.
    pub(crate) of_only: u64,
    /// Of other epochs, all that is kept.
    pub(crate) from_first: bool,
}

impl Cluster {
    /// Follows what happens on all nodes, of one room or ("") of all. Returns when the streams of all nodes that are
    /// there stand.
    pub(crate) async fn watch(
        self: &Arc<Self>,
        room: &str,
        since: Since,
    ) -> Result<Events, Status> {
        let members = self.nodes().all();
        if since.of_only > 0 && members.len() > 1 {
            return Err(Status::invalid_argument(
                "after_sequence: there are several nodes; set after, by epoch",
            ));
        }
        let (to, events) = mpsc::channel(QUEUE);
        let mut following = Following {
            cluster: Arc::clone(self),
            room: room.to_owned(),
            to,
            known: HashSet::new(),
            from_first: since.from_first,
            tasks: JoinSet::new(),
        };
        for member in members {
            let after = since.after(&member).await?;
            match open(&member, room, after, since.from_first).await {
                Ok(stream) => following.follow(member, Some(stream), after),
                // It is on its way out, and its end shows in the registry.
                Err(status) if is_lost(&status) => following.follow(member, None, after),
                Err(status) => return Err(status),
            }
        }
        let task = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(following.run()));
        let events = ReceiverStream::new(events).map(move |event| {
            // The streams live as long as their reader.
            let _ = &task;
            event
        });
        Ok(events.boxed())
    }
}

impl Since {
    /// The last event seen of a node.
    async fn after(&self, member: &Member) -> Result<u64, Status> {
        if self.by_epoch.is_empty() {
            return Ok(self.of_only);
        }
        let status = member.client.clone().status(StatusRequest {}).await?;
        let epoch = &status.get_ref().epoch;
        Ok(self.by_epoch.get(epoch).copied().unwrap_or_default())
    }
}

struct Following {
    cluster: Arc<Cluster>,
    room: String,
    to: mpsc::Sender<Result<Event, Status>>,
    known: HashSet<String>,
    from_first: bool,
    tasks: JoinSet<String>,
}

impl Following {
    fn follow(&mut self, member: Arc<Member>, stream: Option<Streaming<Event>>, after: u64) {
        self.known.insert(member.id().to_owned());
        let one = One {
            cluster: Arc::clone(&self.cluster),
            id: member.id().to_owned(),
            room: self.room.clone(),
            after,
            from_first: self.from_first,
            to: self.to.clone(),
        };
        self.tasks.spawn(one.run(stream));
    }

    /// Follows nodes as they come, until the reader is gone or has been told of an error.
    async fn run(mut self) {
        let mut changes = self.cluster.nodes().changes();
        loop {
            for member in self.cluster.nodes().all() {
                if !self.known.contains(member.id()) {
                    self.follow(member, None, 0);
                }
            }
            tokio::select! {
                // We hold the cluster.
                _ = changes.changed() => {}
                Some(ended) = self.tasks.join_next() => match ended {
                    // The only node there is has stopped.
                    Ok(_) if self.cluster.is_whole() => return,
                    Ok(id) => drop(self.known.remove(&id)),
                    Err(_) => return,
                },
                () = self.cluster.closing.cancelled() => return,
                () = self.to.closed() => return,
            }
        }
    }
}

/// One node's events.
struct One {
    cluster: Arc<Cluster>,
    id: String,
    room: String,
    after: u64,
    from_first: bool,
    to: mpsc::Sender<Result<Event, Status>>,
}

impl One {
    /// Follows the node until it is gone.
    async fn run(mut self, mut stream: Option<Streaming<Event>>) -> String {
        while let Some(member) = self.cluster.nodes().find(&self.id) {
            let ended = match stream.take() {
                Some(stream) => self.pass(stream).await,
                None => match open(&member, &self.room, self.after, self.from_first).await {
                    Ok(opened) => {
                        stream = Some(opened);
                        continue;
                    }
                    Err(status) => Some(status),
                },
            };
            match ended {
                // The node stops, and has said all.
                None if self.cluster.is_whole() => break,
                Some(status) if !is_lost(&status) => {
                    // The reader has missed something: all of its stream ends.
                    let _ = self.to.send(Err(status)).await;
                    self.to.closed().await;
                }
                _ => sleep(RETRY).await,
            }
        }
        self.id
    }

    async fn pass(&mut self, mut stream: Streaming<Event>) -> Option<Status> {
        loop {
            match stream.message().await {
                Ok(Some(event)) => {
                    self.after = event.sequence;
                    // A reader that is gone ends this task.
                    let _ = self.to.send(Ok(event)).await;
                }
                Ok(None) => return None,
                Err(status) => return Some(status),
            }
        }
    }
}

async fn open(
    member: &Member,
    room: &str,
    after: u64,
    from_first: bool,
) -> Result<Streaming<Event>, Status> {
    let request = WatchEventsRequest {
        room: room.to_owned(),
        after_sequence: after,
        from_first,
        ..WatchEventsRequest::default()
    };
    let answer = member.client.clone().watch_events(request).await?;
    Ok(answer.into_inner())
}

/// The node is gone or on its way out, and says nothing about events.
fn is_lost(status: &Status) -> bool {
    !matches!(
        status.code(),
        Code::OutOfRange | Code::DataLoss | Code::InvalidArgument
    )
}
