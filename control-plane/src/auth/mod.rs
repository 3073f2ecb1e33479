//! Access tokens: who may do what. Owns verifying and minting them and the questions asked of their
//! grants. Must not know transports, rooms' state, or how a refusal is worded on a given wire.
//!
//! A token is a JWT (RFC 7519) signed with HS256 (RFC 7518 section 3.2) by the secret of an API
//! key, in the claim layout that client and backend SDKs already produce.

mod claims;
mod error;
mod keys;
mod verified;

#[cfg(test)]
mod tests;

pub use claims::{AgentClaim, Claims, RoomConfigClaim, VideoGrants};
pub use error::{GrantError, KeysError, MintError, Part, TokenError};
pub use keys::{Keys, LEEWAY, MAX_TOKEN_BYTES, MIN_SECRET_BYTES, MintRequest};
pub use verified::Verified;

use http::{HeaderMap, header::AUTHORIZATION};

/// The token of an `Authorization: Bearer` header (RFC 6750). gRPC metadata is such a map as well:
/// `bearer(request.metadata().as_ref())`.
///
/// # Errors
/// [`TokenError::Missing`] without the header or with another scheme.
pub fn bearer(headers: &HeaderMap) -> Result<&str, TokenError> {
    let value = headers.get(AUTHORIZATION).ok_or(TokenError::Missing)?;
    let value = value
        .to_str()
        .map_err(|_| TokenError::Malformed(Part::Shape))?;
    let (scheme, token) = value.trim().split_once(' ').ok_or(TokenError::Missing)?;
    if !scheme.eq_ignore_ascii_case("bearer") || token.trim().is_empty() {
        return Err(TokenError::Missing);
    }
    Ok(token.trim())
}
