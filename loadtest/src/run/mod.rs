//! Runs a scenario: brings participants in, lets them talk, measures, and reports.
//!
//! Owns the course of a run (joining, warm-up, the measured window, the end) and what the scenario does
//! to the crowd (join rate, churn). Each participant is driven by `participant`, the media by
//! `crate::engine`; numbers become a report in `summary`. Must not speak to the server.

mod comeback;
mod crowd;
mod directory;
mod participant;
pub mod plan;
mod progress;
mod sampler;
mod silence;
mod summary;
mod wishes;
mod world;

use std::sync::Arc;
use std::sync::atomic::AtomicU32;
use std::time::{Duration, SystemTime};

use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use self::crowd::Crowd;
use self::directory::Directory;
use self::sampler::Sampler;
use self::summary::Outcome;
use self::world::{Attendance, Notice, Phase, World};
use crate::engine::str0m::Str0mEngine;
use crate::engine::webrtc::WebrtcEngine;
use crate::engine::{Collector, Engine, Window};
use crate::process::{ProcessError, raise_file_limit};
use crate::report::model::Report;
use crate::scenario::{EngineKind, Scenario};
use crate::signal::{Address, AddressError, Keys};

pub use progress::{Bars, Progress, Silent};

/// For all participants to leave at the end.
const LEAVE_TIMEOUT: Duration = Duration::from_secs(15);
/// For engines to hand in what was measured after the window has ended.
const HAND_IN_TIME: Duration = Duration::from_millis(500);

/// What is measured.
#[derive(Clone)]
pub struct Target {
    /// Where the server is: `ws://`, `wss://`, `http://` or `https://`.
    pub url: String,
    /// API key that signs tokens.
    pub api_key: String,
    /// Its secret.
    pub api_secret: String,
    /// Process of the server, if it runs on this machine and its CPU and memory are wanted.
    pub server_pid: Option<u32>,
    /// Threads that carry media; `None`: one per processor.
    pub threads: Option<usize>,
}

impl std::fmt::Debug for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Target")
            .field("url", &self.url)
            .field("server_pid", &self.server_pid)
            .field("threads", &self.threads)
            .finish_non_exhaustive()
    }
}

/// Why a run came to nothing.
#[derive(Debug, Error)]
pub enum RunError {
    /// The URL is wrong or leads nowhere.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The server's process cannot be looked at.
    #[error("--server-pid")]
    Process(#[from] ProcessError),
    /// No threads or sockets for the engine.
    #[error("cannot start the engine")]
    Engine(#[source] std::io::Error),
    /// Each participant needs three sockets.
    #[error(
        "{needed} files have to be open at a time, and {allowed} may be: raise the limit (ulimit -n)"
    )]
    Files {
        /// What the run needs.
        needed: u64,
        /// What the system allows this process.
        allowed: u64,
    },
    /// Signals cannot be received.
    #[error("cannot listen for Ctrl-C")]
    Signals(#[source] std::io::Error),
    /// The scenario has no participants.
    #[error("the scenario has no participants")]
    Nobody,
    /// Not one participant got in.
    #[error("nobody got in: {first}")]
    NobodyJoined {
        /// What the first one met.
        first: String,
        /// Whether fewer might get in: nothing is wrong with what they ask for.
        is_passing: bool,
    },
}

/// Runs `scenario` against `target`. Ctrl-C ends it early, with a report of what was measured by then.
///
/// # Errors
/// When there is nothing to report: nobody could join.
pub async fn run(
    scenario: &Scenario,
    target: &Target,
    progress: &dyn Progress,
) -> Result<Report, RunError> {
    let addresses = Address::parse_all(&target.url)?;
    // There is at least one: splitting a text gives one part.
    let local = addresses[0].local_address()?;
    let seats = plan::plan(scenario);
    if seats.is_empty() {
        return Err(RunError::Nobody);
    }
    check_files(seats.len())?;
    let interrupts = signal(SignalKind::interrupt()).map_err(RunError::Signals)?;
    let collector = Arc::new(Collector::default());
    let sampler = Sampler::start(target.server_pid, Arc::clone(&collector))?;
    let engine = start_engine(scenario, target, &collector)?;
    let (phase, phase_of_participants) = watch::channel(Phase::Before);
    let (notices, from_participants) = unbounded_channel();
    let world = Arc::new(World {
        scenario: scenario.clone(),
        addresses: addresses.clone(),
        local,
        keys: Keys::new(&target.api_key, &target.api_secret),
        engine,
        directory: Directory::default(),
        next_track: AtomicU32::new(0),
        phase: phase_of_participants,
        notices,
        window: Window::default(),
        started: Instant::now(),
    });
    let mut course = Course {
        crowd: Crowd::new(seats, scenario),
        outcome: Outcome::new(SystemTime::now()),
        world,
        phase,
        notices: from_participants,
        sampler,
        progress,
        interrupted: false,
        interrupts,
    };
    course.join().await;
    if course.crowd.joined == 0 {
        progress.on_end();
        let (first, is_passing) = course.outcome.first_error();
        return Err(RunError::NobodyJoined { first, is_passing });
    }
    course.pass(scenario.warm_up, Phase::Before).await;
    course.measure(scenario.duration).await;
    course.leave().await;
    progress.on_end();
    let Course {
        outcome,
        sampler,
        world,
        crowd,
        ..
    } = course;
    Ok(outcome.report(
        scenario,
        target,
        &addresses,
        &sampler,
        &collector,
        &world.directory,
        &crowd,
    ))
}

/// One WebSocket and two transports each, and some to spare.
fn check_files(participants: usize) -> Result<(), RunError> {
    let needed = participants as u64 * 3 + 100;
    let allowed = raise_file_limit();
    if needed > allowed {
        return Err(RunError::Files { needed, allowed });
    }
    Ok(())
}

fn start_engine(
    scenario: &Scenario,
    target: &Target,
    collector: &Arc<Collector>,
) -> Result<Box<dyn Engine>, RunError> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = target.threads.unwrap_or(processors);
    Ok(match scenario.engine {
        EngineKind::Str0m => {
            Box::new(Str0mEngine::start(threads, collector).map_err(RunError::Engine)?)
        }
        EngineKind::Webrtc => {
            Box::new(WebrtcEngine::start(threads, collector).map_err(RunError::Engine)?)
        }
    })
}

