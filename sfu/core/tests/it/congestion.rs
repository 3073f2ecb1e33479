//! A receiver whose link is not enough: what it gets follows the link down and up again, sound goes on,
//! and nobody else is affected. The committed scoreboard says how well, scenario by scenario.

use std::time::Duration;

use plenum_proto::{
    node::{StreamState, session_event::Kind as Told},
    v1::VideoQuality::{High, Low},
};
use sfu_sim::{
    ClientKey, ClientOptions, Cross, LinkSettings, SourceId, StreamReport, VideoSettings, World,
    millis, seconds, side_by_side,
};

const QUEUE: Duration = millis(300);

/// A call of ten: everybody has a camera, three speak. One person's link is limited, and shows the first
/// camera large; another's is not.
pub(super) struct Call {
    pub(super) world: World,
    limited: ClientKey,
    bystander: ClientKey,
    pub(super) cameras: Vec<SourceId>,
    /// Of the cameras.
    pub(super) tracks: Vec<String>,
    voices: Vec<SourceId>,
    settings: VideoSettings,
}

impl Call {
    pub(super) fn new(seed: u64) -> Self {
        let settings = VideoSettings {
            bitrates: vec![90_000, 350_000, 1_300_000],
            ..VideoSettings::default()
        };
        Self::with(seed, settings)
    }

    /// The same with other cameras.
    pub(super) fn with(seed: u64, settings: VideoSettings) -> Self {
        let mut world = World::new(seed);
        let watch = |world: &mut World, name: &str| world.enter(ROOM, name);
        let limited = watch(&mut world, "limited");
        let bystander = watch(&mut world, "bystander");
        let mut call = Self {
            world,
            limited,
            bystander,
            cameras: Vec::new(),
            tracks: Vec::new(),
            voices: Vec::new(),
            settings,
        };
        for number in 0..8 {
            call.enter(number);
        }
        call.publish_camera(bystander);
        call
    }

    fn enter(&mut self, number: usize) {
        let mut options = ClientOptions::new(ROOM, &format!("person {number}"));
        // What the others get is not looked at, and would cost time.
        options.join.auto_subscribe = false;
        let person = self.world.enter_as(options);
        if number < 3 {
            self.voices.push(self.world.publish_audio(person));
        }
        self.publish_camera(person);
    }

    fn publish_camera(&mut self, person: ClientKey) {
        let camera = self.world.publish_video_as(person, self.settings.clone());
        let track = self.world.track_of(person, camera);
        // What is said of a track that is not subscribed to yet is not heard.
        self.world.run_for(millis(200));
        let quality = if self.cameras.is_empty() { High } else { Low };
        for watcher in [self.limited, self.bystander] {
            if watcher != person {
                self.world.settings(watcher, &track, |s| {
                    s.quality = quality.into();
                    s.priority = u32::from(quality == High);
                });
            }
        }
        self.cameras.push(camera);
        self.tracks.push(track);
    }

    pub(super) fn limit(&mut self, link: LinkSettings) {
        self.world.set_downlink(self.limited, link);
    }

    pub(super) fn encoding(&self, camera: usize) -> u8 {
        let report = self.world.client(self.limited).report(self.cameras[camera]);
        report.encoding
    }

    /// The same, or the spatial layer of a stream that has all in one.
    pub(super) fn layer(&self, camera: usize) -> u8 {
        let report = self.world.client(self.limited).report(self.cameras[camera]);
        report.encoding.max(report.spatial)
    }

    /// How long the limited client was told that there is no room, of all cameras together.
    pub(super) fn paused(&self) -> Duration {
        let tracks = self.tracks.iter();
        tracks
            .map(|track| self.world.paused(self.limited, track))
            .sum()
    }

    /// Frames that the limited client has seen, of all cameras and the large one.
    pub(super) fn frames(&self) -> (u64, u64) {
        let client = self.world.client(self.limited);
        let frames = |camera: &SourceId| client.report(*camera).frames;
        (
            self.cameras.iter().map(frames).sum(),
            frames(&self.cameras[0]),
        )
    }

    /// The 95th percentile of the time packets queued since a moment.
    pub(super) fn queue_p95(&self, since: Duration) -> Duration {
        let mut queued = self.world.queued(self.limited, since);
        queued.sort();
        queued
            .get(queued.len() * 95 / 100)
            .copied()
            .unwrap_or_default()
    }

