//! The first messages of a connection: what a client must know before anything else. Pure
//! functions. Must not hold what is configured: it comes in as [`Announced`].

use livekit_protocol::{self as lk, signal_response::Message as To};
use plenum_proto::node::Joined;

use super::model;

/// The version that we announce. SDKs compare it: below 1.8.0 they switch off calls between
/// participants, above 1.13.6 a browser may send VP9 and AV1 as simulcast with one spatial layer a
/// stream. It says which features clients may count on, not who we are.
pub const COMPATIBLE_VERSION: &str = "1.13.5";

/// The step of the client protocol that we speak, whatever the client says it can: at 18 it would
/// expect data channels with numbers agreed beforehand.
pub const PROTOCOL: i32 = 17;

/// Who we are, for people who look into a connection.
const PRODUCT: &str = concat!("plenum/", env!("CARGO_PKG_VERSION"));

/// What is configured, as one client is told of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Announced {
    pub(crate) ice_servers: Vec<lk::IceServer>,
    /// Seconds between pings of a client.
    pub(crate) ping_interval: i32,
    /// Seconds without a sign of life after which a connection counts as lost, on either side.
    pub(crate) ping_timeout: i32,
}

/// The answer to a join.
pub(crate) fn join(joined: Joined, announced: &Announced) -> To {
    let server_info = server_info(&joined);
    let fast_publish = joined
        .participant
        .as_ref()
        .and_then(|own| own.permissions.as_ref())
        .is_some_and(|permissions| permissions.can_publish);
    To::Join(lk::JoinResponse {
        room: joined
            .room
            .map(|room| model::room(room, &joined.publish_codecs)),
        participant: joined.participant.map(model::participant),
        other_participants: joined.others.into_iter().map(model::participant).collect(),
        server_version: server_info.version.clone(),
        ice_servers: announced.ice_servers.clone(),
        subscriber_primary: true,
        alternative_url: String::new(),
        client_configuration: Some(client_configuration()),
        server_region: server_info.region.clone(),
        ping_timeout: announced.ping_timeout,
        ping_interval: announced.ping_interval,
        server_info: Some(server_info),
        // Marks frames made by a server among encrypted ones; the node makes none.
        sif_trailer: Vec::new(),
        enabled_publish_codecs: model::codecs(&joined.publish_codecs),
        fast_publish,
    })
}

/// The answers to a resume, in the order that clients rely on: what comes before `reconnect` is
/// dropped.
pub(crate) fn resumed(joined: Joined, announced: &Announced) -> Vec<To> {
    let mut messages = vec![To::Reconnect(lk::ReconnectResponse {
        ice_servers: announced.ice_servers.clone(),
        client_configuration: Some(client_configuration()),
        server_info: Some(server_info(&joined)),
        last_message_seq: 0,
    })];
    let everybody = joined.participant.into_iter().chain(joined.others);
    messages.push(To::Update(lk::ParticipantUpdate {
        participants: everybody.map(model::participant).collect(),
    }));
    if let Some(room) = joined.room {
        let room = model::room(room, &joined.publish_codecs);
        messages.push(To::RoomUpdate(lk::RoomUpdate { room: Some(room) }));
    }
    messages
}

fn server_info(joined: &Joined) -> lk::ServerInfo {
    lk::ServerInfo {
        edition: lk::server_info::Edition::Standard.into(),
        version: COMPATIBLE_VERSION.to_owned(),
        protocol: PROTOCOL,
        region: joined.region.clone(),
        node_id: joined.node_id.clone(),
        debug_info: PRODUCT.to_owned(),
        agent_protocol: 0,
    }
}

fn client_configuration() -> lk::ClientConfiguration {
    lk::ClientConfiguration {
        resume_connection: lk::ClientConfigSetting::Enabled.into(),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests;
