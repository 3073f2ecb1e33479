//! What the sections offer that the node offers to subscribers.

use plenum_proto::node::{ClientInfo, session_event::Kind as Told};
use sfu_sim::{ClientKey, ClientOptions, VideoSettings, World, seconds};

/// The sections for media in the newest offer of the node.
fn sections(world: &World, key: ClientKey) -> Vec<&str> {
    let mut told = world.client(key).told();
    let offer = told.rfind(|told| matches!(told, Told::Description(d) if d.is_offer));
    let Some(Told::Description(offer)) = offer else {
        return Vec::new();
    };
    let sections = offer.sdp.split("\r\nm=").skip(1);
    let media = sections.filter(|section| !section.starts_with("application"));
    media.collect()
}

/// The formats of each of them, by name, in order.
fn offered(world: &World, key: ClientKey) -> Vec<Vec<String>> {
    let formats = sections(world, key).into_iter().map(|section| {
        let maps = section
            .lines()
            .filter_map(|line| line.strip_prefix("a=rtpmap:"));
        let names = maps.filter_map(|map| map.split([' ', '/']).nth(1).map(str::to_owned));
        names.collect()
    });
    formats.collect()
}

#[test]
fn a_section_offers_what_its_track_needs() {
    let mut world = World::new(26);
    let ann = world.enter("room", "ann");
    world.publish_audio(ann);
    let simple = world.publish_video(ann);
    let layered = world.publish_video_as(ann, VideoSettings::av1("L1T3"));
    world.run_for(seconds(2));
    let bob = world.enter("room", "bob");
    world.run_for(seconds(2));
    let universal = ["VP8", "rtx", "H264", "rtx"];
    let av1 = [&universal[..], &["AV1", "rtx"]].concat();
    let expected = [vec!["opus", "red"], universal.to_vec(), av1.clone()];
    assert_eq!(offered(&world, bob), expected);
    let mid = |world: &World, source| world.client(bob).stream(source).map(|s| s.mid());
    let [of_simple, of_layered] = [mid(&world, simple), mid(&world, layered)];
    assert!(of_simple.is_some() && of_layered.is_some());
    // A section that lacks a codec is not given to a track that needs it, and one that has more serves as well.
    world.unpublish(ann, simple);
    world.run_for(seconds(1));
    let another = world.publish_video_as(ann, VideoSettings::av1("L1T3"));
    world.run_for(seconds(2));
    assert!(world.frames_per_second(bob, another) >= 25);
    assert_ne!(mid(&world, another), of_simple);
    world.unpublish(ann, layered);
    world.run_for(seconds(1));
    let simple = world.publish_video(ann);
    let simple_too = world.publish_video(ann);
    world.run_for(seconds(2));
    let served = [mid(&world, simple), mid(&world, simple_too)];
    assert!(served.contains(&of_simple) && served.contains(&of_layered));
}

#[test]
fn clients_may_tell_of_packets_by_stream_or_for_the_whole_transport() {
    let mut world = World::new(28);
    let ann = world.enter("room", "ann");
    world.publish_audio(ann);
    let camera = world.publish_video(ann);
    world.run_for(seconds(2));
    let bob = world.enter("room", "bob");
    world.run_for(seconds(2));
    // A section that carries nothing any more stays, and speaks of the same transport.
    world.unpublish(ann, camera);
    world.run_for(seconds(1));
    let sections = sections(&world, bob);
    assert_eq!(sections.len(), 2);
    for section in sections {
        // RFC 8888 section 6: of all formats at once, and once.
        assert_eq!(section.matches("a=rtcp-fb:* ack ccfb").count(), 1);
        assert!(section.contains(" transport-cc"), "{section}");
    }
}

/// The streams of the sections for media in the newest offer of the node, without the publisher before the bar.
fn streams(world: &World, key: ClientKey) -> Vec<&str> {
    let named = sections(world, key).into_iter().filter_map(|section| {
        let name = section
            .lines()
            .find_map(|line| line.strip_prefix("a=msid:"))?;
        name.split(['|', ' ']).nth(1)
    });
    named.collect()
}

#[test]
fn sound_and_picture_of_one_are_one_stream_for_who_still_knows_them_apart() {
    let mut world = World::new(29);
    let ann = world.enter("room", "ann");
    world.publish_audio(ann);
    let camera = world.publish_video(ann);
    world.publish_video_as(ann, VideoSettings::screen());
    world.run_for(seconds(2));
    let enter = |world: &mut World, name: &str, protocol: i32, browser: &str| {
        let mut options = ClientOptions::new("room", name);
        options.join.client = Some(ClientInfo {
            protocol,
            browser: browser.into(),
            ..ClientInfo::default()
        });
        let key = world.enter_as(options);
        world.run_for(seconds(2));
        key
    };
    let bob = enter(&mut world, "bob", 15, "Chrome");
    assert_eq!(streams(&world, bob), ["camera", "camera", "screen"]);
    for (name, protocol, browser) in [("cid", 9, "Chrome"), ("dan", 15, "Firefox")] {
        let viewer = enter(&mut world, name, protocol, browser);
        let alone = |stream: &&str| stream.starts_with("TR_");
        assert_eq!(streams(&world, viewer).into_iter().filter(alone).count(), 3);
    }
    // The section of a track that is gone keeps the name of that track for its client: the next one is known by its stream.
    world.unpublish(ann, camera);
    world.run_for(seconds(1));
    world.publish_video(ann);
    world.run_for(seconds(2));
    let now = streams(&world, bob);
    assert_eq!((now.len(), now[0], now[2]), (3, "camera", "screen"));
    assert!(now[1].starts_with("TR_"), "{now:?}");
}

#[test]
fn a_codec_that_was_not_announced_is_offered_when_it_comes() {
    let mut world = World::new(27);
    let ann = world.enter("room", "ann");
    let viewers = ["bob", "cid", "dan"].map(|name| world.enter("room", name));
    let camera = world.publish_video_as(
        ann,
        VideoSettings {
            announced: Some("video/VP8"),
            ..VideoSettings::av1("L1T3")
        },
    );
    world.run_for(seconds(3));
    for viewer in viewers {
        assert!(world.frames_per_second(viewer, camera) >= 25);
        let told = world.client(viewer).told();
        let failed = |told: &&Told| matches!(told, Told::SubscriptionFailed(_));
        assert_eq!(told.filter(failed).count(), 0);
    }
}
