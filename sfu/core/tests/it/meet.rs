//! People meet: they see and hear each other, soon, and for as long as they stay.

use plenum_proto::node::session_event::Kind as Told;
use sfu_sim::{ClientOptions, LinkSettings, VideoSettings, World, millis, seconds};

#[test]
fn two_participants_see_and_hear_each_other() {
    let mut world = World::new(1);
    let ann = world.enter("room", "ann");
    let bob = world.enter("room", "bob");
    let ann_camera = world.publish_video(ann);
    let ann_voice = world.publish_audio(ann);
    let bob_camera = world.publish_video(bob);
    let bob_voice = world.publish_audio(bob);
    world.run_for(seconds(10));
    for (key, camera, voice) in [(ann, bob_camera, bob_voice), (bob, ann_camera, ann_voice)] {
        let picture = world.client(key).report(camera);
        assert!(picture.frames > 250, "{picture:?}");
        assert_eq!(
            picture.encoding, 2,
            "the largest, for nobody asked for less: {picture:?}"
        );
        assert!(picture.longest_gap < millis(100), "{picture:?}");
        let sound = world.client(key).report(voice);
        assert!(sound.frames > 450, "{sound:?}");
        let speaking = world.client(key).told().any(|told| {
            matches!(told, Told::Speakers(changed) if changed.speakers.iter().any(|s| s.active))
        });
        assert!(speaking, "who speaks was not told");
    }
    world.leave(ann);
    world.leave(bob);
    world.run_for(seconds(2));
    world.assert_all_accounted();
}

#[test]
fn a_joiner_gets_a_picture_soon_after_it_joins() {
    let mut world = World::new(2);
    let ann = world.enter("room", "ann");
    let camera = world.publish_video(ann);
    let voice = world.publish_audio(ann);
    world.run_for(seconds(3));
    // 30 ms round trip: join, offer and answer, ICE, DTLS of two or three flights, keyframe request.
    let bob = world.enter("room", "bob");
    let took = world.wait_for(bob, camera, seconds(2));
    assert!(took < millis(500), "picture after {took:?}");
    let took = world.wait_for(bob, voice, seconds(2));
    assert!(took < millis(100), "sound after {took:?}");
    world.run_for(seconds(2));
    let report = world.client(bob).report(camera);
    assert_eq!(
        (report.keyframes, report.switches),
        (1, 0),
        "no detour: {report:?}"
    );
}

#[test]
fn checks_that_come_before_the_answer_cost_a_joiner_nothing() {
    let mut world = World::new(2);
    let ann = world.enter("room", "ann");
    let voice = world.publish_audio(ann);
    world.run_for(seconds(3));
    let mut heard_after = |signalling| {
        let mut bob = ClientOptions::new("room", &format!("{signalling:?} later"));
        bob.signalling = signalling;
        let bob = world.join(bob);
        let took = world.wait_for(bob, voice, seconds(2));
        world.leave(bob);
        took
    };
    // Browsers begin to check as they send their answer.
    let (at_once, later) = (heard_after(millis(0)), heard_after(millis(4)));
    assert!(later < at_once + millis(15), "{later:?} for {at_once:?}");
}

#[test]
fn a_crowd_that_joins_at_once_shares_a_few_keyframes() {
    let mut world = World::new(3);
    let ann = world.enter("room", "ann");
    let camera = world.publish_video(ann);
    world.run_for(seconds(2));
    let before = world.keyframe_requests(ann, camera);
    let crowd: Vec<_> = (0..12)
        .map(|n| world.join(ClientOptions::new("room", &format!("guest {n}"))))
        .collect();
    world.run_for(seconds(3));
    for guest in crowd {
        assert!(world.client(guest).report(camera).frames > 60);
    }
    let asked = world.keyframe_requests(ann, camera) - before;
    assert!((1..=4).contains(&asked), "{asked} keyframe requests");
}

#[test]
fn who_speaks_is_told_with_the_loudest_first_and_taken_back() {
    let mut world = World::new(4);
    let ann = world.enter("room", "ann");
    let bob = world.enter("room", "bob");
    let cat = world.enter("room", "cat");
    let ann_voice = world.publish_audio(ann);
    let bob_voice = world.publish_audio(bob);
    world.set_level(ann, ann_voice, (-30, true));
    world.set_level(bob, bob_voice, (-5, true));
    world.run_for(seconds(4));
    let speakers = |world: &World| {
        let mut now: Vec<(String, f32)> = Vec::new();
        for told in world.client(cat).told() {
            let Told::Speakers(changed) = told else {
                continue;
            };
            for speaker in &changed.speakers {
                now.retain(|(identity, _)| *identity != speaker.identity);
                if speaker.active {
                    now.push((speaker.identity.clone(), speaker.level));
                }
            }
        }
        now.sort_by(|a, b| b.1.total_cmp(&a.1));
        now.into_iter()
            .map(|(identity, _)| identity)
            .collect::<Vec<_>>()
    };
    assert_eq!(speakers(&world), ["bob", "ann"]);
    world.set_level(bob, bob_voice, (-127, false));
    world.run_for(seconds(4));
    assert_eq!(speakers(&world), ["ann"]);
    world.leave(ann);
    world.run_for(seconds(2));
    assert!(world.client(cat).participant("ann").is_none());
}

#[test]
fn sound_and_picture_can_be_played_in_sync() {
    let mut world = World::new(5);
    let ann =
        world.enter_as(ClientOptions::new("room", "ann").over(LinkSettings::delayed(millis(70))));
    let bob = world.enter("room", "bob");
    let camera = world.publish_video(ann);
    let voice = world.publish_audio(ann);
    world.run_for(seconds(20));
    let (picture, sound) = (
        world.client(bob).report(camera),
        world.client(bob).report(voice),
    );
    assert!(picture.sender_reports >= 5, "{picture:?}");
    assert!(sound.sender_reports >= 2, "{sound:?}");
    let offsets = (picture.clock_offset, sound.clock_offset);
    let (Some(picture), Some(sound)) = offsets else {
        panic!("no sender reports: {offsets:?}")
    };
    let error = picture.abs_diff(sound);
    assert!(
        error < 20_000,
        "{error} microseconds apart: {picture} and {sound}"
    );
}

#[test]
fn a_camera_with_one_encoding_and_no_layers_is_seen() {
    let mut world = World::new(6);
    let ann = world.enter("room", "ann");
    let settings = VideoSettings {
        rids: Vec::new(),
        temporal_layers: false,
        ..VideoSettings::default()
    };
    let camera = world.publish_video_as(ann, settings);
    let bob = world.enter("room", "bob");
    world.wait_for(bob, camera, seconds(2));
    assert!(world.frames_per_second(bob, camera) >= 29);
    assert_eq!(world.client(bob).report(camera).upper_frames, 0);
}

#[test]
fn rooms_do_not_hear_each_other() {
    let mut world = World::new(7);
    let ann = world.enter("red", "ann");
    let bob = world.enter("blue", "bob");
    let voice = world.publish_audio(ann);
    world.open_data(ann);
    world.run_for(seconds(3));
    assert!(world.client(ann).frames_made(voice, 0) > 100);
    assert_eq!(world.client(bob).report(voice).packets, 0);
    assert!(world.client(bob).participant("ann").is_none());
    world
        .client_mut(ann)
        .send_data(b"hello", &sfu_sim::DataTo::default());
    world.run_for(seconds(1));
    assert_eq!(world.client(bob).data(), []);
}
