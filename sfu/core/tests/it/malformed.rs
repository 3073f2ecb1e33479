//! Descriptions, candidates and data that are wrong in any way are answered or ignored: the session
//! and its neighbours go on.

use plenum_proto::node::{
    Candidate, Description, TransportRole, session_event::Kind as Told, session_request::Kind,
};
use proptest::prelude::*;
use sfu_sim::{ClientKey, SourceId, World, millis, seconds};

fn world(seed: u64) -> (World, ClientKey, ClientKey, SourceId) {
    let mut world = World::new(seed);
    let ann = world.enter("room", "ann");
    let bob = world.enter("room", "bob");
    let voice = world.publish_audio(bob);
    world.publish_audio(ann);
    world.run_for(seconds(1));
    (world, ann, bob, voice)
}

/// A description that the node would take.
fn good(world: &World, ann: ClientKey) -> String {
    let offers = world.client(ann).told().rev().find_map(|told| match told {
        Told::Description(description) if description.is_offer => Some(description.sdp.clone()),
        _ => None,
    });
    offers.expect("the node offered")
}

fn still_fine(world: &mut World, ann: ClientKey, voice: SourceId) {
    assert!(world.frames_per_second(ann, voice) >= 48);
    assert_eq!(world.closed(ann), None);
    assert_eq!(world.shard.stats().faults, 0);
}

/// One damage to a text.
#[derive(Debug, Clone)]
enum Damage {
    DropLine(usize),
    RepeatLine(usize),
    SwapLines(usize, usize),
    Cut(usize),
    Replace(usize, String),
    Insert(usize, String),
}

fn damage() -> impl Strategy<Value = Damage> {
    let word = prop_oneof![
        Just("4294967296".to_owned()),
        Just("-1".to_owned()),
        Just(String::new()),
        Just("a=rtpmap:255 VP8/90000".to_owned()),
        Just("a=fmtp:96 apt=96".to_owned()),
        Just("a=ssrc-group:FID 1".to_owned()),
        Just("a=simulcast:send q;;,~".to_owned()),
        Just("a=extmap:0 urn:ietf:params:rtp-hdrext:sdes:mid".to_owned()),
        Just("m=video 9 UDP/TLS/RTP/SAVPF 96 96 96".to_owned()),
        Just("a=candidate:1 1 udp 1 host.local 9 typ host".to_owned()),
        Just("a=setup:holdconn".to_owned()),
        Just("a=mid:".to_owned()),
        "[ -~]{0,40}",
        "\\PC{0,12}",
    ];
    prop_oneof![
        any::<usize>().prop_map(Damage::DropLine),
        any::<usize>().prop_map(Damage::RepeatLine),
        (any::<usize>(), any::<usize>()).prop_map(|(a, b)| Damage::SwapLines(a, b)),
        any::<usize>().prop_map(Damage::Cut),
        (any::<usize>(), word.clone()).prop_map(|(at, word)| Damage::Replace(at, word)),
        (any::<usize>(), word).prop_map(|(at, word)| Damage::Insert(at, word)),
    ]
}

fn damaged(sdp: &str, damages: &[Damage]) -> String {
    let mut lines: Vec<String> = sdp.lines().map(str::to_owned).collect();
    for damage in damages {
        let count = lines.len().max(1);
        match damage {
            _ if lines.is_empty() => {}
            Damage::DropLine(at) => drop(lines.remove(at % count)),
            Damage::RepeatLine(at) => lines.insert(at % count, lines[at % count].clone()),
            Damage::SwapLines(a, b) => lines.swap(a % count, b % count),
            Damage::Cut(at) => lines.truncate(at % count),
            Damage::Replace(at, word) => lines[at % count].clone_from(word),
            Damage::Insert(at, word) => lines.insert(at % count, word.clone()),
        }
    }
    lines.join("\r\n") + "\r\n"
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_malformed_description_is_refused_and_harms_no_neighbour(
        damages in prop::collection::vec(damage(), 1..6),
        is_offer in any::<bool>(),
        role in 0..3_i32,
        id in 0..4_u32,
    ) {
        let (mut world, ann, bob, _) = world(110);
        let sdp = damaged(&good(&world, ann), &damages);
        let description = Description { role, is_offer, sdp, id, ..Description::default() };
        let neighbour = world.publish_audio(bob);
        world.run_for(millis(100));
        world.waive_client(ann);
        world.client_mut(ann).request(Kind::Description(description));
        world.run_for(millis(300));
        // Whoever sends nonsense may lose its own media, nobody else theirs.
        prop_assert_eq!(world.closed(bob), None);
        prop_assert_eq!(world.shard.stats().faults, 0);
        let cat = world.enter("room", "cat");
        world.wait_for(cat, neighbour, seconds(2));
    }

    #[test]
    fn a_malformed_candidate_is_ignored(text in "\\PC{0,80}|candidate:[ -~]{0,80}", role in 0..3_i32) {
        let (mut world, ann, _, voice) = world(111);
        let candidate = Candidate { role, candidate: text, ..Candidate::default() };
        world.client_mut(ann).request(Kind::Candidate(candidate));
        world.run_for(millis(100));
        still_fine(&mut world, ann, voice);
    }

    #[test]
    fn malformed_data_is_refused(bytes in prop::collection::vec(any::<u8>(), 1..300), reliable: bool) {
        let (mut world, ann, bob, voice) = world(112);
        world.open_data(bob);
        world.waive_data();
        world.client_mut(bob).send_raw(&bytes, reliable);
        world.run_for(millis(100));
        still_fine(&mut world, ann, voice);
    }
}

#[test]
fn names_of_hosts_and_foreign_candidates_are_ignored() {
    let (mut world, ann, _, voice) = world(113);
    for candidate in [
        "candidate:1 1 udp 2122260223 4f1b1f4c-91a5-4d0a.local 9 typ host",
        "candidate:1 1 tcp 1 10.0.0.9 9 typ host tcptype active",
        "candidate:1 1 udp 1 ::1 9 typ relay raddr 0.0.0.0 rport 9",
        "candidate:",
        "nonsense",
    ] {
        for role in [TransportRole::Publish, TransportRole::Subscribe] {
            let candidate = Candidate {
                role: role.into(),
                candidate: candidate.into(),
                ..Candidate::default()
            };
            world.client_mut(ann).request(Kind::Candidate(candidate));
        }
    }
    still_fine(&mut world, ann, voice);
}