    /// What came of the large picture.
    pub(super) fn large(&self) -> StreamReport {
        self.world.client(self.limited).report(self.cameras[0])
    }

    /// Bytes that the limited link carried since a moment.
    pub(super) fn carried(&self, since: Duration) -> usize {
        self.world.carried(self.limited, since)
    }

    fn longest_silence(&self) -> Duration {
        let client = self.world.client(self.limited);
        let gaps = self.voices.iter().map(|v| client.report(*v).longest_gap);
        gaps.max().unwrap_or_default()
    }
}

const ROOM: &str = "room";

/// What came of a link that goes from 3 Mbit/s to 0.5 and back.
#[derive(Debug)]
struct Drop {
    silence: Duration,
    video_after: Duration,
    full_after: Duration,
    queue: Duration,
}

fn drop_and_return(seed: u64) -> Drop {
    let mut call = Call::new(seed);
    call.limit(LinkSettings::limited(3_000_000, QUEUE));
    call.world.run_for(seconds(25));
    let begun = call.world.now();
    assert_eq!(call.encoding(0), 2, "all of it before");
    call.limit(LinkSettings::limited(500_000, QUEUE));
    // What is under way when the link falls still comes.
    call.world.run_for(millis(400));
    let (frames, _) = call.frames();
    let dropped = call.world.now();
    let is_back = |call: &Call, frames: u64| call.frames().0 > frames + 3;
    while !is_back(&call, frames) && call.world.now() < dropped + seconds(10) {
        call.world.run_for(millis(20));
    }
    let video_after = call.world.now() - dropped + millis(400);
    call.world.run_for(seconds(25));
    call.limit(LinkSettings::limited(3_000_000, QUEUE));
    let returned = call.world.now();
    while call.encoding(0) < 2 && call.world.now() < returned + seconds(60) {
        call.world.run_for(millis(50));
    }
    let full_after = call.world.now() - returned;
    call.world.run_for(seconds(15));
    let bystander = call.world.client(call.bystander);
    for camera in &call.cameras[..8] {
        let report = bystander.report(*camera);
        assert!(report.longest_gap < millis(150), "{report:?}");
        assert_eq!(report.lost, 0, "{report:?}");
    }
    Drop {
        silence: call.longest_silence(),
        video_after,
        full_after,
        queue: call.queue_p95(begun),
    }
}

/// The issue asks for 100 ms, which the link nearly grants: the first report that shows a fall comes 30 to 80 ms after
/// it (a round trip, and a report each 50 ms). Until then all goes on, 2.2 Mbit/s with its headers, of which the link
/// takes 0.5: two packets of sound sent 20 ms apart arrive 88 ms apart where as much video as ever goes out between
/// them, and each packet more of it makes that 19 ms longer.
const SILENCE_MAX: Duration = millis(120);

fn assert_good(seed: u64, drop: &Drop) {
    assert!(drop.silence < SILENCE_MAX, "seed {seed}: {drop:?}");
    assert!(drop.video_after < seconds(2), "seed {seed}: {drop:?}");
    assert!(drop.full_after < seconds(10), "seed {seed}: {drop:?}");
    assert!(drop.queue < millis(100), "seed {seed}: {drop:?}");
}

#[test]
fn a_receiver_whose_link_falls_keeps_sound_and_picture_and_has_all_back_when_it_returns() {
    let drops = side_by_side([300, 301], |seed| (seed, drop_and_return(seed)));
    for (seed, drop) in &drops {
        assert_good(*seed, drop);
    }
}

#[test]
#[ignore = "takes minutes; prints each seed"]
fn the_same_over_twenty_seeds() {
    let drops = side_by_side(300..320, |seed| (seed, drop_and_return(seed)));
    for (seed, drop) in &drops {
        println!("{seed}: {drop:?}");
    }
    for (seed, drop) in &drops {
        assert_good(*seed, drop);
    }
}

