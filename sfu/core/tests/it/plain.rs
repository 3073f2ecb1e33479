//! Encoders that send plain RTP are seen and heard like anybody else.

use std::net::SocketAddr;

use plenum_proto::{
    node::{
        Join, SessionRequest, SessionShape, Subscribe, session_event::Kind as Told,
        session_request::Kind,
    },
    v1::{ParticipantKind, Permissions, RoomConfig, Track, TrackKind, TrackSource},
};
use sfu_core::{
    Command, CommandError, ControlId, DropReason, PlainDatagram, PlainFormat, PlainSection,
    PlainSink,
};
use sfu_sim::{ClientOptions, PlainWay, VideoSettings, World, millis, seconds};

#[test]
fn an_encoder_is_seen_and_heard_and_asked_for_keyframes() {
    let mut world = World::new(91);
    let bob = world.enter("room", "bob");
    let (encoder, camera, voice) = world.enter_plain("room", "encoder", PlainWay::default());
    world.run_for(seconds(10));
    let picture = world.client(bob).report(camera);
    assert!(picture.frames > 250, "{picture:?}");
    assert_eq!(picture.undecodable, 0, "{picture:?}");
    assert!(picture.longest_gap < millis(100), "{picture:?}");
    let sound = world.client(bob).report(voice);
    assert!(sound.frames > 450, "{sound:?}");
    let kind = world.client(bob).participant("encoder").map(|p| p.kind());
    assert_eq!(kind, Some(ParticipantKind::Ingress));

    let before = world.plain_told(encoder);
    let cat = world.enter("room", "cat");
    let took = world.wait_for(cat, camera, seconds(2));
    assert!(took < millis(500), "picture after {took:?}");
    world.run_for(seconds(2));
    let told = world.plain_told(encoder);
    assert!(told.keyframes > 0, "{told:?}");
    assert!(told.keyframes - before.keyframes <= 2, "{told:?}");
    assert!(told.reports >= 3, "{told:?}");
    assert_eq!(told.lost, 0);
}

#[test]
fn its_sound_and_picture_can_be_played_in_sync() {
    let mut world = World::new(92);
    let bob = world.enter("room", "bob");
    let (_, camera, voice) = world.enter_plain("room", "encoder", PlainWay::default());
    world.run_for(seconds(20));
    let offsets = [camera, voice].map(|source| world.client(bob).report(source).clock_offset);
    let [Some(picture), Some(sound)] = offsets else {
        panic!("no sender reports: {offsets:?}")
    };
    let error = picture.abs_diff(sound);
    assert!(error < 20_000, "{error} microseconds apart");
}

#[test]
fn what_is_lost_and_what_comes_twice_harms_nobody() {
    let mut world = World::new(93);
    let bob = world.enter("room", "bob");
    let way = PlainWay {
        loses: 50,
        repeats: 7,
    };
    let (encoder, camera, voice) = world.enter_plain("room", "encoder", way);
    world.run_for(seconds(20));
    let picture = world.client(bob).report(camera);
    assert!(picture.frames > 100, "{picture:?}");
    let sound = world.client(bob).report(voice);
    assert!(sound.frames > 900, "{sound:?}");
    let told = world.plain_told(encoder);
    assert!(told.lost > 10, "{told:?}");
    assert!(world.stats().dropped(DropReason::OutOfPlace) > 100);
}

#[test]
fn an_encoder_that_begins_anew_is_seen_again() {
    let mut world = World::new(94);
    let bob = world.enter("room", "bob");
    let (encoder, camera, _) = world.enter_plain("room", "encoder", PlainWay::default());
    world.run_for(seconds(3));
    let before = world.client(bob).report(camera).frames;
    world.restart_plain(encoder);
    world.run_for(seconds(3));
    let after = world.client(bob).report(camera);
    assert!(after.frames > before + 60, "{before} before, {after:?}");
    assert_eq!(after.undecodable, 0, "{after:?}");
}

