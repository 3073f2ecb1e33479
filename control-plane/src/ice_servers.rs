//! The STUN and TURN servers that clients are told of, with credentials made for each participant.
//!
//! Owns the section `[ice]` of the configuration and the one list that every way to join hands out. Must
//! not know how a client is told: that is each protocol's own. RFC 7064 and 7065 (the URLs),
//! draft-uberti-behave-turn-rest (the credentials).

use std::{
    fmt,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde::{Deserialize, Serialize};
use sfu_node::{Node, TurnSecret};

use crate::signal::span;

/// Which STUN and TURN servers clients are told of, besides the node's own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct IceConfig {
    /// Servers that others run.
    pub servers: Vec<ExternalServer>,
    /// How long a credential made with a `secret` is good for.
    #[serde(with = "span")]
    pub credential_ttl: Duration,
}

/// A STUN or TURN server that others run.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExternalServer {
    /// For example `turn:turn.example.org:3478?transport=tcp`.
    pub urls: Vec<String>,
    /// Of TURN, the same for everybody.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username: String,
    /// Of TURN, the same for everybody.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub credential: String,
    /// Of TURN, in place of the two: shared with the server, makes a credential for each participant
    /// (coturn: `static-auth-secret`).
    #[serde(skip_serializing_if = "String::is_empty")]
    pub secret: String,
}

/// A server as a client is told of it.
#[derive(Clone, PartialEq, Eq)]
pub struct IceServer {
    /// Ways to reach it.
    pub urls: Vec<String>,
    /// Empty for STUN.
    pub username: String,
    /// Empty for STUN.
    pub credential: String,
}

/// All servers; cheap to clone.
#[derive(Clone)]
pub struct IceServers(Arc<Servers>);

struct Servers {
    /// STUN on the node's media ports.
    media_stun: Vec<String>,
    sources: Vec<Source>,
}

/// A server, and where its credentials come from.
struct Source {
    urls: Vec<String>,
    access: Access,
}

enum Access {
    Fixed {
        username: String,
        credential: String,
    },
    Minted {
        secret: Box<TurnSecret>,
        ttl: Duration,
    },
}

impl IceServers {
    /// Of a configuration free of [mistakes](IceConfig::mistakes).
    pub fn new(config: &IceConfig) -> Self {
        Self(Arc::new(Servers {
            media_stun: Vec::new(),
            sources: config.sources().collect(),
        }))
    }

    /// The same, and what the node itself offers: its TURN server, and STUN on its media ports.
    pub fn with_node(config: &IceConfig, node: &Node) -> Self {
        let turn = node.turn().map(|turn| Source {
            urls: turn.urls.clone(),
            access: Access::Minted {
                secret: Box::new(turn.secret.clone()),
                ttl: turn.credential_ttl,
            },
        });
        let media = node.stun_addresses().iter();
        Self(Arc::new(Servers {
            media_stun: media.map(|address| format!("stun:{address}")).collect(),
            sources: turn.into_iter().chain(config.sources()).collect(),
        }))
    }

    /// The servers for a participant of a room whose media goes to the node. Its credentials are new with
    /// each call. The node's media ports are not among them: browsers take all that comes from the
    /// address of a STUN server for its answers, and would never see the node's checks succeed.
    pub fn ice_servers(&self, room: &str, identity: &str) -> Vec<IceServer> {
        let now = SystemTime::now();
        let sources = self.0.sources.iter();
        sources
            .map(|source| source.told(room, identity, now))
            .collect()
    }

    /// The servers for a participant whose media goes to another participant: the node's media ports
    /// tell it how it is seen.
    pub fn direct_ice_servers(&self, room: &str, identity: &str) -> Vec<IceServer> {
        let mut servers = self.ice_servers(room, identity);
        if !self.0.media_stun.is_empty() {
            let stun = IceServer {
                urls: self.0.media_stun.clone(),
                username: String::new(),
                credential: String::new(),
            };
            servers.insert(0, stun);
        }
        servers
    }
}

