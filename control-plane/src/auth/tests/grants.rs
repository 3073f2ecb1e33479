//! What good tokens allow, as tables.

use super::*;

fn granted(video: &str) -> Verified {
    verify(&with("video", video)).unwrap()
}

#[test]
fn joining_needs_grant_room_and_identity() {
    for (video, expected) in [
        (r#"{"roomJoin":true,"room":"r"}"#, Ok("r")),
        (r#"{"roomJoin":true}"#, Err(GrantError::NoRoom)),
        (
            r#"{"roomJoin":false,"room":"r"}"#,
            Err(GrantError::Lacks("roomJoin")),
        ),
        (r#"{"room":"r"}"#, Err(GrantError::Lacks("roomJoin"))),
        ("{}", Err(GrantError::Lacks("roomJoin"))),
        ("null", Err(GrantError::Lacks("roomJoin"))),
    ] {
        assert_eq!(granted(video).require_join(), expected, "{video}");
    }
    assert_eq!(
        verify(&with("sub", "\"\"")).unwrap().require_join(),
        Err(GrantError::NoIdentity)
    );
    assert_eq!(
        verify(&with("sub", "")).unwrap().require_join(),
        Err(GrantError::NoIdentity)
    );
}

#[test]
fn the_identity_of_old_tokens_is_their_id() {
    let old = r#"{"iss":"key","jti":"bob","exp":1800000600}"#;
    assert_eq!(verify(&signed(old)).unwrap().identity(), "bob");
    let both = r#"{"iss":"key","sub":"ann","jti":"bob","exp":1800000600}"#;
    assert_eq!(verify(&signed(both)).unwrap().identity(), "ann");
}

#[test]
fn administration_is_of_one_room() {
    for (video, room, expected) in [
        (r#"{"roomAdmin":true,"room":"r"}"#, "r", Ok(())),
        (
            r#"{"roomAdmin":true,"room":"r"}"#,
            "R",
            Err(GrantError::OtherRoom),
        ),
        (
            r#"{"roomAdmin":true,"room":"r"}"#,
            "",
            Err(GrantError::OtherRoom),
        ),
        (r#"{"roomAdmin":true}"#, "r", Err(GrantError::NoRoom)),
        (r#"{"roomAdmin":true}"#, "", Err(GrantError::NoRoom)),
        (
            r#"{"roomJoin":true,"room":"r"}"#,
            "r",
            Err(GrantError::Lacks("roomAdmin")),
        ),
    ] {
        assert_eq!(
            granted(video).require_room_admin(room),
            expected,
            "{video} {room}"
        );
    }
}

#[test]
fn each_grant_allows_its_own_call_only() {
    type Ask = fn(&Verified) -> Result<(), GrantError>;
    let asks: [(&str, Ask); 5] = [
        ("roomCreate", Verified::require_room_create),
        ("roomList", Verified::require_room_list),
        ("roomRecord", Verified::require_room_record),
        ("ingressAdmin", Verified::require_ingress_admin),
        ("tokenCreate", Verified::require_token_create),
    ];
    for (granted_name, _) in asks {
        let verified = granted(&format!("{{\"{granted_name}\":true}}"));
        for (asked_name, ask) in asks {
            let expected = if asked_name == granted_name {
                Ok(())
            } else {
                Err(GrantError::Lacks(asked_name))
            };
            assert_eq!(ask(&verified), expected, "{asked_name} with {granted_name}");
        }
    }
}

#[test]
fn grants_become_permissions() {
    let all = Permissions {
        can_subscribe: true,
        can_publish: true,
        can_publish_data: true,
        ..Permissions::default()
    };
    let camera = vec![i32::from(TrackSource::Camera)];
    for (video, expected) in [
        ("{}", all.clone()),
        (
            r#"{"canPublish":false}"#,
            Permissions {
                can_publish: false,
                ..all.clone()
            },
        ),
        (
            r#"{"canSubscribe":false}"#,
            Permissions {
                can_subscribe: false,
                ..all.clone()
            },
        ),
        (
            r#"{"canPublishData":false}"#,
            Permissions {
                can_publish_data: false,
                ..all.clone()
            },
        ),
        (
            r#"{"canPublishSources":["camera","hologram"]}"#,
            Permissions {
                can_publish_sources: camera,
                ..all.clone()
            },
        ),
        (r#"{"canPublishSources":[]}"#, all.clone()),
        (
            r#"{"canPublishSources":["hologram"]}"#,
            Permissions {
                can_publish: false,
                ..all.clone()
            },
        ),
        (
            r#"{"hidden":true,"recorder":true,"canUpdateOwnMetadata":true,
                "canSubscribeMetrics":true}"#,
            Permissions {
                hidden: true,
                recorder: true,
                can_update_metadata: true,
                can_subscribe_metrics: true,
                ..all
            },
        ),
    ] {
        assert_eq!(granted(video).permissions(), expected, "{video}");
    }
}

#[test]
fn kinds_come_from_claim_or_grant() {
    for (name, value, expected) in [
        ("kind", "\"\"", ParticipantKind::Standard),
        ("kind", "\"agent\"", ParticipantKind::Agent),
        ("kind", "\"ingress\"", ParticipantKind::Ingress),
        ("kind", "\"egress\"", ParticipantKind::Egress),
        ("kind", "\"sip\"", ParticipantKind::Sip),
        ("kind", "\"connector\"", ParticipantKind::Standard),
        ("video", r#"{"agent":true}"#, ParticipantKind::Agent),
        ("video", r#"{"recorder":true}"#, ParticipantKind::Egress),
    ] {
        assert_eq!(
            verify(&with(name, value)).unwrap().kind(),
            expected,
            "{name} {value}"
        );
    }
}

#[test]
fn no_token_covers_more_than_itself() {
    let own = granted(
        r#"{"roomJoin":true,"room":"r","tokenCreate":true,
            "canPublishSources":["camera","microphone"]}"#,
    );
    for (wanted, expected) in [
        (
            r#"{"roomJoin":true,"room":"r","canPublishSources":["camera"]}"#,
            Ok(()),
        ),
        (r#"{"roomJoin":true,"room":"r","canPublish":false}"#, Ok(())),
        (
            r#"{"roomJoin":true,"room":"s","canPublish":false}"#,
            Err(GrantError::OtherRoom),
        ),
        (
            r#"{"roomJoin":true,"room":"r"}"#,
            Err(GrantError::Lacks("canPublishSources")),
        ),
        (
            r#"{"room":"r","canPublishSources":["screen_share"]}"#,
            Err(GrantError::Lacks("canPublishSources")),
        ),
        (
            r#"{"room":"r","roomAdmin":true}"#,
            Err(GrantError::Lacks("roomAdmin")),
        ),
        (
            r#"{"room":"r","canPublish":false,"hidden":true}"#,
            Err(GrantError::Lacks("hidden")),
        ),
    ] {
        let wanted_grants: VideoGrants = serde_json::from_str(wanted).unwrap();
        assert_eq!(own.require_covers(&wanted_grants), expected, "{wanted}");
    }
}

#[test]
fn changes_during_a_stay_go_into_the_claims() {
    let mut verified = granted(r#"{"roomJoin":true,"room":"r"}"#);
    let permissions = Permissions {
        can_subscribe: true,
        can_publish: true,
        can_publish_sources: vec![TrackSource::ScreenShareAudio.into()],
        ..Permissions::default()
    };
    verified.apply(&plenum_proto::v1::Participant {
        name: "Ann".into(),
        metadata: "m".into(),
        attributes: [("a".to_owned(), "b".to_owned())].into(),
        permissions: Some(permissions.clone()),
        ..Default::default()
    });
    let fresh = keys()
        .refresh_at(at(NOW), &verified, Duration::from_secs(60))
        .unwrap();
    let fresh = verify(&fresh).unwrap();
    assert_eq!(fresh.permissions(), permissions);
    assert_eq!(fresh.claims().name, "Ann");
    assert_eq!(fresh.claims().metadata, "m");
    assert_eq!(fresh.require_join(), Ok("r"));
}

#[test]
fn a_token_may_configure_its_room() {
    let verified = verify(&with(
        "roomConfig",
        r#"{"name":"ignored","emptyTimeout":30,"departureTimeout":5,"maxParticipants":9,
            "metadata":"m"}"#,
    ))
    .unwrap();
    let config = verified.room_config("r");
    assert_eq!(config.name, "r");
    assert_eq!(config.metadata, "m");
    assert_eq!(config.max_participants, 9);
    assert_eq!(config.empty_timeout.map(|d| d.seconds), Some(30));
    assert_eq!(config.departure_timeout.map(|d| d.seconds), Some(5));
    assert_eq!(
        verify(&signed(GOOD))
            .unwrap()
            .room_config("r")
            .empty_timeout,
        None
    );
}
