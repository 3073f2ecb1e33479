//! What all participants of a run share, and what they tell the runner.
//!
//! Owns the words between the runner and its participants. Must not act.

use std::sync::atomic::AtomicU32;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::watch;
use tokio::time::Instant;

use super::directory::Directory;
use crate::engine::{Engine, EngineError, Window};
use crate::report::model::Rejoin;
use crate::scenario::Scenario;
use crate::signal::{Address, Keys, Next, SignalError};

/// What all participants of a run share.
pub(super) struct World {
    pub(super) scenario: Scenario,
    /// Of the same server; participants take them in turn.
    pub(super) addresses: Vec<Address>,
    pub(super) local: std::net::IpAddr,
    pub(super) keys: Keys,
    pub(super) engine: Box<dyn Engine>,
    pub(super) directory: Directory,
    pub(super) next_track: AtomicU32,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) notices: UnboundedSender<(Attendance, Notice)>,
    pub(super) window: Window,
    /// Turns of talkers count from here.
    pub(super) started: Instant,
}

/// Where the run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Joining and warming up.
    Before,
    /// The measured window.
    Measuring,
    /// The window has ended.
    After,
}

/// Who reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attendance {
    pub(super) seat: u32,
    pub(super) generation: u32,
}

/// What came of a participant so far.
#[derive(Debug)]
pub(super) enum Notice {
    /// It is in: all it needs is connected.
    Joined {
        /// Since it set out.
        after: Duration,
    },
    /// First decodable frame of a video track.
    FirstFrame {
        /// Server's id of the track.
        track: String,
        /// Since it was subscribed to.
        after: Duration,
    },
    /// What the server says of itself.
    Server { edition: String, version: String },
    /// It was cut off, and is in again.
    Back(Rejoin),
    /// Its WebSocket broke, and it took up its stay on another.
    Resumed,
    /// Something failed that does not end the participant.
    Trouble(String),
    /// It is gone; `Err` says why if it did not leave by itself.
    Gone {
        /// Whether it had been in.
        was_in: bool,
        result: Result<(), ParticipantError>,
    },
}

/// Why a participant did not get in, or did not stay.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ParticipantError {
    #[error(transparent)]
    Signal(#[from] SignalError),
    #[error(transparent)]
    Engine(#[from] EngineError),
    #[error("token: {0}")]
    Token(String),
    #[error("not in after {} s: {waiting_for}", .timeout.as_secs_f32())]
    TimedOut {
        timeout: Duration,
        waiting_for: &'static str,
    },
    #[error("the {0} transport was lost")]
    TransportLost(&'static str),
}

impl ParticipantError {
    /// Whether an SDK would try again.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Signal(SignalError::SentAway { next, .. }) => *next != Next::Nothing,
            Self::Signal(SignalError::Refused { status, .. }) => *status == 429 || *status >= 500,
            Self::Signal(SignalError::Unreachable(_) | SignalError::Closed(_))
            | Self::TimedOut { .. }
            | Self::TransportLost(_) => true,
            Self::Signal(SignalError::NoJoin(_) | SignalError::Malformed(_))
            | Self::Engine(_)
            | Self::Token(_) => false,
        }
    }
}

impl World {
    /// Where a participant connects on its attempt of that number.
    pub(super) fn address(&self, seat: u32, attempt: usize) -> &Address {
        let turn = (seat as usize).wrapping_add(attempt);
        &self.addresses[turn % self.addresses.len()]
    }
}
