//! Participants: they join through any replica, stay a while, leave or are cut off, and come back as SDKs do. Owns what
//! each believes of itself. Must not look into nodes.

use std::{sync::Arc, time::Duration};

use plenum_proto::{
    node::{
        CloseAction, Closed, Join, Leave, Resume, SessionRequest, session_event, session_request,
    },
    v1::RoomConfig,
};
use tokio::time::{Instant, sleep, sleep_until};

use super::{ANSWER, Shared};
use crate::signal::node::{First, NodeSession, open};

/// Who it is, and where.
#[derive(Debug, Clone)]
pub(super) struct Person {
    pub(super) room: String,
    pub(super) identity: String,
    /// It is in the room at the end; else it leaves before.
    pub(super) stays: bool,
}

/// Why a stay is over.
enum End {
    Left,
    /// The node said so.
    Closed(Closed),
    /// The connection broke.
    Broken,
}

/// Lives until `until`, or who stays for as long as it is polled.
pub(super) async fn live(shared: Arc<Shared>, person: Person, until: Instant) {
    let mut resume: Option<String> = None;
    let pause = |most: usize| Duration::from_millis(50 + shared.choose(most) as u64);
    loop {
        sleep(pause(800)).await;
        if Instant::now() >= until && !person.stays {
            return;
        }
        let Some(replica) = shared.any_replica() else {
            continue;
        };
        let join = join(&person, resume.take());
        let opened = open(&replica, join, ANSWER).await;
        drop(replica);
        let Ok((session, First::Joined(joined) | First::Resumed(joined))) = opened else {
            continue;
        };
        let id = joined.participant.unwrap_or_default().id;
        let key = (person.room.clone(), person.identity.clone());
        let present = &shared.present;
        present.lock().unwrap().insert(key.clone(), id.clone());
        let leaves = Instant::now() + pause(8_000);
        let leaves = (leaves < until || !person.stays).then(|| leaves.min(until));
        let end = stay(session, leaves).await;
        present.lock().unwrap().remove(&key);
        resume = match end {
            End::Closed(closed) if closed.action() != CloseAction::Resume => None,
            End::Closed(_) | End::Broken => Some(id),
            End::Left => None,
        };
    }
}

fn join(person: &Person, resume: Option<String>) -> Join {
    Join {
        room: Some(RoomConfig {
            name: person.room.clone(),
            ..RoomConfig::default()
        }),
        identity: person.identity.clone(),
        resume: resume.map(|participant_id| Resume { participant_id }),
        ..Join::default()
    }
}

async fn stay(mut session: NodeSession, leaves: Option<Instant>) -> End {
    let leaving = async {
        match leaves {
            Some(at) => sleep_until(at).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(leaving);
    loop {
        tokio::select! {
            biased;
            event = session.events.message() => match event {
                Ok(Some(event)) => {
                    if let Some(session_event::Kind::Closed(closed)) = event.kind {
                        return End::Closed(closed);
                    }
                }
                Ok(None) | Err(_) => return End::Broken,
            },
            () = &mut leaving => {
                let leave = SessionRequest {
                    kind: Some(session_request::Kind::Leave(Leave::default())),
                };
                // Whoever does not hear it finds out by the silence.
                let _ = session.requests.send(leave).await;
                return End::Left;
            }
        }
    }
}