/// One person sees ten cameras whole over a link; what each picture is, and what it was before.
fn ten_cameras(seed: u64, link: LinkSettings) {
    let mut world = World::new(seed);
    let watcher = world.enter_as(ClientOptions::new(ROOM, "watcher").over(link));
    let cameras: Vec<_> = (0..10)
        .map(|number| {
            let mut options = ClientOptions::new(ROOM, &format!("person {number}"));
            options.join.auto_subscribe = false;
            let person = world.enter_as(options);
            world.publish_video_as(person, VideoSettings::camera())
        })
        .collect();
    let seen = |world: &World| -> Vec<StreamReport> {
        let client = world.client(watcher);
        cameras
            .iter()
            .map(|camera| client.report(*camera))
            .collect()
    };
    world.run_for(seconds(5));
    let begun = seen(&world);
    for report in &begun {
        assert_eq!(report.encoding, 2, "seed {seed}: {report:?}");
    }
    world.run_for(seconds(25));
    for (report, before) in seen(&world).iter().zip(begun) {
        assert_eq!(report.encoding, 2, "seed {seed}: {report:?}");
        assert_eq!(report.switches, before.switches, "seed {seed}: {report:?}");
        let frames = report.frames - before.frames;
        assert!(frames > 730, "seed {seed}: {frames} frames, {report:?}");
    }
}

#[test]
fn a_fast_link_that_loses_a_little_is_filled_at_once_and_stays_full() {
    side_by_side(
        [(310, Duration::ZERO), (311, millis(20))],
        |(seed, delay)| {
            let link = LinkSettings {
                delay,
                loss: 0.005,
                ..LinkSettings::limited(1_000_000_000, QUEUE)
            };
            ten_cameras(seed, link);
        },
    );
}

/// One camera in one encoding and no sound: there is nothing smaller to fall back to, and nothing else that
/// would show how the link is.
struct Lone {
    world: World,
    watcher: ClientKey,
    person: ClientKey,
    camera: SourceId,
}

impl Lone {
    fn new(seed: u64, bitrate: u32, link: LinkSettings) -> Self {
        let mut world = World::new(seed);
        let options = ClientOptions::new(ROOM, "watcher").over(link);
        let watcher = world.enter_as(options);
        let person = world.enter(ROOM, "person");
        let settings = VideoSettings {
            rids: Vec::new(),
            bitrates: vec![bitrate],
            ..VideoSettings::default()
        };
        let camera = world.publish_video_as(person, settings);
        world.run_for(seconds(5));
        Self {
            world,
            watcher,
            person,
            camera,
        }
    }

    fn report(&self) -> StreamReport {
        self.world.client(self.watcher).report(self.camera)
    }
}

#[test]
fn a_way_that_becomes_longer_stops_no_picture() {
    for (seed, longer) in [(320, 20), (321, 35), (322, 100)] {
        let link = |delay| LinkSettings {
            delay: millis(delay),
            loss: 0.005,
            ..LinkSettings::limited(1_000_000_000, QUEUE)
        };
        let mut lone = Lone::new(seed, 2_400_000, link(4));
        lone.world.set_link(lone.watcher, link(4 + longer));
        lone.world.run_for(seconds(15));
        let report = lone.report();
        assert!(report.longest_gap < millis(500), "{longer} ms: {report:?}");
    }
}

#[test]
fn a_picture_that_the_link_has_no_room_for_is_told_to_be_paused_and_to_go_on() {
    let fast = LinkSettings::limited(5_000_000, QUEUE);
    for (seed, slow) in [(327, 300_000), (328, 600_000)] {
        let mut lone = Lone::new(seed, 1_500_000, fast);
        let states = |lone: &Lone| {
            let states = lone.world.client(lone.watcher).told_at();
            let states = states.filter_map(|(at, told)| match told {
                Told::StreamStates(states) => Some((*at, states.states.clone())),
                _ => None,
            });
            states.collect::<Vec<_>>()
        };
        let person = lone.world.client(lone.person).id().to_owned();
        let track = lone.world.client(lone.person).track_id(lone.camera);
        let track = track.expect("published").to_owned();
        let state = |paused| {
            vec![StreamState {
                participant_id: person.clone(),
                track_id: track.clone(),
                paused,
            }]
        };
        assert_eq!(states(&lone), [], "{slow}");
        let fallen = lone.world.now();
        lone.world
            .set_downlink(lone.watcher, LinkSettings::limited(slow, QUEUE));
        lone.world.run_for(seconds(5));
        let told = states(&lone);
        let [(paused_at, paused)] = told.as_slice() else {
            panic!("{slow}: once, {told:?}");
        };
        assert_eq!(*paused, state(true), "{slow}");
        let after = *paused_at - fallen;
        assert!(after < seconds(2), "{slow}: told after {after:?}");
        // Nothing comes until its end is told.
        let before = lone.report().frames;
        lone.world.run_for(seconds(10));
        assert_eq!(lone.report().frames, before, "{slow}");
        assert_eq!(states(&lone).len(), 1, "{slow}");
        lone.world.set_downlink(lone.watcher, fast);
        while states(&lone).len() < 2 && lone.world.now() < fallen + seconds(40) {
            assert_eq!(lone.report().frames, before, "{slow}");
            lone.world.run_for(millis(100));
        }
        let told = states(&lone);
        assert_eq!(
            told.last().map(|(_, states)| states.clone()),
            Some(state(false))
        );
        lone.world.run_for(seconds(2));
        let frames = lone.report().frames - before;
        assert!(frames > 45, "{slow}: {frames} within 2 s of that");
        lone.world.run_for(seconds(10));
        assert_eq!(states(&lone).len(), 2, "{slow}: {:?}", states(&lone));
    }
}

