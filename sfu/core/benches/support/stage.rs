//! A shard in virtual time with a crowd of clients. Owns what is measured: only the calls into the
//! shard, each kind by itself. Must not let the clients run while anything is measured.

use std::{
    net::SocketAddr,
    time::{Duration, Instant, UNIX_EPOCH},
};

use plenum_proto::node::SessionEvent;
use sfu_core::{
    CandidateAddress, Certificate, ClockAnchor, Command, ControlId, CoreConfig, Datagram, Event,
    Protocol, Shard,
};

use super::{
    allocated::Allocated,
    client::Plan,
    clock::Clock,
    crowd::{Crowd, Frame, Tally, Turn},
    mail::{Mail, is_rtp},
    marks,
    peer::number_of,
};

/// The address of the node.
const NODE: ([u8; 4], u16) = ([192, 0, 2, 1], 7882);

/// What one kind of call cost.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) time: Duration,
    /// As the stage's probe counts it.
    pub(crate) allocated: Allocated,
    /// Datagrams, commands or timeouts.
    pub(crate) inputs: u64,
}

impl Cost {
    fn add(&mut self, time: Duration, allocated: Allocated) {
        self.time += time;
        self.allocated += allocated;
    }
}

/// What the shard cost, by what it was given; what it then had to say is part of it.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Costs {
    /// RTP of publishers.
    pub(crate) media: Cost,
    /// The same of what comes in a turn right after the first batch of [`Stage::batch_max`].
    pub(crate) more_media: Cost,
    /// All other datagrams: connectivity checks, DTLS, RTCP.
    pub(crate) feedback: Cost,
    pub(crate) timers: Cost,
    pub(crate) commands: Cost,
}

impl Costs {
    pub(crate) fn time(&self) -> Duration {
        self.media.time
            + self.more_media.time
            + self.feedback.time
            + self.timers.time
            + self.commands.time
    }

    pub(crate) fn allocated(&self) -> Allocated {
        let kinds = [
            self.media,
            self.more_media,
            self.feedback,
            self.timers,
            self.commands,
        ];
        kinds.iter().map(|cost| cost.allocated).sum()
    }
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Media,
    MoreMedia,
    Feedback,
    Timers,
    Commands,
}

/// A shard and its clients.
pub(crate) struct Stage {
    pub(crate) shard: Shard,
    pub(crate) now: Instant,
    due: Option<Instant>,
    crowd: Crowd,
    down: Mail,
    up: Mail,
    events: Vec<(ControlId, SessionEvent)>,
    newcomers: Vec<Plan>,
    /// How many clients have joined.
    pub(crate) joined: u32,
    /// Connections these clients will have.
    pub(crate) expected: u64,
    pub(crate) tally: Tally,
    pub(crate) loss_one_in: u64,
    /// Datagrams of media that the shard takes before it hands them on.
    pub(crate) batch_max: usize,
    pub(crate) costs: Costs,
    clock: Clock,
    /// What this process allocated up to now.
    probe: fn() -> Allocated,
}

impl Stage {
    /// A stage that measures time.
    pub(crate) fn new(seed: u64) -> Self {
        Self::with(seed, Clock::new(), Allocated::default)
    }

    /// A stage that measures nothing by itself.
    pub(crate) fn untimed(seed: u64) -> Self {
        Self::with(seed, Clock::Off, Allocated::default)
    }

    /// A stage that counts what is allocated, of which `probe` knows the sum up to now.
    pub(crate) fn with_probe(seed: u64, probe: fn() -> Allocated) -> Self {
        Self::with(seed, Clock::Off, probe)
    }

    fn with(seed: u64, clock: Clock, probe: fn() -> Allocated) -> Self {
        fastrand::seed(seed);
        let address = SocketAddr::from(NODE);
        let candidate = CandidateAddress {
            protocol: Protocol::Udp,
            local: address,
            advertised: address,
        };
        let certificate = Certificate::generate().expect("a certificate of the node");
        let mut config = CoreConfig::new(vec![candidate], certificate);
        config.contain_faults = false;
        // A bench fills what a node would refuse.
        config.limits.participants = 100_000;
        config.limits.pending_participants = 100_000;
        config.limits.rooms = 100_000;
        config.limits.tracks_per_participant = 1_000;
        let now = Instant::now();
        let wall = UNIX_EPOCH + Duration::from_secs(1_800_000_000);
        Self {
            shard: Shard::new(config, ClockAnchor::new(now, wall), seed),
            now,
            due: None,
            crowd: Crowd::new(seed, matches!(clock, Clock::On { .. })),
            down: Mail::default(),
            up: Mail::default(),
            events: Vec::new(),
            newcomers: Vec::new(),
            joined: 0,
            expected: 0,
            tally: Tally::default(),
            loss_one_in: 0,
            batch_max: usize::MAX,
            costs: Costs::default(),
            clock,
            probe,
        }
    }

    /// A client joins; returns its number.
    pub(crate) fn join(&mut self, plan: Plan) -> u32 {
        let number = self.joined;
        self.joined += 1;
        self.expected += plan.connections();
        let control = ControlId(u64::from(number));
        let join = Box::new(plan.join(number));
        self.newcomers.push(plan);
        self.command(Command::Join {
            control,
            join,
            home: None,
        });
        number
    }

