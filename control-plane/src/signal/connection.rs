//! One client's WebSocket and its session at the node: reads from either, tells the other, and ends
//! both. Must not translate (see `translate`) nor decide who comes in. A fault here ends this task
//! alone.

use std::{sync::Arc, time::Instant};

use axum::extract::ws::{Message as Frame, WebSocket};
use plenum_proto::node::{Ping, SessionEvent, SessionRequest, session_request::Kind as Request};
use tokio::time::{self, Interval, MissedTickBehavior};
use tonic::{Code, Status};
use tracing::Instrument as _;

use super::{
    admission::Admission,
    direct::{self, Direct},
    end::End,
    frame::Encoding,
    node::{First, NodeSession},
    pending::Waiting,
    rate::Rate,
    state::{Place, Shared},
    translate::joined,
};
use crate::auth::Verified;

mod finish;
mod inbound;
mod outbound;
mod report;

use report::Report;

/// A connection that was let in and answered by the node, before its WebSocket is there.
pub(super) struct Opened {
    pub(super) admission: Admission,
    pub(super) session: NodeSession,
    pub(super) first: First,
    pub(super) place: Place,
    pub(super) waiting: Waiting,
}

struct Connection {
    shared: Arc<Shared>,
    socket: WebSocket,
    session: NodeSession,
    speech: Speech,
    verified: Verified,
    /// The participant whose changes go into fresh tokens; empty when none do.
    own_id: String,
    rate: Rate,
    heard: time::Instant,
    /// A request that the node has not taken yet, and since when. Until it does the client is not
    /// read.
    unsent: Option<(SessionRequest, time::Instant)>,
    ping: Interval,
    refresh: Interval,
    _place: Place,
}

/// What the client speaks.
#[derive(Debug, Clone, Copy)]
enum Speech {
    /// The client protocol, in this form and from this step on.
    Sdk { encoding: Encoding, protocol: i32 },
    /// The direct API.
    Direct(Direct),
}

/// What comes next.
#[expect(clippy::large_enum_variant, reason = "one at a time, moved once")]
enum Turn {
    Frame(Option<Result<Frame, axum::Error>>),
    Event(Result<Option<SessionEvent>, Status>),
    Sent,
    Ping,
    Refresh,
    End(End),
}

/// Carries a connection from its first message to its end.
pub(super) async fn run(shared: Arc<Shared>, socket: WebSocket, opened: Opened) {
    let (room, participant) = ids(&opened.first);
    let span = tracing::info_span!("signal", %room, %participant);
    let report = Report::new(&shared);
    async move {
        let (mut connection, first, waiting) = Connection::new(shared, socket, opened);
        let opened_at = Instant::now();
        let end = connection.serve(first, waiting).await;
        let why = end.label();
        connection.finish(end).await;
        tracing::info!(
            why,
            seconds = opened_at.elapsed().as_secs(),
            "signalling ended"
        );
        report.closed(why);
    }
    .instrument(span)
    .await;
}

impl Connection {
    fn new(shared: Arc<Shared>, socket: WebSocket, opened: Opened) -> (Self, First, Waiting) {
        let Opened {
            admission,
            session,
            first,
            place,
            waiting,
        } = opened;
        let config = &shared.config;
        let own_id = if admission.is_publish_only {
            String::new()
        } else {
            ids(&first).1
        };
        let (speech, per_second, burst) = if admission.join.direct {
            let speech = Speech::Direct(Direct::default());
            (speech, direct::MESSAGES_PER_SECOND, direct::MESSAGE_BURST)
        } else {
            let (encoding, protocol) = (admission.encoding, admission.protocol());
            let speech = Speech::Sdk { encoding, protocol };
            (speech, config.requests_per_second, config.request_burst)
        };
        let every = |period| {
            let mut interval = time::interval_at(time::Instant::now() + period, period);
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        };
        let connection = Self {
            rate: Rate::new(Instant::now(), per_second, burst),
            ping: every(config.websocket_ping_interval),
            refresh: every(config.token_refresh),
            speech,
            socket,
            session,
            verified: admission.verified,
            own_id,
            heard: time::Instant::now(),
            unsent: None,
            _place: place,
            shared,
        };
        (connection, first, waiting)
    }

    async fn serve(&mut self, first: First, waiting: Waiting) -> End {
        match self.greet(first).await {
            Ok(()) => drop(waiting),
            Err(end) => return end,
        }
        loop {
            let turn = self.next().await;
            if let Err(end) = self.take(turn).await {
                return end;
            }
        }
    }

