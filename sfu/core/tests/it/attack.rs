//! Datagrams from strangers and broken ones from friends: nobody is disconnected, media goes on, the
//! attacker gets nothing back, and everything is counted.

use std::net::SocketAddr;

use sfu_core::DropReason;
use sfu_sim::{ClientKey, SourceId, Tapped, World, millis, seconds};

struct Talk {
    world: World,
    people: [ClientKey; 2],
    voice: SourceId,
    camera: SourceId,
    taps: Vec<Tapped>,
}

/// Ann shows her camera to Bob.
fn talk(seed: u64) -> Talk {
    let mut world = World::new(seed);
    world.open_tap();
    let people = [world.enter("room", "ann"), world.enter("room", "bob")];
    let camera = world.publish_video(people[0]);
    let voice = world.publish_audio(people[0]);
    world.run_for(seconds(4));
    let taps = world.close_tap();
    Talk {
        world,
        people,
        voice,
        camera,
        taps,
    }
}

impl Talk {
    /// Real datagrams, some of each kind.
    fn taps(&self) -> Vec<Tapped> {
        let is_rtcp = |tapped: &Tapped| matches!(tapped.bytes[..], [128..=191, 192..=223, ..]);
        let rtcp: Vec<_> = self
            .taps
            .iter()
            .filter(|tapped| is_rtcp(tapped))
            .take(12)
            .collect();
        assert_eq!(rtcp.len(), 12);
        let mut few: Vec<_> = rtcp.into_iter().cloned().collect();
        for kinds in [0..=3_u8, 20..=63, 128..=191] {
            let of_kind = self
                .taps
                .iter()
                .filter(|tapped| kinds.contains(&tapped.bytes[0]));
            few.extend(of_kind.filter(|tapped| !is_rtcp(tapped)).take(12).cloned());
        }
        assert_eq!(few.len(), 48);
        few
    }

    fn assert_undisturbed(&mut self) {
        let Self {
            world,
            people: [ann, bob],
            voice,
            camera,
            ..
        } = self;
        world.run_for(millis(500));
        assert!(world.frames_per_second(*bob, *camera) >= 29);
        assert!(world.frames_per_second(*bob, *voice) >= 48);
        assert_eq!((world.closed(*ann), world.closed(*bob)), (None, None));
        assert!(world.client(*bob).report(*camera).longest_gap < millis(100));
        assert_eq!(world.shard.stats().faults, 0);
        assert_eq!(world.stray(), [], "an attacker was answered");
    }
}

fn stranger() -> SocketAddr {
    SocketAddr::from(([203, 0, 113, 7], 4_444))
}

#[test]
fn garbage_of_every_first_byte_and_many_lengths_is_counted_and_forgotten() {
    let mut talk = talk(100);
    let ours = talk.taps()[0].source;
    let before: u64 = talk.world.shard.stats().drops.iter().sum();
    let mut sent = 0;
    for source in [stranger(), ours] {
        for first in 0..=255_u8 {
            for length in [
                1, 2, 3, 4, 7, 8, 11, 12, 13, 16, 19, 20, 21, 27, 28, 40, 100, 1_200, 1_500,
            ] {
                let mut bytes: Vec<u8> = (0..length)
                    .map(|n| (n * 7 + usize::from(first)) as u8)
                    .collect();
                bytes[0] = first;
                talk.world.inject(source, &bytes);
                sent += 1;
            }
        }
        talk.world.inject(source, &[]);
    }
    let after: u64 = talk.world.shard.stats().drops.iter().sum();
    let from_stranger = sent / 2;
    assert!(
        after - before >= from_stranger,
        "{} of {sent} were counted",
        after - before
    );
    talk.assert_undisturbed();
}

#[test]
fn broken_copies_of_real_packets_harm_nobody() {
    let mut talk = talk(101);
    let taps = talk.taps();
    for tapped in &taps {
        for source in [tapped.source, stranger()] {
            for length in 0..tapped.bytes.len().min(60) {
                talk.world.inject(source, &tapped.bytes[..length]);
            }
            for bit in 0..tapped.bytes.len().min(60) * 8 {
                // A flipped bit behind the integrity check of a STUN message leaves it genuine.
                let mut bytes = tapped.bytes.clone();
                bytes[bit / 8] ^= 1 << (bit % 8);
                talk.world.inject(source, &bytes);
            }
        }
    }
    talk.assert_undisturbed();
}

#[test]
fn replays_from_the_right_address_change_nothing() {
    let mut talk = talk(102);
    let taps = talk.taps();
    for _ in 0..50 {
        for tapped in &taps {
            talk.world.inject(tapped.source, &tapped.bytes);
        }
    }
    talk.assert_undisturbed();
}

