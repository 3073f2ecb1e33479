//! The first picture of who joins: with the newest keyframe and what followed it, where that was kept.

use std::time::Duration;

use plenum_proto::v1::VideoQuality;
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

/// How long it takes from one thing to another, in milliseconds and in round trips of the viewer's link.
fn show(what: &str, mut took: Vec<Duration>, rtt: Duration) {
    took.sort_unstable();
    let of = |share: usize| took[(took.len() * share / 100).min(took.len() - 1)];
    let [p50, p95] = [of(50), of(95)];
    let trips = |span: Duration| span.as_secs_f64() / rtt.as_secs_f64();
    println!(
        "{what}: p50 {} ms ({:.1} round trips), p95 {} ms ({:.1})",
        p50.as_millis(),
        trips(p50),
        p95.as_millis(),
        trips(p95)
    );
}

/// Viewers come one by one, `every` so often, each 80 ms away and the publisher as well; from the moment one is
/// connected, and from the moment it joins, to its first picture.
fn first_pictures(every: Duration, replay: Duration) -> [Vec<Duration>; 2] {
    let mut world = World::with(310, |config| config.keyframe_replay = replay);
    let far = LinkSettings::delayed(millis(40));
    let ann = world.enter_as(ClientOptions::new("room", "ann").over(far));
    let camera = world.publish_video_as(ann, VideoSettings::camera());
    world.enter("room", "bob");
    world.run_for(seconds(8));
    let before = world.stats().replays;
    let mut took = [Vec::new(), Vec::new()];
    for number in 0..40 {
        let begin = world.now();
        let options = ClientOptions::new("room", &format!("joiner {number}"));
        let joiner = world.join(options.over(far));
        let is_up = world.run_until(seconds(5), |world| {
            let client = world.client(joiner);
            client.joined().is_some() && client.is_connected()
        });
        assert!(is_up);
        let connected = world.now();
        world.wait_for(joiner, camera, seconds(5));
        let seen = world.client(joiner).report(camera).first_at;
        let seen = seen.expect("a picture");
        took[0].push(seen.saturating_sub(connected));
        took[1].push(seen - begin);
        world.run_for(millis(500));
        world.leave(joiner);
        // Not always at the same place between two pictures.
        world.run_for(every + millis(number * 7 % 33) - millis(500));
    }
    let kept = world.stats().replays - before;
    println!("begun with a kept keyframe: {kept} of 40");
    took
}

/// A viewer 80 ms away changes from the small picture to the large one, which another one takes, and back.
fn switches(every: Duration, replay: Duration) -> Vec<Duration> {
    let mut world = World::with(311, |config| config.keyframe_replay = replay);
    let far = LinkSettings::delayed(millis(40));
    let ann = world.enter_as(ClientOptions::new("room", "ann").over(far));
    let camera = world.publish_video_as(ann, VideoSettings::camera());
    world.enter("room", "bob");
    let cat = world.enter_as(ClientOptions::new("room", "cat").over(far));
    let dan = world.enter("room", "dan");
    let track = world.track_of(ann, camera);
    world.ask_quality(dan, &track, VideoQuality::Low);
    world.run_for(seconds(8));
    let mut took = Vec::new();
    for number in 0..40 {
        let (quality, encoding) = match number % 2 {
            0 => (VideoQuality::Low, 0),
            _ => (VideoQuality::High, 2),
        };
        let begin = world.now();
        world.ask_quality(cat, &track, quality);
        let has_changed = world.run_until(seconds(5), |world| {
            world.client(cat).report(camera).encoding == encoding
        });
        assert!(has_changed);
        took.push(world.now() - begin);
        world.run_for(every + millis(number * 7 % 33));
    }
    took
}

#[test]
#[ignore = "measures: cargo test -p sfu-core --test it -- --ignored --nocapture what_a_first_picture_costs"]
fn what_a_first_picture_costs() {
    let rtt = millis(80);
    for every in [millis(1_000), seconds(5)] {
        for replay in [millis(1_500), Duration::ZERO] {
            let case = format!("every {every:?}, kept for {replay:?}");
            let [connected, joined] = first_pictures(every, replay);
            show(&format!("joiner from connected, {case}"), connected, rtt);
            show(&format!("joiner from joining, {case}"), joined, rtt);
            show(&format!("switch, {case}"), switches(every, replay), rtt);
        }
    }
}
