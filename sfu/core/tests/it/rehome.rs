//! A room whose home is lost, or hands it over: who is on other nodes stays, hears the others, and is one room with who
//! joins at the next home.

use std::{collections::BTreeSet, sync::Arc};

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
        self.assert_one_room_with(node, &["bob", "cat", "dan"]);
    }

    /// These being in it then.
    fn assert_one_room_with(&mut self, node: usize, all: &[&str]) {
        let dan = enter(&mut self.world, "dan", node);
        let voice = self.world.publish_audio(dan);
        for n in 0..2 {
            let took = self.world.wait_for(dan, self.voices[n], seconds(2));
            assert!(took < millis(700), "{took:?}");
            let took = self.world.wait_for(self.edges[n], voice, seconds(2));
            assert!(took < millis(700), "{took:?}");
        }
        for key in [dan, self.edges[0], self.edges[1]] {
            assert_eq!(identities(&self.world, key), all);
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
    for (keep, except, expected, left) in [
        (0, vec!["room".to_owned()], [false, false, false], 0),
        (usize::MAX, Vec::new(), [false, false, false], 3),
        (2, Vec::new(), [true, false, false], 2),
        (2, Vec::new(), [true, false, false], 2),
        (0, Vec::new(), [true, true, true], 0),
    ] {
        for (key, goes) in guests.into_iter().zip(expected) {
            if goes {
                world.waive_client(key);
            }
        }
        // The home has none: they are its own.
        for (node, left) in [(0, 0), (1, left)] {
            let except: BTreeSet<String> = except.iter().cloned().collect();
            let except = Arc::new(except);
            let command = Command::MoveGuests { keep, except };
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

/// A home that goes on: it hands its room over to `heir`, and nobody notices.
fn handed_over(seed: u64, heir: usize) -> (Scene, SourceId) {
    let mut scene = scene(seed);
    let voice = scene.world.publish_audio(scene.ann);
    scene.world.run_for(seconds(2));
    let joined = scene.world.client(scene.ann).joined();
    let room = joined
        .and_then(|joined| joined.room.clone())
        .expect("a room");
    let home = NewHome::At(scene.world.link_to(heir));
    scene.rehome(0, &room.id, home);
    scene.world.set_home(heir);
    scene.world.run_for(seconds(2));
    let moved = scene.world.told().iter().any(
        |event| matches!(event, Event::HomeMoved { name, home } if name == "room" && *home == scene.world.link_to(heir)),
    );
    assert!(moved, "the node is told where it is");
    (scene, voice)
}

#[test]
fn a_home_that_hands_its_room_over_stays_in_it() {
    for (seed, heir, joins_at) in [
        (341, 1, 1),
        (342, 1, 3),
        (343, 3, 3),
        (344, 3, 2),
        (345, 2, 0),
    ] {
        let (mut scene, voice) = handed_over(seed, heir);
        scene.assert_undisturbed();
        let dan = enter(&mut scene.world, "dan", joins_at);
        let own = scene.world.publish_audio(dan);
        let all = [scene.ann, scene.edges[0], scene.edges[1], dan];
        scene.world.wait_for(dan, voice, seconds(2));
        for key in [scene.ann, scene.edges[0], scene.edges[1]] {
            scene.world.wait_for(key, own, seconds(2));
        }
        for key in all {
            assert_eq!(scene.world.closed(key), None);
            assert_eq!(identities(&scene.world, key), ["ann", "bob", "cat", "dan"]);
        }
        for (n, key) in scene.edges.into_iter().enumerate() {
            for source in [voice, scene.voices[1 - n]] {
                let heard = scene.world.client(key).report(source);
                assert!(heard.longest_gap < millis(200), "{n}: {heard:?}");
                assert_eq!(heard.lost, 0, "{n}: {heard:?}");
            }
        }
        assert_eq!(scene.world.stats().rooms, 1, "one home");
        // Then who is on it goes, one by one, and comes back elsewhere.
        scene.world.leave(dan);
        let guests = Command::MoveGuests {
            keep: 0,
            except: Arc::default(),
        };
        let left = scene.world.command_at(0, guests);
        assert_eq!(left, Ok(Reply::Guests(0)));
        scene.world.run_for(seconds(1));
        let closed = scene.world.closed(scene.ann).expect("it is sent on");
        assert_eq!(closed.action(), CloseAction::Reconnect);
        scene.world.lose_links_of(0);
        scene.world.run_for(seconds(1));
        scene.assert_undisturbed();
        for key in scene.edges {
            assert_eq!(identities(&scene.world, key), ["bob", "cat"]);
        }
        let told = events(&scene.world);
        let mut left: Vec<_> = told.iter().filter(|told| told.ends_with(" left")).collect();
        left.sort_unstable();
        assert_eq!(left, ["ann left", "dan left"], "{told:?}");
        assert!(!told.iter().any(|told| told == "room ended"), "{told:?}");
        let is_lost = |event: &Event| matches!(event, Event::HomeLost { .. });
        assert!(!scene.world.told().iter().any(is_lost), "{heir}");
    }
}

#[test]
fn a_room_is_handed_over_to_a_home_that_somebody_joined_before() {
    let mut scene = scene(351);
    let joined = scene.world.client(scene.ann).joined();
    let room = joined
        .and_then(|joined| joined.room.clone())
        .expect("a room");
    // Placed there while this one did not know yet.
    scene.world.set_home(3);
    let mut options = ClientOptions::new("room", "eve").on(3);
    options.join.room_id.clone_from(&room.id);
    let eve = scene.world.enter_as(options);
    let own = scene.world.publish_audio(eve);
    scene.world.run_for(seconds(1));
    let home = NewHome::At(scene.world.link_to(3));
    scene.rehome(0, &room.id, home);
    scene.world.wait_for(eve, scene.voices[0], seconds(2));
    for key in [scene.ann, scene.edges[0], scene.edges[1]] {
        scene.world.wait_for(key, own, seconds(2));
        assert_eq!(identities(&scene.world, key), ["ann", "bob", "cat", "eve"]);
    }
    scene.assert_undisturbed();
}

#[test]
fn a_room_stays_where_nobody_takes_it_over() {
    let mut scene = scene(352);
    let joined = scene.world.client(scene.ann).joined();
    let room = joined
        .and_then(|joined| joined.room.clone())
        .expect("a room");
    scene.world.waive_client(scene.ann);
    let home = NewHome::At(scene.world.link_to(3));
    scene.rehome(0, &room.id, home);
    scene.world.lose_links_of(3);
    scene.world.run_for(seconds(15));
    scene.assert_undisturbed();
    scene.assert_one_room_with(1, &["ann", "bob", "cat", "dan"]);
}
