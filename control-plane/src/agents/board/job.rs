//! One job: for a room, or for one participant in it. Owns where it stands, and when its record in the store changes.
//! Must not know of other jobs.
//!
//! A job that nobody has is claimed in the store before a worker is asked; whoever has it keeps its record in step with
//! what it knows, one commit at a time. A record that somebody else wrote ends what was known here.

use std::time::Instant;

use livekit_protocol::{self as lk, server_message::Message as Tell};
use plenum_proto::{cluster::JobRecord, v1};

use super::{
    AGAIN, ANSWER, Act, Desk, Now, Slot, Wanted, WorkerKey, Writing,
    dispatch::{distinct, job_id},
    worker::idlest,
};
use crate::{signal::translate::model, store::Is};

/// What a job is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    Room,
    Publisher,
    Participant,
}

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Stage {
    /// It is not ours; if it is nobody's, it may be claimed from then on.
    Idle { from: Instant },
    /// It is about to be ours.
    Claiming,
    /// It is ours, and a worker has to be asked.
    Wanting,
    /// A worker was asked.
    Asked { worker: WorkerKey, until: Instant },
    /// A worker has it.
    Held { worker: WorkerKey },
    /// The worker that had it is gone, and may come back until then.
    Orphaned { until: Instant },
    /// It has ended.
    Over,
}

/// A job.
#[derive(Debug)]
pub(super) struct Job {
    at: Slot,
    pub(super) dispatch_id: String,
    pub(super) kind: Kind,
    /// Whom it is for, when not for the room.
    pub(super) participant_id: Option<String>,
    pub(super) stage: Stage,
    /// As it is while we look after it; the record follows.
    pub(super) own: Option<v1::AgentJob>,
    /// Who did not want it.
    refused: Vec<WorkerKey>,
    /// Some worker had it before.
    was_held: bool,
    /// Another replica looked after it, and its worker came to us.
    is_taken_over: bool,
    /// A commit is under way.
    is_writing: bool,
    /// No commit before then.
    quiet_until: Instant,
}

impl Job {
    pub(super) fn new(
        now: Instant,
        at: Slot,
        dispatch_id: &str,
        kind: Kind,
        participant_id: Option<&String>,
    ) -> Self {
        Self {
            at,
            dispatch_id: dispatch_id.to_owned(),
            kind,
            participant_id: participant_id.cloned(),
            stage: Stage::Idle { from: now },
            own: None,
            refused: Vec::new(),
            was_held: false,
            is_taken_over: false,
            is_writing: false,
            quiet_until: now,
        }
    }

    /// Whether this replica looks after it, and it is not over.
    pub(super) fn is_ours(&self) -> bool {
        !matches!(self.stage, Stage::Idle { .. } | Stage::Over)
    }

    /// Tells the worker that has it to end it.
    pub(super) fn termination(&self) -> Option<Act> {
        let (Stage::Held { worker }, Some(own)) = (self.stage, &self.own) else {
            return None;
        };
        Some(terminate(worker, &own.id))
    }

    /// Takes the next step, and keeps the record in step. `wanted` is what it comes from and the participant it is for,
    /// as long as both are there; with `is_served` nobody is to be asked. False once there is nothing left to do.
    pub(super) fn advance(
        &mut self,
        desk: &mut Desk<'_>,
        wanted: Option<(&Wanted, Option<&v1::Participant>)>,
        is_served: bool,
    ) -> bool {
        self.notice(desk);
        match wanted {
            Some((wanted, whom)) => {
                self.take_back(desk);
                self.expire(desk.now, wanted.agent.once);
                if !is_served {
                    self.claim(desk, wanted);
                }
                self.ask(desk, wanted, whom);
            }
            None => {
                desk.acts.extend(self.termination());
                self.let_go(desk.now.instant);
            }
        }
        self.write(desk, wanted.is_some());
        wanted.is_some() || self.is_writing
    }

    /// Somebody else has it by now.
    fn notice(&mut self, desk: &mut Desk<'_>) {
        let (Some(own), Some((record, _))) = (&self.own, desk.stored.get(&self.at)) else {
            return;
        };
        let held = record.job.as_ref().map_or("", |job| &job.id);
        if record.replica == desk.replica {
            if self.stage == Stage::Claiming && held == own.id {
                self.stage = Stage::Wanting;
            }
            return;
        }
        if held == own.id {
            if self.is_taken_over {
                return;
            }
            // Its worker went there.
        } else {
            desk.acts.extend(self.termination());
        }
        self.let_go(desk.now.instant);
    }

