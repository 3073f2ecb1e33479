//! Data messages: to everybody, to some, reliably or not, and always with their true sender.

use plenum_proto::{node::CloseAction, v1::CloseReason};
use sfu_core::DropReason;
use sfu_sim::{
    ClientKey, ClientOptions, DataMessage, DataTo, LinkSettings, World, millis, seconds,
};

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

/// A room in which bob's link to us carries 64 kbit/s, and what ann sends to all goes to him and to cat.
fn with_slow_reader(mut world: World) -> (World, [ClientKey; 3]) {
    let keys = ["ann", "bob", "cat"].map(|identity| {
        let mut options = ClientOptions::new("room", identity);
        if identity == "bob" {
            options.downlink.rate = Some((64_000, millis(200)));
        }
        world.enter_as(options)
    });
    world.run_for(seconds(4));
    world.open_data(keys[0]);
    (world, keys)
}

/// The number that begins a message, and its age when it came.
fn numbered(world: &World, key: ClientKey) -> Vec<(u32, u64)> {
    let read = |message: &DataMessage| {
        let (number, rest) = message.payload.split_first_chunk().expect("a number");
        let sent = rest.first_chunk().expect("a time");
        let age = message.at.as_millis() as u64 - u64::from_be_bytes(*sent);
        (u32::from_be_bytes(*number), age)
    };
    world.client(key).data().iter().map(read).collect()
}

fn send_numbered(world: &mut World, from: ClientKey, number: u32, size: usize, reliable: bool) {
    let mut payload = number.to_be_bytes().to_vec();
    payload.extend((world.now().as_millis() as u64).to_be_bytes());
    payload.resize(size, 0);
    let to = DataTo {
        reliable,
        ..DataTo::default()
    };
    assert!(world.client_mut(from).send_data(&payload, &to));
}

#[test]
fn who_is_slow_with_reliable_data_misses_some_and_nobody_else_notices() {
    let (mut world, [ann, bob, cat]) = with_slow_reader(World::new(56));
    // 600 kB a second, for a minute.
    let sent = 3_600;
    for number in 0..sent {
        send_numbered(&mut world, ann, number, 10_000, true);
        world.run_for(millis(16));
    }
    // The last are on their way.
    world.run_for(millis(200));
    assert!(
        world.closed(bob).is_none(),
        "nobody is thrown out by others"
    );
    let dropped = world.shard.stats().dropped(DropReason::DataBufferFull);
    // What waits is twice a mebibyte; what the link carried in a minute is less than another.
    let room = (3 << 20) / 10_000;
    assert!(dropped >= u64::from(sent - room), "{dropped} of {sent}");
    let got = numbered(&world, bob);
    assert!(got.iter().is_sorted_by(|a, b| a.0 < b.0), "in order");
    let got = numbered(&world, cat);
    let numbers = got.iter().map(|(number, _)| *number);
    assert!(numbers.eq(0..sent), "all, in order");
    let latest = got.iter().map(|(_, age)| *age).max();
    assert!(latest.is_some_and(|age| age < 200), "{latest:?} ms");
}

#[test]
fn who_takes_nothing_any_more_has_to_reconnect() {
    let (mut world, [ann, bob, cat]) = with_slow_reader(World::new(58));
    // Signs of life pass, full packets do not.
    world.set_downlink(bob, LinkSettings::limited(8_000, millis(200)));
    let mut sent = 0;
    while world.closed(bob).is_none() && sent < 2_000 {
        send_numbered(&mut world, ann, sent, 10_000, true);
        sent += 1;
        world.run_for(millis(16));
    }
    let closed = world.closed(bob).expect("bob was told");
    assert_eq!(closed.reason(), CloseReason::LimitExceeded);
    assert_eq!(closed.action(), CloseAction::Reconnect);
    assert!(closed.message.contains("data_buffer_bytes"));
    assert!(sent > 600, "not before ten seconds: {sent}");
    assert!(world.closed(cat).is_none());
    world.run_for(seconds(2));
    assert_eq!(numbered(&world, cat).len(), sent as usize);
}

#[test]
fn who_is_slow_with_lossy_data_gets_less_of_it_and_nothing_old() {
    let world = World::with(57, |config| {
        config.limits.data_lossy_buffer_bytes = 16 * 1024
    });
    let (mut world, [ann, bob, cat]) = with_slow_reader(world);
    // Sixty a second of 200 bytes are 96 kbit/s without any header.
    let sent = 60 * 20;
    for number in 0..sent {
        send_numbered(&mut world, ann, number, 200, false);
        world.run_for(millis(16));
    }
    let dropped = world.shard.stats().dropped(DropReason::DataBufferFull);
    assert!(dropped > 100, "{dropped}");
    world.run_for(seconds(4));
    assert!(world.closed(bob).is_none());
    let got = numbered(&world, bob);
    let oldest = got.iter().map(|(_, age)| *age).max();
    // 16 KiB take 2 s at 64 kbit/s; headers and acknowledgements take their share.
    assert!(oldest.is_some_and(|age| age < 4_000), "{oldest:?} ms");
    assert!(got.len() > 300, "{}", got.len());
    let got = numbered(&world, cat);
    assert_eq!(got.len(), sent as usize);
    let latest = got.iter().map(|(_, age)| *age).max();
    assert!(latest.is_some_and(|age| age < 200), "{latest:?} ms");
}
