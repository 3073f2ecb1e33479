//! The engine on the crate `webrtc`: an ICE, DTLS, SRTP and RTCP of its own, so that what one stack
//! forgives the other may not. Costs several times the other engine's processor time per packet.
//!
//! Owns its threads, each with an event loop of tokio that carries many participants, and how a
//! participant's commands reach its task. Publishes and subscribes the same sources and meters as the
//! other engine. Must not speak signalling.

mod codecs;
mod member;
mod network;
mod publisher;
mod repair;
mod requests;
mod stack;
mod stream;
mod subscriber;
mod tracks;

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use super::received::Received;
use super::{Collector, Command, Engine, EngineError, Event, Participant, ParticipantSetup};

/// How often what was received is handed to the collector.
const HAND_IN: Duration = Duration::from_millis(100);

/// What the participants of one thread received. Locked by that thread alone.
type SharedReceived = Arc<Mutex<Received>>;

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// See the module. Ends its threads when dropped.
pub struct WebrtcEngine {
    threads: Vec<Thread>,
    next: AtomicUsize,
}

struct Thread {
    runtime: Handle,
    received: SharedReceived,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl WebrtcEngine {
    /// Starts `threads` threads (at least one) that put what they receive into `collector`.
    ///
    /// # Errors
    /// When the system gives no thread or no event queue.
    pub fn start(threads: usize, collector: &Arc<Collector>) -> io::Result<Self> {
        let threads = (0..threads.max(1))
            .map(|index| Thread::start(index, collector))
            .collect::<io::Result<_>>()?;
        Ok(Self {
            threads,
            next: AtomicUsize::new(0),
        })
    }
}

impl Thread {
    fn start(index: usize, collector: &Arc<Collector>) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let received = Arc::new(Mutex::new(Received::new(Arc::clone(collector))));
        let (end, ended) = oneshot::channel();
        let thread = std::thread::Builder::new()
            .name(format!("webrtc-{index}"))
            .spawn({
                let received = Arc::clone(&received);
                move || runtime.block_on(hand_in(received, ended))
            })?;
        Ok(Self {
            runtime: handle,
            received,
            end: Some(end),
            thread: Some(thread),
        })
    }
}

/// Hands in what was received until the engine ends, and what was left then.
async fn hand_in(received: SharedReceived, mut ended: oneshot::Receiver<()>) {
    let mut interval = tokio::time::interval(HAND_IN);
    loop {
        tokio::select! {
            _ = interval.tick() => {}
            _ = &mut ended => break,
        }
        let mut received = lock(&received);
        received.hand_in();
        received.hand_in_some_tracks();
    }
    let mut received = lock(&received);
    received.hand_in();
    received.hand_in_tracks();
}

impl Engine for WebrtcEngine {
    fn open(
        &self,
        setup: ParticipantSetup,
        events: UnboundedSender<Event>,
    ) -> Result<Box<dyn Participant>, EngineError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let thread = &self.threads[number % self.threads.len()];
        let (commands, orders) = unbounded_channel();
        let received = Arc::clone(&thread.received);
        thread
            .runtime
            .spawn(member::run(setup, events, received, orders));
        Ok(Box::new(OnThread(commands)))
    }
}

impl Drop for WebrtcEngine {
    fn drop(&mut self) {
        for thread in &mut self.threads {
            // A thread that has ended already needs no word.
            let _ = thread.end.take().map(|end| end.send(()));
        }
        for thread in self
            .threads
            .iter_mut()
            .filter_map(|thread| thread.thread.take())
        {
            let _ = thread.join();
        }
    }
}

/// A participant that lives on a thread. Its task ends when this is dropped.
struct OnThread(UnboundedSender<Command>);

impl Participant for OnThread {
    fn handle(&self, command: Command) {
        // A task that has ended has closed the participant's events: the driver sees it there.
        let _ = self.0.send(command);
    }
}
