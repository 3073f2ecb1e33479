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
use sfu_node::EVENTS_AFTER;
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

/// The clock of a node may be behind by so much.
const SKEW: Duration = Duration::from_secs(60);

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
    /// Follows what happens on all nodes, of one room or ("") of all. Returns when the streams of all nodes that
    /// are there and can be reached stand.
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
                since: Arc::new(since),
                begun: SystemTime::now(),
                to,
                presence: Arc::default(),
            },
            known: HashMap::new(),
            tasks: JoinSet::new(),
        };
        for member in members {
            match following.reader.begin(&member).await {
                Ok(opened) => following.follow(member, Some(opened)).await,
                // It cannot be reached, or is on its way out, which shows in the registry.
                Err(status) if is_lost(&status) => following.follow(member, None).await,
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
    /// Where to begin with a node that was there before the reader.
    async fn cursor(&self, member: &Member) -> Result<Cursor, Status> {
        let after = match self.seen(member).await? {
            0 => self.of_only,
            after => after,
        };
        Ok(Cursor {
            after,
            is_first: self.from_first,
        })
    }

    /// The last event that was seen of this run of a node.
    async fn seen(&self, member: &Member) -> Result<u64, Status> {
        if self.by_epoch.is_empty() {
            return Ok(0);
        }
        let status = member.client.clone().status(StatusRequest {}).await?;
        let epoch = &status.get_ref().epoch;
        Ok(self.by_epoch.get(epoch).copied().unwrap_or_default())
    }
}

/// Where to begin with a node's events, or to go on.
#[derive(Debug, Clone, Copy)]
struct Cursor {
    /// The last that was seen; 0 = none.
    after: u64,
    /// Where none was seen, all that is kept, instead of from now on.
    is_first: bool,
}

impl Cursor {
    const FIRST: Self = Self {
        after: 0,
        is_first: true,
    };

    /// Where to go on, once a stream stands or an event came: nothing that happens from then on is missed.
    fn past(after: u64) -> Self {
        Self {
            after,
            is_first: true,
        }
    }
}

/// A node's events, and where they begin.
struct Opened {
    stream: Streaming<Event>,
    cursor: Cursor,
}

/// Who reads, and what it was told.
#[derive(Clone)]
struct Reader {
    cluster: Arc<Cluster>,
    room: String,
    since: Arc<Since>,
    begun: SystemTime,
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
        self.since.skips_gaps && matches!(status.code(), Code::OutOfRange | Code::DataLoss)
    }

    /// Opens the stream of a node that was there before the reader.
    async fn begin(&self, member: &Member) -> Result<Opened, Status> {
        self.open(member, self.since.cursor(member).await?).await
    }

    async fn open(&self, member: &Member, cursor: Cursor) -> Result<Opened, Status> {
        match open(member, &self.room, cursor).await {
            Err(status) if self.takes_gap(&status) => {
                let problem = status.message();
                tracing::error!(node = member.id(), problem, "events were lost");
                open(member, &self.room, Cursor::FIRST).await
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
    ///
    /// # Errors
    /// It is not known who is there, and so would not be who is lost with the node.
    async fn meet(&self, member: &Member, is_back: bool) -> Result<(), Status> {
        if self.cluster.is_whole() {
            return Ok(());
        }
        match present(member, &self.room).await {
            Ok(present) => {
                let news = self.presence().seed(member.id(), present);
                self.tell(news.into_iter().filter(|_| is_back)).await;
            }
            Err(status) if is_lost(&status) => return Err(status),
            Err(status) => {
                let problem = status.message();
                tracing::debug!(node = member.id(), problem, "it does not say who is there");
            }
        }
        Ok(())
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

/// A node that a reader has heard of.
enum Heard {
    /// It is followed.
    Followed,
    /// It was given up: where to go on if it comes back.
    GivenUp(Option<Cursor>),
}

struct Following {
    reader: Reader,
    known: HashMap<String, Heard>,
    tasks: JoinSet<(String, Option<Cursor>)>,
}

impl Following {
    async fn follow(&mut self, member: Arc<Member>, mut opened: Option<Opened>) {
        let id = member.id().to_owned();
        let mut cursor = opened.as_ref().map(|opened| opened.cursor);
        let mut is_back = false;
        if let Some(Heard::GivenUp(before)) = self.known.insert(id.clone(), Heard::Followed) {
            (is_back, cursor) = (true, before);
        }
        if opened.is_some() && self.reader.meet(&member, false).await.is_err() {
            opened = None;
        }
        let one = One {
            reader: self.reader.clone(),
            id,
            cursor,
            tells_from: None,
            is_back,
        };
        self.tasks.spawn(one.run(opened));
    }

    /// Follows nodes as they come, until the reader is gone or has been told of an error.
    async fn run(mut self) {
        let cluster = Arc::clone(&self.reader.cluster);
        let mut changes = cluster.nodes().changes();
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            for member in cluster.nodes().all() {
                if !matches!(self.known.get(member.id()), Some(Heard::Followed)) {
                    self.follow(member, None).await;
                }
            }
            tokio::select! {
                // We hold the cluster.
                _ = changes.changed() => {}
                Some(ended) = self.tasks.join_next() => match ended {
                    // The only node there is has stopped.
                    Ok(_) if cluster.is_whole() => return,
                    Ok((id, cursor)) => drop(self.known.insert(id, Heard::GivenUp(cursor))),
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
    /// None = its stream never stood.
    cursor: Option<Cursor>,
    /// What happened before is not told.
    tells_from: Option<SystemTime>,
    /// It was given up before.
    is_back: bool,
}

impl One {
    /// Follows the node until it is gone; where to go on if it comes back.
    async fn run(mut self, mut opened: Option<Opened>) -> (String, Option<Cursor>) {
        let cluster = Arc::clone(&self.reader.cluster);
        while let Some(member) = cluster.nodes().find(&self.id) {
            let ended = match opened.take() {
                Some(opened) => self.pass(opened).await,
                None => match self.open(&member).await {
                    Ok(again) => {
                        opened = Some(again);
                        continue;
                    }
                    Err(status) => Some(status),
                },
            };
            match ended {
                // The node stops, and has said all.
                None if cluster.is_whole() => return (self.id, self.cursor),
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
        (self.id, self.cursor)
    }

    /// Opens its stream, and takes note of who is there.
    async fn open(&mut self, member: &Member) -> Result<Opened, Status> {
        let cursor = match self.cursor {
            Some(cursor) => cursor,
            None => self.begin_late(member).await?,
        };
        let opened = self.reader.open(member, cursor).await?;
        self.cursor = Some(opened.cursor);
        self.reader.meet(member, self.is_back).await?;
        self.is_back = false;
        Ok(opened)
    }

    /// Where to begin with a node that came, or was reached, only after the reader began: with what happened since.
    async fn begin_late(&mut self, member: &Member) -> Result<Cursor, Status> {
        let since = &self.reader.since;
        let seen = since.seen(member).await?;
        if seen == 0 && !since.from_first {
            self.tells_from = self.reader.begun.checked_sub(SKEW);
        }
        Ok(match since.of_only {
            0 => Cursor::past(seen),
            after => Cursor::past(after),
        })
    }

    async fn pass(&mut self, opened: Opened) -> Option<Status> {
        let nodes = Arc::clone(self.reader.cluster.nodes());
        let mut stream = opened.stream;
        loop {
            match stream.message().await {
                Ok(Some(event)) => {
                    self.cursor = Some(Cursor::past(event.sequence));
                    let is_gone = |id: &str| nodes.find(id).is_none();
                    let passed = self.reader.presence().pass(&self.id, &event, is_gone);
                    if self.is_past(&event) {
                        continue;
                    }
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

    /// It happened before the reader began, as far as clocks go.
    fn is_past(&self, event: &Event) -> bool {
        let from = self.tells_from.map(Timestamp::from);
        let happened = event.at.map(|at| (at.seconds, at.nanos));
        from.is_some_and(|from| happened.is_some_and(|at| at < (from.seconds, from.nanos)))
    }
}

fn now() -> Option<Timestamp> {
    Some(SystemTime::now().into())
}

/// Who is on a node, in one room or ("") in all.
pub(super) async fn present(member: &Member, room: &str) -> Result<Present, Status> {
    let list = ListPresent {
        room: room.to_owned(),
    };
    match ask_node(member, Command::ListPresent(list)).await? {
        Reply::Present(present) => Ok(present),
        _ => Ok(Present::default()),
    }
}

async fn open(member: &Member, room: &str, cursor: Cursor) -> Result<Opened, Status> {
    let request = WatchEventsRequest {
        room: room.to_owned(),
        after_sequence: cursor.after,
        from_first: cursor.is_first,
        ..WatchEventsRequest::default()
    };
    let answer = member.client.clone().watch_events(request).await?;
    let after = answer.metadata().get(EVENTS_AFTER);
    let after = after.and_then(|after| after.to_str().ok()?.parse().ok());
    Ok(Opened {
        // One of an earlier version does not say.
        cursor: after.map_or(cursor, Cursor::past),
        stream: answer.into_inner(),
    })
}

/// The node is gone or on its way out, and says nothing about events.
fn is_lost(status: &Status) -> bool {
    !matches!(
        status.code(),
        Code::OutOfRange | Code::DataLoss | Code::InvalidArgument
    )
}
