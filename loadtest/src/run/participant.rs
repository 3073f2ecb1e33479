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

use super::comeback::Delays;
use super::directory::Entry;
use super::plan::{CAMERA, MICROPHONE, Role, Seat, is_talking};
use super::world::{Attendance, Notice, ParticipantError, Phase, World};
use crate::engine::{
    Command, EngineError, Event, Participant, ParticipantSetup, PublishMedia, PublishTrack, Target,
    unix_ns,
};
use crate::media::Codec;
use crate::report::model::Rejoin;
use crate::signal::{
    Connection, JoinOptions, Joined, Message, NewTrack, Next, Receiver, Request, Sender,
    SignalError, TrackKind,
};

/// How long a token is good for: longer than any run.
const TOKEN_LIFE: Duration = Duration::from_secs(24 * 3600);
/// Between pings when the server does not say.
const PING_INTERVAL: Duration = Duration::from_secs(5);
/// For the server to take up a stay.
const RESUME_TIMEOUT: Duration = Duration::from_secs(5);
/// For the engine to say goodbye.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// A participant's life, from joining to [`Notice::Gone`]. It leaves when `leave` closes.
pub(super) async fn attend(
    world: Arc<World>,
    seat: Seat,
    generation: u32,
    mut leave: oneshot::Receiver<()>,
) {
    let attendance = Attendance {
        seat: seat.number,
        generation,
    };
    let notices = world.notices.clone();
    let mut coming = Coming::First { was_in: false };
    let mut result = visit(&world, &seat, attendance, &mut leave, &mut coming).await;
    let was_in = matches!(coming, Coming::First { was_in: true });
    if was_in && world.scenario.rejoin {
        let mut delays = Delays::new(seat.seed(&world.scenario, generation));
        while let Err(error) = &result
            && error.is_passing()
        {
            let cut_off_ns = match coming {
                Coming::Back { cut_off_ns, .. } => cut_off_ns,
                Coming::First { .. } | Coming::In => unix_ns(),
            };
            let Some(delay) = delays.next() else { break };
            tokio::select! {
                () = tokio::time::sleep(delay) => {}
                _ = &mut leave => {
                    result = Ok(());
                    break;
                }
            }
            let attempt = delays.attempts();
            coming = Coming::Back {
                cut_off_ns,
                attempt,
            };
            result = visit(&world, &seat, attendance, &mut leave, &mut coming).await;
            if matches!(coming, Coming::In) {
                delays.begin();
            }
        }
    }
    let _ = notices.send((attendance, Notice::Gone { was_in, result }));
}

/// How somebody comes in.
#[derive(Debug, Clone, Copy)]
pub(super) enum Coming {
    /// For the first time.
    First { was_in: bool },
    /// After it was cut off.
    Back { cut_off_ns: u64, attempt: usize },
    /// It came back.
    In,
}

