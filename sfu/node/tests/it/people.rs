//! Participants with real media over real sockets: the simulation's clients, driven in real time.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use plenum_proto::{
    node::{
        HomeNode, Join, SessionEvent, SessionRequest, node_client::NodeClient,
        session_event::Kind as Told, session_request::Kind,
    },
    v1::CloseReason,
};
use sfu_sim::{Client, ClientOptions, Live, SourceId, SourceKind, VideoSettings};
use tokio::{net::UdpSocket, sync::mpsc, task::JoinHandle};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Status, Streaming, transport::Channel};

/// How long anything may take that a test waits for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A participant that is driven by a task of its own.
pub(crate) struct Person {
    live: Arc<Mutex<Live>>,
    task: JoinHandle<()>,
}

impl Person {
    /// Joins; returns when the join is answered.
    pub(crate) async fn join(
        client: &NodeClient<Channel>,
        start: Instant,
        number: u16,
        options: ClientOptions,
        home: Option<HomeNode>,
    ) -> Self {
        let sockets = [socket().await, socket().await];
        let addresses = [&sockets[0], &sockets[1]].map(|s| s.local_addr().unwrap());
        let (live, mut join) = Live::new(start, options, addresses, number);
        join.home = home;
        let (requests, stream) = mpsc::channel(64);
        let kind = Some(Kind::Join(join));
        requests.send(SessionRequest { kind }).await.unwrap();
        let events = client
            .clone()
            .session(ReceiverStream::new(stream))
            .await
            .unwrap()
            .into_inner();
        let live = Arc::new(Mutex::new(live));
        let driver = Driver {
            live: Arc::clone(&live),
            sockets,
            requests,
            events,
        };
        let task = tokio::spawn(driver.run());
        let person = Self { live, task };
        person
            .until("an answer", |c| {
                c.joined().is_some() || c.closed().is_some()
            })
            .await;
        person
    }

    /// Joins, to see why that comes to nothing: the failure of the call, or the last word told.
    pub(crate) async fn try_join(
        client: &NodeClient<Channel>,
        join: &Join,
        home: HomeNode,
    ) -> Result<Option<CloseReason>, Status> {
        let (requests, stream) = mpsc::channel(1);
        let mut join = join.clone();
        join.home = Some(home);
        let kind = Some(Kind::Join(join));
        requests.send(SessionRequest { kind }).await.unwrap();
        let events = client.clone().session(ReceiverStream::new(stream)).await?;
        let first = events.into_inner().message().await?;
        Ok(match first.and_then(|event| event.kind) {
            Some(Told::Closed(closed)) => Some(closed.reason()),
            _ => None,
        })
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Live> {
        self.live.lock().unwrap()
    }

    pub(crate) fn publish(&self, kind: SourceKind, settings: VideoSettings) -> SourceId {
        self.lock().publish(kind, settings)
    }

    /// Waits until something holds of what it has been told and given.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&Client) -> bool) {
        let began = Instant::now();
        while !holds(self.lock().client()) {
            assert!(began.elapsed() < PATIENCE, "no {what} in time");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Waits for so many frames more of a source.
    pub(crate) async fn frames(&self, source: SourceId, more: u64) {
        let before = self.lock().client().report(source).frames;
        self.until("frames", |c| c.report(source).frames >= before + more)
            .await;
    }
}

impl Drop for Person {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn socket() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").await.unwrap()
}

struct Driver {
    live: Arc<Mutex<Live>>,
    sockets: [UdpSocket; 2],
    requests: mpsc::Sender<SessionRequest>,
    events: Streaming<SessionEvent>,
}

impl Driver {
    async fn run(mut self) {
        let mut buffers = [vec![0; 2048], vec![0; 2048]];
        let mut is_open = true;
        loop {
            let (datagrams, requests, at) = {
                let mut live = self.live.lock().unwrap();
                let (datagrams, requests) = live.drain();
                (datagrams, requests, live.poll_timeout())
            };
            for datagram in datagrams {
                let own = |socket: &&UdpSocket| {
                    socket
                        .local_addr()
                        .is_ok_and(|local| local == datagram.source)
                };
                let socket = self.sockets.iter().find(own).unwrap();
                let _ = socket.send_to(&datagram.bytes, datagram.destination).await;
            }
            for request in requests {
                let _ = self.requests.send(request).await;
            }
            let [first, second] = &mut buffers;
            tokio::select! {
                received = self.sockets[0].recv_from(first) => {
                    let Ok((length, source)) = received else { continue };
                    self.take(0, source, &first[..length]);
                }
                received = self.sockets[1].recv_from(second) => {
                    let Ok((length, source)) = received else { continue };
                    self.take(1, source, &second[..length]);
                }
                event = self.events.message(), if is_open => match event {
                    Ok(Some(event)) => self.live.lock().unwrap().handle_event(event),
                    Ok(None) | Err(_) => is_open = false,
                },
                () = tokio::time::sleep_until(at.into()) => {
                    self.live.lock().unwrap().handle_timeout();
                }
            }
        }
    }

    fn take(&self, socket: usize, source: SocketAddr, bytes: &[u8]) {
        let destination = self.sockets[socket].local_addr().unwrap();
        let mut live = self.live.lock().unwrap();
        live.handle_datagram(source, destination, bytes);
    }
}
