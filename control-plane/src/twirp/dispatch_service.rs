//! `livekit.AgentDispatchService`: each method mapped onto a call of ours and its answer back. Must not hold rules of
//! its own.

use std::sync::Arc;

use axum::response::Response;
use livekit_protocol as lk;
use plenum_proto::v1;

use super::{error::TwirpError, incoming::Incoming, model::agent_wish};
use crate::{
    api::Calls,
    auth::Verified,
    error::CallError,
    signal::translate::model::{agent_job, nanos},
};

/// As it stands in the path.
pub(super) const NAME: &str = "livekit.AgentDispatchService";

/// Answers one method.
pub(super) async fn call(method: &str, incoming: Incoming<'_>) -> Result<Response, TwirpError> {
    match method {
        "CreateDispatch" => incoming.run("AgentService/CreateDispatch", create).await,
        "DeleteDispatch" => incoming.run("AgentService/DeleteDispatch", delete).await,
        "ListDispatch" => incoming.run("AgentService/ListDispatches", list).await,
        _ => Err(TwirpError::bad_route("no handler for path")),
    }
}

async fn create(
    calls: Arc<Calls>,
    caller: Verified,
    request: lk::CreateAgentDispatchRequest,
) -> Result<lk::AgentDispatch, CallError> {
    let agent = lk::RoomAgentDispatch {
        agent_name: request.agent_name,
        metadata: request.metadata,
        restart_policy: request.restart_policy,
        deployment: request.deployment,
        attributes: request.attributes,
    };
    let request = v1::CreateDispatchRequest {
        room: request.room,
        agent: Some(agent_wish(agent)),
    };
    Ok(dispatch(calls.create_dispatch(&caller, request).await?))
}

async fn delete(
    calls: Arc<Calls>,
    caller: Verified,
    request: lk::DeleteAgentDispatchRequest,
) -> Result<lk::AgentDispatch, CallError> {
    let request = v1::DeleteDispatchRequest {
        room: request.room,
        dispatch_id: request.dispatch_id,
    };
    Ok(dispatch(calls.delete_dispatch(&caller, request).await?))
}

async fn list(
    calls: Arc<Calls>,
    caller: Verified,
    request: lk::ListAgentDispatchRequest,
) -> Result<lk::ListAgentDispatchResponse, CallError> {
    let request = v1::ListDispatchesRequest {
        room: request.room,
        dispatch_id: request.dispatch_id,
    };
    let listed = calls.list_dispatches(&caller, request).await?.dispatches;
    let agent_dispatches = listed.into_iter().map(dispatch).collect();
    Ok(lk::ListAgentDispatchResponse { agent_dispatches })
}

/// A dispatch as SDKs read it.
fn dispatch(dispatch: v1::Dispatch) -> lk::AgentDispatch {
    let agent = dispatch.agent.unwrap_or_default();
    let jobs = dispatch.jobs.into_iter().map(|job| lk::Job {
        dispatch_id: dispatch.id.clone(),
        agent_name: agent.agent_name.clone(),
        metadata: agent.metadata.clone(),
        ..agent_job(job)
    });
    let policy = if agent.once {
        lk::JobRestartPolicy::JrpNever
    } else {
        lk::JobRestartPolicy::JrpOnFailure
    };
    lk::AgentDispatch {
        state: Some(lk::AgentDispatchState {
            jobs: jobs.collect(),
            created_at: nanos(dispatch.created_at.as_ref()),
            deleted_at: nanos(dispatch.deleted_at.as_ref()),
        }),
        id: dispatch.id,
        room: dispatch.room,
        agent_name: agent.agent_name,
        metadata: agent.metadata,
        restart_policy: policy.into(),
        deployment: agent.deployment,
        attributes: agent.attributes.into_iter().collect(),
    }
}
