//! What happens on all nodes, as one stream. Owns following nodes that come, and letting go of those that go: who was
//! on a node that is lost has left, and a room whose home is lost has ended when its record goes. Must not keep events,
//! nor put those of different nodes in order.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use futures_util::{StreamExt as _, stream::BoxStream};
use plenum_proto::{
    node::{
        ListPresent, Present, StatusRequest, admin_reply::Kind as Reply,
        admin_request::Kind as Command,
    },
    v1::{Event, WatchEventsRequest},
};
use prost_types::Timestamp;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{MissedTickBehavior, interval, sleep},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

use super::{Cluster, Member, admin::ask_node, presence::Presence};

/// Events on their way to one reader; past it the nodes wait.
const QUEUE: usize = 64;

/// Between attempts to follow a node that is there and does not answer.
const RETRY: Duration = Duration::from_millis(500);

/// How often rooms whose home was lost are looked for.
const LOOK: Duration = Duration::from_secs(5);

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
    /// Where a node has no longer what comes next, go on with what it has, instead of an error.
    pub(crate) skips_gaps: bool,
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
            reader: Reader {
                cluster: Arc::clone(self),
                room: room.to_owned(),
                from_first: since.from_first,
                skips_gaps: since.skips_gaps,
                to,
                presence: Arc::default(),
            },
            known: HashMap::new(),
            tasks: JoinSet::new(),
        };
        for member in members {
            let after = since.after(&member).await?;
            match following.reader.open(&member, after).await {
                Ok(stream) => following.follow(member, Some(stream), after).await,
                // It is on its way out, and its end shows in the registry.
                Err(status) if is_lost(&status) => following.follow(member, None, after).await,
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

/// Who reads, and what it was told.
#[derive(Clone)]
struct Reader {
    cluster: Arc<Cluster>,
    room: String,
    from_first: bool,
    skips_gaps: bool,
    to: mpsc::Sender<Result<Event, Status>>,
    presence: Arc<Mutex<Presence>>,
}

impl Reader {
    fn presence(&self) -> MutexGuard<'_, Presence> {
        // No method panics half-way through a change.
        self.presence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether what an error says is missing is not to end the stream.
    fn takes_gap(&self, status: &Status) -> bool {
        self.skips_gaps && matches!(status.code(), Code::OutOfRange | Code::DataLoss)
    }

    async fn open(&self, member: &Member, after: u64) -> Result<Streaming<Event>, Status> {
        match open(member, &self.room, after, self.from_first).await {
            Err(status) if self.takes_gap(&status) => {
                let problem = status.message();
                tracing::error!(node = member.id(), problem, "events were lost");
                open(member, &self.room, 0, true).await
            }
            opened => opened,
        }
    }

    /// A reader that is gone ends the task that tells.
    async fn tell(&self, events: impl IntoIterator<Item = Event>) {
        for event in events {
            let _ = self.to.send(Ok(event)).await;
        }
    }

    /// Takes note of who is on a node already; who is new is told of only when it `is_back`.
    async fn meet(&self, member: &Member, is_back: bool) {
        if self.cluster.is_whole() {
            return;
        }
        match present(member, &self.room).await {
            Ok(present) => {
                let news = self.presence().seed(member.id(), present);
                self.tell(news.into_iter().filter(|_| is_back)).await;
            }
            Err(status) => {
                let problem = status.message();
                tracing::debug!(node = member.id(), problem, "who is there is not known");
            }
        }
    }

    /// Rooms whose home was lost, and whose record is gone since, have ended.
    async fn look_for_orphans(&self) {
        let orphans = self.presence().orphans();
        for (id, name, home) in orphans {
            let ended = match self.cluster.home_of(&name).await {
                Ok(Some(record)) if record.room_id == id && record.node_id == home => continue,
                Ok(Some(record)) if record.room_id == id => {
                    self.presence().found(&id);
                    continue;
                }
                Ok(_) => self.presence().ended(&id, now()),
                // It is looked for again.
                Err(_) => return,
            };
            self.tell(ended).await;
        }
    }
}

struct Following {
    reader: Reader,
    /// Nodes, and the last event of each that was given up.
    known: HashMap<String, Option<u64>>,
    tasks: JoinSet<(String, u64)>,
}

impl Following {
    async fn follow(&mut self, member: Arc<Member>, stream: Option<Streaming<Event>>, after: u64) {
        let given_up = self.known.insert(member.id().to_owned(), None).flatten();
        let after = given_up.unwrap_or(after);
        if stream.is_some() {
            self.reader.meet(&member, false).await;
        }
        let one = One {
            reader: self.reader.clone(),
            id: member.id().to_owned(),
            after,
            is_back: given_up.is_some(),
        };
        self.tasks.spawn(one.run(stream));
    }

    /// Follows nodes as they come, until the reader is gone or has been told of an error.
    async fn run(mut self) {
        let cluster = Arc::clone(&self.reader.cluster);
        let mut changes = cluster.nodes().changes();
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            for member in cluster.nodes().all() {
                if !matches!(self.known.get(member.id()), Some(None)) {
                    self.follow(member, None, 0).await;
                }
            }
            tokio::select! {
                // We hold the cluster.
                _ = changes.changed() => {}
                Some(ended) = self.tasks.join_next() => match ended {
                    // The only node there is has stopped.
                    Ok(_) if cluster.is_whole() => return,
                    Ok((id, after)) => drop(self.known.insert(id, Some(after))),
                    Err(_) => return,
                },
                _ = looks.tick() => self.reader.look_for_orphans().await,
                () = cluster.closing.cancelled() => return,
                () = self.reader.to.closed() => return,
            }
        }
    }
}

/// One node's events.
struct One {
    reader: Reader,
    id: String,
    after: u64,
    /// It was given up before.
    is_back: bool,
}

impl One {
    /// Follows the node until it is gone; the last event that it told.
    async fn run(mut self, mut stream: Option<Streaming<Event>>) -> (String, u64) {
        let cluster = Arc::clone(&self.reader.cluster);
        while let Some(member) = cluster.nodes().find(&self.id) {
            let ended = match stream.take() {
                Some(stream) => self.pass(stream).await,
                None => match self.reader.open(&member, self.after).await {
                    Ok(opened) => {
                        self.reader.meet(&member, self.is_back).await;
                        self.is_back = false;
                        stream = Some(opened);
                        continue;
                    }
                    Err(status) => Some(status),
                },
            };
            match ended {
                // The node stops, and has said all.
                None if cluster.is_whole() => return (self.id, self.after),
                Some(status) if !is_lost(&status) && !self.reader.takes_gap(&status) => {
                    // The reader has missed something: all of its stream ends.
                    let _ = self.reader.to.send(Err(status)).await;
                    self.reader.to.closed().await;
                }
                _ => sleep(RETRY).await,
            }
        }
        let left = self.reader.presence().lost(&self.id, now());
        self.reader.tell(left).await;
        (self.id, self.after)
    }

    async fn pass(&mut self, mut stream: Streaming<Event>) -> Option<Status> {
        let nodes = Arc::clone(self.reader.cluster.nodes());
        loop {
            match stream.message().await {
                Ok(Some(event)) => {
                    self.after = event.sequence;
                    let is_gone = |id: &str| nodes.find(id).is_none();
                    let passed = self.reader.presence().pass(&self.id, &event, is_gone);
                    self.reader.tell(passed.before).await;
                    if !passed.is_known {
                        self.reader.tell([event]).await;
                    }
                }
                Ok(None) => return None,
                Err(status) => return Some(status),
            }
        }
    }
}

fn now() -> Option<Timestamp> {
    Some(SystemTime::now().into())
}

/// Who is on a node, in one room or ("") in all.
async fn present(member: &Member, room: &str) -> Result<Present, Status> {
    let list = ListPresent {
        room: room.to_owned(),
    };
    match ask_node(member, Command::ListPresent(list)).await? {
        Reply::Present(present) => Ok(present),
        _ => Ok(Present::default()),
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