#[test]
fn media_and_handshakes_from_an_unchecked_address_are_dropped_unread() {
    let mut talk = talk(103);
    let taps = talk.taps();
    let media: Vec<_> = taps.iter().filter(|tapped| tapped.bytes[0] >= 20).collect();
    let count = |talk: &Talk| {
        talk.world
            .shard
            .stats()
            .dropped(DropReason::UnvalidatedSource)
    };
    let before = count(&talk);
    for tapped in &media {
        talk.world.inject(stranger(), &tapped.bytes);
        // The address of a friend with another port is a stranger too.
        let neighbour = SocketAddr::new(tapped.source.ip(), tapped.source.port() + 1);
        talk.world.inject(neighbour, &tapped.bytes);
    }
    assert_eq!(count(&talk) - before, media.len() as u64 * 2);
    talk.assert_undisturbed();
}

/// A handshake message that opens DTLS 1.2, as anybody can make it.
fn client_hello(version: [u8; 2], cipher_suites: &[u8]) -> Vec<u8> {
    let mut body = version.to_vec();
    body.extend([0x5a; 32]);
    body.extend([0, 0]);
    body.extend((cipher_suites.len() as u16).to_be_bytes());
    body.extend(cipher_suites);
    body.extend([1, 0]);
    let length = (body.len() as u32).to_be_bytes();
    let mut handshake = vec![
        1, length[1], length[2], length[3], 0, 0, 0, 0, 0, length[1], length[2], length[3],
    ];
    handshake.extend(body);
    let mut record = vec![22, version[0], version[1], 0, 0, 0, 0, 0, 0, 0, 0];
    record.extend((handshake.len() as u16).to_be_bytes());
    record.extend(handshake);
    record
}

#[test]
fn a_hello_that_comes_first_from_elsewhere_does_not_win() {
    let hellos = [
        client_hello([0xfe, 0xfd], &[0, 0]),
        client_hello([0xfe, 0xfd], &[0xc0, 0x2b]),
        client_hello([0xfe, 0xff], &[0, 1, 0, 2]),
        vec![21, 0xfe, 0xfd, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 2, 40],
    ];
    let mut world = World::new(104);
    let ann = world.enter("room", "ann");
    let camera = world.publish_video(ann);
    world.run_for(seconds(1));
    for number in 0..10 {
        let bob = world.join(sfu_sim::ClientOptions::new(
            "room",
            &format!("bob {number}"),
        ));
        let mut sent = 0;
        while world.client(bob).report(camera).frames == 0 {
            for hello in &hellos {
                world.inject(stranger(), hello);
                // Spoofed from where the client will be, before any check of it came.
                let [_, subscriber] = world.addresses(bob);
                if !world.client(bob).is_connected() && sent < 5 {
                    world.inject(subscriber, hello);
                }
            }
            sent += 1;
            world.run_for(millis(1));
            assert!(sent < 2_000, "bob {number} saw nothing");
        }
        world.leave(bob);
    }
    assert_eq!(world.stray(), []);
    assert!(world.shard.stats().dropped(DropReason::UnvalidatedSource) > 1_000);
}

#[test]
fn who_checks_from_the_address_of_another_does_not_get_what_comes_from_there() {
    let mut talk = talk(106);
    let taps = talk.taps();
    let is_request = |tapped: &&Tapped| tapped.bytes.starts_with(&[0, 1]);
    let checks: Vec<_> = taps.iter().filter(is_request).collect();
    let forged: Vec<_> = checks
        .iter()
        .flat_map(|own| {
            checks
                .iter()
                .map(|other| (other.source, &own.bytes, own.source))
        })
        .filter(|(from, _, source)| from.ip() != source.ip())
        .collect();
    assert!(!forged.is_empty());
    for _ in 0..50 {
        for (from, bytes, _) in &forged {
            talk.world.inject(*from, bytes);
        }
        talk.world.run_for(millis(50));
    }
    talk.assert_undisturbed();
}

#[test]
fn a_check_with_a_wrong_password_validates_nothing() {
    let mut talk = talk(105);
    let taps = talk.taps();
    let checks: Vec<_> = taps.iter().filter(|tapped| tapped.bytes[0] < 4).collect();
    assert!(!checks.is_empty());
    let before = talk.world.shard.stats().dropped(DropReason::UnknownStun);
    for check in &checks {
        let mut bytes = check.bytes.clone();
        let at = integrity(&bytes).expect("checks are signed");
        bytes[at] ^= 1;
        talk.world.inject(stranger(), &bytes);
        // The same for somebody who is not here.
        let mut bytes = check.bytes.clone();
        bytes[24] ^= 1;
        talk.world.inject(stranger(), &bytes);
    }
    let refused = talk.world.shard.stats().dropped(DropReason::UnknownStun) - before;
    assert_eq!(refused, checks.len() as u64 * 2);
    talk.assert_undisturbed();
}

/// Where the value of MESSAGE-INTEGRITY begins (RFC 8489 section 14.5).
fn integrity(bytes: &[u8]) -> Option<usize> {
    let mut at = 20;
    while let Some([t0, t1, l0, l1]) = bytes.get(at..at + 4) {
        if [*t0, *t1] == [0, 8] {
            return Some(at + 4);
        }
        at += 4 + usize::from(u16::from_be_bytes([*l0, *l1])).next_multiple_of(4);
    }
    None
}
