//! Emptying a node, and letting go of a room that has another home by now. Owns the pace. Must not choose
//! where anybody goes: a control plane does, when they come back.
//!
//! A room whose home this is moves as a whole: it ends here first, so that it never lives on two nodes, and then
//! everybody in it is told to come back at once. Of one whose home is elsewhere, one after the other is told.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::{Instant, sleep_until, timeout};

use super::Shared;

/// How often some of those are sent on whose rooms have their home elsewhere: as long as it takes one to be back.
const GUEST_TURN: Duration = Duration::from_millis(100);

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
    let homes = shared.directory.homes();
    let rooms: Vec<String> = homes.into_iter().map(|home| home.room).collect();
    tokio::join!(
        move_rooms(shared, &rooms, spread),
        move_guests(shared, &rooms, spread)
    );
    if shared.is_ending.load(Ordering::Relaxed) {
        return;
    }
    // Who came in while it began.
    for worker in &shared.workers {
        let _ = worker.move_away(None).await;
    }
}

async fn move_rooms(shared: &Shared, rooms: &[String], spread: Duration) {
    let begun = Instant::now();
    let count = u32::try_from(rooms.len().max(1)).unwrap_or(u32::MAX);
    for (turn, room) in (0..).zip(rooms) {
        sleep_until(begun + spread / count * turn).await;
        if shared.is_ending.load(Ordering::Relaxed) {
            return;
        }
        shared.move_away(room).await;
    }
}

/// Participants of rooms whose home is not this node, which has that of `own`.
async fn move_guests(shared: &Shared, own: &[String], spread: Duration) {
    let begun = Instant::now();
    let turns = spread.as_millis().div_ceil(GUEST_TURN.as_millis()).max(1);
    let turns = u32::try_from(turns).unwrap_or(u32::MAX);
    for turn in 0..turns {
        sleep_until(begun + GUEST_TURN * turn).await;
        if shared.is_ending.load(Ordering::Relaxed) {
            return;
        }
        let mut left = 0;
        for worker in &shared.workers {
            // One that gives no answer has none.
            let guests = worker.move_guests(turns - turn, own.to_vec()).await;
            left += guests.unwrap_or(0);
        }
        if left == 0 {
            return;
        }
    }
}
