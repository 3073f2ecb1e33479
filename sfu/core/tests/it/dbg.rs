use sfu_sim::*;
#[test]
fn dbg_loss() {
    let mut world = World::new(90);
    let link = LinkSettings::lossy(0.05);
    let ann = world.enter_as(ClientOptions::new("room", "ann").over(link));
    let bob = world.enter_as(ClientOptions::new("room", "bob").over(link));
    let camera = world.publish_video(ann);
    let voice = world.publish_audio(ann);
    let _ = voice;
    for _ in 0..30 {
        world.run_for(seconds(1));
        println!("{:?} {} {:?}", world.now(),  world.summary(), world.client(bob).report(camera));
    }
    panic!("x");
}
