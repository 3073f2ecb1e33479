//! Who comes in: token and grants of a request become a join for the node. A pure function of its
//! arguments. Must not talk to a node.

use http::{HeaderMap, header::USER_AGENT};
use plenum_proto::{
    node::{ClientInfo, Join, SessionShape},
    v1,
};

use super::problem::Problem;
use crate::{
    auth::{self, GrantError, Keys, Verified},
    signal::{SignalConfig, admission::check_lengths, pending::Subject},
};

/// Longest make of a client that is kept, in characters.
const MAX_AGENT: usize = 64;

/// What a session is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Purpose {
    /// WHIP.
    Publish,
    /// WHEP: of one participant, or of whoever publishes.
    Play { of: Option<String> },
}

/// A session that may be opened.
#[derive(Debug)]
pub(super) struct Admission {
    pub(super) owner: Subject,
    pub(super) purpose: Purpose,
    pub(super) join: Join,
}

/// The token of a request: of its header, or of its URL for clients that take nothing but a URL.
pub(super) fn token<'a>(
    headers: &'a HeaderMap,
    in_url: Option<&'a str>,
) -> Result<&'a str, Problem> {
    match in_url {
        Some(token) if !token.is_empty() => Ok(token),
        _ => Ok(auth::bearer(headers)?),
    }
}

/// Whom a token stands for.
pub(super) fn subject(verified: &Verified) -> Result<Subject, Problem> {
    Ok(Subject {
        room: verified.require_join()?.to_owned(),
        identity: verified.identity().to_owned(),
    })
}

impl Admission {
    /// Checks the token's grants. `room` is that of the URL, which must be the token's.
    pub(super) fn new(
        keys: &Keys,
        config: &SignalConfig,
        headers: &HeaderMap,
        token: &str,
        room: Option<&str>,
        purpose: Purpose,
    ) -> Result<Self, Problem> {
        let verified = keys.verify(token)?;
        let owner = subject(&verified)?;
        if room.is_some_and(|room| room != owner.room) {
            return Err(GrantError::OtherRoom.into());
        }
        let granted = verified.permissions();
        let (is_granted, grant) = match purpose {
            Purpose::Publish => (granted.can_publish, "canPublish"),
            Purpose::Play { .. } => (granted.can_subscribe, "canSubscribe"),
        };
        if !is_granted {
            return Err(GrantError::Lacks(grant).into());
        }
        let join = join(config, headers, &verified, &owner, &purpose);
        check_lengths(config, &join)?;
        Ok(Self {
            owner,
            purpose,
            join,
        })
    }
}

fn join(
    config: &SignalConfig,
    headers: &HeaderMap,
    verified: &Verified,
    owner: &Subject,
    purpose: &Purpose,
) -> Join {
    let claims = verified.claims();
    let is_publishing = *purpose == Purpose::Publish;
    let kind = match verified.kind() {
        v1::ParticipantKind::Standard if is_publishing => v1::ParticipantKind::Ingress,
        kind => kind,
    };
    let granted = verified.permissions();
    let permissions = v1::Permissions {
        can_publish: is_publishing,
        can_subscribe: !is_publishing,
        can_publish_data: false,
        can_update_metadata: false,
        // Players are an audience, not members.
        hidden: !is_publishing || granted.hidden,
        ..granted
    };
    // Many may play with one token at once, and each stay needs an identity of its own in the room.
    let identity = match purpose {
        Purpose::Publish => owner.identity.clone(),
        Purpose::Play { .. } => format!("{}#{:08x}", owner.identity, rand::random::<u32>()),
    };
    let shape = match purpose {
        Purpose::Publish => SessionShape::PublishOnly,
        Purpose::Play { .. } => SessionShape::SubscribeOnly,
    };
    Join {
        room: Some(verified.room_config(&owner.room)),
        must_exist: !config.auto_create,
        identity,
        name: claims.name.clone(),
        metadata: claims.metadata.clone(),
        attributes: claims.attributes.clone().unwrap_or_default(),
        kind: kind.into(),
        permissions: Some(permissions),
        client: Some(client(headers, is_publishing)),
        shape: shape.into(),
        ..Join::default()
    }
}

fn client(headers: &HeaderMap, is_publishing: bool) -> ClientInfo {
    let agent = headers
        .get(USER_AGENT)
        .and_then(|agent| agent.to_str().ok());
    let agent = agent.unwrap_or_default();
    // Chromium calls itself Safari too.
    let browser = ["Firefox", "Chrome", "Safari"];
    let browser = browser.into_iter().find(|name| agent.contains(name));
    ClientInfo {
        sdk: if is_publishing { "whip" } else { "whep" }.to_owned(),
        version: agent.chars().take(MAX_AGENT).collect(),
        browser: browser.unwrap_or_default().to_ascii_lowercase(),
        ..ClientInfo::default()
    }
}
