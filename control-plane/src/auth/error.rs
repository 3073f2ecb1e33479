//! What can be wrong with a token, its grants, or the key file. Must not name status codes: each
//! surface words its own refusals.

/// Why a token was refused. All but [`UnknownKey`](Self::UnknownKey) and
/// [`BadSignature`](Self::BadSignature) tell the holder something it could have known itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The request carries none.
    #[error("no access token")]
    Missing,
    /// Longer than [`MAX_TOKEN_BYTES`](super::MAX_TOKEN_BYTES).
    #[error("access token too long")]
    TooLong,
    /// Not a JWT, or with a claim of the wrong type.
    #[error("malformed access token: {0}")]
    Malformed(Part),
    /// Signed in another way than HS256, or not at all.
    #[error("access token is not signed with HS256")]
    WrongAlgorithm,
    /// Its issuer is no API key of ours.
    #[error("access token of an unknown API key")]
    UnknownKey,
    /// Signed with another secret, or changed since.
    #[error("access token has a wrong signature")]
    BadSignature,
    /// Its time is over.
    #[error("access token has expired")]
    Expired,
    /// Its time has not come.
    #[error("access token is not valid yet")]
    NotYetValid,
    /// It would be valid for ever.
    #[error("access token has no expiry")]
    MissingExpiry,
}

/// The part of a token that could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Not three parts of base64url with dots between.
    Shape,
    /// The first part.
    Header,
    /// The second part.
    Claims,
    /// The third part.
    Signature,
}

impl std::fmt::Display for Part {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Shape => "not a signed JWT",
            Self::Header => "header",
            Self::Claims => "claims",
            Self::Signature => "signature",
        })
    }
}

/// What the holder of a good token may not do with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// The token lacks this grant.
    #[error("access token lacks the grant {0}")]
    Lacks(&'static str),
    /// The token is for another room.
    #[error("access token is for another room")]
    OtherRoom,
    /// The token names no room.
    #[error("access token names no room")]
    NoRoom,
    /// The token names no participant.
    #[error("access token has no identity")]
    NoIdentity,
}

/// What is wrong with the configured API keys; the operator's to mend.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    /// An API key without a name.
    #[error("an API key has an empty name")]
    EmptyName,
    /// Anybody could sign with it.
    #[error("API key \"{0}\" has an empty secret")]
    EmptySecret(String),
    /// Two secrets for one key.
    #[error("API key \"{0}\" is given twice")]
    Duplicate(String),
}

/// Why no token was made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MintError {
    /// The caller names an API key that is not configured.
    #[error("unknown API key")]
    UnknownKey,
    /// The caller asks for more than fits into a token that we would accept.
    #[error("token would be too long")]
    TooLong,
    /// The signing library failed; ours.
    #[error("signing failed")]
    Signing(#[source] jsonwebtoken::errors::Error),
}
