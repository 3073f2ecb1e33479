//! One participant: joins, publishes, subscribes, leaves.
//!
//! Owns the conversation between the server's signalling and the participant's engine, and what the
//! scenario has this participant do while it is in. What came of it goes to the runner as
//! [`Notice`]s. Must not count packets or hold sockets of media.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::plan::{CAMERA, MICROPHONE, Role, Seat, is_talking};
use super::world::{Attendance, Notice, ParticipantError, Phase, World};
use crate::engine::{
    Command, EngineError, Event, Participant, ParticipantSetup, PublishMedia, PublishTrack, Target,
    unix_ns,
};
use crate::signal::{
    Connection, JoinOptions, Joined, Message, NewTrack, Receiver, Request, Sender, SignalError,
    TrackKind,
};

/// How long a token is good for: longer than any run.
const TOKEN_LIFE: Duration = Duration::from_secs(24 * 3600);
/// Between pings when the server does not say.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// For the engine to say goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// A participant's life, from joining to [`Notice::Gone`]. It leaves when `leave` closes.
pub(super) async fn attend(
    world: Arc<World>,
    seat: Seat,
    generation: u32,
    leave: oneshot::Receiver<()>,
) {
    let attendance = Attendance {
        seat: seat.number,
        generation,
    };
    let notices = world.notices.clone();
    let mut was_in = false;
    let result = visit(world, seat, attendance, leave, &mut was_in).await;
    let _ = notices.send((attendance, Notice::Gone { was_in, result }));
}

async fn visit(
    world: Arc<World>,
    seat: Seat,
    attendance: Attendance,
    leave: oneshot::Receiver<()>,
    was_in: &mut bool,
) -> Result<(), ParticipantError> {
    let (set_out, set_out_ns) = (Instant::now(), unix_ns());
    let identity = seat.identity(&world.scenario, attendance.generation, std::process::id());
    let wanted = world.scenario.subscribe;
    let options = JoinOptions {
        auto_subscribe: seat.subscribes && wanted.audio && wanted.video_tracks.is_none(),
        adaptive_stream: wanted.adaptive,
    };
    let connection = connect(&world, &seat, &identity, options).await?;
    let (sender, events) = unbounded_channel();
    let seed = seat.seed(&world.scenario, attendance.generation);
    let setup = ParticipantSetup {
        identity: identity.clone(),
        local: world.local,
        network: world.scenario.network,
        seed,
    };
    let engine = world.engine.open(setup, sender)?;
    let tracks = seat.tracks(&world.scenario, &identity, || {
        world.next_track.fetch_add(1, Ordering::Relaxed)
    });
    let (announced, to_publish): (Vec<_>, Vec<_>) = tracks.into_iter().unzip();
    let mut visit = Visit {
        auto_subscribe: options.auto_subscribe,
        publisher_needed: !to_publish.is_empty(),
        subscriber_needed: seat.subscribes,
        random: ChaCha8Rng::seed_from_u64(seed),
        to_publish,
        tracks: HashMap::new(),
        own: HashMap::new(),
        set_out,
        set_out_ns,
        ping_ms: 0,
        rtt_ms: 0,
        identity,
        seat,
        attendance,
        world,
        engine,
        sender: connection.sender,
    };
    let mut receiver = connection.receiver;
    let interval = match connection.joined.ping_interval_s {
        0 => PING_INTERVAL,
        seconds => Duration::from_secs(seconds.into()),
    };
    visit.on_joined(&connection.joined, announced).await?;
    let result = visit
        .stay(&mut receiver, events, leave, interval, was_in)
        .await;
    visit.sender.close().await;
    result
}

async fn connect(
    world: &World,
    seat: &Seat,
    identity: &str,
    options: JoinOptions,
) -> Result<Connection, ParticipantError> {
    let room = world.scenario.room_name(seat.room);
    let publishes = seat.role == Role::Publisher;
    let token = world
        .keys
        .join_token(&room, identity, publishes, TOKEN_LIFE)
        .map_err(|error| ParticipantError::Token(error.to_string()))?;
    let timeout = world.scenario.join.timeout;
    let url = world.address.join_url(&token, options);
    let late = |_| ParticipantError::TimedOut {
        timeout,
        waiting_for: "no answer to the join",
    };
    let connection = tokio::time::timeout(timeout, Connection::open(&url)).await;
    Ok(connection.map_err(late)??)
}

