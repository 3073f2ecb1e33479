//! A worker that has registered. Owns what it serves and how busy it is. Must not know jobs.

use std::collections::BTreeMap;

use livekit_protocol::{self as lk, WorkerStatus};
use plenum_proto::v1;

use super::{WorkerKey, job::Kind};

/// Bytes of the name of an agent, of a deployment, or of an identity.
pub(super) const MAX_NAME: usize = 256;

/// What one job more adds to the load of a worker until it tells its load itself.
const LOAD_OF_JOB: f32 = 0.05;

/// What a worker takes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Skill {
    agent_name: String,
    deployment: String,
    kind: Kind,
}

impl Skill {
    /// That which a job of this kind needs.
    pub(super) fn needed(agent: &v1::AgentWish, kind: Kind) -> Self {
        Self {
            agent_name: agent.agent_name.clone(),
            deployment: agent.deployment.clone(),
            kind,
        }
    }
}

/// A worker.
#[derive(Debug)]
pub(super) struct Worker {
    pub(super) skill: Skill,
    pub(super) permissions: lk::ParticipantPermission,
    load: f32,
    is_full: bool,
    /// Jobs it was asked for since it told its load.
    asked: u16,
}

/// Why a worker is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RegisterError {
    /// The worker's fault.
    #[error("agent_name and deployment must have at most {MAX_NAME} bytes")]
    Name,
    /// The worker's fault: of a later protocol.
    #[error("the type of job is not known")]
    Kind,
}

impl Worker {
    pub(super) fn new(request: lk::RegisterWorkerRequest) -> Result<Self, RegisterError> {
        if request.agent_name.len().max(request.deployment.len()) > MAX_NAME {
            return Err(RegisterError::Name);
        }
        let kind = lk::JobType::try_from(request.r#type).map_err(|_| RegisterError::Kind)?;
        Ok(Self {
            skill: Skill {
                agent_name: request.agent_name,
                deployment: request.deployment,
                kind: kind.into(),
            },
            permissions: request.allowed_permissions.unwrap_or_else(everything),
            load: 0.0,
            is_full: false,
            asked: 0,
        })
    }

    pub(super) fn on_asked(&mut self) {
        self.asked = self.asked.saturating_add(1);
    }

    /// It says how busy it is.
    pub(super) fn on_status(&mut self, status: &lk::UpdateWorkerStatus) {
        let is_number = status.load.is_finite();
        self.load = if is_number {
            status.load.max(0.0)
        } else {
            f32::MAX
        };
        if status.status.is_some() {
            self.is_full = status.status() == WorkerStatus::WsFull;
        }
        self.is_full |= status.draining;
        self.asked = 0;
    }

    fn load(&self) -> f32 {
        self.load + LOAD_OF_JOB * f32::from(self.asked)
    }
}

/// The idlest worker that can, has room, and is not among `refused`.
pub(super) fn idlest(
    workers: &BTreeMap<WorkerKey, Worker>,
    agent: &v1::AgentWish,
    kind: Kind,
    refused: &[WorkerKey],
) -> Option<WorkerKey> {
    let needed = Skill::needed(agent, kind);
    workers
        .iter()
        .filter(|(_, worker)| worker.skill == needed && !worker.is_full)
        .filter(|(key, _)| !refused.contains(key))
        .min_by(|(_, a), (_, b)| a.load().total_cmp(&b.load()))
        .map(|(key, _)| *key)
}

impl WorkerKey {
    /// As workers and the API read it.
    pub(crate) fn id(self) -> String {
        format!("AW_{:016x}", self.0)
    }
}

/// What a worker that does not say may do.
fn everything() -> lk::ParticipantPermission {
    lk::ParticipantPermission {
        can_publish: true,
        can_subscribe: true,
        can_publish_data: true,
        can_update_metadata: true,
        ..Default::default()
    }
}
