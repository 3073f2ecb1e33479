//! The claims of a token, as they are on the wire. Owns names and types of every claim; a claim of
//! the wrong type is refused by the type here. Must not judge them.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor, value::MapAccessDeserializer},
};

/// What a token says. Claims that are not listed are ignored; a repeated claim is an error.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claims {
    /// API key that signed.
    #[serde(default)]
    pub iss: String,
    /// Identity of the participant.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sub: String,
    /// Identity in tokens of old SDKs, used when `sub` is empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub jti: String,
    /// Seconds since the epoch; whole numbers only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
    /// Seconds since the epoch; whole numbers only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exp: Option<u64>,
    /// Display name.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Free text of the application.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub metadata: String,
    /// Key and value pairs of the application.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attributes: Option<BTreeMap<String, String>>,
    /// "standard", "ingress", "egress", "sip" or "agent".
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub kind: String,
    /// Base64 of the SHA-256 of the body that a webhook's token covers.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sha256: String,
    /// What the holder may do.
    #[serde(
        default,
        deserialize_with = "object",
        skip_serializing_if = "Option::is_none"
    )]
    pub video: Option<VideoGrants>,
    /// Settings of the room that the join creates.
    #[serde(
        default,
        deserialize_with = "object",
        skip_serializing_if = "Option::is_none"
    )]
    pub room_config: Option<RoomConfigClaim>,
}

/// What the holder of a token may do.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct VideoGrants {
    /// Create and end rooms.
    #[serde(skip_serializing_if = "is_false")]
    pub room_create: bool,
    /// List all rooms.
    #[serde(skip_serializing_if = "is_false")]
    pub room_list: bool,
    /// Everything in `room`.
    #[serde(skip_serializing_if = "is_false")]
    pub room_admin: bool,
    /// Record.
    #[serde(skip_serializing_if = "is_false")]
    pub room_record: bool,
    /// Join `room`.
    #[serde(skip_serializing_if = "is_false")]
    pub room_join: bool,
    /// Room to which the grants apply.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub room: String,
    /// Room to which participants may be moved.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub destination_room: String,
    /// Absent = yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_publish: Option<bool>,
    /// Absent = yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_subscribe: Option<bool>,
    /// Absent = yes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_publish_data: Option<bool>,
    /// Absent or empty = every source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_publish_sources: Option<Vec<String>>,
    /// Change the own name, metadata and attributes; absent = no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_update_own_metadata: Option<bool>,
    /// Not shown to others.
    #[serde(skip_serializing_if = "is_false")]
    pub hidden: bool,
    /// Is a recorder.
    #[serde(skip_serializing_if = "is_false")]
    pub recorder: bool,
    /// Is an agent.
    #[serde(skip_serializing_if = "is_false")]
    pub agent: bool,
    /// Receive metrics packets of others; absent = no.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_subscribe_metrics: Option<bool>,
    /// Manage ingress.
    #[serde(skip_serializing_if = "is_false")]
    pub ingress_admin: bool,
    /// Ask us to mint tokens. Ours alone; SDKs do not know it.
    #[serde(skip_serializing_if = "is_false")]
    pub token_create: bool,
    /// See, cordon and drain media nodes. Ours alone; SDKs do not know it.
    #[serde(skip_serializing_if = "is_false")]
    pub node_admin: bool,
}

/// Settings of a room inside a token; both spellings of protobuf's JSON are read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RoomConfigClaim {
    /// Ignored for joins: the grant names the room.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Seconds.
    #[serde(alias = "empty_timeout", skip_serializing_if = "Option::is_none")]
    pub empty_timeout: Option<u32>,
    /// Seconds.
    #[serde(alias = "departure_timeout", skip_serializing_if = "Option::is_none")]
    pub departure_timeout: Option<u32>,
    /// 0 = no limit but the node's own.
    #[serde(alias = "max_participants", skip_serializing_if = "Option::is_none")]
    pub max_participants: Option<u32>,
    /// Free text of the application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<String>,
    /// Agents that are wanted in the room.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub agents: Vec<AgentClaim>,
}

/// An agent that is wanted in a room; both spellings of protobuf's JSON are read.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AgentClaim {
    /// Empty = the workers without a name.
    #[serde(alias = "agent_name", skip_serializing_if = "String::is_empty")]
    pub agent_name: String,
    /// For the agent.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub metadata: String,
    /// For the agent.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// "JRP_ON_FAILURE" (as when empty) or "JRP_NEVER".
    #[serde(alias = "restart_policy", skip_serializing_if = "String::is_empty")]
    pub restart_policy: String,
    /// The workers of one deployment; empty = those that name none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub deployment: String,
}

/// Names no person and shows no text of the application: claims may reach a log by accident.
impl fmt::Debug for Claims {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claims")
            .field("iss", &self.iss)
            .field("nbf", &self.nbf)
            .field("exp", &self.exp)
            .field("kind", &self.kind)
            .finish_non_exhaustive()
    }
}

fn is_false(value: &bool) -> bool {
    !*value
}

/// Reads an object or null. Left to itself, a struct is read from a list of its values as well.
fn object<'de, T, D>(from: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de>,
    D: Deserializer<'de>,
{
    struct Object<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> Visitor<'de> for Object<T> {
        type Value = Option<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(None)
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
            T::deserialize(MapAccessDeserializer::new(map)).map(Some)
        }
    }

    from.deserialize_any(Object(PhantomData))
}