/// A participant while it is there.
pub(super) struct Visit {
    pub(super) world: Arc<World>,
    pub(super) seat: Seat,
    attendance: Attendance,
    pub(super) identity: String,
    pub(super) engine: Box<dyn Participant>,
    pub(super) sender: Sender,
    pub(super) auto_subscribe: bool,
    /// Not connected yet, but has to be.
    publisher_needed: bool,
    subscriber_needed: bool,
    /// Tracks to publish once the server knows all of them.
    to_publish: Vec<PublishTrack>,
    /// Server's id of our tracks, with our id and number of encodings.
    own: HashMap<String, (String, usize)>,
    /// Others' tracks that we subscribe to.
    pub(super) tracks: HashMap<String, Subscribed>,
    set_out: Instant,
    set_out_ns: u64,
    pub(super) random: ChaCha8Rng,
    ping_ms: i64,
    rtt_ms: i64,
}

/// A track of another participant.
pub(super) struct Subscribed {
    pub(super) kind: TrackKind,
    pub(super) publisher: String,
    /// Since when we want it, Unix nanoseconds.
    pub(super) since_ns: u64,
    /// Index of the layer asked for.
    pub(super) layer: Option<usize>,
}

impl Visit {
    async fn on_joined(
        &mut self,
        joined: &Joined,
        announced: Vec<NewTrack>,
    ) -> Result<(), ParticipantError> {
        self.notify(Notice::Server {
            edition: joined.server_edition.clone(),
            version: joined.server_version.clone(),
        });
        for track in announced {
            self.sender.send(Request::AddTrack(track)).await?;
        }
        if *self.world.phase.borrow() == Phase::Measuring {
            self.engine.handle(Command::Begin);
        }
        let set_out_ns = self.set_out_ns;
        self.on_participants(&joined.others, set_out_ns).await
    }

    /// Everything between joining and leaving.
    async fn stay(
        &mut self,
        receiver: &mut Receiver,
        mut events: UnboundedReceiver<Event>,
        mut leave: oneshot::Receiver<()>,
        ping_interval: Duration,
        was_in: &mut bool,
    ) -> Result<(), ParticipantError> {
        let mut phase = self.world.phase.clone();
        let timeout = self.world.scenario.join.timeout;
        let mut pings = tokio::time::interval_at(Instant::now() + ping_interval, ping_interval);
        let mut turn_at = self.take_turn();
        let mut change_at = None;
        loop {
            if !*was_in && !self.publisher_needed && !self.subscriber_needed {
                *was_in = true;
                self.notify(Notice::Joined {
                    after: self.set_out.elapsed(),
                });
                change_at = self.next_layer_change();
            }
            tokio::select! {
                message = receiver.receive() => self.on_message(message?).await?,
                event = events.recv() => match event {
                    Some(event) => self.on_event(event).await?,
                    None => return Err(EngineError::Ended.into()),
                },
                changed = phase.changed() => {
                    let now = *phase.borrow_and_update();
                    match now {
                        Phase::Measuring => self.engine.handle(Command::Begin),
                        Phase::After => self.engine.handle(Command::End),
                        Phase::Before => {}
                    }
                    // The runner is gone: so are we.
                    if changed.is_err() {
                        return self.go(&mut events).await;
                    }
                }
                _ = &mut leave => return self.go(&mut events).await,
                _ = pings.tick() => self.ping().await?,
                () = at(turn_at) => turn_at = self.take_turn(),
                () = at(change_at) => {
                    self.change_layer().await?;
                    change_at = self.next_layer_change();
                }
                () = sleep_until(self.set_out + timeout), if !*was_in => {
                    return Err(ParticipantError::TimedOut { timeout, waiting_for: self.waiting_for() });
                }
            }
        }
    }

