//! Calls about media that comes in without WebRTC. Owns who may have it taken in, and the room it comes to; the node that is
//! home of the room does the rest. Must not know what is taken in.

use plenum_proto::{
    node::{admin_reply::Kind as Reply, admin_request::Kind as Command},
    v1::{self, RoomConfig},
};

use super::calls::{Calls, done};
use crate::{auth::Verified, error::CallError};

impl Calls {
    /// Takes a source in.
    pub(crate) async fn create_ingress(
        &self,
        caller: &Verified,
        request: v1::CreateIngressRequest,
    ) -> Result<v1::Ingress, CallError> {
        caller.require_ingress_admin()?;
        let mut check = self.check();
        check.name("room", &request.room);
        check.name("identity", &request.identity);
        check.optional_name("name", &request.name);
        check.metadata("metadata", &request.metadata);
        check.finish()?;
        let room = request.room.clone();
        let config = RoomConfig {
            name: room.clone(),
            ..RoomConfig::default()
        };
        self.cluster.create(config).await?;
        match self.command(room, Command::CreateIngress(request)).await? {
            Reply::Ingress(ingress) => Ok(ingress),
            _ => Err(CallError::UnexpectedReply),
        }
    }

    /// Sources of a room, or of all.
    pub(crate) async fn list_ingresses(
        &self,
        caller: &Verified,
        request: v1::ListIngressesRequest,
    ) -> Result<v1::ListIngressesResponse, CallError> {
        caller.require_ingress_admin()?;
        self.cluster.list_ingresses(request).await
    }

    /// Ends a source.
    pub(crate) async fn delete_ingress(
        &self,
        caller: &Verified,
        request: v1::DeleteIngressRequest,
    ) -> Result<v1::DeleteIngressResponse, CallError> {
        caller.require_ingress_admin()?;
        let mut check = self.check();
        check.name("room", &request.room);
        check.name("id", &request.id);
        check.finish()?;
        let room = request.room.clone();
        done(self.command(room, Command::DeleteIngress(request)).await?)?;
        Ok(v1::DeleteIngressResponse {})
    }
}
