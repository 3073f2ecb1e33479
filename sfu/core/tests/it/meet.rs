//! People meet: they see and hear each other, soon, and for as long as they stay.

use plenum_proto::node::session_event::Kind as Told;
use sfu_sim::{World, millis, seconds};

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
        assert!(picture.frames > 200, "{picture:?}");
        assert_eq!(picture.encoding, 2, "the largest, for nobody asked for less: {picture:?}");
        assert!(picture.longest_gap < millis(100), "{picture:?}");
        let sound = world.client(key).report(voice);
        assert!(sound.frames > 400, "{sound:?}");
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
