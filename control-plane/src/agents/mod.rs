//! Agents: programs that wait for rooms to need them (the worker protocol of LiveKit Agents). Owns `/agent`, where
//! their workers register, and who gets which job. Must not run agents, nor let them into rooms: an agent joins like
//! any other participant, with the token of its job.
//!
//! A worker may be connected to any replica. What is wanted is the same for all of them: it follows from the record of
//! a room and from what the API put into the store. Whoever has a worker for a job claims it there by
//! compare-and-swap, under a lease: so a job is given to one worker, and to another when worker or replica are lost.

mod board;
mod book;
mod hub;
mod socket;
mod watch;

use std::time::Duration;

use plenum_service::{
    config::{ByteSize, Mistakes},
    settings,
};

pub(crate) use book::{BookError, room_of};
pub(crate) use hub::Hub;
pub(crate) use socket::router;
pub(crate) use watch::watch;

/// Agents that the settings of a room may want in it.
pub(crate) const MAX_WISHES: usize = 16;

settings! {
    /// Workers of agents.
    pub struct AgentsConfig {
        /// Workers connected at once; more are refused.
        max_workers: u32 = 1_000,
        /// One message of a worker.
        max_message: ByteSize = ByteSize::kib(64),
        /// How long the jobs of a worker that is lost wait for it to come back, before others are asked.
        return_timeout: Duration = Duration::from_secs(5),
    }
}

impl AgentsConfig {
    /// Notes what does not work; the section is called `agents`.
    pub(crate) fn check(&self, mistakes: &mut Mistakes) {
        mistakes.refuse_zero("agents.max_workers", self.max_workers == 0);
        mistakes.refuse_zero("agents.max_message", self.max_message == ByteSize(0));
    }
}
