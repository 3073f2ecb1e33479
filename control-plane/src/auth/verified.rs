//! A token that was checked, and the questions asked of it. Must not be built from anything but
//! checked claims; must not word refusals for a wire.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use plenum_proto::v1;

use super::{AgentClaim, Claims, GrantError, VideoGrants};

/// The claims of a token whose signature and times were found good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    claims: Claims,
    grants: VideoGrants,
}

impl Verified {
    pub(super) fn new(claims: Claims) -> Self {
        let grants = claims.video.clone().unwrap_or_default();
        Self { claims, grants }
    }

    /// Takes over what changed for the participant during its stay, so that a refreshed token does
    /// not give back what an administrator took away.
    pub fn apply(&mut self, participant: &v1::Participant) {
        self.claims.name.clone_from(&participant.name);
        self.claims.metadata.clone_from(&participant.metadata);
        self.claims.attributes =
            (!participant.attributes.is_empty()).then(|| participant.attributes.clone());
        if let Some(permissions) = &participant.permissions {
            self.grants.set_permissions(permissions);
            self.claims.video = Some(self.grants.clone());
        }
    }

    /// The participant was sent to another room: its next token admits to that, with the rights of a participant that
    /// it had. What it administered stays behind.
    pub fn move_to(&mut self, room: &str) {
        room.clone_into(&mut self.grants.room);
        self.grants.room_admin = false;
        self.grants.destination_room.clear();
        self.claims.video = Some(self.grants.clone());
        self.claims.room_config = None;
    }

    /// All claims.
    pub fn claims(&self) -> &Claims {
        &self.claims
    }

    /// The grants; nothing is granted where the token has none.
    pub fn grants(&self) -> &VideoGrants {
        &self.grants
    }

    /// The API key that signed.
    pub fn api_key(&self) -> &str {
        &self.claims.iss
    }

    /// Who holds the token; empty in tokens of backends.
    pub fn identity(&self) -> &str {
        if self.claims.sub.is_empty() {
            &self.claims.jti
        } else {
            &self.claims.sub
        }
    }

    /// When it ends.
    pub fn expires_at(&self) -> SystemTime {
        let far = Duration::from_secs(self.claims.exp.unwrap_or_default().min(MAX_SECONDS));
        UNIX_EPOCH + far
    }

    /// What the participant may do in the room.
    pub fn permissions(&self) -> v1::Permissions {
        v1::Permissions::from(&self.grants)
    }

    /// What sort of participant joins with it.
    pub fn kind(&self) -> v1::ParticipantKind {
        if self.grants.agent {
            return v1::ParticipantKind::Agent;
        }
        match self.claims.kind.as_str() {
            "agent" => v1::ParticipantKind::Agent,
            "ingress" => v1::ParticipantKind::Ingress,
            "egress" => v1::ParticipantKind::Egress,
            "sip" => v1::ParticipantKind::Sip,
            _ if self.grants.recorder => v1::ParticipantKind::Egress,
            _ => v1::ParticipantKind::Standard,
        }
    }

    /// Settings for the room `name`, were it created by this token's join.
    pub fn room_config(&self, name: &str) -> v1::RoomConfig {
        let Some(config) = &self.claims.room_config else {
            return v1::RoomConfig {
                name: name.to_owned(),
                ..Default::default()
            };
        };
        v1::RoomConfig {
            name: name.to_owned(),
            metadata: config.metadata.clone().unwrap_or_default(),
            empty_timeout: config.empty_timeout.map(duration),
            departure_timeout: config.departure_timeout.map(duration),
            max_participants: config.max_participants.unwrap_or_default(),
            agents: config.agents.iter().map(v1::AgentWish::from).collect(),
        }
    }

    /// The room that the holder may join.
    ///
    /// # Errors
    /// No join grant, no room, no identity.
    pub fn require_join(&self) -> Result<&str, GrantError> {
        require(self.grants.room_join, "roomJoin")?;
        if self.grants.room.is_empty() {
            return Err(GrantError::NoRoom);
        }
        if self.identity().is_empty() {
            return Err(GrantError::NoIdentity);
        }
        Ok(&self.grants.room)
    }

    /// # Errors
    /// The holder does not administer `room`.
    pub fn require_room_admin(&self, room: &str) -> Result<(), GrantError> {
        require(self.grants.room_admin, "roomAdmin")?;
        if self.grants.room.is_empty() {
            return Err(GrantError::NoRoom);
        }
        if self.grants.room == room {
            Ok(())
        } else {
            Err(GrantError::OtherRoom)
        }
    }

    /// # Errors
    /// The holder may not send participants of `room` to `destination`.
    pub fn require_move(&self, room: &str, destination: &str) -> Result<(), GrantError> {
        self.require_room_admin(room)?;
        if self.grants.destination_room == destination {
            Ok(())
        } else {
            Err(GrantError::OtherRoom)
        }
    }

    /// # Errors
    /// The holder may not create and end rooms.
    pub fn require_room_create(&self) -> Result<(), GrantError> {
        require(self.grants.room_create, "roomCreate")
    }

    /// # Errors
    /// The holder may not list rooms.
    pub fn require_room_list(&self) -> Result<(), GrantError> {
        require(self.grants.room_list, "roomList")
    }

    /// # Errors
    /// The holder may not manage media nodes.
    pub fn require_node_admin(&self) -> Result<(), GrantError> {
        require(self.grants.node_admin, "nodeAdmin")
    }

    /// # Errors
    /// The holder may not offer agents.
    pub fn require_agent(&self) -> Result<(), GrantError> {
        require(self.grants.agent, "agent")
    }

    /// # Errors
    /// The holder may not record.
    pub fn require_room_record(&self) -> Result<(), GrantError> {
        require(self.grants.room_record, "roomRecord")
    }