async fn visit(
    world: &Arc<World>,
    seat: &Seat,
    attendance: Attendance,
    leave: &mut oneshot::Receiver<()>,
    coming: &mut Coming,
) -> Result<(), ParticipantError> {
    let (set_out, set_out_ns) = (Instant::now(), unix_ns());
    let identity = seat.identity(&world.scenario, attendance.generation, std::process::id());
    let wanted = world.scenario.subscribe;
    let options = JoinOptions {
        auto_subscribe: seat.subscribes && wanted.audio && wanted.video_tracks.is_none(),
        adaptive_stream: wanted.adaptive,
    };
    let attempt = match coming {
        Coming::Back { attempt, .. } => *attempt,
        Coming::First { .. } | Coming::In => 0,
    };
    let token = token_for(world, seat, &identity)?;
    let connection = connect(world, seat, &token, options, attempt).await?;
    let (sender, events) = unbounded_channel();
    let seed = seat.seed(&world.scenario, attendance.generation);
    let setup = ParticipantSetup {
        identity: identity.clone(),
        local: world.local,
        network: world
            .scenario
            .network
            .filter(|network| network.who.includes(seat.role == Role::Publisher)),
        window: world.window.clone(),
        seed,
        messages: seat.messages(&world.scenario, || {
            world.next_track.fetch_add(1, Ordering::Relaxed)
        }),
    };
    let messages = setup.messages;
    let engine = world.engine.open(setup, sender)?;
    let tracks = seat.tracks(&world.scenario, &identity, || {
        world.next_track.fetch_add(1, Ordering::Relaxed)
    });
    let (announced, to_publish): (Vec<_>, Vec<_>) = tracks.into_iter().unzip();
    let mut visit = Visit {
        options,
        token,
        attempt,
        own_id: connection.joined.participant.clone(),
        publisher_needed: !to_publish.is_empty() || messages.is_some(),
        subscriber_needed: seat.subscribes,
        random: ChaCha8Rng::seed_from_u64(seed),
        to_publish,
        tracks: HashMap::new(),
        own: HashMap::new(),
        is_talking: false,
        set_out,
        set_out_ns,
        ping_ms: 0,
        rtt_ms: 0,
        identity,
        seat: seat.clone(),
        attendance,
        world: Arc::clone(world),
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
        .stay(&mut receiver, events, leave, interval, coming)
        .await;
    visit.stop_sending();
    visit.sender.close().await;
    result
}

fn token_for(world: &World, seat: &Seat, identity: &str) -> Result<String, ParticipantError> {
    let room = world.scenario.room_name(seat.room);
    let publishes = seat.role == Role::Publisher;
    let token = world
        .keys
        .join_token(&room, identity, publishes, TOKEN_LIFE);
    token.map_err(|error| ParticipantError::Token(error.to_string()))
}

async fn connect(
    world: &World,
    seat: &Seat,
    token: &str,
    options: JoinOptions,
    attempt: usize,
) -> Result<Connection, ParticipantError> {
    let timeout = world.scenario.join.timeout;
    let url = world.address(seat.number, attempt).join_url(token, options);
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
    pub(super) options: JoinOptions,
    token: String,
    /// Addresses are taken in turn.
    attempt: usize,
    /// The server's id of this stay.
    own_id: String,
    /// Not connected yet, but has to be.
    publisher_needed: bool,
    subscriber_needed: bool,
    /// Tracks to publish once the server knows all of them.
    to_publish: Vec<PublishTrack>,
    /// Server's id of our tracks, with our id and number of encodings.
    own: HashMap<String, (String, usize)>,
    is_talking: bool,
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
    /// Whether its publisher sends nothing of it for now.
    pub(super) is_muted: bool,
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
        if self.to_publish.is_empty() && self.publisher_needed {
            self.engine.handle(Command::Publish(Vec::new()));
        }
        let set_out_ns = self.set_out_ns;
        self.on_participants(&joined.others, set_out_ns).await
    }

    /// Everything between joining and leaving.
    async fn stay(
        &mut self,
        receiver: &mut Receiver,
        mut events: UnboundedReceiver<Event>,
        leave: &mut oneshot::Receiver<()>,
        ping_interval: Duration,
        coming: &mut Coming,
    ) -> Result<(), ParticipantError> {
        let mut phase = self.world.phase.clone();
        let timeout = self.world.scenario.join.timeout;
        let mut pings = tokio::time::interval_at(Instant::now() + ping_interval, ping_interval);
        let mut turn_at = self.take_turn();
        let mut change_at = None;
        let mut is_in = false;
        loop {
            if !is_in && !self.publisher_needed && !self.subscriber_needed {
                is_in = true;
                self.on_in(coming);
                change_at = self.next_layer_change();
            }
            tokio::select! {
                message = receiver.receive() => {
                    let heard = match message {
                        Ok(message) => self.on_message(message).await,
                        Err(error) => Err(error.into()),
                    };
                    if let Err(error) = heard {
                        *receiver = self.resume(error).await?;
                    }
                }
                event = events.recv() => match event {
                    Some(Event::FirstFrame { track, at_ns }) => {
                        self.on_first_frame(track, at_ns, coming);
                    }
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
                _ = &mut *leave => return self.go(&mut events).await,
                _ = pings.tick() => self.ping().await?,
                () = at(turn_at) => turn_at = self.take_turn(),
                () = at(change_at) => {
                    self.change_layer().await?;
                    change_at = self.next_layer_change();
                }
                () = sleep_until(self.set_out + timeout), if !is_in => {
                    return Err(ParticipantError::TimedOut { timeout, waiting_for: self.waiting_for() });
                }
            }
        }
    }

    /// All that this participant needs is connected.
    fn on_in(&mut self, coming: &mut Coming) {
        match coming {
            Coming::First { was_in } => {
                *was_in = true;
                let after = self.set_out.elapsed();
                self.notify(Notice::Joined { after });
            }
            // Where there are pictures, it is back when it sees one.
            Coming::Back { .. } if self.sees_pictures() => {}
            Coming::Back { .. } | Coming::In => self.on_back(unix_ns(), coming),
        }
    }

    fn sees_pictures(&self) -> bool {
        let mut tracks = self.tracks.values();
        tracks.any(|track| track.kind == TrackKind::Video)
    }

    fn on_back(&self, at_ns: u64, coming: &mut Coming) {
        if let Coming::Back { cut_off_ns, .. } = *coming {
            *coming = Coming::In;
            self.notify(Notice::Back(Rejoin {
                room: self.world.scenario.room_name(self.seat.room),
                identity: self.identity.clone(),
                cut_off_at_ms: cut_off_ns / 1_000_000,
                back_at_ms: at_ns / 1_000_000,
            }));
        }
    }

    fn on_first_frame(&self, track: String, at_ns: u64, coming: &mut Coming) {
        self.on_back(at_ns, coming);
        let since = self
            .tracks
            .get(&track)
            .map_or(self.set_out_ns, |track| track.since_ns);
        self.notify(Notice::FirstFrame {
            track,
            after: Duration::from_nanos(at_ns.saturating_sub(since)),
        });
    }

    /// The WebSocket broke, or this participant is to resume: takes up the stay on another, while media goes on.
    async fn resume(&mut self, why: ParticipantError) -> Result<Receiver, ParticipantError> {
        let resumes = match &why {
            ParticipantError::Signal(SignalError::Closed(_)) => true,
            ParticipantError::Signal(SignalError::SentAway { next, .. }) => *next == Next::Resume,
            _ => false,
        };
        if !resumes || !self.world.scenario.rejoin {
            return Err(why);
        }
        let mut delays = Delays::new(u64::from(self.attendance.seat));
        while let Some(delay) = delays.next() {
            tokio::time::sleep(delay).await;
            self.attempt += 1;
            let address = self.world.address(self.attendance.seat, self.attempt);
            let url = address.resume_url(&self.token, self.options, &self.own_id);
            let resumed = tokio::time::timeout(RESUME_TIMEOUT, Connection::resume(&url)).await;
            match resumed.unwrap_or(Err(SignalError::Unreachable("no answer".to_owned()))) {
                Ok((sender, receiver)) => {
                    self.sender = sender;
                    self.notify(Notice::Resumed);
                    return Ok(receiver);
                }
                Err(error @ SignalError::SentAway { .. }) => return Err(error.into()),
                Err(_) => {}
            }
        }
        Err(why)
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
            Message::Leave { reason, next } => {
                return Err(SignalError::SentAway { reason, next }.into());
            }
            Message::Pong { ping_ms } => self.rtt_ms = (unix_ms() - ping_ms).max(0),
            Message::Joined(_) | Message::Resumed | Message::Other(_) => {}
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
        let (name, kind, codec, encodings) = match &published.media {
            PublishMedia::Audio { .. } => (MICROPHONE, TrackKind::Audio, Codec::Opus, 1),
            PublishMedia::Video { codec, encodings } => {
                (CAMERA, TrackKind::Video, *codec, encodings.len())
            }
        };
        self.world.directory.add(&track, || Entry {
            room: self.world.scenario.room_name(self.seat.room),
            publisher: self.identity.clone(),
            name: name.to_owned(),
            kind,
            mime: codec.mime().to_owned(),
        });
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
            Event::Connected { target, at_ns } => match target {
                Target::Publisher => {
                    self.publisher_needed = false;
                    self.on_sent(at_ns);
                }
                Target::Subscriber => self.subscriber_needed = false,
            },
            Event::Disconnected { target } => {
                return Err(ParticipantError::TransportLost(match target {
                    Target::Publisher => "publisher's",
                    Target::Subscriber => "subscriber's",
                }));
            }
            // Taken before.
            Event::FirstFrame { .. } => {}
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
        self.is_talking = talking;
        self.tell_talking(unix_ns());
        let next = turn_length * u32::try_from(turn + 1).unwrap_or(u32::MAX);
        Some(self.world.started + next)
    }

    /// The publisher's transport is up: what this participant publishes goes out.
    fn on_sent(&self, now_ns: u64) {
        for track in self.own.keys() {
            self.world.directory.on_sent(track, now_ns);
        }
        self.tell_talking(now_ns);
    }

    fn tell_talking(&self, now_ns: u64) {
        for track in self.own.keys() {
            let directory = &self.world.directory;
            directory.on_talk(track, now_ns, self.is_talking);
        }
    }

    fn stop_sending(&self) {
        let now_ns = unix_ns();
        for track in self.own.keys() {
            self.world.directory.on_stopped(track, now_ns);
        }
    }

    /// Leaves: hands in what was measured, says goodbye.
    async fn go(&mut self, events: &mut UnboundedReceiver<Event>) -> Result<(), ParticipantError> {
        self.stop_sending();
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
