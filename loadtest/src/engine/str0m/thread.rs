//! One thread of the engine: an event loop that owns many participants.
//!
//! Owns readiness, timers and commands. Participants live on one thread and are touched by no other;
//! what they received goes to the shared collector some times a second. Must not know signalling.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, TryRecvError};
use std::time::{Duration, Instant};

use mio::{Events, Poll, Token};
use tokio::sync::mpsc::UnboundedSender;

use super::member::Member;
use super::socket::ReadBuffers;
use super::subscriber::Offer;
use crate::engine::received::Received;
use crate::engine::{Collector, Command, EngineError, Event, ParticipantSetup, Target, unix_ns};

/// Token of the waker.
pub(super) const WAKE: Token = Token(usize::MAX);
/// Least time from one turn of the loop to the next. What arrives meanwhile is read together, which
/// halves the cost of a packet; it is timed by the kernel as it arrives, so no delay shows.
const TURN: Duration = Duration::from_millis(1);
/// How late what is to be sent may get in a turn that has much to read: else what many publishers send comes in
/// one lump, for which they all wait at the server.
const LATE: Duration = Duration::from_micros(250);
/// Time for orders in one turn: media must not wait for a crowd that joins.
const ORDERS: Duration = Duration::from_millis(2);
/// How often what was received is handed to the collector.
const HAND_IN: Duration = Duration::from_millis(100);
/// Readiness taken in one turn.
const EVENTS: usize = 1024;

/// To a thread.
pub(super) enum Order {
    /// A new participant.
    Open {
        /// Number of it.
        id: usize,
        setup: Box<ParticipantSetup>,
        events: UnboundedSender<Event>,
    },
    /// The server's offer to a participant, read.
    Offer {
        id: usize,
        offer: Box<Result<Offer, EngineError>>,
    },
    /// A command to a participant.
    Command { id: usize, command: Command },
    /// The engine ends.
    End,
}

/// See the module.
pub(super) struct Thread {
    poll: Poll,
    orders: Receiver<Order>,
    members: HashMap<usize, Member>,
    timers: BinaryHeap<Reverse<(Instant, usize)>>,
    received: Received,
    buffers: ReadBuffers,
    hand_in_at: Instant,
    /// Whether there may be orders.
    ordered: bool,
    ended: bool,
}

impl Thread {
    pub(super) fn new(poll: Poll, orders: Receiver<Order>, collector: Arc<Collector>) -> Self {
        let now = Instant::now();
        Self {
            poll,
            orders,
            members: HashMap::new(),
            timers: BinaryHeap::new(),
            received: Received::new(collector),
            buffers: ReadBuffers::new(),
            hand_in_at: now + HAND_IN,
            ordered: false,
            ended: false,
        }
    }

    /// Runs until the engine ends.
    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        while !self.ended {
            match self.poll.poll(&mut events, Some(self.patience())) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                // Nothing can be waited for any more; participants see their channel close.
                Err(_) => return,
            }
            let turn = Instant::now();
            for event in &events {
                if event.token() == WAKE {
                    self.ordered = true;
                    continue;
                }
                let now = Instant::now();
                self.handle_readable(now, event.token());
                if self.due().is_some_and(|due| due + LATE <= now) {
                    self.handle_timers();
                }
            }
            self.handle_timers();
            if self.ordered {
                self.take_orders();
            } else {
                std::thread::sleep(TURN.saturating_sub(turn.elapsed()));
            }
        }
        for (_, mut member) in self.members.drain() {
            member.close(Instant::now(), unix_ns(), &mut self.received);
        }
        self.received.hand_in();
        self.received.hand_in_tracks();
    }

    /// How long to wait for something to happen.
    fn patience(&self) -> Duration {
        if self.ordered {
            return Duration::ZERO;
        }
        let due = self.due().unwrap_or(self.hand_in_at);
        due.min(self.hand_in_at)
            .saturating_duration_since(Instant::now())
    }

    /// When the first timer is due.
    fn due(&self) -> Option<Instant> {
        self.timers.peek().map(|Reverse((at, _))| *at)
    }

    fn handle_readable(&mut self, now: Instant, token: Token) {
        let id = token.0 / 2;
        let target = if token.0.is_multiple_of(2) {
            Target::Publisher
        } else {
            Target::Subscriber
        };
        if let Some(member) = self.members.get_mut(&id) {
            member.handle_readable(now, target, &mut self.buffers, &mut self.received);
            arm(&mut self.timers, id, member);
        }
    }

    fn handle_timers(&mut self) {
        let now = Instant::now();
        let now_ns = unix_ns();
        while let Some(Reverse((at, id))) = self.timers.peek().copied() {
            if at > now {
                break;
            }
            self.timers.pop();
            let Some(member) = self
                .members
                .get_mut(&id)
                .filter(|member| member.armed == Some(at))
            else {
                continue;
            };
            member.armed = None;
            member.handle_timeout(now, now_ns, &mut self.received);
            arm(&mut self.timers, id, member);
        }
        if self.hand_in_at <= now {
            self.hand_in_at = now + HAND_IN;
            self.received.hand_in();
            self.received.hand_in_some_tracks();
        }
    }

    /// Does what is ordered. The last one to close is told so only when all that was measured is handed in.
    fn take_orders(&mut self) {
        let started = Instant::now();
        let mut closed = Vec::new();
        let mut ended = false;
        self.ordered = false;
        loop {
            if started.elapsed() > ORDERS {
                self.ordered = true;
                break;
            }
            match self.orders.try_recv() {
                Ok(Order::Open { id, setup, events }) => {
                    self.members.insert(id, Member::new(id, *setup, events));
                }
                Ok(Order::Command {
                    id,
                    command: Command::Close,
                }) => {
                    if let Some(mut member) = self.members.remove(&id) {
                        member.close(Instant::now(), unix_ns(), &mut self.received);
                        closed.push(member);
                    }
                }
                Ok(Order::Offer { id, offer }) => {
                    if let Some(member) = self.members.get_mut(&id) {
                        let (now, now_ns) = (Instant::now(), unix_ns());
                        let registry = self.poll.registry();
                        member.handle_offer(now, now_ns, registry, &mut self.received, *offer);
                        arm(&mut self.timers, id, member);
                    }
                }
                Ok(Order::Command { id, command }) => {
                    let Some(member) = self.members.get_mut(&id) else {
                        continue;
                    };
                    ended |= matches!(command, Command::End);
                    let registry = self.poll.registry();
                    member.handle(
                        Instant::now(),
                        unix_ns(),
                        registry,
                        &mut self.received,
                        command,
                    );
                    arm(&mut self.timers, id, member);
                }
                Ok(Order::End) | Err(TryRecvError::Disconnected) => {
                    self.ended = true;
                    break;
                }
                Err(TryRecvError::Empty) => break,
            }
        }
        let is_last = !closed.is_empty() && self.members.is_empty();
        if ended || !closed.is_empty() {
            self.received.hand_in();
        }
        if ended || is_last {
            self.received.hand_in_tracks();
        }
        for member in closed {
            member.tell(Event::Closed);
        }
    }
}

/// Sets a participant's timer if it is due earlier than it is set for.
fn arm(timers: &mut BinaryHeap<Reverse<(Instant, usize)>>, id: usize, member: &mut Member) {
    let Some(due) = member.due() else {
        return;
    };
    if member.armed.is_none_or(|at| due < at) {
        member.armed = Some(due);
        timers.push(Reverse((due, id)));
    }
}
