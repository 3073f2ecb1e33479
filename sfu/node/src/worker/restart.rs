//! What happens when the core fails outside of any session: the worker starts anew with an empty
//! shard, and everybody on it is told to join again. Must not fail itself.

use std::{
    any::Any,
    panic::{AssertUnwindSafe, catch_unwind},
    time::SystemTime,
};

use plenum_proto::{
    node::{CloseAction, Closed, SessionEvent, session_event},
    v1,
};

use super::turn::Worker;
use crate::stats::{add_core, counters_only};

impl Worker {
    /// A turn that survives a panic of the core.
    pub(super) fn guarded(&mut self, turn: impl FnOnce(&mut Self)) {
        // What a panic leaves half-done inside the shard is thrown away with it; the rest of the
        // worker is changed by single steps.
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| turn(self))) {
            self.restart(panic.as_ref());
        }
    }

    fn restart(&mut self, panic: &(dyn Any + Send)) {
        let controls = self.controls.len();
        tracing::error!(
            worker = self.index,
            controls,
            panic = message(panic),
            "worker failed and starts anew"
        );
        self.counted.restarts += 1;
        let failed = self.replace_shard();
        match catch_unwind(AssertUnwindSafe(|| failed.stats())) {
            Ok(stats) => add_core(&mut self.counted.core, &counters_only(&stats)),
            Err(_) => tracing::error!(worker = self.index, "the failed shard's numbers are lost"),
        }
        if catch_unwind(AssertUnwindSafe(|| drop(failed))).is_err() {
            tracing::error!(
                worker = self.index,
                "what was left of the failed shard failed again"
            );
        }
        for (_, events) in self.controls.drain() {
            // A reader that is full or gone sees its stream end without a reason.
            let _ = events.try_send(closed());
        }
        self.plain.clear();
        self.tcp.clear();
        // What the other workers know of the failed shard is void.
        self.outgoing.reset();
        self.flush_relay();
        for (name, id) in self.directory.lost(self.index) {
            self.events.push(v1::Event {
                at: Some(SystemTime::now().into()),
                room: Some(v1::Room {
                    id,
                    name,
                    ..v1::Room::default()
                }),
                kind: Some(v1::event::Kind::RoomEnded(v1::RoomEnded::default())),
                ..v1::Event::default()
            });
        }
        self.clock();
        self.publish();
    }
}

fn closed() -> SessionEvent {
    SessionEvent {
        kind: Some(session_event::Kind::Closed(Closed {
            reason: v1::CloseReason::MediaFailure.into(),
            action: CloseAction::Reconnect.into(),
            message: "a fault in the media node ended the room".into(),
            ..Closed::default()
        })),
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (None, Some(text)) => text,
        (None, None) => "no message",
    }
}
