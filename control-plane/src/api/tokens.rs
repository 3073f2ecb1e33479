//! Tokens on demand. Owns what a token may be asked for; who may ask for what is in `auth`.

use std::time::{Duration, SystemTime};

use plenum_proto::v1;

use super::calls::Calls;
use crate::{
    auth::{MintRequest, Verified, VideoGrants},
    error::CallError,
};

/// Life of a token when none is asked for.
const DEFAULT_TTL: Duration = Duration::from_secs(6 * 3600);

/// Longest life: a token cannot be taken back.
const MAX_TTL: Duration = Duration::from_secs(30 * 24 * 3600);

impl Calls {
    /// Makes a token for a participant, with no more than the asking token may do.
    #[expect(clippy::unused_async, reason = "one shape for all calls")]
    pub(crate) async fn create_token(
        &self,
        caller: &Verified,
        request: v1::CreateTokenRequest,
    ) -> Result<v1::CreateTokenResponse, CallError> {
        caller.require_token_create()?;
        let mut check = super::validate::Check::new(&self.limits);
        check.name("identity", &request.identity);
        check.optional_name("name", &request.name);
        check.metadata("metadata", &request.metadata);
        check.attributes("attributes", &request.attributes);
        check.name("room", &request.room);
        check.permissions(
            "permissions.can_publish_sources",
            request.permissions.as_ref(),
        );
        let ttl = match request.ttl.map(Duration::try_from) {
            None => DEFAULT_TTL,
            Some(Ok(ttl)) if ttl >= Duration::from_secs(1) && ttl <= MAX_TTL => ttl,
            Some(_) => {
                check.refuse("ttl", "must be from 1s to 720h");
                DEFAULT_TTL
            }
        };
        check.finish()?;

        let mut grants = VideoGrants {
            room_join: true,
            room: request.room,
            room_admin: request.room_admin,
            // Not a right of the token in a room, but part of what must be covered.
            destination_room: caller.grants().destination_room.clone(),
            ..VideoGrants::default()
        };
        if let Some(permissions) = &request.permissions {
            grants.set_permissions(permissions);
        }
        caller.require_covers(&grants)?;
        grants.destination_room.clear();

        let expires_at = SystemTime::now() + ttl;
        let token = self.keys.mint(
            caller.api_key(),
            MintRequest {
                identity: request.identity,
                name: request.name,
                metadata: request.metadata,
                attributes: request.attributes,
                grants,
                ttl,
                ..MintRequest::default()
            },
        )?;
        Ok(v1::CreateTokenResponse {
            token,
            expires_at: Some(expires_at.into()),
        })
    }
}
