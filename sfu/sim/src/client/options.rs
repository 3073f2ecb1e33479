//! Who joins a room, with what rights, and over which links. Must not hold behaviour.

use std::time::Duration;

use plenum_proto::{node, v1};

use crate::LinkSettings;

/// Who joins, and how.
#[derive(Debug, Clone)]
pub struct ClientOptions {
    /// What is sent to the node first.
    pub join: node::Join,
    /// The way to the node.
    pub uplink: LinkSettings,
    /// The way from the node.
    pub downlink: LinkSettings,
    /// How much later than media what it says to the node comes.
    pub signalling: Duration,
    /// Encodings are switched off when nobody takes them, as a good client does.
    pub heeds_demand: bool,
    /// What it publishes follows the estimate of its link up, as browsers do; else it is sent whatever the link takes.
    pub heeds_estimate: bool,
    /// Which shard serves it; the first is the home of all rooms.
    pub shard: usize,
    /// Of video it takes VP8 alone.
    pub is_simple: bool,
    /// Offers of the node are answered; else nothing ever connects.
    pub answers_offers: bool,
}

impl ClientOptions {
    /// A participant with all rights that subscribes to everything.
    pub fn new(room: &str, identity: &str) -> Self {
        let permissions = v1::Permissions {
            can_subscribe: true,
            can_publish: true,
            can_publish_data: true,
            can_update_metadata: true,
            ..v1::Permissions::default()
        };
        let join = node::Join {
            room: Some(v1::RoomConfig {
                name: room.into(),
                ..v1::RoomConfig::default()
            }),
            identity: identity.into(),
            permissions: Some(permissions),
            auto_subscribe: true,
            ..node::Join::default()
        };
        Self {
            join,
            uplink: LinkSettings::default(),
            downlink: LinkSettings::default(),
            signalling: Duration::ZERO,
            heeds_demand: true,
            heeds_estimate: false,
            shard: 0,
            is_simple: false,
            answers_offers: true,
        }
    }

    /// The same with other permissions.
    #[must_use]
    pub fn permitted(mut self, change: impl FnOnce(&mut v1::Permissions)) -> Self {
        change(self.join.permissions.get_or_insert_default());
        self
    }

    /// The same on another shard.
    #[must_use]
    pub fn on(mut self, shard: usize) -> Self {
        self.shard = shard;
        self
    }

    /// The same without any codec but VP8 to take video in.
    #[must_use]
    pub fn simple(mut self) -> Self {
        self.is_simple = true;
        self
    }

    /// The same over another link, both ways.
    #[must_use]
    pub fn over(mut self, link: LinkSettings) -> Self {
        (self.uplink, self.downlink) = (link, link);
        self
    }
}
