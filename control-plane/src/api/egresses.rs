//! Calls about media that goes out without WebRTC. Owns who may have it sent; the node that is home of the room does the
//! rest, and judges where it may go. Must not know what is sent.

use plenum_proto::{
    node::{admin_reply::Kind as Reply, admin_request::Kind as Command},
    v1,
};

use super::calls::{Calls, done};
use crate::{auth::Verified, error::CallError};

impl Calls {
    /// Sends the media of a participant somewhere.
    pub(crate) async fn create_egress(
        &self,
        caller: &Verified,
        request: v1::CreateEgressRequest,
    ) -> Result<v1::Egress, CallError> {
        caller.require_room_record()?;
        let mut check = self.check();
        check.name("room", &request.room);
        check.name("identity", &request.identity);
        check.name("from_identity", &request.from_identity);
        if request.identity == request.from_identity {
            check.refuse(
                "identity",
                "must not be that of the participant whose media is sent",
            );
        }
        check.finish()?;
        let room = request.room.clone();
        match self.command(room, Command::CreateEgress(request)).await? {
            Reply::Egress(egress) => Ok(egress),
            _ => Err(CallError::UnexpectedReply),
        }
    }

    /// Sinks of a room, or of all.
    pub(crate) async fn list_egresses(
        &self,
        caller: &Verified,
        request: v1::ListEgressesRequest,
    ) -> Result<v1::ListEgressesResponse, CallError> {
        caller.require_room_record()?;
        self.cluster.list_egresses(request).await
    }

    /// Ends a sink.
    pub(crate) async fn delete_egress(
        &self,
        caller: &Verified,
        request: v1::DeleteEgressRequest,
    ) -> Result<v1::DeleteEgressResponse, CallError> {
        caller.require_room_record()?;
        let mut check = self.check();
        check.name("room", &request.room);
        check.name("id", &request.id);
        check.finish()?;
        let room = request.room.clone();
        done(self.command(room, Command::DeleteEgress(request)).await?)?;
        Ok(v1::DeleteEgressResponse {})
    }
}
