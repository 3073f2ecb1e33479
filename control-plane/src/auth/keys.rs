//! API keys and their secrets: verifies and mints tokens. Owns the secrets and never shows them.
//! Must not judge grants. RFC 7515 (signature), RFC 7519 section 4.1 (times), RFC 8725 (one
//! algorithm).

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use serde::Deserialize;

use super::{
    Claims, KeysError, MintError, Part, RoomConfigClaim, TokenError, Verified, VideoGrants,
};

/// Longest token that is looked at.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

/// How far the clocks of an issuer and ours may be apart.
pub const LEEWAY: Duration = Duration::from_secs(60);

/// Shorter secrets can be guessed: RFC 7518 section 3.2 asks for the size of the hash.
pub const MIN_SECRET_BYTES: usize = 32;

/// The configured API keys.
#[derive(Clone, Default)]
pub struct Keys {
    by_name: BTreeMap<String, Key>,
}

#[derive(Clone)]
struct Key {
    sign: EncodingKey,
    verify: DecodingKey,
    is_weak: bool,
}

/// A token to be made.
#[derive(Debug, Clone, Default)]
pub struct MintRequest {
    /// Who will hold it; empty for tokens of backends.
    pub identity: String,
    /// Display name.
    pub name: String,
    /// Free text of the application.
    pub metadata: String,
    /// Key and value pairs of the application.
    pub attributes: BTreeMap<String, String>,
    /// "standard", "agent" and so on; empty = standard.
    pub kind: String,
    /// What the holder may do.
    pub grants: VideoGrants,
    /// Settings of the room that the join creates.
    pub room_config: Option<RoomConfigClaim>,
    /// Base64 of the SHA-256 of the body the token covers; empty = none.
    pub sha256: String,
    /// How long it is valid, from now on.
    pub ttl: Duration,
}

#[derive(Deserialize)]
struct JoseHeader {
    alg: String,
    // RFC 7515 section 4.1.11: what is critical and unknown must be refused, and we know none.
    crit: Option<serde::de::IgnoredAny>,
}

#[derive(Deserialize)]
struct Issuer {
    #[serde(default)]
    iss: String,
}

impl Keys {
    /// Takes pairs of API key and secret.
    ///
    /// # Errors
    /// An empty name or secret, or a name given twice.
    pub fn new<K, S>(pairs: impl IntoIterator<Item = (K, S)>) -> Result<Self, KeysError>
    where
        K: Into<String>,
        S: AsRef<[u8]>,
    {
        let mut by_name = BTreeMap::new();
        for (name, secret) in pairs {
            let (name, secret) = (name.into(), secret.as_ref());
            if name.is_empty() {
                return Err(KeysError::EmptyName);
            }
            if secret.is_empty() {
                return Err(KeysError::EmptySecret(name));
            }
            let key = Key {
                sign: EncodingKey::from_secret(secret),
                verify: DecodingKey::from_secret(secret),
                is_weak: secret.len() < MIN_SECRET_BYTES,
            };
            if by_name.insert(name.clone(), key).is_some() {
                return Err(KeysError::Duplicate(name));
            }
        }
        Ok(Self { by_name })
    }

    /// Whether no key is configured, so that nobody can come in.
    pub fn is_empty(&self) -> bool {
        self.by_name.is_empty()
    }