    fn let_go(&mut self, from: Instant) {
        self.own = None;
        self.is_taken_over = false;
        self.refused.clear();
        self.stage = Stage::Idle { from };
    }

    /// A worker came back with it.
    fn take_back(&mut self, desk: &mut Desk<'_>) {
        let Some((worker, id)) = desk.returned.remove(&self.at) else {
            return;
        };
        let stored = desk.stored.get(&self.at);
        let of_other = stored.filter(|(record, _)| record.replica != desk.replica);
        match (
            &mut self.own,
            of_other.and_then(|(record, _)| record.job.as_ref()),
        ) {
            (Some(own), _) if own.id == id && self.stage != Stage::Over => {
                own.worker_id = worker.id();
            }
            (None, Some(job)) if job.id == id && !is_over(job) => {
                self.is_taken_over = true;
                self.own = Some(v1::AgentJob {
                    worker_id: worker.id(),
                    ..job.clone()
                });
            }
            // Of a store that was lost.
            (None, None) if stored.is_none() => {
                self.own = Some(v1::AgentJob {
                    id,
                    worker_id: worker.id(),
                    started_at: Some(desk.now.timestamp()),
                    ..self.fresh(v1::JobStatus::JobRunning)
                });
            }
            // Somebody else has it by now, or is being asked.
            _ => {
                desk.acts.push(terminate(worker, &id));
                return;
            }
        }
        self.was_held = true;
        self.stage = Stage::Held { worker };
    }

    /// Gives up on who does not answer or come back.
    fn expire(&mut self, now: Now, once: bool) {
        match self.stage {
            Stage::Asked { worker, until } if until <= now.instant => self.refuse(worker),
            Stage::Orphaned { until } if until <= now.instant => {
                let over = |own: &mut v1::AgentJob| {
                    own.status = v1::JobStatus::JobFailed.into();
                    "the worker was lost".clone_into(&mut own.error);
                    own.ended_at = Some(now.timestamp());
                };
                if once {
                    self.own.as_mut().map(over);
                    self.stage = Stage::Over;
                } else {
                    self.own = Some(self.fresh(v1::JobStatus::JobPending));
                    self.stage = Stage::Wanting;
                }
            }
            _ => {}
        }
    }

    fn fresh(&self, status: v1::JobStatus) -> v1::AgentJob {
        v1::AgentJob {
            id: job_id(&self.at, &distinct()),
            kind: v1::JobKind::from(self.kind).into(),
            status: status.into(),
            participant_id: self.participant_id.clone().unwrap_or_default(),
            ..v1::AgentJob::default()
        }
    }

    /// Nobody has it, and there is a worker that could: it is to be ours.
    fn claim(&mut self, desk: &mut Desk<'_>, wanted: &Wanted) {
        let Stage::Idle { from } = self.stage else {
            return;
        };
        if from > desk.now.instant || self.is_writing || desk.stored.contains_key(&self.at) {
            return;
        }
        if idlest(desk.workers, &wanted.agent, self.kind, &[]).is_some() {
            self.own = Some(self.fresh(v1::JobStatus::JobPending));
            self.stage = Stage::Claiming;
        }
    }

    /// Asks the idlest worker; when all have refused, others may have it.
    fn ask(&mut self, desk: &mut Desk<'_>, wanted: &Wanted, whom: Option<&v1::Participant>) {
        let (Stage::Wanting, Some(own)) = (self.stage, &self.own) else {
            return;
        };
        let Some(worker) = idlest(desk.workers, &wanted.agent, self.kind, &self.refused) else {
            self.let_go(desk.now.instant + AGAIN);
            return;
        };
        let request = lk::AvailabilityRequest {
            job: Some(message(own, desk.room, wanted, whom)),
            resuming: self.was_held,
        };
        let until = desk.now.instant + ANSWER;
        self.stage = Stage::Asked { worker, until };
        if let Some(asked) = desk.workers.get_mut(&worker) {
            asked.on_asked();
        }
        let told = Tell::Availability(request);
        desk.acts.push(Act::Tell(worker, Box::new(told)));
    }

    /// A worker does not want it.
    pub(super) fn refuse(&mut self, worker: WorkerKey) {
        self.refused.push(worker);
        self.stage = Stage::Wanting;
    }

