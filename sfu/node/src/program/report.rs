//! What the node tells the control planes about itself, and what it learns from it. Owns the pace of reports, the
//! choice of the control plane that takes them, and what follows when the node was not known for a while.
//! Must not end a room because nobody answers: media goes on as long as nobody else claims the room.

use std::{sync::Arc, time::Duration};

use plenum_proto::cluster::{
    CheckRoomsRequest, RoomHeld, WithdrawRequest, registry_client::RegistryClient,
};
use plenum_service::cluster::{Known, Trust, TrustError};
use tokio::{
    sync::watch,
    task::JoinHandle,
    time::{Instant, sleep, timeout},
};
use tonic::{Code, Status};

use super::{
    SfuConfig,
    ask::{ANSWER, ControlPlanes},
    homes,
};
use crate::{node::Node, report::SelfReport, service::Shared};

/// Between reports that nobody took.
const RETRY: Duration = Duration::from_millis(500);

/// Between reports when a control plane names no lease.
const RENEW: Duration = Duration::from_secs(2);

/// Rooms asked about at once.
const ROOMS: usize = 1000;

/// How often the node asks whether its rooms are still its own, though it was always known.
const CHECK: Duration = Duration::from_secs(30);

/// Reports, and asks for homes, for as long as it lives.
pub(super) struct Reporter {
    known: watch::Receiver<bool>,
    task: JoinHandle<()>,
    homes: JoinHandle<()>,
    control_planes: Vec<RegistryClient<Known>>,
    node_id: String,
}

struct Reporting {
    shared: Arc<Shared>,
    control_planes: ControlPlanes,
    address: String,
    zone: String,
    known: watch::Sender<bool>,
    own: SelfReport,
    checked: Instant,
}

impl Reporter {
    pub(super) fn start(
        node: &Node,
        config: &SfuConfig,
        trust: &Trust,
        listening: std::net::SocketAddr,
    ) -> Result<Self, TrustError> {
        let channels = config.cluster.control_planes.iter();
        let control_planes = channels
            .map(|address| trust.channel(address).map(RegistryClient::new))
            .collect::<Result<Vec<_>, _>>()?;
        let (tell, known) = watch::channel(false);
        let shared = node.shared();
        let reporting = Reporting {
            control_planes: ControlPlanes::new(control_planes.clone()),
            address: config
                .cluster
                .advertise
                .clone()
                .unwrap_or_else(|| listening.to_string()),
            zone: config.cluster.zone.clone(),
            known: tell,
            own: node.self_report(),
            checked: Instant::now(),
            shared,
        };
        let asking = homes::find(
            node.shared(),
            ControlPlanes::new(control_planes.clone()),
            config.node.relay.home_timeout,
        );
        Ok(Self {
            homes: tokio::spawn(asking),
            known,
            control_planes,
            node_id: node.id().to_owned(),
            task: tokio::spawn(reporting.run()),
        })
    }

    pub(super) fn is_known(&self) -> watch::Receiver<bool> {
        self.known.clone()
    }

    pub(super) async fn known(&self) {
        // The reporter lives as long as we do.
        let _ = self.known.clone().wait_for(|known| *known).await;
    }

    /// Says that the node goes.
    pub(super) async fn withdraw(&self) {
        self.task.abort();
        for client in &self.control_planes {
            let request = WithdrawRequest {
                node_id: self.node_id.clone(),
            };
            let asked = timeout(ANSWER, client.clone().withdraw(request)).await;
            if matches!(asked, Ok(Ok(_))) {
                return;
            }
        }
        tracing::warn!("no control plane heard that this node goes: its lease will run out");
    }
}

impl Drop for Reporter {
    fn drop(&mut self) {
        self.task.abort();
        self.homes.abort();
    }
}

impl Reporting {
    async fn run(mut self) {
        // Said once, at first too: a node that comes before its control planes, or whose certificates are no good.
        let mut is_said = false;
        loop {
            let pause = match self.report().await {
                Ok(pause) => {
                    is_said = false;
                    if !self.known.send_replace(true) {
                        tracing::info!("a control plane knows this node");
                    }
                    pause
                }
                Err(status) => {
                    let code = status.code();
                    self.known.send_replace(false);
                    if !std::mem::replace(&mut is_said, true) || code == Code::Unauthenticated {
                        let problem = status.message();
                        tracing::warn!(%code, problem, "no control plane takes reports; media goes on");
                    }
                    RETRY
                }
            };
            tokio::select! {
                () = sleep(pause) => {}
                () = self.own.changed() => {}
            }
        }
    }

    /// Tells one control plane; how long to wait until the next time.
    async fn report(&mut self) -> Result<Duration, Status> {
        let report = self.own.say(self.address.clone(), self.zone.clone());
        let lease = self
            .control_planes
            .ask(|mut client| {
                let report = report.clone();
                async move { client.report(report).await }
            })
            .await?;
        let ttl = lease.ttl.and_then(|ttl| Duration::try_from(ttl).ok());
        if lease.is_fresh || self.checked.elapsed() > CHECK {
            self.check_rooms().await?;
            self.checked = Instant::now();
        }
        // Twice a report may be lost.
        Ok(ttl.map_or(RENEW, |ttl| ttl / 3))
    }

    /// Lets go of rooms that others have taken over while this node was not known.
    async fn check_rooms(&mut self) -> Result<(), Status> {
        let homes = self.shared.directory.homes();
        for rooms in homes.chunks(ROOMS) {
            let held = rooms.iter().map(|home| RoomHeld {
                room: home.room.clone(),
                epoch: home.epoch,
                room_id: home.id.clone(),
            });
            let request = CheckRoomsRequest {
                node_id: self.shared.identity.node_id.clone(),
                rooms: held.collect(),
            };
            let answer = self
                .control_planes
                .ask(|mut client| {
                    let request = request.clone();
                    async move { client.check_rooms(request).await }
                })
                .await?;
            for lost in answer.lost {
                self.shared.fence(&lost.room, lost.epoch).await;
            }
        }
        Ok(())
    }
}
