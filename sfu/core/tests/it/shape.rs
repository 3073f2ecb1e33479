//! Sessions with one transport: who only publishes, and who only plays on sections of its own offer.

use plenum_proto::node::{SessionShape, TransportRole, session_event::Kind as Told};
use sfu_sim::{ClientKey, ClientOptions, World, millis, seconds};

fn one_way(identity: &str, shape: SessionShape) -> ClientOptions {
    let publishes = shape == SessionShape::PublishOnly;
    let mut options = ClientOptions::new("room", identity).permitted(|permissions| {
        permissions.can_publish = publishes;
        permissions.can_subscribe = !publishes;
        permissions.hidden = !publishes;
    });
    options.join.shape = shape.into();
    options.join.auto_subscribe = false;
    options
}

pub(crate) fn offers_of_the_node(world: &World, key: ClientKey) -> usize {
    let told = world.client(key).told();
    told.filter(|told| matches!(told, Told::Description(d) if d.is_offer && d.role() == TransportRole::Subscribe))
        .count()
}

#[test]
fn who_only_publishes_is_seen_and_is_offered_nothing() {
    let mut world = World::new(81);
    let ann = world.enter_as(one_way("ann", SessionShape::PublishOnly));
    let bob = world.enter("room", "bob");
    let bobs = world.publish_video(bob);
    let camera = world.publish_video(ann);
    // Longer than anything that ends the stay of who is not heard.
    world.run_for(seconds(90));
    let report = world.client(bob).report(camera);
    assert!(report.frames > 2_000, "{report:?}");
    assert!(report.longest_gap < millis(100), "{report:?}");
    assert_eq!(world.client(ann).closed(), None);
    assert_eq!(offers_of_the_node(&world, ann), 0);
    assert_eq!(world.client(ann).report(bobs).frames, 0);
}

#[test]
fn a_player_is_served_one_track_after_another_in_one_stream() {
    let mut world = World::new(82);
    let ann = world.enter("room", "ann");
    let bob = world.enter("room", "bob");
    let cameras = [
        (ann, world.publish_video(ann)),
        (bob, world.publish_video(bob)),
    ];
    let viewer = world.enter_as(one_way("viewer", SessionShape::SubscribeOnly));
    let mut streams = Vec::new();
    for turn in 0..6 {
        let (publisher, camera) = cameras[turn % 2];
        let track = world.track_of(publisher, camera);
        world.subscribe(viewer, &track, true);
        world.run_for(seconds(3));
        let stream = world.client(viewer).stream(camera).expect("a stream");
        let report = stream.report();
        assert_eq!(report.encoding, 2, "turn {turn}: {report:?}");
        assert_eq!(report.undecodable, 0, "turn {turn}: {report:?}");
        assert!(
            report.frames > 60 * (turn as u64 + 1),
            "turn {turn}: {report:?}"
        );
        streams.push(stream.mid());
        world.subscribe(viewer, &track, false);
        world.run_for(millis(500));
    }
    streams.dedup();
    assert_eq!(streams.len(), 1, "always the same section");
    assert_eq!(offers_of_the_node(&world, viewer), 0);
    assert_eq!(world.client(ann).participant("viewer"), None, "hidden");
}

#[test]
fn a_player_gets_no_more_than_its_sections_take() {
    let mut world = World::new(83);
    let ann = world.enter("room", "ann");
    let bob = world.enter("room", "bob");
    let (first, second) = (world.publish_video(ann), world.publish_video(bob));
    let viewer = world.enter_as(one_way("viewer", SessionShape::SubscribeOnly));
    let tracks = [world.track_of(ann, first), world.track_of(bob, second)];
    world.waive(&tracks[1]);
    for track in &tracks {
        world.subscribe(viewer, track, true);
    }
    world.run_for(seconds(3));
    assert!(world.client(viewer).report(first).frames > 60);
    assert_eq!(world.client(viewer).report(second).frames, 0);
    let refused = world.client(viewer).told().any(|told| {
        matches!(told, Told::RequestResponse(response) if response.message.contains("sections"))
    });
    assert!(refused, "why was not told");
}
