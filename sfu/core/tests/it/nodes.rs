//! A room over nodes that are far apart, over links that delay, reorder and lose: nobody in it notices.

use plenum_proto::node::CloseAction;
use sfu_core::CoreConfig;
use sfu_sim::{ClientKey, ClientOptions, LinkSettings, SourceId, World, millis, seconds};

fn far() -> LinkSettings {
    LinkSettings::delayed(millis(20))
}

fn enter(world: &mut World, identity: &str, node: usize) -> ClientKey {
    world.enter_as(ClientOptions::new("room", identity).on(node))
}

/// A camera and microphone on the first node, and so many guests on each of the others.
fn audience(world: &mut World, nodes: usize, each: usize) -> (ClientKey, SourceId, Vec<ClientKey>) {
    let ann = enter(world, "ann", 0);
    let camera = world.publish_video(ann);
    let guests = (1..nodes)
        .flat_map(|node| (0..each).map(move |n| (node, n)))
        .map(|(node, n)| enter(world, &format!("guest {node} {n}"), node))
        .collect();
    (ann, camera, guests)
}

/// Media packets that went from each node to each other one, in a second.
fn copies(world: &mut World, nodes: usize) -> Vec<Vec<u64>> {
    let count = |world: &World| -> Vec<Vec<u64>> {
        let row = |from| (0..nodes).map(|to| world.relayed(from, to)).collect();
        (0..nodes).map(row).collect()
    };
    let before = count(world);
    world.run_for(seconds(1));
    let after = count(world);
    let difference = |(a, b): (Vec<u64>, Vec<u64>)| -> Vec<u64> {
        a.into_iter().zip(b).map(|(a, b)| a - b).collect()
    };
    after.into_iter().zip(before).map(difference).collect()
}

#[test]
fn loss_between_nodes_is_made_good_before_anybody_sees_it() {
    let link = LinkSettings {
        loss: 0.05,
        reordering: 0.02,
        ..far()
    };
    let mut world = World::of_nodes(201, 3, link, |_| {});
    let keys =
        [("ann", 0), ("bob", 1), ("cat", 2)].map(|(name, node)| enter(&mut world, name, node));
    let sources = keys.map(|key| (world.publish_video(key), world.publish_audio(key)));
    world.run_for(seconds(8));
    let before = keys.map(|key| sources.map(|(camera, _)| world.client(key).report(camera)));
    world.run_for(seconds(15));
    for (n, key) in keys.into_iter().enumerate() {
        for (m, (camera, voice)) in sources.into_iter().enumerate().filter(|(m, _)| n != *m) {
            let picture = world.client(key).report(camera);
            assert!(picture.frames > 500, "{n} of {m}: {picture:?}");
            assert_eq!(picture.undecodable, 0, "{n} of {m}: {picture:?}");
            // What is late of an encoding that a viewer has left is of no use, and leaves a hole.
            let before = &before[n][m];
            let has_switched = picture.switches != before.switches;
            let is_whole = has_switched || picture.lost == before.lost;
            assert!(is_whole, "{n} of {m}: {before:?}, then {picture:?}");
            assert!(picture.longest_gap < millis(400), "{n} of {m}: {picture:?}");
            let sound = world.client(key).report(voice);
            assert!(sound.frames > 900, "{n} of {m}: {sound:?}");
            assert_eq!(sound.lost, 0, "{n} of {m}: {sound:?}");
        }
    }
    let mut recovered = 0;
    for (from, to) in [(0, 1), (1, 0), (1, 2), (2, 1), (0, 2), (2, 0)] {
        let hop = world.hop(from, to);
        assert_eq!(hop.lost, 0, "{from} to {to}: {hop:?}");
        recovered += hop.recovered;
    }
    assert!(recovered > 100, "{recovered}");
}

