//! A worker: one thread that owns one shard and its UDP sockets.
//!
//! Owns the thread, and the handle through which the rest of the node asks things of it. Must not
//! share anything with other workers on the packet path. Inputs are taken in by [`turn`], what comes
//! of them goes out by [`output`], and [`restart`] is what happens when the core fails.

mod output;
mod request;
mod restart;
mod turn;

use std::{
    io,
    net::{SocketAddr, UdpSocket},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use plenum_proto::node::{AdminReply, AdminRequest, Join, SessionEvent, SessionRequest};
use sfu_core::{ClockAnchor, CommandError, ControlId, CoreConfig};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use crate::{
    directory::Directory,
    events::EventLog,
    stats::{Published, WorkerStats},
    udp::UdpPort,
};

/// Requests that wait for a worker; past it their callers wait.
const REQUEST_QUEUE: usize = 1024;

/// TCP frames that wait for a worker; past it their connections are not read.
const FRAME_QUEUE: usize = 1024;

/// What a worker is made of.
pub(crate) struct Setup {
    pub(crate) index: usize,
    pub(crate) core: CoreConfig,
    pub(crate) anchor: ClockAnchor,
    pub(crate) sockets: Vec<UdpSocket>,
    /// Datagrams that wait for each socket.
    pub(crate) send_queue: usize,
    pub(crate) directory: Arc<Directory>,
    pub(crate) events: Arc<EventLog>,
    pub(crate) stop: CancellationToken,
}

/// Something asked of a worker.
pub(crate) enum Request {
    /// Opens a control connection; its events go to `events`.
    Join {
        control: ControlId,
        join: Box<Join>,
        events: mpsc::Sender<SessionEvent>,
        reply: oneshot::Sender<Result<(), CommandError>>,
    },
    /// A further request of a control connection.
    Session {
        control: ControlId,
        request: Box<SessionRequest>,
    },
    /// A control connection is gone.
    ControlLost { control: ControlId },
    /// A command on rooms.
    Admin {
        request: Box<AdminRequest>,
        reply: oneshot::Sender<Result<AdminReply, CommandError>>,
    },
    /// Ends all rooms.
    EndAll { reply: oneshot::Sender<()> },
    /// The numbers of this moment.
    Stats { reply: oneshot::Sender<WorkerStats> },
}

/// What comes from TCP connections, in order for each of them.
pub(crate) enum TcpInput {
    /// A connection that shows a session of this worker.
    Open {
        link: TcpLink,
        frames: mpsc::Sender<Vec<u8>>,
    },
    /// One frame.
    Frame { link: TcpLink, bytes: Vec<u8> },
    /// It is gone.
    Closed { link: TcpLink },
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
    /// The worker failed on it, or has stopped.
    #[error("the worker gave no answer")]
    NoAnswer,
}

/// The way to a worker.
#[derive(Clone)]
pub(crate) struct WorkerHandle {
    requests: mpsc::Sender<Request>,
    frames: mpsc::Sender<TcpInput>,
    published: Arc<Published>,
}

impl WorkerHandle {
    /// Opens a control connection. On success its events, at least one, come to `events`.
    pub(crate) async fn join(
        &self,
        control: ControlId,
        join: Join,
        events: mpsc::Sender<SessionEvent>,
    ) -> Result<(), RequestError> {
        let join = Box::new(join);
        Ok(self
            .ask(|reply| Request::Join {
                control,
                join,
                events,
                reply,
            })
            .await??)
    }

    /// Passes on a request of a control connection; what is wrong with it comes as an event.
    pub(crate) async fn session(
        &self,
        control: ControlId,
        request: SessionRequest,
    ) -> Result<(), RequestError> {
        self.tell(Request::Session {
            control,
            request: Box::new(request),
        })
        .await
    }

    /// Says that a control connection is gone.
    pub(crate) async fn control_lost(&self, control: ControlId) -> Result<(), RequestError> {
        self.tell(Request::ControlLost { control }).await
    }

    /// Passes on a command on rooms.
    pub(crate) async fn admin(&self, request: AdminRequest) -> Result<AdminReply, RequestError> {
        let request = Box::new(request);
        Ok(self
            .ask(|reply| Request::Admin { request, reply })
            .await??)
    }

    /// Ends all rooms; the events that say so are on their way when this returns.
    pub(crate) async fn end_all(&self) -> Result<(), RequestError> {
        self.ask(|reply| Request::EndAll { reply }).await
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
pub(crate) async fn start(setup: Setup) -> io::Result<(WorkerHandle, thread::JoinHandle<()>)> {
    let (requests, requests_in) = mpsc::channel(REQUEST_QUEUE);
    let (frames, frames_in) = mpsc::channel(FRAME_QUEUE);
    let published = Arc::new(Published::default());
    let handle = WorkerHandle {
        requests,
        frames,
        published: Arc::clone(&published),
    };
    let (ready, is_ready) = oneshot::channel();
    let thread = thread::Builder::new()
        .name(format!("sfu-worker-{}", setup.index))
        .spawn(move || {
            let runtime = match tokio::runtime::Builder::new_current_thread()
                .enable_io()
                .enable_time()
                .build()
            {
                Ok(runtime) => runtime,
                Err(error) => {
                    // Nobody listens only when the start was given up meanwhile.
                    let _ = ready.send(Err(error));
                    return;
                }
            };
            runtime.block_on(run(setup, requests_in, frames_in, published, ready));
        })?;
    match is_ready.await {
        Ok(outcome) => outcome.map(|()| (handle, thread)),
        Err(_) => Err(io::Error::other("the worker's thread ended at its start")),
    }
}

async fn run(
    setup: Setup,
    requests: mpsc::Receiver<Request>,
    frames: mpsc::Receiver<TcpInput>,
    published: Arc<Published>,
    ready: oneshot::Sender<io::Result<()>>,
) {
    let stop = setup.stop.clone();
    let mut worker = match turn::Worker::new(setup, published) {
        Ok(worker) => {
            if ready.send(Ok(())).is_err() {
                return;
            }
            worker
        }
        Err(error) => {
            // As above.
            let _ = ready.send(Err(error));
            return;
        }
    };
    let mut inputs = turn::Inputs { requests, frames };
    loop {
        let wake = worker.wake_at();
        let first = tokio::select! {
            biased;
            () = stop.cancelled() => return,
            Some(request) = inputs.requests.recv() => turn::Input::Request(request),
            Some(input) = inputs.frames.recv() => turn::Input::Tcp(input),
            () = readable(&worker.ports) => turn::Input::Nothing,
            () = sleep_until(wake) => turn::Input::Nothing,
        };
        worker.guarded(|worker| worker.turn(first, &mut inputs));
    }
}

/// Waits until one of the sockets has something to do.
async fn readable(ports: &[UdpPort]) {
    std::future::poll_fn(|context| {
        // All are polled, so that each can wake this task.
        let ready = ports
            .iter()
            .filter(|port| port.poll_ready(context).is_ready())
            .count();
        if ready > 0 {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
}

async fn sleep_until(wake: Option<Instant>) {
    /// An idle worker looks at the clock this often, for nothing.
    const IDLE: Duration = Duration::from_secs(3600);
    let wake = wake.unwrap_or_else(|| Instant::now() + IDLE);
    tokio::time::sleep_until(wake.into()).await;
}

#[cfg(test)]
mod tests;
