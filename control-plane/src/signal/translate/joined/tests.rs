//! First messages, field by field.

use plenum_proto::v1;

use super::*;

fn joined(can_publish: bool) -> Joined {
    Joined {
        room: Some(v1::Room {
            id: "RM_r".into(),
            name: "r".into(),
            ..Default::default()
        }),
        participant: Some(v1::Participant {
            id: "PA_own".into(),
            identity: "ann".into(),
            permissions: Some(v1::Permissions {
                can_publish,
                ..Default::default()
            }),
            ..Default::default()
        }),
        others: vec![v1::Participant {
            id: "PA_other".into(),
            tracks: vec![v1::Track {
                id: "TR_a".into(),
                ..Default::default()
            }],
            ..Default::default()
        }],
        publish_codecs: vec!["video/VP8".into(), "audio/opus".into()],
        node_id: "ND_n".into(),
        region: "eu".into(),
    }
}

fn announced() -> Announced {
    let ice = lk::IceServer {
        urls: vec!["stun:stun.example.org".into()],
        ..Default::default()
    };
    Announced {
        ice_servers: vec![ice],
        ping_interval: 5,
        ping_timeout: 15,
    }
}

#[test]
fn a_join_is_answered_with_all_that_clients_need() {
    let To::Join(join) = join(joined(true), &announced()) else {
        panic!("not a join")
    };
    let info = join.server_info.unwrap();
    assert_eq!(info.edition(), lk::server_info::Edition::Standard);
    assert_eq!((info.version.as_str(), info.protocol), ("1.13.5", 17));
    assert_eq!(
        (info.region.as_str(), info.node_id.as_str()),
        ("eu", "ND_n")
    );
    assert!(
        info.debug_info.starts_with("plenum/"),
        "{}",
        info.debug_info
    );
    assert_eq!(
        (join.server_version.as_str(), join.server_region.as_str()),
        ("1.13.5", "eu")
    );
    assert!(join.subscriber_primary && join.fast_publish);
    assert_eq!((join.ping_interval, join.ping_timeout), (5, 15));
    assert_eq!(join.ice_servers, announced().ice_servers);
    let mimes: Vec<_> = join
        .enabled_publish_codecs
        .iter()
        .map(|codec| &codec.mime)
        .collect();
    assert_eq!(mimes, ["video/VP8", "audio/opus"]);
    assert_eq!(join.room.unwrap().sid, "RM_r");
    assert_eq!(join.participant.unwrap().sid, "PA_own");
    assert_eq!(join.other_participants[0].tracks[0].sid, "TR_a");
    let resume = join.client_configuration.unwrap().resume_connection();
    assert_eq!(resume, lk::ClientConfigSetting::Enabled);
    assert_eq!(
        (join.alternative_url, join.sif_trailer),
        (String::new(), Vec::new())
    );
}

#[test]
fn only_who_may_publish_is_told_to_begin() {
    let To::Join(join) = join(joined(false), &announced()) else {
        panic!("not a join")
    };
    assert!(!join.fast_publish);
}

#[test]
fn a_resume_is_answered_in_the_order_that_clients_rely_on() {
    let messages = resumed(joined(true), &announced());
    let [
        To::Reconnect(reconnect),
        To::Update(update),
        To::RoomUpdate(room),
    ] = &messages[..]
    else {
        panic!("{messages:?}");
    };
    assert_eq!(reconnect.ice_servers, announced().ice_servers);
    assert_eq!(
        reconnect.server_info.as_ref().map(|info| info.protocol),
        Some(17)
    );
    let ids: Vec<_> = update.participants.iter().map(|one| &one.sid).collect();
    assert_eq!(ids, ["PA_own", "PA_other"]);
    assert_eq!(
        room.room.as_ref().map(|room| room.sid.as_str()),
        Some("RM_r")
    );
}

#[test]
fn the_announced_version_switches_what_we_mean() {
    let mut parts = COMPATIBLE_VERSION
        .split('.')
        .map(|part| part.parse::<u32>().unwrap());
    let version: [u32; 3] = std::array::from_fn(|_| parts.next().unwrap());
    assert!(([1, 8, 0]..=[1, 13, 6]).contains(&version), "{version:?}");
}
