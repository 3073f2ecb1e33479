//! A worker: one thread that owns one shard and its UDP sockets.
//!
//! Owns the thread, and the handle through which the rest of the node asks things of it. Must not
//! share anything with other workers on the packet path. Inputs are taken in by [`turn`], what comes
//! of them goes out by [`output`], and [`restart`] is what happens when the core fails. The thread is
//! no asynchronous runtime: between turns it sleeps in its [`reactor`].

mod budget;
mod cores;
mod output;
mod reactor;
mod relay;
mod request;
mod restart;
mod turn;

use std::{
    collections::BTreeSet,
    io,
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    task::Context,
    thread,
    time::Duration,
};

use bytes::Bytes;
use plenum_proto::node::{AdminReply, AdminRequest, Join, SessionEvent, SessionRequest};
use sfu_core::{
    ClockAnchor, Command, CommandError, ControlId, CoreConfig, Forward, Limits, LinkKey, NewHome,
    PlainSection, PlainSink,
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    directory::Directory,
    epochs::Stale,
    events::EventLog,
    homes::Homeless,
    stats::{Published, WorkerStats},
};

use reactor::Reactor;

pub(crate) use cores::available as available_cores;
pub(crate) use relay::{Carrier, Mesh, Parcel, link, mesh};

/// Requests that wait for a worker; past it their callers wait.
const REQUEST_QUEUE: usize = 1024;

/// TCP frames that wait for a worker; past it their connections are not read.
const FRAME_QUEUE: usize = 1024;

/// Packets of plain RTP that wait for a worker; past it they are dropped.
const PLAIN_QUEUE: usize = 4096;

/// How long a worker waits when the system does not let it wait for its sockets.
const WAIT_FAILED: Duration = Duration::from_millis(5);

/// What a worker is made of.
pub(crate) struct Setup {
    pub(crate) index: usize,
    pub(crate) core: CoreConfig,
    pub(crate) anchor: ClockAnchor,
    /// Keep the thread to one core.
    pub(crate) is_pinned: bool,
    pub(crate) sockets: Vec<UdpSocket>,
    /// Datagrams that wait for each socket.
    pub(crate) send_queue: usize,
    pub(crate) directory: Arc<Directory>,
    pub(crate) events: Arc<EventLog>,
    pub(crate) homeless: Homeless,
    pub(crate) stop: CancellationToken,
}

/// Something asked of a worker.
pub(crate) enum Request {
    /// Opens a control connection; its events go to `events`.
    Join {
        control: ControlId,
        join: Box<Join>,
        /// By which the room was placed on this node; 0 when it was not.
        epoch: u64,
        /// The worker on which the room has its home, when that is another one.
        home: Option<LinkKey>,
        events: mpsc::Sender<SessionEvent>,
        reply: oneshot::Sender<Result<(), RequestError>>,
    },
    /// Lets a participant appear in another room too; what comes of it goes to `events`, once.
    Forward {
        control: ControlId,
        forward: Box<Forward>,
        /// By which the room it is in, and the other one, were placed on this node; 0 when they were not.
        epochs: (u64, u64),
        /// The worker on which the other room has its home, when that is another one.
        home: Option<LinkKey>,
        events: mpsc::Sender<SessionEvent>,
        reply: oneshot::Sender<Result<(), RequestError>>,
    },
    /// A further request of a control connection, or an answer of it.
    Session {
        control: ControlId,
        command: Box<Command>,
    },
    /// Says what the plain RTP of a control connection is; RTCP for its sender goes to `rtcp`.
    Describe {
        control: ControlId,
        sections: Vec<PlainSection>,
        rtcp: mpsc::Sender<(u8, Vec<u8>)>,
        reply: oneshot::Sender<Result<(), RequestError>>,
    },
    /// Says where the subscriptions of a control connection go as plain RTP.
    SendPlain {
        control: ControlId,
        sinks: Vec<PlainSink>,
        keyframes: Option<Duration>,
        reply: oneshot::Sender<Result<(), RequestError>>,
    },
    /// A control connection is gone.
    ControlLost { control: ControlId },
    /// A command on rooms.
    Admin {
        request: Box<AdminRequest>,
        reply: oneshot::Sender<Result<AdminReply, RequestError>>,
    },
    /// Ends all rooms.
    EndAll { reply: oneshot::Sender<()> },
    /// Sends on all but so many of those whose rooms have their home elsewhere, rooms of these names excepted.
    MoveGuests {
        keep: usize,
        except: Arc<BTreeSet<String>>,
        reply: oneshot::Sender<usize>,
    },
    /// Lets go of a room, or of all, that goes on on another node.
    MoveAway {
        room: Option<String>,
        reply: oneshot::Sender<()>,
    },
    Rehome {
        room_id: String,
        home: NewHome,
        reply: oneshot::Sender<()>,
    },
    /// The numbers of this moment.
    Stats { reply: oneshot::Sender<WorkerStats> },
}

