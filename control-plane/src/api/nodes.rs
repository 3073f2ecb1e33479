//! Calls about media nodes. Owns who may see and empty them; nodes do it themselves. Must not place rooms.

use std::sync::Arc;

use plenum_proto::{
    node::{CordonRequest, DrainRequest},
    v1,
};
use tonic::Status;

use super::calls::Calls;
use crate::{auth::Verified, cluster::Member, error::CallError};

impl Calls {
    /// All nodes.
    #[expect(clippy::unused_async, reason = "one shape for all calls")]
    pub(crate) async fn list_nodes(
        &self,
        caller: &Verified,
        _: v1::ListNodesRequest,
    ) -> Result<v1::ListNodesResponse, CallError> {
        caller.require_node_admin()?;
        let members = self.cluster.nodes().all();
        Ok(v1::ListNodesResponse {
            nodes: members.iter().map(|member| node(member)).collect(),
        })
    }

    /// Whether a node takes new rooms.
    pub(crate) async fn cordon_node(
        &self,
        caller: &Verified,
        request: v1::CordonNodeRequest,
    ) -> Result<v1::CordonNodeResponse, CallError> {
        let member = self.node_of(caller, &request.node_id)?;
        let request = CordonRequest {
            cordoned: request.cordoned,
        };
        member.client.clone().cordon(request).await?;
        Ok(v1::CordonNodeResponse {})
    }

    /// Sends a node's rooms to other nodes.
    pub(crate) async fn drain_node(
        &self,
        caller: &Verified,
        request: v1::DrainNodeRequest,
    ) -> Result<v1::DrainNodeResponse, CallError> {
        let member = self.node_of(caller, &request.node_id)?;
        let request = DrainRequest {
            spread: request.spread,
        };
        member.client.clone().drain(request).await?;
        member.set_draining();
        Ok(v1::DrainNodeResponse {})
    }

    fn node_of(&self, caller: &Verified, id: &str) -> Result<Arc<Member>, CallError> {
        caller.require_node_admin()?;
        let found = self.cluster.nodes().find(id);
        found.ok_or_else(|| Status::not_found(format!("node \"{id}\" does not exist")).into())
    }
}

fn node(member: &Member) -> v1::Node {
    let report = &member.report;
    let load = report.load.unwrap_or_default();
    v1::Node {
        id: report.node_id.clone(),
        region: report.region.clone(),
        zone: report.zone.clone(),
        version: report.version.clone(),
        cordoned: report.cordoned,
        draining: member.is_draining(),
        num_rooms: load.num_rooms,
        num_participants: load.num_participants,
        num_published_tracks: load.num_published_tracks,
        num_subscriptions: load.num_subscriptions,
        load: member.candidate().load,
    }
}