    /// Sends what a client must have first.
    async fn greet(&mut self, first: First) -> Result<(), End> {
        let (room, identity) = names(&first);
        let is_direct = matches!(self.speech, Speech::Direct(_));
        let announced = &self.shared.announced(room, identity, is_direct);
        let (joined, resumed) = match first {
            First::Joined(joined) => (joined, false),
            First::Resumed(joined) => (joined, true),
            First::Closed(closed) => return Err(End::NodeClosed(closed)),
        };
        let protocol = match self.speech {
            Speech::Sdk { protocol, .. } => {
                let messages = if resumed {
                    joined::resumed(*joined, announced)
                } else {
                    vec![joined::join(*joined, announced)]
                };
                for message in messages {
                    self.tell(message).await?;
                }
                protocol.to_string()
            }
            Speech::Direct(_) => {
                let ice_servers = announced.ice_servers.iter().map(Into::into).collect();
                self.tell_direct(&direct::hello(*joined, ice_servers, resumed))
                    .await?;
                "direct".to_owned()
            }
        };
        tracing::info!(resumed, protocol, "signalling open");
        self.tell_token().await
    }

    async fn next(&mut self) -> Turn {
        let shared = &self.shared;
        let silent_at = self.heard + shared.config.ping_timeout;
        let stuck_at = self
            .unsent
            .as_ref()
            .map(|(_, since)| *since + shared.config.node_timeout);
        tokio::select! {
            () = shared.closing.cancelled() => Turn::End(End::ShuttingDown),
            permit = self.session.requests.reserve(), if stuck_at.is_some() => match permit {
                Ok(permit) => {
                    if let Some((request, _)) = self.unsent.take() {
                        permit.send(request);
                    }
                    Turn::Sent
                }
                Err(_) => Turn::End(End::NodeLost),
            },
            () = time::sleep_until(stuck_at.unwrap_or(silent_at)) => Turn::End(match stuck_at {
                Some(_) => End::NodeLost,
                None => End::ClientSilent,
            }),
            frame = self.socket.recv(), if stuck_at.is_none() => Turn::Frame(frame),
            event = self.session.events.message() => Turn::Event(event),
            _ = self.ping.tick() => Turn::Ping,
            _ = self.refresh.tick() => Turn::Refresh,
        }
    }

    async fn take(&mut self, turn: Turn) -> Result<(), End> {
        match turn {
            Turn::Frame(Some(Ok(frame))) => self.on_frame(frame).await,
            Turn::Frame(Some(Err(error))) => Err(finish::end_of(error)),
            Turn::Frame(None) => Err(End::ClientLost),
            Turn::Event(Ok(Some(event))) => self.on_event(event).await,
            Turn::Event(Ok(None)) => Err(End::NodeLost),
            Turn::Event(Err(status)) if status.code() == Code::Aborted => Err(End::NodeDropped),
            Turn::Event(Err(status)) => {
                tracing::warn!(code = %status.code(), "node ended the session");
                Err(End::NodeLost)
            }
            Turn::Sent => {
                // It was us who did not listen meanwhile.
                self.heard = time::Instant::now();
                Ok(())
            }
            Turn::Ping => {
                // Only keeps the session alive, so one that does not fit is not missed.
                let ping = SessionRequest {
                    kind: Some(Request::Ping(Ping {})),
                };
                let _ = self.session.requests.try_send(ping);
                self.send(Frame::Ping(Vec::new().into())).await
            }
            Turn::Refresh => self.tell_token().await,
            Turn::End(end) => Err(end),
        }
    }
}

/// Names of the room and the participant, as far as there are any.
fn names(first: &First) -> (&str, &str) {
    match first {
        First::Joined(joined) | First::Resumed(joined) => (
            joined.room.as_ref().map_or("", |room| &room.name),
            joined.participant.as_ref().map_or("", |own| &own.identity),
        ),
        First::Closed(_) => Default::default(),
    }
}

/// Ids of the room and the participant, as far as there are any.
fn ids(first: &First) -> (String, String) {
    match first {
        First::Joined(joined) | First::Resumed(joined) => (
            joined
                .room
                .as_ref()
                .map(|room| room.id.clone())
                .unwrap_or_default(),
            joined
                .participant
                .as_ref()
                .map(|own| own.id.clone())
                .unwrap_or_default(),
        ),
        First::Closed(_) => Default::default(),
    }
}