    /// # Errors
    /// The holder may not manage ingress.
    pub fn require_ingress_admin(&self) -> Result<(), GrantError> {
        require(self.grants.ingress_admin, "ingressAdmin")
    }

    /// # Errors
    /// The holder may not ask for tokens.
    pub fn require_token_create(&self) -> Result<(), GrantError> {
        require(self.grants.token_create, "tokenCreate")
    }

    /// Whether a token with the grants `wanted` gives nothing that this one does not.
    ///
    /// # Errors
    /// The first thing that goes beyond.
    pub fn require_covers(&self, wanted: &VideoGrants) -> Result<(), GrantError> {
        let own = &self.grants;
        if wanted.room != own.room || wanted.destination_room != own.destination_room {
            return Err(GrantError::OtherRoom);
        }
        let (may, will) = (v1::Permissions::from(own), v1::Permissions::from(wanted));
        let sources_covered = may.can_publish_sources.is_empty()
            || (!will.can_publish_sources.is_empty()
                && will
                    .can_publish_sources
                    .iter()
                    .all(|s| may.can_publish_sources.contains(s)));
        for (granted, asked, name) in [
            (own.room_create, wanted.room_create, "roomCreate"),
            (own.room_list, wanted.room_list, "roomList"),
            (own.room_admin, wanted.room_admin, "roomAdmin"),
            (own.room_record, wanted.room_record, "roomRecord"),
            (own.room_join, wanted.room_join, "roomJoin"),
            (own.agent, wanted.agent, "agent"),
            (own.ingress_admin, wanted.ingress_admin, "ingressAdmin"),
            (own.token_create, wanted.token_create, "tokenCreate"),
            (own.node_admin, wanted.node_admin, "nodeAdmin"),
            (may.can_publish, will.can_publish, "canPublish"),
            (sources_covered, will.can_publish, "canPublishSources"),
            (may.can_subscribe, will.can_subscribe, "canSubscribe"),
            (
                may.can_publish_data,
                will.can_publish_data,
                "canPublishData",
            ),
            (
                may.can_update_metadata,
                will.can_update_metadata,
                "canUpdateOwnMetadata",
            ),
            (
                may.can_subscribe_metrics,
                will.can_subscribe_metrics,
                "canSubscribeMetrics",
            ),
            (may.hidden, will.hidden, "hidden"),
            (may.recorder, will.recorder, "recorder"),
        ] {
            require(granted || !asked, name)?;
        }
        Ok(())
    }
}

impl VideoGrants {
    /// Writes what `permissions` say into the grants.
    pub fn set_permissions(&mut self, permissions: &v1::Permissions) {
        self.can_publish = Some(permissions.can_publish);
        self.can_subscribe = Some(permissions.can_subscribe);
        self.can_publish_data = Some(permissions.can_publish_data);
        self.can_update_own_metadata = Some(permissions.can_update_metadata);
        self.can_subscribe_metrics = Some(permissions.can_subscribe_metrics);
        self.hidden = permissions.hidden;
        self.recorder = permissions.recorder;
        let sources: Vec<String> = permissions
            .can_publish_sources()
            .map(|source| source_name(source).to_owned())
            .collect();
        self.can_publish_sources = (!sources.is_empty()).then_some(sources);
    }
}

impl From<&AgentClaim> for v1::AgentWish {
    fn from(claim: &AgentClaim) -> Self {
        Self {
            agent_name: claim.agent_name.clone(),
            metadata: claim.metadata.clone(),
            attributes: claim.attributes.clone(),
            deployment: claim.deployment.clone(),
            once: claim.restart_policy == "JRP_NEVER",
        }
    }
}

impl From<&VideoGrants> for v1::Permissions {
    fn from(grants: &VideoGrants) -> Self {
        let named = grants.can_publish_sources.as_deref().unwrap_or_default();
        let sources: Vec<i32> = named
            .iter()
            .filter_map(|name| source(name))
            .map(i32::from)
            .collect();
        // A list of nothing we know must not become the empty list, which means every source.
        let is_nothing_left = !named.is_empty() && sources.is_empty();
        Self {
            can_subscribe: grants.can_subscribe.unwrap_or(true),
            can_publish: grants.can_publish.unwrap_or(true) && !is_nothing_left,
            can_publish_data: grants.can_publish_data.unwrap_or(true),
            can_publish_sources: sources,
            hidden: grants.hidden,
            recorder: grants.recorder,
            can_update_metadata: grants.can_update_own_metadata.unwrap_or(false),
            can_subscribe_metrics: grants.can_subscribe_metrics.unwrap_or(false),
        }
    }
}

/// The year 9999: later times overflow the clocks of some systems.
const MAX_SECONDS: u64 = 253_402_300_799;

fn require(granted: bool, grant: &'static str) -> Result<(), GrantError> {
    if granted {
        Ok(())
    } else {
        Err(GrantError::Lacks(grant))
    }
}

fn duration(seconds: u32) -> prost_types::Duration {
    prost_types::Duration {
        seconds: i64::from(seconds),
        nanos: 0,
    }
}

fn source(name: &str) -> Option<v1::TrackSource> {
    SOURCES
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, source)| *source)
}

fn source_name(source: v1::TrackSource) -> &'static str {
    SOURCES
        .iter()
        .find(|(_, known)| *known == source)
        .map_or("unknown", |(name, _)| name)
}

const SOURCES: [(&str, v1::TrackSource); 5] = [
    ("unknown", v1::TrackSource::SourceUnknown),
    ("camera", v1::TrackSource::Camera),
    ("microphone", v1::TrackSource::Microphone),
    ("screen_share", v1::TrackSource::ScreenShare),
    ("screen_share_audio", v1::TrackSource::ScreenShareAudio),
];
