//! Rooms whose home on another node is lost, or that are handed over: who is asked for another, and what is done with
//! the answer. Owns the way from workers to whoever asks. Must not choose a home.

use std::{
    collections::HashSet,
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
};

use plenum_proto::node::HomeNode;
use sfu_core::NewHome;
use tokio::sync::mpsc;

use crate::{error::CallError, service::Shared, worker::RequestError};

/// Rooms that wait to be asked for; of more their participants join anew.
const WAITING: usize = 16_384;

/// A room that goes on without its home, or is to have another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HomeLost {
    /// Its name.
    pub(crate) room: String,
    /// Its id.
    pub(crate) room_id: String,
}

/// The way to whoever asks for other homes, if there is somebody.
#[derive(Debug, Clone, Default)]
pub(crate) struct Homeless(Arc<OnceLock<mpsc::Sender<HomeLost>>>);

impl Homeless {
    /// Whoever reads this asks from now on. Only the first who calls is told anything.
    pub(crate) fn listen(&self) -> mpsc::Receiver<HomeLost> {
        let (to, lost) = mpsc::channel(WAITING);
        // The channel of a second one is closed at once.
        let _ = self.0.set(to);
        lost
    }

    /// Says that a room has lost its home; gives it back when nobody asks for another.
    pub(crate) fn tell(&self, lost: HomeLost) -> Result<(), HomeLost> {
        match self.0.get() {
            Some(to) => to
                .try_send(lost)
                .map_err(mpsc::error::TrySendError::into_inner),
            None => Err(lost),
        }
    }
}

/// Rooms whose home this is and that are to go on elsewhere, by name: that another node has them is no reason to let
/// go of who is here.
#[derive(Debug, Default)]
pub(crate) struct Leaving(Mutex<HashSet<String>>);

impl Leaving {
    pub(crate) fn begin(&self, room: &str) {
        self.lock().insert(room.to_owned());
    }

    pub(crate) fn has(&self, room: &str) -> bool {
        self.lock().contains(room)
    }

    pub(crate) fn end(&self, room: &str) {
        self.lock().remove(room);
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        // Each change is one step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shared {
    /// Another home is named for a room that has lost its own, or is handed over; none = there is none.
    ///
    /// # Errors
    /// It cannot be reached, or is not the home: it is worth asking again.
    pub(crate) async fn rehome(
        &self,
        lost: &HomeLost,
        home: Option<&HomeNode>,
    ) -> Result<(), CallError> {
        let Some(home) = home else {
            return self.tell_home(lost, NewHome::Nowhere).await;
        };
        if home.node_id == self.identity.node_id {
            if self.leaving.has(&lost.room) {
                // The control plane does not know yet that this node is being emptied.
                return Err(CallError::Moving);
            }
            let admitted = self.directory.admit(&lost.room, home.epoch);
            admitted.map_err(RequestError::from)?;
            // The other workers follow the one that takes it.
            if let Some(worker) = self.directory.find(&lost.room) {
                let room_id = lost.room_id.clone();
                self.workers[worker].rehome(room_id, NewHome::Here).await?;
            }
            return Ok(());
        }
        let relay = self.relay.as_ref().ok_or(CallError::NoRelay)?;
        let link = relay.locate(home, &lost.room).await?;
        self.directory.moved(&lost.room, link);
        self.tell_home(lost, NewHome::At(link)).await
    }

    async fn tell_home(&self, lost: &HomeLost, home: NewHome) -> Result<(), CallError> {
        for worker in &self.workers {
            worker.rehome(lost.room_id.clone(), home).await?;
        }
        Ok(())
    }
}
