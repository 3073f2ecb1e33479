//! The control planes that a node speaks to: any of them will do. Owns which one is asked. Must not know what about.

use std::time::Duration;

use plenum_proto::cluster::registry_client::RegistryClient;
use plenum_service::cluster::Known;
use tokio::time::timeout;
use tonic::{Response, Status};

/// How long a control plane may take to answer.
pub(super) const ANSWER: Duration = Duration::from_secs(2);

/// All of them.
#[derive(Clone)]
pub(super) struct ControlPlanes {
    clients: Vec<RegistryClient<Known>>,
    /// The one that is asked first.
    first: usize,
}

impl ControlPlanes {
    pub(super) fn new(clients: Vec<RegistryClient<Known>>) -> Self {
        Self { clients, first: 0 }
    }

    /// Asks one after the other until one answers, the one that did last first.
    ///
    /// # Errors
    /// None does, and what the last one said.
    pub(super) async fn ask<T, F>(
        &mut self,
        ask: impl Fn(RegistryClient<Known>) -> F,
    ) -> Result<T, Status>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let mut problem = Status::unavailable("none is configured");
        for turn in 0..self.clients.len() {
            let at = (self.first + turn) % self.clients.len();
            match timeout(ANSWER, ask(self.clients[at].clone())).await {
                Ok(Ok(answer)) => {
                    self.first = at;
                    return Ok(answer.into_inner());
                }
                Ok(Err(status)) => problem = status,
                Err(_) => problem = Status::deadline_exceeded("no answer in time"),
            }
        }
        Err(problem)
    }
}
