//! A room with many who only watch: each learns of all the others, in few messages, and of those who have
//! something to say at once.

use plenum_proto::node::session_event::Kind as Told;
use sfu_sim::{ClientKey, ClientOptions, DataTo, World, millis, seconds};

const CROWD: usize = 70;

/// A room large enough that those who only watch are told of in groups.
fn crowd(seed: u64, shards: usize) -> (World, Vec<ClientKey>) {
    let mut world = World::spanning(seed, shards, |_| {});
    let crowd = (0..CROWD)
        .map(|n| {
            let options = ClientOptions::new("room", &format!("guest {n}")).on(n % shards);
            let key = world.join(options);
            world.run_for(millis(20));
            key
        })
        .collect();
    world.run_for(seconds(2));
    (world, crowd)
}

fn rosters(world: &World, key: ClientKey) -> usize {
    let told = world.client(key).told();
    told.filter(|told| matches!(told, Told::Participants(_)))
        .count()
}

#[test]
fn everybody_knows_everybody_in_a_large_room() {
    for shards in [1, 2] {
        let (mut world, mut crowd) = crowd(90, shards);
        world.client_mut(crowd[0]).forget_told();
        let gone = crowd.split_off(CROWD / 2);
        for key in gone {
            world.leave(key);
        }
        for n in 0..CROWD / 2 {
            let options = ClientOptions::new("room", &format!("late {n}")).on(n % shards);
            crowd.push(world.join(options));
        }
        world.run_for(seconds(2));
        for &key in &crowd {
            let known = world.client(key).participants().count();
            assert_eq!(known, crowd.len(), "{shards} shards");
        }
        let told = rosters(&world, crowd[0]);
        assert!(told < CROWD / 2, "told {told} times, {shards} shards");
    }
}

#[test]
fn who_publishes_or_sends_is_known_before_it_is_heard() {
    let (mut world, crowd) = crowd(91, 1);
    let late = world.join(ClientOptions::new("room", "late"));
    let camera = world.publish_video(late);
    world.wait_for(crowd[0], camera, seconds(2));
    assert!(world.client(crowd[0]).participant("late").is_some());

    // Somebody was told of just now, so who comes next has to wait.
    world.run_for(seconds(1));
    world.join(ClientOptions::new("room", "first"));
    world.run_for(millis(110));
    assert!(world.client(crowd[0]).participant("first").is_some());
    let sender = world.enter("room", "sender");
    assert!(world.client(crowd[0]).participant("sender").is_none());
    world.open_data(sender);
    let everybody = DataTo {
        reliable: true,
        ..DataTo::default()
    };
    while !world.client_mut(sender).send_data(b"hello", &everybody) {
        world.run_for(millis(5));
    }
    while world.client(crowd[0]).data().is_empty() {
        world.run_for(millis(5));
    }
    assert!(world.client(crowd[0]).participant("sender").is_some());
}

#[test]
fn the_quality_of_a_connection_is_told_to_whom_it_concerns() {
    let (mut world, crowd) = crowd(92, 1);
    let camera = world.publish_video(crowd[0]);
    world.run_for(seconds(10));
    let about = |world: &World, key: ClientKey| {
        let mut ids: Vec<String> = Vec::new();
        for told in world.client(key).told() {
            if let Told::Quality(report) = told {
                ids.extend(report.qualities.iter().map(|q| q.participant_id.clone()));
            }
        }
        ids
    };
    let publisher = world.client(crowd[0]).id().to_owned();
    for &key in &crowd[1..4] {
        assert!(world.client(key).report(camera).frames > 0);
        let told = about(&world, key);
        let own = world.client(key).id();
        assert!(told.contains(&publisher), "{told:?}");
        assert!(told.iter().any(|id| id == own), "{told:?}");
        assert!(
            told.iter().all(|id| *id == publisher || id == own),
            "{told:?}"
        );
    }
}

#[test]
fn many_are_offered_a_track_in_turns_and_all_get_it() {
    let (mut world, crowd) = crowd(97, 1);
    let ann = world.enter("room", "ann");
    world.run_for(seconds(1));
    world.take_most_offers();
    let microphone = world.publish_audio(ann);
    for key in &crowd {
        world.wait_for(*key, microphone, seconds(2));
    }
    let most = world.take_most_offers();
    assert!((1..CROWD).contains(&most), "{most} offers in one call");
}
