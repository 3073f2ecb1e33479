//! A room whose home is lost: who is on other nodes stays, hears the others, and is one room with who joins at the next
//! home.

use plenum_proto::node::CloseAction;
use sfu_core::{Command, Event, NewHome, Reply};
use sfu_sim::{ClientKey, ClientOptions, LinkSettings, SourceId, World, millis, seconds};

use crate::spread::{events, identities};

fn enter(world: &mut World, identity: &str, node: usize) -> ClientKey {
    world.enter_as(ClientOptions::new("room", identity).on(node))
}

/// Ann on the home, bob and cat on edges who hear each other; one more node.
struct Scene {
    world: World,
    ann: ClientKey,
    edges: [ClientKey; 2],
    voices: [SourceId; 2],
}

fn scene(seed: u64) -> Scene {
    let link = LinkSettings::delayed(millis(20));
    let mut world = World::of_nodes(seed, 4, link, |config| config.rehome_timeout = seconds(10));
    let ann = enter(&mut world, "ann", 0);
    let edges = [("bob", 1), ("cat", 2)].map(|(name, node)| enter(&mut world, name, node));
    let voices = edges.map(|key| world.publish_audio(key));
    world.run_for(seconds(3));
    Scene {
        world,
        ann,
        edges,
        voices,
    }
}

impl Scene {
    /// The home dies; the id of its room, as each edge tells it.
    fn lose_home(&mut self) -> String {
        self.world.waive_client(self.ann);
        self.world.lose_links_of(0);
        self.world.run_for(seconds(2));
        let lost = self.world.told().iter().filter_map(|event| match event {
            Event::HomeLost { room, room_id } if room == "room" => Some(room_id.clone()),
            _ => None,
        });
        let lost: Vec<String> = lost.collect();
        assert_eq!(lost.len(), 2, "each edge tells it once");
        assert_eq!(lost[0], lost[1]);
        lost[0].clone()
    }

    fn rehome(&mut self, node: usize, room_id: &str, home: NewHome) {
        let room_id = room_id.to_owned();
        let command = Command::Rehome { room_id, home };
        self.world.command_at(node, command).expect("it is taken");
    }

    /// Nobody on an edge noticed more than that others left.
    fn assert_undisturbed(&self) {
        for (n, key) in self.edges.into_iter().enumerate() {
            assert_eq!(self.world.closed(key), None, "{n} was not sent away");
            let other = self.world.client(key).report(self.voices[1 - n]);
            assert!(other.longest_gap < millis(200), "{n}: {other:?}");
            assert_eq!(other.lost, 0, "{n}: {other:?}");
        }
    }

    /// Somebody who joins at a node is in the same room, and is heard.
    fn assert_one_room(&mut self, node: usize) {
        let dan = enter(&mut self.world, "dan", node);
        let voice = self.world.publish_audio(dan);
        for n in 0..2 {
            let took = self.world.wait_for(dan, self.voices[n], seconds(2));
            assert!(took < millis(700), "{took:?}");
            let took = self.world.wait_for(self.edges[n], voice, seconds(2));
            assert!(took < millis(700), "{took:?}");
        }
        for key in [dan, self.edges[0], self.edges[1]] {
            assert_eq!(identities(&self.world, key), ["bob", "cat", "dan"]);
        }
    }
}

#[test]
fn an_edge_becomes_the_home_and_the_others_follow() {
    for (seed, joins_at) in [(301, 1), (302, 2), (303, 3)] {
        let mut scene = scene(seed);
        let room = scene.lose_home();
        for key in scene.edges {
            assert_eq!(identities(&scene.world, key), ["bob", "cat"]);
        }
        scene.rehome(1, &room, NewHome::Here);
        scene.world.run_for(millis(100));
        let link = scene.world.link_to(1);
        scene.rehome(2, &room, NewHome::At(link));
        scene.world.set_home(1);
        scene.assert_one_room(joins_at);
        scene.assert_undisturbed();
        let told = events(&scene.world);
        let left = told.iter().filter(|told| told.ends_with(" left"));
        // By the old home, which lives on and has lost sight of them.
        assert_eq!(left.count(), 2, "{told:?}");
    }
}

#[test]
fn a_node_that_was_not_in_the_room_becomes_its_home() {
    for (seed, joins_at) in [(311, 3), (312, 1)] {
        let mut scene = scene(seed);
        let room = scene.lose_home();
        let link = scene.world.link_to(3);
        for node in [1, 2] {
            scene.rehome(node, &room, NewHome::At(link));
        }
        scene.world.set_home(3);
        scene.world.run_for(millis(200));
        scene.assert_one_room(joins_at);
        scene.assert_undisturbed();
    }
}

