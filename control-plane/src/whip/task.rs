//! The task that carries one session: opens it at the node, negotiates, serves what its resource is
//! asked, and ends it. A fault here ends this session alone. Must not know HTTP.

use std::{collections::VecDeque, sync::Arc};

use plenum_proto::{
    node::{
        AddTrack, Candidate, Description, Joined, Leave, Ping, RequestReason, RequestResponse,
        SessionEvent, SessionRequest, Subscribe, TrackSettings, TransportRole,
        session_event::Kind as Told, session_request::Kind as Request,
    },
    v1::{CloseReason, ParticipantState},
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{self, Instant, MissedTickBehavior},
};
use tracing::Instrument as _;

use super::{
    admission::{Admission, Purpose},
    fragment::{self, Fragment},
    offer,
    play::Follow,
    problem::Problem,
    session::{COMMANDS, Command, Restarted, Session},
    sse::{self, Selection},
    state::{Place, Shared},
};
use crate::signal::{
    Refusal,
    node::{self, First, NodeSession},
    pending::Waiting,
};

/// An admitted request, before anything was asked of the node.
pub(super) struct Opening {
    pub(super) admission: Admission,
    pub(super) offer: String,
    pub(super) place: Place,
    pub(super) waiting: Waiting,
}

/// A session that stands.
pub(super) struct Opened {
    pub(super) session: Arc<Session>,
    pub(super) answer: String,
    pub(super) tag: String,
}

struct Task {
    shared: Arc<Shared>,
    node: NodeSession,
    role: TransportRole,
    own_id: String,
    /// The client's offer, as its ICE session is now.
    offer: String,
    offers: u32,
    tag: String,
    /// Of a session that plays.
    player: Option<(Follow, watch::Sender<sse::Told>)>,
    /// Events that came while an answer was awaited.
    kept: VecDeque<Told>,
    /// The place among those not connected, until it is.
    waiting: Option<Waiting>,
}

/// Why a session ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// The client said so.
    Deleted,
    /// It never connected.
    NotConnected,
    /// The node ended the stay.
    Closed,
    /// The node is gone.
    NodeLost,
    /// This gateway shuts down.
    ShuttingDown,
    /// The client does not wait for the answer to its offer.
    NotAwaited,
}

/// Carries a session from its offer to its end. The answer goes to `opened`; a client that goes away
/// meanwhile does not leave a stay behind.
pub(super) async fn run(
    shared: Arc<Shared>,
    opening: Opening,
    opened: oneshot::Sender<Result<Opened, Problem>>,
) {
    let what = match opening.admission.purpose {
        Purpose::Publish => "whip",
        Purpose::Play { .. } => "whep",
    };
    let span = tracing::info_span!("session", what, participant = tracing::field::Empty);
    let Opening {
        admission,
        offer,
        place,
        waiting,
    } = opening;
    async move {
        let _place = place;
        match Task::open(&shared, &admission, offer, waiting).await {
            Ok((task, answer)) => task.carry(admission, answer, opened).await,
            Err(problem) => {
                tracing::info!(%problem, "refused");
                // Nobody waits when the client is gone.
                let _ = opened.send(Err(problem));
            }
        }
    }
    .instrument(span)
    .await;
}

impl Task {
    /// Opens the session at the node and takes its answer to the client's offer.
    async fn open(
        shared: &Arc<Shared>,
        admission: &Admission,
        offer: String,
        waiting: Waiting,
    ) -> Result<(Self, String), Problem> {
        // Before the node is asked for anything.
        let (tracks, played) = match &admission.purpose {
            Purpose::Publish => (offer::published(&offer)?, None),
            Purpose::Play { of } => (Vec::new(), Some((of.clone(), offer::played(&offer)?))),
        };
        let limit = shared.signal.node_timeout;
        let join = admission.join.clone();
        let (node, first) = node::open(shared.nodes.as_ref(), join, limit).await?;
        let joined = match first {
            First::Joined(joined) | First::Resumed(joined) => *joined,
            First::Closed(closed) if admission.join.must_exist => {
                tracing::debug!(message = closed.message, "refused by the node");
                return Err(Refusal::NoRoom.into());
            }
            First::Closed(closed) => return Err(Problem::Unsupported(closed.message)),
        };
        let Joined {
            participant,
            others,
            ..
        } = joined;
        let own_id = participant.map(|own| own.id).unwrap_or_default();
        tracing::Span::current().record("participant", &own_id);
        let player = played.map(|(of, takes)| {
            let follow = Follow::new(of, takes, own_id.clone());
            (follow, watch::Sender::new(sse::Told::default()))
        });
        let role = match player {
            None => TransportRole::Publish,
            Some(_) => TransportRole::Subscribe,
        };
        let mut task = Self {
            shared: Arc::clone(shared),
            node,
            role,
            own_id,
            offer: String::new(),
            offers: 0,
            tag: new_tag(),
            player,
            kept: VecDeque::new(),
            waiting: Some(waiting),
        };
        let answer = async {
            for track in tracks {
                task.announce(track).await?;
            }
            let answer = task.negotiate(offer).await?;
            offer::check_answer(&task.offer, &answer)?;
            task.follow(others).await?;
            Ok(answer)
        };
        match answer.await {
            Ok(answer) => Ok((task, answer)),
            Err(problem) => {
                task.leave().await;
                Err(problem)
            }
        }
    }

