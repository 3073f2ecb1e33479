//! One participant of a room: what the others see of it, and what it may do.

use std::{collections::BTreeMap, time::Instant};

use plenum_proto::{
    ids::ParticipantId,
    node::ClientInfo,
    v1::{self, ParticipantKind, ParticipantState, Permissions},
};

use super::SubscriptionRule;
use crate::{ControlId, Limits};

/// A participant.
pub(crate) struct Member {
    pub(crate) id: ParticipantId,
    pub(crate) identity: String,
    pub(crate) text: MemberText,
    pub(crate) state: ParticipantState,
    pub(crate) kind: i32,
    pub(crate) permissions: Permissions,
    pub(crate) joined_at: prost_types::Timestamp,
    pub(crate) joined: Instant,
    pub(crate) version: u32,
    pub(crate) client: ClientInfo,
    pub(crate) auto_subscribe: bool,
    pub(crate) adaptive_stream: bool,
    /// Its media does not come here.
    pub(crate) is_direct: bool,
    /// It stands for a participant of another room.
    pub(crate) is_forwarded: bool,
    /// Who may subscribe to its tracks, as it said.
    pub(crate) rule: SubscriptionRule,
    /// Absent while the control connection is lost.
    pub(crate) control: Option<ControlId>,
    pub(crate) lost_since: Option<Instant>,
    /// The last accepted connectivity check, on any transport.
    pub(crate) heard_at: Option<Instant>,
    /// A transport is silent: the last check there was before it was found to be.
    pub(crate) silent_since: Option<Instant>,
    /// Requests left in the current ten seconds, and when the next ten begin.
    pub(crate) requests_left: u32,
    pub(crate) requests_renew: Instant,
}

/// What a participant or the application says of itself in words.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct MemberText {
    pub(crate) name: String,
    pub(crate) metadata: String,
    pub(crate) attributes: BTreeMap<String, String>,
}

/// A text is longer than allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TextProblem {
    pub(crate) field: &'static str,
    pub(crate) limit: &'static str,
    pub(crate) allowed: usize,
}

impl MemberText {
    /// Checks the caps.
    pub(crate) fn check(&self, limits: &Limits) -> Result<(), TextProblem> {
        let attributes: usize = self.attributes.iter().map(|(k, v)| k.len() + v.len()).sum();
        let caps = [
            ("name", self.name.len(), "name_bytes", limits.name_bytes),
            (
                "metadata",
                self.metadata.len(),
                "metadata_bytes",
                limits.metadata_bytes,
            ),
            (
                "attributes",
                attributes,
                "attributes_bytes",
                limits.attributes_bytes,
            ),
        ];
        match caps
            .into_iter()
            .find(|(_, size, _, allowed)| size > allowed)
        {
            Some((field, _, limit, allowed)) => Err(TextProblem {
                field,
                limit,
                allowed,
            }),
            None => Ok(()),
        }
    }

    /// The text after a change: absent fields stay, an empty attribute is removed.
    pub(crate) fn changed(
        &self,
        name: Option<&str>,
        metadata: Option<&str>,
        attributes: &BTreeMap<String, String>,
    ) -> Self {
        let mut text = self.clone();
        if let Some(name) = name {
            name.clone_into(&mut text.name);
        }
        if let Some(metadata) = metadata {
            metadata.clone_into(&mut text.metadata);
        }
        for (key, value) in attributes {
            if value.is_empty() {
                text.attributes.remove(key);
            } else {
                text.attributes.insert(key.clone(), value.clone());
            }
        }
        text
    }
}

/// Whether a room is there for participants of this kind: agents and recorders only serve others.
pub(crate) fn is_person(kind: ParticipantKind) -> bool {
    !matches!(kind, ParticipantKind::Agent | ParticipantKind::Egress)
}

impl Member {
    /// Whether the room is there for it.
    pub(crate) fn is_person(&self) -> bool {
        ParticipantKind::try_from(self.kind).map_or(true, is_person)
    }

    /// Whether it takes tracks of one publisher in one stream, which browsers and SDKs play in step. From this version of the
    /// LiveKit protocol on clients know tracks by their own names, but for Firefox, which gives them others.
    pub(crate) fn plays_in_step(&self) -> bool {
        const SINCE: i32 = 10;
        let browser = self.client.browser.to_ascii_lowercase();
        self.client.protocol >= SINCE && !browser.contains("firefox")
    }

    /// Whether its connection stands.
    pub(crate) fn is_active(&self) -> bool {
        self.state == ParticipantState::Active
    }

    /// The participant as others see it.
    pub(crate) fn info(&self, tracks: Vec<v1::Track>) -> v1::Participant {
        v1::Participant {
            id: (&self.id).into(),
            identity: self.identity.clone(),
            name: self.text.name.clone(),
            metadata: self.text.metadata.clone(),
            attributes: self.text.attributes.clone(),
            state: self.state.into(),
            kind: self.kind,
            permissions: Some(self.permissions.clone()),
            tracks,
            joined_at: Some(self.joined_at),
            version: self.version,
            close_reason: 0,
            client_protocol: self.client.client_protocol,
            capabilities: self.client.capabilities.clone(),
            direct: self.is_direct,
            forwarded: self.is_forwarded,
        }
    }

    /// Whether one more request may be taken now.
    pub(crate) fn takes_request(&mut self, now: Instant, per_second: u32) -> bool {
        const PERIOD_SECONDS: u32 = 10;
        if now >= self.requests_renew {
            self.requests_left = per_second.saturating_mul(PERIOD_SECONDS);
            self.requests_renew = now + std::time::Duration::from_secs(PERIOD_SECONDS.into());
        }
        self.requests_left = match self.requests_left.checked_sub(1) {
            Some(left) => left,
            None => return false,
        };
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(name: &str, attributes: &[(&str, &str)]) -> MemberText {
        MemberText {
            name: name.into(),
            metadata: String::new(),
            attributes: attributes
                .iter()
                .map(|(k, v)| ((*k).into(), (*v).into()))
                .collect(),
        }
    }

    #[test]
    fn a_change_keeps_what_it_does_not_name() {
        let before = text("Ada", &[("role", "host"), ("seat", "1")]);
        let change = text("", &[("seat", ""), ("hand", "up")]).attributes;
        let after = before.changed(None, Some("m"), &change);
        assert_eq!(after.name, "Ada");
        assert_eq!(after.metadata, "m");
        assert_eq!(
            after.attributes,
            text("", &[("hand", "up"), ("role", "host")]).attributes
        );
    }

    #[test]
    fn a_long_text_is_refused_by_its_name() {
        let limits = Limits {
            name_bytes: 3,
            attributes_bytes: 4,
            ..Limits::default()
        };
        let field = |text: MemberText| text.check(&limits).err().map(|problem| problem.field);
        assert_eq!(field(text("Ada", &[])), None);
        assert_eq!(field(text("Adam", &[])), Some("name"));
        assert_eq!(field(text("", &[("key", "v")])), None);
        assert_eq!(field(text("", &[("key", "va")])), Some("attributes"));
    }
}
