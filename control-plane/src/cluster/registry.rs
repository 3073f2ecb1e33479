//! The service that media nodes report to. Owns how a report becomes an entry of the store. Must not talk back to
//! nodes.

use std::sync::Arc;

use plenum_proto::cluster::{
    CheckRoomsRequest, CheckRoomsResponse, FindHomeRequest, FindHomeResponse, Lease, NodeReport,
    WithdrawRequest, WithdrawResponse, registry_server::Registry,
};
use prost::Message as _;
use tonic::{Request, Response, Status};

use super::{Cluster, key};
use crate::store::{Commit, Is, LeaseId, Outcome, StoreError};

/// Bytes of one text of a report.
const MAX_TEXT: usize = 256;

/// Addresses of one report.
const MAX_ADDRESSES: usize = 16;

/// Rooms asked about at once.
const MAX_ROOMS: usize = 1000;

/// Takes the reports of nodes.
pub struct RegistryService {
    cluster: Arc<Cluster>,
}

impl RegistryService {
    /// Keeps them in the cluster's store.
    pub fn new(cluster: Arc<Cluster>) -> Self {
        Self { cluster }
    }
}

impl Cluster {
    /// Keeps a report; whether the node was not known.
    pub(crate) async fn keep_report(&self, report: &NodeReport) -> Result<bool, StoreError> {
        let id = &report.node_id;
        let lease = LeaseId::of(id);
        let is_fresh = self.store().lease(lease, self.lease()).await?;
        // A report that says nothing new only renews.
        let is_told = self
            .nodes()
            .find(id)
            .is_some_and(|member| member.report == *report);
        if is_fresh || !is_told {
            let commit = Commit::default().put_leased(key::node(id), report.encode_to_vec(), lease);
            if self.store().commit(commit).await? == Outcome::Conflict {
                return Err(StoreError::Unavailable(
                    "the lease ended at once".to_owned(),
                ));
            }
        }
        Ok(is_fresh)
    }

    /// A node goes. All replicas are told that it means to, so that none takes it for lost.
    pub(super) async fn node_goes(&self, id: &str) -> Result<(), StoreError> {
        let lease = LeaseId::of(id);
        let member = self.nodes().find(id);
        if let Some(member) = member.filter(|member| !member.report.draining) {
            let report = NodeReport {
                draining: true,
                ..member.report.clone()
            };
            let commit = Commit::default()
                .when(key::node(id), Is::Present)
                .put_leased(key::node(id), report.encode_to_vec(), lease);
            self.store().commit(commit).await?;
        }
        self.store().revoke(lease).await
    }
}

#[tonic::async_trait]
impl Registry for RegistryService {
    async fn report(&self, request: Request<NodeReport>) -> Result<Response<Lease>, Status> {
        let report = request.into_inner();
        check(&report)?;
        let is_fresh = self.cluster.keep_report(&report).await.map_err(refused)?;
        let ttl = prost_types::Duration::try_from(self.cluster.lease())
            .map_err(|_| Status::internal("the lease is too long"))?;
        Ok(Response::new(Lease {
            ttl: Some(ttl),
            is_fresh,
        }))
    }

    async fn check_rooms(
        &self,
        request: Request<CheckRoomsRequest>,
    ) -> Result<Response<CheckRoomsResponse>, Status> {
        let CheckRoomsRequest { node_id, rooms } = request.into_inner();
        if rooms.len() > MAX_ROOMS {
            return Err(Status::invalid_argument(format!(
                "rooms: at most {MAX_ROOMS} at once"
            )));
        }
        let lost = self.cluster.lost(&node_id, rooms).await.map_err(refused)?;
        Ok(Response::new(CheckRoomsResponse { lost }))
    }

    async fn find_home(
        &self,
        request: Request<FindHomeRequest>,
    ) -> Result<Response<FindHomeResponse>, Status> {
        let FindHomeRequest {
            node_id,
            room,
            room_id,
        } = request.into_inner();
        let found = self.cluster.find_home(&node_id, &room, &room_id).await;
        let found = found.map_err(|error| Status::unavailable(error.to_string()))?;
        Ok(Response::new(FindHomeResponse {
            home: found.map(|located| located.home_node()),
        }))
    }

    async fn withdraw(
        &self,
        request: Request<WithdrawRequest>,
    ) -> Result<Response<WithdrawResponse>, Status> {
        let id = request.into_inner().node_id;
        self.cluster.node_goes(&id).await.map_err(refused)?;
        Ok(Response::new(WithdrawResponse {}))
    }
}

#[expect(
    clippy::needless_pass_by_value,
    reason = "used as a function for map_err"
)]
fn refused(error: StoreError) -> Status {
    Status::unavailable(error.to_string())
}

fn check(report: &NodeReport) -> Result<(), Status> {
    let refuse =
        |field: &str, problem: &str| Err(Status::invalid_argument(format!("{field}: {problem}")));
    if report.node_id.parse::<plenum_proto::ids::NodeId>().is_err() {
        return refuse("node_id", "must be the id of a node");
    }
    let addresses = report.relay_addresses.iter();
    let texts = [
        &report.address,
        &report.region,
        &report.zone,
        &report.version,
    ];
    if texts
        .into_iter()
        .chain(addresses)
        .any(|text| text.len() > MAX_TEXT)
    {
        return refuse("report", "a text is too long");
    }
    if report.relay_addresses.len() > MAX_ADDRESSES {
        return refuse("relay_addresses", "too many");
    }
    if report.address.is_empty() {
        return refuse("address", "must be set");
    }
    Ok(())
}
