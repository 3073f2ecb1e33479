//! How long it takes to play an hour of a call.

use std::time::Instant;

use plenum_proto::v1::VideoQuality::{High, Low};
use sfu_sim::{ClientOptions, LinkSettings, VideoSettings, World, seconds};

/// `PLENUM_MINUTES=1` plays less.
#[test]
#[ignore = "takes minutes: cargo test --release -p sfu-core --test it -- --ignored --nocapture an_hour"]
#[expect(clippy::disallowed_methods, reason = "it is real time that is told")]
fn an_hour_of_a_call_of_ten_is_played_and_timed() {
    let minutes = std::env::var("PLENUM_MINUTES").unwrap_or_else(|_| "60".into());
    let minutes: u64 = minutes.parse().expect("a number");
    let mut world = World::new(1);
    let people: Vec<_> = (0..10)
        .map(|number| {
            let options = ClientOptions::new("room", &format!("person {number}"));
            world.enter_as(options.over(LinkSettings::lossy(0.000_1)))
        })
        .collect();
    let cameras: Vec<_> = people
        .iter()
        .map(|person| {
            let camera = world.publish_video_as(*person, VideoSettings::camera());
            world.track_of(*person, camera)
        })
        .collect();
    // Three have their microphones open; all show one person large.
    let voices: Vec<_> = (0..3).map(|one| world.publish_audio(people[one])).collect();
    world.run_for(seconds(2));
    for (viewer, person) in people.iter().enumerate() {
        for (number, track) in cameras.iter().enumerate().filter(|(n, _)| *n != viewer) {
            let is_large = number == usize::from(viewer == 0);
            let quality = if is_large { High } else { Low };
            world.ask_quality(*person, track, quality);
        }
    }
    let begun = Instant::now();
    world.run_for(seconds(60) * u32::try_from(minutes).expect("not too long"));
    let took = begun.elapsed();
    let heard = world.client(people[9]).report(voices[0]).frames;
    assert!(heard >= minutes * 60 * 50, "{heard} sounds");
    println!(
        "{minutes} min of a call of ten took {took:.1?}, {:?} a minute; {}",
        took / u32::try_from(minutes).map_or(1, |minutes| minutes.max(1)),
        world.summary()
    );
}