#[test]
fn a_picture_that_was_stopped_returns_with_the_link() {
    let slow = LinkSettings::limited(300_000, QUEUE);
    let dead = LinkSettings::lossy(1.0);
    for (seed, bad, span) in [
        (323, slow, 20),
        (324, slow, 20),
        (325, dead, 8),
        (326, dead, 8),
    ] {
        let fast = LinkSettings::limited(5_000_000, QUEUE);
        let mut lone = Lone::new(seed, 1_500_000, fast);
        lone.world.set_downlink(lone.watcher, bad);
        lone.world.run_for(seconds(span));
        lone.world.set_downlink(lone.watcher, fast);
        lone.world.run_for(seconds(7));
        let before = lone.report().frames;
        lone.world.run_for(seconds(2));
        let frames = lone.report().frames - before;
        assert!(
            frames > 50,
            "seed {seed}: {frames} in 2 s, {:?}",
            lone.report()
        );
    }
}

#[test]
fn a_moment_in_which_next_to_nothing_comes_through_is_over_soon() {
    for seed in [350, 351, 352] {
        let mut call = Call::new(seed);
        let link = |rate| LinkSettings {
            delay: millis(50),
            jitter: millis(15),
            ..LinkSettings::limited(rate, millis(500))
        };
        call.limit(link(4_000_000));
        call.world.run_for(seconds(12));
        call.limit(link(200_000));
        call.world.run_for(millis(800));
        call.limit(link(5_000_000));
        let (before, _) = call.frames();
        call.world.run_for(seconds(4));
        let (frames, _) = call.frames();
        assert!(frames > before + 100, "seed {seed}: {}", frames - before);
    }
}

#[test]
fn a_call_goes_on_beside_a_download_and_beside_what_comes_and_goes() {
    let on_off = Cross::OnOff {
        rate: 3_000_000,
        on: seconds(4),
        off: seconds(6),
    };
    for (seed, cross) in (350..).zip([Cross::Tcp, Cross::Tcp, on_off, on_off]) {
        let mut call = Call::new(seed);
        call.limit(LinkSettings {
            cross: Some(cross),
            ..LinkSettings::limited(4_000_000, QUEUE)
        });
        call.world.run_for(seconds(10));
        let (begun, frames) = (call.world.now(), call.frames().0);
        call.world.run_for(seconds(30));
        let span = (call.world.now() - begun).as_secs_f64();
        let share = call.carried(begun) as f64 * 8.0 / span / 4e6;
        let made = call.cameras.len() as f64 * 30.0 * span;
        let shown = (call.frames().0 - frames) as f64 / made;
        let silence = call.longest_silence();
        let passed = call.world.crossed(call.limited) as f64 * 8.0 / 40.0 / 4e6;
        let case = format!(
            "{cross:?}: {share:.2} of the link, {passed:.2} of the other, {shown:.2} shown, {silence:?}"
        );
        assert!(silence < millis(300), "{case}");
        // What a download leaves, which keeps the queue filled, and what is left by one that goes at times.
        let (least, least_shown) = match cross {
            Cross::Tcp => (0.12, 0.2),
            Cross::OnOff { .. } => (0.35, 0.7),
        };
        assert!(share > least && shown > least_shown, "{case}");
    }
}

