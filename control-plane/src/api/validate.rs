//! Checks of requests, field by field, all mistakes at once. Owns what a well-formed request is; must
//! not ask the node whether it can be met. Only what the node cannot name as well is checked here.

use std::{collections::BTreeMap, time::Duration};

use plenum_proto::{ids::TrackId, v1};

use crate::{
    agents::MAX_WISHES,
    error::{CallError, Violation},
};

/// Caps of what a request may carry, as the node has them.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Bytes of names and identities.
    pub(crate) name_bytes: usize,
    /// Bytes of metadata.
    pub(crate) metadata_bytes: usize,
    /// Bytes of all attributes.
    pub(crate) attributes_bytes: usize,
    /// Bytes of one data message.
    pub(crate) data_bytes: usize,
}

/// Tracks or receivers that one request may name.
const MAX_LIST: usize = 1_000;

/// Rooms that nobody is in do not stay longer than this.
const MAX_TIMEOUT: Duration = Duration::from_secs(7 * 24 * 3600);

/// A request under inspection.
#[derive(Debug)]
pub(crate) struct Check<'a> {
    limits: &'a Limits,
    violations: Vec<Violation>,
}

impl<'a> Check<'a> {
    /// Begins.
    pub(crate) fn new(limits: &'a Limits) -> Self {
        Self {
            limits,
            violations: Vec::new(),
        }
    }

    /// # Errors
    /// What was found.
    pub(crate) fn finish(self) -> Result<(), CallError> {
        if self.violations.is_empty() {
            Ok(())
        } else {
            Err(CallError::Invalid(self.violations))
        }
    }

    /// Notes a mistake.
    pub(crate) fn refuse(&mut self, field: &'static str, problem: impl Into<String>) {
        self.violations.push(Violation {
            field,
            problem: problem.into(),
        });
    }

    /// A name or identity that must be there.
    pub(crate) fn name(&mut self, field: &'static str, name: &str) {
        if name.is_empty() {
            self.refuse(field, "must not be empty");
        }
        self.optional_name(field, name);
    }

    /// A name that may be empty.
    pub(crate) fn optional_name(&mut self, field: &'static str, name: &str) {
        self.at_most(field, name.len(), self.limits.name_bytes, "bytes");
    }

    /// Free text of the application.
    pub(crate) fn metadata(&mut self, field: &'static str, metadata: &str) {
        self.at_most(field, metadata.len(), self.limits.metadata_bytes, "bytes");
    }

    /// Key and value pairs of the application.
    pub(crate) fn attributes(&mut self, field: &'static str, pairs: &BTreeMap<String, String>) {
        let bytes = pairs
            .iter()
            .map(|(key, value)| key.len() + value.len())
            .sum();
        self.at_most(field, bytes, self.limits.attributes_bytes, "bytes");
        if pairs.contains_key("") {
            self.refuse(field, "must not have an empty key");
        }
    }

    /// A time that a room may last.
    pub(crate) fn timeout(&mut self, field: &'static str, value: Option<&prost_types::Duration>) {
        if let Some(value) = value {
            match Duration::try_from(*value) {
                Ok(duration) if duration <= MAX_TIMEOUT => {}
                Ok(_) => self.refuse(field, "must be at most 168h"),
                Err(_) => self.refuse(field, "must not be negative"),
            }
        }
    }

    /// An agent that is wanted in a room.
    pub(crate) fn agent(&mut self, field: &'static str, agent: &v1::AgentWish) {
        self.optional_name(field, &agent.agent_name);
        self.optional_name(field, &agent.deployment);
        self.metadata(field, &agent.metadata);
        self.attributes(field, &agent.attributes);
    }

    /// All agents that are wanted in a room.
    pub(crate) fn agents(&mut self, field: &'static str, agents: &[v1::AgentWish]) {
        self.at_most(field, agents.len(), MAX_WISHES, "entries");
        for agent in agents.iter().take(MAX_WISHES) {
            self.agent(field, agent);
        }
    }