impl Source {
    fn told(&self, room: &str, identity: &str, now: SystemTime) -> IceServer {
        let urls = self.urls.clone();
        match &self.access {
            Access::Fixed {
                username,
                credential,
            } => IceServer {
                urls,
                username: username.clone(),
                credential: credential.clone(),
            },
            Access::Minted { secret, ttl } => {
                let minted = secret.mint(room, identity, now, *ttl);
                IceServer {
                    urls,
                    username: minted.username,
                    credential: minted.password,
                }
            }
        }
    }
}

impl IceConfig {
    fn sources(&self) -> impl Iterator<Item = Source> {
        self.servers.iter().map(|server| Source {
            urls: server.urls.clone(),
            access: server.access(self.credential_ttl),
        })
    }

    /// Everything that is wrong, each with the key below `[ice]`.
    pub fn mistakes(&self) -> Vec<(String, &'static str)> {
        let mut found = Vec::new();
        for (i, server) in self.servers.iter().enumerate() {
            let key = |name: &str| format!("servers[{i}].{name}");
            if server.urls.is_empty() || !server.urls.iter().all(|url| is_ice_url(url)) {
                found.push((key("urls"), NOT_ICE));
            }
            let has_fixed = (!server.username.is_empty(), !server.credential.is_empty());
            match (server.secret.is_empty(), has_fixed) {
                (false, (false, false)) | (true, (true, true)) => {}
                (false, _) => found.push((key("secret"), BOTH)),
                (true, (false, false)) if !server.has_turn() => {}
                (true, _) => found.push((key("credential"), NO_ACCESS)),
            }
        }
        if self.credential_ttl < MIN_TTL || self.credential_ttl > MAX_TTL {
            found.push(("credential_ttl".to_owned(), "must be from 60s to 24h"));
        }
        found
    }
}

impl ExternalServer {
    fn has_turn(&self) -> bool {
        self.urls.iter().any(|url| url.starts_with("turn"))
    }

    fn access(&self, ttl: Duration) -> Access {
        if self.secret.is_empty() {
            Access::Fixed {
                username: self.username.clone(),
                credential: self.credential.clone(),
            }
        } else {
            Access::Minted {
                secret: Box::new(TurnSecret::new(&self.secret)),
                ttl,
            }
        }
    }
}

impl Default for IceConfig {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            credential_ttl: Duration::from_secs(12 * 3600),
        }
    }
}

fn is_ice_url(url: &str) -> bool {
    url.split_once(':').is_some_and(|(scheme, rest)| {
        ["stun", "stuns", "turn", "turns"].contains(&scheme) && !rest.is_empty()
    })
}

const MIN_TTL: Duration = Duration::from_secs(60);
const MAX_TTL: Duration = Duration::from_secs(24 * 3600);
const NOT_ICE: &str = "must be URLs that begin with stun:, stuns:, turn: or turns:";
const BOTH: &str = "stands in place of username and credential: give one or the other";
const NO_ACCESS: &str = "TURN needs username and credential, or a secret";

/// Without what opens it.
impl fmt::Debug for ExternalServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalServer")
            .field("urls", &self.urls)
            .finish_non_exhaustive()
    }
}

/// Without what opens it.
impl fmt::Debug for IceServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IceServer")
            .field("urls", &self.urls)
            .finish_non_exhaustive()
    }
}

/// What each key means, for a printed configuration; paths are below `[ice]`.
pub const EXPLAINED: &[(&str, &str)] = &[
    (
        "servers",
        "Servers that others run, each { urls = [\"turn:turn.example.org:3478\"] } with username = \"..\" and \
         credential = \"..\", the same for everybody, or with secret = \"..\", shared with the server \
         (coturn: static-auth-secret), which makes a credential for each participant.",
    ),
    (
        "credential_ttl",
        "How long a credential made with a secret is good for.",
    ),
];

#[cfg(test)]
mod tests;