    fn waiting_for(&self) -> &'static str {
        match (self.publisher_needed, self.subscriber_needed) {
            (true, true) => "neither transport is connected",
            (true, false) => "the publisher's transport is not connected",
            _ => "the subscriber's transport is not connected",
        }
    }

    async fn on_message(&mut self, message: Message) -> Result<(), ParticipantError> {
        match message {
            Message::Offer { sdp, id } => self.engine.handle(Command::Offer { sdp, id }),
            Message::Answer { sdp } => self.engine.handle(Command::Answer { sdp }),
            Message::Candidate { target, candidate } => {
                self.engine.handle(Command::Candidate { target, candidate });
            }
            Message::TrackPublished { cid, track } => self.on_track_published(&cid, track),
            Message::EncodingsWanted { track, qualities } => {
                if let Some((cid, encodings)) = self.own.get(&track) {
                    self.engine.handle(Command::EncodingsWanted {
                        cid: cid.clone(),
                        wanted: qualities.encodings(*encodings),
                    });
                }
            }
            Message::Participants(participants) => {
                self.on_participants(&participants, unix_ns()).await?;
            }
            Message::SubscriptionFailed { reason, .. } => {
                self.notify(Notice::Trouble(format!("a subscription failed: {reason}")));
            }
            Message::RequestRefused { reason } => {
                self.notify(Notice::Trouble(format!("a request was refused: {reason}")));
            }
            Message::Leave { reason } => return Err(SignalError::SentAway { reason }.into()),
            Message::Pong { ping_ms } => self.rtt_ms = (unix_ms() - ping_ms).max(0),
            Message::Joined(_) | Message::Other(_) => {}
        }
        Ok(())
    }

    fn on_track_published(&mut self, cid: &str, track: String) {
        let Some(published) = self
            .to_publish
            .iter()
            .find(|published| published.cid == cid)
        else {
            return;
        };
        let (name, encodings) = match &published.media {
            PublishMedia::Audio { .. } => (MICROPHONE, 1),
            PublishMedia::Video { encodings, .. } => (CAMERA, encodings.len()),
        };
        let room = self.world.scenario.room_name(self.seat.room);
        self.world
            .directory
            .add(&track, &room, &self.identity, name);
        self.own.insert(track, (cid.to_owned(), encodings));
        if self.own.len() == self.to_publish.len() {
            self.engine
                .handle(Command::Publish(self.to_publish.clone()));
        }
    }

    async fn on_event(&mut self, event: Event) -> Result<(), ParticipantError> {
        match event {
            Event::Offer { sdp } => self.sender.send(Request::Offer { sdp }).await?,
            Event::Answer { sdp, id } => self.sender.send(Request::Answer { sdp, id }).await?,
            Event::Candidate { target, candidate } => {
                self.sender
                    .send(Request::Trickle { target, candidate })
                    .await?;
            }
            Event::Connected { target, .. } => match target {
                Target::Publisher => self.publisher_needed = false,
                Target::Subscriber => self.subscriber_needed = false,
            },
            Event::Disconnected { target } => {
                return Err(ParticipantError::TransportLost(match target {
                    Target::Publisher => "publisher's",
                    Target::Subscriber => "subscriber's",
                }));
            }
            Event::FirstFrame { track, at_ns } => {
                let since = self
                    .tracks
                    .get(&track)
                    .map_or(self.set_out_ns, |track| track.since_ns);
                self.notify(Notice::FirstFrame {
                    track,
                    after: Duration::from_nanos(at_ns.saturating_sub(since)),
                });
            }
            Event::Failed(error) => return Err(error.into()),
            Event::Closed => return Err(EngineError::Ended.into()),
        }
        Ok(())
    }

    async fn ping(&mut self) -> Result<(), ParticipantError> {
        self.ping_ms = unix_ms();
        let request = Request::Ping {
            timestamp_ms: self.ping_ms,
            rtt_ms: self.rtt_ms,
        };
        Ok(self.sender.send(request).await?)
    }

    /// Talks if it is this participant's turn; says when turns change next.
    fn take_turn(&mut self) -> Option<Instant> {
        let audio = self.world.scenario.audio.filter(|_| self.seat.audio)?;
        let turn_length = audio.turn.max(Duration::from_millis(100));
        let since = self.world.started.elapsed();
        let turn = (since.as_nanos() / turn_length.as_nanos()) as u64;
        let publishers = self.world.scenario.publishers;
        let talking = is_talking(self.seat.index, publishers, audio.talkers, turn);
        self.engine.handle(Command::Talk(talking));
        let next = turn_length * u32::try_from(turn + 1).unwrap_or(u32::MAX);
        Some(self.world.started + next)
    }

    /// Leaves: hands in what was measured, says goodbye.
    async fn go(&mut self, events: &mut UnboundedReceiver<Event>) -> Result<(), ParticipantError> {
        self.engine.handle(Command::Close);
        let closed = async {
            while let Some(event) = events.recv().await {
                if event == Event::Closed {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, closed).await;
        // The server may have closed already.
        let _ = self.sender.send(Request::Leave).await;
        Ok(())
    }

    fn notify(&self, notice: Notice) {
        let _ = self.world.notices.send((self.attendance, notice));
    }
}

/// Waits until `instant`; for ever if there is none.
async fn at(instant: Option<Instant>) {
    match instant {
        Some(instant) => sleep_until(instant).await,
        None => std::future::pending().await,
    }
}

fn unix_ms() -> i64 {
    (unix_ns() / 1_000_000) as i64
}
