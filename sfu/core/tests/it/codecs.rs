//! Tracks in two codecs: whoever can't take the preferred one gets the other, which its publisher sends only while
//! there is somebody for it.

use plenum_proto::{
    node::session_event::Kind as Told,
    v1::VideoQuality::{High, Low, Medium},
};
use sfu_sim::{ClientKey, ClientOptions, SourceId, VideoSettings, World, millis, seconds};

const NONE: [(plenum_proto::v1::VideoQuality, bool); 3] =
    [(Low, false), (Medium, false), (High, false)];
const ALL: [(plenum_proto::v1::VideoQuality, bool); 3] =
    [(Low, true), (Medium, true), (High, true)];

/// Encodings of the camera: one of AV1, and three of VP8 after it.
const AV1: u8 = 0;
const SMALL: u8 = 1;
const LARGE: u8 = 3;

fn simple(identity: &str) -> ClientOptions {
    ClientOptions::new("room", identity).simple()
}

fn encoding(world: &World, key: ClientKey, camera: SourceId) -> u8 {
    world.client(key).report(camera).encoding
}

#[test]
fn a_second_codec_is_sent_while_somebody_takes_no_other() {
    let mut world = World::new(290);
    let ann = world.enter("room", "ann");
    let bob = world.enter("room", "bob");
    let camera = world.publish_video_as(ann, VideoSettings::av1("L3T3_KEY").with_backup());
    let track = world.track_of(ann, camera);
    world.run_for(seconds(8));
    assert_eq!(encoding(&world, bob, camera), AV1);
    assert_eq!(world.demand_for_backup(ann, camera), [], "nobody needs it");
    // Somebody does.
    let cat = world.enter_as(simple("cat"));
    let took = world.wait_for(cat, camera, seconds(3));
    assert!(took < millis(1_500), "{took:?}");
    world.run_for(seconds(8));
    assert_eq!(encoding(&world, cat, camera), LARGE);
    assert_eq!(
        world.demand_for_backup(ann, camera),
        [(Low, false), (Medium, false), (High, true)]
    );
    // Each codec has its own demand.
    world.ask_quality(cat, &track, Low);
    world.run_for(seconds(8));
    assert_eq!(encoding(&world, cat, camera), SMALL);
    assert_eq!(
        world.demand_for_backup(ann, camera),
        [(Low, true), (Medium, false), (High, false)]
    );
    assert_eq!(world.demand(ann, camera), ALL);
    let report = world.client(bob).report(camera);
    assert_eq!((report.encoding, report.spatial), (AV1, 2));
    assert!(
        report.longest_gap < millis(150),
        "it saw none of that: {report:?}"
    );
    // Nobody does any more; and somebody again, while the other codec has nobody.
    world.leave(cat);
    world.run_for(seconds(6));
    assert_eq!(world.demand_for_backup(ann, camera), NONE);
    let dan = world.enter_as(simple("dan"));
    let took = world.wait_for(dan, camera, seconds(3));
    assert!(took < millis(1_000), "its sender is there: {took:?}");
    world.leave(bob);
    world.run_for(seconds(8));
    assert_eq!(world.demand(ann, camera), NONE);
    assert_eq!(encoding(&world, dan, camera), LARGE);
    assert!(world.frames_per_second(dan, camera) >= 28);
    world.unpublish(ann, camera);
    world.run_for(seconds(1));
    assert_eq!(
        world.client(dan).participant("ann").map(|p| p.tracks.len()),
        Some(0)
    );
}

#[test]
fn a_viewer_on_another_shard_or_node_is_served_the_codec_it_takes() {
    for shards in [2, 3] {
        let mut world = World::spanning(291, shards, |_| {});
        let ann = world.enter("room", "ann");
        let bob = world.enter_as(ClientOptions::new("room", "bob").on(shards - 1));
        let cat = world.enter_as(simple("cat").on(shards - 1));
        let camera = world.publish_video_as(ann, VideoSettings::vp9("L3T3_KEY").with_backup());
        world.wait_for(cat, camera, seconds(4));
        world.run_for(seconds(8));
        assert_eq!(encoding(&world, bob, camera), AV1);
        assert_eq!(encoding(&world, cat, camera), LARGE);
        assert!(world.frames_per_second(cat, camera) >= 28);
        assert_eq!(
            world.demand_for_backup(ann, camera),
            [(Low, false), (Medium, false), (High, true)]
        );
        world.leave(cat);
        world.run_for(seconds(8));
        assert_eq!(world.demand_for_backup(ann, camera), NONE);
    }
}

#[test]
fn who_takes_no_codec_of_a_track_is_told() {
    let mut world = World::new(292);
    let ann = world.enter("room", "ann");
    let cat = world.enter_as(simple("cat"));
    world.publish_video_as(ann, VideoSettings::av1("L1T3"));
    world.run_for(seconds(3));
    let failed = |told: &&Told| matches!(told, Told::SubscriptionFailed(_));
    assert_eq!(world.client(cat).told().filter(failed).count(), 1);
}
