//! What workers say. Owns which word of whom counts: that of the worker which was asked, or has the job.

use std::collections::BTreeSet;

use livekit_protocol as lk;
use plenum_proto::v1;

use super::{
    AGENT_NAME, Act, Assignment, Board, Now, Wanted, WorkerKey, dispatch,
    job::{Stage, message},
    worker::{MAX_NAME, RegisterError, Worker},
};

/// Jobs that a worker that came back may have.
const MAX_RETURNED: usize = 1_000;

impl Board {
    /// A worker is there from now on.
    ///
    /// # Errors
    /// It cannot be taken.
    pub(crate) fn register(
        &mut self,
        now: Now,
        key: WorkerKey,
        request: lk::RegisterWorkerRequest,
    ) -> Result<Vec<Act>, RegisterError> {
        let worker = Worker::new(request)?;
        self.skills.insert(worker.skill.clone());
        self.workers.insert(key, worker);
        Ok(self.tick(now))
    }

    /// A worker is gone. What it had waits for it to come back; what it was asked for is asked of others.
    pub(crate) fn on_lost(&mut self, now: Now, key: WorkerKey) -> Vec<Act> {
        self.workers.remove(&key);
        let skills = self.workers.values().map(|worker| worker.skill.clone());
        self.skills = skills.collect();
        self.returned.retain(|_, (worker, _)| *worker != key);
        let until = now.instant + self.patience;
        for room in self.rooms.values_mut() {
            for job in room.jobs.values_mut() {
                job.on_lost(key, until);
            }
        }
        self.tick(now)
    }

    /// A worker says how busy it is.
    pub(crate) fn on_status(&mut self, key: WorkerKey, status: &lk::UpdateWorkerStatus) {
        if let Some(worker) = self.workers.get_mut(&key) {
            worker.on_status(status);
        }
    }

    /// A worker says whether it takes a job that it was asked for.
    pub(crate) fn on_answer(
        &mut self,
        now: Now,
        key: WorkerKey,
        answer: lk::AvailabilityResponse,
    ) -> Vec<Act> {
        let Some(slot) = dispatch::slot_of(&answer.job_id) else {
            return Vec::new();
        };
        let (Some(room), Some(worker)) =
            (self.rooms.get_mut(&slot.room_id), self.workers.get(&key))
        else {
            return Vec::new();
        };
        let Some(job) = room.jobs.get_mut(&slot.name) else {
            return Vec::new();
        };
        let is_asked = matches!(job.stage, Stage::Asked { worker, .. } if worker == key);
        let is_this = job.own.as_ref().is_some_and(|own| own.id == answer.job_id);
        if !is_asked || !is_this {
            return Vec::new();
        }
        let mut acts = Vec::new();
        if !answer.available {
            if answer.terminate {
                // Nobody is needed for it.
                job.finish(now, v1::JobStatus::JobSucceeded, String::new());
            } else {
                job.refuse(key);
            }
        } else {
            let wanted = dispatch::wanted(&room.info, &room.wishes, &self.stored.dispatches);
            let wanted = wanted.iter().find(|wanted| wanted.id == job.dispatch_id);
            let identity = match answer.participant_identity.as_str() {
                "" => format!("agent-{}", answer.job_id),
                named => named.to_owned(),
            };
            job.take(now, key, identity.clone());
            let whom = job
                .participant_id
                .as_ref()
                .and_then(|id| room.members.get(id));
            if let (Some(own), Some(wanted)) = (&job.own, wanted) {
                acts.push(Act::Assign(
                    key,
                    Box::new(Assignment {
                        job: message(own, &room.info, wanted, whom.map(|member| &member.info)),
                        identity,
                        name: answer.participant_name,
                        metadata: answer.participant_metadata,
                        attributes: attributes(answer.participant_attributes, wanted),
                        permissions: worker.permissions.clone(),
                    }),
                ));
            }
        }
        acts.extend(self.settle(now, &slot.room_id));
        acts
    }

    /// A worker says how a job that it has goes.
    pub(crate) fn on_job_status(
        &mut self,
        now: Now,
        key: WorkerKey,
        update: lk::UpdateJobStatus,
    ) -> Vec<Act> {
        let status = match update.status() {
            lk::JobStatus::JsSuccess => v1::JobStatus::JobSucceeded,
            lk::JobStatus::JsFailed => v1::JobStatus::JobFailed,
            lk::JobStatus::JsPending | lk::JobStatus::JsRunning => return Vec::new(),
        };
        let Some(slot) = dispatch::slot_of(&update.job_id) else {
            return Vec::new();
        };
        let room = self.rooms.get_mut(&slot.room_id);
        let Some(job) = room.and_then(|room| room.jobs.get_mut(&slot.name)) else {
            return Vec::new();
        };
        let is_this = job.own.as_ref().is_some_and(|own| own.id == update.job_id);
        if !is_this || job.stage != (Stage::Held { worker: key }) {
            return Vec::new();
        }
        job.finish(now, status, update.error.chars().take(MAX_NAME).collect());
        self.settle(now, &slot.room_id)
    }

    /// A worker that came back says which jobs it still has.
    pub(crate) fn on_return(&mut self, now: Now, key: WorkerKey, jobs: Vec<String>) -> Vec<Act> {
        let mut rooms = BTreeSet::new();
        for id in jobs.into_iter().take(MAX_RETURNED) {
            if let Some(slot) = dispatch::slot_of(&id) {
                rooms.insert(slot.room_id.clone());
                self.returned.insert(slot, (key, id));
            }
        }
        let settled = rooms.iter().flat_map(|room_id| self.settle(now, room_id));
        settled.collect()
    }
}

/// What an agent says of itself, and the name by which it was wanted.
fn attributes(
    own: impl IntoIterator<Item = (String, String)>,
    wanted: &Wanted,
) -> std::collections::BTreeMap<String, String> {
    let name = (AGENT_NAME.to_owned(), wanted.agent.agent_name.clone());
    own.into_iter().chain([name]).collect()
}
