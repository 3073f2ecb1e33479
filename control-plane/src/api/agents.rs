//! Dispatching agents: the calls. Must not decide who gets a job.

use plenum_proto::v1;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::calls::Calls;
use crate::{agents::BookError, auth::Verified, error::CallError};

impl Calls {
    /// Sends an agent to a room, which is made if there is none.
    pub(crate) async fn create_dispatch(
        &self,
        caller: &Verified,
        request: v1::CreateDispatchRequest,
    ) -> Result<v1::Dispatch, CallError> {
        let mut check = self.in_room(caller, &request.room)?;
        let agent = request.agent.unwrap_or_default();
        check.agent("agent", &agent);
        check.finish()?;
        let config = v1::RoomConfig {
            name: request.room.clone(),
            ..v1::RoomConfig::default()
        };
        self.cluster.create(config).await?;
        Ok(self.cluster.dispatch(&request.room, agent).await?)
    }

    /// Takes a dispatch back, so that its jobs end.
    pub(crate) async fn delete_dispatch(
        &self,
        caller: &Verified,
        request: v1::DeleteDispatchRequest,
    ) -> Result<v1::Dispatch, CallError> {
        let mut check = self.in_room(caller, &request.room)?;
        check.name("dispatch_id", &request.dispatch_id);
        check.finish()?;
        let taken = self.cluster.withdraw(&request.room, &request.dispatch_id);
        Ok(taken.await?)
    }

    /// What was dispatched to a room.
    pub(crate) async fn list_dispatches(
        &self,
        caller: &Verified,
        request: v1::ListDispatchesRequest,
    ) -> Result<v1::ListDispatchesResponse, CallError> {
        let mut check = self.in_room(caller, &request.room)?;
        check.optional_name("dispatch_id", &request.dispatch_id);
        check.finish()?;
        let listed = self.cluster.dispatches(&request.room, &request.dispatch_id);
        Ok(v1::ListDispatchesResponse {
            dispatches: listed.await?,
        })
    }
}

impl From<BookError> for CallError {
    fn from(error: BookError) -> Self {
        let message = error.to_string();
        match error {
            BookError::Place(error) => error.into(),
            BookError::Full => Status::resource_exhausted(message).into(),
            BookError::NoDispatch => {
                let details = ErrorDetails::with_resource_info("dispatch", "", "", message.clone());
                Status::with_error_details(Code::NotFound, message, details).into()
            }
        }
    }
}