    /// Lets so much time pass for the shard; then the clients have their turn, and it takes what they say.
    pub(crate) fn turn(&mut self, step: Duration, frames: Vec<Frame>) {
        self.pass_time(self.now + step);
        let turn = Turn {
            now: self.now,
            down: std::mem::take(&mut self.down),
            up: std::mem::take(&mut self.up),
            events: std::mem::take(&mut self.events),
            newcomers: std::mem::take(&mut self.newcomers),
            frames,
            loss_one_in: self.loss_one_in,
        };
        let answer = self.crowd.play(turn);
        self.tally = answer.tally;
        self.down = answer.turn.down;
        self.events = answer.turn.events;
        for command in answer.commands {
            self.command(command);
        }
        let mut up = answer.turn.up;
        self.hand_over(&up, Kind::Media);
        self.hand_over(&up, Kind::Feedback);
        up.clear();
        self.up = up;
    }

    /// Calls the shard when it wants to be called, but at most once a millisecond, as timers of a node
    /// are that coarse.
    fn pass_time(&mut self, end: Instant) {
        while self.now < end && self.due.is_some_and(|due| due <= end) {
            let due = self.due.unwrap_or(end);
            self.now = due.max(self.now + Duration::from_millis(1)).min(end);
            let now = self.now;
            self.measure(Kind::Timers, 1, |shard| {
                marks::measured_timeout(shard, now);
            });
            self.take(Kind::Timers);
        }
        self.now = end;
    }

    fn command(&mut self, command: Command) {
        let now = self.now;
        self.measure(Kind::Commands, 1, |shard| {
            marks::measured_command(shard, now, command);
        });
        self.take(Kind::Commands);
    }

    /// Hands the datagrams of a kind to the shard, those of media in batches, others as one.
    fn hand_over(&mut self, mail: &Mail, kind: Kind) {
        let is_wanted = |source: SocketAddr, bytes: &[u8]| {
            let is_publisher = number_of(source).is_some_and(|number| number.is_multiple_of(2));
            (is_publisher && is_rtp(bytes)) == matches!(kind, Kind::Media)
        };
        let batch: Vec<Datagram<'_>> = mail
            .letters()
            .filter(|letter| is_wanted(letter.source, letter.bytes))
            .map(|letter| Datagram {
                source: letter.source,
                destination: letter.destination,
                protocol: Protocol::Udp,
                bytes: letter.bytes,
            })
            .collect();
        let (now, mut kind) = (self.now, kind);
        let batch_max = match kind {
            Kind::Media => self.batch_max,
            _ => usize::MAX,
        };
        for batch in batch.chunks(batch_max) {
            self.measure(kind, batch.len() as u64, |shard| {
                for datagram in batch {
                    marks::measured_datagram(shard, now, *datagram);
                }
            });
            self.take(kind);
            if matches!(kind, Kind::Media) {
                kind = Kind::MoreMedia;
            }
        }
    }

    /// Takes all the shard has to say. Carrying it away is not measured.
    fn take(&mut self, kind: Kind) {
        let mut is_first = true;
        loop {
            let before = (self.probe)();
            let shard = &mut self.shard;
            // Work that waited for more input may be done at the first call.
            let (polled, time) = if is_first {
                self.clock.measure_cpu(|| marks::measured_transmit(shard))
            } else {
                self.clock.measure_wall(|| marks::measured_transmit(shard))
            };
            is_first = false;
            let allocated = (self.probe)() - before;
            cost_of(&mut self.costs, kind).add(time, allocated);
            let Some(transmit) = polled else { break };
            for bytes in transmit.datagrams() {
                self.down.push(transmit.source, transmit.destination, bytes);
            }
        }
        loop {
            let before = (self.probe)();
            let (clock, shard) = (self.clock, &mut self.shard);
            let (polled, time) = clock.measure_wall(|| marks::measured_event(shard));
            let allocated = (self.probe)() - before;
            cost_of(&mut self.costs, kind).add(time, allocated);
            match polled {
                Some(Event::Session { control, event }) => self.events.push((control, event)),
                Some(_) => {}
                None => break,
            }
        }
        let before = (self.probe)();
        let (clock, shard) = (self.clock, &mut self.shard);
        let (due, time) = clock.measure_wall(|| marks::measured_deadline(shard));
        self.due = due;
        let allocated = (self.probe)() - before;
        cost_of(&mut self.costs, kind).add(time, allocated);
    }

    fn measure(&mut self, kind: Kind, inputs: u64, call: impl FnOnce(&mut Shard)) {
        let before = (self.probe)();
        let (clock, shard) = (self.clock, &mut self.shard);
        let ((), time) = clock.measure_cpu(|| call(shard));
        let allocated = (self.probe)() - before;
        let cost = cost_of(&mut self.costs, kind);
        cost.add(time, allocated);
        cost.inputs += inputs;
    }

    /// Lets time pass without media until all connections are up.
    pub(crate) fn connect(&mut self) {
        for _ in 0..1_000 {
            if self.tally.connected >= self.expected {
                return;
            }
            self.turn(Duration::from_millis(10), Vec::new());
        }
        panic!("{:?}: {} connections expected", self.tally, self.expected);
    }

    /// The shard alone; the clients and what was on its way are gone.
    pub(crate) fn into_shard(self) -> Shard {
        self.shard
    }

    /// Lets time pass without media.
    pub(crate) fn rest(&mut self, span: Duration, step: Duration) {
        let end = self.now + span;
        while self.now < end {
            self.turn(step, Vec::new());
        }
    }
}

fn cost_of(costs: &mut Costs, kind: Kind) -> &mut Cost {
    match kind {
        Kind::Media => &mut costs.media,
        Kind::MoreMedia => &mut costs.more_media,
        Kind::Feedback => &mut costs.feedback,
        Kind::Timers => &mut costs.timers,
        Kind::Commands => &mut costs.commands,
    }
}