    /// What a participant may do.
    pub(crate) fn permissions(&mut self, field: &'static str, value: Option<&v1::Permissions>) {
        let sources = value.map_or(&[][..], |permissions| &permissions.can_publish_sources);
        if sources
            .iter()
            .any(|source| v1::TrackSource::try_from(*source).is_err())
        {
            self.refuse(field, "names a source that does not exist");
        }
        self.list(field, sources.len());
    }

    /// Ids of tracks, at least one.
    pub(crate) fn track_ids(&mut self, field: &'static str, ids: &[String]) {
        if ids.is_empty() {
            self.refuse(field, "must not be empty");
        }
        self.list(field, ids.len());
        if let Some(Err(error)) = ids
            .iter()
            .map(|id| id.parse::<TrackId>())
            .find(Result::is_err)
        {
            self.refuse(field, format!("must hold {error}"));
        }
    }

    /// The id of one track.
    pub(crate) fn track_id(&mut self, field: &'static str, id: &str) {
        if let Err(error) = id.parse::<TrackId>() {
            self.refuse(field, format!("must be {error}"));
        }
    }

    /// A message to participants.
    pub(crate) fn data(&mut self, data: &v1::UserData) {
        self.at_most(
            "data.payload",
            data.payload.len(),
            self.limits.data_bytes,
            "bytes",
        );
        self.optional_name("data.topic", &data.topic);
        self.list(
            "data.destination_identities",
            data.destination_identities.len(),
        );
    }

    /// A list of no more than we care to walk.
    pub(crate) fn list(&mut self, field: &'static str, len: usize) {
        self.at_most(field, len, MAX_LIST, "entries");
    }

    fn at_most(&mut self, field: &'static str, value: usize, limit: usize, of: &str) {
        if value > limit {
            self.refuse(field, format!("must have at most {limit} {of}"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits {
        name_bytes: 8,
        metadata_bytes: 8,
        attributes_bytes: 8,
        data_bytes: 8,
    };

    fn violations(check: impl FnOnce(&mut Check<'_>)) -> Vec<(&'static str, String)> {
        let mut inspected = Check::new(&LIMITS);
        check(&mut inspected);
        inspected
            .violations
            .into_iter()
            .map(|v| (v.field, v.problem))
            .collect()
    }

    #[test]
    fn each_field_is_checked_and_named() {
        let duration = |seconds| prost_types::Duration { seconds, nanos: 0 };
        let attributes = |key: &str, value: &str| BTreeMap::from([(key.into(), value.into())]);
        let permissions = v1::Permissions {
            can_publish_sources: vec![1, 99],
            ..v1::Permissions::default()
        };
        let found = violations(|check| {
            check.name("a", "");
            check.name("b", "123456789");
            check.metadata("c", "123456789");
            check.attributes("d", &attributes("12345", "6789"));
            check.attributes("e", &attributes("", "1"));
            check.timeout("f", Some(&duration(-1)));
            check.timeout("g", Some(&duration(1_000_000)));
            check.permissions("h", Some(&permissions));
            check.agents("h2", &vec![v1::AgentWish::default(); 17]);
            check.track_ids("i", &[]);
            check.track_ids("j", &["TR_a".into(), "PA_a".into()]);
            check.track_id("k", "");
            check.data(&v1::UserData {
                payload: vec![0; 9],
                ..v1::UserData::default()
            });
        });
        let fields: Vec<&str> = found.iter().map(|(field, _)| *field).collect();
        let expected = [
            "a",
            "b",
            "c",
            "d",
            "e",
            "f",
            "g",
            "h",
            "h2",
            "i",
            "j",
            "k",
            "data.payload",
        ];
        assert_eq!(fields, expected, "{found:?}");
    }

    #[test]
    fn what_is_well_formed_passes() {
        assert_eq!(
            violations(|check| {
                check.name("a", "12345678");
                check.optional_name("b", "");
                check.timeout("c", None);
                check.timeout(
                    "d",
                    Some(&prost_types::Duration {
                        seconds: 30,
                        nanos: 0,
                    }),
                );
                check.permissions("e", None);
                check.track_ids("f", &["TR_a".into()]);
            }),
            []
        );
    }
}
