//! Emptying a node, and letting go of a room that has another home by now. Owns the pace. Must not choose
//! where anybody goes: a control plane does.
//!
//! First the rooms whose home this is are handed over to other nodes, and nobody notices. Then one participant after the
//! other is told to come back, and comes to those. A room that cannot be handed over, for lack of a relay or of a node
//! that takes it, moves as a whole: it ends here first, so that it never lives on two nodes, and then everybody in it is
//! told to come back at once.

use std::{
    collections::BTreeSet,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use futures_util::{StreamExt as _, stream};
use tokio::time::{Instant, sleep_until, timeout};

use super::Shared;
use crate::{directory::Home, homes::HomeLost, worker::WorkerHandle};

/// How often it is looked who is to be sent on of those whose rooms have their home elsewhere.
const GUEST_TURN: Duration = Duration::from_millis(100);

/// Between two of them, where the drain takes so long: one is back before the next one goes.
const GUEST: Duration = Duration::from_millis(500);

/// Rooms that are handed over at once.
const AT_ONCE: usize = 32;

/// How long it may take until another node is home of a room.
const HANDING_OVER: Duration = Duration::from_secs(3);

impl Shared {
    /// Ends a room that is here by an older placement than `epoch`.
    pub(crate) async fn fence(&self, room: &str, epoch: u64) {
        if self.directory.fence(room, epoch) && !self.leaving.has(room) {
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
    let homes = shared.directory.homes();
    for home in &homes {
        shared.leaving.begin(&home.room);
    }
    shared.changed.notify_one();
    let spread = spread.unwrap_or(shared.drain_spread);
    tracing::info!(
        seconds = spread.as_secs(),
        "draining: rooms go to other nodes"
    );
    let shared = Arc::clone(shared);
    tokio::spawn(async move {
        empty(&shared, homes, spread).await;
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

async fn empty(shared: &Shared, homes: Vec<Home>, spread: Duration) {
    let (deserted, homes): (Vec<Home>, Vec<Home>) =
        homes.into_iter().partition(|home| home.is_deserted);
    for home in deserted {
        // Its edges find another home by themselves.
        shared.leaving.end(&home.room);
        shared.move_away(&home.room).await;
    }
    let rooms = hand_over(shared, homes).await;
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

/// Hands rooms over to other nodes; gives back the names of those that could not be.
async fn hand_over(shared: &Shared, homes: Vec<Home>) -> Vec<String> {
    let handed = stream::iter(homes).map(|home| async move {
        let is_over = hand_over_one(shared, &home).await;
        shared.leaving.end(&home.room);
        (!is_over).then_some(home.room)
    });
    let stayed = handed
        .buffered(AT_ONCE)
        .filter_map(|stayed| async { stayed });
    stayed.collect().await
}

async fn hand_over_one(shared: &Shared, home: &Home) -> bool {
    if shared.relay.is_none() {
        return false;
    }
    let Home { room, id, .. } = home.clone();
    if shared
        .homeless
        .tell(HomeLost { room, room_id: id })
        .is_err()
    {
        return false;
    }
    let let_go = shared.directory.until_let_go(&home.room);
    let is_over = timeout(HANDING_OVER, let_go).await.is_ok();
    if !is_over {
        tracing::warn!(
            room = home.id,
            "no other node took a room over: it moves as a whole"
        );
    }
    is_over
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
    let own: Arc<BTreeSet<String>> = Arc::new(own.iter().cloned().collect());
    let send_on = async |worker: &WorkerHandle, keep| {
        let left = worker.move_guests(keep, Arc::clone(&own)).await;
        // One that gives no answer has none.
        left.unwrap_or(0)
    };
    let begun = Instant::now();
    let mut here = Vec::new();
    for worker in &shared.workers {
        here.push(send_on(worker, usize::MAX).await);
    }
    let turns = guest_turns(here.iter().sum(), spread);
    for turn in 0..turns {
        sleep_until(begun + GUEST_TURN * turn).await;
        if shared.is_ending.load(Ordering::Relaxed) {
            return;
        }
        let mut left = 0;
        for (worker, here) in shared.workers.iter().zip(&here) {
            left += send_on(worker, stay_after(*here, turn, turns)).await;
        }
        if left == 0 {
            return;
        }
    }
}

/// Over how many turns so many are sent on.
fn guest_turns(guests: usize, spread: Duration) -> u32 {
    let guests = u32::try_from(guests).unwrap_or(u32::MAX);
    let time = GUEST.saturating_mul(guests).min(spread);
    let turns = time.as_millis().div_ceil(GUEST_TURN.as_millis()).max(1);
    u32::try_from(turns).unwrap_or(u32::MAX)
}

/// How many of so many are still there after a turn: the first one goes at once, the others evenly.
fn stay_after(here: usize, turn: u32, turns: u32) -> usize {
    let to_come = u64::from(turns - turn - 1);
    let stay = (here as u64).saturating_mul(to_come) / u64::from(turns);
    usize::try_from(stay).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_go_one_by_one_and_within_the_time_of_a_drain() {
        let times = |here: usize, spread: u64| {
            let turns = guest_turns(here, Duration::from_millis(spread));
            let left: Vec<usize> = (0..turns)
                .map(|turn| stay_after(here, turn, turns))
                .collect();
            let before = std::iter::once(here).chain(left.iter().copied());
            let gone: Vec<_> = (0..)
                .zip(before.zip(&left))
                .filter(|(_, (before, left))| before > left)
                .map(|(turn, (before, left))| (turn * 100, before - left))
                .collect();
            gone
        };
        assert_eq!(times(0, 30_000), []);
        assert_eq!(times(1, 30_000), [(0, 1)]);
        assert_eq!(times(3, 30_000), [(0, 1), (500, 1), (1_000, 1)]);
        assert_eq!(times(3, 600), [(0, 1), (200, 1), (400, 1)]);
        assert_eq!(times(3, 0), [(0, 3)]);
        let many = times(1_000, 30_000);
        assert_eq!(many.iter().map(|(_, gone)| gone).sum::<usize>(), 1_000);
        assert!(many.len() == 300 && many.iter().all(|(_, gone)| (3..=4).contains(gone)));
    }
}
