//! The first picture of who joins: with the newest keyframe and what followed it, where that was kept.

use std::time::Duration;

use sfu_sim::{ClientOptions, LinkSettings, VideoSettings, World, millis, seconds};

/// A crowd comes within a second, to see somebody whose link takes 75 ms each way. How long each waits for a picture
/// from the moment it asked to join, and how many keyframes the publisher was asked for.
fn joins(seed: u64, settings: &VideoSettings, replay: Duration) -> (Vec<Duration>, u64) {
    let mut world = World::with(seed, |config| config.keyframe_replay = replay);
    let far = LinkSettings::delayed(millis(75));
    let ann = world.enter_as(ClientOptions::new("room", "ann").over(far));
    let camera = world.publish_video_as(ann, settings.clone());
    world.enter("room", "bob");
    world.run_for(seconds(3));
    let asked = world.keyframe_requests(ann, camera);
    let mut crowd = Vec::new();
    for number in 0..30 {
        let options = ClientOptions::new("room", &format!("joiner {number}"));
        crowd.push((world.now(), world.join(options)));
        world.run_for(millis(33));
    }
    world.run_for(seconds(3));
    let took = crowd.into_iter().map(|(start, joiner)| {
        let report = world.client(joiner).report(camera);
        assert_eq!((report.lost, report.undecodable), (0, 0), "{report:?}");
        report.first_at.expect("a picture") - start
    });
    let took = took.collect();
    (took, world.keyframe_requests(ann, camera) - asked)
}

#[test]
fn a_crowd_sees_the_kept_keyframe_at_once() {
    for (seed, settings) in (300..).zip([VideoSettings::default(), VideoSettings::av1("L3T3_KEY")])
    {
        let percentiles = |replay| {
            let (mut took, asked) = joins(seed, &settings, replay);
            took.sort_unstable();
            (took[took.len() / 2], took[took.len() * 95 / 100], asked)
        };
        let (median, p95, asked) = percentiles(millis(1_500));
        let (median_without, p95_without, asked_without) = percentiles(Duration::ZERO);
        let case = format!(
            "{:?}: median {median:?} and p95 {p95:?} of {asked} keyframes; without what is kept \
             {median_without:?} and {p95_without:?} of {asked_without}",
            settings.codec
        );
        println!("{case}");
        // The way to the publisher and back is saved, and what is waited for the next keyframe.
        assert!(median + millis(100) < median_without, "{case}");
        assert!(p95 < p95_without, "{case}");
        assert!(asked <= asked_without, "{case}");
    }
}