#[test]
fn who_joins_leads_the_room_to_its_new_home() {
    for (seed, home, joins_at) in [(321, 1, 1), (322, 3, 3), (323, 1, 2), (324, 3, 1)] {
        let mut scene = scene(seed);
        // Before anybody but the control plane knows that the home is gone.
        scene.world.waive_client(scene.ann);
        scene.world.set_home(home);
        let first = enter(&mut scene.world, "eve", home);
        let second = enter(&mut scene.world, "fay", joins_at);
        scene.world.run_for(millis(500));
        for key in [first, second] {
            assert_eq!(scene.world.closed(key), None);
        }
        scene.world.lose_links_of(0);
        scene.world.run_for(seconds(1));
        let seen = identities(&scene.world, second);
        assert!(seen.contains(&"eve") && seen.contains(&"fay"), "{seen:?}");
        assert!(!seen.contains(&"ann"), "{seen:?}");
    }
}

#[test]
fn a_home_that_was_only_out_of_sight_takes_its_edges_back() {
    let mut scene = scene(331);
    let bob = scene.edges[0];
    scene.world.lose_links_of(1);
    scene.world.run_for(seconds(1));
    assert_eq!(identities(&scene.world, scene.ann), ["ann", "cat"]);
    assert_eq!(scene.world.closed(bob), None);
    let lost = scene.world.told().iter().find_map(|event| match event {
        Event::HomeLost { room_id, .. } => Some(room_id.clone()),
        _ => None,
    });
    let link = scene.world.link_to(0);
    scene.rehome(1, &lost.expect("it is told"), NewHome::At(link));
    scene.world.run_for(millis(700));
    assert!(scene.world.frames_per_second(scene.ann, scene.voices[0]) >= 45);
    for key in [scene.ann, bob] {
        assert_eq!(identities(&scene.world, key), ["ann", "bob", "cat"]);
    }
    let told = events(&scene.world);
    let is_stay = |told: &&String| ["bob joined", "bob left"].contains(&told.as_str());
    let stays: Vec<_> = told.iter().filter(is_stay).collect();
    assert_eq!(stays, ["bob joined", "bob left", "bob joined"]);
}

#[test]
fn without_another_home_everybody_joins_anew() {
    for (seed, is_told) in [(341, true), (342, false)] {
        let mut scene = scene(seed);
        let room = scene.lose_home();
        for key in scene.edges {
            scene.world.waive_client(key);
        }
        if is_told {
            for node in [1, 2] {
                scene.rehome(node, &room, NewHome::Nowhere);
            }
        } else {
            scene.world.run_for(seconds(10));
        }
        scene.world.run_for(millis(100));
        for key in scene.edges {
            let closed = scene.world.closed(key).map(|closed| closed.action());
            assert_eq!(closed, Some(CloseAction::Reconnect));
        }
    }
}

#[test]
fn a_home_that_is_emptied_leaves_the_others_where_they_are() {
    let mut scene = scene(351);
    scene.world.waive_client(scene.ann);
    let room = Some("room".to_owned());
    let moved = scene.world.command_at(0, Command::MoveAway { room });
    moved.expect("it is taken");
    scene.world.run_for(millis(200));
    let closed = scene.world.closed(scene.ann).map(|closed| closed.action());
    assert_eq!(closed, Some(CloseAction::Reconnect));
    let lost = scene.world.told().iter().find_map(|event| match event {
        Event::HomeLost { room_id, .. } => Some(room_id.clone()),
        _ => None,
    });
    let room = lost.expect("the edges are told");
    scene.rehome(1, &room, NewHome::Here);
    scene.world.run_for(millis(100));
    scene.world.set_home(1);
    scene.assert_one_room(3);
    scene.assert_undisturbed();
    let told = events(&scene.world);
    let left: Vec<_> = told.iter().filter(|told| told.ends_with(" left")).collect();
    assert_eq!(left, ["ann left"], "{told:?}");
}

#[test]
fn guests_are_sent_on_one_after_the_other() {
    let mut world = World::of_nodes(361, 2, LinkSettings::delayed(millis(20)), |_| {});
    let ann = enter(&mut world, "ann", 0);
    let guests = ["bob", "cat", "dan"].map(|name| enter(&mut world, name, 1));
    world.run_for(seconds(2));
    let sent_on = |world: &World| {
        let closed = guests.map(|key| world.closed(key).map(|closed| closed.action()));
        closed.map(|closed| closed == Some(CloseAction::Reconnect))
    };
    for (one_in, except, expected, left) in [
        (1, vec!["room".to_owned()], [false, false, false], 0),
        (3, Vec::new(), [true, false, false], 2),
        (1, Vec::new(), [true, true, true], 0),
    ] {
        for (key, goes) in guests.into_iter().zip(expected) {
            if goes {
                world.waive_client(key);
            }
        }
        // The home has none: they are its own.
        for (node, left) in [(0, 0), (1, left)] {
            let except = except.clone();
            let command = Command::MoveGuests { one_in, except };
            let reply = world.command_at(node, command).expect("it is taken");
            assert!(
                matches!(reply, Reply::Guests(told) if told == left),
                "{reply:?}"
            );
        }
        world.run_for(seconds(1));
        assert_eq!(sent_on(&world), expected);
        // Whoever stays is in one room with the others.
        let staying = guests.into_iter().zip(expected).find(|(_, goes)| !goes);
        if let Some((guest, _)) = staying {
            let voice = world.publish_audio(guest);
            world.wait_for(ann, voice, seconds(2));
        }
        assert!(world.closed(ann).is_none());
    }
}