    /// A worker takes it.
    pub(super) fn take(&mut self, now: Now, worker: WorkerKey, identity: String) {
        self.stage = Stage::Held { worker };
        self.was_held = true;
        self.refused.clear();
        if let Some(own) = &mut self.own {
            own.status = v1::JobStatus::JobRunning.into();
            own.started_at = Some(now.timestamp());
            own.worker_id = worker.id();
            own.agent_identity = identity;
        }
    }

    /// It is over.
    pub(super) fn finish(&mut self, now: Now, status: v1::JobStatus, error: String) {
        self.stage = Stage::Over;
        if let Some(own) = &mut self.own {
            own.status = status.into();
            own.error = error;
            own.ended_at = Some(now.timestamp());
        }
    }

    /// A worker is gone; it may come back until then.
    pub(super) fn on_lost(&mut self, worker: WorkerKey, until: Instant) {
        self.refused.retain(|refused| *refused != worker);
        match self.stage {
            Stage::Asked { worker: asked, .. } if asked == worker => self.stage = Stage::Wanting,
            Stage::Held { worker: holder } if holder == worker => {
                self.stage = Stage::Orphaned { until };
            }
            _ => {}
        }
    }

    /// A commit is over.
    pub(super) fn on_written(&mut self, now: Instant, is_done: bool) {
        self.is_writing = false;
        if is_done {
            self.is_taken_over = false;
        } else {
            // What there is instead will be told.
            self.quiet_until = now + AGAIN;
        }
    }

    /// Brings the record in step.
    fn write(&mut self, desk: &mut Desk<'_>, is_wanted: bool) {
        if self.is_writing || desk.now.instant < self.quiet_until {
            return;
        }
        let stored = desk.stored.get(&self.at);
        let is_ours = stored.is_some_and(|(record, _)| record.replica == desk.replica);
        let is_ended = stored.is_some_and(|(record, _)| record.job.as_ref().is_none_or(is_over));
        let is = stored.map_or(Is::Absent, |(_, revision)| Is::At(*revision));
        let record = match (&self.own, stored) {
            (Some(own), Some((record, _))) if is_ours && record.job.as_ref() == Some(own) => return,
            (Some(own), _) => Some(JobRecord {
                job: Some(own.clone()),
                replica: desk.replica.to_owned(),
            }),
            (None, Some(_)) if (is_ours && !is_ended) || (is_ended && !is_wanted) => None,
            (None, _) => return,
        };
        self.is_writing = true;
        desk.acts.push(Act::Write(Box::new(Writing {
            at: self.at.clone(),
            room: desk.room.name.clone(),
            is,
            is_leased: self.stage != Stage::Over,
            record,
        })));
    }
}

/// Tells a worker to end a job.
pub(super) fn terminate(worker: WorkerKey, job_id: &str) -> Act {
    let termination = lk::JobTermination {
        job_id: job_id.to_owned(),
    };
    Act::Tell(worker, Box::new(Tell::Termination(termination)))
}

fn is_over(job: &v1::AgentJob) -> bool {
    matches!(
        job.status(),
        v1::JobStatus::JobSucceeded | v1::JobStatus::JobFailed
    )
}

/// A job as workers read it.
pub(super) fn message(
    own: &v1::AgentJob,
    room: &v1::Room,
    wanted: &Wanted,
    whom: Option<&v1::Participant>,
) -> lk::Job {
    lk::Job {
        dispatch_id: wanted.id.clone(),
        room: Some(model::room(room.clone(), &[])),
        participant: whom.cloned().map(model::participant),
        metadata: wanted.agent.metadata.clone(),
        agent_name: wanted.agent.agent_name.clone(),
        attributes: wanted.agent.attributes.clone().into_iter().collect(),
        deployment: wanted.agent.deployment.clone(),
        ..model::agent_job(own.clone())
    }
}

impl Kind {
    /// In the names of slots.
    pub(super) fn letter(self) -> char {
        match self {
            Self::Room => 'r',
            Self::Publisher => 'p',
            Self::Participant => 'j',
        }
    }
}

impl From<Kind> for v1::JobKind {
    fn from(kind: Kind) -> Self {
        match kind {
            Kind::Room => Self::JobRoom,
            Kind::Publisher => Self::JobPublisher,
            Kind::Participant => Self::JobParticipant,
        }
    }
}

impl From<lk::JobType> for Kind {
    fn from(kind: lk::JobType) -> Self {
        match kind {
            lk::JobType::JtRoom => Self::Room,
            lk::JobType::JtPublisher => Self::Publisher,
            lk::JobType::JtParticipant => Self::Participant,
        }
    }
}
