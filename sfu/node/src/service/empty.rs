//! Emptying a node, and letting go of a room that has another home by now. Owns the pace. Must not choose
//! where anybody goes: a control plane does, when they come back.
//!
//! A room moves as a whole: it ends here first, so that it never lives on two nodes, and then everybody in it is
//! told to come back at once.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::{Instant, sleep_until, timeout};

use super::Shared;

impl Shared {
    /// Ends a room that is here by an older placement than `epoch`.
    pub(crate) async fn fence(&self, room: &str, epoch: u64) {
        if self.directory.fence(room, epoch) {
            tracing::info!(epoch, "a room has another home: it is let go of");
            self.move_away(room).await;
        }
    }

    async fn move_away(&self, room: &str) {
        if let Some(worker) = self.directory.find(room) {
            // One that gives no answer has told its participants already.
            let _ = self.workers[worker].move_away(Some(room.to_owned())).await;
        }
    }
}

/// Begins to empty the node, unless that has begun; rooms are spread over this time.
pub(super) fn begin(shared: &Arc<Shared>, spread: Option<Duration>) {
    if shared.draining.swap(true, Ordering::Relaxed) {
        return;
    }
    shared.changed.notify_one();
    let spread = spread.unwrap_or(shared.drain_spread);
    tracing::info!(
        seconds = spread.as_secs(),
        "draining: rooms go to other nodes"
    );
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        empty(&shared, spread).await;
        shared.drained.send_replace(true);
        tracing::info!("drained: nobody is left");
    });
}

/// Empties the node and waits until nobody is left, for `limit` at most.
pub(crate) async fn drain(shared: &Arc<Shared>, limit: Duration) {
    begin(shared, Some(shared.drain_spread.min(limit)));
    let mut drained = shared.drained.subscribe();
    if timeout(limit, drained.wait_for(|is_drained| *is_drained))
        .await
        .is_err()
    {
        tracing::warn!("not everybody has gone in time");
    }
}

async fn empty(shared: &Shared, spread: Duration) {
    let rooms = shared.directory.homes();
    let begun = Instant::now();
    let count = u32::try_from(rooms.len().max(1)).unwrap_or(u32::MAX);
    for (turn, home) in (0..).zip(&rooms) {
        sleep_until(begun + spread / count * turn).await;
        if shared.is_ending.load(Ordering::Relaxed) {
            return;
        }
        shared.move_away(&home.room).await;
    }
    // Who came in while it began, and participants of rooms whose home is elsewhere.
    for worker in &shared.workers {
        let _ = worker.move_away(None).await;
    }
}
