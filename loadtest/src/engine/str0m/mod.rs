//! The engine for scale, on the crate str0m: some threads, each with an event loop that owns many
//! participants; one UDP socket per transport, read in batches.
//!
//! Owns how a participant's commands reach its thread. Must not touch what threads own.

mod member;
mod provider;
mod publisher;
mod sender;
mod socket;
mod stream;
mod subscriber;
mod thread;
mod transport;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;
use std::time::Instant;

use mio::{Poll, Waker};
use tokio::sync::mpsc::UnboundedSender;

use self::subscriber::Offer;
use self::thread::{Order, Thread, WAKE};
use self::transport::Transport;
use super::{Collector, Command, Engine, EngineError, Event, Participant, ParticipantSetup};

/// See the module. Ends its threads when dropped.
pub struct Str0mEngine {
    threads: Vec<Handle>,
    next: AtomicUsize,
}

struct Handle {
    orders: Orders,
    thread: Option<JoinHandle<()>>,
}

#[derive(Clone)]
struct Orders {
    sender: Sender<Order>,
    waker: Arc<Waker>,
}

impl Orders {
    fn send(&self, order: Order) -> Result<(), EngineError> {
        self.sender.send(order).map_err(|_| EngineError::Ended)?;
        self.waker.wake().map_err(|_| EngineError::Ended)
    }
}

impl Str0mEngine {
    /// Starts `threads` threads (at least one) that put what they receive into `collector`.
    ///
    /// # Errors
    /// When the system gives no thread or no event queue.
    pub fn start(threads: usize, collector: &Arc<Collector>) -> io::Result<Self> {
        // The first transport of a process costs some tens of milliseconds: not while media flows.
        drop(Transport::config().build(Instant::now()));
        let threads = (0..threads.max(1))
            .map(|index| {
                let poll = Poll::new()?;
                let waker = Arc::new(Waker::new(poll.registry(), WAKE)?);
                let (sender, orders) = mpsc::channel();
                let collector = Arc::clone(collector);
                let thread = std::thread::Builder::new()
                    .name(format!("media-{index}"))
                    .spawn(move || Thread::new(poll, orders, collector).run())?;
                Ok(Handle {
                    orders: Orders { sender, waker },
                    thread: Some(thread),
                })
            })
            .collect::<io::Result<Vec<Handle>>>()?;
        Ok(Self {
            threads,
            next: AtomicUsize::new(0),
        })
    }
}

impl Engine for Str0mEngine {
    fn open(
        &self,
        setup: ParticipantSetup,
        events: UnboundedSender<Event>,
    ) -> Result<Box<dyn Participant>, EngineError> {
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let orders = self.threads[id % self.threads.len()].orders.clone();
        let setup = Box::new(setup);
        orders.send(Order::Open { id, setup, events })?;
        Ok(Box::new(OnThread { id, orders }))
    }
}

impl Drop for Str0mEngine {
    fn drop(&mut self) {
        for handle in &self.threads {
            let _ = handle.orders.send(Order::End);
        }
        for thread in self
            .threads
            .iter_mut()
            .filter_map(|handle| handle.thread.take())
        {
            let _ = thread.join();
        }
    }
}

/// A participant that lives on a thread.
struct OnThread {
    id: usize,
    orders: Orders,
}

impl Participant for OnThread {
    fn handle(&self, command: Command) {
        // An engine that has ended has closed the participant's events: the driver sees it there.
        let id = self.id;
        let _ = self.orders.send(match command {
            Command::Offer { sdp, id: number } => Order::Offer {
                id,
                offer: Box::new(Offer::parse(&sdp, number)),
            },
            command => Order::Command { id, command },
        });
    }
}

impl Drop for OnThread {
    fn drop(&mut self) {
        self.handle(Command::Close);
    }
}
