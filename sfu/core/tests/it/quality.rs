//! How good a connection is told to be: of all that goes over it together, steadily, and as it is explained.

use std::time::Duration;

use plenum_proto::{
    node::session_event::Kind as Told,
    v1::ConnectionQuality::{self, Excellent, Good, Lost, Poor},
};
use sfu_sim::{
    ClientKey, ClientOptions, LinkSettings, VideoSettings, World, millis, seconds, side_by_side,
};

use super::explain::explain;

/// What one client was told of the connection of another, and when.
fn told(world: &World, to: ClientKey, about: ClientKey) -> Vec<(Duration, ConnectionQuality)> {
    let id = world.client(about).id();
    let reports = world
        .client(to)
        .told_at()
        .filter_map(|(at, told)| match told {
            Told::Quality(report) => Some((*at, report)),
            _ => None,
        });
    let of = |(at, report): (Duration, &plenum_proto::node::QualityReport)| {
        let mut named = report.qualities.iter();
        let found = named.find(|quality| quality.participant_id == id)?;
        Some((at, found.quality()))
    };
    reports.filter_map(of).collect()
}

/// What it is told to be now.
fn quality(world: &World, to: ClientKey, about: ClientKey) -> Option<ConnectionQuality> {
    told(world, to, about).last().map(|told| told.1)
}

/// Until it is told to be so, and how long that takes.
fn until(
    world: &mut World,
    (to, about): (ClientKey, ClientKey),
    holds: impl Fn(ConnectionQuality) -> bool,
) -> Duration {
    let from = world.now();
    let found = world.run_until(seconds(60), |world| {
        quality(world, to, about).is_some_and(&holds)
    });
    assert!(found, "{:?}", told(world, to, about));
    world.now() - from
}

/// Bob, who hears and sees three others, of whom none sees another.
fn call(seed: u64, settings: &VideoSettings) -> (World, ClientKey, Vec<ClientKey>) {
    let mut world = World::new(seed);
    let bob = world.enter("room", "bob");
    let others = ["ann", "cat", "dan"].map(|name| {
        let mut options = ClientOptions::new("room", name);
        options.join.auto_subscribe = false;
        let person = world.enter_as(options);
        world.publish_audio(person);
        world.publish_video_as(person, settings.clone());
        person
    });
    world.run_for(seconds(15));
    (world, bob, others.to_vec())
}

#[test]
fn a_link_that_loses_next_to_nothing_is_told_to_be_excellent_and_hardly_ever_another() {
    side_by_side([710, 711], |seed| {
        let (mut world, bob, others) = call(seed, &VideoSettings::default());
        for key in others.iter().chain([&bob]) {
            world.set_link(*key, LinkSettings::lossy(0.005));
        }
        let settled: Vec<_> = others.iter().map(|key| told(&world, bob, *key)).collect();
        let own = told(&world, bob, bob);
        const MINUTES: usize = 2;
        world.run_for(seconds(60) * MINUTES as u32);
        for (about, before) in others.iter().zip(settled).chain([(&bob, own)]) {
            let told = told(&world, bob, *about);
            assert!(told.len() - before.len() <= MINUTES, "{seed}: {told:?}");
            let last = told.last().map(|told| told.1);
            assert_eq!(last, Some(Excellent), "{seed}: {told:?}");
        }
    });
}

#[test]
fn a_link_that_only_carries_sound_is_judged_no_less_steadily() {
    side_by_side([720, 721], |seed| {
        let mut world = World::new(seed);
        let keys = ["ann", "bob", "cat"].map(|name| {
            let key = world.enter("room", name);
            world.publish_audio(key);
            world.set_link(key, LinkSettings::lossy(0.005));
            key
        });
        world.run_for(seconds(190));
        for (to, about) in [(0, 0), (0, 1), (1, 0), (2, 1)] {
            let told = told(&world, keys[to], keys[about]);
            let settled = told.iter().filter(|(at, _)| *at > seconds(10)).count();
            assert!(settled <= 6, "{seed}: {told:?}");
            assert_eq!(told.last().map(|told| told.1), Some(Excellent), "{seed}");
        }
    });
}

