//! Who may publish what, and who may subscribe to whom. Pure.

use plenum_proto::{
    node::SubscriptionPermission,
    v1::{Permissions, TrackSource},
};

/// Whether a participant may publish from a source.
pub(crate) fn may_publish_source(permissions: &Permissions, source: i32) -> bool {
    let source = TrackSource::try_from(source).unwrap_or(TrackSource::SourceUnknown);
    permissions.can_publish
        && (permissions.can_publish_sources.is_empty()
            || permissions
                .can_publish_sources()
                .any(|allowed| allowed == source))
}

/// A publisher's word on who may subscribe to its tracks.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) enum SubscriptionRule {
    #[default]
    Everybody,
    Only(SubscriptionPermission),
}

impl From<SubscriptionPermission> for SubscriptionRule {
    fn from(message: SubscriptionPermission) -> Self {
        if message.all_participants {
            Self::Everybody
        } else {
            Self::Only(message)
        }
    }
}

impl SubscriptionRule {
    /// Whether a participant may subscribe to a track of the publisher.
    pub(crate) fn allows(&self, participant_id: &str, identity: &str, track_id: &str) -> bool {
        let Self::Only(message) = self else {
            return true;
        };
        message.permissions.iter().any(|entry| {
            let named = if entry.participant_id.is_empty() {
                entry.identity == identity
            } else {
                entry.participant_id == participant_id
            };
            named && (entry.all_tracks || entry.track_ids.iter().any(|id| id == track_id))
        })
    }
}

#[cfg(test)]
mod tests {
    use plenum_proto::node::TrackPermission;

    use super::*;

    #[test]
    fn sources_are_checked_only_where_some_are_named() {
        let all = Permissions {
            can_publish: true,
            ..Permissions::default()
        };
        let camera = Permissions {
            can_publish_sources: vec![TrackSource::Camera.into()],
            ..all
        };
        let none = Permissions {
            can_publish: false,
            ..camera.clone()
        };
        for (permissions, source, allowed) in [
            (&all, TrackSource::ScreenShare, true),
            (&camera, TrackSource::Camera, true),
            (&camera, TrackSource::Microphone, false),
            (&none, TrackSource::Camera, false),
        ] {
            assert_eq!(
                may_publish_source(permissions, source.into()),
                allowed,
                "{source:?}"
            );
        }
    }

    #[test]
    fn a_rule_names_participants_by_id_or_identity() {
        let entry =
            |participant_id: &str, identity: &str, all_tracks, track: &str| TrackPermission {
                participant_id: participant_id.into(),
                identity: identity.into(),
                all_tracks,
                track_ids: if track.is_empty() {
                    vec![]
                } else {
                    vec![track.into()]
                },
            };
        let rule = SubscriptionRule::from(SubscriptionPermission {
            all_participants: false,
            permissions: vec![entry("PA_1", "", true, ""), entry("", "bob", false, "TR_1")],
        });
        assert!(rule.allows("PA_1", "ann", "TR_9"));
        assert!(rule.allows("PA_2", "bob", "TR_1"));
        assert!(!rule.allows("PA_2", "bob", "TR_2"));
        assert!(!rule.allows("PA_3", "eve", "TR_1"));
        assert!(SubscriptionRule::default().allows("PA_3", "eve", "TR_1"));
    }
}