    async fn announce(&mut self, track: AddTrack) -> Result<(), Problem> {
        self.ask(Request::AddTrack(track)).await?;
        self.hear(|told| matches!(told, Told::TrackPublished(_)).then_some(()))
            .await
    }

    /// Has the node answer an offer.
    async fn negotiate(&mut self, offer: String) -> Result<String, Problem> {
        self.offers += 1;
        let (role, id) = (self.role, self.offers);
        self.ask(Request::Description(Description {
            role: role.into(),
            is_offer: true,
            sdp: offer.clone(),
            id,
            ..Description::default()
        }))
        .await?;
        let answer = self
            .hear(|told| match told {
                Told::Description(told) if told.id == id && !told.is_offer => {
                    Some(told.sdp.clone())
                }
                _ => None,
            })
            .await?;
        self.offer = offer;
        Ok(offer::with_mux_only(&answer, &self.offer))
    }

    /// Sends a request to the node.
    async fn ask(&self, kind: Request) -> Result<(), Problem> {
        let request = SessionRequest { kind: Some(kind) };
        let sent = self.node.requests.send(request);
        match time::timeout(self.shared.signal.node_timeout, sent).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Refusal::NoNode.into()),
        }
    }

    /// Waits for what the node answers to a request; anything else that it tells meanwhile is kept.
    async fn hear<T>(&mut self, wanted: impl Fn(&Told) -> Option<T>) -> Result<T, Problem> {
        let deadline = Instant::now() + self.shared.signal.node_timeout;
        loop {
            let event = time::timeout_at(deadline, self.node.events.message()).await;
            let Ok(Ok(Some(SessionEvent { kind: Some(told) }))) = event else {
                return Err(Refusal::NoNode.into());
            };
            if let Some(found) = wanted(&told) {
                return Ok(found);
            }
            match told {
                Told::RequestResponse(response) if response.reason() != RequestReason::Ok => {
                    return Err(problem(response));
                }
                Told::Closed(closed) => {
                    let message = closed.message.clone();
                    self.kept.push_back(Told::Closed(closed));
                    return Err(Problem::Unsupported(message));
                }
                told => self.kept.push_back(told),
            }
        }
    }

    async fn carry(
        mut self,
        admission: Admission,
        answer: String,
        opened: oneshot::Sender<Result<Opened, Problem>>,
    ) {
        let (commands, mut queue) = mpsc::channel(COMMANDS);
        let told = self.player.as_ref().map(|(_, told)| told.subscribe());
        let config = &self.shared.config;
        let session = Arc::new(Session::new(admission.owner, config, commands, told));
        self.shared.insert(Arc::clone(&session));
        let id = session.id.clone();
        let tag = self.tag.clone();
        let end = match opened.send(Ok(Opened {
            session,
            answer,
            tag,
        })) {
            Ok(()) => {
                tracing::info!("open");
                self.serve(&mut queue).await
            }
            Err(_) => End::NotAwaited,
        };
        self.shared.remove(&id);
        if !matches!(end, End::Closed | End::NodeLost) {
            self.leave().await;
        }
        tracing::info!(?end, "closed");
        // What is still asked of it finds nobody.
        drop(queue);
    }

    async fn serve(&mut self, commands: &mut mpsc::Receiver<Command>) -> End {
        let connect_by = Instant::now() + self.shared.config.connect_timeout;
        let closing = self.shared.closing.clone();
        let mut ping = time::interval(self.shared.signal.websocket_ping_interval);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            while let Some(told) = self.kept.pop_front() {
                if let Some(end) = self.on_told(told).await {
                    return end;
                }
            }
            tokio::select! {
                () = closing.cancelled() => return End::ShuttingDown,
                () = time::sleep_until(connect_by), if self.waiting.is_some() => {
                    return End::NotConnected;
                }
                command = commands.recv() => match command {
                    Some(Command::End { reply }) => {
                        // Nobody waits when the client is gone.
                        let _ = reply.send(());
                        return End::Deleted;
                    }
                    Some(command) => self.on_command(command).await,
                    None => return End::Deleted,
                },
                event = self.node.events.message() => match event {
                    Ok(Some(event)) => self.kept.extend(event.kind),
                    Ok(None) | Err(_) => return End::NodeLost,
                },
                // Only keeps the session alive, so one that does not fit is not missed.
                _ = ping.tick() => {
                    let ping = SessionRequest { kind: Some(Request::Ping(Ping {})) };
                    let _ = self.node.requests.try_send(ping);
                }
            }
        }
    }

    async fn on_told(&mut self, told: Told) -> Option<End> {
        match told {
            Told::Closed(closed) => {
                tracing::info!(reason = ?closed.reason(), message = closed.message, "ended by the node");
                return Some(End::Closed);
            }
            Told::Participants(update) => {
                let own = update.participants.iter().find(|one| one.id == self.own_id);
                if own.is_some_and(|own| own.state() == ParticipantState::Active) {
                    self.waiting = None;
                }
                if self.follow(update.participants).await.is_err() {
                    return Some(End::NodeLost);
                }
            }
            _ => {}
        }
        None
    }

    /// Plays whom there is to play now.
    async fn follow(
        &mut self,
        participants: Vec<plenum_proto::v1::Participant>,
    ) -> Result<(), Problem> {
        let Some((follow, told)) = &mut self.player else {
            return Ok(());
        };
        let change = follow.apply(participants);
        told.send_if_modified(|told| told.update(follow));
        for (track_ids, subscribe) in [(change.unsubscribe, false), (change.subscribe, true)] {
            if track_ids.is_empty() {
                continue;
            }
            self.ask(Request::Subscribe(Subscribe {
                track_ids,
                subscribe,
                ..Subscribe::default()
            }))
            .await?;
        }
        Ok(())
    }

    async fn on_command(&mut self, command: Command) {
        // Nobody waits for an answer when the client is gone.
        match command {
            Command::Patch {
                if_match,
                fragment,
                reply,
            } => {
                let _ = reply.send(self.patch(if_match, fragment).await);
            }
            Command::Layer { wanted, reply } => {
                let _ = reply.send(self.choose_layer(&wanted).await);
            }
            Command::End { reply } => {
                let _ = reply.send(());
            }
        }
    }

    /// RFC 9725 section 4.3.1: candidates of the ICE session that the tag names, or a restart.
    async fn patch(
        &mut self,
        if_match: Option<String>,
        fragment: Fragment,
    ) -> Result<Option<Restarted>, Problem> {
        let tags = if_match.ok_or(Problem::NoTag)?;
        let is_named = |tag: &str| tag == "*" || tag == self.tag;
        if !tags.split(',').map(str::trim).any(is_named) {
            return Err(Problem::StaleTag);
        }
        let current = fragment::credentials(&self.offer);
        match fragment.credentials {
            Some(fresh) if Some(&fresh) != current.as_ref() => {
                let offer = fragment::restarted(&self.offer, &fresh, &fragment.candidates);
                let answer = self.negotiate(offer).await?;
                self.tag = new_tag();
                Ok(Some(Restarted {
                    tag: self.tag.clone(),
                    fragment: fragment::of_answer(&answer),
                }))
            }
            _ => {
                for candidate in fragment.candidates {
                    self.ask(Request::Candidate(Candidate {
                        role: self.role.into(),
                        candidate,
                        ..Candidate::default()
                    }))
                    .await?;
                }
                Ok(None)
            }
        }
    }

    async fn choose_layer(&mut self, wanted: &Selection) -> Result<(), Problem> {
        let Some((follow, _)) = &self.player else {
            return Err(Problem::NoSession);
        };
        let Some(video) = follow.video() else {
            let message = "nobody publishes video now";
            return Err(Problem::Unsupported(message.to_owned()));
        };
        let (section, layers) = follow.layers();
        let quality = wanted.quality(section, &layers)?;
        let settings = TrackSettings {
            track_ids: vec![video.id.clone()],
            quality: quality.into(),
            ..TrackSettings::default()
        };
        self.ask(Request::TrackSettings(settings)).await
    }

    /// Ends the stay, and waits until the node has heard: dropping the session at once could cancel it
    /// with the request still on its way.
    async fn leave(&mut self) {
        let leave = Request::Leave(Leave {
            reason: CloseReason::ClientInitiated.into(),
        });
        let leaving = async {
            let request = SessionRequest { kind: Some(leave) };
            if self.node.requests.send(request).await.is_ok() {
                while let Ok(Some(_)) = self.node.events.message().await {}
            }
        };
        if time::timeout(self.shared.signal.node_timeout, leaving)
            .await
            .is_err()
        {
            tracing::debug!("node did not answer a leave");
        }
    }
}

/// What the node finds wrong with a request.
fn problem(response: RequestResponse) -> Problem {
    match response.reason() {
        RequestReason::Invalid => Problem::Malformed(response.message),
        RequestReason::NotAllowed => Problem::NotAllowed(response.message),
        _ => Problem::Unsupported(response.message),
    }
}

/// A strong entity tag for an ICE session (RFC 9110 section 8.8.3).
fn new_tag() -> String {
    format!("\"{:016x}\"", rand::random::<u64>())
}