#[test]
fn only_what_is_described_is_taken() {
    let mut world = World::new(95);
    let bob = world.enter("room", "bob");
    let mut options = ClientOptions::new("room", "plain");
    options.join.shape = SessionShape::Plain.into();
    let plain = world.join(options);
    world.run_for(millis(200));
    let control = ControlId(2);
    let section = |mime: &str, payload_type| PlainSection {
        formats: vec![PlainFormat {
            payload_type,
            mime: mime.to_owned(),
            ..PlainFormat::default()
        }],
        ..PlainSection::default()
    };
    let mut describe =
        |control, sections| world.command(Command::DescribePlain { control, sections });
    let refused = describe(control, vec![]);
    assert!(matches!(
        refused,
        Err(CommandError::Invalid {
            field: "sections",
            ..
        })
    ));
    let refused = describe(control, vec![section("audio/opus", 96); 17]);
    assert!(matches!(
        refused,
        Err(CommandError::Invalid {
            field: "sections",
            ..
        })
    ));
    let refused = describe(control, vec![section("audio/mpeg4-generic", 96)]);
    assert!(matches!(
        refused,
        Err(CommandError::Invalid {
            field: "formats",
            ..
        })
    ));
    // One with transports, and one that is not there.
    for other in [ControlId(1), ControlId(99)] {
        let refused = describe(other, vec![section("audio/opus", 96)]);
        assert!(
            matches!(refused, Err(CommandError::NotAllowed(_))),
            "{other:?}"
        );
    }
    describe(control, vec![section("audio/PCMU", 0)]).expect("a description");
    let again = describe(control, vec![section("audio/PCMU", 0)]);
    assert!(matches!(again, Err(CommandError::NotAllowed(_))));

    let mut bytes = vec![0x80, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 7, 1];
    let now = world.instant();
    for (control, section, payload_type, expected) in [
        (ControlId(1), 0, 0, DropReason::UnknownStream),
        (ControlId(99), 0, 0, DropReason::UnknownStream),
        (control, 1, 0, DropReason::UnknownStream),
        (control, 0, 8, DropReason::UnknownStream),
        (control, 0, 0, DropReason::Malformed),
    ] {
        bytes[1] = payload_type;
        let length = if expected == DropReason::Malformed {
            11
        } else {
            13
        };
        let before = world.stats().dropped(expected);
        let bytes = &bytes[..length];
        world.shard.handle_plain(
            now,
            PlainDatagram {
                control,
                section,
                bytes,
            },
        );
        assert_eq!(
            world.stats().dropped(expected),
            before + 1,
            "{section} {payload_type}"
        );
    }
    assert_eq!(world.stats().packets_received, 0);
    world.waive_client(plain);
    world.run_for(millis(500));
    let tracks = world
        .client(bob)
        .participant("plain")
        .map(|p| p.tracks.clone());
    let mimes: Vec<_> = tracks
        .unwrap_or_default()
        .into_iter()
        .map(|t| t.mime)
        .collect();
    assert_eq!(mimes, ["audio/PCMU"]);
    let ended = world
        .client(plain)
        .told()
        .any(|told| matches!(told, Told::Closed(_)));
    assert!(!ended);
}

/// A participant to whom nothing is connected: what it subscribes to goes to these addresses.
fn enter_sink(
    world: &mut World,
    number: u64,
    sinks: Vec<PlainSink>,
) -> Result<ControlId, CommandError> {
    let control = ControlId(number);
    let join = Join {
        room: Some(RoomConfig {
            name: "room".to_owned(),
            ..RoomConfig::default()
        }),
        identity: "sink".to_owned(),
        kind: ParticipantKind::Egress.into(),
        permissions: Some(Permissions {
            can_subscribe: true,
            ..Permissions::default()
        }),
        shape: SessionShape::Plain.into(),
        ..Join::default()
    };
    let (join, home) = (Box::new(join), None);
    world.command(Command::Join {
        control,
        join,
        home,
    })?;
    world.command(Command::SendPlain {
        control,
        sinks,
        keyframes: Some(seconds(2)),
    })?;
    Ok(control)
}

#[test]
fn what_a_sink_subscribes_to_is_sent_as_plain_rtp_and_its_feedback_is_taken() {
    let mut world = World::new(96);
    let ann = world.enter("room", "ann");
    let settings = VideoSettings {
        rids: Vec::new(),
        temporal_layers: false,
        ..VideoSettings::default()
    };
    let camera = world.publish_video_as(ann, settings);
    let voice = world.publish_audio(ann);
    world.run_for(seconds(2));
    let tracks = [camera, voice].map(|source| world.track_of(ann, source));
    let [video, sound, feedback]: [SocketAddr; 3] =
        ["10.9.0.1:5004", "10.9.0.1:5006", "10.9.0.1:5005"].map(|a| a.parse().expect("an address"));
    world.open_sink(video.ip());
    let sink = |rtp: SocketAddr, is_video| PlainSink {
        is_video,
        rtp,
        rtcp: SocketAddr::new(rtp.ip(), rtp.port() + 1),
    };
    let control =
        enter_sink(&mut world, 900, vec![sink(video, true), sink(sound, false)]).expect("sinks");
    let subscribe = Subscribe {
        track_ids: tracks.to_vec(),
        subscribe: true,
        ..Subscribe::default()
    };
    let request = SessionRequest {
        kind: Some(Kind::Subscribe(subscribe)),
    };
    world
        .command(Command::Session { control, request })
        .expect("a request");
    world.run_for(seconds(5));

    let header = |packet: &[u8]| -> (u8, u8, u16, u32) {
        let ssrc = packet[8..12]
            .try_into()
            .map(u32::from_be_bytes)
            .expect("a header");
        (
            packet[0],
            packet[1] & 0x7f,
            u16::from_be_bytes([packet[2], packet[3]]),
            ssrc,
        )
    };
    for (to, payload_type, least) in [(video, 96, 140), (sound, 101, 240)] {
        let packets: Vec<_> = world
            .sunk()
            .filter(|(port, _)| *port == to.port())
            .map(|(_, bytes)| header(bytes))
            .collect();
        assert!(packets.len() > least, "{to}: {}", packets.len());
        let (_, _, _, ssrc) = packets[0];
        for pair in packets.windows(2) {
            let ((first, kind, number, name), (_, _, next, _)) = (pair[0], pair[1]);
            // Without extensions, which nothing describes.
            assert_eq!((first, kind, name), (0x80, payload_type, ssrc), "{to}");
            assert_eq!(next, number.wrapping_add(1), "{to}");
        }
        let reports = world.sunk().filter(|(port, _)| *port == to.port() + 1);
        assert!(reports.count() > 0, "{to}");
    }

    let (_, first) = world
        .sunk()
        .find(|(port, _)| *port == video.port())
        .expect("a packet");
    let (.., ssrc) = header(first);
    let before = world.keyframe_requests(ann, camera);
    let mut pli = vec![0x81, 206, 0, 2, 0, 0, 0, 1];
    pli.extend_from_slice(&ssrc.to_be_bytes());
    world.inject("10.9.0.9:5005".parse().expect("an address"), &pli);
    world.run_for(seconds(1));
    assert_eq!(
        world.keyframe_requests(ann, camera),
        before,
        "of a stranger"
    );
    world.inject(feedback, &pli);
    world.run_for(seconds(1));
    assert_eq!(world.keyframe_requests(ann, camera), before + 1);

    let refused = enter_sink(&mut world, 901, vec![sink(video, true)]);
    assert!(refused.is_ok(), "it replaces the one before: {refused:?}");
    world.open_tap();
    world.run_for(millis(200));
    let client = world.close_tap().first().expect("a datagram").source;
    let refused = enter_sink(&mut world, 902, vec![sink(client, true)]);
    assert!(
        matches!(refused, Err(CommandError::NotAllowed(_))),
        "{refused:?}"
    );
    let refused = enter_sink(&mut world, 903, Vec::new());
    assert!(
        matches!(refused, Err(CommandError::Invalid { field: "sinks", .. })),
        "{refused:?}"
    );
}