#[test]
fn a_track_goes_to_many_nodes_by_a_tree_of_few_copies() {
    let two = |config: &mut CoreConfig| config.relay_copies = 2;
    let mut world = World::of_nodes(202, 7, far(), two);
    let (_, camera, guests) = audience(&mut world, 7, 2);
    world.run_for(seconds(12));
    let copies = copies(&mut world, 7);
    for (from, row) in copies.iter().enumerate() {
        let to = row.iter().filter(|packets| **packets > 0).count();
        assert!(to <= 2, "{from} sends to {to} nodes: {row:?}");
    }
    let came: Vec<u64> = (1..7)
        .map(|to| copies.iter().map(|row| row[to]).sum())
        .collect();
    let (least, most) = (came.iter().min(), came.iter().max());
    let once = least.zip(most).is_some_and(|(l, m)| *l > 80 && m - l <= 12);
    assert!(once, "each gets each packet once: {came:?}");
    for guest in guests {
        let picture = world.client(guest).report(camera);
        assert_eq!(picture.encoding, 2, "{picture:?}");
        assert!(picture.longest_gap < millis(100), "{picture:?}");
    }
}

#[test]
fn nobody_misses_a_packet_when_who_sent_it_on_stops_taking_it() {
    let one = |config: &mut CoreConfig| config.relay_copies = 1;
    let mut world = World::of_nodes(203, 4, far(), one);
    let (ann, camera, guests) = audience(&mut world, 4, 1);
    let track = world.track_of(ann, camera);
    world.run_for(seconds(10));
    let before = copies(&mut world, 4);
    assert!(
        before[0][1] > 80 && before[1][2] > 80 && before[2][3] > 80,
        "{before:?}"
    );
    world.subscribe(guests[0], &track, false);
    world.run_for(seconds(2));
    let after = copies(&mut world, 4);
    assert!(after[0][2] > 80 && after[2][3] > 80, "{after:?}");
    assert_eq!((after[0][1], after[1][2]), (0, 0), "{after:?}");
    world.subscribe(guests[0], &track, true);
    world.run_for(seconds(3));
    for guest in &guests[1..] {
        let picture = world.client(*guest).report(camera);
        assert_eq!((picture.lost, picture.late), (0, 0), "{picture:?}");
        assert!(picture.longest_gap < millis(100), "{picture:?}");
    }
    assert!(world.frames_per_second(guests[0], camera) >= 29);
}

#[test]
fn a_node_that_dies_is_replaced_in_the_tree() {
    let one = |config: &mut CoreConfig| config.relay_copies = 1;
    // Packets that are under way are lost with the node.
    let link = LinkSettings {
        reordering: 0.01,
        ..far()
    };
    let mut world = World::of_nodes(204, 4, link, one);
    let (_, camera, guests) = audience(&mut world, 4, 1);
    world.run_for(seconds(10));
    world.waive_client(guests[0]);
    world.lose_links_of(1);
    world.run_for(seconds(1));
    let closed = world.closed(guests[0]).map(|closed| closed.action());
    assert_eq!(closed, Some(CloseAction::Reconnect));
    let after = copies(&mut world, 4);
    assert!(after[0][2] > 80 && after[2][3] > 80, "{after:?}");
    for guest in &guests[1..] {
        let picture = world.client(*guest).report(camera);
        // The decoders wait 800 ms for what is missing, and then for a keyframe.
        assert!(picture.longest_gap < millis(1_500), "{picture:?}");
        assert!(world.frames_per_second(*guest, camera) >= 29);
    }
    // It can come back.
    let again = enter(&mut world, "again", 1);
    let took = world.wait_for(again, camera, seconds(2));
    assert!(took < millis(700), "{took:?}");
}

#[test]
fn the_home_makes_the_room_when_somebody_joins_elsewhere_first() {
    let mut world = World::of_nodes(205, 3, far(), |_| {});
    let bob = enter(&mut world, "bob", 1);
    let cat = enter(&mut world, "cat", 2);
    let voice = world.publish_audio(bob);
    let took = world.wait_for(cat, voice, seconds(2));
    assert!(took < millis(500), "{took:?}");
    assert_eq!(world.stats().rooms, 1);
    let at_home = world.shard_at(0).stats().rooms;
    assert_eq!(at_home, 1, "the home has it, and counts it");
}