/// What comes from TCP connections, in order for each of them.
pub(crate) enum TcpInput {
    /// A connection that shows a session of this worker; `frames` takes frames with their length before them.
    Open {
        link: TcpLink,
        frames: mpsc::Sender<Bytes>,
    },
    /// One frame.
    Frame { link: TcpLink, bytes: Vec<u8> },
    /// It is gone.
    Closed { link: TcpLink },
}

/// A datagram of plain RTP or RTCP, from where it may come from.
pub(crate) struct PlainInput {
    pub(crate) control: ControlId,
    /// Index among the sections that were described.
    pub(crate) section: u8,
    pub(crate) bytes: Vec<u8>,
}

/// A TCP connection. Two of them can follow each other with the same addresses, hence the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TcpLink {
    pub(crate) number: u64,
    pub(crate) local: SocketAddr,
    pub(crate) remote: SocketAddr,
}

/// Why a request has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RequestError {
    /// The core refused it.
    #[error(transparent)]
    Refused(#[from] CommandError),
    /// It refers to a placement of the room that holds no more.
    #[error(transparent)]
    Stale(#[from] Stale),
    /// The same of the room that a participant is to be forwarded to.
    #[error("the other room: {0}")]
    StaleDestination(Stale),
    /// The worker failed on it, or has stopped.
    #[error("the worker gave no answer")]
    NoAnswer,
}

/// The way to a worker.
#[derive(Clone)]
pub(crate) struct WorkerHandle {
    requests: mpsc::Sender<Request>,
    frames: mpsc::Sender<TcpInput>,
    plain: mpsc::Sender<PlainInput>,
    published: Arc<Published>,
    limits: Arc<Limits>,
}

impl WorkerHandle {
    /// Opens a control connection. On success its events, at least one, come to `events`.
    pub(crate) async fn join(
        &self,
        control: ControlId,
        join: Join,
        epoch: u64,
        home: Option<LinkKey>,
        events: mpsc::Sender<SessionEvent>,
    ) -> Result<(), RequestError> {
        let join = Box::new(join);
        self.ask(|reply| Request::Join {
            control,
            join,
            epoch,
            home,
            events,
            reply,
        })
        .await?
    }

    /// Lets a participant of this worker appear in another room too. On success the answer comes to `events`.
    pub(crate) async fn forward(
        &self,
        control: ControlId,
        forward: Forward,
        epochs: (u64, u64),
        home: Option<LinkKey>,
        events: mpsc::Sender<SessionEvent>,
    ) -> Result<(), RequestError> {
        let forward = Box::new(forward);
        self.ask(|reply| Request::Forward {
            control,
            forward,
            epochs,
            home,
            events,
            reply,
        })
        .await?
    }

    /// Passes on a request of a control connection; what is wrong with it comes as an event.
    pub(crate) async fn session(
        &self,
        control: ControlId,
        request: SessionRequest,
    ) -> Result<(), RequestError> {
        // Here, so that no packet waits for an answer to be read.
        let command = Box::new(Command::of_request(control, request, &self.limits));
        self.tell(Request::Session { control, command }).await
    }

    /// Says what the plain RTP of a control connection is. RTCP for its sender comes to `rtcp`, with the section
    /// it is for.
    pub(crate) async fn describe(
        &self,
        control: ControlId,
        sections: Vec<PlainSection>,
        rtcp: mpsc::Sender<(u8, Vec<u8>)>,
    ) -> Result<(), RequestError> {
        self.ask(|reply| Request::Describe {
            control,
            sections,
            rtcp,
            reply,
        })
        .await?
    }

    /// Says where the subscriptions of a control connection go as plain RTP, and how often there is to be a keyframe.
    pub(crate) async fn send_plain(
        &self,
        control: ControlId,
        sinks: Vec<PlainSink>,
        keyframes: Option<Duration>,
    ) -> Result<(), RequestError> {
        self.ask(|reply| Request::SendPlain {
            control,
            sinks,
            keyframes,
            reply,
        })
        .await?
    }

    /// Says that a control connection is gone.
    pub(crate) async fn control_lost(&self, control: ControlId) -> Result<(), RequestError> {
        self.tell(Request::ControlLost { control }).await
    }

    /// Passes on a command on rooms.
    pub(crate) async fn admin(&self, request: AdminRequest) -> Result<AdminReply, RequestError> {
        let request = Box::new(request);
        self.ask(|reply| Request::Admin { request, reply }).await?
    }

    /// Ends all rooms; the events that say so are on their way when this returns.
    pub(crate) async fn end_all(&self) -> Result<(), RequestError> {
        self.ask(|reply| Request::EndAll { reply }).await
    }

    /// Lets go of a room, or of all, that goes on on another node; whoever was in it is told when this
    /// returns.
    pub(crate) async fn move_away(&self, room: Option<String>) -> Result<(), RequestError> {
        self.ask(|reply| Request::MoveAway { room, reply }).await
    }

    /// Sends on those whose rooms have their home elsewhere until so many are left, but of the rooms of these names; they
    /// are told when this returns how many are left.
    pub(crate) async fn move_guests(
        &self,
        keep: usize,
        except: Arc<BTreeSet<String>>,
    ) -> Result<usize, RequestError> {
        self.ask(|reply| Request::MoveGuests {
            keep,
            except,
            reply,
        })
        .await
    }

    /// Names another home for a room that goes on without one.
    pub(crate) async fn rehome(&self, room_id: String, home: NewHome) -> Result<(), RequestError> {
        self.ask(|reply| Request::Rehome {
            room_id,
            home,
            reply,
        })
        .await
    }

    /// The numbers of this moment.
    pub(crate) async fn stats(&self) -> Result<WorkerStats, RequestError> {
        self.ask(|reply| Request::Stats { reply }).await
    }

    /// The numbers as last published.
    pub(crate) fn published(&self) -> WorkerStats {
        self.published.read()
    }

    /// Where TCP connections bring their frames.
    pub(crate) fn frames(&self) -> mpsc::Sender<TcpInput> {
        self.frames.clone()
    }

    /// Where plain RTP is brought.
    pub(crate) fn plain(&self) -> mpsc::Sender<PlainInput> {
        self.plain.clone()
    }

    async fn tell(&self, request: Request) -> Result<(), RequestError> {
        self.requests
            .send(request)
            .await
            .map_err(|_| RequestError::NoAnswer)
    }

    async fn ask<T>(
        &self,
        request: impl FnOnce(oneshot::Sender<T>) -> Request,
    ) -> Result<T, RequestError> {
        let (reply, answer) = oneshot::channel();
        self.tell(request(reply)).await?;
        answer.await.map_err(|_| RequestError::NoAnswer)
    }
}

/// Starts a worker; returns when it is ready for datagrams.
pub(crate) async fn start(
    setup: Setup,
    carrier: Carrier,
) -> io::Result<(WorkerHandle, thread::JoinHandle<()>)> {
    let (requests, requests_in) = mpsc::channel(REQUEST_QUEUE);
    let (frames, frames_in) = mpsc::channel(FRAME_QUEUE);
    let (plain, plain_in) = mpsc::channel(PLAIN_QUEUE);
    let published = Arc::new(Published::default());
    let handle = WorkerHandle {
        requests,
        frames,
        plain,
        published: Arc::clone(&published),
        limits: Arc::new(setup.core.limits.clone()),
    };
    let (ready, is_ready) = oneshot::channel();
    let thread = thread::Builder::new()
        .name(format!("sfu-worker-{}", setup.index))
        .spawn(move || {
            let channels = (requests_in, frames_in, plain_in);
            run(setup, carrier, channels, published, ready);
        })?;
    match is_ready.await {
        Ok(outcome) => outcome.map(|()| (handle, thread)),
        Err(_) => Err(io::Error::other("the worker's thread ended at its start")),
    }
}

/// What the rest of the node brings.
type Channels = (
    mpsc::Receiver<Request>,
    mpsc::Receiver<TcpInput>,
    mpsc::Receiver<PlainInput>,
);

fn run(
    setup: Setup,
    carrier: Carrier,
    (requests, frames, plain): Channels,
    published: Arc<Published>,
    ready: oneshot::Sender<io::Result<()>>,
) {
    if setup.is_pinned {
        pin(setup.index);
    }
    let (relayed, outgoing) = carrier.split();
    let mut inputs = turn::Inputs {
        requests,
        frames,
        plain,
        relayed,
        stop: Box::pin(setup.stop.clone().cancelled_owned()),
    };
    let made = Reactor::new().and_then(|reactor| {
        let worker = turn::Worker::new(setup, outgoing, published)?;
        Ok((reactor, worker))
    });
    match made {
        Ok((reactor, worker)) => {
            // Nobody listens only when the start was given up meanwhile.
            if ready.send(Ok(())).is_ok() {
                live(&reactor, worker, &mut inputs);
            }
        }
        Err(error) => {
            // As above.
            let _ = ready.send(Err(error));
        }
    }
}

fn live(reactor: &Reactor, mut worker: turn::Worker, inputs: &mut turn::Inputs) {
    let mut context = Context::from_waker(reactor.waker());
    let mut ready = Vec::new();
    loop {
        reactor.arm();
        let first = inputs.poll(&mut context);
        let sleep = match &first {
            Some(turn::Input::Stop) => return,
            Some(_) => Some(Duration::ZERO),
            None => worker.may_sleep(),
        };
        if let Err(error) = reactor.wait(&worker.ports, sleep, &mut ready) {
            // The system is out of memory: better late than spinning.
            tracing::error!(%error, "a worker cannot wait for its sockets");
            thread::sleep(WAIT_FAILED);
        }
        worker.guarded(|worker| worker.turn(first, inputs, &ready));
    }
}

fn pin(index: usize) {
    match cores::pin(index) {
        Ok(core) => tracing::debug!(worker = index, core, "worker keeps to a core"),
        Err(error) => tracing::warn!(%error, worker = index, "worker cannot be kept to a core"),
    }
}

#[cfg(test)]
mod tests;