/// Of two codecs in turn, so that each keyframe is waited for, and each comes behind its turn.
#[test]
fn an_encoder_all_of_whose_keyframes_come_late_is_no_burden() {
    let mut world = World::new(97);
    let mut options = ClientOptions::new("room", "bob");
    options.join.auto_subscribe = false;
    let bob = world.enter_as(options);
    let encoder = world.enter_source("room", "encoder");
    let formats = [("video/VP8", 96), ("video/VP9", 97)];
    let formats = formats.map(|(mime, payload_type)| PlainFormat {
        payload_type,
        mime: mime.to_owned(),
        ..PlainFormat::default()
    });
    let track = Track {
        kind: TrackKind::Video.into(),
        source: TrackSource::Camera.into(),
        mime: "video/VP8".to_owned(),
        ..Track::default()
    };
    let section = PlainSection {
        track,
        formats: formats.to_vec(),
        ..PlainSection::default()
    };
    let sections = vec![section];
    let control = encoder;
    let described = world.command(Command::DescribePlain { control, sections });
    described.expect("a description");
    world.run_for(seconds(1));

    let sink = PlainSink {
        is_video: true,
        rtp: "10.9.0.1:5004".parse().expect("an address"),
        rtcp: "10.9.0.1:5005".parse().expect("an address"),
    };
    world.open_sink(sink.rtp.ip());
    let control = enter_sink(&mut world, 900, vec![sink]).expect("a sink");
    let tracks = world.client(bob).participant("encoder");
    let tracks = tracks.expect("an encoder").tracks.iter();
    let subscribe = Subscribe {
        track_ids: tracks.map(|track| track.id.clone()).collect(),
        subscribe: true,
        ..Subscribe::default()
    };
    let request = SessionRequest {
        kind: Some(Kind::Subscribe(subscribe)),
    };
    let subscribed = world.command(Command::Session { control, request });
    subscribed.expect("a request");
    let send = |world: &mut World, number: u16, payload_type: u8, timestamp: u32, media: &[u8]| {
        let mut bytes = vec![0x80, payload_type];
        bytes.extend_from_slice(&number.to_be_bytes());
        bytes.extend_from_slice(&timestamp.to_be_bytes());
        bytes.extend_from_slice(&7_u32.to_be_bytes());
        bytes.extend_from_slice(media);
        let now = world.instant();
        let datagram = PlainDatagram {
            control: encoder,
            section: 0,
            bytes: &bytes,
        };
        world.shard.handle_plain(now, datagram);
        world.run_for(millis(1));
    };
    let (keyframe, delta, other) = (&[0x10, 0, 1, 2][..], &[0x10, 1, 1, 2], &[0x4c, 1]);
    for number in 0..400 {
        let media = if number == 0 { keyframe } else { delta };
        send(&mut world, number, 96, 9_000, media);
    }
    let before = world.stats();
    let rounds = 300;
    for round in 0..rounds {
        let number = 400 + round * 2;
        send(&mut world, number + 1, 97, 9_000, other);
        send(&mut world, number, 96, 9_000, keyframe);
    }
    let after = world.stats();
    let received = after.packets_received - before.packets_received;
    assert_eq!(received, u64::from(rounds) * 2);
    let offered = after.packets_offered - before.packets_offered;
    assert!(offered < received * 3, "{offered} of {received}");
}