/// A run under way.
struct Course<'a> {
    crowd: Crowd,
    outcome: Outcome,
    world: Arc<World>,
    phase: watch::Sender<Phase>,
    notices: UnboundedReceiver<(Attendance, Notice)>,
    sampler: Sampler,
    progress: &'a dyn Progress,
    /// Ctrl-C was pressed.
    interrupted: bool,
    /// Listened to all the time, so that none is missed.
    interrupts: Signal,
}

impl Course<'_> {
    /// Brings everyone in at the scenario's rate, and waits until each is in or has failed.
    async fn join(&mut self) {
        let rate = self.world.scenario.join.rate.max(0.01);
        let mut joins = interval(Duration::from_secs_f64(1.0 / rate));
        // Late joins are made up for: the rate is what is tested.
        joins.set_missed_tick_behavior(MissedTickBehavior::Burst);
        let mut seconds = self.seconds();
        let wanted = self.crowd.seats() as u64;
        while !self.interrupted && !self.crowd.is_settled() {
            tokio::select! {
                _ = joins.tick(), if self.crowd.has_empty_seats() => self.crowd.seat_next(&self.world),
                Some(notice) = self.notices.recv() => self.on_notice(notice),
                _ = seconds.tick() => {
                    self.sampler.sample(false, self.crowd.present());
                    self.progress.on_joins(self.crowd.joined, self.crowd.failed, wanted);
                }
                _ = self.interrupts.recv() => self.interrupted = true,
            }
        }
        self.progress
            .on_joins(self.crowd.joined, self.crowd.failed, wanted);
    }

    /// Lets `duration` pass.
    async fn pass(&mut self, duration: Duration, phase: Phase) {
        let measured = phase == Phase::Measuring;
        let started = Instant::now();
        let end = started + duration;
        let mut seconds = self.seconds();
        let mut churn = self.crowd.next_churn();
        while !self.interrupted {
            tokio::select! {
                () = sleep_until(end) => break,
                () = sleep_until(churn.unwrap_or(end)), if churn.is_some() => {
                    self.crowd.churn(&self.world);
                    churn = self.crowd.next_churn();
                }
                Some(notice) = self.notices.recv() => self.on_notice(notice),
                _ = seconds.tick() => {
                    let point = self.sampler.sample(measured, self.crowd.present());
                    self.progress.on_second(&point, started.elapsed(), duration);
                }
                _ = self.interrupts.recv() => self.interrupted = true,
            }
        }
    }

    /// The measured window.
    async fn measure(&mut self, duration: Duration) {
        if self.interrupted {
            self.outcome
                .note("interrupted before the measured window: nothing was measured");
            return;
        }
        self.sampler.begin();
        self.world.window.begin();
        self.phase.send_replace(Phase::Measuring);
        self.pass(duration, Phase::Measuring).await;
        self.sampler.end(self.crowd.present());
        self.phase.send_replace(Phase::After);
        if self.interrupted {
            self.outcome
                .note("interrupted: the measured window is shorter than the scenario's");
        }
        // What participants received is handed in before any of them leaves.
        self.drain_for(HAND_IN_TIME).await;
    }

    /// Sends everyone home.
    async fn leave(&mut self) {
        self.crowd.dismiss();
        let deadline = Instant::now() + LEAVE_TIMEOUT;
        while self.crowd.present_or_joining() > 0 {
            tokio::select! {
                () = sleep_until(deadline) => {
                    self.outcome.note("some participants did not leave in time");
                    break;
                }
                // Once more: do not wait for those who leave.
                _ = self.interrupts.recv() => break,
                Some(notice) = self.notices.recv() => self.on_notice(notice),
            }
        }
    }

    async fn drain_for(&mut self, time: Duration) {
        let until = Instant::now() + time;
        loop {
            tokio::select! {
                () = sleep_until(until) => return,
                Some(notice) = self.notices.recv() => self.on_notice(notice),
            }
        }
    }

    fn seconds(&self) -> tokio::time::Interval {
        let second = Duration::from_secs(1);
        let mut seconds = tokio::time::interval_at(Instant::now() + second, second);
        seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
        seconds
    }

    fn on_notice(&mut self, (attendance, notice): (Attendance, Notice)) {
        self.crowd.on_notice(attendance, &notice);
        self.outcome.on_notice(notice);
    }
}