/// Ann on the home, Bob and Cat on two edges, each with a camera.
fn three(seed: u64) -> (World, [ClientKey; 3], [SourceId; 3]) {
    let mut world = World::of_nodes(seed, 3, far(), |_| {});
    let keys =
        [("ann", 0), ("bob", 1), ("cat", 2)].map(|(name, node)| enter(&mut world, name, node));
    let cameras = keys.map(|key| world.publish_video(key));
    world.run_for(seconds(5));
    (world, keys, cameras)
}

#[test]
fn edges_that_lose_each_other_for_a_moment_see_each_other_again() {
    let (mut world, [ann, bob, cat], cameras) = three(206);
    world.part(1, 2);
    world.join_again(1, 2);
    world.run_for(millis(300));
    let sees = |world: &World, who, whom| world.client(who).participant(whom).is_some();
    assert!(!sees(&world, bob, "cat") && !sees(&world, cat, "bob"));
    assert!(sees(&world, ann, "bob") && sees(&world, ann, "cat"));
    world.run_for(seconds(2));
    assert!(sees(&world, bob, "cat") && sees(&world, cat, "bob"));
    world.run_for(seconds(5));
    for (n, who) in [ann, bob, cat].into_iter().enumerate() {
        assert_eq!(world.closed(who), None, "{n}");
        for (m, camera) in cameras.into_iter().enumerate().filter(|(m, _)| n != *m) {
            let frames = world.frames_per_second(who, camera);
            assert!(frames >= 29, "{n} of {m}: {frames}");
            let gap = world.client(who).report(camera).longest_gap;
            let is_between_edges = n > 0 && m > 0;
            assert!(
                gap < millis(if is_between_edges { 2_500 } else { 150 }),
                "{n} of {m}: {gap:?}"
            );
        }
    }
}

#[test]
fn edges_that_do_not_reach_each_other_for_long_are_looked_for_less_and_less() {
    let (mut world, [_, bob, cat], cameras) = three(207);
    // Of each other they see nothing for longer than anybody should.
    for (who, camera) in [(bob, cameras[1]), (cat, cameras[2])] {
        let track = world.track_of(who, camera);
        world.waive(&track);
    }
    world.part(1, 2);
    world.run_for(seconds(40));
    assert!(world.client(bob).participant("cat").is_none());
    assert!(world.frames_per_second(bob, cameras[0]) >= 29);
    world.join_again(1, 2);
    world.run_for(seconds(19));
    assert!(world.client(bob).participant("cat").is_some());
    assert!(world.frames_per_second(bob, cameras[2]) >= 29);
    assert!(world.frames_per_second(cat, cameras[1]) >= 29);
}

#[test]
fn a_track_goes_another_way_where_who_sends_it_on_does_not_reach_all() {
    let one = |config: &mut CoreConfig| config.relay_copies = 1;
    // Packets that are under way are lost with the link.
    let link = LinkSettings {
        reordering: 0.01,
        ..far()
    };
    let mut world = World::of_nodes(208, 4, link, one);
    let (_, camera, guests) = audience(&mut world, 4, 1);
    world.run_for(seconds(10));
    let before = copies(&mut world, 4);
    assert!(before[1][2] > 80 && before[0][2] == 0, "{before:?}");
    world.part(1, 2);
    world.run_for(seconds(3));
    let after = copies(&mut world, 4);
    assert!(after[0][2] > 80 && after[1][2] == 0, "{after:?}");
    for guest in guests {
        let picture = world.client(guest).report(camera);
        assert!(picture.longest_gap < millis(1_500), "{picture:?}");
        assert!(world.frames_per_second(guest, camera) >= 29);
    }
}
