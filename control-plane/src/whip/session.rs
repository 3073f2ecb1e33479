//! A session as its HTTP resource knows it: whose it is, and the way to the task that carries it. Must
//! not speak to the node: the task does.

use std::{
    sync::{Mutex, PoisonError},
    time::{Instant, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use http::HeaderMap;
use tokio::sync::{mpsc, oneshot, watch};

use super::{
    admission::{subject, token},
    fragment::Fragment,
    problem::Problem,
    sse::{Streams, Told},
};
use crate::{
    auth::Keys,
    config::WhipConfig,
    signal::{pending::Subject, rate::Rate},
};

/// Requests that wait for a session's task.
pub(super) const COMMANDS: usize = 8;

/// Bytes of randomness in the id of a session (RFC 9725 section 5 asks for what cannot be guessed).
const ID_BYTES: usize = 18;

/// An open session.
pub(super) struct Session {
    pub(super) id: String,
    pub(super) owner: Subject,
    /// As of then the token of every later request is judged: sessions outlive tokens, and clients have no
    /// way to get another.
    opened_at: SystemTime,
    commands: mpsc::Sender<Command>,
    patches: Mutex<Rate>,
    /// Of one that plays: what its player may be told.
    pub(super) player: Option<Player>,
}

/// What a player may be told besides media.
pub(super) struct Player {
    pub(super) told: watch::Receiver<Told>,
    pub(super) streams: Streams,
}

/// What is asked of a session.
pub(super) enum Command {
    /// Candidates, or a restart of ICE; with the entity tags that the request is for.
    Patch {
        if_match: Option<String>,
        fragment: Fragment,
        reply: oneshot::Sender<Result<Option<Restarted>, Problem>>,
    },
    /// The layer to be sent.
    Layer {
        wanted: super::sse::Selection,
        reply: oneshot::Sender<Result<(), Problem>>,
    },
    /// The client goes.
    End { reply: oneshot::Sender<()> },
}

/// A new ICE session.
#[derive(Debug)]
pub(super) struct Restarted {
    pub(super) tag: String,
    /// An SDP fragment.
    pub(super) fragment: String,
}

impl Session {
    pub(super) fn new(
        owner: Subject,
        config: &WhipConfig,
        commands: mpsc::Sender<Command>,
        told: Option<watch::Receiver<Told>>,
    ) -> Self {
        let rate = Rate::new(
            Instant::now(),
            config.patches_per_second,
            config.patch_burst,
        );
        Self {
            id: random_name(),
            owner,
            opened_at: SystemTime::now(),
            commands,
            patches: Mutex::new(rate),
            player: told.map(|told| Player {
                told,
                streams: Streams::default(),
            }),
        }
    }

    /// Its path, for a Location header.
    pub(super) fn path(&self) -> String {
        format!("/session/{}", self.id)
    }

    /// Checks that a request comes from whom the session belongs to.
    pub(super) fn check_owner(
        &self,
        keys: &Keys,
        headers: &HeaderMap,
        in_url: Option<&str>,
    ) -> Result<(), Problem> {
        // The token that it was opened with may have ended since, and a newer one not have begun then.
        let token = token(headers, in_url)?;
        let then = keys.verify_at(self.opened_at, token);
        let verified = then.or_else(|_| keys.verify(token))?;
        if subject(&verified)? == self.owner {
            Ok(())
        } else {
            Err(Problem::NotYours)
        }
    }

    /// Counts a request that makes work for the node.
    pub(super) fn check_rate(&self) -> Result<(), Problem> {
        let mut patches = self.patches.lock().unwrap_or_else(PoisonError::into_inner);
        if patches.take(Instant::now()) {
            Ok(())
        } else {
            Err(Problem::TooFast)
        }
    }

    /// Asks the task for something and waits for its answer.
    pub(super) async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, Problem> {
        let (reply, answer) = oneshot::channel();
        let sent = self.commands.send(command(reply)).await;
        sent.map_err(|_| Problem::NoSession)?;
        answer.await.map_err(|_| Problem::NoSession)
    }
}

/// A name that cannot be guessed.
pub(super) fn random_name() -> String {
    URL_SAFE_NO_PAD.encode(rand::random::<[u8; ID_BYTES]>())
}