/// Clients on busy machines stand still now and then, and take all that came meanwhile at once.
#[test]
fn a_client_that_stands_still_now_and_then_misses_no_more_than_that() {
    for (seed, longest) in [(340, 60), (341, 150), (342, 300)] {
        let mut world = World::new(seed);
        let watcher = world.enter(ROOM, "watcher");
        let cameras: Vec<_> = (0..12)
            .map(|number| {
                let mut options = ClientOptions::new(ROOM, &format!("person {number}"));
                options.join.auto_subscribe = false;
                let person = world.enter_as(options);
                let settings = VideoSettings {
                    rids: Vec::new(),
                    bitrates: vec![100_000],
                    ..VideoSettings::default()
                };
                world.publish_video_as(person, settings)
            })
            .collect();
        world.run_for(seconds(5));
        let frames = |world: &World| -> u64 {
            let client = world.client(watcher);
            cameras.iter().map(|one| client.report(*one).frames).sum()
        };
        let before = frames(&world);
        let begun = world.now();
        let mut number = 0;
        while world.now() - begun < seconds(20) {
            number += 1;
            world.run_for(millis(200 + number * 271 % 800));
            for left in (0..number * 7_919 % longest / 5).rev() {
                let link = LinkSettings::delayed(millis(15 + 5 * left));
                world.set_link(watcher, link);
                world.run_for(millis(5));
            }
        }
        let made = (world.now() - begun).as_secs_f64() * 30.0 * cameras.len() as f64;
        let seen = (frames(&world) - before) as f64 / made;
        assert!(seen > 0.95, "seed {seed}: {seen:.3} of the pictures");
    }
}

#[test]
fn pictures_that_give_way_in_the_queue_begin_anew_at_once() {
    let gaps = side_by_side(330..338, |seed| {
        let fast = LinkSettings::limited(5_000_000, QUEUE);
        let mut lone = Lone::new(seed, 900_000, fast);
        let first = (0..3).map(|number| {
            let person = lone.world.enter(ROOM, &format!("person {number}"));
            let settings = VideoSettings {
                rids: Vec::new(),
                bitrates: vec![300_000 * (number + 1)],
                ..VideoSettings::default()
            };
            lone.world.publish_video_as(person, settings)
        });
        let first = first.collect::<Vec<_>>()[0];
        lone.world.run_for(seconds(6));
        let slow = LinkSettings::limited(250_000, QUEUE);
        lone.world.set_downlink(lone.watcher, slow);
        lone.world.run_for(seconds(3));
        lone.world.set_downlink(lone.watcher, fast);
        lone.world.run_for(seconds(4));
        let watcher = lone.world.client(lone.watcher);
        watcher.report(first).longest_gap
    });
    let mean = gaps.iter().sum::<Duration>() / gaps.len() as u32;
    // A client that is left to ask for its keyframe does so after a second and a half.
    assert!(mean < seconds(1), "{gaps:?}");
}

#[test]
fn a_moment_in_which_hardly_anything_passes_takes_the_large_picture_away_for_seconds_only() {
    let cell = LinkSettings {
        delay: millis(50),
        jitter: millis(15),
        ..LinkSettings::limited(4_000_000, millis(500))
    };
    let out = LinkSettings {
        rate: Some((200_000, millis(500))),
        ..cell
    };
    // Several times what is left then, but no dozen times.
    let settings = VideoSettings {
        bitrates: vec![150_000, 400_000, 1_150_000],
        ..VideoSettings::camera()
    };
    for seed in 700..704 {
        for lasts in [150, 300, 700] {
            let mut world = World::new(seed);
            let ann = world.enter(ROOM, "ann");
            let bob = world.enter(ROOM, "bob");
            let camera = world.publish_video_as(ann, settings.clone());
            world.publish_audio(ann);
            world.set_link(bob, cell);
            world.run_for(seconds(12));
            let large = world.client(bob).report(camera).encoding;
            world.set_link(bob, out);
            world.run_for(millis(lasts));
            world.set_link(bob, cell);
            world.run_for(seconds(3));
            let before = world.client(bob).report(camera).frames;
            world.run_for(seconds(1));
            let report = world.client(bob).report(camera);
            let shown = report.frames - before;
            assert_eq!(report.encoding, large, "seed {seed}, {lasts} ms");
            assert!(shown >= 25, "seed {seed}, {lasts} ms: {shown} pictures");
        }
    }
}