    /// Names of the keys, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_name.keys().map(String::as_str)
    }

    /// Names of keys whose secret is shorter than [`MIN_SECRET_BYTES`], for a warning at start.
    pub fn weak(&self) -> impl Iterator<Item = &str> {
        self.by_name
            .iter()
            .filter(|(_, key)| key.is_weak)
            .map(|(name, _)| name.as_str())
    }

    /// Checks a token against the clock of this machine.
    ///
    /// # Errors
    /// See [`TokenError`]; nothing of a refused token may be used.
    pub fn verify(&self, token: &str) -> Result<Verified, TokenError> {
        self.verify_at(SystemTime::now(), token)
    }

    /// Checks a token as of `now`.
    ///
    /// # Errors
    /// See [`TokenError`]; nothing of a refused token may be used.
    pub fn verify_at(&self, now: SystemTime, token: &str) -> Result<Verified, TokenError> {
        if token.is_empty() {
            return Err(TokenError::Missing);
        }
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::TooLong);
        }
        let shape = || TokenError::Malformed(Part::Shape);
        let (message, signature) = token.rsplit_once('.').ok_or_else(shape)?;
        let (header, payload) = message.split_once('.').ok_or_else(shape)?;
        if payload.contains('.') {
            return Err(shape());
        }
        check_header(header)?;
        let payload = decode(payload, Part::Claims)?;
        // Before the signature is checked nothing but the issuer is looked at, to find the secret.
        let issuer: Issuer = parse(&payload, Part::Claims)?;
        let key = self
            .by_name
            .get(&issuer.iss)
            .ok_or(TokenError::UnknownKey)?;
        decode(signature, Part::Signature)?;
        let verified = jsonwebtoken::crypto::verify(
            signature,
            message.as_bytes(),
            &key.verify,
            Algorithm::HS256,
        );
        if verified != Ok(true) {
            return Err(TokenError::BadSignature);
        }
        let claims: Claims = parse(&payload, Part::Claims)?;
        check_times(seconds(now), &claims)?;
        Ok(Verified::new(claims))
    }

    /// Makes a token, valid from now on.
    ///
    /// # Errors
    /// An API key that is not configured, or a token that [`verify`](Self::verify) would refuse.
    pub fn mint(&self, key: &str, request: MintRequest) -> Result<String, MintError> {
        self.mint_at(SystemTime::now(), key, request)
    }

    /// Makes a token, valid from `now` on.
    ///
    /// # Errors
    /// As [`mint`](Self::mint).
    pub fn mint_at(
        &self,
        now: SystemTime,
        key: &str,
        request: MintRequest,
    ) -> Result<String, MintError> {
        let now = seconds(now);
        self.sign(&Claims {
            iss: key.to_owned(),
            sub: request.identity,
            jti: String::new(),
            nbf: Some(now),
            exp: Some(now.saturating_add(request.ttl.as_secs())),
            name: request.name,
            metadata: request.metadata,
            attributes: (!request.attributes.is_empty()).then_some(request.attributes),
            kind: request.kind,
            sha256: request.sha256,
            video: Some(request.grants),
            room_config: request.room_config,
        })
    }

    /// Makes a token with the claims of `verified` that is valid for `ttl` from `now` on, or until
    /// the original expiry if that is later: so that a holder who stays can come back. Texts of the
    /// application that have grown too long for a token meanwhile are left out of it.
    ///
    /// # Errors
    /// As [`mint`](Self::mint); the API key may have been taken away meanwhile.
    pub fn refresh_at(
        &self,
        now: SystemTime,
        verified: &Verified,
        ttl: Duration,
    ) -> Result<String, MintError> {
        let now = seconds(now);
        let mut claims = verified.claims().clone();
        let until = now.saturating_add(ttl.as_secs());
        claims.exp = Some(claims.exp.map_or(until, |exp| exp.max(until)));
        claims.nbf = Some(now);
        match self.sign(&claims) {
            Err(MintError::TooLong) => {
                claims.metadata.clear();
                claims.attributes = None;
                self.sign(&claims)
            }
            signed => signed,
        }
    }

    fn sign(&self, claims: &Claims) -> Result<String, MintError> {
        let key = self.by_name.get(&claims.iss).ok_or(MintError::UnknownKey)?;
        let token = jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key.sign)
            .map_err(MintError::Signing)?;
        if token.len() > MAX_TOKEN_BYTES {
            return Err(MintError::TooLong);
        }
        Ok(token)
    }
}

/// Names only: a secret must not reach a log by accident.
impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_name.keys()).finish()
    }
}

fn check_header(header: &str) -> Result<(), TokenError> {
    let header: JoseHeader = parse(&decode(header, Part::Header)?, Part::Header)?;
    if header.alg != "HS256" {
        return Err(TokenError::WrongAlgorithm);
    }
    if header.crit.is_some() {
        return Err(TokenError::Malformed(Part::Header));
    }
    Ok(())
}

fn check_times(now: u64, claims: &Claims) -> Result<(), TokenError> {
    let leeway = LEEWAY.as_secs();
    let exp = claims.exp.ok_or(TokenError::MissingExpiry)?;
    if now > exp.saturating_add(leeway) {
        return Err(TokenError::Expired);
    }
    if claims
        .nbf
        .is_some_and(|nbf| nbf > now.saturating_add(leeway))
    {
        return Err(TokenError::NotYetValid);
    }
    Ok(())
}

fn decode(text: &str, part: Part) -> Result<Vec<u8>, TokenError> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| TokenError::Malformed(part))
}

fn parse<T: serde::de::DeserializeOwned>(json: &[u8], part: Part) -> Result<T, TokenError> {
    // A struct would also be read from a list of its values; RFC 7519 section 7.2 asks for an
    // object.
    if json.trim_ascii_start().first() != Some(&b'{') {
        return Err(TokenError::Malformed(part));
    }
    serde_json::from_slice(json).map_err(|_| TokenError::Malformed(part))
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs()
}
