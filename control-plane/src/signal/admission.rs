//! Who comes in: token, grants and parameters of a connection become a join for the node. A pure
//! function of its arguments. Must not talk to a node.

use http::HeaderMap;
use plenum_proto::node::{Join, Resume, SessionShape};
use prost::Message as _;

use super::{
    config::SignalConfig, frame::Encoding, params::Params, pending::Subject, refusal::Refusal,
};
use crate::{
    agents::MAX_WISHES,
    auth::{self, Keys, Verified},
};

/// A connection that may come in.
pub(crate) struct Admission {
    pub(crate) verified: Verified,
    pub(crate) join: Join,
    pub(crate) encoding: Encoding,
    /// Whether this is a second, publish-only connection of an identity.
    pub(crate) is_publish_only: bool,
}

impl Admission {
    /// Checks a connection's token and parameters.
    ///
    /// # Errors
    /// What the client or its backend got wrong.
    pub(crate) fn new(
        keys: &Keys,
        config: &SignalConfig,
        headers: &HeaderMap,
        params: Params,
    ) -> Result<Self, Refusal> {
        let token = match params.access_token.as_deref() {
            Some(token) if !token.is_empty() => token,
            _ => auth::bearer(headers)?,
        };
        let verified = keys.verify(token)?;
        let room = verified.require_join()?.to_owned();
        if let Some(named) = params.room.as_ref().filter(|named| **named != room) {
            let message = format!("the token is for another room than {named:?}");
            return Err(Refusal::BadRequest(message));
        }
        let join = join(config, &verified, room, &params);
        check_lengths(config, &join)?;
        Ok(Self {
            verified,
            join,
            encoding: params.encoding,
            is_publish_only: params.publish.is_some(),
        })
    }

    /// The room to join.
    pub(crate) fn room(&self) -> &str {
        self.join.room.as_ref().map_or("", |room| &room.name)
    }

    /// Whose connections are counted together: all of the token's, whatever name they go by in the room.
    pub(crate) fn subject(&self) -> Subject {
        Subject {
            room: self.room().to_owned(),
            identity: self.verified.identity().to_owned(),
        }
    }

    /// The step of the client protocol that the client speaks.
    pub(crate) fn protocol(&self) -> i32 {
        self.join
            .client
            .as_ref()
            .map_or(0, |client| client.protocol)
    }
}

fn join(config: &SignalConfig, verified: &Verified, room: String, params: &Params) -> Join {
    let claims = verified.claims();
    let mut permissions = verified.permissions();
    let mut identity = verified.identity().to_owned();
    if let Some(suffix) = &params.publish {
        // A stay of its own beside the main one, so it needs a name of its own in the room.
        identity = format!("{identity}#{suffix}");
        permissions.can_subscribe = false;
    }
    let mut attributes = claims.attributes.clone().unwrap_or_default();
    if permissions.can_update_metadata {
        let given = params
            .attributes
            .iter()
            .map(|(key, value)| (key.clone(), value.clone()));
        attributes.extend(given);
    }
    Join {
        room: Some(verified.room_config(&room)),
        must_exist: !config.auto_create,
        identity,
        name: claims.name.clone(),
        metadata: claims.metadata.clone(),
        attributes,
        kind: verified.kind().into(),
        auto_subscribe: params.auto_subscribe && permissions.can_subscribe,
        permissions: Some(permissions),
        adaptive_stream: params.adaptive_stream,
        client: Some(params.client.clone()),
        resume: params
            .resume
            .clone()
            .map(|participant_id| Resume { participant_id }),
        allow_pause: params.allow_pause,
        // Where it goes is found out later.
        home: None,
        room_id: String::new(),
        direct: params.direct,
        shape: SessionShape::TwoWay.into(),
        stands_for: String::new(),
    }
}

/// Checks what a token brings with it, before a node sees it.
///
/// # Errors
/// What is too long; the backend's fault.
pub(crate) fn check_lengths(config: &SignalConfig, join: &Join) -> Result<(), Refusal> {
    let room = join.room.as_ref().map_or("", |room| &room.name);
    for (what, text) in [
        ("identity", join.identity.as_str()),
        ("name", &join.name),
        ("room name", room),
    ] {
        if text.len() > config.max_name_bytes {
            let limit = config.max_name_bytes;
            return Err(Refusal::BadRequest(format!(
                "{what} is longer than {limit} bytes"
            )));
        }
    }
    let agents = join.room.as_ref().map_or(&[][..], |room| &room.agents);
    if agents.len() > MAX_WISHES {
        return Err(Refusal::BadRequest(format!(
            "more than {MAX_WISHES} agents are wanted in the room"
        )));
    }
    let size: usize = agents.iter().map(|agent| agent.encoded_len()).sum();
    if size > config.max_attributes_bytes {
        let limit = config.max_attributes_bytes;
        return Err(Refusal::BadRequest(format!(
            "what is said of agents takes more than {limit} bytes"
        )));
    }
    let size: usize = join
        .attributes
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    if size > config.max_attributes_bytes {
        let limit = config.max_attributes_bytes;
        return Err(Refusal::BadRequest(format!(
            "attributes take more than {limit} bytes"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
