//! Data messages: to everybody, to some, reliably or not, and always with their true sender.

use sfu_core::DropReason;
use sfu_sim::{ClientKey, ClientOptions, DataTo, LinkSettings, World, millis, seconds};

fn world(seed: u64, link: LinkSettings) -> (World, [ClientKey; 3]) {
    let mut world = World::new(seed);
    let keys = ["ann", "bob", "cat"]
        .map(|identity| world.enter_as(ClientOptions::new("room", identity).over(link)));
    world.run_for(seconds(2));
    world.open_data(keys[0]);
    (world, keys)
}

#[test]
fn data_goes_to_everybody_else_or_to_whom_it_names() {
    for reliable in [true, false] {
        let (mut world, [ann, bob, cat]) = world(50, LinkSettings::default());
        let everybody = DataTo {
            reliable,
            ..DataTo::default()
        };
        assert!(world.client_mut(ann).send_data(b"all", &everybody));
        world.run_for(millis(200));
        let only_bob = DataTo {
            identities: vec!["bob".into()],
            reliable,
        };
        assert!(world.client_mut(ann).send_data(b"bob", &only_bob));
        world.run_for(millis(200));
        let got = |key| -> Vec<&[u8]> {
            world
                .client(key)
                .data()
                .iter()
                .map(|message| message.payload.as_slice())
                .collect()
        };
        assert_eq!(got(ann), Vec::<&[u8]>::new(), "nothing comes back");
        assert_eq!(got(bob), [&b"all"[..], b"bob"]);
        assert_eq!(got(cat), [&b"all"[..]]);
        for message in world.client(bob).data() {
            assert_eq!(message.sender, "ann", "not who it claimed to be");
            assert_eq!(message.sender_id, world.client(ann).id());
        }
    }
}

#[test]
fn reliable_data_survives_loss_in_order() {
    let (mut world, [ann, bob, _]) = world(51, LinkSettings::lossy(0.05));
    let to = DataTo {
        reliable: true,
        ..DataTo::default()
    };
    for number in 0..200_u32 {
        assert!(world.client_mut(ann).send_data(&number.to_be_bytes(), &to));
        world.run_for(millis(10));
    }
    world.run_for(seconds(10));
    let got: Vec<_> = world
        .client(bob)
        .data()
        .iter()
        .map(|m| m.payload.clone())
        .collect();
    let sent: Vec<_> = (0..200_u32)
        .map(|number| number.to_be_bytes().to_vec())
        .collect();
    assert_eq!(got, sent);
}

#[test]
fn lossy_data_is_not_waited_for() {
    let (mut world, [ann, bob, _]) = world(52, LinkSettings::lossy(0.1));
    for number in 0..200_u32 {
        world
            .client_mut(ann)
            .send_data(&number.to_be_bytes(), &DataTo::default());
        world.run_for(millis(10));
    }
    world.run_for(seconds(2));
    let got = world.client(bob).data().len();
    assert!(
        (120..200).contains(&got),
        "{got} of 200 with 10 % loss twice"
    );
}

#[test]
fn a_big_message_passes_whole() {
    let (mut world, [ann, bob, _]) = world(53, LinkSettings::default());
    let payload: Vec<u8> = (0..60_000_u32).map(|n| n as u8).collect();
    let to = DataTo {
        reliable: true,
        ..DataTo::default()
    };
    assert!(world.client_mut(ann).send_data(&payload, &to));
    world.run_for(seconds(3));
    let got = world.client(bob).data();
    assert_eq!(got.len(), 1);
    assert!(got[0].payload == payload);
}

#[test]
fn bytes_that_are_no_message_are_refused_and_harm_nobody() {
    let (mut world, [ann, bob, _]) = world(54, LinkSettings::default());
    for junk in [
        &[0xff; 40][..],
        &[0x12, 0xff, 0xff, 0xff, 0x7f],
        b"\x22\x04\xff\xfe",
    ] {
        for reliable in [true, false] {
            assert!(world.client_mut(ann).send_raw(junk, reliable));
        }
    }
    world.run_for(millis(300));
    assert!(world.shard.stats().dropped(DropReason::DataRefused) >= 4);
    assert!(world.client_mut(ann).send_data(b"fine", &DataTo::default()));
    world.run_for(millis(300));
    assert_eq!(
        world
            .client(bob)
            .data()
            .last()
            .map(|m| m.payload.as_slice()),
        Some(&b"fine"[..])
    );
}

#[test]
fn a_joiner_gets_reliable_data_sent_before_its_channel_is_open() {
    let (mut world, [ann, ..]) = world(55, LinkSettings::default());
    let dan = world.enter("room", "dan");
    let to = DataTo {
        reliable: true,
        ..DataTo::default()
    };
    assert!(world.client_mut(ann).send_data(b"welcome", &to));
    world.run_for(seconds(2));
    assert_eq!(world.client(dan).data().len(), 1);
}