#[test]
fn a_link_that_loses_is_told_within_seconds_what_it_is_and_stays_that() {
    side_by_side(
        [
            (700, false, 0.04, Good),
            (701, false, 0.10, Poor),
            (703, true, 0.04, Good),
            (704, true, 0.10, Poor),
        ],
        |(seed, is_uplink, loss, expected)| {
            let (mut world, bob, others) = call(seed, &VideoSettings::default());
            let about = if is_uplink { others[0] } else { bob };
            assert_eq!(quality(&world, bob, about), Some(Excellent));
            match is_uplink {
                true => world.set_uplink(about, LinkSettings::lossy(loss)),
                false => world.set_downlink(about, LinkSettings::lossy(loss)),
            }
            let took = until(&mut world, (bob, about), |quality| quality == expected);
            assert!(took <= seconds(10), "{loss}: {took:?}");
            // On the way to poor it is good.
            world.run_for(seconds(10));
            let settled = told(&world, bob, about);
            assert!(settled.len() <= 3, "{settled:?}");
            world.run_for(seconds(60));
            assert_eq!(told(&world, bob, about), settled, "{loss}");
            let other = told(&world, bob, others[1]);
            assert_eq!(other.len(), 1, "of the others nothing is told: {other:?}");
        },
    );
}

#[test]
fn a_link_that_narrows_is_told_to_be_worse_and_when_it_is_wide_again() {
    side_by_side([730, 731], |seed| {
        let (mut world, bob, others) = call(seed, &VideoSettings::default());
        assert_eq!(quality(&world, bob, bob), Some(Excellent));
        world.set_downlink(bob, LinkSettings::limited(300_000, millis(300)));
        let took = until(&mut world, (bob, bob), |quality| quality != Excellent);
        assert!(took <= seconds(3), "{seed}: {took:?}");
        let took = until(&mut world, (bob, bob), |quality| quality == Poor);
        assert!(took <= seconds(5), "{seed}: {took:?}");
        world.run_for(seconds(30));
        assert_eq!(quality(&world, bob, bob), Some(Poor), "while it lasts");
        let link = explain(&mut world).link.expect("known");
        assert_eq!(link.quality(), Poor, "{link:?}");
        world.set_downlink(bob, LinkSettings::default());
        let took = until(&mut world, (bob, bob), |quality| quality == Excellent);
        assert!(took <= seconds(10), "{seed}: {took:?}");
        world.run_for(seconds(30));
        let changes = told(&world, bob, bob);
        assert!(changes.len() <= 5, "down and up again: {changes:?}");
        // What others send is no worse for it.
        for other in others {
            let told = told(&world, bob, other);
            assert!(told.iter().all(|t| t.1 == Excellent), "{told:?}");
        }
    });
}

#[test]
fn a_link_that_carries_no_picture_is_not_good() {
    let single = VideoSettings {
        rids: Vec::new(),
        bitrates: vec![400_000],
        ..VideoSettings::default()
    };
    let (mut world, bob, _) = call(702, &single);
    assert_eq!(quality(&world, bob, bob), Some(Excellent));
    world.set_downlink(bob, LinkSettings::limited(300_000, millis(300)));
    world.run_for(seconds(20));
    assert_eq!(quality(&world, bob, bob), Some(Poor));
    let link = explain(&mut world).link.expect("known");
    assert_eq!(link.quality(), Poor, "{link:?}");
}

#[test]
fn others_are_told_who_is_lost_and_only_when_nothing_comes() {
    let mut world = World::new(740);
    let [ann, bob, cat] = ["ann", "bob", "cat"].map(|name| {
        let key = world.enter("room", name);
        let voice = world.publish_audio(key);
        (key, voice)
    });
    world.run_for(seconds(10));
    // One who says nothing is not lost, nor is one whose packets get lost.
    world.mute(cat.0, cat.1, true, false);
    world.set_link(bob.0, LinkSettings::lossy(0.6));
    world.run_for(seconds(60));
    world.set_link(bob.0, LinkSettings::default());
    world.run_for(seconds(20));
    for about in [ann, bob, cat] {
        let told = told(&world, ann.0, about.0);
        assert!(told.iter().all(|told| told.1 != Lost), "{told:?}");
    }
    world.set_link(bob.0, LinkSettings::lossy(1.0));
    let took = until(&mut world, (ann.0, bob.0), |quality| quality == Lost);
    assert!((seconds(5)..=seconds(20)).contains(&took), "{took:?}");
    world.run_for(seconds(2));
    world.set_link(bob.0, LinkSettings::default());
    let took = until(&mut world, (ann.0, bob.0), |quality| quality != Lost);
    assert!(took <= seconds(5), "{took:?}");
    until(&mut world, (ann.0, bob.0), |quality| quality == Excellent);
    // It is not told itself: it would join again.
    let own = told(&world, bob.0, bob.0);
    assert!(own.iter().all(|told| told.1 != Lost), "{own:?}");
}
