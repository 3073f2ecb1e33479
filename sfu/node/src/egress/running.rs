//! One sink while it is served: it joins, subscribes to what it takes, follows what its participant does, and ends.
//! Must not choose tracks.

use std::{slice, sync::Arc, time::Duration};

use plenum_proto::{
    node::{Subscribe, session_event, session_request},
    v1::{Egress, EgressState, Participant, ParticipantState},
};
use sfu_core::PlainSink;
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;

use super::{
    EgressProblem,
    choice::{Chosen, Taken, choose},
};
use crate::{
    error::CallError,
    ingress::{
        sdp,
        seat::{Part, Seat, Who},
    },
    service::Shared,
};

/// How long a participant may be away before what takes its media ends: it joins anew when its network was gone for long.
const AWAY_MAX: Duration = Duration::from_secs(20);

/// How long media of a direct call may take until it comes to the node.
const DIRECT_MAX: Duration = Duration::from_secs(10);

/// Where media goes, and how often there is to be a keyframe.
#[derive(Debug)]
pub(super) struct Where {
    pub(super) sinks: Vec<PlainSink>,
    pub(super) keyframes: Option<Duration>,
}

/// A sink that is served.
pub(super) struct Running {
    shared: Arc<Shared>,
    info: Egress,
    seat: Seat,
    taken: Vec<Taken>,
    stop: CancellationToken,
    /// Id of the participant whose media is taken, and since when it is away.
    from: String,
    away: Option<Instant>,
    /// Tracks that it does not allow to be taken.
    refused: Vec<String>,
}

/// Chooses what to take. Media of a direct call is waited for: it comes to the node when a third one has joined.
async fn find(seat: &mut Seat, from: &str, sinks: &[PlainSink]) -> Result<Chosen, EgressProblem> {
    let deadline = Instant::now() + DIRECT_MAX;
    let mut others = std::mem::take(&mut seat.joined.others);
    loop {
        let is_direct = |other: &Participant| other.identity == from && other.direct;
        let problem = match choose(&others, from, sinks) {
            Ok(chosen) => return Ok(chosen),
            Err(problem) if !others.iter().any(is_direct) => return Err(problem),
            Err(problem) => problem,
        };
        match timeout_at(deadline, seat.events.recv()).await {
            Err(_) | Ok(None) => return Err(problem),
            Ok(Some(event)) => {
                if let Some(session_event::Kind::Participants(changed)) = event.kind {
                    others.retain(|known| changed.participants.iter().all(|p| p.id != known.id));
                    others.extend(changed.participants);
                }
            }
        }
    }
}

async fn subscribe(seat: &Seat, taken: &[Taken]) {
    let request = Subscribe {
        track_ids: taken.iter().map(|taken| taken.track.clone()).collect(),
        subscribe: true,
        ..Subscribe::default()
    };
    seat.ask(session_request::Kind::Subscribe(request)).await;
}

impl Running {
    /// Joins, subscribes, and says in `info` what a player has to know.
    pub(super) async fn begin(
        shared: &Arc<Shared>,
        mut info: Egress,
        to: &Where,
        stop: CancellationToken,
    ) -> Result<Self, CallError> {
        let who = Who {
            room: info.room.clone(),
            identity: info.identity.clone(),
            name: String::new(),
            metadata: String::new(),
        };
        let part = Part::Sink(to.sinks.clone(), to.keyframes);
        let mut seat = Seat::take(shared, &who, part).await?;
        let chosen = match find(&mut seat, &info.from_identity, &to.sinks).await {
            Ok(chosen) => chosen,
            Err(problem) => {
                seat.leave().await;
                return Err(problem.into());
            }
        };
        subscribe(&seat, &chosen.taken).await;
        info.participant_id.clone_from(&seat.participant_id);
        if let Some(first) = to.sinks.first() {
            info.sdp = sdp::write(first.rtp.ip(), &chosen.media, &chosen.ports);
        }
        Ok(Self {
            shared: Arc::clone(shared),
            info,
            seat,
            taken: chosen.taken,
            stop,
            from: chosen.from,
            away: None,
            refused: Vec::new(),
        })
    }

    /// What is known of it by now.
    pub(super) fn info(&self) -> &Egress {
        &self.info
    }

    pub(super) async fn run(mut self) {
        let why = self.follow().await;
        self.seat.leave().await;
        self.shared.egresses.remove(&self.info.id);
        tracing::info!(egress = self.info.id, why, "egress ended");
    }

    /// Follows what happens in the room, until there is a reason to end.
    async fn follow(&mut self) -> String {
        loop {
            let away = self.away;
            let gone = async {
                match away {
                    Some(since) => sleep_until(since + AWAY_MAX).await,
                    None => std::future::pending().await,
                }
            };
            let event = tokio::select! {
                () = self.stop.cancelled() => return "deleted".to_owned(),
                () = gone => return "its participant left".to_owned(),
                event = self.seat.events.recv() => event,
            };
            match event.map(|event| event.kind) {
                None => return "the worker let go of it".to_owned(),
                Some(Some(session_event::Kind::Closed(closed))) => {
                    return format!("{:?} {}", closed.reason(), closed.message);
                }
                Some(Some(session_event::Kind::Participants(changed))) => {
                    for participant in changed.participants {
                        self.on_participant(participant).await;
                    }
                }
                Some(Some(session_event::Kind::PermissionChanged(changed))) => {
                    self.refused.retain(|known| *known != changed.track_id);
                    if !changed.allowed {
                        self.refused.push(changed.track_id);
                    }
                    self.tell();
                }
                Some(_) => {}
            }
        }
    }

    /// A participant changed: a track of it that ended is followed by the next of its kind.
    async fn on_participant(&mut self, participant: Participant) {
        let is_gone = participant.state() == ParticipantState::Disconnected;
        // One that joins anew may be there before it is told that it left.
        let is_other = is_gone && participant.id != self.from;
        if participant.identity != self.info.from_identity || is_other {
            return;
        }
        self.away = is_gone.then(Instant::now);
        self.from = participant.id;
        let tracks = match is_gone {
            true => &[][..],
            false => &participant.tracks,
        };
        for taken in &mut self.taken {
            if taken.follow(tracks) {
                subscribe(&self.seat, slice::from_ref(taken)).await;
            }
        }
        let taken = &self.taken;
        let is_taken = |id: &String| taken.iter().any(|taken| taken.track == *id);
        self.refused.retain(is_taken);
        self.tell();
    }

    /// Tells those who list it what is missing.
    fn tell(&mut self) {
        let missing: Vec<&str> = self.taken.iter().filter_map(Taken::missing).collect();
        let problem = if self.away.is_some() {
            "its participant is away".to_owned()
        } else if !missing.is_empty() {
            format!("its participant publishes no {}", missing.join(" and no "))
        } else if !self.refused.is_empty() {
            "its participant does not let it take all of its media".to_owned()
        } else {
            String::new()
        };
        self.info.set_state(match problem.is_empty() {
            true => EgressState::EgressSending,
            false => EgressState::EgressWaiting,
        });
        self.info.problem = problem;
        self.shared.egresses.update(&self.info);
    }
}
